"""Why a text got a topic: the words that carried it, what its meaning added, the reviewed rows that are like it.

Works from outside: a classifier is asked again about variants of one row, so the answer holds for whatever
learners and calibration it has inside. No encoder is needed, and torch is not loaded.

What is exact and what is not. Log-odds are compared, as the classifier gives them. Taking a word out of the word
features is exact: it is what the classifier would say of those features. The sentence vector cannot be made
again without its encoder, so it stays as it is while words are taken out; a word's part in the *meaning* is not in
its contribution but in the share "meaning of the whole text". The contributions of single words are therefore
each one's own effect: they do not add up to the share of the words (two words can carry the same thing), and
words whose only effect is to make a text longer are left out. The shares do add up:
`base + words_share + meaning_share == log_odds`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from finetune.engine.lexical import (
    MAX_TEXT_CHARS,
    N_LEXICAL_FEATURES,
    LocatedWord,
    lexical_features,
    located_words,
)

MAX_UNITS = 64  # variants of the row in one call
MIN_UNITS = 12
VARIANT_VALUES = 60_000  # units x features of the text; long texts get fewer units, so that the time stays bounded
MAX_BACKGROUND = 16  # other texts whose vectors stand for "any text"; fewer for long texts
MAX_CLAUSES = 24  # encoded again, where an encoder is at hand
MIN_CONTRIBUTION = 0.005  # log-odds; less is rounding
P_EDGE = 1e-6

_STOP = re.compile(r"[.;:!?\n。！？；]+|,|，|、|\b(?:but|however|although|while|aber|mais|pero|maar|mas)\b", re.I)


@dataclass(frozen=True)
class Part:
    """A word or clause of a text, wherever it stands in it, and what it did.

    Attributes
    ----------
    spans : tuple of (start, end)
        Places in the original text; a word that is repeated has several.
    contribution : float
        Log-odds that are lost when it is taken out; negative where it spoke against the topic.
    """

    spans: tuple[tuple[int, int], ...]
    contribution: float


@dataclass(frozen=True)
class Neighbour:
    """A reviewed row (its position in what was given) and its cosine to the text, in [-1, 1]."""

    row: int
    similarity: float


@dataclass(frozen=True)
class Explanation:
    """Why one text has (or has not) one topic.

    Attributes
    ----------
    probability, log_odds : float
        What the classifier says of the text.
    base : float
        Log-odds before the text is read: the mean over other texts' vectors, without words.
    words_share, meaning_share : float
        What the words and the sentence vector added to `base` (Shapley values of the two).
    words : tuple of Part
        Strongest first, whichever way they spoke. Empty for a model that was fitted without words.
    clauses : tuple of Part
        Strongest first; only where an encoder was given. Here words and meaning are taken out together.
    nearest : tuple of Neighbour
        Up to three reviewed rows with the topic, nearest first.
    n_examples : int
        Reviewed rows with the topic. With none, all that the text added comes from the topic's own text.
    """

    probability: float
    log_odds: float
    base: float
    words_share: float
    meaning_share: float
    words: tuple[Part, ...]
    clauses: tuple[Part, ...]
    nearest: tuple[Neighbour, ...]
    n_examples: int


class Classifier(Protocol):
    """What is asked of a fitted classifier."""

    @property
    def n_topics_(self) -> int: ...

    def predict_proba(self, X: np.ndarray, X_lex: sp.csr_matrix | None = None) -> np.ndarray: ...


class TextEncoder(Protocol):
    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


def explain(
    classifier: Classifier, text: str, topic: int, *, x: np.ndarray, X_reviewed: np.ndarray | None = None,
    Y_reviewed: np.ndarray | None = None, background_X: np.ndarray | None = None,
    encoder: TextEncoder | None = None, n_nearest: int = 3,
) -> Explanation:  # fmt: skip
    """Explain one assignment by occlusion: what would the classifier say if this word were not there?

    Parameters
    ----------
    classifier : fitted TopicClassifier
    text : str
        May be empty; of a long text what counts for `lexical_features` counts here.
    topic : int
        Column of the topic in the classifier.
    x : ndarray of shape (n_features,)
        The text's sentence vector.
    X_reviewed : ndarray of shape (n_reviewed, n_features), optional
    Y_reviewed : ndarray of shape (n_reviewed, n_topics), optional
        Reviewed rows and their topics, for `nearest`. Both or neither.
    background_X : ndarray of shape (n_rows, n_features), optional
        Vectors of other texts of the column, by default `X_reviewed`; the first `MAX_BACKGROUND` are used. The
        text's own vector is exchanged for each of them to see what its meaning added. (The mean of the vectors
        would be one row instead of many, but it lies where no text is: the classifier looks at the direction
        from the mean, which the mean itself does not have.) With neither, `meaning_share` is 0 and what the
        meaning adds is in `base`.
    encoder : optional
        Encodes the text without each of its clauses, in one batch; fills `clauses`.

    Raises
    ------
    ValueError
        If `topic` is not one of the classifier's, or shapes do not match.

    References
    ----------
    Zeiler and Fergus (2014), occlusion. Shapley (1953); Lundberg and Lee (2017), for the shares.
    """
    x, X_reviewed, has_topic = _validate(classifier, topic, x, X_reviewed, Y_reviewed)
    background = X_reviewed if background_X is None else np.asarray(background_X, dtype=np.float32)
    words = located_words(text)
    row = _Row(words)
    background = background[: row.max_units // 2][:MAX_BACKGROUND] if len(background) else x[None, :]
    types = _types(words)
    stages = _stages(types, len(words), row.max_units)
    n = len(background)
    # One call: the row itself, without words, with other vectors, with other vectors and without words, variants.
    X = np.concatenate([x[None, :], x[None, :], background, background])
    everything, nothing = row.full(), sp.csr_matrix((1, N_LEXICAL_FEATURES), dtype=np.float32)
    rows = sp.vstack([everything, nothing, *[everything] * n, *[nothing] * n, row.without(stages)])
    X = np.concatenate([X, np.repeat(x[None, :], len(stages), axis=0)])
    odds = _log_odds(classifier.predict_proba(X, rows.tocsr())[:, topic])
    full, meaning_only = odds[0], odds[1]
    words_only, base = odds[2 : 2 + n].mean(), odds[2 + n : 2 + 2 * n].mean()
    contributions = full - odds[2 + 2 * n :]

    second = [row.only(types)]
    if len(types) > len(stages):  # a long text: look closer where something happened
        types = _within(stages, contributions, types, row.max_units)
        second = [row.only(types), row.without(types)]
    again = sp.vstack(second).tocsr()
    odds = _log_odds(classifier.predict_proba(np.repeat(x[None, :], again.shape[0], axis=0), again)[:, topic])
    alone = odds[: len(types)] - meaning_only
    if len(second) > 1:
        contributions = full - odds[len(types) :]
    # Word features are divided by the text's length: a word that nobody has seen only makes the others weaker,
    # and without it they would be stronger. That is no reason; what counts speaks the same way by itself.
    agrees = (np.sign(alone) == np.sign(contributions)) & (np.abs(alone) >= MIN_CONTRIBUTION)
    parts = [
        Part(tuple((words[i].start, words[i].end) for i in members), float(contribution))
        for members, contribution in zip(types, np.where(agrees, contributions, 0.0), strict=True)
    ]
    return Explanation(
        probability=float(1.0 / (1.0 + np.exp(-full))),
        log_odds=float(full),
        base=float(base),
        words_share=float(((full - meaning_only) + (words_only - base)) / 2),
        meaning_share=float(((full - words_only) + (meaning_only - base)) / 2),
        words=_ranked(parts),
        clauses=_clauses(classifier, text, topic, full, encoder) if encoder is not None else (),
        nearest=nearest_rows(x, X_reviewed[has_topic], n=n_nearest, rows=np.flatnonzero(has_topic)),
        n_examples=int(has_topic.sum()),
    )


def nearest_rows(
    x: np.ndarray, X: np.ndarray, *, n: int = 3, rows: np.ndarray | None = None
) -> tuple[Neighbour, ...]:
    """Return the `n` rows of `X` that point most nearly where `x` does; equal ones in their order.

    Parameters
    ----------
    x : ndarray of shape (n_features,)
    X : ndarray of shape (n_rows, n_features)
    rows : ndarray of shape (n_rows,), optional
        Numbers to return for the rows of `X`, by default their positions.
    """
    if not len(X):
        return ()
    x, X = np.asarray(x, dtype=np.float32), np.asarray(X, dtype=np.float32)
    lengths = np.linalg.norm(X, axis=1) * np.linalg.norm(x)
    cosines = np.divide(X @ x, lengths, out=np.zeros(len(X), dtype=np.float32), where=lengths > 0)
    order = np.argsort(-cosines, kind="stable")[:n]
    numbers = np.arange(len(X)) if rows is None else rows
    return tuple(Neighbour(int(numbers[i]), float(np.clip(cosines[i], -1.0, 1.0))) for i in order)


def _validate(classifier, topic, x, X_reviewed, Y_reviewed):
    if not 0 <= topic < classifier.n_topics_:
        raise ValueError(f"topic must be in 0..{classifier.n_topics_ - 1}, got {topic}.")
    x = np.asarray(x, dtype=np.float32)
    if x.ndim != 1:
        raise ValueError(f"x must be one vector, got shape {x.shape}.")
    if (X_reviewed is None) != (Y_reviewed is None):
        raise ValueError("X_reviewed and Y_reviewed belong together: give both or neither.")
    if X_reviewed is None or Y_reviewed is None:
        return x, np.zeros((0, len(x)), dtype=np.float32), np.zeros(0, dtype=bool)
    X_reviewed, Y_reviewed = np.asarray(X_reviewed, dtype=np.float32), np.asarray(Y_reviewed)
    if len(X_reviewed) != len(Y_reviewed):
        raise ValueError(f"X_reviewed has {len(X_reviewed)} rows, Y_reviewed has {len(Y_reviewed)}.")
    return x, X_reviewed, Y_reviewed[:, topic] > 0


class _Row:
    """The word features of one text, and variants of it without some words."""

    def __init__(self, words: Sequence[LocatedWord]) -> None:
        self.columns, places = np.unique(
            np.array([column for word in words for column, _ in word.features], dtype=np.int32),
            return_inverse=True,
        )
        shares = np.array([share for word in words for _, share in word.features])
        owners = np.repeat(np.arange(len(words)), [len(word.features) for word in words])
        # Shares are multiples of one half, so sums and differences are exact.
        self.shares = sp.csr_matrix((shares, (owners, places)), shape=(len(words), len(self.columns)))
        self.counts = np.asarray(self.shares.sum(axis=0)).ravel()

    @property
    def max_units(self) -> int:
        return int(np.clip(VARIANT_VALUES // max(1, len(self.columns)), MIN_UNITS, MAX_UNITS))

    def full(self) -> sp.csr_matrix:
        return self.without([[]])

    def without(self, units: Sequence[Sequence[int]]) -> sp.csr_matrix:
        """Return one row per unit: the text without the words that the unit names."""
        chosen = self._chosen(units).tocoo()
        values = np.repeat(_damped(self.counts)[None, :], len(units), axis=0)
        values[chosen.row, chosen.col] = _damped(self.counts[chosen.col] - chosen.data)
        indptr = np.arange(len(units) + 1) * len(self.columns)
        return self._features(values.ravel(), np.tile(self.columns, len(units)), indptr)

    def only(self, units: Sequence[Sequence[int]]) -> sp.csr_matrix:
        """Return one row per unit: nothing but the words that the unit names."""
        chosen = self._chosen(units)
        chosen.sort_indices()
        return self._features(_damped(chosen.data), self.columns[chosen.indices], chosen.indptr)

    def _chosen(self, units: Sequence[Sequence[int]]) -> sp.csr_matrix:
        """Return how much of each feature's count the units hold, (n_units, n_columns)."""
        numbers = np.repeat(np.arange(len(units)), [len(unit) for unit in units])
        members = np.array([i for unit in units for i in unit], dtype=np.int64)
        shape = (len(units), self.shares.shape[0])
        return (sp.csr_matrix((np.ones(len(members)), (numbers, members)), shape=shape) @ self.shares).tocsr()

    def _features(self, values: np.ndarray, columns: np.ndarray, indptr: np.ndarray) -> sp.csr_matrix:
        matrix = sp.csr_matrix((values, columns, indptr), shape=(len(indptr) - 1, N_LEXICAL_FEATURES))
        matrix.eliminate_zeros()
        return matrix


