"""What holds for the engine whatever it is given: bounds, repeatability, order, storing, odd and wrong input."""

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from finetune.engine import (
    N_LEXICAL_FEATURES,
    Encoder,
    ExpectedCounts,
    QueryStrategy,
    SentimentClassifier,
    TopicClassifier,
    TopicSpec,
    ai_score,
    assign,
    audit_score,
    certainty,
    expected_f1,
    lexical_features,
    measured_f1,
    overall_sentiment,
    read_clauses,
    sentiment_features,
    text_sentiment,
    topic_prompt,
)
from finetune.engine.scoring import THRESHOLD_RANGE, best_thresholds
from finetune.engine.sentiment import N_SENTIMENT_FEATURES

N_FEATURES = 8
PERMUTATION_TOLERANCE = 2e-3  # float32 sums in another order, through the logistic regression
ODD_TEXTS = (
    "", "   ", "\x00", "a\x00b", "\ud800", "ok \udfff end", "🙂", "👩‍👩‍👧‍👦 🇩🇪", "!!!", "...", "Ünïcödé",
    "配達が遅い", "ช้ามาก", "تأخر التوصيل", "доставка опоздала", "İI", "ﬁne", "not good, but cheap", "x" * 20_000,
    "bad " * 5_000, "\u202e evil", "NaN", "0", "-1",
)  # fmt: skip

texts = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text(max_size=40),
    st.text(alphabet=st.characters(), max_size=20),  # lone surrogates as well
    st.sampled_from(["late delivery", "great staff", "the price is bad", "nice but late"]),
)


def repeatable(max_examples):
    return settings(max_examples=max_examples, deadline=None, derandomize=True)


def same_arrays(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def stored_and_loaded(model):
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **model.to_arrays())
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as arrays:
        return type(model).from_arrays(arrays)


# Topics


@st.composite
def problems(draw, max_reviewed=14, max_topics=5, max_pool=14):
    """Return the arguments of a fit, rows to predict and their words; odd in one or more ways."""
    n = draw(st.integers(0, max_reviewed))
    k = draw(st.integers(0, max_topics))
    n_pool = draw(st.integers(0, max_pool))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    kind = draw(st.sampled_from(["plain", "zero", "equal", "some zero", "huge", "tiny"]))
    dtype = draw(st.sampled_from([np.float32, np.float16, np.float64]))
    with_words = draw(st.booleans())
    words = draw(st.lists(texts, min_size=1, max_size=6))

    def vectors(n_rows):
        X = rng.normal(size=(n_rows, N_FEATURES))
        if kind in ("zero", "equal"):
            X[:] = kind == "equal"
        elif kind == "some zero":
            X[::2] = 0
        elif kind in ("huge", "tiny"):
            X *= 1e3 if kind == "huge" else 1e-6
        return X.astype(dtype)

    def lexical(n_rows):
        return lexical_features([words[i] for i in rng.integers(0, len(words), n_rows)])

    labels = draw(st.sampled_from(["random", "none", "all", "one example"]))
    Y = rng.integers(0, 2, (n, k)) if labels == "random" else np.full((n, k), int(labels == "all"))
    if labels == "one example" and n and k:
        Y[0, 0] = 1
    arguments = {"X": vectors(n), "Y": Y, "label_X": vectors(k), "pool_X": vectors(n_pool)}
    if with_words:
        arguments |= {"X_lex": lexical(n), "label_X_lex": lexical(k), "pool_X_lex": lexical(n_pool)}
    if draw(st.booleans()):
        arguments["sample_weight"] = rng.uniform(0.01, 10, n)
    X = vectors(9)
    return arguments, X, lexical(len(X)) if with_words else None


