"""The product in German: from the sign-in page to the tabs, with no English left on the way."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from finetune.models import ModelVersion
from projects.models import Column, Preference
from tests.conftest import PASSWORD, add_rows

# Words of the frame that no German page has; what people typed (names of projects, topics) is not among them.
ENGLISH = [
    "Sign in", "Sign out", "Password", "User name", "Forgot", "Projects", "Import a table", "Import a file",
    "Search", "Filter by", "Sort", "Topics", "Results", "Statistics", "AI score", "AI updates", "Reviews until",
    "rows", "Reviewed", "Not reviewed", "Row ", "Select", "Focus mode", "Close", "Cancel", "Save", "Overview",
    "History",
    "Members", "Settings", "Keyboard shortcuts", "Theme", "Language", "changed", "ago", "Undo", "Mark as", "Show",
]  # fmt: skip
# What people typed: names of projects, columns and topics, texts; and the name of the other language.
TYPED = "script, style, .chip, .row__text, .topic, [lang=en], .crumbs a, h1, .project-card, .menu__title"


def assert_german(page: Any) -> None:
    """Look at all text of the page, what is only read aloud or shown as a tip too."""
    assert page.locator("html").get_attribute("lang") == "de"
    text = page.evaluate(
        """typed => {
            const parts = [document.title];
            const add = (node, ...found) => node.closest(typed) || parts.push(...found);
            const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walk.nextNode()) add(walk.currentNode.parentElement, walk.currentNode.data);
            for (const name of ["title", "aria-label", "placeholder"])
                for (const node of document.querySelectorAll(`[${name}]`)) add(node, node.getAttribute(name));
            return parts.map((part) => part.trim()).filter(Boolean);
        }""",
        TYPED,
    )
    english = re.compile("|".join(rf"\b{re.escape(word.strip())}\b" for word in ENGLISH))
    left = [line for line in text if english.search(line)]
    assert not left, f"English is left: {left[:8]}"


@pytest.fixture
def german(site: Any, alice: Any, column: Column) -> Any:
    """The site as Alice sees it, who chose German, with 1,206 rows and an AI score."""
    add_rows(column.project, {column: [f"Antwort {number}" for number in range(1_200)]})
    ModelVersion.objects.create(
        column=column, number=1, trigger="reviews", state="deployed", ai_score=63.0, n_reviewed=12, duration_s=2.44
    )
    Preference.objects.create(user=alice, language="de")
    page = site.open("/login/")
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.locator("html[data-ready='1']").wait_for(state="attached")
    return site


def test_the_switch_on_the_sign_in_page_works_and_is_remembered(site: Any, alice: Any, project: Any) -> None:
    page = site.open("/login/?next=/projects/deleted/")
    page.locator("main").get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()
    assert page.url.endswith("/login/?next=/projects/deleted/")
    expect(page.locator("main").get_by_role("button", name="Deutsch")).to_have_attribute("aria-current", "true")
    assert_german(page)
    site.assert_accessible()
    site.assert_fits()

    page.get_by_label("Benutzername").fill("alice")
    page.get_by_label("Passwort").fill("falsch")
    page.get_by_role("button", name="Anmelden").click()
    expect(page.get_by_role("alert")).to_contain_text("gehören nicht zusammen")
    page.get_by_label("Passwort").fill(PASSWORD)
    page.get_by_role("button", name="Anmelden").click()
    expect(page.get_by_role("heading", name="Kürzlich gelöscht")).to_be_visible()
    assert not Preference.objects.filter(user=alice).exclude(language="").exists()

    # Back to English from the menu, by keys; the account remembers.
    page.locator("html[data-ready='1']").wait_for(state="attached")
    page.get_by_role("button", name="Kontomenü").press("ArrowDown")
    page.locator("#user-menu").get_by_role("button", name="English").press("Enter")
    expect(page.get_by_role("heading", name="Recently deleted")).to_be_visible()
    assert Preference.objects.get(user=alice).language == "en"


def test_projects_and_settings_are_german(german: Any, project: Any) -> None:
    page = german.page
    expect(page.get_by_role("heading", name="Projekte", exact=True)).to_be_visible()
    for path in ("/", f"/projects/{project.pk}/", f"/projects/{project.pk}/settings/", "/imports/new/"):
        if page.request.get(f"{german.url}{path}").status == 404:
            continue
        german.open(path)
        assert_german(page)
    german.open("/")
    german.assert_accessible()
    german.assert_fits()
    page.get_by_role("button", name="Kontomenü").click()
    expect(page.locator("#user-menu").get_by_role("button", name="Deutsch")).to_be_visible()
    assert_german(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Tastenkürzel")).to_be_visible()
    expect(page.get_by_text("Letzte Änderung rückgängig machen")).to_be_visible()


def test_the_assignment_view_is_german_with_german_numbers(german: Any, column: Column, column_url: Any) -> None:
    page = german.open(column_url(column))
    expect(page.locator("#ai-status")).to_contain_text("KI-Score 63")
    expect(page.get_by_text("1.206 Zeilen").first).to_be_visible()
    assert_german(page)
    for tab in ("KI-Score", "Ergebnisse", "Statistik", "Themen"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel", name=tab)).not_to_be_empty()
        page.wait_for_load_state("networkidle")
        assert_german(page)
    page.get_by_role("tab", name="Statistik").click()
    expect(page.get_by_role("tabpanel", name="Statistik")).to_contain_text("1.206")
    expect(page.get_by_role("tabpanel", name="Statistik")).to_contain_text("dauerte 2,4 s")
    page.locator("article.row").first.click()
    expect(page.locator("#row-panel")).to_contain_text("Als geprüft markieren")
    assert_german(page)
    german.assert_accessible()
    german.assert_fits()


def test_scripts_speak_german_too(german: Any, column: Column, column_url: Any) -> None:
    page = german.open(column_url(column))
    german.expect_problem("ERR_INTERNET_DISCONNECTED", "htmx:sendError", "htmx:afterRequest")
    expect(page.get_by_role("tabpanel")).not_to_be_empty()
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.locator("article.row").first.get_by_role("button", name="Hervorheben").click()
    expect(page.locator("#banner")).to_contain_text("Keine Verbindung zum Server")
    page.context.set_offline(False)


def test_focus_mode_is_german(german: Any, column: Column, column_url: Any) -> None:
    page = german.open(column_url(column, "focus/"))
    expect(page.get_by_role("button", name="Bestätigen")).to_be_visible()
    assert_german(page)
    german.assert_accessible()
    page.set_viewport_size({"width": 360, "height": 740})
    cut_off = """buttons => buttons.filter((one) => one.offsetParent && one.scrollWidth > one.clientWidth + 1)
        .map((one) => one.textContent.trim())"""
    assert page.locator("#card button").evaluate_all(cut_off) == [], "German words are longer"
