"""The job that runs AI updates."""

from __future__ import annotations

from typing import Any

from finetune import services
from projects.jobs import JobRun, after_job_end, job_handler
from projects.models import Job, JobKind


@job_handler(JobKind.UPDATE)
def update_run(run: JobRun) -> dict[str, Any]:
    from finetune.updates import update_for_job  # numpy and scikit-learn: not for web processes

    return update_for_job(run)


@after_job_end(JobKind.UPDATE)
def update_over(job: Job) -> None:
    services.after_update(job)


@job_handler(JobKind.MEANING)
def meaning_run(run: JobRun) -> dict[str, Any]:
    from finetune.meaning import search_run

    return search_run(run)


@job_handler(JobKind.PROPOSALS)
def proposals_run(run: JobRun) -> dict[str, Any]:
    if run.payload.get("act") == "name":
        from finetune.naming import naming_run

        return naming_run(run)
    from finetune.proposing import propose_run

    return propose_run(run)
