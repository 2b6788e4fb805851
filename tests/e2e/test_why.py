"""Why a row has a topic: asked and answered in the open row, by keyboard too."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from finetune.updates import update_now
from projects.models import Member
from tests.finetune.test_updates import TOPICS as SURVEY_TOPICS
from tests.finetune.test_updates import corpus, review


@pytest.fixture
def view(site, make_project, alice, bob, role, column_url):
    """Bob has a column open in which the AI has learned from thirty reviews."""
    texts, labels, moods = corpus()
    project = make_project(alice, texts=texts, topics=SURVEY_TOPICS)
    Member.objects.create(project=project, user=bob, role=role)
    verbatims = project.column.verbatims.order_by("row_number")
    project.truth = dict(zip(verbatims, zip(labels, moods, strict=True), strict=True))
    review(project, 30, alice)
    update_now(project.column)
    site.sign_in(bob)
    site.address = column_url(project.column, "?q=parcel")
    site.open(site.address)
    return site


def open_first_unreviewed(page):
    page.locator("article.row:not(.is-reviewed)").first.click()
    panel = page.locator("#row-panel")
    expect(panel.get_by_role("button", name="Why? Delivery")).to_be_visible()
    return panel


def test_why_is_answered_in_the_open_row(view):
    page = view.page
    panel = open_first_unreviewed(page)
    panel.get_by_role("button", name="Why? Delivery").click()
    answer = panel.locator("details.why")
    expect(answer.locator("mark").first).to_be_visible()
    expect(answer.locator("summary")).to_be_focused()
    expect(answer).to_contain_text("Words that speak for it:")
    expect(answer.locator("[data-open-row]")).to_have_count(3)
    view.assert_accessible_in_both_themes()
    view.assert_fits()


def test_by_keyboard_it_opens_closes_and_leads_to_a_row_like_it(view):
    page = view.page
    panel = open_first_unreviewed(page)
    button = panel.get_by_role("button", name="Why? Delivery")
    button.focus()
    page.keyboard.press("Enter")
    answer = panel.locator("details.why")
    expect(answer.locator("summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(answer).not_to_have_attribute("open", "")
    page.keyboard.press("Enter")
    link = answer.locator("[data-open-row]").first
    page.keyboard.press("Tab")
    expect(link).to_be_focused()
    title = link.text_content()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("heading", name=re.compile(rf"^{title}\b"))).to_be_focused()
    expect(panel.locator("#row-state")).to_contain_text("Reviewed")
    expect(panel.locator("details.why")).to_have_count(0)


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_may_ask_too(view, role):
    panel = open_first_unreviewed(view.page)
    panel.get_by_role("button", name="Why? Delivery").click()
    expect(panel.locator("details.why mark").first).to_be_visible()
    view.assert_accessible()


def test_asking_saves_nothing(view):
    panel = open_first_unreviewed(view.page)
    panel.get_by_role("button", name="Why? Delivery").click()
    expect(panel.locator("details.why")).to_be_visible()
    expect(panel.locator("#row-state")).to_contain_text("Not reviewed")
