"""Pages of projects: the list, one project, its settings, deletion and return."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from projects import selectors
from projects.forms import ProjectDeleteForm, ProjectForm
from projects.models import Change, ChangeKind, ColumnType, Project, ProjectState, Role
from projects.services import projects as services
from topicassign.errors import ApplicationError

SORTS = {"modified": gettext_lazy("Last changed"), "name": gettext_lazy("Name")}


@require_safe
def project_list(request: HttpRequest) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:200]
    sort = request.GET.get("sort", "modified")
    sort = sort if sort in SORTS else "modified"
    page = selectors.project_find(user=request.user, q=q, sort=sort, page=_page_number(request))
    for project in page.projects:
        project.numbers = selectors.project_numbers_known(  # type: ignore[attr-defined]
            project=project,
            columns=project.text_columns,  # type: ignore[attr-defined]
        )
    context = {
        "page": page,
        "q": q,
        "sort": sort,
        "sorts": SORTS,
        "n_deleted": selectors.deleted_project_list(user=request.user).count(),
        "deleted": _just_deleted(request),
        "failed_imports": selectors.failed_import_list(user=request.user)[:5],
    }
    template = "projects/_list.html" if request.htmx else "projects/list.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def _page_number(request: HttpRequest) -> int:
    value = request.GET.get("page", "1")
    return int(value) if value.isdecimal() and len(value) < 6 else 1


def _just_deleted(request: HttpRequest) -> Change | None:
    """Return the deletion that the person comes from, to offer its undo."""
    value = request.GET.get("deleted", "")
    if not value.isdecimal() or len(value) > 18:
        return None
    return (
        Change.objects.filter(
            pk=int(value),
            kind=ChangeKind.PROJECT_DELETE,
            undone_at=None,
            project__in=selectors.deleted_project_list(user=request.user),
        )
        .select_related("project")
        .first()
    )


@require_safe
def project_numbers(request: HttpRequest, project_id: int) -> HttpResponse:
    """The fragment of a project in the list, with its numbers counted."""
    project = selectors.get_project_for_read(request.user, project_id)
    project.text_columns = list(selectors.text_columns().filter(project=project))  # type: ignore[attr-defined]
    project.edited_at = max(  # type: ignore[attr-defined]
        project.modified_at,
        *(column.last_edited_at for column in project.text_columns if column.last_edited_at),  # type: ignore[attr-defined]
        project.created_at,
    )
    if project.state == ProjectState.READY:
        project.numbers = selectors.project_numbers(  # type: ignore[attr-defined]
            project=project,
            columns=project.text_columns,  # type: ignore[attr-defined]
        )
    return render(request, "projects/_project_card.html", {"project": project})


@require_safe
def project_detail(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_project_for_read(request.user, project_id)
    columns = list(selectors.text_columns().filter(project=project))
    context: dict[str, Any] = {
        "project": project,
        "tab": "detail",
        "columns": columns,
        "n_topics": selectors.topic_numbers(project=project),
        "other_columns": project.columns.exclude(type=ColumnType.TEXT_TO_ANALYZE),
        "jobs": selectors.job_list(project=project),
        "may_act": project.role != Role.VIEWER,  # type: ignore[attr-defined]
        "members": selectors.member_list(project=project)[:12],
        "n_members": 1 + selectors.member_list(project=project).count(),
    }
    if project.state == ProjectState.READY:
        numbers = selectors.project_numbers_known(project=project, columns=columns)
        if numbers is None and request.htmx:  # type: ignore[attr-defined]
            numbers = selectors.project_numbers(project=project, columns=columns)
        context["numbers"] = numbers
    template = "projects/_columns.html" if request.htmx else "projects/detail.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_http_methods(["GET", "HEAD", "POST"])
def project_settings(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_project_for_admin(request.user, project_id)
    name = project.name  # the form writes into the object while it validates
    initial = Project.objects.get(pk=project.pk)
    form = ProjectForm(request.POST or None, instance=initial)
    if request.method == "POST":
        if form.is_valid():
            change = services.project_update(project=project, values=form.changed_values, user=request.user)
            messages.success(request, _("Settings saved.") if change else _("Nothing was changed."))
            return redirect("projects:settings", project_id=project.pk)
        project.name = name
    return render(
        request,
        "projects/settings.html",
        {"project": project, "form": form, "tab": "settings", "restore_days": settings.RESTORE_DAYS},
        status=422 if form.is_bound else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
def project_delete(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_project_for_admin(request.user, project_id)
    if project.state == ProjectState.IMPORTING:
        raise ApplicationError(_("This project is still being imported. Cancel the import instead."))
    form = ProjectDeleteForm(request.POST or None, project=project)
    if request.method == "POST" and form.is_valid():
        change = services.project_delete(project=project, user=request.user)
        url = f"{reverse('projects:list')}?deleted={change.pk}"
        return HttpResponseClientRedirect(url) if request.htmx else redirect(url)  # type: ignore[attr-defined]
    columns = list(selectors.text_columns().filter(project=project))
    context = {
        "project": project,
        "form": form,
        "tab": "settings",
        "columns": columns,
        "numbers": selectors.project_numbers(project=project, columns=columns),
        "restore_days": settings.RESTORE_DAYS,
    }
    template = "projects/_delete.html" if request.htmx else "projects/delete.html"  # type: ignore[attr-defined]
    return render(request, template, context, status=422 if form.is_bound else 200)


@require_safe
def project_deleted_list(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "projects/deleted.html",
        {
            "projects": selectors.deleted_project_list(user=request.user),
            "restore_days": settings.RESTORE_DAYS,
        },
    )


@require_POST
def project_restore(request: HttpRequest, project_id: int) -> HttpResponse:
    project = selectors.get_deleted_project_for_admin(request.user, project_id)
    services.project_restore(project=project, user=request.user)
    messages.success(request, _("“%(name)s” is back.") % {"name": project.name})
    url = reverse("projects:detail", args=[project.pk])
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)  # type: ignore[attr-defined]
