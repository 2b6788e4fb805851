"""Builder, chips, saved filters and search by meaning in a real browser."""

from __future__ import annotations

import re
import threading
import time

import pytest
from django.db import close_old_connections
from playwright.sync_api import expect

from finetune.updates import update_now
from projects.jobs import job_execute
from projects.models import Job, JobKind, JobState
from rows.models import SavedFilter
from tests.rows.test_filters import KINDS, TEXTS, VALUES


@pytest.fixture
def table(make_project, alice, bob, role):
    return make_project(alice, texts=TEXTS, columns=KINDS, values=VALUES, members={bob: role}).column


@pytest.fixture
def view(site, table, bob, column_url):
    site.sign_in(bob)
    site.address = column_url(table)
    site.open(site.address)
    return site


def rows(page):
    return page.locator("article.row")


def open_builder(page):
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_role("heading", name="Standard fields")).to_be_visible()
    return page.get_by_role("dialog", name="Filter")


def field(builder, name):
    return builder.locator("details.builder__field").filter(has=builder.page.locator("summary", has_text=name))


def test_a_filter_on_each_pane(view, table):
    page = view.page
    builder = open_builder(page)
    field(builder, "Region").locator("summary").click()
    builder.get_by_role("checkbox", name=re.compile("^North")).check()
    expect(rows(page)).to_have_count(2)
    expect(field(builder, "Region")).to_contain_text("set")
    expect(page).to_have_url(re.compile(r"c\d+\.is=North$"))
    expect(page.locator(".feed-head")).to_contain_text("Identical rows are shown one by one")
    builder.get_by_role("checkbox", name=re.compile("^South")).check()
    expect(rows(page)).to_have_count(4)
    field(builder, "Score").locator("summary").click()
    builder.get_by_role("combobox", name="Condition on Score").select_option(label="≥")
    builder.get_by_role("textbox", name="Number").fill("2,5")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(2)
    field(builder, "Row number").locator("summary").click()
    builder.get_by_role("spinbutton", name="From").fill("3")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    builder.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Filter", exact=True)).to_be_focused()
    # One chip a condition; the cross of one leaves the others, also the values in the fields.
    page.get_by_role("link", name=re.compile("Row number from 3")).click()
    expect(rows(page)).to_have_count(2)
    expect(page.locator("[data-chip]").first).to_be_focused()
    page.reload()
    expect(rows(page)).to_have_count(2)
    builder = open_builder(page)
    field(builder, "Score").locator("summary").click()
    expect(builder.get_by_role("textbox", name="Number")).to_have_value("2.5")
    builder.get_by_role("combobox", name="Condition on Score").select_option(label="empty")
    expect(builder.get_by_role("textbox", name="Number")).to_be_hidden()
    expect(rows(page)).to_have_count(1)
    builder.get_by_role("button", name="Clear all").click()
    expect(rows(page)).to_have_count(7)
    expect(builder.locator(".is-set")).to_have_count(0)
    expect(page.locator("[data-chip]")).to_have_count(0)


def test_what_is_set_survives_a_search_before_the_builder_was_opened(view, table):
    region = table.project.columns.get(ref="region").pk
    page = view.open(f"{view.address}?c{region}.is=North")
    page.get_by_role("searchbox", name="Search the texts").fill("expensive")
    expect(rows(page)).to_have_count(1)
    expect(page).to_have_url(re.compile(rf"q=expensive.*c{region}\.is=North|c{region}\.is=North.*q=expensive"))


def test_rolling_dates_and_orders(view, table):
    page = view.page
    builder = open_builder(page)
    field(builder, "Day").locator("summary").click()
    builder.get_by_role("combobox", name="Condition on Day").select_option(label="in the last")
    expect(field(builder, "Day").get_by_label("From")).to_be_hidden()
    field(builder, "Day").get_by_role("spinbutton", name="Last").fill("7")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(2)
    expect(page.locator("[data-chip]")).to_contain_text("Day: last 7 days")
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Sort").select_option(label="↑ Score, ascending")
    expect(rows(page).first).to_contain_text("LATE")
    page.get_by_role("combobox", name="Sort").select_option("-length")
    expect(rows(page).first).to_contain_text("LATE")
    expect(page).to_have_url(re.compile("sort=-length"))


