"""The topic assignment view: page, row chunks, counts, results and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.decorators.http import require_safe

from projects.models import Column, ColumnType, Role
from projects.selectors import get_column_for_read
from rows.filters import SIMILARITY, SORTS, RowFilter, sorts_for
from rows.models import Verbatim
from rows.results import result_categories, statistics
from rows.row_list import row_list
from rows.selectors import Page, row_numbers, verbatim_page
from rows.views.options import get_options, read_filter, shown_columns

CHUNK_IDS = 100
_OUTSIDE_BUILDER = ("q", "meaning", "sort", "grouped")


def may_write(column: Column) -> bool:
    """Say whether the person of this request may review (the role was set by the permission check)."""
    return column.project.role.rank >= Role.ANALYST.rank  # type: ignore[attr-defined]


def may_edit_topics(column: Column) -> bool:
    return column.project.role.rank >= Role.ADMIN.rank  # type: ignore[attr-defined]


def verbatim_base(column: Column) -> str:
    """Return the address of a row without its id: reversing fifty of them costs more than the query."""
    return reverse("rows:verbatim", args=[column.pk, 0]).removesuffix("0/")


def row_context(
    request: HttpRequest, column: Column, row_filter: RowFilter, verbatims: QuerySet[Verbatim], ids: Sequence[int]
) -> dict[str, Any]:
    """Return what `rows/_rows.html` needs to draw the verbatims named by `ids`."""
    base = verbatim_base(column)
    return {
        "column": column,
        "rows": row_list(verbatims, ids, shown=shown_columns(request, column), base_url=base),
        "row_filter": row_filter,
        "verbatim_base": base,
        "may_write": may_write(column),
        "grouped": row_filter.is_grouped,
    }


def _chunk_context(request: HttpRequest, column: Column, row_filter: RowFilter, page: Page) -> dict[str, Any]:
    context = row_context(request, column, row_filter, Verbatim.objects.all(), page.ids)
    query = row_filter.query_string()
    base = reverse("rows:chunk", args=[column.pk])
    context["chunk_ids"] = ",".join(row["pk"] for row in context["rows"])
    context["chunk_query"] = query
    context["next_url"] = f"{base}?{query}{'&' if query else ''}after={page.after}" if page.after else ""
    return context


def _as_fragment(response: HttpResponse) -> HttpResponse:
    """The same address answers with a page or a part: caches must not mix them up."""
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response


@require_safe
def browser(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show the view; htmx gets the part it asks for: the feed, or filters and feed (`?part=browse`)."""
    column = get_column_for_read(request.user, column_id)
    row_filter = read_filter(request, column)
    page = verbatim_page(row_filter=row_filter)
    context = _chunk_context(request, column, row_filter, page)
    htmx = request.htmx  # type: ignore[attr-defined]
    is_part = bool(htmx) and not htmx.history_restore_request
    whole_pane = request.headers.get("X-Part") == "browse"
    before = (request.htmx.current_url or "") if is_part else ""  # type: ignore[attr-defined]
    sort_changes = is_part and not whole_pane and ("meaning=" in before) != bool(row_filter.meaning)
    if not is_part or whole_pane or sort_changes:
        others = list(column.project.columns.exclude(pk=column.pk))
        shown = set(get_options(request, column).shown)
        context |= {
            "may_edit_topics": may_edit_topics(column),
            # The fields of the builder come when it is opened; until then hidden ones hold what is set.
            "builder_pairs": [pair for pair in row_filter.parameters() if pair[0] not in _OUTSIDE_BUILDER],
            "sorts": [*([SIMILARITY] if row_filter.meaning else []), *SORTS.values()],
            "sort_oob": sort_changes,
            "column_sorts": sorts_for(others),
            "default_sort": SIMILARITY.key if row_filter.meaning else "number",
            "other_columns": [(other, other.pk in shown) for other in others],
        }
    if is_part:
        return _as_fragment(render(request, "rows/_browse.html" if whole_pane else "rows/_feed.html", context))
    context |= {
        "project": column.project,
        "text_columns": list(column.project.columns.filter(type=ColumnType.TEXT_TO_ANALYZE)),
    }
    return _as_fragment(render(request, "rows/browser.html", context))


@require_safe
def chunk(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the next rows after a token, or the rows named by `ids` as they are now."""
    column = get_column_for_read(request.user, column_id)
    row_filter = read_filter(request, column)
    wanted = request.GET.get("ids")
    if wanted is None:
        page = verbatim_page(row_filter=row_filter, after=request.GET.get("after", ""))
        return render(request, "rows/_chunk.html", _chunk_context(request, column, row_filter, page))
    ids = [int(value) for value in wanted.split(",") if value.isdecimal() and len(value) < 19][:CHUNK_IDS]
    context = row_context(request, column, row_filter, Verbatim.objects.live(column), ids)
    return render(request, "rows/_rows.html", context)


@require_safe
def count(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return how many rows match: asked for after the rows are drawn, so that no list waits for it."""
    column = get_column_for_read(request.user, column_id)
    row_filter = read_filter(request, column)

    answer = row_filter.meaning_answer
    if answer is not None and answer.state != "ready":
        return HttpResponse("…" if row_filter.is_working else "")  # nobody knows yet how many
    numbers = row_numbers(column=column, row_filter=row_filter)
    context = {**numbers, "grouped": row_filter.is_grouped, "is_active": row_filter.is_active}
    return render(request, "rows/_count.html", context)


@require_safe
def results(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the Results tab: share of rows per category and topic, following the filters."""
    column = get_column_for_read(request.user, column_id)
    row_filter = read_filter(request, column)
    context = result_categories(column=column, row_filter=row_filter)
    context |= {
        "column": column,
        "row_filter": row_filter,
        "by": "category" if request.GET.get("by") == "category" else "sentiment",
        "rows_url": _rows_of_topic_url(column, row_filter),
    }
    return render(request, "rows/_results.html", context)


def _rows_of_topic_url(column: Column, row_filter: RowFilter) -> str:
    """Return the view with the filters as they are, but for one topic: its id is to be added."""
    kept = [(name, value) for name, value in row_filter.parameters() if not name.startswith("topic")]
    return f"{reverse('rows:browser', args=[column.pk])}?{urlencode([*kept, ('topic', '')])}"


@require_safe
def statistics_tab(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the Statistics tab."""
    column = get_column_for_read(request.user, column_id)
    row_filter = read_filter(request, column)
    context = statistics(column=column, row_filter=row_filter)
    context |= {"column": column, "row_filter": row_filter}
    return render(request, "rows/_statistics.html", context)
