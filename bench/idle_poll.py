"""Measure what one idle poll of the topic assignment view costs the server, beside a view that does nothing.

    python bench/idle_poll.py                                   (SQLite; DATABASE_URL=postgres://… for PostgreSQL)

Both requests go through the whole stack inside this process: WSGI handler, all middleware, the session and the
signed-in person from the database. The rest of the difference is the poll itself: may this person see the column,
and has anything changed? Turns alternate between the two, so that a busy machine slows both alike. Works on a
database of its own, which is deleted at the end. Prints a table and, as the last line, JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def answer(application: Any, path: str, query: str, cookie: str) -> tuple[int, dict[str, str], bytes]:
    """Ask the application as a web server does."""
    found: list[Any] = []

    def start_response(status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None) -> Any:
        found.append((int(status.split()[0]), dict(headers)))

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_COOKIE": cookie,
        "HTTP_HX_REQUEST": "true",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    response = application(environ, start_response)
    body = b"".join(response)
    response.close()
    status, headers = found[0]
    return status, headers, body


def timed(application: Any, path: str, query: str, cookie: str, n: int) -> list[tuple[float, float]]:
    """Return (seconds on the clock, seconds of processor) of `n` requests that all answer 204."""
    times = []
    for _ in range(n):
        wall, cpu = time.perf_counter(), time.process_time()
        status, _, _ = answer(application, path, query, cookie)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
        assert status == 204, f"{path} answered {status}"
    return times


def measure(*, n_requests: int, n_turns: int) -> dict[str, Any]:
    """Return medians in milliseconds of the empty view and of the poll, for the owner and for a member."""
    from django.contrib.auth import get_user_model
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.test import Client
    from django.urls import path, reverse

    import topicassign.urls
    from projects.models import Column, ColumnType, Member, Project, Role

    topicassign.urls.urlpatterns.append(path("bench/empty/", lambda request: HttpResponse(status=204)))
    users = get_user_model().objects
    owner, member = users.create_user("owner"), users.create_user("member")
    project = Project.objects.create(owner=owner, name="Survey")
    Member.objects.create(project=project, user=member, role=Role.ANALYST)
    column = Column.objects.create(project=project, ref="text", name="Text", type=ColumnType.TEXT_TO_ANALYZE)
    application = get_wsgi_application()
    address = reverse("finetune:ai_status", args=[column.pk])
    result: dict[str, Any] = {}
    for name, user in (("owner", owner), ("member", member)):
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        cookie = f"sessionid={client.cookies['sessionid'].value}"
        body = answer(application, address, "", cookie)[2].decode()
        query = "seen=" + body.split("seen=")[1].split('"')[0]
        asked = {"empty": ("/bench/empty/", ""), "poll": (address, query)}
        for route in asked.values():
            timed(application, *route, cookie, 20)
        times: dict[str, list[tuple[float, float]]] = {"empty": [], "poll": []}
        for _ in range(n_turns):
            for kind, route in asked.items():
                times[kind] += timed(application, *route, cookie, n_requests)
        entry: dict[str, Any] = {}
        for kind, found in times.items():
            entry[kind] = {
                "ms": round(1e3 * statistics.median(one[0] for one in found), 3),
                "cpu_ms": round(1e3 * statistics.median(one[1] for one in found), 3),
            }
        entry["ratio"] = round(entry["poll"]["cpu_ms"] / entry["empty"]["cpu_ms"], 2)
        entry["extra_ms"] = round(entry["poll"]["ms"] - entry["empty"]["ms"], 3)
        result[name] = entry
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20, help="requests per turn")
    parser.add_argument("--turns", type=int, default=15, help="turns of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DATA_DIR": folder, "LOG_LEVEL": "WARNING", "LOG_JSON": "yes"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "topicassign.settings"
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("collectstatic", interactive=False, verbosity=0)
        vendor = connection.vendor
        if vendor == "postgresql":
            connection.creation.create_test_db(verbosity=0, autoclobber=True)
        else:
            call_command("migrate", verbosity=0)
        try:
            result = measure(n_requests=options.requests, n_turns=options.turns)
        finally:
            if vendor == "postgresql":
                connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
            connection.close()
    print(f"{vendor:12} {'empty view':>22} {'idle poll':>22} {'ratio of CPU':>14} {'more':>10}")
    for name, entry in result.items():
        cells = [f"{entry[kind]['ms']:.2f} ms (CPU {entry[kind]['cpu_ms']:.2f})" for kind in ("empty", "poll")]
        print(f"{name:12} {cells[0]:>22} {cells[1]:>22} {entry['ratio']:>14} {entry['extra_ms']:>7} ms")
    print(json.dumps({"database": vendor, **result}))


if __name__ == "__main__":
    main()
