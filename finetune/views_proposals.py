"""The page of topics proposed from the texts: ask for them, look, tick, rename, merge, discard, add.

Every touch is kept on the server at once. The answer is what else it changed (how many are to be added, names that
are free or taken by it); where lines come, go or move it is the whole list.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import reswap, retarget, trigger_client_event

from finetune import naming, proposal_sets
from finetune.forms_proposals import (
    NEW_CATEGORY,
    CategoryRenameForm,
    ChooseForm,
    MergeProposalsForm,
    ProposalForm,
)
from finetune.proposal_sets import Entry
from projects.jobs import job_active, jobs_are_waiting
from projects.models import Column, Job, JobKind, JobState
from projects.selectors import get_column_for_admin
from projects.views.notices import undo_toast
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.models import CATEGORY_CHARS, LABEL_CHARS

SHOW_FAILURE = timedelta(days=2)


# --- the page -------------------------------------------------------------------------------------
def _context(column: Column) -> dict[str, Any]:
    state = proposal_sets.proposal_state(column, with_examples=True)
    job = _job(column)
    return {
        "column": column,
        "project": column.project,
        "state": state,
        "has_topics": column.topics.filter(deleted_at=None).exists(),
        "job": job,
        "may_act": True,
        "brief": True,
        "late": job is not None and job.state == JobState.QUEUED and jobs_are_waiting(),
        "host": naming.endpoint_host(),
        "n_to_name": sum(not entry.proposal.is_renamed for entry in state.entries) if state else 0,
        "new_category": NEW_CATEGORY,
        "label_chars": LABEL_CHARS,
        "category_chars": CATEGORY_CHARS,
        "limit_topics": settings.LIMIT_TOPICS,
    }


def _job(column: Column) -> Job | None:
    """Return the job on its way, or the last one of these days where it did not come to its end."""
    active = job_active(column=column, kind=JobKind.PROPOSALS)
    if active is not None:
        return active
    last = Job.objects.filter(column=column, kind=JobKind.PROPOSALS).order_by("-created_at").first()
    if last is None or last.state not in {JobState.FAILED, JobState.CANCELLED} or last.finished_at is None:
        return None
    return last if last.finished_at > timezone.now() - SHOW_FAILURE else None


@never_cache
@require_safe
def proposals(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show the proposals of a column: a page, or for htmx its list."""
    column = get_column_for_admin(request.user, column_id)
    template = "finetune/_proposals.html" if request.htmx else "finetune/proposals.html"  # type: ignore[attr-defined]
    return render(request, template, _context(column))


def _list(request: HttpRequest, column: Column) -> HttpResponse:
    """Answer an act with the whole list; without htmx with the page."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("finetune:proposals", column.pk)
    response = render(request, "finetune/_proposals.html", _context(column))
    return reswap(retarget(response, "#proposals"), "innerHTML")


@require_POST
def proposals_start(request: HttpRequest, column_id: int) -> HttpResponse:
    """Ask for proposals: from all rows, or (`only_uncovered`) from those without a topic."""
    column = get_column_for_admin(request.user, column_id)
    only_uncovered = request.POST.get("only_uncovered") == "1"
    proposal_sets.proposals_start(column=column, user=request.user, only_uncovered=only_uncovered)
    return _list(request, column)


@require_POST
def proposals_discard_all(request: HttpRequest, column_id: int) -> HttpResponse:
    column = get_column_for_admin(request.user, column_id)
    named = request.POST.get("set", "")
    set_id = int(named) if named.isdecimal() and len(named) < 19 else 0
    proposal_sets.proposals_discard_all(column=column, set_id=set_id)
    return _list(request, column)


@require_POST
def proposals_name(request: HttpRequest, column_id: int) -> HttpResponse:
    """Send phrases and examples to the endpoint, once the person has agreed to it."""
    column = get_column_for_admin(request.user, column_id)
    if request.POST.get("agreed") != "1":
        raise ApplicationError(_("Tick that the texts may be sent, or keep the names as they are."))
    proposal_sets.naming_start(column=column, user=request.user)
    return _list(request, column)


# --- one proposal ---------------------------------------------------------------------------------
@require_POST
def proposal_update(request: HttpRequest, column_id: int, proposal_id: int) -> HttpResponse:
    """Tick, rename, move to another category, with or without sentiment: what the line's form holds."""
    column = get_column_for_admin(request.user, column_id)
    form = ProposalForm(request.POST)
    if not form.is_valid():
        raise ApplicationError(_("This name is too long."))
    before = _entries(column)
    values = form.values()
    changed = proposal_sets.proposal_update(column=column, proposal_id=proposal_id, **values)
    former = before.get(proposal_id)
    if former is None or former.category.casefold() != changed.category.casefold() or not request.htmx:  # type: ignore[attr-defined]
        return _list(request, column)
    return _line(request, column, proposal_id, before)


