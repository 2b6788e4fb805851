"""Background work: the database is the truth, the broker only wakes a worker.

A job is claimed by one conditional UPDATE, so a message that comes twice does no harm. The worker
that runs a job writes a heartbeat; a job whose heartbeat is older than its lease, or whose worker
process is gone, is sent again (`recover`). Brokers lose messages when a worker is killed (the
filesystem transport deletes the file at fetch, Redis hides it for its visibility timeout); a job
does not get lost with them.

    @job_handler(JobKind.IMPORT)
    def import_run(run: JobRun) -> dict: ...

    job_enqueue(kind=JobKind.IMPORT, project=project, user=user, payload={"upload": 3})
"""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.db.models import F, Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.models import ACTIVE_STATES, Column, Job, JobKind, JobState, Project
from topicassign.errors import ApplicationError

log = structlog.get_logger(__name__)


def _host() -> str:
    """Name this machine, or this container: process ids of another one say nothing here."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}-{namespace}"


HOST = _host()


class JobCancelledError(Exception):
    """The person asked to stop; raised at the next progress report."""


class JobLostError(Exception):
    """Another worker has taken the job over; this one must stop writing at once."""


Handler = Callable[["JobRun"], dict[str, Any] | None]
CleanUp = Callable[[Job], None]
_HANDLERS: dict[str, Handler] = {}
_CLEAN_UPS: dict[str, CleanUp] = {}


def job_handler(kind: str, *, clean_up: CleanUp | None = None) -> Callable[[Handler], Handler]:
    """Register what runs a kind of job, and what tidies up after failure or cancelling."""

    def register(handler: Handler) -> Handler:
        _HANDLERS[kind] = handler
        if clean_up:
            _CLEAN_UPS[kind] = clean_up
        return handler

    return register


class JobRun:
    """A claimed job: reports progress, keeps the heartbeat, notices cancelling and loss of the claim."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.payload = job.payload
        self._last_write = 0.0
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job.pk}", daemon=True)

    def progress(self, done: int | None = None, total: int | None = None, stage: str | None = None) -> None:
        """Report progress; writes at most twice a second, at once when the stage changes.

        Raises JobCancelledError when the person asked to stop and JobLostError when the job is not ours.
        """
        self.check()
        stage_changed = stage is not None and stage != self.job.stage
        if done is not None:
            self.job.done = done
        if total is not None:
            self.job.total = total
        if stage is not None:
            self.job.stage = stage
        now = time.monotonic()
        if stage_changed or now - self._last_write >= 0.5 or self.job.done == self.job.total:
            self._last_write = now
            self._write()
            self.check()

    def check(self) -> None:
        if self._lost.is_set():
            raise JobLostError(str(self.job.pk))
        if self._cancelled.is_set():
            raise JobCancelledError(str(self.job.pk))

    def owns(self) -> bool:
        """Lock the job inside a transaction and say whether it is still ours to write for."""
        query = Job.objects.filter(pk=self.job.pk, state=JobState.RUNNING, claimed_by=self.job.claimed_by)
        return query.select_for_update().exists()

    def note(self, *, done: int, payload: dict[str, Any]) -> None:
        """Keep how far the job came, inside the transaction that stores the work itself.

        Any thread may call it, so it leaves `self` alone. Raises JobLostError when the job is not ours and
        JobCancelledError when the person asked to stop: the transaction then leaves nothing.
        """
        if not self.owns():
            raise JobLostError(str(self.job.pk))
        mine = Job.objects.filter(pk=self.job.pk)
        if mine.filter(cancel_requested=True).exists():
            raise JobCancelledError(str(self.job.pk))
        mine.update(done=done, payload=payload, heartbeat_at=timezone.now())

    def _write(self) -> None:
        changed = Job.objects.filter(
            pk=self.job.pk, state=JobState.RUNNING, claimed_by=self.job.claimed_by
        ).update(
            done=self.job.done,
            total=self.job.total,
            stage=self.job.stage,
            payload=self.job.payload,
            heartbeat_at=timezone.now(),
        )
        if not changed:
            self._lost.set()
        elif Job.objects.filter(pk=self.job.pk, cancel_requested=True).exists():
            self._cancelled.set()

    def _beat(self) -> None:
        while not self._stop.wait(settings.JOB_HEARTBEAT_S):
            try:
                changed = Job.objects.filter(
                    pk=self.job.pk, state=JobState.RUNNING, claimed_by=self.job.claimed_by
                ).update(heartbeat_at=timezone.now())
                if not changed:
                    self._lost.set()
                    break
                if Job.objects.filter(pk=self.job.pk, cancel_requested=True).exists():
                    self._cancelled.set()
            except Exception:  # the next beat tries again; the lease covers a few misses
                log.warning("heartbeat_failed", job=str(self.job.pk), exc_info=True)
            finally:
                close_old_connections()
        connection.close()

    def __enter__(self) -> JobRun:
        # An in-memory SQLite database is not shared between threads; tests with one run without heartbeat.
        if not connection.in_atomic_block:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)


