"""manage.py export_rows COLUMN_ID --format csv --output FILE: what the export dialog makes, without the wait."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from projects.jobs import os_error_message
from projects.models import Column, ColumnType, ProjectState
from rows.exporting.options import CONTENTS, FORMATS, LAYOUTS, ExportOptions
from rows.filters import RowFilter
from rows.services.exports import export_write
from topicassign.errors import ApplicationError

LATER = ("sav", "json", "jsonl", "parquet")


class Command(BaseCommand):
    help = "Export the rows of a text-to-analyze column with their topics."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("column_id", type=int)
        parser.add_argument("--format", required=True, help=" or ".join(FORMATS))
        parser.add_argument("--output", required=True, type=Path, metavar="FILE")
        parser.add_argument(
            "--filter",
            default="",
            metavar="QUERYSTRING",
            help="as in the address of the view, e.g. reviewed=yes&q=late",
        )
        parser.add_argument("--content", default="rows", choices=CONTENTS)
        parser.add_argument("--topics", default="columns", choices=LAYOUTS, help="how topics are written")
        parser.add_argument("--probabilities", action="store_true", help="add the probability of each topic")
        parser.add_argument("--no-other-columns", action="store_true", help="leave out the other columns")
        parser.add_argument(
            "--no-metadata", action="store_true", help="leave out reviewed, by whom, when, certainty"
        )
        parser.add_argument("--no-bom", action="store_true", help="CSV without byte order mark")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        kind = options["format"].lower()
        if kind in LATER:
            raise CommandError(f"The format {kind} is not there yet. Use csv or xlsx.")
        if kind not in FORMATS:
            raise CommandError(f"--format must be csv or xlsx, got {kind!r}.")
        column = (
            Column.objects.select_related("project")
            .filter(
                pk=options["column_id"],
                type=ColumnType.TEXT_TO_ANALYZE,
                project__deleted_at=None,
                project__state=ProjectState.READY,
            )
            .first()
        )
        if column is None:
            raise CommandError(f"There is no text-to-analyze column {options['column_id']}.")
        path: Path = options["output"]
        if not path.parent.is_dir():
            raise CommandError(f"There is no folder {path.parent}.")
        chosen = ExportOptions(
            format=kind,
            content=options["content"],
            layout=options["topics"],
            other_columns=not options["no_other_columns"],
            probabilities=options["probabilities"],
            metadata=not options["no_metadata"],
            bom=not options["no_bom"],
            query=options["filter"].lstrip("?"),
        )
        for notice in RowFilter.from_query(chosen.query, column).notices:
            self.stderr.write(notice)
        try:
            n_rows = export_write(path=path, column=column, options=chosen)
        except ApplicationError as error:
            raise CommandError(error.message) from None
        except OSError as fault:
            raise CommandError(os_error_message(fault)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"file": str(path), "n_rows": n_rows, "size_bytes": path.stat().st_size}))
        else:
            self.stdout.write(f"{n_rows:,} lines in {path}")
