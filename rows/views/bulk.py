"""Bulk actions over HTTP: how many rows are meant, the dialog, what would happen, doing it, how far it is."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import reswap, retarget

from projects.history import can_undo
from projects.jobs import jobs_are_waiting
from projects.models import Column, Job, JobKind, JobState
from projects.selectors import get_column_for_read, get_column_for_write
from rows.bulk.options import BulkOptions
from rows.bulk.selection import Selection, preview
from rows.models import BulkAction
from rows.selectors import cached_by_revision
from rows.services import bulk as services
from rows.views.browser import may_edit_topics, may_write
from rows.views.options import get_options
from rows.views.sidebar import picker_context, trigger
from topicassign.errors import ApplicationError

START_WITH = ("topics", "reviewed", "highlight", "delete")


@require_safe
def bulk_count(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return how many rows “Select all” means under the filters of the query string."""
    column = get_column_for_write(request.user, column_id)
    selection = Selection(column, request.GET.urlencode(), grouped_default=get_options(request, column).is_grouped)
    row_filter = selection.row_filter
    name = f"bulk:{row_filter.is_grouped:d}:{row_filter.sort.key == 'recent':d}:{row_filter.cache_name()}"
    return JsonResponse({"n": cached_by_revision(column, name, lambda: selection.verbatims().count())})


def _selection(request: HttpRequest, column: Column) -> Selection:
    return Selection.read(request.POST, column, grouped_default=get_options(request, column).is_grouped)


def _may_delete(column: Column) -> bool:
    return may_edit_topics(column)  # both are for admins


def _options(request: HttpRequest, column: Column) -> BulkOptions:
    options = BulkOptions.read(request.POST)
    if options.delete and not _may_delete(column):
        raise PermissionDenied(_("Only admins of this project can delete rows."))
    return options


