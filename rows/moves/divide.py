"""Giving some rows of a topic the new half of it: split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projects.models import Column
from rows import sql
from rows.models import Assignment, AssignmentSource, Verbatim
from rows.moves.locking import verbatims_lock
from rows.moves.record import Entry, Record
from rows.moves.writing import entries_of, entries_write, in_parts, verbatims_write
from topics.hooks import Moved, TopicRow


def rows_with_topic(column: Column, topic_id: int, verbatim_ids: Sequence[int] | None = None) -> dict[int, bool]:
    """Return the rows with a topic that are not deleted, and whether they are reviewed."""
    having = Assignment.objects.filter(topic=topic_id, verbatim__row__deleted_at=None).order_by()
    fields = having.values_list("verbatim", "verbatim__is_reviewed")
    if verbatim_ids is None:
        return dict(fields)
    found: dict[int, bool] = {}
    for part in sql.chunks(sql.with_copies(column, list(verbatim_ids), "pk")):
        found.update(fields.filter(verbatim__in=part))
    return found


def topic_rows(
    column: Column, topic_id: int, search: str = "", verbatim_ids: Sequence[int] | None = None, most: int = 30
) -> list[TopicRow]:
    """Return rows with a topic, one of those that say the same, reviewed ones first; see topics/hooks.py."""
    having = Verbatim.objects.filter(
        column=column, row__deleted_at=None, assignments__topic=topic_id, is_empty=False
    )
    if verbatim_ids is not None:
        having = having.filter(pk__in=list(verbatim_ids)[:most])
    for word in search.split()[:8]:
        having = having.filter(text__icontains=word)
    rows: dict[bytes, TopicRow] = {}
    fields = ("pk", "row_number", "text", "is_reviewed", "group_size", "fingerprint")
    found = having.order_by("-is_reviewed", "row_number", "pk").values_list(*fields)
    for pk, number, text, is_reviewed, size, fingerprint in found.iterator(chunk_size=500):
        rows.setdefault(bytes(fingerprint), TopicRow(pk, number, text, is_reviewed, size - 1))
        if len(rows) >= most:
            break
    if verbatim_ids is None:
        return list(rows.values())
    order = {pk: place for place, pk in enumerate(verbatim_ids)}
    return sorted(rows.values(), key=lambda row: order[row.pk])


def rows_divide(
    column: Column, topic_id: int, new_id: int, verbatim_ids: Sequence[int], proposed: Mapping[int, float]
) -> Moved:
    """Give rows the new topic instead of the old one; what is known about it stays as it is on each row."""
    record = Record(pairs={topic_id: {}, new_id: {}})
    given = set(verbatim_ids)
    ids = sorted(given | set(proposed))
    n_reviewed = 0

    def part(some: Sequence[int]) -> None:
        nonlocal n_reviewed
        locked = verbatims_lock(some)
        entries, assignment_ids = entries_of(list(locked), [topic_id])
        wanted: dict[tuple[int, int], Entry | None] = {}
        moved = []
        for pk, own in entries.items():
            is_reviewed = locked[pk][0]
            if pk not in given and is_reviewed:
                continue  # somebody was faster: it is theirs to say
            mood, source, probability, place = own[topic_id]
            if pk not in given:
                source = AssignmentSource.AI.value
            wanted[pk, topic_id], wanted[pk, new_id] = None, (mood, source, probability, place)
            record.pairs[topic_id][pk], record.pairs[new_id][pk] = own[topic_id], None
            moved.append(pk)
            n_reviewed += is_reviewed
        entries_write(wanted, assignment_ids)
        verbatims_write(record, locked, {}, moved)  # the same sentiments, under two names

    in_parts(ids, part)
    return record.save(column, n_reviewed=n_reviewed)
