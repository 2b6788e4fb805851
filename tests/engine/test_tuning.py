"""Fine-tuned copies of the encoder: what goes in, what comes out, what is stored."""

import errno
import json
import sys
import time

import numpy as np
import pytest

from finetune.engine import Encoder, TopicClassifier, assign, lexical_features, measured_f1, topic_prompt
from finetune.engine.encoder import resolve_weights
from finetune.engine.tuning import TunedEncoder, TuningOptions, tune, tuning_parts
from tests.engine.samples import TOPICS, answers

N_REVIEWED = 24
OPTIONS = TuningOptions(n_members=2, epochs=6, min_epochs=6, max_tokens=32)
PROMPTS = [topic_prompt(topic) for topic in TOPICS]
N_MEMBERS, N_COMPONENTS, N_TOPICS = 2, 3, 4


class PlainEncoder:
    """As much of an encoder as checks and projections need."""

    n_features = 5
    key = "plain/1"


def made_up(seed: int = 0) -> TunedEncoder:
    """Return a fine-tuned encoder without copies, for what its heads and shapes do."""
    rng = np.random.default_rng(seed)
    tuned = TunedEncoder.__new__(TunedEncoder)
    tuned.n_members, tuned.n_components = N_MEMBERS, N_COMPONENTS
    tuned.n_features = N_MEMBERS * N_COMPONENTS
    tuned.heads = rng.normal(size=(N_MEMBERS, N_COMPONENTS + 1, N_TOPICS)).astype(np.float32)
    return tuned


def label_vectors(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, N_MEMBERS * N_COMPONENTS)).astype(np.float32)


# --- what goes in ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("n_texts", "shape", "words"),
    [
        (8, (7, 2), r"shape \(7, 2\) for 8 texts and 2 topics"),
        (8, (8, 3), r"shape \(8, 3\) for 8 texts and 2 topics"),
        (8, (8,), r"shape \(8,\)"),
        (7, (7, 2), "at least 8 reviews, got 7"),
        (0, (0, 2), "at least 8 reviews, got 0"),
    ],
)
def test_wrong_input_is_named(n_texts, shape, words):
    with pytest.raises(ValueError, match=words):
        tune(PlainEncoder(), ["text"] * n_texts, np.zeros(shape), prompts=["a", "b"], pool_texts=["text"])


def test_topics_are_needed():
    with pytest.raises(ValueError, match="0 topics"):
        tune(PlainEncoder(), ["text"] * 8, np.zeros((8, 0)), prompts=[], pool_texts=["text"])


@pytest.mark.parametrize(("n_reviewed", "n_members"), [(8, 4), (9, 4), (11, 4), (300, 4), (5, 2), (0, 4)])
def test_parts_are_balanced_and_repeat(n_reviewed, n_members):
    parts = tuning_parts(n_reviewed, n_members, random_state=3)
    counts = np.bincount(parts, minlength=n_members)
    assert len(parts) == n_reviewed
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(parts, tuning_parts(n_reviewed, n_members, random_state=3))


def test_another_seed_gives_other_parts():
    assert (tuning_parts(100, 4, random_state=1) != tuning_parts(100, 4, random_state=2)).any()


# --- heads and shapes -----------------------------------------------------------------------------
def test_heads_follow_the_order_of_topics():
    tuned = made_up()
    heads = tuned.heads_for([2, 0, 3], label_vectors(3))
    np.testing.assert_array_equal(heads, tuned.heads[:, :, [2, 0, 3]])
    assert heads.dtype == np.float32
    assert tuned.heads_for([], label_vectors(0)).shape == (N_MEMBERS, N_COMPONENTS + 1, 0)


def test_the_head_of_a_new_topic_points_at_its_text():
    tuned, labels = made_up(), label_vectors(3)
    heads = tuned.heads_for([1, -1, 0], labels)
    np.testing.assert_array_equal(heads[:, :, [0, 2]], tuned.heads[:, :, [1, 0]])
    usual = np.linalg.norm(tuned.heads[:, :-1], axis=1).mean(axis=1)
    for member in range(N_MEMBERS):
        text = labels[1].reshape(N_MEMBERS, N_COMPONENTS)[member]
        expected = usual[member] * text / np.linalg.norm(text)
        np.testing.assert_allclose(heads[member, :-1, 1], expected, rtol=1e-5)
        np.testing.assert_allclose(heads[member, -1, 1], tuned.heads[member, -1].mean(), rtol=1e-5)


def test_new_topics_alone_and_empty_texts_have_finite_heads():
    tuned = made_up()
    tuned.heads = tuned.heads[:, :, :0]
    heads = tuned.heads_for([-1, -1], np.zeros((2, N_MEMBERS * N_COMPONENTS), dtype=np.float32))
    assert heads.shape == (N_MEMBERS, N_COMPONENTS + 1, 2)
    assert np.isfinite(heads).all()


