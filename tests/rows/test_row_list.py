"""The list of rows as HTML: every state a row can be in, for those who may review and those who may only look.

What is expected stands in row_list.html. After a wanted change of the template: `WRITE_EXPECTED=1 pytest` on this
file, and read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from projects.models import Column, ColumnType, Project
from rows.models import Assignment, Verbatim, ViewOptions
from topics.models import Topic

EXPECTED = Path(__file__).with_name("row_list.html")
TEXTS = (
    "The delivery came two days late.",
    "<script>alert('Tom & \"Jerry\"')</script>",
    "the  delivery came two days LATE.",
    "",
    "Sehr <b>spät</b>: lateness & late fees. " + "A long story. " * 70,
    "Reviewed, starred and with every topic; {{ braces }} {% tag %}",
    "N/A",
    "Deleted topics leave no trace",
)
SCRIPT = "<i>'x' & \"y\"</i>"
VALUES: list[dict[str, Any]] = [
    {"region": "North", "score": 3, "buys": ["Shoes", SCRIPT], "club": True},
    {"region": SCRIPT, "score": 2.5, "club": False},
    {"region": "", "score": None, "buys": []},
    {},
    {"region": "word " * 40},
]
KINDS = [
    ("Region <&>", ColumnType.SINGLE_SELECT),
    ("Score", ColumnType.NUMERICAL),
    ("Buys", ColumnType.MULTI_SELECT),
    ("Club", ColumnType.BOOLEAN),
]


def prepare(project: Project) -> Column:
    """Bring rows into every state: topics of all sources and sentiments, reviewed, starred, in other languages."""
    column: Column = project.column  # type: ignore[attr-defined]
    rows = list(Verbatim.objects.filter(column=column).order_by("row_number"))
    topics = list(Topic.objects.filter(column=column).order_by("pk"))
    Topic.objects.filter(pk=topics[0].pk).update(
        label="Friendly <&> 'nice'", label_positive="Friendly!", label_negative="Rude <i>"
    )
    topics[1].category.color = "teal"
    topics[1].category.save(update_fields=["color"])

    def assign(row: Verbatim, topic: Topic, sentiment: int | None, source: str = "ai", **values: Any) -> None:
        Assignment.objects.create(verbatim=row, topic=topic, sentiment=sentiment, source=source, **values)

    assign(rows[0], topics[1], -1, probability=0.876, position=1)
    assign(rows[0], topics[0], 1, probability=0.5)
    assign(rows[0], topics[2], None, probability=0.995)
    assign(rows[1], topics[0], 0)
    for position, (topic, sentiment, source) in enumerate(
        [(topics[2], None, "person"), (topics[0], -1, "keyword"), (topics[1], 1, "import")]
    ):
        assign(rows[5], topic, sentiment, source, position=position)
    gone = Topic.objects.create(column=column, category=topics[0].category, label="Gone", code_neutral=99)
    assign(rows[7], gone, None, probability=0.9)
    assign(rows[7], topics[2], None, probability=0.004)
    Topic.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())

    def change(row: Verbatim, **values: Any) -> None:
        Verbatim.objects.filter(pk=row.pk).update(**values)

    change(rows[0], sentiment=1)
    change(rows[1], sentiment=0, language="en", is_highlighted=True)
    change(rows[4], sentiment=-1, language="de", is_reviewed=True, revision=12345)
    change(rows[5], is_reviewed=True, is_highlighted=True, revision=3)
    change(rows[6], is_empty=True)
    return column


@pytest.fixture
def role() -> str:
    return "viewer"


@pytest.fixture
def table(make_project: Callable[..., Project], alice: Any, bob: Any, role: str) -> Column:
    texts = {"Comment": TEXTS, "Other <text>": [f"other & text {number}" for number in range(len(TEXTS))]}
    project = make_project(alice, texts=texts, columns=KINDS, values=VALUES, members={bob: role})
    for ref, value in (("region_<&>", "region"),):
        project.columns.filter(ref=ref).update(ref=value)
    return prepare(project)


def fixed(html: str) -> str:
    """Replace the ids of rows and columns, which are others in every run, by their places."""
    ids: dict[str, int] = {}
    for pk in re.findall(r'data-row="(\d+)"', html):
        ids.setdefault(pk, len(ids) + 1)

    def own(match: re.Match[str]) -> str:
        return f"{match[1]}V{ids[match[2]]}"

    html = re.sub(r'(row-|data-row="|/rows/)(\d+)', own, html)
    return re.sub(r"/columns/\d+/", "/columns/C/", html)


def test_the_html_of_every_state_of_a_row(table: Column, alice: Any, as_alice: Client, as_bob: Client) -> None:
    address = reverse("rows:chunk", args=[table.pk])
    rows = Verbatim.objects.filter(column=table).order_by("-row_number")
    ids = ",".join(str(pk) for pk in rows.values_list("pk", flat=True))
    seen = {
        "who may review": as_alice.get(f"{address}?ids={ids}"),
        "who may review, one by one, searching": as_alice.get(
            f"{address}?ids={ids}&grouped=no&q=late+%22days+late%22+script"
        ),
        "who may only look": as_bob.get(f"{address}?ids={ids}"),
    }
    shown = list(table.project.columns.exclude(pk=table.pk).order_by("-position").values_list("pk", flat=True))
    ViewOptions.objects.create(user=alice, column=table, shown=shown)
    seen["other columns under the text, in German"] = as_alice.get(
        f"{address}?ids={ids}", headers={"Accept-Language": "de"}
    )
    found = "\n".join(f"<!-- {name} -->\n{fixed(answer.content.decode())}" for name, answer in seen.items())
    if os.environ.get("WRITE_EXPECTED"):
        EXPECTED.write_text(found)
    assert found == EXPECTED.read_text()
    assert "<script>" not in found
    assert "<i>" not in found


def test_the_feed_and_a_chunk_draw_the_same_rows(table: Column, as_alice: Client, htmx: dict[str, str]) -> None:
    chunk = as_alice.get(reverse("rows:chunk", args=[table.pk]), headers=htmx).content.decode()
    feed = as_alice.get(reverse("rows:browser", args=[table.pk]), headers=htmx).content.decode()
    articles = re.findall(r"<article.*?</article>", chunk, re.DOTALL)
    assert len(articles) == 7  # of eight rows two are identical
    assert articles == re.findall(r"<article.*?</article>", feed, re.DOTALL)


def test_a_page_of_rows_takes_few_statements(table: Column, as_alice: Client, htmx: dict[str, str]) -> None:
    with CaptureQueriesContext(connection) as seen:
        as_alice.get(reverse("rows:chunk", args=[table.pk]), headers=htmx)
    assert len(seen) <= 9
