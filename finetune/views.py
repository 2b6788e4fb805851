"""The AI's part of the screen: header strip, AI score tab, switch and button."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from finetune import live, score_chart, selectors, services
from finetune.engine.scoring import MIN_ROWS_FOR_SCORE
from finetune.explanations import explain_assignment
from finetune.live import Seen
from finetune.scores import MIN_AUDIT
from projects.models import Column, Role
from projects.selectors import get_column_for_admin, get_column_for_read
from projects.views.notices import undo_toast
from rows.models import AssignmentSource
from rows.presence import with_presence
from rows.selectors import get_verbatim, topic_list
from topics.keywords import keywords_found

RED_LINE = 50  # topics below it are the ones to review (specification S6.2)


def _render_status(request: HttpRequest, column: Column, seen: Seen) -> HttpResponse:
    """Show the strip as it is now, and tell the page which of its parts are older than what it has seen."""
    # The word is read first: what happens after that is found by the next poll.
    beat = live.pulse(request.user, column.pk)
    change = live.last_change(column)
    status = selectors.ai_status(column)
    version = str(status.version.number) if status.version else ""
    now = Seen(beat.word if beat else ".", version, change)
    role = column.project.role  # type: ignore[attr-defined]
    context = {
        "column": column,
        "status": status,
        "seen": now.write(),
        "may_admin": role.rank >= Role.ADMIN.rank,
        "may_act": role.rank >= Role.ANALYST.rank,
    }
    response = render(request, "finetune/_status.html", context)
    for name, details in live.events_since(column=column, seen=seen, now=now, user=request.user).items():
        trigger_client_event(response, name, {"target": "body", **details})
    return response


@never_cache
@require_safe
@with_presence
def ai_status(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show where the AI stands; a poll that would show the same gets 204."""
    seen = Seen.read(request.GET.get("seen", ""))
    if seen.word:
        beat = live.pulse(request.user, column_id)
        # A queued update may begin to wait for a worker without any change in the database.
        if beat is not None and beat.word == seen.word and not beat.is_queued:
            return HttpResponse(status=204)
    return _render_status(request, get_column_for_read(request.user, column_id), seen)


@require_safe
def ai_score(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show the AI score tab: overall, measured, per topic."""
    column = get_column_for_read(request.user, column_id)
    scores = selectors.topic_scores(column)
    by, high_first = order = score_chart.score_order(request.GET.get("by", ""), request.GET.get("dir", ""))
    status = selectors.ai_status(column)
    context = {
        "column": column,
        "status": status,
        "scores": score_chart.sort_scores(scores, order),
        "bars": score_chart.score_bars(scores),
        "categories": sorted(
            {item.topic.category_id: item.topic.category for item in scores}.values(),
            key=lambda category: (category.position, category.pk),
        ),
        "by": by,
        "dir": "down" if high_first else "up",
        "red_line": RED_LINE,
        "n_below": sum(1 for item in scores if item.score is not None and item.score < RED_LINE),
        "n_without": sum(1 for item in scores if item.score is None),
        "min_rows": MIN_ROWS_FOR_SCORE,
        "min_audit": MIN_AUDIT,
        "n_audit": selectors.n_audit_reviewed(column),
        "line": score_chart.score_line(selectors.score_history(column)),
        "may_review": column.project.role.rank >= Role.ANALYST.rank,  # type: ignore[attr-defined]
        "browser_url": reverse("rows:browser", args=[column.pk]),
    }
    return render(request, "finetune/_score.html", context)


@require_POST
def ai_switch(request: HttpRequest, column_id: int) -> HttpResponse:
    """Switch AI updates on or off."""
    column = get_column_for_admin(request.user, column_id)
    change = services.ai_switch(column=column, on=request.POST.get("on") == "yes", user=request.user)
    response = _render_status(request, column, Seen())
    if change is not None:
        undo_toast(request, response, change)
    return response


@require_POST
def ai_update(request: HttpRequest, column_id: int) -> HttpResponse:
    """Start an update by hand."""
    column = get_column_for_admin(request.user, column_id)
    services.update_by_hand(column=column, user=request.user)
    return _render_status(request, column, Seen())


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
        "keywords": keywords_found(topic.keywords, verbatim.text),
        "is_by_keyword": verbatim.assignments.filter(topic=topic, source=AssignmentSource.KEYWORD).exists(),
        "explanation": explain_assignment(verbatim=verbatim, topic=topic),
    }
    return render(request, "finetune/_why.html", context)