def test_rows_and_split_have_the_shapes_the_classifier_reads():
    tuned = made_up()
    X, pool = label_vectors(5), label_vectors(7)
    split = tuned.split(X)
    assert split.shape == (5, N_MEMBERS, N_COMPONENTS)
    np.testing.assert_array_equal(split[2, 1], X[2, N_COMPONENTS:])
    is_unseen = np.ones((5, N_MEMBERS), dtype=bool)
    rows = tuned.rows(
        X=X, is_unseen=is_unseen, pool_X=pool, label_X=label_vectors(2).astype(np.float16), columns=[3, -1]
    )
    assert rows.X.shape == (5, N_MEMBERS, N_COMPONENTS)
    assert rows.pool_X.shape == (7, N_MEMBERS, N_COMPONENTS)
    assert rows.label_X.shape == (2, N_MEMBERS, N_COMPONENTS)
    assert rows.label_X.dtype == np.float32
    assert rows.heads.shape == (N_MEMBERS, N_COMPONENTS + 1, 2)
    assert rows.is_unseen is is_unseen


# --- with the real encoder ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def encoder():
    if resolve_weights() is None:
        pytest.skip("no encoder weights on this machine")
    return Encoder.load()


@pytest.fixture(scope="module")
def data():
    return answers(200)


def train(encoder, data, **arguments):
    texts, Y, _ = data
    return tune(
        encoder, texts[:N_REVIEWED], Y[:N_REVIEWED], prompts=PROMPTS, pool_texts=texts[N_REVIEWED:],
        **({"options": OPTIONS} | arguments),
    )  # fmt: skip


def state_of(encoder, texts):
    """Return what training must leave alone."""
    return encoder.model.training, encoder.model[0].auto_model.config._attn_implementation, encoder.encode(texts)


@pytest.fixture(scope="module")
def before(encoder, data):
    return state_of(encoder, data[0][:20])


@pytest.fixture(scope="module")
def trained(encoder, data, before):
    shares: list[float] = []
    tuned, part = train(encoder, data, progress=shares.append)
    return tuned, part, shares


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "new" / "folder"
    trained[0].save(folder)
    return folder


