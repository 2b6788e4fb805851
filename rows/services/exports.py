"""Exports: a file made in the background, kept for some days, with the rows the view's filters show."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from projects.jobs import JobRun, job_enqueue
from projects.models import ACTIVE_STATES, Column, Job, JobKind, JobState
from rows.exporting.files import table_writer
from rows.exporting.options import ExportOptions
from rows.exporting.tables import table_lines, table_size
from rows.filters import RowFilter
from topicassign.errors import ApplicationError

log = structlog.get_logger(__name__)
PURGE_EVERY_S = 600
MAX_ACTIVE = 3  # per person and project


def export_start(*, column: Column, user: Any, options: ExportOptions) -> Job:
    """Queue an export; raises ApplicationError if the person has too many on their way."""
    active = Job.objects.filter(kind=JobKind.EXPORT, project=column.project, user=user, state__in=ACTIVE_STATES)
    if active.count() >= MAX_ACTIVE:
        raise ApplicationError(_("You have several exports on their way. Wait for one to finish, or cancel it."))
    # What is stored is the filter as understood: it must mean the same when the job runs.
    row_filter = RowFilter.from_query(options.query, column)
    stored = {**options.as_json(), "query": row_filter.understood()}
    return job_enqueue(
        kind=JobKind.EXPORT, project=column.project, column=column, user=user, payload={"options": stored}
    )


def export_write(
    *,
    path: Path,
    column: Column,
    options: ExportOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write an export to `path`, whole or not at all; returns the number of lines below the header."""
    row_filter = RowFilter.from_query(options.query, column)
    row_filter.prepare()
    total = table_size(row_filter=row_filter, options=options)
    header, chunks = table_lines(column=column, row_filter=row_filter, options=options)
    part = path.with_name(f".{path.name}.part")
    n_lines = 0
    progress(0, total)
    try:
        sheet = "Summary" if options.content == "summary" else "Rows"
        with table_writer(part, kind=options.format, sheet=sheet, bom=options.bom) as writer:
            writer.write([header])
            for chunk in chunks:
                writer.write(chunk)
                n_lines += len(chunk)
                progress(min(n_lines, total), total)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return n_lines


def export_run(run: JobRun) -> dict[str, Any]:
    """Make the file of an export job. A second run starts anew and replaces what the first left."""
    column = run.job.column
    if column is None or column.project.deleted_at is not None:
        raise ApplicationError(_("The project of this export was deleted."))
    options = ExportOptions.from_json(run.payload["options"])
    path = export_path(run.job)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    n_lines = export_write(
        path=path,
        column=column,
        options=options,
        progress=lambda done, total: run.progress(done, total, gettext_noop("Writing the file")),
    )
    return {"n_rows": n_lines, "size_bytes": path.stat().st_size, "file_name": file_name(column, options)}


def export_clean_up(job: Job) -> None:
    """Remove what a failed or cancelled export left."""
    path = export_path(job)
    path.unlink(missing_ok=True)
    if path.parent.exists():
        for rest in path.parent.iterdir():
            rest.unlink(missing_ok=True)
        path.parent.rmdir()


def export_path(job: Job) -> Path:
    """Return where the file of an export is: a folder of its own, so that leftovers go with it."""
    options = ExportOptions.from_json(job.payload["options"])
    return Path(settings.EXPORT_DIR) / str(job.pk) / f"export.{options.format}"


def file_name(column: Column, options: ExportOptions) -> str:
    """Return the name the browser saves the file under."""
    parts = [slugify(column.project.name)[:40], slugify(column.name)[:40]]
    if options.content == "summary":
        parts.append("summary")
    parts.append(f"{timezone.localdate():%Y-%m-%d}")
    return "-".join(part for part in parts if part) + f".{options.format}"


def export_list(*, column: Column) -> QuerySet[Job]:
    """Return the exports of a column that can still be had, and those on their way, last first."""
    kept_from = timezone.now() - timedelta(days=settings.EXPORT_KEEP_DAYS)
    return (
        Job.objects.filter(column=column, kind=JobKind.EXPORT, created_at__gte=kept_from)
        .exclude(state=JobState.CANCELLED)
        .select_related("user", "column", "project")
        .order_by("-created_at")[:20]
    )


_purged_at = 0.0


def exports_purge(*, force: bool = False) -> int:
    """Delete files older than EXPORT_KEEP_DAYS; looks at the folder every ten minutes. Returns how many went."""
    global _purged_at
    if not force and time.monotonic() - _purged_at < PURGE_EVERY_S and _purged_at:
        return 0
    _purged_at = time.monotonic()
    folder = Path(settings.EXPORT_DIR)
    if not folder.exists():
        return 0
    oldest = time.time() - settings.EXPORT_KEEP_DAYS * 86_400
    n_deleted = 0
    for one in folder.iterdir():
        if not one.is_dir() or one.stat().st_mtime >= oldest:
            continue
        for file in one.iterdir():
            file.unlink(missing_ok=True)
        one.rmdir()
        n_deleted += 1
    if n_deleted:
        log.info("exports_purged", n=n_deleted)
    return n_deleted
