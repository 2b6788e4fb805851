"""manage.py import_project FILE --text COLUMN: a table becomes a project, through the wizard's own services."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from projects.models import Column
from rows.services.imports import ProjectSettings, file_import
from topicassign.errors import ApplicationError


class Command(BaseCommand):
    help = "Import a CSV, TSV, TXT or XLSX file as a project and print the ids made."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--text", action="append", required=True, metavar="COLUMN", help="a column to analyse; may be repeated"
        )
        parser.add_argument("--name", default="", help="name of the project (default: the file's name)")
        parser.add_argument("--owner", default="", metavar="USER", help="default: the only superuser")
        parser.add_argument(
            "--topics", type=Path, metavar="CODEBOOK", help="a codebook (CSV, XLSX or JSON) for every text column"
        )
        parser.add_argument("--sheet", default="", help="sheet of a workbook (default: the first)")
        parser.add_argument("--language", default="en", help="language of the topics (default: en)")
        parser.add_argument(
            "--placeholder", action="append", default=[], metavar="TEXT", help="a cell text that counts as empty"
        )
        parser.add_argument(
            "--leave-bad-empty", action="store_true", help="leave cells empty that do not fit their column's type"
        )
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        codebook: Path | None = options["topics"]
        for file in (path, codebook):
            if file is not None and not file.is_file():
                raise CommandError(f"There is no file {file}.")
        owner = self._owner(options["owner"])
        try:
            project = file_import(
                path=path,
                user=owner,
                text_columns=options["text"],
                sheet=options["sheet"],
                settings=ProjectSettings(
                    name=options["name"] or path.stem.replace("_", " ")[:100],
                    language=options["language"],
                    placeholders=options["placeholder"],
                ),
                leave_bad_empty=options["leave_bad_empty"],
            )
            columns = list(project.columns.order_by("position"))
            n_topics = self._topics(codebook, columns, owner) if codebook else 0
        except ApplicationError as error:
            hint = " (--leave-bad-empty leaves them empty)" if error.code == "bad_cells" else ""
            raise CommandError(error.message + hint) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        n_rows = project.rows.count()
        if options["json"]:
            found = [
                {"id": column.pk, "ref": column.ref, "name": column.name, "type": column.type}
                for column in columns
            ]
            answer = {"project": {"id": project.pk, "name": project.name}, "columns": found, "n_rows": n_rows}
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
            return
        self.stdout.write(f"Project {project.pk}: {project.name}, {n_rows:,} rows")
        for column in columns:
            if column.is_text_to_analyze:
                self.stdout.write(f"  column {column.pk}: {column.name} (to analyse)")
        if n_topics:
            self.stdout.write(f"  {n_topics} topics from {codebook}")

    def _topics(self, codebook: Path, columns: list[Column], owner: Any) -> int:
        from topics.codebook import codebook_import

        content = codebook.read_bytes()
        text_columns = [column for column in columns if column.is_text_to_analyze]
        for column in text_columns:
            codebook_import(column=column, file_name=codebook.name, content=content, user=owner)
        return text_columns[0].topics.filter(deleted_at=None).count()

    def _owner(self, name: str) -> Any:
        users = get_user_model().objects.filter(is_active=True)
        if name:
            owner = users.filter(username=name).first()
            if owner is None:
                raise CommandError(f"There is no active user named {name!r}.")
            return owner
        admins = list(users.filter(is_superuser=True)[:2])
        if len(admins) == 1:
            return admins[0]
        if not admins:
            raise CommandError(
                "There is no superuser to own the project. Make one with createsuperuser, or name an --owner."
            )
        raise CommandError("There are several superusers. Say with --owner who is to own the project.")
