"""Split: a topic turns out to be two. Examples say which rows belong to the new half; the AI finds the others.

    proposal = split_propose(topic=topic, examples_a=[…], examples_b=[…])   # writes nothing
    topic_split(topic=topic, label="…", examples_a=[…], examples_b=[…, *confirmed], user=user)

Reviewed rows move only where a person said so: as an example, or by confirming what the AI proposes for them.
Rows that nobody reviewed are divided by the AI, as are all their topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column, Job
from topicassign.errors import ApplicationError
from topics import hooks
from topics.hooks import Halves, Moved, PutBack
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
from topics.services.merging import refuse_other_sentiment, topic_of_act
from topics.services.topics import topic_add, topic_unwrite, topic_write


@dataclass(frozen=True)
class SplitProposal:
    """Which of the topic's other rows belong to the new half b, as the AI sees it.

    Attributes
    ----------
    reviewed : tuple of (verbatim id, probability of b)
        For confirmation, the likeliest for b first.
    unreviewed_b : tuple of verbatim ids
        Rows that `topic_split` would move by itself.
    n_unreviewed : int
        Rows that nobody reviewed, whichever half they belong to.
    n_missing : int
        Rows the AI has not read yet; they stay with the old half.
    """

    reviewed: tuple[tuple[int, float], ...]
    unreviewed_b: tuple[int, ...]
    n_unreviewed: int
    n_missing: int


def split_propose(*, topic: Topic, examples_a: Sequence[int], examples_b: Sequence[int]) -> SplitProposal:
    """Propose a half for every row of a topic that is no example. Without examples of one half: for none."""
    column = topic.column
    in_a, in_b = _examples(topic, examples_a, examples_b)
    rest = hooks.rows_with_topic.first(default={}, column=column, topic_id=topic.pk, verbatim_ids=None)
    rest = {pk: reviewed for pk, reviewed in rest.items() if pk not in in_a and pk not in in_b}
    found: Halves = hooks.halves.first(
        default=Halves(missing=tuple(rest)),
        column=column,
        verbatim_ids=list(rest),
        examples_a=sorted(in_a),
        examples_b=sorted(in_b),
    )
    reviewed = [(pk, p) for pk, p in found.probability.items() if rest[pk]]
    return SplitProposal(
        reviewed=tuple(sorted(reviewed, key=lambda one: (-one[1], one[0]))),
        unreviewed_b=tuple(sorted(pk for pk, p in found.probability.items() if not rest[pk] and p > 0.5)),
        n_unreviewed=sum(not is_reviewed for is_reviewed in rest.values()),
        n_missing=len(found.missing),
    )


@transaction.atomic
def topic_split(
    *,
    topic: Topic,
    label: str,
    examples_b: Sequence[int],
    user: Any,
    examples_a: Sequence[int] = (),
    label_a: str | None = None,
    description: str = "",
    propose: bool = True,
    expected: str | None = None,
) -> Change:
    """Make the half that the rows `examples_b` are examples of a topic of its own, right after the old one.

    Parameters
    ----------
    label, description
        Of the new topic. It has the category, and sentiment with its labels, of the old one, and own codes.
    examples_b, examples_a : verbatim ids
        Rows that get the new topic instead of the old one, with the rows that say the same, and rows that keep
        the old one. Without examples_a, the other reviewed rows are the AI's examples of the old half.
    label_a
        A new name for the old half.
    propose
        Let the AI divide the rows that nobody reviewed.

    Returns the change; the id of the new topic is the first of its `ids`.

    Raises
    ------
    ApplicationError
        If no row has the topic any more, a row is an example of both halves, a label cannot be, or the topic was
        deleted meanwhile (409).
    """
    column = lock_column(topic.column)
    topic = reload_topics(column, [topic], {topic.pk: expected} if expected is not None else None)[0]
    in_a, in_b = _examples(topic, examples_a, examples_b)
    if not in_b:
        raise ApplicationError(
            _("Choose at least one row with %(topic)s for the new topic.") % {"topic": topic.label},
            code="nothing_chosen",
        )
    proposed = _proposed(topic, in_a, in_b) if propose else {}
    hooks.rows_lock.send(column=column, topic_ids=[topic.pk])
    written = None
    if label_a is not None and label_a != topic.label:
        written = topic_write(column, topic, {"label": label_a})
    labels = {name: getattr(topic, name) for name in SENTIMENT_LABEL_FIELDS}
    new = topic_add(
        column=column,
        label=label,
        category=topic.category,
        sentiment_enabled=topic.sentiment_enabled,
        description=description,
        **labels,
    )
    later = Topic.objects.filter(category=topic.category_id, deleted_at=None, position__gt=topic.position)
    later.exclude(pk=new.pk).update(position=F("position") + 1)
    new.position = topic.position + 1
    new.save(update_fields=["position"])
    topic.ai_version += 1
    topic.save(update_fields=["ai_version"])
    moved: Moved = hooks.rows_divide.first(
        column=column, topic_id=topic.pk, new_id=new.pk, verbatim_ids=sorted(in_b), proposed=proposed
    )
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPIC_SPLIT,
        user=user,
        summary=_("Topic split: %(topic)s → %(half_a)s and %(half_b)s, %(rows)s moved")
        % {
            "topic": written["before"]["label"] if written else topic.label,
            "half_a": topic.label,
            "half_b": new.label,
            "rows": rows_text(moved.n_rows),
        },
        inverse={
            "topic": topic.pk,
            "new": new.pk,
            "sentiment": topic.sentiment_enabled,
            "written": written,
            "move": moved.move_id,
            "n_rows": moved.n_rows,
        },
        ids=[new.pk, topic.pk],
    )
    tell(column, user, for_ai=True)
    return change


def split_start(
    *,
    topic: Topic,
    label: str,
    examples_b: Sequence[int],
    user: Any,
    examples_a: Sequence[int] = (),
    **values: Any,
) -> Change | Job:
    """Split at once, or by a job where the topic has many rows; otherwise as `topic_split`."""
    return background.act_start(
        name="split",
        column=topic.column,
        user=user,
        topics=[topic],
        n_rows=topic.assignments.count(),
        values={
            "topic": topic.pk,
            "label": label,
            "examples_a": list(examples_a),
            "examples_b": list(examples_b),
            **values,
        },
    )


@background.act_by_job("split")
def _split(column: Column, values: dict[str, Any], user: Any) -> Change:
    topic = Topic.objects.select_related("column__project").get(pk=values["topic"])
    return topic_split(**{**values, "topic": topic}, user=user)


def _examples(topic: Topic, examples_a: Sequence[int], examples_b: Sequence[int]) -> tuple[set[int], set[int]]:
    """Return the examples of both halves that have the topic, with the rows that say the same."""
    found = [
        set(
            hooks.rows_with_topic.first(
                default={}, column=topic.column, topic_id=topic.pk, verbatim_ids=list(examples)
            )
        )
        for examples in (examples_a, examples_b)
    ]
    if found[0] & found[1]:
        raise ApplicationError(
            _("A row cannot be an example of both halves. Take it out of one of them."), code="both_halves"
        )
    return found[0], found[1]


def _proposed(topic: Topic, in_a: set[int], in_b: set[int]) -> dict[int, float]:
    """Return the rows that the AI gives the new half, of those that nobody reviewed."""
    rows: dict[int, bool] = hooks.rows_with_topic.first(
        default={}, column=topic.column, topic_id=topic.pk, verbatim_ids=None
    )
    open_ids = [pk for pk, is_reviewed in rows.items() if not is_reviewed and pk not in in_a and pk not in in_b]
    examples_a = in_a or {pk for pk, is_reviewed in rows.items() if is_reviewed and pk not in in_b}
    found: Halves = hooks.halves.first(
        default=Halves(),
        column=topic.column,
        verbatim_ids=open_ids,
        examples_a=sorted(examples_a),
        examples_b=sorted(in_b),
    )
    return {pk: p for pk, p in found.probability.items() if p > 0.5}


@undoes(ChangeKind.TOPIC_SPLIT)
@background.undo_by_job(ChangeKind.TOPIC_SPLIT)
def _undo_split(change: Change, user: Any) -> str | None:
    column = live_column(change)
    inverse = change.inverse
    topic = topic_of_act(column, inverse["topic"])
    new = topic_of_act(column, inverse["new"])
    refuse_other_sentiment(topic, inverse["sentiment"])
    refuse_other_sentiment(new, inverse["sentiment"])
    hooks.rows_lock.send(column=column, topic_ids=[new.pk], move_id=inverse["move"])
    new.deleted_at = timezone.now()
    new.merged_into = topic
    new.save(update_fields=["deleted_at", "merged_into"])
    if inverse["written"]:
        topic_unwrite(column, inverse["written"])
    has_sentiment = inverse["sentiment"]
    done: PutBack = hooks.rows_put_back.first(
        column=column,
        move_id=inverse["move"],
        back=[],
        into={(new.pk, mood): (topic.pk, has_sentiment) for mood in (None, 0, 1, -1)},
    )
    tell(column, user, for_ai=True)
    return put_back_text(done)
