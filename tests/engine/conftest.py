"""Features of the made-up answers, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp

from finetune.engine import Clauses, lexical_features, read_clauses, topic_prompt
from tests.engine.samples import TOPICS, answers
from tests.fakes import HashEncoder


@dataclass(frozen=True)
class Sample:
    """Made-up answers as the engine sees them."""

    texts: list[str]
    Y: np.ndarray
    mood: np.ndarray
    X: np.ndarray
    X_lex: sp.csr_matrix
    clauses: Clauses
    label_X: np.ndarray  # noqa: N815  (the field's name)
    label_X_lex: sp.csr_matrix  # noqa: N815

    def fit_arguments(self, reviewed: np.ndarray, topics: slice = slice(None)) -> dict:
        pool = np.setdiff1d(np.arange(len(self.texts)), reviewed)
        return {
            "X": self.X[reviewed],
            "Y": self.Y[reviewed][:, topics],
            "label_X": self.label_X[topics],
            "X_lex": self.X_lex[reviewed],
            "label_X_lex": self.label_X_lex[topics],
            "pool_X": self.X[pool],
            "pool_X_lex": self.X_lex[pool],
        }


@pytest.fixture(scope="session")
def sample() -> Sample:
    texts, Y, mood = answers(500)
    encoder = HashEncoder()
    prompts = [topic_prompt(topic) for topic in TOPICS]
    return Sample(
        texts,
        Y,
        mood,
        encoder.encode(texts),
        lexical_features(texts),
        read_clauses(texts),
        encoder.encode(prompts),
        lexical_features(prompts),
    )
