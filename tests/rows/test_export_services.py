"""Exports: the right rows and cells, no formula, no half file, cancelled and purged cleanly."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from python_calamine import CalamineWorkbook

from projects.jobs import JobRun, job_execute
from projects.models import Column, Job, JobState
from rows.exporting import tables
from rows.exporting.files import CsvWriter, formula_safe
from rows.exporting.options import ExportOptions
from rows.models import Verbatim
from rows.services import exports
from topicassign.errors import ApplicationError

pytestmark = pytest.mark.django_db


def execute(job_id: Any) -> Job:
    """Do the worker's work."""
    done = job_execute(job_id)
    assert done is not None
    return done


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def read_xlsx(path: Path) -> list[list[Any]]:
    return CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()


@pytest.fixture
def coded(column: Column, assign: Callable[..., Any], alice: Any) -> Column:
    """Six rows: the first with two topics and reviewed, the third with one."""
    first, second, third = column.verbatims.order_by("row_number")[:3]
    topics = {topic.label: topic for topic in column.topics.all()}
    assign(first, topics["Delivery time"], -1, probability=0.91, position=0)
    assign(first, topics["Price"], probability=0.4, position=1)
    assign(second, topics["Friendliness"], 1, probability=None)
    assign(third, topics["Price"], probability=0.7)
    reviewed_at = timezone.now().replace(microsecond=0)
    Verbatim.objects.filter(pk=first.pk).update(
        is_reviewed=True, reviewed_by=alice, reviewed_at=reviewed_at, sentiment=-1, certainty=0.75
    )
    return column


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def make(column: Column, **options: Any) -> Path:
        chosen = ExportOptions(**options)
        path = tmp_path / f"out.{chosen.format}"
        exports.export_write(path=path, column=column, options=chosen)
        return path

    return make


def test_rows_have_one_column_per_topic(coded: Column, write: Any) -> None:
    header, *lines = read_csv(write(coded))
    assert header == [
        "Row", "Region", "Score", "Comment", "Overall sentiment", "Service: Friendliness",
        "Service: Delivery time", "Price: Price", "Reviewed", "Reviewed by", "Reviewed at", "Highlighted",
        "Certainty",
    ]  # fmt: skip
    assert lines[0][:10] == [
        "1", "North", "0", "The delivery came two days late.", "negative", "", "negative", "1", "yes", "alice",
    ]  # fmt: skip
    assert lines[1][5] == "positive"
    assert len(lines) == 6  # duplicates are not grouped
    assert lines[4][3] == ""


@pytest.mark.parametrize(
    ("layout", "cells"),
    [
        ("list", ["Service: Delivery time (negative); Price: Price", "0.9100; 0.4000"]),
        ("codes", None),
    ],
)
def test_topics_in_one_column(coded: Column, write: Any, layout: str, cells: list[str] | None) -> None:
    header, first, *_rest = read_csv(
        write(coded, layout=layout, probabilities=True, metadata=False, other_columns=False)
    )
    if cells is None:
        delivery, price = coded.topics.get(label="Delivery time"), coded.topics.get(label="Price")
        cells = [f"{delivery.code_negative}; {price.code_neutral}", "0.9100; 0.4000"]
    assert header == [
        "Row",
        "Comment",
        "Overall sentiment",
        "Topics" if layout == "list" else "Topic codes",
        "Probabilities",
    ]
    assert first[3:] == cells


def test_probabilities_stand_beside_their_topics(coded: Column, write: Any) -> None:
    header, first, *_rest = read_csv(write(coded, probabilities=True, metadata=False, other_columns=False))
    assert dict(zip(header, first, strict=True))["Price: Price (probability)"] == "0.4"


def test_excel_holds_the_same(coded: Column, write: Any) -> None:
    header, first, *lines = read_xlsx(write(coded, format="xlsx"))
    assert header[:4] == ["Row", "Region", "Score", "Comment"]
    assert first[:8] == [1, "North", 0, "The delivery came two days late.", "negative", "", "negative", 1]
    assert len(lines) == 5


def test_filters_of_the_view_are_obeyed(coded: Column, write: Any) -> None:
    price = coded.topics.get(label="Price")
    assert [line[0] for line in read_csv(write(coded, query=f"topic={price.pk}"))[1:]] == ["1", "3"]
    assert [line[0] for line in read_csv(write(coded, query="reviewed=yes"))[1:]] == ["1"]
    assert [line[0] for line in read_csv(write(coded, query="q=delivery&sort=certainty"))[1:]] == ["1", "4"]
    assert read_csv(write(coded, query="q=nothing-like-it"))[1:] == []


