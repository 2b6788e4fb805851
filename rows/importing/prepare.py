"""First pass over an uploaded file: refuse what is broken, learn its columns, write it down as plain CSV.

Everything after this pass (numbers before saving, report of wrong cells, the import itself) reads
the plain copy: UTF-8, one header line, every row as long as the header. So a workbook is unpacked
once, a chunk of rows can be found again after a worker was killed, and memory stays bounded.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.files import TableError, TableFile, cell_text, table_inspect, table_rows
from projects.models import Column
from rows.importing.types import ColumnScan
from rows.text import storable
from topicassign.numbers import grouped

BATCH_ROWS = 2_000
NAME_CHARS = Column._meta.get_field("name").max_length or 200
MAX_TITLE_LINES = 10
PASTED_NAME = "Text"


def table_prepare(path: Path, name: str, target: Path, *, sheet: str = "") -> dict[str, Any]:
    """Read an uploaded table once and write its plain copy to `target`; return the facts found.

    Raises
    ------
    TableError
        If the file is no table that can be imported; nothing is left at `target` then.
    """
    table = table_inspect(path, name)
    if sheet:
        table = table.with_sheet(sheet)
    try:
        facts = _copy(_cells(table), target, is_sheet=not table.is_text)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    facts.update(
        format=table.format,
        encoding=table.encoding,
        separator=table.separator,
        sheets=table.sheets,
        sheet=table.sheet,
    )
    return facts


def text_prepare(text: str, target: Path) -> dict[str, Any]:
    """Write pasted text, one verbatim per line, as a table with one column; lines without text are left out."""
    lines = [line.strip() for line in text.splitlines()]
    rows = [(number, [storable(line)]) for number, line in enumerate(lines, 1) if line]
    if not rows:
        raise TableError(_("There is no text. Paste at least one line."))
    try:
        facts = _copy(iter([(0, [PASTED_NAME]), *rows]), target, is_sheet=False)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    column = facts["columns"][0]
    column["type"] = "text_to_analyze"  # that is what pasting is for
    facts.update(format="paste", encoding="utf-8", separator="", sheets=[], sheet="")
    return facts


def plain_rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a plain copy, without its header."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader, None)
        yield from reader


def _cells(table: TableFile) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells as strings that a database can store."""
    if table.is_text:
        for line, cells in table_rows(table, keep_blank=True):
            # Decoding was strict, so NUL is all that could be wrong.
            yield line, [storable(cell) if "\x00" in cell else cell for cell in cells]
        return
    for line, values in table_rows(table, keep_blank=True):
        yield line, [storable(cell_text(value).replace("\r\n", "\n")) for value in values]


def _copy(lines: Iterator[tuple[int, list[str]]], target: Path, *, is_sheet: bool) -> dict[str, Any]:
    notices: list[str] = []
    header_line, header, lines = _header(lines, is_sheet=is_sheet, notices=notices)
    names = _names(header)
    width = len(names)
    scans = [ColumnScan(name) for name in names]
    n_rows = 0
    ragged: list[tuple[int, int]] = []
    batch: list[list[str]] = []
    blank: list[list[str]] = []  # rows without any text: dropped at the end of the file, kept before another row
    empty_row = [""] * width
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)

        def flush() -> None:
            nonlocal n_rows
            n_rows += len(batch)
            if n_rows > settings.LIMIT_ROWS:
                raise TableError(
                    _(
                        "The table has more than %(limit_rows)s rows, the most a file may have. Split it and "
                        "import the parts."
                    )
                    % {"limit_rows": grouped(settings.LIMIT_ROWS)},
                    code="too_many_rows",
                )
            writer.writerows(batch)
            for scan, cells in zip(scans, zip(*batch, strict=True), strict=True):
                scan.feed(cells, limit_chars=settings.LIMIT_TEXT_CHARS)
            batch.clear()

        for line, cells in lines:
            if len(cells) != width:
                while len(cells) > width and not cells[-1].strip():
                    cells.pop()
                if len(cells) > width and is_sheet:
                    raise TableError(
                        _(
                            "Line %(line)s has something in column %(column)s, but that column has no name. Give "
                            "it a name in the header line, or clear its cells."
                        )
                        % {"line": line, "column": _letters(len(cells))},
                        code="unnamed_column",
                    )
                if is_sheet:
                    cells = cells + empty_row[len(cells) :]
                elif len(cells) != width:
                    ragged.append((line, len(cells)))
                    if len(ragged) == 5:
                        break
                    continue
            if not any(cells) or not any(map(str.strip, cells)):
                if len(blank) < settings.LIMIT_ROWS:
                    blank.append(empty_row)
                continue
            if blank:
                batch += blank
                blank = []
            batch.append(cells)
            if len(batch) >= BATCH_ROWS:
                flush()
        if ragged:
            raise _ragged(ragged, width, header_line)
        if batch:
            flush()
    if not n_rows:
        raise TableError(
            _("The file has a header line but no rows. Add the rows below the header and try again."),
            code="no_rows",
        )
    columns = []
    for index, scan in enumerate(scans):
        if not scan.name and scan.n_filled:
            raise TableError(
                _(
                    "Column %(number)s (%(letters)s) has no name but has cells. Give it a name in line "
                    "%(header_line)s, the header (a cell merged over several columns names only the first)."
                )
                % {"number": index + 1, "letters": _letters(index + 1), "header_line": header_line},
                code="empty_header",
            )
        if scan.name:
            columns.append({"index": index, **scan.facts()})
    _check_columns(columns)
    return {"n_rows": n_rows, "columns": columns, "notices": notices, "header_line": header_line}


