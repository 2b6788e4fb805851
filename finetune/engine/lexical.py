"""Words of a text as a sparse vector: what sentence vectors blur (names, product words, rare terms) stays visible.

Stateless: a text's features depend on the text alone, so they can be cached per text and never need refitting.
How rare a feature is (IDF) is learned from the pool inside `TopicClassifier.fit`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.utils import murmurhash3_32

N_LEXICAL_FEATURES = 2**18
PREFIX_LENGTHS = (4, 6)  # crude stems: "deliver|y", "deliver|ed", "deliver|ies"
MAX_TEXT_CHARS = 20_000

_WORD = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]", re.UNICODE)
# Scripts that do not put spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def word_set(*lines: str) -> frozenset[str]:
    """Return the words of lines of a list, as it is written down in code."""
    return frozenset(" ".join(lines).split())


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


@dataclass(frozen=True)
class LocatedWord:
    """A piece of a text that a person sees as one word, sign or character, and the features it takes part in.

    Attributes
    ----------
    start, end : int
        Place in the text as it was given.
    features : tuple of (int, float)
        Column of `lexical_features` and the word's share in it: 1 for its own, 0.5 for each pair it is half of.
    """

    start: int
    end: int
    features: tuple[tuple[int, float], ...]


def located_words(text: str) -> list[LocatedWord]:
    """Return where the features of one text come from: its words in order, each with its share of them.

    Summed over the words, the shares of a column are the count that `lexical_features` damps (a property test
    holds the two together). What a reader sees as one sign stays one word: a letter with its accents, an emoji
    with its skin colour, a flag. Signs that make no feature (full stops, commas) are not returned.
    """
    text = text[:MAX_TEXT_CHARS]
    lowered, places = _lowered(text)
    spans: list[tuple[int, int]] = []  # of what is shown, in the lowered text
    shares: list[list[tuple[int, float]]] = []
    columns: dict[str, int] = {}

    def add(word: int, feature: str, share: float) -> None:
        column = columns.get(feature)
        if column is None:
            hashed = murmurhash3_32(feature.encode("utf-8", "replace"), positive=True)
            column = columns[feature] = hashed % N_LEXICAL_FEATURES
        shares[word].append((column, share))

    def place(start: int, end: int) -> int:
        """Return the number of the piece to show for a token, a new one or the one before, made longer."""
        if spans and spans[-1][1] == start and _belongs(lowered, spans[-1], start):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
            shares.append([])
        return len(spans) - 1

    previous, previous_word = "", -1
    for match in _WORD.finditer(lowered):
        word, start = match.group(), match.start()
        if _UNSPACED.search(word):
            numbers = [place(start + i, start + i + 1) for i in range(len(word))]
            for number, character in zip(numbers, word, strict=True):
                add(number, character, 1.0)
            for i in range(len(word) - 1):
                add(numbers[i], word[i : i + 2], 0.5)
                add(numbers[i + 1], word[i : i + 2], 0.5)
            previous = ""
            continue
        number = place(start, match.end())
        if not word[0].isalnum() and word[0] != "_":
            if word not in ".,;:()[]\"'…-–/":
                add(number, word, 1.0)
            previous = ""
            continue
        add(number, word, 1.0)
        for length in PREFIX_LENGTHS:
            if len(word) > length:
                add(number, "^" + word[:length], 1.0)
        if previous:
            add(previous_word, previous + " " + word, 0.5)
            add(number, previous + " " + word, 0.5)
        previous, previous_word = word, number
    return [
        LocatedWord(places[start] if places else start, places[end] if places else end, tuple(own))
        for (start, end), own in zip(spans, shares, strict=True)
        if own
    ]


def _lowered(text: str) -> tuple[str, list[int]]:
    """Return the text in lower case, and for each of its places the one in `text` (empty: the same).

    A few capitals become two characters ("İ"); every place inside such a one leads to its start.
    """
    lowered = text.lower()
    if len(lowered) == len(text) and all(len(character.lower()) == 1 for character in text if character > "\x7f"):
        return lowered, []
    places = [i for i, character in enumerate(text) for _ in character.lower()]
    return lowered, [*places, len(text)]


_JOINER = "\u200d"


def _belongs(text: str, span: tuple[int, int], start: int) -> bool:
    """Say whether the token at `start` is drawn as one with the piece that ends there."""
    last, first = text[start - 1], text[start]
    if first == _JOINER or last == _JOINER or "\U0001f3fb" <= first <= "\U0001f3ff":
        return True
    if unicodedata.category(first).startswith("M"):
        return True
    if _is_flag_letter(first):
        return span[1] - span[0] == 1 and _is_flag_letter(last)
    is_accent = unicodedata.category(last).startswith("M") and not "\ufe00" <= last <= "\ufe0f"
    return is_accent and first.isalnum() and not _UNSPACED.match(first)


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