def job_enqueue(
    *,
    kind: str,
    project: Project | None = None,
    column: Column | None = None,
    user: Any = None,
    payload: dict[str, Any] | None = None,
    delay_s: float = 0,
) -> Job:
    """Create a job and wake a worker once the transaction is committed.

    Raises IntegrityError for a second active update of one column.
    """
    job = Job(
        kind=kind,
        project=project,
        column=column,
        user=user if user is not None and user.is_authenticated else None,
        payload=payload or {},
        not_before=timezone.now() + timedelta(seconds=delay_s) if delay_s else None,
    )
    job.full_clean(exclude=["project", "column", "user"], validate_constraints=False)
    with transaction.atomic():
        job.save(force_insert=True)
    transaction.on_commit(lambda: job_send(job, countdown_s=delay_s))
    return job


_held: ContextVar[bool] = ContextVar("jobs_held", default=False)


@contextmanager
def jobs_held() -> Iterator[None]:
    """Do not tell the broker about jobs made inside: a command runs them itself with `job_execute`.

    Such jobs count as sent, so that a worker that happens to run leaves them alone for one lease.
    """
    token = _held.set(True)
    try:
        yield
    finally:
        _held.reset(token)


def job_send(job: Job, *, countdown_s: float = 0) -> bool:
    """Tell the broker about a job. A broker that is down costs nothing: `recover` sends again."""
    from projects.tasks import job_run

    if _held.get():
        Job.objects.filter(pk=job.pk).update(sent_at=timezone.now())
        return True

    try:
        job_run.apply_async((str(job.pk),), countdown=countdown_s or None, retry=False)
    except Exception as error:  # kombu raises its transports' own errors, OSError among them
        log.warning("broker_unreachable", job=str(job.pk), error=str(error))
        return False
    Job.objects.filter(pk=job.pk).update(sent_at=timezone.now())
    return True


def job_claim(job_id: uuid.UUID | str) -> Job | None:
    """Take a job for this process, or return None: somebody has it, it is over, or it is not yet due."""
    now = timezone.now()
    claim = f"{HOST}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    lease_over = now - timedelta(seconds=settings.JOB_LEASE_S)
    due = Q(not_before=None) | Q(not_before__lte=now)
    free = Q(state=JobState.QUEUED) | Q(state=JobState.RUNNING, heartbeat_at__lt=lease_over)
    changed = (
        Job.objects.filter(free & due, pk=job_id)
        .filter(attempts__lt=settings.JOB_MAX_ATTEMPTS)
        .update(
            state=JobState.RUNNING,
            claimed_by=claim,
            attempts=F("attempts") + 1,
            heartbeat_at=now,
            started_at=now,
            error="",
        )
    )
    if not changed:
        return None
    return Job.objects.select_related("project", "column", "user").get(pk=job_id)


