"""Writes of the topic collection: one function per thing a person means to do.

Every function is one transaction that locks the column (so codes and labels stay unique when two
people edit at once), checks, saves, records a Change with its inverse, and tells the AI where it
reads what changed.
"""

from topics.services.categories import categories_reorder, category_create, category_delete, category_update
from topics.services.topics import topic_create, topic_delete, topic_update

__all__ = [
    "categories_reorder",
    "category_create",
    "category_delete",
    "category_update",
    "topic_create",
    "topic_delete",
    "topic_update",
]
