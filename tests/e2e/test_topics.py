"""The topic collection in a browser: by mouse, by keyboard, narrow, dark, and with 300 topics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from topics.models import Category, Topic
from topics.selectors import topic_list

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board(site, alice, column):
    """The Topics tab, signed in as the owner."""
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/")
    expect(page.locator("topic-board:defined")).to_be_visible()
    return page


def labels(column) -> list[str]:
    return [topic.label for topic in topic_list(column=column)]


def chip(page, label):
    return page.locator("topic-board").get_by_role("button", name=label, exact=True)


def test_add_a_topic_in_a_new_category_and_undo(board, column):
    board.get_by_role("button", name="New topic").click()
    dialog = board.get_by_role("dialog")
    expect(dialog.get_by_label("Topic", exact=True)).to_be_focused()
    board.keyboard.type("Opening hours")
    dialog.get_by_label("Category", exact=True).select_option("New category…")
    expect(dialog.get_by_label("Name of the new category")).to_be_focused()
    board.keyboard.type("Shop")
    board.keyboard.press("Enter")
    expect(chip(board, "Opening hours")).to_be_visible()
    expect(dialog).to_be_hidden()
    expect(board.get_by_role("heading", name="Shop")).to_be_visible()
    board.get_by_role("button", name="Undo").click()
    expect(chip(board, "Opening hours")).to_have_count(0)
    assert "Opening hours" not in labels(column)


def test_what_is_wrong_stands_beside_the_field_and_typed_text_stays(board, column):
    board.get_by_role("button", name="New topic").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_label("Topic", exact=True).fill("price")
    dialog.get_by_label("Category", exact=True).select_option("Price")
    dialog.get_by_label("Description").fill("What it costs")
    dialog.get_by_role("button", name="Add topic").click()
    expect(dialog).to_contain_text("There is already a topic named price in the category Price.")
    expect(dialog.get_by_label("Description")).to_have_value("What it costs")
    dialog.get_by_label("Topic", exact=True).fill("Discounts")
    dialog.get_by_role("button", name="Add topic").click()
    expect(chip(board, "Discounts")).to_be_visible()


def test_rename_in_place_by_keyboard(board, column):
    chip(board, "Price").focus()
    board.keyboard.press("F2")
    field = board.get_by_label("New name for Price")
    expect(field).to_be_focused()
    field.fill("Friendliness")
    board.keyboard.press("Escape")
    expect(chip(board, "Price")).to_be_focused()
    board.keyboard.press("F2")
    board.get_by_label("New name for Price").fill("Value for money")
    board.keyboard.press("Enter")
    expect(board.get_by_text("Topic renamed: Price → Value for money")).to_be_visible()
    expect(chip(board, "Value for money")).to_be_visible()
    assert "Value for money" in labels(column)


def test_a_refused_name_stays_in_its_field(board, column):
    chip(board, "Delivery time").focus()
    board.keyboard.press("F2")
    field = board.get_by_label("New name for Delivery time")
    field.fill("FRIENDLINESS")
    field.press("Enter")
    expect(board.get_by_text("There is already a topic named FRIENDLINESS")).to_be_visible()
    expect(field).to_have_value("FRIENDLINESS")
    expect(field).to_be_focused()
    field.fill("Speed")
    field.press("Enter")
    expect(chip(board, "Speed")).to_be_visible()
    assert labels(column) == ["Friendliness", "Speed", "Price"]


def test_a_name_being_typed_survives_a_fresh_list(board, column):
    chip(board, "Price").focus()
    board.keyboard.press("F2")
    board.keyboard.type("Cost of")
    board.evaluate("document.body.dispatchEvent(new CustomEvent('topics-changed'))")
    board.wait_for_timeout(600)
    expect(board.get_by_label("New name for Price")).to_have_value("Cost of")
    expect(board.get_by_label("New name for Price")).to_be_focused()


def test_search_finds_and_offers_to_add(board, column):
    search = board.get_by_label("Search topics")
    search.fill("frie")
    expect(chip(board, "Friendliness")).to_be_visible()
    expect(chip(board, "Price")).to_be_hidden()
    expect(board.get_by_role("heading", name="Price")).to_be_hidden()
    board.evaluate("document.body.dispatchEvent(new CustomEvent('topics-changed'))")
    board.wait_for_timeout(600)
    expect(search).to_have_value("frie")
    expect(chip(board, "Price")).to_be_hidden()
    search.fill("Parking lot")
    board.get_by_role("button", name="Add it as a new topic").click()
    expect(board.get_by_role("dialog").get_by_label("Topic", exact=True)).to_have_value("Parking lot")


def test_describe_move_code_and_sentiment_labels(board, column):
    chip(board, "Friendliness").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_label("Description").fill("How staff treat people")
    dialog.get_by_label("Category", exact=True).select_option("Price")
    dialog.get_by_text("Codes and sentiment labels").click()
    dialog.locator("[name=label_positive]").fill("Friendly")
    dialog.locator("[name=label_negative]").fill("Unfriendly")
    dialog.get_by_label("Code, negative").fill("7")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("The code 7 is already used by the topic Price.")
    expect(dialog.get_by_label("Code, negative")).to_be_focused()
    dialog.get_by_label("Code, negative").fill("70")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    topic = Topic.objects.get(label="Friendliness")
    assert (topic.category.label, topic.label_positive, topic.code_negative) == ("Price", "Friendly", 70)
    assert topic.description == "How staff treat people"


def test_sentiment_off_asks_then_undo(board, column, assign):
    topic = Topic.objects.get(label="Friendliness")
    assign(column.verbatims.first(), topic, 1)
    chip(board, "Friendliness").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_role("switch", name="Sentiment").uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("1 row loses the sentiment of this topic.")
    dialog.get_by_label("Drop these sentiments").check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    assert topic.assignments.get().sentiment is None
    board.get_by_role("button", name="Undo").click()
    expect(board.get_by_text("Undone:")).to_be_visible()
    assert topic.assignments.get().sentiment == 1


def test_delete_a_topic_says_what_is_lost_and_can_be_undone(board, column, assign):
    price = Topic.objects.get(label="Price")
    assign(column.verbatims.first(), price)
    chip(board, "Price").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog).to_contain_text("1 row loses it.")
    dialog.get_by_role("button", name="Delete topic").click()
    expect(chip(board, "Price")).to_have_count(0)
    board.get_by_role("button", name="Undo").click()
    expect(chip(board, "Price")).to_be_visible()


def test_recolour_order_and_delete_a_category(board, column):
    board.get_by_role("button", name="Category Service", exact=True).click()
    board.get_by_role("button", name="Name and colour").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_label("pink").check(force=True)
    dialog.get_by_role("button", name="Save").click()
    expect(board.locator(".topic-group[data-color=pink]")).to_be_visible()
    board.get_by_role("button", name="Category Service", exact=True).click()
    board.get_by_role("button", name="Move down").click()
    expect(board.locator(".topic-group__label").first).to_have_text("Price")
    board.get_by_role("button", name="Category Service", exact=True).click()
    board.get_by_role("button", name="Delete category").click()
    expect(dialog).to_contain_text("Its 2 topics are deleted with it")
    dialog.get_by_role("button", name="Delete category").click()
    expect(board.locator(".topic-group")).to_have_count(1)
    board.get_by_role("button", name="Undo").last.click()
    expect(chip(board, "Friendliness")).to_be_visible()
    assert Category.objects.get(label="Service").color == "pink"


def test_import_a_codebook_with_preview_and_export_it(board, column, tmp_path):
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("code,topic,category\n1,A,C\n1,B,C\n", encoding="utf-8")
    good.write_text("Thema;Kategorie;Stimmung;Code\nWärme;Service;positiv;80\nPrice;Price;;7\n", encoding="utf-8")
    board.get_by_role("button", name="More about topics").click()
    board.get_by_role("button", name="Topics from …").click()
    board.get_by_role("dialog").get_by_role("button", name="A file").click()
    expect(board.get_by_role("dialog", name="Import a codebook")).to_be_visible()
    dialog = board.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(bad)
    dialog.get_by_role("button", name="Check the file").click()
    expect(dialog).to_contain_text("Line 3: the code 1 is already used in line 2.")
    dialog.locator("input[type=file]").set_input_files(good)
    dialog.get_by_role("button", name="Check the file").click()
    expect(dialog).to_contain_text("1 new topic")
    assert "Wärme" not in labels(column)
    dialog.get_by_role("button", name="Import", exact=True).click()
    expect(chip(board, "Wärme")).to_be_visible()
    board.get_by_role("button", name="More about topics").click()
    with board.expect_download() as download:
        board.get_by_role("link", name="Codebook as CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert "80,Wärme,Service,positive" in text


def test_the_first_topic_of_an_empty_collection(site, make_project, alice):
    column = make_project(alice, topics=()).column
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/")
    page.get_by_role("button", name="Add the first topic").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Topic", exact=True).fill("Delivery")
    dialog.get_by_label("Name of the new category").fill("Service")
    dialog.get_by_role("button", name="Add topic").click()
    expect(chip(page, "Delivery")).to_be_visible()


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_sees_topics_and_no_controls(site, column, bob, role):
    site.sign_in(bob)
    page = site.open(f"/columns/{column.pk}/")
    expect(page.locator("topic-board")).to_contain_text("Friendliness")
    expect(page.get_by_role("button", name="New topic")).to_have_count(0)
    expect(page.get_by_role("button", name="Friendliness")).to_have_count(0)


def test_the_count_leads_to_the_rows(board, column, assign):
    topic = Topic.objects.get(label="Price")
    assign(column.verbatims.first(), topic)
    board.get_by_role("link", name=re.compile("rows with Price")).click()
    expect(board).to_have_url(re.compile(rf"\?topic={topic.pk}"))


def test_pages_and_dialogs_are_accessible(site, alice, column, assign):
    assign(column.verbatims.first(), Topic.objects.get(label="Friendliness"), 1)
    site.sign_in(alice)
    page = site.open(reverse("topics:list", args=[column.pk]))
    expect(page.locator("topic-board:defined")).to_be_visible()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    chip(page, "Friendliness").click()
    page.get_by_role("dialog").get_by_text("Codes and sentiment labels").click()
    site.assert_accessible_in_both_themes()
    page.keyboard.press("Escape")
    for opener, item in (("Category Service", "Name and colour"), ("Category Service", "Delete category"),
                         ("More about topics", "Topics from …")):  # fmt: skip
        page.get_by_role("button", name=opener, exact=True).click()
        page.get_by_role("button", name=item).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        site.assert_accessible_in_both_themes()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_three_hundred_topics_stay_quick(site, make_project, alice):
    column = make_project(
        alice, topics=[(f"Category {n % 12}", f"Topic number {n}", True) for n in range(300)]
    ).column
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/")
    expect(page.locator("topic-board:defined [data-topic]")).to_have_count(300)
    took = page.evaluate(
        """() => { const input = document.querySelector("[data-search]"); const start = performance.now();
        input.value = "number 299"; input.dispatchEvent(new Event("input", {bubbles: true}));
        return performance.now() - start; }"""
    )
    assert took < 100
    expect(page.locator("[data-topic]:visible")).to_have_count(1)
    expect(chip(page, "Topic number 299")).to_be_visible()


def test_a_topic_made_from_a_row_is_put_on_that_row(board, column):
    board.locator("row-item, .row").nth(1).click()
    panel = board.locator("#row-panel")
    panel.get_by_role("button", name="New topic").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_label("Topic", exact=True).fill("Thanks")
    dialog.get_by_role("button", name="Add topic").click()
    expect(panel.locator("[data-lines]")).to_contain_text("Thanks")
    expect(panel.get_by_role("checkbox", name=re.compile("Thanks"))).to_be_checked()
    topic = Topic.objects.get(label="Thanks")
    expect(board.locator(".row", has_text="Thanks")).to_have_count(1)
    assert topic.assignments.get().verbatim.is_reviewed


def test_a_topic_made_in_focus_mode_is_put_on_the_card(site, alice, column):
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/focus/")
    page.get_by_role("button", name="New topic").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Topic", exact=True).fill("Thanks")
    dialog.get_by_role("button", name="Add topic").click()
    expect(page.locator("#card").get_by_role("checkbox", name=re.compile("Thanks"))).to_be_checked()
    expect(page.locator("#card")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#card")).not_to_contain_text("Thanks")
    page.wait_for_function("() => !document.querySelector('focus-card').unsaved.length")
    assert Topic.objects.get(label="Thanks").assignments.exists()


def test_what_was_typed_survives_an_expired_session_but_not_cancelling(site, board, alice):
    site.expect_problem("status of 401", "Status Error Code 401")
    dialog = board.get_by_role("dialog")
    board.get_by_role("button", name="New topic").click()
    dialog.get_by_label("Topic", exact=True).fill("Parking")
    dialog.get_by_label("Category", exact=True).select_option("New category…")
    dialog.get_by_label("Name of the new category").fill("Shop")
    site.sign_out()
    dialog.get_by_role("button", name="Add topic").click()
    expect(board.locator("#banner")).to_contain_text("You are signed out")
    expect(dialog.get_by_label("Topic", exact=True)).to_have_value("Parking")
    board.keyboard.press("Escape")
    site.sign_in(alice)
    board.reload()
    board.locator("topic-board:defined").wait_for()
    board.get_by_role("button", name="New topic").click()
    expect(dialog.get_by_label("Topic", exact=True)).to_have_value("Parking")
    expect(dialog.get_by_label("Name of the new category")).to_have_value("Shop")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    board.get_by_role("button", name="New topic").click()
    expect(dialog.get_by_label("Topic", exact=True)).to_have_value("")
