"""A long list of rows: light, in place after everything, numbered, and usable without a mouse."""

from __future__ import annotations

import re

import pytest
from django.db.models import F
from playwright.sync_api import expect

from projects.models import Change
from rows.models import Assignment, Verbatim

N_ROWS = 1200


@pytest.fixture
def long_view(site, make_project, alice, bob, column_url):
    """Bob has a column of 1,200 rows open; the last two say the same."""
    texts = [f"Answer number {index}, with some words" for index in range(1, N_ROWS)]
    project = make_project(alice, texts=[*texts, texts[-1]], members={bob: "analyst"})
    site.column = project.column
    site.address = column_url(project.column)
    site.sign_in(bob)
    site.open(site.address)
    expect(site.page.locator("[data-total]")).to_have_text("1\u202f199")
    return site


def row(page, number):
    return page.locator("article.row").filter(has=page.locator(f".row__number:text-matches('(^|\\\\D){number}$')"))


def scroll_to(page, number):
    """Scroll as a person does until a row is on the screen."""
    feed = page.locator("#feed")
    for _ in range(80):
        if row(page, number).count():
            break
        feed.evaluate("feed => feed.scrollBy(0, feed.clientHeight * 5)")
        page.wait_for_timeout(60)
    row(page, number).scroll_into_view_if_needed()
    expect(row(page, number)).to_be_in_viewport()


def top_of(page, number):
    return row(page, number).evaluate("row => Math.round(row.getBoundingClientRect().top)")


def test_the_line_below_says_which_rows_are_on_the_screen_and_of_how_many(long_view):
    page = long_view.page
    expect(page.locator(".feed-foot__range")).to_have_text(re.compile(r"^1–\d+ of 1\u202f199$"))
    expect(page.locator("#row-difference")).to_contain_text("They stand for 1\u202f200 rows of the table")
    expect(row(page, 2)).to_have_attribute("aria-posinset", "2")
    expect(row(page, 2)).to_have_attribute("aria-setsize", "1199")
    scroll_to(page, 400)
    page.locator("#feed").evaluate(
        "(feed, top) => feed.scrollBy(0, top - feed.getBoundingClientRect().top)", top_of(page, 400)
    )
    expect(page.locator("[data-from]")).to_have_text("400")
    page.get_by_role("searchbox", name="Search the texts").fill('"number 7,"')
    expect(page.locator(".feed-foot__range")).to_have_text("1–1 of 1")
    page.get_by_role("searchbox", name="Search the texts").fill("zzzz")
    expect(page.locator(".feed-foot")).to_be_hidden()


def test_rows_far_away_are_given_up_and_are_back_before_they_are_seen(long_view):
    page = long_view.page
    scroll_to(page, 1199)
    expect(page.locator(".chunk")).to_have_count(24)
    assert page.locator("article.row").count() < 400
    nodes = page.evaluate("document.getElementsByTagName('*').length")
    assert nodes < 15_000, nodes
    # Back by the wheel, screen by screen: no part on the screen is without its rows.
    blank = page.evaluate(
        """async () => {
          const feed = document.getElementById("feed");
          let blank = 0;
          for (let step = 0; step < 40; step += 1) {
            feed.scrollBy(0, -feed.clientHeight);
            await new Promise((resolve) => setTimeout(resolve, 120));
            blank += document.querySelectorAll(".chunk[data-visible][data-empty]").length;
          }
          return blank;
        }"""
    )
    assert blank == 0
    numbers = page.locator("article.row .row__number").all_inner_texts()
    assert len(numbers) == len(set(numbers))


def test_the_place_in_the_list_survives_the_back_button_and_the_row_is_open_again(long_view):
    page = long_view.page
    scroll_to(page, 700)
    row(page, 700).click()
    expect(page.get_by_role("heading", name="Row 700")).to_be_visible()
    before = top_of(page, 700)
    long_view.open("/")
    page.evaluate("history.go(-1)")
    expect(row(page, 700)).to_be_in_viewport()
    expect(page.get_by_role("heading", name="Row 700")).to_be_visible()
    assert abs(top_of(page, 700) - before) < 4
    expect(page.locator("[data-from]")).to_have_text(re.compile(r"^(68|69|70)\d$"))
    # and the list goes on from there, in both directions
    scroll_to(page, 760)
    page.locator("#feed").evaluate("feed => feed.scrollTo(0, 0)")
    expect(row(page, 1)).to_be_in_viewport()


