"""A stand-in for the sentence encoder: as wide, no weights, thousands of times faster.

For measurements of the application itself and for tests that start real workers. A text's vector is the
mean of fixed random vectors of its words, so texts with words in common are near each other, and every
process gives the same text the same vector. Choose it with

    ENCODER_CLASS=bench.quick_encoder.QuickEncoder
    QUICK_ENCODER_TEXTS_PER_S=500      (optional: as slow as that)
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Callable, Sequence

import numpy as np

BLOCK_TEXTS = 128


class QuickEncoder:
    """Same interface as `finetune.engine.Encoder`."""

    name = "quick"
    key = "quick/1"
    n_features = 384

    def __init__(self) -> None:
        self._words: dict[str, np.ndarray] = {}
        self.texts_per_s = float(os.environ.get("QUICK_ENCODER_TEXTS_PER_S", "0"))

    @classmethod
    def load(cls, path: str | None = None, *, allow_download: bool = False) -> QuickEncoder:
        return cls()

    def encode(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return float32 vectors of length one, shape (n_texts, n_features)."""
        X = np.zeros((len(texts), self.n_features), dtype=np.float32)
        for start in range(0, len(texts), BLOCK_TEXTS):
            for i, text in enumerate(texts[start : start + BLOCK_TEXTS], start):
                X[i] = self._vector(text)
            n_done = min(start + BLOCK_TEXTS, len(texts))
            if self.texts_per_s:
                time.sleep((n_done - start) / self.texts_per_s)
            if progress:
                progress(n_done)
        return X

    def _vector(self, text: str) -> np.ndarray:
        words = re.findall(r"\w+", text.casefold()) or [text]
        known = self._words
        total = np.zeros(self.n_features, dtype=np.float32)
        for word in words:
            vector = known.get(word)
            if vector is None:
                rng = np.random.default_rng(zlib.crc32(word.encode()))
                vector = known[word] = rng.standard_normal(self.n_features).astype(np.float32)
            total += vector
        length = float(np.linalg.norm(total))
        return total / length if length else total
