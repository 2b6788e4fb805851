"""Topics from a few reviews."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from finetune.engine import TopicClassifier, TunedRows, assign, lexical_features, measured_f1
from finetune.engine import classifier as module

FIRST = np.arange(60)


def fitted(sample, reviewed=FIRST, **parameters) -> TopicClassifier:
    return TopicClassifier(**parameters).fit(**sample.fit_arguments(reviewed))


def f1_on_the_rest(sample, reviewed, model) -> float:
    pool = np.setdiff1d(np.arange(len(sample.texts)), reviewed)
    Y_hat = assign(model.predict_proba(sample.X[pool], sample.X_lex[pool]), model.thresholds_)
    return measured_f1(sample.Y[pool], Y_hat, average="micro")


def test_it_learns_from_reviews(sample):
    few, many = np.arange(10), np.arange(100)
    zero = f1_on_the_rest(sample, few[:0], fitted(sample, few[:0]))
    assert zero > 0.3  # topic texts alone
    assert f1_on_the_rest(sample, few, fitted(sample, few)) > zero
    assert f1_on_the_rest(sample, many, fitted(sample, many)) > 0.9


def test_it_beats_a_guess_without_words(sample):
    arguments = sample.fit_arguments(np.arange(100))
    for name in ("X_lex", "label_X_lex", "pool_X_lex"):
        arguments[name] = None
    model = TopicClassifier().fit(**arguments)
    pool = np.arange(100, 500)
    Y_hat = assign(model.predict_proba(sample.X[pool]), model.thresholds_)
    assert measured_f1(sample.Y[pool], Y_hat, average="micro") > 0.7


def test_leave_one_out_equals_fitting_without_the_row(sample):
    """The closed form of the ridges is exact; the vote's weights are shared, so they are held fixed here."""
    reviewed = np.arange(30)
    arguments = sample.fit_arguments(reviewed)
    full = TopicClassifier().fit(**arguments)
    for row in (0, 7, 29):
        rest = np.delete(reviewed, row)
        model = TopicClassifier().fit(
            **(arguments | {"X": sample.X[rest], "Y": sample.Y[rest], "X_lex": sample.X_lex[rest]})
        )
        # Rows of the pool, the centre and the rarity of words are the same in both fits.
        scores, _ = model._scores(sample.X[[row]], sample.X_lex[[row]])
        np.testing.assert_allclose(full._loo_scores[:, row], scores[:, 0], atol=2e-4)


def test_leave_one_out_of_many_rows_through_landmarks_is_exact(sample):
    reviewed = np.arange(80)
    arguments = sample.fit_arguments(reviewed)
    exact = TopicClassifier().fit(**arguments)
    through = TopicClassifier(max_landmarks=79).fit(**arguments)
    assert np.corrcoef(exact.loo_proba_.ravel(), through.loo_proba_.ravel())[0, 1] > 0.98
    few = TopicClassifier(max_landmarks=20).fit(**arguments)
    assert f1_on_the_rest(sample, reviewed, few) > 0.55


def test_the_same_data_gives_the_same_model(sample):
    first, second = fitted(sample), fitted(sample)
    for name, array in first.to_arrays().items():
        np.testing.assert_array_equal(array, second.to_arrays()[name], err_msg=name)


@pytest.mark.parametrize("n_reviewed", [0, 1, 60])
@pytest.mark.parametrize("with_words", [True, False])
def test_a_stored_model_predicts_the_same_bit_for_bit(sample, n_reviewed, with_words):
    arguments = sample.fit_arguments(np.arange(n_reviewed))
    if not with_words:
        arguments |= {"X_lex": None, "label_X_lex": None, "pool_X_lex": None}
    model = TopicClassifier().fit(**arguments)
    stream = io.BytesIO()
    np.savez(stream, **model.to_arrays())
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as arrays:
        again = TopicClassifier.from_arrays(arrays)
    words = sample.X_lex if with_words else None
    np.testing.assert_array_equal(model.predict_proba(sample.X, words), again.predict_proba(sample.X, words))
    np.testing.assert_array_equal(model.thresholds_, again.thresholds_)
    np.testing.assert_array_equal(model.loo_proba_, again.loo_proba_)
    assert again.get_params() == model.get_params()


