"""The import job: the rows of an upload go into the database, chunk by chunk.

Each chunk is a transaction together with the note of how far the import came, so that a killed worker
costs one chunk. It is all or nothing: after a failure or a cancel nothing of the project is left.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog
from django.db import connection, connections, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from projects.history import change_record
from projects.jobs import JobLostError, JobRun
from projects.models import ChangeKind, Column, Job, Project, ProjectState
from rows import hooks
from rows.importing import store
from rows.importing.plan import SKIP, ColumnPlan, cell_reader
from rows.importing.prepare import plain_rows
from rows.models import Upload, UploadState
from rows.services.imports import folder_remove, plain_path, project_make, upload_plan
from topicassign.errors import ApplicationError
from topicassign.numbers import grouped

log = structlog.get_logger(__name__)

CHUNK_ROWS = 10_000
CHUNK_CHARS = 8_000_000
N_WRITERS = 2  # PostgreSQL: one stores rows while the other checks and commits


def import_run(run: JobRun) -> dict[str, Any]:
    """Store the rows of an upload. May run twice: it goes on after the last chunk that was committed."""
    upload = Upload.objects.select_related("project", "user").filter(pk=run.payload["upload"]).first()
    if upload is None:
        raise ApplicationError(_("The uploaded file is gone. Upload it again."))
    project = upload.project if run.job.project_id else None
    if project is None:
        project = _project_again(run, upload)
    if project.state == ProjectState.READY:  # killed between the last commit and the job's own end
        return {"project": project.pk, "n_rows": upload.facts["n_rows"]}
    text_columns = [column for column in project.columns.order_by("position") if column.is_text_to_analyze]
    n_total = upload.facts["n_rows"]
    n_done = int(run.payload.get("n_rows", 0))
    run.progress(n_done, n_total, gettext_noop("Storing rows"))
    n_done = _rows_store(run, project, text_columns, upload, n_done)
    run.payload = run.job.payload = {**run.payload, "n_rows": n_done}
    run.progress(n_done, stage=gettext_noop("Finding duplicates"))
    _import_finish(run, project, text_columns, upload)
    folder_remove(Path(upload.path))
    log.info("rows_imported", project=project.pk, n_rows=n_done)
    return {"project": project.pk, "n_rows": n_done}


def _rows_store(run: JobRun, project: Project, text_columns: list[Column], upload: Upload, n_done: int) -> int:
    """Store what comes after the first `n_done` rows, and return how many there are then.

    Reading, storing and committing overlap: a chunk is made in a thread, and PostgreSQL gets the next
    one over a second connection while it checks and commits the one before. Commits keep the order.
    """
    at = project.created_at
    base = run.payload

    def write(chunk: store.Chunk, before: Future[None] | None) -> None:
        with transaction.atomic():
            store.rows_store(project=project, columns=text_columns, chunk=chunk, at=at)
            if before is not None:
                store.constraints_check()
                before.result()  # its failure is ours too: no chunk without the ones before it
            n_rows = chunk.rows[-1][0]
            run.note(done=n_rows, payload={**base, "n_rows": n_rows})

    plans = [plan for plan in upload_plan(upload) if plan.type != SKIP]
    columns = list(project.columns.order_by("position"))
    for_copy = store.uses_copy()
    chunks = (
        store.chunk_prepare(project=project, columns=text_columns, rows=rows, at=at, for_copy=for_copy)
        for rows in _chunks(upload, plans, columns, n_done)
    )
    # In a transaction of the caller, or on SQLite with its one writer, a second connection would wait for ever.
    parallel = for_copy and not connection.in_atomic_block
    with _one_thread() as reader, ExitStack() as stack:
        writers = [stack.enter_context(_one_thread()) for _ in range(N_WRITERS)] if parallel else []
        pending: deque[Future[None]] = deque()
        for i, chunk in enumerate(_ahead(chunks, reader)):
            if parallel:
                pending.append(writers[i % N_WRITERS].submit(write, chunk, pending[-1] if pending else None))
                if len(pending) > N_WRITERS:
                    pending.popleft().result()
            else:
                write(chunk, None)
            n_done = chunk.rows[-1][0]
            run.check()
        for future in pending:
            future.result()
    return n_done


@contextmanager
def _one_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread with its own database connection, which it closes at the end."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import") as pool:
        try:
            yield pool
        finally:
            pool.submit(connections.close_all)


def _ahead(chunks: Iterator[store.Chunk], pool: ThreadPoolExecutor) -> Iterator[store.Chunk]:
    """Make the next chunk in a thread while the one before is being stored."""
    coming = pool.submit(next, chunks, None)
    while (chunk := coming.result()) is not None:
        coming = pool.submit(next, chunks, None)
        yield chunk


def _chunks(
    upload: Upload, plans: list[ColumnPlan], columns: list[Column], n_skip: int
) -> Iterator[list[store.NewRow]]:
    """Yield the rows after the first `n_skip`, read as planned, in chunks of bounded size."""
    placeholders = tuple(upload.plan["project"]["placeholders"])
    texts: list[tuple[int, str, Any]] = []
    others: list[tuple[int, str, Any]] = []
    for plan, column in zip(plans, columns, strict=True):
        reader = (plan.index, column.ref, cell_reader(plan, placeholders))
        (texts if plan.is_text_to_analyze else others).append(reader)
    chunk: list[store.NewRow] = []
    n_chars = 0
    rows = enumerate(plain_rows(plain_path(upload)), 1)
    for number, cells in itertools.islice(rows, n_skip, None):
        values: dict[str, Any] = {}
        for index, ref, read in others:
            cell = cells[index]
            if cell:
                try:
                    value = read(cell)
                except ValueError:  # the person chose to leave such cells empty
                    continue
                if value is not None:
                    values[ref] = value
        found: list[str | None] = []
        for index, _ref, read in texts:
            try:
                text = read(cells[index])
            except ValueError:
                text = None
            found.append(text)
            if text:
                n_chars += len(text)
        chunk.append((number, values, found))
        if len(chunk) >= CHUNK_ROWS or n_chars >= CHUNK_CHARS:
            yield chunk
            chunk, n_chars = [], 0
    if chunk:
        yield chunk


def _import_finish(run: JobRun, project: Project, text_columns: list[Column], upload: Upload) -> None:
    if upload.facts["n_rows"] >= CHUNK_ROWS:
        store.statistics_refresh()
    for column in text_columns:  # not under the job's lock: it may take a while, and may run twice
        store.groups_make(column=column)
        run.check()
    with transaction.atomic():
        if not run.owns():
            raise JobLostError(str(run.job.pk))
        project.state = ProjectState.READY
        project.save(update_fields=["state", "modified_at"])
        Column.objects.filter(pk__in=[column.pk for column in text_columns]).update(data_version=1, revision=1)
        change_record(
            project=project,
            kind=ChangeKind.IMPORT,
            user=upload.user,
            summary=ngettext(
                "%(n)s row imported from %(file)s", "%(n)s rows imported from %(file)s", upload.facts["n_rows"]
            )
            % {"n": grouped(upload.facts["n_rows"]), "file": upload.file_name},
            inverse={"project": project.pk},
        )
        hooks.rows_imported.send(project=project, user=upload.user)


def _project_again(run: JobRun, upload: Upload) -> Project:
    """Make the project anew for a retry: the failed attempt left nothing."""
    if not plain_path(upload).exists():
        raise ApplicationError(_("The uploaded file is gone. Upload it again."))
    with transaction.atomic():
        if not run.owns():
            raise JobLostError(str(run.job.pk))
        project = project_make(upload, upload.user)
        payload = {"upload": upload.pk}
        Job.objects.filter(pk=run.job.pk).update(project=project, payload=payload)
    run.job.project = project
    run.payload = run.job.payload = payload
    return project


def import_clean_up(job: Job) -> None:
    """Take back a failed or cancelled import: rows, columns and project go; the upload may be tried again."""
    payload = {key: value for key, value in job.payload.items() if key != "n_rows"}
    with transaction.atomic():
        project = job.project if job.project_id else None
        if project is not None:
            project = Project.objects.filter(pk=project.pk, state=ProjectState.IMPORTING).first()
        if project is not None:
            # The job outlives its project: the person must be able to read why it failed.
            Job.objects.filter(project=project).update(project=None)
            store.project_erase(project_id=project.pk)
        Job.objects.filter(pk=job.pk).update(payload=payload)
        # A retry of the job wants the upload as it was; the wizard may change it as well.
        Upload.objects.filter(pk=payload.get("upload", 0), project=None, state=UploadState.SUBMITTED).update(
            state=UploadState.ORGANISED
        )
    job.project, job.payload = None, payload
