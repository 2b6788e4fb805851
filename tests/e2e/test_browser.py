"""The topic assignment view: rows, filters, the row panel, results and statistics."""

import re
import time

import pytest
from playwright.sync_api import expect

from projects.models import Change
from rows.models import Assignment, Verbatim
from rows.services.reviews import TopicChoice, verbatim_review


@pytest.fixture
def coded(column, assign):
    """Rows with topics of the AI, certainty and overall sentiment."""
    topics = {topic.label: topic for topic in column.topics.all()}
    rows = list(column.verbatims.order_by("row_number"))
    assign(rows[0], topics["Delivery time"], -1, probability=0.9)
    assign(rows[3], topics["Delivery time"], -1, probability=0.9)
    assign(rows[1], topics["Friendliness"], 1, probability=0.8)
    assign(rows[2], topics["Price"], None, probability=0.6)
    for index, row in enumerate(rows):
        row.certainty = 0.9 - index / 10
        row.sentiment = {0: -1, 1: 1, 2: 0, 3: -1}.get(index)
        row.save()
    return column


@pytest.fixture
def view(site, coded, bob, column_url):
    """Bob, an analyst, has the view open."""
    site.sign_in(bob)
    site.open(column_url(coded))
    return site


def row(page, number):
    return page.locator("article.row").filter(has=page.locator(f".row__number:text-matches('(^|\\\\D){number}$')"))


def test_rows_show_text_topics_sentiment_and_duplicates(view):
    page = view.page
    expect(page.locator("article.row")).to_have_count(5)  # six rows, two of them identical
    first = row(page, 1)
    expect(first).to_contain_text("The delivery came two days late.")
    expect(first.locator(".chip")).to_contain_text("Delivery time")
    expect(first.locator(".badge")).to_contain_text("×2")
    expect(page.locator("#row-count")).to_contain_text("5 rows")
    expect(row(page, 6)).to_contain_text("N/A")  # a word somebody typed, not a missing value


def test_a_change_in_the_panel_saves_reviews_and_can_be_undone(view, coded):
    page = view.page
    row(page, 2).click()
    panel = page.locator("#row-panel")
    expect(panel.get_by_role("heading", name="Row 2")).to_be_focused()
    panel.get_by_role("combobox", name="Find a topic").fill("pr")
    page.keyboard.press("Enter")
    expect(panel.locator("#row-state")).to_contain_text("Reviewed")
    expect(row(page, 2).locator(".chip")).to_have_count(2)
    verbatim = Verbatim.objects.get(column=coded, row_number=2)
    assert verbatim.is_reviewed
    assert set(verbatim.assignments.values_list("topic__label", flat=True)) == {"Friendliness", "Price"}
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(row(page, 2).locator(".chip")).to_have_count(1)
    expect(panel.locator("#row-state")).to_contain_text("Not reviewed")


def test_sentiment_and_removal_in_the_panel(view, coded):
    page = view.page
    row(page, 1).click()
    panel = page.locator("#row-panel")
    line = panel.locator(".line").filter(has_text="Delivery time")
    line.locator("input[value='1']").check()
    expect(panel.locator("#row-state")).to_contain_text("Reviewed")
    expect(panel.locator("#panel-sentiment")).to_contain_text("positive")
    # The duplicate went along.
    assert list(Assignment.objects.filter(topic__label="Delivery time").values_list("sentiment", flat=True)) == [
        1,
        1,
    ]
    line.get_by_role("checkbox").click()
    expect(panel.locator("[data-no-topics]")).to_be_visible()
    expect(row(page, 1).locator(".chip")).to_have_count(0)


