"""Measure a bulk action beside the bare statement: what does it cost to be undoable, resumable and polite?

    python bench/bulk.py --rows 100000                  (PostgreSQL; --database sqlite for the other)

In a scratch database: a column of texts with three topics of the AI on each row, then on the same rows
 - bare: one INSERT … SELECT of one more topic for every row, nothing else;
 - bulk: "add this topic", by the job, in this process: selection, locks, inverse, revisions, history;
 - the same with "reviewed", which also makes the topics of the AI a person's;
 - their undo.
Prints seconds, rows per second, the ratio to bare, bytes of the inverse per row, and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make(n_rows: int) -> Any:
    """Return a column with `n_rows` texts, ten topics and three assignments on each row."""
    from django.contrib.auth.models import User
    from django.db import connection

    from projects.models import Column, ColumnType, Project
    from rows.models import Row, Verbatim
    from rows.text import digest, fingerprint
    from topics.models import Category, Topic

    user = User.objects.create_user("bench")
    project = Project.objects.create(name="Bulk", owner=user)
    column = Column.objects.create(project=project, ref="text", name="Text", type=ColumnType.TEXT_TO_ANALYZE)
    category = Category.objects.create(column=column, label="General")
    topics = [
        Topic.objects.create(column=column, category=category, label=f"Topic {n}", code_neutral=n)
        for n in range(10)
    ]
    for start in range(0, n_rows, 10_000):
        numbers = range(start + 1, min(start + 10_000, n_rows) + 1)
        rows = Row.objects.bulk_create(Row(project=project, number=number) for number in numbers)
        texts = [f"The {number}th answer, about delivery, price and friendly staff." for number in numbers]
        Verbatim.objects.bulk_create(
            Verbatim(
                row=row, column=column, row_number=row.number, text=text, fingerprint=fingerprint(text),
                digest=digest(text), certainty=0.5,
            )
            for row, text in zip(rows, texts, strict=True)
        )  # fmt: skip
    with connection.cursor() as cursor:
        for position, topic in enumerate(topics[:3]):
            cursor.execute(
                "INSERT INTO rows_assignment (verbatim_id, topic_id, sentiment, source, probability, position) "
                "SELECT id, %s, NULL, 'ai', 0.5 + (id * 7919 %% 5000) / 10000.0, %s FROM rows_verbatim "
                "WHERE column_id = %s AND id %% 5 <> %s",  # not the same topics on every row
                [topic.pk, position, column.pk, position],
            )
    settle()
    return column


def settle() -> None:
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE rows_verbatim")
            cursor.execute("VACUUM ANALYZE rows_assignment")
            cursor.execute("CHECKPOINT")


def bare(column: Any, topic: Any) -> float:
    from django.db import connection

    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO rows_assignment (verbatim_id, topic_id, sentiment, source, probability, position) "
            "SELECT id, %s, NULL, 'person', NULL, 3 FROM rows_verbatim WHERE column_id = %s",
            [topic.pk, column.pk],
        )
    took = time.perf_counter() - began
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM rows_assignment WHERE topic_id = %s", [topic.pk])
    settle()
    return took


def run_jobs() -> None:
    from projects.jobs import job_execute
    from projects.models import Job, JobKind, JobState

    for job in Job.objects.filter(kind=JobKind.BULK, state=JobState.QUEUED):
        done = job_execute(job.pk)
        assert done is not None
        assert done.state == JobState.DONE, done.error


def bulk(column: Any, topic: Any, *, review: str) -> dict[str, float]:
    """Do it and undo it; return the seconds of both and what the inverse takes."""
    from django.contrib.auth.models import User
    from django.db.models import Sum
    from django.db.models.functions import Length

    from projects.history import change_undo
    from projects.jobs import jobs_held
    from rows.bulk.options import BulkOptions
    from rows.bulk.selection import Selection, preview
    from rows.services.bulk import bulk_start
    from rows.services.reviews import TopicChoice

    user = User.objects.get(username="bench")
    options = BulkOptions(topics_mode="add", topics=(TopicChoice(topic.pk),), review=review)
    selection = Selection(column)
    began = time.perf_counter()
    preview(selection=selection, options=options)
    said = time.perf_counter()
    with jobs_held():
        started = bulk_start(
            column=column, selection=selection, options=options, user=user, token=f"{topic.pk}{review}"
        )
    queued = time.perf_counter()
    run_jobs()
    done = time.perf_counter()
    started.refresh_from_db()
    assert started.change is not None
    size = started.parts.aggregate(n=Sum(Length("data")))["n"]
    settle()
    undo_began = time.perf_counter()
    with jobs_held():
        change_undo(change=started.change, user=user)
    run_jobs()
    undone = time.perf_counter()
    settle()
    return {
        "preview": said - began,
        "start": queued - said,
        "do": done - queued,
        "undo": undone - undo_began,
        "bytes_per_row": size / started.n_changed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--url", default="postgres://postgres@127.0.0.1:5432/postgres", help="a PostgreSQL server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATA_DIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "topicassign.settings"
        name = f"bench_bulk_{os.getpid()}"
        if options.database == "postgresql":
            os.environ["DATABASE_URL"] = options.url.rsplit("/", 1)[0] + f"/{name}"
            _database(options.url, f"CREATE DATABASE {name}")
        else:
            os.environ.pop("DATABASE_URL", None)
        try:
            measure(options)
        finally:
            if options.database == "postgresql":
                from django.db import connections

                connections.close_all()
                _database(options.url, f"DROP DATABASE {name} WITH (FORCE)")


def _database(url: str, statement: str) -> None:
    import psycopg2

    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


def measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    column = make(options.rows)
    memory = peak_mb()
    topics = list(column.topics.order_by("pk"))[3:]
    # In turns, so that a busy minute of the machine hits both.
    bares, adds, reviews = [], [], []
    for turn in range(options.repeats):
        bares.append(bare(column, topics[turn]))
        adds.append(bulk(column, topics[turn], review="keep"))
        reviews.append(bulk(column, topics[turn], review="reviewed"))
    least = min(bares)
    result: dict[str, Any] = {"rows": options.rows, "database": options.database, "bare_s": round(least, 2)}
    for label, runs in (("add", adds), ("add, reviewed", reviews)):
        best = {key: min(run[key] for run in runs) for key in runs[0]}
        result[label] = {
            "preview_s": round(best["preview"], 2),
            "do_s": round(best["do"], 2),
            "rows_per_s": round(options.rows / best["do"]),
            "ratio_to_bare": round(min(run["do"] / one for run, one in zip(runs, bares, strict=True)), 1),
            "undo_s": round(best["undo"], 2),
            "inverse_bytes_per_row": round(best["bytes_per_row"], 1),
        }
    result["memory_before_mb"], result["memory_peak_mb"] = memory, peak_mb()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
