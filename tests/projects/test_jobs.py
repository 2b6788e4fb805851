"""Background jobs: claims, double messages, cancelling, attempts, recovery, a broker that is down."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from projects import jobs
from projects.models import Job, JobKind, JobState
from rows.models import Verbatim
from rows.services.reviews import TopicChoice, verbatim_review
from topicassign.celery import app as celery_app
from topicassign.errors import ApplicationError

DEAD_PID = 2**22 + 1  # above the largest process id of Linux


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the handler of exports by one that notes that it ran; return the notes."""
    notes: list[str] = []

    def handler(run: jobs.JobRun) -> dict[str, Any]:
        notes.append(str(run.job.pk))
        run.progress(1, 2, "Half")
        run.progress(2, 2)
        return {"answer": 42}

    monkeypatch.setitem(jobs._HANDLERS, JobKind.EXPORT, handler)
    monkeypatch.setitem(jobs._CLEAN_UPS, JobKind.EXPORT, lambda job: notes.append("cleaned"))
    monkeypatch.setitem(jobs._AFTER_END, JobKind.EXPORT, lambda job: notes.append(f"after {job.state}"))
    return notes


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch, ran: list[str]) -> Any:
    """Return a function that sets what an export does."""
    return lambda handler: monkeypatch.setitem(jobs._HANDLERS, JobKind.EXPORT, handler)


def make_job(**values: Any) -> Job:
    return Job.objects.create(kind=JobKind.EXPORT, **values)


def running(**values: Any) -> Job:
    values.setdefault("heartbeat_at", timezone.now())
    values.setdefault("claimed_by", "elsewhere:1:aaaa")
    values.setdefault("attempts", 1)
    return make_job(state=JobState.RUNNING, **values)


# --- running -------------------------------------------------------------------------------------
def test_a_job_runs_once_and_keeps_its_result(db: None, ran: list[str]) -> None:
    job = make_job()
    done = jobs.job_execute(job.pk)
    assert done is not None
    assert (done.state, done.result, done.percent) == (JobState.DONE, {"answer": 42}, 100)
    assert done.finished_at is not None
    assert ran == [str(job.pk), "after done"]


def test_a_message_that_comes_twice_does_nothing_the_second_time(db: None, ran: list[str]) -> None:
    job = make_job()
    jobs.job_execute(job.pk)
    assert jobs.job_execute(job.pk) is None
    assert ran.count(str(job.pk)) == 1


def test_a_job_of_a_living_worker_is_not_taken(db: None, ran: list[str]) -> None:
    assert jobs.job_execute(running().pk) is None
    assert ran == []


def test_a_job_whose_lease_is_over_is_taken(db: None, ran: list[str], settings: Any) -> None:
    late = timezone.now() - timedelta(seconds=settings.JOB_LEASE_S + 1)
    job = running(heartbeat_at=late)
    done = jobs.job_execute(job.pk)
    assert done is not None
    assert (done.state, done.attempts) == (JobState.DONE, 2)


def test_a_debounced_job_waits_for_its_time(db: None, ran: list[str]) -> None:
    job = make_job(not_before=timezone.now() + timedelta(seconds=30))
    assert jobs.job_execute(job.pk) is None
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now() - timedelta(seconds=1))
    assert jobs.job_execute(job.pk) is not None


def test_an_unknown_job_is_ignored(db: None, ran: list[str]) -> None:
    assert jobs.job_execute("00000000-0000-4000-8000-000000000000") is None


def test_a_broken_rule_is_told_as_it_is(db: None, handle: Any, ran: list[str]) -> None:
    def handler(run: jobs.JobRun) -> None:
        raise ApplicationError("Row 7 has no text.", row=7)

    handle(handler)
    done = jobs.job_execute(make_job().pk)
    assert done is not None
    assert (done.state, done.error, done.result) == (JobState.FAILED, "Row 7 has no text.", {"row": 7})
    assert ran == ["cleaned", "after failed"]


def test_a_bug_is_told_calmly_with_a_reference(db: None, handle: Any) -> None:
    def handler(run: jobs.JobRun) -> None:
        raise RuntimeError("secret detail")

    handle(handler)
    done = jobs.job_execute(make_job().pk)
    assert done is not None
    assert done.state == JobState.FAILED
    assert "secret" not in done.error
    assert str(done.pk)[:8] in done.error