@require_POST
def bulk_dialog(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the dialog for what is selected; `start` says which button opened it."""
    column = get_column_for_write(request.user, column_id)
    selection = _selection(request, column)
    start = request.POST.get("start", "topics")
    if start not in START_WITH:
        start = "topics"
    if start == "delete" and not _may_delete(column):
        raise PermissionDenied(_("Only admins of this project can delete rows."))
    options = BulkOptions(
        topics_mode="add" if start == "topics" else "keep",
        review="reviewed" if start == "reviewed" else "keep",
        highlight="on" if start == "highlight" else "keep",
        delete=start == "delete",
    )
    context = {
        "column": column,
        "selection": selection,
        "ids": ",".join(str(pk) for pk in selection.ids or ()),
        "besides": ",".join(str(pk) for pk in selection.besides),
        "start": start,
        "adds": start == "topics",
        "options": options,
        "token": uuid.uuid4().hex,
        "restore_days": settings.RESTORE_DAYS,
        **_preview_context(selection, options),
    }
    if start != "delete":
        context |= picker_context(column)
    return render(request, "rows/_bulk_delete.html" if start == "delete" else "rows/_bulk_dialog.html", context)


def _preview_context(selection: Selection, options: BulkOptions) -> dict[str, Any]:
    """Return the numbers, or why nothing would happen."""
    try:
        options.check()
    except ApplicationError as refusal:
        found = preview(selection=selection, options=BulkOptions(highlight="on"))
        return {"preview": found, "hint": refusal.message, "options": options}
    found = preview(selection=selection, options=options)
    return {
        "preview": found,
        "hint": "" if found.n_changed else _("None of the selected rows would change."),
        "options": options,
        "stays_open": options.topics_mode != "keep"
        and options.review == "keep"
        and found.n_reviewed < found.n_changed,
        "loses_topics": options.topics_mode == "replace" and not options.topics,
        "is_large": found.n_rows > services.AT_ONCE,
        "grouped": selection.grouped,
    }


@require_POST
def bulk_preview(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return what the form would do, in words."""
    column = get_column_for_write(request.user, column_id)
    options = _options(request, column)
    try:
        context = _preview_context(_selection(request, column), options)
    except ApplicationError as refusal:
        return _refused(request, refusal)
    return render(request, "rows/_bulk_preview.html", context)


def _refused(request: HttpRequest, refusal: ApplicationError) -> HttpResponse:
    """Say inside the dialog why not: a notice outside lies behind it. Others get the usual answer."""
    if not request.htmx:  # type: ignore[attr-defined]
        raise refusal
    response = render(
        request, "rows/_bulk_preview.html", {"refusal": refusal.message, "preview": None}, status=refusal.status
    )
    return reswap(retarget(response, "#bulk-preview"), "outerHTML")


@require_POST
def bulk_run(request: HttpRequest, column_id: int) -> HttpResponse:
    """Do it: at once, or by a job whose progress the page shows."""
    column = get_column_for_write(request.user, column_id)
    options = _options(request, column)
    token = request.POST.get("token", "")
    if len(token) != 32 or not token.isalnum():
        raise ApplicationError(_("This form is not one of ours. Open it again."), status=400)
    expected = request.POST.get("expected", "")
    try:
        bulk = services.bulk_start(
            column=column,
            selection=_selection(request, column),
            options=options,
            user=request.user,
            token=token,
            n_expected=int(expected) if expected.isdecimal() and len(expected) < 10 else None,
        )
    except ApplicationError as refusal:
        return _refused(request, refusal)
    if bulk.change is None:
        return trigger(HttpResponse(), dialog_close={}, bulk_done={}, bulk_changed={})
    response = render(request, "components/toast_oob.html", _toast(bulk))
    return trigger(response, dialog_close={}, bulk_done={}, rows_changed={}, ai_changed={})


def _toast(bulk: BulkAction) -> dict[str, Any]:
    undo_url = ""
    if bulk.change is not None and can_undo(bulk.change):
        undo_url = reverse("projects:change_undo", args=[bulk.change.pk])
    return {
        "text": services.bulk_sentence(bulk),
        "kind": "success",
        "undo_url": undo_url,
        "key": f"bulk-{bulk.pk}",
    }


@never_cache
@require_safe
def bulk_status(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the progress of the column's bulk job; `job` names the one the page was showing.

    It asks for itself while the job is active. When it is over, the answer tells what came of it, once.
    """
    column = get_column_for_read(request.user, column_id)
    job = services.bulk_active(column)
    context: dict[str, Any] = {"column": column, "job": job, "may_act": may_write(column)}
    if job is not None:
        context["late"] = job.state == JobState.QUEUED and jobs_are_waiting()
        return render(request, "rows/_bulk_status.html", context)
    shown = request.GET.get("job", "")
    over = _job_over(column, shown) if shown else None
    if over is None:
        return render(request, "rows/_bulk_status.html", context)
    bulk = BulkAction.objects.select_related("column", "change").filter(pk=over.payload["bulk"]).first()
    context |= {"over": over, "toast": _over_toast(over, bulk)}
    return trigger(
        render(request, "rows/_bulk_status.html", context), rows_changed={}, ai_changed={}, topics_changed={}
    )


def _job_over(column: Column, shown: str) -> Job | None:
    try:
        pk = uuid.UUID(shown)
    except ValueError:
        return None
    return Job.objects.filter(pk=pk, column=column, kind=JobKind.BULK).first()


def _over_toast(job: Job, bulk: BulkAction | None) -> dict[str, Any]:
    if bulk is None:
        return {"text": _("This bulk action is over.")}
    if job.payload["undo"]:
        if job.state == JobState.CANCELLED:
            return {"text": _("Undoing was stopped. Undo again to go on; the history has it."), "kind": "error"}
        undoing = getattr(bulk.change, "undone_by", None)
        return {"text": undoing.summary if undoing else _("Undone."), "kind": "success"}
    toast = _toast(bulk)
    if job.state == JobState.CANCELLED:
        toast["text"] = (
            _("Stopped. What was done stays: %(what)s") % {"what": toast["text"]}
            if bulk.n_changed
            else _("Stopped before anything was changed.")
        )
    return toast
