"""Take the screenshots of the documentation from a running sample project.

    python scripts/screenshots.py http://127.0.0.1:8000 analyst PASSWORD

Needs Chromium (CHROMIUM names another one than /usr/bin/chromium). Writes docs/screenshots/*.png.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "screenshots"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def settled(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(700)


def main(url: str, username: str, password: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGS
        )
        page = chromium.new_page(
            viewport={"width": 1360, "height": 850}, color_scheme="light", reduced_motion="reduce"
        )
        page.goto(url)
        page.fill("input[name=username]", username)
        page.fill("input[name=password]", password)
        page.keyboard.press("Enter")
        settled(page)
        page.screenshot(path=FOLDER / "projects.png")
        links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href') || '')")
        view = next(link for link in links if re.fullmatch(r"/columns/\d+/", link))
        page.goto(url + view)
        settled(page)
        page.screenshot(path=FOLDER / "view.png")
        for word, name in (("AI score", "score"), ("Results", "results")):
            page.get_by_role("tab", name=word).click()
            settled(page)
            page.screenshot(path=FOLDER / f"{name}.png")
        page.goto(f"{url}{view}focus/")
        settled(page)
        page.screenshot(path=FOLDER / "focus.png")
        chromium.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
