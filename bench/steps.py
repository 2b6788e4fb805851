"""What the benchmark does inside the product, each step in a process of its own.

python bench/steps.py STEP '{"argument": ...}'      prints one line of JSON
"""

from __future__ import annotations

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


STEPS = {step.__name__: step for step in (upload, start_import, add_topics, switch, review, open_rows, export)}

if __name__ == "__main__":
    answer = STEPS[sys.argv[1]](**json.loads(sys.argv[2]))
    print(json.dumps(answer))
