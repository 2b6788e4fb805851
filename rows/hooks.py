from topicassign.hooks import Hook

# reviews_changed(column, user): a review was saved, taken back or changed.
reviews_changed = Hook("reviews_changed")
# rows_imported(project, user): all rows of an import are stored and visible.
rows_imported = Hook("rows_imported")
# text_sentiments(texts) -> list of -1, 0, 1: sentiment from the text alone.
text_sentiments = Hook("text_sentiments")
# near_identical(column, verbatim_id, candidate_ids) -> set of the candidates whose text says nearly the same.
near_identical = Hook("near_identical")
# proposals(column, verbatim) -> list of (topic id, probability, sentiment or None), most likely first:
# what the model in use thinks of one row, also below its thresholds. Focus mode waits for it, so it
# returns [] where an answer is not at hand.
proposals = Hook("proposals")
# review_order(column) -> ids of the verbatims whose review would teach most, best first; what was reviewed since
# may be among them.
review_order = Hook("review_order")
# ai_versions(column) -> list of (since when, number) of the AI's versions that were in use, newest first.
ai_versions = Hook("ai_versions")
# learning_state(column) -> {"version", "scores": [(reviews, AI score), …] oldest first, "measured": {"score",
# "low", "high", "n"} or None}: how the AI of a column came along. Asked with every card: a few indexed reads.
learning_state = Hook("learning_state")