def test_other_text_columns_come_along(make_project: Any, alice: Any, write: Any) -> None:
    project = make_project(alice, texts={"Comment": ["one", "two"], "Reason": ["because", ""]})
    header, *lines = read_csv(write(project.column, metadata=False))
    assert header[:3] == ["Row", "Reason", "Comment"]
    assert [line[:3] for line in lines] == [["1", "because", "one"], ["2", "", "two"]]


def test_chunks_join_without_a_seam(coded: Column, write: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 2)
    assert [line[0] for line in read_csv(write(coded))[1:]] == ["1", "2", "3", "4", "5", "6"]


def test_summary_counts_versions_and_counts_a_row_once_per_category(
    coded: Column, write: Any, assign: Any
) -> None:
    second = coded.verbatims.get(row_number=2)
    assign(second, coded.topics.get(label="Delivery time"), 0)
    header, *lines = read_csv(write(coded, content="summary"))
    assert header == ["Level", "Category", "Topic", "Sentiment", "Code", "Rows", "Share of rows with text"]
    by_name = {(line[0], line[1], line[2], line[3]): line for line in lines}
    assert by_name["All rows", "", "", ""][5] == "6"
    assert by_name["Rows with text", "", "", ""][5:] == ["5", "1.0"]
    assert by_name["Category", "Service", "", ""][5:] == ["2", "0.4"]
    assert by_name["Topic", "Service", "Delivery time", ""][5:] == ["2", "0.4"]
    negative = next(line for line in lines if line[0] == "Version" and line[3] == "negative" and line[5] == "1")
    assert negative[4] == str(coded.topics.get(label="Delivery time").code_negative)
    assert by_name["Topic", "Price", "Price", ""][4] == str(coded.topics.get(label="Price").code_neutral)


def test_summary_follows_the_filter(coded: Column, write: Any) -> None:
    lines = read_csv(write(coded, content="summary", query="reviewed=yes"))
    assert lines[1][5] == "1"
    assert next(line for line in lines if line[:3] == ["Topic", "Price", "Price"])[5:] == ["1", "1.0"]


# --- cells that spreadsheets must not compute -------------------------------------------------------------
EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/c calc'!A0", "＝1+1", "fine = 1"]


def test_no_cell_becomes_a_formula(make_project: Any, alice: Any, write: Any) -> None:
    project = make_project(alice, texts=EVIL, topics=[("=Cat", "@Topic", False)])
    header, *lines = read_csv(write(project.column, metadata=False))
    assert [line[1] for line in lines] == [f"'{text}" for text in EVIL[:-1]] + ["fine = 1"]
    assert header[3] == "'=Cat: @Topic"
    sheet = read_xlsx(write(project.column, metadata=False, format="xlsx"))
    assert [line[1] for line in sheet[1:]] == EVIL  # strings, as typed: a workbook says what is a formula
    assert formula_safe(-5) == -5


def test_excel_survives_what_people_type(make_project: Any, alice: Any, write: Any) -> None:
    texts = [
        "bell \x07 and \x1b",
        "\ufffe\uffff",
        "<b>&amp;",
        "emoji 👩‍👩‍👧",
        "http://example.org/",
        "x" * 20_000,
        "_x000D_",
    ]
    project = make_project(alice, texts=texts)
    sheet = read_xlsx(write(project.column, metadata=False, format="xlsx"))
    assert [line[1] for line in sheet[3:7]] == texts[2:6]
    assert len(sheet) == 8


def test_csv_goes_with_or_without_byte_order_mark(coded: Column, write: Any) -> None:
    assert write(coded, bom=True).read_bytes().startswith(b"\xef\xbb\xbfRow")
    assert write(coded, bom=False).read_bytes().startswith(b"Row")


# --- the job -------------------------------------------------------------------------------------------
def test_the_job_makes_a_file_and_says_how_many_rows(coded: Column, alice: Any) -> None:
    job = execute(exports.export_start(column=coded, user=alice, options=ExportOptions()).pk)
    assert job.state == JobState.DONE
    assert job.result["n_rows"] == 6
    path = exports.export_path(job)
    assert job.result["size_bytes"] == path.stat().st_size
    assert job.result["file_name"] == f"customer-survey-comment-{timezone.localdate():%Y-%m-%d}.csv"
    assert [one.name for one in path.parent.iterdir()] == ["export.csv"]


