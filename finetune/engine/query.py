"""Which rows to review next: those that tell most about the rest, and a share at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

from finetune.engine.vectors import unit

NEAR_COPY_COSINE = 0.95


GAIN_SAMPLE = 1500  # rows that are candidates and stand for the rest
MAX_CONDITIONED = 1000  # reviewed rows that are taken into account
KERNEL_WIDTH = 2.0
NOISE = 0.25  # of one review, against a prior variance of 1; both as in TopicClassifier
RARE_ROWS = 1.0  # a topic expected in fewer rows than about this does not count more than one in that many


def most_telling(
    X: np.ndarray, Y_prob: np.ndarray, *, n: int, X_reviewed: np.ndarray | None = None,
    exclude: Sequence[int] | np.ndarray | None = None, random_state: int = 0,
) -> np.ndarray:  # fmt: skip
    """Return the rows whose review would remove most uncertainty from the whole pool, in the order to review them.

    The reviewed rows fix a Gaussian process over the sentence vectors. Reviewing row i would lower the variance at
    row j by cov(i, j)^2 / (var(i) + noise); that is summed over a sample of the pool, each row weighted by how
    undecided its topics are: sum over topics of p (1 - p) / sqrt(expected rows of the topic). So a row is worth
    much if it is like many undecided rows and unlike the reviewed ones, and rare topics count more than their
    rows. After each choice the variances are updated, so near-copies do not follow each other.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Sentence vectors of the pool; float16 and memory-mapped is fine.
    Y_prob : ndarray of shape (n_rows, n_topics)
    n : int
        How many; fewer if the pool (or the sample of it, 1,500 rows) is smaller.
    X_reviewed : ndarray of shape (n_reviewed, n_features), optional
    exclude : array of int, optional
        Rows that must not be chosen.
    random_state : int

    Returns
    -------
    indices : ndarray of int64

    References
    ----------
    Cohn, Ghahramani and Jordan (1996), active learning by variance reduction. Yu, Bi and Tresp (2006),
    transductive experimental design.
    """
    rng = np.random.default_rng(random_state)
    n_rows = len(X)
    if len(Y_prob) != n_rows:
        raise ValueError(f"X has {n_rows} rows, Y_prob has {len(Y_prob)}.")
    sample = np.arange(n_rows)
    if exclude is not None and len(exclude):
        sample = np.setdiff1d(sample, np.asarray(exclude, dtype=np.int64))
    if len(sample) > GAIN_SAMPLE:
        sample = np.sort(rng.choice(sample, GAIN_SAMPLE, replace=False))
    n = min(n, len(sample))
    if n <= 0:
        return np.zeros(0, dtype=np.int64)
    proba = np.asarray(Y_prob[sample], dtype=np.float32)
    undecided = (proba * (1 - proba) / np.sqrt(proba.sum(axis=0) * n_rows / len(sample) + RARE_ROWS)).sum(axis=1)
    if not undecided.any():
        undecided = np.ones(len(sample), dtype=np.float32)
    vectors = np.asarray(X[sample], dtype=np.float32)
    center = vectors.mean(axis=0)
    U = unit(vectors - center)
    covariance = np.exp(KERNEL_WIDTH * (U @ U.T - 1)).astype(np.float64)
    if X_reviewed is not None and len(X_reviewed):
        seen = np.arange(len(X_reviewed))
        if len(seen) > MAX_CONDITIONED:
            seen = np.sort(rng.choice(seen, MAX_CONDITIONED, replace=False))
        V = unit(np.asarray(X_reviewed[seen], dtype=np.float32) - center)
        K = np.exp(KERNEL_WIDTH * (V @ V.T - 1)).astype(np.float64)
        K[np.diag_indices(len(K))] += NOISE
        root = np.linalg.cholesky(K)
        A = solve_triangular(root, np.exp(KERNEL_WIDTH * (V @ U.T - 1)).astype(np.float64), lower=True)
        covariance -= A.T @ A
    chosen = np.zeros(n, dtype=np.int64)
    is_free = np.ones(len(sample), dtype=bool)
    for k in range(n):
        variance = np.maximum(np.diag(covariance), 0.0) + NOISE
        gain = np.einsum("ij,ij,j->i", covariance, covariance, undecided) / variance
        chosen[k] = i = int(np.where(is_free, gain, -1.0).argmax())
        is_free[i] = False
        covariance -= np.outer(covariance[:, i], covariance[i]) / variance[i]
    return sample[chosen]


class QueryStrategy:
    """The rows that tell most about the rest, mixed with random rows that serve as an unbiased audit sample.

    With probabilities and vectors the rows come from `most_telling`; without them, those nearest to a decision
    threshold. Entropy is not offered: it loses to random order on data with many topics, because it prefers rows
    that are odd in every topic over rows that are in doubt about one.

    References
    ----------
    See `most_telling`. Lewis and Gale (1994), uncertainty sampling. Scheffer, Decomain and Wrobel (2001), margins.
    """

    def select(
        self, *, certainty: np.ndarray, X: np.ndarray | None = None, n: int, random_state: int = 0,
        exclude: Sequence[int] | np.ndarray | None = None, audit_share: float = 0.2,
        Y_prob: np.ndarray | None = None, X_reviewed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Return the next rows to review and which of them were drawn at random.

        Parameters
        ----------
        certainty : ndarray of shape (n_rows,)
            From `certainty(...)`; the lowest come first, equal ones in an order drawn from `random_state`.
        X : ndarray of shape (n_rows, n_features), optional
            Unit-length sentence vectors. With them, two rows whose cosine exceeds 0.95 never follow each other
            while other rows are left.
        n : int
            How many; fewer are returned if the pool is smaller.
        random_state : int
        exclude : array of int, optional
            Rows that must not be chosen (reviewed, skipped, on somebody's screen).
        audit_share : float in [0, 1], default=0.2
            Share of random rows. They are drawn from the whole pool whatever its certainty and whatever was drawn
            before, and come `round(n * audit_share)` at a time on average.
        Y_prob : ndarray of shape (n_rows, n_topics), optional
            Probabilities of the pool; with `X` they choose the rows by `most_telling` instead of by `certainty`.
        X_reviewed : ndarray of shape (n_reviewed, n_features), optional
            Vectors of the rows reviewed so far, for `most_telling`.

        Returns
        -------
        indices : ndarray of int64, in the order in which to show the rows
        is_audit : ndarray of bool, True for random rows
        """
        if not 0.0 <= audit_share <= 1.0:
            raise ValueError(f"audit_share must be in [0, 1], got {audit_share}.")
        if n < 0:
            raise ValueError(f"n must not be negative, got {n}.")
        certainty = np.asarray(certainty)
        if certainty.ndim != 1 or np.isnan(certainty).any():
            raise ValueError(f"certainty must be one number per row, got shape {certainty.shape} or nan.")
        n_rows = len(certainty)
        if X is not None and len(X) != n_rows:
            raise ValueError(f"X has {len(X)} rows, certainty has {n_rows}.")
        rng = np.random.default_rng(random_state)
        is_free = np.ones(len(certainty), dtype=bool)
        if exclude is not None and len(exclude):
            taken = np.asarray(exclude, dtype=np.int64)
            if taken.min() < 0 or taken.max() >= n_rows:
                raise ValueError(f"exclude must hold rows in [0, {n_rows}), got {taken.min()} to {taken.max()}.")
            is_free[taken] = False
        pool = np.flatnonzero(is_free)
        n = min(n, len(pool))
        if n == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        n_audit = min(n, int(n * audit_share + rng.random()))
        audit = rng.choice(pool, n_audit, replace=False)
        is_free[audit] = False
        if Y_prob is not None and X is not None:
            uncertain = most_telling(
                X, Y_prob, n=n - n_audit, X_reviewed=X_reviewed, exclude=np.flatnonzero(~is_free),
                random_state=int(rng.integers(2**31)),
            )  # fmt: skip
            if len(uncertain) < n - n_audit:  # more are wanted than the sample holds
                left = is_free.copy()
                left[uncertain] = False
                more = self._least_certain(certainty, np.flatnonzero(left), X, n - n_audit - len(uncertain), rng)
                uncertain = np.concatenate([uncertain, more])
        else:
            uncertain = self._least_certain(certainty, np.flatnonzero(is_free), X, n - n_audit, rng)
        slots = np.zeros(n, dtype=bool)
        slots[rng.choice(n, n_audit, replace=False)] = True
        indices = np.empty(n, dtype=np.int64)
        indices[slots], indices[~slots] = audit, uncertain
        if X is not None:
            order = _part_near_copies(indices, X)
            indices, slots = indices[order], slots[order]
        return indices, slots

    def _least_certain(self, certainty, pool, X, n, rng):
        if n <= 0:
            return np.zeros(0, dtype=np.int64)
        pool = rng.permutation(pool)  # ties in random order
        n_candidates = min(len(pool), 20 * n + 50)
        nearest = np.argpartition(certainty[pool], n_candidates - 1)[:n_candidates]
        nearest = np.sort(nearest)
        candidates = pool[nearest][np.argsort(certainty[pool[nearest]], kind="stable")]
        if X is None:
            return candidates[:n]
        vectors = np.asarray(X[candidates], dtype=np.float32)
        chosen: list[int] = []
        left_out: list[int] = []
        for i in range(len(candidates)):
            if len(chosen) == n:
                break
            if chosen and float((vectors[chosen] @ vectors[i]).max()) > NEAR_COPY_COSINE:
                left_out.append(i)
            else:
                chosen.append(i)
        chosen += left_out[: n - len(chosen)]
        return candidates[chosen]


def _part_near_copies(indices, X):
    """Return an order in which near-copies do not follow each other, as far as that is possible."""
    vectors = np.asarray(X[indices], dtype=np.float32)
    left = list(range(len(indices)))
    order = [left.pop(0)]
    while left:
        similarity = vectors[left] @ vectors[order[-1]]
        fitting = np.flatnonzero(similarity <= NEAR_COPY_COSINE)
        order.append(left.pop(int(fitting[0]) if len(fitting) else 0))
    return np.asarray(order)
