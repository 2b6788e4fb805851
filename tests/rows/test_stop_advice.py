"""When to stop reviewing: advice with its reasons, from target, trend and random sample."""

import pytest
from django.urls import reverse

from finetune.models import ModelVersion
from rows.models import Verbatim
from rows.stop_advice import review_target, score_trend, stop_advice

RISING = [(20, 40.0), (60, 52.0), (100, 60.0), (150, 66.0), (200, 71.0)]
FLAT = [(20, 40.0), (100, 68.0), (150, 70.2), (200, 70.9)]
SURE = {"score": 70.0, "low": 62.0, "high": 78.0, "n": 40}


def said(advice):
    return " ".join(advice.reasons)


@pytest.mark.parametrize(("n", "target"), [(0, 0), (1, 1), (4, 1), (100, 20), (1500, 300), (1_000_000, 300)])
def test_the_target_is_a_fifth_and_at_most_300(n, target):
    assert review_target(n) == target


def test_before_the_target_each_review_counts():
    advice = stop_advice(n_reviewed=30, n_unique=1000, scores=RISING[:2])
    assert not advice.can_stop
    assert "Go on" in advice.headline
    assert "30 of about 200" in said(advice)


def test_target_reached_and_score_flat_means_stop_with_the_reason():
    advice = stop_advice(n_reviewed=200, n_unique=1000, scores=FLAT, measured=SURE)
    assert advice.can_stop
    assert advice.headline == "You can stop now"
    assert "hardly moved: 70.2 to 70.9" in said(advice)
    assert "On 40 rows drawn at random the AI scores 70 (95 % interval 62 to 78)." in advice.reasons


def test_target_reached_but_still_learning_means_a_few_more():
    advice = stop_advice(n_reviewed=200, n_unique=1000, scores=RISING, measured=SURE)
    assert not advice.can_stop
    assert "still learning" in advice.headline
    assert "rose from 66.0 to 71.0" in said(advice)


def test_a_falling_score_is_said():
    advice = stop_advice(n_reviewed=200, n_unique=1000, scores=[(100, 70.0), (150, 70.0), (200, 60.0)])
    assert not advice.can_stop
    assert "falls" in advice.headline


def test_an_ai_that_is_often_wrong_on_random_rows_is_no_reason_to_stop():
    poor = {"score": 38.0, "low": 30.0, "high": 46.0, "n": 40}
    advice = stop_advice(n_reviewed=300, n_unique=3000, scores=FLAT, measured=poor)
    assert not advice.can_stop
    assert "clearer topics" in said(advice)


def test_a_score_that_stands_still_for_long_ends_it_before_the_target():
    scores = [(40, 65.0), (100, 66.0), (150, 66.2), (210, 66.4)]
    advice = stop_advice(n_reviewed=210, n_unique=5000, scores=scores)
    assert advice.can_stop
    assert "stands still" in advice.headline
    assert "Over the last 110 reviews" in said(advice)


def test_too_few_random_rows_and_no_trend_are_said_as_such():
    advice = stop_advice(n_reviewed=20, n_unique=100, measured={"score": None, "n": 7})
    assert "7 so far" in said(advice)
    assert "too early for a trend" in said(advice)
    off = stop_advice(n_reviewed=20, n_unique=100, ai_updates_on=False)
    assert off.can_stop
    assert "AI updates are off" in said(off)


def test_everything_reviewed_and_nothing_at_all():
    assert stop_advice(n_reviewed=7, n_unique=7).headline == "Everything is reviewed"
    assert stop_advice(n_reviewed=0, n_unique=0).headline  # a column without texts: no division, no error


def test_the_trend_needs_a_span():
    assert score_trend([], 20) is None
    assert score_trend([(0, 40.0), (15, 50.0)], 20) is None  # the guess from labels is no review
    trend = score_trend([(10, 40.0), (35, 50.0)], 20)
    assert (trend.before, trend.now, trend.n_reviews) == (40.0, 50.0, 25)


def test_the_curve_fits_its_box():
    line = stop_advice(n_reviewed=200, n_unique=1000, scores=RISING).line
    points = [tuple(float(value) for value in point.split(",")) for point in line.split()]
    assert points[0] == (0.0, 22.0)
    assert points[-1] == (100.0, 2.0)
    assert stop_advice(n_reviewed=5, n_unique=100, scores=[(5, 50.0)]).line == ""


def test_the_page_shows_trend_and_random_sample_of_the_version_in_use(as_alice, column):
    for number, (n_reviewed, score) in enumerate(((5, 40.0), (30, 61.0), (60, 61.4)), start=1):
        ModelVersion.objects.create(
            column=column, number=number, trigger="reviews", state="deployed" if number == 3 else "superseded",
            encoder="x", n_reviewed=n_reviewed, ai_score=score,
            metrics={"queue": list(range(60)), "measured": {"score": 70.0, "low": 62.0, "high": 78.0, "n": 40}},
        )  # fmt: skip
    Verbatim.objects.filter(column=column, row_number__lte=2).update(is_reviewed=True)
    page = " ".join(as_alice.get(reverse("rows:focus", args=[column.pk])).content.decode().split())
    assert "You can stop now" in page
    assert "hardly moved: 61.0 to 61.4" in page
    assert "On 40 rows drawn at random the AI scores 70 (95 % interval 62 to 78)." in page
    assert 'data-version="3"' in page