def test_a_full_disk_is_named(db: None, handle: Any) -> None:
    def handler(run: jobs.JobRun) -> None:
        raise OSError(28, "No space left on device")

    handle(handler)
    done = jobs.job_execute(make_job().pk)
    assert done is not None
    assert "disk of the server is full" in done.error


def test_a_worker_that_lost_its_claim_stops_and_changes_nothing(db: None, handle: Any, ran: list[str]) -> None:
    def handler(run: jobs.JobRun) -> None:
        Job.objects.filter(pk=run.job.pk).update(claimed_by="other:2:bbbb")
        run.progress(1, 2, "After the loss")
        raise AssertionError("went on without the claim")

    handle(handler)
    job = make_job()
    assert jobs.job_execute(job.pk) is None
    job.refresh_from_db()
    assert (job.state, job.claimed_by, job.stage) == (JobState.RUNNING, "other:2:bbbb", "")
    assert ran == []


def test_owns_is_false_once_another_worker_has_the_job(db: None, handle: Any) -> None:
    seen: list[bool] = []

    def handler(run: jobs.JobRun) -> None:
        with transaction.atomic():
            seen.append(run.owns())
        Job.objects.filter(pk=run.job.pk).update(claimed_by="other:2:bbbb")
        with transaction.atomic():
            seen.append(run.owns())

    handle(handler)
    assert jobs.job_execute(make_job().pk) is None
    assert seen == [True, False]


def test_a_worker_that_fails_after_it_lost_its_claim_deletes_nothing_of_the_new_owner(
    db: None, handle: Any, ran: list[str]
) -> None:
    def handler(run: jobs.JobRun) -> None:
        Job.objects.filter(pk=run.job.pk).update(claimed_by="other:2:bbbb")
        raise RuntimeError("the connection broke")

    handle(handler)
    job = make_job()
    assert jobs.job_execute(job.pk) is None
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.RUNNING, "")
    assert ran == []


# --- one at a time -------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_of_many_workers_that_claim_at_once_one_gets_the_job() -> None:
    for _ in range(20):
        job = make_job()
        barrier = threading.Barrier(8)
        claims: list[Job] = []

        def claim(job_id: Any = job.pk, barrier: threading.Barrier = barrier, claims: list[Job] = claims) -> None:
            barrier.wait()
            if claimed := jobs.job_claim(job_id):
                claims.append(claimed)
            connection.close()

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(claims) == 1
        job.refresh_from_db()
        assert (job.attempts, job.claimed_by) == (1, claims[0].claimed_by)


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_a_takeover_cannot_slip_between_check_and_write() -> None:
    """`owns` locks the job: a second worker's claim waits until the first one's transaction is over."""
    job = jobs.job_claim(make_job().pk)
    assert job is not None
    late = timezone.now() - timedelta(days=1)
    order: list[str] = []

    def take_over() -> None:
        Job.objects.filter(pk=job.pk).update(heartbeat_at=late)
        jobs.job_claim(job.pk)
        order.append("taken over")
        connection.close()

    thread = threading.Thread(target=take_over)
    with transaction.atomic():
        assert jobs.JobRun(job).owns()
        thread.start()
        time.sleep(0.3)
        order.append("written")
    thread.join()
    assert order == ["written", "taken over"]


def test_the_database_refuses_a_second_update_of_a_column(column: Any) -> None:
    jobs.job_enqueue(kind=JobKind.UPDATE, project=column.project, column=column)
    with pytest.raises(IntegrityError), transaction.atomic():
        jobs.job_enqueue(kind=JobKind.UPDATE, project=column.project, column=column)
    Job.objects.update(state=JobState.DONE)
    jobs.job_enqueue(kind=JobKind.UPDATE, project=column.project, column=column)


# --- cancelling and trying again -----------------------------------------------------------------
def test_a_waiting_job_is_cancelled_at_once(db: None, ran: list[str]) -> None:
    job = jobs.job_cancel(job=make_job())
    assert job.state == JobState.CANCELLED
    assert ran == ["cleaned", "after cancelled"]
    assert jobs.job_execute(job.pk) is None