def job_execute(job_id: uuid.UUID | str) -> Job | None:
    """Claim and run a job to its end. Returns the job, or None when it was not ours to run."""
    job = job_claim(job_id)
    if job is None:
        return None
    structlog.contextvars.bind_contextvars(job=str(job.pk), kind=job.kind)
    log.info("job_started", attempt=job.attempts)
    try:
        with JobRun(job) as run:  # the heartbeat goes on while a failed job is tidied up
            state, error, result = _run(run)
            if state != JobState.DONE:
                if not _still_claimed(job):
                    raise JobLostError
                _clean_up(job)
    except JobLostError:
        log.warning("job_taken_over")
        structlog.contextvars.unbind_contextvars("job", "kind")
        return None
    changed = Job.objects.filter(pk=job.pk, state=JobState.RUNNING, claimed_by=job.claimed_by).update(
        state=state,
        error=error,
        result=result,
        finished_at=timezone.now(),
        done=F("total") if state == JobState.DONE else job.done,
        total=job.total,
        stage=job.stage if state != JobState.DONE else "",
    )
    log.info("job_finished", state=str(state), changed=changed)
    structlog.contextvars.unbind_contextvars("job", "kind")
    if not changed:  # taken over in the last moment: what happens next is the other worker's to say
        return None
    job.refresh_from_db()
    _after_end(job)
    return job


def _run(run: JobRun) -> tuple[JobState, str, dict[str, Any]]:
    """Call the handler; return how it ended, the sentence for the person, and the result.

    The sentence is stored as it is made, in the language of whoever asked for the work.
    """
    with translation.override(run.job.language):
        return _call(run)


def _call(run: JobRun) -> tuple[JobState, str, dict[str, Any]]:
    job = run.job
    try:
        if job.cancel_requested:
            raise JobCancelledError
        return JobState.DONE, "", _HANDLERS[job.kind](run) or {}
    except JobLostError:
        raise
    except JobCancelledError:
        return JobState.CANCELLED, "", {}
    except ApplicationError as broken_rule:
        return JobState.FAILED, broken_rule.message, dict(broken_rule.extra)
    except OSError as fault:
        log.exception("job_failed")
        return JobState.FAILED, os_error_message(fault), {}
    except Exception:
        log.exception("job_failed")
        reference = str(job.pk)[:8]
        return (
            JobState.FAILED,
            _("Something went wrong on our side. The log has the details under the reference %(reference)s.")
            % {"reference": reference},
            {},
        )


def _still_claimed(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk, state=JobState.RUNNING, claimed_by=job.claimed_by).exists()


_AFTER_END: dict[str, Callable[[Job], None]] = {}


def after_job_end(kind: str) -> Callable[[Callable[[Job], None]], Callable[[Job], None]]:
    """Register what happens once a job of a kind is over, in whatever way (e.g. the follow-up update)."""

    def register(function: Callable[[Job], None]) -> Callable[[Job], None]:
        _AFTER_END[kind] = function
        return function

    return register


def _after_end(job: Job) -> None:
    if job.kind in _AFTER_END:
        try:
            _AFTER_END[job.kind](job)
        except Exception:
            log.exception("after_job_end_failed", job=str(job.pk))


def _clean_up(job: Job) -> None:
    try:
        if job.kind in _CLEAN_UPS:
            _CLEAN_UPS[job.kind](job)
    except Exception:
        log.exception("clean_up_failed", job=str(job.pk), trace=traceback.format_exc())