def test_the_filter_is_stored_as_understood(coded: Column, alice: Any) -> None:
    job = exports.export_start(
        column=coded, user=alice, options=ExportOptions(query="topic=999999&reviewed=maybe&q=late")
    )
    assert job.payload["options"]["query"] == "q=late"


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_full_disk_leaves_no_half_file(
    coded: Column, alice: Any, monkeypatch: Any, kind: str, settings: Any
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if kind == "csv":
        monkeypatch.setattr(CsvWriter, "write", full)
    else:
        monkeypatch.setattr("xlsxwriter.workbook.Workbook._store_workbook", full)
    job = execute(exports.export_start(column=coded, user=alice, options=ExportOptions(format=kind)).pk)
    assert job.state == JobState.FAILED
    assert job.error == "The disk of the server is full. Free some space, then try again."
    assert not list(Path(settings.EXPORT_DIR).rglob("*"))


def test_a_cancelled_export_leaves_no_file(coded: Column, alice: Any, monkeypatch: Any, settings: Any) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 2)
    job = exports.export_start(column=coded, user=alice, options=ExportOptions(format="xlsx"))
    progress = JobRun.progress

    def cancelling(run: JobRun, *args: Any, **values: Any) -> None:
        run._last_write = 0
        Job.objects.filter(pk=job.pk).update(cancel_requested=True)
        progress(run, *args, **values)

    monkeypatch.setattr(JobRun, "progress", cancelling)
    assert execute(job.pk).state == JobState.CANCELLED
    assert not list(Path(settings.EXPORT_DIR).rglob("*"))


def test_a_second_run_replaces_the_file(coded: Column, alice: Any) -> None:
    job = execute(exports.export_start(column=coded, user=alice, options=ExportOptions()).pk)
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    assert execute(job.pk).state == JobState.DONE
    assert len(read_csv(exports.export_path(job))) == 7


def test_files_are_kept_for_some_days(coded: Column, alice: Any, settings: Any) -> None:
    old, new = (execute(exports.export_start(column=coded, user=alice, options=ExportOptions()).pk) for _n in "ab")
    folder = exports.export_path(old).parent
    eight_days_ago = time.time() - 8 * 86_400
    os.utime(folder, (eight_days_ago, eight_days_ago))
    assert exports.exports_purge(force=True) == 1
    assert not folder.exists()
    assert exports.export_path(new).exists()


def test_nobody_starts_exports_without_end(coded: Column, alice: Any) -> None:
    for _n in range(exports.MAX_ACTIVE):
        exports.export_start(column=coded, user=alice, options=ExportOptions())
    with pytest.raises(ApplicationError, match="several exports"):
        exports.export_start(column=coded, user=alice, options=ExportOptions())


def test_excel_says_when_there_are_too_many_rows(coded: Column, write: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("rows.exporting.files.EXCEL_ROWS", 5)
    with pytest.raises(ApplicationError, match="Export as CSV"):
        write(coded, format="xlsx")


# --- the command ---------------------------------------------------------------------------------------
def command(*args: Any) -> str:
    out = io.StringIO()
    call_command("export_rows", *map(str, args), stdout=out, stderr=io.StringIO())
    return out.getvalue()


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_command_writes_the_filtered_rows(coded: Column, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"
    answer = command(coded.pk, "--format", kind, "--output", path, "--filter", "?reviewed=yes", "--json")
    assert json.loads(answer)["n_rows"] == 1
    lines = read_csv(path) if kind == "csv" else read_xlsx(path)
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("sav", "format sav is not there yet. Use csv or xlsx"),
        ("json", "Use csv or xlsx"),
        ("pdf", "must be csv or xlsx"),
    ],
)
def test_command_says_which_formats_there_are(coded: Column, tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        command(coded.pk, "--format", kind, "--output", tmp_path / "x")
    assert not list(tmp_path.glob("x*"))


def test_command_refuses_what_is_not_there(coded: Column, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no text-to-analyze column 999"):
        command(999, "--format", "csv", "--output", tmp_path / "x.csv")
    with pytest.raises(CommandError, match="no folder"):
        command(coded.pk, "--format", "csv", "--output", tmp_path / "none" / "x.csv")
