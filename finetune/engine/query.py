"""Which rows to review next: the uncertain ones, no near-copies in a row, and a share at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEAR_COPY_COSINE = 0.95


class QueryStrategy:
    """Smallest margin to the decision threshold, mixed with random rows that serve as an unbiased audit sample.

    Entropy is not offered: it loses to random order on data with many topics, because it prefers rows that are
    odd in every topic over rows that are in doubt about one.

    References
    ----------
    Lewis and Gale (1994), uncertainty sampling. Scheffer, Decomain and Wrobel (2001), margins.
    """

    def select(
        self, *, certainty: np.ndarray, X: np.ndarray | None = None, n: int, random_state: int = 0,
        exclude: Sequence[int] | np.ndarray | None = None, audit_share: float = 0.2,
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
        rng = np.random.default_rng(random_state)
        is_free = np.ones(len(certainty), dtype=bool)
        if exclude is not None and len(exclude):
            is_free[np.asarray(exclude, dtype=np.int64)] = False
        pool = np.flatnonzero(is_free)
        n = min(n, len(pool))
        if n == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        n_audit = min(n, int(n * audit_share + rng.random()))
        audit = rng.choice(pool, n_audit, replace=False)
        is_free[audit] = False
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
