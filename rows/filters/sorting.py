"""In which order rows come. Each order ends with a unique field, so that a keyset is a total order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from projects.models import Column, ColumnType

_COLUMN_KEY = re.compile(r"-?c(\d{1,18})")


@dataclass(frozen=True)
class Sort:
    """`column` with fields that rows.paging annotates: the order of its cells (of the text itself: its length)."""

    key: str
    label: str | Promise
    fields: tuple[str, ...]
    column: Column | None = None

    @property
    def is_descending(self) -> bool:
        return self.key.startswith("-")


SORTS = {
    sort.key: sort
    for sort in (
        Sort("number", gettext_lazy("Order of upload"), ("row_number",)),
        Sort("-number", gettext_lazy("Order of upload, last first"), ("-row_number",)),
        Sort("certainty", gettext_lazy("Least certain first"), ("is_reviewed", "certainty", "id")),
        Sort("-certainty", gettext_lazy("Most certain first"), ("-is_reviewed", "-certainty", "-id")),
        Sort("length", gettext_lazy("Shortest first"), ("sort_value", "sort_number")),
        Sort("-length", gettext_lazy("Longest first"), ("-sort_value", "-sort_number")),
        Sort("recent", gettext_lazy("Recently reviewed"), ("-reviewed_at", "-id")),
    )
}
SIMILARITY = Sort("similarity", gettext_lazy("Most similar first"), ())
_SORTABLE = frozenset(ColumnType.values) - {ColumnType.MULTI_SELECT, ColumnType.TEXT_TO_ANALYZE}


def _by_column(column: Column, *, descending: bool) -> Sort:
    sign, arrow = ("-", "↓") if descending else ("", "↑")
    fields = (f"{sign}sort_value", f"{sign}sort_number")
    label = _("%(column)s, descending") if descending else _("%(column)s, ascending")
    return Sort(f"{sign}c{column.pk}", f"{arrow} {label % {'column': column.name}}", fields, column)


def sorts_for(columns: list[Column]) -> list[Sort]:
    """Return the orders by other columns that a person may choose."""
    usable = [column for column in columns if column.type in _SORTABLE]
    return [_by_column(column, descending=descending) for column in usable for descending in (False, True)]


def sort_find(key: str, columns: dict[int, Column]) -> Sort | None:
    """Return the order a query string asks for, None where it is not known (any more)."""
    if key in SORTS:
        return SORTS[key]
    match = _COLUMN_KEY.fullmatch(key)
    column = columns.get(int(match[1])) if match else None
    if column is None or column.type not in _SORTABLE:
        return None
    return _by_column(column, descending=key.startswith("-"))
