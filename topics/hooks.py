from topicassign.hooks import Hook

# topics_changed(column, user): something the AI reads about the topic collection changed.
topics_changed = Hook("topics_changed")
# sentiments_changed(column, topic_ids): these topics came, went or lost their sentiments, so that the
# overall sentiment of the rows that have them may be another.
sentiments_changed = Hook("sentiments_changed")
# topic_counts(column) -> {topic id: {"positive", "neutral", "negative", "none", "all"}} in rows.
topic_counts = Hook("topic_counts")
