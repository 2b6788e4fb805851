"""What the benchmark does inside the product, each step in a process of its own.

python bench/steps.py STEP '{"argument": ...}'      prints one line of JSON
"""

from __future__ import annotations

import itertools
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402

from bench.filters import SENTENCE  # noqa: E402
from bench.topics import PASSWORD, TOPICS, decide  # noqa: E402
from projects.models import Column, ColumnType  # noqa: E402
from rows.models import Verbatim  # noqa: E402


def person() -> Any:
    users = get_user_model().objects
    return users.filter(username="bench").first() or users.create_superuser("bench", password=PASSWORD)


def upload(path: str) -> dict[str, Any]:
    """Upload a file and organise it: what the wizard does before the import starts."""
    from rows.services.imports import upload_create, upload_organise, upload_plan

    began = time.perf_counter()
    with open(path, "rb") as file:
        made = upload_create(user=person(), file_name="bench.csv", content=iter(lambda: file.read(2**20), b""))
    plan = upload_plan(made)
    for column in plan:
        if column.name == "text":
            column.type, column.style = ColumnType.TEXT_TO_ANALYZE, ""
        elif column.is_text_to_analyze:
            column.type, column.style = ColumnType.TEXT, ""
    upload_organise(upload=made, columns=plan)
    return {"upload": made.pk, "seconds": time.perf_counter() - began}


def start_import(upload: int) -> dict[str, Any]:
    """Start the import; the worker does it."""
    from rows.models import Upload
    from rows.services.imports import ProjectSettings, import_start

    began = time.perf_counter()
    job = import_start(upload=Upload.objects.get(pk=upload), user=person(), settings=ProjectSettings(name="Bench"))
    assert job.project is not None
    column = job.project.columns.get(name="text")
    return {"column": column.pk, "seconds": time.perf_counter() - began}


def add_topics(column: int) -> dict[str, Any]:
    """Import the collection of 50 topics in 10 categories, all with sentiment."""
    from topics.codebook import codebook_import

    lines = ["code,topic,category,sentiment"]
    for index, (category, label, _) in enumerate(TOPICS):
        for offset, sentiment in enumerate(("neutral", "positive", "negative")):
            lines.append(f"{3 * index + offset + 1},{label},{category},{sentiment}")
    codebook_import(
        column=Column.objects.get(pk=column),
        file_name="bench.csv",
        content="\n".join(lines).encode(),
        user=person(),
    )
    return {"topics": len(TOPICS)}


def switch(column: int, on: bool) -> dict[str, Any]:
    """Switch AI updates on or off, without starting one."""
    Column.objects.filter(pk=column).update(ai_updates_on=on)
    return {}


def review(column: int, n: int) -> dict[str, Any]:
    """Review rows spread over the table, as the oracle has it."""
    from rows.services.reviews import TopicChoice, verbatim_review

    ids = topic_ids(column)
    heads = list(
        Verbatim.objects.filter(column=column, is_group_head=True, is_empty=False, is_reviewed=False)
        .order_by("id")
        .values_list("pk", flat=True)
    )
    began = time.perf_counter()
    for pk in random.Random(1).sample(heads, n):
        verbatim = Verbatim.objects.select_related("column__project").get(pk=pk)
        chosen = [TopicChoice(topic, mood) for topic, mood in decide(verbatim.text, ids)]
        verbatim_review(verbatim=verbatim, topics=chosen, revision=verbatim.revision, user=person())
    return {"reviews": n, "seconds": time.perf_counter() - began}


def topic_ids(column: int) -> dict[str, int]:
    from topics.models import Topic

    return dict(Topic.objects.filter(column=column).values_list("label", "pk"))


def open_rows(column: int, n: int) -> dict[str, Any]:
    """Return rows to review (id, revision, what the oracle decides) and all topics by label."""
    ids = topic_ids(column)
    rows = Verbatim.objects.filter(column=column, is_group_head=True, is_empty=False, is_reviewed=False)
    found = list(rows.order_by("id").values_list("pk", flat=True))
    chosen = rows.filter(pk__in=random.Random(2).sample(found, min(n, len(found)))).only("revision", "text")
    return {"rows": [(row.pk, row.revision, decide(row.text, ids)) for row in chosen], "topics": ids}


def export(column: int, kind: str, path: str) -> dict[str, Any]:
    """Export all rows with one column per topic, as the command does; returns seconds and peak memory."""
    from django.core.management import call_command

    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call_command("export_rows", str(column), "--format", kind, "--output", path, stdout=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": time.perf_counter() - began,
        "rss_mb": after / 1024,
        "rss_before_mb": before / 1024,
        "bytes": Path(path).stat().st_size,
    }


def import_now(upload: int) -> dict[str, Any]:
    """Import and index a table without a worker and without an AI update."""
    from projects.jobs import job_execute, jobs_held
    from projects.models import Job, JobKind

    with jobs_held():
        column = start_import(upload)["column"]
        seconds = {}
        for kind in (JobKind.IMPORT, JobKind.INDEX):
            job = Job.objects.filter(kind=kind).first()
            if job is None:  # a small table
                continue
            began = time.perf_counter()
            done = job_execute(job.pk)
            assert done is not None
            assert done.state == "done", done.error
            seconds[str(kind)] = time.perf_counter() - began
            Job.objects.filter(kind=JobKind.UPDATE).delete()
    return {"column": column, "seconds": seconds}


