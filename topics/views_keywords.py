"""What keywords would find, while somebody types them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from projects.selectors import get_column_for_admin
from topics import hooks
from topics.forms_keywords import MAX_INPUT_CHARS, problem_text
from topics.keywords import keywords_check, keywords_refused

MAX_PROBLEMS = 10


@require_POST
def keywords_preview(request: HttpRequest, column_id: int) -> HttpResponse:
    """Say in how many rows the keywords are, which of them are nowhere, and what is wrong with which line."""
    column = get_column_for_admin(request.user, column_id)
    typed = request.POST.get("keywords", "")[:MAX_INPUT_CHARS]
    keywords, problems = keywords_check(typed.splitlines())
    refusal = keywords_refused(keywords)
    found = None if refusal or not keywords else hooks.keyword_rows.first(column=column, keywords=keywords)
    n_of = () if found is None else found.per_keyword
    context = {
        "problems": [problem_text(one) for one in problems[:MAX_PROBLEMS]],
        "refusal": refusal,
        "found": found,
        "nowhere": [keyword for keyword, n in zip(keywords, n_of, strict=False) if not n],
    }
    return render(request, "topics/_keywords_preview.html", context)
