"""Reading uploaded tables: what is accepted, how it is read, and what is refused with which sentence."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from datetime import date, datetime, time, timedelta

import pytest
import xlsxwriter

from projects.files import TableError, cell_text, find_separator, table_inspect, table_rows


def workbook(cells: dict[tuple[int, int], object], *, sheets: tuple[str, ...] = ("Sheet",)) -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"})
    pages = [book.add_worksheet(name) for name in sheets]
    for (row, column), value in cells.items():
        pages[0].write(row, column, value)
    book.close()
    return file.getvalue()


def rows(content: bytes, name: str = "table.csv") -> list[tuple[int, list[object]]]:
    return list(table_rows(table_inspect(content, name)))


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"),
     ("utf-16-be", "utf-16-be"), ("utf-32", "utf-32"), ("cp1252", "cp1252")],
)  # fmt: skip
def test_it_finds_the_encoding(encoding, found):
    content = "name;answer\nJosé;“très” cher – 5 €, süß\n".encode(encoding)
    table = table_inspect(content, "a.csv")
    assert (table.encoding, table.separator) == (found, ";")
    assert list(table_rows(table))[1] == (2, ["José", "“très” cher – 5 €, süß"])


def test_it_finds_encodings_beyond_western_europe():
    text = "id,answer\n1,Доставка была очень быстрой и упаковка хорошая\n2,Цены слишком высокие\n" * 3
    assert rows(text.encode("cp1251"))[1] == (2, ["1", "Доставка была очень быстрой и упаковка хорошая"])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_it_finds_the_separator(separator):
    lines = [["id", "text", "n"], ["1", 'so, "good"; really', "3"], ["2", "fine", "4"]]
    text = "\n".join(separator.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)
    assert [cells for _, cells in rows(text.encode())] == lines


def test_separator_needs_more_than_one_column():
    assert find_separator("Hello, there\nno comma\nnone, at, all\n", default="") == ""


def test_text_file_with_one_answer_per_line_is_one_column():
    assert rows(b"late, again\n\nfine\n", "a.txt") == [(1, ["late, again"]), (3, ["fine"])]


def test_cells_keep_what_was_typed():
    content = 'a,b\n007,N/A\nNone," x "\n"two\nlines",\U0001f600\nnul\x00,-5\n'.encode()
    assert [cells for _, cells in rows(content)][1:] == [
        ["007", "N/A"], ["None", " x "], ["two\nlines", "\U0001f600"], ["nul\x00", "-5"]
    ]  # fmt: skip


def test_line_numbers_count_lines_of_the_file():
    assert [line for line, _ in rows(b'a,b\n"1\n2",x\n\n3,y\n')] == [1, 2, 5]


def test_workbook_cells_come_as_the_person_sees_them():
    cells = {(0, 0): "id", (0, 1): "when", (1, 0): 1234567890123456, (1, 1): datetime(2026, 3, 4), (2, 0): 7.5}
    found = [[cell_text(cell) for cell in line] for _, line in rows(workbook(cells), "a.xlsx")]
    assert found == [["id", "when"], ["1234567890123456", "2026-03-04"], ["7.5"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (7.0, "7"), (True, "TRUE"), (0.1, "0.1"), (date(2026, 1, 2), "2026-01-02"),
     (datetime(2026, 1, 2, 3, 4), "2026-01-02 03:04:00"), (time(9, 30), "09:30:00"),
     (timedelta(hours=26), "1 day, 2:00:00"), ("a_x000D_b", "ab"), (float("inf"), "inf")],
)  # fmt: skip
def test_cell_text(value, text):
    assert cell_text(value) == text


def test_workbook_offers_its_visible_sheets():
    table = table_inspect(workbook({(0, 0): "x"}, sheets=("One", "Two")), "a.xlsx")
    assert (table.sheets, table.sheet) == (["One", "Two"], "One")
    assert list(table_rows(table.with_sheet("Two"))) == []
    with pytest.raises(TableError, match="no sheet named"):
        table.with_sheet("Three")


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (120 * 1024 * 1024))
    return file.getvalue()


def with_part(name: str) -> bytes:
    file = io.BytesIO(workbook({(0, 0): "x"}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, b"x")
    return file.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.csv", "empty"),
        (b"a,b", "a.pdf", "Use one of these: .csv, .tsv, .txt, .xlsx"),
        (b"a,b", "", "no name"),
        (b"a,b", "a.xlsm", "macros"),
        (b"a,b", "a.xls", "Save it as .xlsx"),
        (b"%PDF-1.7", "a.csv", "is a PDF"),
        (b"\x89PNG\r\n", "a.txt", "is an image"),
        (os.urandom(4096), "a.csv", "no text"),
        (workbook({(0, 0): "x"}), "a.csv", "Rename it to .xlsx"),
        (b"a,b\n1,2\n", "a.xlsx", "rename it to .csv"),
        (OLE, "a.xlsx", "old .xls workbook"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "a.xlsx", "password"),
        (with_part("xl/vbaProject.bin"), "a.xlsx", "macros"),
        (workbook({(0, 0): "x"})[:-200], "a.xlsx", "damaged"),
        ("ä,ö\nüüüü,é\n".encode() + b"ab\xff,c\n", "a.csv", "line 3 holds bytes"),
        (b"\xef\xbb\xbfa\n\xff\xfe\n", "a.csv", "The file says it is UTF-8"),
    ],
)
def test_it_refuses_what_is_no_table(content, name, message):
    with pytest.raises(TableError, match=message):
        table_inspect(content, name)


def test_it_refuses_a_decompression_bomb():
    with pytest.raises(TableError, match="unpacks to far more"):
        table_inspect(bomb(), "a.xlsx")


def test_it_does_not_believe_the_sizes_an_archive_claims():
    lying = bomb().replace(struct.pack("<L", 120 * 1024 * 1024), struct.pack("<L", 1000))
    with pytest.raises(TableError, match="unpacks to far more"):
        table_inspect(lying, "a.xlsx")


def test_it_refuses_a_file_over_the_limit(settings):
    settings.LIMIT_FILE_MB = 1
    with pytest.raises(TableError, match="at most 1 MB"):
        table_inspect(b"a,b\n" * 300_000, "a.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'a,b\n1,"x\n', "opened in line 2 is never closed"), (b'a,b\n"x"y,1\n', "In line 2 text follows")],
)
def test_it_refuses_broken_quotation(content, message):
    with pytest.raises(TableError, match=message):
        rows(content)
