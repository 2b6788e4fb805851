"""kill -9 of real workers during a real import, a real AI update and a bulk action with its undo."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import Process, Site

pytestmark = pytest.mark.slow

EMBEDDED = pytest.param("sqlite", "files", id="sqlite-files")
PRODUCTION = pytest.param("postgresql", "redis", marks=pytest.mark.redis, id="postgresql-redis")
WHOLE, CHILD = "kill", "kill_child"

WORDS = tuple(
    "delivery late parcel driver price expensive cheap staff friendly rude quality broken returns refund shop "  # noqa: SIM905
    "website checkout packaging gift stock colour size advice phone wait quick helpful slow great poor".split()
)


def write_table(path: Path, n_rows: int) -> list[str]:
    """Write a table of distinct texts; returns them in order."""
    rng = random.Random(7)
    texts = [f"{' '.join(rng.choices(WORDS, k=9))} no. {number}" for number in range(1, n_rows + 1)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["answer", "score", "region"])
        writer.writerows([text, rng.randint(0, 10), rng.choice("NSEW")] for text in texts)
    return texts


def strike(site: Site, worker: Process, how: str) -> None:
    """Kill the worker, or its pool process; after the former start a new one, as a supervisor does."""
    getattr(worker, how)()
    if how == WHOLE:
        seen = site.sql("SELECT state FROM projects_job WHERE state = 'running'")
        assert len(seen) == 1, "the job was not running when the worker was killed"
        site.start_worker()


@pytest.mark.parametrize("how", [WHOLE, CHILD])
@pytest.mark.parametrize(("database", "broker"), [EMBEDDED, PRODUCTION])
def test_an_import_survives_kill_9(tmp_path: Path, database: str, broker: str, how: str) -> None:
    n_rows = 40_000
    texts = write_table(tmp_path / "answers.csv", n_rows)
    with Site(tmp_path, database=database, broker=broker) as site:
        site.migrate()
        worker = site.start_worker()
        site.shell(
            f"""
from django.contrib.auth.models import User
from rows.services.imports import *
from projects.models import ColumnType
user = User.objects.create(username="alice")
content = [open({str(tmp_path / "answers.csv")!r}, "rb").read()]
upload = upload_create(user=user, file_name="answers.csv", content=content)
plan = upload_plan(upload)
plan[0].type, plan[0].style = ColumnType.TEXT_TO_ANALYZE, ""
upload_organise(upload=upload, columns=plan)
import_start(upload=upload, user=user, settings=ProjectSettings(name="Answers"))
"""
        )
        site.wait_for_job("import", lambda job: job.done >= 5_000, seconds=60, what="the import is under way")
        strike(site, worker, how)
        job = site.wait_for_job("import", lambda job: job.is_over, seconds=90, what="the import is over")
        assert (job.state, job.attempts, job.error, job.done) == ("done", 2, "", n_rows)
        assert site.sql("SELECT state FROM projects_project") == [("ready",)]
        numbers = [number for (number,) in site.sql("SELECT number FROM rows_row ORDER BY number")]
        assert numbers == list(range(1, n_rows + 1))
        stored = site.sql("SELECT row_number, text FROM rows_verbatim ORDER BY row_number")
        assert stored == list(enumerate(texts, 1))
        assert list((tmp_path / "data" / "uploads").glob("*/*.csv")) == []


def prepare_update(site: Site) -> int:
    column_id: int = site.shell(
        """
from pathlib import Path
from django.contrib.auth.models import User
from rows.models import Verbatim
from rows.services.imports import file_import
from rows.services.reviews import TopicChoice, verbatim_review
from topics.services import category_create, topic_create
from projects.models import Column, Job
user = User.objects.create(username="alice")
Column.objects.update(ai_updates_on=False)
project = file_import(path=Path({path!r}), user=user, text_columns=["answer"])
Job.objects.filter(kind="update").delete()
column = project.columns.get(name="answer")
category = category_create(column=column, label="All", user=user)
topics = [topic_create(column=column, category=category, label=label, user=user, sentiment_enabled=True)
          for label in ("Delivery", "Price", "Staff", "Quality")]
