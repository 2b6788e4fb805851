"""The view stays where it is while the AI, or somebody else, changes what it shows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db.models import F
from playwright.sync_api import expect

from finetune.models import ModelVersion, TopicScore
from projects.models import Column, Job, JobKind, JobState
from rows.models import Assignment, Verbatim
from rows.services.reviews import TopicChoice, verbatim_review


@pytest.fixture
def many(make_project: Any, alice: Any, bob: Any) -> Column:
    """Forty rows, each with a topic of the AI."""
    texts = [f"Row number {n} says that the delivery was late" for n in range(1, 41)]
    project = make_project(alice, texts=texts, members={bob: "analyst"})
    column = project.column
    topic = column.topics.get(label="Friendliness")
    Assignment.objects.bulk_create(
        Assignment(verbatim=verbatim, topic=topic, sentiment=1, source="ai", probability=0.8)
        for verbatim in column.verbatims.all()
    )
    ai_update(column, 1, 50.0)
    return column


def ai_update(column: Column, number: int, score: float, *, rows: range = range(0)) -> None:
    """Do what an AI update does at its end; `rows` get the topic Price instead of theirs."""
    price = column.topics.get(label="Price")
    changed = column.verbatims.filter(row_number__in=rows)
    Assignment.objects.filter(verbatim__in=changed).update(topic=price, sentiment=None)
    Verbatim.objects.filter(pk__in=changed.values("pk")).update(revision=F("revision") + 1)
    column.versions.filter(state="deployed").update(state="superseded")
    version = ModelVersion.objects.create(
        column=column, number=number, trigger="reviews", state="deployed", n_reviewed=5, ai_score=score
    )
    for topic in column.topics.all():
        TopicScore.objects.create(version=version, topic=topic, score=score, count=20, influence=0.0)
    Column.objects.filter(pk=column.pk).update(revision=F("revision") + 1)


@pytest.fixture
def view(site: Any, many: Column, bob: Any, column_url: Any) -> Any:
    site.sign_in(bob)
    site.open(column_url(many))
    expect(site.page.locator("#ai-status")).to_contain_text("AI score 50")
    return site


def poll_now(page: Any) -> None:
    """Ask at once instead of after five seconds."""
    page.evaluate("document.querySelector('[data-poll]').dispatchEvent(new CustomEvent('poll'))")


def row(page: Any, number: int) -> Any:
    return page.locator("article.row").filter(has=page.locator(f".row__number:text-matches('(^|\\\\D){number}$')"))


def test_an_update_renews_chips_counts_and_score_by_itself(view: Any, many: Column) -> None:
    page = view.page
    page.get_by_role("tab", name="AI score").click()
    expect(page.get_by_role("tabpanel", name="AI score")).to_contain_text("50")
    ai_update(many, 2, 77.0, rows=range(1, 6))
    # No event by hand: the page asks by itself.
    expect(page.locator("#ai-status")).to_contain_text("AI score 77", timeout=15_000)
    expect(row(page, 2).locator(".chip")).to_contain_text("Price")
    expect(row(page, 7).locator(".chip")).to_contain_text("Friendliness")
    expect(page.get_by_role("tabpanel", name="AI score").locator(".score-big")).to_have_text("77")
    expect(page.locator("#live")).to_have_text("AI update finished.")
    page.get_by_role("tab", name="Results").click()
    expect(
        page.get_by_role("tabpanel", name="Results").get_by_role("row", name=re.compile("^Price"))
    ).to_contain_text("12.5 %")


def test_rows_that_did_not_change_stay_the_same_elements(view: Any, many: Column) -> None:
    """So a selected text, a hover and a tick stay; only rows that differ are drawn again."""
    page = view.page
    expect(row(page, 3)).to_be_visible()
    page.evaluate("document.querySelectorAll('article.row').forEach(one => (one.own = 'kept'))")
    page.evaluate(
        "getSelection().selectAllChildren(document.querySelectorAll('article.row')[7].querySelector('.row__text'))"
    )
    ai_update(many, 2, 60.0, rows=range(1, 4))
    poll_now(page)
    expect(row(page, 2).locator(".chip")).to_contain_text("Price")
    kept = page.evaluate("[...document.querySelectorAll('article.row')].map(one => one.own === 'kept')")
    assert kept[:3] == [False, False, False]
    assert all(kept[3:])
    assert "Row number 8 says" in page.evaluate("String(getSelection())")


def test_focus_scroll_and_the_open_row_stay(view: Any, many: Column) -> None:
    page = view.page
    feed = page.locator("row-feed")
    row(page, 22).scroll_into_view_if_needed()
    row(page, 22).click()
    expect(page.get_by_role("heading", name="Row 22")).to_be_visible()
    row(page, 22).focus()
    before = feed.evaluate("one => one.scrollTop")
    assert before > 0
    ai_update(many, 2, 61.0, rows=range(20, 25))
    poll_now(page)
    expect(row(page, 22).locator(".chip")).to_contain_text("Price")
    expect(row(page, 22)).to_be_focused()
    expect(row(page, 22)).to_have_attribute("data-current", "")
    expect(page.locator("#row-panel .line.is-on")).to_contain_text("Price")
    assert abs(feed.evaluate("one => one.scrollTop") - before) <= 2


def test_what_is_typed_stays(view: Any, many: Column) -> None:
    page = view.page
    search = page.locator("#topic-search")
    search.fill("fri")
    ai_update(many, 2, 62.0, rows=range(1, 4))
    poll_now(page)
    expect(row(page, 2).locator(".chip")).to_contain_text("Price")
    expect(search).to_be_focused()
    expect(search).to_have_value("fri")
    # The counts follow as soon as the field is left, and the search is still there.
    page.get_by_role("searchbox", name="Search the texts").focus()
    expect(page.locator(".topic:visible")).to_contain_text("37")
    expect(search).to_have_value("fri")
    expect(page.locator(".topic:visible")).to_have_count(1)


def test_a_typed_topic_in_the_open_row_stays(view: Any, many: Column) -> None:
    page = view.page
    row(page, 2).click()
    picker = page.locator("#row-panel").get_by_role("combobox", name="Find a topic")
    picker.fill("deliv")
    ai_update(many, 2, 62.0, rows=range(1, 4))
    poll_now(page)
    expect(row(page, 2).locator(".chip")).to_contain_text("Price")
    expect(picker).to_have_value("deliv")
    expect(picker).to_be_focused()


def test_a_review_of_somebody_else_shows_in_the_row_and_the_open_panel(
    view: Any, many: Column, alice: Any
) -> None:
    page = view.page
    row(page, 4).click()
    expect(page.get_by_role("heading", name="Row 4")).to_be_visible()
    verbatim = many.verbatims.get(row_number=4)
    topic = many.topics.get(label="Price")
    verbatim_review(
        verbatim=verbatim, topics=[TopicChoice(topic.pk, None)], revision=verbatim.revision, user=alice
    )
    poll_now(page)
    expect(row(page, 4)).to_have_class(re.compile("is-reviewed"))
    expect(page.locator("#row-panel #row-state")).to_contain_text("Reviewed")
    expect(page.locator("#ai-status")).to_contain_text("Reviews until update: 4")


def test_a_running_update_shows_stage_and_can_be_stopped(view: Any, many: Column) -> None:
    page = view.page
    job = Job.objects.create(
        kind=JobKind.UPDATE,
        project=many.project,
        column=many,
        state=JobState.RUNNING,
        stage="Training",
        total=8,
        done=2,
    )
    poll_now(page)
    strip = page.locator("#ai-status")
    expect(strip).to_contain_text("Training")
    expect(strip).to_contain_text("step 3 of 6")
    expect(strip.get_by_role("progressbar", name="AI update")).to_have_attribute("value", "2")
    strip.get_by_role("button", name="Cancel this AI update").click()
    expect(strip).to_contain_text("Stopping the AI update")
    Job.objects.filter(pk=job.pk).update(state=JobState.CANCELLED)
    expect(strip).to_contain_text("The last AI update was cancelled")


def test_a_tab_in_the_background_does_not_ask_and_asks_when_it_is_back(view: Any, many: Column) -> None:
    page = view.page
    asked: list[str] = []
    page.on("request", lambda request: "/ai/?seen=" in request.url and asked.append(request.url))
    hide = (
        "value => { Object.defineProperty(document, 'hidden', {configurable: true, get: () => value});"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.evaluate(hide, True)
    page.wait_for_timeout(6_500)
    assert not asked
    ai_update(many, 2, 70.0)
    page.evaluate(hide, False)
    expect(page.locator("#ai-status")).to_contain_text("AI score 70")
    assert asked


def test_a_server_that_fails_is_asked_again_without_a_notice_each_time(view: Any, many: Column) -> None:
    view.expect_problem("status of 500", "Code 500")
    page = view.page
    page.route("**/ai/?seen=*", lambda route: route.fulfill(status=500, body="down"))
    for _ in range(2):
        with page.expect_response("**/ai/?seen=*"):
            poll_now(page)
    expect(page.locator("#toasts > *")).to_have_count(0)
    page.unroute("**/ai/?seen=*")
    ai_update(many, 2, 71.0)
    poll_now(page)
    expect(page.locator("#ai-status")).to_contain_text("AI score 71")
