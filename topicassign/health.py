"""Is the product able to work? For load balancers, container health checks and monitors."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

log = structlog.get_logger(__name__)


def check_database() -> None:
    """Ask the database something that reads a table, so that a missing migration shows too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM projects_project LIMIT 1")


def check_storage() -> None:
    """Write a file where uploads and exports go, and take it away again."""
    probe = settings.DATA_DIR / f".health-{uuid.uuid4().hex}"
    with open(probe, "wb") as stream:
        stream.write(b"ok")
        stream.flush()
        os.fsync(stream.fileno())
    probe.unlink()


def check_broker() -> None:
    """Reach the broker: Redis by a connection, the queue of files by its folder."""
    from topicassign.celery import app

    if app.conf.broker_url.startswith("filesystem:"):
        if not os.access(settings.QUEUE_DIR, os.W_OK | os.X_OK):
            raise OSError("The queue folder cannot be written.")
        return
    with app.connection_for_write(connect_timeout=1) as broker:
        broker.ensure_connection(max_retries=1, timeout=1)


# Without database or storage nothing works. Without a broker people still work and reviews are saved;
# only background jobs wait, so the web process must not be taken out of service for it.
ESSENTIAL: dict[str, Callable[[], None]] = {"database": check_database, "storage": check_storage}
HELPFUL: dict[str, Callable[[], None]] = {"broker": check_broker}


def _passes(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception:  # whatever is wrong, the answer is the same and the log has it
        log.warning("health_check_failed", check=name, exc_info=True)
        return False
    return True


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """Answer 200 with status "ok" or "degraded" (jobs wait), 503 with "down". Never says why: the log does."""
    essential = {name: _passes(name, check) for name, check in ESSENTIAL.items()}
    helpful = {name: _passes(name, check) for name, check in HELPFUL.items()}
    up = all(essential.values())
    status = "down" if not up else "ok" if all(helpful.values()) else "degraded"
    checks = {name: "ok" if passes else "failed" for name, passes in {**essential, **helpful}.items()}
    return JsonResponse({"status": status, "checks": checks}, status=200 if up else 503)
