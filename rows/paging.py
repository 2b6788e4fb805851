"""Keyset pages of verbatims: a page costs the same wherever it is, and rows neither repeat nor go missing.

Most orders are those of an index of verbatims. Two are not: the order of a column's cells, which goes
through the table of cells where there is one, and similarity, which the search by meaning has decided.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, F, FloatField, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Length, Lower, NullIf

from projects.models import Column, ColumnType
from rows.filters import RowFilter
from rows.filters.expressions import CellIs, CellNumber, CellText, there_is
from rows.models import Cell, Verbatim, indexed_columns
from rows.text import storable
from rows.walking import numbered_lines

# What the values of a token must be, by field; whole numbers where nothing is said.
_KINDS = {"is_reviewed": (bool,), "certainty": (float, int), "reviewed_at": (datetime,)}
_BY_NUMBER = (ColumnType.NUMERICAL, ColumnType.BOOLEAN)


def page_ids(*, row_filter: RowFilter, after: str, limit: int) -> tuple[list[int], str]:
    """Return the ids of one page in their order, and the token that asks for the next ("" at the end).

    A broken token starts again at the top.
    """
    sort = row_filter.sort
    if sort.fields in (("row_number",), ("-row_number",)):
        place = read_token(after, ((int,),))
        lines = numbered_lines(
            row_filter=row_filter,
            beyond=place[0] if place else None,
            descending=sort.is_descending,
            limit=limit + 1,
        )
        token = write_token(lines[limit - 1][1:]) if len(lines) > limit else ""
        return [pk for pk, _number in lines[:limit]], token
    query = row_filter.apply()
    if sort.key == "similarity":
        return _similar_page(row_filter, query, after, limit)
    if sort.fields[-1].endswith("sort_number"):
        return _cell_page(row_filter, query, after, limit)
    if sort.key == "recent":
        query = query.filter(is_reviewed=True)
    kinds = tuple(_KINDS.get(name.lstrip("-"), (int,)) for name in sort.fields)
    if (beyond := read_token(after, kinds)) is not None:
        query = query.filter(_beyond(sort.fields, beyond))
    plain = [name.lstrip("-") for name in sort.fields]
    found = list(query.order_by(*sort.fields).values_list("pk", *plain)[: limit + 1])
    return [line[0] for line in found[:limit]], write_token(found[limit - 1][1:]) if len(found) > limit else ""


def _cell_page(row_filter: RowFilter, query: QuerySet[Verbatim], after: str, limit: int) -> tuple[list[int], str]:
    """Return a page in the order of a column's cells; rows with an empty one come last in either direction."""
    column = row_filter.sort.column or row_filter.column
    is_indexed = column.pk in indexed_columns([column.pk])
    value = "number" if column.type in (*_BY_NUMBER, ColumnType.TEXT_TO_ANALYZE) else "word"
    sign = "-" if row_filter.sort.is_descending else ""
    token = read_token(
        after, ((int,), (int, float, str), (int,))
    )  # 0, value and row number; or 1, 0 and row number among the empty ones
    found: list[tuple[int, ...]] = []  # what a token holds, row number last
    filled: QuerySet[Any, Any]
    blank: QuerySet[Any, Any]
    if token is None or token[0] == 0:
        if is_indexed:
            cells = Cell.objects.filter(column=column)
            if (
                connection.vendor == "sqlite" and not row_filter.is_active
            ):  # it would make a list of all rows first
                cells = cells.filter(there_is(query.filter(row_number=OuterRef("row_number"))))
            else:
                cells = cells.filter(row_number__in=query.values("row_number"))
            filled = cells.filter(**{f"{value}__isnull": False}).annotate(sort_value=F(value))
        else:
            filled = _with_cell(query, column).filter(sort_value__isnull=False)
        fields = (f"{sign}sort_value", f"{sign}row_number")
        if token is not None:
            filled = filled.filter(_beyond(fields, token[1:]))
        lines = filled.order_by(*fields).values_list("sort_value", "row_number")[: limit + 1]
        found = [(0, *line) for line in lines]
    if len(found) <= limit:
        if is_indexed:
            blank_cells = Cell.objects.filter(column=column, number__isnull=True, word__isnull=True)
            blank = query.filter(row_number__in=blank_cells.values("row_number"))
        else:
            blank = _with_cell(query, column).filter(sort_value__isnull=True)
        if token is not None and token[0] == 1:
            blank = blank.filter(row_number__gt=token[2])
        numbers = blank.order_by("row_number").values_list("row_number", flat=True)
        found += [(1, 0, number) for number in numbers[: limit + 1 - len(found)]]
    shown = [line[-1] for line in found[:limit]]
    ids = dict(
        Verbatim.objects.filter(column=row_filter.column, row_number__in=shown).values_list("row_number", "pk")
    )
    next_token = write_token(list(found[limit - 1])) if len(found) > limit else ""
    return [ids[number] for number in shown], next_token


