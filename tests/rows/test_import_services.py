"""The import as a job: exact, in chunks, all or nothing, once. Runs on SQLite and on PostgreSQL (COPY)."""

from __future__ import annotations

import csv
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from projects.jobs import JobRun, job_cancel, job_claim, job_execute, job_retry
from projects.models import ChangeKind, Column, Job, JobState, Project, ProjectState
from rows import hooks
from rows.importing import store
from rows.importing.plan import ColumnPlan
from rows.models import Row, Upload, UploadState, Verbatim
from rows.services import import_job, imports
from rows.text import digest, fingerprint
from topicassign.errors import ApplicationError

pytestmark = pytest.mark.django_db


def execute(job_id: Any) -> Job:
    """Do the worker's work."""
    done = job_execute(job_id)
    assert done is not None
    return done


NASTY = [
    "N/A", "None", "null", "007", "=1+1", "-5", "\\N", "\\", "back\\slash\\t", "tab\there", "two\nlines", "a\r\nb",
    "emoji 👩‍👩‍👧", "quote \" ' ;", "{json}", "ﬁ ligature", "  spaced  ", "\u202eright to left",
    "x" * 20_000, "\\.",
]  # fmt: skip


def table(rows: list[list[str]], header: tuple[str, ...] = ("id", "Comment", "score")) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def numbered(n: int) -> list[list[str]]:
    return [[f"{i:04d}", f"This is text number {i}", str(i % 11)] for i in range(n)]


@pytest.fixture
def upload_of(alice: Any) -> Callable[..., Upload]:
    """Return a function that uploads content for Alice and organises it: Comment is analysed."""

    def make(content: bytes, *, name: str = "answers.csv", **types: str) -> Upload:
        upload = imports.upload_create(user=alice, file_name=name, content=[content])
        plan = imports.upload_plan(upload)
        for column in plan:
            column.type = types.get(column.name, "text_to_analyze" if column.name == "Comment" else column.type)
        return imports.upload_organise(upload=upload, columns=plan)

    return make


@pytest.fixture
def start(alice: Any) -> Callable[..., Job]:
    def make(upload: Upload, *, leave_bad_empty: bool = False, **values: Any) -> Job:
        settings = imports.ProjectSettings(**{"name": "Survey", **values})
        return imports.import_start(upload=upload, user=alice, settings=settings, leave_bad_empty=leave_bad_empty)

    return make


def nothing_is_left() -> bool:
    return not (
        Project.objects.exists() or Column.objects.exists() or Row.objects.exists() or Verbatim.objects.exists()
    )


# --- what is stored ------------------------------------------------------------------------------------
def test_import_stores_every_text_as_typed(upload_of: Any, start: Any) -> None:
    job = execute(start(upload_of(table([[str(n), text, "1"] for n, text in enumerate(NASTY)]))).pk)
    assert (job.state, job.error) == (JobState.DONE, "")
    verbatims = list(Verbatim.objects.order_by("row_number"))
    assert [verbatim.text for verbatim in verbatims] == NASTY
    for verbatim in verbatims:
        assert bytes(verbatim.fingerprint) == fingerprint(verbatim.text)
        assert bytes(verbatim.digest) == digest(verbatim.text)
        assert (verbatim.is_reviewed, verbatim.revision, verbatim.sentiment, verbatim.language) == (
            False,
            0,
            None,
            "",
        )
        assert verbatim.row.number == verbatim.row_number


def test_import_types_the_other_cells(upload_of: Any, start: Any) -> None:
    header = ("id", "Comment", "score", "when", "member", "likes")
    rows = [
        ["007", "good shop", "7", "2026-03-01", "yes", "price;staff"],
        ["008", "", "", "", "", ""],
        ["\\tab\t", "bad\nshop", "2.5", "2026-03-02T10:00:00+02:00", "no", "staff; price; staff"],
    ]
    upload = upload_of(
        table(rows, header), id="text", score="numerical", when="date", member="boolean", likes="multi_select"
    )
    execute(start(upload).pk)
    assert [row.values for row in Row.objects.order_by("number")] == [
        {"id": "007", "score": 7, "when": "2026-03-01", "member": True, "likes": ["price", "staff"]},
        {"id": "008"},
        {
            "id": "\\tab\t",
            "score": 2.5,
            "when": "2026-03-02T10:00:00+02:00",
            "member": False,
            "likes": ["staff", "price"],
        },
    ]