def test_the_builder_by_keyboard(view, table):
    page = view.page
    button = page.get_by_role("button", name="Filter", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    builder = page.get_by_role("dialog", name="Filter")
    search = builder.get_by_role("textbox", name="Find a column")
    search.focus()
    page.keyboard.type("clu")
    expect(field(builder, "Club")).to_be_visible()
    expect(field(builder, "Region")).to_be_hidden()
    page.keyboard.press("Enter")  # is no reason to send anything
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(rows(page)).to_have_count(2)
    expect(page.locator("[data-chip]")).to_contain_text("Club: yes")
    search.fill("zzz")
    expect(builder.get_by_text("No column has this name.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    page.locator("[data-chip]").focus()
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(7)
    expect(button).to_be_focused()


@pytest.mark.parametrize("width", [390, 700, 1024])
def test_the_builder_is_on_the_screen_at_every_width(view, table, width):
    view.page.set_viewport_size({"width": width, "height": 800})
    view.page.reload()
    box = open_builder(view.page).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] >= 0


def test_a_saved_filter_from_name_to_undo(view, table):
    page = view.open(f"{view.address}?q=late")
    page.get_by_role("button", name="Saved filters").click()
    dialog = page.get_by_role("dialog", name="Saved filters")
    name = dialog.get_by_label("Save the present filter as")
    name.fill("Late ones")
    dialog.get_by_role("switch").first.check()
    page.keyboard.press("Tab")
    name.press("Enter")
    expect(dialog.get_by_role("link", name="Late ones")).to_be_visible()
    assert SavedFilter.objects.get().is_shared
    name.fill("Late ones")
    name.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("You already have a filter named “Late ones”")
    dialog.locator("summary", has_text="Change").click()
    dialog.get_by_label("Name", exact=True).fill("Late")
    dialog.get_by_role("button", name="Save changes").click()
    expect(dialog.get_by_role("link", name="Late", exact=True)).to_be_visible()
    dialog.locator("summary", has_text="Change").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_text("Nothing is saved here yet.")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#toasts").get_by_role("button", name="Undo").last.click()
    expect(page.locator("#toasts")).to_contain_text("is back")
    view.open(view.address)
    page.get_by_role("button", name="Saved filters").click()
    page.get_by_role("dialog").get_by_role("link", name="Late", exact=True).click()
    expect(rows(page)).to_have_count(1)
    expect(page.locator("[data-chip]")).to_contain_text("Text: late")


@pytest.fixture
def worker():
    """Runs searches by meaning as a worker does, in a thread of the test."""
    stop = threading.Event()

    def work():
        while not stop.wait(0.1):
            for job in Job.objects.filter(kind=JobKind.MEANING, state=JobState.QUEUED):
                job_execute(job.pk)
        close_old_connections()

    thread = threading.Thread(target=work)
    yield thread.start
    stop.set()
    if thread.ident:
        thread.join(10)


def test_search_by_meaning(view, table, worker, settings):
    update_now(table)
    page = view.open(view.address)
    page.get_by_role("checkbox", name="Meaning").check()
    search = page.get_by_role("searchbox", name="Search the texts")
    expect(search).to_be_focused()
    search.fill("late delivery")
    time.sleep(0.5)
    assert not Job.objects.filter(kind=JobKind.MEANING).exists()  # not for every letter
    search.press("Enter")
    expect(page.get_by_text("Searching by meaning …")).to_be_visible()
    expect(page.locator("[data-chip]")).to_contain_text("Meaning: late delivery")
    worker()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("The delivery came two days late.")
    expect(page.get_by_role("combobox", name="Sort")).to_have_value("")
    expect(page.get_by_role("combobox", name="Sort").locator("option:checked")).to_have_text("Most similar first")
    view.assert_accessible()
    page.get_by_role("link", name=re.compile("Meaning: late delivery")).click()
    expect(rows(page)).to_have_count(7)
    expect(page.get_by_role("checkbox", name="Meaning")).not_to_be_checked()


def test_meaning_without_vectors_says_so(view):
    page = view.open(f"{view.address}?meaning=late")
    expect(page.get_by_role("status").filter(has_text="The AI has not read the texts")).to_be_visible()
    expect(rows(page)).to_have_count(0)
    view.assert_accessible()
