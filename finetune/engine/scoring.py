"""From probabilities to decisions, certainty and an honest score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

THRESHOLD_RANGE = (0.05, 0.95)
MIN_ROWS_FOR_SCORE = 5
MIN_AUDIT_ROWS = 5
CHUNK_VALUES = 200_000  # worked on at once: under a megabyte, so that it stays in the cache
TOO_FEW_ROWS = "too few rows"


def best_thresholds(Y_prob: np.ndarray, *, n_shared: float = 5.0) -> np.ndarray:
    """Return the threshold per topic that maximises its expected F1 over the rows.

    A topic with few expected rows has a noisy optimum; it is drawn towards the one threshold that maximises the
    micro average, with the weight of `n_shared` expected rows.

    Parameters
    ----------
    Y_prob : ndarray of shape (n_rows, n_topics)

    Returns
    -------
    thresholds : ndarray of shape (n_topics,), float32
        In [0.05, 0.95]; 0.5 if there are no rows.

    Raises
    ------
    ValueError
        If `Y_prob` has not two dimensions or holds nan, or `n_shared` is negative.

    References
    ----------
    Lipton, Elkan and Naryanaswamy (2014), "Optimal thresholding of classifiers to maximize F1 measure".
    """
    if Y_prob.ndim != 2:
        raise ValueError(f"Y_prob must have two dimensions, got {Y_prob.ndim}.")
    if n_shared < 0:
        raise ValueError(f"n_shared must not be negative, got {n_shared}.")
    n_rows, n_topics = Y_prob.shape
    if not n_rows or not n_topics:
        return np.full(n_topics, 0.5, dtype=np.float32)
    ordered = np.sort(Y_prob, axis=0)[::-1]
    expected = ordered.sum(axis=0, dtype=np.float64)
    if not np.isfinite(expected).all():
        raise ValueError("Y_prob must hold numbers in [0, 1] only.")
    f1 = 2 * np.cumsum(ordered, axis=0, dtype=np.float64)
    f1 /= np.arange(1, n_rows + 1)[:, None] + expected
    own = ordered[f1.argmax(axis=0), np.arange(n_topics)].astype(np.float64)
    flat = np.sort(ordered, axis=None)[::-1]
    f1 = 2 * np.cumsum(flat, dtype=np.float64)
    f1 /= np.arange(1, flat.size + 1) + expected.sum()
    shared = float(flat[f1.argmax()])
    weight = expected + n_shared
    thresholds = np.divide(expected * own + n_shared * shared, weight, out=own, where=weight > 0)
    return np.clip(thresholds, *THRESHOLD_RANGE).astype(np.float32)


def assign(Y_prob: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return which topics each row gets, bool of shape (n_rows, n_topics)."""
    return Y_prob >= _one_per_topic(thresholds, Y_prob)


def _one_per_topic(thresholds: np.ndarray, Y_prob: np.ndarray) -> np.ndarray:
    cut = np.asarray(thresholds, dtype=np.float32)
    if Y_prob.ndim != 2 or cut.shape != Y_prob.shape[1:]:
        raise ValueError(f"{cut.size} thresholds do not fit probabilities of shape {Y_prob.shape}.")
    return cut


def _of_same_rows(Y: np.ndarray, Y_hat: np.ndarray) -> None:
    if Y.ndim != 2 or Y.shape != Y_hat.shape:
        raise ValueError(f"both arrays must be (n_rows, n_topics), got {Y.shape} and {Y_hat.shape}.")


def expected_f1(Y_prob: np.ndarray, Y_hat: np.ndarray, *, average: str | None = "weighted"):
    """Return the F1 that the assignments are expected to have if the probabilities are true.

    Expected true positives, false positives and false negatives take the place of counted ones.

    Parameters
    ----------
    Y_prob : ndarray of shape (n_rows, n_topics)
    Y_hat : bool ndarray of shape (n_rows, n_topics)
    average : {"weighted", "micro", None}, default="weighted"
        Weighted by the expected number of rows of each topic; over all pairs; or one value per topic.

    Returns
    -------
    f1 : float in [0, 1] (0 without rows or topics), or ndarray of shape (n_topics,)
    """
    if average not in ("weighted", "micro", None):
        raise ValueError(f'average must be "weighted", "micro" or None, got {average!r}.')
    return ExpectedCounts(Y_prob.shape[1]).add(Y_prob, Y_hat).f1(average)


