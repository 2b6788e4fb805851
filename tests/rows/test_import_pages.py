"""The import wizard over HTTP: three steps, bad input, other people, double submit."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from projects.jobs import job_execute
from projects.models import Job, JobState, Project
from rows.models import Row, Upload, UploadState, Verbatim

pytestmark = pytest.mark.django_db
URL = "/import/"
GOOD = "id,Comment,score\n" + "\n".join(f"{n:03d},I liked thing number {n},{n % 11}" for n in range(100)) + "\n"


def upload(client: Any, content: bytes | str, name: str = "answers.csv") -> Any:
    data = content.encode() if isinstance(content, str) else content
    return client.post(URL, {"file": SimpleUploadedFile(name, data)})


def organise(client: Any, found: Upload, **changes: str) -> Any:
    values: dict[str, str] = {}
    for column in found.facts["columns"]:
        prefix = f"c{column['index']}-"
        analysed = column["type"] == "text_to_analyze"
        values |= {f"{prefix}name": column["name"], f"{prefix}type": "text" if analysed else column["type"]}
        if analysed:
            values[f"{prefix}analyse"] = "1"
    values |= {key.replace("_", "-", 1): value for key, value in changes.items()}
    return client.post(
        reverse("rows:import_organise", args=[found.pk]), {k: v for k, v in values.items() if v != "-"}
    )


SETTINGS = {"name": "My survey", "language": "en", "tags": "a, b", "description": "All of March"}


@pytest.fixture
def found(as_alice: Any) -> Upload:
    """Alice's organised upload."""
    assert upload(as_alice, GOOD).status_code == 302
    made = Upload.objects.get()
    assert organise(as_alice, made).status_code == 302
    made.refresh_from_db()
    return made


def execute(job_id: Any) -> Job:
    """Do the worker's work."""
    done = job_execute(job_id)
    assert done is not None
    return done


# --- the whole way -------------------------------------------------------------------------------------
def test_three_steps_lead_to_a_project(as_alice: Any, alice: Any) -> None:
    assert b"Choose a CSV or Excel file" in as_alice.get(URL).content
    answer = upload(as_alice, GOOD)
    made = Upload.objects.get()
    assert answer.url == reverse("rows:import_organise", args=[made.pk])
    page = as_alice.get(answer.url).content.decode()
    assert "I liked thing number 0" in page
    assert 'name="c1-analyse" value="1" checked' in page
    answer = organise(as_alice, made, c1_name="Opinion", c1_wording="What do you think?")
    assert answer.url == reverse("rows:import_settings", args=[made.pk])
    page = as_alice.get(answer.url).content.decode()
    assert 'value="answers"' in page
    assert "Every cell fits its column" in page
    answer = as_alice.post(answer.url, SETTINGS)
    job = Job.objects.get(kind="import")
    assert answer.url == reverse("projects:job_detail", args=[job.pk])
    project = Project.objects.get()
    assert (project.state, project.owner, project.tags, project.name) == (
        "importing",
        alice,
        ["a", "b"],
        "My survey",
    )
    assert as_alice.get(answer.url).status_code == 200
    assert execute(job.pk).state == JobState.DONE
    column = project.columns.get(type="text_to_analyze")
    assert (column.name, column.wording) == ("Opinion", "What do you think?")
    assert Verbatim.objects.filter(column=column).count() == 100
    assert as_alice.get(reverse("rows:browser", args=[column.pk])).status_code == 200


def test_pasted_text_goes_the_same_way(as_alice: Any) -> None:
    answer = as_alice.post(URL, {"text": "first answer\r\nsecond, with comma\r\n"})
    assert answer.status_code == 302
    assert Upload.objects.get().facts["n_rows"] == 2


def test_placeholders_change_the_numbers(as_alice: Any, found: Upload, htmx: dict[str, str]) -> None:
    url = reverse("rows:import_check", args=[found.pk])
    page = as_alice.get(url, {"placeholders_0": "I liked thing number 7"}, headers=htmx).content.decode()
    assert 'id="import-check"' in page
    assert "<html" not in page
    assert page.count("<dd>1</dd>") == 1


