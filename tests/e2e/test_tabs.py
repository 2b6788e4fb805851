"""The header and the tabs beside the rows: charts that lead to rows, sorting, downloads, narrow screens."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from finetune.models import ModelVersion, TopicScore
from projects.models import Column, Job, JobKind, JobState

QUESTION = "What did you like or dislike, and what should we do better next time? " * 4


@pytest.fixture
def scored(column: Column, assign: Any) -> Column:
    topics = {topic.label: topic for topic in column.topics.all()}
    rows = list(column.verbatims.order_by("row_number"))
    assign(rows[0], topics["Delivery time"], -1)
    assign(rows[3], topics["Delivery time"], -1)
    assign(rows[1], topics["Friendliness"], 1)
    assign(rows[2], topics["Price"], None)
    measured = {"score": 58.0, "low": 49.0, "high": 66.0, "n": 40}
    version = ModelVersion.objects.create(
        column=column,
        number=1,
        trigger="reviews",
        state="deployed",
        n_reviewed=12,
        ai_score=63.0,
        metrics={"measured": measured},
        duration_s=1.5,
    )
    for label, score, count in (("Delivery time", 42.0, 60), ("Friendliness", 71.0, 40), ("Price", None, 1)):
        TopicScore.objects.create(
            version=version,
            topic=topics[label],
            score=score,
            count=count,
            influence=None if score is None else score - 63,
            reason="" if score else "too few rows",
        )
    return column


@pytest.fixture
def view(site: Any, scored: Column, alice: Any, column_url: Any) -> Any:
    site.sign_in(alice)
    site.open(column_url(scored))
    expect(site.page.locator("#ai-status")).to_contain_text("AI score 63")
    return site


def tab(page: Any, name: str) -> Any:
    page.get_by_role("tab", name=name).click()
    panel = page.get_by_role("tabpanel", name=name)
    expect(panel).not_to_be_empty()
    return panel


def test_the_badge_opens_the_score_tab_also_over_an_open_row(view: Any) -> None:
    page = view.page
    page.locator("article.row").first.click()
    expect(page.locator("#row-panel")).to_be_visible()
    page.locator("#ai-badge").click()
    expect(page.locator("#row-panel")).to_be_hidden()
    expect(page.get_by_role("tab", name="AI score")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="AI score")).to_contain_text("Measured: 58")


def test_a_bar_is_reached_by_keys_named_and_leads_to_its_rows(view: Any, scored: Column) -> None:
    page = view.page
    panel = tab(page, "AI score")
    bars = panel.locator("[data-bars] a")
    expect(bars).to_have_count(2)
    expect(panel.locator("[data-bars] a[tabindex='0']")).to_have_count(1)  # one stop of the Tab key
    bars.first.focus()
    expect(panel.locator("#score-readout")).to_contain_text("Delivery time – AI score 42, 60 rows")
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("link", name="Service: Friendliness, AI score 71")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator("article.row")).to_have_count(1)  # two identical ones, grouped
    expect(page.locator("#browse .chips[aria-label='Active filters']")).to_contain_text("Delivery time")
    topic = scored.topics.get(label="Delivery time")
    expect(page).to_have_url(re.compile(rf"topic={topic.pk}&reviewed=no&sort=certainty"))
    expect(page.get_by_role("tab", name="AI score")).to_have_attribute("aria-selected", "true")


def test_the_table_sorts_and_stays_sorted(view: Any) -> None:
    page = view.page
    panel = tab(page, "AI score")
    names = panel.locator("tbody th a")
    expect(names.first).to_contain_text("Delivery time")
    panel.get_by_role("button", name="Score", exact=True).click()
    expect(panel.get_by_role("columnheader", name="Score")).to_have_attribute("aria-sort", "descending")
    expect(names.first).to_contain_text("Friendliness")
    expect(panel.get_by_role("button", name="Score", exact=True)).to_be_focused()
    page.evaluate("document.body.dispatchEvent(new CustomEvent('rows-changed'))")
    page.wait_for_timeout(600)
    expect(names.first).to_contain_text("Friendliness")
    expect(panel.get_by_role("columnheader", name="Score")).to_have_attribute("aria-sort", "descending")


def test_results_open_to_topics_and_a_topic_shows_its_rows(view: Any, scored: Column) -> None:
    page = view.page
    page.get_by_role("searchbox", name="Search the texts").fill("late")
    expect(page.locator("article.row")).to_have_count(1)
    panel = tab(page, "Results")
    expect(panel).to_contain_text("Share of 2 rows with text, filters applied")
    panel.get_by_role("button", name="Service", exact=True).click()
    panel.get_by_role("link", name="Delivery time").click()
    topic = scored.topics.get(label="Delivery time")
    expect(page).to_have_url(re.compile(rf"q=late&topic={topic.pk}"))
    expect(page.locator("article.row")).to_have_count(1)
    expect(page.locator("#filter-q")).to_have_value("late")
    # What was open stays open, and the colours chosen stay chosen, when the panel is drawn again.
    expect(panel.get_by_role("link", name="Delivery time")).to_be_visible()
    panel.get_by_role("button", name="Category", exact=True).click()
    expect(panel.locator("#results-by-category")).to_have_attribute("aria-pressed", "true")
    page.evaluate("document.body.dispatchEvent(new CustomEvent('rows-changed'))")
    page.wait_for_timeout(600)
    expect(panel.locator("#results-by-category")).to_have_attribute("aria-pressed", "true")


def test_results_are_saved_as_pictures_and_as_numbers(view: Any) -> None:
    page = view.page
    panel = tab(page, "Results")
    panel.get_by_role("button", name="Show all topics").click()
    with page.expect_download() as found:
        panel.get_by_role("button", name="SVG").click()
    picture = Path(found.value.path()).read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    for text in ("What is your comment?", "Share of 5 rows with text", "Delivery time", "negative", "40.0\u00a0%"):
        assert text in picture
    assert "NaN" not in picture
    with page.expect_download() as found:
        panel.get_by_role("button", name="PNG").click()
    assert Path(found.value.path()).read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as found:
        panel.get_by_role("button", name="Data").click()
    lines = list(csv.DictReader(io.StringIO(Path(found.value.path()).read_text(encoding="utf-8-sig"))))
    delivery = next(line for line in lines if line["topic"] == "Delivery time")
    assert delivery["category"] == "Service"
    assert (delivery["rows"], delivery["share_percent"], delivery["negative"]) == ("2", "40.00", "2")
    assert [line["topic"] for line in lines if line["category"] == "Price"] == ["", "Price"]


def test_a_long_question_is_cut_and_can_be_read(view: Any, scored: Column, column_url: Any) -> None:
    scored.wording = QUESTION
    scored.save()
    page = view.open(column_url(scored))
    question = page.locator(".strip__question")
    low = question.bounding_box()["height"]
    question.click()
    assert question.bounding_box()["height"] > 1.5 * low
    view.assert_fits()


def test_a_failed_update_gives_its_reason_and_another_try(view: Any, scored: Column, column_url: Any) -> None:
    reason = "The disk of the worker is full. Free some space, then try again."
    Job.objects.create(
        kind=JobKind.UPDATE, project=scored.project, column=scored, state=JobState.FAILED, error=reason
    )
    page = view.open(column_url(scored))
    strip = page.locator("#ai-status")
    strip.get_by_role("button", name="The last AI update failed").click()
    expect(strip).to_contain_text(reason)
    view.assert_accessible()
    strip.get_by_role("button", name="Try again").click()
    expect(strip).to_contain_text("AI update starts soon")


def test_updates_are_switched_off_and_on(view: Any, scored: Column) -> None:
    page = view.page
    strip = page.locator("#ai-status")
    strip.get_by_role("switch", name="AI updates").uncheck()
    expect(strip).to_contain_text("AI updates are off")
    scored.refresh_from_db()
    assert not scored.ai_updates_on
    strip.get_by_role("switch", name="AI updates").check()
    expect(strip).to_contain_text("Reviews until update")


def test_the_sheet_of_keys_opens_with_a_key_and_closes(view: Any) -> None:
    page = view.page
    page.locator("article.row").first.focus()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    for part in ("Row browser", "Tabs and charts", "Everywhere"):
        expect(sheet).to_contain_text(part)
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(page.locator("article.row").first).to_be_focused()


def test_on_a_narrow_screen_a_link_to_rows_uncovers_them(view: Any) -> None:
    page = view.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("[data-show-side]").click()
    panel = tab(page, "AI score")
    panel.locator("tbody th a").first.click()
    expect(panel).to_be_hidden()
    expect(page.locator("article.row")).to_have_count(1)
    expect(page.locator("article.row")).to_be_visible()
