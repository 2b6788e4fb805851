"""The locks of an act on topics, in the order in which reviews, bulk actions and AI updates take theirs.

They lock verbatims first; the database then shares the topics they name (foreign keys), and last comes the row of
the column. So: verbatims in the order of ids, then the topics. A row that gets one of the topics in between is
found by looking again; as it would be locked out of order, both locks are given back and taken anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection, transaction
from django.utils.translation import gettext as _

from projects.models import Column
from rows import sql
from rows.models import Assignment, TopicMove, Verbatim
from rows.moves.record import Record
from topicassign.errors import ApplicationError
from topics.models import Topic

TRIES = 5
LOCKED = ("pk", "is_reviewed", "revision", "person_revision", "sentiment")


def rows_lock(column: Column, topic_ids: Sequence[int], move_id: int | None = None) -> None:
    """Lock the rows with these topics, and those of a move, then the topics, to the end of the transaction."""
    if not connection.features.has_select_for_update:
        return  # SQLite: who writes is alone
    moved: set[int] = set()
    if move_id is not None:
        moved = set(Record.unpack(TopicMove.objects.get(pk=move_id).data).revisions)
    for _try in range(TRIES):
        before = transaction.savepoint()
        wanted = moved | rows_having(topic_ids)
        verbatims_lock(wanted)
        list(Topic.objects.select_for_update().filter(pk__in=topic_ids).order_by("pk").values_list("pk"))
        if rows_having(topic_ids) <= wanted:
            transaction.savepoint_commit(before)
            return
        transaction.savepoint_rollback(before)
    raise ApplicationError(
        _("These topics are being put on rows right now. Try again in a moment; nothing was changed."),
        status=409,
        code="busy",
    )


def rows_having(topic_ids: Sequence[int]) -> set[int]:
    having = Assignment.objects.filter(topic__in=topic_ids).order_by()
    return set(having.values_list("verbatim", flat=True))


def verbatims_lock(ids: Iterable[int]) -> dict[int, tuple[bool, int, int, int | None]]:
    """Lock verbatims in order; return what is of them: (is_reviewed, revision, person_revision, sentiment)."""
    found: dict[int, tuple[bool, int, int, int | None]] = {}
    for part in sql.chunks(sorted(ids)):
        locked = Verbatim.objects.select_for_update(of=("self",)).filter(pk__in=part).order_by("pk")
        for pk, *rest in locked.values_list(*LOCKED):
            found[pk] = tuple(rest)
    return found
