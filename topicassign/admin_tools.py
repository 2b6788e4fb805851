"""What the administration pages of all apps share.

Operators look things up here and repair people and jobs. Rows, topics, reviews and model versions are
shown but not edited: their rules (history with undo, codes, duplicates, counters) live in services,
and a form that writes around them would break them silently.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest

MOST_COUNTED = 10_000


class CappedPaginator(Paginator):
    """Counts no further than anybody pages: a table may have millions of rows."""

    @cached_property
    def count(self) -> int:
        return len(self.object_list.order_by().values_list("pk", flat=True)[:MOST_COUNTED])  # type: ignore[attr-defined]


class OperatorAdmin(admin.ModelAdmin):
    """A model operators may change in part: `editable` names the fields, all others are shown only."""

    editable: tuple[str, ...] = ()
    may_delete = False
    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    actions_on_bottom = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = [name for name in self._field_names(request, obj) if name not in self.editable]
        return [*shown, *(name for name in self.readonly_fields if name not in shown)]

    def _field_names(self, request: HttpRequest, obj: Any) -> list[str]:
        if self.fields:
            return [name for name in self.fields if isinstance(name, str)]
        hidden = set(self.exclude or ())
        return [field.name for field in self.opts.fields if field.name not in hidden]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.editable) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_delete and super().has_delete_permission(request, obj)


class ReadOnlyAdmin(OperatorAdmin):
    """Shown, never edited."""
