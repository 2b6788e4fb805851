"""What the tests of merging, combining, splitting and of acts on many topics share."""

from __future__ import annotations

from typing import Any

from projects.history import change_undo
from projects.models import Change, Column
from rows.models import Assignment, Verbatim
from rows.services.overall import overall_refresh
from rows.services.reviews import TopicChoice, verbatim_review
from topics.models import Topic

# topic label → sentiment, source, probability, position
Chip = tuple[Any, ...]


def topic(column: Column, label: str) -> Topic:
    return Topic.objects.select_related("category", "column__project").get(
        column=column, label=label, deleted_at=None
    )


def row(column: Column, number: int) -> Verbatim:
    return column.verbatims.get(row_number=number)


def chips(column: Column, number: int) -> dict[str, Chip]:
    """Return the live topics of a row, in order."""
    found = Assignment.objects.filter(
        verbatim__column=column, verbatim__row_number=number, topic__deleted_at=None
    ).order_by("position", "id")
    return {
        label: tuple(rest)
        for label, *rest in found.values_list("topic__label", "sentiment", "source", "probability", "position")
    }


def rows_state(column: Column) -> dict[int, Any]:
    """Return all that undoing must bring back of the rows: topics, review state, overall sentiment."""
    fields = ("row_number", "is_reviewed", "reviewed_by", "reviewed_at", "is_audit", "sentiment")
    return {
        number: (rest, chips(column, number))
        for number, *rest in column.verbatims.order_by("row_number").values_list(*fields)
    }


def topics_state(column: Column) -> list[dict[str, Any]]:
    """Return all that undoing must bring back of the topic collection."""
    internal = ("ai_version", "merged_into_id")
    fields = [field.attname for field in Topic._meta.fields if field.attname not in internal]
    return list(Topic.objects.filter(column=column, deleted_at=None).order_by("pk").values(*fields))


def put(column: Column, number: int, label: str, mood: int | None = None, **values: Any) -> Assignment:
    """Put a topic on a row as the AI does."""
    values.setdefault("source", "ai")
    values.setdefault("probability", 0.8)
    values.setdefault("position", Assignment.objects.filter(verbatim=row(column, number)).count())
    made = Assignment.objects.create(
        verbatim=row(column, number), topic=topic(column, label), sentiment=mood, **values
    )
    overall_refresh(column=column, topic_ids=[made.topic_id])
    return made


def review(column: Column, user: Any, number: int, *choices: str | tuple[str, int]) -> Verbatim:
    """Review a row with topics given as label or (label, sentiment)."""
    verbatim = row(column, number)
    pairs = [(choice, None) if isinstance(choice, str) else choice for choice in choices]
    verbatim_review(
        verbatim=verbatim,
        topics=[TopicChoice(topic(column, label).pk, mood) for label, mood in pairs],
        revision=verbatim.revision,
        user=user,
    )
    return row(column, number)


def undo(change: Change, user: Any) -> Change:
    return change_undo(change=Change.objects.get(pk=change.pk), user=user)
