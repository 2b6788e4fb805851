"""The AI score of an update: expected from probabilities, and measured on the rows that were drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from finetune.engine import ExpectedCounts, TopicClassifier, assign, audit_score

MIN_AUDIT = 20  # fewer random rows than this measure nothing


@dataclass
class Scores:
    """AI score (0 to 100) and the numbers per topic, each of shape (n_topics,)."""

    ai_score: float | None
    metrics: dict[str, Any]
    topic_score: np.ndarray
    count: np.ndarray
    influence: np.ndarray
    reason: list[str]
    support: np.ndarray
    thresholds: np.ndarray

    def topic(self, j: int) -> dict[str, Any]:
        """Return the fields of a TopicScore."""
        return {
            "score": _number(self.topic_score[j]),
            "reason": self.reason[j],
            "count": int(self.count[j]),
            "influence": _number(self.influence[j]),
            "support": int(self.support[j]),
            "threshold": float(self.thresholds[j]),
        }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


def make_scores(
    *, classifier: TopicClassifier, Y: np.ndarray, is_audit: np.ndarray, counts: ExpectedCounts
) -> Scores:
    """Score a classifier on the pool it will assign topics to.

    Parameters
    ----------
    Y : ndarray of shape (n_reviewed, n_topics)
    is_audit : bool ndarray of shape (n_reviewed,)
        Which reviewed rows were drawn at random.
    counts : ExpectedCounts
        Of the pool.
    """
    result = counts.ai_score()
    metrics: dict[str, Any] = {"n_pool": counts.n_rows}
    if is_audit.any():
        metrics["measured"] = measured_score(classifier, Y, is_audit, counts)
    return Scores(
        ai_score=_number(result.score),
        metrics=metrics,
        topic_score=result.topic_score,
        count=result.count,
        influence=result.influence,
        reason=list(result.reason),
        support=Y.sum(axis=0),
        thresholds=classifier.thresholds_,
    )


def measured_score(
    classifier: TopicClassifier, Y: np.ndarray, is_audit: np.ndarray, counts: ExpectedCounts
) -> dict[str, Any]:
    """Return score, 95 % interval and number of random rows; score None below MIN_AUDIT of them."""
    n = int(is_audit.sum())
    if n >= MIN_AUDIT:
        Y_loo = classifier.loo_proba_[is_audit]
        score, low, high = audit_score(counts, Y[is_audit], Y_loo, assign(Y_loo, classifier.thresholds_))
        if not np.isnan(score):
            return {"score": round(score, 1), "low": round(low, 1), "high": round(high, 1), "n": n}
    return {"score": None, "n": n}
