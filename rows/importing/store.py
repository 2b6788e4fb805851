"""Writing rows and verbatims: COPY on PostgreSQL, bulk inserts elsewhere, and what one SQL statement does best."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from projects.models import Column, Project
from rows.models import Assignment, Row, Verbatim
from rows.text import digest, fingerprint

_COPY_BYTES = 1024 * 1024  # sent at a time; the driver's own 8 kB cost more calls than work
_to_json = json.JSONEncoder(ensure_ascii=False).encode

# A row to store: its number, the values of its other columns, its texts in the order of the text columns.
NewRow = tuple[int, dict[str, Any], Sequence[str | None]]


@dataclass
class Chunk:
    """Rows ready to be stored; `row_lines` and `verbatim_lines` are what COPY takes, but for the ids."""

    rows: Sequence[NewRow]
    row_lines: list[str] = field(default_factory=list)
    verbatim_lines: list[list[str]] = field(default_factory=list)


def chunk_prepare(
    *, project: Project, columns: Sequence[Column], rows: Sequence[NewRow], at: datetime, for_copy: bool
) -> Chunk:
    """Do all that needs no database: it may run in a thread while the chunk before is being stored."""
    chunk = Chunk(rows)
    if not for_copy:
        return chunk
    moment = at.isoformat()
    row_end = f"\t{moment}\t{moment}\n"
    column_ids = [column.pk for column in columns]
    for number, values, texts in rows:
        chunk.row_lines.append(f"\t{project.pk}\t{number}\t{copy_escaped(_to_json(values))}{row_end}")
        lines = []
        for column_id, text in zip(column_ids, texts, strict=True):
            plain = text or ""
            lines.append(
                f"\t{column_id}\t{number}\t{copy_escaped(plain)}\t\\\\x{fingerprint(plain).hex()}\t"
                f"\\\\x{digest(plain).hex()}\t{'t' if text is None else 'f'}{_VERBATIM_END}"
            )
        chunk.verbatim_lines.append(lines)
    return chunk


def uses_copy() -> bool:
    return connection.vendor == "postgresql"


def rows_store(*, project: Project, columns: Sequence[Column], chunk: Chunk, at: datetime) -> None:
    """Store a chunk of rows and their verbatims. Call it inside a transaction.

    An empty cell (None) becomes an empty verbatim. Duplicate groups are made at the end, by
    `groups_make`: every verbatim starts as the head of its own.
    """
    if uses_copy():
        _copy(chunk)
    else:
        _insert(project, columns, chunk.rows, at)


def constraints_check() -> None:
    """Check now what the database would check at commit: foreign keys are a third of an import's time."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


# What a new verbatim starts with; the columns a text-only COPY cannot leave to Django's defaults.
_CONSTANTS: tuple[tuple[str, str], ...] = (
    ("language", ""),
    ("is_group_head", "t"),
    ("group_size", "1"),
    ("is_reviewed", "f"),
    ("is_audit", "f"),
    ("is_highlighted", "f"),
    ("certainty", "0"),
    ("revision", "0"),
    ("person_revision", "0"),
)
_VERBATIM_COLUMNS = "row_id, column_id, row_number, text, fingerprint, digest, is_empty, " + ", ".join(
    name for name, _ in _CONSTANTS
)
_SQLITE_WORDS = {"t": "1", "f": "0"}
_VERBATIM_END = "\t" + "\t".join(value for _, value in _CONSTANTS) + "\n"


def _insert(project: Project, columns: Sequence[Column], rows: Sequence[NewRow], at: datetime) -> None:
    """Insert with the driver's executemany: a fifth of the time that model objects take."""
    moment = connection.ops.adapt_datetimefield_value(at)
    column_ids = [column.pk for column in columns]
    with connection.cursor() as cursor:
        # The transaction holds SQLite's only write lock (BEGIN IMMEDIATE): nobody takes ids meanwhile.
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows_row'")
        found = cursor.fetchone()
        first = (found[0] if found else 0) + 1
        cursor.executemany(
            'INSERT INTO rows_row (id, project_id, number, "values", created_at, modified_at) '
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (pk, project.pk, number, _to_json(values), moment, moment)
                for pk, (number, values, _) in enumerate(rows, first)
            ],
        )
        constants = ", ".join(_SQLITE_WORDS.get(value, value) or "''" for _, value in _CONSTANTS)
        cursor.executemany(
            f"INSERT INTO rows_verbatim ({_VERBATIM_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, {constants})",  # noqa: S608
            [
                (pk, column_id, number, text or "", fingerprint(text or ""), digest(text or ""), text is None)
                for pk, (number, _, texts) in enumerate(rows, first)
                for column_id, text in zip(column_ids, texts, strict=True)
            ],
        )