def test_import_makes_the_project_ready_and_tells_others(upload_of: Any, start: Any, alice: Any) -> None:
    told: list[Any] = []
    hook = hooks.rows_imported.register(lambda project, user: told.append((project.state, user)))
    try:
        job = execute(start(upload_of(table(numbered(3))), tags=["a"], language="de", description="d").pk)
    finally:
        hooks.rows_imported._functions.remove(hook)
    project = Project.objects.get()
    assert told == [(ProjectState.READY, alice)]
    assert (project.state, project.owner, project.tags, project.language) == (
        ProjectState.READY,
        alice,
        ["a"],
        "de",
    )
    assert job.result == {"project": project.pk, "n_rows": 3}
    assert (job.done, job.total) == (3, 3)
    change = project.changes.get(kind=ChangeKind.IMPORT)
    assert change.summary == "3 rows imported from answers.csv"
    assert not Path(Upload.objects.get().path).exists()


def test_import_groups_duplicates(upload_of: Any, start: Any) -> None:
    texts = ["Great service", " great   SERVICE ", "bad", "", "Great service!", "", "GREAT service"]
    execute(start(upload_of(table([[str(n), text, ""] for n, text in enumerate(texts)]))).pk)
    found = list(Verbatim.objects.order_by("row_number").values_list("is_group_head", "group_size", "is_empty"))
    assert found == [
        (True, 3, False), (False, 3, False), (True, 1, False), (True, 1, True), (True, 1, False), (True, 1, True),
        (False, 3, False),
    ]  # fmt: skip


def test_duplicates_are_grouped_per_column(upload_of: Any, start: Any) -> None:
    header = ("id", "Comment", "Reason")
    upload = upload_of(table([["1", "same", "same"], ["2", "same", "other"]], header), Reason="text_to_analyze")
    execute(start(upload).pk)
    sizes = {
        column.name: list(column.verbatims.order_by("row_number").values_list("group_size", flat=True))
        for column in Column.objects.exclude(name="id")
    }
    assert sizes == {"Comment": [2, 2], "Reason": [1, 1]}


def test_placeholders_make_cells_empty(upload_of: Any, start: Any) -> None:
    upload = upload_of(table([["1", "-99", "-99"], ["2", "N/A", "3"]]), score="numerical")
    execute(start(upload, placeholders=["-99"]).pk)
    assert list(Verbatim.objects.order_by("row_number").values_list("is_empty", "text")) == [
        (True, ""),
        (False, "N/A"),
    ]
    assert [row.values.get("score") for row in Row.objects.order_by("number")] == [None, 3]


def test_columns_may_be_left_out(upload_of: Any, start: Any) -> None:
    execute(start(upload_of(table(numbered(2)), id="skip")).pk)
    assert list(Column.objects.values_list("name", flat=True)) == ["Comment", "score"]
    assert Row.objects.get(number=1).values == {"score": 0}


# --- chunks, kills and cancels ---------------------------------------------------------------------------
def test_import_goes_on_after_the_last_chunk(upload_of: Any, start: Any, monkeypatch: Any) -> None:
    """A worker dies after two chunks: the next one stores the rest, nothing twice."""
    monkeypatch.setattr(import_job, "CHUNK_ROWS", 10)
    job = start(upload_of(table(numbered(45))))

    class KilledError(BaseException):
        pass

    stored: list[int] = []
    store_rows = store.rows_store

    def dying(**values: Any) -> None:
        if len(stored) == 2:
            raise KilledError
        store_rows(**values)
        stored.append(len(values["chunk"].rows))

    monkeypatch.setattr(store, "rows_store", dying)
    claimed = job_claim(job.pk)
    assert claimed is not None
    with pytest.raises(KilledError):
        import_job.import_run(JobRun(claimed))
    assert Row.objects.count() == 20
    job.refresh_from_db()
    assert (job.payload["n_rows"], job.done) == (20, 20)
    monkeypatch.setattr(store, "rows_store", store_rows)
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    assert execute(job.pk).state == JobState.DONE
    assert list(Row.objects.order_by("number").values_list("number", flat=True)) == list(range(1, 46))
    assert Verbatim.objects.count() == 45


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_chunks_over_two_connections_keep_their_order(upload_of: Any, start: Any, monkeypatch: Any) -> None:
    """Two chunks are stored at a time; a slow one is never overtaken, nor is anything kept after a failure."""
    monkeypatch.setattr(import_job, "CHUNK_ROWS", 10)
    job = start(upload_of(table(numbered(95))))
    claimed = job_claim(job.pk)
    assert claimed is not None
    store_rows = store.rows_store
    threads = set()

    def uneven(**values: Any) -> None:
        threads.add(threading.get_ident())
        first = values["chunk"].rows[0][0]
        time.sleep(0.1 if first % 20 == 1 else 0)  # every other chunk is slow
        store_rows(**values)
        if first == 61:
            raise RuntimeError("no space left")

    monkeypatch.setattr(store, "rows_store", uneven)
    with pytest.raises(RuntimeError, match="no space"):
        import_job.import_run(JobRun(claimed))
    job.refresh_from_db()
    assert Row.objects.count() == job.payload["n_rows"] == job.done == 60
    assert len(threads) == 2
    assert threading.get_ident() not in threads

    monkeypatch.setattr(store, "rows_store", store_rows)
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    assert execute(job.pk).state == JobState.DONE
    assert list(Row.objects.order_by("number").values_list("number", flat=True)) == list(range(1, 96))
    assert Verbatim.objects.count() == 95


