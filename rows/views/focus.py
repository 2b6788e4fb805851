"""Focus mode: one unreviewed row after the other, least certain first."""

from __future__ import annotations

import math
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from projects.history import change_undo
from projects.models import ChangeKind, Column
from projects.selectors import get_column_for_write
from rows import hooks
from rows.focus import focus_next
from rows.models import Verbatim
from rows.reviewing import Line, ReviewForm, card_read, card_sign, last_change, lines_of, skipped_ids
from rows.selectors import get_verbatim
from rows.services import reviews
from rows.views.browser import cell_text, may_edit_topics
from rows.views.options import shown_columns
from rows.views.sidebar import arrived_before, conflict, picker_context, trigger
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.models import Topic

TARGET_SHARE = 0.2
TARGET_ROWS = 300
MAX_PROPOSALS = 10


COUNT_LIMIT = 10_000  # counting stops there: no card waits for a count of all rows


def review_target(n_unique: int) -> int:
    """Return how many reviews are advised: about a fifth of the rows, at most 300 (spec S4.4)."""
    return min(TARGET_ROWS, math.ceil(TARGET_SHARE * n_unique), n_unique)


def progress(column: Column) -> dict[str, Any]:
    """Return the numbers above the card; beyond COUNT_LIMIT they say "at least"."""
    rows = Verbatim.objects.filter(column=column, is_group_head=True, is_empty=False).order_by()
    key = f"column:{column.pk}:n_unique"
    n_unique = cache.get(key)
    if n_unique is None:
        n_unique = rows[:COUNT_LIMIT].count()
        cache.set(key, n_unique, 60)
    n_reviewed = rows.filter(is_reviewed=True)[:COUNT_LIMIT].count()
    return {"n_reviewed": n_reviewed, "n_unique": n_unique, "target": review_target(n_unique)}


def _lines(column: Column, verbatim: Verbatim) -> list[Line]:
    """Return the row's topics, then the likely ones the AI did not assign, most likely first."""
    lines = lines_of(verbatim.assignments.all())
    have = {line.topic.pk for line in lines}
    likely: list[tuple[int, float, int | None]] = hooks.proposals.first(
        default=[], column=column, verbatim=verbatim
    )
    more = [one for one in likely if one[0] not in have][: max(0, MAX_PROPOSALS - len(lines))]
    topics = {
        topic.pk: topic
        for topic in Topic.objects.filter(
            column=column, deleted_at=None, pk__in=[one[0] for one in more]
        ).select_related("category")
    }
    known = {one[0]: one[1] for one in likely}
    for line in lines:
        if line.probability is None:
            line.probability = known.get(line.topic.pk)
    lines += [Line(topics[pk], False, guess, share, "ai") for pk, share, guess in more if pk in topics]
    return lines


def _card(
    request: HttpRequest, column: Column, found: Verbatim | None, *, is_audit: bool, skip: list[int]
) -> dict[str, Any]:
    context: dict[str, Any] = {"column": column, "verbatim": found, "skip": ",".join(str(pk) for pk in skip)}
    if found is None:
        context["n_skipped"] = len(skip)
        return context
    cells = []
    for other in shown_columns(request, column):
        value = found.row.values.get(other.ref)
        if value not in (None, "", []):
            cells.append((other.name, cell_text(value)))
    return context | {
        "lines": _lines(column, found),
        "card_token": card_sign(found.pk, is_audit),
        "cells": cells,
    }


def _next(request: HttpRequest, column: Column, *, last_id: int | None, skip: list[int]) -> dict[str, Any]:
    card = focus_next(column=column, last_id=last_id, exclude=skip)
    return _card(
        request, column, card.verbatim if card else None, is_audit=card.is_audit if card else False, skip=skip
    )


@require_safe
def focus(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show focus mode; htmx gets the next card alone (after a skip, or when waiting reviews got through)."""
    column = get_column_for_write(request.user, column_id)
    skip = skipped_ids(request.GET.get("skip", ""))
    context = _next(request, column, last_id=skip[-1] if skip else None, skip=skip)
    context |= progress(column)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "rows/_focus_answer.html", context)
    context |= picker_context(column) | {"project": column.project, "may_edit_topics": may_edit_topics(column)}
    return render(request, "rows/focus.html", context)


@require_safe
def palette(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the list of all topics anew, after the collection changed."""
    column = get_column_for_write(request.user, column_id)
    context = picker_context(column) | {"column": column, "may_edit_topics": may_edit_topics(column)}
    return render(request, "rows/_palette.html", context)


@require_POST
def focus_review(request: HttpRequest, column_id: int) -> HttpResponse:
    """Save the review of the card and return the next one."""
    column = get_column_for_write(request.user, column_id)
    pk = request.POST.get("verbatim", "")
    if not pk.isdecimal() or len(pk) > 18:
        raise ApplicationError("This card does not say which row it is. Load the page again.", status=400)
    found = get_verbatim(column=column, verbatim_id=int(pk))
    form = ReviewForm.read(request.POST)
    skip = skipped_ids(request.POST.get("skip", ""))
    try:
        reviews.verbatim_review(
            verbatim=found,
            topics=form.topics,
            revision=form.revision,
            user=request.user,
            is_audit=card_read(request.POST.get("card", ""), found.pk),
        )
    except StaleRevisionError:
        fresh = get_verbatim(column=column, verbatim_id=found.pk)
        if arrived_before(request, fresh, form):
            return trigger(HttpResponse(), ai_changed={})
        return conflict(
            request, column, fresh, form, action=request.path, target="#card",
            card=request.POST.get("card", ""), skip=request.POST.get("skip", ""), in_focus=True,
        )  # fmt: skip
    if not request.htmx:  # type: ignore[attr-defined]  # sent before the page's scripts ran
        return redirect("rows:focus", column_id=column.pk)
    context = _next(request, column, last_id=found.pk, skip=skip) | progress(column)
    context["said"] = f"Row {found.row_number} saved."
    response = render(request, "rows/_focus_answer.html", context)
    events: dict[str, dict[str, Any]] = {"ai_changed": {}}
    if request.POST.get("from_conflict") == "1":
        events["dialog_close"] = {}
    return trigger(response, **events)


@require_POST
def focus_undo(request: HttpRequest, column_id: int) -> HttpResponse:
    """Take back the last review of this person and show that row again."""
    column = get_column_for_write(request.user, column_id)
    change = last_change(column=column, user=request.user, kinds=(ChangeKind.REVIEW, ChangeKind.UNREVIEW))
    if change is None:
        raise ApplicationError("There is no review of yours left to undo.", status=409, code="nothing_to_undo")
    change_undo(change=change, user=request.user)
    found = get_verbatim(column=column, verbatim_id=change.ids[0])
    skip = [pk for pk in skipped_ids(request.POST.get("skip", "")) if pk != found.pk]
    context = _card(request, column, found, is_audit=found.is_audit, skip=skip) | progress(column)
    context["said"] = f"Undone. Row {found.row_number} is here again."
    return trigger(render(request, "rows/_focus_answer.html", context), ai_changed={})
