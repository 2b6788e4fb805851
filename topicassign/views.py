"""Error pages, and the small addresses every site has."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import REASON_BAD_ORIGIN
from django.shortcuts import render
from django.template import loader
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django_htmx.http import reswap, retarget

from topicassign.context import ui
from topicassign.errors import error_body
from topicassign.middleware import wants_json


@login_not_required
@require_safe
@cache_control(max_age=86_400, public=True)
def robots_txt(request: HttpRequest) -> HttpResponse:
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain; charset=utf-8")


@login_not_required
@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(static("img/mark.svg"))


def error_response(request: HttpRequest, status: int, code: str, message: str = "") -> HttpResponse:
    """Return an error as JSON, as a notice for htmx, or as a page with the reference number.

    The page is rendered without context processors: it must not need database, session or user.
    """
    if wants_json(request):
        return JsonResponse(error_body(status, code, message or _default(status)), status=status)
    if getattr(request, "htmx", False) and status in (400, 403):
        toast = render(
            request,
            "components/toast.html",
            {"message": message or _default(status), "kind": "error"},
            status=status,
        )
        return reswap(retarget(toast, "#toasts"), "beforeend")
    page = f"errors/{'403_csrf' if code == 'csrf' else status}.html"
    html = loader.get_template(page).render({**ui(request), "message": message if code != "csrf" else ""})
    return HttpResponse(html, status=status)


def _default(status: int) -> str:
    return {
        400: _("The request was not complete. Load the page again and try once more."),
        403: _("Your role does not allow this."),
        404: _("There is no such thing here."),
        500: _("Something went wrong on the server. Nothing was changed."),
    }[status]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 400, "bad_request")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 403, "forbidden", str(exception))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 404, "resource_missing")


def server_error(request: HttpRequest) -> HttpResponse:
    return error_response(request, 500, "server_error")


def csrf_failure(request: HttpRequest, reason: str = "", **_kwargs: Any) -> HttpResponse:
    """Answer a form without a valid token: the page is too old, or the site's address is not configured."""
    if reason.startswith(REASON_BAD_ORIGIN.split("%")[0]):
        message = _("This address is not one of CSRF_TRUSTED_ORIGINS. Tell your administrator.")
        return error_response(request, 403, "bad_origin", message)
    return error_response(
        request,
        403,
        "csrf",
        _("This page is too old: load it again, then send it once more. What you typed is kept."),
    )
