"""How often two topics stand on the same row, for the whole collection at once."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import F

from projects.models import Column
from rows.models import Verbatim, has_deleted_rows
from rows.selectors import cached_by_revision, topic_counts
from topics.hooks import Overlaps
from topics.selectors import topic_list

# Pairs of topics on rows that are counted at once: about two seconds. Beyond that every nth row is counted.
MAX_PAIRS = 2_000_000


def topic_overlaps(*, column: Column) -> Overlaps:
    """Return the rows of each live topic and of each two of them, kept until something in the column changes."""
    return cached_by_revision(column, "topic_overlaps", lambda: _count(column))


def _count(column: Column) -> Overlaps:
    topics = sorted(topic_list(column=column).values_list("pk", flat=True))
    verbatims = Verbatim.objects.live(column).filter(is_empty=False)
    n_rows = verbatims.count()
    if not topics or not n_rows:
        return Overlaps(n_rows=n_rows)
    # Rows have different numbers of topics; with the same number each there would be this many pairs, diagonal
    # included. That twice as many come is rare, and takes twice as long.
    n_assignments = sum(counts["all"] for counts in topic_counts(column=column).values())
    n_pairs = n_assignments * (n_assignments / n_rows + 1) / 2
    every = max(1, -int(-n_pairs // MAX_PAIRS))
    counts: dict[int, int] = {}
    together: dict[tuple[int, int], int] = {}
    live = set(topics)
    for a, b, n in _pairs(column, topics, every):
        if a == b:
            counts[a] = n
        elif b in live:
            together[a, b] = n
    if every > 1:
        n_rows = verbatims.annotate(place=F("pk") % every).filter(place=0).count()
    return Overlaps(n_rows=n_rows, every=every, counts=counts, together=together)


def _pairs(column: Column, topics: list[int], every: int) -> list[tuple[int, int, int]]:
    """Return (topic, same or higher topic, rows with both), by one statement; the second may be a deleted topic.

    Only the first topic is named: for a list of 800 for the second, SQLite would look 800 times into its index
    for each assignment.
    """
    is_postgres = connection.vendor == "postgresql"
    among = "= ANY(%s)" if is_postgres else f"IN ({', '.join(['%s'] * len(topics))})"
    values: list[Any] = [topics] if is_postgres else list(topics)
    where = ""
    if every > 1:
        where += " AND a.verbatim_id %% %s = 0"
        values.append(every)
    if has_deleted_rows(column.project_id):  # few, and found by an index of their own
        where += (
            " AND a.verbatim_id NOT IN (SELECT v.id FROM rows_row r JOIN rows_verbatim v ON v.row_id = r.id "
            "WHERE r.project_id = %s AND r.deleted_at IS NOT NULL AND v.column_id = %s)"
        )
        values += [column.project_id, column.pk]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.topic_id, b.topic_id, COUNT(*) FROM rows_assignment a "  # noqa: S608  (no value is in it)
            "JOIN rows_assignment b ON b.verbatim_id = a.verbatim_id AND b.topic_id >= a.topic_id "
            f"WHERE a.topic_id {among}{where} GROUP BY a.topic_id, b.topic_id",
            values,
        )
        return list(cursor.fetchall())
