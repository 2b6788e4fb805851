"""Sentiment of texts and of topics in them."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.engine import (
    SentimentClassifier,
    TopicClassifier,
    overall_sentiment,
    overall_sentiments,
    read_clauses,
    sentiment_features,
    text_sentiment,
)
from finetune.engine.sentiment import (
    N_SENTIMENT_FEATURES,
    NEAR_WORDS,
    _best_labels,
    _nearness,
    _others,
    _softmax_regression,
)


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


def test_overall_sentiment_of_many_rows_is_that_of_each():
    rng = np.random.default_rng(0)
    S, has = rng.integers(-1, 2, (200, 4)), rng.random((200, 4)) < 0.6
    each = [overall_sentiment(S[i, has[i]].tolist()) for i in range(200)]
    assert overall_sentiments(S, has).tolist() == each


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


def fitted(sample, reviewed, *, extra=None) -> SentimentClassifier:
    pool = np.setdiff1d(np.arange(len(sample.texts)), reviewed)
    return SentimentClassifier().fit(
        sample.clauses.take(reviewed), sample.X[reviewed], pairs_of(sample, reviewed), label_X=sample.label_X,
        classifier=TopicClassifier().fit(**sample.fit_arguments(reviewed)),
        pool_texts=sample.clauses.take(pool), pool_X=sample.X[pool], extra=extra,
    )  # fmt: skip


def log_proba(sample, rows, *, n_wrong=0) -> np.ndarray:
    """What a good other model says of the pairs of these rows; the first `n_wrong` pairs it has wrong."""
    labels = pairs_of(sample, rows)[:, 2].copy()
    labels[:n_wrong] = (labels[:n_wrong] + 2) % 3 - 1
    return np.log(np.where(np.eye(3)[labels + 1] > 0, 0.8, 0.1))


@pytest.mark.parametrize("with_extra", [False, True])
@pytest.mark.parametrize("n_reviewed", [0, 1, 3, 60])
def test_a_stored_model_predicts_the_same_bit_for_bit(sample, n_reviewed, with_extra):
    reviewed, asked = np.arange(n_reviewed), np.arange(200)
    extra = log_proba(sample, asked, n_wrong=50) if with_extra else None
    model = fitted(sample, reviewed, extra=log_proba(sample, reviewed) if with_extra else None)
    stream = io.BytesIO()
    np.savez(stream, **model.to_arrays())
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as arrays:
        again = SentimentClassifier.from_arrays(arrays)
    row, topic, _ = pairs_of(sample, asked).T
    for method in ("predict_proba", "predict_jointly"):
        np.testing.assert_array_equal(
            getattr(model, method)(sample.clauses, sample.X, row, topic, extra=extra),
            getattr(again, method)(sample.clauses, sample.X, row, topic, extra=extra),
        )
    if with_extra:
        with pytest.raises(ValueError, match="fitted with extra"):
            again.predict(sample.clauses, sample.X, row, topic)


def test_models_of_another_format_are_refused(sample):
    arrays = fitted(sample, np.arange(10)).to_arrays()
    with pytest.raises(ValueError, match="model format must be"):
        SentimentClassifier.from_arrays(arrays | {"format": np.array(1)})


def test_another_model_helps_where_words_do_not(sample):
    reviewed, rest = np.arange(60), np.arange(60, 300)
    model = fitted(sample, reviewed, extra=log_proba(sample, reviewed))
    row, topic, truth = pairs_of(sample, rest).T
    mute = read_clauses(["so so" for _ in rest])
    extra = log_proba(sample, rest)
    for method in (model.predict, model.predict_jointly):
        assert (
            method(mute, sample.X[:1].repeat(len(rest), axis=0), row, topic, extra=extra) == truth
        ).mean() > 0.9


@pytest.mark.parametrize(
    "extra", [np.zeros((2, 3)), np.zeros((1, 2)), np.full((1, 3), np.nan), np.full((1, 3), -np.inf)]
)
def test_extra_that_does_not_fit_is_refused(sample, extra):
    with pytest.raises(ValueError, match=r"extra must be finite and of shape \(1, 3\)"):
        SentimentClassifier().fit(["good"], sample.X[:1], [[0, 0, 1]], label_X=sample.label_X, extra=extra)


def test_the_overall_sentiment_follows_another_model_too(sample):
    reviewed = np.arange(60)
    model = fitted(sample, reviewed, extra=log_proba(sample, reviewed))
    overall = [
        model._predict(["so so"], sample.X[:1], [0], [0], extra=np.log([proba]), jointly=True)[1][0]
        for proba in ([0.8, 0.1, 0.1], [0.1, 0.1, 0.8])
    ]
    assert overall[0][0] > overall[1][0]
    assert overall[0][2] < overall[1][2]


def test_extra_is_left_unread_by_a_model_without_it(sample):
    model = fitted(sample, np.arange(30))
    given = model.predict_proba(["good staff"], sample.X[:1], [0], [2], extra=np.zeros((1, 3)))
    np.testing.assert_array_equal(given, model.predict_proba(["good staff"], sample.X[:1], [0], [2]))


def test_a_pair_alone_does_not_depend_on_the_others(sample):
    reviewed, asked = np.arange(60), np.arange(60, 160)
    row, topic, _ = pairs_of(sample, asked).T
    extra = log_proba(sample, asked, n_wrong=30)
    model = fitted(sample, reviewed, extra=log_proba(sample, reviewed))
    clauses, X = sample.clauses.take(asked), sample.X[asked]
    together = model.predict_proba(clauses, X, row, topic, extra=extra)
    for i in range(0, len(row), 10):
        one = slice(i, i + 1)
        alone = model.predict_proba(clauses, X, row[one], topic[one], extra=extra[one])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)


def test_the_order_of_reviews_and_of_questions_does_not_matter(sample):
    reviewed, asked = np.arange(60), np.arange(60, 200)
    row, topic, _ = pairs_of(sample, asked).T
    clauses, X = sample.clauses.take(asked), sample.X[asked]
    turn = np.random.default_rng(0).permutation(len(row))
    model, other = fitted(sample, reviewed), fitted(sample, reviewed[::-1])
    proba = model.predict_proba(clauses, X, row, topic)
    np.testing.assert_allclose(proba, other.predict_proba(clauses, X, row, topic), atol=1e-4)
    np.testing.assert_allclose(proba[turn], model.predict_proba(clauses, X, row[turn], topic[turn]), atol=1e-5)
    jointly = model.predict_jointly(clauses, X, row, topic)
    np.testing.assert_array_equal(jointly[turn], model.predict_jointly(clauses, X, row[turn], topic[turn]))


@settings(max_examples=60, deadline=None)
@given(n_pairs=st.integers(1, 5), n_rows=st.integers(1, 3), seed=st.integers(0, 1000))
def test_labels_have_the_highest_expected_number_of_right_judgements(n_pairs, n_rows, seed):
    rng = np.random.default_rng(seed)
    rows = np.sort(np.concatenate([np.arange(n_rows), rng.integers(0, n_rows, n_pairs)]))
    proba, overall = rng.dirichlet([0.5] * 3, len(rows)), rng.dirichlet([0.5] * 3, n_rows)
    labels = _best_labels(rows, proba, overall)

    def expected(row, choice):
        own = proba[rows == row][np.arange(len(choice)), np.asarray(choice) + 1].sum()
        return own + overall[row, overall_sentiment(choice) + 1]

    for row in range(n_rows):
        choices = itertools.product([-1, 0, 1], repeat=int((rows == row).sum()))
        best = max(expected(row, choice) for choice in choices)
        assert expected(row, labels[rows == row].tolist()) == pytest.approx(best)


def test_deciding_together_makes_the_overall_sentiment_right_more_often(sample):
    reviewed, rest = np.arange(60), np.arange(60, 500)
    model = fitted(sample, reviewed)
    row, topic, truth = pairs_of(sample, rest).T
    # Words about the topic are gone, so that pairs alone are weak; the text's own mood is still there.
    mute = read_clauses([" ".join(text.split()[-4:]) for text in np.array(sample.texts)[rest]])
    agree = {}
    for method in (model.predict, model.predict_jointly):
        found = method(mute, sample.X[rest], row, topic)
        both = [[overall_sentiment(x[row == i].tolist()) for i in np.unique(row)] for x in (found, truth)]
        agree[method.__name__] = np.mean(np.array(both[0]) == np.array(both[1]))
    assert agree["predict_jointly"] > agree["predict"]


def test_the_other_topics_of_a_text_count_if_the_reviews_say_so():
    """Where one topic is always praised when the other is blamed, the unclear one follows from the clear one."""
    rng = np.random.default_rng(0)
    mood = rng.choice([-1, 1], 120)
    texts = [f"the food was {'great' if m > 0 else 'awful'} and the staff was there" for m in mood]
    pairs = np.array([[i, topic, m if topic == 0 else -m] for i, m in enumerate(mood) for topic in (0, 1)])
    X = rng.standard_normal((120, 8)).astype(np.float32)  # says nothing
    model = SentimentClassifier().fit(
        texts, X, pairs, label_X=np.zeros((2, 8), dtype=np.float32), label_texts=["food", "staff"]
    )
    row, topic = np.repeat(np.arange(120), 2), np.tile([0, 1], 120)
    assert (model.predict_jointly(texts, X, row, topic) == pairs[:, 2]).all()
    assert np.abs(model.joint_coef_[-3:]).max() > 0.1


def test_the_other_pairs_of_a_row_are_averaged():
    proba = np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    found = _others(np.array([0, 1, 1, 1]), proba)
    np.testing.assert_allclose(found[0], 0)  # no others
    np.testing.assert_allclose(found[1] + 1 / 3, [0, 0.5, 0.5])
    np.testing.assert_allclose(found[3] + 1 / 3, [0.5, 0.5, 0])


def test_the_pool_teaches_what_mood_a_vector_has():
    """Texts with words that the lexicon does not know borrow the mood of similar texts, before any review."""
    rng = np.random.default_rng(0)
    mood = rng.choice([-1.0, 1.0], 400)
    X = 0.3 * rng.standard_normal((400, 16)).astype(np.float32)
    X[:, 0] += mood
    texts = [f"it was {'great' if m > 0 else 'awful'}" for m in mood]
    label_X = np.zeros((1, 16), dtype=np.float32)
    asked = (["it was zorp", "it was zorp"], np.eye(16, dtype=np.float32)[[0, 0]] * [[1], [-1]], [0, 1], [0, 0])
    knowing = SentimentClassifier().fit([], X[:0], [], label_X=label_X, pool_texts=texts, pool_X=X)
    assert knowing.predict(*asked).tolist() == [1, -1]
    plain = SentimentClassifier().fit([], X[:0], [], label_X=label_X)
    assert plain.predict(*asked).tolist() == [0, 0]
    # Where mood and vectors have nothing to do with each other, the vectors say little.
    noise = rng.standard_normal((400, 16))
    unrelated = SentimentClassifier().fit([], X[:0], [], label_X=label_X, pool_texts=texts, pool_X=noise)
    assert knowing._mood(X)[:, 0].std() > 0.9
    assert unrelated._mood(noise)[:, 0].std() < 0.3
    for pool_texts in (["es war so", "und dann so"] * 200, texts[:10]):
        silent = SentimentClassifier().fit(
            [], X[:0], [], label_X=label_X, pool_texts=pool_texts, pool_X=X[: len(pool_texts)]
        )
        assert silent.predict(*asked).tolist() == [0, 0]


def test_nearness_sums_the_fading_evidence_on_both_sides():
    clauses = read_clauses(["a b c, d e f g. h i", "", "j", "k l m n o p q r s t"])
    rng = np.random.default_rng(0)
    evidence = (rng.random(len(clauses.column)) * (rng.random(len(clauses.column)) < 0.3)).astype(np.float32)
    owner = clauses.owner
    evidence[owner == 2] = 0
    found = _nearness(clauses, owner, evidence, len(clauses))
    place = np.arange(len(owner))
    apart = np.abs(place[:, None] - place) / NEAR_WORDS + np.abs(clauses.clause[:, None] - clauses.clause)
    sums = np.where(owner[:, None] == owner, np.exp(-apart), 0) @ evidence
    highest = np.array([sums[owner == i].max(initial=0) for i in range(len(clauses))])[owner]
    wanted = np.where(highest > 0, 0.05 + 0.95 * sums / np.maximum(highest, 1e-9), 1.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_softmax_regression_ends_at_its_minimum():
    rng = np.random.default_rng(0)
    F = rng.standard_normal((80, 6)) * [1, 1, 3, 10, 10, 30]  # inputs of this size threw plain Newton steps off
    labels = (F[:, 3] + F[:, 4] > 0) + (F[:, 5] > 20).astype(int)
    start = rng.standard_normal((6, 3))
    coef = _softmax_regression(F, labels, start, 0.5)
    logits = F @ coef
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    gradient = F.T @ (proba - np.eye(3)[labels]) + 0.5 * (coef - start)
    assert np.abs(gradient).max() < 1e-4


def test_no_pairs_give_no_sentiments(sample):
    model = SentimentClassifier().fit([], sample.X[:0], [], label_X=sample.label_X)
    assert model.predict(sample.clauses, sample.X, [], []).shape == (0,)
    assert model.predict_jointly(sample.clauses, sample.X, [], []).shape == (0,)


def test_a_sentiment_out_of_range_is_named(sample):
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        SentimentClassifier().fit(["good"], sample.X[:1], [[0, 0, 2]], label_X=sample.label_X)