def check_model(model, X, X_lex, n, k):
    Y_prob = model.predict_proba(X, X_lex)
    assert (Y_prob.shape, Y_prob.dtype) == ((len(X), k), np.float32)
    assert np.isfinite(Y_prob).all()
    assert ((Y_prob > 0) & (Y_prob < 1)).all()
    assert (model.loo_proba_.shape, model.loo_proba_.dtype) == ((n, k), np.float32)
    assert np.isfinite(model.loo_proba_).all()
    assert (model.thresholds_.shape, model.thresholds_.dtype) == ((k,), np.float32)
    low, high = np.array(THRESHOLD_RANGE, dtype=np.float32)
    assert ((model.thresholds_ >= low) & (model.thresholds_ <= high)).all()
    words = model.topic_words()
    assert words.shape == (k, N_LEXICAL_FEATURES)
    assert np.isfinite(words.data).all()
    if words.nnz:
        assert words.data.min() > 0
        assert words.data.max() <= 1 + 1e-6
    sure = certainty(Y_prob, model.thresholds_)
    assert ((sure >= 0) & (sure <= 1)).all()
    return Y_prob


@repeatable(120)
@given(problems())
def test_any_problem_gives_finite_probabilities_again_and_after_storing(problem):
    arguments, X, X_lex = problem
    model = TopicClassifier().fit(**arguments)
    Y_prob = check_model(model, X, X_lex, *arguments["Y"].shape)
    same_arrays(model.to_arrays(), TopicClassifier().fit(**arguments).to_arrays())
    again = stored_and_loaded(model)
    np.testing.assert_array_equal(again.predict_proba(X, X_lex), Y_prob)
    same_arrays(again.to_arrays(), model.to_arrays())


@repeatable(40)
@given(seed=st.integers(0, 10_000), n_reviewed=st.integers(2, 40), weighted=st.booleans())
def test_order_of_rows_and_topics_changes_nothing_but_rounding(sample, seed, n_reviewed, weighted):
    rng = np.random.default_rng(seed)
    reviewed = rng.choice(len(sample.texts), n_reviewed, replace=False)
    rows, topics = rng.permutation(n_reviewed), rng.permutation(sample.Y.shape[1])
    arguments = sample.fit_arguments(reviewed)
    if weighted:
        arguments["sample_weight"] = rng.uniform(0.2, 3, n_reviewed)
    plain = TopicClassifier().fit(**arguments)
    arguments["Y"] = arguments["Y"][:, topics]
    for name in {"X", "Y", "X_lex", "sample_weight"} & set(arguments):
        arguments[name] = arguments[name][rows]
    for name in ("label_X", "label_X_lex"):
        arguments[name] = arguments[name][topics]
    shuffled = TopicClassifier().fit(**arguments)
    some = slice(0, 100)
    np.testing.assert_allclose(
        shuffled.predict_proba(sample.X[some], sample.X_lex[some]),
        plain.predict_proba(sample.X[some], sample.X_lex[some])[:, topics],
        atol=PERMUTATION_TOLERANCE,
    )
    np.testing.assert_allclose(shuffled.loo_proba_, plain.loo_proba_[rows][:, topics], atol=PERMUTATION_TOLERANCE)


@repeatable(20)
@given(seed=st.integers(0, 1000), n_landmarks=st.integers(1, 30))
def test_a_part_of_the_rows_as_landmarks_keeps_every_bound(sample, seed, n_landmarks):
    reviewed = np.random.default_rng(seed).choice(len(sample.texts), 40, replace=False)
    model = TopicClassifier(max_landmarks=n_landmarks, random_state=seed).fit(**sample.fit_arguments(reviewed))
    Y_prob = check_model(model, sample.X[:50], sample.X_lex[:50], 40, sample.Y.shape[1])
    np.testing.assert_array_equal(stored_and_loaded(model).predict_proba(sample.X[:50], sample.X_lex[:50]), Y_prob)


def test_800_topics_with_duplicate_texts_and_an_empty_pool(sample):
    rng = np.random.default_rng(0)
    label_X = np.repeat(rng.normal(size=(400, sample.X.shape[1])), 2, axis=0)
    prompts = [f"topic {i // 2}" for i in range(800)]
    Y = (rng.random((20, 800)) < 0.002).astype(int)
    model = TopicClassifier().fit(
        sample.X[:20], Y, label_X=label_X, X_lex=sample.X_lex[:20], label_X_lex=lexical_features(prompts),
        pool_X=sample.X[:0], pool_X_lex=sample.X_lex[:0],
    )  # fmt: skip
    check_model(model, sample.X[:50], sample.X_lex[:50], 20, 800)


