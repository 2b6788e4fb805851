"""Start an AI update of a column from the command line."""

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune.models import Trigger
from finetune.services import update_request
from projects.jobs import job_execute, job_send, jobs_held
from projects.models import ACTIVE_STATES, Column, Job, JobKind, JobState


class Command(BaseCommand):
    help = "Update the AI of a text column: learn from its reviews, then assign topics to all other rows."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("column_id", type=int)
        parser.add_argument("--deep", action="store_true", help="fine-tune the encoder on the reviews first")
        parser.add_argument("--wait", action="store_true", help="do the work here and wait for its end")
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")

    def handle(self, *args: Any, **options: Any) -> None:
        column = Column.objects.select_related("project").filter(pk=options["column_id"]).first()
        if column is None or not column.is_text_to_analyze or column.project.deleted_at:
            raise CommandError(f"There is no text column {options['column_id']}.")
        if not options["wait"]:
            job = update_request(column=column, trigger=Trigger.COMMAND, deep=options["deep"])
            self.stdout.write("An update was queued." if job else "An update will follow the one that runs.")
            if options["json"]:
                self.stdout.write(json.dumps({"job": str(job.pk) if job else None}))
            return
        result = self._run(column, deep=options["deep"])
        self.stdout.write(f"Version {result['version']}: AI score {result['ai_score']}, {result['seconds']} s")
        if options["json"]:
            self.stdout.write(json.dumps(result))

    def _run(self, column: Column, *, deep: bool) -> dict[str, Any]:
        with jobs_held():
            job = update_request(column=column, trigger=Trigger.COMMAND, deep=deep)
            while job is None:  # one is running elsewhere; ours follows it
                time.sleep(1)
                job = update_request(column=column, trigger=Trigger.COMMAND, deep=deep)
            Job.objects.filter(pk=job.pk).update(not_before=None)
            done = job_execute(job.pk)
            while done is None or done.state in ACTIVE_STATES:  # a worker was faster: wait for it
                time.sleep(0.5)
                done = Job.objects.get(pk=job.pk)
        for follow_up in Job.objects.filter(column=column, kind=JobKind.UPDATE, state=JobState.QUEUED):
            job_send(follow_up)  # not ours to wait for
        if done.state != JobState.DONE:
            raise CommandError(done.error or f"The update was {done.get_state_display().lower()}.")
        return done.result
