"""The export dialog, the list of exports and the download over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from projects.jobs import job_execute
from projects.models import Column, Job, JobState
from rows.services import exports

pytestmark = pytest.mark.django_db
FORM = {"content": "rows", "format": "csv", "layout": "columns", "metadata": "on", "bom": "on"}


def execute(job_id: Any) -> Job:
    """Do the worker's work."""
    done = job_execute(job_id)
    assert done is not None
    return done


def url_of(column: Column) -> str:
    return reverse("rows:export", args=[column.pk])


def finished(client: Client, column: Column, **values: str) -> Job:
    assert client.post(url_of(column), {**FORM, **values}).status_code == 302
    return execute(Job.objects.filter(kind="export").latest("created_at").pk)


def test_dialog_says_which_rows_go(as_bob: Any, column: Column, htmx: dict[str, str]) -> None:
    page = as_bob.get(url_of(column) + "?q=late&page=2", headers=htmx).content.decode()
    assert "<dialog" in page
    assert "<html" not in page
    assert "2 rows match the filters" in page
    assert 'name="query" value="q=late"' in page
    assert "All 6 rows" in as_bob.get(url_of(column)).content.decode()


def test_an_export_runs_and_can_be_downloaded(as_bob: Any, column: Column, htmx: dict[str, str]) -> None:
    answer = as_bob.post(url_of(column), {**FORM, "query": "q=late"}, headers=htmx)
    assert answer.status_code == 200
    job = Job.objects.get(kind="export")
    assert f'id="job-{job.pk}"' in answer.content.decode()
    assert f'{url_of(column)}?q=late"' in answer.content.decode()  # another export keeps the filter
    url = reverse("rows:export_download", args=[job.pk])
    assert as_bob.get(url).status_code == 409  # not ready
    job_execute(job.pk)
    answer = as_bob.get(url)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="customer-survey-comment-')
    assert b"".join(answer.streaming_content).decode("utf-8-sig").count("\r\n") == 3
    page = as_bob.get(reverse("rows:export_list", args=[column.pk])).content.decode()
    assert url in page
    assert "bob" in page


def test_excel_has_its_own_type(as_alice: Any, column: Column) -> None:
    job = finished(as_alice, column, format="xlsx")
    answer = as_alice.get(reverse("rows:export_download", args=[job.pk]))
    assert "spreadsheetml" in answer["Content-Type"]
    assert b"".join(answer.streaming_content).startswith(b"PK")


@pytest.mark.parametrize("values", [{"format": "pdf"}, {"content": "everything"}, {"layout": "x"}, {"format": ""}])
def test_choices_that_are_none_are_refused(as_alice: Any, column: Column, values: dict[str, str]) -> None:
    assert as_alice.post(url_of(column), {**FORM, **values}).status_code == 422
    assert not Job.objects.exists()


def test_a_deleted_file_is_told(as_alice: Any, column: Column) -> None:
    job = finished(as_alice, column)
    exports.export_path(job).unlink()
    answer = as_alice.get(reverse("rows:export_download", args=[job.pk]))
    assert answer.status_code == 410
    assert "kept for 7 days" in answer.content.decode()
    assert "deleted" in as_alice.get(reverse("rows:export_list", args=[column.pk])).content.decode()


def test_a_failed_export_says_why(as_alice: Any, column: Column) -> None:
    as_alice.post(url_of(column), FORM)
    Job.objects.update(state=JobState.FAILED, error="The disk of the server is full.")
    page = as_alice.get(reverse("rows:export_list", args=[column.pk])).content.decode()
    assert "The disk of the server is full." in page


@pytest.mark.parametrize("role", ["viewer"])
def test_viewers_may_not_export(as_alice: Any, as_bob: Any, as_charlie: Client, column: Column) -> None:
    download = reverse("rows:export_download", args=[finished(as_alice, column).pk])
    for url in (url_of(column), reverse("rows:export_list", args=[column.pk]), download):
        assert as_bob.get(url).status_code == 403
        assert as_charlie.get(url).status_code == 404
        assert Client().get(url).status_code == 302
    assert as_bob.post(url_of(column), FORM).status_code == 403
    assert as_charlie.post(url_of(column), FORM).status_code == 404
    assert Job.objects.filter(kind="export").count() == 1


def test_other_jobs_are_no_downloads(as_alice: Any, column: Column, alice: Any) -> None:
    job = Job.objects.create(kind="update", project=column.project, column=column, user=alice, state=JobState.DONE)
    assert as_alice.get(reverse("rows:export_download", args=[job.pk])).status_code == 404
