"""Reviews that waited in a browser and are sent again: never twice, never over somebody else's."""

from __future__ import annotations

import pytest
from django.urls import reverse

from projects.models import Change
from rows.models import Verbatim
from rows.services.reviews import TopicChoice, verbatim_review

pytestmark = pytest.mark.django_db
QUEUED = {"HX-Request": "true", "X-Queued-Review": "abc"}


@pytest.fixture
def row(column):
    return column.verbatims.get(row_number=2)


def address(column, row):
    return reverse("rows:verbatim_review", args=[column.pk, row.pk])


def test_a_review_whose_answer_was_lost_is_saved_once(as_bob, column, row):
    price = column.topics.get(label="Price").pk
    data = {"revision": "0", "topic": str(price)}
    assert as_bob.post(address(column, row), data, headers={"HX-Request": "true"}).status_code == 200
    assert as_bob.post(address(column, row), data, headers=QUEUED).status_code == 200
    assert Change.objects.filter(kind="review").count() == 1


def test_confirming_as_shown_twice_is_one_review(as_bob, column, row):
    data = {"revision": "0", "as_shown": "1"}
    assert as_bob.post(address(column, row), data, headers={"HX-Request": "true"}).status_code == 200
    assert as_bob.post(address(column, row), data, headers=QUEUED).status_code == 200
    assert Change.objects.filter(kind="review").count() == 1


def test_another_decision_than_the_stored_one_is_a_conflict_even_of_the_same_person(as_bob, column, row):
    labels = {topic.label: topic.pk for topic in column.topics.all()}
    as_bob.post(address(column, row), {"revision": "0", "topic": str(labels["Price"])}, headers=QUEUED)
    data = {"revision": "0", "topic": str(labels["Friendliness"]), f"sentiment-{labels['Friendliness']}": "1"}
    answer = as_bob.post(address(column, row), data, headers=QUEUED)
    assert answer.status_code == 409
    assert list(row.assignments.values_list("topic__label", flat=True)) == ["Price"]


def test_a_late_review_of_a_row_somebody_else_changed_shows_both_and_can_be_saved_after_all(
    as_bob, column, row, alice
):
    labels = {topic.label: topic for topic in column.topics.all()}
    verbatim_review(verbatim=row, topics=[TopicChoice(labels["Price"].pk)], revision=0, user=alice)
    mine = labels["Friendliness"]
    data = {"revision": "0", "topic": str(mine.pk), f"sentiment-{mine.pk}": "-1"}
    answer = as_bob.post(address(column, row), data, headers=QUEUED)
    content = answer.content.decode()
    assert answer.status_code == 409
    assert answer["HX-Retarget"] == "#dialog"
    assert "Price" in content
    assert "Friendliness" in content
    assert "#row-panel" not in content, "the row may not be on the screen"
    assert 'hx-target="#dialog"' in content
    revision = Verbatim.objects.get(pk=row.pk).revision
    chosen = {**data, "revision": str(revision), "from_conflict": "1", "source": "queue"}
    answer = as_bob.post(address(column, row), chosen, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert b'id="row-state"' not in answer.content
    assert "dialog-close" in answer["HX-Trigger"]
    assert list(row.assignments.values_list("topic__label", "sentiment")) == [("Friendliness", -1)]


def test_focus_mode_sends_to_one_address_and_is_treated_alike(as_bob, column, row, alice):
    price = column.topics.get(label="Price").pk
    data = {"revision": "0", "verbatim": str(row.pk), "topic": str(price), "card": "x"}
    focus = reverse("rows:focus_review", args=[column.pk])
    assert as_bob.post(focus, data, headers={"HX-Request": "true"}).status_code == 200
    assert as_bob.post(focus, data, headers=QUEUED).status_code == 200
    assert Change.objects.filter(kind="review").count() == 1
    other = column.verbatims.get(row_number=3)
    verbatim_review(verbatim=other, topics=[], revision=0, user=alice)
    answer = as_bob.post(focus, {**data, "verbatim": str(other.pk)}, headers=QUEUED)
    assert answer.status_code == 409
    assert address(column, other) in answer.content.decode()


@pytest.mark.parametrize("role", ["viewer"])
def test_a_role_that_became_smaller_meanwhile_is_refused(as_bob, column, row, role):
    assert as_bob.post(address(column, row), {"revision": "0"}, headers=QUEUED).status_code == 403
    assert not Change.objects.exists()


def test_the_order_of_the_topics_is_kept_and_told_in_the_history(as_bob, as_alice, column, row, assign):
    labels = {topic.label: topic.pk for topic in column.topics.all()}
    assign(row, column.topics.get(label="Friendliness"), 1)
    assign(row, column.topics.get(label="Price"))
    data = {
        "revision": "0",
        "topic": [str(labels["Price"]), str(labels["Friendliness"])],
        f"sentiment-{labels['Friendliness']}": "1",
    }
    assert as_bob.post(address(column, row), data, headers={"HX-Request": "true"}).status_code == 200
    assert list(row.assignments.order_by("position").values_list("topic__label", flat=True)) == [
        "Price",
        "Friendliness",
    ]
    version = column.versions.create(number=7, state="deployed", n_reviewed=0, encoder="x")
    type(version).objects.filter(pk=version.pk).update(created_at=Change.objects.get().at)
    panel = as_alice.get(reverse("rows:verbatim", args=[column.pk, row.pk])).content.decode()
    assert "Before, by version 7 of the AI" in panel
    assert "After, by bob" in panel


def test_the_open_row_names_the_rows_that_say_the_same(as_bob, column):
    first = column.verbatims.get(row_number=1)
    panel = as_bob.get(reverse("rows:verbatim", args=[column.pk, first.pk])).content.decode()
    assert "2 identical rows, one review for all of them: 1, 4" in panel
