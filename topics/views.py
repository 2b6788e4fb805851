"""Pages and fragments of the topic collection.

Everything but the collection itself is a dialog: it comes by htmx into `#dialog`, returns with errors as
422, and ends with an empty dialog, a notice with undo, and events that tell the page what is old now.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from projects.models import Change, ChangeKind, Column, Job, Role
from projects.selectors import get_column_for_admin, get_column_for_read
from projects.views.notices import undo_toast
from topicassign.errors import ApplicationError, error_body
from topicassign.middleware import wants_json
from topics import selectors, services
from topics.forms import CategoryForm, RenameForm, TopicForm
from topics.models import PALETTE, Topic


def _to_body(response: HttpResponse, *events: str, **details: dict[str, Any]) -> HttpResponse:
    for event in events:
        trigger_client_event(response, event, {"target": "body", **details.get(event.replace("-", "_"), {})})
    return response


def done(
    request: HttpRequest, column: Column, change: Change | None, *, rows_changed: bool = True, text: str = ""
) -> HttpResponse:
    """Answer an act: the dialog closes, a notice offers undo, the page is told what is old."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("topics:list", column.pk)
    response = HttpResponse()
    if change is None:
        return response
    undo_toast(request, response, change, text)
    return _to_body(response, "topics-changed", "ai-changed", *(["rows-changed"] if rows_changed else []))


def show_made(request: HttpRequest, column: Column, made: Change | Job) -> HttpResponse:
    """Answer an act that was done at once, or goes on as a job: then the dialog shows how far it is."""
    if isinstance(made, Change):
        return done(request, column, made)
    context = {"job": made, "may_act": True, "brief": True}
    return show_dialog(request, column, "topics/_topic_job.html", context)


def show_dialog(request: HttpRequest, column: Column, template: str, context: dict[str, Any]) -> HttpResponse:
    """Show a dialog; an address typed by hand leads to the collection, for a dialog is no page."""
    if not request.htmx and request.method != "POST":  # type: ignore[attr-defined]
        return redirect("topics:list", column.pk)
    form = context.get("form")
    if form is None or not form.errors:
        return render(request, template, {"column": column, **context})
    form.focus_error()
    return render(request, template, {"column": column, **context}, status=422)


