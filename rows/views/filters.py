"""The filter builder with the options of its fields, and saved filters."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from projects.models import Column, ColumnType
from projects.selectors import get_column_for_read
from rows.filters import RowFilter
from rows.filters.columns import OPS, UNITS, WITH_OPTIONS, ColumnCondition, default_op, number_text
from rows.filters.standard import source_text
from rows.models import AssignmentSource, Cell, Row, Verbatim, indexed_columns
from rows.selectors import cached_by_revision, topic_list
from rows.services import saved_filters
from topicassign.errors import ApplicationError

SHOWN_OPTIONS = 200
READ_ROWS = 50_000  # of a table without an index: enough to meet every usual option


@never_cache
@require_safe
def builder(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the fields of the filter form, set as the query string says."""
    column = get_column_for_read(request.user, column_id)
    row_filter = RowFilter.from_query(request.GET, column)
    chosen = {topic.pk for topic in row_filter.topics}
    categories = {category.pk for category in row_filter.categories}
    topics = [(topic, topic.pk in chosen) for topic in topic_list(column=column)]
    seen = list(dict.fromkeys(topic.category for topic, _is_on in topics))
    conditions = {one.column.pk: one for one in row_filter.columns}
    others = column.project.columns.exclude(pk=column.pk)
    context = {
        "column": column,
        "row_filter": row_filter,
        "topics": topics,
        "categories": [(category, category.pk in categories) for category in seen],
        "sources": [(value, source_text(value), value in row_filter.sources) for value in AssignmentSource.values],
        "languages": _languages(column, row_filter),
        "people": _people(column, row_filter),
        "units": list(UNITS.items()),
        "reviewed_on": _days(row_filter.reviewed_on),
        "added_on": _days(row_filter.added_on),
        "others": [_field(other, conditions.get(other.pk)) for other in others],
    }
    return render(request, "rows/_filter_builder.html", context)


def _days(days: tuple[Any, ...]) -> dict[str, str]:
    if not days:
        return {}
    if days[0] == "last":
        return {"n": str(days[1]), "unit": days[2]}
    return {key: day.isoformat() if day else "" for key, day in zip(("first", "last"), days, strict=True)}


def _field(other: Column, condition: ColumnCondition | None) -> dict[str, Any]:
    """Return what the builder shows of another column: its operators, and the values of a condition."""
    values = condition.values if condition else ()
    op = condition.op if condition else default_op(other)
    kind = {
        ColumnType.NUMERICAL: "number",
        ColumnType.DATE: "date",
        ColumnType.BOOLEAN: "boolean",
    }.get(ColumnType(other.type), "options" if other.type in WITH_OPTIONS else "text")
    shown = ["" if one is None else number_text(one) if isinstance(one, float) else str(one) for one in values]
    return {
        "column": other,
        "kind": kind,
        "op": op,
        "ops": [("" if key == default_op(other) else key, key, label) for key, label in OPS[other.type].items()],
        "is_on": condition is not None,
        "text": condition.describe() if condition else "",
        "values": ["yes" if one is True else "no" if one is False else one for one in values],
        "first": shown[0] if shown and op != "last" else "",
        "second": shown[1] if len(shown) > 1 and op != "last" else "",
        "n": shown[0] if op == "last" and shown else "",
        "unit": shown[1] if op == "last" and shown else "days",
    }


def _languages(column: Column, row_filter: RowFilter) -> list[tuple[str, bool]]:
    def find() -> list[str]:
        query = Verbatim.objects.filter(column=column, language__gt="").order_by("language")
        return list(query.values_list("language", flat=True).distinct())

    found = cached_by_revision(column, "languages", find)
    codes = dict.fromkeys([*found, *row_filter.languages])
    return [(code, code in row_filter.languages) for code in codes]


def _people(column: Column, row_filter: RowFilter) -> list[tuple[Any, bool]]:
    """Return who may have reviewed: the people of the project."""
    project = column.project
    members = project.members.values("user")
    wanted = {user.pk for user in row_filter.reviewers}
    people = get_user_model().objects.filter(Q(pk=project.owner_id) | Q(pk__in=members) | Q(pk__in=wanted))
    return [(user, user.pk in wanted) for user in people.order_by("pk").distinct()]


@never_cache
@require_safe
def options(request: HttpRequest, column_id: int, other_id: int) -> HttpResponse:
    """Return the options of a select column as check boxes, the most frequent first."""
    column = get_column_for_read(request.user, column_id)
    other = column.project.columns.filter(pk=other_id, type__in=WITH_OPTIONS).exclude(pk=column.pk).first()
    if other is None:
        raise Http404("No such column with options.")
    row_filter = RowFilter.from_query(request.GET, column)
    chosen = next((one.values for one in row_filter.columns if one.column.pk == other.pk), ())
    counts = cached_by_revision(column, f"options:{other.pk}", lambda: _count_options(other))
    shown = {**dict.fromkeys(chosen), **dict(counts[:SHOWN_OPTIONS])}
    found = dict(counts)
    context = {
        "name": f"c{other.pk}.is",
        "other": other,
        "options": [(value, found.get(value), value in chosen) for value in shown],
        "n_more": max(0, len(counts) - SHOWN_OPTIONS),
    }
    return render(request, "rows/_filter_options.html", context)


