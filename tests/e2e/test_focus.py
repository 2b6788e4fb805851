"""Focus mode: the whole flow by keyboard, nothing typed is lost."""

import re
import time

import pytest
from playwright.sync_api import expect

from rows.models import Verbatim
from rows.services.reviews import TopicChoice, verbatim_review

TEXTS = [f"Answer {index} about delivery and price" for index in range(1, 31)]


@pytest.fixture(autouse=True)
def _no_random_rows(settings):
    """The order is fixed: least certain first."""
    settings.AUDIT_SHARE_PERCENT = 0


@pytest.fixture
def focus(site, make_project, assign, alice, bob, column_url):
    project = make_project(alice, texts=TEXTS, members={bob: "analyst"})
    column = project.column
    topics = {topic.label: topic for topic in column.topics.all()}
    for index, verbatim in enumerate(column.verbatims.order_by("row_number")):
        verbatim.certainty = index / 100
        verbatim.save()
        assign(verbatim, topics["Delivery time"], -1, probability=0.7)
    site.sign_in(bob)
    page = site.open(column_url(column, "focus/"))
    expect(page.locator("#card")).to_be_focused()
    site.column = column
    return site


def card(page, number):
    expect(page.locator(".card-form__meta")).to_contain_text(re.compile(rf"Row {number}\b"), timeout=20_000)


def held_ready(page, n=4):
    """Wait until the cards to come are on the page."""
    page.wait_for_function(f"() => document.querySelector('focus-card').deck.cards.length === {n}")


def all_saved(page):
    """Wait until nothing is on its way to the server: the next card does not wait for it."""
    page.wait_for_function("() => !document.querySelector('focus-card').unsaved.length")


def saved(column, number):
    verbatim = Verbatim.objects.get(column=column, row_number=number)
    return verbatim.is_reviewed, {
        one.topic.label: one.sentiment for one in verbatim.assignments.select_related("topic")
    }


def test_one_row_by_keyboard_alone(focus):
    page = focus.page
    card(page, 1)
    page.keyboard.press("1")  # off
    page.keyboard.press("p")  # search: price
    expect(page.get_by_role("combobox", name="Find a topic")).to_have_value("p")
    page.keyboard.type("ri")
    page.keyboard.press("Enter")
    expect(page.locator(".line.is-on")).to_contain_text("Price")
    page.keyboard.press("f")
    page.keyboard.type("rie")
    page.keyboard.press("Enter")
    page.keyboard.press("s")  # the current line: Friendliness, neutral -> negative
    page.keyboard.press("Enter")
    card(page, 2)
    all_saved(page)
    assert saved(focus.column, 1) == (True, {"Price": None, "Friendliness": -1})
    expect(page.locator("#focus-progress")).to_contain_text("1 of about 6")


def test_undo_brings_the_row_back_and_skip_leaves_it(focus):
    page = focus.page
    page.keyboard.press("Enter")
    card(page, 2)
    page.keyboard.press("u")
    card(page, 1)
    assert saved(focus.column, 1)[0] is False
    page.keyboard.press("Enter")
    card(page, 2)
    page.keyboard.press("Control+z")
    card(page, 1)
    page.keyboard.press("n")
    card(page, 2)
    page.keyboard.press("Enter")
    card(page, 3)
    all_saved(page)
    assert saved(focus.column, 1)[0] is False
    assert saved(focus.column, 2)[0] is True


def test_undo_with_nothing_to_undo_says_so(focus):
    page = focus.page
    page.keyboard.press("u")
    expect(page.locator("#toasts")).to_contain_text("no review of yours left to undo")
    page.keyboard.press("Enter")
    card(page, 2)


def test_forty_keys_in_a_burst_against_a_slow_server_are_all_played(focus):
    """Row n gets its topic toggled off if n is odd; the keys do not wait for the cards."""
    page = focus.page
    page.route("**/focus/review/", lambda route: (time.sleep(0.08), route.continue_()))
    keys = []
    for number in range(1, 21):
        keys += ["1", "Enter"] if number % 2 else ["s", "Enter"]
    page.evaluate(
        """keys => { for (const key of keys)
          document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})); }""",
        keys,
    )
    card(page, 21)
    all_saved(page)
    for number in range(1, 21):
        wanted = {} if number % 2 else {"Delivery time": 1}  # -1 -> (S) -> 1
        assert saved(focus.column, number) == (True, wanted), number
    assert saved(focus.column, 21)[0] is False


def test_letters_typed_while_the_next_card_is_on_its_way_begin_its_search(focus):
    page = focus.page
    page.route("**/focus/?*", lambda route: (time.sleep(0.3), route.continue_()))
    page.route("**/focus/review/", lambda route: (time.sleep(0.3), route.continue_()))
    page.keyboard.press("Enter")
    page.keyboard.type("price")
    card(page, 2)
    expect(page.get_by_role("combobox", name="Find a topic")).to_have_value("price")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    card(page, 3)
    all_saved(page)
    assert saved(focus.column, 2) == (True, {"Delivery time": -1, "Price": None})