def _header(
    lines: Iterator[tuple[int, list[str]]], *, is_sheet: bool, notices: list[str]
) -> tuple[int, list[str], Iterator[tuple[int, list[str]]]]:
    """Return line number and cells of the header, and the lines after it.

    Workbooks often carry a title above the table: lines with one filled cell, followed by a wider one.
    """
    pending: list[tuple[int, list[str]]] = []
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        pending.append((line, cells))
        n_filled = sum(bool(cell.strip()) for cell in cells)
        if not is_sheet or n_filled > 1 or len(pending) > MAX_TITLE_LINES:
            break
    if not pending:
        raise TableError(_("The file has no header line. The first line must name the columns."), code="no_header")
    last_line, last = pending[-1]
    # A long run of one-cell lines is a table with one column, not a title.
    if is_sheet and 1 < len(pending) <= MAX_TITLE_LINES and sum(bool(cell.strip()) for cell in last) > 1:
        n_skipped = len(pending) - 1
        notices.append(
            ngettext(
                "%(n)s title line above the table left out: line %(line)s names the columns.",
                "%(n)s title lines above the table left out: line %(line)s names the columns.",
                n_skipped,
            )
            % {"n": n_skipped, "line": last_line}
        )
        return last_line, last, lines
    first_line, first = pending[0]

    def rest() -> Iterator[tuple[int, list[str]]]:
        yield from pending[1:]
        yield from lines

    return first_line, first, rest()


def _names(header: list[str]) -> list[str]:
    names = [" ".join(cell.split()) for cell in header]
    while names and not names[-1]:
        names.pop()
    if sum(map(bool, names)) > settings.LIMIT_COLUMNS:
        raise TableError(
            _(
                "The table has %(n)s columns; at most %(limit_columns)s are allowed. Leave out the "
                "columns that are not needed and try again."
            )
            % {"n": sum(map(bool, names)), "limit_columns": settings.LIMIT_COLUMNS},
            code="too_many_columns",
        )
    if len(names) > 10 * settings.LIMIT_COLUMNS:
        raise TableError(_("The header line has hundreds of empty cells. Put the columns side by side."))
    seen: dict[str, int] = {}
    for index, name in enumerate(names, 1):
        key = name.casefold()
        if name and key in seen:
            raise TableError(
                _(
                    "Two columns are named “%(name)s”: columns %(first)s and %(second)s. Every column needs "
                    "a name of its own; rename one in the header line and try again."
                )
                % {"name": name[:60], "first": seen[key], "second": index},
                code="duplicate_header",
            )
        seen[key] = index
    return names


def _check_columns(columns: list[dict[str, Any]]) -> None:
    for column in columns:
        name = column["name"]
        if len(name) > NAME_CHARS:
            # A survey's whole question may be the header: it becomes the wording, its start the name.
            column["wording"] = name
            column["name"] = name[: NAME_CHARS - 1].rstrip() + "…"


def _ragged(ragged: list[tuple[int, int]], width: int, header_line: int) -> TableError:
    line, n_cells = ragged[0]
    others = [str(other) for other, _ in ragged[1:]]
    more = (
        ngettext(" The same holds for line %(lines)s.", " The same holds for lines %(lines)s.", len(others))
        % {"lines": ", ".join(others)}
        if others
        else ""
    )
    cells = ngettext("%(n)s cell", "%(n)s cells", n_cells) % {"n": n_cells}
    return TableError(
        _(
            "Line %(line)s has %(cells)s, but the header in line %(header_line)s has "
            "%(width)s.%(more)s Often a text that contains the separator is not in quotation marks; "
            "correct it and try again."
        )
        % {"line": line, "cells": cells, "header_line": header_line, "width": width, "more": more},
        code="ragged_row",
    )


def _letters(number: int) -> str:
    """Return the name a spreadsheet gives to a column: 1 is A, 27 is AA."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
