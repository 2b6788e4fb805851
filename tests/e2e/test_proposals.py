"""Proposals in a browser, by mouse and by keys: from asking for them to topics, and back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from finetune.models import ProposalSet, ProposedTopic
from projects.jobs import job_execute
from projects.models import Job, JobKind
from tests.finetune.proposing import add_set, untold  # noqa: F401  (a fixture)
from topics.models import Topic

pytestmark = pytest.mark.django_db(transaction=True)

PROPOSALS = (("Delivery", "Speed"), ("Delivery", "Parcel"), ("Shop", "Staff"), ("Shop", "Hours"))


@pytest.fixture
def column(untold):  # noqa: F811
    return untold.column


@pytest.fixture
def address(column, column_url):
    return column_url(column, "proposals/")


@pytest.fixture
def four(column):
    return add_set(column, *PROPOSALS)


def opened(site, alice, address):
    site.sign_in(alice)
    page = site.open(address)
    expect(page.locator("proposal-list:defined")).to_be_visible()
    return page


@pytest.fixture
def listed(site, alice, four, address):
    return opened(site, alice, address)


def saved(page):
    """Wait for the answer to the touch inside."""
    return page.expect_response(lambda response: response.request.method == "POST")


def add_button(page):
    return page.locator("#proposals-add-button")


def test_from_no_topics_to_topics_and_back(site, column, column_url, alice):
    site.sign_in(alice)
    page = site.open(column_url(column))
    page.get_by_role("link", name="Propose topics").click()
    page.get_by_role("button", name="Propose topics").click()
    expect(page.get_by_text("Topics are being found in your texts")).to_be_visible()
    expect(page.locator(".job")).to_contain_text("Topic proposals")
    site.assert_accessible_in_both_themes()

    job_execute(Job.objects.get(kind=JobKind.PROPOSALS).pk)

    expect(page.locator("[data-proposal]").first).to_be_visible()  # the page asks by itself
    n = ProposedTopic.objects.count()
    add_button(page).click()
    expect(page.get_by_text(f"{n} proposed topics added")).to_be_visible()
    expect(page.get_by_text("Nothing is left to decide")).to_be_visible()
    assert Topic.objects.filter(column=column, deleted_at=None).count() == n
    page.get_by_role("button", name="Undo").click()
    expect(add_button(page)).to_have_text(f"Add {n} topics")
    assert not Topic.objects.filter(column=column, deleted_at=None).exists()


def test_every_touch_survives_a_reload(site, listed, address):
    page = listed
    with saved(page):
        page.get_by_label("Add Parcel", exact=True).uncheck()
    expect(add_button(page)).to_have_text("Add 3 topics")
    with saved(page):
        page.get_by_label("Name of Speed").fill("How fast it came")
        page.get_by_label("Name of Speed").press("Tab")
    with saved(page):
        page.locator(".proposal", has=page.get_by_label("Name of Staff")).get_by_role("switch").uncheck()
    page.get_by_label("Category of Hours").select_option("Delivery")
    expect(page.locator(".proposal-group").first.locator("[data-proposal]")).to_have_count(3)
    page.get_by_role("button", name="Discard Staff").click()
    expect(page.locator("[data-proposal]")).to_have_count(3)

    page = site.open(address)

    expect(page.get_by_label("Name of How fast it came")).to_be_visible()
    expect(page.get_by_label("Add Parcel", exact=True)).not_to_be_checked()
    expect(page.locator(".proposal-group").first.locator("[data-proposal]")).to_have_count(3)
    page.get_by_text("1 discarded").click()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    page.get_by_role("button", name="Bring back Staff").click()
    staff = page.locator(".proposal", has=page.get_by_label("Name of Staff"))
    expect(staff.get_by_role("switch")).not_to_be_checked()


def test_a_new_category_is_typed_in_place(listed, column):
    page = listed
    page.get_by_label("Category of Hours").select_option(label="New category…")
    line = page.locator(".proposal", has=page.get_by_label("Name of Hours"))
    new = line.get_by_label("Name of the new category")
    expect(new).to_be_focused()
    new.press("Escape")
    expect(new).to_be_hidden()
    expect(page.get_by_label("Category of Hours")).to_have_value("Shop")
    page.get_by_label("Category of Hours").select_option(label="New category…")
    new.fill("Access")
    new.press("Enter")
    expect(page.get_by_label("Category Access: name")).to_be_visible()
    page.get_by_label("Category Access: name").fill("Shop")
    page.get_by_label("Category Access: name").press("Enter")
    expect(page.locator(".proposal-group")).to_have_count(2)
    assert set(ProposedTopic.objects.values_list("category", flat=True)) == {"Delivery", "Shop"}


def test_all_of_it_by_keys(listed, column):
    page, keys = listed, listed.keyboard
    page.get_by_label("Add Speed", exact=True).focus()
    keys.press("ArrowDown")
    expect(page.get_by_label("Add Parcel", exact=True)).to_be_focused()
    with saved(page):
        keys.press("Space")
    expect(add_button(page)).to_have_text("Add 3 topics")
    keys.press("End")
    expect(page.get_by_label("Add Hours", exact=True)).to_be_focused()
    keys.press("F2")
    expect(page.get_by_label("Name of Hours")).to_be_focused()
    keys.type("Opening times")
    keys.press("Escape")
    expect(page.get_by_label("Name of Hours")).to_have_value("Hours")
    keys.press("F2")
    keys.type("Opening times")
    with saved(page):
        keys.press("Enter")
    expect(page.get_by_label("Add Hours", exact=True)).to_be_focused()
    keys.press("ArrowUp")
    keys.press("m")
    dialog = page.get_by_role("dialog", name="Merge Staff with…")
    expect(dialog.get_by_role("checkbox").first).to_be_focused()
    keys.press("Space")  # the other one of its category comes first
    keys.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_text("With “Opening times”.")).to_be_visible()
    expect(page.get_by_label("Add Staff", exact=True)).to_be_visible()
    page.get_by_label("Add Parcel", exact=True).focus()
    keys.press("Delete")
    expect(page.locator("[data-proposal]")).to_have_count(2)
    expect(page.get_by_label("Add Staff", exact=True)).to_be_focused()
    keys.press("Tab")
    add_button(page).focus()
    keys.press("Enter")
    expect(page.get_by_text("2 proposed topics added")).to_be_visible()
    assert set(Topic.objects.filter(column=column).values_list("label", flat=True)) == {"Speed", "Staff"}
    assert ProposedTopic.objects.get(label="Staff").n_rows == 8


def test_merged_by_mouse_and_separated(site, listed):
    page = listed
    page.get_by_role("button", name="Merge Speed").click()
    dialog = page.get_by_role("dialog", name="Merge Speed with…")
    site.assert_accessible_in_both_themes()
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog).to_contain_text("Tick at least one proposal to merge.")
    dialog.get_by_label("Parcel").check()
    dialog.get_by_label("Staff").check()
    dialog.get_by_label("Name of the merged topic").fill("Everything")
    dialog.get_by_role("button", name="Merge", exact=True).click()
    line = page.locator(".proposal", has=page.get_by_label("Name of Everything"))
    expect(line).to_contain_text("12 rows")
    line.get_by_role("button", name="Separate again").click()
    expect(page.locator("[data-proposal]")).to_have_count(4)


def test_a_refused_name_goes_back(site, listed):
    name = listed.get_by_label("Name of Speed")
    name.fill("   ")
    name.press("Enter")
    expect(listed.get_by_text("Give the topic a name.")).to_be_visible()
    expect(name).to_have_value("Speed")
    name.fill("Pace")
    with saved(listed):
        name.press("Tab")
    assert ProposedTopic.objects.filter(label="Pace").exists()


def test_two_people_do_not_lose_each_others(site, listed, second_site, make_user, untold, address):  # noqa: F811
    from projects.models import Member

    dora = make_user("dora")
    Member.objects.create(project=untold, user=dora, role="admin")
    other = opened(second_site, dora, address)
    with saved(other):
        other.get_by_label("Name of Speed").fill("Pace")
        other.get_by_label("Name of Speed").press("Enter")

    listed.get_by_label("Name of Speed").fill("Tempo")
    listed.get_by_label("Name of Speed").press("Enter")
    expect(listed.get_by_text("“Tempo” was not saved")).to_be_visible()
    expect(listed.get_by_label("Name of Pace")).to_have_value("Pace")  # the list was read again
    with saved(other):
        other.get_by_label("Add Staff", exact=True).uncheck()
    add_button(listed).click()
    expect(listed.get_by_text("Nothing was added")).to_be_visible()
    expect(add_button(listed)).to_have_text("Add 3 topics")
    add_button(listed).click()
    expect(listed.get_by_text("3 proposed topics added")).to_be_visible()


def test_adding_right_after_typing_adds_what_was_typed(listed, column):
    listed.get_by_label("Name of Speed").fill("Typed at last")
    add_button(listed).click()  # leaving the field saves it first
    expect(listed.get_by_text("4 proposed topics added")).to_be_visible()
    assert Topic.objects.filter(column=column, label="Typed at last").exists()


def test_names_that_are_taken_are_shown_before(site, listed, column):
    with saved(listed):
        listed.get_by_label("Name of Parcel").fill("speed")
        listed.get_by_label("Name of Parcel").press("Enter")
    line = listed.locator(f"#proposal-{ProposedTopic.objects.get(label='speed').pk}")
    expect(line).to_contain_text("Another proposal of this category has the same name.")
    expect(listed.locator("#proposals-count")).to_contain_text("1 has a name that is taken and stays here.")
    expect(add_button(listed)).to_have_text("Add 3 topics")
    site.assert_accessible_in_both_themes()
    with saved(listed):
        listed.get_by_label("Add Speed", exact=True).uncheck()
    expect(line).not_to_contain_text("the same name")


def test_150_proposals_with_long_and_hostile_texts(site, column, alice, address):
    column.verbatims.update(text='<img src=x onerror="alert(1)"> ' + "long" * 200 + " and many more words" * 60)
    add_set(column, *((f"Category {i % 9}", f"Proposal {i} {'x' * 30}") for i in range(150)))
    page = opened(site, alice, address)
    expect(page.locator("[data-proposal]")).to_have_count(150)
    for width in (320, 390, 1024):
        site.assert_fits(width)
    assert page.locator("[data-proposal]").first.bounding_box()["height"] < 260, "long texts are clamped"
    page.locator("[data-tick]").last.focus()
    page.keyboard.press("Home")
    expect(page.locator("[data-tick]").first).to_be_focused()
    with saved(page):
        page.keyboard.press("Space")
    expect(add_button(page)).to_have_text("Add 149 topics")
    site.page.set_viewport_size({"width": 390, "height": 800})
    site.assert_accessible()


def test_all_at_once_and_away(listed, column):
    listed.get_by_role("button", name="More about proposals").click()
    listed.get_by_role("button", name="Untick all").click()
    expect(add_button(listed)).to_have_text("Add 0 topics")
    add_button(listed).click()
    expect(listed.get_by_text("Tick at least one proposal")).to_be_visible()
    listed.get_by_role("button", name="More about proposals").click()
    listed.get_by_role("button", name="All without sentiment").click()
    expect(listed.get_by_role("switch").first).not_to_be_checked()
    listed.get_by_role("button", name="More about proposals").click()
    listed.get_by_role("button", name="Discard all proposals").click()
    listed.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(listed.get_by_role("button", name="Propose topics")).to_be_visible()
    assert not ProposalSet.objects.exists()


def test_more_topics_asks_before_it_replaces(listed, column):
    listed.get_by_role("button", name="More topics").click()
    dialog = listed.get_by_role("dialog")
    expect(dialog).to_contain_text("The proposals that are not added yet are replaced.")
    dialog.get_by_role("button", name="Cancel").click()
    assert not Job.objects.filter(kind=JobKind.PROPOSALS).exists()
    listed.get_by_role("button", name="More topics").click()
    dialog.get_by_role("button", name="Propose").click()
    expect(listed.locator(".job")).to_be_visible()
    expect(listed.locator("[data-proposal]")).to_have_count(4)  # they stay until the new ones are there
    job = Job.objects.get(kind=JobKind.PROPOSALS)
    assert job.payload["only_uncovered"] is True
    listed.get_by_role("button", name="Cancel").click()
    expect(listed.get_by_role("button", name="More topics")).to_be_visible()


def test_nothing_is_sent_before_the_box_is_ticked(site, column, four, alice, address, settings):
    settings.LLM_URL, settings.LLM_MODEL = "https://llm.example.com/v1", "small"
    page = opened(site, alice, address)
    box = page.get_by_role("checkbox", name=re.compile("^Send the phrases .* to llm.example.com"))
    expect(box).not_to_be_checked()
    page.get_by_role("button", name="Get names").click()  # the browser asks for the tick
    assert not Job.objects.filter(kind=JobKind.PROPOSALS).exists()
    box.check()
    page.get_by_role("button", name="Get names").click()
    expect(page.locator(".job")).to_be_visible()
    assert Job.objects.get(kind=JobKind.PROPOSALS).payload["act"] == "name"


def test_on_a_phone(site, listed, column):
    site.page.set_viewport_size({"width": 390, "height": 800})
    with saved(listed):
        listed.get_by_label("Add Parcel", exact=True).uncheck()
    button = add_button(listed)
    expect(button).to_be_in_viewport()  # it stays at the lower edge
    listed.get_by_label("Category of Hours").select_option("Delivery")
    expect(listed.locator(".proposal-group").first.locator("[data-proposal]")).to_have_count(3)
    site.assert_fits(390)
    button.click()
    expect(listed.get_by_text("3 proposed topics added")).to_be_visible()
    assert column.topics.count() == 3
