"""Bulk actions: what they write, what they leave, undo, jobs, faults, and who may do them."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.urls import reverse
from django.utils import timezone

from projects.history import change_undo
from projects.jobs import job_cancel, job_execute
from projects.models import Change, ChangeKind, Job, JobKind, JobState
from rows.bulk.deletion import rows_purge
from rows.bulk.options import BulkOptions
from rows.bulk.selection import Selection, preview
from rows.filters import RowFilter
from rows.hooks import MeaningAnswer
from rows.models import Assignment, BulkAction, BulkPart, Row, Verbatim, ViewOptions
from rows.services import bulk as service
from rows.services.bulk import bulk_start
from rows.services.reviews import TopicChoice, verbatim_review
from topicassign.errors import ApplicationError

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(column, assign):
    """Six rows: 1 and 4 say the same, 5 is empty. The AI put topics on 1, 2, 3 and 4."""
    topics = {topic.label: topic for topic in column.topics.all()}
    found = list(column.verbatims.order_by("row_number"))
    assign(found[0], topics["Delivery time"], -1)
    assign(found[3], topics["Delivery time"], -1)
    assign(found[1], topics["Friendliness"], 1)
    assign(found[2], topics["Price"])
    return found


@pytest.fixture
def topic(column):
    return {topic.label: topic for topic in column.topics.all()}


def state(column):
    """Everything a bulk action may write, in a form that can be compared."""
    verbatims = column.verbatims.order_by("pk").values_list(
        "row_number", "is_reviewed", "reviewed_by", "reviewed_at", "is_audit", "is_highlighted", "sentiment",
        "is_group_head", "group_size", "row__deleted_at",
    )  # fmt: skip
    assignments = Assignment.objects.filter(verbatim__column=column).order_by("verbatim", "topic")
    values = ("verbatim__row_number", "topic__label", "sentiment", "source", "probability", "position")
    return list(verbatims), list(assignments.values_list(*values))


def do(column, user, *, ids=None, query="", token="t", n_expected=None, besides=(), **options):
    options["topics"] = tuple(TopicChoice(*one) for one in options.get("topics", ()))
    return bulk_start(
        column=column,
        selection=Selection(column, query, ids, list(besides)),
        options=BulkOptions(**options),
        user=user,
        token=token,
        n_expected=n_expected,
    )


def topics_of(column, number):
    found = Assignment.objects.filter(verbatim__column=column, verbatim__row_number=number)
    return {one.topic.label: one.sentiment for one in found.select_related("topic")}


# --- what is written ---------------------------------------------------------------------------------
def test_add_puts_topics_beside_those_that_are_there_and_on_identical_rows(rows, column, alice, topic):
    done = do(column, alice, ids=[rows[0].pk, rows[1].pk], topics_mode="add", topics=[(topic["Price"].pk, None)])
    assert done.n_changed == 3  # row 4 says what row 1 says
    assert topics_of(column, 1) == topics_of(column, 4) == {"Delivery time": -1, "Price": None}
    assert topics_of(column, 2) == {"Friendliness": 1, "Price": None}
    assert topics_of(column, 3) == {"Price": None}
    assert not column.verbatims.filter(is_reviewed=True).exists(), "the review state was to be kept"


def test_replace_leaves_only_the_chosen_topics_and_marks_as_reviewed(rows, column, alice, topic):
    rows[1].refresh_from_db()
    do(
        column, alice, ids=[rows[0].pk, rows[1].pk], topics_mode="replace", review="reviewed",
        topics=[(topic["Friendliness"].pk, -1)],
    )  # fmt: skip
    for number in (1, 2, 4):
        assert topics_of(column, number) == {"Friendliness": -1}
        verbatim = column.verbatims.get(row_number=number)
        assert (verbatim.is_reviewed, verbatim.reviewed_by, verbatim.sentiment) == (True, alice, -1)
        assert verbatim.revision == verbatim.person_revision == 1
    assert set(Assignment.objects.filter(verbatim__is_reviewed=True).values_list("source", flat=True)) == {
        "person"
    }


def test_marking_as_reviewed_makes_the_topics_of_the_ai_a_persons(rows, column, alice):
    do(column, alice, ids=[rows[1].pk], review="reviewed")
    kept = rows[1].assignments.get()
    assert (kept.source, kept.probability, kept.sentiment) == ("person", None, 1)


def test_remove_takes_topics_off_and_the_text_decides_the_sentiment_where_none_is_left(rows, column, alice, topic):
    Verbatim.objects.filter(pk=rows[1].pk).update(sentiment=-1)
    do(column, alice, ids=[row.pk for row in rows], topics_mode="remove", topics=[(topic["Friendliness"].pk, 1)])
    assert topics_of(column, 2) == {}
    rows[1].refresh_from_db()
    assert rows[1].sentiment == 1  # "Very friendly staff, thank you!"


def test_empty_rows_take_a_star_but_neither_topics_nor_a_review(rows, column, alice, topic):
    empty = rows[4]
    do(
        column, alice, ids=[empty.pk, rows[5].pk], topics_mode="add", topics=[(topic["Price"].pk, None)],
        review="reviewed", highlight="on",
    )  # fmt: skip
    empty.refresh_from_db()
    assert (empty.is_highlighted, empty.is_reviewed) == (True, False)
    assert topics_of(column, 5) == {}
    assert topics_of(column, 6) == {"Price": None}


def test_a_star_goes_only_to_the_rows_that_were_ticked(rows, column, alice):
    do(column, alice, ids=[rows[0].pk], highlight="on")
    assert list(column.verbatims.filter(is_highlighted=True)) == [rows[0]]
    rows[0].refresh_from_db()
    assert rows[0].revision == 0, "a star is no review: nobody's open row became old"


def test_one_bulk_action_is_one_change_and_one_review(rows, column, alice, topic):
    do(column, alice, ids=[row.pk for row in rows], review="reviewed")
    column.refresh_from_db()
    assert column.n_reviews_since_update == 1
    assert column.data_version > 0
    change = Change.objects.get()
    assert (change.kind, change.user) == (ChangeKind.BULK, alice)
    assert change.summary == "5 rows: reviewed"
    change_undo(change=change, user=alice)
    column.refresh_from_db()
    assert column.n_reviews_since_update == 0


def test_it_shows_in_the_history_of_each_row(rows, column, as_alice, alice):
    do(column, alice, ids=[rows[0].pk], review="reviewed")
    for row, shown in ((rows[0], True), (rows[3], True), (rows[1], False)):
        page = as_alice.get(reverse("rows:verbatim", args=[column.pk, row.pk])).content.decode()
        assert ("Many rows changed: 2 rows: reviewed" in page) is shown


# --- preview -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"topics_mode": "add", "topics": ["Delivery time"]}, (5, 6, 3, 0, 1)),
        ({"topics_mode": "remove", "topics": ["Delivery time"]}, (5, 6, 2, 0, 1)),
        ({"topics_mode": "replace", "topics": ["Delivery time"]}, (5, 6, 3, 0, 1)),
        ({"topics_mode": "replace", "topics": []}, (5, 6, 4, 0, 1)),
        ({"review": "reviewed"}, (5, 6, 5, 0, 1)),
        ({"review": "unreviewed"}, (5, 6, 0, 0, 1)),
        ({"highlight": "on"}, (5, 5, 5, 0, 0)),
        ({"delete": True}, (5, 6, 6, 0, 0)),
    ],
)
def test_the_preview_says_what_then_happens(rows, column, alice, topic, options, expected):
    chosen = tuple(TopicChoice(topic[label].pk, -1) for label in options.get("topics", ()))
    wanted = BulkOptions(**{**options, "topics": chosen})
    found = preview(selection=Selection(column, ""), options=wanted)
    assert (found.n_shown, found.n_rows, found.n_changed, found.n_reviewed, found.n_empty) == expected
    if expected[2]:
        done = bulk_start(column=column, selection=Selection(column, ""), options=wanted, user=alice, token="x")
        assert done.n_changed == expected[2]
        assert preview(selection=Selection(column, ""), options=wanted).n_changed == 0


def test_the_preview_tells_reviewed_rows_apart(rows, column, alice, topic):
    verbatim_review(verbatim=rows[0], topics=[], revision=0, user=alice)
    wanted = BulkOptions(topics_mode="add", topics=(TopicChoice(topic["Price"].pk),))
    found = preview(selection=Selection(column, ""), options=wanted)
    assert (found.n_changed, found.n_reviewed) == (4, 2)


def test_all_that_match_means_the_filter_without_those_unticked(rows, column, alice):
    do(column, alice, query="q=the", besides=[rows[3].pk], review="reviewed")
    assert set(column.verbatims.filter(is_reviewed=True).values_list("row_number", flat=True)) == {1, 4}
    do(column, alice, query="reviewed=no", besides=[rows[1].pk], highlight="on", token="u")
    assert set(column.verbatims.filter(is_highlighted=True).values_list("row_number", flat=True)) == {3, 5, 6}


def test_recently_reviewed_shows_and_selects_only_reviewed_rows(rows, column, alice):
    do(column, alice, ids=[rows[1].pk], review="reviewed")
    do(column, alice, query="sort=recent", highlight="on", token="u")
    assert list(column.verbatims.filter(is_highlighted=True)) == [rows[1]]


# --- undo --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [
        {"topics_mode": "add", "topics": ["Price", "Friendliness"]},
        {"topics_mode": "add", "topics": ["Price"], "review": "reviewed", "highlight": "on"},
        {"topics_mode": "replace", "topics": ["Friendliness"], "review": "reviewed"},
        {"topics_mode": "remove", "topics": ["Delivery time", "Price"], "review": "unreviewed"},
        {"review": "reviewed"},
        {"review": "unreviewed"},
        {"highlight": "off"},
        {"delete": True},
    ],
)
def test_undo_puts_everything_back(rows, column, alice, topic, options):
    verbatim_review(verbatim=rows[2], topics=[TopicChoice(topic["Friendliness"].pk, 0)], revision=0, user=alice)
    Verbatim.objects.filter(pk=rows[5].pk).update(is_highlighted=True)
    before = state(column)
    chosen = [(topic[label].pk, -1) for label in options.get("topics", ())]
    done = do(column, alice, **{**options, "topics": chosen})
    assert state(column) != before
    undoing = change_undo(change=done.change, user=alice)
    assert state(column) == before
    assert undoing.summary == f"Undone: {done.change.summary}"
    with pytest.raises(ApplicationError, match="already undone"):
        change_undo(change=done.change, user=alice)


def test_undo_leaves_alone_what_people_changed_since_and_says_so(rows, column, alice, bob, topic):
    done = do(column, alice, topics_mode="add", topics=[(topic["Price"].pk, None)], review="reviewed")
    again = Verbatim.objects.get(pk=rows[1].pk)
    verbatim_review(verbatim=again, topics=[TopicChoice(topic["Price"].pk)], revision=1, user=bob)
    undoing = change_undo(change=done.change, user=alice)
    assert "1 row was changed since and left as it is" in undoing.summary
    again.refresh_from_db()
    assert (again.is_reviewed, again.reviewed_by) == (True, bob)
    assert topics_of(column, 2) == {"Price": None}
    assert topics_of(column, 1) == {"Delivery time": -1}
    assert column.verbatims.filter(is_reviewed=True).count() == 1


def test_an_older_review_is_not_undone_over_a_bulk_action(rows, column, alice, topic):
    review = verbatim_review(verbatim=rows[1], topics=[], revision=0, user=alice)
    do(column, alice, ids=[rows[1].pk], topics_mode="add", topics=[(topic["Price"].pk, None)])
    with pytest.raises(ApplicationError, match="undo the later change first"):
        change_undo(change=review.change, user=alice)
    assert topics_of(column, 2) == {"Price": None}


def test_ctrl_z_takes_the_whole_bulk_action_back(rows, column, as_bob, bob, htmx, topic):
    before = state(column)
    do(column, bob, topics_mode="replace", topics=[(topic["Price"].pk, None)], review="reviewed")
    answer = as_bob.post(reverse("rows:undo_last", args=[column.pk]), headers=htmx)
    assert answer.status_code == 200
    assert "rows-changed" in answer["HX-Trigger"]
    assert state(column) == before


# --- deleting ----------------------------------------------------------------------------------------
def test_deleting_a_grouped_row_deletes_its_copies_and_undo_brings_all_back(rows, column, alice):
    done = do(column, alice, ids=[rows[0].pk], delete=True)
    assert done.n_changed == 2
    assert set(Verbatim.objects.live(column).values_list("row_number", flat=True)) == {2, 3, 5, 6}
    change_undo(change=done.change, user=alice)
    assert Verbatim.objects.live(column).count() == 6
    assert column.verbatims.get(row_number=1).is_group_head
    assert not column.verbatims.get(row_number=4).is_group_head


def test_deleting_one_of_two_copies_makes_the_other_one_stand_alone(rows, column, alice, as_alice, htmx):
    first = do(column, alice, ids=[rows[0].pk], query="grouped=no", delete=True)
    other = column.verbatims.get(row_number=4)
    assert (other.is_group_head, other.group_size) == (True, 1)
    page = as_alice.get(reverse("rows:chunk", args=[column.pk]), headers=htmx).content.decode()
    assert "days LATE" in page
    assert "two days late" not in page
    second = do(column, alice, ids=[other.pk], delete=True, token="u")
    change_undo(change=first.change, user=alice)  # in this order the groups must come out right as well
    change_undo(change=second.change, user=alice)
    same = column.verbatims.filter(fingerprint=other.fingerprint).order_by("row_number")
    assert list(same.values_list("is_group_head", "group_size")) == [(True, 2), (False, 2)]


@pytest.mark.parametrize("query", ["row_min=2&row_max=6", "highlighted=yes"])
def test_where_a_filter_looks_at_single_rows_deleting_leaves_identical_ones(rows, column, alice, query):
    Verbatim.objects.filter(pk=rows[3].pk).update(is_highlighted=True)
    before = set(Verbatim.objects.live(column).values_list("row_number", flat=True))
    asked = set(RowFilter.from_query(query, column).apply().values_list("row_number", flat=True))
    assert 4 in asked
    assert 1 not in asked
    do(column, alice, query=query, delete=True)
    assert set(Verbatim.objects.live(column).values_list("row_number", flat=True)) == before - asked


def test_whoever_sees_identical_rows_one_by_one_deletes_them_one_by_one(rows, column, alice, as_alice, htmx):
    ViewOptions.objects.create(user=alice, column=column, is_grouped=False)
    count = as_alice.get(reverse("rows:bulk_count", args=[column.pk])).json()
    assert count == {"n": 6}
    data = {"ids": str(rows[0].pk), "delete": "1", "token": "a" * 32}
    assert as_alice.post(reverse("rows:bulk_run", args=[column.pk]), data, headers=htmx).status_code == 200
    assert set(Verbatim.objects.live(column).values_list("row_number", flat=True)) == {2, 3, 4, 5, 6}


def test_a_search_by_meaning_without_an_answer_selects_nothing_by_mistake(rows, column, alice, monkeypatch):
    answer = MeaningAnswer("working", message="The search is on its way.")
    monkeypatch.setattr(RowFilter, "meaning_answer", answer)
    with pytest.raises(ApplicationError, match="on its way"):
        do(column, alice, query="meaning=late", delete=True)
    assert not Row.objects.exclude(deleted_at=None).exists()


def test_only_admins_delete_rows(rows, column, as_alice, as_bob, htmx):
    url = reverse("rows:bulk_run", args=[column.pk])
    data = {"ids": str(rows[0].pk), "delete": "1", "token": "a" * 32}
    assert as_bob.post(url, data, headers=htmx).status_code == 403
    assert not Row.objects.exclude(deleted_at=None).exists()
    assert as_alice.post(url, data, headers=htmx).status_code == 200
    assert Row.objects.exclude(deleted_at=None).count() == 2


def test_rows_deleted_long_ago_go_for_good_and_cannot_be_brought_back(rows, column, alice):
    done = do(column, alice, ids=[rows[1].pk], delete=True)
    assert rows_purge() == 0
    old = timezone.now() - timedelta(days=31)
    Row.objects.exclude(deleted_at=None).update(deleted_at=old)
    BulkAction.objects.update(created_at=old)
    with pytest.raises(ApplicationError, match="30 days"):
        change_undo(change=done.change, user=alice)
    assert rows_purge() == 1
    assert not Verbatim.objects.filter(pk=rows[1].pk).exists()
    assert column.verbatims.count() == 5


# --- jobs --------------------------------------------------------------------------------------------
@pytest.fixture
def many(make_project, alice, bob, monkeypatch):
    """Sixty rows that a bulk action does in a job, in batches of ten."""
    monkeypatch.setattr(service, "AT_ONCE", 20)
    monkeypatch.setattr(service, "BATCH", 10)
    project = make_project(alice, texts=[f"Text {index // 2}" for index in range(120)], members={bob: "analyst"})
    return project.column


def price(column):
    return [(column.topics.get(label="Price").pk, None)]


def test_a_large_one_is_a_job_with_progress_and_one_change(many, alice):
    done = do(many, alice, topics_mode="add", topics=price(many), review="reviewed", n_expected=120)
    assert done.change is None
    assert done.job.state == JobState.QUEUED
    assert not Assignment.objects.exists()
    job = job_execute(done.job.pk)
    assert (job.state, job.done, job.total) == (JobState.DONE, 60, 60)
    done.refresh_from_db()
    assert (done.n_selected, done.n_changed, done.parts.count()) == (60, 120, 6)
    assert service.bulk_sentence(done) == "120 rows: Price added, reviewed."
    assert many.verbatims.filter(is_reviewed=True).count() == 120
    many.refresh_from_db()
    assert many.n_reviews_since_update == 1
    undoing = change_undo(change=done.change, user=alice)
    assert undoing.summary.endswith("in the background")
    undo_job = Job.objects.get(kind=JobKind.BULK, state=JobState.QUEUED)
    assert job_execute(undo_job.pk).state == JobState.DONE
    assert not Assignment.objects.exists()
    assert not many.verbatims.filter(is_reviewed=True).exists()
    many.refresh_from_db()
    assert many.n_reviews_since_update == 0


def kill_after(monkeypatch, n_batches, error):
    """Let the worker die, or the person cancel, when so many batches are done."""
    real = service._apply
    count = {"n": 0}

    def apply(*values):
        count["n"] += 1
        if count["n"] > n_batches:
            raise error
        return real(*values)

    monkeypatch.setattr(service, "_apply", apply)
    return lambda: monkeypatch.setattr(service, "_apply", real)


def test_a_killed_worker_costs_one_batch_and_nothing_is_done_twice(many, alice, monkeypatch):
    before = state(many)
    done = do(many, alice, topics_mode="add", topics=price(many))
    heal = kill_after(monkeypatch, 3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        job_execute(done.job.pk)
    done.refresh_from_db()
    assert (done.position, done.change) == (30, None)
    heal()
    Job.objects.update(state=JobState.QUEUED, claimed_by="")  # as the watch does when the process is gone
    # Rows that come to match meanwhile were not selected when the person said so.
    assert job_execute(done.job.pk).state == JobState.DONE
    done.refresh_from_db()
    assert (done.n_changed, done.parts.count()) == (120, 6)
    assert Assignment.objects.count() == 120
    assert Change.objects.filter(kind=ChangeKind.BULK).count() == 1
    change_undo(change=done.change, user=alice)
    assert job_execute(Job.objects.get(state=JobState.QUEUED).pk).state == JobState.DONE
    assert state(many) == before


def test_a_killed_undo_goes_on_where_it_stopped(many, alice, monkeypatch):
    before = state(many)
    done = do(many, alice, topics_mode="add", topics=price(many), review="reviewed")
    job_execute(done.job.pk)
    done.refresh_from_db()
    change_undo(change=done.change, user=alice)
    real, count = service.revert_part, {"n": 0}

    def revert(**values):
        count["n"] += 1
        if count["n"] == 3:
            raise KeyboardInterrupt
        return real(**values)

    monkeypatch.setattr(service, "revert_part", revert)
    job = Job.objects.get(state=JobState.QUEUED)
    with pytest.raises(KeyboardInterrupt):
        job_execute(job.pk)
    assert BulkPart.objects.filter(is_undone=True).count() == 2
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED, claimed_by="")
    assert job_execute(job.pk).state == JobState.DONE
    assert state(many) == before
    done.refresh_from_db()
    assert done.n_left_alone == 0


def test_a_cancelled_one_keeps_what_is_done_as_one_step_of_undo(many, alice, monkeypatch):
    before = state(many)
    done = do(many, alice, topics_mode="add", topics=price(many))
    real = service._apply
    count = {"n": 0}

    def apply(*values):
        count["n"] += 1
        if count["n"] == 3:
            job_cancel(job=Job.objects.get(pk=done.job.pk))
        return real(*values)

    monkeypatch.setattr(service, "_apply", apply)
    assert job_execute(done.job.pk).state == JobState.CANCELLED
    done.refresh_from_db()
    assert (done.position, done.n_changed) == (20, 40)
    assert done.change.summary == "40 rows: Price added"
    assert Assignment.objects.count() == 40
    change_undo(change=done.change, user=alice)
    assert job_execute(Job.objects.get(state=JobState.QUEUED).pk).state == JobState.DONE
    assert state(many) == before


def test_one_that_is_cancelled_before_it_began_leaves_nothing(many, alice):
    done = do(many, alice, topics_mode="add", topics=price(many))
    job_cancel(job=done.job)
    assert not Change.objects.exists()
    assert not Assignment.objects.exists()
    do(many, alice, topics_mode="add", topics=price(many), token="again")


def test_a_cancelled_undo_can_be_taken_up_again(many, alice, monkeypatch):
    before = state(many)
    done = do(many, alice, topics_mode="add", topics=price(many))
    job_execute(done.job.pk)
    done.refresh_from_db()
    change_undo(change=done.change, user=alice)
    job = Job.objects.get(state=JobState.QUEUED)
    real, count = service.revert_part, {"n": 0}

    def revert(**values):
        count["n"] += 1
        if count["n"] == 3:
            job_cancel(job=Job.objects.get(pk=job.pk))
        return real(**values)

    monkeypatch.setattr(service, "revert_part", revert)
    assert job_execute(job.pk).state == JobState.CANCELLED
    done.change.refresh_from_db()
    assert done.change.undone_at is None
    assert Change.objects.filter(summary__startswith="Undoing was stopped, 80 rows are left").exists()
    change_undo(change=done.change, user=alice)
    assert job_execute(Job.objects.get(state=JobState.QUEUED).pk).state == JobState.DONE
    assert state(many) == before


def test_a_topic_deleted_before_the_job_ran_stops_it_with_a_reason(many, alice):
    done = do(many, alice, topics_mode="add", topics=price(many))
    many.topics.filter(label="Price").update(deleted_at=timezone.now())
    job = job_execute(done.job.pk)
    assert job.state == JobState.FAILED
    assert "topic of this bulk action was deleted" in job.error
    assert not Change.objects.exists()


def test_a_filter_that_lost_its_topic_does_not_become_all_rows(many, alice, assign):
    wanted = many.topics.get(label="Price")
    for verbatim in many.verbatims.filter(row_number__lte=50):
        assign(verbatim, wanted)
    done = do(many, alice, query=f"topic={wanted.pk}", review="reviewed")
    assert done.job is not None
    wanted.deleted_at = timezone.now()
    wanted.save()
    job = job_execute(done.job.pk)
    assert job.state == JobState.FAILED
    assert "filter no longer says which rows are meant" in job.error
    assert not many.verbatims.filter(is_reviewed=True).exists()
    with pytest.raises(ApplicationError, match="no longer says"):
        do(many, alice, query=f"topic={wanted.pk}", review="reviewed", token="again")


def test_a_selection_that_shrank_is_told_afterwards(many, alice):
    done = do(many, alice, query="reviewed=no", review="reviewed", n_expected=120)
    verbatim_review(verbatim=many.verbatims.get(row_number=1), topics=[], revision=0, user=alice)
    job_execute(done.job.pk)
    done.refresh_from_db()
    assert service.bulk_sentence(done) == (
        "118 rows: reviewed. It was 120 when you were asked; the rows changed meanwhile."
    )


def test_a_second_one_waits_for_the_first(many, alice, bob):
    do(many, alice, topics_mode="add", topics=price(many))
    with pytest.raises(ApplicationError, match="on its way"):
        do(many, bob, ids=[many.verbatims.first().pk], highlight="on", token="other")


def test_large_deletions_and_their_undo_keep_the_groups_right(many, alice):
    before = state(many)
    done = do(many, alice, query="grouped=no&q=1", delete=True)
    assert job_execute(done.job.pk).state == JobState.DONE
    done.refresh_from_db()
    assert Row.objects.filter(deleted_at=None).count() == 120 - done.n_changed > 0
    change_undo(change=done.change, user=alice)
    assert job_execute(Job.objects.get(state=JobState.QUEUED).pk).state == JobState.DONE
    assert state(many) == before


def test_a_broker_that_is_down_delays_the_work_and_loses_nothing(
    many, alice, monkeypatch, django_capture_on_commit_callbacks
):
    def refuse(*values, **more):
        raise OSError("no broker")

    monkeypatch.setattr("projects.tasks.job_run.apply_async", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        done = do(many, alice, topics_mode="add", topics=price(many))
    assert Job.objects.get(pk=done.job.pk).state == JobState.QUEUED
    assert job_execute(done.job.pk).state == JobState.DONE


# --- double submit -----------------------------------------------------------------------------------
def test_the_same_form_twice_is_one_act(rows, column, alice):
    first = do(column, alice, review="reviewed")
    assert do(column, alice, review="reviewed") == first
    assert Change.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_the_same_form_twice_at_the_same_moment_is_one_act(rows, column, alice):
    barrier, found = threading.Barrier(2), []

    def submit():
        try:
            barrier.wait()
            found.append(do(column, alice, review="reviewed").pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=submit) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(set(found)) == 1
    assert Change.objects.count() == 1
    assert connection.vendor == "postgresql"


# --- over HTTP ---------------------------------------------------------------------------------------
def url(name, column):
    return reverse(f"rows:bulk_{name}", args=[column.pk])


TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("role", ["viewer"])
def test_viewers_may_not_and_strangers_see_nothing(as_bob, as_charlie, rows, column, htmx, role):
    data = {"all": "1", "review": "reviewed", "token": TOKEN}
    for name in ("dialog", "preview", "run"):
        assert as_bob.post(url(name, column), data, headers=htmx).status_code == 403
        assert as_charlie.post(url(name, column), data, headers=htmx).status_code == 404
        assert as_charlie.get(url(name, column)).status_code == 405
    assert as_bob.get(url("status", column)).status_code == 200
    assert as_charlie.get(url("status", column)).status_code == 404
    assert not Change.objects.exists()


def test_viewers_get_no_ticks(as_bob, column, rows, bob):
    page = as_bob.get(reverse("rows:browser", args=[column.pk])).content.decode()
    assert "data-pick" in page
    column.project.members.filter(user=bob).update(role="viewer")
    page = as_bob.get(reverse("rows:browser", args=[column.pk])).content.decode()
    assert "data-pick" not in page
    assert "<row-selection" not in page


def test_the_dialog_says_what_will_happen_and_the_answer_what_happened(as_bob, bob, rows, column, topic, htmx):
    verbatim_review(verbatim=rows[1], topics=[], revision=0, user=bob)
    ids = f"{rows[0].pk},{rows[1].pk}"
    dialog = as_bob.post(url("dialog", column), {"ids": ids, "start": "topics"}, headers=htmx).content.decode()
    assert "Change 2 selected rows" in dialog
    assert "Choose at least one topic to add." in dialog
    data = {"ids": ids, "topics_mode": "add", "topic": topic["Price"].pk, "token": TOKEN}
    said = as_bob.post(url("preview", column), data, headers=htmx).content.decode()
    assert "<strong>3 rows change</strong>, 1 of them reviewed." in said
    assert "2 selected stand for 3 rows" in said
    assert "next AI update may change their topics again" in said
    answer = as_bob.post(url("run", column), {**data, "expected": "3"}, headers=htmx)
    assert "3 rows: Price added." in answer.content.decode()
    assert {"dialog-close", "bulk-done", "rows-changed"} <= set(json.loads(answer["HX-Trigger"]))
    again = as_bob.post(url("run", column), {**data, "expected": "3"}, headers=htmx)
    assert again.status_code == 200
    assert Change.objects.filter(kind=ChangeKind.BULK).count() == 1


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        ({}, 422, "Select some rows first"),
        ({"ids": "abc"}, 400, "cannot be"),
        ({"ids": "1", "topics_mode": "explode"}, 400, "not one of ours"),
        ({"ids": "1", "topics_mode": "add", "topic": "x"}, 400, "cannot be"),
        ({"ids": "1", "topics_mode": "add", "topic": "1", "sentiment-1": "7"}, 400, "Sentiment must be"),
        ({"all": "1", "topics_mode": "add"}, 422, "Choose at least one topic to add"),
        ({"all": "1", "topics_mode": "add", "topic": "987654"}, 409, "was deleted meanwhile"),
        ({"all": "1"}, 422, "Choose what to change"),
        ({"all": "1", "review": "unreviewed"}, 422, "None of the selected rows would change"),
        ({"all": "1", "query": "topic=987654", "review": "reviewed"}, 409, "no longer says which rows"),
        ({"ids": ",".join(map(str, range(1, 10_003))), "review": "reviewed"}, 413, "ticked one by one"),
    ],
)
def test_bad_input_is_refused_with_a_sentence_and_writes_nothing(
    as_bob, rows, column, htmx, data, status, sentence
):
    answer = as_bob.post(url("run", column), {"token": TOKEN, **data}, headers=htmx)
    assert answer.status_code == status
    assert sentence in answer.content.decode()
    assert not Change.objects.exists()
    assert not BulkAction.objects.exists()


def test_a_form_without_its_token_is_refused(as_bob, rows, column, htmx):
    assert as_bob.post(url("run", column), {"all": "1", "review": "reviewed"}, headers=htmx).status_code == 400


def test_ticked_rows_of_another_column_are_not_touched(as_bob, rows, column, make_project, alice, htmx):
    other = make_project(alice, texts=["Something else"]).column.verbatims.get()
    data = {"ids": f"{other.pk},{rows[1].pk}", "review": "reviewed", "token": TOKEN}
    assert as_bob.post(url("run", column), data, headers=htmx).status_code == 200
    other.refresh_from_db()
    assert not other.is_reviewed


def test_the_status_follows_the_job_and_tells_the_end_once(many, as_bob, bob, htmx):
    assert "bulk-status__job" not in as_bob.get(url("status", many), headers=htmx).content.decode()
    done = do(many, bob, topics_mode="add", topics=price(many))
    waiting = as_bob.get(url("status", many), headers=htmx).content.decode()
    assert "waits for its turn" in waiting
    assert "every 1s" in waiting
    job_execute(done.job.pk)
    over = as_bob.get(f"{url('status', many)}?job={done.job.pk}", headers=htmx)
    assert "120 rows: Price added." in over.content.decode()
    assert "every 1s" not in over.content.decode()
    assert "rows-changed" in over["HX-Trigger"]
    later = as_bob.get(url("status", many), headers=htmx)
    assert "Price added" not in later.content.decode()
    assert "HX-Trigger" not in later


def test_an_analyst_undoes_only_what_is_theirs(rows, column, as_bob, alice, htmx):
    done = do(column, alice, review="reviewed")
    undo = reverse("projects:change_undo", args=[done.change.pk])
    assert as_bob.post(undo, headers=htmx).status_code == 403


def test_counting_all_that_match(as_bob, rows, column):
    assert as_bob.get(url("count", column)).json() == {"n": 5}
    assert as_bob.get(f"{url('count', column)}?grouped=no&q=late").json() == {"n": 2}