topics = list(column.topics.order_by("id"))
Job.objects.filter(kind="update").delete()
words = ["delivery", "price", "staff", "quality"]
for verbatim in Verbatim.objects.filter(column=column).order_by("row_number")[:24]:
    chosen = [TopicChoice(topic.pk, 1) for topic, word in zip(topics, words) if word in verbatim.text]
    verbatim_review(verbatim=verbatim, topics=chosen, revision=verbatim.revision, user=user)
answer = column.pk
""".replace("{path!r}", repr(str(site.folder / "answers.csv")))
    )
    return column_id


def reviewed(site: Site) -> list[tuple[Any, ...]]:
    return site.sql(
        "SELECT v.id, v.revision, v.certainty, v.sentiment, a.topic_id, a.sentiment, a.source "
        "FROM rows_verbatim v LEFT JOIN rows_assignment a ON a.verbatim_id = v.id "
        "WHERE v.is_reviewed ORDER BY v.id, a.topic_id"
    )


def assigned(site: Site) -> list[tuple[Any, ...]]:
    return site.sql(
        "SELECT v.id, v.certainty, v.sentiment, a.topic_id, a.sentiment, a.probability FROM rows_verbatim v "
        "LEFT JOIN rows_assignment a ON a.verbatim_id = v.id ORDER BY v.id, a.topic_id"
    )


@pytest.mark.parametrize("stage", ["Encoding texts", "Assigning topics"])
@pytest.mark.parametrize(
    ("database", "broker", "how"),
    [
        pytest.param("sqlite", "files", WHOLE, id="sqlite-files-worker"),
        pytest.param("sqlite", "files", CHILD, id="sqlite-files-child"),
        pytest.param("postgresql", "redis", WHOLE, marks=pytest.mark.redis, id="postgresql-redis-worker"),
    ],
)
def test_an_ai_update_survives_kill_9(tmp_path: Path, database: str, broker: str, how: str, stage: str) -> None:
    n_rows = 6_000
    write_table(tmp_path / "answers.csv", n_rows)
    with Site(tmp_path, database=database, broker=broker, QUICK_ENCODER_TEXTS_PER_S="4000") as site:
        site.migrate()
        column_id = prepare_update(site)
        before = reviewed(site)
        assert site.job("update") is not None, "the reviews asked for an update"
        worker = site.start_worker()

        def under_way(job: Any) -> bool:
            return job.stage == stage and (stage != "Encoding texts" or 0 < job.done < job.total)

        site.wait_for_job("update", under_way, seconds=90, what=f"the update is in the stage {stage!r}")
        strike(site, worker, how)
        site.wait_for_job("update", lambda job: job.is_over, seconds=120, what="the update is over")
        assert site.sql(
            "SELECT state, attempts, error FROM projects_job WHERE kind = 'update' ORDER BY created_at LIMIT 1"
        ) == [("done", 2, "")]

        # One model in use, nothing of the reviews touched, each text encoded once.
        assert site.sql("SELECT COUNT(*) FROM finetune_modelversion WHERE state = 'deployed'") == [(1,)]
        assert reviewed(site) == before
        n_texts = site.sql("SELECT COUNT(DISTINCT digest) FROM rows_verbatim")[0][0]
        n_topics = site.sql("SELECT COUNT(*) FROM topics_topic")[0][0]
        assert site.sql("SELECT COUNT(*) FROM finetune_embedding") == [(n_texts + n_topics,)]
        # An undisturbed update of the same data comes to the same topics: nothing is missing or twice.
        after_kill = assigned(site)
        worker.kill()
        site.manage("update_ai", str(column_id), "--wait")
        assert assigned(site) == after_kill


def prepare_bulk(site: Site) -> None:
    """Import rows of which some are reviewed, and start a bulk action on all of them but the first."""
    site.shell(
        """