def test_buttons_do_the_same_as_keys(focus):
    page = focus.page
    page.get_by_role("option", name=re.compile("Price")).first.click()
    page.get_by_role("button", name=re.compile("Confirm")).click()
    card(page, 2)
    all_saved(page)
    assert saved(focus.column, 1) == (True, {"Delivery time": -1, "Price": None})
    page.get_by_role("button", name=re.compile("Undo")).click()
    card(page, 1)
    page.get_by_role("button", name=re.compile("Skip")).click()
    card(page, 2)


def test_single_keys_can_be_switched_off(focus, column_url):
    page = focus.page
    page.keyboard.press("?")
    page.get_by_role("switch", name="Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    focus.open(column_url(focus.column, "focus/"))
    page.keyboard.press("1")
    expect(page.locator(".line.is-on")).to_have_count(1)
    page.keyboard.press("n")
    card(page, 1)


def test_somebody_else_reviewed_the_card_meanwhile(focus, alice):
    """The next card is there at once; both versions wait until the person has time to compare them."""
    page = focus.page
    card(page, 1)
    verbatim = Verbatim.objects.get(column=focus.column, row_number=1)
    price = focus.column.topics.get(label="Price")
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=verbatim.revision, user=alice)
    page.keyboard.press("Enter")
    card(page, 2)
    banner = page.locator("#banner")
    expect(banner).to_contain_text("somebody else changed this row meanwhile")
    assert saved(focus.column, 1) == (True, {"Price": None})
    page.keyboard.press("Enter")
    card(page, 3)  # the flow goes on
    banner.get_by_role("button", name="Compare").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Row 1 was changed meanwhile")
    focus.assert_accessible()
    dialog.get_by_role("button", name="Save my version").click()
    expect(dialog).to_have_count(0)
    expect(banner).to_be_empty()
    card(page, 3)
    assert saved(focus.column, 1) == (True, {"Delivery time": -1})
    page.keyboard.press("Enter")
    card(page, 4)


def test_without_a_connection_reviewing_goes_on_and_is_saved_later(focus):
    focus.expect_problem("ERR_INTERNET_DISCONNECTED", "htmx:", "net::ERR_")
    page = focus.page
    held_ready(page)
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    card(page, 2)
    for number in range(3, 6):
        page.keyboard.press("Enter")
        card(page, number)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Waiting for the server")).to_be_visible()
    focus.assert_accessible()
    assert saved(focus.column, 1)[0] is False
    page.context.set_offline(False)
    card(page, 6)
    all_saved(page)
    assert saved(focus.column, 1) == (True, {})
    assert all(saved(focus.column, number) == (True, {"Delivery time": -1}) for number in range(2, 6))
    page.keyboard.press("Enter")
    card(page, 7)


def test_a_server_error_keeps_the_review_and_sends_it_again(focus):
    focus.expect_problem("status of 500", "Code 500")
    page = focus.page
    held_ready(page)
    page.route("**/focus/review/", lambda route: route.fulfill(status=500, body="broken"))
    page.keyboard.press("1")
    expect(page.locator(".line.is-on")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    card(page, 2)
    page.unroute("**/focus/review/")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#banner")).to_be_empty()
    assert saved(focus.column, 1) == (True, {})


def test_the_end_says_so_and_can_be_undone(site, make_project, alice, column_url):
    project = make_project(alice, texts=["Only one"])
    site.sign_in(alice)
    page = site.open(column_url(project.column, "focus/"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Everything is reviewed")).to_be_visible()
    site.assert_accessible()
    page.keyboard.press("u")
    expect(page.locator(".card-form__text")).to_have_text("Only one")


def test_f_opens_focus_mode_from_the_view(focus, column_url):
    page = focus.open(column_url(focus.column))
    page.keyboard.press("f")
    card(page, 1)


def test_the_next_card_is_there_within_100_ms_of_a_slow_server(focus):
    """Enter to the next card on the page; the server takes half a second for everything."""
    page = focus.page
    page.route("**/focus/**", lambda route: (time.sleep(0.5), route.continue_()))
    times = []
    for number in range(1, 9):
        card(page, number)
        held_ready(page)
        times.append(
            page.evaluate(
                """() => new Promise(done => {
                  const start = performance.now();
                  new MutationObserver((changes, me) => { me.disconnect(); done(performance.now() - start); })
                    .observe(document.getElementById("card"), {childList: true});
                  document.activeElement.dispatchEvent(
                    new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true}));
                })"""
            )
        )
    assert sorted(times)[len(times) // 2] < 100, times
