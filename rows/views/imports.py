"""The import wizard: upload, organise, settings. Each step is a page; uploads belong to who made them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from projects.jobs import job_cancel, os_error_message
from projects.models import Job, JobKind
from rows.forms import ImportForm, OrganiseForm, UploadForm, errors_of
from rows.models import Upload, UploadState
from rows.services import imports
from topicassign.errors import ApplicationError

EXTENSIONS = (".csv", ".tsv", ".txt", ".xlsx")


def _get_upload(request: HttpRequest, upload_id: int) -> Upload:
    """Return one's own upload; those of other people do not exist."""
    upload = Upload.objects.filter(pk=upload_id, user=request.user.pk).first()
    if upload is None:
        raise Http404(_("No such upload."))
    return upload


def _job(upload: Upload) -> Job | None:
    query = Job.objects.filter(kind=JobKind.IMPORT, payload__upload=upload.pk)
    return query.order_by("-created_at").first()


def _gone_on(upload: Upload) -> HttpResponse | None:
    """Return where an upload that was submitted went, None for one that can still be changed."""
    if upload.state != UploadState.SUBMITTED:
        return None
    job = _job(upload)
    return redirect("projects:job_detail", job_id=job.pk) if job else redirect("projects:list")


@require_http_methods(["GET", "HEAD", "POST"])
def import_upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            if file is not None:
                upload = imports.upload_create(user=request.user, file_name=file.name, content=file.chunks())
            else:
                upload = imports.upload_paste(user=request.user, text=form.cleaned_data["text"])
            return redirect("rows:import_organise", upload_id=upload.pk)
        except ApplicationError as error:
            form.add_error("file" if file is not None else "text", error.message)
        except OSError as fault:
            form.add_error("file", os_error_message(fault))
    context = {
        "form": form,
        "extensions": ",".join(EXTENSIONS),
        "limit_mb": settings.LIMIT_FILE_MB,
        "limits": {
            "rows": settings.LIMIT_ROWS,
            "columns": settings.LIMIT_COLUMNS,
            "text_columns": settings.LIMIT_TEXT_COLUMNS,
            "text_chars": settings.LIMIT_TEXT_CHARS,
        },
        "step": 1,
    }
    return render(request, "imports/upload.html", context, status=422 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def import_organise(request: HttpRequest, upload_id: int) -> HttpResponse:
    upload = _get_upload(request, upload_id)
    if gone := _gone_on(upload):
        return gone
    posted = request.POST if request.method == "POST" else None
    form = OrganiseForm(upload.facts, imports.upload_plan(upload), posted)
    if posted is not None:
        try:
            imports.upload_organise(upload=upload, columns=form.plan)
            return redirect("rows:import_settings", upload_id=upload.pk)
        except ValidationError as error:
            form.errors = errors_of(error)
    context = {
        "upload": upload,
        "facts": upload.facts,
        "columns": form.columns(),
        "errors": form.errors.get("__all__", []),
        "has_errors": bool(form.errors),
        "n_analyse": sum(column.is_text_to_analyze for column in form.plan),
        "step": 2,
    }
    return render(request, "imports/organise.html", context, status=422 if form.errors else 200)


@require_POST
def import_sheet(request: HttpRequest, upload_id: int) -> HttpResponse:
    """Read another sheet of the workbook."""
    upload = _get_upload(request, upload_id)
    imports.upload_choose_sheet(upload=upload, sheet=request.POST.get("sheet", ""))
    return redirect("rows:import_organise", upload_id=upload.pk)


def _placeholders(request: HttpRequest, upload: Upload) -> list[str]:
    """Return the placeholders of the form as far as they can be used; those of the plan without a form."""
    form = ImportForm(request.POST if request.method == "POST" else request.GET)
    form.is_valid()
    found = form.cleaned_data.get("placeholders", [])
    return found[: imports.MAX_PLACEHOLDERS]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def import_settings(request: HttpRequest, upload_id: int) -> HttpResponse:
    upload = _get_upload(request, upload_id)
    if gone := _gone_on(upload):
        return gone
    if upload.state != UploadState.ORGANISED:
        return redirect("rows:import_organise", upload_id=upload.pk)
    if request.method != "POST":
        known = upload.plan.get("project") or {"name": _first_name(upload)}
        return _show_settings(request, upload, ImportForm(initial=known), known.get("placeholders", []))
    form = ImportForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        try:
            job = imports.import_start(
                upload=upload,
                user=request.user,
                settings=imports.ProjectSettings(
                    name=values["name"],
                    description=values["description"],
                    tags=values["tags"],
                    language=values["language"],
                    placeholders=values["placeholders"],
                ),
                leave_bad_empty=values["bad_cells"] == "empty",
            )
            return redirect("projects:job_detail", job_id=job.pk)
        except ValidationError as error:
            for name, texts in errors_of(error).items():
                form.add_error(name if name in form.fields else None, texts)
        except ApplicationError as error:
            if error.code != "bad_cells":
                raise
            form.add_error("bad_cells", error.message)
    return _show_settings(request, upload, form, _placeholders(request, upload))


def _first_name(upload: Upload) -> str:
    stem = upload.file_name.rsplit(".", 1)[0] if "." in upload.file_name else upload.file_name
    return " ".join(stem.replace("_", " ").split())[:100] or _("New project")


def _show_settings(
    request: HttpRequest, upload: Upload, form: ImportForm, placeholders: list[str]
) -> HttpResponse:
    context = {
        "upload": upload,
        "form": form,
        "check": imports.upload_check(upload=upload, placeholders=placeholders),
        "bad_query": _query(placeholders),
        "step": 3,
    }
    return render(request, "imports/settings.html", context, status=422 if form.errors else 200)


def _query(placeholders: list[str]) -> str:
    query = QueryDict(mutable=True)
    for index, word in enumerate(placeholders):
        query[f"placeholders_{index}"] = word
    return query.urlencode()


@never_cache
@require_safe
def import_check(request: HttpRequest, upload_id: int) -> HttpResponse:
    """The fragment with the numbers before saving, for the placeholders typed so far."""
    upload = _get_upload(request, upload_id)
    if upload.state != UploadState.ORGANISED:
        raise ApplicationError(_("This file is being imported already."), status=409)
    placeholders = _placeholders(request, upload)
    context: dict[str, Any] = {
        "upload": upload,
        "check": imports.upload_check(upload=upload, placeholders=placeholders),
        "bad_query": _query(placeholders),
        "chosen": request.GET.get("bad_cells", ""),
    }
    return render(request, "imports/_check.html", context)


@never_cache
@require_safe
def import_bad_cells(request: HttpRequest, upload_id: int) -> HttpResponseBase:
    """All cells that do not fit their column, as CSV."""
    upload = _get_upload(request, upload_id)
    if upload.state != UploadState.ORGANISED:
        raise Http404(_("No report."))
    lines = imports.upload_bad_cells_csv(upload=upload, placeholders=_placeholders(request, upload))
    response = StreamingHttpResponse(("\ufeff", *lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="cells-that-do-not-fit.csv"'
    return response


@require_POST
def import_cancel(request: HttpRequest, upload_id: int) -> HttpResponse:
    """Throw the upload away, or stop its import."""
    upload = _get_upload(request, upload_id)
    if upload.state == UploadState.SUBMITTED:
        job = _job(upload)
        if job is not None and job.is_active:
            job_cancel(job=job)
            return redirect("projects:job_detail", job_id=job.pk)
        raise ApplicationError(_("This import is over; delete its project instead."), status=409)
    imports.upload_delete(upload=upload)
    messages.info(request, _("The import was cancelled. Nothing was saved."))
    return redirect("projects:list")
