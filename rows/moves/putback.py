"""Taking back what an act on topics did to rows. Rows that a person decided about since stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projects.models import Column
from rows import sql
from rows.models import TopicMove
from rows.moves.locking import rows_having, verbatims_lock
from rows.moves.record import Entry, Record, decided_since
from rows.moves.writing import (
    Locked,
    entries_of,
    entries_write,
    in_parts,
    moods_now,
    revisions_note,
    verbatims_write,
)
from rows.services.overall import overall_by_topics
from topics.hooks import PutBack
from topics.models import Topic

Into = Mapping[tuple[int, int | None], tuple[int, bool]]


def rows_put_back(column: Column, move_id: int, back: Sequence[int], into: Into | None = None) -> PutBack:
    """Undo a move. The rows are locked; topics that come back are live again, those that go deleted."""
    move = TopicMove.objects.get(pk=move_id)
    record = Record.unpack(move.data)
    locked = verbatims_lock(record.ids)
    decided = decided_since(move, record, {pk: state[2] for pk, state in locked.items()})
    kept = sorted(locked.keys() - decided)
    undo = Record()
    in_parts(kept, lambda some: _put_back(column, record, undo, locked, some, back))
    # A review took what was hidden off its row; a bulk action did not, and yet decided without it.
    _take_off(sorted(decided), back)
    n_converted, n_lost = _convert(undo, into or {}, besides=set(kept))
    undo.save(column)
    return PutBack(len(kept), len(decided), n_converted, n_lost)


def _put_back(
    column: Column, record: Record, undo: Record, locked: Locked, ids: Sequence[int], back: Sequence[int]
) -> None:
    whole = [pk for pk in ids if pk in record.whole]
    wanted: dict[tuple[int, int], Entry | None] = {}
    there: dict[tuple[int, int], int] = {}
    if whole:
        topics = _topics_written(column, record, whole, back)
        _entries, there = entries_of(whole, sorted(topics))
        wanted = dict.fromkeys(there)
        for pk in whole:
            for topic, *entry in record.whole[pk]:
                if topic in topics:
                    wanted[pk, topic] = tuple(entry)
    rest = sorted(set(ids) - set(whole))
    known = set(Topic.objects.filter(pk__in=list(record.pairs)).values_list("pk", flat=True))
    for topic in known:
        mine = [pk for pk in rest if pk in record.pairs[topic]]
        there |= entries_of(mine, [topic])[1]
        for pk in mine:
            wanted[pk, topic] = record.pairs[topic][pk]
    entries_write(wanted, there)
    moods = _moods_before(record, locked, ids)
    verbatims_write(undo, locked, moods, [pk for pk in ids if pk not in record.states])
    reviewed = [(pk, *record.states[pk], moods.get(pk, locked[pk][3])) for pk in ids if pk in record.states]
    revisions_note(undo, locked, [one[0] for one in reviewed])
    for start in range(0, len(reviewed), sql.CHUNK):
        sql.verbatims_restore(reviewed[start : start + sql.CHUNK])


def _topics_written(column: Column, record: Record, whole: Sequence[int], back: Sequence[int]) -> set[int]:
    """Return the topics to make as they were on rows that the AI could write: all of that time and of today."""
    named = {entry[0] for pk in whole for entry in record.whole[pk]}
    live = Topic.objects.filter(column=column, deleted_at=None).values_list("pk", flat=True)
    existing = Topic.objects.filter(column=column, pk__in=named | set(record.pairs)).values_list("pk", flat=True)
    return (set(live) | set(existing)) - set(back)


def _moods_before(record: Record, locked: Locked, ids: Sequence[int]) -> dict[int, int | None]:
    """Topics decide the overall sentiment where some have one; elsewhere it is again what it was."""
    moody = set(record.moody) | set(record.moods)
    changed = [pk for pk in ids if pk in moody]
    said = overall_by_topics(changed)
    return {pk: said.get(pk, record.moods.get(pk, locked[pk][3])) for pk in changed}


def _take_off(ids: Sequence[int], topic_ids: Sequence[int]) -> None:
    if topic_ids:
        sql.assignments_delete([one[0] for one in sql.assignments_of(ids, list(topic_ids))])


def _convert(undo: Record, into: Into, *, besides: set[int]) -> tuple[int, int]:
    """Give rows that got a topic since which goes now the one it came from; decisions stay."""
    goes = sorted({topic for topic, _mood in into})
    ids = sorted(rows_having(goes) - besides) if goes else []
    others = sorted({topic for topic, _has in into.values()})
    n_converted = n_lost = 0

    def part(some: Sequence[int]) -> None:
        nonlocal n_converted, n_lost
        locked = verbatims_lock(some)
        entries, there = entries_of(some, [*goes, *others])
        wanted: dict[tuple[int, int], Entry | None] = {}
        for pk, own in entries.items():
            for topic in goes:
                if topic not in own:
                    continue
                mood, source, probability, place = own[topic]
                found = into.get((topic, mood))
                if found is None:
                    n_lost += locked[pk][0]
                elif found[0] not in own:
                    wanted[pk, found[0]] = (mood if found[1] else None, source, probability, place)
        entries_write(wanted, there)
        changed = sorted({pk for pk, _topic in wanted})
        n_converted += sum(locked[pk][0] for pk in changed)
        verbatims_write(undo, locked, moods_now(locked, list(locked)), list(locked))

    in_parts(ids, part)
    return n_converted, n_lost
