"""Focus mode: one unreviewed row after the other, those that teach most first.

The page holds some cards ready, so that the next one is there at once; each answer brings cards in the
place of those used up, and the numbers above them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from projects.history import change_undo
from projects.models import ChangeKind, Column
from projects.selectors import get_column_for_write
from rows import hooks
from rows.focus import Card, focus_next, recent_topics
from rows.models import Verbatim
from rows.reviewing import (
    Line,
    ReviewForm,
    card_read,
    card_sign,
    is_saved_already,
    last_change,
    lines_of,
    skipped_ids,
)
from rows.row_list import cell_text
from rows.selectors import get_verbatim
from rows.services import leases, reviews
from rows.stop_advice import review_target, stop_advice
from rows.views.browser import may_edit_topics
from rows.views.options import shown_columns
from rows.views.sidebar import conflict, picker_context, trigger
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.models import Topic

MAX_PROPOSALS = 10
MAX_CARDS = 5  # held ready at once
COUNT_LIMIT = 10_000  # counting stops there: no card waits for a count of all rows


@dataclass
class Asked:
    """What the page says about itself: rows it skipped, rows it has, and how many cards it wants."""

    skip: list[int]
    have: list[int]  # shown, or on their way to be saved: not to be served now
    deck: list[int]  # held ready; another order after an AI update replaces them
    want: int
    version: str
    done: int | None = None  # just reviewed

    @classmethod
    def read(cls, data: QueryDict) -> Asked:
        want = data.get("want", "1")
        return cls(
            skip=skipped_ids(data.get("skip", "")),
            have=skipped_ids(data.get("have", "")),
            deck=skipped_ids(data.get("deck", ""))[:MAX_CARDS],
            want=min(int(want), MAX_CARDS) if want.isdecimal() and len(want) < 4 else 1,
            version=data.get("version", ""),
        )


def progress(column: Column) -> dict[str, Any]:
    """Return the numbers above the card and the advice when to stop; beyond COUNT_LIMIT they say "at least"."""
    rows = Verbatim.objects.filter(column=column, is_group_head=True, is_empty=False).order_by()
    key = f"column:{column.pk}:n_unique"
    n_unique = cache.get(key)
    if n_unique is None:
        n_unique = rows[:COUNT_LIMIT].count()
        cache.set(key, n_unique, 60)
    n_reviewed = rows.filter(is_reviewed=True)[:COUNT_LIMIT].count()
    learned = hooks.learning_state.first(default={}, column=column)
    advice = stop_advice(
        n_reviewed=n_reviewed,
        n_unique=n_unique,
        scores=learned.get("scores", []),
        measured=learned.get("measured"),
        ai_updates_on=column.ai_updates_on,
    )
    return {
        "n_reviewed": n_reviewed,
        "n_unique": n_unique,
        "target": review_target(n_unique),
        "advice": advice,
        "version": str(learned.get("version", 0)),
    }


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


def _card(request: HttpRequest, column: Column, card: Card) -> dict[str, Any]:
    found = card.verbatim
    cells = []
    for other in shown_columns(request, column):
        value = found.row.values.get(other.ref)
        if value not in (None, "", []):
            cells.append((other.name, cell_text(value)))
    return {
        "verbatim": found,
        "lines": _lines(column, found),
        "card_token": card_sign(found.pk, card.is_audit),
        "cells": cells,
    }


def _why_none(request: HttpRequest, column: Column, asked: Asked) -> dict[str, Any]:
    """Return why there is no card, for the page in its place."""
    if not Topic.objects.filter(column=column, deleted_at=None).exists():
        return {"end": "topics"}
    if not Verbatim.objects.live(column).filter(is_empty=False).exists():
        return {"end": "empty"}
    others = leases.leased_to_others(column=column, user=request.user)
    if n_others := others.filter(verbatim__is_reviewed=False).count():
        return {"end": "others", "n_others": n_others}
    return {"end": "skipped", "n_skipped": len(asked.skip)} if asked.skip else {"end": "done"}


def _cards(request: HttpRequest, column: Column, asked: Asked) -> dict[str, Any]:
    """Return the numbers, the cards asked for, and the reason where there are fewer."""
    context = progress(column) | {"column": column, "skip": ",".join(str(pk) for pk in asked.skip)}
    is_renewed = bool(asked.version) and asked.version != context["version"]
    held = [*asked.have, *asked.deck]
    over = [*asked.skip[-MAX_CARDS:], *([asked.done] if asked.done else [])]
    leases.leases_release(column=column, user=request.user, verbatim_ids=over)
    leases.leases_renew(column=column, user=request.user, verbatim_ids=held)  # what is over has no lease to renew
    want = asked.want
    if is_renewed:  # the AI learned meanwhile: what waits comes in the new order, what is shown stays
        want, held = min(MAX_CARDS, asked.want + len(asked.deck)), asked.have
    cards: list[dict[str, Any]] = []
    has_topics = want > 0 and Topic.objects.filter(column=column, deleted_at=None).exists()
    last_id = held[-1] if held else asked.skip[-1] if asked.skip else None
    while has_topics and len(cards) < want:
        card = focus_next(column=column, last_id=last_id, exclude={*held, *asked.skip}, user=request.user)
        if card is None:
            break
        last_id = card.verbatim.pk
        held = [*held, last_id]
        cards.append(_card(request, column, card))
    context |= {"cards": cards, "is_renewed": is_renewed}
    if len(cards) < want:
        context |= _why_none(request, column, asked)
    return context


@require_safe
def focus(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show focus mode; its script gets more cards from the same address."""
    column = get_column_for_write(request.user, column_id)
    asked = Asked.read(request.GET)
    context = _cards(request, column, asked)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "rows/_focus_answer.html", context)
    leases.leases_prune(column=column)
    context |= _palette(request, column) | {"project": column.project}
    if context["cards"]:
        context |= context["cards"][0]
    return render(request, "rows/focus.html", context)