def test_a_model_of_another_format_is_refused(sample):
    arrays = fitted(sample).to_arrays() | {"format": np.array(999)}
    with pytest.raises(ValueError, match="999"):
        TopicClassifier.from_arrays(arrays)


def test_predicting_in_chunks_changes_nothing(sample, monkeypatch):
    model = fitted(sample)
    whole = model.predict_proba(sample.X, sample.X_lex)
    monkeypatch.setattr(module, "PREDICT_CHUNK_VALUES", 1)
    np.testing.assert_allclose(model.predict_proba(sample.X, sample.X_lex), whole, atol=1e-5)


def test_float16_vectors_are_good_enough(sample):
    model = fitted(sample)
    whole = model.predict_proba(sample.X, sample.X_lex)
    half = model.predict_proba(sample.X.astype(np.float16), sample.X_lex)
    np.testing.assert_allclose(half, whole, atol=0.01)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), n_reviewed=st.integers(1, 40))
def test_order_of_rows_and_topics_does_not_matter(sample, seed, n_reviewed):
    rng = np.random.default_rng(seed)
    rows, topics = rng.permutation(n_reviewed), rng.permutation(sample.Y.shape[1])
    arguments = sample.fit_arguments(np.arange(n_reviewed))
    plain = TopicClassifier().fit(**arguments)
    for name in ("X", "Y", "X_lex"):
        arguments[name] = arguments[name][rows]
    arguments["Y"] = arguments["Y"][:, topics]
    for name in ("label_X", "label_X_lex"):
        arguments[name] = arguments[name][topics]
    shuffled = TopicClassifier().fit(**arguments)
    np.testing.assert_allclose(
        shuffled.predict_proba(sample.X, sample.X_lex),
        plain.predict_proba(sample.X, sample.X_lex)[:, topics],
        atol=2e-3,
    )


@settings(max_examples=25, deadline=None)
@given(
    n_reviewed=st.integers(0, 12),
    n_topics=st.integers(0, 5),
    n_pool=st.integers(0, 12),
    seed=st.integers(0, 100),
    alike=st.booleans(),
)
def test_any_shape_gives_probabilities(n_reviewed, n_topics, n_pool, seed, alike):
    rng = np.random.default_rng(seed)

    def vectors(n):
        X = rng.normal(size=(n, 8)).astype(np.float32)
        return np.ones_like(X) if alike else X

    def words(n):
        return lexical_features(["same words" if alike else f"word {rng.integers(5)} 🙂" for _ in range(n)])

    Y = rng.integers(0, 2, (n_reviewed, n_topics))
    model = TopicClassifier().fit(
        vectors(n_reviewed), Y, label_X=vectors(n_topics), X_lex=words(n_reviewed), label_X_lex=words(n_topics),
        pool_X=vectors(n_pool), pool_X_lex=words(n_pool),
    )  # fmt: skip
    Y_prob = model.predict_proba(vectors(7), words(7))
    assert Y_prob.shape == (7, n_topics)
    assert Y_prob.dtype == np.float32
    assert ((Y_prob > 0) & (Y_prob < 1)).all()
    assert model.loo_proba_.shape == (n_reviewed, n_topics)
    assert model.thresholds_.shape == (n_topics,)
    assert ((model.thresholds_ > 0) & (model.thresholds_ < 1)).all()


def test_contradictory_reviews_end_near_the_middle(sample):
    rows = np.repeat(np.arange(20), 2)
    Y = sample.Y[rows].copy()
    Y[::2], Y[1::2] = 1, 0
    arguments = sample.fit_arguments(np.arange(20)) | {"X": sample.X[rows], "Y": Y, "X_lex": sample.X_lex[rows]}
    Y_prob = TopicClassifier().fit(**arguments).predict_proba(sample.X[:20], sample.X_lex[:20])
    assert abs(float(Y_prob.mean()) - 0.5) < 0.25


