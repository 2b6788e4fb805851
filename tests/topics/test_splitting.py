"""Splitting a topic: examples, what the AI proposes, and the way back."""

from __future__ import annotations

import pytest

from finetune.updates import update_now
from projects.models import Change
from rows.models import Assignment
from tests.topics.restructuring import chips, put, review, row, rows_state, topic, topics_state, undo
from topicassign.errors import ApplicationError, StaleRevisionError
from topics import hooks
from topics.models import Topic
from topics.selectors import topic_list
from topics.services import split_propose, topic_delete, topic_split, topic_update

pytestmark = pytest.mark.django_db

PARCEL, CALL = "The parcel parcel box came damaged {}", "Nobody answered phone phone hotline {}"
WORDS = ("north", "south", "east", "west", "up", "down")
TEXTS = [PARCEL.format(word) for word in WORDS] + [CALL.format(word) for word in WORDS]


@pytest.fixture
def column(make_project, alice):
    """Rows 1 to 6 are about parcels, 7 to 12 about calls; all have the topic Service."""
    column = make_project(
        alice, texts=[*TEXTS, PARCEL.format("north")], topics=[("Help", "Service", True), ("Help", "Price")]
    ).column
    update_now(column)
    column.refresh_from_db()
    Assignment.objects.all().delete()
    for number in range(1, 14):
        put(column, number, "Service", -1)
    return column


def ids(column, *numbers):
    return [row(column, number).pk for number in numbers]


def split(column, user, b, a=(), **values):
    return topic_split(
        topic=topic(column, "Service"),
        label=values.pop("label", "Calls"),
        examples_a=ids(column, *a),
        examples_b=ids(column, *b),
        user=user,
        **values,
    )


def labels(column):
    return {number: "".join(chips(column, number)) for number in range(1, 14)}


def test_examples_and_what_the_ai_finds_get_the_new_topic(column, alice):
    review(column, alice, 7, ("Service", 1), "Price")
    review(column, alice, 1, ("Service", -1))
    review(column, alice, 8, ("Service", 0))
    change = split(column, alice, b=[7], a=[1])
    assert labels(column) == {
        **dict.fromkeys(range(1, 7), "Service"),
        7: "CallsPrice",
        8: "Service",  # reviewed, and nobody confirmed it
        **dict.fromkeys(range(9, 13), "Calls"),
        13: "Service",
    }
    assert chips(column, 7)["Calls"] == (1, "person", None, 0)
    assert chips(column, 9)["Calls"] == (-1, "ai", 0.8, 0)
    assert row(column, 7).is_reviewed
    assert str(change) == "Topic split: Service → Service and Calls, 5 rows moved"


def test_the_new_topic_stands_after_the_old_one_with_its_sentiment_and_own_codes(column, alice):
    topic_update(topic=topic(column, "Service"), user=alice, label_positive="Good", label_negative="Bad")
    change = split(column, alice, b=[7], label_a="Parcels", description="On the phone")
    new, old = topic(column, "Calls"), topic(column, "Parcels")
    assert change.ids == [new.pk, old.pk]
    assert [one.label for one in topic_list(column=column)] == ["Parcels", "Calls", "Price"]
    assert (new.sentiment_enabled, new.label_positive, new.label_negative) == (True, "Good", "Bad")
    assert (new.description, new.category) == ("On the phone", old.category)
    assert not {new.code(mood) for mood in (0, 1, -1)} & {old.code(mood) for mood in (0, 1, -1)}
    assert str(change).startswith("Topic split: Service → Parcels and Calls")


def test_rows_that_say_the_same_move_with_an_example(column, alice):
    change = split(column, alice, b=[13], a=[7], label="North", propose=False)
    assert chips(column, 1)["North"] == chips(column, 13)["North"]
    assert "2 rows moved" in str(change)


def test_proposals_ask_about_reviewed_rows_and_write_nothing(column, alice):
    for number in (1, 2, 7, 8):
        review(column, alice, number, ("Service", -1))
    then = rows_state(column)
    seen = split_propose(topic=topic(column, "Service"), examples_a=ids(column, 1), examples_b=ids(column, 7))
    assert [pk for pk, _p in seen.reviewed] == ids(column, 8, 2)
    assert [p > 0.5 for _pk, p in seen.reviewed] == [True, False]
    assert set(seen.unreviewed_b) == set(ids(column, 9, 10, 11, 12))
    assert (seen.n_unreviewed, seen.n_missing) == (8, 0)
    assert rows_state(column) == then


def test_confirmed_rows_are_examples(column, alice):
    for number in (1, 7, 8):
        review(column, alice, number, ("Service", -1))
    split(column, alice, b=[7, 8], a=[1])
    assert list(chips(column, 8)) == ["Calls"]
    assert row(column, 8).is_reviewed


def test_without_examples_of_the_old_half_the_other_reviewed_rows_are(column, alice):
    for number in (1, 2, 7):
        review(column, alice, number, ("Service", -1))
    split(column, alice, b=[7])
    assert labels(column)[3] == "Service"
    assert labels(column)[9] == "Calls"


