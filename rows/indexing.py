"""The index of a large table: cells as numbers and words, and on PostgreSQL texts by their trigrams.

Filters and orders work without it, by reading every row. It is made in the background, because an import
must not wait for it, and read only once it is complete (`IndexedColumn`). Cells do not change after the
import; whoever adds rows or changes cells calls `index_forget` in the same transaction.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction

from projects.jobs import JobRun, job_enqueue
from projects.models import ACTIVE_STATES, Column, ColumnType, Job, JobKind, Project, ProjectState
from rows.importing.store import copy_escaped
from rows.models import Cell, IndexedColumn, Row, SearchText, TextBlock, Verbatim
from rows.text import text_pairs

log = structlog.get_logger(__name__)
CHUNK_ROWS = 5_000  # whole blocks of texts
MAX_COLUMNS = 40  # other columns; those after it are filtered row by row
GIN_INDEXES = ("search_text_trigrams", "cell_text_trigrams", "text_block_pairs")
_NULL = "\\N"  # as COPY's text format writes it

# Row number, number, word, whole text.
NewCell = tuple[int, float | None, str | None, str | None]


def index_start(*, project: Project, user: Any = None) -> Job | None:
    """Queue the index of a project that is large enough to need one, unless it is on its way."""
    if not is_large(project):
        return None
    if Job.objects.filter(project=project, kind=JobKind.INDEX, state__in=ACTIVE_STATES).exists():
        return None
    return job_enqueue(kind=JobKind.INDEX, project=project, user=user)


def is_large(project: Project) -> bool:
    return Row.objects.filter(project=project, number__gte=settings.INDEX_FROM_ROWS).exists()


def index_forget(*, project: Project) -> None:
    """Stop reading the index of a project: its cells are about to change. Make it again with `index_start`."""
    IndexedColumn.objects.filter(column__project=project).delete()


def index_columns(project: Project) -> list[Column]:
    """Return the columns that get an index: texts to analyze, and the first others."""
    columns = list(project.columns.all())
    texts = [column for column in columns if column.type == ColumnType.TEXT_TO_ANALYZE]
    others = [column for column in columns if column.type != ColumnType.TEXT_TO_ANALYZE]
    return texts + others[:MAX_COLUMNS]


_looked_for_missing = False


def index_missing() -> None:
    """Queue what has no index yet, once in the life of a worker: projects from before there was one."""
    global _looked_for_missing
    if _looked_for_missing:
        return
    _looked_for_missing = True
    lacking = Column.objects.exclude(pk__in=IndexedColumn.objects.values("column"))
    texts = lacking.filter(type=ColumnType.TEXT_TO_ANALYZE).values("project")
    for project in Project.objects.filter(state=ProjectState.READY, deleted_at=None, pk__in=texts):
        index_start(project=project)


def index_run(run: JobRun) -> dict[str, Any]:
    """Make the index of a project, chunk by chunk; a killed worker goes on after the last one."""
    project = run.job.project
    assert project is not None
    columns = index_columns(project)
    ids = [column.pk for column in columns]
    after = run.payload.get("after", 0)
    if not after:
        with transaction.atomic():
            IndexedColumn.objects.filter(column__in=ids).delete()
            for model in (Cell, SearchText, TextBlock):
                model.objects.filter(column__in=ids)._raw_delete(connection.alias)
    total = Row.objects.filter(project=project).order_by("-number").values_list("number", flat=True).first() or 0
    run.progress(done=after, total=total, stage="Preparing filters")
    while after < total:
        upto = after + CHUNK_ROWS
        with transaction.atomic():
            _chunk_write(project, columns, after, upto)
            run.note(done=min(upto, total), payload={**run.payload, "after": upto})
        after = upto
        run.progress(done=min(after, total))
    _tidy()
    with transaction.atomic():
        if not run.owns():
            return {}
        IndexedColumn.objects.bulk_create((IndexedColumn(column_id=pk) for pk in ids), ignore_conflicts=True)
    return {"n_rows": total, "n_columns": len(ids)}


def _chunk_write(project: Project, columns: list[Column], after: int, upto: int) -> None:
    others = [column for column in columns if column.type != ColumnType.TEXT_TO_ANALYZE]
    if others:
        rows = Row.objects.filter(project=project, number__gt=after, number__lte=upto).order_by()
        values = list(rows.values_list("number", "values"))
        for column in others:
            _cells_write(column, list(column_cells(column, values)))
    for column in columns:
        if column.type != ColumnType.TEXT_TO_ANALYZE:
            continue
        texts = list(
            Verbatim.objects.filter(column=column, row_number__gt=after, row_number__lte=upto)
            .order_by()
            .values_list("pk", "row_number", "text")
        )
        _cells_write(column, [(number, float(len(text)), None, None) for _pk, number, text in texts])
        if connection.vendor == "postgresql":
            lines = (f"{pk}\t{column.pk}\t{copy_escaped(text.lower())}\n" for pk, _number, text in texts)
            _copy("rows_searchtext (verbatim_id, column_id, text)", lines)
            lines = (f"{column.pk}\t{first}\t{copy_escaped(pairs)}\n" for first, pairs in text_blocks(texts))
            _copy("rows_textblock (column_id, first_number, pairs)", lines)


def text_blocks(texts: list[tuple[int, int, str]]) -> Iterator[tuple[int, str]]:
    """Yield first row number, letters and pairs of letters of each block of (id, row number, text)."""
    blocks: dict[int, list[str]] = {}
    for _pk, number, text in texts:
        blocks.setdefault(TextBlock.first_of(number), []).append(text.lower())
    for first, own in blocks.items():
        whole = TextBlock.SEPARATOR.join(own)
        yield first, TextBlock.SEPARATOR.join(text_pairs(whole) | set(whole))


def column_cells(column: Column, values: list[tuple[int, dict[str, Any]]]) -> Iterator[NewCell]:
    """Yield the cells of one column; a cell of several options comes several times."""
    for number, cells in values:
        value = cells.get(column.ref)
        if value is None or value == "" or value == []:
            yield number, None, None, None
        elif column.type in (ColumnType.NUMERICAL, ColumnType.BOOLEAN):
            usable = isinstance(value, int | float)
            yield number, float(value) if usable else None, None, None
        elif isinstance(value, list):
            for option in value:
                yield number, None, str(option)[: Cell.WORD_CHARS], None
        elif column.type == ColumnType.TEXT:
            yield number, None, str(value)[: Cell.WORD_CHARS].lower(), str(value).lower()
        else:
            yield number, None, str(value)[: Cell.WORD_CHARS], None


def _cells_write(column: Column, cells: list[NewCell]) -> None:
    if connection.vendor == "postgresql":
        lines = (
            f"{column.pk}\t{row}\t{_NULL if number is None else repr(number)}\t"
            f"{_NULL if word is None else copy_escaped(word)}\t{_NULL if text is None else copy_escaped(text)}\n"
            for row, number, word, text in cells
        )
        _copy("rows_cell (column_id, row_number, number, word, text)", lines)
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO rows_cell (column_id, row_number, number, word) VALUES (%s, %s, %s, %s)",
            [(column.pk, *cell[:3]) for cell in cells],
        )


def _copy(target: str, lines: Iterator[str]) -> None:
    with connection.cursor() as cursor:
        # New trigrams wait in a list; a long one is merged into the index for a tenth of the work.
        cursor.execute("SET LOCAL gin_pending_list_limit = '64MB'")
        cursor.execute("SET LOCAL work_mem = '128MB'")
        cursor.copy_expert(f"COPY {target} FROM STDIN", io.StringIO("".join(lines)))


def _tidy() -> None:
    """Merge what waits into the index of trigrams, and let the planner count."""
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(), connection.cursor() as cursor:
        for name in GIN_INDEXES:
            cursor.execute("SELECT to_regclass(%s)", [name])
            if cursor.fetchone()[0]:
                cursor.execute("SELECT gin_clean_pending_list(%s::regclass)", [name])
        cursor.execute("ANALYZE rows_cell")
        cursor.execute("ANALYZE rows_searchtext")
        cursor.execute("ANALYZE rows_textblock")
