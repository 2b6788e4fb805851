"""Writing an export as CSV or Excel, line by line. No cell can become a formula."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from django.utils.translation import gettext as _
from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from topicassign.errors import ApplicationError
from topicassign.numbers import grouped

EXCEL_ROWS = 1_048_576
EXCEL_COLUMNS = 16_384
EXCEL_CHARS = 32_767
_FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")  # the wide forms count for some spreadsheets


def formula_safe(value: Any) -> Any:
    """Return a text so that a spreadsheet shows it instead of computing it; numbers stay numbers."""
    if isinstance(value, str) and value and value[0] in _FORMULA_STARTS:
        return f"'{value}"
    return value


class TableWriter(Protocol):
    def write(self, lines: list[list[Any]]) -> None: ...
    def __enter__(self) -> TableWriter: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class CsvWriter:
    """UTF-8, comma, CRLF as the standard says; with a byte order mark Excel opens it right by a double click."""

    def __init__(self, path: Path, *, bom: bool) -> None:
        self.file = path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="")
        self.writer = csv.writer(self.file)

    def write(self, lines: list[list[Any]]) -> None:
        starts = _FORMULA_STARTS
        self.writer.writerows(  # `formula_safe`, without a call for each of millions of cells
            [f"'{value}" if value.__class__ is str and value[:1] in starts else value for value in line]
            for line in lines
        )

    def __enter__(self) -> CsvWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


class XlsxTableWriter:
    """One sheet with a fixed header line; rows go to disk as they come."""

    def __init__(self, path: Path, *, sheet: str) -> None:
        self.book = Workbook(
            str(path),
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
                "nan_inf_to_errors": True,
                "tmpdir": str(path.parent),
            },
        )
        self.book.use_zip64()
        self.sheet = self.book.add_worksheet(sheet)
        self.bold = self.book.add_format({"bold": True})
        self.sheet.freeze_panes(1, 0)
        self.n_lines = 0

    def write(self, lines: list[list[Any]]) -> None:
        sheet, row = self.sheet, self.n_lines
        if row + len(lines) > EXCEL_ROWS or (lines and len(lines[0]) > EXCEL_COLUMNS):
            raise ApplicationError(
                _(
                    "An Excel sheet holds at most %(excel_rows)s lines and %(excel_columns)s columns. Export "
                    "as CSV."
                )
                % {"excel_rows": grouped(EXCEL_ROWS), "excel_columns": grouped(EXCEL_COLUMNS)}
            )
        for line in lines:
            form = self.bold if row == 0 else None
            for place, value in enumerate(line):
                if value == "" or value is None:
                    continue
                if isinstance(value, str):
                    sheet.write_string(row, place, _fitting(value), form)
                elif isinstance(value, int) and abs(value) >= 10**15:
                    sheet.write_string(row, place, str(value), form)  # Excel keeps 15 digits of a number
                else:
                    sheet.write_number(row, place, value, form)
            row += 1
        self.n_lines = row

    def __enter__(self) -> XlsxTableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # Close the sheet's own temporary file without packing a workbook nobody wants.
            self.book.fileclosed = True
            self.sheet.row_data_fh.close()
            Path(self.sheet.row_data_filename).unlink(missing_ok=True)
            return
        try:
            self.book.close()
        except FileCreateError as fault:
            raise (fault.args[0] if fault.args and isinstance(fault.args[0], OSError) else fault) from None


def _fitting(text: str) -> str:
    """Cut what a cell of Excel cannot hold; it counts UTF-16 units."""
    if len(text) * 2 <= EXCEL_CHARS or len(text.encode("utf-16-le")) // 2 <= EXCEL_CHARS:
        return text
    return text.encode("utf-16-le")[: (EXCEL_CHARS - 1) * 2].decode("utf-16-le", errors="ignore") + "…"


def table_writer(path: Path, *, kind: str, sheet: str, bom: bool) -> TableWriter:
    return XlsxTableWriter(path, sheet=sheet) if kind == "xlsx" else CsvWriter(path, bom=bom)
