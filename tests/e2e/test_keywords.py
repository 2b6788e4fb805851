"""Keywords in a browser: typed by keyboard, checked while one types, and seen on the rows that have them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from finetune.updates import update_now
from projects.jobs import job_execute
from projects.models import Job, JobState
from rows.models import Assignment
from tests.topics.restructuring import topic

pytestmark = pytest.mark.django_db(transaction=True)


def picture(page, name):
    """Keep a picture for a person to look at (SCREENSHOTS names the folder)."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def work(column):
    while job := Job.objects.filter(column=column, state=JobState.QUEUED).first():
        Job.objects.filter(pk=job.pk).update(not_before=None)
        job_execute(job.pk)


@pytest.fixture
def board(site, alice, column):
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/")
    expect(page.locator("topic-board:defined")).to_be_visible()
    return page


def open_price(page):
    page.locator("topic-board").get_by_role("button", name="Price", exact=True).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Topic", exact=True)).to_be_focused()
    return dialog


def test_keywords_are_typed_checked_and_saved_by_keyboard(site, board, column):
    dialog = open_price(board)
    field = dialog.get_by_label("Keywords")
    while not field.evaluate("field => field === document.activeElement"):
        board.keyboard.press("Tab")
    board.keyboard.type("expensive")
    board.keyboard.press("Enter")
    board.keyboard.type("/(late/")
    expect(dialog.get_by_role("status")).to_contain_text("Found in 1 row, 1 of them not reviewed.")
    expect(dialog.get_by_role("status")).to_contain_text("Line 2, /(late/: a closing parenthesis ) is missing.")
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    for theme in ("light", "dark"):
        board.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
        picture(board, f"keywords-problem-1440-{theme}")
    board.set_viewport_size({"width": 390, "height": 844})
    field.scroll_into_view_if_needed()
    picture(board, "keywords-problem-390-dark")
    board.set_viewport_size({"width": 1280, "height": 800})
    field.focus()
    # saved as it is: refused, with the sentence beside the field, and nothing is lost
    dialog.get_by_role("button", name="Save").focus()
    board.keyboard.press("Enter")
    expect(dialog.locator(".errorlist")).to_have_text("Line 2, /(late/: a closing parenthesis ) is missing.")
    expect(field).to_be_focused()
    expect(field).to_have_value("expensive\n/(late/")
    site.assert_accessible()
    board.evaluate("document.documentElement.dataset.theme = 'light'")
    picture(board, "keywords-refused-1440-light")
    board.keyboard.press("Control+a")
    board.keyboard.type("expensive\nnowhere\n/days? late/i")
    expect(dialog.get_by_role("status")).to_have_text(
        re.compile(r"Found in 3 rows, 3 of them not reviewed\.\s*Not found: nowhere")
    )
    expect(dialog.locator(".errorlist")).to_be_hidden()
    picture(board, "keywords-found-1440-light")
    dialog.get_by_role("button", name="Save").focus()
    board.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    assert topic(column, "Price").keywords == ["expensive", "nowhere", "/days? late/i"]
    dialog = open_price(board)
    expect(dialog.get_by_label("Keywords")).to_have_value("expensive\nnowhere\n/days? late/i")
    expect(dialog.get_by_role("status")).to_contain_text("Found in 3 rows")  # at once, nothing was typed
    board.keyboard.press("Escape")
    board.get_by_role("button", name="Undo").first.click()
    expect(board.get_by_text("Undone").first).to_be_visible()
    assert topic(column, "Price").keywords == []


def test_rows_show_that_a_topic_came_by_keyword(site, board, column):
    dialog = open_price(board)
    dialog.get_by_label("Keywords").fill("expensive")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    work(column)
    site.open(f"/columns/{column.pk}/")
    chip = board.get_by_title("Price: Price (by keyword)")
    expect(chip).to_be_visible()
    board.get_by_text("Too expensive for what you get.").first.click()
    panel = board.locator("#row-panel, side-panel").first
    mark = panel.get_by_text("keyword", exact=True)
    expect(mark).to_be_visible()
    panel.get_by_role("button", name="Why? Price").click()
    expect(panel).to_contain_text("The row has this topic because its text has a keyword of it: expensive.")
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    for theme in ("light", "dark"):
        board.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
        board.set_viewport_size({"width": 1440, "height": 900})
        picture(board, f"keywords-row-1440-{theme}")
        board.set_viewport_size({"width": 390, "height": 844})
        picture(board, f"keywords-row-390-{theme}")


def test_focus_mode_has_it_ticked_and_marked(site, alice, column):
    price = topic(column, "Price")
    price.keywords = ["/./"]
    price.save()
    update_now(column)
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/focus/")
    line = page.locator(f".line[data-topic='{price.pk}']").first
    expect(line.get_by_role("checkbox")).to_be_checked()
    expect(line.get_by_text("keyword", exact=True)).to_be_visible()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    picture(page, "keywords-focus-1280-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    picture(page, "keywords-focus-390-dark")
    shown = page.locator(".card-form__text").first.inner_text()
    page.keyboard.press("Enter")
    expect(page.locator(".card-form__text").first).not_to_have_text(shown)
    expect(page.locator("body")).to_contain_text("1 of about")
    made = Assignment.objects.get(verbatim__text=shown, verbatim__is_reviewed=True, topic=price)
    assert made.source == "person"


def test_rows_come_anew_when_keywords_were_applied_while_updates_are_off(site, board, column):
    type(column).objects.filter(pk=column.pk).update(ai_updates_on=False)
    dialog = open_price(board)
    dialog.get_by_label("Keywords").fill("expensive")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    work(column)
    expect(board.get_by_title("Price: Price (by keyword)")).to_be_visible(timeout=30_000)
