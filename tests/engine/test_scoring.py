"""Thresholds, assignments, certainty and the AI score."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from finetune.engine import (
    TOO_FEW_ROWS,
    ExpectedCounts,
    ai_score,
    assign,
    audit_score,
    certainty,
    expected_f1,
    measured_f1,
    reliability,
)
from finetune.engine.scoring import best_thresholds

probabilities = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12),
    elements=st.floats(0, 1, width=32),
)


@settings(max_examples=100, deadline=None)
@given(Y_prob=probabilities)
def test_everything_stays_within_bounds(Y_prob):
    thresholds = best_thresholds(Y_prob)
    assert thresholds.shape == (Y_prob.shape[1],)
    assert ((thresholds > 0) & (thresholds < 1)).all()
    Y_hat = assign(Y_prob, thresholds)
    assert Y_hat.dtype == bool
    assert Y_hat.shape == Y_prob.shape
    sure = certainty(Y_prob, thresholds)
    assert sure.shape == (len(Y_prob),)
    assert ((sure >= 0) & (sure <= 1)).all()
    for average in ("weighted", "micro"):
        assert 0 <= expected_f1(Y_prob, Y_hat, average=average) <= 1 + 1e-9
    result = ai_score(Y_prob, Y_hat)
    assert np.isnan(result.score) or 0 <= result.score <= 100 + 1e-6
    assert len(result.reason) == Y_prob.shape[1]


def test_certain_probabilities_make_the_expected_f1_the_measured_one():
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 2, (200, 5))
    Y_hat = rng.random((200, 5)) < 0.4
    for average in ("weighted", "micro"):
        expected = expected_f1(Y.astype(np.float32), Y_hat, average=average)
        assert expected == pytest.approx(measured_f1(Y, Y_hat, average=average))


def test_true_probabilities_make_the_score_honest():
    rng = np.random.default_rng(1)
    Y_prob = rng.beta(0.4, 1.2, (20_000, 6)).astype(np.float32)
    Y = rng.random(Y_prob.shape) < Y_prob
    Y_hat = assign(Y_prob, best_thresholds(Y_prob))
    assert ai_score(Y_prob, Y_hat).score == pytest.approx(100 * measured_f1(Y, Y_hat), abs=0.7)


def test_the_threshold_maximises_the_expected_f1():
    Y_prob = np.random.default_rng(2).beta(0.5, 2, (400, 1)).astype(np.float32)
    best = expected_f1(Y_prob, assign(Y_prob, best_thresholds(Y_prob, n_shared=0)))
    for threshold in np.linspace(0.02, 0.98, 49):
        assert expected_f1(Y_prob, Y_prob >= threshold) <= best + 1e-3


def test_the_least_certain_row_is_on_the_threshold():
    Y_prob = np.array([[0.30, 0.01], [0.9, 0.01], [0.02, 0.31]], dtype=np.float32)
    sure = certainty(Y_prob, np.array([0.3, 0.6]))
    assert sure.argmin() == 0
    assert sure[0] == pytest.approx(0, abs=1e-5)
    assert certainty(np.zeros((4, 0), dtype=np.float32), np.zeros(0)).tolist() == [1, 1, 1, 1]


def test_influences_add_up_to_the_distance_from_the_mean_over_assignments():
    rng = np.random.default_rng(3)
    Y_prob = rng.beta(0.5, 1, (500, 4)).astype(np.float32)
    result = ai_score(Y_prob, Y_prob > 0.4)
    mean = (result.topic_score * result.count).sum() / result.count.sum()
    assert result.influence.sum() == pytest.approx(mean - result.score)


def test_a_topic_with_too_few_rows_has_no_score_but_a_reason():
    Y_prob = np.full((200, 2), 0.9, dtype=np.float32)
    Y_prob[:, 1] = 0.001
    result = ai_score(Y_prob, Y_prob > 0.5)
    assert np.isnan(result.topic_score[1])
    assert result.reason == ("", TOO_FEW_ROWS)


def test_no_rows_or_no_topics_have_no_score():
    for shape in ((0, 3), (5, 0)):
        assert np.isnan(ai_score(np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)).score)


def _pool_and_audit(rng, *, n_audit, too_sure=1.0, n_topics=30):
    """Return the true score of a pool, what is expected of it, and audit rows from the same source."""
    share = rng.dirichlet(np.full(n_topics, 0.5)) * 2
    log_odds = 3.0 * rng.standard_normal((4_000 + n_audit, n_topics)) + np.log(np.clip(share, 0.003, 0.9)) - 2
    Y = rng.random(log_odds.shape) < expit(log_odds)
    Y_prob = expit(too_sure * log_odds)
    Y_hat = Y_prob >= 0.4
    pool, audit = slice(n_audit, None), slice(n_audit)
    counts = ExpectedCounts(n_topics).add(Y_prob[pool], Y_hat[pool])
    return 100 * measured_f1(Y[pool], Y_hat[pool]), counts, (Y[audit], Y_prob[audit], Y_hat[audit])


@pytest.mark.parametrize("too_sure", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("n_audit", [10, 60])
def test_the_interval_of_the_audit_score_covers_the_truth(n_audit, too_sure):
    rng = np.random.default_rng(4)
    covered, errors = 0, []
    for _ in range(60):
        true, counts, audit = _pool_and_audit(rng, n_audit=n_audit, too_sure=too_sure)
        score, low, high = audit_score(counts, *audit)
        assert low <= score <= high
        covered += low <= true <= high
        errors.append(score - true)
    assert covered >= 52
    assert abs(np.mean(errors)) < 3.5


def test_wrong_probabilities_do_not_move_the_audit_score():
    rng = np.random.default_rng(1)
    true, counts, audit = _pool_and_audit(rng, n_audit=600, too_sure=1.5)
    assert abs(100 * counts.f1() - true) > 5
    assert abs(audit_score(counts, *audit)[0] - true) < 3


def test_few_audit_rows_or_no_rows_left_measure_nothing():
    rng = np.random.default_rng(1)
    _, counts, audit = _pool_and_audit(rng, n_audit=4)
    assert np.isnan(audit_score(counts, *audit)).all()
    _, _, audit = _pool_and_audit(rng, n_audit=9)
    assert np.isnan(audit_score(ExpectedCounts(30), *audit)).all()


def test_averages_are_those_of_scikit_learn():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(5)
    Y, Y_hat = rng.integers(0, 2, (50, 4)), rng.integers(0, 2, (50, 4))
    for average in ("micro", "macro", "weighted"):
        assert measured_f1(Y, Y_hat, average=average) == pytest.approx(f1_score(Y, Y_hat, average=average))
    with pytest.raises(ValueError, match="samples"):
        measured_f1(Y, Y_hat, average="samples")
    with pytest.raises(ValueError, match="macro"):
        expected_f1(Y.astype(np.float32), Y_hat > 0, average="macro")


def test_probabilities_that_are_drawn_from_are_reliable():
    rng = np.random.default_rng(0)
    Y_prob = rng.random((20_000, 3))
    Y = rng.random((20_000, 3)) < Y_prob
    bins = reliability(Y, Y_prob)
    assert bins.count.sum() == 60_000
    assert bins.error < 0.01
    assert reliability(Y, np.sqrt(Y_prob)).error == pytest.approx(1 / 6, abs=0.01)  # the mean of sqrt(p) - p


def test_reliability_counts_each_pair_in_its_bin():
    bins = reliability(np.array([[1, 0], [1, 1]]), np.array([[1.0, 0.1], [0.2, 0.9]]), n_bins=2)
    assert bins.count.tolist() == [2, 2]
    np.testing.assert_allclose(bins.mean_prob, [0.15, 0.95])
    np.testing.assert_allclose(bins.share_true, [0.5, 1.0])
    assert bins.error == pytest.approx((0.35 + 0.05) / 2)


def test_reliability_of_nothing_and_of_wrong_input():
    assert np.isnan(reliability(np.zeros((0, 3)), np.zeros((0, 3))).error)
    empty_bins = reliability(np.ones((2, 1)), np.full((2, 1), 0.5))
    assert empty_bins.error == pytest.approx(0.5)
    assert np.isnan(empty_bins.mean_prob).sum() == 14
    with pytest.raises(ValueError, match="n_bins"):
        reliability(np.zeros((1, 1)), np.zeros((1, 1)), n_bins=0)
    with pytest.raises(ValueError, match="both arrays"):
        reliability(np.zeros((2, 1)), np.zeros((1, 1)))
