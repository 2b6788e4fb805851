"""Learning from the reviewed rows of another column."""

from dataclasses import replace

import numpy as np
import pytest

from finetune.engine import LentRows, TopicClassifier, assign, measured_f1

POOL = np.arange(200, 500)
OWN = np.arange(10)


def lent(sample, rows, *, knows=None, weight=0.25, Y=None):
    knows = np.ones(sample.Y.shape[1], dtype=bool) if knows is None else knows
    Y = sample.Y[rows] if Y is None else Y
    return LentRows(sample.X[rows], sample.X_lex[rows], Y * knows[None, :], knows, weight)


def fitted(sample, own, *others):
    return TopicClassifier().fit(**sample.fit_arguments(own), lent=others)


def f1(sample, model, topics=slice(None)):
    Y_hat = assign(model.predict_proba(sample.X[POOL], sample.X_lex[POOL]), model.thresholds_)
    return measured_f1(sample.Y[POOL][:, topics], Y_hat[:, topics], average="micro")


@pytest.mark.parametrize("n_own", [0, 10])
def test_lent_rows_help_before_there_are_many_own_ones(sample, n_own):
    own = np.arange(n_own)
    alone, helped = fitted(sample, own), fitted(sample, own, lent(sample, np.arange(100, 200)))
    assert f1(sample, helped) > f1(sample, alone) + 0.05
    assert (alone.n_lent_, helped.n_lent_, helped.n_reviewed_) == (0, 100, n_own)


def test_without_lent_rows_nothing_is_different(sample):
    one, other = fitted(sample, OWN), TopicClassifier().fit(**sample.fit_arguments(OWN))
    for name, array in one.to_arrays().items():
        assert np.array_equal(array, other.to_arrays()[name]), name


def test_they_say_nothing_about_topics_that_they_do_not_know(sample):
    """The ridges of unknown topics are those without the lent rows, to the last digit."""
    knows = np.arange(sample.Y.shape[1]) % 2 == 0
    helped = fitted(sample, OWN, lent(sample, np.arange(100, 200), knows=knows))
    unknown = np.flatnonzero(~knows)
    alone = TopicClassifier().fit(**sample.fit_arguments(OWN))
    n = len(OWN)
    own_and_labels = np.r_[0:n, n + 100 : n + 100 + len(knows)]
    assert not helped._alpha[:, n : n + 100][:, :, unknown].any()
    np.testing.assert_allclose(
        helped._alpha[0][own_and_labels][:, unknown], alone._alpha[0][:, unknown], atol=1e-5
    )
    np.testing.assert_allclose(helped._loo_scores[0][:, unknown], alone._loo_scores[0][:, unknown], atol=1e-5)
    known = np.flatnonzero(knows)
    assert np.abs(helped._loo_scores[0][:, known] - alone._loo_scores[0][:, known]).max() > 0.01


def test_left_out_scores_equal_those_of_a_model_without_the_row(sample):
    """The closed form holds with lent rows in the system: the row itself is out, they are in."""
    others = lent(sample, np.arange(100, 200))
    full = fitted(sample, OWN, others)
    for left_out in (0, 7):
        rest = np.delete(OWN, left_out)
        model = fitted(sample, rest, others)
        model_T = model._T  # what speaks about the row, in its kernel
        unit = full._T[left_out]
        scores = np.exp(full.gamma * (unit @ model_T.T - 1)) @ model._alpha[0] + model._alpha[0].sum(axis=0)
        np.testing.assert_allclose(full._loo_scores[0][left_out], scores, atol=2e-3)


def test_a_lower_weight_counts_less(sample):
    own = np.arange(30)
    alone = fitted(sample, own).predict_proba(sample.X[POOL], sample.X_lex[POOL])
    wrong = np.roll(sample.Y[100:200], 1, axis=1)
    away = []
    for weight in (1.0, 0.25, 0.01):
        other = lent(sample, np.arange(100, 200), weight=weight, Y=wrong)
        told = fitted(sample, own, other).predict_proba(sample.X[POOL], sample.X_lex[POOL])
        away.append(np.abs(told - alone).mean())
    assert away[0] > away[1] > away[2]


def test_probabilities_are_brought_to_the_own_rows(sample):
    """Rows that are lent with the wrong topics make the scores worse; the left-out own rows notice."""
    own = np.arange(60)
    wrong = np.roll(sample.Y[100:200], 1, axis=1)
    model = fitted(sample, own, lent(sample, np.arange(100, 200), Y=wrong))
    Y_prob = model.predict_proba(sample.X[POOL], sample.X_lex[POOL])
    assert Y_prob.sum(axis=1).mean() == pytest.approx(sample.Y[POOL].sum(axis=1).mean(), rel=0.25)
    assert model.loo_proba_.shape == (60, sample.Y.shape[1])


def test_many_own_rows_span_the_kernel_by_a_part_and_all_lent_ones(sample):
    own = np.arange(150)
    model = TopicClassifier(max_landmarks=40).fit(
        **sample.fit_arguments(own), lent=[lent(sample, np.arange(150, 200))]
    )
    assert len(model._T) == 40 + 50 + sample.Y.shape[1]
    assert f1(sample, model) > 0.8


def test_several_sources_with_different_topics(sample):
    k = sample.Y.shape[1]
    first, second = np.arange(k) < k // 2, np.arange(k) < k // 4
    model = fitted(
        sample, OWN, lent(sample, np.arange(100, 150), knows=first),
        lent(sample, np.arange(150, 200), knows=second, weight=0.0625),
    )  # fmt: skip
    only_first = np.flatnonzero(first & ~second)
    assert not model._alpha[:, len(OWN) + 50 : len(OWN) + 100][:, :, only_first].any()
    assert model._alpha[:, len(OWN) : len(OWN) + 50][:, :, only_first].any()


def test_stored_and_loaded_it_predicts_the_same(sample):
    model = fitted(sample, OWN, lent(sample, np.arange(100, 200)))
    again = TopicClassifier.from_arrays(model.to_arrays())
    expected = model.predict_proba(sample.X[POOL], sample.X_lex[POOL])
    assert np.array_equal(again.predict_proba(sample.X[POOL], sample.X_lex[POOL]), expected)
    assert again.n_lent_ == 100


def test_rows_that_know_no_topic_are_left_out(sample):
    none = np.zeros(sample.Y.shape[1], dtype=bool)
    assert fitted(sample, OWN, lent(sample, np.arange(100, 200), knows=none)).n_lent_ == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": 0.0}, "lent.weight"),
        ({"Y": np.full((5, 3), 2)}, "must be"),
        ({"knows": np.ones(2, dtype=bool)}, "must be"),
        ({"X_lex": None}, "lent.X_lex"),
        ({"X": np.full((5, 64), np.nan, dtype=np.float32)}, "finite|must be"),
    ],
)
def test_bad_rows_are_refused(sample, change, message):
    good = lent(sample, np.arange(100, 105))
    with pytest.raises(ValueError, match=message):
        fitted(sample, OWN, replace(good, **change))


def test_topics_of_lent_rows_are_0_or_1(sample):
    good = lent(sample, np.arange(100, 105))
    with pytest.raises(ValueError, match="0 and 1"):
        fitted(sample, OWN, replace(good, Y=good.Y * 2 + 2))
