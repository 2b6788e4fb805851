"""The views of rows over HTTP: who gets what, bad input, and the cost in queries."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from projects.models import Change
from rows.models import Verbatim, ViewOptions
from rows.reviewing import card_read, card_sign

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(column, assign):
    topics = {topic.label: topic for topic in column.topics.all()}
    found = list(column.verbatims.order_by("row_number"))
    assign(found[0], topics["Delivery time"], -1)
    assign(found[3], topics["Delivery time"], -1)
    assign(found[1], topics["Friendliness"], 1)
    return found


def url(name, column, *args):
    return reverse(f"rows:{name}", args=[column.pk, *args])


READ = ["browser", "chunk", "count", "results", "statistics"]


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_members_read(as_bob, column, name, role):
    assert as_bob.get(url(name, column)).status_code == 200


@pytest.mark.parametrize("name", [*READ, "focus"])
def test_strangers_get_404(as_charlie, column, name):
    assert as_charlie.get(url(name, column)).status_code == 404


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_may_not_review_undo_or_enter_focus_mode(as_bob, rows, column, role):
    data = {"revision": "0", "verbatim": str(rows[0].pk)}
    for name in ("verbatim_review", "verbatim_unreview", "verbatim_highlight"):
        assert as_bob.post(url(name, column, rows[0].pk), data).status_code == 403
    for name in ("focus_review", "focus_undo", "undo_last"):
        assert as_bob.post(url(name, column), data).status_code == 403
    assert as_bob.get(url("focus", column)).status_code == 403
    assert not Change.objects.exists()


def test_reading_addresses_refuse_to_be_posted_to(as_alice, column):
    for name in READ:
        assert as_alice.post(url(name, column)).status_code == 405


def test_the_same_address_is_a_page_or_its_feed(as_alice, column, htmx):
    page = as_alice.get(url("browser", column))
    feed = as_alice.get(url("browser", column), headers=htmx)
    assert b"<!doctype html>" in page.content
    assert b"<!doctype html>" not in feed.content
    assert b'id="feed-pane"' in feed.content
    assert "HX-Request" in feed["Vary"]


@pytest.mark.parametrize(
    "query",
    ["after=broken", "after=W10", "after=WyJ4Il0", "ids=x,-1,99999999999999999999", "topic=999&sort=nonsense"],
)
def test_broken_tokens_and_ids_never_fail(as_alice, column, htmx, query):
    assert as_alice.get(f"{url('chunk', column)}?{query}", headers=htmx).status_code == 200


def test_rows_of_another_column_are_not_served(as_alice, make_project, alice, column, htmx):
    other = make_project(alice, texts=["secret of the other project"])
    pk = other.column.verbatims.get().pk
    answer = as_alice.get(f"{url('chunk', column)}?ids={pk}", headers=htmx)
    assert b"secret" not in answer.content
    assert as_alice.get(url("verbatim", column, pk)).status_code == 404


def test_a_chunk_costs_the_same_queries_for_one_row_and_for_fifty(as_alice, make_project, alice, htmx):
    costs = []
    for n_rows in (1, 120):
        project = make_project(alice, texts=[f"Text {index}" for index in range(n_rows)])
        as_alice.get(url("chunk", project.column), headers=htmx)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            as_alice.get(url("chunk", project.column), headers=htmx)
        costs.append(len(captured))
        assert not any("COUNT(" in query["sql"].upper() for query in captured), "no list waits for a count"
    assert costs[0] == costs[1] <= 9


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"revision": "x"},
        {"revision": "99999999999"},
        {"revision": "0", "topic": "abc"},
        {"revision": "0", "topic": "1", "sentiment-1": "7"},
    ],
)
def test_a_review_that_is_not_ours_is_refused_with_a_sentence(as_alice, rows, column, htmx, data):
    answer = as_alice.post(url("verbatim_review", column, rows[0].pk), data, headers=htmx)
    assert answer.status_code == 400
    assert answer["HX-Retarget"] == "#toasts"
    assert b"toast__text" in answer.content
    assert not Change.objects.exists()


def test_a_topic_of_another_column_is_refused(as_alice, make_project, alice, rows, column, htmx):
    foreign = make_project(alice, texts=["x"]).column.topics.first()
    data = {"revision": "0", "topic": str(foreign.pk)}
    assert as_alice.post(url("verbatim_review", column, rows[0].pk), data, headers=htmx).status_code == 422


def test_a_stale_review_shows_both_versions_and_writes_nothing(as_alice, rows, column, htmx):
    Verbatim.objects.filter(pk=rows[1].pk).update(revision=3, person_revision=3)
    answer = as_alice.post(url("verbatim_review", column, rows[1].pk), {"revision": "1"}, headers=htmx)
    assert answer.status_code == 409
    assert answer["HX-Retarget"] == "#dialog"
    assert b"As it is now" in answer.content
    assert not Change.objects.exists()


def test_two_equal_posts_are_one_decision_and_no_error(as_alice, rows, column, htmx):
    """A double click sends the same form twice: the second is refused as stale, the row stays as decided."""
    data = {"revision": "0", "topic": str(column.topics.get(label="Price").pk)}
    first = as_alice.post(url("verbatim_review", column, rows[1].pk), data, headers=htmx)
    second = as_alice.post(url("verbatim_review", column, rows[1].pk), data, headers=htmx)
    assert (first.status_code, second.status_code) == (200, 409)
    assert list(rows[1].assignments.values_list("topic__label", flat=True)) == ["Price"]


def test_the_random_sample_cannot_be_forged(as_alice, rows, column, htmx):
    """The audit sample measures the AI, so only rows that the server drew at random may enter it."""
    for card, audit in (("1:1", False), (card_sign(rows[2].pk, True), True), (card_sign(rows[0].pk, True), False)):
        Verbatim.objects.filter(column=column).update(
            is_audit=False, is_reviewed=False, revision=0, person_revision=0
        )
        data = {"revision": "0", "verbatim": str(rows[2].pk), "card": card}
        assert as_alice.post(url("focus_review", column), data, headers=htmx).status_code == 200
        assert Verbatim.objects.get(pk=rows[2].pk).is_audit is audit


def test_card_tokens_fit_one_row_only():
    assert card_read(card_sign(7, False), 7) is False
    assert card_read(card_sign(7, True), 8) is None
    assert card_read("", 7) is None


def test_without_scripts_the_focus_form_leads_to_the_next_card(as_alice, rows, column):
    data = {"revision": "0", "verbatim": str(rows[1].pk)}
    answer = as_alice.post(url("focus_review", column), data)
    assert answer.status_code == 302
    assert answer["Location"] == url("focus", column)


def test_skipped_rows_come_last(as_alice, rows, column, htmx, settings):
    settings.AUDIT_SHARE_PERCENT = 0
    skip = ",".join(str(row.pk) for row in rows)
    answer = as_alice.get(f"{url('focus', column)}?skip={skip},x,", headers=htmx)
    assert b"Only skipped rows are left" in answer.content


def test_undo_takes_back_ones_own_acts_only(as_alice, as_bob, rows, column, htmx):
    as_alice.post(url("verbatim_highlight", column, rows[0].pk), {"on": "1"}, headers=htmx)
    assert as_bob.post(url("undo_last", column), headers=htmx).status_code == 409
    assert Verbatim.objects.get(pk=rows[0].pk).is_highlighted
    assert as_alice.post(url("undo_last", column), headers=htmx).status_code == 200
    assert not Verbatim.objects.get(pk=rows[0].pk).is_highlighted


def test_results_count_a_category_once_per_row_and_every_duplicate(as_alice, rows, column, assign, htmx):
    friendly = column.topics.get(label="Friendliness")
    assign(rows[0], friendly, 1)  # same category as Delivery time: the row still counts once
    text = re.sub(
        r"\s+", " ", re.sub(r"<[^>]+>", " ", as_alice.get(url("results", column), headers=htmx).content.decode())
    )
    assert "Service 1 positive, 1 neutral, 1 negative 60.0 % 3" in text  # rows 1, 2, 4 of five with text
    assert "Delivery time 0 positive, 0 neutral, 2 negative 40.0 % 2" in text


def test_statistics_without_any_version_or_review(as_alice, column, htmx):
    content = as_alice.get(url("statistics", column), headers=htmx).content.decode()
    assert "Nobody has reviewed a row yet" in content
    assert "–" in content


def test_only_columns_of_the_project_can_be_shown(as_bob, make_project, alice, column, htmx):
    other = make_project(alice, texts=["x"]).column
    region = column.project.columns.get(ref="region")
    answer = as_bob.post(
        url("view_options", column), {"shown": [str(region.pk), str(other.pk), "abc"]}, headers=htmx
    )
    assert answer.status_code == 204
    content = as_bob.get(url("chunk", column), headers=htmx).content.decode()
    assert "North" in content
    assert ViewOptions.objects.get(user__username="bob", column=column).shown == [region.pk]


def test_text_with_markup_is_escaped_also_where_the_search_marks_it(as_alice, make_project, alice, htmx):
    project = make_project(alice, texts=['<script>alert("x")</script> & <b>bold</b>'])
    content = as_alice.get(f"{url('chunk', project.column)}?q=script", headers=htmx).content.decode()
    assert "<script>" not in content
    assert "&lt;<mark>script</mark>&gt;" in content
