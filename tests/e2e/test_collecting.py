"""Getting topics from templates, files and other projects in a browser, by mouse and by keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.topics.restructuring import review
from topics.selectors import topic_list
from topics.services import topic_update

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def empty(make_project, alice):
    return make_project(alice, topics=(), name="Second wave").column


def board_of(site, alice, column):
    site.sign_in(alice)
    page = site.open(f"/columns/{column.pk}/")
    expect(page.locator("topic-board:defined")).to_be_visible()
    return page


def chip(page, label):
    return page.locator("topic-board").get_by_role("button", name=label, exact=True)


def click(found):
    """Click something of a dialog once htmx has read it: a robot is quicker than that, a person is not."""
    expect(found).to_be_visible()
    expect(found.page.locator("#dialog.htmx-settling, #dialog .htmx-added")).to_have_count(0)
    found.click()


def open_ways(page):
    page.get_by_role("button", name="More about topics").click()
    page.get_by_role("button", name="Topics from …").click()
    return page.get_by_role("dialog", name="Topics from …")


def choose(page, column, file: Path):
    click(open_ways(page).get_by_role("button", name="A file"))
    dialog = page.get_by_role("dialog", name="Import a codebook")
    dialog.locator("input[type=file]").set_input_files(file)
    click(dialog.get_by_role("button", name="Check the file"))
    return page.get_by_role("dialog", name=f"Codebook {file.name}")


def labels(column):
    return [topic.label for topic in topic_list(column=column)]


def test_a_template_is_looked_at_taken_and_undone(site, alice, empty):
    page = board_of(site, alice, empty)
    page.locator("topic-board").get_by_role("button", name="Topics from …").click()
    click(page.get_by_role("dialog", name="Topics from …").get_by_role("button", name="A template"))
    dialog = page.get_by_role("dialog", name="Topics from a template")
    expect(dialog.get_by_role("button", name="English")).to_have_attribute("aria-pressed", "true")
    click(dialog.get_by_role("button", name="German"))
    expect(dialog.get_by_role("button", name="Kundenfeedback")).to_be_visible()
    expect(dialog).to_contain_text("these topics are in German")
    click(dialog.get_by_role("button", name="English"))
    click(dialog.get_by_role("button", name="Hotel and restaurant"))
    look = page.get_by_role("dialog", name="Hotel and restaurant")
    expect(look).to_contain_text("Buffet".lower())
    click(look.get_by_role("button", name="Take these 28 topics"))
    preview = page.get_by_role("dialog", name="Topics from Hotel and restaurant")
    expect(preview).to_contain_text("28 new topics")
    assert labels(empty) == []
    click(preview.get_by_role("button", name="Add these topics"))
    expect(chip(page, "Breakfast")).to_be_visible()
    expect(page.get_by_text("Hotel and restaurant: 28 topics added, 0 changed.")).to_be_visible()
    assert len(labels(empty)) == 28
    page.get_by_role("button", name="Undo").click()
    expect(chip(page, "Breakfast")).to_have_count(0)
    assert labels(empty) == []


def press(page, dialog, button, key="Enter"):
    """Press a key on a button that must have the focus, once htmx has read the dialog."""
    found = page.get_by_role("dialog", name=dialog, exact=True)
    expect(found.get_by_role("button", name=button)).to_be_focused()
    expect(page.locator("#dialog.htmx-settling, #dialog .htmx-added")).to_have_count(0)
    page.keyboard.press(key)


def test_a_template_is_taken_by_keys_alone(site, alice, empty):
    page = board_of(site, alice, empty)
    page.locator("#topics-get").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("link", name="The texts themselves")).to_be_focused()
    page.keyboard.press("Tab")
    press(page, "Topics from …", "A template")
    press(page, "Topics from a template", "Customer feedback", "Tab")
    press(page, "Topics from a template", "Employee survey")
    press(page, "Employee survey", "Take these 29 topics")
    press(page, "Topics from Employee survey", "Add these topics")
    expect(chip(page, "Remote work")).to_be_visible()
    assert len(labels(empty)) == 29


def test_escape_and_back_write_nothing(site, alice, empty):
    page = board_of(site, alice, empty)
    page.locator("#topics-get").click()
    click(page.get_by_role("dialog").get_by_role("button", name="A template"))
    click(page.get_by_role("button", name="Net Promoter Score"))
    click(page.get_by_role("dialog", name="Net Promoter Score").get_by_role("button", name="Back", exact=True))
    back = page.get_by_role("dialog", name="Topics from a template").get_by_role("button", name="Back", exact=True)
    click(back)
    expect(page.get_by_role("dialog", name="Topics from …")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert labels(empty) == []


def test_missing_topics_are_deleted_when_ticked_and_come_back(site, alice, column, tmp_path):
    review(column, alice, 2, "Delivery time")
    file = tmp_path / "wave2.csv"
    file.write_text("code,topic,category\n1,Warmth,Service\n7,Price,Price\n,New,Shop\n", encoding="utf-8")
    page = board_of(site, alice, column)
    preview = choose(page, column, file)
    expect(preview).to_contain_text("1 topic is not in the file")
    expect(preview.locator("ins", has_text="Warmth")).to_be_visible()
    box = preview.get_by_label("Delete the 1 missing topic: 1 row loses them, 1 of them reviewed")
    expect(box).not_to_be_checked()
    box.check()
    click(preview.get_by_role("button", name="Import", exact=True))
    expect(chip(page, "Warmth")).to_be_visible()
    expect(chip(page, "Delivery time")).to_have_count(0)
    assert labels(column) == ["Warmth", "Price", "New"]
    page.get_by_role("button", name="Undo").click()
    expect(chip(page, "Delivery time")).to_be_visible()
    assert labels(column) == ["Friendliness", "Delivery time", "Price"]


def test_a_collection_changed_meanwhile_is_shown_again(site, alice, column, tmp_path):
    file = tmp_path / "wave2.csv"
    file.write_text("code,topic,category\n1,Warmth,Service\n", encoding="utf-8")
    page = board_of(site, alice, column)
    preview = choose(page, column, file)
    topic_update(topic=column.topics.get(label="Friendliness"), user=alice, label="Kindness")
    click(preview.get_by_role("button", name="Import", exact=True))
    expect(
        page.get_by_role("alert").filter(has_text="was changed since you looked at this preview")
    ).to_be_visible()
    expect(page.locator("del", has_text="Kindness")).to_be_visible()
    assert labels(column)[0] == "Kindness"
    site.assert_accessible_in_both_themes()
    click(page.get_by_role("dialog").get_by_role("button", name="Import", exact=True))
    expect(chip(page, "Warmth")).to_be_visible()


def test_topics_of_another_project_are_found_by_typing(site, alice, empty, make_project):
    for number in range(9):
        make_project(alice, name=f"Wave {number}", topics=[("Shop", f"Only in {number}", True)])
    page = board_of(site, alice, empty)
    page.locator("#topics-get").click()
    click(page.get_by_role("button", name="Another project The topics of"))
    dialog = page.get_by_role("dialog", name="Topics from another project")
    expect(dialog.get_by_label("Find a project")).to_be_focused()
    click(dialog.get_by_role("button", name="Look at the topics"))
    expect(dialog).to_contain_text("Choose a text column.")
    dialog.get_by_label("Find a project").fill("wave 7")
    expect(dialog.get_by_role("radio")).to_have_count(1)
    dialog.get_by_role("radio", name="Wave 7").check()
    click(dialog.get_by_role("button", name="Look at the topics"))
    preview = page.get_by_role("dialog", name="Topics from Wave 7")
    click(preview.get_by_role("button", name="Add these topics"))
    expect(chip(page, "Only in 7")).to_be_visible()
    assert labels(empty) == ["Only in 7"]


def test_the_json_goes_out_and_in_again(site, alice, column, tmp_path):
    page = board_of(site, alice, column)
    page.get_by_role("button", name="More about topics").click()
    with page.expect_download() as download:
        click(page.get_by_role("link", name="Codebook as JSON"))
    file = tmp_path / "codes.json"
    body = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    file.write_text(json.dumps(body), encoding="utf-8")
    preview = choose(page, column, file)
    expect(preview).to_contain_text("Everything in this file is here already")
    expect(preview.get_by_role("button", name="Import", exact=True)).to_have_count(0)
    click(preview.get_by_role("button", name="Close").last)
    body["categories"][0]["topics"][0]["label"] = ""
    file.write_text(json.dumps(body), encoding="utf-8")
    click(open_ways(page).get_by_role("button", name="A file"))
    dialog = page.get_by_role("dialog", name="Import a codebook")
    dialog.locator("input[type=file]").set_input_files(file)
    click(dialog.get_by_role("button", name="Check the file"))
    expect(dialog).to_contain_text("Topic 1 of Service: its label is missing.")
