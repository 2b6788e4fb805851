"""How the rows that fulfil a condition get into a query: named one by one, or looked at where they stand.

How many rows fulfil a condition the planner can only guess, and a wrong guess costs seconds at a million rows.
So a condition that another table decides does not become part of a query itself; it asks one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import OuterRef, Q, QuerySet

from rows.filters.expressions import there_is, there_is_among
from rows.models import TextBlock

MAX_NAMED = 5_000  # rows that are named one by one in a query
MAX_NUMBERS = 20_000  # row numbers that a page is looked for among
_KEYS = {"pk": "verbatim", "row_number": "row_number"}  # fields of a verbatim, as the other tables call them


class Naming:
    """Few rows are looked up here and named, and the planner knows. Many are a subquery: the rows are read in
    their order, and the first fifty are soon found.
    """

    def rows(self, field: str, values: QuerySet[Any, Any], where: Q | None = None) -> Q:
        """Return the condition that a field of a verbatim is among the values a query finds.

        `where`: what narrows the query to few of its rows, while there are one or two for each verbatim.
        """
        values = (values if where is None else values.filter(where)).order_by()
        few = list(values[: MAX_NAMED + 1])
        return Q(**{f"{field}__in": few if len(few) <= MAX_NAMED else values})

    def blocks(self, blocks: QuerySet[TextBlock]) -> Q | None:
        """Return the condition that a row is in one of these blocks of rows, None where that does not help."""
        most = MAX_NAMED // TextBlock.N_ROWS
        firsts = list(blocks.order_by().values_list("first_number", flat=True)[: most + 1])
        if len(firsts) > most:
            return None
        return Q(row_number__in=[number for first in firsts for number in TextBlock.numbers(first)])


class InPlace(Naming):
    """Nothing is looked up before: each row is looked at where it stands. For a walk through the rows.

    `n` counts the conditions that would have been looked up.
    """

    def __init__(self) -> None:
        self.n = 0

    def rows(self, field: str, values: QuerySet[Any, Any], where: Q | None = None) -> Q:
        self.n += 1
        key = _KEYS[field]
        values = values.order_by().filter(**{key: OuterRef(field)})
        return there_is(values) if where is None else there_is_among(values.values(key), where)

    def blocks(self, blocks: QuerySet[TextBlock]) -> Q | None:
        return None


class Among(Naming):
    """The first condition that few rows fulfil leads, the others are looked at in what it found.

    Row numbers are kept beside the query: who asks it takes them a few at a time, in the order of the rows.
    """

    def __init__(self) -> None:
        self.is_narrow = False
        self.others: list[tuple[str, QuerySet[Any, Any], Q | None]] = []
        self.numbers: set[int] | None = None
        self.firsts: set[int] | None = None

    def rows(self, field: str, values: QuerySet[Any, Any], where: Q | None = None) -> Q:
        if self.is_narrow:
            self.others.append((field, values, where))
            return Q()
        found = (values if where is None else values.filter(where)).order_by()
        most = MAX_NUMBERS if field == "row_number" else MAX_NAMED
        few = list(found[: most + 1])
        if len(few) > most:
            self.others.append((field, values, where))
            return Q()
        self.is_narrow = True
        if field != "row_number":
            return Q(**{f"{field}__in": few})
        self.numbers = set(few)
        return Q()

    def rest(self) -> Q:
        """Return what else rows must fulfil: all conditions but the one that leads."""
        found = Q()
        for field, values, where in self.others:
            if self.is_narrow:  # so few are left that each can be looked at
                found &= InPlace().rows(field, values, where)
            else:
                many = (values if where is None else values.filter(where)).order_by()
                found &= Q(**{f"{field}__in": many})
        return found

    def blocks(self, blocks: QuerySet[TextBlock]) -> Q | None:
        self.firsts = set(blocks.order_by().values_list("first_number", flat=True))
        self.is_narrow = self.is_narrow or len(self.firsts) * TextBlock.N_ROWS <= MAX_NUMBERS
        return Q()

    @property
    def is_known(self) -> bool:
        """Say whether there are only certain row numbers to be looked at."""
        return self.numbers is not None or self.firsts is not None

    def in_order(self, *, descending: bool) -> Iterator[int]:
        """Yield the row numbers that are to be looked at."""
        firsts = self.firsts
        if self.numbers is not None:
            for number in sorted(self.numbers, reverse=descending):
                if firsts is None or TextBlock.first_of(number) in firsts:
                    yield number
        else:
            for first in sorted(firsts or (), reverse=descending):
                own = TextBlock.numbers(first)
                yield from reversed(own) if descending else own


NAMED = Naming()
