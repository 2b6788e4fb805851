"""Merge: many topics become one of them.

The target keeps its label, codes, sentiment and description; keywords come together. Rows with several of the
topics keep one: what a person said beats a file, a keyword and the AI, then the higher probability counts. The
cases are listed in docs/topics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column, Job
from topicassign.errors import ApplicationError
from topics import hooks
from topics.hooks import Gathered, Gathering, Moved, PutBack
from topics.models import Topic
from topics.services import background
from topics.services.base import (
    labels_text,
    live_column,
    lock_column,
    put_back_text,
    reload_topics,
    rows_text,
    same_act,
    tell,
)
from topics.services.topics import topics_restore

Unsaid = Literal["neutral", "propose"]


def merge_preview(*, target: Topic, sources: Sequence[Topic], unsaid: Unsaid = "neutral") -> Gathered:
    """Return what a merge would do to the rows; writes nothing."""
    _check(target, sources)
    return hooks.rows_gathered.first(
        default=Gathered(), column=target.column, gathering=_gathering(target, sources, unsaid)
    )


@transaction.atomic
def topics_merge(
    *,
    target: Topic,
    sources: Sequence[Topic],
    user: Any,
    expected: Mapping[int, str] | None = None,
    unsaid: Unsaid = "neutral",
) -> Change:
    """Merge the sources into the target: their rows get the target, they are deleted.

    Parameters
    ----------
    expected
        The `version` of each topic that the person saw, by id.
    unsaid
        What reviewed rows get that come from a topic without sentiment into one with sentiment: "neutral", as a
        review without a sentiment says, or "propose": they go back to unreviewed, and the AI proposes one.

    Returns the change. The same merge sent twice is one act.

    Raises
    ------
    ApplicationError
        If a topic was deleted meanwhile (409), is of another column, or is to be merged with itself.
    StaleRevisionError
        If a topic was changed since the person saw it.
    """
    _check(target, sources)
    column = lock_column(target.column)
    asked = [target.pk, *sorted({source.pk for source in sources})]
    if (done := same_act(column, user, ChangeKind.TOPICS_MERGE, asked)) is not None:
        return done
    target, *sources = reload_topics(column, [target, *_once(sources)], expected)
    source_ids = [source.pk for source in sources]
    hooks.rows_lock.send(column=column, topic_ids=source_ids)
    Topic.objects.filter(pk__in=source_ids).update(deleted_at=timezone.now(), merged_into=target)
    came = [word for word in keywords_joined([target, *sources]) if word not in target.keywords]
    target.keywords = [*target.keywords, *came]
    target.ai_version += 1
    target.save(update_fields=["keywords", "ai_version"])
    moved: Moved = hooks.rows_gather.first(column=column, gathering=_gathering(target, sources, unsaid))
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPICS_MERGE,
        user=user,
        summary=_("Topics merged: %(sources)s → %(target)s, %(rows)s")
        % {"sources": labels_text(sources), "target": target.label, "rows": rows_text(moved.n_rows)},
        inverse={
            "asked": asked,
            "target": target.pk,
            "sources": source_ids,
            "keywords": came,
            "sentiment": target.sentiment_enabled,
            "move": moved.move_id,
            "n_rows": moved.n_rows,
        },
        ids=[target.pk],
    )
    tell(column, user, for_ai=True)
    return change


def merge_start(
    *,
    target: Topic,
    sources: Sequence[Topic],
    user: Any,
    expected: Mapping[int, str] | None = None,
    unsaid: Unsaid = "neutral",
) -> Change | Job:
    """Merge at once, or by a job where many rows change; otherwise as `topics_merge`."""
    return background.act_start(
        name="merge",
        column=target.column,
        user=user,
        topics=[target, *sources],
        n_rows=merge_preview(target=target, sources=sources).n_rows,
        values={
            "target": target.pk,
            "sources": [source.pk for source in sources],
            "expected": {str(pk): version for pk, version in (expected or {}).items()},
            "unsaid": unsaid,
        },
    )


@background.act_by_job("merge")
def _merge(column: Column, values: dict[str, Any], user: Any) -> Change:
    topics = Topic.objects.select_related("column__project").in_bulk([values["target"], *values["sources"]])
    return topics_merge(
        target=topics[values["target"]],
        sources=[topics[pk] for pk in values["sources"]],
        user=user,
        expected=background.versions(values),
        unsaid=values["unsaid"],
    )


def keywords_joined(topics: Sequence[Topic]) -> list[str]:
    """Return the keywords of all topics, each once: words ignoring case, regular expressions as they are."""
    joined: dict[str, str] = {}
    for topic in topics:
        for keyword in topic.keywords:
            joined.setdefault(keyword if keyword.startswith("/") else keyword.casefold(), keyword)
    return list(joined.values())


def check_together(topics: Sequence[Topic]) -> None:
    """Refuse topics of several columns."""
    if len({topic.column_id for topic in topics}) > 1:
        raise ApplicationError(_("These topics are not of the same column."), code="other_column")


def _check(target: Topic, sources: Sequence[Topic]) -> None:
    if not sources:
        raise ApplicationError(_("Choose the topics to merge."), code="nothing_chosen")
    if target.pk in {source.pk for source in sources}:
        raise ApplicationError(_("A topic cannot be merged with itself."), code="same_topic")
    check_together([target, *sources])


def _once(topics: Sequence[Topic]) -> list[Topic]:
    return list({topic.pk: topic for topic in topics}.values())


def _gathering(target: Topic, sources: Sequence[Topic], unsaid: Unsaid) -> Gathering:
    return Gathering(
        target_id=target.pk,
        source_ids=tuple(source.pk for source in _once(sources)),
        has_sentiment=target.sentiment_enabled,
        unsaid=unsaid,
    )


@undoes(ChangeKind.TOPICS_MERGE)
@background.undo_by_job(ChangeKind.TOPICS_MERGE)
def _undo_merge(change: Change, user: Any) -> str | None:
    column = live_column(change)
    inverse = change.inverse
    target = topic_of_act(column, inverse["target"])
    refuse_other_sentiment(target, inverse["sentiment"])
    hooks.rows_lock.send(column=column, topic_ids=inverse["sources"], move_id=inverse["move"])
    topics_restore(column, inverse["sources"])
    target.keywords = [word for word in target.keywords if word not in inverse["keywords"]]
    target.ai_version += 1
    target.save(update_fields=["keywords", "ai_version"])
    done: PutBack = hooks.rows_put_back.first(column=column, move_id=inverse["move"], back=inverse["sources"])
    tell(column, user, for_ai=True)
    return put_back_text(done)


def topic_of_act(column: Column, topic_id: int) -> Topic:
    """Return the topic that an act left, which undoing needs."""
    topic = Topic.objects.select_related("category").filter(pk=topic_id, column=column).first()
    if topic is None or topic.deleted_at is not None:
        raise ApplicationError(
            _("The topic %(topic)s was deleted or merged since; undo that first.")
            % {"topic": topic.label if topic is not None else ""},
            status=409,
        )
    return topic


def refuse_other_sentiment(topic: Topic, then: bool) -> None:
    if topic.sentiment_enabled != then:
        raise ApplicationError(
            _("The sentiment of %(topic)s was switched since; undo that first.") % {"topic": topic.label},
            status=409,
        )
