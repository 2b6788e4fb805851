"""What focus mode shows when there is no card, when the network is away, when two people work, on a phone."""

import re
import time

import pytest
from playwright.sync_api import expect

from finetune.models import ModelVersion
from rows import hooks
from rows.models import FocusLease, Verbatim

TEXTS = [f"Answer {index} about delivery and price" for index in range(1, 31)]


@pytest.fixture(autouse=True)
def _no_random_rows(settings):
    settings.AUDIT_SHARE_PERCENT = 0


@pytest.fixture
def column(make_project, assign, alice, bob):
    column = make_project(alice, texts=TEXTS, members={bob: "analyst"}).column
    topic = column.topics.get(label="Delivery time")
    for index, verbatim in enumerate(column.verbatims.order_by("row_number")):
        Verbatim.objects.filter(pk=verbatim.pk).update(certainty=index / 100)
        assign(verbatim, topic, -1, probability=0.7)
    return column


def opened(site, column, user):
    site.sign_in(user)
    return site.open(f"/columns/{column.pk}/focus/")


def card(page, number):
    expect(page.locator(".card-form__meta")).to_contain_text(re.compile(rf"Row {number}\b"), timeout=20_000)


def held_ready(page, n=4):
    page.wait_for_function(f"() => document.querySelector('focus-card').deck.cards.length === {n}")


def all_saved(page):
    page.wait_for_function("() => !document.querySelector('focus-card').unsaved.length")