def _count_options(other: Column) -> list[tuple[str, int]]:
    if indexed_columns([other.pk]):
        cells = Cell.objects.filter(column=other, word__isnull=False)
        counted = cells.order_by().values_list("word").annotate(n=Count("pk")).order_by("-n", "word")
        return list(counted[: 5 * SHOWN_OPTIONS])
    counts: Counter[str] = Counter()
    rows = Row.objects.filter(project=other.project_id, deleted_at=None).order_by("number")
    for values in rows.values_list("values", flat=True)[:READ_ROWS].iterator(chunk_size=2_000):
        value = values.get(other.ref)
        if value not in (None, "", []):
            counts.update(map(str, value) if isinstance(value, list) else [str(value)])
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[: 5 * SHOWN_OPTIONS]


# --- saved filters -------------------------------------------------------------------------------
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def saved_filter_list(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show saved filters and the form that saves the present one (GET), or save it (POST)."""
    column = get_column_for_read(request.user, column_id)
    if request.method != "POST":
        return _dialog(request, column, RowFilter.from_query(request.GET, column).query_string())
    query, name = request.POST.get("query", ""), request.POST.get("name", "")
    shared = request.POST.get("is_shared") == "on"
    try:
        saved = saved_filters.saved_filter_create(
            column=column, user=request.user, name=name, query=query, is_shared=shared
        )
    except ApplicationError as error:
        return _dialog(request, column, query, error=error.message, name=name, status=422)
    undo = reverse("rows:saved_filter_delete", args=[column.pk, saved.pk])
    return _done(request, column, query, _("Filter “%(name)s” saved.") % {"name": saved.name}, undo)


def _dialog(
    request: HttpRequest, column: Column, query: str, *, error: str = "", name: str = "", status: int = 200
) -> HttpResponse:
    template = "rows/saved_filters.html" if request.method == "GET" else "rows/_saved_filters.html"
    context = {**_list_context(request, column, query), "error": error, "name": name}
    return render(request, template, context, status=status)


def _list_context(request: HttpRequest, column: Column, query: str) -> dict[str, Any]:
    row_filter = RowFilter.from_query(query, column)
    entries = []
    for saved in saved_filters.saved_filter_list(column=column, user=request.user):
        own = RowFilter.from_query(saved.query, column)
        entries.append(
            {
                "saved": saved,
                "text": " · ".join(chip["text"] for chip in own.chips() if not chip["is_lost"]),
                "is_broken": bool(own.lost),
                "is_mine": saved.owner_id == request.user.pk,
                "may_change": saved_filters.may_change(saved=saved, column=column, user=request.user),
            }
        )
    return {
        "column": column,
        "query": row_filter.understood(),
        "chips": [chip for chip in row_filter.chips() if not chip["is_lost"]],
        "entries": entries,
        "may_share": saved_filters.may_share(column),
    }


def _done(request: HttpRequest, column: Column, query: str, text: str, undo_url: str) -> HttpResponse:
    """Answer an act with the list as it is now and a notice that offers to take it back."""
    response = render(request, "rows/_saved_filters.html", _list_context(request, column, query))
    notice = {"text": text, "undo_url": undo_url, "kind": "success"}
    response.write(render_to_string("components/toast_oob.html", notice, request=request))
    if "query" not in request.POST:  # the undo button of a notice: the list beside it must hear of it
        trigger_client_event(response, "saved-filters-restored", {"target": "body"})
    return response


@require_POST
def saved_filter_update(request: HttpRequest, column_id: int, saved_filter_id: int) -> HttpResponse:
    """Rename a filter, share it or stop sharing it. The address may carry the values: so does the undo button."""
    column = get_column_for_read(request.user, column_id)
    saved = saved_filters.get_saved_filter_for_write(
        column=column, user=request.user, saved_filter_id=saved_filter_id
    )
    data = request.POST if "name" in request.POST else request.GET
    query = request.POST.get("query", "")
    before = {"name": saved.name, "is_shared": saved.is_shared}
    try:
        saved_filters.saved_filter_update(
            saved=saved, column=column, name=data.get("name", ""), is_shared=data.get("is_shared") == "on"
        )
    except ApplicationError as error:
        context = {**_list_context(request, column, query), "error_of": saved.pk, "error": error.message}
        return render(request, "rows/_saved_filters.html", context, status=422)
    undo = reverse("rows:saved_filter_update", args=[column.pk, saved.pk]) + "?" + _as_query(before)
    return _done(request, column, query, _("Filter “%(name)s” changed.") % {"name": saved.name}, undo)


def _as_query(before: dict[str, Any]) -> str:
    from urllib.parse import urlencode

    return urlencode({"name": before["name"], "is_shared": "on" if before["is_shared"] else ""})


@require_POST
def saved_filter_delete(request: HttpRequest, column_id: int, saved_filter_id: int) -> HttpResponse:
    column = get_column_for_read(request.user, column_id)
    saved = saved_filters.get_saved_filter_for_write(
        column=column, user=request.user, saved_filter_id=saved_filter_id
    )
    saved_filters.saved_filter_delete(saved=saved)
    undo = reverse("rows:saved_filter_restore", args=[column.pk, saved.pk])
    text = _("Filter “%(name)s” deleted.") % {"name": saved.name}
    return _done(request, column, request.POST.get("query", ""), text, undo)


@require_POST
def saved_filter_restore(request: HttpRequest, column_id: int, saved_filter_id: int) -> HttpResponse:
    column = get_column_for_read(request.user, column_id)
    saved = saved_filters.get_saved_filter_for_write(
        column=column, user=request.user, saved_filter_id=saved_filter_id, deleted=True
    )
    saved_filters.saved_filter_restore(saved=saved, column=column)
    undo = reverse("rows:saved_filter_delete", args=[column.pk, saved.pk])
    text = _("Filter “%(name)s” is back.") % {"name": saved.name}
    return _done(request, column, request.POST.get("query", ""), text, undo)
