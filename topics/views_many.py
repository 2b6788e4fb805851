"""Several topics at once: drag and drop, and the dialogs that move, merge and delete what is selected."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from projects.models import Change, Job
from projects.selectors import get_column_for_admin
from topicassign.errors import ApplicationError
from topics import selectors, services
from topics.forms_many import ROLES, MergeManyForm, MoveForm, seen_text, topics_chosen, versions_seen
from topics.models import Topic
from topics.services.background import AT_ONCE
from topics.services.base import labels_text
from topics.views import done, show_dialog, show_made


@require_POST
def topics_place(request: HttpRequest, column_id: int) -> HttpResponse:
    """Put topics where they were dropped: before a topic, or at the end of a category."""
    column = get_column_for_admin(request.user, column_id)
    chosen = topics_chosen(column, request.POST.get("topics", ""))
    before = category = None
    if request.POST.get("before"):
        before = topics_chosen(column, request.POST["before"])[0]
        category = before.category
    else:
        wanted = request.POST.get("category", "")
        category = next((one for one in selectors.category_list(column=column) if str(one.pk) == wanted), None)
    if category is None:
        raise ApplicationError(
            _("The category was deleted meanwhile. Choose another one."), status=409, code="category_missing"
        )
    change = services.topics_move(
        topics=chosen,
        category=category,
        before=before,
        user=request.user,
        expected=versions_seen(request.POST.get("topics", "")),
    )
    return done(request, column, change, rows_changed=False)


@require_http_methods(["GET", "HEAD", "POST"])
def topics_move(request: HttpRequest, column_id: int) -> HttpResponse:
    """Ask where the topics shall go, then put them there."""
    column = get_column_for_admin(request.user, column_id)
    data = request.POST if request.method == "POST" else None
    chosen = topics_chosen(column, (data or request.GET).get("topics", ""))
    form = MoveForm(data, column=column, topics=chosen)
    if form.is_valid():
        try:
            change = services.topics_move(
                topics=chosen, user=request.user, expected=form.expected, **form.values()
            )
        except ApplicationError as error:
            form.refuse(error)
        else:
            return done(request, column, change, rows_changed=False)
    return show_dialog(request, column, "topics/_topics_move.html", {"form": form, "topics": chosen})


@require_http_methods(["GET", "HEAD", "POST"])
def topics_delete(request: HttpRequest, column_id: int) -> HttpResponse:
    """Ask, saying how many rows lose one of the topics; then delete them."""
    column = get_column_for_admin(request.user, column_id)
    is_post = request.method == "POST"
    data = request.POST if is_post else request.GET
    wanted = data.get("topics", "") or ",".join(data.getlist("topic"))  # a list of ticks
    chosen = topics_chosen(column, wanted, deleted_too=is_post)
    if is_post:
        change = services.topics_delete(topics=chosen, user=request.user, expected=versions_seen(wanted))
        return done(request, column, change)
    n_rows, n_reviewed = selectors.n_rows_with(Topic.objects.filter(pk__in=[topic.pk for topic in chosen]))
    context = {
        "topics": chosen,
        "seen": seen_text(chosen),
        "n_rows": n_rows,
        "n_reviewed": n_reviewed,
    }
    return show_dialog(request, column, "topics/_topics_delete.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def topics_merge(request: HttpRequest, column_id: int) -> HttpResponse:
    """Ask which topic stays, or whether they become one with sentiment; then do it, large ones as a job."""
    column = get_column_for_admin(request.user, column_id)
    is_post = request.method == "POST"
    data = request.POST if is_post else request.GET
    chosen = topics_chosen(column, data.get("topics", ""), deleted_too=is_post)
    if len(chosen) < 2:
        raise ApplicationError(_("Choose at least two topics to merge."), code="nothing_chosen")
    form = MergeManyForm(data if is_post else None, topics=chosen, target=data.get("target", ""))
    if form.is_valid():
        try:
            return show_made(request, column, _merge(form, request))
        except ApplicationError as error:
            form.refuse(error)
    return show_dialog(request, column, "topics/_topics_merge.html", {"form": form, "topics": chosen})


def _merge(form: MergeManyForm, request: HttpRequest) -> Change | Job:
    if form.is_combination:
        return services.combine_start(
            **_sides(form), label=form.cleaned_data["label"], user=request.user, expected=form.expected
        )
    return services.merge_start(
        target=form.kept,
        sources=form.sources,
        user=request.user,
        expected=form.expected,
        unsaid="propose" if form.cleaned_data["unsaid"] == "propose" else "neutral",
    )


def _sides(form: MergeManyForm) -> dict[str, Any]:
    return {role: form.side(role) for role in ROLES}


@require_safe
def merge_many_preview(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return what would become of the rows of several topics."""
    column = get_column_for_admin(request.user, column_id)
    chosen = topics_chosen(column, request.GET.get("topics", ""))
    if len(chosen) < 2:
        raise ApplicationError(_("Choose at least two topics to merge."), code="nothing_chosen")
    form = MergeManyForm(request.GET, topics=chosen)
    is_valid = form.is_valid()
    context: dict[str, Any] = {"form": form, "is_chosen": True, "is_combination": form.is_combination}
    if not is_valid and (form.non_field_errors() or "target" in form.errors):
        context["refusal"] = " ".join(str(one) for found in form.errors.values() for one in found)
        return render(request, "topics/_merge_preview.html", context)
    context |= {"other": form.kept, "gone": labels_text(form.sources), "n_gone": len(form.sources)}
    try:
        if form.is_combination:
            found = services.combine_preview(**_sides(form))
        else:
            found = services.merge_preview(target=form.kept, sources=form.sources)
    except ApplicationError as error:
        context["refusal"] = error.message
    else:
        context |= {"found": found, "is_large": found.n_rows > AT_ONCE}
    return render(request, "topics/_merge_preview.html", context)
