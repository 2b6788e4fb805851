"""What all acts on topics share when they write rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from rows import sql
from rows.moves.record import Entry, Record
from rows.services.overall import overall_by_text, overall_by_topics

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


def moods_now(locked: Locked, moody: Sequence[int]) -> dict[int, int | None]:
    """Return the overall sentiment of verbatims whose topics' sentiments came or went.

    Without any topic with a sentiment it is that of the text: at once for reviewed ones, with the next AI update
    for the others.
    """
    moods: dict[int, int | None] = dict(overall_by_topics(moody))
    moods |= overall_by_text([pk for pk in moody if pk not in moods and locked[pk][0]])
    return {pk: moods.get(pk, locked[pk][3]) for pk in moody}


def verbatims_write(
    record: Record, locked: Locked, moods: Mapping[int, int | None], ids: Sequence[int], *, review: str = "keep"
) -> None:
    """Give verbatims their overall sentiment and the next revision: a review of the state before is a conflict.

    What they were is noted. `review` "unreviewed" takes the reviewed mark off, too.
    """
    revisions_note(record, locked, ids)
    rows = []
    for pk in ids:
        mood = moods.get(pk, locked[pk][3])
        if mood != locked[pk][3]:
            record.moods.setdefault(pk, locked[pk][3])
        rows.append((pk, mood))
    for start in range(0, len(rows), sql.CHUNK):
        sql.verbatims_update(rows[start : start + sql.CHUNK], review=review, user_id=None)


def revisions_note(record: Record, locked: Locked, ids: Iterable[int]) -> None:
    for pk in ids:
        record.revisions[pk] = (locked[pk][2], locked[pk][1] + 1)


def in_parts(ids: Sequence[int], act: Callable[[Sequence[int]], None], *, n: int = 20_000) -> None:
    """Do something to many rows, some thousands at a time: memory stays small."""
    for start in range(0, len(ids), n):
        act(ids[start : start + n])
