"""Which topics of two columns mean the same, and which columns a column learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from projects.models import Column, ProjectState
from topics.models import Topic, TopicPartner
from topics.selectors import topic_list, topics_followed
from topics.wording import wording

MAX_STEPS = 3  # of a chain; further ones would count less than a hundredth
ALIKE = 0.4  # share of the labels' triples of letters in common, for topics of one code


@dataclass(frozen=True)
class Teacher:
    """A column that another one learns from, at first (step 1) or second hand.

    `partners` has the topic of the learning column by the topic of this one.
    """

    column: Column
    step: int
    partners: Mapping[int, int]


def teachers(column: Column) -> list[Teacher]:
    """Return the columns that a column learns from, nearest first.

    The chain ends at a project that is deleted (until it is restored), and where no topic has a partner.
    """
    found: list[Teacher] = []
    seen = {column.pk}
    at, onwards = column, {pk: pk for pk in topic_list(column=column).values_list("pk", flat=True)}
    while len(found) < MAX_STEPS:
        source = teacher_of(at)
        if source is None or source.pk in seen:
            break
        partners = partners_of(at, source)
        onwards = {pk: onwards[own] for pk, own in partners.items() if own in onwards}
        if not onwards:
            break
        found.append(Teacher(source, len(found) + 1, onwards))
        seen.add(source.pk)
        at = source
    return found


def teacher_of(column: Column) -> Column | None:
    """Return the column that a column learns from, None where its project is deleted."""
    return (
        Column.objects.select_related("project")
        .filter(teaches=column.pk, project__deleted_at=None, project__state=ProjectState.READY)
        .first()
    )


def partners_of(column: Column, source: Column) -> dict[int, int]:
    """Return the topic of a column by that topic of the source that means the same.

    Partners that were stored come first, whatever they are called by now; then topics of one category and label,
    then those of one label that both have once, ignoring case; then those of one code whose labels are alike. (A
    code alone says nothing: every collection numbers its topics from 1.)
    """
    own, others = list(topic_list(column=column)), list(topic_list(column=source))
    matches = _stored(own, others, column, source)
    rest = [topic for topic in others if topic.pk not in matches]
    taken = set(matches.values())

    def match(own_of: Mapping[object, Topic], keys: Mapping[int, object]) -> None:
        for topic in rest:
            found = own_of.get(keys.get(topic.pk))
            if topic.pk not in matches and found is not None and found.pk not in taken:
                matches[topic.pk] = found.pk
                taken.add(found.pk)

    match({_name(topic): topic for topic in own}, {topic.pk: _name(topic) for topic in rest})
    match(_once(own), {topic.pk: label for label, topic in _once(others).items()})
    own_by_code: dict[object, Topic] = {topic.code_neutral: topic for topic in own}
    match(
        own_by_code,
        {
            topic.pk: topic.code_neutral
            for topic in rest
            if topic.code_neutral in own_by_code
            and wording(topic.label, own_by_code[topic.code_neutral].label) >= ALIKE
        },
    )
    return matches


def partners_store(column: Column, source: Column) -> None:
    """Keep which topics mean the same, so that they do when they are renamed."""
    TopicPartner.objects.bulk_create(
        (TopicPartner(topic_id=own, other_id=other) for other, own in partners_of(column, source).items()),
        ignore_conflicts=True,
    )


def _stored(own: Sequence[Topic], others: Sequence[Topic], column: Column, source: Column) -> dict[int, int]:
    """Return the stored partners that still exist; of merged topics those they were merged into."""
    stored = list(
        TopicPartner.objects.filter(topic__column=column, other__column=source)
        .order_by("pk")
        .values_list("topic", "other")
    )
    live_own, live_others = {topic.pk for topic in own}, {topic.pk for topic in others}
    gone = [
        pk for pair in stored for pk, live in zip(pair, (live_own, live_others), strict=True) if pk not in live
    ]
    at = {pk: topic.pk for pk, (topic, _mood) in topics_followed(gone).items()}
    pairs = [(at.get(topic, topic), at.get(other, other)) for topic, other in stored]
    return {other: topic for topic, other in pairs if topic in live_own and other in live_others}


def _name(topic: Topic) -> tuple[str, str]:
    return topic.category.label.casefold(), topic.label.casefold()


def _once(topics: Sequence[Topic]) -> dict[object, Topic]:
    """Return topics by their label, those whose label is there once."""
    labels = Counter(topic.label.casefold() for topic in topics)
    return {label: topic for topic in topics if labels[label := topic.label.casefold()] == 1}
