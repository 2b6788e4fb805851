"""The page "Tidy up": topics that may be the same or that no row has, and what a person decides about them."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from projects.models import Column, Role
from projects.selectors import get_column_for_admin, get_column_for_write
from topicassign.errors import ApplicationError
from topics import services
from topics.models import Topic
from topics.tidying import tidying
from topics.views import done


@require_safe
def tidy(request: HttpRequest, column_id: int) -> HttpResponse:
    """List similar and unused topics; those who may not change topics can look."""
    column = get_column_for_write(request.user, column_id)
    context = {
        "column": column,
        "project": column.project,
        "found": tidying(column=column),
        "may_edit": column.project.role.rank >= Role.ADMIN.rank,  # type: ignore[attr-defined]
    }
    template = "topics/_tidy.html" if request.htmx else "topics/tidy.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_POST
def pair_mark(request: HttpRequest, column_id: int) -> HttpResponse:
    """Say that two topics are not the same (`distinct=1`), or list them again."""
    column = get_column_for_admin(request.user, column_id)
    first, second = (_topic(column, request.POST.get(name, "")) for name in ("first", "second"))
    change = services.pair_mark(
        first=first, second=second, is_distinct=request.POST.get("distinct") == "1", user=request.user
    )
    return done(request, column, change, rows_changed=False)


def _topic(column: Column, text: str) -> Topic:
    if not text:
        raise ApplicationError(_("Choose two different topics."))
    found = _with_ids(column, [text])
    if not found:
        raise Http404(_("No such topic."))
    return found[0]


def _with_ids(column: Column, ids: list[str]) -> list[Topic]:
    """Return topics of a column, also those deleted meanwhile: the services say so."""
    wanted = [int(one) for one in ids if one.isascii() and one.isdecimal() and len(one) < 19]
    topics = Topic.objects.filter(pk__in=wanted, column=column).select_related("category", "column")
    return list(topics.order_by("category__position", "category_id", "position", "pk"))