def _palette(request: HttpRequest, column: Column) -> dict[str, Any]:
    return picker_context(column) | {
        "column": column,
        "may_edit_topics": may_edit_topics(column),
        "recent": ",".join(str(pk) for pk in recent_topics(column=column, user=request.user)),
    }


@require_safe
def palette(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return the list of all topics anew, after the collection changed."""
    column = get_column_for_write(request.user, column_id)
    return render(request, "rows/_palette.html", _palette(request, column))


@require_POST
def focus_review(request: HttpRequest, column_id: int) -> HttpResponse:
    """Save the review of the card and return the next one."""
    column = get_column_for_write(request.user, column_id)
    pk = request.POST.get("verbatim", "")
    if not pk.isdecimal() or len(pk) > 18:
        raise ApplicationError(_("This card does not say which row it is. Load the page again."), status=400)
    found = get_verbatim(column=column, verbatim_id=int(pk))
    form = ReviewForm.read(request.POST)
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
        if not is_saved_already(verbatim=fresh, form=form, user=request.user):
            return conflict(
                request, column, fresh, form, action=request.path, target="#card",
                card=request.POST.get("card", ""), skip=request.POST.get("skip", ""), in_focus=True,
            )  # fmt: skip
    if not request.htmx:  # type: ignore[attr-defined]  # sent before the page's scripts ran
        leases.leases_release(column=column, user=request.user, verbatim_ids=[found.pk])
        return redirect("rows:focus", column_id=column.pk)
    asked = Asked.read(request.POST)
    asked.done = found.pk
    if not asked.have:
        asked.have = [found.pk]
    response = render(request, "rows/_focus_answer.html", _cards(request, column, asked))
    events: dict[str, dict[str, Any]] = {"ai_changed": {}}
    if request.POST.get("from_conflict") == "1":
        events["dialog_close"] = {}
    return trigger(response, **events)


@require_POST
def focus_undo(request: HttpRequest, column_id: int) -> HttpResponse:
    """Take back the last review of this person and return that row's card."""
    column = get_column_for_write(request.user, column_id)
    change = last_change(column=column, user=request.user, kinds=(ChangeKind.REVIEW, ChangeKind.UNREVIEW))
    if change is None:
        raise ApplicationError(_("There is no review of yours left to undo."), status=409, code="nothing_to_undo")
    # A row drawn at random stays one: the review that is taken back carried the mark.
    was_audit = get_verbatim(column=column, verbatim_id=change.ids[0]).is_audit
    change_undo(change=change, user=request.user)
    found = get_verbatim(column=column, verbatim_id=change.ids[0])
    leases.lease_claim(verbatim=found, user=request.user)
    asked = Asked.read(request.POST)
    skip = [pk for pk in asked.skip if pk != found.pk]
    card = _card(request, column, Card(found, is_audit=was_audit or found.is_audit))
    context = progress(column) | {"column": column, "skip": ",".join(str(pk) for pk in skip), "cards": [card]}
    return trigger(render(request, "rows/_focus_answer.html", context), ai_changed={})


@require_POST
def focus_release(request: HttpRequest, column_id: int) -> HttpResponse:
    """Give the rows of a page that was left back to others."""
    column = get_column_for_write(request.user, column_id)
    ids = skipped_ids(request.POST.get("have", ""))
    leases.leases_release(column=column, user=request.user, verbatim_ids=ids)
    return HttpResponse(status=204)
