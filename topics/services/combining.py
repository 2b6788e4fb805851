"""Combine: topics without sentiment become the versions of one with sentiment.

"Friendly staff" and "Rude staff" become "Staff" with both as its sentiment labels. Their codes stay the codes of
the versions, so that exports before and after mean the same. A row with both gets their mean ([S3.3]).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column, Job
from topicassign.errors import ApplicationError
from topicassign.numbers import grouped
from topics import hooks
from topics.hooks import Gathered, Gathering, Moved, PutBack
from topics.models import DESCRIPTION_CHARS, Category, Topic
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
from topics.services.merging import check_together, keywords_joined, refuse_other_sentiment, topic_of_act
from topics.services.topics import topic_add, topics_restore


def combine_preview(*, positive: Topic, negative: Topic, neutral: Topic | None = None) -> Gathered:
    """Return what a combination would do to the rows; writes nothing."""
    topics = _check(positive, negative, neutral)
    return hooks.rows_gathered.first(
        default=Gathered(), column=positive.column, gathering=_gathering(0, positive, negative, neutral, topics)
    )


@transaction.atomic
def topics_combine(
    *,
    positive: Topic,
    negative: Topic,
    neutral: Topic | None = None,
    label: str,
    user: Any,
    label_neutral: str | None = None,
    label_positive: str | None = None,
    label_negative: str | None = None,
    category: Category | None = None,
    description: str | None = None,
    expected: Mapping[int, str] | None = None,
) -> Change:
    """Make one topic with sentiment out of two or three without; they are deleted, their rows get it.

    Labels left out are those of the topics. The new topic stands where the first of them stood in the category
    (that of the positive one unless given). Returns the change; the id of the new topic is its first of `ids`.
    The same combination sent twice is one act.

    Raises
    ------
    ApplicationError
        If a topic was deleted meanwhile (409), is named twice, has sentiment already or is of another column, or
        a label cannot be.
    StaleRevisionError
        If a topic was changed since the person saw it (`expected`, as for a merge).
    """
    topics = _check(positive, negative, neutral)
    column = lock_column(positive.column)
    asked = [topic.pk for topic in topics]
    if (done := same_act(column, user, ChangeKind.TOPICS_COMBINE, asked)) is not None:
        return done
    topics = reload_topics(column, topics, expected)
    positive, negative, neutral = topics[0], topics[1], topics[2] if len(topics) > 2 else None
    _refuse_sentiment(topics)
    hooks.rows_lock.send(column=column, topic_ids=asked)
    Topic.objects.filter(pk__in=asked).update(deleted_at=timezone.now())
    texts = dict.fromkeys(topic.description for topic in topics if topic.description)
    new = topic_add(
        column=column,
        label=label,
        category=category or positive.category,
        sentiment_enabled=True,
        description="\n".join(texts)[:DESCRIPTION_CHARS] if description is None else description,
        code_positive=positive.code_neutral,
        code_negative=negative.code_neutral,
        code_neutral=neutral.code_neutral if neutral else None,
        label_positive=positive.label if label_positive is None else label_positive,
        label_negative=negative.label if label_negative is None else label_negative,
        label_neutral=(neutral.label if neutral else "") if label_neutral is None else label_neutral,
    )
    new.keywords = keywords_joined(topics)
    places = [topic.position for topic in topics if topic.category_id == new.category_id]
    new.position = min(places, default=new.position)
    new.save(update_fields=["keywords", "position"])
    Topic.objects.filter(pk__in=asked).update(merged_into=new)
    moved: Moved = hooks.rows_gather.first(
        column=column, gathering=_gathering(new.pk, positive, negative, neutral, topics)
    )
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPICS_COMBINE,
        user=user,
        summary=_("Topics combined: %(sources)s → %(target)s, %(rows)s")
        % {"sources": labels_text(topics), "target": new.label, "rows": rows_text(moved.n_rows)},
        inverse={"asked": asked, "topic": new.pk, "sources": asked, "move": moved.move_id, "n_rows": moved.n_rows},
        ids=[new.pk],
    )
    tell(column, user, for_ai=True)
    return change


def combine_start(
    *,
    positive: Topic,
    negative: Topic,
    neutral: Topic | None = None,
    label: str,
    user: Any,
    category: Category | None = None,
    expected: Mapping[int, str] | None = None,
    **texts: str | None,
) -> Change | Job:
    """Combine at once, or by a job where many rows change; otherwise as `topics_combine`."""
    topics = _check(positive, negative, neutral)
    return background.act_start(
        name="combine",
        column=positive.column,
        user=user,
        topics=topics,
        n_rows=combine_preview(positive=positive, negative=negative, neutral=neutral).n_rows,
        values={
            "topics": [topic.pk for topic in topics],
            "category": category.pk if category else None,
            "expected": {str(pk): version for pk, version in (expected or {}).items()},
            "texts": {"label": label, **texts},
        },
    )


@background.act_by_job("combine")
def _combine(column: Column, values: dict[str, Any], user: Any) -> Change:
    found = Topic.objects.select_related("column__project").in_bulk(values["topics"])
    topics = [found[pk] for pk in values["topics"]]
    return topics_combine(
        positive=topics[0],
        negative=topics[1],
        neutral=topics[2] if len(topics) > 2 else None,
        user=user,
        category=Category.objects.filter(pk=values["category"], column=column).first(),
        expected=background.versions(values),
        **values["texts"],
    )


def _check(positive: Topic, negative: Topic, neutral: Topic | None) -> list[Topic]:
    topics = [positive, negative, *([neutral] if neutral is not None else [])]
    if len({topic.pk for topic in topics}) < len(topics):
        raise ApplicationError(_("Choose different topics for positive, negative and neutral."), code="same_topic")
    check_together(topics)
    _refuse_sentiment(topics)
    return topics


def _refuse_sentiment(topics: Sequence[Topic]) -> None:
    for topic in topics:
        if topic.sentiment_enabled:
            raise ApplicationError(
                _("%(topic)s has sentiment already. Merge the topics instead, or switch its sentiment off first.")
                % {"topic": topic.label},
                code="has_sentiment",
            )


def _gathering(
    target_id: int, positive: Topic, negative: Topic, neutral: Topic | None, topics: Sequence[Topic]
) -> Gathering:
    fixed = {positive.pk: 1, negative.pk: -1}
    if neutral is not None:
        fixed[neutral.pk] = 0
    return Gathering(
        target_id=target_id,
        source_ids=tuple(topic.pk for topic in topics),
        has_sentiment=True,
        fixed=fixed,
    )


@undoes(ChangeKind.TOPICS_COMBINE)
@background.undo_by_job(ChangeKind.TOPICS_COMBINE)
def _undo_combine(change: Change, user: Any) -> str | None:
    column = live_column(change)
    inverse = change.inverse
    topic = topic_of_act(column, inverse["topic"])
    refuse_other_sentiment(topic, True)
    hooks.rows_lock.send(column=column, topic_ids=[topic.pk], move_id=inverse["move"])
    topic.deleted_at = timezone.now()
    topic.save(update_fields=["deleted_at"])
    topics_restore(column, inverse["sources"])
    # Rows that people reviewed with the topic since: the version they chose says which of the topics it is.
    versions = dict(zip((1, -1, 0), inverse["sources"], strict=False))
    done: PutBack = hooks.rows_put_back.first(
        column=column,
        move_id=inverse["move"],
        back=inverse["sources"],
        into={(topic.pk, mood): (source, False) for mood, source in versions.items()},
    )
    if done.n_lost:
        raise ApplicationError(
            ngettext(
                "%(n)s row was reviewed as neutral with %(topic)s since, and there was no neutral topic before. "
                "Undo this review first.",
                "%(n)s rows were reviewed as neutral with %(topic)s since, and there was no neutral topic before. "
                "Undo these reviews first.",
                done.n_lost,
            )
            % {"n": grouped(done.n_lost), "topic": topic.label},
            status=409,
        )
    tell(column, user, for_ai=True)
    return put_back_text(done)
