"""Health, error pages, headers, robots: what every address of the site has in common."""

from __future__ import annotations

import gzip
import json
import re
from http.cookies import SimpleCookie

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path, reverse

from topicassign import health
from topicassign.errors import ApplicationError
from topicassign.middleware import CompressMiddleware


# --- health --------------------------------------------------------------------------------------
def test_health_needs_no_sign_in_and_names_what_it_checked(db, client):
    response = client.get("/health/")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {"database": "ok", "storage": "ok", "broker": "ok"}}
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("name", ["database", "storage"])
def test_health_is_down_without_database_or_storage_and_keeps_the_reason_to_itself(db, client, monkeypatch, name):
    def broken() -> None:
        raise DatabaseError("password of the database is hunter2")

    monkeypatch.setitem(health.ESSENTIAL, name, broken)

    response = client.get("/health/")

    assert response.status_code == 503
    assert response.json()["status"] == "down"
    assert response.json()["checks"][name] == "failed"
    assert "hunter2" not in response.content.decode()


def test_without_a_broker_people_still_work_so_health_is_degraded_only(db, client, monkeypatch):
    def broken() -> None:
        raise OSError("connection refused")

    monkeypatch.setitem(health.HELPFUL, "broker", broken)

    response = client.get("/health/")

    assert response.status_code == 200
    assert response.json()["status"] == "degraded"


def test_health_sees_a_broker_that_is_really_away(db, client):
    from topicassign.celery import app

    before = app.conf.broker_url
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    try:
        assert client.get("/health/").json()["checks"]["broker"] == "failed"
    finally:
        app.conf.broker_url = before


def test_health_sees_a_folder_that_cannot_be_written(db, client, settings, tmp_path):
    settings.DATA_DIR = tmp_path / "missing"

    assert client.get("/health/").status_code == 503


def test_robots_are_asked_to_stay_away(client):
    assert "Disallow: /" in client.get("/robots.txt").content.decode()


# --- error pages ---------------------------------------------------------------------------------
def _raise(error: Exception):
    def view(request):
        raise error

    return view


urlpatterns = [
    path("", include("topicassign.urls")),
    path("broken/", _raise(RuntimeError("secret detail of the code"))),
    path("forbidden/", _raise(PermissionDenied("Only admins of this project can do this."))),
    path("missing/", _raise(Http404("secret")), name="missing"),
    path("suspicious/", _raise(SuspiciousOperation("secret"))),
    path("rule/", _raise(ApplicationError("The label is taken.", code="taken", label="Price"))),
    path("ok/", lambda request: HttpResponse("ok")),
]
handler400 = "topicassign.views.bad_request"
handler403 = "topicassign.views.permission_denied"
handler404 = "topicassign.views.page_not_found"
handler500 = "topicassign.views.server_error"

ERRORS = [("broken", 500), ("forbidden", 403), ("missing", 404), ("suspicious", 400), ("rule", 422)]


@pytest.fixture
def quiet(as_alice) -> Client:
    as_alice.raise_request_exception = False
    return as_alice


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize(("name", "status"), ERRORS)
def test_an_error_page_has_a_sentence_a_reference_and_no_detail(quiet, name, status):
    response = quiet.get(f"/{name}/")

    page = response.content.decode()
    assert response.status_code == status
    assert response["X-Request-ID"] in page
    assert "secret" not in page
    assert "Traceback" not in page
    assert "/static/css/app.css" in page


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize(("name", "status"), ERRORS)
def test_programs_get_the_error_as_json(quiet, name, status):
    response = quiet.get(f"/{name}/", headers={"Accept": "application/json"})

    assert response.status_code == status
    body = response.json()
    assert set(body) >= {"type", "code", "message"}
    assert "secret" not in response.content.decode()


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [("forbidden", 403, "Only admins of this project"), ("rule", 422, "The label is taken.")],
)
def test_a_fragment_shows_a_refusal_as_a_notice(quiet, htmx, name, status, sentence):
    response = quiet.get(f"/{name}/", headers=htmx)

    assert response.status_code == status
    assert response["HX-Retarget"] == "#toasts"
    assert response["HX-Reswap"] == "beforeend"
    assert sentence in response.content.decode()
    assert "<html" not in response.content.decode()


def test_the_error_page_needs_no_database(settings):
    """No `db` fixture: a query would fail the test."""
    client = Client(raise_request_exception=False)
    with override_settings(ROOT_URLCONF=__name__):
        response = client.get("/nothing/at/all/")

    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()


def test_a_form_without_a_token_gets_a_calm_page(alice, client_of):
    client = client_of(alice, enforce_csrf_checks=True)

    page = client.post("/logout/")
    fragment = client.post("/logout/", headers={"HX-Request": "true"})
    as_json = client.post("/logout/", headers={"Accept": "application/json"})

    assert {page.status_code, fragment.status_code, as_json.status_code} == {403}
    assert "This page is too old" in page.content.decode()
    assert fragment["HX-Retarget"] == "#toasts"
    assert as_json.json()["code"] == "csrf"


