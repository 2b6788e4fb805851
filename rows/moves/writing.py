"""What all acts on topics share when they write rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from django.db.models import F

from rows import sql
from rows.models import Verbatim
from rows.moves.record import Entry, Record
from rows.services.overall import overall_refresh_rows

Locked = Mapping[int, tuple[bool, int, int, int | None]]


def entries_of(
    verbatim_ids: Sequence[int], topic_ids: Sequence[int]
) -> tuple[dict[int, dict[int, Entry]], dict[tuple[int, int], int]]:
    """Return the entries of verbatims by topic, and the ids of the assignments by (verbatim, topic)."""
    entries: dict[int, dict[int, Entry]] = {}
    ids: dict[tuple[int, int], int] = {}
    for pk, verbatim, topic, mood, source, probability, place in sql.assignments_of(verbatim_ids, topic_ids):
        entries.setdefault(verbatim, {})[topic] = (mood, source, probability, place)
        ids[verbatim, topic] = pk
    return entries, ids


def entries_write(wanted: Mapping[tuple[int, int], Entry | None], ids: Mapping[tuple[int, int], int]) -> None:
    """Make pairs of (verbatim, topic) what is wanted, None: gone. `ids` are the assignments that are there."""
    sql.assignments_delete([ids[pair] for pair, entry in wanted.items() if entry is None and pair in ids])
    changed = [(ids[pair], *entry) for pair, entry in wanted.items() if entry is not None and pair in ids]
    new = [(*pair, *entry) for pair, entry in wanted.items() if entry is not None and pair not in ids]
    for start in range(0, len(changed), sql.CHUNK):
        sql.assignments_update(changed[start : start + sql.CHUNK])
    for start in range(0, len(new), sql.CHUNK):
        sql.assignments_insert(new[start : start + sql.CHUNK])


def revisions_raise(record: Record, locked: Locked, ids: Iterable[int]) -> None:
    """Give verbatims their next revision, so that a review based on the state before is a conflict."""
    several = sorted(ids)
    for pk in several:
        record.revisions[pk] = (locked[pk][2], locked[pk][1] + 1)
    for part in sql.chunks(several):
        Verbatim.objects.filter(pk__in=part).order_by().update(
            revision=F("revision") + 1, person_revision=F("revision") + 1
        )


def moods_refresh(record: Record, locked: Locked, ids: Sequence[int]) -> None:
    """Compute the overall sentiment of verbatims again, and note what it was where it changed."""
    record.moody += ids
    overall_refresh_rows(ids)
    for pk, mood in moods_of(ids).items():
        if mood != locked[pk][3]:
            record.moods[pk] = locked[pk][3]


def moods_of(ids: Sequence[int]) -> dict[int, int | None]:
    return {
        pk: mood
        for part in sql.chunks(ids)
        for pk, mood in Verbatim.objects.filter(pk__in=part).order_by().values_list("pk", "sentiment")
    }


def in_parts(ids: Sequence[int], act: Callable[[Sequence[int]], None], *, n: int = 20_000) -> None:
    """Do something to many rows, some thousands at a time: memory stays small."""
    for start in range(0, len(ids), n):
        act(ids[start : start + n])
