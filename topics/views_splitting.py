"""Split a topic: pick example rows for both halves, see what the AI makes of the others, then do it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from topicassign.errors import ApplicationError
from topics import hooks, selectors, services
from topics.forms_splitting import GOES, MOST_EXAMPLES, STAYS, SplitForm
from topics.models import Topic
from topics.views import show_dialog, show_made

MOST_ROWS = 30  # shown at a time; the search finds the others
MOST_REVIEWED = 100  # shown for confirmation


@require_http_methods(["GET", "HEAD", "POST"])
def topic_split(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Ask for names and examples; then split, a topic of many rows in the background."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    form = SplitForm(request.POST if request.method == "POST" else None, topic=topic)
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = services.split_start(
                topic=topic,
                label=data["label"],
                label_a=data["label_a"],
                examples_a=form.examples(STAYS),
                examples_b=[*form.examples(GOES), *form.confirmed],
                expected=data["version"] or None,
                user=request.user,
            )
            return show_made(request, topic.column, made)
        except ApplicationError as error:
            form.refuse(error)
    context = {"form": form, "topic": topic, **_rows(form, "")}
    return show_dialog(request, topic.column, "topics/_topic_split.html", context)


@require_safe
def split_rows(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Return rows to choose examples from: those chosen already, then those that match the search."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    form = SplitForm(request.GET, topic=topic)
    context = {"topic": topic, **_rows(form, request.GET.get("search", "")[:200])}
    return render(request, "topics/_split_rows.html", context)


def _rows(form: SplitForm, search: str) -> dict[str, Any]:
    topic: Topic = form.topic
    halves = form.halves
    wanted = {"column": topic.column, "topic_id": topic.pk}
    chosen = hooks.topic_rows.first(default=[], search="", verbatim_ids=list(halves), most=MOST_EXAMPLES, **wanted)
    found = hooks.topic_rows.first(
        default=[], search=search, verbatim_ids=None, most=MOST_ROWS + len(chosen) + 1, **wanted
    )
    there = {row.pk for row in chosen}
    others = [row for row in found if row.pk not in there]
    return {
        "rows": [(row, halves.get(row.pk, "")) for row in [*chosen, *others[:MOST_ROWS]]],
        "search": search,
        "n_others": len(others),
        "has_more": len(others) > MOST_ROWS,
    }


@require_safe
def split_preview(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Return how the AI would divide the other rows, and the reviewed ones it would ask about."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    form = SplitForm(request.GET, topic=topic)
    context: dict[str, Any] = {"topic": topic, "label": request.GET.get("label", "").strip()}
    examples_a, examples_b = form.examples(STAYS), form.examples(GOES)
    if examples_a and examples_b:
        try:
            proposal = services.split_propose(topic=topic, examples_a=examples_a, examples_b=examples_b)
        except ApplicationError as error:
            context["refusal"] = error.message
        else:
            likely = [pk for pk, probability in proposal.reviewed if probability > 0.5]
            context |= {
                "proposal": proposal,
                "n_moving": len(proposal.unreviewed_b),
                "n_asked": len(likely),
                "reviewed": hooks.topic_rows.first(
                    default=[],
                    column=topic.column,
                    topic_id=topic.pk,
                    search="",
                    verbatim_ids=likely,
                    most=MOST_REVIEWED,
                ),
                "confirmed": set(form.confirmed),
            }
    return render(request, "topics/_split_preview.html", context)
