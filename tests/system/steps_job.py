"""A job for tests that takes its time: each step writes one row and its own number, in one transaction.

Loaded by a worker with `--include tests.system.steps_job`; it stands for any job that goes on where it
was, so that the brokers and databases can be tried quickly.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import transaction

from projects.jobs import JobRun, job_handler
from projects.models import Job, JobKind
from rows.models import Row


@job_handler(JobKind.EXPORT)
def steps(run: JobRun) -> dict[str, Any]:
    assert run.job.project is not None
    n_steps = run.payload["n_steps"]
    for step in range(run.payload.get("step", 0) + 1, n_steps + 1):
        time.sleep(run.payload["step_s"])
        with transaction.atomic():
            if not run.owns():
                run.check()
                break
            Row.objects.create(project=run.job.project, number=step)
            run.payload["step"] = step
            Job.objects.filter(pk=run.job.pk).update(payload=run.payload, done=step, total=n_steps)
        run.progress(step, n_steps, "Steps")
    return {"n_steps": n_steps}
