"""kill -9 of real workers: a job is done after the restart, no step lost and none done twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.system.harness import JobSeen, Process, Site

REDIS = pytest.param("sqlite", "redis", marks=pytest.mark.redis, id="sqlite-redis")
POSTGRES = pytest.param("postgresql", "files", id="postgresql-files")
PRODUCTION = pytest.param("postgresql", "redis", marks=pytest.mark.redis, id="postgresql-redis")
EMBEDDED = pytest.param("sqlite", "files", id="sqlite-files")

N_STEPS = 30


def enqueue(site: Site, n_steps: int = N_STEPS, step_s: float = 0.1) -> None:
    site.shell(
        f"""
from django.contrib.auth.models import User
from projects.jobs import job_enqueue
from projects.models import Project
user, _ = User.objects.get_or_create(username="alice")
project = Project.objects.create(name="Steps", owner=user)
answer = job_enqueue(kind="export", project=project, user=user,
                     payload={{"n_steps": {n_steps}, "step_s": {step_s}}}).pk
"""
    )


def steps_of(site: Site) -> list[int]:
    return [number for (number,) in site.sql("SELECT number FROM rows_row ORDER BY number")]


def is_under_way(attempt: int, job: JobSeen) -> bool:
    return job.state == "running" and job.attempts == attempt and bool(job.stage)


def start_worker(site: Site) -> Process:
    return site.start_worker("--include", "tests.system.steps_job")


@pytest.mark.slow
@pytest.mark.parametrize(("database", "broker"), [EMBEDDED, PRODUCTION])
def test_a_job_survives_kill_9_of_the_whole_worker(tmp_path: Path, database: str, broker: str) -> None:
    with Site(tmp_path, database=database, broker=broker) as site:
        site.migrate()
        worker = start_worker(site)
        enqueue(site)
        site.wait_for_job("export", lambda job: job.done >= 5, seconds=30, what="the job is under way")
        worker.kill()
        seen = site.job("export")
        assert seen is not None
        assert (seen.state, seen.attempts) == ("running", 1)
        assert seen.done < N_STEPS

        start_worker(site)
        seen = site.wait_for_job("export", lambda job: job.is_over, seconds=30, what="the job is over")
        assert (seen.state, seen.attempts, seen.error) == ("done", 2, "")
        assert steps_of(site) == list(range(1, N_STEPS + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("database", "broker"), [EMBEDDED, REDIS])
def test_a_job_survives_kill_9_of_the_pool_process(tmp_path: Path, database: str, broker: str) -> None:
    with Site(tmp_path, database=database, broker=broker) as site:
        site.migrate()
        worker = start_worker(site)
        enqueue(site)
        site.wait_for_job("export", lambda job: job.done >= 5, seconds=30, what="the job is under way")
        worker.kill_child()
        seen = site.wait_for_job("export", lambda job: job.is_over, seconds=30, what="the job is over")
        assert (seen.state, seen.attempts, seen.error) == ("done", 2, "")
        assert steps_of(site) == list(range(1, N_STEPS + 1))
        assert worker.is_running


@pytest.mark.slow
@pytest.mark.parametrize(("database", "broker"), [POSTGRES])
def test_a_job_that_kills_every_worker_is_given_up(tmp_path: Path, database: str, broker: str) -> None:
    with Site(tmp_path, database=database, broker=broker, JOB_MAX_ATTEMPTS="2") as site:
        site.migrate()
        worker = start_worker(site)
        enqueue(site, n_steps=1000)
        for attempt in (1, 2):
            site.wait_for_job(
                "export",
                partial(is_under_way, attempt),
                seconds=30,
                what=f"attempt {attempt} is under way",
            )
            worker.kill_child()
        seen = site.wait_for_job("export", lambda job: job.is_over, seconds=30, what="the job is given up")
        assert seen.state == "failed"
        assert "stopped 2 times" in seen.error


@pytest.mark.slow
def test_work_that_was_queued_without_any_worker_is_done_by_the_first_one(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.migrate()
        enqueue(site, n_steps=2, step_s=0)
        for message in (tmp_path / "data" / "queue").iterdir():
            message.unlink()  # as if the broker had lost it
        start_worker(site)
        seen = site.wait_for_job("export", lambda job: job.is_over, seconds=30, what="the job is over")
        assert (seen.state, seen.attempts) == ("done", 1)