def test_topics_with_the_same_text_and_reviews_get_the_same_probability(sample):
    arguments = sample.fit_arguments(np.arange(40))
    twice = [0, 0, 1, 2]
    arguments["Y"] = arguments["Y"][:, twice]
    arguments["label_X"] = arguments["label_X"][twice]
    arguments["label_X_lex"] = arguments["label_X_lex"][twice]
    Y_prob = TopicClassifier().fit(**arguments).predict_proba(sample.X, sample.X_lex)
    np.testing.assert_allclose(Y_prob[:, 0], Y_prob[:, 1], atol=1e-4)


@pytest.mark.parametrize("n_copies", [2, 300])
def test_contradictory_and_repeated_reviews_are_survived(sample, n_copies):
    rows = np.repeat(np.arange(3), n_copies)
    Y = np.zeros((len(rows), sample.Y.shape[1]), dtype=int)
    Y[::2] = 1
    arguments = sample.fit_arguments(np.arange(3))
    arguments |= {"X": sample.X[rows], "Y": Y, "X_lex": sample.X_lex[rows]}
    for max_landmarks in (3000, 5):
        model = TopicClassifier(max_landmarks=max_landmarks).fit(**arguments)
        check_model(model, sample.X[:30], sample.X_lex[:30], *Y.shape)


@repeatable(15)
@given(chunk=st.integers(1, 200_000), seed=st.integers(0, 100))
def test_the_size_of_the_chunks_changes_nothing_but_rounding(sample, chunk, seed):
    from finetune.engine import classifier as module

    reviewed = np.random.default_rng(seed).choice(len(sample.texts), 20, replace=False)
    model = TopicClassifier().fit(**sample.fit_arguments(reviewed))
    whole = model.predict_proba(sample.X, sample.X_lex)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PREDICT_CHUNK_VALUES", chunk)
        np.testing.assert_allclose(model.predict_proba(sample.X, sample.X_lex), whole, atol=1e-5)


def test_half_precision_and_views_give_the_same_as_plain_arrays(sample):
    model = TopicClassifier().fit(**sample.fit_arguments(np.arange(30)))
    half = sample.X.astype(np.float16)
    plain = model.predict_proba(half.astype(np.float32), sample.X_lex)
    np.testing.assert_array_equal(model.predict_proba(half, sample.X_lex), plain)
    np.testing.assert_array_equal(model.predict_proba(np.asfortranarray(half), sample.X_lex), plain)


def broken(array, value):
    array = np.array(array, dtype=float)
    array.flat[0] = value
    return array


WRONG_SHAPES = {
    "rows of Y": lambda a: a | {"Y": a["Y"][:-1]},
    "topics of Y": lambda a: a | {"Y": a["Y"][:, :-1]},
    "Y of one dimension": lambda a: a | {"Y": a["Y"][:, 0]},
    "columns of X": lambda a: a | {"X": a["X"][:, :-1]},
    "columns of label_X": lambda a: a | {"label_X": a["label_X"][:, :-1]},
    "rows of label_X": lambda a: a | {"label_X": a["label_X"][:-1]},
    "rows of pool_X_lex": lambda a: a | {"pool_X_lex": a["pool_X_lex"][:-1]},
    "number of weights": lambda a: a | {"sample_weight": np.ones(len(a["X"]) + 1)},
    "rows of X_lex": lambda a: a | {"X_lex": a["X_lex"][:-1]},
    "rows of label_X_lex": lambda a: a | {"label_X_lex": a["label_X_lex"][:-1]},
    "columns of pool_X": lambda a: a | {"pool_X": a["pool_X"][:, :-1]},
    "X of one dimension": lambda a: a | {"X": a["X"][:, 0]},
    "words of rows alone": lambda a: a | {"label_X_lex": None, "pool_X_lex": None},
}
WRONG_VALUES = {
    "Y of 2": lambda a: a | {"Y": a["Y"] * 2},
    "Y of -1": lambda a: a | {"Y": -a["Y"]},
    "Y of 0.5": lambda a: a | {"Y": a["Y"] * 0.5},
    "Y with nan": lambda a: a | {"Y": broken(a["Y"], np.nan)},
    "negative weight": lambda a: a | {"sample_weight": broken(np.ones(len(a["X"])), -1)},
    "weight nan": lambda a: a | {"sample_weight": broken(np.ones(len(a["X"])), np.nan)},
    "weight inf": lambda a: a | {"sample_weight": broken(np.ones(len(a["X"])), np.inf)},
    "X with nan": lambda a: a | {"X": broken(a["X"], np.nan)},
    "X with inf": lambda a: a | {"X": broken(a["X"], np.inf)},
    "label_X with nan": lambda a: a | {"label_X": broken(a["label_X"], np.nan)},
    "pool_X with inf": lambda a: a | {"pool_X": broken(a["pool_X"], -np.inf)},
}