def test_texts_the_ai_has_not_read_stay_with_the_old_half(column, alice, make_project):
    fresh = make_project(alice, texts=TEXTS, topics=["Service"]).column
    for number in range(1, 13):
        put(fresh, number, "Service")
    seen = split_propose(topic=topic(fresh, "Service"), examples_a=ids(fresh, 1), examples_b=ids(fresh, 7))
    assert (seen.reviewed, seen.unreviewed_b, seen.n_unreviewed, seen.n_missing) == ((), (), 10, 10)
    change = split(fresh, alice, b=[7], a=[1])
    assert "1 row moved" in str(change)


def test_undo_brings_everything_back(column, alice):
    review(column, alice, 7, ("Service", 1), "Price")
    review(column, alice, 1, ("Service", -1))
    rows, topics = rows_state(column), topics_state(column)
    positions = {one["id"]: one.pop("position") for one in topics}
    change = split(column, alice, b=[7], a=[1], label_a="Parcels")
    undo(change, alice)
    assert rows_state(column) == rows
    after = topics_state(column)
    assert sorted(positions, key=positions.get) == [
        one["id"] for one in sorted(after, key=lambda t: t["position"])
    ]
    for one in after:
        del one["position"]
    assert after == topics


def test_undo_gives_rows_reviewed_since_the_topic_they_came_from(column, alice, bob):
    change = split(column, alice, b=[7], a=[1])
    review(column, bob, 9, ("Calls", 1))
    review(column, bob, 10, "Price")
    review(column, bob, 2, ("Calls", 0), ("Service", -1))
    undoing = undo(change, alice)
    assert chips(column, 9) == {"Service": (1, "person", None, 0)}
    assert list(chips(column, 10)) == ["Price"]
    assert chips(column, 2) == {"Service": (-1, "person", None, 1)}
    assert list(chips(column, 11)) == ["Service"]
    assert "1 row reviewed since got the former topic" in str(undoing)
    assert all(row(column, number).reviewed_by == bob for number in (2, 9, 10))


def test_undo_is_refused_after_a_half_went_or_got_another_sentiment(column, alice):
    change = split(column, alice, b=[7])
    deleted = topic_delete(topic=topic(column, "Calls"), user=alice)
    with pytest.raises(ApplicationError, match="Calls was deleted or merged since"):
        undo(change, alice)
    undo(deleted, alice)
    topic_update(topic=topic(column, "Service"), user=alice, sentiment_enabled=False)
    with pytest.raises(ApplicationError, match="sentiment of Service was switched since"):
        undo(change, alice)


def test_bad_splits_are_refused_and_change_nothing(column, alice):
    for values, match in (
        ({"b": []}, "Choose at least one row with Service"),
        ({"b": [7], "a": [7]}, "example of both halves"),
        ({"b": [13], "a": [1]}, "example of both halves"),  # they say the same
        ({"b": [7], "label": "price"}, "already a topic named"),
        ({"b": [7], "label": "Service"}, "already a topic named"),
        ({"b": [7], "label_a": "Calls"}, "already a topic named"),
        ({"b": [7], "label": ""}, "Give the topic a name"),
    ):
        with pytest.raises(ApplicationError, match=match):
            split(column, alice, **values)
    assert not Change.objects.exists()
    assert Topic.objects.filter(column=column).count() == 2
    assert set(labels(column).values()) == {"Service"}


def test_the_old_name_can_go_to_the_new_half(column, alice):
    change = split(column, alice, b=[7], a=[1], label="Service", label_a="Parcels")
    assert list(chips(column, 7)) == ["Service"]
    undo(change, alice)
    assert set(labels(column).values()) == {"Service"}
    assert Topic.objects.filter(column=column, deleted_at=None).count() == 2


def test_rows_of_other_topics_are_no_examples(column, alice, make_project):
    other = make_project(alice).column
    with pytest.raises(ApplicationError, match="Choose at least one row"):
        topic_split(
            topic=topic(column, "Service"), label="Calls", examples_b=[row(other, 1).pk, 10**9], user=alice
        )


def test_splitting_a_deleted_or_changed_topic_is_a_conflict(column, alice):
    seen = topic(column, "Service")
    topic_update(topic=topic(column, "Service"), user=alice, description="Changed")
    with pytest.raises(StaleRevisionError):
        topic_split(topic=seen, label="N", examples_b=ids(column, 7), user=alice, expected=seen.version)
    topic_delete(topic=topic(column, "Service"), user=alice)
    with pytest.raises(ApplicationError) as error:
        topic_split(topic=seen, label="N", examples_b=ids(column, 7), user=alice)
    assert error.value.status == 409


def test_the_limit_holds(column, alice, settings):
    settings.LIMIT_TOPICS = 2
    with pytest.raises(ApplicationError, match="at most 2 topics"):
        split(column, alice, b=[7])


def test_the_ai_is_told_and_learns_both_halves(column, alice, monkeypatch):
    calls = []
    monkeypatch.setattr(hooks.topics_changed, "_functions", [lambda **values: calls.append(values)])
    for number in (1, 7):
        review(column, alice, number, ("Service", -1))
    split(column, alice, b=[7], a=[1])
    assert len(calls) == 1
    update_now(column)
    version = column.versions.order_by("-number").first()
    assert {topic(column, "Calls").pk, topic(column, "Service").pk} <= set(version.topic_ids)
    assert labels(column)[7] == "Calls"
