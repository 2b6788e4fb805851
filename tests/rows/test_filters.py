"""Every kind of filter and order, through the page, with and without the index of a large table."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from projects.jobs import job_execute
from projects.models import Column, ColumnType, Job, JobKind, JobState, Project
from rows.filters import RowFilter
from rows.indexing import index_forget, index_start
from rows.models import Assignment, AssignmentSource, Cell, IndexedColumn, Row, Verbatim
from rows.selectors import verbatim_page
from topics.models import Topic

# Row numbers are from 1. Rows 1 and 4 are duplicates, row 5 is empty.
TEXTS = (
    "The delivery came two days late.",
    "Müller & Söhne: sehr freundlich, 100% gut_gemacht",
    "Too expensive, but friendly",
    "the  delivery came two days LATE.",
    "",
    "N/A",
    "ÄRGERLICH! Nie wieder.",
    "x",
)
TODAY = timezone.localdate()
VALUES: list[dict[str, Any]] = [
    {"region": "North", "score": 0, "day": "2026-01-15", "buys": ["Shoes", "Hats"], "club": True, "note": "Call"},
    {"region": "South", "score": 2.5, "day": "2026-02-01T10:00:00+00:00", "buys": ["Hats"], "club": False},
    {"region": "North", "score": 10, "day": TODAY.isoformat(), "buys": [], "note": "call back ÄHM 100%"},
    {"region": "East", "score": -3, "day": (TODAY - timedelta(days=6)).isoformat(), "buys": ["Shoes"]},
    {"score": 9, "note": ""},
    {"region": "South", "day": "2025-12-31", "club": True},
    {"region": "north", "score": 7, "note": "Öl"},
    {"region": "", "score": None, "buys": ["Coats", "Shoes"]},
]
KINDS = [
    ("Region", ColumnType.SINGLE_SELECT),
    ("Score", ColumnType.NUMERICAL),
    ("Day", ColumnType.DATE),
    ("Buys", ColumnType.MULTI_SELECT),
    ("Club", ColumnType.BOOLEAN),
    ("Note", ColumnType.TEXT),
]


@pytest.fixture
def table(make_project: Callable[..., Project], alice: Any, bob: Any, role: str) -> Column:
    project = make_project(alice, texts=TEXTS, columns=KINDS, values=VALUES, members={bob: role})
    return project.column  # type: ignore[attr-defined]


@pytest.fixture(params=["read", "indexed"])
def both_ways(request: Any, table: Column, settings: Any) -> Column:
    """The table as small ones are filtered, and with the index of large ones."""
    if request.param == "indexed":
        settings.INDEX_FROM_ROWS = 1
        job = index_start(project=table.project)
        assert job is not None
        assert job_execute(job.pk).state == JobState.DONE
        assert IndexedColumn.objects.count() == 7
    return table


def named(column: Column, query: str) -> str:
    """Replace `score.op` by the id of that column, and topics by theirs."""
    for other in column.project.columns.all():
        query = re.sub(rf"\b{other.ref}\.(op|a|b|n|unit|is)=", rf"c{other.pk}.\1=", query)
        query = re.sub(rf"sort=(-?){other.ref}\b", rf"sort=\1c{other.pk}", query)
    return query


def numbers(client: Client, column: Column, query: str, **more: str) -> list[int]:
    """Return the row numbers the page shows, in its order."""
    query = named(column, query)
    if more:
        query += ("&" if query else "") + urlencode(more)
    response = client.get(f"{reverse('rows:chunk', args=[column.pk])}?{query}", headers={"HX-Request": "true"})
    assert response.status_code == 200
    return [int(n) for n in re.findall(r"</span>(\d+)</a>", response.content.decode())]


OTHER_COLUMNS = [
    ("score.op=eq&score.a=7", [7]),
    ("score.op=eq&score.a=2,5", [2]),
    ("score.op=ne&score.a=7", [1, 2, 3, 4, 5, 6, 8]),
    ("score.op=lt&score.a=0", [4]),
    ("score.op=le&score.a=0", [1, 4]),
    ("score.op=gt&score.a=9", [3]),
    ("score.op=ge&score.a=9", [3, 5]),
    ("score.op=between&score.a=0&score.b=7", [1, 2, 7]),
    ("score.op=between&score.b=0", [1, 4]),
    ("score.op=empty", [6, 8]),
    ("score.op=filled", [1, 2, 3, 4, 5, 7]),
    ("note.op=contains&note.a=CALL", [1, 3]),
    ("note.op=contains&note.a=ähm", [3]),
    ("note.op=contains&note.a=100%25", [3]),
    ("note.op=contains&note.a=1_0", []),
    ("note.op=not_contains&note.a=call", [2, 4, 5, 6, 7, 8]),
    ("note.op=equals&note.a=call", [1]),
    ("note.op=equals&note.a=öl", [7]),
    ("note.op=equals&note.a=ö", []),
    ("note.op=empty", [2, 4, 5, 6, 8]),
    ("region.is=North", [1, 3]),
    ("region.is=North&region.is=East", [1, 3, 4]),
    ("region.op=none&region.is=North&region.is=South", [4, 5, 7, 8]),
    ("region.op=empty", [5, 8]),
    ("buys.is=Shoes", [1, 4, 8]),
    ("buys.is=Hats&buys.is=Coats", [1, 2, 8]),
    ("buys.op=all&buys.is=Hats&buys.is=Shoes", [1]),
    ("buys.op=none&buys.is=Shoes", [2, 3, 5, 6, 7]),
    ("buys.op=empty", [3, 5, 6, 7]),
    ("club.is=yes", [1, 6]),
    ("club.is=no", [2]),
    ("club.op=filled", [1, 2, 6]),
    ("day.op=between&day.a=2026-01-01&day.b=2026-02-01", [1, 2]),
    ("day.op=between&day.b=2026-01-15", [1, 6]),
    ("day.op=last&day.n=7&day.unit=days", [3, 4]),
    ("day.op=last&day.n=6&day.unit=days", [3]),
    ("day.op=last&day.n=1&day.unit=weeks", [3, 4]),
    ("day.op=last&day.n=1&day.unit=months", [3, 4]),
    ("day.op=empty", [5, 7, 8]),
    ("score.op=ge&score.a=0&region.is=North&day.op=filled", [1, 3]),  # AND
]


def test_other_columns(both_ways: Column, as_bob: Client) -> None:
    found = {query: numbers(as_bob, both_ways, query) for query, _expected in OTHER_COLUMNS}
    assert found == dict(OTHER_COLUMNS)


SEARCHES = [
    ("late", [1]),
    ('"two days"', [1]),
    ('"days two"', []),
    ("friendly -expensive", []),
    ("freundlich", [2]),
    ('-"two days" -n/a -x', [2, 5, 7]),
    ("MÜLLER", [2]),
    ("ärgerlich", [7]),
    ("söhne müller", [2]),
    ("100%", [2]),
    ("gut_", [2]),
    ("%", [2]),
    ("_x_", []),
    ("*", []),
    ("[xX]", []),
    ("x", [3, 8]),
]


def test_text_search(both_ways: Column, as_bob: Client) -> None:
    found = {search: numbers(as_bob, both_ways, "", q=search) for search, _expected in SEARCHES}
    assert found == dict(SEARCHES)


def test_grouping_is_suspended_by_filters_on_single_rows(table: Column, as_bob: Client) -> None:
    page = as_bob.get(reverse("rows:browser", args=[table.pk])).content.decode()
    assert numbers(as_bob, table, "") == [1, 2, 3, 5, 6, 7, 8]
    assert numbers(as_bob, table, "row_min=4&row_max=5") == [4, 5]
    assert "Identical rows are shown one by one" not in page
    suspended = as_bob.get(f"{reverse('rows:browser', args=[table.pk])}?row_min=4").content.decode()
    assert "Identical rows are shown one by one" in suspended


@pytest.fixture
def coded(table: Column, assign: Callable[..., Assignment], bob: Any) -> Column:
    by_number = {one.row_number: one for one in table.verbatims.all()}
    topics = {topic.label: topic for topic in table.topics.all()}
    assign(by_number[1], topics["Delivery time"], -1)
    assign(by_number[4], topics["Delivery time"], -1)
    assign(by_number[2], topics["Friendliness"], 1)
    assign(by_number[3], topics["Friendliness"], 1, source=AssignmentSource.PERSON)
    assign(by_number[3], topics["Price"])
    now = timezone.now()
    Verbatim.objects.filter(row_number=3).update(is_reviewed=True, reviewed_by=bob, reviewed_at=now, certainty=0.9)
    Verbatim.objects.filter(row_number=2).update(is_highlighted=True, certainty=0.5, language="de", sentiment=1)
    Verbatim.objects.filter(row_number__in=[1, 4]).update(certainty=0.25, sentiment=-1, language="en")
    Row.objects.filter(number=8).update(created_at=now - timedelta(days=40))
    return table


def topic_ids(column: Column, query: str) -> str:
    for topic in Topic.objects.filter(column=column).select_related("category"):
        query = query.replace(f"<{topic.label}>", str(topic.pk)).replace(
            f"[{topic.category.label}]", str(topic.category_id)
        )
    return query


STANDARD = [
    ("topic=<Price>", [3]),
    ("topic=<Price>&topic=<Delivery time>", [1, 3]),
    ("topic=<Price>&topic=<Friendliness>&topic_mode=all", [3]),
    ("topic=<Price>&topic=<Delivery time>&topic_mode=none", [2, 5, 6, 7, 8]),
    ("has_topics=yes", [1, 2, 3]),
    ("has_topics=no", [5, 6, 7, 8]),
    ("category=[Service]", [1, 2, 3]),
    ("category=[Price]", [3]),
    ("category=[Service]&topic_sentiment=-1", [1]),
    ("topic_sentiment=-1", [1]),
    ("topic=<Friendliness>&topic_sentiment=1", [2, 3]),
    ("sentiment=-1", [1]),
    ("sentiment=1&sentiment=-1", [1, 2]),
    ("reviewed=yes", [3]),
    ("reviewed=no", [1, 2, 5, 6, 7, 8]),
    ("highlighted=yes", [2]),
    ("highlighted=no", [1, 3, 4, 5, 6, 7, 8]),  # row 4 is a duplicate of row 1: stars are on single rows
    ("empty=yes", [5]),
    ("empty=no&has_topics=no", [6, 7, 8]),
    ("duplicates=yes", [1]),
    ("duplicates=no", [2, 3, 5, 6, 7, 8]),
    ("certainty_min=30", [2, 3]),
    ("certainty_min=20&certainty_max=50", [1, 2]),
    ("certainty_max=10&reviewed=no", [5, 6, 7, 8]),
    ("source=person", [3]),
    ("source=ai", [1, 2, 3]),
    ("language=de", [2]),
    ("language=de&language=en", [1, 2]),
    ("row_min=7", [7, 8]),
    ("added_last=7&added_unit=days", [1, 2, 3, 4, 5, 6, 7]),
    ("added_to=" + (TODAY - timedelta(days=2)).isoformat(), [8]),
    ("reviewed_last=1&reviewed_unit=days", [3]),
    ("reviewed_to=" + (TODAY - timedelta(days=2)).isoformat(), []),
]


def test_standard_fields(coded: Column, as_bob: Client) -> None:
    found = {query: numbers(as_bob, coded, topic_ids(coded, query)) for query, _expected in STANDARD}
    assert found == dict(STANDARD)


def test_reviewed_by(coded: Column, as_bob: Client, bob: Any, charlie: Any) -> None:
    assert numbers(as_bob, coded, f"reviewed_by={bob.pk}") == [3]
    # A stranger's name is not told, whatever id is asked for.
    page = as_bob.get(f"{reverse('rows:browser', args=[coded.pk])}?reviewed_by={charlie.pk}").content.decode()
    assert "Unknown person" in page
    assert "charlie" not in page


ORDERS = {
    "length": [5, 8, 6, 7, 3, 1, 2],
    "-length": [2, 1, 3, 7, 6, 8, 5],
    "score": [1, 2, 7, 5, 3, 6, 8],
    "-score": [3, 5, 7, 2, 1, 6, 8],
    "region": [1, 3, 2, 6, 7, 5, 8],
    "-day": [3, 2, 1, 6, 5, 7, 8],
    "-club": [6, 1, 2, 3, 5, 7, 8],
}


def test_orders(both_ways: Column, as_bob: Client) -> None:
    """Empty cells come last in either direction."""
    assert {sort: numbers(as_bob, both_ways, f"sort={sort}") for sort in ORDERS} == ORDERS


def test_pages_of_an_order_follow_each_other(both_ways: Column) -> None:
    for sort in ("length", "-length", "score", "-score", "region", "-region", "note", "club", "day"):
        row_filter = RowFilter.from_query(named(both_ways, f"sort={sort}"), both_ways)
        numbers_of = dict(Verbatim.objects.filter(column=both_ways).values_list("pk", "row_number"))
        whole = [numbers_of[pk] for pk in verbatim_page(row_filter=row_filter).ids]
        assert len(whole) == 7
        for limit in (1, 2, 3, 7):
            seen, after = [], ""
            for _step in range(10):
                page = verbatim_page(row_filter=row_filter, after=after, limit=limit)
                seen += [numbers_of[pk] for pk in page.ids]
                after = page.after
                if not after:
                    break
            assert seen == whole, (sort, limit)


UNUSABLE = [
    "topic=999999", "topic=abc", "topic=%00", "topic=" + "9" * 40, "category=77777", "reviewed=maybe",
    "certainty_min=lots", "row_max=-3", "added_from=31.12.2026", "added_last=0", "added_last=99999999",
    "c999999.op=eq&c999999.a=3", "score.op=eq&score.a=abc", "score.op=between&score.a=x", "day.op=last&day.n=-1",
    "score.op=eq&score.a=1e999", "score.op=eq&score.a=nan", "day.op=between&day.a=2026-02-30",
    "club.is=perhaps", "sort=c999999", "sort=upside-down", "reviewed_by=0", "region.op=drop",
]  # fmt: skip


def test_what_cannot_be_used_is_a_chip_that_says_so(table: Column, as_bob: Client) -> None:
    for query in UNUSABLE:
        query = named(table, query)
        response = as_bob.get(f"{reverse('rows:browser', args=[table.pk])}?{query}")
        assert response.status_code == 200, query
        page = response.content.decode()
        assert "chip--lost" in page, query
        assert "could not be used" in page, query
        row_filter = RowFilter.from_query(query, table)
        assert not row_filter.is_active, query
        # The cross takes it away.
        assert not RowFilter.from_query(row_filter.chips()[0]["query"], table).lost, query


def test_a_deleted_topic_is_named(coded: Column, as_bob: Client) -> None:
    topic = coded.topics.get(label="Price")
    Topic.objects.filter(pk=topic.pk).update(deleted_at=timezone.now())
    page = as_bob.get(f"{reverse('rows:browser', args=[coded.pk])}?topic={topic.pk}&reviewed=yes").content.decode()
    assert "Deleted topic: Price" in page
    assert numbers(as_bob, coded, f"topic={topic.pk}&reviewed=yes") == [3]
    assert numbers(as_bob, coded, "source=person&has_topics=yes") == [3]


def test_topics_of_another_column_stay_unknown(
    coded: Column, as_bob: Client, make_project: Any, charlie: Any
) -> None:
    secret = make_project(charlie, topics=["Secret plan"]).column.topics.get()
    page = as_bob.get(f"{reverse('rows:browser', args=[coded.pk])}?topic={secret.pk}").content.decode()
    assert "Unknown topic" in page
    assert "Secret plan" not in page


HOSTILE = [
    "'; DROP TABLE rows_row; --", '" OR 1=1 --', "\x00", "a\x00b", "%' OR '1'='1", "\\", "%%%", "(a+)+$", "[[[",
    "]", "*?[a-z]*", "x" * 100_000, "ä" * 5_000, '"' * 300, "-" * 300, "- - -",
    "\ud800".encode("utf-8", "replace").decode(),
    "{}", "${7*7}", "<script>alert(1)</script>", "\u202e\u0000\uffff", "İıſK",
]  # fmt: skip


def test_hostile_text_is_data(both_ways: Column, as_bob: Client) -> None:
    note = f"c{both_ways.project.columns.get(ref='note').pk}"
    url = reverse("rows:browser", args=[both_ways.pk])
    plain = (
        "topic",
        "category",
        "language",
        "reviewed_by",
        "row_min",
        "sort",
        "source",
        "certainty_max",
        f"{note}.is",
    )
    for text in HOSTILE:
        queries = [{"q": text}, {"q": text, "sort": "length"}, {f"{note}.op": "contains", f"{note}.a": text}]
        queries.append(dict.fromkeys(plain, text))
        for query in queries:
            response = as_bob.get(f"{url}?{urlencode(query)}")
            assert response.status_code == 200, text
            assert b"<script>alert" not in response.content
    assert Row.objects.count() == len(TEXTS)


def test_a_search_that_a_regular_expression_would_choke_on_is_quick(table: Column, as_bob: Client) -> None:
    Verbatim.objects.filter(row_number=8).update(text="a" * 20_000 + "!")
    assert numbers(as_bob, table, "", q="(a+)+$") == []
    assert numbers(as_bob, table, "", q=("a" * 400) + " " + "aä" * 20) == []


def test_thousands_of_values_are_no_error(table: Column, as_bob: Client) -> None:
    region = table.project.columns.get(ref="region").pk
    query = urlencode(
        [(f"c{region}.is", f"Option {n}") for n in range(3_000)]
        + [(f"c{n}.op", "empty") for n in range(900_000, 900_900)]
    )
    row_filter = RowFilter.from_query(QueryDict(query), table)
    assert list(row_filter.apply()) == []
    assert len(row_filter.columns[0].values) == 200


def test_results_statistics_and_count_follow(coded: Column, as_bob: Client, htmx: dict[str, str]) -> None:
    query = named(coded, "score.op=ge&score.a=9")
    for name in ("rows:results", "rows:statistics", "rows:count"):
        url = reverse(name, args=[coded.pk])
        assert as_bob.get(f"{url}?{query}", headers=htmx).content != as_bob.get(url, headers=htmx).content


def test_the_address_says_all(coded: Column, as_bob: Client) -> None:
    """A filter written out and read again is the same filter."""
    parts = [
        "q=late&reviewed=no&highlighted=no&empty=no&duplicates=yes&has_topics=yes&topic_mode=all",
        "topic=<Delivery time>&topic=<Price>",
        "category=[Service]&sentiment=-1&topic_sentiment=-1&source=ai&certainty_min=10&certainty_max=90&language=en",
        "row_min=1&row_max=5&added_from=2020-01-01&reviewed_last=3&reviewed_unit=weeks&score.op=between&score.a=-3.5",
        "region.op=none&region.is=South&day.op=last&day.n=3&day.unit=months&club.is=yes&note.op=empty&sort=-score",
        "grouped=no",
    ]
    query = named(coded, topic_ids(coded, "&".join(parts)))
    first = RowFilter.from_query(query, coded)
    assert not first.lost
    assert set(query.replace(" ", "+").split("&")) == set(first.query_string().split("&"))
    assert RowFilter.from_query(first.query_string(), coded) == first
    for chip in first.chips():
        assert len(RowFilter.from_query(chip["query"], coded).chips()) == len(first.chips()) - 1


# --- the index -----------------------------------------------------------------------------------
def test_small_tables_get_no_index(table: Column) -> None:
    assert index_start(project=table.project) is None
    assert not Job.objects.filter(kind=JobKind.INDEX).exists()


def test_an_index_is_made_once_and_again(table: Column, settings: Any) -> None:
    settings.INDEX_FROM_ROWS = 1
    job = index_start(project=table.project)
    assert job is not None
    assert index_start(project=table.project) is None  # one is on its way
    job_execute(job.pk)
    n_cells = Cell.objects.count()
    assert n_cells == 8 * 7 + 2  # two rows bought two things
    again = index_start(project=table.project)
    assert again is not None
    job_execute(again.pk)
    assert Cell.objects.count() == n_cells
    index_forget(project=table.project)
    assert not IndexedColumn.objects.exists()


def test_a_killed_index_job_goes_on_where_it_was(table: Column, settings: Any, monkeypatch: Any) -> None:
    from rows import indexing

    settings.INDEX_FROM_ROWS = 1
    monkeypatch.setattr(indexing, "CHUNK_ROWS", 3)
    job = index_start(project=table.project)
    assert job is not None
    wrote: list[int] = []
    chunk_write = indexing._chunk_write

    def write(project: Any, columns: Any, after: int, upto: int) -> None:
        if after == 3 and not wrote:
            wrote.append(after)
            raise OSError("the disk is gone")
        chunk_write(project, columns, after, upto)

    monkeypatch.setattr(indexing, "_chunk_write", write)
    assert job_execute(job.pk).state == JobState.FAILED
    assert not IndexedColumn.objects.exists()  # half an index is not read
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    assert job_execute(job.pk).state == JobState.DONE
    assert Cell.objects.count() == 8 * 7 + 2


# --- roles ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["viewer", "analyst", "admin"])
def test_members_of_every_role_may_filter(table: Column, as_bob: Client) -> None:
    assert numbers(as_bob, table, "score.op=ge&score.a=9") == [3, 5]


def test_strangers_see_nothing(table: Column, as_charlie: Client) -> None:
    for name in ("rows:browser", "rows:chunk", "rows:count"):
        assert as_charlie.get(f"{reverse(name, args=[table.pk])}?q=late").status_code == 404