@pytest.mark.parametrize(
    "change",
    [*WRONG_SHAPES, *WRONG_VALUES],
)
def test_wrong_input_to_a_fit_is_a_value_error(sample, change):
    arguments = sample.fit_arguments(np.arange(20))
    wrong = (WRONG_SHAPES | WRONG_VALUES)[change](arguments)
    named = "|".join(name for name in {*arguments, *wrong} if wrong.get(name) is not arguments.get(name))
    with pytest.raises(ValueError, match=rf"\b({named})\b"):
        TopicClassifier().fit(**wrong)


@pytest.mark.parametrize(
    "wrong",
    ["columns", "rows of words", "one dimension", "columns of words", "nan"],
)
def test_wrong_input_to_a_prediction_is_a_value_error(sample, wrong):
    model = TopicClassifier().fit(**sample.fit_arguments(np.arange(20)))
    X, X_lex = sample.X[:5], sample.X_lex[:5]
    changed = {
        "columns": (X[:, :-1], X_lex),
        "rows of words": (X, X_lex[:4]),
        "one dimension": (X[0], None),
        "columns of words": (X, X_lex[:, :100]),
        "nan": (broken(X, np.nan), X_lex),
    }
    with pytest.raises(ValueError, match=r"\b(X|X_lex)\b"):
        model.predict_proba(*changed[wrong])


# From probabilities to decisions


probabilities = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.float16]),
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
    elements=st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1, width=16)),
)


@repeatable(150)
@given(Y_prob=probabilities, n_shared=st.floats(0, 100), seed=st.integers(0, 100))
def test_scores_and_thresholds_stay_in_their_ranges(Y_prob, n_shared, seed):
    thresholds = best_thresholds(Y_prob, n_shared=n_shared)
    assert thresholds.dtype == np.float32
    low, high = np.array(THRESHOLD_RANGE, dtype=np.float32)
    assert ((thresholds >= low) & (thresholds <= high)).all()
    rng = np.random.default_rng(seed)
    topics = rng.permutation(Y_prob.shape[1])
    np.testing.assert_allclose(
        best_thresholds(Y_prob[:, topics], n_shared=n_shared), thresholds[topics], atol=1e-6
    )
    np.testing.assert_allclose(best_thresholds(Y_prob[::-1], n_shared=n_shared), thresholds, atol=1e-6)
    Y_hat = assign(Y_prob, thresholds)
    assert (Y_hat.shape, Y_hat.dtype) == (Y_prob.shape, bool)
    sure = certainty(Y_prob, thresholds)
    assert (sure.shape, sure.dtype) == ((len(Y_prob),), np.float32)
    assert ((sure >= 0) & (sure <= 1)).all()
    for average in ("weighted", "micro"):
        assert 0 <= expected_f1(Y_prob, Y_hat, average=average) <= 1 + 1e-9
    per_topic = expected_f1(Y_prob, Y_hat, average=None)
    assert per_topic.shape == (Y_prob.shape[1],)
    result = ai_score(Y_prob, Y_hat)
    assert np.isnan(result.score) or 0 <= result.score <= 100 + 1e-6
    known = result.topic_score[~np.isnan(result.topic_score)]
    assert ((known >= 0) & (known <= 100 + 1e-6)).all()
    assert [bool(reason) for reason in result.reason] == np.isnan(result.topic_score).tolist()
    assert result.count.tolist() == Y_hat.sum(axis=0).tolist()
    Y = rng.integers(0, 2, Y_prob.shape)
    for average in ("weighted", "micro", "macro"):
        measured = measured_f1(Y, Y_hat, average=average)
        assert np.isnan(measured) or 0 <= measured <= 1
    score, least, most = audit_score(ExpectedCounts(Y.shape[1]).add(Y_prob, Y_hat), Y, Y_prob, Y_hat)
    assert np.isnan(score) or 0 <= least <= score <= most <= 100


