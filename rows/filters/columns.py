"""Conditions on the other columns of the table, by type.

In the query string a condition on the column 12 is `c12.op` with the values `c12.a` and `c12.b`, or the
options `c12.is`; the first operator of a type goes without saying:

    c12.op=between&c12.a=3&c12.b=7      c12.is=North&c12.is=South      c12.op=last&c12.n=3&c12.unit=months
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Length
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    LessThanOrEqual,
)
from django.http import QueryDict
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from projects.models import Column, ColumnType
from rows.filters.expressions import Bytes, CellBlank, CellIs, CellNumber, CellText, Holds
from rows.filters.naming import NAMED, Naming
from rows.filters.standard import TRIGRAM
from rows.models import Cell, Verbatim
from rows.text import storable

MAX_OPTIONS = 200
TERM_CHARS = 500
UNITS = {"days": gettext_lazy("days"), "weeks": gettext_lazy("weeks"), "months": gettext_lazy("months")}
_NUMBER_OPS = {
    "eq": gettext_lazy("="), "ne": gettext_lazy("≠"), "lt": gettext_lazy("<"), "le": gettext_lazy("≤"),
    "gt": gettext_lazy(">"), "ge": gettext_lazy("≥"), "between": gettext_lazy("between"),
}  # fmt: skip
_TEXT_OPS = {
    "contains": gettext_lazy("contains"),
    "not_contains": gettext_lazy("does not contain"),
    "equals": gettext_lazy("is exactly"),
}
_OPTION_OPS = {"any": gettext_lazy("is any of"), "none": gettext_lazy("is none of")}
_MULTI_OPS = {
    "any": gettext_lazy("has any of"), "all": gettext_lazy("has all of"), "none": gettext_lazy("has none of"),
}  # fmt: skip
_DATE_OPS = {"between": gettext_lazy("from … to"), "last": gettext_lazy("in the last")}
_BLANK_OPS = {"filled": gettext_lazy("not empty"), "empty": gettext_lazy("empty")}
OPS: dict[str, dict[str, Any]] = {
    ColumnType.NUMERICAL: {**_NUMBER_OPS, **_BLANK_OPS},
    ColumnType.TEXT: {**_TEXT_OPS, **_BLANK_OPS},
    ColumnType.TEXT_TO_ANALYZE: {**_TEXT_OPS, **_BLANK_OPS},
    ColumnType.DATE: {**_DATE_OPS, **_BLANK_OPS},
    ColumnType.BOOLEAN: {"any": gettext_lazy("is"), **_BLANK_OPS},
    ColumnType.SINGLE_SELECT: {**_OPTION_OPS, **_BLANK_OPS},
    ColumnType.LANGUAGE: {**_OPTION_OPS, **_BLANK_OPS},
    ColumnType.MULTI_SELECT: {**_MULTI_OPS, **_BLANK_OPS},
}
WITH_OPTIONS = (
    ColumnType.BOOLEAN, ColumnType.SINGLE_SELECT, ColumnType.LANGUAGE, ColumnType.MULTI_SELECT,
)  # fmt: skip
PARTS = ("op", "a", "b", "n", "unit", "is")
_NAME = re.compile(r"c(\d{1,18})\.(?:op|a|b|n|is)")


def parse_number(text: str) -> float | None:
    """Return a number as people type it (1.5, 1,5), None for anything else."""
    text = text.strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        number = float(text) if len(text) <= 60 and "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


def rolling_start(today: date, n: int, unit: str) -> date:
    """Return the first day of "the last n days, weeks or months", today included."""
    if unit == "months":
        months = today.year * 12 + today.month - 1 - n
        year, month = max(1, months // 12), months % 12 + 1
        for day in (today.day, 30, 29, 28):
            try:
                return date(year, month, min(today.day, day))
            except ValueError:
                continue
    days = n * 7 if unit == "weeks" else n
    return today - timedelta(days=min(days, today.toordinal()) - 1)


def parse_rolling(n_text: str, unit: str) -> tuple[int, str] | None:
    n_text = n_text.strip()
    if unit in UNITS and n_text.isdecimal() and n_text.isascii() and len(n_text) <= 4 and int(n_text) > 0:
        return int(n_text), unit
    return None


def number_text(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def range_text(first: str | None, last: str | None) -> str:
    if first and last:
        return _("%(first)s to %(last)s") % {"first": first, "last": last}
    return _("from %(first)s") % {"first": first} if first else _("up to %(last)s") % {"last": last}


def day_text(day: date | None) -> str | None:
    return date_format(day, "SHORT_DATE_FORMAT") if day else None


def rolling_text(n: int, unit: str) -> str:
    return {
        "days": ngettext("last day", "last %(n)s days", n),
        "weeks": ngettext("last week", "last %(n)s weeks", n),
        "months": ngettext("last month", "last %(n)s months", n),
    }[unit] % {"n": n}  # fmt: skip


@dataclass(frozen=True)
class ColumnCondition:
    """One condition on one other column; `op` and `values` fit its type."""

    column: Column
    op: str
    values: tuple[Any, ...] = ()

    @classmethod
    def from_query(cls, data: QueryDict, column: Column) -> ColumnCondition | None:
        """Read the condition on a column; None where what is asked for makes no sense for its type."""
        name = f"c{column.pk}"
        options = tuple(
            dict.fromkeys(storable(value)[:TERM_CHARS] for value in data.getlist(f"{name}.is") if value != "")
        )
        op = data.get(f"{name}.op") or default_op(column)
        if op not in OPS[column.type]:
            return None
        if op in _BLANK_OPS:
            return cls(column, op)
        ends = ("n", "unit") if op == "last" else ("a", "b")
        first, second = (storable(data.get(f"{name}.{end}", "")) for end in ends)
        values = _READERS[ColumnType(column.type)](op, first, second, options[:MAX_OPTIONS])
        return cls(column, op, values) if values is not None else None

    def parameters(self) -> list[tuple[str, str]]:
        """Return the pairs of the query string."""
        name = f"c{self.column.pk}"
        if self.op in _BLANK_OPS:
            return [(f"{name}.op", self.op)]
        if self.column.type in WITH_OPTIONS:
            options = ["yes" if value is True else "no" if value is False else value for value in self.values]
            pairs = [(f"{name}.is", option) for option in options]
            return [*self._op_pair(), *pairs]
        shown = [
            "" if value is None else number_text(value) if isinstance(value, float) else str(value)
            for value in self.values
        ]
        ends = ("n", "unit") if self.op == "last" else ("a", "b")
        return [
            *self._op_pair(),
            *((f"{name}.{end}", text) for end, text in zip(ends, shown, strict=False) if text),
        ]

    def _op_pair(self) -> list[tuple[str, str]]:
        return [] if self.op == default_op(self.column) else [(f"c{self.column.pk}.op", self.op)]

    def describe(self) -> str:
        """Return the condition as its chip reads it."""
        name, values = self.column.name, self.values
        if self.op in _BLANK_OPS:
            return f"{name}: {_BLANK_OPS[self.op]}"
        if self.column.type == ColumnType.DATE:
            text = (
                rolling_text(*values) if self.op == "last" else range_text(*(day_text(value) for value in values))
            )
            return f"{name}: {text}"
        if self.column.type == ColumnType.NUMERICAL:
            shown = [number_text(value) if value is not None else None for value in values]
            if self.op == "between":
                return f"{name}: {range_text(*shown)}"
            return f"{name} {_NUMBER_OPS[self.op]} {shown[0]}"
        if self.column.type in WITH_OPTIONS:
            words = [_("yes") if value is True else _("no") if value is False else value for value in values]
            listed = ", ".join(words[:3]) + (f" +{len(words) - 3}" if len(words) > 3 else "")
            if self.op == "any":
                return f"{name}: {listed}"
            return f"{name} {OPS[self.column.type][self.op]}: {listed}"
        return f"{name} {_TEXT_OPS[self.op]}: {values[0]}"

    def condition(self, *, is_indexed: bool, naming: Naming = NAMED) -> Q:
        """Return what verbatims must fulfil; `is_indexed`: the column's cells are in the table of cells."""
        if self.column.type == ColumnType.TEXT_TO_ANALYZE:
            return self._on_other_text()
        each = self._on_index() if is_indexed else []
        if not each:
            return self._on_values()
        cells = Cell.objects.filter(column=self.column)
        if self.op in ("ne", "none"):
            return ~Q(Exists(cells.filter(each[0], row_number=OuterRef("row_number"))))
        found = Q()
        for one in each:
            found &= naming.rows("row_number", cells.values_list("row_number", flat=True), one)
        if self.op == "contains" and not self._has_whole_text:
            # The index keeps the beginning of a long cell: what it found may only be possible.
            return found & self._on_values()
        return found

    @property
    def _has_whole_text(self) -> bool:
        """Say whether a piece of text is found by its trigrams."""
        return connection.vendor == "postgresql" and bool(TRIGRAM.search(self.values[0].lower()))

    def days(self) -> tuple[date | None, date | None]:
        """Return first and last day of a condition on dates."""
        if self.op == "last":
            today = timezone.localdate()
            return rolling_start(today, *self.values), today
        return self.values[0], self.values[1]

    def _on_values(self) -> Q:
        ref, op, values = self.column.ref, self.op, self.values
        if op in _BLANK_OPS:
            blank = Q(CellBlank(ref))
            return blank if op == "empty" else ~blank
        if self.column.type == ColumnType.NUMERICAL:
            return _number_condition(CellNumber(ref), op, values)
        if self.column.type == ColumnType.DATE:
            return _day_condition(CellText(ref), *self.days())
        if self.column.type in WITH_OPTIONS:
            among = self.column.type == ColumnType.MULTI_SELECT
            each = [Q(CellIs(ref, value, among=among)) for value in values]
            found = Q()
            for one in each:
                found = found & one if op == "all" else found | one
            return ~found if op == "none" else found
        held = Q(Holds(CellText(ref), values[0], whole=op == "equals"))
        return ~held | Q(CellBlank(ref)) if op == "not_contains" else held

    def _on_index(self) -> list[Q]:
        """Return conditions on cells, each a range of an index, all to be met; for ≠ and none: what is left out.

        Nothing where an index does not help.
        """
        op, values = self.op, self.values
        if op in _BLANK_OPS:
            blank = Q(number__isnull=True, word__isnull=True)
            return [blank if op == "empty" else ~blank]
        if self.column.type == ColumnType.NUMERICAL:
            return [_bounds("number", "eq" if op == "ne" else op, values)]
        if self.column.type == ColumnType.DATE:
            first, last = self.days()
            found = Q(word__isnull=False)
            if first:
                found &= Q(word__gte=first.isoformat())
            if last and last < date.max:
                found &= Q(word__lt=(last + timedelta(days=1)).isoformat())
            return [found]
        if self.column.type == ColumnType.BOOLEAN:
            return [Q(number__in=[float(value) for value in values])]
        if op == "contains":
            if self._has_whole_text:
                return [Q(text__contains=values[0].lower())]
            cut = Q(Exact(Length("word"), Cell.WORD_CHARS))
            if connection.vendor == "postgresql":  # counting letters takes longer than looking for some
                cut = Q(GreaterThanOrEqual(Bytes("word"), Cell.WORD_CHARS)) & cut
            return [Q(word__contains=values[0].lower()) | cut]
        if op == "not_contains" or any(len(value) >= Cell.WORD_CHARS for value in values):
            return []  # looks at nearly all cells, or at more than the index keeps of one
        if self.column.type == ColumnType.TEXT:
            return [Q(word=values[0].lower())]
        return [Q(word=value) for value in values] if op == "all" else [Q(word__in=values)]

    def _on_other_text(self) -> Q:
        texts = Verbatim.objects.filter(row=OuterRef("row"), column=self.column)
        if self.op in _BLANK_OPS:
            return Q(Exists(texts.filter(is_empty=self.op == "empty")))
        held = Q(Holds("text", self.values[0], whole=self.op == "equals"))
        if self.op == "not_contains":
            return ~Q(Exists(texts.filter(held)))
        return Q(Exists(texts.filter(held)))


