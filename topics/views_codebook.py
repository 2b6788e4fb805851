"""Topic collections from files, templates and other projects, and codebooks out.

Whatever the source, the person sees what would be new, changed and missing before anything is written. The
preview carries the codebook, signed, so that nothing is lost when the collection changed meanwhile: it is shown
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from projects.models import Column
from projects.selectors import get_column_for_admin, get_column_for_read, get_column_for_write
from topicassign.errors import ApplicationError, StaleRevisionError
from topics import codebook, selectors
from topics.codebook import Codebook, CodebookError
from topics.forms import CodebookForm
from topics.views import done, show_dialog
from topics.ways import WAYS

_TOKEN_SALT = "topics.codebook"  # noqa: S105  (names the purpose, hides nothing)
_TOKEN_AGE_S = 24 * 3600
_N_ERRORS = 50


def language_name(code: str) -> str:
    """Return a language as a person reads it."""
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code


# --- the choice -----------------------------------------------------------------------------------
@require_safe
def ways(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show the ways to get topics."""
    column = get_column_for_admin(request.user, column_id)
    found = [(way, reverse(way.url_name, args=[column.pk])) for way in WAYS]
    return show_dialog(request, column, "topics/_ways.html", {"ways": found})


# --- from a file ----------------------------------------------------------------------------------
@require_http_methods(["GET", "HEAD", "POST"])
def codebook_import(request: HttpRequest, column_id: int) -> HttpResponse:
    """Take a codebook file and show what it would change; nothing is written yet."""
    column = get_column_for_admin(request.user, column_id)
    if request.method != "POST":
        return show_dialog(request, column, "topics/_codebook_import.html", {"form": CodebookForm()})
    form = CodebookForm(request.POST, request.FILES)
    errors: list[str] = []
    if form.is_valid():
        file = form.cleaned_data["file"]
        try:
            content = file.read(codebook.MAX_BYTES + 1)
            book = codebook.codebook_read(file.name or "", content)
            return _preview(request, column, book)
        except CodebookError as error:
            errors = error.errors
            form.add_error("file", _("Nothing was imported. Correct this and choose the file again."))
        except ApplicationError as error:
            form.add_error("file", error.message)
    context = {"form": form, **_shown(errors)}
    return show_dialog(request, column, "topics/_codebook_import.html", context)


def _shown(errors: Sequence[str]) -> dict[str, Any]:
    return {"errors": errors[:_N_ERRORS], "n_more": max(0, len(errors) - _N_ERRORS)}


# --- from a template ------------------------------------------------------------------------------
def _language(request: HttpRequest, column: Column) -> str:
    """Return the language a person chose for templates, else the project's where there are templates in it."""
    known = codebook.TEMPLATE_LANGUAGES
    chosen = request.POST.get("language") or request.GET.get("language", "")
    return next((one for one in (chosen, column.project.language[:2]) if one in known), known[0])


def _languages(column: Column, language: str) -> dict[str, Any]:
    return {
        "language": language,
        "languages": [(code, language_name(code)) for code in codebook.TEMPLATE_LANGUAGES],
        "mismatch": _mismatch(column, language),
    }


def _mismatch(column: Column, language: str) -> str:
    """Return a sentence where the topics are in another language than the project's topic collections are."""
    own = column.project.language
    if not language or not own or own[:2] == language[:2]:
        return ""
    return _(
        "The topic collections of this project are in %(own)s, these topics are in %(theirs)s. The AI reads names "
        "and descriptions; it works best when they are in one language."
    ) % {"own": language_name(own), "theirs": language_name(language)}


