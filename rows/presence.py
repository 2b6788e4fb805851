"""Who has which row open: shown to others, so that two people do not work on one row unknowingly.

Soft by design: a hint, not a lock. It lives in the cache, for some seconds after a page last said so, and needs
no table, no cleaning up and no request of its own: it rides on the poll for the AI's state. What really keeps
two people from overwriting each other is the revision that every review names.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django_htmx.http import trigger_client_event

LEASE_S = 20  # pages ask every five seconds
_PEOPLE_S = 24 * 3600


def _people_key(column_id: int) -> str:
    return f"presence:{column_id}"


def _key(column_id: int, user_id: int) -> str:
    return f"presence:{column_id}:{user_id}"


def presence_note(*, column_id: int, user: Any, verbatim_id: int | None) -> None:
    """Note that a person has a row open; None: no row any more."""
    if verbatim_id is None:
        cache.delete(_key(column_id, user.pk))
        return
    cache.set(_key(column_id, user.pk), verbatim_id, LEASE_S)
    people = cache.get(_people_key(column_id)) or {}
    if people.get(user.pk) != user.get_username():
        cache.set(_people_key(column_id), people | {user.pk: user.get_username()}, _PEOPLE_S)


def presence_of_others(*, column_id: int, user: Any) -> dict[int, list[str]]:
    """Return per verbatim who else has it open, by name."""
    people: dict[int, str] = cache.get(_people_key(column_id)) or {}
    keys = {_key(column_id, pk): name for pk, name in people.items() if pk != user.pk}
    found: dict[int, list[str]] = {}
    for key, verbatim_id in cache.get_many(keys).items() if keys else ():
        found.setdefault(verbatim_id, []).append(keys[key])
    return {pk: sorted(found[pk]) for pk in sorted(found)}


def with_presence(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let presence ride on a poll: `open` says which row the page has open, `with` what it knows of the others.

    The view has allowed the request by answering it. The event "presence" is sent only when there is news.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, column_id: int) -> HttpResponse:
        response = view(request, column_id)
        wanted = request.GET.get("open")
        if wanted is not None and response.status_code in (200, 204):
            is_id = wanted.isdecimal() and len(wanted) < 19
            presence_note(column_id=column_id, user=request.user, verbatim_id=int(wanted) if is_id else None)
            others = presence_of_others(column_id=column_id, user=request.user)
            sign = f"{zlib.crc32(repr(others).encode()):x}" if others else ""
            if sign != request.GET.get("with", ""):
                rows = {str(pk): names for pk, names in others.items()}
                trigger_client_event(response, "presence", {"target": "body", "rows": rows, "sign": sign})
        return response

    return wrapped