def _damped(counts: np.ndarray) -> np.ndarray:
    """Damp counts as `lexical_features` does; half a word pair, where the other word is out, counts half."""
    return np.where(counts >= 1, 1.0 + np.log(np.maximum(counts, 1.0).astype(np.float32)), counts).astype(
        np.float32
    )


def _types(words: Sequence[LocatedWord]) -> list[list[int]]:
    """Return the words grouped by the features they make: a word said twice is one, taken out at both places."""
    groups: dict[int, list[int]] = {}
    for i, word in enumerate(words):
        groups.setdefault(word.features[0][0], []).append(i)
    return list(groups.values())


def _stages(types: list[list[int]], n_words: int, max_units: int) -> list[list[int]]:
    """Return what to take out first: each word, or of a long text runs of words next to each other."""
    if len(types) <= max_units:
        return types
    return [part.tolist() for part in np.array_split(np.arange(n_words), max_units)]


def _within(runs, contributions, types, max_units) -> list[list[int]]:
    """Return the words of the strongest runs, as many as may be asked about; with all places where they stand."""
    type_of = {i: number for number, members in enumerate(types) for i in members}
    chosen: dict[int, None] = {}
    for run in np.argsort(-np.abs(contributions), kind="stable"):
        chosen.update(dict.fromkeys(type_of[i] for i in runs[run]))
        if len(chosen) >= max_units:
            break
    return [types[number] for number in list(chosen)[:max_units]]


