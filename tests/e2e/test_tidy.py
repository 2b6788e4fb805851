"""Tidying up topics, and learning from another project, in a browser: by mouse, by keys, on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from rows.models import Assignment
from tests.conftest import add_topics
from tests.topics.restructuring import chips, put, review, topic
from topics.services import topic_create

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def untidy(site, alice, column):
    category = column.categories.get(label="Service")
    for label in ("Delivery times", "Never", "A name of fifty characters that is nowhere at all"):
        topic_create(column=column, category=category, label=label, user=alice)
    review(column, alice, 1, "Delivery time")
    review(column, alice, 2, "Delivery times")
    review(column, alice, 3, "Delivery time", "Price", "Friendliness")
    column.refresh_from_db()
    site.sign_in(alice)
    return column


def test_similar_topics_are_merged_and_come_back(site, untidy):
    page = site.open(f"/columns/{untidy.pk}/topics/")
    page.get_by_role("button", name="More about topics").click()
    page.get_by_role("link", name="Tidy up").click()
    expect(page.get_by_role("heading", name="Tidy up topics")).to_be_visible()
    pair = page.get_by_role("listitem").filter(has_text="Nearly the same name").first
    expect(pair).to_contain_text("Delivery time")
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    pair.get_by_role("button", name="Merge… Delivery times into Delivery time").click()
    dialog = page.get_by_role("dialog", name="Merge Delivery times")
    expect(dialog.get_by_label("With which topic?")).to_have_value(str(topic(untidy, "Delivery time").pk))
    expect(dialog).to_contain_text("1 row changes, 1 of them reviewed")
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_text("No two topics look alike")).to_be_visible()
    assert list(chips(untidy, 2)) == ["Delivery time"]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Nearly the same name")).to_be_visible()
    assert list(chips(untidy, 2)) == ["Delivery times"]


def test_a_pair_is_set_aside_and_brought_back_by_keys_alone(site, untidy):
    page = site.open(f"/columns/{untidy.pk}/topics/tidy/")
    page.get_by_role("button", name="Not the same").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("No two topics look alike")).to_be_visible()
    page.get_by_text("1 pair marked as not the same").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="List again")).to_be_focused()
    site.assert_accessible_in_both_themes()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nearly the same name")).to_be_visible()


def test_unused_topics_are_ticked_and_deleted_on_a_phone(site, untidy):
    site.page.set_viewport_size({"width": 390, "height": 800})
    page = site.open(f"/columns/{untidy.pk}/topics/tidy/")
    site.assert_fits()
    act = page.get_by_role("button", name="Delete ticked topics…")
    expect(act).to_be_disabled()
    every = page.get_by_label("All", exact=True)
    every.check()
    expect(page.locator("[data-tick]:checked")).to_have_count(2)
    page.locator("[data-tick]").first.uncheck()
    assert every.evaluate("one => one.indeterminate")
    page.locator("[data-tick]").first.check()
    expect(every).to_be_checked()
    act.click()
    dialog = page.get_by_role("dialog", name="Delete 2 topics?")
    expect(dialog.get_by_role("button", name="Delete topics")).to_be_focused()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Every topic is on at least one row.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[data-tick]")).to_have_count(2)


def test_ticks_work_among_300_topics(site, untidy):
    add_topics(untidy, [("Many", f"Topic {n}") for n in range(300)])
    put(untidy, 4, "Topic 7")
    assert Assignment.objects.filter(topic__label="Topic 7").exists()
    page = site.open(f"/columns/{untidy.pk}/topics/tidy/")
    expect(page.get_by_role("heading", name="Unused topics (301)")).to_be_visible()
    page.get_by_label("All", exact=True).check()
    page.get_by_role("button", name="Delete ticked topics…").click()
    expect(page.get_by_role("dialog", name="Delete 301 topics?")).to_contain_text("and 271 more")


@pytest.fixture
def last_year(make_project, alice):
    topics = [("Service", "Delivery time", True), ("Price", "Price"), ("Food", "Taste")]
    column = make_project(alice, name="Last year", topics=topics).column
    review(column, alice, 3, "Price")
    return column


def test_learning_is_set_and_ended(site, untidy, last_year):
    page = site.open(f"/columns/{untidy.pk}/")
    expect(page.locator("topic-board:defined")).to_be_visible()
    page.get_by_role("button", name="More about topics").click()
    page.get_by_role("button", name="Learn from another project…").click()
    dialog = page.get_by_role("dialog", name="Learn from another project")
    expect(dialog.get_by_label("Learn from")).to_be_focused()
    dialog.get_by_role("button", name="Learn from it").click()
    expect(dialog).to_contain_text("Choose a column.")
    dialog.get_by_label("Learn from").select_option("Last year · Comment")
    expect(dialog).to_contain_text("1 text was reviewed there.")
    expect(dialog).to_contain_text("2 of its 3 topics are here, too")
    expect(dialog.get_by_label("Also add its 1 other topic")).to_be_checked()
    dialog.get_by_label("Also add its 1 other topic").uncheck()
    expect(dialog.get_by_label("Also add its 1 other topic")).not_to_be_checked()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    dialog.get_by_role("button", name="Learn from it").click()
    expect(dialog).to_be_hidden()
    line = page.locator("topic-board .learning-line")
    expect(line).to_contain_text("Learns from Last year · Comment (1 review)")
    assert not untidy.topics.filter(label="Taste").exists()
    page.get_by_role("button", name="Undo").click()
    expect(line).to_have_count(0)


def test_learning_is_set_from_the_settings_by_keys_alone(site, untidy, last_year):
    page = site.open(f"/projects/{untidy.project_id}/settings/")
    page.get_by_role("button", name="Choose… Comment").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Learn from another project")
    expect(dialog.get_by_label("Learn from")).to_be_focused()
    page.keyboard.type("Last")
    expect(dialog).to_contain_text("are here, too")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Change… Comment")).to_be_visible()
    expect(page.locator("#learning-settings")).to_contain_text("Learns from Last year · Comment (1 review)")
    assert untidy.topics.filter(label="Taste", deleted_at=None).exists()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    page.get_by_role("button", name="Change… Comment").click()
    dialog.get_by_role("button", name="Stop learning").click()
    expect(page.locator("#learning-settings")).to_contain_text("Learns from its own reviews only.")
