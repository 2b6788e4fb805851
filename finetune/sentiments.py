"""Between the engine's sentiment classifier, which thinks in pairs, and updates, which think in matrices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from finetune.engine import SentimentClassifier, TopicClassifier, overall_sentiments, text_sentiment
from finetune.features import ColumnFeatures
from finetune.writeback import NO_SENTIMENT

MAX_PAIRS = 3_000  # the fit solves a system of this size; the newest reviews count


def fit(
    *,
    classifier: TopicClassifier,
    features: ColumnFeatures,
    positions: np.ndarray,
    S: np.ndarray,
    label_X: np.ndarray,
    pool: np.ndarray | None = None,
) -> SentimentClassifier:
    """Learn the sentiment of (text, topic) pairs from reviewed texts.

    Parameters
    ----------
    positions : ndarray of shape (n_reviewed,)
        Where the reviewed texts are in `features`.
    S : int8 ndarray of shape (n_reviewed, n_topics)
        Sentiment of the pairs, NO_SENTIMENT where there is none.
    pool : ndarray of shape (n_pool,), optional
        Where a sample of the unreviewed texts is in `features`.
    """
    rows, topics = np.nonzero(S != NO_SENTIMENT)
    if len(rows) > MAX_PAIRS:
        rows, topics = rows[-MAX_PAIRS:], topics[-MAX_PAIRS:]
    pairs = np.stack([rows, topics, S[rows, topics].astype(np.int64)], axis=1)
    return SentimentClassifier().fit(
        features.clauses.take(positions),
        np.asarray(features.X[positions], dtype=np.float32),
        pairs,
        label_X=label_X,
        classifier=classifier,
        pool_texts=None if pool is None else features.clauses.take(pool),
        pool_X=None if pool is None else np.asarray(features.X[pool], dtype=np.float32),
    )


def load(arrays: Mapping[str, np.ndarray]) -> SentimentClassifier:
    return SentimentClassifier.from_arrays(arrays)


def predict(
    model: SentimentClassifier,
    *,
    features: ColumnFeatures,
    positions: np.ndarray,
    Y_hat: np.ndarray,
    with_sentiment: np.ndarray,
) -> np.ndarray:
    """Return the sentiment of every assigned pair, int8 of shape (n, n_topics), NO_SENTIMENT elsewhere.

    A text's topics are decided together, so that the overall sentiment that follows is likely right, too.
    """
    S_hat = np.full(Y_hat.shape, NO_SENTIMENT, dtype=np.int8)
    rows, topics = np.nonzero(Y_hat & with_sentiment[None, :])
    if len(rows):
        used, row_of_used = np.unique(rows, return_inverse=True)
        S_hat[rows, topics] = model.predict_jointly(
            features.clauses.take(positions[used]), features.X[positions[used]], row_of_used, topics
        )
    return S_hat


def overall(S_hat: np.ndarray, features: ColumnFeatures, positions: np.ndarray) -> np.ndarray:
    """Return the overall sentiment of rows (specification S3.3), int8 of shape (n,).

    The mean over the row's topics with sentiment; without any, the mood of the text itself.
    """
    has = S_hat != NO_SENTIMENT
    result = overall_sentiments(S_hat, has)
    bare = np.flatnonzero(~has.any(axis=1))
    if len(bare):
        result[bare] = text_sentiment(features.clauses.take(positions[bare]))
    return result
