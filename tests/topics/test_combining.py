"""Combining topics into one with sentiment, and switching sentiment on for topics with reviewed rows."""

from __future__ import annotations

import pytest

from projects.jobs import job_execute
from projects.models import Change, ChangeKind, JobState
from rows.models import Assignment
from tests.topics.restructuring import chips, put, review, row, rows_state, topic, topics_state, undo
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.models import Topic
from topics.selectors import topic_list, topics_followed
from topics.services import (
    background,
    combine_preview,
    sentiment_on_start,
    topic_create,
    topic_delete,
    topic_sentiment_on,
    topic_update,
    topics_combine,
    topics_merge,
)

pytestmark = pytest.mark.django_db

NINE = [f"Answer number {n} about something" for n in range(1, 10)]


@pytest.fixture
def column(make_project, alice):
    return make_project(
        alice, texts=NINE, topics=["Other", "Friendly", "Rude", "Matter of fact", ("Moods", "T", True)]
    ).column


@pytest.fixture
def combine(column, alice):
    def act(positive="Friendly", negative="Rude", neutral=None, label="Staff", **values):
        return topics_combine(
            positive=topic(column, positive),
            negative=topic(column, negative),
            neutral=topic(column, neutral) if neutral else None,
            label=label,
            user=alice,
            **values,
        )

    return act


def test_the_new_topic_has_the_codes_and_labels_of_the_old_ones(column, combine, alice):
    Topic.objects.filter(label="Friendly").update(keywords=["nice", "kind"], description="They smile.")
    Topic.objects.filter(label="Rude").update(keywords=["Nice", "rude"])
    codes = [topic(column, label).code_neutral for label in ("Matter of fact", "Friendly", "Rude")]
    change = combine(neutral="Matter of fact")
    staff = topic(column, "Staff")
    assert change.ids == [staff.pk]
    assert [staff.code(mood) for mood in (0, 1, -1)] == codes
    assert [staff.sentiment_label(mood) for mood in (0, 1, -1)] == ["Matter of fact", "Friendly", "Rude"]
    assert staff.keywords == ["nice", "kind", "rude"]
    assert staff.description == "They smile."
    assert [one.label for one in topic_list(column=column)] == ["Other", "Staff", "T"]
    assert str(change) == "Topics combined: Friendly, Rude, Matter of fact → Staff, 0 rows"


def test_without_a_neutral_topic_its_code_is_new(column, combine):
    highest = max(code for topic in column.topics.all() for code in (topic.code_neutral, topic.code_negative or 0))
    combine(label="Friendly", label_neutral="Correct", label_positive="Nice")
    staff = topic(column, "Friendly")
    assert staff.code_neutral == highest + 1
    assert [staff.label_neutral, staff.label_positive, staff.label_negative] == ["Correct", "Nice", "Rude"]


@pytest.mark.parametrize(
    ("labels", "mood"),
    [
        (["Friendly"], 1),
        (["Rude"], -1),
        (["Matter of fact"], 0),
        (["Friendly", "Rude"], 0),
        (["Friendly", "Matter of fact"], 1),
        (["Rude", "Matter of fact"], -1),
        (["Friendly", "Rude", "Matter of fact"], 0),
    ],
)
@pytest.mark.parametrize("is_reviewed", [True, False])
def test_a_row_gets_the_mean_of_its_topics(column, combine, alice, labels, mood, is_reviewed):
    if is_reviewed:
        review(column, alice, 1, "Other", *labels)
    else:
        for label in ["Other", *labels]:
            put(column, 1, label, probability=0.6)
    combine(neutral="Matter of fact")
    said = ("person", None) if is_reviewed else ("ai", 0.6)
    assert chips(column, 1) == {"Other": (None, *said, 0), "Staff": (mood, *said, 1)}
    assert row(column, 1).is_reviewed is is_reviewed
    assert row(column, 1).sentiment == mood


def test_overall_sentiment_counts_the_new_topic_with_the_others(column, combine, alice):
    review(column, alice, 1, "Friendly", ("T", -1))
    assert row(column, 1).sentiment == -1
    combine()
    assert row(column, 1).sentiment == 0


