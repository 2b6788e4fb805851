"""The history of a project, and taking acts back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from projects import history, selectors
from projects.models import Change, ChangeKind
from projects.views.notices import announce_change
from topicassign.middleware import wants_json


@require_safe
def project_history(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_project_for_read(request.user, project_id)
    before = request.GET.get("before", "")
    found = selectors.change_list(
        project=project, before=int(before) if before.isdecimal() and len(before) < 19 else None
    )
    role = project.role  # type: ignore[attr-defined]
    for change in found.items:
        change.offer_undo = history.can_undo(change) and selectors.may_undo(
            change=change, role=role, user=request.user
        )
    context = {
        "project": project,
        "tab": "history",
        "changes": found.items,
        "older": found.items[-1].pk if found.has_more else None,
        "is_first": not before,
    }
    template = "projects/_history.html" if request.htmx else "projects/history.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_POST
def change_undo(request: HttpRequest, change_id: int) -> HttpResponse:
    """Take an act back: notice and events for htmx, JSON for programs, else back to the history."""
    return _undo(request, selectors.get_change_for_undo(request.user, change_id))


def _undo(request: HttpRequest, change: Change) -> HttpResponse:
    undoing = history.change_undo(change=change, user=request.user)
    text = _("Undone: %(what)s.") % {"what": undoing.summary.removeprefix("Undone: ").rstrip(".")}
    if wants_json(request):
        return JsonResponse({"undone": change.pk, "change": undoing.pk, "message": text})
    if change.kind == ChangeKind.PROJECT_DELETE:
        messages.success(request, _("“%(name)s” is back.") % {"name": change.project.name})
        return _to(request, reverse("projects:detail", args=[change.project_id]))
    if not request.htmx:  # type: ignore[attr-defined]
        messages.success(request, text)
        return redirect("projects:history", project_id=change.project_id)
    toast = render_to_string("components/toast_oob.html", {"text": text, "kind": "success"}, request=request)
    return announce_change(HttpResponse(toast), change)


def _to(request: HttpRequest, url: str) -> HttpResponse:
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(url)
    response = HttpResponse(status=200)
    response["HX-Redirect"] = url
    return response
