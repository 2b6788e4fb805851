"""Pages of filters that other tables decide, against plain Python: however few or many rows a condition has.

What is walked through, looked up and named at most is made small, so that a few hundred rows are a large table.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projects.jobs import job_execute
from projects.models import Column, ColumnType, JobState, Project
from rows import walking
from rows.filters import RowFilter, naming
from rows.indexing import index_start
from rows.models import Assignment, Row, TextBlock, Verbatim
from rows.selectors import row_numbers, verbatim_page
from topics.models import Topic

N_ROWS = 260  # three blocks of texts
WORDS = ("late", "ok", ":-)", "Müller", "x", "a_b", "100%", "kitchen", "the", "Ça va", "zq", "???")
KINDS = [("Note", ColumnType.TEXT), ("Score", ColumnType.NUMERICAL), ("Day", ColumnType.DATE)]


def make_lines() -> list[dict[str, Any]]:
    """Return rows; some things are everywhere, some nowhere, some only at one end of the table."""
    rng = random.Random(7)
    lines: list[dict[str, Any]] = []
    for number in range(1, N_ROWS + 1):
        words = rng.choices(WORDS[:10], [9, 3, 1, 2, 1, 1, 1, 5, 20, 1], k=rng.randint(0, 6))
        if number in (101, 200, 259):
            words.append("zq")
        note = rng.choice(
            ["", "Call back", "call", f"N{number:04}", "Öl " + "y" * 120 + (" end" if number % 9 else "")]
        )
        lines.append(
            {
                "number": number,
                "text": " ".join(words).strip() or rng.choice(["", "!"]),
                "note": note,
                "score": rng.choice([None, 1, 2, 2, 2, 2.5, number]),
                "day": f"2026-{1 + number // 65:02}-{1 + number % 28:02}",  # in order, as tables often are
                "topics": {topic for topic, share in enumerate((0.6, 0.1, 0.02)) if rng.random() < share},
                "is_reviewed": rng.random() < 0.3,
            }
        )
    return lines


LINES = make_lines()
assert len({line["text"] for line in LINES}) < N_ROWS, "some say the same"


@pytest.fixture(params=["read", "indexed"])
def table(
    request: Any, make_project: Callable[..., Project], alice: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Column:
    values = [{name: line[name] for name in ("note", "score", "day")} for line in LINES]
    project = make_project(alice, texts=[line["text"] for line in LINES], columns=KINDS, values=values)
    column: Column = project.column  # type: ignore[attr-defined]
    topics = list(Topic.objects.filter(column=column).order_by("pk"))
    verbatims = {one.row_number: one for one in column.verbatims.all()}
    Assignment.objects.bulk_create(
        Assignment(verbatim=verbatims[line["number"]], topic=topics[topic], source="ai", probability=0.5)
        for line in LINES
        for topic in line["topics"]
    )
    reviewed = [line["number"] for line in LINES if line["is_reviewed"]]
    column.verbatims.filter(row_number__in=reviewed).update(is_reviewed=True)
    if request.param == "indexed":
        settings.INDEX_FROM_ROWS = 1
        job = index_start(project=project)
        assert job is not None
        assert job_execute(job.pk).state == JobState.DONE
    for module, name, value in (
        (walking, "FIRST_ROWS", 12), (walking, "WALK_ROWS", 90), (walking, "NUMBERS_AT_ONCE", (3, 7)),
        (naming, "MAX_NAMED", 6), (naming, "MAX_NUMBERS", 40),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    return column


def terms_hold(query: str, text: str) -> bool:
    wanted = [term for term in query.split() if not term.startswith("-")]
    unwanted = [term[1:] for term in query.split() if term.startswith("-")]
    text = text.lower()
    return all(term.lower() in text for term in wanted) and not any(term.lower() in text for term in unwanted)


def meets(line: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Say in plain Python whether a row is asked for."""
    checks = {
        "q": lambda value: terms_hold(value, line["text"]),
        "note": lambda value: value.lower() in line["note"].lower(),
        "score": lambda value: line["score"] is not None and line["score"] >= value,
        "day": lambda value: value[0] <= line["day"] <= value[1],
        "any": lambda value: bool(line["topics"] & set(value)),
        "all": lambda value: line["topics"] >= set(value),
        "none": lambda value: not line["topics"] & set(value),
        "reviewed": lambda value: line["is_reviewed"] is value,
    }
    return all(checks[name](value) for name, value in asked.items())


def query_of(column: Column, asked: dict[str, Any]) -> str:
    """Return the query string of what is asked for."""
    ids = {other.ref: f"c{other.pk}" for other in column.project.columns.all()}
    topics = list(Topic.objects.filter(column=column).order_by("pk").values_list("pk", flat=True))
    pairs: list[tuple[str, Any]] = [("grouped", "no")]
    for name, value in asked.items():
        if name == "q":
            pairs.append(("q", value))
        elif name == "note":
            pairs.append((f"{ids['note']}.a", value))
        elif name == "score":
            pairs += [(f"{ids['score']}.op", "ge"), (f"{ids['score']}.a", value)]
        elif name == "day":
            pairs += [(f"{ids['day']}.a", value[0]), (f"{ids['day']}.b", value[1])]
        elif name == "reviewed":
            pairs.append(("reviewed", "yes" if value else "no"))
        else:
            pairs += [("topic_mode", name), *(("topic", topics[topic]) for topic in value)]
    return urlencode(pairs)


