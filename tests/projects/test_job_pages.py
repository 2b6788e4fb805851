"""Background work on screen: progress, cancelling, failure, another try, the banner."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from projects.models import Job, JobKind, JobState, ProjectState


@pytest.fixture
def job(project, column, alice) -> Job:
    return Job.objects.create(
        kind=JobKind.UPDATE,
        state=JobState.RUNNING,
        project=project,
        column=column,
        user=alice,
        stage="Encode texts",
        done=30,
        total=120,
        heartbeat_at=timezone.now(),
    )


def url(name: str, job: Job) -> str:
    return reverse(f"projects:{name}", args=[job.pk])


def test_an_active_job_shows_progress_and_asks_again(job, as_bob, htmx):
    fragment = as_bob.get(url("job_detail", job), headers=htmx).content.decode()

    assert 'value="30" max="120"' in fragment
    assert "Encode texts" in fragment
    assert 'hx-trigger="every 1s"' in fragment
    assert "<html" not in fragment
    assert "<html" in as_bob.get(url("job_detail", job)).content.decode()


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_a_finished_job_stops_asking_and_tells_the_page(job, as_bob, htmx, state):
    Job.objects.update(state=state, finished_at=timezone.now(), error="The disk of the server is full.")

    response = as_bob.get(url("job_detail", job), headers=htmx)

    assert "hx-trigger" not in response.content.decode()
    assert "ai-changed" in response["HX-Trigger"]


def test_a_failure_shows_its_reason_and_another_try(job, as_bob, htmx):
    Job.objects.update(state=JobState.FAILED, finished_at=timezone.now(), error="The disk of the server is full.")
    page = as_bob.get(url("job_detail", job)).content.decode()
    assert "The disk of the server is full." in page

    response = as_bob.post(url("job_retry", job), headers=htmx)

    assert response.status_code == 200
    job.refresh_from_db()
    assert (job.state, job.error, job.attempts) == (JobState.QUEUED, "", 0)
    assert as_bob.post(url("job_retry", job)).status_code == 422


def test_cancelling_a_running_job_asks_it_to_stop(job, as_bob, htmx):
    response = as_bob.post(url("job_cancel", job), headers=htmx)

    assert "Stopping" in response.content.decode()
    job.refresh_from_db()
    assert job.cancel_requested


def test_cancelling_a_waiting_job_ends_it(job, as_bob):
    Job.objects.update(state=JobState.QUEUED)

    response = as_bob.post(url("job_cancel", job))

    assert response["Location"] == url("job_detail", job)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert as_bob.post(url("job_cancel", job)).status_code == 409


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_watches_only(job, as_bob, role):
    page = as_bob.get(url("job_detail", job)).content.decode()

    assert url("job_cancel", job) not in page
    assert as_bob.post(url("job_cancel", job)).status_code == 403
    assert as_bob.post(url("job_retry", job)).status_code == 403


def test_strangers_get_404_and_a_fragment_that_stops_asking(job, as_charlie, htmx):
    assert as_charlie.get(url("job_detail", job)).status_code == 404

    response = as_charlie.get(url("job_detail", job), headers=htmx)

    assert response.status_code == 404
    assert response["HX-Retarget"] == f"#job-{job.pk}"
    assert "Encode texts" not in response.content.decode()
    assert "hx-trigger" not in response.content.decode()


def test_an_unknown_job_is_the_same(as_alice, htmx):
    assert as_alice.get(reverse("projects:job_detail", args=[uuid.uuid4()])).status_code == 404


def test_an_import_belongs_to_the_importer_until_it_is_ready(make_project, alice, bob, as_alice, as_bob):
    importing = make_project(alice, texts=[], members={bob: "admin"}, state=ProjectState.IMPORTING)
    job = Job.objects.create(kind=JobKind.IMPORT, project=importing, user=alice)

    assert as_alice.get(url("job_detail", job)).status_code == 200
    assert as_bob.get(url("job_detail", job)).status_code == 404


def test_it_answers_programs_with_json(job, as_bob):
    found = as_bob.get(url("job_detail", job), headers={"Accept": "application/json"}).json()

    assert (found["state"], found["done"], found["total"], found["stage"]) == ("running", 30, 120, "Encode texts")


def test_the_banner_appears_when_due_work_waits_and_nobody_works(job, as_bob, htmx):
    status = reverse("projects:work_waiting")
    assert "banner" not in as_bob.get(status, headers=htmx).content.decode()

    Job.objects.update(state=JobState.QUEUED, created_at=timezone.now() - timedelta(minutes=1))

    assert "no worker is answering" in as_bob.get(status, headers=htmx).content.decode()
    assert as_bob.get(status, headers={"Accept": "application/json"}).json() == {"waiting": True}


def test_pages_ask_for_the_banner(project, as_bob):
    assert reverse("projects:work_waiting") in as_bob.get("/").content.decode()
