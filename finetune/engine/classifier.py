"""Topics from a few reviews: three ridge learners on sentence vectors and words, combined by a calibrated vote.

See `docs/learning.md` for the method, its sources and what else was tried.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from threadpoolctl import ThreadpoolController

from finetune.engine.lexical import N_LEXICAL_FEATURES
from finetune.engine.scoring import best_thresholds
from finetune.engine.vectors import inverse_of, unit

ARRAYS_FORMAT = 3
LEARNERS = ("rbf", "lexical", "joint")
# Rows x max(reviewed rows, 8 x topics) worked on at once by one thread: a few MB, so that they stay in its cache.
PREDICT_CHUNK_VALUES = 600_000
MAX_PREDICT_ROWS = 2_048
N_THREADS = min(4, os.cpu_count() or 1)
MANY_LANDMARKS = 1_000  # from here on several threads inside one product pay
P_MIN = 1e-4  # nobody can be surer than this from a few hundred reviews


@dataclass(frozen=True)
class TunedRows:
    """What an encoder that was fine-tuned on reviews says of the rows to learn from (see `engine.tuning`).

    Attributes
    ----------
    X : ndarray of shape (n_reviewed, n_members, n_components)
        The members' vectors of the reviewed rows.
    is_unseen : bool ndarray of shape (n_reviewed, n_members)
        Which members were trained without the row. Only these speak about it while the classifier learns whom to
        believe: about rows it was trained on a member is always right.
    pool_X : ndarray of shape (n_pool, n_members, n_components)
        Vectors of the rows of `pool_X` in `TopicClassifier.fit`.
    label_X : ndarray of shape (n_topics, n_members, n_components)
        Vectors of the topic texts.
    heads : ndarray of shape (n_members, n_components + 1, n_topics)
        Weights and, last, intercepts of the log-odds that each member gives a topic.
    """

    X: np.ndarray
    is_unseen: np.ndarray
    pool_X: np.ndarray  # noqa: N815
    label_X: np.ndarray  # noqa: N815  (the field's name)
    heads: np.ndarray


@dataclass(frozen=True)
class LentRows:
    """Reviewed rows of another column that this one learns from.

    They help the ridges to tell topics apart, and no more: what is estimated from reviews (probabilities,
    thresholds, scores) comes from the column's own ones as soon as there are any.

    Attributes
    ----------
    X : ndarray of shape (n_lent, n_features)
    X_lex : csr_matrix of shape (n_lent, n_lexical_features) or None
        As for the column's own rows: all have it or none.
    Y : ndarray of shape (n_lent, n_topics)
        1 where a person gave the row the other column's partner of the topic.
    knows : bool ndarray of shape (n_topics,)
        Topics that have a partner there; about the others these rows say nothing.
    weight : float
        Of one of these rows against one of the column's own.
    """

    X: np.ndarray
    X_lex: Any
    Y: np.ndarray
    knows: np.ndarray
    weight: float


class TopicClassifier(BaseEstimator):
    """Multi-label classifier for few reviews, many topics and a large pool.

    Three kernel ridge regressions share the reviewed rows and one pseudo-example per topic, the encoded topic
    text: Gaussian-like on the sentence vectors, linear on the words, and linear on both together. Their exact
    leave-one-out scores train one logistic regression over all (row, topic) pairs, which turns the scores into
    probabilities. Before the first review the probabilities come from the topic texts alone.

    A fine-tuned encoder adds two learners: a ridge on its vectors and the log-odds of its own training head, each
    averaged over the members; about a reviewed row only members speak that were trained without it (cross-
    fitting).

    Parameters
    ----------
    gamma : float, default=2.0
        Width of the kernel exp(gamma * (cosine - 1)).
    ridge : float, default=0.25
        Regularisation of one reviewed row; kernels have ones on their diagonal.
    label_weight : float, default=4.0
        Weight of a topic's text against one reviewed row.
    max_landmarks : int, default=3000
        With more reviewed rows than this the kernel is spanned by a random part of them (Nystroem).
    random_state : int, default=0

    Attributes
    ----------
    loo_proba_ : ndarray of shape (n_reviewed, n_topics), float32
        Probability of each reviewed row's topics from a model that did not see that row.
    thresholds_ : ndarray of shape (n_topics,), float32
        Probability from which a topic is assigned; maximises the expected F1 over the pool.
    n_reviewed_ : int
    n_lent_ : int
        Rows of other columns that were learned from.
    n_topics_ : int

    References
    ----------
    Cawley and Talbot (2003), leave-one-out of kernel machines in closed form. Wolpert (1992), stacked
    generalisation. Platt (1999), probabilities from scores. Lipton, Elkan, Naryanaswamy (2014), thresholds for
    the best F1.
    """

    def __init__(
        self, *, gamma: float = 2.0, ridge: float = 0.25, label_weight: float = 4.0, max_landmarks: int = 3000,
        random_state: int = 0,
    ):  # fmt: skip
        self.gamma = gamma
        self.ridge = ridge
        self.label_weight = label_weight
        self.max_landmarks = max_landmarks
        self.random_state = random_state

    # Learning

    def fit(
        self, X, Y, *, label_X, X_lex=None, label_X_lex=None, pool_X=None, pool_X_lex=None, tuned=None,
        sample_weight=None, calibration_weight=None, lent: Sequence[LentRows] = (),
    ) -> TopicClassifier:  # fmt: skip
        """Learn from reviewed rows.

        Parameters
        ----------
        X : ndarray of shape (n_reviewed, n_features)
            Sentence vectors of the reviewed rows; may have no rows.
        Y : ndarray of shape (n_reviewed, n_topics)
            1 where the person gave the topic, else 0.
        label_X : ndarray of shape (n_topics, n_features)
            Sentence vectors of `topic_prompt(...)`.
        X_lex, label_X_lex : csr_matrix, optional
            `lexical_features` of the same texts. Both or neither.
        pool_X, pool_X_lex : optional
            A random sample (up to about 5,000) of unreviewed rows: centre, rarity of words, thresholds. Without
            it the reviewed rows stand in.
        tuned : TunedRows, optional
            What a fine-tuned encoder says of the same rows; predictions need its vectors then, too. Without
            reviewed rows or without a pool it is not used.
        sample_weight : ndarray of shape (n_reviewed,), optional
            Relative weight of the rows, default 1.
        calibration_weight : ndarray of shape (n_reviewed,), optional
            How much a row counts where the probabilities are brought to what is right in the pool, default
            `sample_weight`; see `audit_weights`.
        lent : sequence of LentRows, default=()
            Reviewed rows of other columns, without those whose text is among the rows of `X`.

        Raises
        ------
        ValueError
            If shapes do not match, `Y` holds anything but 0 and 1, or a number is not finite.
        """
        X, Y, label_X, weight = self._validate(X, Y, label_X, sample_weight)
        calibration = weight
        if calibration_weight is not None:
            calibration = _weights(calibration_weight, "calibration_weight", len(X))
        if (X_lex is None) != (label_X_lex is None):
            raise ValueError("X_lex and label_X_lex must be given both or not at all.")
        has_lex = X_lex is not None
        self.n_reviewed_, self.n_topics_ = Y.shape
        self.n_features_ = label_X.shape[1]
        lent = self._validate_lent(lent, has_lex)
        self.n_lent_ = sum(len(one.X) for one in lent)
        has_pool = pool_X is not None and pool_X.shape[0] > 0
        if has_pool:
            pool_X, pool_lex = _as_finite(pool_X, "pool_X"), pool_X_lex if has_lex else None
            if pool_X.shape[1] != label_X.shape[1]:
                raise ValueError(f"pool_X has {pool_X.shape[1]} features, label_X has {label_X.shape[1]}.")
        else:
            pool_X = np.vstack([X, label_X])
            pool_lex = sp.vstack([X_lex, label_X_lex]).tocsr() if has_lex else None
        if has_lex:
            for name, words, n_rows in (("X_lex", X_lex, len(X)), ("label_X_lex", label_X_lex, len(label_X))):
                if words.shape[0] != n_rows:
                    raise ValueError(f"{name} has {words.shape[0]} rows, must have {n_rows}.")
            if pool_lex is None or pool_lex.shape[0] != len(pool_X):
                raise ValueError("pool_X_lex must have the rows of pool_X when X_lex is given.")
            self._fit_rarity(pool_lex, X_lex, label_X_lex, *(one.X_lex for one in lent))
        else:
            X_lex = None
        self._fit_centres(pool_X, label_X)
        landmarks = self._choose_landmarks()
        # What was reviewed, own rows first, then the topic texts.
        X_all = np.vstack([X, *(one.X for one in lent)]) if lent else X
        X_lex_all = sp.vstack([X_lex, *(one.X_lex for one in lent)]).tocsr() if lent and has_lex else X_lex
        of_T = np.concatenate([landmarks, np.arange(self.n_reviewed_, len(X_all))])
        self._T = np.vstack([unit(X_all - self._center)[of_T], unit(label_X - self._label_center)])
        self._T_lex = sp.vstack([X_lex_all[of_T], label_X_lex]).tocsr()[:, self._columns] if has_lex else None
        with _one_blas_thread() if len(self._T) < MANY_LANDMARKS else nullcontext():
            self._fit_ridges(X_all, Y, X_lex_all, of_T, weight, lent)
        pool_tuned = self._fit_tuned(tuned, Y, weight, len(pool_X) if has_pool else 0)
        self._cold = np.zeros((2, 3, self.n_topics_), dtype=np.float32)
        self._cold_intercept = np.zeros(1, dtype=np.float32)
        self._prepare()
        expected_share = self._fit_zero_shot(pool_X, pool_lex)
        if lent:
            expected_share = _with_lent_share(expected_share, lent)
        # Without an own review the learners' scores come from lent rows alone, and so would the regression: how
        # much they are worth here nobody knows yet, so they count as they usually do.
        self.coef_ = COEF_START.copy() if lent else COEF_COLD.copy()
        self.slopes_ = np.ones(2, dtype=np.float32)
        log_prior, log_prior_loo = _log_priors(Y, weight, expected_share)
        self.log_prior_ = log_prior
        if self.n_reviewed_ and self.n_topics_:
            cold = self._zero_shot(self._similarities(X, X_lex))
            # The row's own topics are left out of the priors as well: a topic's only example must look to the
            # regression as rows of a topic without any example will look later (+2 to +4 points at 50 to 100
            # reviews).
            F = self._stack_features(self._loo_scores, cold, log_prior_loo)
            penalty = COEF_PENALTY + COEF_PENALTY_FEW / (1.0 + Y.sum())
            start = COEF_START if pool_tuned is None else COEF_START_TUNED
            with _one_blas_thread():  # products of some twenty columns
                self.coef_ = _logistic(F, Y.ravel(), np.repeat(weight, self.n_topics_), start, penalty)
            log_odds = _log_odds(F, self.coef_).reshape(Y.shape)
            pool_log_odds = self._predict_log_odds(pool_X, pool_lex, pool_tuned)
            self._fit_slopes(log_odds, Y, calibration, pool_log_odds)
            self.loo_proba_ = _proba(log_odds, self.slopes_)
        else:
            pool_log_odds = self._predict_log_odds(pool_X, pool_lex, pool_tuned)
            self.loo_proba_ = np.zeros(Y.shape, dtype=np.float32)
        self.thresholds_ = best_thresholds(_proba(pool_log_odds, self.slopes_))
        return self

    def _validate(self, X, Y, label_X, sample_weight) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        label_X = _as_finite(label_X, "label_X")
        Y = np.asarray(Y)
        if Y.ndim != 2 or label_X.ndim != 2:
            raise ValueError(f"Y and label_X must have two dimensions, got {Y.ndim} and {label_X.ndim}.")
        X = _as_finite(X, "X") if len(X) else np.zeros((0, label_X.shape[1]), dtype=np.float32)
        if len(X) != len(Y):
            raise ValueError(f"X has {len(X)} rows, Y has {len(Y)}.")
        if Y.shape[1] != len(label_X):
            raise ValueError(f"Y has {Y.shape[1]} topics, label_X has {len(label_X)}.")
        if X.shape[1] != label_X.shape[1]:
            raise ValueError(f"X has {X.shape[1]} features, label_X has {label_X.shape[1]}.")
        if Y.size and not np.isin(Y, (0, 1)).all():
            raise ValueError("Y must hold 0 and 1 only.")
        weight = np.ones(len(X)) if sample_weight is None else _weights(sample_weight, "sample_weight", len(X))
        return X, Y.astype(np.float64), label_X, weight

    def _validate_lent(self, lent, has_lex) -> list[LentRows]:
        """Return the lent rows as float32 and 0 and 1, without those that know no topic."""
        valid = []
        for one in lent:
            rows, Y, knows = _as_finite(one.X, "lent.X"), np.asarray(one.Y), np.asarray(one.knows, dtype=bool)
            n = len(rows)
            wanted = (n, self.n_features_), (n, self.n_topics_), (self.n_topics_,)
            if (rows.shape, Y.shape, knows.shape) != wanted:
                raise ValueError(f"lent X, Y, knows must be {wanted}, got {rows.shape}, {Y.shape}, {knows.shape}.")
            if (one.X_lex is not None) != has_lex or (has_lex and one.X_lex.shape[0] != n):
                raise ValueError("lent.X_lex must have the rows of lent.X where X_lex is given, else be None.")
            if Y.size and not np.isin(Y, (0, 1)).all():
                raise ValueError("lent.Y must hold 0 and 1 only.")
            _weights(np.full(1, one.weight), "lent.weight", 1)
            if n and knows.any():
                valid.append(LentRows(rows, one.X_lex, Y.astype(np.float64), knows, float(one.weight)))
        return valid

    def _fit_centres(self, pool_X, label_X):
        self._center = pool_X.sum(axis=0, dtype=np.float64).astype(np.float32) / max(1, len(pool_X))
        # Topic texts are short and alike: centred on themselves they tell topics apart better than centred on
        # the rows (no reviews, micro-F1 0.52 -> 0.60 on banking77). With few topics their own mean is unsafe,
        # so it is shrunk.
        n = len(label_X)
        self._label_center = ((label_X.sum(axis=0) + 2.0 * self._center) / (n + 2.0)).astype(np.float32)

    def _fit_rarity(self, pool_lex, *known):
        n_rows_with = np.bincount(pool_lex.indices, minlength=pool_lex.shape[1])
        self._idf = (np.log((1 + pool_lex.shape[0]) / (1 + n_rows_with)) + 1.0).astype(np.float32)
        # Only words of reviewed rows and topic texts can carry weight; the others count for a row's length alone.
        self._columns = np.unique(np.concatenate([words.indices for words in known])).astype(np.int32)

    def _choose_landmarks(self):
        if self.n_reviewed_ <= self.max_landmarks:
            return np.arange(self.n_reviewed_)
        rng = np.random.default_rng(self.random_state)
        return np.sort(rng.choice(self.n_reviewed_, self.max_landmarks, replace=False))

    def _fit_ridges(self, X, Y, X_lex, of_T, weight, lent):
        """Solve the three ridges; keep coefficients over `_T` and the exact leave-one-out scores of the own rows.

        X, X_lex : the own rows, then the lent ones; of_T : those of them that are in `_T`, before the topic texts
        """
        k = self.n_topics_
        n, n_known, n_T = self.n_reviewed_, len(X), len(of_T)
        U = unit(X - self._center)
        K_dense_T = self._T @ self._T.T
        K_dense = np.vstack([U @ self._T.T, K_dense_T[n_T:]])
        if self._T_lex is not None:
            T_lex = self._scale_lex(self._T_lex, None)
            U_lex = sp.vstack([self._scale_lex(X_lex[:, self._columns], None), T_lex[n_T:]]).tocsr()
            K_lex_T = np.asarray((T_lex @ T_lex.T).todense(), dtype=np.float32)
            K_lex = np.asarray((U_lex @ T_lex.T).todense(), dtype=np.float32)
        targets = np.vstack([Y, *(one.Y for one in lent), np.eye(k)])
        lent_weights = [np.full(len(one.X), one.weight) for one in lent]
        weights = np.concatenate([weight, *lent_weights, np.full(k, self.label_weight)])
        lenders = [np.full(len(one.X), i) for i, one in enumerate(lent)]
        lender = np.concatenate([np.full(n, -1), *lenders, np.full(k, -1)])
        self._alpha = np.zeros((len(LEARNERS), len(self._T), k), dtype=np.float32)
        self._label_alpha = np.zeros((2, k, k), dtype=np.float32)
        self._loo_scores = np.zeros((len(LEARNERS), n, k), dtype=np.float32)
        full = n_T == n_known
        solve = _solve_exact if full else _solve_landmarks
        for j, learner in enumerate(LEARNERS):
            if learner == "rbf":
                K, K_T = np.exp(self.gamma * (K_dense - 1)), np.exp(self.gamma * (K_dense_T - 1))
            elif self._T_lex is None:
                K, K_T = K_dense, K_dense_T
            elif learner == "lexical":
                K, K_T = K_lex, K_lex_T
            else:
                K, K_T = (K_dense + K_lex) / 2, (K_dense_T + K_lex_T) / 2
            for topics, knowing in _by_lenders(k, lent):
                rows = np.flatnonzero((lender < 0) | np.isin(lender, knowing))
                columns = np.flatnonzero(np.isin(np.concatenate([of_T, np.arange(n_known, n_known + k)]), rows))
                part, part_T = K, K_T
                if len(rows) < len(K):
                    part, part_T = K[np.ix_(rows, columns)], K_T[np.ix_(columns, columns)]
                ridge = self.ridge / weights[rows]
                alpha, loo = solve(part + 1.0, part_T + 1.0, targets[np.ix_(rows, topics)], ridge)
                self._alpha[j][np.ix_(columns, topics)] = alpha
                self._loo_scores[j][:, topics] = loo[:n]
            if learner != "joint":  # what the topic texts say alone
                K_labels = K_T[n_T:, n_T:].astype(np.float64)
                self._label_alpha[j] = _inverse(K_labels + 1.0 + self.ridge / self.label_weight * np.eye(k))

    def _fit_slopes(self, log_odds, Y, weight, pool):
        """Correct the log-odds below and above even odds, each by a factor.

        Above, by what the left-out reviews say: the regression is too sure of its best answers (0.9 is right in
        0.82 of the cases on banking77). Below, such that rows of the pool are expected to have as many topics as
        the probabilities say, plus what was missing in the reviewed rows: otherwise topics that nobody has
        reviewed yet are missed in the expectation, too. (The mere number of topics of the reviewed rows would
        mislead: the focus queue prefers rows with many.)

        log_odds : of the reviewed rows, left out; pool : of the pool's sample; both (n_rows, n_topics)
        """
        above = log_odds > 0
        z, y, w = log_odds[above].astype(np.float64), Y[above], np.broadcast_to(weight[:, None], Y.shape)[above]
        slope = 1.0
        for _ in range(20):  # Newton's method
            p = expit(slope * z)
            gradient = (w * (p - y) * z).sum() + SLOPE_PENALTY * (slope - 1.0)
            slope -= gradient / ((w * p * (1 - p) * z * z).sum() + SLOPE_PENALTY)
        self.slopes_[1] = np.clip(slope, SLOPE_RANGE[0], 1.0)  # never surer than the regression
        n = len(pool)
        missing = (Y - _proba(log_odds, self.slopes_)).sum(axis=1)
        high = expit(self.slopes_[1] * pool[pool > 0].astype(np.float64)).sum()
        low_z = pool[pool <= 0].astype(np.float64)
        wanted = high + expit(low_z).sum() + n * (weight @ missing) / (weight.sum() + PRIOR_ROWS)
        flat, steep = SLOPE_RANGE
        for _ in range(30):  # bisection: the sum falls as the slope grows
            middle = (flat + steep) / 2
            too_many = high + expit(middle * low_z).sum() > wanted
            flat, steep = (middle, steep) if too_many else (flat, middle)
        self.slopes_[0] = (flat + steep) / 2

    def _fit_tuned(self, tuned, Y, weight, n_pool):
        """Solve a ridge per member of the fine-tuned encoder; append honest scores of the reviewed rows.

        Returns the members' vectors of the pool, None if there is no fine-tuned encoder to use.
        """
        self._tuned_W: Any = None
        self._tuned_center: Any = None
        if tuned is None or not self.n_reviewed_ or not self.n_topics_ or not n_pool:
            return None
        n, k = Y.shape
        M, d = tuned.heads.shape[0], tuned.heads.shape[1] - 1
        wanted = {"X": (n, M, d), "is_unseen": (n, M), "pool_X": (n_pool, M, d), "label_X": (k, M, d)}
        for name, shape in {**wanted, "heads": (M, d + 1, k)}.items():
            if np.shape(getattr(tuned, name)) != shape:
                raise ValueError(f"tuned.{name} must be {shape}, got {np.shape(getattr(tuned, name))}.")
        pool = _as_dense(tuned.pool_X)
        self._tuned_center = pool.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._tuned_W = np.zeros((2, M, d + 1, k), dtype=np.float32)
        self._tuned_W[1] = tuned.heads / HEAD_SCALE
        targets = np.vstack([Y, np.eye(k)])
        inverse_ridge = np.concatenate([weight, np.full(k, self.label_weight)]) / self.ridge
        rows, labels = _as_dense(tuned.X), _as_dense(tuned.label_X)
        share = np.asarray(tuned.is_unseen, dtype=np.float64)
        share[share.sum(axis=1) == 0] = 1.0
        share /= share.sum(axis=1, keepdims=True)
        honest = np.zeros((2, n, k))
        for m in range(M):
            U = unit(np.vstack([rows[:, m], labels[:, m]]) - self._tuned_center[m])
            A = np.hstack([U, np.ones((n + k, 1), dtype=np.float32)]).astype(np.float64)
            G = _inverse(A.T @ (A * inverse_ridge[:, None]) + np.eye(d + 1))
            W = G @ (A.T @ (inverse_ridge[:, None] * targets))
            leverage = (inverse_ridge * np.einsum("ij,jk,ik->i", A, G, A, optimize=True))[:n, None]
            loo = (A[:n] @ W - leverage * Y) / np.maximum(1.0 - leverage, 1e-6)
            self._tuned_W[0, m] = W
            honest[0] += share[:, m, None] * loo
            honest[1] += share[:, m, None] * (rows[:, m] @ self._tuned_W[1, m, :d] + self._tuned_W[1, m, d])
        self._loo_scores = np.concatenate([self._loo_scores, honest.astype(np.float32)])
        return pool

    def _scale_lex(self, A, norms):
        """Return rows weighted by rarity and divided by their length (over all words, known or not)."""
        A = sp.csr_matrix(A, dtype=np.float32, copy=True)
        A.data *= self._idf[self._columns][A.indices]
        if norms is None:
            norms = np.sqrt(np.asarray(A.multiply(A).sum(axis=1)).ravel())
        inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        return sp.diags(inverse.astype(np.float32)) @ A

    # Predicting

    def _prepare(self):
        """Fold coefficients into the form predictions use; the only input is what `to_arrays` stores."""
        n_landmarks = len(self._T) - self.n_topics_
        self._label_T = self._T[n_landmarks:]
        rbf, lexical, joint = self._alpha
        self._rbf_alpha = np.ascontiguousarray(rbf)
        self._rbf_label_alpha, lexical_label = self._label_alpha
        if self._T_lex is None:
            # Without words the second and third learner are the same linear one.
            self._dense_W = self._T.T @ lexical
            return
        self._dense_W = self._T.T @ (joint / 2)
        T_lex = self._scale_lex(self._T_lex, None)
        idf = self._idf[self._columns][:, None]
        W = T_lex.T @ np.hstack([lexical, joint / 2])
        self._lex_W = np.ascontiguousarray(W * idf, dtype=np.float32)
        # The topic texts alone have few words: a product with those only is a third of the work less.
        label_T = T_lex[n_landmarks:]
        of_labels = np.unique(label_T.indices)
        W = (label_T.T @ lexical_label)[of_labels]
        self._label_lex_W = np.ascontiguousarray(W * idf[of_labels], dtype=np.float32)
        self._lookup = _lookup(self._columns, len(self._idf))
        self._label_lookup = _lookup(self._columns[of_labels], len(self._idf))
        self._idf_squared = self._idf * self._idf

    def _scores(self, X, X_lex, X_tuned=None):
        """Return the learners' scores, (n_learners, n_rows, n_topics), and log-odds from the topic texts alone."""
        scores, similarities = self._learner_scores(X, X_lex)
        if self._tuned_W is not None:
            scores = np.concatenate([scores, self._tuned_scores(X_tuned)])
        return scores, self._zero_shot(similarities)

    def _similarities(self, X, X_lex):
        return self._learner_scores(X, X_lex)[1]

    def _tuned_scores(self, X_tuned):
        M, d = self._tuned_W.shape[1], self._tuned_W.shape[2] - 1
        scores = np.zeros((2, len(X_tuned), self.n_topics_), dtype=np.float32)
        X_tuned = np.reshape(X_tuned, (len(X_tuned), M, d))
        for m in range(M):
            Z = _as_dense(X_tuned[:, m])
            scores[0] += unit(Z - self._tuned_center[m]) @ self._tuned_W[0, m, :d]
            scores[1] += Z @ self._tuned_W[1, m, :d]
        return (scores + self._tuned_W[:, :, d].sum(axis=1)[:, None, :]) / M

    def _learner_scores(self, X, X_lex):
        k = self.n_topics_
        n_landmarks = len(self._T) - k
        U = X - self._center
        norms = np.sqrt(np.einsum("ij,ij->i", U, U))
        U *= inverse_of(norms)[:, None]
        scores = np.empty((len(LEARNERS), len(X), k), dtype=np.float32)
        bias = self._alpha.sum(axis=1)
        K = U @ self._T.T
        cosines = self._label_cosines(K[:, n_landmarks:], U, norms)
        K -= 1.0
        K *= self.gamma
        np.exp(K, out=K)
        np.add(K @ self._rbf_alpha, bias[0], out=scores[0])
        label_rbf = K[:, n_landmarks:] @ self._rbf_label_alpha
        linear = U @ self._dense_W
        if self._T_lex is None:
            scores[1] = scores[2] = linear + bias[1]
            label_lex = np.zeros_like(label_rbf)
        else:
            lex, label_lex = self._lex_scores(X_lex, len(X))
            np.add(lex[:, :k], bias[1], out=scores[1])
            np.add(linear, lex[:, k:], out=scores[2])
            scores[2] += bias[2]
        return scores, (cosines, label_lex, label_rbf)

    def _label_cosines(self, K_labels, U, norms):
        """Return cosines to the topic texts, centred on those, from the products centred on the rows.

        With d = center - label_center, x - label_center = norm * u + d: no second pass over the vectors.
        """
        d = (self._center - self._label_center).astype(np.float32)
        squares = norms * (norms + 2.0 * (U @ d)) + d @ d
        cosines = K_labels * norms[:, None] + self._label_T @ d
        cosines *= inverse_of(np.sqrt(np.maximum(squares, 0.0)))[:, None]
        return cosines

    def _lex_scores(self, X_lex, n_rows):
        """Return the word and joint learners' part, (n_rows, 2 n_topics), and that of the topic texts' words."""
        k = self.n_topics_
        if X_lex is None:
            return np.zeros((n_rows, 2 * k), dtype=np.float32), np.zeros((n_rows, k), dtype=np.float32)
        indptr = X_lex.indptr - X_lex.indptr[0]
        squares = X_lex.data * X_lex.data
        squares *= self._idf_squared.take(X_lex.indices)
        norms = np.sqrt(_row_sums(squares, indptr))
        inverse = inverse_of(norms.astype(np.float32))[:, None]
        lex = _known_words(X_lex, indptr, self._lookup, len(self._lex_W)) @ self._lex_W
        label_lex = _known_words(X_lex, indptr, self._label_lookup, len(self._label_lex_W)) @ self._label_lex_W
        lex *= inverse
        label_lex *= inverse
        return lex, label_lex

    @property
    def needs_tuned(self) -> bool:
        """Whether predictions need the vectors of a fine-tuned encoder."""
        return self._tuned_W is not None

    def predict_proba(self, X, X_lex=None, X_tuned=None) -> np.ndarray:
        """Return calibrated topic probabilities.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_features)
            Sentence vectors; float16 and memory-mapped arrays are fine, they are read in chunks.
        X_lex : csr_matrix of shape (n_rows, n_lexical_features), optional
            Left out, words count for nothing.
        X_tuned : ndarray of shape (n_rows, n_members * n_components), split by member or not, optional
            Vectors of the fine-tuned encoder; needed if the classifier was fitted with one.

        Returns
        -------
        Y_prob : ndarray of shape (n_rows, n_topics), float32

        Raises
        ------
        ValueError
            If the numbers of rows differ or the fine-tuned encoder's vectors are missing.
        """
        return _proba(self._predict_log_odds(X, X_lex, X_tuned), self.slopes_)

    def _predict_log_odds(self, X, X_lex, X_tuned):
        """Do the work of `predict_proba`, up to the last correction."""
        if not hasattr(self, "coef_"):
            raise NotFittedError("TopicClassifier is not fitted yet; call fit first.")
        n_rows = X.shape[0]
        if X.ndim != 2 or X.shape[1] != self.n_features_:
            raise ValueError(f"X must be (n_rows, {self.n_features_}), got {X.shape}.")
        if X_lex is not None and X_lex.shape[0] != n_rows:
            raise ValueError(f"X has {n_rows} rows, X_lex has {X_lex.shape[0]}.")
        if self.needs_tuned and (X_tuned is None or X_tuned.shape[0] != n_rows):
            raise ValueError("this model was fitted with a fine-tuned encoder; its vectors are missing.")
        if X_lex is not None and self._T_lex is not None and X_lex.shape[1] != len(self._idf):
            raise ValueError(f"X_lex has {X_lex.shape[1]} columns, must have {len(self._idf)}.")
        Y_prob = np.zeros((n_rows, self.n_topics_), dtype=np.float32)
        if not self.n_topics_:
            return Y_prob
        values = max(1, len(self._T), 8 * self.n_topics_)
        step = min(MAX_PREDICT_ROWS, max(16, PREDICT_CHUNK_VALUES // values))

        def predict(start):
            stop = min(start + step, n_rows)
            part = X_lex[start:stop] if X_lex is not None else None
            tuned = X_tuned[start:stop] if self.needs_tuned else None
            scores, cold = self._scores(_as_finite(X[start:stop], "X"), part, tuned)
            Y_prob[start:stop] = self._combine(scores, cold)

        starts = range(0, n_rows, step)
        # The chunks are the parallel part: two threads inside each product wait for each other, and on a busy
        # machine they do so with the processor at full load.
        with _one_blas_thread():
            if N_THREADS == 1 or len(starts) < 2:
                for start in starts:
                    predict(start)
            else:
                with ThreadPoolExecutor(min(N_THREADS, len(starts)), thread_name_prefix="predict") as pool:
                    list(pool.map(predict, starts))
        return Y_prob

    def _combine(self, scores, cold):
        """Return the log-odds: `_log_odds` of `_stack_features`, without laying the features out."""
        intercept, of_cold, of_prior, *of_learners = self.coef_.astype(np.float32)
        total = cold * of_cold
        total += intercept + of_prior * self.log_prior_
        for score, (own, by_prior, of_gap, of_lag) in zip(scores, _by_four(of_learners), strict=True):
            gap = _gap(score)
            total += score * (own + by_prior * self.log_prior_)
            total += gap * of_gap
            np.minimum(gap, 0.0, out=gap)
            gap *= of_lag
            total += gap
        return total

    def topic_words(self) -> sp.csr_matrix:
        """Return how strongly each hashed word speaks for each topic.

        Returns
        -------
        weights : csr_matrix of shape (n_topics, N_LEXICAL_FEATURES), float32
            Positive weights of the word learner times rarity, scaled to a highest value of 1 per topic; indices
            sorted.
        """
        if self._T_lex is None:
            return sp.csr_matrix((self.n_topics_, N_LEXICAL_FEATURES), dtype=np.float32)
        W = np.maximum(self._lex_W[:, : self.n_topics_].T, 0.0)
        highest = W.max(axis=1, keepdims=True, initial=0.0)
        W = np.divide(W, highest, out=np.zeros_like(W), where=highest > 0)
        rows, places = np.nonzero(W > 0.02)
        shape = (self.n_topics_, len(self._idf))
        weights = sp.csr_matrix((W[rows, places], (rows, self._columns[places])), shape=shape, dtype=np.float32)
        weights.sort_indices()
        return weights

    # From scores to probabilities

    def _fit_zero_shot(self, pool_X, pool_lex):
        """Learn from the pool what a usual similarity to each topic's text is, and set the number of topics per
        row.

        Returns the share of the pool's rows that each topic is expected to have, shape (n_topics,).
        """
        n, k = len(pool_X), self.n_topics_
        if not k:
            return np.zeros(0)
        self._cold[1] = 1.0
        similarities = self._similarities(pool_X, pool_lex)
        # A few rows tell little about the spread; ten more with a usual one steady it.
        self._cold[0] = [part.mean(axis=0) for part in similarities]
        spread = [np.sqrt((part.var(axis=0) * n + 10 * usual**2) / (n + 10)) for part, usual in
                  zip(similarities, ZERO_SHOT_SPREAD, strict=True)]  # fmt: skip
        self._cold[1] = spread
        self._cold[1, 1] = ZERO_SHOT_SPREAD[1]  # words rarely match: their spread is not a scale
        total = self._zero_shot(similarities).astype(np.float64)
        wanted = n * min(TOPICS_PER_ROW, MAX_SHARE_PER_TOPIC * k)
        low, high = -60.0, 60.0
        for _ in range(60):  # bisection: deterministic, the sum grows with the intercept
            middle = (low + high) / 2
            low, high = (middle, high) if expit(total + middle).sum() < wanted else (low, middle)
        self._cold_intercept[0] = (low + high) / 2
        return expit(total + (low + high) / 2).mean(axis=0)

    def _zero_shot(self, similarities):
        """Return the log-odds of each topic from its text alone."""
        total = np.full(similarities[0].shape, self._cold_intercept[0], dtype=np.float32)
        for part, mean, spread, (own, lead) in zip(similarities, *self._cold, ZERO_SHOT, strict=True):
            z = (part - mean) / spread
            total += own * z + lead * _gap(z)
        return total

    def _stack_features(self, scores, cold, log_prior):
        log_prior = np.broadcast_to(log_prior, scores.shape[1:])
        columns = [np.ones(scores.shape[1:], dtype=np.float32), cold, log_prior]
        for score in scores:
            gap = _gap(score)
            columns += [score, score * log_prior, gap, np.minimum(gap, 0.0)]
        return [np.ascontiguousarray(column, dtype=np.float32).ravel() for column in columns]

    # Storing

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything predictions need as plain arrays, ready for `np.savez` without pickle."""
        if not hasattr(self, "thresholds_"):
            raise NotFittedError("TopicClassifier is not fitted yet; call fit first.")
        arrays = {
            "format": np.array(ARRAYS_FORMAT),
            "params": np.array([self.gamma, self.ridge, self.label_weight, self.max_landmarks, self.random_state]),
            "n_reviewed": np.array(self.n_reviewed_), "n_lent": np.array(self.n_lent_),
            "T": self._T, "alpha": self._alpha, "center": self._center, "label_center": self._label_center,
            "label_alpha": self._label_alpha, "cold": self._cold, "cold_intercept": self._cold_intercept,
            "log_prior": self.log_prior_, "coef": self.coef_, "slopes": self.slopes_,
            "thresholds": self.thresholds_, "loo_proba": self.loo_proba_,
        }  # fmt: skip
        if self._tuned_W is not None:
            arrays |= {"tuned_W": self._tuned_W, "tuned_center": self._tuned_center}
        if self._T_lex is not None:
            arrays |= {
                "idf": self._idf, "columns": self._columns, "T_lex_data": self._T_lex.data,
                "T_lex_indices": self._T_lex.indices, "T_lex_indptr": self._T_lex.indptr,
            }  # fmt: skip
        return arrays

    @classmethod
    def from_arrays(cls, arrays) -> TopicClassifier:
        """Return the classifier that `to_arrays` stored; its predictions are equal bit for bit.

        Raises
        ------
        ValueError
            If the arrays were written by another version of the format.
        """
        if int(arrays["format"]) != ARRAYS_FORMAT:
            raise ValueError(f"model format must be {ARRAYS_FORMAT}, got {int(arrays['format'])}.")
        gamma, ridge, label_weight, max_landmarks, random_state = (float(value) for value in arrays["params"])
        model = cls(
            gamma=gamma, ridge=ridge, label_weight=label_weight, max_landmarks=int(max_landmarks),
            random_state=int(random_state),
        )  # fmt: skip
        model.n_reviewed_, model.n_lent_ = int(arrays["n_reviewed"]), int(arrays.get("n_lent", 0))
        model._T, model._alpha = np.asarray(arrays["T"]), np.asarray(arrays["alpha"])
        model.n_topics_, model.n_features_ = model._alpha.shape[2], model._T.shape[1]
        model._center, model._label_center = np.asarray(arrays["center"]), np.asarray(arrays["label_center"])
        model._label_alpha, model._cold = np.asarray(arrays["label_alpha"]), np.asarray(arrays["cold"])
        model._cold_intercept = np.asarray(arrays["cold_intercept"])
        model.slopes_ = np.asarray(arrays["slopes"])
        model.log_prior_, model.coef_ = np.asarray(arrays["log_prior"]), np.asarray(arrays["coef"])
        model.thresholds_, model.loo_proba_ = np.asarray(arrays["thresholds"]), np.asarray(arrays["loo_proba"])
        model._tuned_W = model._tuned_center = None
        if "tuned_W" in arrays:
            model._tuned_W, model._tuned_center = np.asarray(arrays["tuned_W"]), np.asarray(arrays["tuned_center"])
        model._T_lex = None
        if "idf" in arrays:
            model._idf, model._columns = np.asarray(arrays["idf"]), np.asarray(arrays["columns"])
            shape = (len(model._T), len(model._columns))
            parts = (arrays["T_lex_data"], arrays["T_lex_indices"], arrays["T_lex_indptr"])
            model._T_lex = sp.csr_matrix(tuple(np.asarray(part) for part in parts), shape=shape)
        model._prepare()
        return model


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()  # looks through the loaded libraries: a few milliseconds, once


def _one_blas_thread():
    """Return a context in which a product keeps to its thread; for the whole process, so keep it short.

    On a busy machine the threads of a small product wait for each other with the processor at full load: an
    inverse of 350 rows took 0.5 s with two threads, 0.01 s with one.
    """
    return _blas().limit(limits=1, user_api="blas")


def _as_finite(X, name: str) -> np.ndarray:
    """Return a float32 matrix; nan and infinity are refused, for one such row would spoil every probability."""
    if np.ndim(X) != 2:
        raise ValueError(f"{name} must have two dimensions, got {np.ndim(X)}.")
    dense = _as_dense(X)
    if not np.isfinite(dense.sum(dtype=np.float64)):  # they survive a sum, and that is cheap
        raise ValueError(f"{name} must hold finite numbers only.")
    return dense


def _weights(weight, name: str, n: int) -> np.ndarray:
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape != (n,) or not ((weight > 0) & np.isfinite(weight)).all():
        raise ValueError(f"{name} must hold {n} positive numbers.")
    return weight


def _as_dense(X) -> np.ndarray:
    return np.ascontiguousarray(X, dtype=np.float32)


def _by_four(values):
    return [values[i : i + 4] for i in range(0, len(values), 4)]


def _lookup(columns: np.ndarray, n_columns: int) -> np.ndarray:
    """Return each column's place in `columns`, -1 where it has none."""
    places = np.full(n_columns, -1, dtype=np.int32)
    places[columns] = np.arange(len(columns), dtype=np.int32)
    return places


def _row_sums(values: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Return the sum of each row's values, 0 for rows without any."""
    sums = np.zeros(len(indptr) - 1)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        sums[filled] = np.add.reduceat(values, indptr[filled], dtype=np.float64)
    return sums


def _known_words(X_lex, indptr, lookup, n_columns) -> sp.csr_matrix:
    """Return the columns of `X_lex` that have a place in `lookup`, in their new places."""
    places = lookup.take(X_lex.indices)
    known = np.flatnonzero(places >= 0)
    n_known = np.searchsorted(known, indptr).astype(np.int32)
    parts = (X_lex.data.take(known), places.take(known), n_known)
    return sp.csr_matrix(parts, shape=(len(indptr) - 1, n_columns))


def _gap(scores: np.ndarray) -> np.ndarray:
    """Return each score minus the row's best other score (0 with one topic)."""
    if scores.shape[1] < 2:
        return np.zeros_like(scores)
    rows = np.arange(len(scores))
    place = scores.argmax(axis=1)
    best = scores[rows, place]
    gap = scores - best[:, None]
    gap[rows, place] = -np.inf
    lead = -gap.max(axis=1)
    gap[rows, place] = lead
    return gap


def _inverse(A: np.ndarray) -> np.ndarray:
    """Return the inverse of a symmetric positive definite matrix (half the work of a general one)."""
    if not len(A):
        return A
    factor, failed = lapack.dpotrf(A, lower=1, clean=1)
    inverse, failed_again = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_again:  # numerically not definite: rows that repeat thousands of times
        return np.linalg.pinv(A, hermitian=True)
    lower = np.tril(inverse, -1)
    return np.diag(np.diag(inverse)) + lower + lower.T


def _by_lenders(n_topics: int, lent: Sequence[LentRows]) -> list[tuple[np.ndarray, list[int]]]:
    """Return topics with the indices of the lent rows that know them, those with the same ones together.

    A row says nothing about topics that its column does not have, so these are learned without it.
    """
    if not lent:
        return [(np.arange(n_topics), [])]
    knows = np.stack([one.knows for one in lent], axis=1)
    patterns, group = np.unique(knows, axis=0, return_inverse=True)
    group = group.reshape(-1)
    return [(np.flatnonzero(group == g), np.flatnonzero(pattern).tolist()) for g, pattern in enumerate(patterns)]


def _with_lent_share(share: np.ndarray, lent: Sequence[LentRows]) -> np.ndarray:
    """Return the share of rows expected to have each topic: half as its text says, half as in the lent rows."""
    total = np.zeros(len(share))
    n_rows = np.zeros(len(share))
    for one in lent:
        total += one.knows * one.weight * one.Y.sum(axis=0)
        n_rows += one.knows * one.weight * len(one.Y)
    known = n_rows > 0
    result = share.copy()
    result[known] = (share[known] + total[known] / n_rows[known]) / 2
    return result


def _solve_exact(K, K_T, targets, ridge):
    """Return ridge coefficients and exact leave-one-out scores; every row is a landmark."""
    A = np.asfortranarray(K, dtype=np.float64)
    A[np.diag_indices(len(A))] += ridge
    factor, failed = lapack.dpotrf(A, lower=1, clean=1)
    root, failed_again = lapack.dtrtri(factor, lower=1, overwrite_c=1) if not failed else (factor, 1)
    if failed or failed_again:
        G = np.linalg.pinv(A, hermitian=True)
        alpha, diagonal = G @ targets, np.diag(G)
    else:  # inverse = root.T @ root; only its diagonal and its product with the targets are wanted
        alpha = root.T @ (root @ targets)
        diagonal = np.einsum("ij,ij->j", root, root)
    return alpha, targets - alpha / diagonal[:, None]


def _solve_landmarks(K, K_T, targets, ridge):
    """Return coefficients over the landmarks and exact leave-one-out scores of all rows (Nystroem)."""
    K = K.astype(np.float64)
    weighted = K / ridge[:, None]
    G = _inverse(K.T @ weighted + K_T.astype(np.float64) + 1e-6 * np.eye(len(K_T)))
    alpha = G @ (weighted.T @ targets)
    leverage = np.einsum("ij,ij->i", weighted @ G, K)[:, None]
    return alpha, (K @ alpha - leverage * targets) / np.maximum(1.0 - leverage, 1e-6)


# Before any review: log-odds of a topic from how far its similarity to the row is above the topic's usual one,
# and from its lead over the row's best other topic. Rows: cosine to the topic text, ridge on its words, kernel
# ridge on its vector. One fit for the three data sets together; fitted on any two, the third loses up to 5
# points (docs/learning.md).
ZERO_SHOT = ((0.65, 0.0), (2.2, 0.0), (0.25, 0.32))
ZERO_SHOT_SPREAD = (0.1, 0.2, 0.1)
# How many topics a row has is not known before the first review. Collections of survey answers have 1 to 2.5.
TOPICS_PER_ROW = 1.9
MAX_SHARE_PER_TOPIC = 0.35

# Where the pooled logistic regression starts and what few reviews are held to: the zero-shot log-odds.
# Order: 1, zero-shot log-odds, log prior, then per learner: score, score x log prior, gap, min(gap, 0).
# Fitted once to the three data sets together at 5 to 300 reviews; fitted to two of them, the third gets the
# same F1 within a point (docs/learning.md).
COEF_START = np.array([-0.6, 0.75, 0.45, 1.0, -0.2, 0.7, 0.5, 0.7, 0.2, 0.4, 0.4, 1.2, 0.2, 0.5, 0.4])
# With a fine-tuned encoder the first three learners count half, and its two take the other half.
COEF_START_TUNED = np.concatenate([COEF_START[:3], 0.5 * COEF_START[3:], 2 * [1.25, 0.3, 0.5, 0.4]])
HEAD_SCALE = 8.0  # brings the head's log-odds to the size of the other learners' scores
COEF_COLD = np.array([0.0, 1.0] + 13 * [0.0])
COEF_PENALTY = 0.1
COEF_PENALTY_FEW = 40.0  # divided by the number of reviewed assignments
SLOPE_RANGE = (0.6, 1.5)
SLOPE_PENALTY = 5.0
PRIOR_ROWS = 10.0  # the topic texts' guess of a topic's share counts like this many reviewed rows


def _log_priors(Y, weight, cold_share):
    """Return the log prior of each topic, and the same with each row left out, (n_reviewed, n_topics)."""
    per_row = weight @ Y.sum(axis=1) / weight.sum() if len(Y) else cold_share.sum()
    share = cold_share / max(cold_share.sum(), 1e-9) * max(per_row, 0.3)
    count = weight @ Y + PRIOR_ROWS * share
    without = count - weight[:, None] * Y
    n_rows = weight.sum() + PRIOR_ROWS
    n_without = np.maximum(n_rows - weight, PRIOR_ROWS)[:, None]
    scale = lambda p: (np.log(np.clip(p, 1e-3, 0.9)) + 3.0).astype(np.float32)  # noqa: E731
    return scale(count / n_rows), scale(without / n_without)


def _logistic(F, y, weight, start, strength, n_iterations=30):
    """Return the coefficients of a logistic regression held to `start` (Newton's method)."""
    A = np.stack([column.astype(np.float64) for column in F], axis=1)
    coef = start.copy()
    penalty = np.full(len(start), strength)
    penalty[0] = 1e-4
    for _ in range(n_iterations):
        p = expit(A @ coef)
        gradient = A.T @ (weight * (p - y)) + penalty * (coef - start)
        curvature = (A * (weight * p * (1 - p))[:, None]).T @ A + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        size = np.abs(step).max()
        coef = coef - step * min(1.0, 5.0 / max(size, 1e-12))
        if size < 1e-6:
            break
    return coef


def _log_odds(F, coef):
    total = np.zeros_like(F[0])
    for column, weight in zip(F, coef.astype(np.float32), strict=True):
        total += column * weight
    return total


def _proba(log_odds, slopes):
    """Return probabilities after the last correction."""
    below, above = slopes
    log_odds = np.where(log_odds > 0, above * log_odds, below * log_odds)
    expit(log_odds, out=log_odds)
    return np.clip(log_odds, P_MIN, 1.0 - P_MIN, out=log_odds)