def test_a_topic_without_example_keeps_a_chance(sample):
    arguments = sample.fit_arguments(np.arange(60))
    arguments["Y"] = arguments["Y"].copy()
    arguments["Y"][:, 0] = 0
    Y_prob = TopicClassifier().fit(**arguments).predict_proba(sample.X, sample.X_lex)
    assert np.isfinite(Y_prob).all()
    about_it = sample.Y[:, 0] == 1
    assert Y_prob[about_it, 0].mean() >= Y_prob[~about_it, 0].mean()


def test_800_topics(sample):
    rng = np.random.default_rng(0)
    label_X = rng.normal(size=(800, 64)).astype(np.float32)
    Y = np.zeros((60, 800), dtype=int)
    Y[np.arange(60), rng.integers(0, 800, 60)] = 1
    arguments = sample.fit_arguments(FIRST) | {"Y": Y, "label_X": label_X}
    arguments["label_X_lex"] = lexical_features([f"topic {i}" for i in range(800)])
    model = TopicClassifier().fit(**arguments)
    assert model.predict_proba(sample.X, sample.X_lex).shape == (500, 800)


def test_heavier_rows_count_more(sample):
    weight = np.where(np.arange(60) < 30, 1.0, 1e-3)
    weighted = TopicClassifier().fit(**sample.fit_arguments(FIRST), sample_weight=weight)
    half = fitted(sample, np.arange(30))
    plain = fitted(sample)
    rest = slice(60, None)
    distance = [
        np.abs(
            model.predict_proba(sample.X[rest], sample.X_lex[rest])
            - half.predict_proba(sample.X[rest], sample.X_lex[rest])
        ).mean()
        for model in (weighted, plain)
    ]
    assert distance[0] < distance[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Y": np.full((60, 6), 2)}, "0 and 1"),
        ({"Y": np.zeros((59, 6), dtype=int)}, "59"),
        ({"Y": np.zeros((60, 5), dtype=int)}, "5 topics"),
        ({"label_X": np.zeros((6, 3))}, "3"),
        ({"sample_weight": np.zeros(60)}, "sample_weight"),
        ({"pool_X_lex": None}, "pool_X_lex"),
    ],
)
def test_wrong_input_is_named(sample, change, words):
    with pytest.raises(ValueError, match=words):
        TopicClassifier().fit(**(sample.fit_arguments(FIRST) | change))


def test_it_must_be_fitted_first(sample):
    with pytest.raises(NotFittedError):
        TopicClassifier().predict_proba(sample.X)
    with pytest.raises(NotFittedError):
        TopicClassifier().to_arrays()


def test_topic_words_are_the_words_of_the_topic(sample):
    weights = fitted(sample, np.arange(100)).topic_words()
    assert weights.shape[0] == 6
    assert weights.nnz
    assert weights.data.min() > 0
    assert weights.data.max() <= 1
    courier = lexical_features(["courier"]).indices[0]
    assert weights[0, courier] > weights[1, courier]


# --- with a fine-tuned encoder --------------------------------------------------------------------
N_MEMBERS = 4
FEW = np.arange(40)


