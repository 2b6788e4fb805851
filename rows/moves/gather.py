"""Giving the rows of some topics another topic instead: merge and combine.

The assignments of the sources are not deleted: their topics are, and undoing brings both back. So the record of
what changed holds the target's assignments only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projects.models import Column
from rows.models import AssignmentSource
from rows.moves import unreview
from rows.moves.locking import rows_having, verbatims_lock
from rows.moves.record import Entry, Record
from rows.moves.writing import Locked, entries_of, entries_write, in_parts, moods_now, verbatims_write
from rows.services.reviews import overall_sentiment
from topics.hooks import Gathering, Moved
from topics.models import Sentiment

# Who said it: a person beats a file, a file a keyword, a keyword the AI.
RANK = {
    AssignmentSource.PERSON.value: 3,
    AssignmentSource.IMPORT.value: 2,
    AssignmentSource.KEYWORD.value: 1,
    AssignmentSource.AI.value: 0,
}


def rows_gather(column: Column, gathering: Gathering) -> Moved:
    """Give the rows of the sources the target. Their rows are locked and the sources deleted by now."""
    record = Record(pairs={gathering.target_id: {}})
    ids = sorted(rows_having(gathering.source_ids))
    n_reviewed = 0

    def part(some: Sequence[int]) -> None:
        nonlocal n_reviewed
        locked = verbatims_lock(some)
        n_reviewed += sum(state[0] for state in locked.values())
        _gather(gathering, record, locked)

    in_parts(ids, part)
    return record.save(column, n_reviewed=n_reviewed)


def _gather(gathering: Gathering, record: Record, locked: Locked) -> None:
    ids = list(locked)
    entries, assignment_ids = entries_of(ids, gathering.topic_ids)
    target = gathering.target_id
    wanted: dict[tuple[int, int], Entry | None] = {}
    moody: list[int] = []
    unsaid: list[int] = []
    for pk in ids:
        own = entries[pk]
        entry = gathered_entry(own, gathering, is_reviewed=locked[pk][0])
        if gathering.has_sentiment and entry[0] is None and locked[pk][0]:
            unsaid.append(pk)
        if any(one[0] is not None for one in (entry, *own.values())):
            moody.append(pk)
        if own.get(target) != entry:
            wanted[pk, target] = entry
            record.pairs[target][pk] = own.get(target)
    unreview.note(record, unsaid, besides=gathering.source_ids)
    entries_write(wanted, assignment_ids)
    record.moody += moody
    moods = moods_now(locked, moody)
    back = set(unsaid)
    verbatims_write(record, locked, moods, [pk for pk in ids if pk not in back])
    verbatims_write(record, locked, moods, unsaid, review="unreviewed")


def gathered_entry(own: Mapping[int, Entry], gathering: Gathering, *, is_reviewed: bool) -> Entry:
    """Return what one row gets for its entries of the topics: who said most decides, the first place stays."""
    target = gathering.target_id
    best_first = sorted(own, key=lambda topic: (*_weight(own[topic]), topic != target, own[topic][3], topic))
    mood, source, probability, _place = own[best_first[0]]
    place = min(entry[3] for entry in own.values())
    if gathering.fixed is not None:
        mood = overall_sentiment([gathering.fixed[topic] for topic in own if topic in gathering.fixed])
    elif not gathering.has_sentiment:
        mood = None
    else:
        said = (own[topic][0] for topic in best_first if own[topic][0] is not None)
        mood = next(said, None)
        if mood is None and is_reviewed and gathering.unsaid == "neutral":
            mood = int(Sentiment.NEUTRAL)
    return (mood, source, probability, place)


def _weight(entry: Entry) -> tuple[int, float]:
    """Order entries: the most certain source first, then the highest probability (a person's has none)."""
    return -RANK[entry[1]], -(1.0 if entry[2] is None else entry[2])