def test_preview_says_what_the_combination_does_and_writes_nothing(column, combine, alice):
    put(column, 1, "Friendly")
    put(column, 2, "Rude")
    put(column, 3, "Friendly")
    put(column, 3, "Rude")
    review(column, alice, 4, "Friendly", "Rude")
    review(column, alice, 5, "Friendly", "Other")
    then = rows_state(column)
    seen = combine_preview(positive=topic(column, "Friendly"), negative=topic(column, "Rude"))
    assert (seen.n_rows, seen.n_reviewed, seen.n_both, seen.n_both_reviewed) == (5, 2, 2, 1)
    assert (seen.n_positive, seen.n_neutral, seen.n_negative, seen.n_conflicting) == (2, 2, 1, 2)
    assert rows_state(column) == then
    combine()
    moods = [chips(column, number)["Staff"][0] for number in range(1, 6)]
    assert [moods.count(mood) for mood in (1, 0, -1)] == [2, 2, 1]


def test_undo_brings_everything_back(column, combine, alice):
    put(column, 1, "Friendly", probability=0.3)
    put(column, 2, "Rude")
    put(column, 2, "Friendly")
    review(column, alice, 3, "Other", "Rude", ("T", 1))
    review(column, alice, 4, "Friendly", "Rude")
    rows, topics = rows_state(column), topics_state(column)
    change = combine(neutral="Matter of fact")
    undo(change, alice)
    assert rows_state(column) == rows
    assert topics_state(column) == topics


def test_undo_keeps_what_people_reviewed_since(column, combine, alice, bob):
    put(column, 1, "Friendly")
    put(column, 2, "Friendly")
    put(column, 3, "Friendly")
    change = combine()
    review(column, bob, 1, ("Staff", -1))
    review(column, bob, 2, "Other")
    review(column, bob, 4, ("Staff", 1), "Other")
    undoing = undo(change, alice)
    assert chips(column, 1) == {"Rude": (None, "person", None, 0)}
    assert list(chips(column, 2)) == ["Other"]
    assert chips(column, 3) == {"Friendly": (None, "ai", 0.8, 0)}
    assert list(chips(column, 4)) == ["Friendly", "Other"]
    assert all(row(column, number).reviewed_by == bob for number in (1, 2, 4))
    assert "reviewed since" in str(undoing)


def test_undo_is_refused_when_a_neutral_review_has_nowhere_to_go(column, combine, alice):
    change = combine()
    review(column, alice, 1, ("Staff", 0))
    with pytest.raises(ApplicationError, match="1 row was reviewed as neutral with Staff since"):
        undo(change, alice)
    assert list(chips(column, 1)) == ["Staff"]
    undo(Change.objects.filter(kind=ChangeKind.REVIEW).get(), alice)
    undo(change, alice)
    assert topic(column, "Friendly")


def test_undo_is_refused_after_the_topic_went_or_lost_its_sentiment(column, combine, alice):
    change = combine()
    switched = topic_update(topic=topic(column, "Staff"), user=alice, sentiment_enabled=False)
    with pytest.raises(ApplicationError, match="sentiment of Staff was switched since"):
        undo(change, alice)
    undo(switched, alice)
    topic_delete(topic=topic(column, "Staff"), user=alice)
    with pytest.raises(ApplicationError, match="Staff was deleted or merged since"):
        undo(change, alice)


def test_a_combined_topic_can_be_merged_on(column, combine, alice):
    put(column, 1, "Friendly")
    then = rows_state(column)
    old = topic(column, "Rude")
    first = combine()
    second = topics_merge(target=topic(column, "T"), sources=[topic(column, "Staff")], user=alice)
    assert chips(column, 1)["T"][0] == 1
    assert topics_followed([old.pk]) == {old.pk: (topic(column, "T"), -1)}
    undo(second, alice)
    undo(first, alice)
    assert rows_state(column) == then


