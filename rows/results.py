"""Numbers of the Results and Statistics tabs. Every row counts, duplicates too; a category counts a row once."""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Avg, Count, Q

from projects.models import Column
from rows.filters import RowFilter
from rows.models import Verbatim
from rows.selectors import assignments_live, cached_by_revision, row_counts, topic_counts, topic_list
from topics.models import OVERALL_CUT, Category

MOST_TICKS = 4
_STEPS = (0.5, 1, 2, 2.5, 5, 10, 20, 25)  # percent between two ticks of the axis
_KEYS = ("positive", "neutral", "negative", "none")


def _name(name: str, row_filter: RowFilter) -> str:
    return f"{name}:{row_filter.query_string() if row_filter.is_active else ''}"


def _category_counts(column: Column, row_filter: RowFilter) -> dict[int, dict[str, int]]:
    """Return per category its rows by mood: the mean sentiment of a row's topics in that category."""
    query = assignments_live(column=column, row_filter=row_filter)
    per_row = query.values("topic__category", "verbatim").annotate(mood=Avg("sentiment"))
    try:
        sql, params = per_row.query.sql_with_params()
    except EmptyResultSet:  # no topics, or a filter that nothing can match
        return {}
    counts: dict[int, dict[str, int]] = {}
    with connection.cursor() as cursor:
        # The ORM cannot count over a grouped query; its own SQL goes in with its parameters, nothing typed does.
        cursor.execute(
            f"WITH per_row (category, verbatim, mood) AS ({sql}) "  # noqa: S608
            f"SELECT category, CASE WHEN mood IS NULL THEN 'none' WHEN mood > {OVERALL_CUT} THEN 'positive' "
            f"WHEN mood < -{OVERALL_CUT} THEN 'negative' ELSE 'neutral' END AS bucket, COUNT(*) "
            "FROM per_row GROUP BY category, bucket",
            params,
        )
        for category, bucket, n in cursor.fetchall():
            entry = counts.setdefault(category, dict.fromkeys((*_KEYS, "all"), 0))
            entry[bucket] += n
            entry["all"] += n
    return counts


def _parts(counts: dict[str, int], n_rows: int) -> list[tuple[float, str]]:
    """Return the bar's parts in percent of the rows, with their CSS classes."""
    return [(100 * counts[key] / n_rows, f"is-{key}") for key in _KEYS if counts.get(key)] if n_rows else []


def _bar(counts: dict[str, int] | None, n_rows: int) -> dict[str, Any]:
    counts = counts or dict.fromkeys((*_KEYS, "all"), 0)
    return {
        "n": counts["all"],
        "share": counts["all"] / n_rows if n_rows else 0.0,
        "counts": counts,
        "parts": _parts(counts, n_rows),
        "whole": [(100 * counts["all"] / n_rows, "")] if n_rows else [],
    }


def result_categories(*, column: Column, row_filter: RowFilter) -> dict[str, Any]:
    """Return categories with their topics and bars, the rows they are shares of, and the widest share."""
    numbers = row_counts(column=column, row_filter=row_filter)
    n_rows = numbers["n_rows"] - numbers["n_empty"]
    topics = topic_counts(column=column, row_filter=row_filter)
    categories = cached_by_revision(
        column, _name("category_counts", row_filter), lambda: _category_counts(column, row_filter)
    )
    found: dict[int, dict[str, Any]] = {
        category.pk: {"category": category, "topics": [], **_bar(categories.get(category.pk), n_rows)}
        for category in Category.objects.filter(column=column, deleted_at=None).order_by("position", "id")
    }
    for topic in topic_list(column=column):
        if topic.category_id in found:
            found[topic.category_id]["topics"].append({"topic": topic, **_bar(topics.get(topic.pk), n_rows)})
    entries = sorted(found.values(), key=lambda entry: -entry["n"])
    for entry in entries:
        entry["topics"].sort(key=lambda line: -line["n"])
    widest = max((100 * entry["share"] for entry in entries), default=0.0)
    ticks = axis_ticks(widest)
    return {
        "categories": entries,
        "n_rows": n_rows,
        "n_empty": numbers["n_empty"],
        "top": ticks[-1][0],
        "ticks": ticks,
    }


def axis_ticks(widest: float) -> list[tuple[float, float]]:
    """Return round numbers of percent for an axis that holds `widest`: (percent, place in percent of the axis)."""
    step = next((one for one in _STEPS if math.ceil(widest / one) <= MOST_TICKS), _STEPS[-1])
    n_steps = max(1, math.ceil(widest / step))
    return [(step * i, 100 * i / n_steps) for i in range(n_steps + 1)]


def statistics(*, column: Column, row_filter: RowFilter) -> dict[str, Any]:
    """Return the numbers of the Statistics tab."""
    numbers = row_counts(column=column, row_filter=row_filter)
    filled = numbers["n_rows"] - numbers["n_empty"]

    def per_person() -> list[tuple[str, int]]:
        query = row_filter.apply(group=True).filter(is_reviewed=True, reviewed_by__isnull=False)
        return list(
            query.order_by()
            .values_list("reviewed_by__username")
            .annotate(n=Count("pk"))
            .order_by("-n", "reviewed_by__username")
        )

    reviewers = cached_by_revision(column, _name("reviewers", row_filter), per_person)
    versions = column.versions.aggregate(n=Count("pk"), n_done=Count("pk", filter=~Q(state="trained")))
    last = (
        column.versions.filter(state="deployed").defer("artifact").first()
        or column.versions.order_by("-number").defer("artifact").first()
    )
    n_repeated = filled - numbers["n_unique"]
    shares = {
        "empty_share": numbers["n_empty"] / numbers["n_rows"] if numbers["n_rows"] else None,
        "reviewed_share": numbers["n_reviewed"] / filled if filled else None,
        "unique_reviewed_share": numbers["n_reviewed_unique"] / numbers["n_unique"]
        if numbers["n_unique"]
        else None,
        "without_share": numbers["n_without_topic"] / filled if filled else None,
        "mean_topics": numbers["n_assignments"] / filled if filled else None,
    }
    return {
        **numbers,
        **shares,
        "n_repeated": n_repeated,
        "n_shown": numbers["n_rows"] - n_repeated,
        "n_topics": topic_list(column=column).count(),
        "n_categories": Category.objects.filter(column=column, deleted_at=None).count(),
        "n_updates": versions["n"],
        "last_version": last,
        "reviewers": reviewers,
        "n_most_reviews": max((n for _, n in reviewers), default=0),
        "n_audit": Verbatim.objects.filter(column=column, is_audit=True, is_reviewed=True).count(),
    }