def pages(column: Column, query: str, limit: int) -> list[int]:
    """Return the row numbers of all pages, one after the other."""
    numbers = dict(column.verbatims.values_list("pk", "row_number"))
    found: list[int] = []
    after = ""
    for _step in range(N_ROWS + 1):
        page = verbatim_page(row_filter=RowFilter.from_query(query, column), after=after, limit=limit)
        assert len(page.ids) <= limit
        found += [numbers[pk] for pk in page.ids]
        after = page.after
        if not after:
            return found
        assert len(page.ids) == limit, "a page that is followed by another is full"
    raise AssertionError("the pages do not end")


asked_for = st.fixed_dictionaries(
    {},
    optional={
        "q": st.sampled_from(
            [
                "late",
                "the",
                "zq",
                "ok",
                ":-)",
                "x",
                "never",
                "qz",
                "the -late",
                "-the",
                "ok :-)",
                "a_b",
                "ça",
                "0%",
                "_",
            ]
        ),
        "note": st.sampled_from(["call", "CALL BACK", "n02", "end", "öl", "yy", "nowhere", "0", "1", "N025"]),
        "score": st.sampled_from([0, 2, 2.5, 100, 255, 999]),
        "day": st.sampled_from(
            [("2026-01-01", "2026-01-31"), ("2026-03-05", "2026-03-07"), ("2020-01-01", "2021-01-01")]
        ),
        "reviewed": st.booleans(),
    },
)
topics_asked_for = st.one_of(
    st.just({}),
    st.tuples(st.sampled_from(["any", "all", "none"]), st.sampled_from([[0], [1], [2], [0, 1], [1, 2]])).map(
        lambda pair: {pair[0]: pair[1]}
    ),
)


def test_pages_hold_what_plain_python_finds(table: Column) -> None:
    @given(asked_for, topics_asked_for, st.sampled_from([1, 4, 50]), st.booleans())
    @settings(
        max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True
    )
    def check(asked: dict[str, Any], topics: dict[str, Any], limit: int, descending: bool) -> None:
        asked = {**asked, **topics}
        expected = [line["number"] for line in LINES if meets(line, asked)]
        limit = max(limit, len(expected) // 25 + 1)
        query = query_of(table, asked)
        ordered = sorted(expected, reverse=descending)
        assert pages(table, query + ("&sort=-number" if descending else ""), limit) == ordered
        row_filter = RowFilter.from_query(query, table)
        assert row_numbers(column=table, row_filter=row_filter)["n_rows"] == len(expected)
        assert row_filter.lost == []

    check()


def test_pages_follow_rows_that_change_meanwhile(table: Column) -> None:
    """The next page begins after the last row that was shown, whatever happened to it."""
    query = query_of(table, {"any": [0], "q": "the"})
    expected = [line["number"] for line in LINES if meets(line, {"any": [0], "q": "the"})]
    first = verbatim_page(row_filter=RowFilter.from_query(query, table), limit=5)
    Assignment.objects.filter(verbatim__in=first.ids).delete()
    gone = expected[6]
    Row.objects.filter(project=table.project, number=gone).update(deleted_at="2026-01-01T00:00:00Z")
    second = verbatim_page(row_filter=RowFilter.from_query(query, table), after=first.after, limit=5)
    numbers = dict(table.verbatims.values_list("pk", "row_number"))
    assert [numbers[pk] for pk in first.ids] == expected[:5]
    assert [numbers[pk] for pk in second.ids] == [number for number in expected[5:] if number != gone][:5]


def test_grouped_pages_show_the_first_of_identical_rows(table: Column) -> None:
    topics = list(Topic.objects.filter(column=table).order_by("pk").values_list("pk", flat=True))
    query = f"q=the&topic={topics[0]}&reviewed=no"
    heads = set(Verbatim.objects.filter(column=table, is_group_head=True).values_list("row_number", flat=True))
    asked = {"q": "the", "any": [0], "reviewed": False}
    expected = [line["number"] for line in LINES if meets(line, asked) and line["number"] in heads]
    assert expected
    assert pages(table, query, 3) == expected


@pytest.mark.postgres
def test_blocks_hold_every_letter_and_pair_of_their_texts(table: Column) -> None:
    blocks = {block.first_number: set(block.pairs.split(TextBlock.SEPARATOR)) for block in TextBlock.objects.all()}
    if not blocks:
        pytest.skip("without the index")
    assert sorted(blocks) == [1, 101, 201]
    for line in LINES:
        held, text = blocks[TextBlock.first_of(line["number"])], line["text"].lower()
        assert {*text, *(text[place : place + 2] for place in range(len(text) - 1))} <= held


@pytest.mark.postgres
def test_letters_that_never_occur_are_not_looked_for_in_the_texts(table: Column) -> None:
    if not TextBlock.objects.exists():
        pytest.skip("without the index")
    with CaptureQueriesContext(connection) as seen:
        assert pages(table, "q=qx", 50) == []
    asked = [entry["sql"] for entry in seen if "rows_searchtext" in entry["sql"]]
    assert all("row_number" in sql for sql in asked), "only among the rows of a walk"
