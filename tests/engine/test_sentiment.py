"""Sentiment of texts and of topics in them."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.engine import (
    SentimentClassifier,
    TopicClassifier,
    overall_sentiment,
    read_clauses,
    sentiment_features,
    text_sentiment,
)
from finetune.engine.sentiment import N_SENTIMENT_FEATURES


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("Great service, thank you!", 1),
        ("The food was not good.", -1),
        ("Terrible. Never again.", -1),
        ("Wasn't bad at all", 1),
        ("It is a table.", 0),
        ("", 0),
        ("N/A", 0),
        ("😀", 1),
        ("delivery is slow and overpriced", -1),
        ("Das Essen war nicht gut", -1),
        ("El servicio fue excelente", 1),
    ],
)
def test_the_words_tell_the_mood(text, sentiment):
    assert text_sentiment([text])[0] == sentiment


@pytest.mark.parametrize(
    ("sentiments", "overall"),
    [([], 0), ([1], 1), ([1, 0], 1), ([1, 0, 0], 1), ([1, 0, 0, 0], 0), ([1, -1], 0), ([-1, 0], -1), ([0, 0], 0)],
)
def test_overall_sentiment_is_the_mean_against_a_third(sentiments, overall):
    assert overall_sentiment(sentiments) == overall


@settings(max_examples=80, deadline=None)
@given(texts=st.lists(st.text(max_size=80), max_size=6))
def test_any_text_gives_finite_features(texts):
    features = sentiment_features(texts)
    assert features.shape == (len(texts), N_SENTIMENT_FEATURES)
    assert np.isfinite(features).all()
    assert set(text_sentiment(texts)) <= {-1, 0, 1}
    each = [sentiment_features([text])[0] for text in texts]
    if texts:
        np.testing.assert_array_equal(features, each)  # a text's features depend on the text alone


def test_lone_surrogates_and_long_texts_are_survived():
    assert len(read_clauses(["\ud800 good", "bad " * 10_000, "\x00", "👩‍👩‍👧 ok"])) == 4


def test_clauses_can_be_taken_in_any_order():
    clauses = read_clauses(["good food, bad service", "", "slow"])
    part = clauses.take(np.array([2, 0, 0, 1]))
    assert np.diff(part.indptr).tolist() == [1, 4, 4, 0]
    np.testing.assert_array_equal(part.column[1:5], clauses.column[:4])


def pairs_of(sample, rows) -> np.ndarray:
    row, topic = np.nonzero(sample.Y[rows])
    return np.stack([row, topic, sample.mood[rows][row, topic]], axis=1)


def accuracy(sample, model, rows) -> float:
    row, topic, truth = pairs_of(sample, rows).T
    found = model.predict(sample.clauses.take(rows), sample.X[rows], row, topic)
    return float((found == truth).mean())


def test_the_clause_that_speaks_of_the_topic_decides(sample):
    reviewed, rest = np.arange(100), np.arange(100, 500)
    topics = TopicClassifier().fit(**sample.fit_arguments(reviewed))
    model = SentimentClassifier().fit(
        sample.clauses.take(reviewed), sample.X[reviewed], pairs_of(sample, reviewed), label_X=sample.label_X,
        classifier=topics,
    )  # fmt: skip
    assert accuracy(sample, model, rest) > 0.85
    texts = ["the delivery was awful, but the price was great"]
    found = model.predict(texts, sample.X[:1], [0, 0], [0, 1])
    assert found.tolist() == [-1, 1]


def test_it_works_before_any_review(sample):
    topics = TopicClassifier().fit(**sample.fit_arguments(np.arange(0)))
    model = SentimentClassifier().fit([], sample.X[:0], [], label_X=sample.label_X, classifier=topics)
    texts = ["great staff", "awful staff", "the staff"]
    found = model.predict(texts, sample.X[:3], [0, 1, 2], [2, 2, 2])
    proba = model.predict_proba(texts, sample.X[:3], [0, 1, 2], [2, 2, 2])
    assert found.tolist() == [1, -1, 0]
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert accuracy(sample, model, np.arange(300)) > 0.45


@pytest.mark.parametrize("n_reviewed", [0, 1, 3, 60])
def test_a_stored_model_predicts_the_same_bit_for_bit(sample, n_reviewed):
    reviewed = np.arange(n_reviewed)
    topics = TopicClassifier().fit(**sample.fit_arguments(reviewed))
    model = SentimentClassifier().fit(
        sample.clauses.take(reviewed), sample.X[reviewed], pairs_of(sample, reviewed), label_X=sample.label_X,
        classifier=topics,
    )  # fmt: skip
    stream = io.BytesIO()
    np.savez(stream, **model.to_arrays())
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as arrays:
        again = SentimentClassifier.from_arrays(arrays)
    row, topic, _ = pairs_of(sample, np.arange(200)).T
    np.testing.assert_array_equal(
        model.predict_proba(sample.clauses, sample.X, row, topic),
        again.predict_proba(sample.clauses, sample.X, row, topic),
    )


def test_no_pairs_give_no_sentiments(sample):
    model = SentimentClassifier().fit([], sample.X[:0], [], label_X=sample.label_X)
    assert model.predict(sample.clauses, sample.X, [], []).shape == (0,)


def test_a_sentiment_out_of_range_is_named(sample):
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        SentimentClassifier().fit(["good"], sample.X[:1], [[0, 0, 2]], label_X=sample.label_X)
