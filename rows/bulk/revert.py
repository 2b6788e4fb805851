"""Taking one part of a bulk action back. What a person changed since stays as it is and is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from projects.models import Column
from rows import sql
from rows.bulk.packing import data_unpack, sums
from rows.models import BulkPart, Verbatim
from rows.services.reviews import entries_followed
from topics.models import Topic
from topics.selectors import topics_followed


@dataclass
class Reverted:
    n_restored: int = 0
    n_left_alone: int = 0


def revert_part(*, column: Column, part: BulkPart) -> Reverted:
    """Put back what a part changed. Call it inside a transaction, with the part locked."""
    data = data_unpack(part.data)
    ids = sums(data["ids"])
    stars = sums(data["stars"])
    revision_now: dict[int, int] = {}
    star_now: dict[int, bool] = {}
    for some in sql.chunks(sorted({*ids, *stars})):
        locked = Verbatim.objects.select_for_update().filter(pk__in=some).order_by("pk")
        for pk, person_revision, is_highlighted in locked.values_list("pk", "person_revision", "is_highlighted"):
            revision_now[pk], star_now[pk] = person_revision, is_highlighted
    kept = [index for index, pk in enumerate(ids) if revision_now.get(pk) == data["revisions"][index]]
    _restore_topics(column, data, ids, kept)
    sql.verbatims_restore([(ids[index], *data["states"][data["state_of"][index]]) for index in kept])
    same_star = [pk for pk in stars if star_now.get(pk) == data["star"]]
    for some in sql.chunks(same_star):
        Verbatim.objects.filter(pk__in=some).update(is_highlighted=not data["star"])
    restored = {ids[index] for index in kept} | set(same_star)
    return Reverted(len(restored), len(set(ids).union(stars) - restored))


def _restore_topics(column: Column, data: dict[str, Any], ids: list[int], kept: list[int]) -> None:
    added = {ids[index]: set(data["added"][data["added_of"][index]]) for index in kept}
    stored = {entry[0] for index in kept for entry in data["before"][index]}
    sql.topics_hold(stored)
    live = set(Topic.objects.filter(column=column, deleted_at=None).values_list("pk", flat=True))
    followed = topics_followed(stored - live)
    before = {
        ids[index]: {entry[0]: entry[1:] for entry in entries_followed(data["before"][index], followed)}
        for index in kept
    }
    concerned = sorted(pk for pk in added if added[pk] or before[pk])
    topics = {topic for pk in concerned for topic in (*added[pk], *before[pk])}
    topics &= set(Topic.objects.filter(column=column, pk__in=topics).values_list("pk", flat=True))
    gone, changed = [], []
    for pk, verbatim, topic, _mood, source, _probability, _place in sql.assignments_of(concerned, list(topics)):
        if topic in before[verbatim]:
            changed.append((pk, *before[verbatim].pop(topic)))
        elif topic in added[verbatim] and source == sql.PERSON:  # the AI's own guess since then stays
            gone.append(pk)
    sql.assignments_delete(gone)
    sql.assignments_update(changed)
    sql.assignments_insert(
        [(pk, topic, *values) for pk in concerned for topic, values in before[pk].items() if topic in topics]
    )
