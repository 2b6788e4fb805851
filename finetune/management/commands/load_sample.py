"""manage.py load_sample: three people and the sample project, through the services the pages use."""

from __future__ import annotations

import csv
import json
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command

from projects.jobs import job_execute, job_release_dead, job_send, jobs_held
from projects.models import Column, Job, JobKind, JobState, Member, Project, ProjectState, Role
from rows.models import Row
from rows.services.imports import ProjectSettings, file_import
from rows.services.reviews import TopicChoice, verbatim_review
from topicassign.errors import ApplicationError
from topics.codebook import codebook_import
from topics.models import Sentiment, Topic

NAME = "Harbour & Pine customer survey"
DESCRIPTION = "Sample project: answers to the survey of a fictional shop. Try everything, nothing can break."
TEXT_COLUMNS = ("What is the main reason for your score?", "What should we improve?")
KEY = "order_id"
ROLES = {"admin": Role.ADMIN, "analyst": Role.ANALYST, "viewer": Role.VIEWER}
N_REVIEWS = 60  # half of what is advised: there is something to see, and something left to do
# No letters or digits that look alike; three groups of five are 74 bits.
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class Command(BaseCommand):
    help = "Load the sample project with an admin, an analyst and a viewer. Does nothing where projects exist."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        parser.add_argument("--folder", type=Path, default=settings.BASE_DIR / "demo", help="the sample's files")
        parser.add_argument("--reviews", type=int, default=N_REVIEWS, help=f"rows to review (default {N_REVIEWS})")

    def handle(self, *args: Any, **options: Any) -> None:
        logins = self.load(options["folder"], options["reviews"]) if self.is_wanted() else []
        if options["json"]:
            self.stdout.write(json.dumps({"created": bool(logins), "logins": logins}))
            return
        if not logins:
            self.stdout.write("Nothing to do: there are projects already.")
        for login in logins:
            self.stdout.write(f"{login['username']:<8}  {login['password']}   {login['role']}")

    def is_wanted(self) -> bool:
        """Say whether the sample is missing, or was cut off before its people got their passwords."""
        if not Project.objects.exists():
            return True
        people = get_user_model().objects.filter(username__in=ROLES)
        return Project.objects.filter(name=NAME).exists() and any(
            not person.has_usable_password() for person in people
        )

    def load(self, folder: Path, n_reviews: int) -> list[dict[str, str]]:
        """Do every step that is not done yet; the passwords come last, so a cut-off load is done again."""
        people = {name: self.person(name) for name in ROLES}
        with jobs_held():  # the AI update below does for all the jobs that the steps ask for
            try:
                self.say("Loading the sample project …")
                project = self.project(folder, people["admin"])
                for name in ("analyst", "viewer"):
                    Member.objects.get_or_create(
                        project=project, user=people[name], defaults={"role": ROLES[name]}
                    )
                columns = [project.columns.get(name=name) for name in TEXT_COLUMNS]
                for column in columns:
                    if not column.topics.exists():
                        content = (folder / "codebook.csv").read_bytes()
                        codebook_import(
                            column=column, file_name="codebook.csv", content=content, user=people["admin"]
                        )
                self.review(columns[0], folder, people["analyst"], n_reviews)
            except ApplicationError as error:
                raise CommandError(error.message) from None
            for column in columns:
                self.say(f"Assigning topics: {column.name}")
                try:
                    call_command("update_ai", str(column.pk), "--wait", stdout=self.stderr)
                except CommandError as error:
                    self.say(f"The sample has no topics assigned yet. {error}")
                    break
        for job in Job.objects.filter(project=project, state=JobState.QUEUED):
            job_send(job)  # what follows the updates, a deep one, is a worker's
        return [self.login(person, name) for name, person in people.items() if not person.has_usable_password()]

    def person(self, name: str) -> Any:
        """Return the person of that name, made without a password where there is none."""
        users = get_user_model().objects
        found = users.filter(username=name).first()
        is_admin = name == "admin"
        return found or users.create_user(name, is_staff=is_admin, is_superuser=is_admin)

    def login(self, person: Any, role: str) -> dict[str, str]:
        password = "-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(3))
        person.set_password(password)
        person.save(update_fields=["password"])
        return {"username": person.username, "password": password, "role": role}

    def project(self, folder: Path, owner: Any) -> Project:
        job_release_dead()
        for job in Job.objects.filter(kind=JobKind.IMPORT, project__name=NAME, state="queued"):
            job_execute(job.pk)  # an import cut off goes on where it was
        found = Project.objects.filter(name=NAME, state=ProjectState.READY).first()
        return found or file_import(
            path=folder / "harbour-and-pine.csv",
            user=owner,
            text_columns=TEXT_COLUMNS,
            settings=ProjectSettings(name=NAME, description=DESCRIPTION, tags=["sample"]),
        )

    def review(self, column: Column, folder: Path, user: Any, n_reviews: int) -> None:
        """Review some of the rows that were coded by hand, evenly spread over the table."""
        with (folder / "gold.csv").open(newline="", encoding="utf-8") as file:
            coded = {line[KEY]: line["topics"] for line in csv.DictReader(file)}
        topics = {topic.label: topic for topic in Topic.objects.filter(column=column, deleted_at=None)}
        rows = {row.values.get(KEY): row for row in Row.objects.filter(project=column.project).order_by("number")}
        keys = [key for key in rows if key in coded]
        for key in keys[:: max(1, len(keys) // n_reviews)][:n_reviews] if n_reviews else []:
            verbatim = rows[key].verbatims.select_related("column__project").get(column=column)
            if not verbatim.is_reviewed:
                verbatim_review(
                    verbatim=verbatim,
                    topics=[choice(part, topics) for part in coded[key].split(";")],
                    revision=verbatim.revision,
                    user=user,
                )

    def say(self, message: str) -> None:
        self.stderr.write(message)
        self.stderr.flush()


def choice(text: str, topics: dict[str, Topic]) -> TopicChoice:
    """Return what `label|sentiment` or `label` of gold.csv says."""
    label, _, word = text.strip().partition("|")
    return TopicChoice(topics[label].pk, Sentiment[word.upper()].value if word else None)
