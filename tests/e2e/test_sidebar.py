"""The open row: order of topics, faces by keys, fuzzy search, a new topic in place, colleagues in the same row."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from projects.models import Change
from rows.models import Verbatim
from rows.services.reviews import TopicChoice, verbatim_review


@pytest.fixture
def coded(column, assign):
    topics = {topic.label: topic for topic in column.topics.all()}
    verbatim = column.verbatims.get(row_number=2)
    for place, (label, mood) in enumerate((("Friendliness", 1), ("Delivery time", -1), ("Price", None))):
        assign(verbatim, topics[label], mood, position=place)
    return column


@pytest.fixture
def view(site, coded, bob, column_url):
    """Bob has row 2 open, which has three topics of the AI."""
    site.sign_in(bob)
    site.open(column_url(coded))
    row(site.page, 2).click()
    expect(site.page.get_by_role("heading", name="Row 2")).to_be_focused()
    return site


def row(page, number):
    return page.locator("article.row").filter(has=page.locator(f".row__number:text-matches('(^|\\\\D){number}$')"))


def labels(page):
    return page.locator("#row-panel .line__label").all_inner_texts()


def stored(column, number=2):
    query = Verbatim.objects.get(column=column, row_number=number).assignments.order_by("position")
    return list(query.values_list("topic__label", flat=True))


def test_grips_are_large_enough(view):
    expect(view.page.locator("#row-panel [data-grip]")).to_have_count(3)
    sizes = view.page.locator("#row-panel [data-grip]").evaluate_all(
        "all => all.map(one => Math.min(one.offsetWidth, one.offsetHeight))"
    )
    assert min(sizes) >= 24


def test_topics_are_moved_by_keys_as_one_decision(view, coded):
    page = view.page
    page.get_by_role("button", name="Move Price").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # it is the first already
    assert labels(page) == ["Price", "Friendliness", "Delivery time"]
    expect(page.get_by_role("button", name="Move Price")).to_be_focused()
    expect(page.locator("#row-panel #row-state")).to_contain_text("Reviewed")
    assert stored(coded) == ["Price", "Friendliness", "Delivery time"]
    expect(row(page, 2).locator(".chip").first).to_contain_text("Price")
    assert Change.objects.filter(kind="review").count() == 1
    page.keyboard.press("Control+z")
    expect(row(page, 2).locator(".chip").first).to_contain_text("Friendliness")
    assert stored(coded) == ["Friendliness", "Delivery time", "Price"]
    expect(page.locator("#row-panel .line__label").first).to_contain_text("Friendliness")
    # The key works in the whole line with Alt.
    page.locator("#row-panel .line").first.get_by_role("checkbox").focus()
    page.keyboard.press("Alt+ArrowDown")
    expect(row(page, 2).locator(".chip").first).to_contain_text("Delivery time")


def test_topics_are_moved_by_dragging_and_escape_leaves_them(view, coded):
    page = view.page
    grip = page.get_by_role("button", name="Move Price")
    first = page.locator("#row-panel .line").first
    grip.drag_to(first, target_position={"x": 40, "y": 3})
    expect(page.locator("#row-panel #row-state")).to_contain_text("Reviewed")
    assert stored(coded) == ["Price", "Friendliness", "Delivery time"]
    # Dropped outside the list: everything is as it was.
    page.get_by_role("button", name="Move Delivery time").drag_to(page.locator(".panel-text"))
    assert labels(page) == ["Price", "Friendliness", "Delivery time"]
    assert Change.objects.filter(kind="review").count() == 1


def test_an_order_made_just_before_the_next_row_is_not_lost(view, coded):
    page = view.page
    page.get_by_role("button", name="Move Price").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Alt+j")
    expect(page.get_by_role("heading", name="Row 3")).to_be_focused()
    expect(page.locator("#row-panel #row-state")).to_contain_text("Not reviewed")
    assert stored(coded) == ["Friendliness", "Price", "Delivery time"]
    expect(page.locator("#row-history")).to_contain_text("Nobody has changed this row yet")


def test_a_topic_is_found_despite_a_slip_and_gets_its_face_by_keys(view, coded):
    page = view.page
    row(page, 3).click()
    expect(page.get_by_role("heading", name="Row 3")).to_be_focused()
    search = page.locator("#row-panel").get_by_role("combobox", name="Find a topic")
    for slip in ("delviery", "delivry", "dellivery", "delizery"):
        search.fill(slip)
        expect(page.locator("#row-panel [role=option]:not([hidden])")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#live")).to_contain_text("Delivery time: negative")
    page.keyboard.press("Enter")
    expect(page.locator("#row-panel #panel-sentiment")).to_contain_text("negative")
    assert list(
        Verbatim.objects.get(column=coded, row_number=3).assignments.values_list("topic__label", "sentiment")
    ) == [("Delivery time", -1)]


@pytest.mark.parametrize("role", ["admin"])
def test_a_topic_that_is_missing_is_made_from_what_was_typed(view, role, coded):
    page = view.page
    search = page.locator("#row-panel").get_by_role("combobox", name="Find a topic")
    search.fill("Packaging")
    expect(page.locator("#row-panel")).to_contain_text("No topic matches.")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Topic", exact=True)).to_have_value("Packaging")
    view.assert_accessible()
    dialog.get_by_role("button", name="Add topic").click()
    expect(dialog).to_have_count(0)
    expect(row(page, 2).locator(".chips")).to_contain_text("Packaging")
    assert stored(coded)[-1] == "Packaging"


def test_the_history_says_who_when_before_and_after(view, coded, alice):
    page = view.page
    verbatim = Verbatim.objects.get(column=coded, row_number=2)
    price = coded.topics.get(label="Price")
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=0, user=alice)
    page.evaluate("document.body.dispatchEvent(new CustomEvent('rows-changed'))")
    history = page.locator("#row-history")
    expect(history).to_contain_text("alice")
    history.get_by_text("Before and after").click()
    expect(history).to_contain_text("After, by alice")
    expect(history.locator(".chips").first.locator(".chip")).to_have_count(3)
    expect(history.locator(".chips").last.locator(".chip")).to_have_count(1)


def test_two_people_see_each_other_in_a_row_and_go_unseen_when_they_leave(
    view, second_site, coded, alice, column_url
):
    page = view.page
    second_site.sign_in(alice)
    other = second_site.open(column_url(coded))
    expect(row(other, 2).locator(".row__with")).to_have_text("bob", timeout=15_000)
    expect(row(page, 2).locator(".row__with")).to_have_count(0)
    row(other, 2).click()
    expect(other.locator("#row-with")).to_have_text("bob has this row open too.")
    expect(page.locator("#row-with")).to_have_text("alice has this row open too.", timeout=15_000)
    view.assert_accessible()
    page.keyboard.press("Escape")
    expect(other.locator("#row-with")).to_be_hidden(timeout=15_000)
    expect(row(other, 2).locator(".row__with")).to_have_count(0)
    expect(row(page, 2).locator(".row__with")).to_have_text("alice", timeout=15_000)