def os_error_message(error: OSError) -> str:
    """Return a sentence for a fault of disk or network."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _("The disk of the server is full. Free some space, then try again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return _("The server may not write to its data folder. Check its permissions, then try again.")
    return _("A file could not be read or written on the server. Try again; the log has the details.")


def job_cancel(*, job: Job) -> Job:
    """Ask a running job to stop; a waiting one is over at once."""
    now = timezone.now()
    changed = Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(
        state=JobState.CANCELLED, cancel_requested=True, finished_at=now
    )
    if not changed:
        Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(cancel_requested=True)
    job.refresh_from_db()
    if changed:
        _clean_up(job)
        _after_end(job)
    return job


def job_retry(*, job: Job) -> Job:
    """Queue a failed job once more, with fresh attempts."""
    try:
        with transaction.atomic():
            changed = Job.objects.filter(pk=job.pk, state=JobState.FAILED).update(
                state=JobState.QUEUED,
                attempts=0,
                error="",
                result={},
                cancel_requested=False,
                done=0,
                finished_at=None,
            )
    except IntegrityError:
        raise ApplicationError(_("An AI update of this column is already on its way.")) from None
    if not changed:
        raise ApplicationError(_("Only a failed job can be tried again."))
    job.refresh_from_db()
    transaction.on_commit(lambda: job_send(job))
    return job


def job_release_dead(*, host: str = HOST) -> int:
    """Free the jobs whose worker process on this machine no longer lives. Returns how many."""
    n_freed = 0
    for job in Job.objects.filter(state=JobState.RUNNING, claimed_by__startswith=f"{host}:"):
        pid = int(job.claimed_by.split(":")[1])
        if _process_lives(pid):
            continue
        n_freed += Job.objects.filter(pk=job.pk, state=JobState.RUNNING, claimed_by=job.claimed_by).update(
            state=JobState.QUEUED, claimed_by="", sent_at=None
        )
    return n_freed


def jobs_note_stop(*, host: str = HOST) -> int:
    """Give back the attempt of the jobs that run on this machine: its worker is being stopped in good order.

    Whether they still end or are cut off, it is not their fault. Returns how many.
    """
    running = Job.objects.filter(state=JobState.RUNNING, claimed_by__startswith=f"{host}:", attempts__gt=0)
    return running.update(attempts=F("attempts") - 1)


def _process_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a killed child stays a zombie until its parent notices
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return True


def recover() -> int:
    """Send again what the broker forgot; give up on jobs that have used all their attempts.

    Runs in every worker every few seconds. Returns how many jobs were sent.
    """
    now = timezone.now()
    job_release_dead()
    lease_over = Q(state=JobState.RUNNING, heartbeat_at__lt=now - timedelta(seconds=settings.JOB_LEASE_S))
    waiting_long = (
        Q(state=JobState.QUEUED)
        & (Q(not_before=None) | Q(not_before__lte=now - timedelta(seconds=1)))
        & (
            Q(sent_at=None)
            | Q(sent_at__lt=now - timedelta(seconds=settings.JOB_LEASE_S))
            | Q(sent_at__lt=F("not_before"))
        )
        & Q(created_at__lt=now - timedelta(seconds=1))
    )
    n_sent = 0
    for job in Job.objects.filter(lease_over | waiting_long):
        if job.attempts >= settings.JOB_MAX_ATTEMPTS:
            _give_up(job)
        elif job_send(job):
            n_sent += 1
    return n_sent


def _give_up(job: Job) -> None:
    with translation.override(job.language):
        reason = ngettext(
            "The worker stopped %(n)s time while it did this, so it was given up. The server may be "
            "short of memory.",
            "The worker stopped %(n)s times while it did this, so it was given up. The server may be "
            "short of memory.",
            job.attempts,
        ) % {"n": job.attempts}
    changed = Job.objects.filter(pk=job.pk, state=job.state, attempts=job.attempts).update(
        state=JobState.FAILED,
        finished_at=timezone.now(),
        error=reason,
    )
    if changed:
        log.error("job_given_up", job=str(job.pk))
        job.refresh_from_db()
        _clean_up(job)
        _after_end(job)


def jobs_are_waiting(*, seconds: int = 15) -> bool:
    """Say whether due work has waited that long without any worker touching it: worker or broker is down."""
    now = timezone.now()
    late = now - timedelta(seconds=seconds)
    lease_over = now - timedelta(seconds=settings.JOB_LEASE_S)
    waiting = Job.objects.filter(state=JobState.QUEUED, created_at__lt=late).filter(
        Q(not_before=None) | Q(not_before__lt=late)
    )
    busy = Job.objects.filter(state=JobState.RUNNING, heartbeat_at__gte=lease_over)
    return waiting.exists() and not busy.exists()


def job_active(*, column: Column, kind: str = JobKind.UPDATE) -> Job | None:
    return Job.objects.filter(column=column, kind=kind, state__in=ACTIVE_STATES).first()
