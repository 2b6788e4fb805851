"""What becomes of each column of an upload, and what its cells are worth under that plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.text import slugify
from django.utils.translation import gettext as _

from projects.models import ColumnType
from rows.importing.prepare import plain_rows
from rows.importing.types import PARSERS, STRICT_TYPES
from rows.text import is_blank
from topicassign.numbers import grouped

SKIP = "skip"  # the column stays out of the project
REF_CHARS = 64
SHOWN_CHARS = 200


@dataclass
class ColumnPlan:
    """A column of the file and what it becomes: a ColumnType or SKIP; `style` is how its cells are written."""

    index: int
    name: str
    type: str
    wording: str = ""
    style: str = ""

    @property
    def is_text_to_analyze(self) -> bool:
        return self.type == ColumnType.TEXT_TO_ANALYZE

    @property
    def index_text(self) -> str:
        """The index for names of form fields: templates cannot add a number to a text."""
        return str(self.index)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class BadCell:
    """A cell that does not fit its column; `row` counts from 1 below the header, as the screen does."""

    row: int
    column: str
    value: str
    reason: str


def plan_default(facts: dict[str, Any]) -> list[ColumnPlan]:
    """Return the plan that the file itself suggests."""
    return [
        ColumnPlan(
            index=column["index"],
            name=column["name"],
            type=column["type"],
            wording=column.get("wording", ""),
            style=column["styles"].get(column["type"], ""),
        )
        for column in facts["columns"]
    ]


def refs(columns: list[ColumnPlan]) -> dict[int, str]:
    """Return a short stable name per column index, unique in the project."""
    taken: set[str] = set()
    found: dict[int, str] = {}
    for position, column in enumerate(columns, 1):
        slug = re.sub(r"[^a-z0-9]+", "_", slugify(column.name)).strip("_")[: REF_CHARS - 5]
        ref, n = slug or f"column_{position}", 1
        while ref in taken:
            n += 1
            ref = f"{slug or f'column_{position}'}_{n}"
        taken.add(ref)
        found[column.index] = ref
    return found


def cell_reader(column: ColumnPlan, placeholders: tuple[str, ...]) -> Callable[[str], Any]:
    """Return a function from a cell to its value, None for an empty one; it raises ValueError with the reason."""
    empty = frozenset(("", *placeholders))
    parse = PARSERS.get(column.type)
    style = column.style
    most = settings.LIMIT_TEXT_CHARS

    if parse is None:

        def read(cell: str) -> Any:
            stripped = cell.strip()
            if stripped in empty:
                return None
            if len(cell) > most:
                raise ValueError(
                    _("has %(n)s characters, at most %(most)s are allowed")
                    % {"n": grouped(len(cell)), "most": grouped(most)}
                )
            return cell

        return read

    known: dict[str, Any] = {}

    def read_typed(cell: str) -> Any:
        stripped = cell.strip()
        if stripped in empty:
            return None
        if stripped in known:  # numbers, dates and options repeat
            return known[stripped]
        if len(stripped) > most:
            raise ValueError(
                _("has %(n)s characters, at most %(most)s are allowed")
                % {"n": grouped(len(stripped)), "most": grouped(most)}
            )
        value = parse(stripped, style)
        if len(known) < 10_000:
            known[stripped] = value
        return value

    return read_typed


def may_be_bad(column: ColumnPlan, fact: dict[str, Any]) -> bool:
    """Say whether the first pass leaves it open that cells of the column do not fit."""
    if fact["n_overlong"]:
        return True
    if column.type not in STRICT_TYPES:
        return False
    if fact["styles"].get(column.type, "") != column.style:
        return True
    return fact["n_misfits"].get(column.type) != 0


def bad_cells(
    path: Path, columns: list[ColumnPlan], facts: dict[str, Any], placeholders: tuple[str, ...]
) -> Iterator[BadCell]:
    """Yield the cells that do not fit their column, reading the file only where that is possible at all."""
    by_index = {fact["index"]: fact for fact in facts["columns"]}
    suspects = [
        (column.index, column.name, cell_reader(column, placeholders))
        for column in columns
        if column.type != SKIP and may_be_bad(column, by_index[column.index])
    ]
    if not suspects:
        return
    for number, cells in enumerate(plain_rows(path), 1):
        for index, name, read in suspects:
            try:
                read(cells[index])
            except ValueError as error:
                value = cells[index].strip()
                shown = value if len(value) <= SHOWN_CHARS else value[: SHOWN_CHARS - 1] + "…"
                yield BadCell(row=number, column=name, value=shown, reason=_(str(error)))


def empty_counts(
    path: Path, columns: list[ColumnPlan], facts: dict[str, Any], placeholders: tuple[str, ...]
) -> dict[int, int]:
    """Return the number of empty cells per text-to-analyze column, placeholders counted as empty."""
    by_index = {fact["index"]: fact for fact in facts["columns"]}
    counts: dict[int, int] = {}
    unsure: list[int] = []
    for column in columns:
        if not column.is_text_to_analyze:
            continue
        fact = by_index[column.index]
        counts[column.index] = fact["n_empty"]
        if not placeholders:
            continue
        if fact["short"] is not None and all(len(one) <= 30 for one in placeholders):
            counts[column.index] += sum(fact["short"].get(one, 0) for one in placeholders)
        else:
            counts[column.index] = 0
            unsure.append(column.index)
    if unsure:
        for cells in plain_rows(path):
            for index in unsure:
                counts[index] += is_blank(cells[index], placeholders)
    return counts
