"""Measure what the assignment view feels like in the browser: first paint, layout shifts, keys, clicks, scrolling.

    python bench/app.py --rows 1000000 --database postgresql --only filters --keep /tmp/kept      (once)
    python bench/page.py /tmp/kept/postgresql-1000000

Chromium drives the view of a folder that bench/app.py kept. The times are its own: of an interaction from the
key or click to the next paint (Event Timing, what "interaction to next paint" is made of), of tasks beyond 50 ms,
and between the frames while the list is scrolled; layout shifts are those that no key or click explains.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from bench.app import PASSWORD, KeptSite  # noqa: E402
from bench.focus import ARGS  # noqa: E402

WATCH = """() => {
  window.seen = { shifts: 0, tasks: [], events: [], lcp: 0 };
  const watch = (type, run, options = {}) =>
    new PerformanceObserver(list => list.getEntries().forEach(run)).observe({ type, buffered: true, ...options });
  watch("layout-shift", one => { if (!one.hadRecentInput) window.seen.shifts += one.value; });
  watch("longtask", one => window.seen.tasks.push(one.duration));
  watch("largest-contentful-paint", one => { window.seen.lcp = one.startTime; });
  watch("event", one => { if (one.interactionId) window.seen.events.push([one.name, one.duration]); },
    { durationThreshold: 16 });
}"""
FRAMES = """() => {
  window.frames_ms = [];
  let last = performance.now();
  const next = now => {
    window.frames_ms.push(now - last);
    last = now;
    window.frameLoop = requestAnimationFrame(next);
  };
  window.frameLoop = requestAnimationFrame(next);
}"""
# What is done and how; the slowest of all of them is the number that counts.
ACTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("next row", ("j",) * 12),
    ("open a row", ("Enter",)),
    ("next row, open", ("j",) * 8),
    ("close", ("Escape",)),
    ("shortcuts sheet", ("?", "Escape")),
    ("tick rows", ("x", "j", "x", "Escape")),
)


def share(values: list[float], quantile: float) -> float:
    ordered = sorted(values)
    return ordered[int(quantile * (len(ordered) - 1))] if ordered else 0.0


def interactions(page: Page) -> dict[str, float]:
    """Do everything and return the slowest interaction of each kind, in milliseconds."""
    slowest: dict[str, float] = {}

    def act(name: str, run: Callable[[], object]) -> None:
        page.evaluate("window.seen.events = []")
        run()
        page.wait_for_timeout(600)
        found = [duration for _kind, duration in page.evaluate("window.seen.events")]
        slowest[name] = max(found, default=8.0)  # the API keeps nothing below 16 ms

    def keys(names: tuple[str, ...]) -> None:
        for key in names:
            page.keyboard.press(key)
            page.wait_for_timeout(250)

    def search() -> None:
        page.locator("#filter-q").click()
        page.keyboard.type("late arrival", delay=90)

    for name, pressed in ACTS:
        act(name, partial(keys, pressed))
    for tab in page.get_by_role("tab").all():
        if tab.is_visible():
            act(f"tab {tab.inner_text().strip()}", tab.click)
    act("type a search", search)
    act("clear it", partial(page.locator("#filter-q").fill, ""))
    return slowest


def scrolling(page: Page, n_steps: int) -> dict[str, float]:
    """Turn the wheel over the list and return what became of the frames and of the page."""
    box = page.locator("#feed").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.evaluate("window.seen.tasks = []")
    page.evaluate(FRAMES)
    for _step in range(n_steps):
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(60)
    frames = page.evaluate("(cancelAnimationFrame(window.frameLoop), window.frames_ms)")
    tasks = page.evaluate("window.seen.tasks")
    return {
        "frames": len(frames),
        "frame_ms_p50": round(share(frames, 0.5), 1),
        "frame_ms_p95": round(share(frames, 0.95), 1),
        "frame_ms_max": round(max(frames), 1),
        "tasks_over_50_ms": len(tasks),
        "longest_task_ms": round(max(tasks, default=0)),
        "rows_in_page": page.evaluate("document.querySelectorAll('article.row').length"),
        "rows_reached": page.evaluate("[...document.querySelectorAll('.row__number')].at(-1).innerText"),
        "heap_mb": round(page.evaluate("performance.memory.usedJSHeapSize") / 2**20, 1),
    }


def drive(site: KeptSite, column: int, options: argparse.Namespace) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"{site.url}/login/")
        page.fill("input[name=username]", "bench")
        page.fill("input[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/")
        page.add_init_script(f"({WATCH})()")
        loads = []
        for _visit in range(options.visits):
            page.goto(f"{site.url}/columns/{column}/")
            page.locator("html[data-complete='1']").wait_for(state="attached")
            page.wait_for_timeout(1500)
            loads.append(
                page.evaluate(
                    "({fcp: performance.getEntriesByName('first-contentful-paint')[0].startTime,"
                    " lcp: window.seen.lcp, shifts: window.seen.shifts,"
                    " tasks: window.seen.tasks.length, longest: Math.max(0, ...window.seen.tasks)})"
                )
            )
        found: dict[str, Any] = {
            "first_paint_ms": round(share([one["fcp"] for one in loads], 0.5)),
            "largest_paint_ms": round(share([one["lcp"] for one in loads], 0.5)),
            "layout_shift_max": round(max(one["shifts"] for one in loads), 4),
            "load_tasks_over_50_ms_max": max(one["tasks"] for one in loads),
            "load_longest_task_ms": round(max(one["longest"] for one in loads)),
        }
        found["interactions_ms"] = interactions(page)
        found["layout_shift_after_interactions"] = round(page.evaluate("window.seen.shifts"), 4)
        page.goto(f"{site.url}/columns/{column}/")
        page.locator("html[data-complete='1']").wait_for(state="attached")
        found["scrolling"] = scrolling(page, options.steps)
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="DATABASE-ROWS in the folder of bench/app.py --keep")
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="of the wheel, 900 px each")
    parser.add_argument("--chromium", default=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    options = parser.parse_args()
    if not (options.folder / "facts.json").exists():
        parser.error(f"{options.folder} holds no database that bench/app.py --keep made.")
    database = options.folder.name.split("-")[0]
    broker = "redis" if database == "postgresql" else "files"
    with KeptSite(options.folder.resolve(), database=database, broker=broker) as site:
        assert isinstance(site, KeptSite)
        site.migrate()
        column = json.loads(site.facts.read_text())["column"]
        site.start_web()
        found = drive(site, column, options)
    for name, value in found.items():
        if isinstance(value, dict):
            print(name)
            for inner, number in value.items():
                print(f"  {inner:<28} {number}")
        else:
            print(f"{name:<30} {value}")
    print(json.dumps({"cpus": os.cpu_count(), "load": os.getloadavg(), **found}))


if __name__ == "__main__":
    main()