# --- the collection -------------------------------------------------------------------------------
@require_safe
def topic_collection(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show the topics with their counts: the Topics tab, or a page of its own."""
    column = get_column_for_read(request.user, column_id)
    entries = selectors.topic_collection(column=column)
    counts = [entry.counts["all"] for category in entries for entry in category.topics]
    context = {
        "column": column,
        "project": column.project,
        "categories": entries,
        "n_topics": len(counts),
        "n_most": max(counts, default=0),
        "new_with_sentiment": selectors.most_have_sentiment(column),
        "may_edit": column.project.role.rank >= Role.ADMIN.rank,  # type: ignore[attr-defined]
        "may_export": column.project.role.rank >= Role.ANALYST.rank,  # type: ignore[attr-defined]
        "is_page": not request.htmx,  # type: ignore[attr-defined]
    }
    template = "topics/_topics.html" if request.htmx else "topics/topics.html"  # type: ignore[attr-defined]
    return render(request, template, context)


# --- topics ---------------------------------------------------------------------------------------
@require_http_methods(["GET", "HEAD", "POST"])
def topic_create(request: HttpRequest, column_id: int) -> HttpResponse:
    """Add a topic, in a dialog; for programs and pickers: POST with `Accept: application/json`."""
    column = get_column_for_admin(request.user, column_id)
    wanted = request.GET.get("category", "")
    category = int(wanted) if wanted.isdecimal() and len(wanted) < 19 else None
    if request.method != "POST":
        form = TopicForm(column=column, category=category)
        form.initial["label"] = request.GET.get("label", "")[:50]
        return show_dialog(request, column, "topics/_topic_form.html", {"form": form, "topic": None})
    form = TopicForm(request.POST, column=column)
    if form.is_valid():
        try:
            topic = services.topic_create(column=column, user=request.user, **form.values())
        except ApplicationError as error:
            form.refuse(error)
        else:
            return _created(request, column, topic)
    if wants_json(request):
        messages = [str(message) for found in form.errors.values() for message in found]
        return JsonResponse(error_body(422, "invalid", " ".join(messages), form.errors), status=422)
    return show_dialog(request, column, "topics/_topic_form.html", {"form": form, "topic": None})


def _created(request: HttpRequest, column: Column, topic: Topic) -> HttpResponse:
    facts = {
        "id": topic.pk,
        "label": topic.label,
        "category": topic.category.label,
        "color": topic.category.color,
        "sentiment": topic.sentiment_enabled,
        "code": topic.code_neutral,
    }
    if wants_json(request):
        return JsonResponse(facts, status=201)
    change = Change.objects.filter(column=column, kind=ChangeKind.TOPIC_CREATE, inverse__topic=topic.pk).first()
    response = done(request, column, change, rows_changed=False)
    return _to_body(response, "topic-created", topic_created=facts) if request.htmx else response  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
def topic_edit(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Show and change all properties of a topic."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    column = topic.column
    if request.method != "POST":
        form = TopicForm(column=column, topic=topic)
    else:
        form = TopicForm(request.POST, column=column, topic=topic)
        if form.is_valid() and not _sentiments_at_stake(form, topic):
            try:
                return _change_topic(request, form, topic)
            except ApplicationError as error:
                if error.code == "sentiment_reviewed":
                    form.add_error("confirm_unreview", _("Nobody said with which sentiment they have it."))
                else:
                    form.refuse(error)
    context = {
        "form": form,
        "topic": topic,
        "n_reviewed": selectors.n_rows_with(Topic.objects.filter(pk=topic.pk))[1],
        "n_others": selectors.topic_list(column=column).exclude(pk=topic.pk).count(),
    }
    return show_dialog(request, column, "topics/_topic_form.html", context)


def _change_topic(request: HttpRequest, form: TopicForm, topic: Topic) -> HttpResponse:
    values, expected = form.values(), form.cleaned_data["version"]
    if form.cleaned_data["confirm_unreview"] and values["sentiment_enabled"] and not topic.sentiment_enabled:
        del values["sentiment_enabled"]
        made = services.sentiment_on_start(
            topic=topic, user=request.user, unreview=True, expected=expected, **values
        )
        return show_made(request, topic.column, made)
    change = services.topic_update(topic=topic, user=request.user, expected=expected, **values)
    return done(request, topic.column, change)


def _sentiments_at_stake(form: TopicForm, topic: Topic) -> bool:
    """Ask before sentiments are dropped: the first attempt to switch them off comes back with a question."""
    data = form.cleaned_data
    if data["sentiment_enabled"] or not topic.sentiment_enabled or data["confirm_off"]:
        return False
    n_rows = topic.assignments.exclude(sentiment=None).count()  # exact: the counts of the list are cached
    if n_rows:
        message = ngettext(
            "%(n)s row loses the sentiment of this topic.", "%(n)s rows lose the sentiment of this topic.", n_rows
        )
        form.add_error("confirm_off", message % {"n": n_rows})
    return bool(n_rows)


@require_POST
def topic_rename(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Rename a topic in place."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    form = RenameForm(request.POST)
    if not form.is_valid():
        raise ApplicationError(_("That is too long for a name."))
    change = services.topic_update(
        topic=topic,
        user=request.user,
        label=form.cleaned_data["label"],
        expected=form.cleaned_data["version"] or None,
    )
    return done(request, topic.column, change)


@require_http_methods(["GET", "HEAD", "POST"])
def topic_delete(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Ask, saying how many rows lose the topic; then delete it."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    if request.method == "POST":
        return done(request, topic.column, services.topic_delete(topic=topic, user=request.user))
    n_rows, n_reviewed = selectors.n_rows_with(Topic.objects.filter(pk=topic.pk))
    context = {"topic": topic, "n_rows": n_rows, "n_reviewed": n_reviewed}
    return show_dialog(request, topic.column, "topics/_topic_delete.html", context)


# --- categories -----------------------------------------------------------------------------------
@require_http_methods(["GET", "HEAD", "POST"])
def category_create(request: HttpRequest, column_id: int) -> HttpResponse:
    column = get_column_for_admin(request.user, column_id)
    form = CategoryForm(request.POST if request.method == "POST" else None, column=column)
    if request.method == "POST" and form.is_valid():
        try:
            category = services.category_create(column=column, user=request.user, **form.values())
        except ApplicationError as error:
            form.refuse(error)
        else:
            change = Change.objects.filter(
                column=column, kind=ChangeKind.CATEGORY_CREATE, inverse__category=category.pk
            ).first()
            return done(request, column, change, rows_changed=False)
    context = {"form": form, "category": None, "palette": PALETTE}
    return show_dialog(request, column, "topics/_category_form.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def category_edit(request: HttpRequest, category_id: int) -> HttpResponse:
    category = selectors.get_category_for_admin(request.user, category_id)
    form = CategoryForm(
        request.POST if request.method == "POST" else None, column=category.column, category=category
    )
    if request.method == "POST" and form.is_valid():
        try:
            change = services.category_update(
                category=category, user=request.user, expected=form.cleaned_data["version"], **form.values()
            )
        except ApplicationError as error:
            form.refuse(error)
        else:
            return done(request, category.column, change)
    context = {"form": form, "category": category, "palette": PALETTE}
    return show_dialog(request, category.column, "topics/_category_form.html", context)


@require_POST
def category_rename(request: HttpRequest, category_id: int) -> HttpResponse:
    """Rename a category in place."""
    category = selectors.get_category_for_admin(request.user, category_id)
    form = RenameForm(request.POST)
    if not form.is_valid():
        raise ApplicationError(_("That is too long for a name."))
    change = services.category_update(
        category=category,
        user=request.user,
        label=form.cleaned_data["label"],
        expected=form.cleaned_data["version"] or None,
    )
    return done(request, category.column, change)


@require_POST
def category_move(request: HttpRequest, category_id: int) -> HttpResponse:
    """Move a category one place up or down; with `before` in front of another one, to the end if that is empty."""
    category = selectors.get_category_for_admin(request.user, category_id)
    ids = list(selectors.category_list(column=category.column).values_list("pk", flat=True))
    at = ids.index(category.pk)
    if "before" in request.POST:
        others = [str(pk) for pk in ids if pk != category.pk]
        before = request.POST["before"]
        if before and before not in others:
            raise ApplicationError(
                _("The category was deleted meanwhile. Choose another one."), status=409, code="category_missing"
            )
        ids.insert(others.index(before) if before else len(others), ids.pop(at))
    else:
        to = at + (-1 if request.POST.get("direction") == "up" else 1)
        if 0 <= to < len(ids):
            ids[at], ids[to] = ids[to], ids[at]
    change = services.categories_reorder(column=category.column, category_ids=ids, user=request.user)
    return done(request, category.column, change, rows_changed=False)


@require_http_methods(["GET", "HEAD", "POST"])
def category_delete(request: HttpRequest, category_id: int) -> HttpResponse:
    """Ask, saying how many topics go and how many rows lose them; then delete the category."""
    category = selectors.get_category_for_admin(request.user, category_id)
    if request.method == "POST":
        return done(request, category.column, services.category_delete(category=category, user=request.user))
    topics = category.topics.filter(deleted_at=None)
    n_rows, n_reviewed = selectors.n_rows_with(topics)
    context = {
        "category": category,
        "topics": topics.order_by("position", "id"),
        "n_rows": n_rows,
        "n_reviewed": n_reviewed,
    }
    return show_dialog(request, category.column, "topics/_category_delete.html", context)
