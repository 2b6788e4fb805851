"""Reading tables that people upload, safely: what a file really is, its encoding, its separator, its cells.

Nothing here knows what the table means. The import of rows and the import of codebooks use it:

    table = table_inspect(path, "answers.csv", max_bytes=...)   # refuses what is no table
    for line, cells in table_rows(table): ...                   # lists of cells, streamed where possible

Every refusal is a `TableError`: one sentence that says what is wrong, and what to do.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from charset_normalizer import from_bytes
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from topicassign.errors import ApplicationError
from topicassign.numbers import decimal

TEXT_FORMATS = ("csv", "tsv", "txt")
TABLE_FORMATS = (*TEXT_FORMATS, "xlsx")
SEPARATORS = (",", ";", "\t", "|")

_SAMPLE_BYTES = 256 * 1024
_CHUNK_BYTES = 1024 * 1024
_EXPANSION = 10  # a workbook may unpack to this many times LIMIT_FILE_MB ...
_RATIO = 200  # ... and beyond _RATIO_FREE_BYTES to at most this many times its own size
_RATIO_FREE_BYTES = 100 * 1024 * 1024
_ZIP_ENTRIES = 5_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_SIGNATURES = {
    _ZIP: gettext_lazy("a zip archive or an Excel workbook"),
    _OLE: gettext_lazy("an old Office document"),
    b"%PDF": gettext_lazy("a PDF"),
    b"\x89PNG": gettext_lazy("an image"),
    b"\xff\xd8\xff": gettext_lazy("an image"),
    b"GIF8": gettext_lazy("an image"),
    b"\x1f\x8b": gettext_lazy("a gzip archive"),
    b"BZh": gettext_lazy("a bzip2 archive"),
    b"7z\xbc\xaf\x27\x1c": gettext_lazy("a 7-Zip archive"),
    b"\xfd7zXZ\x00": gettext_lazy("an xz archive"),
    b"Rar!": gettext_lazy("a RAR archive"),
    b"PAR1": gettext_lazy("a Parquet file"),
    b"$FL2": gettext_lazy("an SPSS file"),
    b"$FL3": gettext_lazy("an SPSS file"),
    b"SQLite format 3\x00": gettext_lazy("a database"),
    b"\x7fELF": gettext_lazy("a program"),
    b"MZ\x90": gettext_lazy("a program"),
}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What Western Europeans type beyond ASCII; bytes that cp1252 reads as these are cp1252.
_WESTERN = set("ÄÖÜäöüßÀÁÂÃÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕØÙÚÛÝÞàáâãåæçèéêëìíîïðñòóôõøùúûýþÿŒœŠšŽžŸ€£§°«»“”„‘’‚–—…•·¿¡´`\xa0")

_FOREIGN_RUN = re.compile(r"[À-ÿ]{3,}")


class TableError(ApplicationError):
    """The file cannot be read as a table; the message tells the person what to do."""

    code = "bad_file"


@dataclass(frozen=True)
class TableFile:
    """A file that was looked into and can be read as a table."""

    source: Path | bytes
    name: str
    format: str  # csv | tsv | txt | xlsx
    size_bytes: int
    encoding: str = ""  # text formats
    separator: str = ""  # text formats; "" where every line is one cell
    sheets: list[str] = field(default_factory=list)  # workbooks: the visible sheets that hold cells
    sheet: str = ""

    @property
    def is_text(self) -> bool:
        return self.format in TEXT_FORMATS

    def with_sheet(self, sheet: str) -> TableFile:
        """Return the same workbook read from another of its sheets."""
        if sheet not in self.sheets:
            raise TableError(
                _("The workbook has no sheet named %(sheet)s. Choose one of its sheets.")
                % {"sheet": repr(sheet[:60])}
            )
        return replace(self, sheet=sheet)

    def with_text(self, *, encoding: str | None = None, separator: str | None = None) -> TableFile:
        """Return the same text file read with another encoding or separator."""
        return replace(
            self,
            encoding=self.encoding if encoding is None else encoding,
            separator=self.separator if separator is None else separator,
        )


def table_inspect(
    source: Path | bytes,
    name: str,
    *,
    formats: Collection[str] = TABLE_FORMATS,
    max_bytes: int | None = None,
) -> TableFile:
    """Return what the file is and how to read it.

    Parameters
    ----------
    source
        The file on disk, or its bytes.
    name
        The name the person gave it; its ending says what it should be.
    max_bytes
        Default is the limit LIMIT_FILE_MB.

    Raises
    ------
    TableError
        If the file is empty, too large, of another kind than its name says, encrypted, damaged, a
        decompression bomb, holds macros, or is text in no encoding that can be found out.
    """
    kind = Path(name).suffix.lower().lstrip(".")
    allowed = ", ".join(f".{one}" for one in formats)
    if kind not in formats:
        if kind in {"xlsm", "xltm", "xlam"}:
            raise TableError(_("Workbooks with macros are not accepted. Save it as .xlsx and try again."))
        if kind in {"xls", "xlsb", "ods", "numbers"}:
            raise TableError(
                _("A .%(kind)s file cannot be read. Save it as .xlsx or .csv and try again.") % {"kind": kind}
            )
        what = (
            _("%(name)s is not a table that can be read.") % {"name": repr(name[-60:])}
            if name
            else _("The file has no name.")
        )
        raise TableError(_("%(what)s Use one of these: %(allowed)s.") % {"what": what, "allowed": allowed})
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    limit = settings.LIMIT_FILE_MB * 1024 * 1024 if max_bytes is None else max_bytes
    if size == 0:
        raise TableError(_("The file is empty. Choose a file with a header line and rows."))
    if size > limit:
        raise TableError(
            _(
                "The file has %(size)s MB; at most %(limit)s MB are allowed. Split it, or leave out "
                "columns that are not needed."
            )
            % {"size": _megabytes(size), "limit": _megabytes(limit)},
            code="file_too_large",
        )
    with _open(source) as file:
        head = file.read(_SAMPLE_BYTES)
        if kind == "xlsx":
            _check_workbook(file, head, size)
            sheets = _sheets(source)
            return TableFile(source, name, kind, size, sheets=sheets, sheet=sheets[0])
        _check_text(head, kind)
        encoding = _find_encoding(file, head)
    sample = head.decode(encoding, errors="replace")
    separator = "\t" if kind == "tsv" else find_separator(sample, default="" if kind == "txt" else ",")
    return TableFile(source, name, kind, size, encoding=encoding, separator=separator)


def table_rows(table: TableFile, *, keep_blank: bool = False) -> Iterator[tuple[int, list[Any]]]:
    """Yield line number and cells of every line that is not blank, the header included.

    `keep_blank` also gives lines whose cells are all empty (but not lines without any cell): a row of
    a survey may have nothing but empty answers.

    Text files give strings exactly as typed, streamed. Workbooks give what the cell holds: str, int,
    float, bool, date, datetime, time or timedelta; see `cell_text`. Lines keep their own length, for
    the caller to judge; cells that are empty at the end of a workbook's line are left out.
    """
    return _text_rows(table, keep_blank) if table.is_text else _sheet_rows(table, keep_blank)


def cell_text(value: Any) -> str:
    """Return a workbook's cell as the person sees it: 7 not 7.0, all digits of long ids, ISO dates."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("_x000D_", "")
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        if math.isfinite(value) and value.is_integer() and abs(value) < 1e18:
            return str(int(value))
        return repr(float(f"{value:.15g}"))  # a workbook shows 15 digits: 0.3, not 0.30000000000000004
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


