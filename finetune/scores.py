"""The AI score of an update: expected from probabilities, and measured on the rows that were drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from finetune.engine import TopicClassifier, ai_score, assign, audit_score

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


def make_scores(*, classifier: TopicClassifier, Y: np.ndarray, is_audit: np.ndarray, Y_prob: np.ndarray) -> Scores:
    """Score a classifier on the pool it will assign topics to.

    Parameters
    ----------
    Y : ndarray of shape (n_reviewed, n_topics)
    is_audit : bool ndarray of shape (n_reviewed,)
        Which reviewed rows were drawn at random.
    Y_prob : ndarray of shape (n_pool, n_topics)
    """
    Y_hat = assign(Y_prob, classifier.thresholds_)
    result = ai_score(Y_prob, Y_hat)
    metrics: dict[str, Any] = {"n_pool": len(Y_prob)}
    if is_audit.any():
        audit_hat = assign(classifier.loo_proba_[is_audit], classifier.thresholds_)
        metrics["measured"] = measured_score(Y[is_audit], audit_hat)
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


def measured_score(Y: np.ndarray, Y_hat: np.ndarray) -> dict[str, Any]:
    """Return score, 95 % interval and number of random rows; score None below MIN_AUDIT of them."""
    if len(Y) >= MIN_AUDIT:
        score, low, high = audit_score(Y, Y_hat)
        if not np.isnan(score):
            return {"score": round(score, 1), "low": round(low, 1), "high": round(high, 1), "n": len(Y)}
    return {"score": None, "n": len(Y)}
