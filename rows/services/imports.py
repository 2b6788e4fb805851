"""Imports: from an uploaded file through the person's plan to a project with rows.

    upload = upload_create(user=user, file_name="answers.csv", content=chunks)
    upload_organise(upload=upload, columns=[ColumnPlan(...), ...])
    check = upload_check(upload=upload)
    job = import_start(upload=upload, user=user, settings=ProjectSettings(name="Survey"))

The job itself is `rows.services.import_job.import_run`.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings as app_settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.jobs import job_enqueue, job_execute
from projects.models import (
    NAME_CHARS,
    Column,
    ColumnType,
    Job,
    JobKind,
    JobState,
    Project,
    ProjectState,
)
from rows.importing.plan import (
    SKIP,
    BadCell,
    ColumnPlan,
    bad_cells,
    empty_counts,
    plan_default,
    refs,
)
from rows.importing.prepare import table_prepare, text_prepare
from rows.models import Upload, UploadState
from topicassign.errors import ApplicationError
from topicassign.numbers import decimal, grouped

MAX_PLACEHOLDERS = 3
PLACEHOLDER_CHARS = 50
N_SHOWN_BAD = 20
KEEP_UPLOADS_DAYS = 7


@dataclass
class ProjectSettings:
    """Step three of the wizard."""

    name: str
    description: str = ""
    tags: list[str] = field(default_factory=list)
    language: str = "en"
    placeholders: list[str] = field(default_factory=list)


@dataclass
class UploadCheck:
    """The numbers a person sees before saving."""

    n_rows: int
    n_columns: int
    n_text_columns: int
    empty: list[tuple[str, int]]  # text column, empty cells
    n_bad: int
    bad: list[BadCell]  # the first ones

    @property
    def n_empty(self) -> int:
        return sum(n for _, n in self.empty)


# --- step 1: upload -------------------------------------------------------------------------------


def upload_create(*, user: Any, file_name: str, content: Iterable[bytes], sheet: str = "") -> Upload:
    """Keep an uploaded file, look into it, and return what was found as an Upload.

    Raises TableError with a sentence for the person if the file cannot be imported; nothing stays.
    """
    name = Path(file_name.replace("\\", "/")).name[-255:]
    folder = _folder_make()
    original = folder / f"original{Path(name).suffix.lower()[:10]}"
    try:
        limit = app_settings.LIMIT_FILE_MB * 1024 * 1024
        size = 0
        with original.open("wb") as file:
            for chunk in content:
                size += len(chunk)
                if size <= limit:  # what is beyond is counted, not kept
                    file.write(chunk)
        if size > limit:
            raise ApplicationError(
                _(
                    "The file has %(size)s MB; at most %(limit)s MB are allowed. Split it, or leave out "
                    "columns that are not needed."
                )
                % {"size": decimal(size / 1024 / 1024, 0), "limit": app_settings.LIMIT_FILE_MB},
                code="file_too_large",
            )
        facts = table_prepare(original, name, folder / "plain.csv", sheet=sheet)
        if len(facts["sheets"]) < 2:
            original.unlink()  # the plain copy says all
        return _upload_save(user, name, folder, size, facts)
    except BaseException:
        folder_remove(folder)
        raise


def upload_paste(*, user: Any, text: str) -> Upload:
    """Keep pasted text, one verbatim per line, as an Upload with one column."""
    folder = _folder_make()
    try:
        facts = text_prepare(text, folder / "plain.csv")
        return _upload_save(user, _("Pasted text"), folder, len(text.encode(errors="replace")), facts)
    except BaseException:
        folder_remove(folder)
        raise


def upload_choose_sheet(*, upload: Upload, sheet: str) -> Upload:
    """Read another sheet of the same workbook; the plan starts anew."""
    folder = Path(upload.path)
    originals = list(folder.glob("original*"))
    if upload.state == UploadState.SUBMITTED or not originals:
        raise ApplicationError(_("This upload can no longer be changed. Upload the file again."), status=409)
    target = folder / "plain.new.csv"
    facts = table_prepare(originals[0], upload.file_name, target, sheet=sheet)
    target.replace(folder / "plain.csv")
    upload.facts, upload.plan, upload.state = facts, {}, UploadState.UPLOADED
    upload.save(update_fields=["facts", "plan", "state"])
    return upload


def _upload_save(user: Any, name: str, folder: Path, size: int, facts: dict[str, Any]) -> Upload:
    upload = Upload(user=user, file_name=name, path=str(folder), size_bytes=size, facts=facts)
    upload.full_clean(exclude=["user", "plan"])
    upload.save()
    return upload


def _folder_make() -> Path:
    folder = Path(app_settings.UPLOAD_DIR) / uuid.uuid4().hex
    folder.mkdir(mode=0o700, parents=True)
    return folder


def plain_path(upload: Upload) -> Path:
    """Return where the table is kept as plain CSV, whatever the file was."""
    return Path(upload.path) / "plain.csv"


def folder_remove(folder: Path) -> None:
    if folder.parent != Path(app_settings.UPLOAD_DIR):
        return
    for file in folder.glob("*"):
        file.unlink(missing_ok=True)
    if folder.exists():
        folder.rmdir()


def upload_delete(*, upload: Upload) -> None:
    """Throw an upload away; its file goes at once. One that is being imported must be cancelled as a job."""
    if not Upload.objects.filter(pk=upload.pk).exclude(state=UploadState.SUBMITTED).delete()[0]:
        raise ApplicationError(_("This file is being imported. Cancel the import instead."), status=409)
    folder_remove(Path(upload.path))


def uploads_purge() -> int:
    """Delete uploads nobody went on with, and leftovers of finished imports. Returns how many."""
    old = timezone.now() - timedelta(days=KEEP_UPLOADS_DAYS)
    n_deleted = 0
    for upload in Upload.objects.filter(created_at__lt=old)[:100]:
        busy = Job.objects.filter(
            kind=JobKind.IMPORT, payload__upload=upload.pk, state__in=(JobState.QUEUED, JobState.RUNNING)
        )
        if busy.exists():
            continue
        folder_remove(Path(upload.path))
        upload.delete()
        n_deleted += 1
    return n_deleted


# --- step 2: organise -----------------------------------------------------------------------------


def upload_plan(upload: Upload) -> list[ColumnPlan]:
    """Return the plan made so far, or the one the file suggests."""
    if "columns" in upload.plan:
        return [ColumnPlan(**column) for column in upload.plan["columns"]]
    return plan_default(upload.facts)


def upload_organise(*, upload: Upload, columns: list[ColumnPlan]) -> Upload:
    """Save what each column becomes.

    Raises ValidationError (messages per column index, or "__all__") if the plan cannot be imported.
    """
    facts = {fact["index"]: fact for fact in upload.facts["columns"]}
    errors: dict[str, list[str]] = {}
    kept = [column for column in columns if column.type != SKIP]
    seen: dict[str, int] = {}
    for column in columns:
        if column.index not in facts or column.type not in {SKIP, *ColumnType.values}:
            raise ApplicationError(
                _("The columns of this file changed meanwhile. Load the page again."), status=409
            )
        if column.type == SKIP:
            continue
        column.name = " ".join(column.name.split())
        if not column.name:
            errors.setdefault(str(column.index), []).append(_("Give the column a name."))
        elif len(column.name) > 200:
            errors.setdefault(str(column.index), []).append(_("A column name has at most 200 characters."))
        elif column.name.casefold() in seen:
            errors.setdefault(str(column.index), []).append(_("Another column has this name already."))
        if len(column.wording) > 2_000:
            errors.setdefault(str(column.index), []).append(_("The wording has at most 2,000 characters."))
        seen[column.name.casefold()] = column.index
        if not column.style:
            column.style = facts[column.index]["styles"].get(column.type, "")
    if len({column.index for column in columns}) != len(columns) or len(columns) != len(facts):
        raise ApplicationError(_("The columns of this file changed meanwhile. Load the page again."), status=409)
    n_text = sum(column.is_text_to_analyze for column in kept)
    if n_text == 0:
        errors["__all__"] = [
            _("No column is to be analysed. Switch “Analyse with AI” on for at least one column with text.")
        ]
    elif n_text > app_settings.LIMIT_TEXT_COLUMNS:
        errors["__all__"] = [
            _(
                "%(n_text)s columns are to be analysed; at most %(limit_text_columns)s can be. Switch "
                "some of them off."
            )
            % {"n_text": n_text, "limit_text_columns": app_settings.LIMIT_TEXT_COLUMNS}
        ]
    if errors:
        raise ValidationError(errors)
    plan = {**upload.plan, "columns": [column.as_json() for column in columns]}
    changed = (
        Upload.objects.filter(pk=upload.pk)
        .exclude(state=UploadState.SUBMITTED)
        .update(plan=plan, state=UploadState.ORGANISED)
    )
    if not changed:
        raise _already_submitted()
    upload.plan, upload.state = plan, UploadState.ORGANISED
    return upload


# --- step 3: settings, numbers, start -------------------------------------------------------------


def upload_check(*, upload: Upload, placeholders: Iterable[str] = ()) -> UploadCheck:
    """Return rows, columns, empty verbatims and cells that do not fit, before anything is saved."""
    columns = upload_plan(upload)
    words = tuple(placeholders)
    path = plain_path(upload)
    empty = empty_counts(path, columns, upload.facts, words)
    n_bad, shown = 0, []
    for cell in bad_cells(path, columns, upload.facts, words):
        n_bad += 1
        if n_bad <= N_SHOWN_BAD:
            shown.append(cell)
    kept = [column for column in columns if column.type != SKIP]
    return UploadCheck(
        n_rows=upload.facts["n_rows"],
        n_columns=len(kept),
        n_text_columns=len(empty),
        empty=[(column.name, empty[column.index]) for column in kept if column.index in empty],
        n_bad=n_bad,
        bad=shown,
    )


def upload_bad_cells_csv(*, upload: Upload, placeholders: Iterable[str] = ()) -> Iterator[str]:
    """Yield the report of all cells that do not fit, as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["row", "column", "value", "problem"])
    for cell in bad_cells(plain_path(upload), upload_plan(upload), upload.facts, tuple(placeholders)):
        value = f"'{cell.value}" if cell.value[:1] in "=+-@\t\r" else cell.value
        writer.writerow([cell.row, cell.column, value, cell.reason])
        if buffer.tell() > 64_000:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def import_start(
    *,
    upload: Upload,
    user: Any,
    settings: ProjectSettings,
    leave_bad_empty: bool = False,
    send: bool = True,
) -> Job:
    """Turn an organised upload into a project that is being imported; returns the job.

    A second call for the same upload changes nothing and returns the job of the first. With `send`
    False the caller runs the job itself.

    Raises ValidationError for settings that cannot be, ApplicationError (code "bad_cells") if cells
    do not fit and nobody decided to leave them empty.
    """
    wanted = _settings_clean(settings)
    if upload.state == UploadState.SUBMITTED:
        return _job_of(upload)
    if upload.state != UploadState.ORGANISED:
        raise ApplicationError(_("Say first what each column is."), status=409)
    if not leave_bad_empty:
        check = upload_check(upload=upload, placeholders=wanted["placeholders"])
        if check.n_bad:
            raise ApplicationError(
                ngettext(
                    "%(n)s cell does not fit the type of the column. Choose to leave them empty, change the "
                    "type of the column, or correct the file.",
                    "%(n)s cells do not fit the type of the column. Choose to leave them empty, change the "
                    "type of the column, or correct the file.",
                    check.n_bad,
                )
                % {"n": grouped(check.n_bad)},
                code="bad_cells",
                n_bad=check.n_bad,
            )
    with transaction.atomic():
        plan = {**upload.plan, "project": wanted, "leave_bad_empty": leave_bad_empty}
        claimed = Upload.objects.filter(pk=upload.pk, state=UploadState.ORGANISED).update(
            state=UploadState.SUBMITTED, plan=plan
        )
        if not claimed:
            upload.refresh_from_db()
            return _job_of(upload)
        upload.plan, upload.state = plan, UploadState.SUBMITTED
        project = project_make(upload, user)
        if send:
            return job_enqueue(kind=JobKind.IMPORT, project=project, user=user, payload={"upload": upload.pk})
        return Job.objects.create(kind=JobKind.IMPORT, project=project, user=user, payload={"upload": upload.pk})