def test_a_star_from_the_panel_shows_in_the_row(view, coded):
    page = view.page
    row(page, 2).click()
    page.locator("#row-panel").get_by_role("button", name="Highlight").click()
    expect(page.locator("#row-panel").get_by_role("button", name="Highlight")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(row(page, 2).get_by_role("button", name="Highlight")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Control+z")
    expect(row(page, 2).get_by_role("button", name="Highlight")).to_have_attribute("aria-pressed", "false")


def test_quick_changes_are_all_saved_in_order(view, coded):
    """The second change is made before the first is answered; neither conflicts nor gets lost."""
    page = view.page
    row(page, 3).click()
    panel = page.locator("#row-panel")
    search = panel.get_by_role("combobox", name="Find a topic")
    for word in ("friend", "deliv"):
        search.fill(word)
        page.keyboard.press("Enter")
    panel.locator(".line").filter(has_text="Price").get_by_role("checkbox").click()
    expect(row(page, 3).locator(".chips")).to_contain_text("Delivery time")
    expect(row(page, 3).locator(".chips")).not_to_contain_text("Price")
    expect(panel.locator(".line")).to_have_count(2)
    verbatim = Verbatim.objects.get(column=coded, row_number=3)
    assert set(verbatim.assignments.values_list("topic__label", flat=True)) == {"Friendliness", "Delivery time"}
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_ctrl_enter_reviews_and_opens_the_next_row(view, coded):
    page = view.page
    row(page, 1).click()
    expect(page.get_by_role("heading", name="Row 1")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Row 2")).to_be_visible()
    expect(row(page, 1)).to_have_class(re.compile("is-reviewed"))
    assert Verbatim.objects.filter(column=coded, is_reviewed=True).count() == 2


def test_the_tick_confirms_what_is_shown_and_ctrl_z_takes_it_back(view, coded):
    page = view.page
    row(page, 1).locator("[data-review]").click()
    expect(row(page, 1)).to_have_class(re.compile("is-reviewed"))
    expect(page.locator("#toasts")).to_contain_text("Row 1 and 1 identical reviewed")
    page.keyboard.press("Control+z")
    expect(row(page, 1)).not_to_have_class(re.compile("is-reviewed"))
    assert not Verbatim.objects.filter(column=coded, is_reviewed=True).exists()


def test_the_tick_does_not_confirm_topics_nobody_saw(view, coded):
    """The AI changed the row after it was drawn: confirming it unseen would make the AI teach itself."""
    page = view.page
    Verbatim.objects.filter(column=coded, row_number=2).update(revision=7)
    row(page, 2).locator("[data-review]").click()
    expect(page.locator("#toasts")).to_contain_text("changed since it was shown")
    assert not Verbatim.objects.filter(column=coded, is_reviewed=True).exists()


def test_two_people_on_one_row_see_both_versions_and_choose(view, coded, alice):
    page = view.page
    row(page, 2).click()
    panel = page.locator("#row-panel")
    expect(panel.get_by_role("heading", name="Row 2")).to_be_visible()
    verbatim = Verbatim.objects.get(column=coded, row_number=2)
    price = coded.topics.get(label="Price")
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=verbatim.revision, user=alice)
    panel.get_by_role("combobox", name="Find a topic").fill("deliv")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Row 2 was changed meanwhile")
    expect(dialog).to_contain_text("alice")
    view.assert_accessible()
    assert list(verbatim.assignments.values_list("topic__label", flat=True)) == ["Price"]
    dialog.get_by_role("button", name="Save my version").click()
    expect(dialog).to_have_count(0)
    expect(row(page, 2).locator(".chip")).to_have_count(2)
    assert set(verbatim.assignments.values_list("topic__label", flat=True)) == {"Friendliness", "Delivery time"}


def test_keeping_the_other_version_shows_it(view, coded, alice):
    page = view.page
    row(page, 2).click()
    panel = page.locator("#row-panel")
    expect(panel.get_by_role("heading", name="Row 2")).to_be_visible()
    verbatim = Verbatim.objects.get(column=coded, row_number=2)
    price = coded.topics.get(label="Price")
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=verbatim.revision, user=alice)
    panel.locator(".line").get_by_role("checkbox").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it as it is").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(panel.locator(".line")).to_contain_text("Price")


def test_search_filters_and_sort_live_in_the_address(view, coded):
    page = view.page
    page.get_by_role("searchbox", name="Search the texts").fill('"two days"')
    expect(page.locator("article.row")).to_have_count(1)
    expect(page.locator("article.row mark")).to_have_text("two days")
    expect(page).to_have_url(re.compile(r"\?q="))
    expect(page.locator("#row-count")).to_contain_text("1 row matches")
    page.get_by_role("link", name=re.compile("Text: .*remove filter")).click()
    expect(page.locator("article.row")).to_have_count(5)
    expect(page.get_by_role("searchbox", name="Search the texts")).to_have_value("")
    page.get_by_role("combobox", name="Sort").select_option("certainty")
    expect(page.locator("article.row").first).to_contain_text("N/A")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.locator("#filter-menu summary", has_text="Topics").click()
    page.locator("#filter-menu").get_by_label("Delivery time").check()
    expect(page.locator("article.row")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"topic=\d+.*sort=certainty|sort=certainty.*topic=\d+"))
    page.reload()
    expect(page.locator("article.row")).to_have_count(1)
    page.evaluate("history.go(-1)")
    expect(page.locator("article.row")).to_have_count(5)


