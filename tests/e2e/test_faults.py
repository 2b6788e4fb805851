"""What a person sees when the network, the session or the server fails while they review."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from projects.models import Change
from rows.models import Verbatim
from rows.services.reviews import TopicChoice, verbatim_review
from tests.e2e.test_sidebar import row


@pytest.fixture
def view(site, column, bob, column_url):
    """Bob has row 2 open."""
    site.expect_problem(
        "ERR_INTERNET_DISCONNECTED", "htmx:sendError", "htmx:afterRequest", "net::ERR_", "Code 500"
    )
    site.expect_problem("status of 500")
    site.sign_in(bob)
    site.open(column_url(column))
    row(site.page, 2).click()
    expect(site.page.get_by_role("heading", name="Row 2")).to_be_focused()
    return site


def add(page, word):
    page.locator("#row-panel").get_by_role("combobox", name="Find a topic").fill(word)
    page.keyboard.press("Enter")


def topics_of(column, number=2):
    return sorted(
        Verbatim.objects.get(column=column, row_number=number).assignments.values_list("topic__label", flat=True)
    )


def test_several_changes_without_a_connection_are_one_review_and_survive_a_reload(view, column):
    page = view.page
    page.route("**/review/", lambda route: route.abort("internetdisconnected"))
    for word in ("price", "deliv"):
        add(page, word)
        expect(page.locator("#banner")).to_contain_text("“Row 2” is not saved yet")
    expect(page.locator("#row-panel .line")).to_have_count(2)
    page.reload()
    expect(page.locator("#banner")).to_contain_text("“Row 2” is not saved yet")
    view.assert_accessible()
    page.unroute("**/review/")
    page.evaluate("window.dispatchEvent(new Event('online'))")  # or it tries by itself after some seconds
    expect(page.locator("#toasts")).to_contain_text("The waiting review is saved")
    expect(page.locator("#banner")).not_to_contain_text("not saved yet")
    assert topics_of(column) == ["Delivery time", "Price"]
    assert Change.objects.filter(kind="review").count() == 1, "the last decision counts, not each step to it"


def test_a_server_error_keeps_the_review_names_its_reference_and_holds_up_no_other(view, column):
    page = view.page
    broken: dict[str, tuple[str, ...]] = {
        "rows": (f"/rows/{Verbatim.objects.get(column=column, row_number=2).pk}/",)
    }

    def answer(route):
        if any(part in route.request.url for part in broken["rows"]):
            route.fulfill(status=500, headers={"X-Request-ID": "abc-123"}, body="")
        else:
            route.continue_()

    page.route("**/review/", answer)
    add(page, "price")
    expect(page.locator("#banner")).to_contain_text("(reference abc-123)")
    expect(page.locator("#banner")).to_contain_text("“Row 2” is not saved yet")
    row(page, 3).locator("[data-review]").click()
    expect(row(page, 3).locator("[data-review]")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#banner")).to_contain_text("“Row 2” is not saved yet")
    broken["rows"] = ()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#toasts")).to_contain_text("The waiting review is saved")
    assert topics_of(column) == ["Price"]


def test_a_late_review_of_a_row_somebody_changed_is_compared_and_chosen(view, column, alice):
    page = view.page
    page.route("**/review/", lambda route: route.abort("internetdisconnected"))
    add(page, "price")
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    friendly = column.topics.get(label="Friendliness")
    verbatim = Verbatim.objects.get(column=column, row_number=2)
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(friendly.pk, 1)], revision=0, user=alice)
    page.unroute("**/review/")
    page.reload()  # no row is open now
    expect(page.locator("#banner")).to_contain_text("Your version waits in this browser")
    assert topics_of(column) == ["Friendliness"]
    page.get_by_role("button", name="Compare both versions").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Row 2 was changed meanwhile")
    view.assert_accessible()
    page.keyboard.press("Escape")  # not decided: nothing is lost
    page.get_by_role("button", name="Compare both versions").click()
    dialog.get_by_role("button", name="Save my version").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#banner")).not_to_contain_text("Your version waits")
    expect(row(page, 2).locator(".chip")).to_contain_text("Price")
    assert topics_of(column) == ["Price"]


def test_a_tick_on_a_row_somebody_changed_shows_the_row_as_it_is(view, column, alice):
    page = view.page
    page.keyboard.press("Escape")
    price = column.topics.get(label="Price")
    verbatim = Verbatim.objects.get(column=column, row_number=3)
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=0, user=alice)
    row(page, 3).locator("[data-review]").click()
    expect(page.locator("#toasts")).to_contain_text("changed since it was shown")
    expect(row(page, 3).locator(".chip")).to_contain_text("Price")
    assert Change.objects.filter(kind="review").count() == 1
