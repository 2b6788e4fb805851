"""Reads of rows: keyset pages, one verbatim with everything around it, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from projects.models import Change, ChangeKind, Column, ColumnType
from rows.bulk.packing import data_unpack, sums
from rows.filters import RowFilter
from rows.models import Assignment, BulkAction, BulkPart, Verbatim, has_deleted_rows
from rows.paging import page_ids
from topics.models import Topic

PAGE_ROWS = 50


@dataclass
class Page:
    """One keyset page: the ids of its verbatims and the token that asks for the next page ("" at the end)."""

    ids: list[int]
    after: str


def with_topics(verbatims: QuerySet[Verbatim]) -> QuerySet[Verbatim]:
    """Prefetch what a row shows: its row and its assignments with topic and category."""
    assignments = (
        Assignment.objects.filter(topic__deleted_at=None)
        .select_related("topic", "topic__category")
        .order_by("position", "-probability", "id")
    )
    return verbatims.select_related("row").prefetch_related(Prefetch("assignments", queryset=assignments))


def verbatim_page(*, row_filter: RowFilter, after: str = "", limit: int = PAGE_ROWS) -> Page:
    """Return one page of the rows asked for, after the token of the page before.

    Keyset pagination: a page costs the same wherever it is, and rows do not repeat or go missing
    when others are inserted or reviewed meanwhile. A broken token starts again at the top.
    """
    return Page(*page_ids(row_filter=row_filter, after=after, limit=limit))


def get_verbatim(*, column: Column, verbatim_id: int) -> Verbatim:
    """Return a verbatim of the column with its topics; raises Http404."""
    verbatim = (
        with_topics(Verbatim.objects.live(column).select_related("reviewed_by")).filter(pk=verbatim_id).first()
    )
    if verbatim is None:
        raise Http404(_("No such row."))
    return verbatim


def other_cells(*, verbatim: Verbatim, columns: list[Column]) -> list[dict[str, Any]]:
    """Return name and value of the row's other cells, in column order, texts of analysed columns included."""
    texts = dict(
        Verbatim.objects.filter(row=verbatim.row_id).exclude(pk=verbatim.pk).values_list("column_id", "text")
    )
    cells = []
    for column in columns:
        if column.pk == verbatim.column_id:
            continue
        value: Any
        if column.type == ColumnType.TEXT_TO_ANALYZE:
            value = texts.get(column.pk, "")
        else:
            value = verbatim.row.values.get(column.ref)
        cells.append({"column": column, "value": value})
    return cells


def verbatim_history(*, verbatim: Verbatim, limit: int = 20) -> list[Change]:
    """Return the acts of people on this verbatim and its duplicates, last first."""
    own = Change.objects.filter(column=verbatim.column_id, subject_id=head_id(verbatim)).select_related("user")
    found = [*own.order_by("-id")[:limit], *bulk_changes(verbatim=verbatim)]
    return sorted(found, key=lambda change: -change.pk)[:limit]


def bulk_changes(*, verbatim: Verbatim, limit: int = 20) -> list[Change]:
    """Return the bulk actions among the last of the column that changed this verbatim."""
    last = (
        BulkAction.objects.filter(column=verbatim.column_id, change__kind=ChangeKind.BULK)
        .select_related("change__user")
        .order_by("-id")[:limit]
    )
    by_id = {bulk.pk: bulk.change for bulk in last}
    parts = BulkPart.objects.filter(bulk__in=by_id, first_id__lte=verbatim.pk, last_id__gte=verbatim.pk)
    found = set()
    for bulk_id, packed in parts.values_list("bulk", "data").iterator():
        if bulk_id in found:
            continue
        data = data_unpack(packed)
        if verbatim.pk in sums(data["ids"]) or verbatim.pk in sums(data["stars"]):
            found.add(bulk_id)
    return [change for pk in found if (change := by_id[pk]) is not None]


def identical_numbers(*, verbatim: Verbatim, limit: int = 12) -> list[int]:
    """Return the numbers of the rows that say the same, its own too; at most `limit`, none where it is alone."""
    if verbatim.is_empty or verbatim.group_size < 2:
        return []
    members = Verbatim.objects.group_of(verbatim).filter(row__deleted_at=None).order_by("row_number")
    return list(members.values_list("row_number", flat=True)[:limit])


def head_id(verbatim: Verbatim) -> int:
    """Return the first verbatim of the duplicate group: what the group's history is kept under."""
    if verbatim.is_group_head or verbatim.is_empty:
        return verbatim.pk
    heads = Verbatim.objects.group_of(verbatim).filter(is_group_head=True).values_list("pk", flat=True)
    return heads.first() or verbatim.pk


