"""Importing and exporting in a browser: the three steps, wrong files, narrow screens, keyboard, the way back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from playwright.sync_api import expect

from projects.jobs import job_execute
from projects.models import Job, Project
from rows.models import Upload, Verbatim

pytestmark = pytest.mark.django_db(transaction=True)
LINES = [f"{n:03d};{n % 28 + 1}.3.2026;{n % 11};The delivery of order {n} was slow, sadly" for n in range(40)]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "march answers.csv"
    lines = ["order;date;score;What happened?", *LINES, "040;1.4.2026;many;N/A", "041;2.4.2026;3;"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


@pytest.fixture
def wizard(site: Any, alice: Any) -> Any:
    site.sign_in(alice)
    return site.open("/import/")


def go_on(page: Any) -> None:
    page.get_by_role("button", name="Continue").click()


def choose(page: Any, file: Path) -> None:
    page.get_by_label(re.compile("Choose a CSV or Excel file")).set_input_files(str(file))
    go_on(page)
    page.wait_for_url("**/organise/")


def column(page: Any, name: str) -> Any:
    return page.get_by_role("group", name=f"Column {name}")


def run_job(page: Any) -> None:
    """Do the worker's work; the page notices by itself."""
    page.wait_for_url("**/jobs/*/")
    job_execute(Job.objects.filter(kind="import").latest("created_at").pk)


def test_a_csv_file_becomes_a_project(wizard: Any, answers: Path, site: Any) -> None:
    choose(wizard, answers)
    question = column(wizard, "What happened?")
    expect(question.get_by_role("switch")).to_be_checked()
    expect(question.get_by_label("Type")).to_be_hidden()
    expect(question.get_by_text("1 empty cell")).to_be_visible()
    expect(column(wizard, "date").get_by_label("Type")).to_have_value("date")
    column(wizard, "score").get_by_label("Type").select_option("Number")
    question.get_by_label("Name").fill("Happened")
    question.locator("summary").click()
    question.get_by_label("Full question").fill("What happened with your order?")
    site.assert_accessible()
    go_on(wizard)
    wizard.wait_for_url("**/settings/")
    expect(wizard.get_by_label("Project name")).to_have_value("march answers")
    expect(wizard.get_by_text("1 cell does not fit")).to_be_visible()
    expect(wizard.get_by_role("cell", name="many")).to_be_visible()
    site.assert_accessible()
    wizard.get_by_role("button", name="Start import").click()
    expect(wizard.get_by_text("Choose to leave them empty")).to_be_visible()
    wizard.get_by_label("Placeholder 1").fill("N/A")
    wizard.get_by_label("Placeholder 1").press("Tab")
    expect(wizard.locator(".stat", has_text="Empty verbatims").get_by_text("2", exact=True)).to_be_visible()
    wizard.get_by_label("Leave these cells empty").check()
    wizard.get_by_role("button", name="Start import").click()
    run_job(wizard)
    wizard.get_by_role("link", name="Open").click()
    project = Project.objects.get()
    wizard.wait_for_url(f"**/projects/{project.pk}/")
    assert Verbatim.objects.filter(is_empty=False).count() == 40
    assert project.columns.get(name="Happened").wording == "What happened with your order?"
    assert project.rows.get(number=41).values == {"order": "040", "date": "2026-04-01"}


def test_a_workbook_by_keyboard(wizard: Any, tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet("Answers")
    for number, row in enumerate(
        [["id", "Comment"], *([n, f"I would like more of number {n}"] for n in range(1, 21))]
    ):
        sheet.write_row(number, 0, row)
    book.close()
    choose(wizard, path)
    switch = column(wizard, "id").get_by_role("switch")
    switch.focus()
    wizard.keyboard.press("Tab")
    expect(column(wizard, "id").get_by_label("Type")).to_be_focused()
    wizard.keyboard.press("Shift+Tab")
    wizard.keyboard.press("Space")
    expect(switch).to_be_checked()
    wizard.keyboard.press("Space")
    wizard.keyboard.press("Enter")  # sends the form
    wizard.wait_for_url("**/settings/")
    expect(wizard.get_by_text("Every cell fits its column.")).to_be_visible()
    wizard.get_by_label("Project name").press("Enter")
    run_job(wizard)
    expect(wizard.get_by_role("link", name="Open")).to_be_visible()
    assert Verbatim.objects.count() == 20


def test_pasted_text_and_the_way_back(wizard: Any) -> None:
    wizard.get_by_label("Or paste text, one answer per line").fill("First answer here\nSecond, with a comma")
    go_on(wizard)
    wizard.wait_for_url("**/organise/")
    go_on(wizard)
    wizard.wait_for_url("**/settings/")
    wizard.get_by_role("link", name="Back").click()
    wizard.wait_for_url("**/organise/")
    wizard.get_by_role("button", name="Cancel").click()
    expect(wizard.get_by_text("The import was cancelled. Nothing was saved.")).to_be_visible()
    assert not Upload.objects.exists()


def test_wrong_files_are_refused_where_they_were_chosen(wizard: Any, tmp_path: Path, site: Any) -> None:
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n1\n", encoding="utf-8")
    wizard.get_by_label(re.compile("Choose a CSV or Excel file")).set_input_files(str(ragged))
    go_on(wizard)
    expect(wizard.get_by_role("alert").get_by_text("Line 3 has 1 cell")).to_be_visible()
    site.assert_accessible()
    pdf = tmp_path / "a.pdf"
    pdf.write_bytes(b"%PDF")
    wizard.get_by_label(re.compile("Choose a CSV or Excel file")).set_input_files(str(pdf))
    expect(wizard.get_by_text("This kind of file cannot be read.")).to_be_visible()
    go_on(wizard)
    expect(wizard).to_have_url(re.compile("/import/$"))
    assert not Upload.objects.exists()


def test_no_text_column_is_told(wizard: Any, answers: Path) -> None:
    choose(wizard, answers)
    column(wizard, "What happened?").get_by_role("switch").uncheck()
    go_on(wizard)
    expect(wizard.get_by_role("alert").get_by_text("No column is to be analysed.")).to_be_visible()


def test_export_from_the_view(site: Any, alice: Any, column: Any) -> None:
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/?q=delivery")
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Export")
    expect(dialog.get_by_text("2 rows match the filters of the view")).to_be_visible()
    dialog.get_by_text("Excel", exact=False).first.click()
    expect(dialog.get_by_label("Byte order mark")).to_be_hidden()
    dialog.get_by_role("button", name="Export").click()
    expect(dialog.get_by_text("You may close this and go on working.")).to_be_visible()
    job_execute(Job.objects.get(kind="export").pk)
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".xlsx")
    dialog.get_by_role("button", name="Another export").click()
    expect(dialog.get_by_role("cell", name="Rows, Excel (.xlsx)")).to_be_visible()
    site.assert_accessible()