def test_a_chunk_and_its_note_are_one(upload_of: Any, start: Any, monkeypatch: Any) -> None:
    """A chunk that fails half way leaves neither rows nor progress."""
    monkeypatch.setattr(import_job, "CHUNK_ROWS", 10)
    job = start(upload_of(table(numbered(25))))
    claimed = job_claim(job.pk)
    assert claimed is not None
    store_rows = store.rows_store

    def failing(**values: Any) -> None:
        store_rows(**values)
        if values["chunk"].rows[0][0] == 11:
            raise BaseException("killed")

    monkeypatch.setattr(store, "rows_store", failing)
    with pytest.raises(BaseException, match="killed"):
        import_job.import_run(JobRun(claimed))
    assert Row.objects.count() == Job.objects.get().payload["n_rows"] == 10


def test_a_worker_that_lost_its_job_writes_nothing(upload_of: Any, start: Any, monkeypatch: Any) -> None:
    job = start(upload_of(table(numbered(5))))
    claimed = job_claim(job.pk)
    assert claimed is not None
    Job.objects.filter(pk=job.pk).update(claimed_by="another:1:worker")
    from projects.jobs import JobLostError

    run = JobRun(claimed)
    monkeypatch.setattr(run, "progress", lambda *args, **values: None)
    with pytest.raises(JobLostError):
        import_job.import_run(run)
    assert not Row.objects.exists()


