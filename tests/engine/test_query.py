"""Contract of the focus queue; every query strategy must pass it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.engine import QueryStrategy
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