def _entries(column: Column) -> dict[int, Entry]:
    state = proposal_sets.proposal_state(column)
    return {entry.proposal.pk: entry for entry in state.entries} if state else {}


def _line(request: HttpRequest, column: Column, proposal_id: int, before: dict[int, Entry]) -> HttpResponse:
    """Return what a touch of a proposal changed besides what was typed there, all of it out of band.

    The fields themselves stay as they are: somebody may type in one while the answer to another comes.
    """
    state = proposal_sets.proposal_state(column)
    assert state is not None
    context = {"column": column, "state": state, "limit_topics": settings.LIMIT_TOPICS, "out_of_band": True}
    parts = [
        render_to_string("finetune/_proposal_state.html", {**context, "entry": entry}, request)
        for entry in state.entries
        if entry.proposal.pk == proposal_id
        or (entry.proposal.pk in before and before[entry.proposal.pk].taken != entry.taken)
    ]
    for name in ("count", "add"):
        parts.append(render_to_string(f"finetune/_proposals_{name}.html", context, request))
    return HttpResponse("".join(parts))


@require_POST
def proposal_discard(request: HttpRequest, column_id: int, proposal_id: int) -> HttpResponse:
    """Put a proposal away, or (`back`) bring it back."""
    column = get_column_for_admin(request.user, column_id)
    is_back = request.POST.get("back") == "1"
    proposal_sets.proposal_discard(column=column, proposal_id=proposal_id, is_discarded=not is_back)
    return _list(request, column)


@require_http_methods(["GET", "HEAD", "POST"])
def proposal_merge(request: HttpRequest, column_id: int, proposal_id: int) -> HttpResponse:
    """Ask, in a dialog, which proposals shall become one with this one; then do it."""
    column = get_column_for_admin(request.user, column_id)
    state = proposal_sets.proposal_state(column)
    entries = state.entries if state else []
    target = next((entry.proposal for entry in entries if entry.proposal.pk == proposal_id), None)
    if target is None:
        raise StaleRevisionError(_("This proposal is not there any more: somebody added, merged or discarded it."))
    form = MergeProposalsForm(request.POST if request.method == "POST" else None)
    refusal, label = "", target.label
    if form.is_valid():
        label = form.cleaned_data["label"]
        try:
            proposal_sets.proposals_merge(
                column=column, target_id=proposal_id, source_ids=form.cleaned_data["source"], label=label
            )
        except ApplicationError as error:
            if error.status != 422:
                raise
            refusal = error.message
        else:
            return _merged(request, column)
    elif not request.htmx and request.method != "POST":  # type: ignore[attr-defined]
        return redirect("finetune:proposals", column.pk)  # a dialog is no page
    same = target.category.casefold()
    others = [entry.proposal for entry in entries if entry.proposal.pk != proposal_id]
    others.sort(key=lambda one: one.category.casefold() != same)  # those of its category first
    context = {
        "column": column,
        "target": target,
        "others": others,
        "label": label,
        "ticked": set(form.cleaned_data["source"]) if refusal else set(),
        "refusal": refusal,
        "label_chars": LABEL_CHARS,
    }
    return render(request, "finetune/_proposal_merge.html", context, status=422 if refusal else 200)


def _merged(request: HttpRequest, column: Column) -> HttpResponse:
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("finetune:proposals", column.pk)
    return trigger_client_event(HttpResponse(), "proposals-changed", {"target": "body"})


@require_POST
def proposal_separate(request: HttpRequest, column_id: int, proposal_id: int) -> HttpResponse:
    column = get_column_for_admin(request.user, column_id)
    proposal_sets.proposal_separate(column=column, proposal_id=proposal_id)
    return _list(request, column)


# --- all of them ----------------------------------------------------------------------------------
@require_POST
def proposals_choose(request: HttpRequest, column_id: int) -> HttpResponse:
    """Tick or untick all, or the sentiment of all."""
    column = get_column_for_admin(request.user, column_id)
    form = ChooseForm(request.POST)
    form.is_valid()
    proposal_sets.proposals_choose(
        column=column,
        is_chosen=form.cleaned_data["chosen"],
        sentiment_enabled=form.cleaned_data["sentiment"],
    )
    return _list(request, column)


@require_POST
def proposals_rename_category(request: HttpRequest, column_id: int) -> HttpResponse:
    column = get_column_for_admin(request.user, column_id)
    form = CategoryRenameForm(request.POST)
    if not form.is_valid():
        raise ApplicationError(_("This name is too long."))
    proposal_sets.proposals_rename_category(column=column, **form.cleaned_data)
    return _list(request, column)


@require_POST
def proposals_accept(request: HttpRequest, column_id: int) -> HttpResponse:
    """Add the ticked proposals as topics."""
    column = get_column_for_admin(request.user, column_id)
    change = proposal_sets.proposals_accept(column=column, user=request.user, seen=request.POST.get("seen", ""))
    response = _list(request, column)
    if not request.htmx:  # type: ignore[attr-defined]
        return response
    return undo_toast(request, response, change)
