"""The first pass over an uploaded file: what is refused, what is found, what is kept as typed."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from django.test import override_settings

from projects.files import TableError
from rows.importing.plan import ColumnPlan, bad_cells, cell_reader, empty_counts, plan_default, refs
from rows.importing.prepare import plain_rows, table_prepare, text_prepare
from rows.importing.types import parse_boolean, parse_date, parse_language, parse_multi, parse_number


@pytest.fixture
def prepare(tmp_path: Path) -> Any:
    """Return a function that reads content as an upload: facts and the rows of the plain copy."""

    def make(
        content: bytes | str, name: str = "answers.csv", **options: Any
    ) -> tuple[dict[str, Any], list[list[str]]]:
        source, target = tmp_path / "source", tmp_path / "plain.csv"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        facts = table_prepare(source, name, target, **options)
        return facts, list(plain_rows(target))

    return make


def workbook(*sheets: list[list[Any]], merge: tuple[int, int, int, int, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    day, moment = (
        book.add_format({"num_format": "yyyy-mm-dd"}),
        book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
    )
    for rows in sheets:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for place, value in enumerate(row):
                if isinstance(value, datetime):
                    sheet.write_datetime(number, place, value, moment)
                elif isinstance(value, date):
                    sheet.write_datetime(number, place, value, day)
                elif isinstance(value, str) and value.startswith("="):
                    sheet.write_formula(number, place, value, None, 42)
                elif isinstance(value, str):
                    sheet.write_string(number, place, value)
                elif value is not None:
                    sheet.write(number, place, value)
        if merge:
            sheet.merge_range(*merge)
    book.close()
    return buffer.getvalue()


# --- what is refused, with a sentence ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("a,b\n", "no_rows", "no rows"),
        ("a,b\n,\n,\n", "no_rows", "no rows"),
        ("\n\n", "no_header", "no header line"),
        ("id,Text,id\n1,x,2\n", "duplicate_header", "columns 1 and 3"),
        ("Text,TEXT \nx,y\n", "duplicate_header", "“TEXT”"),
        ("id,,Text\n1,2,x\n", "empty_header", "Column 2 (B) has no name"),
        ("a,b,c\n1,2,3\n1,2\n1,2,3,4\n", "ragged_row", "Line 3 has 2 cells, but the header in line 1 has 3"),
        ('a,b\n1,"x\n2,y\n', "bad_file", "never closed"),
        ('a,b\n1,"x"y\n', "bad_file", "In line 2"),
    ],
)
def test_a_broken_table_is_refused_with_a_sentence(prepare: Any, content: str, code: str, words: str) -> None:
    with pytest.raises(TableError) as refused:
        prepare(content)
    assert refused.value.code == code
    assert words in refused.value.message


def test_ragged_rows_name_the_other_lines_too(prepare: Any) -> None:
    with pytest.raises(TableError, match="The same holds for lines 3, 5"):
        prepare("a,b\n1\n2\n3,3\n4,4,4\n")


def test_two_hundred_and_one_columns_are_too_many(prepare: Any) -> None:
    header = ",".join(f"c{n}" for n in range(201))
    with pytest.raises(TableError, match="201 columns; at most 200"):
        prepare(f"{header}\n{','.join('1' * 201)}\n")


@override_settings(LIMIT_ROWS=3)
def test_too_many_rows_are_refused(prepare: Any) -> None:
    with pytest.raises(TableError, match="more than 3 rows"):
        prepare("Text\na\nb\nc\nd\n")


def test_a_refusal_leaves_no_copy(prepare: Any, tmp_path: Path) -> None:
    with pytest.raises(TableError):
        prepare("a,b\n1\n")
    assert not (tmp_path / "plain.csv").exists()


# --- cells as typed ------------------------------------------------------------------------------------
AS_TYPED = ["N/A", "None", "null", "NA", "NaN", "007", "-", "=1+1", " spaced ", "two\nlines", "tab\there",
            '"quoted"', "emoji 👩‍👩‍👧 ok", "ünïcödé", "1e5", "#REF!", "a\r\nb"]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_cell_is_kept_as_typed(prepare: Any, encoding: str, separator: str) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator)
    writer.writerow(["id", "Text"])
    writer.writerows([f"{n:03d}", text] for n, text in enumerate(AS_TYPED))
    facts, rows = prepare(buffer.getvalue().encode(encoding))
    assert [row[1] for row in rows] == AS_TYPED
    assert rows[7][0] == "007"
    assert facts["separator"] == separator
    assert facts["columns"][0]["type"] == "text"  # leading zeros: no number


def test_western_encodings_are_found(prepare: Any) -> None:
    facts, rows = prepare("id;Text\n1;Schöne Grüße – 5 €\n2;Übermäßig\n".encode("cp1252"))
    assert [row[1] for row in rows] == ["Schöne Grüße – 5 €", "Übermäßig"]
    assert facts["encoding"] == "cp1252"


def test_nul_characters_become_storable(prepare: Any) -> None:
    assert prepare("id,Text\n1,a\x00b and some more text\n")[1] == [["1", "a\ufffdb and some more text"]]


def test_rows_of_empty_cells_count_but_not_at_the_end(prepare: Any) -> None:
    facts, rows = prepare("a,b\n1,x\n,\n\n2,y\n,\n,\n")
    assert rows == [["1", "x"], ["", ""], ["2", "y"]]
    assert facts["n_rows"] == 3
    assert facts["columns"][0]["n_empty"] == 1


def test_trailing_separators_and_columns_without_anything_are_dropped(prepare: Any) -> None:
    facts, rows = prepare("id,Text,,\n1,x,,\n2,y,,\n")
    assert [column["name"] for column in facts["columns"]] == ["id", "Text"]
    assert rows == [["1", "x"], ["2", "y"]]


def test_pasted_text_is_one_verbatim_per_line(tmp_path: Path) -> None:
    facts = text_prepare("first, with comma\n\n  second \nthird;\ud800", tmp_path / "plain.csv")
    assert [row[0] for row in plain_rows(tmp_path / "plain.csv")] == [
        "first, with comma",
        "second",
        "third;\ufffd",
    ]
    assert facts["columns"][0]["type"] == "text_to_analyze"


def test_pasting_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="There is no text"):
        text_prepare(" \n\n", tmp_path / "plain.csv")


# --- workbooks -----------------------------------------------------------------------------------------
def test_workbook_cells_read_as_a_person_sees_them(prepare: Any) -> None:
    content = workbook(
        [
            ["id", "When", "At", "Yes", "Sum", "Text", None],
            [7, date(2026, 3, 1), datetime(2026, 3, 1, 10, 30), True, "=1+1", "007", None],
            [123456789012345, None, None, False, 0.1 + 0.2, "line\nbreak", None],
            [2.5, None, None, None, None, "cleaned_x000D_\nhere", None],
            [None, None, None, None, None, " ", None],
        ]
    )
    facts, rows = prepare(content, "book.xlsx")
    assert rows[0] == ["7", "2026-03-01", "2026-03-01 10:30:00", "TRUE", "42", "007"]
    assert rows[1] == ["123456789012345", "", "", "FALSE", "0.3", "line\nbreak"]
    assert rows[2][5] == "cleaned\nhere"
    assert facts["n_rows"] == 3
    assert [column["type"] for column in facts["columns"]][1:4] == ["date", "date", "boolean"]


def test_a_title_above_the_table_is_left_out(prepare: Any) -> None:
    content = workbook([[None], [None], ["id", "Text"], [1, "a"], [2, "b"]], merge=(0, 0, 0, 3, "Survey 2026"))
    facts, rows = prepare(content, "book.xlsx")
    assert [column["name"] for column in facts["columns"]] == ["id", "Text"]
    assert rows == [["1", "a"], ["2", "b"]]
    assert "1 title line above the table left out" in facts["notices"][0]


def test_a_header_merged_over_two_columns_is_explained(prepare: Any) -> None:
    content = workbook([["id", None, None], [1, "x", "y"]], merge=(0, 1, 0, 2, "Ratings"))
    with pytest.raises(TableError, match=r"Line 2 has something in column C|Column 3 \(C\) has no name"):
        prepare(content, "book.xlsx")


def test_one_of_several_sheets_can_be_read(prepare: Any) -> None:
    content = workbook([["a"], ["1"]], [["Text"], ["second sheet"]])
    assert prepare(content, "book.xlsx")[0]["sheets"] == ["Sheet1", "Sheet2"]
    assert prepare(content, "book.xlsx", sheet="Sheet2")[1] == [["second sheet"]]


# --- types ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "style", "value"),
    [("7", "point", 7), ("-2.50", "point", -2.5), ("1,234.5", "point", 1234.5), ("1e3", "point", 1000.0),
     ("3,5", "comma", 3.5), ("1.234,5", "comma", 1234.5), ("12345678901234567890", "point", 12345678901234567890)],
)  # fmt: skip
def test_numbers(text: str, style: str, value: float) -> None:
    assert parse_number(text, style) == value


@pytest.mark.parametrize(
    "text", ["", "x", "7 apples", "1,2,3", "--1", "1e999", "NaN", "inf", "٣", ".", "+", "0x1f"]
)
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [("2026-03-01", "iso", "2026-03-01"), ("1.3.2026", "dmy_dots", "2026-03-01"),
     ("01/03/2026", "dmy", "2026-03-01"), ("03/01/2026", "mdy", "2026-03-01"),
     ("2026-03-01T10:30:00Z", "iso", "2026-03-01T10:30:00+00:00"),
     ("2026-03-01 10:30", "iso", "2026-03-01T10:30:00+00:00"),
     ("2026-03-01T10:30:00+02:00", "iso", "2026-03-01T10:30:00+02:00"),
     ("1.3.2026 7:05", "dmy_dots", "2026-03-01T07:05:00+00:00")],
)  # fmt: skip
def test_dates_keep_their_time_zone(text: str, style: str, value: str) -> None:
    assert parse_date(text, style) == value


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "today", "01/03/2026", "2026-03-01T25:00"])
def test_no_dates(text: str) -> None:
    with pytest.raises(ValueError, match="date"):
        parse_date(text, "iso")


def test_booleans_languages_and_options() -> None:
    assert [parse_boolean(word) for word in ("Yes", "no", "TRUE", "0")] == [True, False, True, False]
    assert [parse_language(word) for word in ("DE", "en-GB", "pt_BR")] == ["de", "en", "pt"]
    with pytest.raises(ValueError, match="language"):
        parse_language("xx")
    assert parse_multi("a; b;a ;", ";") == ["a", "b"]


def table(**columns: list[str]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("score", [str(n % 11) for n in range(60)], "numerical"),
        ("order_id", [f"{n:05d}" for n in range(60)], "text"),
        ("when", [f"2026-03-{n % 28 + 1:02d}" for n in range(60)], "date"),
        ("when", [f"{n % 28 + 1}.3.2026" for n in range(60)], "date"),
        ("member", ["yes", "no", ""] * 20, "boolean"),
        ("region", ["North", "South", "East"] * 20, "single_select"),
        ("likes", ["price; staff", "staff", "price; speed"] * 20, "multi_select"),
        ("language", ["en", "de", "fr"] * 20, "language"),
        ("country", ["no", "it", "de"] * 20, "single_select"),
        ("Comment", [f"I liked number {n} a lot" for n in range(60)], "text_to_analyze"),
        ("What is the reason?", ["too slow", "nice staff", f"{'ok'} price"] * 20, "single_select"),
        ("Why did you choose us?", [f"reason {n}" for n in range(60)], "text_to_analyze"),
        ("city", [f"City{n}" for n in range(60)], "text"),
    ],
)
def test_types_are_suggested_from_cells_and_name(prepare: Any, name: str, cells: list[str], kind: str) -> None:
    facts, _rows = prepare(table(**{"n": [str(n) for n in range(60)], name: cells}))
    assert facts["columns"][1]["type"] == kind


def test_month_first_is_taken_where_it_is_the_only_reading(prepare: Any) -> None:
    facts, _rows = prepare(table(id=["a", "b", "c"], when=["12/31/2026", "01/02/2026", "02/15/2026"]))
    assert facts["columns"][1]["styles"]["date"] == "mdy"
    assert not facts["columns"][1]["dates_are_ambiguous"]
    facts, _rows = prepare(table(id=["a", "b"], when=["01/02/2026", "03/04/2026"]))
    assert facts["columns"][1]["styles"]["date"] == "dmy"
    assert facts["columns"][1]["dates_are_ambiguous"]


def test_five_samples_and_empties_are_counted(prepare: Any) -> None:
    facts, _rows = prepare(table(id=[str(n) for n in range(9)], Text=["a", "", "b", " ", "c", "d", "e", "f", "a"]))
    column = facts["columns"][1]
    assert column["samples"] == ["a", "b", "c", "d", "e"]
    assert column["n_empty"] == 2


# --- the plan ------------------------------------------------------------------------------------------
def test_cells_that_do_not_fit_are_told_with_row_and_reason(prepare: Any, tmp_path: Path) -> None:
    facts, _rows = prepare(table(score=[*map(str, range(98)), "x", "-99"], Text=[f"text {n}" for n in range(100)]))
    plan = plan_default(facts)
    plan[0].type = "numerical"
    found = list(bad_cells(tmp_path / "plain.csv", plan, facts, ()))
    assert [(cell.row, cell.column, cell.value, cell.reason) for cell in found] == [
        (99, "score", "x", "is not a number")
    ]
    assert list(bad_cells(tmp_path / "plain.csv", plan, facts, ("x",))) == []


def test_placeholders_count_as_empty(prepare: Any, tmp_path: Path) -> None:
    facts, _rows = prepare(table(id=["1", "2", "3", "4"], Text=["n/a", "N/A", " -99 ", ""]))
    plan = plan_default(facts)
    plan[1].type = "text_to_analyze"
    assert empty_counts(tmp_path / "plain.csv", plan, facts, ())[1] == 1
    assert empty_counts(tmp_path / "plain.csv", plan, facts, ("-99", "N/A"))[1] == 3
    read = cell_reader(plan[1], ("-99",))
    assert [read(cell) for cell in ("n/a", " -99 ", " ")] == ["n/a", None, None]


@override_settings(LIMIT_TEXT_CHARS=100)
def test_a_cell_over_the_limit_does_not_fit(prepare: Any, tmp_path: Path) -> None:
    facts, _rows = prepare(table(id=["1", "2"], Text=["x" * 100, "y" * 101]))
    found = list(bad_cells(tmp_path / "plain.csv", plan_default(facts), facts, ()))
    assert [(cell.row, cell.reason) for cell in found] == [(2, "has 101 characters, at most 100 are allowed")]


def test_refs_are_short_unique_and_never_empty() -> None:
    plans = [
        ColumnPlan(0, "Was gefällt?", "text"),
        ColumnPlan(1, "was gefallt", "text"),
        ColumnPlan(2, "好", "text"),
    ]
    plans.append(ColumnPlan(3, "x" * 300, "text"))
    found = refs(plans)
    assert found[0] == "was_gefallt"
    assert found[1] == "was_gefallt_2"
    assert found[2] == "column_3"
    assert len(found[3]) <= 64