def _clauses(classifier, text, topic, full, encoder) -> tuple[Part, ...]:
    spans = clause_spans(text)
    if len(spans) < 2:
        return ()
    rests = [text[:start] + text[end:MAX_TEXT_CHARS] for start, end in spans]
    X = np.asarray(encoder.encode(rests), dtype=np.float32)
    without = _log_odds(classifier.predict_proba(X, lexical_features(rests))[:, topic])
    return _ranked([Part((span,), float(full - odds)) for span, odds in zip(spans, without, strict=True)])


def clause_spans(text: str, max_clauses: int = MAX_CLAUSES) -> list[tuple[int, int]]:
    """Return the places of a text's clauses, signs and contrasting words with the clause before or after them.

    Clauses without a word join their neighbour; with more than `max_clauses`, neighbours are put together.
    """
    text = text[:MAX_TEXT_CHARS]
    cuts = [match.start() if match.group()[0].isalpha() else match.end() for match in _STOP.finditer(text)]
    edges = [0, *dict.fromkeys(cut for cut in cuts if 0 < cut < len(text)), len(text)]
    spans: list[tuple[int, int]] = []
    for start, end in itertools.pairwise(edges):
        if spans and not any(character.isalnum() for character in text[start:end]):
            spans[-1] = (spans[-1][0], end)
        elif text[start:end].strip():
            spans.append((start, end))
    if len(spans) > max_clauses:
        parts = np.array_split(np.arange(len(spans)), max_clauses)
        spans = [(spans[part[0]][0], spans[part[-1]][1]) for part in parts]
    return spans


def _ranked(parts: Sequence[Part]) -> tuple[Part, ...]:
    felt = [part for part in parts if abs(part.contribution) >= MIN_CONTRIBUTION]
    return tuple(sorted(felt, key=lambda part: (-abs(part.contribution), part.spans)))


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(p, dtype=np.float64), P_EDGE, 1.0 - P_EDGE)
    return np.log(p) - np.log1p(-p)
