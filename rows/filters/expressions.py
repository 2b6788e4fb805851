"""What Django's lookups cannot say: cells inside `Row.values`, and text search that knows umlauts everywhere.

What people type becomes a parameter with its wildcards escaped: never SQL, never a regular expression.
"""

from __future__ import annotations

import json
import re
from typing import Any

from django.db.models import (
    BooleanField,
    Count,
    F,
    FloatField,
    Func,
    IntegerField,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
)  # fmt: skip
from django.db.models.lookups import GreaterThan, IsNull

ROW_VALUES = "row__values"
_LIKE_SPECIAL = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def like_pattern(term: str, *, whole: bool = False) -> str:
    """Return a LIKE pattern (escape character: backslash) for texts that hold, or are, the term."""
    escaped = term.translate(_LIKE_SPECIAL)
    return escaped if whole else f"%{escaped}%"


def glob_pattern(term: str, *, whole: bool = False) -> str:
    """Return a GLOB pattern without regard to case: SQLite's LIKE knows the cases of ASCII only."""
    parts = []
    for char in term:
        cases = {char, *(case for case in (char.lower(), char.upper()) if len(case) == 1)}
        parts.append(f"[{''.join(sorted(cases))}]" if len(cases) > 1 or char in "*?[" else char)
    inner = "".join(parts)
    return inner if whole else f"*{inner}*"


class Holds(Func):
    """Say whether a text holds a term, without regard to case (`whole`: is the term)."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, expression: Any, term: str, *, whole: bool = False) -> None:
        super().__init__(expression)
        self.term, self.whole = term, whole

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"({sql} ILIKE %s)", [*params, like_pattern(self.term, whole=self.whole)]

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        if self.term.isascii():
            return f"({sql} LIKE %s ESCAPE '\\')", [*params, like_pattern(self.term, whole=self.whole)]
        found, pattern = f"({sql} GLOB %s)", glob_pattern(self.term, whole=self.whole)
        known = max(re.findall("[\x20-\x7e]+", self.term), key=len, default="")
        if not known:
            return found, [*params, pattern]
        # LIKE takes a fifth of the time: it looks for what it knows, and leaves GLOB little to look at.
        sieve = f"({sql} LIKE %s ESCAPE '\\')"
        return f"({sieve} AND {found})", [*params, like_pattern(known), *params, pattern]


class Bytes(Func):
    """How many bytes a text takes (PostgreSQL)."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()


class HoldsPairs(Func):
    """Say whether a block of texts holds all these letters or pairs of letters (PostgreSQL, by its index)."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, expression: Any, pairs: list[str]) -> None:
        super().__init__(expression)
        self.pairs = pairs

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"(string_to_array({sql}, E'\\x1f') @> %s::text[])", [*params, self.pairs]


def there_is(query: QuerySet[Any, Any]) -> Q:
    """Return the condition that a correlated query finds something, asked row by row.

    Of EXISTS the planner may make a join and collect what is there in all rows first: a bad idea for one page
    where many fulfil it, and it does not know how many.
    """
    first = Subquery(query.annotate(one=Value(1)).values("one")[:1], output_field=IntegerField())
    return Q(IsNull(first, False))


def there_is_among(query: QuerySet[Any, Any], where: Q) -> Q:
    """Return the condition that one of the few rows of a correlated query is as asked.

    `where` is no condition of the query itself: the planner would take the index of it, and read a month of dates
    to find the day of one row.
    """
    found = query.annotate(n=Count("pk", filter=where)).values("n")
    return Q(GreaterThan(Subquery(found, output_field=IntegerField()), 0))


class _Cell(Func):
    """A cell of `Row.values`, by the ref of its column."""

    def __init__(self, ref: str, source: str = ROW_VALUES) -> None:
        super().__init__(F(source))
        self.ref = ref

    @property
    def path(self) -> str:
        return f'$."{self.ref}"'


class CellText(_Cell):
    """The cell as text; null where there is none."""

    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"({sql} ->> %s)", [*params, self.ref]

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"JSON_EXTRACT({sql}, %s)", [*params, self.path]


class CellNumber(_Cell):
    """The cell as a number; null where it is none."""

    output_field = FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        sql, params = compiler.compile(self.source_expressions[0])
        case = f"CASE WHEN jsonb_typeof({sql} -> %s) = 'number' THEN ({sql} ->> %s)::float8 END"
        return case, [*params, self.ref, *params, self.ref]

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        case = (
            f"CASE WHEN JSON_TYPE({sql}, %s) IN ('integer', 'real') THEN CAST(JSON_EXTRACT({sql}, %s) AS REAL) END"
        )
        return case, [*params, self.path, *params, self.path]


class CellIs(_Cell):
    """Say whether the cell is this value, or has it among its options."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, ref: str, value: Any, *, among: bool = False, source: str = ROW_VALUES) -> None:
        super().__init__(ref, source)
        self.value, self.among = value, among

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        sql, params = compiler.compile(self.source_expressions[0])
        wanted = {self.ref: [self.value] if self.among else self.value}
        return f"({sql} @> %s::jsonb)", [*params, json.dumps(wanted)]  # the operator of the GIN index

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        wanted = int(self.value) if isinstance(self.value, bool) else self.value
        kinds = "('true', 'false')" if isinstance(self.value, bool) else "('text', 'integer', 'real')"
        found = f"EXISTS (SELECT 1 FROM JSON_EACH({sql}, %s) AS o WHERE o.type IN {kinds} AND o.atom = %s)"  # noqa: S608
        return found, [*params, self.path, wanted]


class CellBlank(_Cell):
    """Say whether the cell is empty: not there, null, "" or no option at all."""

    output_field = BooleanField()
    conditional = True

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"(COALESCE({sql} ->> %s, '') IN ('', '[]'))", [*params, self.ref]

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"(COALESCE(JSON_EXTRACT({sql}, %s), '') IN ('', '[]'))", [*params, self.path]
