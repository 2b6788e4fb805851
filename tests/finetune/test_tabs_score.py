"""The header strip in all its states, and the AI score tab: bars, table, order, words."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune.models import ModelVersion, TopicScore
from finetune.score_chart import score_bars, score_order, sort_scores
from projects.models import Column, Job, JobKind, JobState
from tests.conftest import add_topics

pytestmark = pytest.mark.django_db


def url(name: str, column: Column) -> str:
    return reverse(f"finetune:{name}", args=[column.pk])


@pytest.fixture
def scored(column: Column) -> Column:
    """A version in use: two topics with a score, one with too few rows."""
    version = ModelVersion.objects.create(
        column=column, number=3, trigger="reviews", state="deployed", n_reviewed=25, ai_score=63.4, duration_s=2.5
    )
    values = {"Friendliness": (71.0, 40, 1.5), "Delivery time": (42.0, 60, -2.25), "Price": (None, 3, None)}
    for topic in column.topics.all():
        score, count, influence = values[topic.label]
        TopicScore.objects.create(
            version=version,
            topic=topic,
            score=score,
            count=count,
            influence=influence,
            reason="" if score else "too few rows",
        )
    return column


def page(client: Any, name: str, column: Column, **query: str) -> str:
    return client.get(url(name, column), query).content.decode()


def job(column: Column, **values: Any) -> Job:
    return Job.objects.create(kind=JobKind.UPDATE, project=column.project, column=column, **values)


class TestStrip:
    def test_without_topics_it_says_what_to_do(self, as_alice: Any, column: Column) -> None:
        column.topics.update(deleted_at=timezone.now())
        html = page(as_alice, "ai_status", column)
        assert "No topics yet" in html
        assert "Update the AI now" not in html

    def test_updates_off(self, as_alice: Any, column: Column) -> None:
        Column.objects.update(ai_updates_on=False)
        html = page(as_alice, "ai_status", column)
        assert "AI updates are off" in html
        assert "Update the AI now" not in html

    def test_queued_behind_the_last_topic_change(self, as_alice: Any, column: Column) -> None:
        job(column, not_before=timezone.now() + timedelta(seconds=4))
        assert re.search(r"AI update in [34] seconds", page(as_alice, "ai_status", column))

    def test_a_deep_update_has_more_steps(self, as_alice: Any, column: Column) -> None:
        job(column, state=JobState.RUNNING, stage="Evaluating", payload={"deep": True})
        assert "step 6 of 8" in page(as_alice, "ai_status", column)

    def test_an_unknown_stage_is_shown_without_a_step(self, as_alice: Any, column: Column) -> None:
        job(column, state=JobState.RUNNING, stage="Thinking <hard>")
        html = page(as_alice, "ai_status", column)
        assert "Thinking &lt;hard&gt;" in html
        assert "step " not in html

    def test_stopping(self, as_alice: Any, column: Column) -> None:
        job(column, state=JobState.RUNNING, stage="Training", cancel_requested=True)
        html = page(as_alice, "ai_status", column)
        assert "Stopping the AI update" in html
        assert "ai-cancel" not in html

    def test_cancelled_is_told_until_the_next_one(self, as_alice: Any, column: Column) -> None:
        job(column, state=JobState.CANCELLED, created_at=timezone.now() - timedelta(minutes=1))
        assert "was cancelled" in page(as_alice, "ai_status", column)
        job(column, state=JobState.DONE)
        assert "was cancelled" not in page(as_alice, "ai_status", column)

    def test_failed_gives_the_whole_reason_and_another_try(self, as_alice: Any, column: Column) -> None:
        failed = job(column, state=JobState.FAILED, error="No <space> left on the device. " * 8)
        failed.finished_at = timezone.now()
        failed.save()
        html = page(as_alice, "ai_status", column)
        assert html.count("No &lt;space&gt; left on the device.") == 8
        assert reverse("projects:job_retry", args=[failed.pk]) in html

    @pytest.mark.parametrize("role", ["viewer"])
    def test_a_viewer_gets_no_controls(self, as_bob: Any, column: Column, role: str) -> None:
        for state in (JobState.FAILED, JobState.RUNNING):
            Job.objects.all().delete()
            job(column, state=state, error="x", finished_at=timezone.now())
            assert "hx-post" not in page(as_bob, "ai_status", column)

    @pytest.mark.parametrize("role", ["analyst"])
    def test_an_analyst_may_stop_an_update_but_not_switch(self, as_bob: Any, column: Column, role: str) -> None:
        job(column, state=JobState.RUNNING)
        html = page(as_bob, "ai_status", column)
        assert "ai-cancel" in html
        assert "ai-switch" not in html


class TestScoreTab:
    def test_a_bar_per_topic_with_a_score_as_wide_as_its_count(self, scored: Column) -> None:
        bars = score_bars(list(TopicScore.objects.select_related("topic__category")))
        assert [bar.item.topic.label for bar in bars] == ["Delivery time", "Friendliness"]
        assert bars[0].width / bars[1].width == pytest.approx(1.5, rel=0.05)
        assert [bar.height for bar in bars] == [42.0, 71.0]
        assert bars[-1].x + bars[-1].width <= 100

    def test_three_hundred_topics_fit_and_none_vanishes(self, column: Column) -> None:
        version = ModelVersion.objects.create(column=column, number=1, trigger="button", state="deployed")
        for index, topic in enumerate(add_topics(column, [(f"C{n % 9}", f"Topic {n}") for n in range(300)])):
            TopicScore.objects.create(version=version, topic=topic, score=50.0, count=5 + (index == 0) * 90_000)
        bars = score_bars(list(TopicScore.objects.select_related("topic__category")))
        assert len(bars) == 300
        assert min(bar.width for bar in bars) > 0.08
        assert bars[-1].x + bars[-1].width <= 100.001
        assert all(after.x >= bar.x + bar.width for bar, after in itertools.pairwise(bars))

    def test_no_rows_no_bars(self, scored: Column) -> None:
        TopicScore.objects.update(count=0)
        assert score_bars(list(TopicScore.objects.select_related("topic__category"))) == []

    @pytest.mark.parametrize(
        ("by", "direction", "expected"),
        [
            ("score", "", ["Delivery time", "Friendliness", "Price"]),
            ("score", "down", ["Friendliness", "Delivery time", "Price"]),
            ("count", "", ["Delivery time", "Friendliness", "Price"]),
            ("count", "up", ["Price", "Friendliness", "Delivery time"]),
            ("influence", "down", ["Friendliness", "Delivery time", "Price"]),
            ("topic", "", ["Friendliness", "Delivery time", "Price"]),
            ("'; DROP", "sideways", ["Delivery time", "Friendliness", "Price"]),
        ],
    )
    def test_the_table_sorts_both_ways(self, scored: Column, by: str, direction: str, expected: list[str]) -> None:
        scores = list(TopicScore.objects.select_related("topic__category"))
        assert [item.topic.label for item in sort_scores(scores, score_order(by, direction))] == expected

    def test_a_heading_says_how_it_sorts_and_turns_round(self, as_bob: Any, scored: Column) -> None:
        html = page(as_bob, "ai_score", scored, by="count")
        assert 'aria-sort="descending"' in html
        assert "?by=count&amp;dir=up" in html
        assert 'name="by" value="count"' in html

    def test_topics_with_too_few_rows_have_a_dash_and_the_reason(self, as_bob: Any, scored: Column) -> None:
        html = page(as_bob, "ai_score", scored)
        line = html.split(f'id="score-{scored.topics.get(label="Price").pk}"')[1].split("</tr>")[0]
        assert "only 3 rows: a score needs 5" in line
        assert '<td class="number">–</td>' in line
        assert "+1.5" in html
        assert "−2.2" in html

    def test_links_lead_to_the_rows_to_review(self, as_bob: Any, scored: Column) -> None:
        topic = scored.topics.get(label="Delivery time")
        html = page(as_bob, "ai_score", scored)
        assert html.count(f"?topic={topic.pk}&amp;reviewed=no&amp;sort=certainty") == 2  # bar and table
        assert "1 topic is below the red line" in html

    def test_measured_is_explained_with_interval_and_rows(self, as_bob: Any, scored: Column) -> None:
        measured = {"score": 61.2, "low": 54.4, "high": 68.0, "n": 57}
        ModelVersion.objects.update(metrics={"measured": measured})
        html = page(as_bob, "ai_score", scored)
        assert "Measured: 61</strong>, with 95 % certainty between 54 and 68" in html
        assert "on 57 rows that focus mode drew at random" in html

    def test_without_enough_random_rows_it_counts_them(self, as_bob: Any, scored: Column) -> None:
        ids = list(scored.verbatims.filter(is_group_head=True, is_empty=False).values_list("pk", flat=True)[:2])
        scored.verbatims.filter(pk__in=ids).update(is_audit=True, is_reviewed=True)
        assert "2 of 20 random rows are reviewed" in page(as_bob, "ai_score", scored)

    def test_guessing_before_the_first_review(self, as_bob: Any, scored: Column) -> None:
        assert "The AI is guessing" not in page(as_bob, "ai_score", scored)
        ModelVersion.objects.update(n_reviewed=0)
        assert "The AI is guessing" in page(as_bob, "ai_score", scored)

    def test_labels_are_data(self, as_bob: Any, scored: Column) -> None:
        scored.topics.filter(label="Delivery time").update(label='<img src=x onerror="1">')
        html = page(as_bob, "ai_score", scored)
        assert "<img" not in html
        assert "&lt;img src=x" in html
