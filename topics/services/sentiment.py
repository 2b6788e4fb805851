"""Sentiment on, for a topic that people have reviewed rows with ([S2.4]).

Nobody said with which sentiment, so `topic_update` refuses. Here is the second way, after a warning: these rows go
back to unreviewed, the AI proposes the sentiments, and people review them again.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind
from topics import hooks
from topics.hooks import Moved, PutBack
from topics.models import Topic
from topics.services import background
from topics.services.base import (
    SENTIMENT_LABEL_FIELDS,
    live_column,
    lock_column,
    put_back_text,
    reload_topics,
    rows_text,
    tell,
)
from topics.services.topics import topic_unwrite, topic_update, topic_write


@transaction.atomic
def topic_sentiment_on(
    *, topic: Topic, user: Any, unreview: bool = False, expected: str | None = None, **labels: str
) -> Change | None:
    """Switch sentiment on; with `unreview` also for a topic with reviewed rows, which go back to unreviewed.

    `labels` are the sentiment labels. Returns the change, None where sentiment is on already. Without
    `unreview` it is refused as `topic_update` refuses it; `extra["n_reviewed"]` of that error says how many.
    """
    unknown = set(labels) - set(SENTIMENT_LABEL_FIELDS)
    if unknown:
        raise TypeError(f"These are no sentiment labels: {', '.join(sorted(unknown))}.")
    if not unreview:
        return topic_update(topic=topic, user=user, expected=expected, sentiment_enabled=True, **labels)
    column = lock_column(topic.column)
    seen = {topic.pk: expected} if expected is not None else None
    topic = reload_topics(column, [topic], seen)[0]
    if topic.sentiment_enabled:
        return None
    hooks.rows_lock.send(column=column, topic_ids=[topic.pk])
    moved: Moved = hooks.rows_unreview.first(column=column, topic_id=topic.pk)
    written = topic_write(column, topic, {"sentiment_enabled": True, **labels})
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPIC_SENTIMENT,
        user=user,
        summary=_("Sentiment of %(topic)s switched on, %(rows)s back to not reviewed")
        % {"topic": topic.label, "rows": rows_text(moved.n_rows)},
        inverse={"written": written, "move": moved.move_id, "n_rows": moved.n_rows},
        ids=[topic.pk],
    )
    tell(column, user, for_ai=True)
    return change


@undoes(ChangeKind.TOPIC_SENTIMENT)
@background.undo_by_job(ChangeKind.TOPIC_SENTIMENT)
def _undo_sentiment(change: Change, user: Any) -> str | None:
    column = live_column(change)
    inverse = change.inverse
    hooks.rows_lock.send(column=column, topic_ids=[inverse["written"]["topic"]], move_id=inverse["move"])
    topic_unwrite(column, inverse["written"])
    done: PutBack = hooks.rows_put_back.first(column=column, move_id=inverse["move"], back=[])
    tell(column, user, for_ai=True)
    return put_back_text(done)