@repeatable(60)
@given(Y_prob=probabilities, step=st.integers(1, 5))
def test_a_score_added_up_in_blocks_is_the_score_of_the_whole(Y_prob, step):
    Y_hat = Y_prob >= 0.5
    counts = ExpectedCounts(Y_prob.shape[1])
    for start in range(0, len(Y_prob), step):
        counts.add(Y_prob[start : start + step], Y_hat[start : start + step])
    assert counts.n_rows == len(Y_prob)
    whole, parts = ai_score(Y_prob, Y_hat), counts.ai_score()
    for name in ("score", "topic_score", "count", "influence"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-9, err_msg=name)
    assert parts.reason == whole.reason


@pytest.mark.parametrize("average", ["macro", "", "Weighted"])
def test_an_unknown_average_of_the_expected_f1_is_named(average):
    with pytest.raises(ValueError, match="average"):
        expected_f1(np.ones((2, 2)), np.ones((2, 2), dtype=bool), average=average)


@pytest.mark.parametrize(("Y", "Y_hat"), [((0, 3), (0, 3)), ((2, 0), (2, 0)), ((2, 2), (2, 2))])
def test_an_unknown_average_of_the_measured_f1_is_named_whatever_the_rows(Y, Y_hat):
    with pytest.raises(ValueError, match="average"):
        measured_f1(np.zeros(Y), np.zeros(Y_hat), average="samples")


WRONG_SCORING = {
    "thresholds of other topics": lambda: best_thresholds(np.ones(3)),
    "assign with one threshold for three topics": lambda: assign(np.ones((4, 3)), np.ones(1)),
    "assign with two thresholds for three topics": lambda: assign(np.ones((4, 3)), np.ones(2)),
    "certainty with one threshold for three topics": lambda: certainty(np.ones((4, 3)), np.ones(1)),
    "certainty with too few thresholds": lambda: certainty(np.ones((4, 3)), np.ones(2)),
    "expected_f1 of other rows": lambda: expected_f1(np.ones((4, 3)), np.ones((1, 3), dtype=bool)),
    "ai_score of other topics": lambda: ai_score(np.ones((4, 3)), np.ones((4, 1), dtype=bool)),
    "measured_f1 of other rows": lambda: measured_f1(np.ones((4, 3)), np.ones((1, 3))),
    "audit_score of other rows": lambda: audit_score(
        ExpectedCounts(3), np.ones((6, 3)), np.ones((6, 3)), np.ones((9, 3))
    ),
    "audit_score of other topics": lambda: audit_score(
        ExpectedCounts(3), np.ones((6, 3)), np.ones((6, 2)), np.ones((6, 3))
    ),
    "nan to best_thresholds": lambda: best_thresholds(np.full((4, 3), np.nan)),
    "nan to ai_score": lambda: ai_score(np.full((4, 3), np.nan), np.ones((4, 3), dtype=bool)),
}


@pytest.mark.parametrize("call", WRONG_SCORING)
def test_arrays_that_do_not_belong_together_are_a_value_error(call):
    with pytest.raises(ValueError):
        WRONG_SCORING[call]()