def test_a_running_job_stops_at_its_next_report_and_cleans_up(db: None, handle: Any, ran: list[str]) -> None:
    def handler(run: jobs.JobRun) -> None:
        jobs.job_cancel(job=run.job)
        run.progress(1, 10, "After the wish to stop")
        raise AssertionError("went on")

    handle(handler)
    done = jobs.job_execute(make_job().pk)
    assert done is not None
    assert (done.state, done.error) == (JobState.CANCELLED, "")
    assert ran == ["cleaned", "after cancelled"]


def test_a_job_cancelled_while_its_worker_was_dead_does_not_run_again(
    db: None, ran: list[str], settings: Any
) -> None:
    late = timezone.now() - timedelta(seconds=settings.JOB_LEASE_S + 1)
    done = jobs.job_execute(running(heartbeat_at=late, cancel_requested=True).pk)
    assert done is not None
    assert done.state == JobState.CANCELLED
    assert ran == ["cleaned", "after cancelled"]


def test_cancelling_a_finished_job_changes_nothing(db: None, ran: list[str]) -> None:
    job = make_job(state=JobState.DONE)
    assert jobs.job_cancel(job=job).state == JobState.DONE
    assert ran == []


def test_a_failed_job_can_be_tried_again_with_fresh_attempts(db: None, ran: list[str]) -> None:
    job = jobs.job_retry(job=make_job(state=JobState.FAILED, attempts=3, error="Broken."))
    assert (job.state, job.attempts, job.error) == (JobState.QUEUED, 0, "")
    done = jobs.job_execute(job.pk)
    assert done is not None
    assert done.state == JobState.DONE


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.DONE, JobState.CANCELLED])
def test_only_failed_jobs_can_be_tried_again(db: None, state: str) -> None:
    with pytest.raises(ApplicationError, match="Only a failed job"):
        jobs.job_retry(job=make_job(state=state))