def test_cells_that_do_not_fit_are_shown_and_wait_for_a_decision(as_alice: Any) -> None:
    upload(as_alice, GOOD + "100,one more,=many\n")
    made = Upload.objects.get()
    organise(as_alice, made)
    url = reverse("rows:import_settings", args=[made.pk])
    page = as_alice.get(url).content.decode()
    assert "1 cell does not fit" in page
    assert "=many" in page
    report = b"".join(as_alice.get(reverse("rows:import_bad_cells", args=[made.pk])).streaming_content).decode(
        "utf-8-sig"
    )
    assert report.splitlines() == ["row,column,value,problem", "101,score,'=many,is not a number"]
    refused = as_alice.post(url, SETTINGS)
    assert refused.status_code == 422
    assert "Choose to leave them empty" in refused.content.decode()
    assert not Project.objects.exists()
    assert as_alice.post(url, {**SETTINGS, "bad_cells": "empty"}).status_code == 302
    execute(Job.objects.get(kind="import").pk)
    assert "score" not in Row.objects.get(number=101).values


# --- bad files: a sentence, 422, nothing kept ------------------------------------------------------------
def zip_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_DOT_", "."), content)
    return buffer.getvalue()


def bomb() -> bytes:
    return zip_of(xl__workbook_DOT_xml=b"<workbook/>", xl__worksheets__sheet1_DOT_xml=b"0" * (120 * 1024 * 1024))


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
BAD_FILES: dict[str, tuple[Any, str, str]] = {
    "empty file": (b"", "a.csv", "empty"),
    "header only": (b"id,Comment\n", "a.csv", "no rows"),
    "duplicate header": (b"a,A\n1,2\n", "a.csv", "Two columns are named"),
    "empty header": (b"a,,c\n1,2,3\n", "a.csv", "has no name"),
    "ragged rows": (b"a,b\n1,2\n1\n", "a.csv", "Line 3 has 1 cell"),
    "broken encoding": (("a,b\n" + "ü,é\nö,ä\n" * 9).encode() + b"\xff\xfe,x\n", "a.csv", "CSV UTF-8"),
    "binary renamed": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a.csv", "is an image"),
    "binary without name": (struct.pack("<200I", *range(200)), "a.csv", "is no text"),
    "zip bomb": (bomb, "a.xlsx", "unpacks to far more"),
    "macros": (zip_of(xl__workbook_DOT_xml=b"<w/>", xl__vbaProject_DOT_bin=b"x"), "a.xlsx", "macros"),
    "macro ending": (b"PK\x03\x04", "a.xlsm", "macros"),
    "encrypted": (OLE + "EncryptedPackage".encode("utf-16-le") + bytes(600), "a.xlsx", "password"),
    "no workbook": (b"id,Comment\n1,x\n", "a.xlsx", "no Excel workbook"),
    "too many columns": (
        ",".join(f"c{n}" for n in range(201)).encode() + b"\n" + b"," * 200,
        "a.csv",
        "201 columns",
    ),
    "another kind": (b"x", "a.pdf", "not a table"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_with_a_sentence(as_alice: Any, settings: Any, case: str) -> None:
    content, name, words = BAD_FILES[case]
    answer = upload(as_alice, content() if callable(content) else content, name)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert page.count('role="alert"') == 2  # the sentence, and the one the browser fills in
    assert not Upload.objects.exists()
    assert not list(Path(settings.UPLOAD_DIR).glob("*"))


def test_no_file_at_all_is_refused(as_alice: Any) -> None:
    answer = as_alice.post(URL, {})
    assert answer.status_code == 422
    assert "No file was chosen" in answer.content.decode()


def test_a_file_over_the_limit_is_refused(as_alice: Any, settings: Any) -> None:
    settings.LIMIT_FILE_MB = 1
    answer = upload(as_alice, "id,Comment\n" + "1,some text\n" * 100_000)
    assert answer.status_code == 422
    assert "at most 1 MB" in answer.content.decode()
    assert not Upload.objects.exists()


def test_a_full_disk_while_uploading_is_told(as_alice: Any, monkeypatch: Any) -> None:
    import errno

    def full(*args: Any, **values: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("rows.services.imports.table_prepare", full)
    answer = upload(as_alice, GOOD)
    assert answer.status_code == 422
    assert "The disk of the server is full" in answer.content.decode()


def test_no_text_column_chosen_is_refused(as_alice: Any) -> None:
    upload(as_alice, GOOD)
    made = Upload.objects.get()
    answer = organise(as_alice, made, c1_analyse="-")
    assert answer.status_code == 422
    assert "No column is to be analysed" in answer.content.decode()
    made.refresh_from_db()
    assert made.state == UploadState.UPLOADED


def test_names_are_checked_beside_their_field(as_alice: Any) -> None:
    upload(as_alice, GOOD)
    answer = organise(as_alice, Upload.objects.get(), c0_name="comment")
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Another column has this name already" in page
    assert 'value="comment"' in page  # what was typed is still there


def test_an_unknown_type_is_refused(as_alice: Any) -> None:
    upload(as_alice, GOOD)
    assert organise(as_alice, Upload.objects.get(), c0_type="spaceship").status_code == 409


def test_a_project_without_a_name_is_refused(as_alice: Any, found: Upload) -> None:
    answer = as_alice.post(reverse("rows:import_settings", args=[found.pk]), {**SETTINGS, "name": " "})
    assert answer.status_code == 422
    assert not Project.objects.exists()


def test_markup_in_a_file_stays_text(as_alice: Any) -> None:
    upload(as_alice, "id,<b>Comment</b>\n1,<script>alert(1)</script> and so on\n", "<i>x</i>.csv")
    page = as_alice.get(reverse("rows:import_organise", args=[Upload.objects.get().pk])).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


# --- once, and only by the person who uploaded -------------------------------------------------------------
def test_a_double_submit_makes_one_project(as_alice: Any, found: Upload) -> None:
    url = reverse("rows:import_settings", args=[found.pk])
    first, second = as_alice.post(url, SETTINGS), as_alice.post(url, SETTINGS)
    assert first.status_code == second.status_code == 302
    assert first.url == second.url
    assert Project.objects.count() == Job.objects.filter(kind="import").count() == 1
    assert as_alice.get(reverse("rows:import_organise", args=[found.pk])).url == first.url


@pytest.mark.parametrize("name", ["organise", "settings", "check", "bad_cells", "cancel", "sheet"])
def test_uploads_of_others_do_not_exist(as_charlie: Client, as_bob: Client, found: Upload, name: str) -> None:
    url = reverse(f"rows:import_{name}", args=[found.pk])
    for client in (as_charlie, as_bob):
        assert {client.get(url).status_code, client.post(url).status_code} <= {404, 405}
        assert 404 in {client.get(url).status_code, client.post(url).status_code}


def test_settings_want_organised_columns(as_alice: Any) -> None:
    upload(as_alice, GOOD)
    made = Upload.objects.get()
    assert as_alice.get(reverse("rows:import_settings", args=[made.pk])).url.endswith("/organise/")
    assert as_alice.get(reverse("rows:import_check", args=[made.pk])).status_code == 409


def test_cancelling_throws_the_upload_away(as_alice: Any, found: Upload) -> None:
    folder = Path(found.path)
    assert as_alice.get(reverse("rows:import_cancel", args=[found.pk])).status_code == 405
    assert as_alice.post(reverse("rows:import_cancel", args=[found.pk])).status_code == 302
    assert not Upload.objects.exists()
    assert not folder.exists()


def test_cancelling_a_submitted_upload_cancels_its_job(as_alice: Any, found: Upload) -> None:
    as_alice.post(reverse("rows:import_settings", args=[found.pk]), SETTINGS)
    as_alice.post(reverse("rows:import_cancel", args=[found.pk]))
    assert Job.objects.get(kind="import").state == JobState.CANCELLED
    assert not Project.objects.exists()


def test_another_sheet_can_be_chosen(as_alice: Any) -> None:
    from tests.rows.test_import_files import workbook

    upload(as_alice, workbook([["a", "b"], ["1", "2"]], [["Comment"], ["from the second sheet"]]), "book.xlsx")
    made = Upload.objects.get()
    assert b"Read this sheet" in as_alice.get(reverse("rows:import_organise", args=[made.pk])).content
    url = reverse("rows:import_sheet", args=[made.pk])
    assert as_alice.post(url, {"sheet": "Sheet2"}).status_code == 302
    made.refresh_from_db()
    assert [column["name"] for column in made.facts["columns"]] == ["Comment"]
    assert as_alice.post(url, {"sheet": "Nowhere"}).status_code == 422