def find_separator(sample: str, *, default: str = ",") -> str:
    """Return the separator that cuts most lines of the sample into the same number of cells, more than one."""
    lines = sample[: 64 * 1024]
    whole = len(sample) <= len(lines)
    best, best_score = default, 0.0
    for separator in SEPARATORS:
        try:
            records = [
                record for record in csv.reader(io.StringIO(lines, newline=""), delimiter=separator) if record
            ]
        except csv.Error:
            continue
        if not whole and len(records) > 1:
            records.pop()  # it may be cut off
        n_cells = len(records[0]) if records else 1
        if n_cells < 2:
            continue
        alike = Counter(len(record) for record in records)[n_cells] / len(records)
        score = alike * (1 + math.log(n_cells) / 10)
        if alike > 0.6 and score > best_score:
            best, best_score = separator, score
    return best


# --- text -----------------------------------------------------------------------------------------
def _open(source: Path | bytes) -> BinaryIO:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def open_text(table: TableFile) -> io.TextIOWrapper:
    """Open a text file as csv wants it: decoded, line ends as they are."""
    return io.TextIOWrapper(_open(table.source), encoding=table.encoding, errors="strict", newline="")


def _text_rows(table: TableFile, keep_blank: bool = False) -> Iterator[tuple[int, list[Any]]]:
    with open_text(table) as file:
        try:
            if not table.separator:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, [line.rstrip("\r\n")]
                return
            reader = csv.reader(file, delimiter=table.separator, strict=True)
            start = 1
            for cells in reader:
                if (cells and keep_blank) or any(cell.strip() for cell in cells):
                    yield start, cells
                start = reader.line_num + 1
        except csv.Error as error:
            raise _csv_error(error, start) from None
        except UnicodeError:
            raise TableError(
                _("The file cannot be read as %(encoding)s. Save it as CSV UTF-8 and try again.")
                % {"encoding": table.encoding},
                code="bad_encoding",
            ) from None


