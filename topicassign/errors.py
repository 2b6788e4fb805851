"""Errors that are meant for the reader, and what becomes of them in the API."""

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response


class ApplicationError(Exception):
    """A rule of the product was broken; `message` is a sentence for the person.

    `status` is the HTTP status of the answer, `code` a short stable word for programs and
    `extra` data that a program may use.
    """

    status = 422
    code = "invalid"

    def __init__(
        self, message: str | Promise, *, status: int | None = None, code: str | None = None, **extra: Any
    ) -> None:
        super().__init__(str(message))
        self.message = str(message)
        self.extra = extra
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code


class StaleRevisionError(ApplicationError):
    """Somebody else changed the row since it was loaded."""

    status = 409
    code = "stale"


_TYPES = {400: "validation_error", 401: "authentication_error", 403: "permission_error", 404: "not_found"}


def error_body(status: int, code: str, message: str, context: Any = None) -> dict[str, Any]:
    body: dict[str, Any] = {"type": _TYPES.get(status, "request_error"), "code": code, "message": message}
    if context:
        body["context"] = context
    return body


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return every refusal as one JSON object: type, code, message, context."""
    if isinstance(error, ApplicationError):
        return Response(error_body(error.status, error.code, error.message, error.extra), status=error.status)
    if isinstance(error, ValidationError):
        return Response(error_body(422, "invalid", " ".join(error.messages)), status=422)
    if isinstance(error, Http404):
        return Response(error_body(404, "resource_missing", _("There is no such thing here.")), status=404)
    if isinstance(error, PermissionDenied):
        return Response(
            error_body(403, "forbidden", str(error) or _("Your role does not allow this.")), status=403
        )
    if isinstance(error, exceptions.APIException):
        status = error.status_code
        if isinstance(error, exceptions.ValidationError):
            return Response(
                error_body(status, "invalid", _("The data sent is not valid."), error.detail), status=status
            )
        return Response(error_body(status, str(error.get_codes()), str(error.detail)), status=status)
    return None