@require_safe
def templates(request: HttpRequest, column_id: int) -> HttpResponse:
    """Show the templates in a language."""
    column = get_column_for_admin(request.user, column_id)
    language = _language(request, column)
    context = {"templates": codebook.template_list(language), **_languages(column, language)}
    return show_dialog(request, column, "topics/_templates.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def template(request: HttpRequest, column_id: int, key: str) -> HttpResponse:
    """Show the topics of a template; then what they would change here."""
    column = get_column_for_admin(request.user, column_id)
    language = _language(request, column)
    found = codebook.template_get(key, language)
    if found is None:
        raise Http404(_("No such template."))
    if request.method == "POST":
        return _preview_or_refusal(request, column, found.book)
    entries: dict[str, list[codebook.Entry]] = {}
    for entry in found.book.entries:
        entries.setdefault(entry.category, []).append(entry)
    groups = [(said, entries.get(said.label, [])) for said in found.book.categories]
    context = {"template": found, "groups": groups, **_languages(column, language)}
    return show_dialog(request, column, "topics/_template.html", context)


# --- from another project -------------------------------------------------------------------------
@require_http_methods(["GET", "HEAD", "POST"])
def from_project(request: HttpRequest, column_id: int) -> HttpResponse:
    """Ask whose topics; then show what they would change here."""
    column = get_column_for_admin(request.user, column_id)
    error = ""
    if request.method == "POST":
        chosen = request.POST.get("source", "")
        if not chosen.isdecimal() or len(chosen) > 18 or int(chosen) == column.pk:
            error = _("Choose a text column.")
        else:
            book = codebook.codebook_of(get_column_for_read(request.user, int(chosen)))
            if book.entries:
                return _preview_or_refusal(request, column, book)
            error = _("This text column has no topics any more. Choose another one.")
    context = {"sources": selectors.columns_with_topics(user=request.user, besides=column), "error": error}
    response = show_dialog(request, column, "topics/_from_project.html", context)
    if error:
        response.status_code = 422
    return response


# --- preview and writing --------------------------------------------------------------------------
def _preview(
    request: HttpRequest,
    column: Column,
    book: Codebook,
    *,
    status: int = 200,
    notices: Sequence[str] = (),
) -> HttpResponse:
    """Show what a codebook would do; raises CodebookError where it cannot be done."""
    expected = codebook.collection_version(column)
    plan = codebook.codebook_plan(column, book)
    data = {"column": column.pk, "expected": expected, "book": codebook.codebook_dump(book)}
    actions = {
        action: [one for one in plan.topics if one.action == action] for action in ("changed", "new", "same")
    }
    context = {
        "plan": plan,
        "actions": actions,
        "book": book,
        "token": signing.dumps(data, salt=_TOKEN_SALT, compress=True),
        "notices": notices,
        "mismatch": _mismatch(column, book.language),
        "is_deletion_chosen": request.POST.get("delete_missing") == "1",
        "has_new_codes": any(one.codes for one in actions["new"]),
        "back_url": _back_url(column, book),
    }
    if not request.htmx and request.method != "POST":  # type: ignore[attr-defined]
        return show_dialog(request, column, "topics/_codebook_preview.html", context)
    response = render(request, "topics/_codebook_preview.html", {"column": column, **context}, status=status)
    if status == 409:  # which the page shows only where the answer says where
        response["HX-Retarget"], response["HX-Reswap"] = "#dialog", "innerHTML"
    return response


def _preview_or_refusal(
    request: HttpRequest, column: Column, book: Codebook, *, status: int = 200, notices: Sequence[str] = ()
) -> HttpResponse:
    """Show what a codebook would do, or why that cannot be."""
    try:
        return _preview(request, column, book, status=status, notices=notices)
    except CodebookError as error:
        context = {"column": column, "book": book, "back_url": _back_url(column, book), **_shown(error.errors)}
        return render(request, "topics/_codebook_refused.html", context, status=422)


def _back_url(column: Column, book: Codebook) -> str:
    names = {"file": "topics:codebook_import", "template": "topics:templates", "project": "topics:from_project"}
    query = f"?language={book.language}" if book.kind == "template" else ""
    return reverse(names[book.kind], args=[column.pk]) + query


@require_POST
def codebook_apply(request: HttpRequest, column_id: int) -> HttpResponse:
    """Write what was previewed; where the collection changed meanwhile, show the preview again."""
    column = get_column_for_admin(request.user, column_id)
    try:
        data = signing.loads(request.POST.get("token", ""), salt=_TOKEN_SALT, max_age=_TOKEN_AGE_S)
    except signing.BadSignature:
        data = {}
    if data.get("column") != column.pk or "book" not in data:
        raise ApplicationError(_("This preview is too old. Choose the topics again."), status=409, code="stale")
    book = codebook.codebook_load(data["book"])
    try:
        result = codebook.codebook_apply(
            column=column,
            book=book,
            user=request.user,
            expected=data["expected"],
            delete_missing=request.POST.get("delete_missing") == "1",
        )
    except StaleRevisionError as error:
        notices = [error.message, _("This is what would change now. Look at it again.")]
        return _preview_or_refusal(request, column, book, status=409, notices=notices)
    except CodebookError as error:
        return _preview_or_refusal(request, column, book, status=422, notices=error.errors[:3])
    is_seen = bool(result.n_updated or result.n_deleted)
    text = f"{book.title}: {codebook.result_text(result)}."
    return done(request, column, result.change, rows_changed=is_seen, text=text)


# --- out ------------------------------------------------------------------------------------------
_OUT = {
    "csv": (codebook.codebook_csv, "text/csv; charset=utf-8"),
    "xlsx": (codebook.codebook_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "json": (codebook.codebook_json, "application/json; charset=utf-8"),
}


@require_safe
def codebook_export(request: HttpRequest, column_id: int) -> HttpResponse:
    """Download the collection as a codebook: ?format=csv (default), xlsx or json."""
    column = get_column_for_write(request.user, column_id)
    wanted = request.GET.get("format", "csv")
    kind = wanted if wanted in _OUT else "csv"
    make, content_type = _OUT[kind]
    name = slugify(f"{column.project.name} {column.name}")[:80] or "topics"
    response = HttpResponse(make(column), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}-codebook.{kind}"'
    return response