# Which rows to review next


@repeatable(150)
@given(
    sure=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.integers(0, 40),
        elements=st.one_of(st.sampled_from([0.0, 1.0, 0.25]), st.floats(0, 1, width=32)),
    ),
    n=st.integers(0, 60),
    seed=st.integers(0, 1000),
    audit_share=st.floats(0, 1),
    kind=st.sampled_from(["none", "plain", "equal", "zero", "half"]),
    excluded=st.lists(st.integers(0, 39), max_size=20),
)
def test_rows_to_review_are_distinct_free_and_the_same_again(sure, n, seed, audit_share, kind, excluded):
    excluded = [row for row in excluded if row < len(sure)]
    X = np.random.default_rng(seed).normal(size=(len(sure), 6)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    if kind in ("equal", "zero"):
        X[:] = np.eye(1, 6) * (kind == "equal")
    X = None if kind == "none" else X.astype(np.float16) if kind == "half" else X
    arguments = {"certainty": sure, "X": X, "n": n, "random_state": seed, "audit_share": audit_share}
    rows, is_audit = QueryStrategy().select(**arguments, exclude=excluded)
    assert (rows.dtype, is_audit.dtype) == (np.int64, bool)
    assert len(rows) == len(is_audit) == min(n, len(sure) - len(set(excluded)))
    assert len(set(rows.tolist())) == len(rows)
    assert not set(rows.tolist()) & set(excluded)
    again = QueryStrategy().select(**arguments, exclude=np.array(excluded, dtype=np.int64))
    np.testing.assert_array_equal(again[0], rows)
    np.testing.assert_array_equal(again[1], is_audit)


WRONG_QUERIES: dict[str, dict] = {
    "share above 1": {"audit_share": 1.01},
    "share nan": {"audit_share": np.nan},
    "negative n": {"n": -1},
    "vectors of other rows": {"X": np.ones((3, 2))},
    "excluded row that is not there": {"exclude": [99]},
    "excluded row before the first": {"exclude": [-1]},
    "certainty nan": {"certainty": np.full(10, np.nan)},
    "certainty of two dimensions": {"certainty": np.zeros((10, 2))},
}


@pytest.mark.parametrize(
    "change",
    WRONG_QUERIES,
)
def test_wrong_input_to_a_query_is_a_value_error(change):
    arguments: dict = {"certainty": np.linspace(0, 1, 10), "n": 3}
    with pytest.raises(ValueError):
        QueryStrategy().select(**(arguments | WRONG_QUERIES[change]))


# Words, moods and topic texts


@repeatable(100)
@given(st.lists(texts, max_size=5))
@example(list(ODD_TEXTS))
def test_any_text_has_words_and_a_mood(texts):
    X_lex = lexical_features(texts)
    assert (X_lex.shape, X_lex.dtype) == ((len(texts), N_LEXICAL_FEATURES), np.float32)
    assert np.isfinite(X_lex.data).all()
    assert (X_lex.data >= 1).all()
    X_lex.check_format()
    clauses = read_clauses(texts)
    assert len(clauses) == len(texts)
    assert clauses.indptr[-1] == len(clauses.column) == len(clauses.valence) == len(clauses.clause)
    assert ((clauses.column >= 0) & (clauses.column < N_LEXICAL_FEATURES)).all()
    assert np.isfinite(clauses.valence).all()
    mood = sentiment_features(texts)
    assert (mood.shape, mood.dtype) == ((len(texts), N_SENTIMENT_FEATURES), np.float32)
    assert np.isfinite(mood).all()
    assert (np.abs(mood[:, 0]) <= 1).all()
    np.testing.assert_array_equal(sentiment_features(clauses), mood)
    assert set(text_sentiment(texts).tolist()) <= {-1, 0, 1}
    for row, text in enumerate(texts):  # a text's features depend on the text alone
        assert (X_lex[[row]] != lexical_features([text])).nnz == 0
        np.testing.assert_array_equal(sentiment_features([text])[0], mood[row])
        np.testing.assert_array_equal(sentiment_features(clauses.take(np.array([row])))[0], mood[row])


@repeatable(60)
@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=9))
def test_the_overall_sentiment_turns_with_its_parts(moods):
    assert overall_sentiment(moods) in (-1, 0, 1)
    assert overall_sentiment([-mood for mood in moods]) == -overall_sentiment(moods)
    assert overall_sentiment(moods[::-1]) == overall_sentiment(moods)


