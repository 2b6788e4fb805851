"""Contract of the focus queue; every query strategy must pass it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.engine import QueryStrategy, most_telling, query
from finetune.engine.query import NEAR_COPY_COSINE


def vectors(n: int, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def test_an_empty_pool_gives_nothing():
    indices, is_audit = QueryStrategy().select(certainty=np.zeros(0), X=vectors(0), n=5)
    assert len(indices) == len(is_audit) == 0
    indices, _ = QueryStrategy().select(certainty=np.zeros(3), n=5, exclude=[0, 1, 2])
    assert len(indices) == 0


def test_one_row_is_chosen():
    indices, _ = QueryStrategy().select(certainty=np.array([0.7]), X=vectors(1), n=5)
    assert indices.tolist() == [0]


def test_ties_are_broken_by_the_random_state():
    chosen = [
        QueryStrategy().select(certainty=np.full(100, 0.5), n=10, random_state=seed, audit_share=0)[0]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert set(chosen[0]) != set(chosen[2])


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(0, 60),
    n=st.integers(0, 80),
    audit_share=st.floats(0, 1),
    n_excluded=st.integers(0, 60),
    seed=st.integers(0, 1000),
    with_vectors=st.booleans(),
)
def test_rows_are_distinct_free_and_as_many_as_asked(n_rows, n, audit_share, n_excluded, seed, with_vectors):
    rng = np.random.default_rng(seed)
    excluded = rng.permutation(n_rows)[:n_excluded]
    arguments = {
        "certainty": rng.random(n_rows).astype(np.float32),
        "X": vectors(n_rows, seed) if with_vectors else None,
        "n": n,
        "random_state": seed,
        "exclude": excluded,
        "audit_share": audit_share,
    }
    indices, is_audit = QueryStrategy().select(**arguments)
    assert len(indices) == len(is_audit) == min(n, n_rows - len(excluded))
    assert len(set(indices)) == len(indices)
    assert not set(indices) & set(excluded)
    again, _ = QueryStrategy().select(**arguments)
    np.testing.assert_array_equal(indices, again)


def test_uncertain_rows_come_before_certain_ones():
    certainty = np.linspace(0, 1, 200)
    indices, is_audit = QueryStrategy().select(certainty=certainty, n=20, audit_share=0.2)
    assert sorted(indices[~is_audit]) == sorted(set(range(20)) - set(indices[is_audit]))[: (~is_audit).sum()] or (
        indices[~is_audit].max() < 25
    )


def test_audit_rows_have_their_share_and_ignore_certainty():
    certainty = np.linspace(0, 1, 1000)
    audit: list[int] = []
    n_audit: list[int] = []
    for seed in range(400):
        indices, is_audit = QueryStrategy().select(certainty=certainty, n=7, random_state=seed, audit_share=0.2)
        audit += indices[is_audit].tolist()
        n_audit.append(int(is_audit.sum()))
    assert np.mean(n_audit) == pytest.approx(1.4, abs=0.1)
    assert np.mean(audit) == pytest.approx(500, abs=45)  # uniform over the pool: not drawn to uncertain rows


def test_near_copies_do_not_follow_each_other():
    base = vectors(20)
    X = np.repeat(base, 5, axis=0)  # every row five times
    for seed in range(20):
        indices, _ = QueryStrategy().select(certainty=np.zeros(100), X=X, n=15, random_state=seed)
        similarity = (X[indices[:-1]] * X[indices[1:]]).sum(axis=1)
        assert (similarity <= NEAR_COPY_COSINE).all()


def test_identical_rows_are_served_when_nothing_else_is_left():
    X = np.repeat(vectors(1), 10, axis=0)
    indices, _ = QueryStrategy().select(certainty=np.zeros(10), X=X, n=10)
    assert sorted(indices) == list(range(10))


@pytest.mark.parametrize("arguments", [{"audit_share": 1.4}, {"audit_share": -0.1}, {"n": -1}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        QueryStrategy().select(**({"certainty": np.zeros(3), "n": 2} | arguments))


# --- what a review tells about the rest -----------------------------------------------------------
def around(center: int, n: int, *, spread: float = 0.3, seed: int = 0) -> np.ndarray:
    """Return unit vectors near one axis of sixteen."""
    X = spread * np.random.default_rng(seed).normal(size=(n, 16)) / 4
    X[:, center] += 1
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def undecided(n: int, proba: float = 0.5) -> np.ndarray:
    return np.full((n, 3), proba, dtype=np.float32)


def test_a_crowd_of_undecided_rows_comes_before_an_outlier():
    X = np.concatenate([around(0, 40), around(1, 40), around(2, 1)])
    Y_prob = np.concatenate([undecided(40), undecided(40, 0.01), undecided(1)])
    chosen = most_telling(X, Y_prob, n=1)
    assert chosen[0] < 40  # neither the crowd that is decided nor the one that is like nothing else


def test_each_crowd_is_asked_about_before_one_is_asked_about_twice():
    X = np.concatenate([around(axis, 30, seed=axis) for axis in range(4)])
    chosen = most_telling(X, undecided(120), n=4)
    assert sorted(chosen // 30) == [0, 1, 2, 3]


def test_near_copies_wait_while_others_are_left():
    crowd = around(0, 30)
    X = np.concatenate([np.repeat(crowd[:1], 30, axis=0), around(1, 10), around(2, 10)])
    chosen = most_telling(X, undecided(50), n=3)
    assert (chosen < 30).sum() == 1
    # Served all the same once the rest is used up.
    assert sorted(most_telling(X, undecided(50), n=50)) == list(range(50))


def test_what_is_like_reviewed_rows_comes_later():
    X = np.concatenate([around(0, 50), around(1, 40)])
    first = most_telling(X, undecided(90), n=1)
    assert first[0] < 50
    later = most_telling(X, undecided(90), n=1, X_reviewed=around(0, 10, seed=5))
    assert later[0] >= 50


def test_more_reviewed_rows_than_are_taken_into_account(monkeypatch):
    monkeypatch.setattr(query, "MAX_CONDITIONED", 5)
    X = np.concatenate([around(0, 50), around(1, 40)])
    assert most_telling(X, undecided(90), n=1, X_reviewed=around(0, 30, seed=5))[0] >= 50


def test_a_rare_topic_counts_more_than_its_rows():
    X = np.concatenate([around(0, 20), around(1, 20)])
    Y_prob = np.zeros((40, 2), dtype=np.float32)
    Y_prob[:20, 0] = Y_prob[20:, 1] = 0.5
    rest, Y_rest = around(2, 400), np.tile(np.array([[0.99, 0.0]], dtype=np.float32), (400, 1))
    chosen = most_telling(np.concatenate([X, rest]), np.concatenate([Y_prob, Y_rest]), n=1)
    assert 20 <= chosen[0] < 40


def test_excluded_rows_are_never_chosen():
    X = vectors(60)
    excluded = np.arange(0, 60, 2)
    chosen = most_telling(X, undecided(60), n=60, exclude=excluded)
    assert sorted(chosen) == list(range(1, 60, 2))
    assert not len(most_telling(X, undecided(60), n=5, exclude=range(60)))


def test_the_same_question_has_the_same_answer():
    X, Y_prob = vectors(300), np.random.default_rng(1).random((300, 4)).astype(np.float32)
    first, second = (most_telling(X, Y_prob, n=20, X_reviewed=vectors(30, 2), random_state=4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.int64
    assert len(set(first)) == 20


def test_the_random_state_draws_the_sample_of_a_large_pool(monkeypatch):
    monkeypatch.setattr(query, "GAIN_SAMPLE", 40)
    X = vectors(400)
    chosen = [most_telling(X, undecided(400), n=10, random_state=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert set(chosen[0]) != set(chosen[2])


@pytest.mark.parametrize("proba", [0.0, 1.0])
def test_rows_that_are_all_certain_are_served(proba):
    chosen = most_telling(vectors(30), undecided(30, proba), n=12)
    assert len(set(chosen)) == 12


def test_nothing_comes_from_an_empty_pool_or_without_topics_everything():
    assert not len(most_telling(vectors(0), undecided(0), n=5))
    assert not len(most_telling(vectors(5), undecided(5), n=0))
    assert len(most_telling(vectors(5), np.zeros((5, 0), dtype=np.float32), n=3)) == 3


def test_more_than_the_sample_are_as_many_as_it_holds(monkeypatch):
    monkeypatch.setattr(query, "GAIN_SAMPLE", 20)
    X = vectors(50)
    chosen = most_telling(X, undecided(50), n=30)
    assert len(set(chosen)) == 20
    # The queue fills up with the least certain of the rest.
    certainty = np.linspace(0, 1, 50)
    indices, _ = QueryStrategy().select(certainty=certainty, X=X, n=30, Y_prob=undecided(50), audit_share=0)
    assert len(set(indices)) == 30


def test_identical_rows_and_half_precision_do_no_harm():
    X = np.repeat(vectors(1), 25, axis=0).astype(np.float16)
    assert sorted(most_telling(X, undecided(25), n=25, X_reviewed=X[:5])) == list(range(25))


@pytest.mark.parametrize(
    ("X", "X_reviewed", "words"), [(vectors(5), None, "5 rows"), (vectors(4), vectors(3)[:, :7], None)]
)
def test_shapes_that_do_not_match_are_refused(X, X_reviewed, words):
    with pytest.raises(ValueError, match=words):
        most_telling(X, undecided(4), n=2, X_reviewed=X_reviewed)


def test_the_queue_asks_what_tells_most():
    X = np.concatenate([around(0, 60), around(1, 60), around(2, 1)])
    Y_prob = np.concatenate([undecided(60), undecided(60, 0.01), undecided(1)])
    certainty = np.abs(Y_prob - 0.5).min(axis=1)
    arguments = {"certainty": certainty, "X": X, "Y_prob": Y_prob, "n": 1, "audit_share": 0.0}
    indices, is_audit = QueryStrategy().select(**arguments)
    assert indices[0] < 60
    assert not is_audit.any()
    reviewed = most_telling(X, Y_prob, n=1, X_reviewed=around(0, 40, seed=8))
    again, _ = QueryStrategy().select(**arguments, X_reviewed=around(0, 40, seed=8), exclude=[int(indices[0])])
    assert again[0] not in indices
    assert len(reviewed) == 1