def seed(column: int) -> dict[str, Any]:
    """Give all rows topics, certainty and the rest without an AI update, and vectors that mean nothing."""
    import numpy as np
    from django.conf import settings
    from django.db import connection
    from django.utils.module_loading import import_string

    from finetune.features import VectorCache, features_folder
    from finetune.models import ModelVersion

    one = Column.objects.select_related("project").get(pk=column)
    for index, (category, label, _) in enumerate(TOPICS):  # not by the service: no AI update must follow
        own, _made = one.categories.get_or_create(label=category, defaults={"position": index})
        code = 3 * index + 1
        own.topics.create(
            column=one, label=label, sentiment_enabled=True, position=index,
            code_neutral=code, code_positive=code + 1, code_negative=code + 2,
        )  # fmt: skip
    topics = list(one.topics.order_by("pk").values_list("pk", flat=True))
    user = person().pk
    with connection.cursor() as cursor:
        for place, topic in enumerate(topics):
            share = max(2, int(2000 / (place + 1) ** 1.6)) if place < len(topics) - 1 else 2  # in 10,000
            cursor.execute(
                "INSERT INTO rows_assignment (verbatim_id, topic_id, sentiment, source, probability, position) "
                "SELECT id, %s, (row_number + %s) %% 3 - 1, 'ai', 0.8, 0 FROM rows_verbatim "
                "WHERE column_id = %s AND (CAST(row_number AS bigint) * 7919 + %s * 104729) %% 10000 < %s",
                [topic, place, column, place, share],
            )
        cursor.execute(
            "UPDATE rows_verbatim SET certainty = ((row_number %% 9973) * 7 %% 9973) / 10000.0, "
            "sentiment = row_number %% 3 - 1, "
            "language = CASE WHEN row_number %% 100 = 1 THEN 'de' ELSE '' END, "
            "is_highlighted = (row_number %% 2003 = 5), is_reviewed = (row_number %% 401 = 7), "
            "reviewed_at = CASE WHEN row_number %% 401 = 7 THEN CURRENT_TIMESTAMP END, "
            "reviewed_by_id = CASE WHEN row_number %% 401 = 7 THEN %s END WHERE column_id = %s",
            [user, column],
        )
        cursor.execute(
            "UPDATE rows_assignment SET source = 'person' WHERE verbatim_id IN "
            "(SELECT id FROM rows_verbatim WHERE column_id = %s AND is_reviewed)",
            [column],
        )
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    encoder = import_string(settings.ENCODER_CLASS).load(None, allow_download=False)
    cache = VectorCache(features_folder(column, encoder.key), encoder.n_features)
    rng = np.random.default_rng(0)
    wanted = encoder.encode([SENTENCE])[0]
    digests = Verbatim.objects.filter(column=column, is_group_head=True).values_list("digest", flat=True)
    stream = digests.order_by("pk").iterator(chunk_size=20_000)
    while part := [bytes(digest) for digest in itertools.islice(stream, 50_000)]:
        X = rng.standard_normal((len(part), encoder.n_features), dtype=np.float32) / encoder.n_features**0.5
        X[::500] += wanted  # one in 500 says something like it
        cache.append_vectors(part, X)
    ModelVersion.objects.create(column=one, number=1, trigger="first", state="deployed", encoder=encoder.key)
    return {
        "topics": topics,
        "categories": list(one.categories.order_by("pk").values_list("pk", flat=True)),
        "columns": dict(one.project.columns.values_list("ref", "pk")),
        "user": user,
    }


def explain(column: int, queries: dict[str, str]) -> dict[str, Any]:
    """Return what PostgreSQL does for the first page of each filter: the best time of three, and the scans."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from rows.filters import RowFilter
    from rows.paging import page_ids

    one = Column.objects.select_related("project").get(pk=column)
    found: dict[str, Any] = {}
    for name, query in queries.items():
        after = query.partition("after=")[2].partition("&")[0]
        with CaptureQueriesContext(connection) as seen:
            page_ids(row_filter=RowFilter.from_query(query, one), after=after, limit=50)
        statements = [entry["sql"] for entry in seen if 'FROM "rows_' in entry["sql"]]
        total, scans, hits = 0.0, [], 0
        for statement in statements:
            with connection.cursor() as cursor:
                best = None
                for _turn in range(3):
                    cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.replace("%", "%%"), [])
                    plan = cursor.fetchone()[0][0]
                    if best is None or plan["Execution Time"] < best["Execution Time"]:
                        best = plan
            assert best is not None
            total += best["Execution Time"] + best["Planning Time"]
            hits += best["Plan"]["Shared Hit Blocks"] + best["Plan"]["Shared Read Blocks"]
            scans += _scans(best["Plan"])
        found[name] = {"ms": round(total, 1), "pages": hits, "plan": " > ".join(dict.fromkeys(scans))}
    return found


def _scans(node: dict[str, Any]) -> list[str]:
    own = node.get("Index Name") or (node.get("Relation Name") if "Scan" in node["Node Type"] else None)
    kind = node["Node Type"]
    short = [f"{kind} {own}" if own else kind] if own or kind in ("Sort", "Incremental Sort") else []
    return [*short, *(name for child in node.get("Plans", []) for name in _scans(child))]


_ALL = (upload, explain, start_import, import_now, seed, add_topics, switch, review, open_rows, export)
STEPS = {step.__name__: step for step in _ALL}

if __name__ == "__main__":
    answer = STEPS[sys.argv[1]](**json.loads(sys.argv[2]))
    print(json.dumps(answer))
