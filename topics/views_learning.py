"""The dialog in which a column is told to learn from another project."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from projects.models import Column
from projects.selectors import get_column_for_admin, get_column_for_read
from topicassign.errors import ApplicationError
from topics import learning as reads
from topics.forms_learning import LearningForm
from topics.services.learning import learning_preview as preview_of
from topics.services.learning import learning_set
from topics.views import done, show_dialog


@require_http_methods(["GET", "HEAD", "POST"])
def learning(request: HttpRequest, column_id: int) -> HttpResponse:
    """Ask from which column; then learn from it, or from none (`end`)."""
    column = get_column_for_admin(request.user, column_id)
    if request.method == "POST" and request.POST.get("end"):
        return done(request, column, learning_set(column=column, source=None, user=request.user))
    state = reads.learning_state(column=column, user=request.user)
    form = LearningForm(
        request.POST if request.method == "POST" else None,
        initial={"source": state.source.pk if state and state.source else None},
    )
    if form.is_valid():
        source = get_column_for_read(request.user, form.cleaned_data["source"])
        try:
            change = learning_set(
                column=column, source=source, user=request.user, with_topics=form.cleaned_data["with_topics"]
            )
        except ApplicationError as error:
            form.refuse(error)
        else:
            return done(request, column, change)
    context = {
        "form": form,
        "state": state,
        "sources": reads.learning_sources(column=column, user=request.user),
    }
    return show_dialog(request, column, "topics/_learning.html", context)


@require_safe
def learning_preview(request: HttpRequest, column_id: int) -> HttpResponse:
    """Return what there is to learn from the chosen column; before one is chosen, nothing."""
    column = get_column_for_admin(request.user, column_id)
    form = LearningForm(request.GET)
    context: dict[str, Any] = {"column": column}
    if form.is_valid():
        source: Column = get_column_for_read(request.user, form.cleaned_data["source"])
        context["preview"] = preview_of(column=column, source=source)
        # Ticked at first, and then as the person left it.
        seen = "with_topics" in request.GET or request.GET.get("seen") == str(source.pk)
        context["with_topics"] = form.cleaned_data["with_topics"] if seen else True
    return render(request, "topics/_learning_preview.html", context)