def test_no_match_offers_to_clear_the_filters(view):
    page = view.page
    page.get_by_role("searchbox", name="Search the texts").fill("zzzz")
    expect(page.get_by_role("heading", name="No row matches these filters")).to_be_visible()
    page.get_by_role("button", name="Clear all filters").click()
    expect(page.locator("article.row")).to_have_count(5)


def test_identical_rows_can_be_shown_one_by_one(view):
    page = view.page
    page.get_by_role("button", name="View options").click()
    page.get_by_role("switch", name="Group identical rows").uncheck()
    expect(page.locator("article.row")).to_have_count(6)
    page.reload()
    expect(page.locator("article.row")).to_have_count(6)  # remembered


def test_other_columns_can_be_shown_under_the_text(view, coded, column_url):
    page = view.page
    page.get_by_role("button", name="View options").click()
    page.locator("#view-menu").get_by_label("Region").check()
    expect(row(page, 1).locator(".row__cells")).to_contain_text("Region North")
    view.open(column_url(coded))
    expect(row(page, 1).locator(".row__cells")).to_contain_text("Region North")


def test_rows_by_keyboard(view, coded):
    page = view.page
    row(page, 1).focus()
    page.keyboard.press("ArrowDown")
    expect(row(page, 2)).to_be_focused()
    page.keyboard.press("r")
    expect(row(page, 2)).to_have_class(re.compile("is-reviewed"))
    expect(row(page, 2)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Row 2")).to_be_focused()
    page.keyboard.press("Escape")
    expect(row(page, 2)).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search the texts")).to_be_focused()


def test_results_follow_the_filters_and_open_to_topics(view):
    page = view.page
    page.get_by_role("tab", name="Results").click()
    results = page.get_by_role("tabpanel", name="Results")
    expect(results).to_contain_text("Share of 5 rows with text")
    service = results.get_by_role("row", name=re.compile("^Service"))
    expect(service).to_contain_text("60.0 %")  # rows 1, 2 and the copy of row 1
    results.get_by_role("button", name="Service", exact=True).click()
    expect(results.get_by_role("row", name=re.compile("Delivery time"))).to_contain_text("40.0 %")
    page.get_by_role("searchbox", name="Search the texts").fill("expensive")
    expect(results).to_contain_text("Share of 1 row with text, filters applied")
    page.get_by_role("searchbox", name="Search the texts").fill("")
    with page.expect_download() as download:
        results.get_by_role("button", name="SVG").click()
    assert download.value.path().read_text(encoding="utf-8").startswith("<svg")
    with page.expect_download() as download:
        results.get_by_role("button", name="Data").click()
    assert "Delivery time" in download.value.path().read_text(encoding="utf-8")


def test_statistics_count_every_row(view):
    page = view.page
    page.get_by_role("tab", name="Statistics").click()
    panel = page.get_by_role("tabpanel", name="Statistics")
    expect(panel.locator(".stat").first).to_contain_text("6")
    expect(panel).to_contain_text("Unique texts")
    expect(panel).to_contain_text("with identical rows grouped it shows 5")


def test_text_is_shown_as_typed_never_as_markup(site, make_project, alice, bob, column_url):
    nasty = "<img src=x onerror=alert(1)> {{ 7|add:7 }} =1+1 \U0001f600 \u202eabc"
    project = make_project(alice, texts=[nasty], members={bob: "analyst"})
    site.sign_in(bob)
    page = site.open(column_url(project.column, "?q=src"))
    expect(page.locator("article.row p").first).to_have_text(nasty)
    page.locator("article.row").click()
    expect(page.locator(".panel-text")).to_have_text(nasty)


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_reads_but_is_offered_nothing_to_change(view, role):
    page = view.page
    expect(page.locator("article.row")).to_have_count(5)
    expect(page.locator("[data-review], [data-focus-link]")).to_have_count(0)
    row(page, 1).click()
    expect(page.locator("#row-panel")).to_contain_text("Delivery time")
    expect(page.locator("#row-panel").get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_role("button", name="Export")).to_have_count(0)


def test_a_long_list_is_endless_and_light(site, make_project, alice, column_url):
    project = make_project(alice, texts=[f"Answer number {index}" for index in range(1, 1201)])
    site.sign_in(alice)
    page = site.open(column_url(project.column))
    expect(page.locator("article.row").first).to_be_visible()
    feed = page.locator("#feed")
    for _ in range(40):
        if page.locator("article.row .row__number", has_text=re.compile(r"1200$")).count():
            break
        feed.evaluate("feed => feed.scrollTo(0, feed.scrollHeight)")
        page.wait_for_timeout(100)
    expect(page.locator(".chunk")).to_have_count(24)
    assert page.locator("article.row").count() < 1000, "far chunks are emptied"
    feed.evaluate("feed => feed.scrollTo(0, 0)")
    expect(row(page, 1)).to_be_in_viewport()
    numbers = page.locator("article.row .row__number").all_inner_texts()
    assert len(numbers) == len(set(numbers))


def test_an_expired_session_keeps_the_review_until_signed_in_again(view, coded, bob):
    view.expect_problem("status of 401", "Code 401")
    page = view.page
    row(page, 2).click()
    panel = page.locator("#row-panel")
    expect(panel.get_by_role("heading", name="Row 2")).to_be_visible()
    view.sign_out()
    panel.get_by_role("combobox", name="Find a topic").fill("price")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    expect(page.locator("#banner")).to_contain_text("signed out")
    assert not Change.objects.filter(kind="review").exists()
    page.locator("#banner").get_by_role("link", name="Sign in").click()
    page.locator("[name=username]").fill("bob")
    page.locator("[name=password]").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#toasts")).to_contain_text("The waiting review is saved")
    verbatim = Verbatim.objects.get(column=coded, row_number=2)
    assert set(verbatim.assignments.values_list("topic__label", flat=True)) == {"Friendliness", "Price"}


def test_reviews_made_without_a_connection_are_sent_later(view, coded):
    view.expect_problem("ERR_INTERNET_DISCONNECTED", "htmx:sendError", "htmx:afterRequest", "net::ERR_")
    page = view.page
    row(page, 2).click()
    panel = page.locator("#row-panel")
    expect(panel.get_by_role("heading", name="Row 2")).to_be_visible()
    page.context.set_offline(True)
    panel.get_by_role("combobox", name="Find a topic").fill("price")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("not saved yet")
    page.context.set_offline(False)
    expect(page.locator("#toasts")).to_contain_text("The waiting review is saved", timeout=15_000)
    expect(page.locator("#banner")).not_to_contain_text("not saved yet")
    assert Verbatim.objects.get(column=coded, row_number=2).assignments.count() == 2


def test_changes_made_in_the_very_moment_the_panel_appears_are_queued(view, coded):
    """Before htmx has read the new form: both changes are sent one after the other, none conflicts."""
    page = view.page
    page.evaluate(
        """() => {
          const pick = (label) => {
            const option = document.querySelector(`#row-panel [role=option][data-label="${label}"]`);
            option.click();
          };
          new MutationObserver((changes, me) => {
            if (!document.querySelector("#row-panel topic-picker")) return;
            me.disconnect();
            pick("Friendliness");
            pick("Delivery time");
            setTimeout(() => pick("Price"), 60);
          }).observe(document.getElementById("row-panel"), {childList: true});
        }"""
    )
    page.route("**/review/", lambda route: (time.sleep(0.15), route.continue_()))
    row(page, 3).click()
    expect(row(page, 3).locator(".chips")).not_to_contain_text("Price")
    expect(row(page, 3).locator(".chip")).to_have_count(2)
    expect(page.get_by_role("dialog")).to_have_count(0)
    stored = Verbatim.objects.get(column=coded, row_number=3).assignments.values_list("topic__label", flat=True)
    assert set(stored) == {"Friendliness", "Delivery time"}
    assert Change.objects.filter(kind="review").count() in (2, 3)  # a change made while one waits goes with it
