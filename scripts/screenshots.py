"""Take the pictures of the documentation: `make screenshots`, or `python scripts/screenshots.py [NAME ...]`.

    --port N       port of the product while the pictures are taken; by default one that is free
    --data DIR     keep the installation in DIR and use it again; by default it is made anew and thrown away
    --png DIR      write PNG files there instead, for looking closely

Starts from nothing: a new installation with the sample project, reviews and an AI that learned from them
(scripts/screenshots_state.py), then every state at three widths, in light and in dark, as docs/screenshots/
NAME-WIDTH-THEME.webp. Takes some minutes. CHROMIUM names another browser than /usr/bin/chromium.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, Playwright, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "screenshots"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--font-render-hinting=none",
]  # fmt: skip
OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "SITE_URL", "QUEUE_NAME")
SIZES = {1440: 900, 1024: 768, 390: 844}
THEMES = ("light", "dark")
QUALITY = 72
MOST_BYTES = 4_000_000  # of all pictures together: they are part of every clone
STATE_S, START_S = 1800, 120


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="screenshots.py", description="Take the pictures of the documentation.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(STATES)}")
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    parser.add_argument("--data", type=Path, help="keep the installation here and use it again")
    parser.add_argument("--png", type=Path, help="write PNG files here instead")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(STATES):
        parser.error(f"no such picture: {', '.join(sorted(unknown))}. There are: {', '.join(STATES)}.")
    if not (Path(CHROMIUM).is_file() or shutil.which(CHROMIUM)):
        print(f"There is no Chromium at {CHROMIUM}. Install it, or name another one: CHROMIUM=/path/to/chromium")
        return 1
    if options.port and is_taken(options.port):
        print(f"Port {options.port} is in use by another program. Choose another, or none: then one that is free.")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ended like this, it tidies up as well
    folder = options.png or FOLDER
    try:
        with contextlib.ExitStack() as stack:
            data = options.data or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="topicassign-pictures-"))
            )
            place = prepared(data.resolve())
            url = stack.enter_context(served(data.resolve(), options.port))
            take(url, place, folder, options.names or list(STATES), "png" if options.png else "webp")
    except PictureError as trouble:
        print(trouble)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing is left running.")
        return 130
    if folder == FOLDER:
        n_bytes = sum(path.stat().st_size for path in FOLDER.iterdir())
        print(f"{len(list(FOLDER.iterdir()))} pictures, {n_bytes / 1e6:.1f} MB in {FOLDER.relative_to(ROOT)}")
        if n_bytes > MOST_BYTES:
            print(f"That is more than {MOST_BYTES / 1e6:g} MB. Lower QUALITY or take fewer.")
            return 1
    return 0


class PictureError(Exception):
    """What stopped it, as a sentence for the person who started it."""


# --- the product ---------------------------------------------------------------------------------
def environment(data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**kept, "DATA_DIR": str(data), "PYTHONUNBUFFERED": "1", "LOG_LEVEL": "WARNING", "TZ": "UTC"}


def prepared(data: Path) -> dict[str, Any]:
    """Return what the pictures need to know of the installation in `data`; make it where it is missing."""
    known = data / "pictures.json"
    if not known.exists():
        print("Preparing the sample project, its reviews and AI updates (some minutes) ...", flush=True)
        data.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                [sys.executable, str(ROOT / "scripts" / "screenshots_state.py")],
                env=environment(data), cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=STATE_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PictureError(f"The sample project was not ready within {STATE_S // 60} minutes.") from None
        if done.returncode:
            raise PictureError("The sample project could not be prepared. The messages above say why.")
        known.write_text(done.stdout.strip().splitlines()[-1], encoding="utf-8")
        known.chmod(0o600)
    found: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
    return found


@contextlib.contextmanager
def served(data: Path, port: int) -> Iterator[str]:
    """Run `manage.py start`; yields the address once it answers, and stops everything at the end."""
    port = port or free_port()
    log = data / "start.log"
    with log.open("w") as stream:
        starter = subprocess.Popen(
            [sys.executable, "manage.py", "start", "--port", str(port)],
            env=environment(data), cwd=ROOT, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        while "TopicAssign is ready" not in log.read_text():
            if starter.poll() is not None:  # a port that is taken, a setting that is wrong: it said so
                said = log.read_text().strip()
                raise PictureError(said or f"The product stopped with status {starter.returncode}.")
            if time.monotonic() > deadline:
                raise PictureError(f"The product did not start within {START_S} s:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        starter.terminate()
        try:
            starter.wait(30)
        except subprocess.TimeoutExpired:
            starter.kill()


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the states ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Visit:
    """A page of somebody signed in, at one width."""

    page: Page
    url: str
    place: dict[str, Any]
    width: int

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)
        self.page.locator("html[data-complete='1']").wait_for(state="attached")

    def open_view(self, query: str = "") -> None:
        self.open(f"/columns/{self.place['column']}/{query}")
        expect(self.page.locator("article.row").first).to_be_visible()
        expect(self.page.locator("#row-count")).to_contain_text("rows")
        expect(self.page.locator("#ai-badge")).to_be_visible()

    def open_tab(self, name: str) -> None:
        self.open_view()
        if (opener := self.page.locator("[data-show-side]")).is_visible():
            opener.click()
        self.page.get_by_role("tab", name=name).click()
        expect(self.page.get_by_role("tabpanel", name=name)).not_to_be_empty()


def projects(visit: Visit) -> None:
    visit.open("/")
    expect(visit.page.get_by_text("reviewed").first).to_be_visible()


def view(visit: Visit) -> None:
    visit.open_view()
    if not visit.page.locator("[data-show-side]").is_visible():
        expect(visit.page.locator("#panel-topics")).not_to_be_empty()


def row(visit: Visit) -> None:
    """An open row that says why it has its topic."""
    visit.open_view("?reviewed=no&q=delivery")
    rows = visit.page.locator("article.row:has(.chip)")
    rows.nth(1).locator(".row__text").click()
    panel = visit.page.locator("#row-panel")
    panel.get_by_role("button", name=re.compile("^Why")).first.click()
    expect(panel.locator("details.why mark").first).to_be_visible()
    panel.locator(".sidebar__body").evaluate("body => body.scrollTo(0, 0)")


def filters(visit: Visit) -> None:
    visit.open_view(f"?{visit.place['filter']}")
    visit.page.get_by_role("button", name="Filter", exact=True).click()
    builder = visit.page.get_by_role("dialog", name="Filter")
    expect(builder.get_by_role("heading", name="Standard fields")).to_be_visible()
    builder.locator("summary", has_text="nps_score").click()


def bulk(visit: Visit) -> None:
    """Every row that matches is selected, and the dialog says what would change."""
    visit.open_view("?reviewed=no")
    for index in range(2):
        visit.page.locator("article.row").nth(index).get_by_role("checkbox").check()
    visit.page.get_by_role("button", name=re.compile("Select all")).click()
    visit.page.locator("row-selection").get_by_role("button", name="Topics").click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("combobox").first.fill("delivery")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_timeout(600)


def selection(visit: Visit) -> None:
    visit.open_view("?reviewed=no")
    for index in range(3):
        visit.page.locator("article.row").nth(index).get_by_role("checkbox").check()
    expect(visit.page.get_by_role("button", name=re.compile("Select all"))).to_be_visible()


def topics(visit: Visit) -> None:
    visit.open_tab("Topics")


def board(visit: Visit) -> None:
    """The page of the topics, with the question what shall become of two of them."""
    visit.open(f"/columns/{visit.place['column']}/topics/")
    expect(visit.page.locator("topic-selection:defined")).to_be_attached()
    chips = visit.page.locator(".topic__chip")
    for index in (1, 2):
        chips.nth(index).click(modifiers=["ControlOrMeta"])
    visit.page.locator("topic-selection").get_by_role("button", name="Merge…").click()
    expect(visit.page.get_by_role("dialog")).to_contain_text("rows change")


def score(visit: Visit) -> None:
    visit.open_tab("AI score")


def results(visit: Visit) -> None:
    visit.open_tab("Results")
    panel = visit.page.get_by_role("tabpanel", name="Results")
    panel.locator("[aria-expanded=false]").nth(1).click()


def statistics(visit: Visit) -> None:
    visit.open_tab("Statistics")


def focus(visit: Visit) -> None:
    visit.open(f"/columns/{visit.place['column']}/focus/")
    expect(visit.page.locator(".card-form__text")).to_be_visible()
    expect(visit.page.locator("#ai-badge")).to_be_visible()


def shortcuts(visit: Visit) -> None:
    visit.open_view()
    visit.page.locator("article.row").first.focus()
    visit.page.keyboard.press("?")
    expect(visit.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def wizard(visit: Visit) -> None:
    """The second step of an import."""
    visit.open("/import/")
    visit.page.locator("input[type=file]").set_input_files(ROOT / "demo" / "harbour-and-pine.csv")
    visit.page.get_by_role("button", name="Continue").click()
    visit.page.wait_for_url("**/organise/")
    answers = visit.page.get_by_role("group", name="Column What is the main reason")
    answers.evaluate("one => one.scrollIntoView({block: 'center'})")


STATES: dict[str, Callable[[Visit], None]] = {
    "projects": projects, "view": view, "row": row, "filters": filters, "selection": selection, "bulk": bulk,
    "topics": topics, "board": board, "score": score, "results": results, "statistics": statistics, "focus": focus,
    "shortcuts": shortcuts, "import": wizard,
}  # fmt: skip


# --- the pictures --------------------------------------------------------------------------------
def take(url: str, place: dict[str, Any], folder: Path, names: list[str], kind: str) -> None:
    """Take the pictures of the states; throws away old ones when all are taken."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = set()
    with sync_playwright() as playwright:
        browser = launched(playwright)
        for width in SIZES:
            page = signed_in(browser, url, place, width)
            for name in names:
                try:
                    STATES[name](Visit(page, url, place, width))
                    settle(page)
                except (Error, AssertionError) as error:
                    raise PictureError(f"The picture {name} at {width} px was not reached:\n{error}") from None
                for theme in THEMES:
                    path = folder / f"{name}-{width}-{theme}.{kind}"
                    path.write_bytes(picture(page, theme, kind))
                    fresh.add(path)
            page.context.close()
        browser.close()
    if names == list(STATES) and folder == FOLDER:
        for path in set(folder.iterdir()) - fresh:
            path.unlink()


