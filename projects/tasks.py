"""Celery entry points: one task runs any job; a thread in the worker keeps the promises of `jobs`."""

from __future__ import annotations

import threading

import structlog
from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import close_old_connections

from projects import jobs
from projects.services.projects import projects_purge

log = structlog.get_logger(__name__)
_stop = threading.Event()


@shared_task(name="projects.job_run")
def job_run(job_id: str) -> None:
    jobs.job_execute(job_id)


def _keep_watch() -> None:
    while True:
        try:
            jobs.recover()
            for chore in _CHORES:
                chore()
        except Exception:
            log.warning("recovery_failed", exc_info=True)
        finally:
            close_old_connections()
        if _stop.wait(settings.JOB_RECOVERY_S):
            _note_stop()
            return


def _note_stop() -> None:
    try:
        jobs.jobs_note_stop()
    except Exception:
        log.warning("stop_not_noted", exc_info=True)
    finally:
        close_old_connections()


_CHORES: list = []


def chore(function):
    """Register something small that a worker does every few seconds (e.g. deleting old exports)."""
    _CHORES.append(function)
    return function


@chore
def purge_deleted_projects() -> None:
    """A little at a time: the watch over jobs must not wait for it. Two workers at it at once do no harm."""
    projects_purge(budget_s=1)


@worker_ready.connect
def start_watch(**_: object) -> None:
    threading.Thread(target=_keep_watch, name="job-recovery", daemon=True).start()


@worker_shutting_down.connect
def stop_watch(**_: object) -> None:
    _stop.set()