def eventually(check, timeout_s=20):
    """What a page sends when it is left is answered after it is gone."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def reviewed(column):
    return list(
        Verbatim.objects.filter(column=column, is_reviewed=True)
        .order_by("row_number")
        .values_list("row_number", flat=True)
    )


# --- undo --------------------------------------------------------------------------------------------
def test_undo_goes_back_through_any_number_of_cards_with_what_was_chosen(site, column, alice):
    page = opened(site, column, alice)
    for number in range(1, 9):
        card(page, number)
        page.keyboard.press("1")  # off: nothing chosen
        page.keyboard.press("Enter")
    card(page, 9)
    all_saved(page)
    assert reviewed(column) == list(range(1, 9))
    for number in range(8, 0, -1):
        page.keyboard.press("u")
        card(page, number)
        expect(page.locator(".line.is-on")).to_have_count(0)  # as the person left it
    assert reviewed(column) == []
    for number in range(1, 10):  # and forward again, in the same order
        card(page, number)
        page.keyboard.press("Enter")
    card(page, 10)
    all_saved(page)
    assert reviewed(column) == list(range(1, 10))


def test_undo_in_a_burst_is_not_lost(site, column, alice):
    page = opened(site, column, alice)
    page.route("**/focus/review/", lambda route: (time.sleep(0.08), route.continue_()))
    page.route("**/focus/undo/", lambda route: (time.sleep(0.08), route.continue_()))
    page.evaluate(
        """keys => { for (const key of keys) document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})); }""",
        ["Enter"] * 6 + ["u"] * 4 + ["1", "Enter"],
    )
    card(page, 4)
    all_saved(page)
    assert reviewed(column) == [1, 2, 3]
    assert not Verbatim.objects.get(column=column, row_number=3).assignments.exists()
    assert Verbatim.objects.get(column=column, row_number=2).assignments.count() == 1


def test_a_skip_is_undone_too(site, column, alice):
    page = opened(site, column, alice)
    page.keyboard.press("n")
    card(page, 2)
    page.keyboard.press("n")
    card(page, 3)
    page.keyboard.press("u")
    card(page, 2)
    page.keyboard.press("Control+z")
    card(page, 1)
    page.keyboard.press("Enter")
    card(page, 2)


def test_reviews_from_before_the_page_was_loaded_are_undone_as_well(site, column, alice):
    page = opened(site, column, alice)
    page.keyboard.press("Enter")
    card(page, 2)
    all_saved(page)
    page = opened(site, column, alice)
    card(page, 2)
    page.keyboard.press("u")
    card(page, 1)
    assert reviewed(column) == []


# --- two people --------------------------------------------------------------------------------------
def test_two_people_never_have_the_same_card(site, second_site, column, alice, bob):
    first = opened(site, column, alice)
    held_ready(first)
    second = opened(second_site, column, bob)
    held_ready(second)
    seen: dict[str, list[str]] = {"alice": [], "bob": []}
    for _ in range(6):
        for name, page in (("alice", first), ("bob", second)):
            row = page.locator("#card form").get_attribute("data-row")
            seen[name].append(row)
            page.keyboard.press("Enter")
            expect(page.locator("#card form")).not_to_have_attribute("data-row", row)
    assert not set(seen["alice"]) & set(seen["bob"])
    all_saved(first)
    all_saved(second)
    assert len(reviewed(column)) == 12


def test_leaving_gives_the_rows_back(site, column, alice):
    page = opened(site, column, alice)
    held_ready(page)
    assert FocusLease.objects.count() == 5
    page.get_by_role("link", name="Comment").click()
    page.locator("html[data-complete='1']").wait_for(state="attached")
    eventually(lambda: not FocusLease.objects.exists())


def test_rows_in_front_of_somebody_else_come_when_they_leave(site, second_site, column, alice, bob):
    Verbatim.objects.filter(column=column, row_number__gt=2).update(is_reviewed=True)
    first = opened(site, column, alice)
    card(first, 1)
    held_ready(first, 1)
    second = opened(second_site, column, bob)
    expect(second.get_by_role("heading", name="in front of somebody else")).to_be_visible()
    second_site.assert_accessible()
    first.goto("about:blank")
    eventually(lambda: not FocusLease.objects.exists())
    second.get_by_role("button", name="Look again").click()
    card(second, 1)


# --- no card -----------------------------------------------------------------------------------------
def test_skipped_rows_can_be_looked_at_again(site, column, alice):
    Verbatim.objects.filter(column=column, row_number__gt=2).update(is_reviewed=True)
    page = opened(site, column, alice)
    page.keyboard.press("n")
    card(page, 2)
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="Only skipped rows are left")).to_be_focused()
    expect(page.locator("#card")).to_contain_text("You skipped 2 rows")
    page.get_by_role("option", name="Price").first.click()  # there is no row to put it on: no error
    site.assert_accessible()
    site.assert_fits()
    page.keyboard.press("u")
    card(page, 2)
    page.keyboard.press("n")
    page.get_by_role("button", name="Show the skipped rows").click()
    card(page, 1)
    assert reviewed(column) == list(range(3, 31))


def test_without_topics_the_way_to_them_is_shown(site, make_project, alice):
    column = make_project(alice, texts=TEXTS[:3], topics=()).column
    page = opened(site, column, alice)
    expect(page.get_by_role("heading", name="There are no topics yet")).to_be_visible()
    site.assert_accessible()
    page.keyboard.press("Enter")  # nothing to confirm
    assert reviewed(column) == []
    page.get_by_role("button", name="New topic").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Topic", exact=True).fill("Thanks")
    dialog.get_by_label("Category", exact=True).select_option("New category…")
    dialog.get_by_label("Name of the new category").fill("Shop")
    dialog.get_by_role("button", name="Add topic").click()
    card(page, 1)  # the first topic is there: so is the first card


def test_without_texts_there_is_nothing_to_review(site, make_project, alice):
    column = make_project(alice, texts=["", " "]).column
    Verbatim.objects.filter(column=column).update(is_empty=True)
    page = opened(site, column, alice)
    expect(page.get_by_role("heading", name="There is nothing to review")).to_be_visible()
    site.assert_accessible()


def test_ai_updates_off_is_said(site, column, alice):
    column.ai_updates_on = False
    column.save()
    page = opened(site, column, alice)
    expect(page.locator(".focus-note")).to_contain_text("AI updates are off")
    site.assert_accessible()
    page.keyboard.press("Enter")
    card(page, 2)


# --- the AI learns meanwhile ---------------------------------------------------------------------------
def test_an_ai_update_brings_a_new_order_and_leaves_the_card_in_front(site, column, alice):
    page = opened(site, column, alice)
    held_ready(page)
    page.keyboard.press("1")
    heads = list(column.verbatims.order_by("-row_number").values_list("pk", flat=True))
    ModelVersion.objects.create(
        column=column, number=7, trigger="manual", state="deployed", encoder="x", metrics={"queue": heads}
    )
    page.evaluate("document.querySelector('focus-card').look()")  # what it does by itself every 20 s
    expect(page.locator("#toasts")).to_contain_text("new order")
    card(page, 1)
    expect(page.locator(".line.is-on")).to_have_count(0)
    page.keyboard.press("Enter")
    card(page, 30)
    page.keyboard.press("Enter")
    card(page, 29)


# --- the network ---------------------------------------------------------------------------------------
def test_reviews_without_a_connection_survive_loading_the_page_again(site, column, alice):
    site.expect_problem("net::ERR_", "Failed to load", "status of 503")
    page = opened(site, column, alice)
    held_ready(page)
    page.route("**/focus/review/", lambda route: route.fulfill(status=503, body="away"))
    for number in (1, 2, 3):
        card(page, number)
        page.keyboard.press("1")
        page.keyboard.press("Enter")
    card(page, 4)
    expect(page.locator("#banner")).to_contain_text("3 reviews are not saved yet")
    site.assert_accessible()
    assert reviewed(column) == []
    page.unroute("**/focus/review/")
    site.open(f"/columns/{column.pk}/focus/")
    card(page, 4)
    all_saved(page)
    assert reviewed(column) == [1, 2, 3]
    assert not Verbatim.objects.get(column=column, row_number=2).assignments.exists()


def test_an_answer_that_got_lost_is_no_conflict(site, column, alice):
    """The server saved the review, but the page never heard of it: it sends it again."""
    site.expect_problem("net::ERR_", "Failed to load")
    page = opened(site, column, alice)
    held_ready(page)
    lost = []

    def lose(route):
        if not lost:
            lost.append(route.fetch())
            return route.abort()
        return route.continue_()

    page.route("**/focus/review/", lose)
    page.keyboard.press("Enter")
    card(page, 2)
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#banner")).to_be_empty()
    assert len(lost) == 1
    assert reviewed(column) == [1]
    expect(page.locator("#toasts")).not_to_contain_text("somebody else")


def test_a_review_not_sent_yet_is_taken_back_without_the_server(site, column, alice):
    site.expect_problem("net::ERR_", "Failed to load", "status of 503")
    page = opened(site, column, alice)
    held_ready(page)
    page.route("**/focus/review/", lambda route: route.fulfill(status=503, body="away"))
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    card(page, 2)
    page.keyboard.press("Enter")
    card(page, 3)
    page.keyboard.press("u")
    card(page, 2)
    page.unroute("**/focus/review/")
    # It may try again by itself at this very moment, and the button is gone then.
    page.get_by_role("button", name="Try now").evaluate_all("buttons => buttons.forEach(one => one.click())")
    all_saved(page)
    assert reviewed(column) == [1]
    page.keyboard.press("Enter")
    card(page, 3)


def test_a_browser_that_keeps_nothing_reviews_all_the_same(site, column, alice):
    """Local storage is full, or switched off."""
    site.page.add_init_script(
        """for (const name of ["getItem", "setItem", "removeItem"]) {
          const native = Storage.prototype[name];
          Storage.prototype[name] = function (...values) {
            if (this === window.localStorage) throw new DOMException("no storage", "QuotaExceededError");
            return native.apply(this, values);
          };
        }"""
    )
    page = opened(site, column, alice)
    for number in (1, 2, 3):
        card(page, number)
        page.keyboard.press("Enter")
    card(page, 4)
    all_saved(page)
    assert reviewed(column) == [1, 2, 3]


def test_an_ended_session_keeps_the_reviews(site, column, alice):
    site.expect_problem("status of 401", "Failed to load")
    page = opened(site, column, alice)
    held_ready(page)
    site.sign_out()
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("sign in to save")
    assert reviewed(column) == []
    opened(site, column, alice)
    card(page, 2)
    all_saved(page)
    assert reviewed(column) == [1]


# --- audit ---------------------------------------------------------------------------------------------
def test_rows_drawn_at_random_look_like_all_others(site, column, alice, settings):
    page = opened(site, column, alice)
    clean = 'html => html.replace(/value="[^"]*"/g, \'\').replace(/Row \\d+|Answer \\d+|data-row="\\d+"/g, \'\')'
    planned = page.evaluate(f"() => ({clean})(document.querySelector('#card').innerHTML)")
    settings.AUDIT_SHARE_PERCENT = 100
    page = opened(site, column, alice)
    drawn = page.evaluate(f"() => ({clean})(document.querySelector('#card').innerHTML)")
    assert drawn == planned
    page.keyboard.press("Enter")
    all_saved(page)
    assert Verbatim.objects.get(column=column, is_reviewed=True).is_audit
    page.keyboard.press("u")  # and stays in the sample when the review is made again
    expect(page.locator(".focus-progress")).to_contain_text("0 of about")
    page.keyboard.press("Enter")
    all_saved(page)
    assert Verbatim.objects.get(column=column, is_reviewed=True).is_audit


# --- advice --------------------------------------------------------------------------------------------
def test_the_advice_says_when_to_stop_and_why_and_blocks_nothing(site, column, alice, monkeypatch):
    state = {"version": 1, "scores": [(1, 60.0), (30, 70.0), (60, 70.4)], "measured": None}
    monkeypatch.setattr(hooks.learning_state, "first", lambda default=None, **_: state)
    Verbatim.objects.filter(column=column, row_number__gt=25).update(is_reviewed=True)
    page = opened(site, column, alice)
    advice = page.locator(".advice")
    expect(advice).to_contain_text("Go on")
    page.keyboard.press("Enter")
    expect(advice).to_contain_text("You can stop now")
    expect(page.locator("#toasts")).to_contain_text("You can stop now")
    advice.locator("summary").click()
    expect(advice).to_contain_text("hardly moved: 70.0 to 70.4")
    site.assert_accessible()
    page.locator("#card").focus()
    page.keyboard.press("Enter")
    card(page, 3)
    expect(advice.locator(".advice__why")).to_be_visible()  # it stays open while the numbers change


# --- shortcuts, phone, zoom ----------------------------------------------------------------------------
def test_shortcuts_off_are_remembered_for_the_person_everywhere(site, second_site, column, alice, bob):
    page = opened(site, column, alice)
    expect(page.locator(".line kbd").first).to_be_visible()
    page.keyboard.press("?")
    with page.expect_response("**/shortcuts/"):
        page.get_by_role("switch", name="Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator(".line kbd").first).to_be_hidden()
    other = opened(second_site, column, alice)  # another computer
    other.keyboard.press("1")
    other.keyboard.press("n")
    expect(other.locator(".line.is-on")).to_have_count(1)
    row = other.locator("#card form").get_attribute("data-row")
    other.keyboard.press("Enter")  # no single character: it stays
    expect(other.locator("#card form")).not_to_have_attribute("data-row", row)
    opened(second_site, column, bob)  # somebody else at that computer
    other.keyboard.press("1")
    expect(other.locator(".line.is-on")).to_have_count(0)


@pytest.fixture
def phone(browser, browser_context_args, live_server):
    from tests.e2e.conftest import Site

    context = browser.new_context(
        **{**browser_context_args, "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    )
    made = Site(context.new_page(), live_server.url)
    made.page.set_default_timeout(10_000)
    yield made
    context.close()
    made.check()


def test_a_whole_review_by_touch_on_a_phone(traffic, phone, column, alice):
    page = opened(phone, column, alice)
    card(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """() => ["#card button", "#card .line__main", "#card .faces label", ".focus-head .button",
              ".palette [role=option]"]
          .flatMap(selector => [...document.querySelectorAll(selector)]).filter(one => one.offsetParent)
          .map(one => [one.className, one.getBoundingClientRect()])
          .filter(([, box]) => box.height < 44 || box.width < 44)
          .map(([name, box]) => `${name} ${box.width}×${box.height}`)"""
    )
    assert small == []
    confirm = page.get_by_role("button", name=re.compile("Confirm"))
    expect(confirm).to_be_in_viewport()
    page.locator("#card .faces label").first.tap()  # positive
    page.get_by_role("option", name=re.compile("^Price")).tap()
    expect(page.locator("#card .line.is-on")).to_have_count(2)
    confirm.tap()
    card(page, 2)
    expect(page.locator(".card-form__text")).to_be_in_viewport()
    page.get_by_role("button", name=re.compile("Skip")).tap()
    card(page, 3)
    page.get_by_role("button", name=re.compile("Undo")).tap()
    card(page, 2)
    all_saved(page)
    first = Verbatim.objects.get(column=column, row_number=1)
    assert set(first.assignments.values_list("topic__label", "sentiment")) == {
        ("Delivery time", 1),
        ("Price", None),
    }
    phone.assert_accessible()


def test_200_percent_and_320_px_fit(site, column, alice):
    page = opened(site, column, alice)
    site.assert_fits(320)
    page.set_viewport_size({"width": 640, "height": 400})  # 1280 × 800 at 200 %
    card(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    page.keyboard.press("Enter")
    card(page, 2)
    expect(page.get_by_role("button", name=re.compile("Confirm"))).to_be_in_viewport()
    site.assert_accessible()
    page.locator(".advice summary").click()
    expect(page.locator(".advice__why")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
