"""Background work as people see it: progress, cancelling, the reason of a failure, another try."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import reswap, retarget, trigger_client_event

from projects import jobs as services
from projects import selectors
from projects.models import Job, JobKind, JobState, Role
from topicassign.errors import ApplicationError
from topicassign.middleware import wants_json

_EVENTS = {
    JobKind.UPDATE: ("ai-changed", "rows-changed"),
    JobKind.IMPORT: ("project-changed",),
    JobKind.TOPICS: ("rows-changed", "ai-changed", "topics-changed"),
    JobKind.PROPOSALS: ("proposals-changed",),
    JobKind.BULK: ("rows-changed", "ai-changed", "bulk-changed"),
}


@never_cache
@require_safe
def job_detail(request: HttpRequest, job_id: Any) -> HttpResponse:
    """A page, or for htmx the fragment, which asks for itself every second while the job is active."""
    try:
        job = selectors.get_job(request.user, job_id)
    except Http404:
        if not request.htmx:  # type: ignore[attr-defined]
            raise
        # What was imported and then cancelled is gone with its project: stop asking, calmly.
        gone = render(request, "projects/_job_gone.html", {"job_id": job_id}, status=404)
        return reswap(retarget(gone, f"#job-{job_id}"), "outerHTML")
    return _show(request, job)


def _show(request: HttpRequest, job: Job) -> HttpResponse:
    if wants_json(request):
        return JsonResponse(_as_json(job))
    role = getattr(job.project, "role", None)
    may_act = role is None or role.rank >= Role.ANALYST.rank
    context = {"job": job, "project": job.project, "may_act": may_act, "late": _is_late(job)}
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "projects/job.html", context)
    response = render(request, "projects/_job.html", context)
    if not job.is_active:
        for event in _EVENTS.get(JobKind(job.kind), ()):
            trigger_client_event(response, event, {"target": "body"})
    return response


def _is_late(job: Job) -> bool:
    return job.state == JobState.QUEUED and services.jobs_are_waiting()


def _as_json(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.pk),
        "kind": job.kind,
        "state": job.state,
        "stage": job.stage,
        "done": job.done,
        "total": job.total,
        "error": job.error,
        "result": job.result,
    }


@require_POST
def job_cancel(request: HttpRequest, job_id: Any) -> HttpResponse:
    job = selectors.get_job(request.user, job_id, write=True)
    if not job.is_active:
        raise ApplicationError(_("This job is over already."), status=409, code="job_over")
    return _acted(request, services.job_cancel(job=job))


@require_POST
def job_retry(request: HttpRequest, job_id: Any) -> HttpResponse:
    job = selectors.get_job(request.user, job_id, write=True)
    return _acted(request, services.job_retry(job=job))


def _acted(request: HttpRequest, job: Job) -> HttpResponse:
    if request.htmx or wants_json(request):  # type: ignore[attr-defined]
        return _show(request, job)
    return redirect("projects:job_detail", job_id=job.pk)


@never_cache
@require_safe
def work_waiting(request: HttpRequest) -> HttpResponse:
    """The banner that says that background work waits because no worker is there; empty when all is well."""
    waiting = services.jobs_are_waiting()
    if wants_json(request):
        return JsonResponse({"waiting": waiting})
    return render(request, "projects/_waiting_banner.html", {"waiting": waiting})
