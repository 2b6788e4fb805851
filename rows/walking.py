"""Pages in the order of the rows, for filters that other tables decide: topics, texts, cells.

What is frequent is found soonest by looking at the rows one after the other, what is rare by asking the other
table first; and nobody knows beforehand which it is. So the first rows are looked at. What they hold says
whether the page will be full before long; if not, the other tables are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from django.db.models import QuerySet

from rows.filters import RowFilter
from rows.filters.naming import Among, InPlace
from rows.models import Verbatim

FIRST_ROWS = 1_500  # looked at before anything else is asked; three times as many more where one was found
WALK_ROWS = 60_000  # most rows looked at one after the other, if they promise to fill the page
NUMBERS_AT_ONCE = (300, 3_000)  # row numbers asked for in one statement: the first time, and then

Line = tuple[int, int]  # id, row number


def numbered_lines(*, row_filter: RowFilter, beyond: int | None, descending: bool, limit: int) -> list[Line]:
    """Return up to `limit` rows beyond a row number, in the order of the rows."""
    in_place = InPlace()
    query = row_filter.apply(naming=in_place)
    if not in_place.n:
        return _lines(query, beyond, descending, limit)
    found, beyond, is_over = _walk(row_filter, query, beyond, descending, limit)
    if is_over or len(found) >= limit:
        return found
    among = Among()
    query = row_filter.apply(naming=among).filter(among.rest())
    if not among.is_known:
        return found + _lines(query, beyond, descending, limit - len(found))
    for part in _parts(among, beyond, descending):
        found += _lines(query.filter(row_number__in=part), None, descending, limit - len(found))
        if len(found) >= limit:
            break
    return found


def _walk(
    row_filter: RowFilter, query: QuerySet[Verbatim], beyond: int | None, descending: bool, limit: int
) -> tuple[list[Line], int | None, bool]:
    """Return what was found, the last row number looked at, and whether there are no more rows."""
    numbers = Verbatim.objects.filter(column=row_filter.column).values_list("row_number", flat=True)
    end = numbers.order_by("row_number" if descending else "-row_number").first()
    if end is None:
        return [], beyond, True
    if beyond is None:
        last = numbers.order_by("-row_number").first() if descending else None
        beyond = last + 1 if last is not None else 0
    found: list[Line] = []
    walked, step = 0, FIRST_ROWS
    while True:
        if descending:
            part = query.filter(row_number__lt=beyond, row_number__gte=beyond - step)
            beyond -= step
        else:
            part = query.filter(row_number__gt=beyond, row_number__lte=beyond + step)
            beyond += step
        found += _lines(part, None, descending, limit - len(found))
        walked += step
        if len(found) >= limit or (beyond <= end if descending else beyond >= end):
            return found, beyond, len(found) < limit
        if not found:
            return found, beyond, False
        expected = int(walked / len(found) * (limit - len(found)))
        if walked == FIRST_ROWS and expected > 3 * FIRST_ROWS:
            step = 3 * FIRST_ROWS  # too little to judge by
        elif walked + expected > WALK_ROWS:
            return found, beyond, False
        else:
            step = max(FIRST_ROWS, int(expected * 1.2))


def _lines(query: QuerySet[Verbatim], beyond: int | None, descending: bool, limit: int) -> list[Line]:
    if beyond is not None:
        query = query.filter(row_number__lt=beyond) if descending else query.filter(row_number__gt=beyond)
    order = "-row_number" if descending else "row_number"
    return list(query.order_by(order).values_list("pk", "row_number")[:limit])


def _parts(among: Among, beyond: int | None, descending: bool) -> Iterator[list[int]]:
    """Yield the row numbers that are left beyond a row, in order, few at first."""
    left = (
        number
        for number in among.in_order(descending=descending)
        if beyond is None or (number < beyond if descending else number > beyond)
    )
    size, later = NUMBERS_AT_ONCE
    while part := list(islice(left, size)):
        yield part
        size = later
