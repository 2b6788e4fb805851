"""One row: its panel, reviewing it, taking the review back, highlighting it, undoing the last act."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from projects.history import change_undo
from projects.models import Change, ChangeKind, Column
from projects.selectors import get_column_for_read, get_column_for_write
from rows.models import Verbatim
from rows.presence import presence_note, presence_of_others
from rows.reviewing import (
    ReviewForm,
    choices_of,
    history_entries,
    is_saved_already,
    last_change,
    lines_of,
    lines_of_choices,
)
from rows.row_list import cell_text
from rows.selectors import (
    get_verbatim,
    identical_numbers,
    other_cells,
    topic_counts_last,
    topic_list,
    verbatim_history,
)
from rows.services import reviews
from rows.services.bulk import bulk_active
from rows.views.browser import may_edit_topics, may_write
from topicassign.errors import ApplicationError, StaleRevisionError


def picker_context(column: Column) -> dict[str, Any]:
    """Return the topics of the picker, grouped by category, with their counts.

    The counts are those counted last, by the Topics tab: a row must not wait for a count of all rows.
    """
    counts = topic_counts_last(column=column)
    none = {"positive": 0, "neutral": 0, "negative": 0, "none": 0, "all": 0} if counts is not None else {}
    return {"picker_topics": [(topic, (counts or {}).get(topic.pk, none)) for topic in topic_list(column=column)]}


def _state(column: Column, verbatim: Verbatim) -> dict[str, Any]:
    return {
        "column": column,
        "verbatim": verbatim,
        "history": history_entries(verbatim=verbatim, changes=verbatim_history(verbatim=verbatim)),
        "may_write": may_write(column),
    }


def trigger(response: HttpResponse, **events: dict[str, Any]) -> HttpResponse:
    """Send events to the page; all of them go to body, and names are written with underscores here."""
    response["HX-Trigger"] = json.dumps(
        {name.replace("_", "-"): {"target": "body", **detail} for name, detail in events.items()}
    )
    return response


def row_events(verbatim_ids: list[int], source: str) -> dict[str, dict[str, Any]]:
    return {"row_changed": {"ids": verbatim_ids, "source": source}, "ai_changed": {}}


@require_safe
def verbatim(request: HttpRequest, column_id: int, verbatim_id: int) -> HttpResponse:
    """Return the panel of one row."""
    column = get_column_for_read(request.user, column_id)
    found = get_verbatim(column=column, verbatim_id=verbatim_id)
    others = list(column.project.columns.all())
    cells = [
        {"name": cell["column"].name, "value": cell_text(cell["value"])}
        for cell in other_cells(verbatim=found, columns=others)
        if cell["value"] not in (None, "", [])
    ]
    presence_note(column_id=column.pk, user=request.user, verbatim_id=found.pk)
    identical = identical_numbers(verbatim=found)
    context = {
        **_state(column, found),
        **picker_context(column),
        "others": ", ".join(presence_of_others(column_id=column.pk, user=request.user).get(found.pk, [])),
        "identical": identical,
        "n_identical_more": found.group_size - len(identical) if identical else 0,
        "lines": lines_of(found.assignments.all()),
        "cells": cells,
        "may_edit_topics": may_edit_topics(column),
    }
    return render(request, "rows/_panel.html", context)


def conflict(
    request: HttpRequest,
    column: Column,
    found: Verbatim,
    form: ReviewForm,
    *,
    action: str,
    target: str,
    **extra: Any,
) -> HttpResponse:
    """Show both versions of a row that two people changed; nothing is written until one is chosen.

    A review that waited in the browser (`X-Queued-Review`) may come while another row, or none, is on the screen:
    its dialog needs no other part of the page.
    """
    from_queue = "X-Queued-Review" in request.headers
    if from_queue:
        action, target = reverse("rows:verbatim_review", args=[column.pk, found.pk]), "#dialog"
    response = render(
        request,
        "rows/_conflict.html",
        {
            "column": column,
            "verbatim": found,
            "theirs": lines_of(found.assignments.all()),
            "mine": lines_of_choices(form.topics, column),
            "action": action,
            "target": target,
            "from_queue": from_queue,
            **extra,
        },
        status=409,
    )
    response["HX-Retarget"] = "#dialog"
    response["HX-Reswap"] = "innerHTML"
    return response


def toast_context(change: Change, text: str) -> dict[str, Any]:
    return {
        "text": text,
        "kind": "success",
        "undo_url": reverse("projects:change_undo", args=[change.pk]),
        "key": f"rows-{','.join(str(pk) for pk in change.ids)}",
    }


def arrived_before(request: HttpRequest, fresh: Verbatim, form: ReviewForm) -> bool:
    """Say whether a review that is sent again got through the first time, and only the answer was lost."""
    if "X-Queued-Review" not in request.headers:
        return False
    if form.as_shown:
        return fresh.reviewed_by == request.user
    return is_saved_already(verbatim=fresh, form=form, user=request.user)


@require_POST
def verbatim_review(request: HttpRequest, column_id: int, verbatim_id: int) -> HttpResponse:
    """Save the decision about all topics of a row (or confirm them as shown)."""
    column = get_column_for_write(request.user, column_id)
    found = get_verbatim(column=column, verbatim_id=verbatim_id)
    form = ReviewForm.read(request.POST)
    if form.as_shown:
        if form.revision != found.revision:
            if arrived_before(request, found, form):
                return trigger(HttpResponse(), **row_events([found.pk], "queue"))
            raise ApplicationError(
                _("Row %(row)s changed since it was shown. Look at its topics again, then confirm.")
                % {"row": found.row_number},
                status=409,
                code="stale",
            )
        form.topics = choices_of(found)
    try:
        review = reviews.verbatim_review(
            verbatim=found, topics=form.topics, revision=form.revision, user=request.user
        )
    except StaleRevisionError:
        fresh = get_verbatim(column=column, verbatim_id=verbatim_id)
        if arrived_before(request, fresh, form):
            return trigger(HttpResponse(), **row_events([found.pk], "queue"))
        return conflict(request, column, fresh, form, action=request.path, target="#row-state")
    source = request.POST.get("source", "panel")
    context = {
        **_state(column, get_verbatim(column=column, verbatim_id=verbatim_id)),
        "toast": toast_context(review.change, reviews.act_text(found, review.n_verbatims, "review")),
        "source": source,
    }
    response = render(request, "rows/_review_answer.html", context)
    events = row_events([found.pk], source)
    if request.POST.get("next") == "1":
        events["row_reviewed_next"] = {}
    if request.POST.get("from_conflict") == "1":
        events["dialog_close"] = {}
        events["row_changed"]["source"] = "conflict"
    return trigger(response, **events)


@require_POST
def verbatim_unreview(request: HttpRequest, column_id: int, verbatim_id: int) -> HttpResponse:
    """Take the reviewed mark off a row."""
    column = get_column_for_write(request.user, column_id)
    found = get_verbatim(column=column, verbatim_id=verbatim_id)
    form = ReviewForm.read(request.POST)
    review = reviews.verbatim_unreview(verbatim=found, revision=form.revision, user=request.user)
    source = request.POST.get("source", "panel")
    context = {
        **_state(column, get_verbatim(column=column, verbatim_id=verbatim_id)),
        "toast": toast_context(review.change, reviews.act_text(found, review.n_verbatims, "unreview")),
        "source": source,
    }
    return trigger(render(request, "rows/_review_answer.html", context), **row_events([found.pk], source))


@require_POST
def verbatim_highlight(request: HttpRequest, column_id: int, verbatim_id: int) -> HttpResponse:
    """Put a star on a row, or take it off."""
    column = get_column_for_write(request.user, column_id)
    found = get_verbatim(column=column, verbatim_id=verbatim_id)
    on = request.POST.get("on") == "1"
    change = reviews.verbatim_highlight(verbatim=found, highlighted=on, user=request.user)
    text = reviews.act_text(found, 1, "star" if on else "unstar")
    response = render(request, "components/toast_oob.html", toast_context(change, text))
    return trigger(response, row_changed={"ids": [found.pk], "source": "row"})


@require_POST
def undo_last(request: HttpRequest, column_id: int) -> HttpResponse:
    """Take back the last act of this person in this column."""
    column = get_column_for_write(request.user, column_id)
    active = bulk_active(column)
    if active is not None and active.user_id == request.user.pk:  # what is meant is that, not the act before it
        raise ApplicationError(
            _("Your bulk action is still on its way. Cancel it, or undo it when it is done."),
            status=409,
            code="bulk_active",
        )
    change = last_change(column=column, user=request.user)
    if change is None:
        raise ApplicationError(
            _("There is nothing of yours left to undo here."), status=409, code="nothing_to_undo"
        )
    undoing = change_undo(change=change, user=request.user)
    response = render(request, "components/toast_oob.html", {"text": undoing.summary})
    if change.kind in (ChangeKind.REVIEW, ChangeKind.UNREVIEW, ChangeKind.HIGHLIGHT):
        return trigger(response, **row_events(list(change.ids), "undo"))
    return trigger(response, rows_changed={}, topics_changed={}, ai_changed={}, bulk_changed={})
