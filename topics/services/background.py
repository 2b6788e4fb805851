"""Large acts on topics are done by a job: a request would take too long for them.

A job does its act in one transaction, all or nothing, so that a killed worker leaves nothing behind and may begin
again. What a job has done is noted in that transaction, so that it is not done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from projects.history import Undo, change_record
from projects.jobs import JobRun, job_active, job_enqueue
from projects.models import Change, ChangeKind, Column, Job, JobKind
from topicassign.errors import ApplicationError
from topics.models import Topic

AT_ONCE = 5_000  # rows that change within the request
STAGE_DO, STAGE_UNDO = gettext_noop("Changing rows"), gettext_noop("Putting rows back")

# Does an act from its values as JSON: (column, values, user) -> Change.
Act = Callable[[Column, dict[str, Any], Any], Change]
_ACTS: dict[str, Act] = {}
_UNDO: dict[str, Undo] = {}


def act_by_job(name: str) -> Callable[[Act], Act]:
    """Register what a job does for acts of a name."""

    def register(function: Act) -> Act:
        _ACTS[name] = function
        return function

    return register


def undo_by_job(kind: str) -> Callable[[Undo], Undo]:
    """Undo large acts of a kind by a job; small ones at once."""

    def register(function: Undo) -> Undo:
        _UNDO[kind] = function

        def undo(change: Change, user: Any) -> str | None:
            if change.inverse.get("n_rows", 0) <= AT_ONCE:
                return function(change, user)
            assert change.column is not None
            refuse_while_active(change.column)
            _enqueue(change.column, user, {"undo": change.pk})
            return _("in the background")

        return undo

    return register


def act_start(
    *, name: str, column: Column, user: Any, topics: Sequence[Topic], n_rows: int, values: dict[str, Any]
) -> Change | Job:
    """Do an act at once, or start a job for it where many rows change.

    Raises ApplicationError (409) while another large act of the column is on its way.
    """
    # Of topics that are gone there is nothing to do: the act itself knows what to answer.
    gone = Topic.objects.filter(pk__in=[topic.pk for topic in topics]).exclude(deleted_at=None).exists()
    if n_rows <= AT_ONCE or gone:
        return _ACTS[name](column, values, user)
    refuse_while_active(column)
    return _enqueue(column, user, {"act": name, "values": values})


def versions(values: dict[str, Any]) -> dict[int, str]:
    """Return the versions that the person saw from the values of an act."""
    return {int(pk): version for pk, version in values["expected"].items()}


def refuse_while_active(column: Column) -> None:
    if job_active(column=column, kind=JobKind.TOPICS) is not None:
        raise ApplicationError(
            _("Topics of this column are being changed in the background. Wait for its end, or cancel it."),
            status=409,
            code="topics_active",
        )


def _enqueue(column: Column, user: Any, payload: dict[str, Any]) -> Job:
    return job_enqueue(kind=JobKind.TOPICS, project=column.project, column=column, user=user, payload=payload)


def topics_run(run: JobRun) -> dict[str, Any]:
    """Do, or undo, what a job is for."""
    if "change" in run.payload:  # an attempt before this one came to the end, and was killed then
        return {"change": run.payload["change"]}
    job: Job = run.job
    assert job.column is not None
    run.progress(0, 0, STAGE_UNDO if "undo" in run.payload else STAGE_DO)
    with transaction.atomic():
        if "undo" in run.payload:
            change = _undo(run.payload["undo"], job.user)
        else:
            change = _ACTS[run.payload["act"]](job.column, run.payload["values"], job.user)
        run.note(done=1, payload={**run.payload, "change": change.pk})
    return {"change": change.pk}


def _undo(change_id: int, user: Any) -> Change:
    query = Change.objects.select_for_update(of=("self",)).select_related("project", "column")
    change = query.get(pk=change_id)
    if change.inverse.get("is_undone"):
        raise ApplicationError(_("This was already undone."), status=409, code="already_undone")
    note = _UNDO[change.kind](change, user)
    summary = (_("Undone: %(what)s") % {"what": change} + (f" – {note}" if note else ""))[:300]
    if not Change.objects.filter(undo_of=change.pk).update(summary=summary):  # tried again after it failed
        undoing = change_record(
            project=change.project,
            column=change.column,
            kind=ChangeKind.UNDO,
            user=user,
            summary=summary,
            inverse={},
        )
        Change.objects.filter(pk=undoing.pk).update(undo_of=change)
        change.undone_at = timezone.now()
    change.inverse = {**change.inverse, "is_undone": True}
    change.save(update_fields=["inverse", "undone_at"])
    return change


def topics_clean_up(job: Job) -> None:
    """A job that failed or was cancelled has changed nothing; an act that was to be undone is there still."""
    payload = Job.objects.values_list("payload", flat=True).get(pk=job.pk)
    if "undo" not in payload or "change" in payload:
        return
    with transaction.atomic():
        change = Change.objects.filter(pk=payload["undo"]).first()
        if change is None or change.inverse.get("is_undone"):
            return
        Change.objects.filter(pk=change.pk).update(undone_at=None)
        Change.objects.filter(undo_of=change.pk).update(
            undo_of=None, summary=(_("Could not be undone: %(what)s") % {"what": change})[:300]
        )