@repeatable(100)
@given(
    st.builds(
        TopicSpec, label=texts, category=texts, description=texts, keywords=st.lists(texts, max_size=3),
        sentiment_labels=st.lists(texts, max_size=3),
    )
)  # fmt: skip
@example(TopicSpec(label="x", keywords=("", "/", "//", "/(/i")))
def test_any_topic_has_a_text(spec):
    prompt = topic_prompt(spec)
    assert isinstance(prompt, str)
    assert prompt == topic_prompt(spec)
    assert lexical_features([prompt]).shape[0] == 1


# Sentiment of pairs


@st.composite
def moods(draw):
    words = draw(st.lists(texts, min_size=1, max_size=7))
    n_topics = draw(st.integers(1, 4))
    pair = st.tuples(st.integers(0, len(words) - 1), st.integers(0, n_topics - 1), st.sampled_from([-1, 0, 1]))
    pairs = draw(st.lists(pair, max_size=25))  # the same pair may come with several moods
    kind = draw(st.sampled_from(["plain", "zero", "equal"]))
    X = np.random.default_rng(draw(st.integers(0, 1000))).normal(size=(len(words), N_FEATURES))
    X = X if kind == "plain" else np.full_like(X, kind == "equal")
    return words, X.astype(draw(st.sampled_from([np.float32, np.float16]))), pairs, n_topics


@repeatable(100)
@given(moods())
def test_any_pair_has_a_sentiment_again_and_after_storing(problem):
    words, X, pairs, n_topics = problem
    label_X = np.eye(n_topics, N_FEATURES, dtype=np.float32)
    arguments = {"label_X": label_X, "label_texts": [f"late {i}" for i in range(n_topics)]}
    model = SentimentClassifier().fit(words, X, np.array(pairs, dtype=int).reshape(-1, 3), **arguments)
    rows = np.repeat(np.arange(len(words)), n_topics)
    topics = np.tile(np.arange(n_topics), len(words))
    proba = model.predict_proba(words, X, rows, topics)
    assert (proba.shape, proba.dtype) == ((len(rows), 3), np.float32)
    assert ((proba >= 0) & (proba <= 1)).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert set(model.predict(words, X, rows, topics).tolist()) <= {-1, 0, 1}
    assert model.predict_proba(words, X, rows[:0], topics[:0]).shape == (0, 3)
    same_arrays(
        model.to_arrays(), SentimentClassifier().fit(read_clauses(words), X, pairs, **arguments).to_arrays()
    )
    np.testing.assert_array_equal(stored_and_loaded(model).predict_proba(words, X, rows, topics), proba)


@repeatable(30)
@given(seed=st.integers(0, 1000), n_pairs=st.integers(3, 60))
def test_the_order_of_reviewed_pairs_changes_nothing_but_rounding(sample, seed, n_pairs):
    rng = np.random.default_rng(seed)
    rows, topics = np.nonzero(sample.Y)
    chosen = rng.choice(len(rows), n_pairs, replace=False)
    pairs = np.stack([rows[chosen], topics[chosen], sample.mood[rows[chosen], topics[chosen]]], axis=1)
    arguments = {"X": sample.X, "label_X": sample.label_X}
    plain = SentimentClassifier().fit(sample.clauses, assignments=pairs, **arguments)
    shuffled = SentimentClassifier().fit(sample.clauses, assignments=rng.permutation(pairs), **arguments)
    asked = (sample.clauses, sample.X, rows[:80], topics[:80])
    np.testing.assert_allclose(
        shuffled.predict_proba(*asked), plain.predict_proba(*asked), atol=PERMUTATION_TOLERANCE
    )