def test_a_cancelled_import_leaves_nothing_but_the_upload(upload_of: Any, start: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(import_job, "CHUNK_ROWS", 10)
    upload = upload_of(table(numbered(30)))
    job = start(upload)
    store_rows = store.rows_store

    def cancelling(**values: Any) -> None:
        store_rows(**values)
        Job.objects.filter(pk=job.pk).update(cancel_requested=True)

    monkeypatch.setattr(store, "rows_store", cancelling)
    monkeypatch.setattr(JobRun, "progress", _eager(JobRun.progress))
    assert execute(job.pk).state == JobState.CANCELLED
    assert nothing_is_left()
    upload.refresh_from_db()
    assert (upload.state, upload.project) == (UploadState.ORGANISED, None)


def _eager(progress: Any) -> Any:
    """Report progress at once: the half second between two reports is not what a test is about."""

    def report(run: JobRun, *args: Any, **values: Any) -> None:
        run._last_write = 0
        progress(run, *args, **values)

    return report


def test_a_waiting_import_can_be_cancelled(upload_of: Any, start: Any) -> None:
    job = start(upload_of(table(numbered(3))))
    assert job_cancel(job=job).state == JobState.CANCELLED
    assert nothing_is_left()


def test_a_failed_import_leaves_nothing_and_can_be_tried_again(
    upload_of: Any, start: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(import_job, "CHUNK_ROWS", 10)
    job = start(upload_of(table(numbered(25))))
    make = store.groups_make
    monkeypatch.setattr(store, "groups_make", lambda column: 1 / 0)
    failed = execute(job.pk)
    assert failed.state == JobState.FAILED
    assert "reference" in failed.error
    assert nothing_is_left()
    monkeypatch.setattr(store, "groups_make", make)
    job_retry(job=failed)
    done = execute(job.pk)
    assert done.state == JobState.DONE
    assert Row.objects.filter(project=done.result["project"]).count() == 25


def test_a_second_run_of_a_finished_import_changes_nothing(upload_of: Any, start: Any) -> None:
    job = start(upload_of(table(numbered(3))))
    execute(job.pk)
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    assert execute(job.pk).state == JobState.DONE
    assert Row.objects.count() == 3


def test_clean_up_never_touches_a_ready_project(upload_of: Any, start: Any) -> None:
    job = execute(start(upload_of(table(numbered(3)))).pk)
    import_job.import_clean_up(job)
    assert Row.objects.count() == 3


# --- what people can do wrong -----------------------------------------------------------------------------
def test_submitting_twice_makes_one_project(upload_of: Any, start: Any) -> None:
    upload = upload_of(table(numbered(3)))
    stale = Upload.objects.get(pk=upload.pk)
    first, second = start(upload), start(stale)
    assert first.pk == second.pk
    assert Project.objects.count() == 1
    assert start(Upload.objects.get(pk=upload.pk)).pk == first.pk


def test_cells_that_do_not_fit_stop_the_import_until_somebody_decides(upload_of: Any, start: Any) -> None:
    upload = upload_of(table([*numbered(98), ["x", "text", "many"], ["y", "text", "7 %"]]), score="numerical")
    with pytest.raises(ApplicationError) as refused:
        start(upload)
    assert (refused.value.code, refused.value.extra) == ("bad_cells", {"n_bad": 2})
    assert nothing_is_left()
    check = imports.upload_check(upload=upload)
    assert [(cell.row, cell.value) for cell in check.bad] == [(99, "many"), (100, "7 %")]
    report = "".join(imports.upload_bad_cells_csv(upload=upload))
    assert report.splitlines()[:2] == ["row,column,value,problem", "99,score,many,is not a number"]
    execute(start(upload, leave_bad_empty=True).pk)
    assert "score" not in Row.objects.get(number=99).values
    assert Row.objects.count() == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: setattr(plan[1], "type", "text"), "No column is to be analysed"),
        (lambda plan: setattr(plan[0], "name", " "), "Give the column a name"),
        (lambda plan: setattr(plan[0], "name", "COMMENT"), "Another column has this name"),
        (lambda plan: setattr(plan[0], "name", "x" * 201), "at most 200 characters"),
        (lambda plan: setattr(plan[0], "wording", "x" * 2_001), "at most 2,000 characters"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(upload_of: Any, change: Any, message: str) -> None:
    upload = upload_of(table(numbered(3)))
    plan = imports.upload_plan(upload)
    change(plan)
    with pytest.raises(ValidationError, match=message):
        imports.upload_organise(upload=upload, columns=plan)
    upload.refresh_from_db()
    assert imports.upload_plan(upload)[1].name == "Comment"


def test_too_many_text_columns_are_refused(alice: Any) -> None:
    header = tuple(f"Comment {n}" for n in range(26))
    upload = imports.upload_create(user=alice, file_name="a.csv", content=[table([["a b c d"] * 26], header)])
    plan = [ColumnPlan(n, name, "text_to_analyze") for n, name in enumerate(header)]
    with pytest.raises(ValidationError, match="at most 25"):
        imports.upload_organise(upload=upload, columns=plan)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "  "}, "Give the project a name"),
        ({"name": "x" * 101}, "at most 100"),
        ({"placeholders": ["a", "b", "c", "d"]}, "At most 3"),
        ({"tags": ["x" * 51]}, "At most 20 tags"),
        ({"language": ""}, "language"),
    ],
)
def test_settings_that_cannot_be_are_refused(upload_of: Any, start: Any, values: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        start(upload_of(table(numbered(3))), **values)
    assert nothing_is_left()


def test_a_refused_upload_leaves_no_file(alice: Any, settings: Any) -> None:
    with pytest.raises(ApplicationError):
        imports.upload_create(user=alice, file_name="a.csv", content=[b""])
    settings.LIMIT_FILE_MB = 1
    with pytest.raises(ApplicationError, match="at most 1 MB"):
        imports.upload_create(user=alice, file_name="a.csv", content=[b"Text\n", b"x" * 1_100_000])
    assert not list(Path(settings.UPLOAD_DIR).iterdir())
    assert not Upload.objects.exists()


def test_an_upload_can_be_thrown_away_until_it_is_submitted(upload_of: Any, start: Any) -> None:
    upload = upload_of(table(numbered(3)))
    folder = Path(upload.path)
    imports.upload_delete(upload=upload)
    assert not folder.exists()
    upload = upload_of(table(numbered(3)))
    start(upload)
    with pytest.raises(ApplicationError, match="being imported"):
        imports.upload_delete(upload=upload)


def test_old_uploads_are_deleted(upload_of: Any, start: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    old, busy, fresh = (upload_of(table(numbered(3))) for _n in range(3))
    start(busy)
    long_ago = timezone.now() - timedelta(days=8)
    Upload.objects.filter(pk__in=[old.pk, busy.pk]).update(created_at=long_ago)
    assert imports.uploads_purge() == 1
    assert set(Upload.objects.values_list("pk", flat=True)) == {busy.pk, fresh.pk}


def test_the_file_may_be_gone(upload_of: Any, start: Any) -> None:
    import shutil

    upload = upload_of(table(numbered(3)))
    job = start(upload)
    shutil.rmtree(upload.path)
    failed = execute(job.pk)
    assert failed.state == JobState.FAILED
    assert nothing_is_left()


@pytest.mark.postgres
def test_postgres_reserves_ids_in_one_go(upload_of: Any, start: Any, django_assert_max_num_queries: Any) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("runs on PostgreSQL")
    job = start(upload_of(table(numbered(500))))
    with django_assert_max_num_queries(60):  # the same for 500 rows as for 5
        execute(job.pk)
    # What Django stores next gets an id of its own.
    project = Project.objects.get()
    row = Row.objects.create(project=project, number=501)
    assert row.pk > max(Row.objects.exclude(pk=row.pk).values_list("pk", flat=True))
