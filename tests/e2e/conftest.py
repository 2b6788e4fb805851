"""Browser tests: a real Chromium against a live server, under the product's own content security policy.

The `site` fixture is what a test drives. It fails the test at the end if a page raised an error, broke
the policy, or asked any other host for anything.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.test import Client
from django.utils import timezone

from finetune.models import ModelVersion
from projects.models import Column, Job, JobKind, JobState, Project
from projects.services.members import invitation_create
from projects.services.projects import project_delete, project_update

# Playwright's synchronous interface runs an event loop in the test's thread.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
AXE_COLOR_RULES = ["color-contrast", "link-in-text-block"]
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": ARGS, "headless": True}


@pytest.fixture
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "viewport": {"width": 1280, "height": 800},
        "reduced_motion": "reduce",
        "locale": "en-GB",
        "timezone_id": "UTC",
    }


class _Traffic:
    """Counts the requests that the live server is answering."""

    def __init__(self) -> None:
        self._open = 0
        self._change = threading.Condition()
        request_started.connect(self._count_up)
        request_finished.connect(self._count_down)

    def _count_up(self, **_: Any) -> None:
        with self._change:
            self._open += 1

    def _count_down(self, **_: Any) -> None:
        with self._change:
            self._open -= 1
            self._change.notify_all()

    def wait_for_silence(self, timeout_s: float = 20) -> None:
        with self._change:
            assert self._change.wait_for(lambda: self._open <= 0, timeout_s), "a request never ended"

    def close(self) -> None:
        request_started.disconnect(self._count_up)
        request_finished.disconnect(self._count_down)


@pytest.fixture
def traffic(transactional_db: None) -> Iterator[_Traffic]:
    """Let a request that is still on its way end before the database is emptied for the next test.

    It must be set up before the page, so that the page is closed before the wait.
    """
    made = _Traffic()
    yield made
    made.wait_for_silence()
    made.close()


class Site:
    """A browser page on the live server, signed in as one person."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.expected: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("requestfailed", self._failed)
        page.on("request", self._request)
        page.expose_function("reportViolation", lambda text: self.problems.append(f"policy: {text}"))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', event => window.axeRuns ||"
            " window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`))"
        )

    def expect_problem(self, *parts: str) -> None:
        """Say that this test provokes a problem whose text contains one of `parts`."""
        self.expected += parts

    def _console(self, message: Any) -> None:
        # Chrome reports every 4xx answer as an error; the product's own 409 and 422 are answers.
        refused = any(f"status of {status}" in message.text for status in (409, 422))
        if message.type == "error" and not refused and "Content Security Policy" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _failed(self, request: Any) -> None:
        if "ERR_ABORTED" not in str(request.failure):
            self.problems.append(f"failed: {request.url} {request.failure}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.problems.append(f"left the host: {request.url}")

    def sign_in(self, user: Any) -> None:
        """Sign in without the form: its own test covers that."""
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        cookie = client.cookies["sessionid"]
        self.page.context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": self.url}])

    def sign_out(self) -> None:
        self.page.context.clear_cookies(name="sessionid")

    def theme(self, name: str) -> None:
        self.page.context.add_cookies([{"name": "theme", "value": name, "url": self.url}])

    def open(self, path: str) -> Any:
        """Go to a path and wait until all behaviours run."""
        self.page.goto(f"{self.url}{path}")
        self.page.locator("html[data-complete='1']").wait_for(state="attached")
        return self.page

    def assert_accessible(self, rules: dict[str, Any] | None = None) -> None:
        """Run axe on the page as it stands: all rules, or only those of axe's option `runOnly`."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(
            # axe itself sets styles, which the policy stops: no report from this document any more.
            "only => (window.axeRuns = true,"
            " axe.run(document, {runOnly: only, resultTypes: ['violations']})"
            ".then(result => result.violations.map(one => one.id + ': ' + one.help + '\\n  '"
            " + one.nodes.slice(0, 4).map(node => node.html.slice(0, 200) + node.failureSummary).join('\\n  '))))"
            ".catch(error => [String(error)])",
            rules or {"type": "tag", "values": AXE_TAGS},
        )
        assert not found, "\n".join(found)

    def assert_accessible_in_both_themes(self) -> None:
        """Run axe in light and in dark, without loading the page again.

        Colours are all that differs, so the rules about colour are all that runs in the second one.
        """
        for theme, rules in (("light", None), ("dark", {"type": "rule", "values": AXE_COLOR_RULES})):
            self.page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
            try:
                self.assert_accessible(rules)
            except AssertionError as error:
                raise AssertionError(f"in {theme}: {error}") from None

    def assert_fits(self, width: int = 320) -> None:
        """Assert that nothing scrolls sideways at a width (WCAG 1.4.10)."""
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": width, "height": 720})
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        self.page.set_viewport_size(before)
        assert wide <= width, f"the page is {wide} px wide at {width} px"

    def check(self) -> None:
        left = [one for one in self.problems if not any(part in one for part in self.expected)]
        assert not left, "\n".join(left)


@pytest.fixture
def site(traffic: _Traffic, page: Any, live_server: Any) -> Iterator[Site]:
    made = Site(page, live_server.url)
    page.set_default_timeout(10_000)
    yield made
    made.check()


@pytest.fixture
def second_site(browser: Any, browser_context_args: dict[str, Any], live_server: Any) -> Iterator[Site]:
    """A second person at another computer."""
    context = browser.new_context(**browser_context_args)
    made = Site(context.new_page(), live_server.url)
    made.page.set_default_timeout(10_000)
    yield made
    context.close()
    made.check()


@pytest.fixture
def column_url() -> Callable[..., str]:
    return lambda column, rest="": f"/columns/{column.pk}/{rest}"


@pytest.fixture
def furnished(project: Project, column: Column, alice: Any, make_project: Callable[..., Project]) -> Project:
    """A project with something of everything its pages show."""
    ModelVersion.objects.create(column=column, number=1, trigger="reviews", state="deployed", ai_score=63)
    project_update(project=project, values={"description": "Wave 3", "tags": ["nps", "shop"]}, user=alice)
    invitation_create(project=project, role="viewer", email="dora@example.org", user=alice)
    Job.objects.create(
        kind=JobKind.UPDATE,
        state=JobState.RUNNING,
        project=project,
        column=column,
        user=alice,
        stage="Encode texts",
        done=30,
        total=120,
        heartbeat_at=timezone.now(),
    )
    Job.objects.create(
        kind=JobKind.EXPORT,
        state=JobState.FAILED,
        project=project,
        user=alice,
        finished_at=timezone.now(),
        error="The disk of the server is full. Free some space, then try again.",
    )
    Job.objects.create(
        kind=JobKind.IMPORT, state=JobState.DONE, project=project, user=alice, finished_at=timezone.now()
    )
    project_delete(project=make_project(alice, name="Old survey"), user=alice)
    return project