def cached_by_revision(column: Column, name: str, make: Any, *, revision: int | None = None) -> Any:
    """Return `make()`, kept until something in the column changes."""
    key = f"column:{column.pk}:{column.revision if revision is None else revision}:{name}"
    value = cache.get(key)
    if value is None:
        value = make()
        cache.set(key, value, 3600)
    return value


def assignments_live(*, column: Column, row_filter: RowFilter | None = None) -> QuerySet[Assignment]:
    """Return the assignments of live topics on rows that are not deleted, in no order; follows an active filter.

    The topics are named by their ids: the planner knows how many assignments each has, while a join with the
    small table of topics makes it look up the whole column pair by pair.
    """
    topics = Topic.objects.filter(column=column, deleted_at=None).values_list("pk", flat=True)
    query = Assignment.objects.filter(topic__in=list(topics)).order_by()
    if row_filter is not None and row_filter.is_active:
        return query.filter(verbatim__in=row_filter.apply(group=False).values("pk"))
    return query.filter(verbatim__row__deleted_at=None) if has_deleted_rows(column.project_id) else query


def topic_counts(*, column: Column, row_filter: RowFilter | None = None) -> dict[int, dict[str, int]]:
    """Return per topic: rows positive, neutral, negative and without sentiment ("none"), and their sum.

    Every row counts, duplicates too (spec S3.6). Follows the filter where one is given.
    """

    def count() -> dict[int, dict[str, int]]:
        query = assignments_live(column=column, row_filter=row_filter)
        counts: dict[int, dict[str, int]] = {}
        names = {1: "positive", 0: "neutral", -1: "negative", None: "none"}
        for topic, sentiment, n in query.values_list("topic", "sentiment").annotate(n=Count("pk")):
            entry = counts.setdefault(topic, {"positive": 0, "neutral": 0, "negative": 0, "none": 0, "all": 0})
            entry[names[sentiment]] += n
            entry["all"] += n
        if row_filter is None or not row_filter.is_active:
            cache.set(_last_counts_key(column), counts, 24 * 3600)
        return counts

    name = "topic_counts:" + (row_filter.cache_name() if row_filter else "")
    return cached_by_revision(column, name, count)


def _last_counts_key(column: Column) -> str:
    return f"column:{column.pk}:topic_counts:last"


def topic_counts_last(*, column: Column) -> dict[int, dict[str, int]] | None:
    """Return the unfiltered topic counts as they were counted last, None where they never were."""
    return cache.get(_last_counts_key(column))


def row_counts(*, column: Column, row_filter: RowFilter | None = None) -> dict[str, int]:
    """Return the numbers of the statistics tab that need a scan: rows, empty, unique, reviewed, without topic."""

    def count() -> dict[str, int]:
        query = (row_filter or RowFilter(column)).apply(group=False)
        numbers = query.aggregate(
            n_rows=Count("pk"),
            n_empty=Count("pk", filter=Q(is_empty=True)),
            n_unique=Count("pk", filter=Q(is_group_head=True, is_empty=False)),
            n_reviewed=Count("pk", filter=Q(is_reviewed=True)),
            n_reviewed_unique=Count("pk", filter=Q(is_reviewed=True, is_group_head=True)),
        )
        numbers |= assignments_live(column=column, row_filter=row_filter).aggregate(
            n_assignments=Count("pk"), n_with_topic=Count("verbatim", distinct=True)
        )
        numbers["n_without_topic"] = numbers["n_rows"] - numbers["n_empty"] - numbers["n_with_topic"]
        return numbers

    name = "row_counts:" + (row_filter.cache_name() if row_filter else "")
    return cached_by_revision(column, name, count)


def row_numbers(*, column: Column, row_filter: RowFilter) -> dict[str, int]:
    """Return how many rows the list shows, and how many rows of the table stand behind them (`n_all`)."""

    def count() -> dict[str, int]:
        query = row_filter.apply()
        every = row_filter.apply(group=False)
        if row_filter.sort.key == "recent":
            query, every = query.filter(is_reviewed=True), every.filter(is_reviewed=True)
        n_rows = query.count()
        return {"n_rows": n_rows, "n_all": every.count() if row_filter.is_grouped else n_rows}

    # The grouping is part of the name whatever the person's default is: two people share these numbers.
    is_recent = row_filter.sort.key == "recent"
    name = f"row_numbers:{row_filter.is_grouped:d}:{is_recent:d}:{row_filter.cache_name()}"
    return cached_by_revision(column, name, count)


def topic_list(*, column: Column) -> QuerySet[Topic]:
    """Return the live topics of a column in the order of the screen."""
    return (
        Topic.objects.filter(column=column, deleted_at=None)
        .select_related("category")
        .order_by("category__position", "category_id", "position", "id")
    )