def _copy(chunk: Chunk) -> None:
    with connection.cursor() as cursor:
        # A crash of the server may lose the last chunks, but together with the note of how far we were.
        cursor.execute("SET LOCAL synchronous_commit = off")
        ids = _reserve(cursor, len(chunk.rows))
        rows = (f"{pk}{line}" for pk, line in zip(ids, chunk.row_lines, strict=True))
        cursor.copy_expert(
            'COPY rows_row (id, project_id, number, "values", created_at, modified_at) FROM STDIN',
            io.BytesIO("".join(rows).encode()),
            _COPY_BYTES,
        )
        verbatims = (f"{pk}{line}" for pk, lines in zip(ids, chunk.verbatim_lines, strict=True) for line in lines)
        cursor.copy_expert(
            f"COPY rows_verbatim ({_VERBATIM_COLUMNS}) FROM STDIN",
            io.BytesIO("".join(verbatims).encode()),
            _COPY_BYTES,
        )


def _reserve(cursor: Any, n_ids: int) -> Sequence[int]:
    """Take row ids from the sequence, so that rows and verbatims go in one COPY each."""
    cursor.execute("SELECT pg_get_serial_sequence('rows_row', 'id')")
    sequence = cursor.fetchone()[0]
    numbers = "SELECT nextval(%s::regclass) AS id FROM generate_series(1, %s)"
    cursor.execute(f"SELECT MIN(id), MAX(id) FROM ({numbers}) AS taken", [sequence, n_ids])  # noqa: S608
    first, last = cursor.fetchone()
    if last - first + 1 == n_ids:
        return range(first, last + 1)
    # Somebody else took ids meanwhile: ask which are ours, and leave the gap.
    cursor.execute(numbers, [sequence, n_ids])
    return [found[0] for found in cursor.fetchall()]


def copy_escaped(text: str) -> str:
    """Return the text as COPY's text format wants it."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\n" in text or "\t" in text or "\r" in text:
        text = text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return text


def groups_make(*, column: Column) -> int:
    """Mark the duplicate groups of a column: the first verbatim is the head, `group_size` counts them.

    One statement over the whole column; verbatims that are alone keep what they were stored with.
    Returns the number of verbatims in groups of two and more.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Thousands of rows came since the planner last counted: a nested loop would be quadratic.
            cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(
            """
            UPDATE rows_verbatim
               SET is_group_head = (rows_verbatim.row_number = same.first_number), group_size = same.n
              FROM (SELECT fingerprint, MIN(row_number) AS first_number, COUNT(*) AS n
                      FROM rows_verbatim
                     WHERE column_id = %s AND NOT is_empty
                     GROUP BY fingerprint
                    HAVING COUNT(*) > 1) AS same
             WHERE rows_verbatim.column_id = %s
               AND NOT rows_verbatim.is_empty
               AND rows_verbatim.fingerprint = same.fingerprint
            """,
            [column.pk, column.pk],
        )
        return cursor.rowcount


def statistics_refresh() -> None:
    """Let PostgreSQL plan with the rows that just came; its own visit may be a minute away."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL default_statistics_target = 40")  # rough is enough until then
            # deleted_at: without its statistics the planner takes all rows for deleted ones, and every page that
            # asks for one reads the table to the end.
            cursor.execute("ANALYZE rows_row (project_id, number, deleted_at)")
            cursor.execute(
                "ANALYZE rows_verbatim (column_id, row_number, is_group_head, is_reviewed, fingerprint, is_empty)"
            )


def project_erase(*, project_id: int) -> None:
    """Delete a project with everything in it, set by set: a cascade would load a million rows first."""
    columns = list(Column.objects.filter(project=project_id).values_list("pk", flat=True))
    for column in columns:
        verbatims = Verbatim.objects.filter(column=column)
        if Assignment.objects.filter(topic__column=column).exists():
            Assignment.objects.filter(verbatim__in=verbatims.values("pk"))._raw_delete(using=connection.alias)
        verbatims._raw_delete(using=connection.alias)
    Row.objects.filter(project=project_id)._raw_delete(using=connection.alias)
    Project.objects.filter(pk=project_id).delete()