def _job_of(upload: Upload) -> Job:
    job = Job.objects.filter(kind=JobKind.IMPORT, payload__upload=upload.pk).order_by("-created_at").first()
    if job is None:
        raise _already_submitted()
    return job


def _already_submitted() -> ApplicationError:
    return ApplicationError(
        _("This file was imported already. Upload it again to import it once more."), status=409
    )


def _settings_clean(settings: ProjectSettings) -> dict[str, Any]:
    errors: dict[str, list[str]] = {}
    name = " ".join(settings.name.split())
    if not name:
        errors["name"] = [_("Give the project a name.")]
    elif len(name) > NAME_CHARS:
        errors["name"] = [_("A project name has at most %(name_chars)s characters.") % {"name_chars": NAME_CHARS}]
    if len(settings.description) > 2_000:
        errors["description"] = [_("The description has at most 2,000 characters.")]
    tags = list(dict.fromkeys(tag.strip() for tag in settings.tags if tag.strip()))
    if len(tags) > 20 or any(len(tag) > 50 for tag in tags):
        errors["tags"] = [_("At most 20 tags of 50 characters each.")]
    words = list(dict.fromkeys(word.strip() for word in settings.placeholders if word.strip()))
    if len(words) > MAX_PLACEHOLDERS:
        errors["placeholders"] = [
            _("At most %(max_placeholders)s placeholders.") % {"max_placeholders": MAX_PLACEHOLDERS}
        ]
    elif any(len(word) > PLACEHOLDER_CHARS for word in words):
        errors["placeholders"] = [
            _("A placeholder has at most %(placeholder_chars)s characters.")
            % {"placeholder_chars": PLACEHOLDER_CHARS}
        ]
    if not settings.language or len(settings.language) > 8:
        errors["language"] = [_("Choose the language of the topics.")]
    if errors:
        raise ValidationError(errors)
    return {
        "name": name,
        "description": settings.description.strip(),
        "tags": tags,
        "language": settings.language,
        "placeholders": words,
    }