def test_a_foreign_origin_names_the_setting(alice, client_of):
    client = client_of(alice, enforce_csrf_checks=True)

    response = client.post("/logout/", headers={"Origin": "https://proxy.example"})

    assert response.status_code == 403
    assert "CSRF_TRUSTED_ORIGINS" in response.content.decode()


def test_every_answer_has_its_own_reference(db, client):
    first, second = client.get("/login/")["X-Request-ID"], client.get("/login/")["X-Request-ID"]

    assert first != second
    assert re.fullmatch(r"[0-9a-f-]{36}", first)


def test_secret_addresses_do_not_reach_the_log(rf):
    from topicassign.middleware import RequestMiddleware

    for address in ("/invitations/top-secret/", "/password/reset/MQ/top-secret/"):
        line = RequestMiddleware.format_request(rf.get(address))
        assert "top-secret" not in line
        assert line.startswith("GET /")


# --- headers -------------------------------------------------------------------------------------
STRICT = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "object-src 'none'",
    "connect-src 'self'",
}


@pytest.mark.parametrize(
    "address", ["/", "/login/", "/nothing/", "/health/", "/admin/", "/robots.txt", "/password/reset/", "/status/"]
)
def test_every_answer_carries_the_strict_policy(make_user, client_of, address):
    client = client_of(make_user("root", is_staff=True, is_superuser=True))

    response = client.get(address)

    policy = {part.strip() for part in response["Content-Security-Policy"].split(";")}
    assert policy >= STRICT
    assert "unsafe" not in response["Content-Security-Policy"]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"


INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


def test_no_page_has_inline_scripts_or_styles(project, column, as_alice):
    addresses = ["/", "/login/", "/password/reset/", "/nothing/", reverse("projects:deleted")]
    for name in ("detail", "members", "history", "settings", "delete"):
        addresses.append(reverse(f"projects:{name}", args=[project.pk]))

    for address in addresses:
        assert not INLINE.search(as_alice.get(address).content.decode()), address


def test_pages_load_nothing_from_elsewhere(project, as_alice):
    page = as_alice.get("/").content.decode()

    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith(("/", "#", "?")), address


def test_cookies_are_not_readable_by_scripts_of_others(alice):
    client = Client()
    client.get("/login/")
    client.post("/login/", {"username": "alice", "password": "correct horse battery"})

    session, csrf = client.cookies["sessionid"], client.cookies["csrftoken"]
    assert session["httponly"]
    assert session["samesite"] == csrf["samesite"] == "Lax"


def test_behind_tls_cookies_are_secure_and_browsers_stay_on_https(tmp_path):
    """In a process of its own: settings are read once, from the environment."""
    import os
    import subprocess
    import sys

    script = (
        "import django, json; django.setup()\n"
        "from django.test import Client\n"
        "c = Client()\n"
        "plain = c.get('/login/', HTTP_HOST='app.example')\n"
        "tls = c.get('/robots.txt', HTTP_HOST='app.example', HTTP_X_FORWARDED_PROTO='https')\n"
        "health = c.get('/health/', HTTP_HOST='app.example')\n"
        "page = c.get('/login/', HTTP_HOST='app.example', HTTP_X_FORWARDED_PROTO='https')\n"
        "print(json.dumps([plain.status_code, plain['Location'], tls.headers.get('Strict-Transport-Security'),"
        " page.cookies.output(), health.status_code]))"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "topicassign.settings",
        "SITE_URL": "https://app.example",
        "ALLOWED_HOSTS": "app.example",
        "DATA_DIR": str(tmp_path),
        "DEBUG": "1",
        "DATABASE_URL": "",
    }

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    status, location, hsts, cookies, health_status = json.loads(done.stdout.splitlines()[-1])
    assert (status, location) == (301, "https://app.example/login/")
    assert hsts == "max-age=31536000"
    found = SimpleCookie()
    found.load(cookies.replace("Set-Cookie: ", ""))
    assert found["csrftoken"]["secure"]
    assert health_status in (200, 503)  # container health checks speak plain HTTP: no redirect


# --- compression ---------------------------------------------------------------------------------
def test_pages_go_out_compressed_and_streamed_files_as_they_are(project, as_alice):
    accepts = {"Accept-Encoding": "gzip"}

    page = as_alice.get("/", headers=accepts)
    plain = as_alice.get("/")

    assert page["Content-Encoding"] == "gzip"
    assert project.name in gzip.decompress(page.content).decode()
    assert "Content-Encoding" not in plain

    request = RequestFactory().get("/", headers=accepts)
    streamed = CompressMiddleware(HttpResponse).process_response(request, StreamingHttpResponse([b"x" * 5000]))
    assert "Content-Encoding" not in streamed
