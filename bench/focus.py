"""Measure focus mode: how many reviews a minute a person at the keyboard can do, and how much of it is the server.

    python bench/focus.py                      (sample project, PostgreSQL, gunicorn, a worker, AI updates on)
    python bench/focus.py --reviews 200 --database sqlite --pace typist

A script drives Chromium with the timing of a person: they look at the card, then press keys one by one, each
at its own distance. Most rows are confirmed as proposed; others get a topic toggled, a sentiment changed, a
topic found by two letters, are skipped, or are taken back. The waits of the person (Enter to the next card on
the screen) are taken in the page; what the server worked is its processor time, and the time its answers took is
told beside.

Paces: reader (reads at 5 words a second, decides in 0.6 s), skimmer (twice as fast), typist (does not read: how
fast keys can be pressed at all).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from bench.app import cpu_seconds  # noqa: E402
from tests.system.harness import Site  # noqa: E402

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
# What the page tells about itself: when Enter was pressed, and when another card stood there and was painted.
WATCH = """() => {
  window.waits = [];
  let pressed = 0;
  document.addEventListener("keydown", event => {
    const searching = document.activeElement.matches("input[type=search]");
    if (["Enter", "n", "u"].includes(event.key) && !searching) pressed = event.timeStamp;
  }, true);
  new MutationObserver(() => {
    if (!pressed || !document.querySelector("#card form")) return;
    const since = pressed;
    pressed = 0;
    requestAnimationFrame(() => setTimeout(() => window.waits.push(performance.now() - since)));
  }).observe(document.getElementById("card"), { childList: true });
  performance.setResourceTimingBufferSize(5000);
}"""


@dataclass(frozen=True)
class Pace:
    """Seconds a person takes."""

    words_per_s: float  # reading
    decide_s: float
    key_s: float  # from one key to the next, median


PACES = {"reader": Pace(5, 0.6, 0.18), "skimmer": Pace(10, 0.3, 0.14), "typist": Pace(float("inf"), 0.0, 0.1)}
# What is done with a card, how often, and the keys. {} stands for the first letters of a topic.
ACTS = (
    (0.55, ("Enter",)),
    (0.15, ("1", "Enter")),
    (0.08, ("2", "Enter")),
    (0.07, ("s", "Enter")),
    (0.10, ("{}", "Enter", "Enter")),
    (0.03, ("n",)),
    (0.02, ("u", "Enter")),
)


class Person:
    """Reviews in focus mode with the timing of a person."""

    def __init__(self, page: Page, pace: Pace, rng: random.Random) -> None:
        self.page, self.pace, self.rng = page, pace, rng
        self.cycles: list[float] = []

    def rest(self, seconds: float) -> None:
        """Wait about so long: times of people are log-normal."""
        if seconds:
            time.sleep(seconds * self.rng.lognormvariate(0, 0.25))

    def review(self) -> None:
        start = time.perf_counter()
        words = len(self.page.locator(".card-form__text").inner_text().split())
        self.rest(words / self.pace.words_per_s + self.pace.decide_s)
        chosen = self.rng.choices([keys for _, keys in ACTS], [share for share, _ in ACTS])[0]
        before = self.row()
        for key in chosen:
            for one in self.rng.choice(("pq", "de", "wa", "pr")) if key == "{}" else [key]:
                self.page.keyboard.press(one)
                self.rest(self.pace.key_s)
        if chosen[0] not in "nu":  # else the card before may come again
            self.page.wait_for_function(
                "row => document.querySelector('#card form')?.dataset.row !== row || !row", arg=before
            )
        self.cycles.append(time.perf_counter() - start)

    def row(self) -> str:
        return str(self.page.evaluate("document.querySelector('#card form')?.dataset.row ?? ''"))


def drive(site: Site, web: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Sign in, review, and return what was seen."""
    loaded = json.loads(site.manage("load_sample", "--json", seconds=600).stdout.strip().splitlines()[-1])
    login = next(one for one in loaded["logins"] if one["role"] == "admin")
    column = site.sql("SELECT id FROM projects_column WHERE type = 'text_to_analyze' ORDER BY id LIMIT 1")[0][0]
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        page.set_default_timeout(60_000)
        page.goto(f"{site.url}/login/")
        page.fill("input[name=username]", login["username"])
        page.fill("input[name=password]", login["password"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/")
        for name in options.pace:
            page.goto(f"{site.url}/columns/{column}/focus/")
            page.locator("html[data-complete='1']").wait_for(state="attached")
            page.evaluate(WATCH)
            n_before = reviewed(site, column)
            person = Person(page, PACES[name], random.Random(options.seed))
            cpu, start = cpu_seconds(web), time.perf_counter()
            for _ in range(options.reviews):
                person.review()
            took = time.perf_counter() - start
            page.wait_for_function("() => !document.querySelector('focus-card').unsaved.length")
            found[name] = numbers(page, person, took, cpu_seconds(web) - cpu, reviewed(site, column) - n_before)
        browser.close()
    return found


def reviewed(site: Site, column: int) -> int:
    return int(
        site.sql("SELECT COUNT(*) FROM projects_change WHERE column_id = %s AND kind = 'review'", column)[0][0]
    )


def numbers(page: Page, person: Person, took: float, cpu: float, n_saved: int) -> dict[str, Any]:
    waits = sorted(page.evaluate("window.waits"))
    answers = sorted(
        page.evaluate(
            "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/focus/review/'))"
            ".map(one => one.responseEnd - one.requestStart)"
        )
    )
    n = len(person.cycles)
    cycle = statistics.median(person.cycles)
    return {
        "reviews_per_minute_median": round(60 / cycle, 1),
        "reviews_per_minute_overall": round(60 * n / took, 1),
        "cards": n,
        "saved": n_saved,
        "next_card_ms_p50": round(statistics.median(waits), 1),
        "next_card_ms_p95": round(waits[int(0.95 * (len(waits) - 1))], 1),
        "next_card_share_percent": round(100 * sum(waits) / 1000 / took, 2),
        "answer_ms_p50": round(statistics.median(answers), 1) if answers else None,
        "server_cpu_ms_per_card": round(1000 * cpu / n, 1),
        "server_cpu_share_percent": round(100 * cpu / took, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=120, help="cards of each pace")
    parser.add_argument("--pace", nargs="+", choices=PACES, default=list(PACES))
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chromium", default=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="focus-bench-"))
    broker = "redis" if options.database == "postgresql" else "files"
    try:
        with Site(folder, database=options.database, broker=broker) as site:
            site.migrate()
            site.start_worker()
            found = drive(site, site.start_web(), options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    load = os.getloadavg()
    report = {"cpus": os.cpu_count(), "load": load, "system": platform.platform(), "database": options.database}
    for name, values in found.items():
        print(name)
        for what, value in values.items():
            print(f"  {what:<28} {value}")
    print(json.dumps({**report, "paces": found}))


if __name__ == "__main__":
    main()