def _csv_error(error: csv.Error, line: int) -> TableError:
    what = str(error)
    if "field larger" in what or "unexpected end" in what:
        return TableError(
            _(
                'A quotation mark (") opened in line %(line)s is never closed. '
                "Close it, or double it inside a cell."
            )
            % {"line": line}
        )
    if "expected after" in what:
        return TableError(
            _('In line %(line)s text follows a closing quotation mark ("). Double quotation marks inside a cell.')
            % {"line": line}
        )
    return TableError(
        _("Line %(line)s is not valid CSV (%(what)s). Correct it and try again.") % {"line": line, "what": what}
    )


def _check_text(head: bytes, kind: str) -> None:
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            if signature == _ZIP:
                message = _("The file is named .%(kind)s but is %(what)s. Rename it to .xlsx and try again.")
            else:
                message = _("The file is named .%(kind)s but is %(what)s. Export it as CSV and try again.")
            raise TableError(message % {"kind": kind, "what": what})
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _utf16_without_bom(head):
        return
    control = sum(head.count(code) for code in range(32) if code not in b"\t\n\r\x0b\x0c\x1a\x1b")
    if control > max(8, len(head) // 100):
        raise TableError(
            _("The file is named .%(kind)s but is no text. Export the table as CSV and try again.")
            % {"kind": kind}
        )


def _utf16_without_bom(head: bytes) -> str:
    sample = head[: len(head) // 2 * 2][:4096]
    if len(sample) < 4:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) / 2
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return ""


def _find_encoding(file: BinaryIO, head: bytes) -> str:
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return _checked_encoding(file, encoding)
    wide = _utf16_without_bom(head)
    if wide:
        return _checked_encoding(file, wide)
    error_at, sample = _first_error(file, "utf-8")
    if error_at is None:
        return "utf-8"
    n_broken, n_good = _count_utf8(sample)
    if n_good >= 3 and n_broken * 4 <= n_good:
        line = _line_of(file, error_at)
        raise TableError(
            _(
                "The file is UTF-8, but line %(line)s holds bytes that are not. It was probably cut off "
                "or mixed from two files; save it as CSV UTF-8 and try again."
            )
            % {"line": line},
            code="bad_encoding",
        )
    if _looks_western(sample.decode("cp1252", errors="replace")) and _first_error(file, "cp1252")[0] is None:
        return "cp1252"
    guess = from_bytes(sample).best()
    if guess is not None and _first_error(file, guess.encoding)[0] is None:
        return guess.encoding
    raise TableError(
        _("The encoding of the file could not be found out. Save it as CSV UTF-8 and try again."),
        code="bad_encoding",
    )


def _looks_western(text: str) -> bool:
    """Say whether text read as cp1252 makes sense: the right letters, and seldom three of them in a row."""
    beyond = [letter for letter in text if ord(letter) > 127]
    n_right = sum(letter in _WESTERN for letter in beyond)
    n_in_runs = sum(len(run) for run in _FOREIGN_RUN.findall(text))
    return n_right >= 0.9 * len(beyond) and n_in_runs <= 0.1 * len(beyond)


def _checked_encoding(file: BinaryIO, encoding: str) -> str:
    error_at, _sample = _first_error(file, encoding)
    if error_at is not None:
        raise TableError(
            _(
                "The file says it is %(encoding)s, but line %(line)s holds bytes that are not. Save it "
                "as CSV UTF-8 and try again."
            )
            % {"encoding": encoding.removesuffix("-sig").upper(), "line": _line_of(file, error_at)},
            code="bad_encoding",
        )
    return encoding


def _first_error(file: BinaryIO, encoding: str) -> tuple[int | None, bytes]:
    """Return where the file stops being of an encoding (None: nowhere) and bytes from around there."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    while True:
        chunk = file.read(_CHUNK_BYTES)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            at = position + min(getattr(error, "start", 0), max(0, len(chunk) - 1))
            file.seek(max(0, at - _SAMPLE_BYTES // 2))
            return at, file.read(_SAMPLE_BYTES)
        if not chunk:
            return None, b""
        position += len(chunk)


def _count_utf8(sample: bytes) -> tuple[int, int]:
    """Return the numbers of broken and of good characters beyond ASCII."""
    text = sample.decode("utf-8", errors="replace")
    n_broken = text.count("\ufffd")
    return n_broken, sum(ord(letter) > 127 for letter in text) - n_broken


def _line_of(file: BinaryIO, position: int) -> int:
    file.seek(0)
    n_lines, left = 1, position
    while left > 0:
        chunk = file.read(min(_CHUNK_BYTES, left))
        if not chunk:
            break
        n_lines += chunk.count(b"\n")
        left -= len(chunk)
    return n_lines


# --- workbooks ------------------------------------------------------------------------------------
def _check_workbook(file: BinaryIO, head: bytes, size: int) -> None:
    if head.startswith(_OLE):
        file.seek(0)
        if _ENCRYPTED in file.read(4 * _CHUNK_BYTES):
            raise TableError(_("The workbook is protected by a password. Remove the password and try again."))
        raise TableError(_("The file is an old .xls workbook. Save it as .xlsx or .csv and try again."))
    if not head.startswith(b"PK"):
        raise TableError(_("The file is named .xlsx but is no Excel workbook. If it is text, rename it to .csv."))
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = {entry.filename.lower() for entry in entries}
            if any(entry.flag_bits & 1 for entry in entries):
                raise TableError(_("The workbook is protected by a password. Remove the password and try again."))
            if any(name.endswith("vbaproject.bin") for name in names):
                raise TableError(_("Workbooks with macros are not accepted. Save it as .xlsx and try again."))
            if "xl/workbook.xml" not in names:
                raise TableError(_("The file is named .xlsx but is no workbook. Save it as .xlsx and try again."))
            if len(entries) > _ZIP_ENTRIES:
                raise _bomb()
            _check_expansion(file, entries, size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError):
        raise _damaged() from None


def _check_expansion(file: BinaryIO, entries: list[zipfile.ZipInfo], size: int) -> None:
    """Unpack every part without keeping it, and count: what the archive says of itself may be a lie."""
    most = settings.LIMIT_FILE_MB * 1024 * 1024 * _EXPANSION
    if sum(entry.file_size for entry in entries) > most:
        raise _bomb()
    total = 0
    for entry in entries:
        total += _unpacked_bytes(file, entry, most - total)
        if total > most or (total > _RATIO_FREE_BYTES and total > _RATIO * size):
            raise _bomb()


def _unpacked_bytes(file: BinaryIO, entry: zipfile.ZipInfo, most: int) -> int:
    file.seek(entry.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile
    skip = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(entry.header_offset + 30 + skip)
    if entry.compress_type == zipfile.ZIP_STORED:
        return entry.compress_size
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise zipfile.BadZipFile
    inflate = zlib.decompressobj(-15)
    total = 0
    while not inflate.eof:
        packed = inflate.unconsumed_tail or file.read(64 * 1024)
        if not packed:
            raise zipfile.BadZipFile
        total += len(inflate.decompress(packed, _CHUNK_BYTES))
        if total > most:
            raise _bomb()
    return total


def _bomb() -> TableError:
    return TableError(
        _("The workbook unpacks to far more than its size allows. Save the table as CSV and try again."),
        code="file_too_large",
    )


def _damaged() -> TableError:
    return TableError(
        _("The workbook is damaged and cannot be read. Open it, save it again as .xlsx and try again.")
    )


def _workbook(source: Path | bytes) -> CalamineWorkbook:
    try:
        if isinstance(source, Path):
            return CalamineWorkbook.from_path(str(source))
        return CalamineWorkbook.from_filelike(io.BytesIO(source))
    except PasswordError:
        raise TableError(
            _("The workbook is protected by a password. Remove the password and try again.")
        ) from None
    except (CalamineError, OSError, ValueError):
        raise _damaged() from None


def _sheets(source: Path | bytes) -> list[str]:
    workbook = _workbook(source)
    try:
        names = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible
        ]
    finally:
        workbook.close()
    if not names:
        raise TableError(_("The workbook has no visible sheet with cells. Put the table into one and try again."))
    return names


def _sheet_rows(table: TableFile, keep_blank: bool = False) -> Iterator[tuple[int, list[Any]]]:
    workbook = _workbook(table.source)
    try:
        sheet: CalamineSheet = workbook.get_sheet_by_name(table.sheet)
        # iter_rows starts with the sheet's first row and each line with its first column in use.
        for number, cells in enumerate(sheet.iter_rows(), 1):
            end = len(cells)
            while end and (cells[end - 1] is None or cells[end - 1] == ""):
                end -= 1
            if end or keep_blank:
                yield number, cells[:end]
    except (CalamineError, OSError, ValueError):
        raise _damaged() from None
    finally:
        workbook.close()


def _megabytes(n_bytes: int) -> str:
    megabytes = n_bytes / 1024 / 1024
    return decimal(megabytes, 0 if f"{megabytes:.1f}".endswith(".0") else 1)