# --- recovery ------------------------------------------------------------------------------------
@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the messages instead of sending them."""
    messages: list[str] = []

    def send(job: Job, *, countdown_s: float = 0) -> bool:
        messages.append(str(job.pk))
        Job.objects.filter(pk=job.pk).update(sent_at=timezone.now())
        return True

    monkeypatch.setattr(jobs, "job_send", send)
    return messages


LONG_AGO = timedelta(hours=1)


def test_recovery_sends_lost_and_forgotten_jobs_and_no_others(db: None, sent: list[str]) -> None:
    now = timezone.now()
    lost = running(heartbeat_at=now - LONG_AGO)
    never_sent = make_job(created_at=now - LONG_AGO)
    forgotten = make_job(created_at=now - LONG_AGO, sent_at=now - LONG_AGO)
    due = make_job(created_at=now - LONG_AGO, not_before=now - timedelta(seconds=5))
    running()
    make_job(created_at=now - LONG_AGO, sent_at=now)
    make_job(created_at=now - LONG_AGO, not_before=now + LONG_AGO)
    make_job(state=JobState.DONE, created_at=now - LONG_AGO)
    assert jobs.recover() == 4
    assert set(sent) == {str(job.pk) for job in (lost, never_sent, forgotten, due)}
    assert jobs.recover() <= 1  # only the lost one, until somebody takes it


def test_a_job_of_a_dead_process_is_freed_before_its_lease_is_over(db: None, sent: list[str]) -> None:
    job = running(claimed_by=f"{jobs.HOST}:{DEAD_PID}:aaaa", created_at=timezone.now() - LONG_AGO)
    assert jobs.recover() == 1
    job.refresh_from_db()
    assert (job.state, job.claimed_by, job.attempts) == (JobState.QUEUED, "", 1)


def test_stopping_the_worker_in_good_order_costs_a_job_no_attempt(
    db: None, sent: list[str], settings: Any
) -> None:
    here = f"{jobs.HOST}:{DEAD_PID}:aaaa"
    for _ in range(settings.JOB_MAX_ATTEMPTS + 2):
        job = running(claimed_by=here) if not Job.objects.exists() else jobs.job_claim(Job.objects.get().pk)
        assert job is not None
        Job.objects.update(claimed_by=here)
        assert jobs.jobs_note_stop() == 1
        jobs.job_release_dead()
    other = running(claimed_by=f"not-{jobs.HOST}:1:aaaa", attempts=2)
    assert jobs.jobs_note_stop() == 0
    other.refresh_from_db()
    assert other.attempts == 2


def test_a_job_of_another_machine_keeps_its_lease(db: None, sent: list[str]) -> None:
    running(claimed_by=f"not-{jobs.HOST}:{DEAD_PID}:aaaa", created_at=timezone.now() - LONG_AGO)
    assert jobs.recover() == 0


def test_a_job_that_takes_every_worker_down_is_given_up(
    db: None, ran: list[str], sent: list[str], settings: Any
) -> None:
    job = running(heartbeat_at=timezone.now() - LONG_AGO, attempts=settings.JOB_MAX_ATTEMPTS)
    assert jobs.recover() == 0
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert f"stopped {settings.JOB_MAX_ATTEMPTS} times" in job.error
    assert ran == ["cleaned", "after failed"]
    assert jobs.job_claim(job.pk) is None


def test_used_up_attempts_are_never_claimed(db: None, settings: Any) -> None:
    assert jobs.job_claim(make_job(attempts=settings.JOB_MAX_ATTEMPTS).pk) is None


# --- the banner ----------------------------------------------------------------------------------
def test_nothing_waits_while_nothing_is_late(db: None) -> None:
    make_job()
    assert not jobs.jobs_are_waiting()


def test_late_work_without_any_worker_is_told(db: None) -> None:
    make_job(created_at=timezone.now() - timedelta(seconds=30))
    assert jobs.jobs_are_waiting()


def test_late_work_behind_a_busy_worker_is_no_alarm(db: None) -> None:
    make_job(created_at=timezone.now() - timedelta(seconds=30))
    running()
    assert not jobs.jobs_are_waiting()


def test_a_dead_worker_does_not_count_as_busy(db: None) -> None:
    make_job(created_at=timezone.now() - timedelta(seconds=30))
    running(heartbeat_at=timezone.now() - LONG_AGO)
    assert jobs.jobs_are_waiting()


def test_a_debounced_job_is_no_alarm_before_its_time(db: None) -> None:
    make_job(created_at=timezone.now() - LONG_AGO, not_before=timezone.now() + LONG_AGO)
    assert not jobs.jobs_are_waiting()


# --- a broker that is down -----------------------------------------------------------------------
@pytest.fixture
def broker_down() -> Any:
    """Point the broker at a port where nobody listens."""
    before = celery_app.conf.broker_url
    celery_app.conf.broker_url = "redis://127.0.0.1:1/0"
    celery_app._pool = None
    celery_app.amqp._producer_pool = None
    yield
    celery_app.conf.broker_url = before
    celery_app._pool = None
    celery_app.amqp._producer_pool = None


@pytest.mark.django_db(transaction=True)
def test_a_job_is_kept_and_sent_later_when_the_broker_is_down(broker_down: Any, monkeypatch: Any) -> None:
    started = time.monotonic()
    job = jobs.job_enqueue(kind=JobKind.EXPORT)
    assert time.monotonic() - started < 5
    job.refresh_from_db()
    assert (job.state, job.sent_at) == (JobState.QUEUED, None)
    assert jobs.job_send(job) is False


@pytest.mark.django_db(transaction=True)
def test_a_review_is_saved_when_the_broker_is_down(broker_down: Any, column: Any, alice: Any) -> None:
    verbatim = Verbatim.objects.filter(column=column).earliest("row_number")
    topic = column.topics.get(label="Price")
    started = time.monotonic()
    review = verbatim_review(
        verbatim=verbatim, topics=[TopicChoice(topic.pk)], revision=verbatim.revision, user=alice
    )
    assert time.monotonic() - started < 5
    assert review.n_verbatims == 2
    verbatim.refresh_from_db()
    assert verbatim.is_reviewed
    assert [assignment.topic for assignment in verbatim.assignments.all()] == [topic]
