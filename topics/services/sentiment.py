"""Sentiment on, for a topic that people have reviewed rows with ([S2.4]).

Nobody said with which sentiment, so `topic_update` refuses. Here is the second way, after a warning: these rows go
back to unreviewed, the AI proposes the sentiments, and people review them again.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column, Job
from topicassign.errors import ApplicationError
from topics import hooks
from topics.hooks import Moved, PutBack
from topics.models import Category, Topic
from topics.services import background
from topics.services.base import (
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
    *, topic: Topic, user: Any, unreview: bool = False, expected: str | None = None, **fields: Any
) -> Change | None:
    """Switch sentiment on; with `unreview` also for a topic with reviewed rows, which go back to unreviewed.

    `fields` are other properties that change in the same act, as for `topic_update`. Returns the change, None
    where sentiment is on already. Without `unreview` it is refused as `topic_update` refuses it;
    `extra["n_reviewed"]` of that error says how many.
    """
    fields = {**fields, "sentiment_enabled": True}
    if not unreview:
        return topic_update(topic=topic, user=user, expected=expected, **fields)
    column = lock_column(topic.column)
    seen = {topic.pk: expected} if expected is not None else None
    topic = reload_topics(column, [topic], seen)[0]
    if topic.sentiment_enabled:
        return None
    hooks.rows_lock.send(column=column, topic_ids=[topic.pk])
    moved: Moved = hooks.rows_unreview.first(column=column, topic_id=topic.pk)
    written = topic_write(column, topic, fields)
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


def sentiment_on_start(*, topic: Topic, user: Any, **values: Any) -> Change | Job:
    """Switch sentiment on at once, or by a job where many rows go back; otherwise as `topic_sentiment_on`.

    Raises ApplicationError (409) where it is on already.
    """
    category = values.get("category")
    if isinstance(category, Category):
        values["category"] = category.pk
    return background.act_start(
        name="sentiment_on",
        column=topic.column,
        user=user,
        topics=[topic],
        n_rows=topic.assignments.filter(verbatim__is_reviewed=True).count(),
        values={"topic": topic.pk, **values},
    )


@background.act_by_job("sentiment_on")
def _sentiment_on(column: Column, values: dict[str, Any], user: Any) -> Change:
    topic = Topic.objects.select_related("column__project").get(pk=values["topic"])
    fields = {**values, "topic": topic}
    if isinstance(fields.get("category"), int):
        fields["category"] = Category.objects.get(pk=fields["category"])
    change = topic_sentiment_on(**fields, user=user)
    if change is None:
        raise ApplicationError(
            _("Somebody switched the sentiment of %(topic)s on meanwhile. Nothing was changed.")
            % {"topic": topic.label},
            status=409,
            code="stale",
        )
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