def _bounds(name: str, op: str, values: Sequence[float | None]) -> Q:
    if op == "between":
        low, high = values
        found = Q(**{f"{name}__gte": low}) if low is not None else Q()
        return found & Q(**{f"{name}__lte": high}) if high is not None else found
    lookup = {"eq": "exact", "lt": "lt", "le": "lte", "gt": "gt", "ge": "gte"}[op]
    return Q(**{f"{name}__{lookup}": values[0]})


def _number_condition(cell: CellNumber, op: str, values: Sequence[float | None]) -> Q:
    if op == "between":
        low, high = values
        found = Q(GreaterThanOrEqual(cell, low)) if low is not None else Q()
        return found & Q(LessThanOrEqual(cell, high)) if high is not None else found
    if op == "ne":  # an empty cell is not that number either
        return ~Q(Exact(cell, values[0])) | Q(IsNull(cell, True))
    lookup = {"eq": Exact, "lt": LessThan, "le": LessThanOrEqual, "gt": GreaterThan, "ge": GreaterThanOrEqual}
    return Q(lookup[op](cell, values[0]))


def _day_condition(cell: CellText, first: date | None, last: date | None) -> Q:
    """Moments are ISO text, so days compare as text; the day counts as it was written."""
    found = Q()
    if first:
        found &= Q(GreaterThanOrEqual(cell, first.isoformat()))
    if last and last < date.max:
        found &= Q(LessThan(cell, (last + timedelta(days=1)).isoformat()))
    return found


