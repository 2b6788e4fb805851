"""Rows that go back to unreviewed because the AI shall propose something about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from projects.models import Column
from rows import sql
from rows.models import Assignment, Verbatim
from rows.moves.locking import verbatims_lock
from rows.moves.record import Record
from rows.moves.writing import in_parts, verbatims_write
from topics.hooks import Moved
from topics.models import Topic


def rows_unreview(column: Column, topic_id: int) -> Moved:
    """Take the reviewed mark off all rows with a topic; the record has all they had."""
    having = Assignment.objects.filter(topic=topic_id, verbatim__is_reviewed=True).order_by()
    ids = sorted(having.values_list("verbatim", flat=True))
    record = Record()

    def part(some: Sequence[int]) -> None:
        locked = verbatims_lock(some)
        note(record, list(locked))
        verbatims_write(record, locked, {}, list(locked), review="unreviewed")

    in_parts(ids, part)
    return record.save(column, n_reviewed=len(ids))


def note(record: Record, ids: Sequence[int], *, besides: Iterable[int] = ()) -> None:
    """Note the review and all topics of verbatims, before the mark goes: the AI may write any of them then.

    `besides` are topics that were deleted by the act itself, whose assignments stay.
    """
    for part in sql.chunks(ids):
        states = Verbatim.objects.filter(pk__in=part).order_by()
        for pk, reviewed, by, at, audit, mood in states.values_list(
            "pk", "is_reviewed", "reviewed_by", "reviewed_at", "is_audit", "sentiment"
        ):
            record.states[pk] = [reviewed, by, at.isoformat() if at else None, audit]
            record.whole[pk] = []
            record.moods[pk] = mood
    if not ids:
        return
    column = Verbatim.objects.only("column_id").get(pk=ids[0]).column_id
    live = Topic.objects.filter(column=column, deleted_at=None).exclude(pk__in=list(besides))
    for _pk, verbatim, *entry in sql.assignments_of(ids, list(live.values_list("pk", flat=True))):
        record.whole[verbatim].append(entry)
