"""Reading a query string into a filter: whatever is in it, the outcome is a filter and a list of what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.http import QueryDict
from django.utils.translation import gettext as _

from projects.models import Column
from rows.filters import standard
from rows.filters.columns import PARTS, ColumnCondition, column_ids, is_waiting, parse_day, parse_rolling
from rows.filters.sorting import SIMILARITY, SORTS, sort_find
from rows.filters.standard import FLAGS, Lost
from rows.models import AssignmentSource, Verbatim
from rows.text import storable
from topics.models import Category, Topic
from topics.selectors import topics_followed

if TYPE_CHECKING:
    from rows.filters.row_filter import RowFilter

QUERY_CHARS = 500
MAX_ROW = 2_000_000_000


def read_into(found: RowFilter, data: QueryDict) -> None:
    """Set the fields of a new filter."""
    for name in ("q", "meaning"):
        setattr(found, name, storable(data.get(name, "")).strip()[:QUERY_CHARS])
    for name in FLAGS:
        if value := data.get(name, ""):
            if value in standard.YES_NO:
                setattr(found, name, standard.YES_NO[value])
            else:
                _lose(found, name, value, _("Unknown filter"))
    _read_topics(found, data)
    found.sentiments = standard.read_sentiments(data.getlist("sentiment"))
    found.topic_sentiments = standard.read_sentiments(data.getlist("topic_sentiment"))
    known = set(AssignmentSource.values)
    found.sources = [value for value in dict.fromkeys(data.getlist("source")) if value in known]
    found.certainty = _read_range(found, data, "certainty", 100)
    found.row_numbers = _read_range(found, data, "row", MAX_ROW)
    codes = [value for value in dict.fromkeys(data.getlist("language")) if value]
    found.languages = [code for code in codes if len(code) <= 8 and code.isascii() and code.isalpha()]
    found.reviewed_on = _read_days(found, data, "reviewed")
    found.added_on = _read_days(found, data, "added")
    _read_reviewers(found, data)
    _read_columns(found, data)
    found.grouped = standard.YES_NO.get(data.get("grouped", ""), found.grouped_default)


def _lose(row_filter: RowFilter, name: str, value: str, text: str) -> None:
    value = storable(value)[:80]
    row_filter.lost.append(Lost(((name, value),), f"{text}: {value[:40]}"))


def _read_topics(row_filter: RowFilter, data: QueryDict) -> None:
    wanted = [value for value in data.getlist("topic") if value]
    if wanted:
        ids = standard.read_ids(wanted)
        there = {
            topic.pk: topic
            for topic in Topic.objects.filter(pk__in=ids, column=row_filter.column).select_related("category")
        }
        followed = topics_followed(pk for pk, topic in there.items() if topic.deleted_at is not None)
        there |= {pk: topic for pk, (topic, _mood) in followed.items()}  # what it was merged into
        shown = {there[pk].pk: there[pk] for pk in ids if pk in there and there[pk].deleted_at is None}
        row_filter.topics = list(shown.values())
        for value in dict.fromkeys(wanted):
            topic = there.get(int(value)) if value.isascii() and value.isdecimal() and len(value) < 19 else None
            if topic is None:
                _lose(row_filter, "topic", value, _("Unknown topic"))
            elif topic.deleted_at is not None:
                text = _("Deleted topic: %(label)s") % {"label": topic.label}
                row_filter.lost.append(Lost((("topic", value),), text))
    mode = data.get("topic_mode", "any")
    row_filter.topics_mode = mode if mode in {"any", "all", "none"} else "any"
    wanted = [value for value in data.getlist("category") if value]
    if wanted:
        ids = standard.read_ids(wanted)
        found = {one.pk: one for one in Category.objects.filter(pk__in=ids, column=row_filter.column)}
        row_filter.categories = [found[pk] for pk in ids if pk in found and found[pk].deleted_at is None]
        for value in dict.fromkeys(wanted):
            if value not in {str(one.pk) for one in row_filter.categories}:
                _lose(row_filter, "category", value, _("Deleted or unknown category"))


def _read_range(row_filter: RowFilter, data: QueryDict, name: str, high: int) -> tuple[int | None, int | None]:
    ends: list[int | None] = []
    for end in ("min", "max"):
        text = data.get(f"{name}_{end}", "")
        ends.append(standard.read_whole(text, low=0, high=high))
        if text.strip() and ends[-1] is None:
            _lose(row_filter, f"{name}_{end}", text, _("Not a whole number"))
    return ends[0], ends[1]


def _read_days(row_filter: RowFilter, data: QueryDict, name: str) -> tuple[Any, ...]:
    n, unit = data.get(f"{name}_last", ""), data.get(f"{name}_unit", "days")
    if n:
        if rolling := parse_rolling(n, unit):
            return ("last", *rolling)
        _lose(row_filter, f"{name}_last", n, _("Not a number of days, weeks or months"))
    ends = []
    for end in ("from", "to"):
        text = data.get(f"{name}_{end}", "")
        ends.append(parse_day(text))
        if text.strip() and ends[-1] is None:
            _lose(row_filter, f"{name}_{end}", text, _("Not a date"))
    return tuple(ends) if any(ends) else ()


def _read_reviewers(row_filter: RowFilter, data: QueryDict) -> None:
    wanted = [value for value in data.getlist("reviewed_by") if value]
    if not wanted:
        return
    ids = standard.read_ids(wanted)
    # Only people of this column: else anybody could ask whether an id exists, and what it is called.
    seen = Verbatim.objects.filter(column=row_filter.column, is_reviewed=True, reviewed_by__in=ids)
    known = set(seen.order_by().values_list("reviewed_by", flat=True).distinct())
    project = row_filter.column.project
    known |= {project.owner_id} & set(ids)
    known |= set(project.members.filter(user__in=ids).values_list("user", flat=True))
    people = {user.pk: user for user in get_user_model().objects.filter(pk__in=known)}
    row_filter.reviewers = [people[pk] for pk in ids if pk in people]
    for value in dict.fromkeys(wanted):
        if value not in {str(user.pk) for user in row_filter.reviewers}:
            _lose(row_filter, "reviewed_by", value, _("Unknown person"))


def _read_columns(row_filter: RowFilter, data: QueryDict) -> None:
    key = data.get("sort", "")
    ids = column_ids(data)[:100]
    sort_ids = standard.read_ids([key.lstrip("-").removeprefix("c")])
    there: dict[int, Column] = {}
    if ids or sort_ids:
        others = row_filter.column.project.columns.exclude(pk=row_filter.column.pk)
        there = {other.pk: other for other in others.filter(pk__in=[*ids, *sort_ids])}
    for pk in ids:
        condition = ColumnCondition.from_query(data, there[pk]) if pk in there else None
        if condition is not None:
            row_filter.columns.append(condition)
            continue
        names = [f"c{pk}.{part}" for part in PARTS]
        pairs = tuple((name, storable(value)[:80]) for name in names for value in data.getlist(name)[:20] if value)
        if pk not in there:
            row_filter.lost.append(Lost(pairs, _("A column that is no longer there")))
        elif not is_waiting(data, pk):
            text = _("%(column)s: not understood, left out") % {"column": there[pk].name}
            row_filter.lost.append(Lost(pairs, text))
    if not key or key == SIMILARITY.key:
        row_filter.sort = SIMILARITY if row_filter.meaning else SORTS["number"]
    else:
        sort = sort_find(key, there)
        if sort is None:
            _lose(row_filter, "sort", key, _("Unknown order"))
        row_filter.sort = sort or SORTS["number"]