class MadeUpTuned:
    """Vectors of copies of an encoder that know of each (row, member) the answer, or nothing.

    A copy that knows has the row's topics in its vector, and its head reads them off; what it does not know is
    noise of the same kind.
    """

    def __init__(self, sample, knows: np.ndarray, *, seed: int = 0):
        rng = np.random.default_rng(seed)
        n, k = sample.Y.shape
        d = k + 2
        guess = rng.permutation(sample.Y)  # as many topics as the truth, of another row
        told = np.where(
            knows[:, :, None], sample.Y[:, None], np.stack([rng.permutation(guess)] * N_MEMBERS, axis=1)
        )
        self.X = 0.2 * rng.normal(size=(n, N_MEMBERS, d)).astype(np.float32)
        self.X[:, :, :k] += told
        self.label_X = np.zeros((k, N_MEMBERS, d), dtype=np.float32)
        self.label_X[:, :, :k] = np.eye(k)[:, None]
        self.heads = np.zeros((N_MEMBERS, d + 1, k), dtype=np.float32)
        self.heads[:, :k] = 8 * np.eye(k)
        self.heads[:, -1] = -4
        self.part = np.arange(n) % N_MEMBERS

    def rows(self, reviewed, is_unseen=None) -> TunedRows:
        pool = np.setdiff1d(np.arange(len(self.X)), reviewed)
        if is_unseen is None:
            is_unseen = self.part[reviewed][:, None] == np.arange(N_MEMBERS)
        return TunedRows(
            X=self.X[reviewed], is_unseen=is_unseen, pool_X=self.X[pool], label_X=self.label_X, heads=self.heads
        )


def micro_f1(sample, model, reviewed, X_tuned=None) -> float:
    pool = np.setdiff1d(np.arange(len(sample.texts)), reviewed)
    vectors = X_tuned[pool] if X_tuned is not None else None
    Y_hat = assign(model.predict_proba(sample.X[pool], sample.X_lex[pool], vectors), model.thresholds_)
    return measured_f1(sample.Y[pool], Y_hat, average="micro")


def loo_f1(sample, model, reviewed) -> float:
    return measured_f1(sample.Y[reviewed], assign(model.loo_proba_, model.thresholds_), average="micro")


def everywhere(sample, value: bool) -> np.ndarray:
    return np.full((len(sample.texts), N_MEMBERS), value)


def test_a_fine_tuned_encoder_that_knows_lifts_f1(sample):
    tuned = MadeUpTuned(sample, everywhere(sample, True))
    plain = fitted(sample, FEW)
    model = TopicClassifier().fit(**sample.fit_arguments(FEW), tuned=tuned.rows(FEW))
    assert micro_f1(sample, model, FEW, tuned.X) > max(0.95, micro_f1(sample, plain, FEW) + 0.05)
    assert loo_f1(sample, model, FEW) > loo_f1(sample, plain, FEW)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fine_tuned_encoder_that_knows_nothing_does_little_harm(sample, seed):
    tuned = MadeUpTuned(sample, everywhere(sample, False), seed=seed)
    plain = fitted(sample, FIRST)
    model = TopicClassifier().fit(**sample.fit_arguments(FIRST), tuned=tuned.rows(FIRST))
    assert micro_f1(sample, model, FIRST, tuned.X) > micro_f1(sample, plain, FIRST) - 0.04


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fine_tuned_encoder_that_memorised_the_reviews_is_not_believed(sample, seed):
    """Copies that know the rows they were trained on and nothing else: cross-fitting must see through it."""
    knows = everywhere(sample, False)
    knows[FIRST] = MadeUpTuned(sample, knows).part[FIRST][:, None] != np.arange(N_MEMBERS)
    tuned = MadeUpTuned(sample, knows, seed=seed)
    plain = fitted(sample, FIRST)
    honest = TopicClassifier().fit(**sample.fit_arguments(FIRST), tuned=tuned.rows(FIRST))
    all_unseen = np.ones((len(FIRST), N_MEMBERS), dtype=bool)
    deceived = TopicClassifier().fit(**sample.fit_arguments(FIRST), tuned=tuned.rows(FIRST, all_unseen))
    assert loo_f1(sample, honest, FIRST) < loo_f1(sample, plain, FIRST) + 0.04
    assert loo_f1(sample, deceived, FIRST) > loo_f1(sample, honest, FIRST) + 0.05
    assert micro_f1(sample, honest, FIRST, tuned.X) > micro_f1(sample, deceived, FIRST, tuned.X) + 0.1
    assert micro_f1(sample, honest, FIRST, tuned.X) > micro_f1(sample, plain, FIRST) - 0.06


