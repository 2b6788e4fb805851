"""Focus mode finds any of 300 topics by two letters; those proposed and used last come first."""

import re

import pytest
from playwright.sync_api import expect

from rows.models import Verbatim

CATEGORIES = (
    "Delivery", "Service", "Price", "Website", "Product quality", "Packaging", "Returns", "Payment", "Stores",
    "Staff", "Assortment", "Loyalty", "Sustainability", "Communication", "General",
)  # fmt: skip
NOUNS = (
    "Speed", "Cost", "Reliability", "Friendliness", "Availability", "Clarity", "Waiting time", "Opening hours",
    "Instructions", "Look and feel", "Mobile app", "Error messages", "Damaged items", "Missing parts", "Updates",
    "Handling", "Quantity", "Trust", "Recommendation", "Expectations",
)  # fmt: skip
TOPICS = [(category, f"{noun} ({category})"[:50], True) for category in CATEGORIES for noun in NOUNS]


@pytest.fixture(autouse=True)
def _no_random_rows(settings):
    settings.AUDIT_SHARE_PERCENT = 0


@pytest.fixture
def focus(site, make_project, alice, column_url):
    project = make_project(alice, texts=[f"Answer {n}" for n in range(1, 13)], topics=TOPICS)
    site.column = project.column
    site.sign_in(alice)
    site.open(column_url(project.column, "focus/"))
    expect(site.page.locator("#card")).to_be_focused()
    return site


def matches(page):
    return page.locator("[data-results] [role=option]").evaluate_all("all => all.map(one => one.dataset.label)")


def test_each_of_300_topics_is_among_the_first_nine_for_some_two_letters(focus):
    """Two letters, then Enter or a digit: that is all it takes."""
    unreached = focus.page.evaluate(
        """async topics => {
          const { prepare, rank } = await import(document.querySelector("script[type=module]").src
            .replace(/app[^/]*\\.js/, "topic-match.js"));
          const ready = topics.map(([category, label], id) => prepare({ id: String(id), label, category }));
          const found = new Set();
          const letters = "abcdefghijklmnopqrstuvwxyz";
          for (const a of letters) for (const b of letters)
            for (const { topic } of rank(a + b, ready).slice(0, 9)) found.add(topic.id);
          return topics.filter((_, id) => !found.has(String(id))).map(one => one[1]);
        }""",
        [[category, label] for category, label, _ in TOPICS],
    )
    assert unreached == []


def test_two_letters_and_enter_put_a_topic_on(focus):
    page = focus.page
    page.keyboard.type("pc")  # Price: Cost
    expect(page.locator("[data-results] .is-active")).to_contain_text("Cost (Price)")
    page.keyboard.press("Enter")
    expect(page.locator("#card .line.is-on")).to_contain_text("Cost (Price)")
    expect(page.locator("#card")).to_be_focused()
    expect(page.get_by_role("combobox", name="Find a topic")).to_have_value("")


def test_a_digit_picks_that_match(focus):
    page = focus.page
    page.keyboard.type("wt")
    expect(page.locator("[data-results] [role=option]").first).to_be_visible()
    third = matches(page)[2]
    page.keyboard.press("3")
    expect(page.locator("#card .line.is-on .line__label")).to_have_text(third)


def test_letters_in_a_burst_find_the_same(focus):
    focus.page.evaluate(
        """() => { for (const key of ["p", "c", "Enter", "w", "t", "2", "Enter"])
          document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})); }"""
    )
    expect(focus.page.locator(".card-form__meta")).to_contain_text("Row 2")
    focus.page.wait_for_function("() => !document.querySelector('focus-card').unsaved.length")
    first = Verbatim.objects.get(column=focus.column, row_number=1)
    labels = list(first.assignments.values_list("topic__label", flat=True))
    assert labels[0] == "Cost (Price)"
    assert len(labels) == 2
    assert labels[1].startswith("Waiting time")


def test_topics_used_last_come_first_also_after_loading_the_page_again(focus, column_url):
    page = focus.page
    recent = page.locator("[data-results]")
    expect(recent).to_be_hidden()
    page.keyboard.type("trust sust")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(recent).to_contain_text("Recently used")
    expect(recent.get_by_role("option").first).to_contain_text("Trust (Sustainability)")
    page.wait_for_function("() => !document.querySelector('focus-card').unsaved.length")
    focus.open(column_url(focus.column, "focus/"))
    expect(recent.get_by_role("option").first).to_contain_text("Trust (Sustainability)")
    page.keyboard.type("tr")  # fifteen topics begin so
    assert matches(page)[0] == "Trust (Sustainability)"


def test_small_mistakes_are_forgiven_and_nonsense_says_so(focus):
    page = focus.page
    page.keyboard.type("recomendation")  # one m is missing
    expect(page.locator("[data-results] [role=option]").first).to_contain_text("Recommendation")
    page.keyboard.press("Escape")
    page.keyboard.type("xqzy")
    expect(page.get_by_text("No topic matches.")).to_be_visible()
    page.keyboard.press("Enter")  # picks nothing, loses nothing
    expect(page.locator(".line.is-on")).to_have_count(0)


def test_a_face_in_the_list_picks_with_that_sentiment(focus):
    page = focus.page
    page.keyboard.type("pc")
    page.locator("[data-results] [role=option]").first.locator("[data-face='-1']").click()
    line = page.locator("#card .line.is-on")
    expect(line.get_by_role("radio", name=re.compile("negative", re.I))).to_be_checked()


def test_300_topics_are_accessible_and_light(focus):
    size = focus.page.evaluate("async () => (await (await fetch(location.href)).blob()).size")
    assert size < 600_000
    focus.page.keyboard.type("de")
    focus.assert_accessible()
    focus.assert_fits()