from pathlib import Path
from django.contrib.auth.models import User
from rows.bulk.options import BulkOptions
from rows.bulk.selection import Selection
from rows.models import Verbatim
from rows.services.bulk import bulk_start
from rows.services.imports import file_import
from rows.services.reviews import TopicChoice, verbatim_review
from topics.services import category_create, topic_create
from projects.models import Column, Job
user = User.objects.create(username="alice")
project = file_import(path=Path({path!r}), user=user, text_columns=["answer"])
column = project.columns.get(name="answer")
Column.objects.update(ai_updates_on=False)
category = category_create(column=column, label="All", user=user)
kept = topic_create(column=column, category=category, label="Kept", user=user)
added = topic_create(column=column, category=category, label="Added", user=user)
for verbatim in Verbatim.objects.filter(column=column).order_by("row_number")[:40]:
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(kept.pk, None)], revision=verbatim.revision, user=user)
Job.objects.all().delete()
options = BulkOptions(topics_mode="add", topics=(TopicChoice(added.pk, None),), review="reviewed")
bulk_start(column=column, selection=Selection(column, "row_min=2"), options=options, user=user, token="a" * 32)
""".replace("{path!r}", repr(str(site.folder / "answers.csv")))
    )


def decided(site: Site) -> list[tuple[Any, ...]]:
    return site.sql(
        "SELECT v.row_number, v.is_reviewed, t.label, a.source FROM rows_verbatim v LEFT JOIN rows_assignment a "
        "ON a.verbatim_id = v.id LEFT JOIN topics_topic t ON t.id = a.topic_id ORDER BY v.row_number, t.label"
    )


@pytest.mark.parametrize(
    ("database", "broker", "how"),
    [
        pytest.param("sqlite", "files", WHOLE, id="sqlite-files-worker"),
        pytest.param("postgresql", "redis", CHILD, marks=pytest.mark.redis, id="postgresql-redis-child"),
    ],
)
def test_a_bulk_action_and_its_undo_survive_kill_9(tmp_path: Path, database: str, broker: str, how: str) -> None:
    n_rows = 30_000
    write_table(tmp_path / "answers.csv", n_rows)
    with Site(tmp_path, database=database, broker=broker) as site:
        site.migrate()
        prepare_bulk(site)
        before = decided(site)
        worker = site.start_worker()
        site.wait_for_job("bulk", lambda job: job.done >= 4_000, seconds=60, what="the bulk action is under way")
        strike(site, worker, how)
        job = site.wait_for_job("bulk", lambda job: job.is_over, seconds=90, what="the bulk action is over")
        assert (job.state, job.attempts, job.error, job.done) == ("done", 2, "", n_rows - 1)
        after = decided(site)
        labels: dict[int, list[str]] = {}
        for number, _reviewed, label, _source in after:
            labels.setdefault(number, []).append(label)
        assert labels[1] == ["Kept"]
        assert all(labels[number] == ["Added", "Kept"] for number in range(2, 41))
        assert all(labels[number] == ["Added"] for number in range(41, n_rows + 1))
        assert all(is_reviewed for _number, is_reviewed, _label, _source in after)
        # One step of history that says the right number, and one review for the next AI update.
        assert site.sql("SELECT n_changed, n_selected FROM rows_bulkaction") == [(n_rows - 1, n_rows - 1)]
        assert site.sql("SELECT COUNT(*) FROM projects_change WHERE kind = 'bulk'") == [(1,)]

        running = [process for process in site.processes if process.is_running]
        site.shell(
            """
from django.contrib.auth.models import User
from projects.history import change_undo
from projects.models import Change
change_undo(change=Change.objects.get(kind="bulk"), user=User.objects.get())
"""
        )
        site.wait_for_job("bulk", lambda job: job.done >= 4_000, seconds=60, what="undoing is under way")
        strike(site, running[-1], how)
        job = site.wait_for_job("bulk", lambda job: job.is_over, seconds=90, what="undoing is over")
        assert (job.state, job.attempts, job.error) == ("done", 2, "")
        assert decided(site) == before