def copy_of(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_the_same_reviews_give_the_same_copies(encoder, data, trained):
    tuned, part, _ = trained
    again, part_again = train(encoder, data)
    np.testing.assert_array_equal(part, part_again)
    np.testing.assert_array_equal(part, tuning_parts(N_REVIEWED, OPTIONS.n_members))
    np.testing.assert_array_equal(tuned.heads, again.heads)
    np.testing.assert_array_equal(tuned.encode(data[0][:60]), again.encode(data[0][:60]))


def test_training_changes_the_copies_and_not_the_encoder(encoder, data, before, trained):
    texts = data[0][:20]
    after = state_of(encoder, texts)
    assert after[:2] == before[:2]
    np.testing.assert_array_equal(after[2], before[2])
    for copy in trained[0]._members:
        assert np.abs(copy.encode(texts) - before[2]).max() > 0.01


def test_progress_goes_up_to_at_most_one(trained):
    shares = trained[2]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_the_pipeline_from_texts_to_probabilities(encoder, data, trained):
    """Cross-fitting, the classifier's need of the vectors, and a better F1 than without."""
    texts, Y, _ = data
    tuned, part, _ = trained
    X, tuned_X, X_lex = encoder.encode(texts), tuned.encode(texts), lexical_features(texts)
    assert tuned_X.shape == (200, tuned.n_features)
    seen, pool = slice(0, N_REVIEWED), slice(N_REVIEWED, None)
    arguments = {
        "X": X[seen], "Y": Y[seen], "label_X": encoder.encode(PROMPTS), "X_lex": X_lex[seen],
        "label_X_lex": lexical_features(PROMPTS), "pool_X": X[pool], "pool_X_lex": X_lex[pool],
    }  # fmt: skip

    def fitted(is_unseen):
        rows = tuned.rows(
            X=tuned_X[seen], is_unseen=is_unseen, pool_X=tuned_X[pool], label_X=tuned.encode(PROMPTS),
            columns=range(len(PROMPTS)),
        )  # fmt: skip
        return TopicClassifier().fit(**arguments, tuned=rows)

    plain = TopicClassifier().fit(**arguments)
    crossed = fitted(part[:, None] == np.arange(tuned.n_members))
    believing = fitted(np.ones((N_REVIEWED, tuned.n_members), dtype=bool))
    assert crossed.needs_tuned
    assert not plain.needs_tuned
    with pytest.raises(ValueError, match="vectors are missing"):
        crossed.predict_proba(X[pool], X_lex[pool])

    def loo_loss(model):
        return -np.log(np.where(Y[seen] == 1, model.loo_proba_, 1 - model.loo_proba_)).mean()

    # Members that have seen a row know its answer: with their word the reviews look easier than they are.
    assert loo_loss(believing) < loo_loss(crossed)
    f1 = [
        measured_f1(Y[pool], assign(model.predict_proba(X[pool], X_lex[pool], vectors), model.thresholds_))
        for model, vectors in ((plain, None), (crossed, tuned.split(tuned_X[pool])))
    ]
    assert f1[1] > f1[0] - 0.02


def test_stored_copies_give_equal_vectors(encoder, data, trained, saved):
    again = TunedEncoder.load(saved, encoder)
    np.testing.assert_array_equal(trained[0].heads, again.heads)
    np.testing.assert_array_equal(trained[0].encode(data[0][:60]), again.encode(data[0][:60]))
    assert not list(saved.glob("*.pkl"))
    assert (trained[0].n_members, trained[0].n_features) == (again.n_members, again.n_features)


def test_progress_of_encoding_counts_texts(trained, data):
    steps: list[int] = []
    trained[0].encode(data[0] * 3, progress=steps.append)
    assert steps == sorted(steps)
    assert all(0 <= step <= 600 for step in steps)


class StopError(Exception):
    """What a progress callback raises when a job is cancelled."""


def stop_at_once(_share: float) -> None:
    raise StopError


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_stopped_training_ends_soon(encoder, data, n_threads):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    began = time.perf_counter()
    try:
        with pytest.raises(StopError):
            # Hours of work, of which a second or two may be done.
            train(encoder, data, options=TuningOptions(epochs=100_000, token_budget=10**12), progress=stop_at_once)
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert time.perf_counter() - began < 15


def test_a_stopped_encoding_ends_soon(trained, data):
    import torch

    before = torch.get_num_threads()
    texts = [f"{text} {i} {'and so on ' * 40}" for i in range(60) for text in data[0]]
    began = time.perf_counter()
    with pytest.raises(StopError):
        trained[0].encode(texts, progress=stop_at_once)
    assert time.perf_counter() - began < 15
    assert torch.get_num_threads() == before


def test_an_error_in_one_copy_ends_the_others(encoder, data, monkeypatch):
    from finetune.engine import tuning as module

    run = module._Training.run

    def fail_in_the_second(self, epochs, stop):
        if self.random_state % 2:
            raise RuntimeError("out of memory")
        return run(self, epochs, stop)

    monkeypatch.setattr(module._Training, "run", fail_in_the_second)
    began = time.perf_counter()
    with pytest.raises(RuntimeError, match="out of memory"):
        train(encoder, data, options=TuningOptions(n_members=2, epochs=100_000, token_budget=10**12))
    assert time.perf_counter() - began < 15


@pytest.mark.parametrize("name", ["weights.safetensors", "arrays.npz", "meta.json"])
def test_missing_and_damaged_files_are_named(encoder, saved, tmp_path, name):
    folder = copy_of(saved, tmp_path)
    content = (folder / name).read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"\x80nonsense" * 9):
        (folder / name).write_bytes(damaged)
        with pytest.raises(OSError, match=rf"{name}.* is damaged\."):
            TunedEncoder.load(folder, encoder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        TunedEncoder.load(folder, encoder)


def test_weights_of_another_shape_are_refused(encoder, saved, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copy_of(saved, tmp_path)
    tensors = load_file(folder / "weights.safetensors")
    save_file(
        {name: one for name, one in tensors.items() if name.startswith("0/")}, folder / "weights.safetensors"
    )
    with pytest.raises(OSError, match="layers of copy 1"):
        TunedEncoder.load(folder, encoder)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_weights_that_cannot_be_written_are_an_error_of_the_system(encoder, saved, tmp_path):
    import resource

    tuned = TunedEncoder.load(saved, encoder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="large") as caught:
            tuned.save(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG


def test_arrays_that_lack_one_are_refused(encoder, saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    np.savez(folder / "arrays.npz", center=np.zeros((2, 3)))
    with pytest.raises(OSError, match=r"arrays\.npz is damaged"):
        TunedEncoder.load(folder, encoder)


@pytest.mark.parametrize("change", [{"encoder": "other/12345678/torch-f32"}, {"format": 999}])
def test_copies_of_another_encoder_or_format_are_refused(encoder, saved, tmp_path, change):
    folder = copy_of(saved, tmp_path)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | change))
    with pytest.raises(ValueError, match="another encoder or by another release"):
        TunedEncoder.load(folder, encoder)
