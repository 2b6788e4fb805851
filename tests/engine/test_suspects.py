"""Reviews that look wrong: found, ranked, and left alone where nothing speaks against them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.engine import MISSING, WRONG, TopicClassifier, suspect_rows, suspects


def corrupted(Y: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Y with one topic of `n` rows given or taken, and those rows."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(Y), n, replace=False)
    Y = Y.copy()
    for row in rows:
        Y[row, rng.integers(Y.shape[1])] ^= 1
    return Y, rows


def test_it_finds_planted_errors(sample):
    reviewed = np.arange(300)
    Y, bad = corrupted(sample.Y[reviewed], 15, seed=0)
    classifier = TopicClassifier().fit(**{**sample.fit_arguments(reviewed), "Y": Y})
    rows, suspicion = suspect_rows(classifier.loo_proba_, Y, n=15)
    assert np.isin(rows, bad).mean() >= 0.6
    assert (np.diff(suspicion) <= 0).all()


def test_it_says_what_is_wrong_and_what_is_missing():
    Y = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [1, 0], [0, 0]])
    P = np.where(Y == 1, 0.9, 0.05)
    P[6] = (0.01, 0.97)  # given the first topic, though it is the second
    P[7] = (0.02, 0.95)  # the second is missing
    found = suspects(P, Y)
    pairs = list(zip(found.row.tolist(), found.topic.tolist(), found.kind.tolist(), strict=True))
    assert set(pairs[:3]) == {(6, 0, WRONG), (6, 1, MISSING), (7, 1, MISSING)}
    assert (found.suspicion[:3] > 0.9).all()
    assert len(found) == 3


def test_what_is_usual_for_a_topic_decides():
    """One half is little for a topic that is easy to see, and much for one that is not."""
    P = np.full((40, 2), 0.05)
    P[:20] = (0.95, 0.4)
    P[39] = 0.5
    Y = np.zeros((40, 2), dtype=int)
    Y[:20] = 1
    found = suspects(P, Y)
    suspicion = dict(zip(found.topic[found.row == 39].tolist(), found.suspicion[found.row == 39], strict=True))
    assert suspicion[1] >= 0.5 > suspicion[0]


def test_thresholds_replace_the_usual_probability():
    Y = np.array([[1], [1], [0]])
    P = np.array([[0.9], [0.9], [0.6]])
    assert suspects(P, Y).suspicion[0] < 0.5
    assert suspects(P, Y, thresholds=np.array([0.5])).suspicion[0] > 0.5


def test_it_returns_at_most_n():
    rng = np.random.default_rng(0)
    P, Y = rng.random((30, 4)), rng.integers(0, 2, (30, 4))
    assert len(suspects(P, Y, n=7)) == 7
    assert len(suspect_rows(P, Y, n=7)[0]) == 7
    assert len(suspects(P, Y, min_suspicion=0)) == 120


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_nothing_reviewed_is_nothing_suspect(shape):
    assert len(suspects(np.zeros(shape), np.zeros(shape, dtype=int))) == 0
    rows, suspicion = suspect_rows(np.zeros(shape), np.zeros(shape, dtype=int))
    assert len(rows) == len(suspicion) == shape[0]


@pytest.mark.parametrize(
    ("P", "Y", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), "same two dimensions"),
        (np.zeros(2), np.zeros(2), "same two dimensions"),
        (np.full((2, 2), 1.5), np.zeros((2, 2)), "in \\[0, 1\\]"),
        (np.full((2, 2), np.nan), np.zeros((2, 2)), "in \\[0, 1\\]"),
        (np.zeros((2, 2)), np.full((2, 2), 2), "0 and 1"),
    ],
)
def test_bad_input_is_named(P, Y, message):
    with pytest.raises(ValueError, match=message):
        suspects(P, Y)


def test_thresholds_must_be_one_per_topic():
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        suspects(np.zeros((3, 2)), np.zeros((3, 2)), thresholds=np.zeros(3))


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_suspicion_is_a_share_and_grows_with_the_probability_of_the_other_way(n, k, seed):
    rng = np.random.default_rng(seed)
    P, Y = rng.random((n, k)), rng.integers(0, 2, (n, k))
    found = suspects(P, Y, min_suspicion=0)
    assert ((found.suspicion >= 0) & (found.suspicion <= 1)).all()
    assert (np.diff(found.suspicion) <= 0).all()
    assert ((found.kind == WRONG) == (Y[found.row, found.topic] == 1)).all()
    other_way = np.where(Y == 1, 1 - P, P)
    for topic in range(k):
        for kind in (WRONG, MISSING):
            own = (found.topic == topic) & (found.kind == kind)
            values = other_way[found.row[own], topic]
            assert (np.diff(values) <= 1e-12).all()