def test_codes_changed_since_do_not_stop_undo(column, combine, alice):
    code = topic(column, "Friendly").code_neutral
    change = combine()
    topic_update(topic=topic(column, "Staff"), user=alice, code_positive=500)
    taken = topic_create(
        column=column, label="New", category=topic(column, "Staff").category, user=alice, code_neutral=code
    )
    undo(change, alice)
    assert taken.code_neutral == code
    assert topic(column, "Friendly").code_neutral not in (code, 500)


def test_bad_combinations_are_refused_and_change_nothing(column, combine, alice, make_project):
    for values, match in (
        ({"negative": "Friendly"}, "Choose different topics"),
        ({"neutral": "Rude"}, "Choose different topics"),
        ({"positive": "T"}, "T has sentiment already"),
        ({"label": " "}, "Give the topic a name"),
        ({"label": "other"}, "already a topic named"),
        ({"label": "x" * 51}, "at most 50 characters"),
        ({"label_positive": "Rude"}, "Two sentiment labels are the same"),
    ):
        with pytest.raises(ApplicationError, match=match):
            combine(**values)
    other = topic(make_project(alice).column, "Price")
    with pytest.raises(ApplicationError, match="not of the same column"):
        topics_combine(positive=topic(column, "Rude"), negative=other, label="N", user=alice)
    assert not Change.objects.exists()
    assert Topic.objects.filter(column=column, deleted_at=None).count() == 5


def test_combining_deleted_or_changed_topics_is_a_conflict_and_twice_is_once(column, combine, alice):
    friendly, rude, fact = (topic(column, label) for label in ("Friendly", "Rude", "Matter of fact"))
    topic_update(topic=topic(column, "Rude"), user=alice, description="Changed")
    with pytest.raises(StaleRevisionError):
        topics_combine(
            positive=friendly, negative=rude, label="Staff", user=alice, expected={rude.pk: rude.version}
        )
    topic_delete(topic=topic(column, "Matter of fact"), user=alice)
    with pytest.raises(ApplicationError) as error:
        topics_combine(positive=friendly, negative=fact, label="Staff", user=alice)
    assert error.value.status == 409
    first = topics_combine(positive=friendly, negative=rude, label="Staff", user=alice)
    assert topics_combine(positive=friendly, negative=rude, label="Staff", user=alice) == first
    assert Topic.objects.filter(label="Staff").count() == 1


def test_combined_topics_need_no_room_at_the_limit(column, combine, settings):
    settings.LIMIT_TOPICS = 5
    combine()
    assert topic(column, "Staff")


def test_the_ai_learns_sentiments_from_the_combined_reviews(column, combine, alice):
    from finetune.updates import update_now

    review(column, alice, 1, "Friendly")
    review(column, alice, 2, "Rude")
    review(column, alice, 3, "Other")
    combine()
    update_now(column)
    assert chips(column, 1) == {"Staff": (1, "person", None, 0)}
    moods = Assignment.objects.filter(topic=topic(column, "Staff"), source="ai").values_list(
        "sentiment", flat=True
    )
    assert None not in set(moods)


# --- sentiment on ---------------------------------------------------------------------------------
def test_sentiment_on_is_refused_with_reviewed_rows_and_says_how_many(column, alice):
    review(column, alice, 1, "Rude")
    with pytest.raises(ApplicationError, match="1 reviewed row has Rude") as error:
        topic_sentiment_on(topic=topic(column, "Rude"), user=alice)
    assert (error.value.code, error.value.extra["n_reviewed"]) == ("sentiment_reviewed", 1)


def test_sentiment_on_without_reviewed_rows_needs_no_flag(column, alice):
    put(column, 1, "Rude")
    change = topic_sentiment_on(topic=topic(column, "Rude"), user=alice, label_positive="Not at all")
    assert change.kind == ChangeKind.TOPIC_UPDATE
    rude = topic(column, "Rude")
    assert (rude.sentiment_enabled, rude.label_positive) == (True, "Not at all")
    assert topic_sentiment_on(topic=rude, user=alice, unreview=True) is None


