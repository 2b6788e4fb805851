"""Exports of a column: the dialog, earlier exports, the download."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from projects.models import Column, Job, JobKind, JobState
from projects.selectors import get_column_for_write, get_job
from rows.exporting.options import CONTENTS, FORMATS, ExportOptions
from rows.filters import RowFilter
from rows.forms import ExportForm
from rows.services import exports
from topicassign.errors import ApplicationError

TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def export(request: HttpRequest, column_id: int) -> HttpResponse:
    column = get_column_for_write(request.user, column_id)
    if request.method == "POST":
        form = ExportForm(request.POST)
        if form.is_valid():
            options = ExportOptions(**form.cleaned_data)
            job = exports.export_start(column=column, user=request.user, options=options)
            if request.htmx:  # type: ignore[attr-defined]
                return render(request, "exports/started.html", _context(column, options.query, job=job))
            return redirect("rows:export_list", column_id=column.pk)
        return _show(request, column, form, form.data.get("query", ""))
    query = RowFilter.from_query(request.GET, column).query_string()
    return _show(request, column, ExportForm(initial={"query": query}), query)


def _show(request: HttpRequest, column: Column, form: ExportForm, query: str) -> HttpResponse:
    template = "exports/dialog.html" if request.htmx else "exports/page.html"  # type: ignore[attr-defined]
    return render(request, template, _context(column, query, form=form), status=422 if form.errors else 200)


def _context(column: Column, query: str, **more: Any) -> dict[str, Any]:
    row_filter = RowFilter.from_query(query, column)
    return {
        "column": column,
        "query": row_filter.query_string(),
        "chips": row_filter.chips(),
        "n_rows": row_filter.apply(group=False).count(),
        "exports": [_entry(job) for job in exports.export_list(column=column)],
        "keep_days": settings.EXPORT_KEEP_DAYS,
        "may_act": True,
        "late": False,
        **more,
    }


def _entry(job: Job) -> dict[str, Any]:
    """Return what the list of exports shows about one."""
    options = ExportOptions.from_json(job.payload["options"])
    n_rows = job.result.get("n_rows") if job.state == JobState.DONE else None
    return {
        "job": job,
        "what": CONTENTS[options.content],
        "format": FORMATS[options.format],
        "is_filtered": bool(options.query),
        "n_rows": n_rows,
        "size_bytes": job.result.get("size_bytes"),
        "gone_at": job.finished_at + timedelta(days=settings.EXPORT_KEEP_DAYS) if job.finished_at else None,
        "is_there": job.state == JobState.DONE and exports.export_path(job).exists(),
    }


@never_cache
@require_safe
def export_list(request: HttpRequest, column_id: int) -> HttpResponse:
    column = get_column_for_write(request.user, column_id)
    template = "exports/_list.html" if request.htmx else "exports/list.html"  # type: ignore[attr-defined]
    return render(request, template, _context(column, ""))


@never_cache
@require_safe
def export_download(request: HttpRequest, job_id: Any) -> HttpResponseBase:
    job = get_job(request.user, job_id, write=True)
    if job.kind != JobKind.EXPORT:
        raise Http404(_("No such export."))
    if job.state != JobState.DONE:
        raise ApplicationError(_("This export is not ready."), status=409)
    try:
        file = exports.export_path(job).open("rb")
    except FileNotFoundError:
        raise ApplicationError(
            _("This file was deleted: exports are kept for %(n)s days. Export again.")
            % {"n": settings.EXPORT_KEEP_DAYS},
            status=410,
            code="export_deleted",
        ) from None
    kind = job.payload["options"]["format"]
    return FileResponse(
        file, as_attachment=True, filename=job.result.get("file_name", f"export.{kind}"), content_type=TYPES[kind]
    )
