from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from rows.models import (
    Assignment,
    BulkAction,
    BulkPart,
    Cell,
    FocusLease,
    IndexedColumn,
    Row,
    SavedFilter,
    SearchText,
    TextBlock,
    TopicMove,
    Upload,
    Verbatim,
    ViewOptions,
)
from topicassign.admin_tools import ReadOnlyAdmin


class FoundByNumber(ReadOnlyAdmin):
    """Large tables: newest first by their key, looked up by ids instead of scans over texts."""

    ordering = ["-id"]
    project_path = ""
    search_help_text = "The number of a project (as in its address)."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if not term.isdecimal() or len(term) > 18:
            return queryset.none(), False
        return queryset.filter(**{self.project_path: int(term)}), False

    search_fields = ["id"]  # shows the search box


@admin.register(Row)
class RowAdmin(FoundByNumber):
    list_display = ["id", "project", "number", "created_at", "modified_at", "deleted_at"]
    list_filter = [("deleted_at", admin.EmptyFieldListFilter)]
    list_select_related = ["project"]
    project_path = "project"


@admin.register(Verbatim)
class VerbatimAdmin(FoundByNumber):
    list_display = ["id", "column", "row_number", "short_text", "is_reviewed", "certainty", "group_size"]
    list_filter = ["is_reviewed", "is_empty", "is_audit", "is_highlighted", "sentiment"]
    list_select_related = ["column"]
    project_path = "column__project"
    exclude = ["fingerprint", "digest"]

    @admin.display(description="text")
    def short_text(self, verbatim: Verbatim) -> str:
        return verbatim.text[:80]


@admin.register(Assignment)
class AssignmentAdmin(FoundByNumber):
    list_display = ["id", "verbatim_id", "topic", "sentiment", "source", "probability"]
    list_filter = ["source", "sentiment"]
    list_select_related = ["topic"]
    project_path = "topic__column__project"


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    list_display = ["file_name", "user", "state", "size_bytes", "project", "created_at"]
    list_filter = ["state", "created_at"]
    search_fields = ["file_name", "user__username", "project__name"]
    list_select_related = ["user", "project"]
    exclude = ["path", "facts", "plan"]  # hold samples of the texts


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyAdmin):
    list_display = ["id", "column", "user", "n_selected", "position", "n_changed", "created_at"]
    list_select_related = ["column", "user"]
    exclude = ["selected", "token"]


@admin.register(BulkPart)
class BulkPartAdmin(ReadOnlyAdmin):
    ordering = ["-id"]
    list_display = ["id", "bulk", "number", "n_rows", "is_undone"]
    exclude = ["data"]


@admin.register(TopicMove)
class TopicMoveAdmin(ReadOnlyAdmin):
    ordering = ["-id"]
    list_display = ["id", "column", "n_rows", "created_at"]
    list_select_related = ["column"]
    exclude = ["data"]


@admin.register(FocusLease)
class FocusLeaseAdmin(ReadOnlyAdmin):
    list_display = ["verbatim_id", "column", "user", "expires_at"]
    list_select_related = ["column", "user"]
    raw_id_fields = ["verbatim"]


@admin.register(ViewOptions)
class ViewOptionsAdmin(ReadOnlyAdmin):
    list_display = ["user", "column", "is_grouped", "shown"]
    list_select_related = ["user", "column"]


@admin.register(SavedFilter)
class SavedFilterAdmin(ReadOnlyAdmin):
    list_display = ["name", "column", "owner", "is_shared", "modified_at", "deleted_at"]
    list_select_related = ["column", "owner"]
    search_fields = ["name", "owner__username"]


@admin.register(IndexedColumn)
class IndexedColumnAdmin(ReadOnlyAdmin):
    """Deleting one takes its index out of use; a worker makes it again at its next start."""

    list_display = ["column", "built_at"]
    may_delete = True
    list_select_related = ["column"]


@admin.register(Cell)
class CellAdmin(FoundByNumber):
    list_display = ["id", "column", "row_number", "number", "word"]
    list_select_related = ["column"]
    project_path = "column__project"


@admin.register(TextBlock)
class TextBlockAdmin(FoundByNumber):
    ordering = ["-id"]
    list_display = ["id", "column", "first_number"]
    list_select_related = ["column"]
    project_path = "column__project"


@admin.register(SearchText)
class SearchTextAdmin(FoundByNumber):
    ordering = ["-verbatim_id"]
    search_fields = ["verbatim_id"]
    list_display = ["verbatim_id", "column", "__str__"]
    list_select_related = ["column"]
    project_path = "column__project"
