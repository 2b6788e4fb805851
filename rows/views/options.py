"""How a person sees the rows of a column: other columns under the text, identical rows grouped."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from projects.models import Column
from projects.selectors import get_column_for_read
from rows.filters import RowFilter
from rows.models import ViewOptions
from topicassign.errors import ApplicationError

SHOWN_COLUMNS = 8


def get_options(request: HttpRequest, column: Column) -> ViewOptions:
    """Return what this person has chosen for this column, asked for once per request."""
    kept: dict[int, ViewOptions] = request.__dict__.setdefault("_view_options", {})
    if column.pk not in kept:
        found = ViewOptions.objects.filter(user=request.user.pk, column=column).first()
        kept[column.pk] = found or ViewOptions(user=request.user, column=column)  # type: ignore[misc]
    return kept[column.pk]


def read_filter(request: HttpRequest, column: Column) -> RowFilter:
    """Return the filter of the address; where it does not say, the person's own choice decides about grouping."""
    return RowFilter.from_query(request.GET, column, grouped_default=get_options(request, column).is_grouped)


def shown_columns(request: HttpRequest, column: Column) -> list[Column]:
    """Return the other columns this person chose to see under each text."""
    ids = get_options(request, column).shown
    if not ids:
        return []
    found = {other.pk: other for other in column.project.columns.filter(pk__in=ids)}
    return [found[pk] for pk in ids if pk in found]


@require_POST
def view_options(request: HttpRequest, column_id: int) -> HttpResponse:
    """Remember what this person has chosen; the page asks for the rows anew, or only draws them again."""
    column = get_column_for_read(request.user, column_id)
    known = set(column.project.columns.exclude(pk=column.pk).values_list("pk", flat=True))
    ids = [int(value) for value in request.POST.getlist("shown") if value.isdecimal() and len(value) < 19]
    ids = [pk for pk in dict.fromkeys(ids) if pk in known]
    if len(ids) > SHOWN_COLUMNS:
        raise ApplicationError(_("Show at most %(n)d other columns under a text.") % {"n": SHOWN_COLUMNS})
    was_grouped = get_options(request, column).is_grouped
    saved, _created = ViewOptions.objects.update_or_create(
        user_id=request.user.pk,  # type: ignore[misc]
        column=column,
        defaults={"shown": ids, "is_grouped": request.POST.get("is_grouped") == "yes"},
    )
    response = HttpResponse(status=204)
    event = "rows-changed" if saved.is_grouped == was_grouped else "grouping-changed"
    response["HX-Trigger"] = f'{{"{event}": {{"target": "body"}}}}'
    return response
