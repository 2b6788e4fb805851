"""Results and Statistics: a round axis, links that keep the filters, numbers that explain themselves."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from projects.models import Column
from rows.results import axis_ticks
from rows.services.reviews import TopicChoice, verbatim_review

pytestmark = pytest.mark.django_db


@pytest.fixture
def coded(column: Column, assign: Any) -> Column:
    topics = {topic.label: topic for topic in column.topics.all()}
    rows = list(column.verbatims.order_by("row_number"))
    assign(rows[0], topics["Delivery time"], -1)
    assign(rows[3], topics["Delivery time"], -1)
    assign(rows[1], topics["Friendliness"], 1)
    assign(rows[2], topics["Price"], None)
    return column


def page(client: Any, name: str, column: Column, query: str = "") -> str:
    response = client.get(f"{reverse(f'rows:{name}', args=[column.pk])}?{query}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(
    ("widest", "expected"),
    [
        (62.0, [0, 20, 40, 60, 80]),
        (100.0, [0, 25, 50, 75, 100]),
        (37.0, [0, 10, 20, 30, 40]),
        (0.3, [0, 0.5]),
        (0.0, [0, 0.5]),
        (9.9, [0, 2.5, 5, 7.5, 10]),
    ],
)
def test_the_axis_ends_at_a_round_number_that_holds_the_longest_bar(widest: float, expected: list[float]) -> None:
    ticks = axis_ticks(widest)
    assert [percent for percent, _ in ticks] == expected
    assert ticks[0][1] == 0
    assert ticks[-1][1] == 100
    assert ticks[-1][0] >= widest


def test_a_click_on_a_topic_keeps_the_other_filters_and_replaces_its_own(as_bob: Any, coded: Column) -> None:
    topic, other = coded.topics.get(label="Delivery time"), coded.topics.get(label="Price")
    html = page(as_bob, "results", coded, f"q=days&reviewed=no&topic={other.pk}&topic_mode=none")
    assert f"?q=days&amp;reviewed=no&amp;topic={topic.pk}" in html
    assert f"topic={other.pk}&amp;topic={topic.pk}" not in html
    assert "topic_mode" not in html.split("data-rows href")[1].split(">")[0]


def test_sentiments_are_told_in_words_and_carried_for_the_download(as_bob: Any, coded: Column) -> None:
    html = page(as_bob, "results", coded)
    assert 'data-n="3,1,0,2,0"' in html  # Service: a row counts once
    assert "1 positive, 0 neutral, 2 negative" in html
    assert 'data-n="1,0,0,0,1"' in html  # Price has no sentiment
    assert 'data-total="5"' in html


def test_colours_by_category_stay_chosen_when_the_panel_is_drawn_again(as_bob: Any, coded: Column) -> None:
    html = page(as_bob, "results", coded, "by=category")
    assert 'name="by" value="category"' in html
    assert "is-negative" not in html
    assert 'value="sentiment"' in page(as_bob, "results", coded, "by=nonsense")


def test_a_filter_without_rows_says_so(as_bob: Any, coded: Column) -> None:
    assert "No row with text matches these filters" in page(as_bob, "results", coded, "q=zzzz")


def test_a_column_without_topics_says_so(as_alice: Any, make_project: Any, alice: Any) -> None:
    column = make_project(alice, topics=()).column
    assert "No topics yet" in page(as_alice, "results", column)


def test_labels_are_data(as_bob: Any, coded: Column) -> None:
    coded.topics.filter(label="Price").update(label="<script>alert(1)</script>")
    html = page(as_bob, "results", coded)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_reads_a_stranger_does_not(as_bob: Any, as_charlie: Any, coded: Column, role: str) -> None:
    for name in ("results", "statistics"):
        page(as_bob, name, coded)
        assert as_charlie.get(reverse(f"rows:{name}", args=[coded.pk])).status_code == 404


class TestStatistics:
    def test_it_says_why_the_numbers_differ(self, as_bob: Any, coded: Column) -> None:
        html = page(as_bob, "statistics", coded)
        assert "1 of the 6 rows repeats the text of another, so with identical rows grouped it shows 5." in html
        assert "These numbers" not in html

    def test_without_repetition_there_is_nothing_to_explain(
        self, client_of: Any, make_project: Any, alice: Any
    ) -> None:
        column = make_project(alice, texts=["one", "two"]).column
        assert "data-why-differ" not in page(client_of(alice), "statistics", column)

    def test_reviews_per_person_count_identical_rows_once(
        self, as_bob: Any, coded: Column, alice: Any, bob: Any
    ) -> None:
        topic = coded.topics.get(label="Price")
        for number, user in ((1, alice), (2, alice), (3, bob)):
            verbatim = coded.verbatims.get(row_number=number)
            choice = [TopicChoice(topic.pk, None)]
            verbatim_review(verbatim=verbatim, topics=choice, revision=verbatim.revision, user=user)
        html = page(as_bob, "statistics", coded)
        people = html.split("Reviews per person")[1]
        assert people.index("alice") < people.index("bob")
        assert '<td class="number">2</td>' in people
        assert "Identical rows reviewed together count as one review." in people

    def test_it_says_which_numbers_follow_the_filters(self, as_bob: Any, coded: Column) -> None:
        assert "follow the filters" in page(as_bob, "statistics", coded, "q=delivery")
        assert "follow the filters" not in page(as_bob, "statistics", coded)