class ExpectedCounts:
    """What an expected F1 is made of, added up block by block: a pool of any size needs no matrix of its size.

    Attributes
    ----------
    n_rows : int
    expected : ndarray of shape (n_topics,)
        Sum of the probabilities.
    true_positive : ndarray of shape (n_topics,)
        Sum of the probabilities where the topic is assigned.
    variance, hit_variance : ndarray of shape (n_topics,)
        Sums of p (1 - p), of all rows and of those that are assigned the topic.
    count : int ndarray of shape (n_topics,)
        Rows that are assigned the topic.
    """

    def __init__(self, n_topics: int):
        self.n_rows = 0
        self.expected = np.zeros(n_topics)
        self.true_positive = np.zeros(n_topics)
        self.variance = np.zeros(n_topics)
        self.hit_variance = np.zeros(n_topics)
        self.count = np.zeros(n_topics, dtype=np.int64)

    def add(self, Y_prob: np.ndarray, Y_hat: np.ndarray) -> ExpectedCounts:
        """Add a block of rows, both arrays of shape (n_rows, n_topics); returns itself.

        Raises
        ------
        ValueError
            If the shapes differ or `Y_prob` holds nan.
        """
        _of_same_rows(Y_prob, Y_hat)
        self.n_rows += len(Y_prob)
        self.expected += Y_prob.sum(axis=0, dtype=np.float64)
        if not np.isfinite(self.expected).all():
            raise ValueError("Y_prob must hold numbers in [0, 1] only.")
        is_hit = np.asarray(Y_hat, dtype=bool)
        self.true_positive += np.sum(Y_prob, axis=0, dtype=np.float64, where=is_hit)
        variance = Y_prob * (1 - Y_prob)
        self.variance += variance.sum(axis=0, dtype=np.float64)
        self.hit_variance += np.sum(variance, axis=0, dtype=np.float64, where=is_hit)
        self.count += np.count_nonzero(Y_hat, axis=0)
        return self

    def f1(self, average: str | None = "weighted"):
        """Return what `expected_f1` says of all blocks."""
        total = self.expected + self.count
        if average == "micro":
            return float(2 * self.true_positive.sum() / total.sum()) if total.sum() > 0 else 0.0
        f1 = np.divide(2 * self.true_positive, total, out=np.zeros_like(total), where=total > 0)
        if average is None:
            return f1
        return float(f1 @ self.expected / self.expected.sum()) if self.expected.sum() > 0 else 0.0

    def gradient(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how the weighted F1 changes with the rows that truly have a topic.

        Returns
        -------
        by_hit : ndarray of shape (n_topics,)
            Change per true row that is assigned the topic.
        by_true : ndarray of shape (n_topics,)
            Change per true row, assigned or not: more is due. A true row that is assigned brings both.
        """
        total, all_expected = self.expected + self.count, self.expected.sum()
        f1 = self.f1(None)
        per_total = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        by_hit = 2.0 * self.expected * per_total / all_expected
        by_true = (f1 * self.count * per_total - self.f1()) / all_expected
        return by_hit, by_true

    def ai_score(self, *, min_rows: int = MIN_ROWS_FOR_SCORE) -> AiScore:
        """Return what `ai_score` says of all blocks."""
        n_topics = len(self.count)
        if self.expected.sum() <= 0:
            empty = np.full(n_topics, np.nan)
            return AiScore(float("nan"), empty, self.count, empty.copy(), (TOO_FEW_ROWS,) * n_topics)
        score, topic_score = 100.0 * self.f1(), 100.0 * self.f1(None)
        too_few = (self.count < min_rows) & (self.expected < min_rows)
        topic_score[too_few] = np.nan
        influence = (topic_score - score) * self.count / max(1, self.count.sum())
        reasons = tuple(TOO_FEW_ROWS if few else "" for few in too_few)
        return AiScore(score, topic_score, self.count, influence, reasons)


def certainty(Y_prob: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return how far the probability of each row's least certain topic is from its threshold.

    The plain distance, the distance in log-odds and a relative distance are equal in the focus queue within noise;
    sums over topics (expected errors, entropy-like) were worse on data with many topics.

    Parameters
    ----------
    Y_prob : ndarray of shape (n_rows, n_topics)
    thresholds : ndarray of shape (n_topics,)

    Returns
    -------
    certainty : ndarray of shape (n_rows,), float32
        In [0, 1]. 0 = on the threshold, review first. Without topics everything is certain: 1.
    """
    cut = _one_per_topic(thresholds, Y_prob)
    n_rows, n_topics = Y_prob.shape
    result = np.ones(n_rows, dtype=np.float32)
    if not n_topics:
        return result
    step = max(16, CHUNK_VALUES // n_topics)
    for start in range(0, n_rows, step):
        distance = Y_prob[start : start + step] - cut
        np.abs(distance, out=distance)
        distance.min(axis=1, out=result[start : start + step])
    return result


@dataclass(frozen=True)
class AiScore:
    """AI score of a column and of its topics; what [S6.1] and [S6.2] show.

    Attributes
    ----------
    score : float
        100 x expected weighted F1, in [0, 100]; nan if nothing can be said (no rows or no topics).
    topic_score : ndarray of shape (n_topics,)
        100 x expected F1; nan where a topic has too few rows.
    count : int ndarray of shape (n_topics,)
        Rows that are assigned the topic.
    influence : ndarray of shape (n_topics,)
        (topic score - score) x count / sum of counts; nan where the topic has no score.
    reason : tuple of str
        "" or why a topic has no score: `TOO_FEW_ROWS`.
    """

    score: float
    topic_score: np.ndarray
    count: np.ndarray
    influence: np.ndarray
    reason: tuple[str, ...]


def ai_score(Y_prob: np.ndarray, Y_hat: np.ndarray, *, min_rows: int = MIN_ROWS_FOR_SCORE) -> AiScore:
    """Return the expected F1 of the assignments on rows nobody reviewed, on the scale 0 to 100.

    Parameters
    ----------
    Y_prob : ndarray of shape (n_rows, n_topics)
        Calibrated probabilities of the unreviewed rows.
    Y_hat : bool ndarray of shape (n_rows, n_topics)
        Their assignments, usually `assign(Y_prob, thresholds)`.
    min_rows : int, default=5
        A topic with fewer assigned rows and fewer expected rows gets no score of its own.
    """
    return ExpectedCounts(Y_prob.shape[1]).add(Y_prob, Y_hat).ai_score(min_rows=min_rows)


def measured_f1(Y: np.ndarray, Y_hat: np.ndarray, *, average: str = "weighted") -> float:
    """Return the F1 of assignments against the truth, in [0, 1]; nan without rows or if no topic was given or due.

    `average` is "micro", "macro" (topics that occur in `Y`) or "weighted" (by the rows of each topic in `Y`).
    """
    if average not in ("micro", "macro", "weighted"):
        raise ValueError(f'average must be "micro", "macro" or "weighted", got {average!r}.')
    Y, Y_hat = np.asarray(Y, dtype=bool), np.asarray(Y_hat, dtype=bool)
    _of_same_rows(Y, Y_hat)
    support = Y.sum(axis=0)
    true_positive = (Y & Y_hat).sum(axis=0)
    total = support + Y_hat.sum(axis=0)
    if not total.sum():
        return float("nan")
    if average == "micro":
        return float(2 * true_positive.sum() / total.sum())
    f1 = np.divide(2.0 * true_positive, total, out=np.zeros(len(total)), where=total > 0)
    if not support.sum():
        return 0.0
    if average == "macro":
        return float(f1[support > 0].mean())
    return float(f1 @ support / support.sum())


def audit_weights(is_audit: np.ndarray) -> np.ndarray:
    """Return the weight of each reviewed row in the correction of the probabilities.

    Rows that the focus queue chose are not like the pool, the audit rows are, but they are few: each of the two
    kinds counts half (a compromise between bias and variance; their number would be the one end, audit rows alone
    the other).

    Parameters
    ----------
    is_audit : bool ndarray of shape (n_reviewed,)

    Returns
    -------
    weight : ndarray of shape (n_reviewed,)
        Sums to n_reviewed; all 1 if there is one kind only.
    """
    is_audit = np.asarray(is_audit, dtype=bool)
    n, n_audit = len(is_audit), int(is_audit.sum())
    if not 0 < n_audit < n:
        return np.ones(n)
    return np.where(is_audit, 0.5 * n / n_audit, 0.5 * n / (n - n_audit))


@dataclass(frozen=True)
class Reliability:
    """How often what was given a probability is true, by probability; see `reliability`.

    Attributes
    ----------
    count : int ndarray of shape (n_bins,)
        Pairs of row and topic whose probability falls into the bin.
    mean_prob, share_true : ndarray of shape (n_bins,)
        Their mean probability and the share of them that is true; nan in empty bins.
    """

    count: np.ndarray
    mean_prob: np.ndarray
    share_true: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of both over all pairs; nan without any."""
        if not self.count.sum():
            return float("nan")
        distance = np.abs(self.mean_prob - self.share_true)
        return float(np.nansum(distance * self.count) / self.count.sum())


def reliability(Y: np.ndarray, Y_prob: np.ndarray, *, n_bins: int = 15) -> Reliability:
    """Return how true probabilities are, in bins of equal width over all pairs of row and topic.

    Parameters
    ----------
    Y, Y_prob : ndarray of shape (n_rows, n_topics)
        The truth, 0 or 1, and the probabilities.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning".
    """
    _of_same_rows(Y, Y_prob)
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}.")
    values = np.asarray(Y_prob, dtype=np.float64).ravel()
    bins = np.clip((values * n_bins).astype(np.int64), 0, n_bins - 1)
    count = np.bincount(bins, minlength=n_bins)
    sums = [np.bincount(bins, weights, n_bins) for weights in (values, np.asarray(Y, dtype=np.float64).ravel())]
    means = [np.divide(part, count, out=np.full(n_bins, np.nan), where=count > 0) for part in sums]
    return Reliability(count, *means)


def audit_score(
    counts: ExpectedCounts, Y: np.ndarray, Y_prob: np.ndarray, Y_hat: np.ndarray, *, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the score that the random audit rows measure and its interval, on the scale 0 to 100.

    The F1 of the audit rows alone would be far off: a sample of 50 rows has none or one of most topics, and a
    topic that is not in it cannot be missed (5 to 10 points too low with 60 topics). Therefore what is measured is
    by how much the expected score of the pool is wrong: each row shows how many pairs truly belong together beyond
    what the probabilities said, with and without being assigned, and that counts as much as the expected weighted
    F1 of the pool would change with it. Right probabilities make the interval narrow; wrong ones are corrected.
    The rows are taken to vary at least as much as the probabilities themselves imply: a few rows that happen to
    be alike are no proof.

    Parameters
    ----------
    counts : ExpectedCounts
        Of the rows nobody reviewed.
    Y : ndarray of shape (n_audit, n_topics)
        What the person decided.
    Y_prob, Y_hat : ndarray of shape (n_audit, n_topics)
        Probabilities and assignments by a model that has **not** seen the row, usually
        `TopicClassifier.loo_proba_` and its assignments.
    level : float, default=0.95

    Returns
    -------
    score, low, high : float
        Weighted F1 and its t interval, all in [0, 100]; nan with fewer than 5 rows or without expected rows.

    References
    ----------
    Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023), "Prediction-powered inference"; the one-step estimator
    of semiparametric statistics, for example van der Vaart (1998), chapter 25.
    """
    Y_prob = np.asarray(Y_prob, dtype=np.float64)
    Y, Y_hat = np.asarray(Y, dtype=np.float64), np.asarray(Y_hat, dtype=bool)
    _of_same_rows(Y, Y_prob)
    _of_same_rows(Y, Y_hat)
    n_rows = len(Y)
    if n_rows < MIN_AUDIT_ROWS or counts.expected.sum() <= 0:
        return (float("nan"),) * 3
    by_hit, by_true = counts.gradient()
    change = 100.0 * counts.n_rows * ((Y - Y_prob) * (by_hit * Y_hat + by_true)).sum(axis=1)
    score = 100.0 * counts.f1() + change.mean()
    implied = by_true**2 @ (counts.variance - counts.hit_variance) + (by_hit + by_true) ** 2 @ counts.hit_variance
    variance = max(change.var(ddof=1), 100.0**2 * counts.n_rows * implied)
    half = stats.t.ppf((1 + level) / 2, n_rows - 1) * np.sqrt(variance / n_rows)
    score, low, high = np.clip([score, score - half, score + half], 0.0, 100.0).tolist()
    return score, low, high
