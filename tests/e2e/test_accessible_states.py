"""Every state of every page in light and dark, by axe, and at 320 px without scrolling sideways.

A page is loaded once; its states follow one another as for somebody who works with it. What a state does is told
in the other files; here it is only reached and looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from finetune.models import ModelVersion, TopicScore
from projects.models import Column, ColumnType, Project
from rows.models import Assignment, SavedFilter
from tests.conftest import TOPICS, add_topics

Check = Callable[[str], None]


@pytest.fixture
def check(site: Any) -> Check:
    """Look at the page as it stands; a failure names the state."""

    def look(state: str) -> None:
        try:
            site.assert_accessible_in_both_themes()
            site.assert_fits()
        except AssertionError as error:
            raise AssertionError(f"{state}: {error}") from None

    return look


@pytest.fixture
def busy(make_project: Callable[..., Any], assign: Callable[..., Any], alice: Any) -> Column:
    """A column with something of everything: moods, copies, stars, scores, many topics with long names."""
    project = make_project(
        alice,
        topics=TOPICS,
        columns=[("Region", ColumnType.SINGLE_SELECT), ("Score", ColumnType.NUMERICAL)],
        values=[{"region": region, "score": index} for index, region in enumerate(["North", "South"] * 3)],
    )
    column: Column = project.column
    topics = {topic.label: topic for topic in column.topics.all()}
    rows = list(column.verbatims.order_by("row_number"))
    for index, row in enumerate(rows):
        row.certainty, row.sentiment, row.is_highlighted = index / 10, (-1, 1, 0)[index % 3], index == 2
        row.save()
    assign(rows[0], topics["Delivery time"], -1, probability=0.9)
    assign(rows[1], topics["Friendliness"], 1, probability=0.8)
    assign(rows[1], topics["Delivery time"], 0, probability=0.7, position=1)
    assign(rows[1], topics["Price"], None, probability=0.6, position=2)
    assign(rows[2], topics["Price"], None, probability=0.6)
    version = ModelVersion.objects.create(
        column=column, number=1, trigger="reviews", state="deployed", n_reviewed=12, ai_score=63.0, duration_s=1.5,
        metrics={"measured": {"score": 58.0, "low": 49.0, "high": 66.0, "n": 40}},
    )  # fmt: skip
    long = [(f"Category number {n // 6}", f"Topic {n} with a label of fifty {'x' * 20}"[:50], n % 2 == 0)
            for n in range(24)]  # fmt: skip
    for n, topic in enumerate([*topics.values(), *add_topics(column, long)]):
        score = None if n == 2 else 30.0 + 2 * n % 60
        reason = "too few rows" if score is None else ""
        TopicScore.objects.create(
            version=version, topic=topic, score=score, count=5 + n, influence=0.1, reason=reason
        )
        if n > 2:
            mood = (n % 3) - 1 if topic.sentiment_enabled else None
            Assignment.objects.create(verbatim=rows[5], topic=topic, sentiment=mood, source="ai")
    SavedFilter.objects.create(column=column, owner=alice, name="Open ones", query="reviewed=no", is_shared=True)
    return column


@pytest.fixture
def view(site: Any, busy: Column, alice: Any) -> Callable[..., Any]:
    """Open the view of the column as its owner, who may do everything."""

    def open_view(query: str = "") -> Any:
        site.sign_in(alice)
        page = site.open(f"/columns/{busy.pk}/{query}")
        expect(page.locator("#ai-status")).to_contain_text("AI score 63")
        expect(page.locator("#row-count")).to_contain_text("row")
        return page

    return open_view


def row(page: Any, number: int) -> Any:
    label = page.locator(f".row__number:text-matches('(^|\\\\D){number}$')")
    return page.locator("article.row").filter(has=label)


def test_the_view_and_its_tabs(view: Callable[..., Any], check: Check) -> None:
    page = view()
    expect(page.get_by_role("tabpanel", name="Topics")).to_contain_text("Category number 3")
    check("rows and topics")
    for name in ("AI score", "Results", "Statistics"):
        page.get_by_role("tab", name=name).click()
        panel = page.get_by_role("tabpanel", name=name)
        expect(panel).not_to_be_empty()
        if name == "Results":
            panel.locator("[aria-expanded=false]").first.click()
        check(f"tab {name}")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("[data-show-side]").click()
    for name in ("Topics", "AI score", "Results", "Statistics"):
        page.get_by_role("tab", name=name).click()
        panel = page.get_by_role("tabpanel", name=name)
        expect(panel).not_to_be_empty()
        wide = panel.evaluate("one => one.scrollWidth - one.clientWidth")
        assert wide <= 0, f"{name} is {wide} px too wide at 390 px"


def test_an_open_row_and_what_lies_over_the_page(view: Callable[..., Any], check: Check) -> None:
    page = view()
    row(page, 2).click()
    expect(page.locator("#row-panel [data-grip]")).to_have_count(3)
    check("open row")
    page.get_by_role("button", name="Close row").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    check("shortcuts")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_role("dialog", name="Export")).to_be_visible()
    check("export")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name=re.compile("Account menu")).click()
    expect(page.get_by_role("link", name="Change password")).to_be_visible()
    check("account menu")


def test_filters(view: Callable[..., Any], check: Check) -> None:
    page = view("?reviewed=no&topic=999999&row_min=1")
    expect(page.locator(".chip--lost")).to_be_visible()
    expect(page.locator("#grouping-suspended")).to_be_visible()
    check("chips, one of them lost")
    page.get_by_role("button", name="Filter", exact=True).click()
    builder = page.get_by_role("dialog", name="Filter")
    for name in ("Topics", "Reviewed", "Date added", "Score", "Region"):
        builder.locator("summary", has_text=re.compile(f"^\\s*{name}")).first.click()
    expect(builder.get_by_role("checkbox", name=re.compile("^North"))).to_be_visible()
    check("filter builder")
    builder.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Saved filters").click()
    dialog = page.get_by_role("dialog", name="Saved filters")
    dialog.locator("summary", has_text="Change").click()
    check("saved filters")


def test_a_selection(view: Callable[..., Any], check: Check) -> None:
    page = view()
    row(page, 1).get_by_role("checkbox").check()
    bar = page.get_by_role("region", name="Selected rows")
    expect(bar).to_contain_text("Select all")
    check("bulk bar")
    bar.get_by_role("button", name="Topics").click()
    expect(page.get_by_role("dialog")).to_contain_text("Review state")
    check("bulk dialog")
    page.keyboard.press("Escape")
    bar.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete")
    check("deleting rows")


def test_focus_mode(site: Any, busy: Column, alice: Any, check: Check) -> None:
    site.sign_in(alice)
    page = site.open(f"/columns/{busy.pk}/focus/")
    expect(page.locator("#card")).to_be_focused()
    check("focus mode")
    page.keyboard.type("de")
    check("topic search")
    page.keyboard.press("Escape")
    page.locator(".advice summary").click()
    check("advice")
    page.locator(".advice summary").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Confirm and go on")
    check("shortcuts of focus mode")


def test_getting_topics(
    view: Callable[..., Any], check: Check, make_project: Callable[..., Any], alice: Any, tmp_path: Path
) -> None:
    make_project(alice, name="Another survey")
    page = view()
    opener = page.get_by_role("button", name="More about topics")
    dialog = page.get_by_role("dialog")
    opener.click()
    page.get_by_role("button", name="Topics from …").click()
    expect(dialog).to_contain_text("Another project")
    check("ways to get topics")
    dialog.get_by_role("button", name="A template").click()
    expect(dialog).to_contain_text("Customer feedback")
    check("templates in the language of the project")
    dialog.get_by_role("button", name="German").click()
    expect(dialog).to_contain_text("Kundenfeedback")
    check("templates")
    dialog.get_by_role("button", name="Kundenfeedback").click()
    expect(dialog).to_contain_text("Sortiment und Auswahl")
    check("a template")
    dialog.get_by_role("button", name="Take these").click()
    expect(dialog).to_contain_text("26 new topics")
    check("preview of a template")
    dialog.get_by_role("button", name="Cancel").click()
    opener.click()
    page.get_by_role("button", name="Topics from …").click()
    expect(dialog).to_contain_text("Another project")
    expect(page.locator("#dialog .htmx-added")).to_have_count(0)
    dialog.get_by_role("button", name="Another project The topics of").click()
    expect(dialog).to_contain_text("Another survey")
    expect(page.locator("#dialog .htmx-added")).to_have_count(0)
    dialog.get_by_role("button", name="Look at the topics").click()
    expect(dialog).to_contain_text("Choose a text column.")
    check("another project")
    dialog.get_by_role("button", name="Back", exact=True).click()
    expect(dialog).to_contain_text("Another project")
    expect(page.locator("#dialog .htmx-added")).to_have_count(0)
    dialog.get_by_role("button", name="A file").click()
    expect(dialog).to_contain_text("Choose a CSV")
    check("a file")
    file = tmp_path / "codes.csv"
    file.write_text("code,topic,category,description\n1,Warmth,Service,Smiles\n900,New,Shop,\n", encoding="utf-8")
    dialog.locator("input[type=file]").set_input_files(file)
    dialog.get_by_role("button", name="Check the file").click()
    expect(dialog).to_contain_text("26 topics are not in the file")
    for summary in dialog.locator("summary").all():
        if summary.locator("xpath=..").get_attribute("open") is None:
            summary.click()
    check("preview of a file")


def test_the_import_wizard(site: Any, alice: Any, check: Check, tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    lines = [f"{n},{n % 7},The delivery of order {n} was slow" for n in range(30)]
    table.write_text("\n".join(["order,score,What happened?", *lines, "30,many,Fine"]), encoding="utf-8")
    site.sign_in(alice)
    page = site.open("/import/")
    check("upload")
    page.get_by_label(re.compile("Choose a CSV or Excel file")).set_input_files(str(table))
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/organise/")
    check("organise")
    page.get_by_role("group", name="Column score").get_by_label("Type").select_option("Number")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/settings/")
    check("settings")


def test_projects(site: Any, furnished: Project, alice: Any, check: Check) -> None:
    site.sign_in(alice)
    for name in ("list", "deleted", "detail", "members", "history", "settings", "delete"):
        of_one = name not in ("list", "deleted")
        page = site.open(reverse(f"projects:{name}", args=[furnished.pk] if of_one else []))
        if name in ("list", "detail"):
            expect(page.get_by_text("reviewed")).to_be_visible()
        check(name)


def test_account_and_error_pages(site: Any, alice: Any, check: Check) -> None:
    site.expect_problem("status of 404")
    for path in ("/login/", "/password/reset/", "/nothing/here/"):
        if "nothing" in path:
            site.sign_in(alice)
        site.page.goto(site.url + path)
        check(path)