def project_make(upload: Upload, user: Any) -> Project:
    project = Project(owner=user, state=ProjectState.IMPORTING, **upload.plan["project"])
    project.full_clean(exclude=["owner"])
    project.save()
    kept = [column for column in upload_plan(upload) if column.type != SKIP]
    names = refs(kept)
    Column.objects.bulk_create(
        Column(
            project=project,
            ref=names[column.index],
            name=column.name,
            wording=column.wording.strip(),
            type=column.type,
            position=position,
        )
        for position, column in enumerate(kept)
    )
    Upload.objects.filter(pk=upload.pk).update(project=project)
    upload.project = project
    return project


# --- everything at once, for commands -------------------------------------------------------------


def file_import(
    *,
    path: Path,
    user: Any,
    text_columns: Iterable[str],
    name: str = "",
    sheet: str = "",
    settings: ProjectSettings | None = None,
    leave_bad_empty: bool = False,
) -> Project:
    """Import a file in this process, through the same steps as the wizard; returns the ready project.

    Raises ApplicationError if a named column is missing, or for what the wizard would refuse.
    """
    with path.open("rb") as file:
        content = iter(lambda: file.read(1024 * 1024), b"")
        upload = upload_create(user=user, file_name=path.name, content=content, sheet=sheet)
    try:
        plan = plan_default(upload.facts)
        wanted = list(text_columns)
        by_name = {column.name.casefold(): column for column in plan}
        missing = [one for one in wanted if " ".join(one.split()).casefold() not in by_name]
        if missing:
            have = ", ".join(column.name for column in plan)
            raise ApplicationError(
                _("The file has no column named %(name)s. Its columns are: %(have)s.")
                % {"name": repr(missing[0]), "have": have}
            )
        chosen = {by_name[" ".join(one.split()).casefold()].index for one in wanted}
        for column in plan:
            if column.index in chosen:
                column.type, column.style = ColumnType.TEXT_TO_ANALYZE, ""
            elif column.is_text_to_analyze:
                column.type, column.style = ColumnType.TEXT, ""
        upload_organise(upload=upload, columns=plan)
        job = import_start(
            upload=upload,
            user=user,
            settings=settings or ProjectSettings(name=name or path.stem.replace("_", " ")[:NAME_CHARS]),
            leave_bad_empty=leave_bad_empty,
            send=False,
        )
    except BaseException:
        Upload.objects.filter(pk=upload.pk, state__in=(UploadState.UPLOADED, UploadState.ORGANISED)).delete()
        folder_remove(Path(upload.path))
        raise
    done = job_execute(job.pk) or job
    if done.state != JobState.DONE:
        raise ApplicationError(done.error or _("The import did not finish."))
    return Project.objects.get(pk=done.result["project"])
