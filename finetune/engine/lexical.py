"""Words of a text as a sparse vector: what sentence vectors blur (names, product words, rare terms) stays visible.

Stateless: a text's features depend on the text alone, so they can be cached per text and never need refitting.
How rare a feature is (IDF) is learned from the pool inside `TopicClassifier.fit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
from sklearn.utils import murmurhash3_32

N_LEXICAL_FEATURES = 2**18
PREFIX_LENGTHS = (4, 6)  # crude stems: "deliver|y", "deliver|ed", "deliver|ies"
MAX_TEXT_CHARS = 20_000

_WORD = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]", re.UNICODE)
# Scripts that do not put spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def lexical_features(texts: Sequence[str]) -> sp.csr_matrix:
    """Return damped counts of words, word beginnings and word pairs, hashed into a fixed number of columns.

    About 55 stored values for a text of 21 words, a quarter of what character 3-5-grams need, at equal F1 on
    the three data sets of `docs/learning.md`. Writing without spaces is cut into single characters and pairs.

    Parameters
    ----------
    texts : sequence of str
        Longer texts than `MAX_TEXT_CHARS` are cut.

    Returns
    -------
    X_lex : csr_matrix of shape (n_texts, N_LEXICAL_FEATURES), float32
        1 + ln(count), not normalised; indices sorted within a row.
    """
    cache: dict[str, int] = {}
    indptr = np.zeros(len(texts) + 1, dtype=np.int64)
    indices: list[int] = []
    data: list[int] = []
    for row, text in enumerate(texts):
        counts: dict[int, int] = {}
        for feature in _features(text[:MAX_TEXT_CHARS].lower()):
            column = cache.get(feature)
            if column is None:
                if len(cache) > 2_000_000:  # bounded memory on endless streams of new word pairs
                    cache.clear()
                hashed = murmurhash3_32(feature.encode("utf-8", "replace"), positive=True)
                column = cache[feature] = hashed % N_LEXICAL_FEATURES
            counts[column] = counts.get(column, 0) + 1
        columns = sorted(counts)
        indices += columns
        data += [counts[column] for column in columns]
        indptr[row + 1] = len(indices)
    values = 1.0 + np.log(np.asarray(data, dtype=np.float32))
    shape = (len(texts), N_LEXICAL_FEATURES)
    return sp.csr_matrix((values.astype(np.float32), np.asarray(indices, dtype=np.int32), indptr), shape=shape)


def _features(text: str) -> Iterator[str]:
    previous = ""
    for word in _WORD.findall(text):
        if _UNSPACED.search(word):
            yield from word
            yield from (word[i : i + 2] for i in range(len(word) - 1))
            previous = ""
            continue
        if not word[0].isalnum() and word[0] != "_":
            # Emoji and signs carry topics and moods; commas and full stops only end a word pair.
            if word not in ".,;:()[]\"'…-–/":
                yield word
            previous = ""
            continue
        yield word
        for length in PREFIX_LENGTHS:
            if len(word) > length:
                yield "^" + word[:length]
        if previous:
            yield previous + " " + word
        previous = word
