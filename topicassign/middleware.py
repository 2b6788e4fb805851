"""Sign-in by default, and one place that shows broken rules to the person."""

import re
from collections.abc import Callable

import structlog
from django.contrib.auth import middleware as auth_middleware
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import render
from django.utils.translation import gettext as _
from django_htmx.http import reswap, retarget
from django_structlog.middlewares import RequestMiddleware as StructlogMiddleware

from topicassign.errors import ApplicationError, error_body


def wants_json(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", "/v2/")) or request.headers.get("Accept") == "application/json"


class CompressMiddleware(GZipMiddleware):
    """Sends pages compressed; streamed files go out as they are, with their length."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming:
            return response
        return super().process_response(request, response)


# Addresses that are a secret: whoever knows one may join a project or set a password.
_SECRET_PATHS = re.compile(r"(/invitations/|/password/reset/[^/]+/)[^/?\s]+")


class RequestMiddleware(StructlogMiddleware):
    """Gives every request a reference number: in the log, in X-Request-ID and on error pages."""

    def prepare(self, request: HttpRequest) -> None:
        super().prepare(request)
        request.id = structlog.contextvars.get_contextvars()["request_id"]  # type: ignore[attr-defined]

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        response["X-Request-ID"] = request.id  # type: ignore[attr-defined]
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return _SECRET_PATHS.sub(r"\1…", StructlogMiddleware.format_request(request))


class LoginRequiredMiddleware(auth_middleware.LoginRequiredMiddleware):
    """Every view asks for a signed-in person unless it is marked `login_not_required`.

    Programs and htmx get 401 instead of a login page in the middle of a page: the page keeps
    what was typed, offers to sign in and sends it again.
    """

    def handle_no_permission(self, request, view_func):
        if wants_json(request):
            return JsonResponse(error_body(401, "not_authenticated", _("Please sign in.")), status=401)
        if getattr(request, "htmx", False):
            return HttpResponse(_("Please sign in again."), status=401, content_type="text/plain; charset=utf-8")
        return super().handle_no_permission(request, view_func)


class ApplicationErrorMiddleware:
    """Shows an ApplicationError as a toast (htmx), as JSON (API) or as a calm page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, ApplicationError):
            return None
        if wants_json(request):
            return JsonResponse(
                error_body(error.status, error.code, error.message, error.extra), status=error.status
            )
        if getattr(request, "htmx", False):
            response = render(
                request,
                "components/toast.html",
                {"message": error.message, "level": "error"},
                status=error.status,
            )
            response["X-Error-Code"] = error.code
            return reswap(retarget(response, "#toasts"), "beforeend")
        return render(request, "errors/application_error.html", {"message": error.message}, status=error.status)