def test_predictions_need_the_fine_tuned_vectors(sample):
    tuned = MadeUpTuned(sample, everywhere(sample, True))
    model = TopicClassifier().fit(**sample.fit_arguments(FEW), tuned=tuned.rows(FEW))
    assert model.needs_tuned
    for vectors in (None, tuned.X[:7]):
        with pytest.raises(ValueError, match="vectors are missing"):
            model.predict_proba(sample.X, sample.X_lex, vectors)
    assert not fitted(sample).needs_tuned


def test_a_fine_tuned_encoder_is_left_out_without_reviews_or_pool(sample):
    tuned = MadeUpTuned(sample, everywhere(sample, True))
    none = FEW[:0]
    model = TopicClassifier().fit(**sample.fit_arguments(none), tuned=tuned.rows(none))
    assert not model.needs_tuned
    np.testing.assert_array_equal(
        model.predict_proba(sample.X, sample.X_lex), fitted(sample, none).predict_proba(sample.X, sample.X_lex)
    )
    arguments = sample.fit_arguments(FEW) | {"pool_X": None, "pool_X_lex": None}
    assert not TopicClassifier().fit(**arguments, tuned=tuned.rows(FEW)).needs_tuned


@pytest.mark.parametrize("with_words", [True, False])
def test_a_stored_model_with_fine_tuned_vectors_predicts_the_same_bit_for_bit(sample, with_words):
    tuned = MadeUpTuned(sample, everywhere(sample, True))
    arguments = sample.fit_arguments(FEW)
    if not with_words:
        arguments |= {"X_lex": None, "label_X_lex": None, "pool_X_lex": None}
    model = TopicClassifier().fit(**arguments, tuned=tuned.rows(FEW))
    stream = io.BytesIO()
    np.savez(stream, **model.to_arrays())
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as arrays:
        again = TopicClassifier.from_arrays(arrays)
    assert again.needs_tuned
    words = sample.X_lex if with_words else None
    np.testing.assert_array_equal(
        model.predict_proba(sample.X, words, tuned.X), again.predict_proba(sample.X, words, tuned.X)
    )
    np.testing.assert_array_equal(model.loo_proba_, again.loo_proba_)


def test_fine_tuned_vectors_in_half_precision_and_in_chunks_are_good_enough(sample, monkeypatch):
    tuned = MadeUpTuned(sample, everywhere(sample, True))
    model = TopicClassifier().fit(**sample.fit_arguments(FEW), tuned=tuned.rows(FEW))
    whole = model.predict_proba(sample.X, sample.X_lex, tuned.X)
    monkeypatch.setattr(module, "PREDICT_CHUNK_VALUES", 1)
    np.testing.assert_allclose(model.predict_proba(sample.X, sample.X_lex, tuned.X), whole, atol=1e-5)
    half = tuned.X.astype(np.float16)
    np.testing.assert_allclose(model.predict_proba(sample.X, sample.X_lex, half), whole, atol=0.01)


def test_fine_tuned_vectors_that_do_not_fit_are_named(sample):
    tuned = MadeUpTuned(sample, everywhere(sample, True))
    rows = tuned.rows(FEW)
    for change in (
        {"X": rows.X[:-1]},
        {"X": rows.X[:, :, :-1]},
        {"label_X": rows.label_X[:-1]},
        {"heads": rows.heads[:, :, :-1]},
        {"X": rows.X[:, :-1]},
        {"is_unseen": rows.is_unseen[:-1]},
        {"is_unseen": rows.is_unseen[:, :-1]},
        {"pool_X": rows.pool_X[:-1]},
        {"pool_X": rows.pool_X[:, :, :-1]},
    ):
        with pytest.raises(ValueError, match=rf"tuned\.{next(iter(change))} must be"):
            TopicClassifier().fit(**sample.fit_arguments(FEW), tuned=replace(rows, **change))