def _with_cell(query: QuerySet[Verbatim], column: Column) -> QuerySet[Any, Any]:
    if column.type == ColumnType.TEXT_TO_ANALYZE:
        return query.annotate(sort_value=Length("text"))
    if column.type == ColumnType.NUMERICAL:
        return query.annotate(sort_value=CellNumber(column.ref))
    if column.type == ColumnType.BOOLEAN:
        yes_no = Case(
            When(CellIs(column.ref, True), then=1.0),
            When(CellIs(column.ref, False), then=0.0),
            output_field=FloatField(),
        )
        return query.annotate(sort_value=yes_no)
    text: Any = CellText(column.ref)
    folded = Lower(text) if column.type == ColumnType.TEXT else text
    return query.annotate(sort_value=NullIf(folded, Value(""), output_field=TextField()))


def _similar_page(
    row_filter: RowFilter, query: QuerySet[Verbatim], after: str, limit: int
) -> tuple[list[int], str]:
    """Return a page of what a search by meaning found, most similar first. The token is a place in its answer."""
    answer = row_filter.meaning_answer
    token = read_token(after, ((int,),))
    start = token[0] if token else 0
    there = set(query.values_list("pk", flat=True)) if answer and answer.ids else set()
    places = [place for place, pk in enumerate(answer.ids if answer else ()) if place >= start and pk in there]
    ids = [answer.ids[place] for place in places[:limit]] if answer else []
    return ids, write_token([places[limit]]) if len(places) > limit else ""


def _beyond(fields: tuple[str, ...], values: list[Any]) -> Q:
    condition = Q()
    for index, name in enumerate(fields):
        equal = Q(**{fields[i].lstrip("-"): values[i] for i in range(index)})
        compare = f"{name.lstrip('-')}__{'lt' if name.startswith('-') else 'gt'}"
        if isinstance(values[index], bool):  # databases do not order booleans by < everywhere
            wanted = not values[index]
            if values[index] is name.startswith("-"):
                condition |= equal & Q(**{name.lstrip("-"): wanted})
            continue
        condition |= equal & Q(**{compare: values[index]})
    if len(fields) > 1 and not isinstance(values[0], bool):
        first = fields[0]
        bound = "lte" if first.startswith("-") else "gte"
        condition &= Q(**{f"{first.lstrip('-')}__{bound}": values[0]})
    return condition


def write_token(values: Sequence[Any]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def read_token(token: str, kinds: Sequence[tuple[type, ...]]) -> list[Any] | None:
    """Return the values of a token, None for a broken one or one of another order."""
    try:
        values = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return None
    if not isinstance(values, list) or len(values) != len(kinds):
        return None
    found = []
    for value, kind in zip(values, kinds, strict=True):
        if datetime in kind and isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return None
        if type(value) not in kind or (isinstance(value, int) and abs(value) >= 2**63):
            return None
        found.append(storable(value) if isinstance(value, str) else value)
    return found
