"""Merge a topic into another one, or combine both into one with sentiment: a dialog that says what will happen."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from projects.models import Change, Job
from topicassign.errors import ApplicationError
from topics import selectors, services
from topics.forms import MergeForm
from topics.services.background import AT_ONCE
from topics.views import show_dialog, show_made


@require_http_methods(["GET", "HEAD", "POST"])
def topic_merge(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Ask with which topic and how; then do it, many rows in the background."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    form = MergeForm(request.POST if request.method == "POST" else None, topic=topic)
    if request.GET.get("target") in form.others:  # where the other topic is known already
        form.initial["target"] = request.GET["target"]
    if form.is_valid():
        try:
            return show_made(request, topic.column, _start(form, request))
        except ApplicationError as error:
            form.refuse(error)
    return show_dialog(request, topic.column, "topics/_topic_merge.html", {"form": form, "topic": topic})


def _start(form: MergeForm, request: HttpRequest) -> Change | Job:
    if form.is_combination:
        positive, negative = form.sides()
        return services.combine_start(
            positive=positive,
            negative=negative,
            label=form.cleaned_data["label"],
            user=request.user,
            expected=form.expected(),
        )
    return services.merge_start(
        target=form.other,
        sources=[form.topic],
        user=request.user,
        expected=form.expected(),
        unsaid="propose" if form.cleaned_data["unsaid"] == "propose" else "neutral",
    )


@require_safe
def merge_preview(request: HttpRequest, topic_id: int) -> HttpResponse:
    """Return what would become of the rows; before a topic is chosen, nothing."""
    topic = selectors.get_topic_for_admin(request.user, topic_id)
    form = MergeForm(request.GET, topic=topic)
    form.is_valid()
    context = {"topic": topic, "form": form, "is_chosen": bool(form.cleaned_data.get("target"))}
    if context["is_chosen"]:
        context |= {"other": form.other, "gone": topic.label, "n_gone": 1, "target_version": form.other.version}
        context["is_combination"] = form.cleaned_data.get("how") == "combine"
        try:
            if context["is_combination"]:
                positive, negative = form.sides()
                found = services.combine_preview(positive=positive, negative=negative)
            else:
                found = services.merge_preview(target=form.other, sources=[topic])
        except ApplicationError as error:
            context["refusal"] = error.message
        else:
            context |= {"found": found, "is_large": found.n_rows > AT_ONCE}
    return render(request, "topics/_merge_preview.html", context)