def test_an_ai_update_and_undo_change_rows_in_place(long_view, assign):
    page = long_view.page
    scroll_to(page, 300)
    row(page, 300).click()
    expect(page.get_by_role("heading", name="Row 300")).to_be_visible()
    row(page, 300).evaluate("row => row.scrollIntoView({block: 'center'})")
    before = top_of(page, 300)
    search = page.locator("#row-panel").get_by_role("combobox", name="Find a topic")
    search.fill("deliv")
    other = row(page, 301)
    other.evaluate("row => (row.mark = 'the same node')")
    verbatim = long_view.column.verbatims.get(row_number=300)
    assign(verbatim, long_view.column.topics.get(label="Price"))
    Verbatim.objects.filter(pk=verbatim.pk).update(revision=F("revision") + 1)
    page.evaluate("document.body.dispatchEvent(new CustomEvent('rows-changed'))")
    expect(row(page, 300).locator(".chip")).to_contain_text("Price")
    assert other.evaluate("row => row.mark") == "the same node", "rows that did not change are left alone"
    expect(search).to_be_focused()
    expect(search).to_have_value("deliv")
    row(page, 302).locator("[data-review]").click()
    expect(row(page, 302)).to_have_class(re.compile("is-reviewed"))
    expect(row(page, 302).locator("[data-review]")).to_be_focused()
    page.keyboard.press("Control+z")
    expect(row(page, 302)).not_to_have_class(re.compile("is-reviewed"))
    expect(row(page, 300)).to_have_attribute("data-current", "")
    assert abs(top_of(page, 300) - before) < 40  # one more line in the row, no jump


def test_keys_alone_open_review_star_and_go_on_beyond_what_is_loaded(long_view):
    page = long_view.page
    row(page, 49).focus()
    page.keyboard.press("h")
    expect(row(page, 49).locator("[data-star]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("r")
    expect(row(page, 49)).to_have_class(re.compile("is-reviewed"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Row 49")).to_be_focused()
    for number in (50, 51):
        page.keyboard.press("j")
        expect(page.get_by_role("heading", name=f"Row {number}")).to_be_focused()
    expect(row(page, 51)).to_be_in_viewport()
    page.keyboard.press("k")
    expect(page.get_by_role("heading", name="Row 50")).to_be_focused()
    page.locator("#row-panel").get_by_role("combobox", name="Find a topic").focus()
    page.keyboard.press("j")  # a letter of a search
    expect(page.get_by_role("heading", name="Row 50")).to_be_visible()
    page.keyboard.press("Alt+j")
    expect(page.get_by_role("heading", name="Row 51")).to_be_focused()
    # The open row is far away by now: the next one is still found.
    page.locator("#feed").evaluate("feed => feed.scrollTo(0, feed.scrollHeight)")
    scroll_to(page, 400)
    expect(row(page, 51)).to_have_count(0)
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="Row 52")).to_be_focused()
    expect(row(page, 52)).to_be_in_viewport()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Row 53")).to_be_focused()
    assert Verbatim.objects.filter(is_reviewed=True).count() == 2


def test_a_filter_on_single_rows_suspends_grouping_and_says_so(view_of_six, column_url):
    page = view_of_six.open(column_url(view_of_six.column, "?highlighted=yes"))
    expect(page.locator("#grouping-suspended")).to_be_visible()
    expect(page.locator("article.row")).to_have_count(1)
    page.get_by_role("link", name=re.compile("Highlighted.*remove filter")).click()
    expect(page.locator("article.row")).to_have_count(5)
    expect(page.locator("#grouping-suspended")).to_have_count(0)


@pytest.fixture
def view_of_six(site, column, bob):
    """Bob looks at six rows; the fourth, which says the same as the first, has a star."""
    Verbatim.objects.filter(column=column, row_number=4).update(is_highlighted=True)
    site.column = column
    site.sign_in(bob)
    return site


def test_one_review_goes_to_all_identical_rows_and_one_undo_takes_it_back(view_of_six, column_url):
    page = view_of_six.open(column_url(view_of_six.column))
    row(page, 1).click()
    panel = page.locator("#row-panel")
    expect(panel).to_contain_text("2 identical rows, one review for all of them: 1, 4")
    panel.get_by_role("combobox", name="Find a topic").fill("price")
    page.keyboard.press("Enter")
    expect(panel.locator("#row-state")).to_contain_text("Reviewed")
    having = Assignment.objects.filter(topic__label="Price").values_list("verbatim__row_number", flat=True)
    assert sorted(having) == [1, 4]
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(panel.locator("#row-state")).to_contain_text("Not reviewed")
    assert not having.all().exists()
    assert Change.objects.filter(kind="review").count() == 1