def _read_numbers(op: str, first: str, second: str, options: Sequence[str]) -> tuple[Any, ...] | None:
    low, high = parse_number(first), parse_number(second)
    if op == "between":
        broken = (low is None and first.strip()) or (high is None and second.strip())
        return None if broken or (low is None and high is None) else (low, high)
    return (low,) if low is not None else None


def default_op(column: Column) -> str:
    return next(iter(OPS[column.type]))


def is_waiting(data: QueryDict, pk: int) -> bool:
    """Say whether somebody has chosen an operator but no value yet: nothing to complain about."""
    valued = any(value.strip() for part in ("a", "b", "n", "is") for value in data.getlist(f"c{pk}.{part}"))
    return not valued and any(data.get(f"c{pk}.op") in ops for ops in OPS.values())


def _read_days(op: str, first: str, second: str, options: Sequence[str]) -> tuple[Any, ...] | None:
    if op == "last":
        return parse_rolling(first, second or "days")
    start, end = parse_day(first), parse_day(second)
    broken = (start is None and first.strip()) or (end is None and second.strip())
    return None if broken or (start is None and end is None) else (start, end)


def _read_term(op: str, first: str, second: str, options: Sequence[str]) -> tuple[Any, ...] | None:
    term = first.strip()[:TERM_CHARS]
    return (term,) if term else None


def _read_options(op: str, first: str, second: str, options: Sequence[str]) -> tuple[Any, ...] | None:
    return tuple(options) or None


def _read_booleans(op: str, first: str, second: str, options: Sequence[str]) -> tuple[Any, ...] | None:
    known = {"yes": True, "no": False}
    return tuple(known[option] for option in options if option in known) or None


_READERS = {
    ColumnType.NUMERICAL: _read_numbers,
    ColumnType.DATE: _read_days,
    ColumnType.TEXT: _read_term,
    ColumnType.TEXT_TO_ANALYZE: _read_term,
    ColumnType.BOOLEAN: _read_booleans,
    ColumnType.SINGLE_SELECT: _read_options,
    ColumnType.LANGUAGE: _read_options,
    ColumnType.MULTI_SELECT: _read_options,
}


def column_ids(data: QueryDict) -> list[int]:
    """Return the ids of the columns a query string has conditions on, in its order."""
    found = (_NAME.fullmatch(name) for name, values in data.lists() if any(values))
    return list(dict.fromkeys(int(match[1]) for match in found if match))
