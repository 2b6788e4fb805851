"""The AI's part of the screen: header strip, AI score tab, switch and button."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from finetune import selectors, services
from finetune.explanations import explain_assignment
from projects.models import Column, JobState, Role
from projects.selectors import get_column_for_admin, get_column_for_read
from projects.views.notices import undo_toast
from rows.selectors import get_verbatim, topic_list

RED_LINE = 50  # topics below it are the ones to review (specification S6.2)


def _render_status(request: HttpRequest, column: Column, seen: str) -> HttpResponse:
    status = selectors.ai_status(column)
    version = str(status.version.number) if status.version else ""
    context = {
        "column": column,
        "status": status,
        "seen": _state(column, status),
        "may_admin": column.project.role.rank >= Role.ADMIN.rank,  # type: ignore[attr-defined]
    }
    response = render(request, "finetune/_status.html", context)
    seen_version = seen.split(".")[0] if seen else version
    if version != seen_version:
        # A new version has changed chips, counts and scores: whoever shows them asks again.
        trigger_client_event(response, "ai-updated", {"target": "body"})
    return response


def _state(column: Column, status: selectors.AiStatus) -> str:
    """Return a short word that changes whenever the strip looks different: version, counter, job, switch."""
    job = f"{status.job.pk.hex[:6]}{status.job.state[0]}" if status.job else ""
    failed = status.failed.pk.hex[:6] if status.failed else ""
    return (
        f"{status.version.number if status.version else ''}.{status.n_until_update}.{int(status.ai_updates_on)}."
        f"{job}.{failed}.{int(status.is_waiting)}"
    )


@require_safe
def ai_status(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show where the AI stands; a poll that would show the same gets 204."""
    column = get_column_for_read(request.user, column_id)
    seen = request.GET.get("seen", "")
    status = selectors.ai_status(column)
    is_running = status.job is not None and status.job.state == JobState.RUNNING
    if seen and not is_running and seen == _state(column, status):
        return HttpResponse(status=204)
    return _render_status(request, column, seen)


@require_safe
def ai_score(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show the AI score tab: overall, measured, per topic."""
    column = get_column_for_read(request.user, column_id)
    scores = selectors.topic_scores(column)
    sort = request.GET.get("by", "score")
    keys = {
        "count": lambda item: -item.count,
        "influence": lambda item: (item.influence is None, item.influence or 0.0),
        "topic": lambda item: (item.topic.category.position, item.topic.position),
    }
    if sort in keys:
        scores.sort(key=keys[sort])
    context = {
        "column": column,
        "status": selectors.ai_status(column),
        "scores": scores,
        "sort": sort if sort in keys else "score",
        "red_line": RED_LINE,
        "n_below": sum(1 for item in scores if item.score is not None and item.score < RED_LINE),
        "history": selectors.score_history(column),
        "chart": _chart(selectors.score_history(column)),
    }
    return render(request, "finetune/_score.html", context)


def _chart(history: list[tuple[int, int, float]]) -> dict[str, object] | None:
    """Return the points of the score's line over versions, in a box of 100 by 40."""
    if len(history) < 2:
        return None
    step = 100 / (len(history) - 1)
    points = [(round(i * step, 2), round(40 - 0.4 * score, 2)) for i, (_number, _at, score) in enumerate(history)]
    return {
        "points": " ".join(f"{x},{y}" for x, y in points),
        "first": history[0],
        "last": history[-1],
    }


@require_POST
def ai_switch(request: HttpRequest, column_id: int) -> HttpResponse:
    """Switch AI updates on or off."""
    column = get_column_for_admin(request.user, column_id)
    change = services.ai_switch(column=column, on=request.POST.get("on") == "yes", user=request.user)
    response = _render_status(request, column, "")
    if change is not None:
        undo_toast(request, response, change)
    return response


@require_POST
def ai_update(request: HttpRequest, column_id: int) -> HttpResponse:
    """Start an update by hand."""
    column = get_column_for_admin(request.user, column_id)
    services.update_by_hand(column=column, user=request.user)
    return _render_status(request, column, "")


@require_safe
def assignment_why(request: HttpRequest, column_id: int, verbatim_id: int, topic_id: int) -> HttpResponse:
    """Show why a row has a topic: its words, what they and the whole text added, the nearest reviewed rows."""
    column = get_column_for_read(request.user, column_id)
    verbatim = get_verbatim(column=column, verbatim_id=verbatim_id)
    topic = topic_list(column=column).filter(pk=topic_id).first()
    if topic is None:
        raise Http404(_("No such topic."))
    context = {
        "column": column,
        "verbatim": verbatim,
        "topic": topic,
        "explanation": explain_assignment(verbatim=verbatim, topic=topic),
    }
    return render(request, "finetune/_why.html", context)