def launched(playwright: Playwright) -> Browser:
    try:
        return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
    except Error as error:
        raise PictureError(f"{CHROMIUM} does not start: {error.message.splitlines()[0]}") from None


def signed_in(browser: Browser, url: str, place: dict[str, Any], width: int) -> Page:
    is_phone = width < 600
    context = browser.new_context(
        viewport={"width": width, "height": SIZES[width]},
        reduced_motion="reduce", color_scheme="light", locale="en-GB", timezone_id="UTC",
        has_touch=is_phone, is_mobile=is_phone,
    )  # fmt: skip
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", place["passwords"]["admin"])
    page.keyboard.press("Enter")
    page.locator("html[data-complete='1']").wait_for(state="attached")
    expect(page.locator("input[name=password]")).to_have_count(0)
    return page


def settle(page: Page) -> None:
    """Wait until nothing moves any more, and take away what passes: notices, the caret, the pointer's traces."""
    page.mouse.move(0, 0)
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')")
    page.evaluate(
        "async () => { await document.fonts.ready;"
        " document.querySelectorAll('toast-item').forEach(one => one.remove());"
        " const still = new CSSStyleSheet(); still.replaceSync('* { caret-color: transparent !important; }');"
        " document.adoptedStyleSheets = [still]; }"
    )
    page.wait_for_timeout(300)


def picture(page: Page, theme: str, kind: str) -> bytes:
    page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
    page.wait_for_timeout(100)
    options: dict[str, Any] = {"format": kind}
    if kind == "webp":
        options["quality"] = QUALITY
    session = page.context.new_cdp_session(page)
    answer = session.send("Page.captureScreenshot", options)
    session.detach()
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
