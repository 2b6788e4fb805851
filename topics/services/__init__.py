"""Writes of the topic collection: one function per thing a person means to do.

Every function is one transaction that locks the column (so codes and labels stay unique when two
people edit at once), checks, saves, records a Change with its inverse, and tells the AI where it
reads what changed.
"""

from topics.services.categories import categories_reorder, category_create, category_delete, category_update
from topics.services.combining import combine_preview, combine_start, topics_combine
from topics.services.creating import NewTopic, labels_taken, topics_create
from topics.services.many import topic_move, topics_delete, topics_move
from topics.services.merging import merge_preview, merge_start, topics_merge
from topics.services.sentiment import sentiment_on_start, topic_sentiment_on
from topics.services.splitting import SplitProposal, split_propose, split_start, topic_split
from topics.services.tidying import pair_mark
from topics.services.topics import topic_create, topic_delete, topic_update

__all__ = [
    "NewTopic",
    "SplitProposal",
    "categories_reorder",
    "category_create",
    "category_delete",
    "category_update",
    "combine_preview",
    "combine_start",
    "labels_taken",
    "merge_preview",
    "merge_start",
    "pair_mark",
    "sentiment_on_start",
    "split_propose",
    "split_start",
    "topic_create",
    "topic_delete",
    "topic_move",
    "topic_sentiment_on",
    "topic_split",
    "topic_update",
    "topics_combine",
    "topics_create",
    "topics_delete",
    "topics_merge",
    "topics_move",
]
