"""Bulk actions in a real browser: ticking by mouse and keys, the bar, the dialog, progress, undo."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from projects.jobs import job_execute
from projects.models import Change, Job, JobKind, JobState
from rows.models import Assignment, Row, Verbatim
from rows.services import bulk as service


@pytest.fixture
def column(make_project, alice, bob, role):
    """Twelve rows; Alice owns them, Bob is an analyst."""
    texts = [f"Answer number {index}, {'late' if index % 2 else 'early'}" for index in range(1, 13)]
    return make_project(alice, texts=texts, members={bob: role}).column


@pytest.fixture
def view(site, column, bob, column_url):
    site.sign_in(bob)
    site.open(column_url(column))
    return site


def row(page, number):
    return page.locator(f"article.row:has(.row__number:text-matches('(^|\\\\D){number}$'))")


def bar(page):
    return page.get_by_role("region", name="Selected rows")


def picked(page):
    numbers = page.locator("article.row[data-picked] .row__number").all_inner_texts()
    return [int(text.split()[-1]) for text in numbers]


def test_tick_add_topics_and_undo(view, column):
    page = view.page
    row(page, 2).get_by_role("checkbox").check()
    row(page, 3).get_by_role("checkbox").check()
    expect(bar(page)).to_contain_text("2 rows selected")
    bar(page).get_by_role("button", name="Topics").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Change 2 selected rows")
    search = dialog.get_by_role("combobox", name="Find a topic")
    expect(search).to_be_focused()
    page.keyboard.type("friend")
    page.keyboard.press("Enter")
    dialog.locator(".line[data-topic] .faces label[title=negative]").click()
    expect(dialog).to_contain_text("2 rows change, 0 of them reviewed.")
    dialog.get_by_role("group", name="Review state").get_by_text("Reviewed", exact=True).click()
    dialog.get_by_role("button", name="Change rows").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".toast")).to_contain_text("2 rows: Friendliness added, reviewed.")
    expect(row(page, 2).locator(".chip")).to_contain_text("Friendliness")
    expect(row(page, 3)).to_have_class("row is-reviewed")
    expect(page.locator("row-selection")).to_be_hidden()
    assert set(Assignment.objects.values_list("verbatim__row_number", "sentiment")) == {(2, -1), (3, -1)}
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(row(page, 2).locator(".chip")).to_have_count(0)
    assert not Assignment.objects.exists()
    assert not Verbatim.objects.filter(is_reviewed=True).exists()


def test_shift_click_and_keys_select_ranges(view):
    page = view.page
    row(page, 3).get_by_role("checkbox").click()
    row(page, 6).get_by_role("checkbox").click(modifiers=["Shift"])
    assert picked(page) == [3, 4, 5, 6]
    row(page, 8).locator(".row__text").click(modifiers=["Shift"])
    assert picked(page) == [3, 4, 5, 6, 7, 8]
    expect(page.locator("#row-panel")).to_be_hidden()
    row(page, 4).focus()
    page.keyboard.press("Space")
    assert picked(page) == [3, 5, 6, 7, 8]
    page.keyboard.press("Escape")
    expect(page.locator("row-selection")).to_be_hidden()
    expect(page.locator("#live")).to_have_text("Selection cleared")
    row(page, 9).focus()
    page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowDown")
    assert picked(page) == [9, 10, 11, 12]
    expect(row(page, 12)).to_be_focused()
    page.keyboard.press("Shift+ArrowUp")
    assert picked(page) == [9, 10, 11]
    expect(page.locator("#live")).to_have_text("3 rows selected")


def test_the_whole_way_by_keyboard(view):
    page = view.page
    row(page, 1).focus()
    page.keyboard.press("Control+a")
    expect(bar(page)).to_contain_text("All 12 rows selected")
    page.keyboard.press("b")
    expect(page.get_by_role("dialog").get_by_role("combobox")).to_be_focused()
    page.keyboard.type("price")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("12 rows change")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".toast")).to_contain_text("12 rows: Price added.")
    assert Assignment.objects.count() == 12
    page.keyboard.press("Control+z")
    expect(page.locator(".toast").last).to_contain_text("Undone: 12 rows: Price added")
    assert not Assignment.objects.exists()


def test_select_all_follows_the_filters_and_rows_can_be_unticked(view):
    page = view.page
    page.locator("#filter-q").fill("late")
    expect(page.locator("article.row")).to_have_count(6)
    row(page, 1).get_by_role("checkbox").check()
    expect(bar(page)).to_contain_text("1 row selected")
    bar(page).get_by_role("button", name="Select all 6").click()
    expect(bar(page)).to_contain_text("All 6 rows selected")
    row(page, 5).get_by_role("checkbox").uncheck()
    expect(bar(page)).to_contain_text("5 rows selected")
    page.get_by_label("Sort").select_option("-number")
    expect(bar(page)).to_be_hidden()  # all of another list is another selection
    page.get_by_role("checkbox", name="Select all rows").check()
    row(page, 5).get_by_role("checkbox").uncheck()
    bar(page).get_by_role("button", name="Reviewed").click()
    expect(page.get_by_role("dialog")).to_contain_text("5 rows change, 0 of them reviewed.")
    page.get_by_role("button", name="Change rows").click()
    expect(page.locator(".toast")).to_contain_text("5 rows: reviewed.")
    assert set(Verbatim.objects.filter(is_reviewed=True).values_list("row_number", flat=True)) == {1, 3, 7, 9, 11}


def test_another_filter_clears_the_selection_and_another_sort_does_not(view):
    page = view.page
    row(page, 2).get_by_role("checkbox").check()
    page.get_by_label("Sort").select_option("-number")
    expect(row(page, 2).get_by_role("checkbox")).to_be_checked()
    page.locator("#filter-q").fill("early")
    expect(page.locator("article.row")).to_have_count(6)
    expect(page.locator("row-selection")).to_be_hidden()
    expect(row(page, 2).get_by_role("checkbox")).not_to_be_checked()


@pytest.mark.parametrize("role", ["admin"])
def test_deleting_asks_says_how_many_and_can_be_undone(view, role):
    page = view.page
    row(page, 1).get_by_role("checkbox").check()
    row(page, 2).get_by_role("checkbox").check()
    bar(page).get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete 2 rows?")
    expect(dialog).to_contain_text("brought back for 30 days")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Cancel").click()
    assert Row.objects.filter(deleted_at=None).count() == 12
    bar(page).get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete 2 rows").click()
    expect(row(page, 1)).to_have_count(0)
    expect(row(page, 3)).to_have_count(1)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".toast").last).to_contain_text("Undone")
    assert Row.objects.filter(deleted_at=None).count() == 12


def test_analysts_are_not_offered_to_delete_and_viewers_nothing(view, column, bob, column_url):
    page = view.page
    row(page, 1).get_by_role("checkbox").check()
    expect(bar(page).get_by_role("button", name="Reviewed")).to_be_visible()
    expect(bar(page).get_by_role("button", name="Delete")).to_have_count(0)
    column.project.members.filter(user=bob).update(role="viewer")
    view.open(column_url(column))
    expect(page.locator("article.row")).to_have_count(12)
    expect(page.locator("[data-pick]")).to_have_count(0)


def test_a_large_one_shows_progress_can_be_cancelled_and_ends_with_a_notice(view, column, monkeypatch):
    monkeypatch.setattr(service, "AT_ONCE", 5)
    monkeypatch.setattr(service, "BATCH", 4)
    page = view.page
    page.get_by_role("checkbox", name="Select all rows").check()
    bar(page).get_by_role("button", name="Reviewed").click()
    expect(page.get_by_role("dialog")).to_contain_text("It runs in the background")
    page.get_by_role("button", name="Change rows").click()
    status = page.get_by_role("group", name="Bulk action")
    expect(status).to_contain_text("waits for its turn")
    status.get_by_role("button", name="Cancel").click()
    expect(page.locator(".toast")).to_contain_text("Stopped before anything was changed.")
    expect(status).to_have_count(0)
    assert not Change.objects.exists()

    page.get_by_role("checkbox", name="Select all rows").check()
    bar(page).get_by_role("button", name="Reviewed").click()
    page.get_by_role("button", name="Change rows").click()
    expect(status).to_be_visible()
    view.assert_accessible()
    assert job_execute(Job.objects.get(kind=JobKind.BULK, state=JobState.QUEUED).pk).state == JobState.DONE
    expect(page.locator(".toast", has_text="12 rows: reviewed.")).to_be_visible()
    expect(status).to_have_count(0)
    expect(row(page, 12)).to_have_class("row is-reviewed")
    page.locator(".toast", has_text="12 rows: reviewed.").get_by_role("button", name="Undo").click()
    expect(status).to_be_visible()
    job_execute(Job.objects.get(kind=JobKind.BULK, state=JobState.QUEUED).pk)
    expect(page.locator(".toast", has_text="Undone: 12 rows: reviewed").last).to_be_visible()
    expect(row(page, 12)).to_have_class("row")


def test_a_topic_deleted_meanwhile_is_said_in_the_dialog(view, column):
    page = view.page
    row(page, 1).get_by_role("checkbox").check()
    bar(page).get_by_role("button", name="Topics").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("price")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("1 row changes")
    topic = column.topics.get(label="Price")
    topic.deleted_at = topic.column.project.created_at
    topic.save()
    dialog.get_by_role("button", name="Change rows").click()
    expect(dialog.get_by_role("alert")).to_contain_text("was deleted meanwhile")
    assert not Assignment.objects.exists()


def test_nothing_chosen_is_said_and_not_sent(view):
    page = view.page
    row(page, 1).get_by_role("checkbox").check()
    bar(page).get_by_role("button", name="Topics").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Choose at least one topic to add.")
    page.locator("bulk-form:defined").wait_for(state="attached")  # before that the server would say it
    dialog.get_by_role("button", name="Change rows").press("Enter")
    expect(page.locator("#live")).to_have_text("Choose at least one topic to add.")
    assert not Change.objects.exists()


def test_the_open_row_and_the_dialog_do_not_share_ids(view):
    page = view.page
    row(page, 1).locator(".row__number").click()
    expect(page.locator("#row-panel topic-picker")).to_be_visible()
    row(page, 2).get_by_role("checkbox").check()
    page.keyboard.press("b")
    expect(page.get_by_role("dialog")).to_be_visible()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids)), json.dumps(sorted({one for one in ids if ids.count(one) > 1}))


def test_ticks_and_buttons_are_large_enough(view):
    page = view.page
    row(page, 1).get_by_role("checkbox").check()
    small = page.evaluate(
        "[...document.querySelectorAll('.row__pick, row-selection button')].filter(one => one.offsetParent)"
        ".map(one => one.getBoundingClientRect()).filter(box => box.width < 24 || box.height < 24).length"
    )
    assert small == 0


def test_the_sheet_names_the_keys(view):
    page = view.page
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Select all rows that match")