def test_a_sentiment_model_without_topics_is_no_error():
    model = SentimentClassifier().fit(["a"], np.ones((1, 4)), np.zeros((0, 3)), label_X=np.zeros((0, 4)))
    none = np.zeros(0, dtype=int)
    assert model.predict(["a"], np.ones((1, 4)), none, none).shape == (0,)
    assert stored_and_loaded(model).n_topics_ == 0


WRONG_MOODS: dict[str, dict] = {
    "sentiment of 2": {"assignments": [[0, 0, 2]]},
    "topic that is not there": {"assignments": [[0, 5, 1]]},
    "topic before the first": {"assignments": [[0, -1, 1]]},
    "row that is not there": {"assignments": [[9, 0, 1]]},
    "row before the first": {"assignments": [[-1, 0, 1]]},
    "pairs without a sentiment": {"assignments": [[0, 0], [1, 0]]},
    "sentiment of 0.5": {"assignments": [[0, 0, 0.5]]},
    "vectors of other rows": {"X": np.ones((5, 4))},
    "X with nan": {"X": np.full((3, 4), np.nan)},
    "vectors of another width": {"X": np.ones((3, 5))},
    "texts of other topics": {"label_texts": ["only one"]},
}


@pytest.mark.parametrize("change", WRONG_MOODS)
def test_wrong_input_to_sentiment_is_a_value_error(change):
    arguments: dict = {
        "texts": ["good", "bad", "late"], "X": np.ones((3, 4)), "label_X": np.ones((2, 4)),
        "assignments": [[0, 0, 1], [1, 1, -1], [2, 0, 0], [0, 1, 0]],
    }  # fmt: skip
    with pytest.raises(ValueError):
        SentimentClassifier().fit(**(arguments | WRONG_MOODS[change]))


# The encoder, with a model that is not one


class LetterModel:
    """Counts letters; the same interface as a sentence-transformers model on the processor."""

    max_seq_length = 12

    def __init__(self):
        import torch

        self.device = torch.device("cpu")
        self.tokenizer = LetterTokenizer()

    def get_embedding_dimension(self):
        return 16

    def __call__(self, features):
        import torch

        ids, mask = features["input_ids"], features["attention_mask"]
        assert ids.shape[1] <= self.max_seq_length
        one_hot = torch.nn.functional.one_hot(ids % 16, 16).float() * mask[..., None]
        return {"sentence_embedding": one_hot.sum(dim=1)}


class LetterTokenizer:
    pad_token_id = 0
    model_input_names = ("input_ids", "attention_mask")

    def __call__(self, texts, add_special_tokens=True, **options):
        one = isinstance(texts, str)
        # A real tokenizer cannot take lone surrogates; `encode` fails on them like it.
        found = [list(text.encode("utf-8")) for text in ([texts] if one else texts)]
        found = [[1, *ids, 2] if add_special_tokens else ids for ids in found]
        return {"input_ids": found[0] if one else found}


@pytest.fixture(scope="module")
def letters():
    return Encoder(LetterModel(), name="letters", version="1", use_bfloat16=False)


@repeatable(60)
@given(st.lists(texts, max_size=6))
@example(list(ODD_TEXTS))
def test_any_text_has_a_vector_of_length_one_in_any_company(letters, texts):
    done: list[int] = []
    X = letters.encode(texts, progress=done.append)
    assert (X.shape, X.dtype) == ((len(texts), letters.n_features), np.float32)
    assert np.isfinite(X).all()
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-5)
    assert done == sorted(done)
    assert done[-1:] == [len(texts)][: len(texts)]
    np.testing.assert_array_equal(letters.encode(texts), X)
    np.testing.assert_allclose(letters.encode(texts[::-1])[::-1], X, atol=1e-5)
    for row, text in enumerate(texts[:2]):
        np.testing.assert_allclose(letters.encode([text])[0], X[row], atol=1e-5)
