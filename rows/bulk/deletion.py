"""Deleting rows, bringing them back, and deleting for good what nobody brought back in time.

A deleted row keeps all it has. Only the duplicate groups of what is left change: their first row is the one
that the list shows, and their size is told beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from projects.history import column_touch
from projects.models import Column, ColumnType, Project
from projects.services.projects import restorable_since
from rows import sql
from rows.bulk.apply import Part
from rows.bulk.packing import data_pack, data_unpack, differences, sums
from rows.models import BulkPart, Row, Verbatim

FEW = 2_000  # fingerprints looked up one by one; more: the whole column at once
_PURGE_BATCH = 2_000


def text_columns(project: Project) -> list[Column]:
    return list(project.columns.filter(type=ColumnType.TEXT_TO_ANALYZE).order_by("pk"))


def delete_batch(*, column: Column, ids: Sequence[int], grouped: bool, at: datetime) -> Part | None:
    """Delete the rows of the selected verbatims `ids`; `grouped`: of the identical ones, too."""
    wanted = sql.with_copies(column, ids, "row_id", copies=grouped)
    rows: list[int] = []
    for part in sql.chunks(wanted):
        locked = Row.objects.select_for_update().filter(pk__in=part, deleted_at=None).order_by("pk")
        rows += locked.values_list("pk", flat=True)
    if not rows:
        return None
    for part in sql.chunks(rows):
        Row.objects.filter(pk__in=part).update(deleted_at=at)
    _regroup(column.project, rows, was_live=True)
    return Part(len(rows), min(ids), max(ids), data_pack({"rows": differences(rows)}))


def restore_part(*, part: BulkPart, at: datetime) -> tuple[list[int], int]:
    """Bring the rows of a part back that it deleted; return them and how many are gone or deleted anew."""
    rows = sums(data_unpack(part.data)["rows"])
    back: list[int] = []
    for some in sql.chunks(rows):
        locked = Row.objects.select_for_update().filter(pk__in=some, deleted_at=at).order_by("pk")
        back += locked.values_list("pk", flat=True)
    for some in sql.chunks(back):
        Row.objects.filter(pk__in=some).update(deleted_at=None)
    return back, len(rows) - len(back)


def regroup_restored(project: Project, rows: Sequence[int]) -> None:
    """Make the duplicate groups right again after a few rows came back."""
    _regroup(project, rows, was_live=False)


def regroup_all(project: Project) -> None:
    """Make all duplicate groups right again: one pass over each text column."""
    for column in text_columns(project):
        _groups_write(column, None)


def _regroup(project: Project, rows: Sequence[int], *, was_live: bool) -> None:
    for column in text_columns(project):
        found: set[bytes] = set()
        for part in sql.chunks(rows):
            own = Verbatim.objects.filter(column=column, row__in=part, is_empty=False).order_by()
            if was_live:  # who was alone leaves nobody behind
                own = own.filter(group_size__gt=1)
            found.update(bytes(one) for one in own.values_list("fingerprint", flat=True))
        several = sorted(found)
        for start in range(0, len(several), FEW):
            _groups_write(column, several[start : start + FEW], by_index=was_live)


def _groups_write(column: Column, fingerprints: list[bytes] | None, *, by_index: bool = False) -> None:
    """Store head and size of the duplicate groups among rows that are not deleted."""
    some = ""
    values: list[Any] = []
    if fingerprints is not None:
        some = f"AND v.fingerprint IN ({', '.join(['%s'] * len(fingerprints))})"
        values = list(fingerprints)
        if by_index:
            some += " AND v.group_size > 1"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE rows_verbatim
               SET is_group_head = (rows_verbatim.row_number = same.first_number), group_size = same.n
              FROM (SELECT v.fingerprint, MIN(v.row_number) AS first_number, COUNT(*) AS n
                      FROM rows_verbatim v JOIN rows_row r ON r.id = v.row_id
                     WHERE v.column_id = %s AND NOT v.is_empty AND r.deleted_at IS NULL {some}
                     GROUP BY v.fingerprint) AS same,
                   rows_row AS own
             WHERE rows_verbatim.column_id = %s
               AND NOT rows_verbatim.is_empty
               AND rows_verbatim.fingerprint = same.fingerprint
               AND own.id = rows_verbatim.row_id AND own.deleted_at IS NULL
               {"AND rows_verbatim.group_size > 1" if by_index else ""}
               AND (rows_verbatim.group_size <> same.n
                    OR rows_verbatim.is_group_head <> (rows_verbatim.row_number = same.first_number))
            """,  # noqa: S608  (only our own words and placeholders)
            [column.pk, *values, column.pk],
        )


def columns_note(project: Project) -> None:
    """Note for polls, counts and the AI that rows came or went: for every text column, in the order of ids."""
    for column in text_columns(project):
        column_touch(column)


def rows_purge(*, batch: int = _PURGE_BATCH) -> int:
    """Delete for good some rows that were deleted more than `RESTORE_DAYS` days ago. Returns how many.

    A little at a time: the watch over jobs must not wait for it, and nobody's review either.
    """
    # Unsorted: in the order of ids the planner would walk over all rows where hardly any is deleted.
    old = Row.objects.filter(deleted_at__lt=restorable_since()).order_by().values_list("pk", flat=True)
    ids = sorted(old[:batch])
    if not ids:
        return 0
    with transaction.atomic():
        gone = Row.objects.select_for_update().filter(pk__in=ids, deleted_at__lt=restorable_since())
        ids = list(gone.order_by("pk").values_list("pk", flat=True))
        verbatims = Verbatim.objects.filter(row__in=ids)
        sql.assignments_delete(
            [one[0] for one in sql.assignments_of(list(verbatims.values_list("pk", flat=True)))]
        )
        Row.objects.filter(pk__in=ids).delete()
    return len(ids)


def restorable(at: datetime) -> bool:
    """Say whether what was deleted then can still be brought back."""
    return at >= restorable_since() and at <= timezone.now()
