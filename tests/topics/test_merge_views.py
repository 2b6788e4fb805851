"""The dialog that merges a topic into another, or combines both: what it says, what it does, and who may."""

from __future__ import annotations

import pytest
from django.urls import reverse

from projects.models import Change, ChangeKind, Job, JobKind, Role
from tests.topics.restructuring import chips, put, review, rows_state, topic, topics_state, undo
from topics.services import background, topic_delete, topic_update

pytestmark = pytest.mark.django_db


def url(name: str, one) -> str:
    return reverse(f"topics:{name}", args=[one.pk])


@pytest.fixture
def price(column):
    return topic(column, "Price")


@pytest.fixture
def other(column, alice, price):
    """A second topic of the same kind as Price."""
    from topics.services import topic_create

    return topic_create(
        column=column, category=price.category, label="Value", user=alice,
        sentiment_enabled=price.sentiment_enabled,
    )  # fmt: skip


def fields(source, target, **more):
    seen = {"version": source.version, "target_version": target.version}
    return {"target": target.pk, "how": "merge", **seen, **more}


def test_the_dialog_of_a_topic_leads_to_it(column, as_alice, htmx, price, other):
    assert url("topic_merge", price) in as_alice.get(url("topic_edit", price), headers=htmx).text
    dialog = as_alice.get(url("topic_merge", price), headers=htmx)
    assert dialog.status_code == 200
    assert f'value="{other.pk}"' in dialog.text
    assert f'value="{price.pk}"' not in dialog.text
    assert as_alice.get(url("topic_merge", price)).status_code == 302  # typed by hand


def test_without_another_topic_there_is_nothing_to_merge_with(column, as_alice, alice, htmx, price):
    for one in column.topics.exclude(pk=price.pk):
        topic_delete(topic=one, user=alice)
    assert url("topic_merge", price) not in as_alice.get(url("topic_edit", price), headers=htmx).text


def test_the_preview_says_what_would_change_and_changes_nothing(column, as_alice, alice, htmx, price, other):
    review(column, alice, 2, "Price", "Value")
    put(column, 3, "Price")
    before = rows_state(column), topics_state(column)
    preview = as_alice.get(url("merge_preview", price), fields(price, other), headers=htmx)
    assert "<strong>2 rows change</strong>, 1 of them reviewed" in preview.text
    assert "1 row has both and keeps one" in preview.text
    assert "Price goes; Value keeps its name" in preview.text
    assert (rows_state(column), topics_state(column)) == before
    assert "Choose the other topic" in as_alice.get(url("merge_preview", price), headers=htmx).text


def test_merging_moves_the_rows_and_can_be_undone(column, as_alice, alice, htmx, price, other):
    review(column, alice, 2, "Price")
    put(column, 3, "Price")
    before = rows_state(column), topics_state(column)
    response = as_alice.post(url("topic_merge", price), fields(price, other), headers=htmx)
    assert response.status_code == 200
    assert "topics-changed" in response["HX-Trigger"]
    assert list(chips(column, 2)) == list(chips(column, 3)) == ["Value"]
    assert not column.topics.filter(label="Price", deleted_at=None).exists()
    change = Change.objects.get(kind=ChangeKind.TOPICS_MERGE)
    assert reverse("projects:change_undo", args=[change.pk]) in response.text
    undo(change, alice)
    assert (rows_state(column), topics_state(column)) == before


def test_the_same_form_sent_twice_is_one_act(column, as_alice, htmx, price, other):
    data = fields(price, other)
    assert as_alice.post(url("topic_merge", price), data, headers=htmx).status_code == 200
    assert as_alice.post(url("topic_merge", price), data, headers=htmx).status_code == 404  # it is gone
    assert Change.objects.filter(kind=ChangeKind.TOPICS_MERGE).count() == 1


def test_two_topics_without_sentiment_become_one_with(column, as_alice, alice, htmx):
    from topics.services import topic_create

    category = column.categories.first()
    warm = topic_create(column=column, category=category, label="Warm staff", user=alice)
    cold = topic_create(column=column, category=category, label="Cold staff", user=alice)
    review(column, alice, 2, "Warm staff")
    review(column, alice, 3, "Cold staff")
    data = fields(cold, warm, how="combine", side="negative", label="Staff mood")
    preview = as_alice.get(url("merge_preview", cold), data, headers=htmx)
    assert "Afterwards 1 are positive, 0 neutral and 1 negative" in preview.text
    assert as_alice.post(url("topic_merge", cold), data, headers=htmx).status_code == 200
    made = topic(column, "Staff mood")
    assert (made.label_positive, made.label_negative) == ("Warm staff", "Cold staff")
    assert (made.code_positive, made.code_negative) == (warm.code_neutral, cold.code_neutral)
    assert chips(column, 2)["Staff mood"][0] == 1
    assert chips(column, 3)["Staff mood"][0] == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": ""}, "Choose the other topic."),
        ({"target": "999999"}, "This topic was deleted."),
        ({"target": "'; DROP"}, "This topic was deleted."),
        ({"how": "swap"}, "not one of the available choices"),
        ({"how": "combine", "label": " "}, "Give the new topic a name."),
        ({"how": "combine", "label": "x" * 51}, "at most 50"),
    ],
)
def test_bad_input_comes_back_with_a_sentence(column, as_alice, htmx, price, other, change, message):
    response = as_alice.post(url("topic_merge", price), {**fields(price, other), **change}, headers=htmx)
    assert response.status_code == 422
    assert message in response.text
    assert not Change.objects.filter(kind=ChangeKind.TOPICS_MERGE).exists()


def test_a_topic_cannot_be_merged_with_itself(column, as_alice, htmx, price):
    response = as_alice.post(url("topic_merge", price), fields(price, price), headers=htmx)
    assert response.status_code == 422


def test_a_topic_that_somebody_changed_or_deleted_meanwhile_is_not_merged(
    column, as_alice, alice, htmx, price, other
):
    data = fields(price, other)
    topic_update(topic=other, user=alice, label="Value for money")
    assert as_alice.post(url("topic_merge", price), data, headers=htmx).status_code == 409
    topic_delete(topic=topic(column, "Value for money"), user=alice)
    assert as_alice.post(url("topic_merge", price), data, headers=htmx).status_code == 422
    assert topic(column, "Price")


def test_many_rows_change_in_the_background(column, as_alice, htmx, price, other, monkeypatch):
    monkeypatch.setattr(background, "AT_ONCE", 0)
    monkeypatch.setattr("topics.views_merging.AT_ONCE", 0)
    put(column, 1, "Price")
    data = fields(price, other)
    assert "runs in the background" in as_alice.get(url("merge_preview", price), data, headers=htmx).text
    response = as_alice.post(url("topic_merge", price), data, headers=htmx)
    job = Job.objects.get(kind=JobKind.TOPICS)
    assert f"job-{job.pk}" in response.text
    assert as_alice.post(url("topic_merge", price), data, headers=htmx).status_code == 409


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST])
@pytest.mark.parametrize("name", ["topic_merge", "merge_preview"])
def test_only_admins_merge(column, as_bob, as_charlie, htmx, price, other, name, role):
    data = fields(price, other)
    assert as_bob.get(url(name, price), data, headers=htmx).status_code == 403
    assert as_charlie.get(url(name, price), data, headers=htmx).status_code == 404
    if name == "topic_merge":
        assert as_bob.post(url(name, price), data, headers=htmx).status_code == 403
        assert as_charlie.post(url(name, price), data, headers=htmx).status_code == 404
