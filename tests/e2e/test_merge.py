"""Merging and combining topics in a browser: the effect is shown before it happens, by mouse and by keys."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.topics.restructuring import chips, review
from topics.services import topic_create

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board(site, alice, column):
    category = column.categories.get(label="Service")
    for label in ("Warm staff", "Cold staff"):
        topic_create(column=column, category=category, label=label, user=alice)
    review(column, alice, 2, "Warm staff")
    review(column, alice, 3, "Cold staff")
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/")
    expect(page.locator("topic-board:defined")).to_be_visible()
    return page


def chip(page, label):
    return page.locator("topic-board").get_by_role("button", name=label, exact=True)


def test_a_topic_goes_into_another_and_comes_back(site, board, column):
    chip(board, "Cold staff").click()
    board.get_by_role("dialog").get_by_role("button", name="Merge…").click()
    dialog = board.get_by_role("dialog", name="Merge Cold staff")
    expect(dialog.get_by_label("With which topic?")).to_be_focused()
    expect(dialog).to_contain_text("Choose the other topic to see what would change.")
    dialog.get_by_label("With which topic?").select_option("Warm staff")
    expect(dialog).to_contain_text("1 row changes, 1 of them reviewed")
    expect(dialog).to_contain_text("Cold staff goes; Warm staff keeps its name")
    expect(dialog.get_by_label("Name of the new topic")).to_be_hidden()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(chip(board, "Cold staff")).to_have_count(0)
    assert list(chips(column, 3)) == ["Warm staff"]
    board.get_by_role("button", name="Undo").click()
    expect(chip(board, "Cold staff")).to_be_visible()
    assert list(chips(column, 3)) == ["Cold staff"]


def test_two_topics_are_combined_by_keys_alone(board, column):
    chip(board, "Cold staff").focus()
    board.keyboard.press("Enter")
    dialog = board.get_by_role("dialog")
    expect(dialog.get_by_label("Topic", exact=True)).to_be_focused()
    dialog.get_by_role("button", name="Merge…").focus()
    board.keyboard.press("Enter")
    expect(dialog.get_by_label("With which topic?")).to_be_focused()
    board.keyboard.type("Warm")
    board.keyboard.press("Tab")
    board.keyboard.press("ArrowDown")
    expect(dialog.get_by_label("Combine: both become one topic with sentiment")).to_be_checked()
    board.keyboard.press("Tab")
    board.keyboard.press("ArrowDown")
    expect(dialog.get_by_label("the negative version")).to_be_checked()
    expect(dialog).to_contain_text("Afterwards 1 are positive, 0 neutral and 1 negative")
    board.keyboard.press("Tab")
    board.keyboard.press("Control+a")
    board.keyboard.type("Staff mood")
    board.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(chip(board, "Staff mood")).to_be_visible()
    assert chips(column, 3)["Staff mood"][0] == -1


def test_what_cannot_be_is_said_before_it_is_tried(board, column):
    chip(board, "Friendliness").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_role("button", name="Merge…").click()
    expect(dialog.locator("input[name=how][value=combine]")).to_be_disabled()
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog).to_contain_text("Choose the other topic.")
    expect(dialog.get_by_label("With which topic?")).to_be_focused()
    dialog.get_by_role("button", name="Back").click()
    expect(dialog.get_by_label("Topic", exact=True)).to_be_visible()
