"""The rows of a list, ready to be drawn.

A list draws fifty rows at a time, and people wait for each of them. So rows are plain dicts here, not models
(templates look up keys several times as fast as attributes, and no model is made for every topic of every row);
numbers are text already, because a template would format each of them for the reader's country; and a chip that
several rows have is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from projects.models import Column, ColumnType
from rows.models import Assignment, Verbatim
from topicassign.templatetags.ui import topic_chip
from topics.models import Topic

CELL_CHARS = 80
TEXT_CHARS = 900  # of a text in the list; the whole of it is in the panel
_FIELDS = (
    "pk", "row", "row_number", "text", "language", "is_empty", "is_highlighted", "is_reviewed", "sentiment",
    "group_size", "revision",
)  # fmt: skip


def row_list(
    verbatims: QuerySet[Verbatim], ids: Sequence[int], *, shown: Sequence[Column] = (), base_url: str = ""
) -> list[dict[str, Any]]:
    """Return those of the verbatims that are named by `ids`, in that order, as `rows/_rows.html` draws them.

    `shown` are the other columns under each text; `base_url` is the address of a row without its id.
    """
    fields = (*_FIELDS, "row__values") if shown else _FIELDS
    lines = {line[0]: line for line in verbatims.filter(pk__in=ids).order_by().values_list(*fields)}
    found = [lines[pk] for pk in ids if pk in lines]
    chips = _chips([line[0] for line in found])
    cells = _cells({line[1]: line[-1] for line in found}, shown) if shown else {}
    base = conditional_escape(base_url)
    rows = []
    for line in found:
        pk, row, number, text, language, is_empty, is_highlighted, is_reviewed, sentiment, size, revision = line[
            :11
        ]
        rows.append(
            {
                "pk": _digits(pk),
                "url": mark_safe(f"{base}{pk}/"),  # noqa: S308  (escaped, and digits)
                "number": _digits(number),
                "text": text,
                "is_long": len(text) > TEXT_CHARS,
                "language": language,
                "is_empty": is_empty,
                "is_highlighted": is_highlighted,
                "is_reviewed": is_reviewed,
                "sentiment": sentiment,
                "n_identical": size if size > 1 else 0,
                "revision": _digits(revision),
                "chips": chips.get(pk, ()),
                "cells": cells.get(row, ()),
            }
        )
    return rows


def _digits(number: int) -> SafeString:
    """Return a whole number as text that no template looks at again."""
    return mark_safe(str(int(number)))  # noqa: S308


def _chips(ids: Sequence[int]) -> dict[int, list[SafeString]]:
    """Return the chips of the topics of each verbatim, in their order."""
    assignments = list(
        Assignment.objects.filter(verbatim__in=ids)
        .order_by("position", "-probability", "id")
        .values_list("verbatim", "topic", "sentiment", "source", "probability")
    )
    wanted = {topic for _verbatim, topic, *_rest in assignments}
    topics = {
        topic.pk: topic
        for topic in Topic.objects.filter(pk__in=wanted, deleted_at=None).select_related("category").order_by()
    }
    made: dict[tuple[Any, ...], SafeString] = {}
    chips: dict[int, list[SafeString]] = {}
    for verbatim, topic_id, sentiment, source, probability in assignments:
        if (topic := topics.get(topic_id)) is None:  # deleted
            continue
        key = (topic_id, sentiment, source, probability)
        if key not in made:
            made[key] = topic_chip(topic, sentiment, source, probability)
        chips.setdefault(verbatim, []).append(made[key])
    return chips


def _cells(values: dict[int, dict[str, Any]], shown: Sequence[Column]) -> dict[int, list[tuple[str, str]]]:
    """Return name and text of the cells to show under each row, those left out that are empty."""
    analysed = [other.pk for other in shown if other.type == ColumnType.TEXT_TO_ANALYZE]
    texts: dict[tuple[int, int], str] = {}
    if analysed:
        query = Verbatim.objects.filter(row__in=list(values), column__in=analysed).order_by()
        texts = {(row, column): text for row, column, text in query.values_list("row", "column", "text")}
    cells: dict[int, list[tuple[str, str]]] = {}
    for row, own in values.items():
        cells[row] = []
        for other in shown:
            is_analysed = other.type == ColumnType.TEXT_TO_ANALYZE
            value = texts.get((row, other.pk), "") if is_analysed else own.get(other.ref)
            if value not in (None, "", []):
                text = cell_text(value)
                cells[row].append(
                    (other.name, text if len(text) <= CELL_CHARS else Truncator(text).chars(CELL_CHARS))
                )
    return cells


def cell_text(value: Any) -> str:
    """Return a cell as a person reads it."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return str(value)