def test_sentiment_on_can_take_the_reviewed_rows_back_to_unreviewed(column, alice, bob):
    review(column, alice, 1, "Rude", "Other")
    review(column, bob, 2, "Rude")
    review(column, bob, 3, "Other")
    column.verbatims.filter(row_number=2).update(is_audit=True)
    put(column, 4, "Rude")
    rows, topics = rows_state(column), topics_state(column)
    change = topic_sentiment_on(topic=topic(column, "Rude"), user=alice, unreview=True)
    assert str(change) == "Sentiment of Rude switched on, 2 rows back to not reviewed"
    for number in (1, 2):
        now = row(column, number)
        assert (now.is_reviewed, now.reviewed_by, now.reviewed_at, now.is_audit) == (False, None, None, False)
    assert row(column, 3).is_reviewed
    # The AI takes one topic off and adds another before somebody thinks better of it.
    Assignment.objects.filter(verbatim=row(column, 1), topic=topic(column, "Other")).delete()
    Assignment.objects.filter(topic=topic(column, "Rude")).update(sentiment=-1, source="ai", probability=0.9)
    put(column, 2, "T", 1)
    undoing = undo(change, alice)
    after = rows_state(column)
    assert {number: after[number] for number in (1, 2, 3)} == {number: rows[number] for number in (1, 2, 3)}
    assert topics_state(column) == topics
    assert "since" not in str(undoing)


def test_other_properties_change_with_the_sentiment_in_one_act(column, alice):
    review(column, alice, 2, "Rude")
    before = rows_state(column), topics_state(column)
    change = topic_sentiment_on(topic=topic(column, "Rude"), user=alice, unreview=True, label="Manners")
    assert topic(column, "Manners").sentiment_enabled
    assert not row(column, 2).is_reviewed
    undo(change, alice)
    assert (rows_state(column), topics_state(column)) == before
    with pytest.raises(TypeError):
        topic_sentiment_on(topic=topic(column, "Rude"), user=alice, unreview=True, colour="red")


def test_sentiment_on_for_many_rows_is_a_job(column, alice, monkeypatch):
    monkeypatch.setattr(background, "AT_ONCE", 0)
    review(column, alice, 2, "Rude")
    job = sentiment_on_start(
        topic=topic(column, "Rude"), user=alice, unreview=True, category=topic(column, "Rude").category
    )
    assert row(column, 2).is_reviewed
    assert job_execute(job.pk).state == JobState.DONE
    assert not row(column, 2).is_reviewed
    assert topic(column, "Rude").sentiment_enabled
    with pytest.raises(ApplicationError, match="switched the sentiment of Rude on meanwhile"):
        background._ACTS["sentiment_on"](column, {"topic": topic(column, "Rude").pk, "unreview": True}, alice)


def test_undo_of_sentiment_on_leaves_rows_alone_that_were_reviewed_since(column, alice, bob):
    review(column, alice, 1, "Rude", "Other")
    review(column, alice, 2, "Rude")
    change = topic_sentiment_on(topic=topic(column, "Rude"), user=alice, unreview=True)
    review(column, bob, 1, ("Rude", -1))
    undoing = undo(change, alice)
    assert row(column, 1).reviewed_by == bob
    assert chips(column, 1) == {"Rude": (None, "person", None, 0)}
    assert row(column, 2).reviewed_by == alice
    assert "1 row was reviewed since and left as it is" in str(undoing)


def test_sentiment_on_checks_the_version_and_the_topic(column, alice):
    seen = topic(column, "Rude")
    topic_update(topic=topic(column, "Rude"), user=alice, description="Changed")
    with pytest.raises(StaleRevisionError):
        topic_sentiment_on(topic=seen, user=alice, unreview=True, expected=seen.version)
    topic_delete(topic=topic(column, "Rude"), user=alice)
    with pytest.raises(ApplicationError) as error:
        topic_sentiment_on(topic=seen, user=alice, unreview=True)
    assert error.value.status == 409
