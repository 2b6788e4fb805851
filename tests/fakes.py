"""Stand-ins for what is slow or far away. `ENCODER_CLASS=tests.fakes.HashEncoder` makes an encoder of words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from finetune.engine import TunedRows, WeightsMissingError

N_FEATURES = 64
_WORD = re.compile(r"\w+")


class HashEncoder:
    """Texts that share words get similar vectors; the same text always gets the same one."""

    name = "hash"
    key = "hash/1/numpy"
    n_features = N_FEATURES
    n_encoded = 0  # texts, over the life of the process

    @classmethod
    def load(cls, path: str | None = None, *, allow_download: bool = False) -> HashEncoder:
        return cls()

    def encode(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> np.ndarray:
        X = np.zeros((len(texts), N_FEATURES), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.lower()):
                X[row] += _word_vector(word[:5])
            if progress is not None and row % 100 == 99:
                progress(row + 1)
        type(self).n_encoded += len(texts)
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        return X / np.maximum(norms, 1e-9)


@lru_cache(maxsize=100_000)
def _word_vector(word: str) -> np.ndarray:
    seed = zlib.crc32(word.encode("utf-8", "replace"))
    return np.random.default_rng(seed).standard_normal(N_FEATURES).astype(np.float32)


class MissingEncoder:
    """An encoder whose weights are nowhere."""

    @classmethod
    def load(cls, path: str | None = None, *, allow_download: bool = False) -> Any:
        raise WeightsMissingError("The text encoder's weights are missing. Provide them in one of three ways: …")


class FakeTunedEncoder:
    """Stands in for fine-tuned copies of `HashEncoder`: vectors of words again, and heads that know nothing."""

    n_members = 4
    n_components = 16
    n_features = n_members * n_components

    def __init__(self, n_topics: int) -> None:
        self.heads = np.zeros((self.n_members, self.n_components + 1, n_topics), dtype=np.float32)

    def encode(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> np.ndarray:
        return HashEncoder().encode(texts, progress=progress)[:, : self.n_features]

    def rows(
        self,
        *,
        X: np.ndarray,
        is_unseen: np.ndarray,
        pool_X: np.ndarray,
        label_X: np.ndarray,
        columns: Sequence[int],
    ) -> TunedRows:
        split = lambda X: X.reshape(len(X), self.n_members, self.n_components)  # noqa: E731
        heads = np.zeros((self.n_members, self.n_components + 1, len(columns)), dtype=np.float32)
        return TunedRows(split(X), is_unseen, split(pool_X), split(label_X), heads)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "heads.npy").write_bytes(b"heads")

    @classmethod
    def load(cls, folder: Path, encoder: Any) -> FakeTunedEncoder:
        (folder / "heads.npy").read_bytes()
        return cls(0)
