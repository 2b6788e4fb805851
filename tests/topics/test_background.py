"""Large acts on topics run as jobs: done once, undone once, nothing half done."""

from __future__ import annotations

import pytest

from projects.jobs import JobRun, job_cancel, job_execute, job_retry
from projects.models import Change, Job, JobKind, JobState
from tests.topics.restructuring import chips, put, review, rows_state, topic, topics_state, undo
from topicassign.errors import ApplicationError
from topics.models import Topic
from topics.services import background, combine_start, merge_start, split_start, topic_create, topic_delete

pytestmark = pytest.mark.django_db

NINE = [f"Answer number {n} about something" for n in range(1, 10)]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Three rows are many."""
    monkeypatch.setattr(background, "AT_ONCE", 2)


@pytest.fixture
def column(make_project, alice):
    column = make_project(alice, texts=NINE, topics=["A", "B", "C"]).column
    for number in (1, 2, 3):
        put(column, number, "B")
    return column


def start(column, user, **values):
    return merge_start(target=topic(column, "A"), sources=[topic(column, "B")], user=user, **values)


def execute(job):
    done = job_execute(job.pk)
    assert done is not None
    return done


def last_job():
    return Job.objects.filter(kind=JobKind.TOPICS).order_by("-created_at").first()


def test_few_rows_change_at_once(column, alice):
    change = merge_start(target=topic(column, "B"), sources=[topic(column, "A")], user=alice)
    assert isinstance(change, Change)


def test_many_rows_change_by_a_job_and_go_back_by_one(column, alice):
    review(column, alice, 3, "B", "C")
    rows, topics = rows_state(column), topics_state(column)
    b = topic(column, "B")
    job = start(column, alice, expected={b.pk: b.version})
    assert isinstance(job, Job)
    assert rows_state(column) == rows
    done = execute(job)
    assert done.state == JobState.DONE
    assert list(chips(column, 3)) == ["A", "C"]
    change = Change.objects.get(pk=done.result["change"])
    assert change.user == alice
    undoing = undo(change, alice)
    assert str(undoing).endswith("in the background")
    assert list(chips(column, 3)) == ["A", "C"]
    assert execute(last_job()).state == JobState.DONE
    assert rows_state(column) == rows
    assert topics_state(column) == topics
    undoing.refresh_from_db()
    assert str(undoing) == f"Undone: {change}"


def test_a_job_that_was_killed_at_its_end_is_not_done_again(column, alice):
    job = start(column, alice)
    with JobRun(Job.objects.get(pk=job.pk)) as run:
        Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)
        background.topics_run(run)
    assert Change.objects.count() == 1
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    assert execute(job).result["change"] == Change.objects.get().pk
    assert Change.objects.count() == 1


def test_a_cancelled_job_leaves_nothing(column, alice):
    rows = rows_state(column)
    job = start(column, alice)
    Job.objects.filter(pk=job.pk).update(cancel_requested=True)
    assert execute(job).state == JobState.CANCELLED
    assert rows_state(column) == rows
    assert not Change.objects.exists()


def test_a_job_whose_topic_was_deleted_meanwhile_fails_with_the_reason(column, alice, bob):
    job = start(column, alice)
    topic_delete(topic=topic(column, "B"), user=bob)
    done = execute(job)
    assert (done.state, done.error) == (
        JobState.FAILED,
        "The topic B was deleted meanwhile. Nothing was changed.",
    )
    assert topic(column, "A")


def test_an_undo_that_fails_can_be_tried_again(column, alice):
    execute(start(column, alice))
    change = Change.objects.get()
    taken = topic_create(column=column, label="B", category=topic(column, "A").category, user=alice)
    undoing = undo(change, alice)
    assert execute(last_job()).state == JobState.FAILED
    change.refresh_from_db()
    undoing.refresh_from_db()
    assert change.undone_at is None
    assert (undoing.undo_of, str(undoing)) == (None, f"Could not be undone: {change}")
    topic_delete(topic=taken, user=alice)
    failed = last_job()
    undo(change, alice)
    assert execute(last_job()).state == JobState.DONE
    assert list(chips(column, 1)) == ["B"]
    job_retry(job=failed)
    assert execute(failed).error == "This was already undone."
    change.refresh_from_db()
    assert change.undone_at is not None


def test_the_job_of_an_undo_that_failed_can_be_tried_again(column, alice):
    execute(start(column, alice))
    change = Change.objects.get()
    taken = topic_create(column=column, label="B", category=topic(column, "A").category, user=alice)
    undo(change, alice)
    failed = execute(last_job())
    topic_delete(topic=taken, user=alice)
    job_retry(job=failed)
    assert execute(failed).state == JobState.DONE
    change.refresh_from_db()
    assert change.undone_at is not None
    assert str(change.undone_by) == f"Undone: {change}"
    assert list(chips(column, 1)) == ["B"]


def test_an_undo_that_is_cancelled_before_it_began_can_be_tried_again(column, alice):
    execute(start(column, alice))
    change = Change.objects.get()
    undo(change, alice)
    job_cancel(job=last_job())
    change.refresh_from_db()
    assert change.undone_at is None


def test_one_large_act_at_a_time(column, alice, bob):
    start(column, alice)
    with pytest.raises(ApplicationError) as error:
        start(column, bob)
    assert (error.value.status, error.value.code) == (409, "topics_active")


def test_the_same_large_merge_sent_twice_is_one_act(column, alice):
    a, b = topic(column, "A"), topic(column, "B")
    execute(start(column, alice))
    assert merge_start(target=a, sources=[b], user=alice) == Change.objects.get()


def test_bad_input_is_refused_before_a_job_begins(column, alice):
    b = topic(column, "B")
    with pytest.raises(ApplicationError, match="merged with itself"):
        merge_start(target=b, sources=[b], user=alice)
    assert not Job.objects.exists()


def test_combining_and_splitting_by_a_job(column, alice):
    rows, topics = rows_state(column), topics_state(column)
    job = combine_start(
        positive=topic(column, "B"), negative=topic(column, "A"), label="AB", user=alice, label_neutral="So so"
    )
    change = Change.objects.get(pk=execute(job).result["change"])
    assert chips(column, 1)["AB"][0] == 1
    assert Topic.objects.get(pk=change.ids[0]).label_neutral == "So so"
    undo(change, alice)
    execute(last_job())
    assert rows_state(column) == rows
    ids = list(column.verbatims.filter(row_number__in=(1, 2, 3)).values_list("pk", flat=True))
    job = split_start(topic=topic(column, "B"), label="New", examples_b=ids, user=alice, label_a="Old")
    change = Change.objects.get(pk=execute(job).result["change"])
    assert list(chips(column, 1)) == ["New"]
    undo(change, alice)
    execute(last_job())
    assert rows_state(column) == rows
    assert [one["label"] for one in topics_state(column)] == [one["label"] for one in topics]
