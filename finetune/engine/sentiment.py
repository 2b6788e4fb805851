"""Sentiment: of a text as a whole, and of each topic in it.

One text may praise one topic and blame another, so a text is cut into clauses, and the clause whose words speak
of the topic decides. A lexicon with negation works before any review; reviews teach which words mean what here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.utils import murmurhash3_32

from finetune.engine.lexical import MAX_TEXT_CHARS, N_LEXICAL_FEATURES

ARRAYS_FORMAT = 1
CLASSES = np.array([-1, 0, 1], dtype=np.int8)
N_SENTIMENT_FEATURES = 8
OVERALL_CUT = 0.33
TEXT_CUT = 0.1

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[.;:!?\n]+|,|[^\w\s]", re.UNICODE)
_STOPS = frozenset(".;:!?\n")


def _word_set(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


# English first; the commonest of German, Spanish, French, Italian, Dutch and Portuguese.
_CONTRAST = _word_set(
    "but however although though yet except whereas while despite aber jedoch obwohl pero aunque mais cependant",
    "ma però maar mas embora",
)
_JOINERS = _word_set("and und y et e en because since when so")
_NEGATIONS = _word_set(
    "not no never none nothing nobody neither nor without hardly barely scarcely rarely seldom lacks lacking",
    "lacked cannot cant dont doesnt didnt isnt arent wasnt werent wont wouldnt couldnt shouldnt aint",
    "nicht kein keine keinen nie ohne nunca jamás sin pas jamais aucun sans non mai senza niet geen nooit zonder",
    "não nem sem",
)
# Words of customers and employees that the general lexicon does not know or weighs oddly, by valence.
_FEEDBACK_WORDS = {
    -2.1: _word_set(
        "overpriced unhelpful unprofessional tasteless undercooked overcooked faulty schlecht malo mala mauvais",
        "slecht ruim pessimo",
    ),
    -1.8: _word_set(
        "broken crash crashes crashed crashing buggy glitchy stale inattentive unresponsive bland slow delayed",
        "disorganized disorganised overrated",
    ),
    -1.5: _word_set(
        "slowly delay delays soggy greasy cramped noisy outdated confusing wrong ignored flimsy understaffed",
        "pricey expensive costly clunky langsam lento traag teuer caro lent",
    ),
    -1.2: _word_set(
        "late slower missing forgot leak leaks leaking bug bugs complicated cluttered mediocre dull crowded loud",
        "dated cher duur",
    ),
    -0.8: _word_set("cold dry salty raw tiny worn wait waited waiting queue refund average"),
    1.2: _word_set("quick quickly fast smooth smoothly reasonable reasonably crisp quiet authentic"),
    1.5: _word_set("fresh prompt promptly tender juicy affordable spacious cozy cosy intuitive stylish generous"),
    1.9: _word_set(
        "tasty flavorful flavourful attentive knowledgeable courteous accommodating reliable seamless",
        "gut freundlich bueno buena bon bonne buono goed bom boa",
    ),
    2.5: _word_set("delicious yummy super toll excelente ottimo"),
}
NEGATION_FACTOR = -0.74
NEGATION_REACH = 3
COMPOUND_SCALE = 15.0
MIN_PAIRS = 3  # fewer reviewed pairs teach nothing
PREDICT_CHUNK_PAIRS = 20_000


@dataclass(frozen=True)
class Clauses:
    """Words of many texts with their clause and their valence, as flat arrays.

    Attributes
    ----------
    indptr : int64 of shape (n_texts + 1,)
        Words `indptr[i]:indptr[i + 1]` belong to text i.
    column : int32
        The word's column in `lexical_features`.
    valence : float32
        About -4 to 4; 0 for words without a mood.
    clause : int32
        Number of the clause within its text, from 0.
    """

    indptr: np.ndarray
    column: np.ndarray
    valence: np.ndarray
    clause: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def take(self, rows: np.ndarray) -> Clauses:
        """Return the clauses of some texts, in the given order, repeats allowed."""
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        words = np.repeat(self.indptr[rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Clauses(indptr, self.column[words], self.valence[words], self.clause[words])

    @property
    def owner(self) -> np.ndarray:
        """Number of the text of each word."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))


def read_clauses(texts: Sequence[str]) -> Clauses:
    """Cut texts into clauses and look up each word's valence; depends on each text alone, so it can be cached."""
    lexicon, boosters, emoji = _lexicon()
    known: dict[str, int] = {}
    indptr = np.zeros(len(texts) + 1, dtype=np.int64)
    columns: list[int] = []
    valences: list[float] = []
    clauses: list[int] = []
    for i, text in enumerate(texts):
        clause = n_words = 0
        negated_for = 0
        boost = 0.0
        for token in _TOKEN.findall(text[:MAX_TEXT_CHARS].lower()):
            if token[0] in _STOPS or token[0] == "," or token in _CONTRAST or token in _JOINERS:
                clause += n_words > 0
                n_words = negated_for = 0
                boost = 0.0
                if not token[0].isalnum():
                    continue
            column = known.get(token)
            if column is None:
                if len(known) > 500_000:
                    known.clear()
                hashed = murmurhash3_32(token.encode("utf-8", "replace"), positive=True)
                column = known[token] = hashed % N_LEXICAL_FEATURES
            value = lexicon.get(token)
            if value is None:
                value = emoji.get(token, 0.0)
            if token in _NEGATIONS or token.endswith(("n't", "n’t")):
                negated_for, value = NEGATION_REACH + 1, 0.0
            elif token in boosters:
                boost = boosters[token]
            elif value:
                value += boost if value > 0 else -boost
                if negated_for:
                    value *= NEGATION_FACTOR
                boost = 0.0
            negated_for = max(0, negated_for - 1)
            columns.append(column)
            valences.append(value)
            clauses.append(clause)
            n_words += 1
        indptr[i + 1] = len(columns)
    return Clauses(
        indptr, np.asarray(columns, dtype=np.int32), np.asarray(valences, dtype=np.float32),
        np.asarray(clauses, dtype=np.int32),
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _lexicon() -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    from vaderSentiment import vaderSentiment

    analyzer = vaderSentiment.SentimentIntensityAnalyzer()
    words = {word.lower(): float(value) for word, value in analyzer.lexicon.items()}
    # "no" and "like" are negation and comparison far more often than a mood.
    for word in (
        "no",
        "like",
        "please",
        "want",
        "wants",
        "help",
        "certain",
        "certainly",
        "pay",
        "special",
        "sure",
    ):
        words.pop(word, None)
    words |= {word: valence for valence, group in _FEEDBACK_WORDS.items() for word in group}
    boosters = {word: float(value) for word, value in vaderSentiment.BOOSTER_DICT.items() if " " not in word}
    boosters["too"] = 0.1
    emoji = {}
    for sign, description in analyzer.emojis.items():
        values = [words[word] for word in description.lower().split() if word in words]
        if values:
            emoji[sign] = sum(values) / len(values)
    return words, boosters, emoji


def sentiment_features(texts: Sequence[str] | Clauses) -> np.ndarray:
    """Return a few numbers about the mood of each text; depends on each text alone, so it can be cached.

    Returns
    -------
    features : ndarray of shape (n_texts, N_SENTIMENT_FEATURES), float32
        compound in [-1, 1], damped sums of positive and of negative valence, highest and lowest compound of a
        clause, share of clauses with a mood, damped number of clauses, whether moods are mixed.
    """
    clauses = texts if isinstance(texts, Clauses) else read_clauses(texts)
    n = len(clauses)
    owner = clauses.owner
    positive = np.bincount(owner, np.maximum(clauses.valence, 0), minlength=n)
    negative = np.bincount(owner, np.minimum(clauses.valence, 0), minlength=n)
    # Clause sums: a clause's words are neighbours, so it starts wherever text or clause number changes.
    starts = np.flatnonzero(np.diff(owner, prepend=-1) | np.diff(clauses.clause, prepend=-1))
    sums = np.add.reduceat(clauses.valence, starts) if len(starts) else np.zeros(0)
    compound = _compound(sums)
    of_text = owner[starts]
    highest, lowest = np.zeros(n), np.zeros(n)
    np.maximum.at(highest, of_text, compound)
    np.minimum.at(lowest, of_text, compound)
    n_clauses = np.bincount(of_text, minlength=n)
    with_mood = np.bincount(of_text, sums != 0, minlength=n) / np.maximum(n_clauses, 1)
    mixed = np.minimum(highest, -lowest)
    columns = [
        _compound(positive + negative), np.log1p(positive), -np.log1p(-negative), highest, lowest, with_mood,
        np.log1p(n_clauses), mixed,
    ]  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)


def _compound(total):
    """Squash a sum of valences to [-1, 1] (Hutto and Gilbert 2014)."""
    return total / np.sqrt(total * total + COMPOUND_SCALE)


def text_sentiment(texts: Sequence[str] | Clauses) -> np.ndarray:
    """Return the overall sentiment of each text from its words alone, int8 in {-1, 0, 1}."""
    compound = sentiment_features(texts)[:, 0]
    return ((compound >= TEXT_CUT).astype(np.int8) - (compound <= -TEXT_CUT).astype(np.int8)).astype(np.int8)


def overall_sentiment(sentiments: Sequence[int]) -> int:
    """Return 1, 0 or -1 for a row whose topics have these sentiments: the mean against plus and minus 0.33.

    An empty sequence gives 0; callers use `text_sentiment` for rows without a topic that has sentiment.
    """
    if not len(sentiments):
        return 0
    mean = sum(sentiments) / len(sentiments)
    return int(mean > OVERALL_CUT) - int(mean < -OVERALL_CUT)


class SentimentClassifier(BaseEstimator):
    """Sentiment of each (row, topic) pair; works before any review and learns from reviewed pairs.

    Per pair: the lexicon's verdict on the clauses that speak of the topic and on the whole text; a ridge on the
    sentence vector (shared by all topics, plus one of the topic's own); a ridge on the words, those of the
    topic's clauses counting most; how often the topic was praised and blamed. A softmax regression on
    leave-one-row-out values combines them.

    Parameters
    ----------
    ridge : float, default=1.0
        Regularisation of both ridges.
    random_state : int, default=0
        Kept for symmetry; nothing here is random.
    """

    def __init__(self, *, ridge: float = 1.0, random_state: int = 0):
        self.ridge = ridge
        self.random_state = random_state

    def fit(self, texts, X, assignments, *, label_X, classifier=None, label_texts=None) -> SentimentClassifier:
        """Learn from the reviewed pairs.

        Parameters
        ----------
        texts : sequence of str, or Clauses
            Texts of the rows that `assignments` speaks of.
        X : ndarray of shape (n_rows, n_features)
            Their sentence vectors.
        assignments : int array of shape (n_pairs, 3)
            Row, topic, sentiment in {-1, 0, 1}; only pairs whose topic has sentiment. May have no rows.
        label_X : ndarray of shape (n_topics, n_features)
            Sentence vectors of the topics; fixes the number of topics.
        classifier : TopicClassifier, optional
            Fitted with words; knows which words speak of which topic.
        label_texts : sequence of str, optional
            The topics' texts, used for that when there is no classifier.

        Raises
        ------
        ValueError
            If shapes do not match, a row or topic does not exist, or a sentiment is not -1, 0 or 1.
        """
        clauses = texts if isinstance(texts, Clauses) else read_clauses(texts)
        assignments = _valid_pairs(assignments, n_rows=len(clauses), n_topics=len(label_X))
        if len(X) != len(clauses):
            raise ValueError(f"X has {len(X)} rows, there are {len(clauses)} texts.")
        if classifier is None and label_texts is not None and len(label_texts) != len(label_X):
            raise ValueError(f"label_texts has {len(label_texts)} topics, label_X has {len(label_X)}.")
        self.n_topics_ = len(label_X)
        self.n_features_ = np.shape(label_X)[1] if self.n_topics_ else np.shape(X)[-1]
        self.word_weights_ = _topic_words(classifier, label_texts, self.n_topics_)
        self.n_pairs_ = len(assignments)
        rows, topics, labels = assignments.T
        T = np.eye(3)[labels + 1]
        counts = np.zeros((self.n_topics_, 3))
        np.add.at(counts, (topics, labels + 1), 1.0)
        total = counts.sum(axis=0) + 1.0
        self.priors_ = ((counts + 4.0 * total / total.sum()) / (counts.sum(axis=1, keepdims=True) + 4.0)).astype(
            np.float32
        )
        self.coef_ = COEF_START.copy()
        self.columns_ = np.zeros(0, dtype=np.int32)
        self.dense_W_ = np.zeros((self.n_features_, 3), dtype=np.float32)
        self.topic_W_ = np.zeros((self.n_topics_, self.n_features_, 3), dtype=np.float32)
        self.word_W_ = np.zeros((0, 3), dtype=np.float32)
        self.center_ = np.zeros(self.n_features_, dtype=np.float32)
        if self.n_pairs_ < MIN_PAIRS:
            return self
        X = np.asarray(X, dtype=np.float32)
        if X.shape[1:] != (self.n_features_,):
            raise ValueError(f"X has shape {X.shape}, label_X has {self.n_features_} features.")
        if not np.isfinite(X).all():
            raise ValueError("X must hold finite numbers only.")
        self.center_ = X[np.unique(rows)].mean(axis=0)
        lexicon, bag = self._pair_words(clauses, rows, topics)
        self.columns_ = np.unique(bag.indices).astype(np.int32)
        bag = bag[:, self.columns_]
        V = _unit(X - self.center_)[rows]
        same = topics[:, None] == topics[None, :]
        K_dense = (V @ V.T) * (0.5 + 0.5 * same)
        K_words = np.asarray((bag @ bag.T).todense())
        target = T - T.mean(axis=0)
        held_out = np.zeros((2, self.n_pairs_, 3))
        alphas = []
        for j, K in enumerate((K_dense, K_words)):
            G = np.linalg.inv(K.astype(np.float64) + self.ridge * np.eye(self.n_pairs_))
            alpha = G @ target
            alphas.append(alpha)
            held_out[j] = target - _grouped_residuals(G, alpha, rows)
        dense_alpha, word_alpha = alphas
        self.dense_W_ = (0.5 * V.T @ dense_alpha).astype(np.float32)
        self.word_W_ = np.asarray(bag.T @ word_alpha, dtype=np.float32)
        for topic in np.unique(topics):
            of_topic = topics == topic
            self.topic_W_[topic] = 0.5 * V[of_topic].T @ dense_alpha[of_topic]
        F = self._stack_features(lexicon, topics, held_out[0], held_out[1])
        self.coef_ = _softmax_regression(F, labels + 1, self.coef_)
        return self

    def predict(self, texts, X, row_idx, topic_idx, label_X=None) -> np.ndarray:
        """Return the sentiment of each pair, int8 in {-1, 0, 1}; arguments as in `predict_proba`."""
        return CLASSES[self.predict_proba(texts, X, row_idx, topic_idx).argmax(axis=1)]

    def predict_proba(self, texts, X, row_idx, topic_idx, label_X=None) -> np.ndarray:
        """Return the probability of each pair's sentiments.

        Parameters
        ----------
        texts : sequence of str, or Clauses
        X : ndarray of shape (n_rows, n_features)
        row_idx, topic_idx : int arrays of shape (n_pairs,)
            Row in `texts` and `X`, topic as numbered in `fit`.
        label_X : ignored, for symmetry with `fit`

        Returns
        -------
        proba : ndarray of shape (n_pairs, 3), float32
            Columns: negative, neutral, positive.
        """
        rows = np.asarray(row_idx, dtype=np.int64)
        topics = np.asarray(topic_idx, dtype=np.int64)
        used, rows_of_used = np.unique(rows, return_inverse=True)
        clauses = texts.take(used) if isinstance(texts, Clauses) else read_clauses([texts[i] for i in used])
        proba = np.zeros((len(rows), 3), dtype=np.float32)
        for start in range(0, len(rows), PREDICT_CHUNK_PAIRS):
            part = slice(start, start + PREDICT_CHUNK_PAIRS)
            lexicon, bag = self._pair_words(clauses, rows_of_used[part], topics[part])
            dense = np.zeros((len(lexicon), 3), dtype=np.float32)
            words = np.zeros((len(lexicon), 3), dtype=np.float32)
            if self.n_pairs_ >= MIN_PAIRS:
                V = _unit(np.asarray(X[rows[part]], dtype=np.float32) - self.center_)
                dense = V @ self.dense_W_
                for topic in np.unique(topics[part]):
                    of_topic = topics[part] == topic
                    dense[of_topic] += V[of_topic] @ self.topic_W_[topic]
                words = np.asarray(bag[:, self.columns_] @ self.word_W_)
            F = self._stack_features(lexicon, topics[part], dense, words)
            proba[part] = softmax(F @ self.coef_, axis=1)
        return proba

    def _pair_words(self, clauses: Clauses, rows, topics):
        """Return lexicon features, (n_pairs, 6), and words of each pair; clauses on the topic count most."""
        part = clauses.take(rows)
        owner = part.owner
        n_pairs = len(rows)
        evidence = np.zeros(len(owner), dtype=np.float32)
        if self.word_weights_.nnz:
            evidence = _look_up(self.word_weights_, topics[owner], part.column)
        if not len(owner):
            return np.zeros((n_pairs, 6), dtype=np.float32), sp.csr_matrix(
                (n_pairs, N_LEXICAL_FEATURES), dtype=np.float32
            )
        is_start = (np.diff(owner, prepend=-1) != 0) | (np.diff(part.clause, prepend=-1) != 0)
        clause = np.cumsum(is_start) - 1
        of_pair = owner[is_start]
        found = np.bincount(clause, evidence)
        best = np.zeros(n_pairs)
        np.maximum.at(best, of_pair, found)
        # Clauses that speak of the topic; their neighbours and the rest of the text keep a little weight.
        share = np.where(best[of_pair] > 0, found / np.maximum(best[of_pair], 1e-9), 1.0)
        weight = 0.1 + 0.9 * share
        positive = np.bincount(clause, np.maximum(part.valence, 0))
        negative = np.bincount(clause, np.minimum(part.valence, 0))
        matched_positive = np.bincount(of_pair, positive * weight, minlength=n_pairs)
        matched_negative = np.bincount(of_pair, negative * weight, minlength=n_pairs)
        total = np.bincount(of_pair, positive + negative, minlength=n_pairs)
        matched = _compound(matched_positive + matched_negative)
        lexicon = np.stack(
            [
                matched,
                np.log1p(matched_positive),
                -np.log1p(-matched_negative),
                _compound(total),
                best > 0,
                np.abs(matched),
            ],
            axis=1,
        ).astype(np.float32)  # fmt: skip
        values = weight[clause].astype(np.float32)
        bag = sp.csr_matrix((values, part.column, part.indptr), shape=(n_pairs, N_LEXICAL_FEATURES))
        bag.sum_duplicates()
        norms = np.sqrt(np.asarray(bag.multiply(bag).sum(axis=1)).ravel())
        return lexicon, sp.csr_matrix(sp.diags((1 / np.maximum(norms, 1e-9)).astype(np.float32)) @ bag)

    def _stack_features(self, lexicon, topics, dense, words):
        ones = np.ones((len(topics), 1), dtype=np.float32)
        return np.hstack([ones, lexicon, np.log(self.priors_[topics]) + 1.1, dense, words]).astype(np.float64)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything predictions need as plain arrays, ready for `np.savez` without pickle."""
        used = np.flatnonzero(np.abs(self.topic_W_).sum(axis=(1, 2)) > 0)
        return {
            "format": np.array(ARRAYS_FORMAT),
            "params": np.array([self.ridge, self.random_state]),
            "n_pairs": np.array(self.n_pairs_),
            "priors": self.priors_,
            "coef": self.coef_,
            "columns": self.columns_,
            "dense_W": self.dense_W_,
            "topic_W": self.topic_W_[used],
            "topic_W_topics": used,
            "word_W": self.word_W_,
            "center": self.center_,
            "words_data": self.word_weights_.data,
            "words_indices": self.word_weights_.indices,
            "words_indptr": self.word_weights_.indptr,
        }

    @classmethod
    def from_arrays(cls, arrays) -> SentimentClassifier:
        """Return the classifier that `to_arrays` stored; its predictions are equal bit for bit."""
        if int(arrays["format"]) != ARRAYS_FORMAT:
            raise ValueError(f"model format must be {ARRAYS_FORMAT}, got {int(arrays['format'])}.")
        ridge, random_state = (float(value) for value in arrays["params"])
        model = cls(ridge=ridge, random_state=int(random_state))
        model.n_pairs_ = int(arrays["n_pairs"])
        for name in ("priors", "coef", "columns", "dense_W", "word_W", "center"):
            setattr(model, name + "_", np.asarray(arrays[name]))
        model.n_topics_, model.n_features_ = len(model.priors_), len(model.dense_W_)
        model.topic_W_ = np.zeros((model.n_topics_, model.n_features_, 3), dtype=np.float32)
        model.topic_W_[np.asarray(arrays["topic_W_topics"])] = arrays["topic_W"]
        parts = tuple(np.asarray(arrays[name]) for name in ("words_data", "words_indices", "words_indptr"))
        model.word_weights_ = sp.csr_matrix(parts, shape=(model.n_topics_, N_LEXICAL_FEATURES))
        return model


def _valid_pairs(assignments, *, n_rows: int, n_topics: int) -> np.ndarray:
    """Return reviewed pairs as int64 of shape (n_pairs, 3)."""
    pairs = np.asarray(assignments)
    if not pairs.size:
        return np.zeros((0, 3), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 3:
        raise ValueError(f"assignments must be (n_pairs, 3): row, topic, sentiment; got shape {pairs.shape}.")
    if not np.isin(pairs[:, 2], CLASSES).all():
        raise ValueError("sentiments must be -1, 0 or 1.")
    for name, values, n in (("row", pairs[:, 0], n_rows), ("topic", pairs[:, 1], n_topics)):
        if values.min() < 0 or values.max() >= n:
            raise ValueError(f"{name} numbers must be in [0, {n}), got {values.min()} to {values.max()}.")
    return pairs.astype(np.int64)


def _topic_words(classifier, label_texts, n_topics) -> sp.csr_matrix:
    """Return how strongly each word speaks of each topic, csr (n_topics, N_LEXICAL_FEATURES), no negatives."""
    if classifier is not None:
        return classifier.topic_words()
    if label_texts is None:
        return sp.csr_matrix((n_topics, N_LEXICAL_FEATURES), dtype=np.float32)
    words = read_clauses(label_texts)
    parts = (np.ones(len(words.column), dtype=np.float32), words.column, words.indptr)
    return sp.csr_matrix(parts, shape=(n_topics, N_LEXICAL_FEATURES))


def _look_up(A: sp.csr_matrix, rows, columns) -> np.ndarray:
    """Return A[rows, columns] for many pairs at once: few rows, so each is laid out in full in turn."""
    order = np.argsort(rows.astype(np.uint16), kind="stable")  # for such small numbers a radix sort
    bounds = np.searchsorted(rows[order], np.arange(A.shape[0] + 1))
    found = np.zeros(len(rows), dtype=np.float32)
    whole = np.zeros(A.shape[1], dtype=np.float32)
    for row in np.flatnonzero(np.diff(bounds)):
        wanted = order[bounds[row] : bounds[row + 1]]
        own = slice(A.indptr[row], A.indptr[row + 1])
        whole[A.indices[own]] = A.data[own]
        found[wanted] = whole[columns[wanted]]
        whole[A.indices[own]] = 0.0
    return found


def _grouped_residuals(G, alpha, groups):
    """Return the ridge residuals of each row from a model without the row's whole group."""
    residuals = np.zeros_like(alpha)
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[order])) + 1
    for block in np.split(order, bounds):
        residuals[block] = np.linalg.solve(G[np.ix_(block, block)], alpha[block])
    return residuals


# Columns: negative, neutral, positive. Rows: 1; lexicon (compound, positive sum, negative sum on the topic's
# clauses, compound of the text, topic's words found, strength); log prior of the topic (3); vector ridge (3);
# word ridge (3).
COEF_START = np.zeros((16, 3))
COEF_START[0] = [0.0, 0.45, 0.0]
COEF_START[1] = [-1.5, 0.0, 1.5]
COEF_START[2] = [-0.2, -0.2, 0.4]
COEF_START[3] = [-0.4, 0.2, 0.2]
COEF_START[4] = [-0.3, 0.0, 0.3]
COEF_START[6] = [0.0, -0.8, 0.0]
COEF_START[7:10] = 0.7 * np.eye(3)
COEF_PENALTY = 2.0


def _softmax_regression(F, labels, start, n_iterations=60):
    """Return softmax coefficients held to `start` (full Newton; 48 unknowns)."""
    coef = start.copy()
    p = F.shape[1]
    T = np.eye(3)[labels]
    for _ in range(n_iterations):
        P = softmax(F @ coef, axis=1)
        gradient = F.T @ (P - T) + COEF_PENALTY * (coef - start)
        H = np.zeros((3 * p, 3 * p))
        for a in range(3):
            for b in range(3):
                w = P[:, a] * ((a == b) - P[:, b])
                H[a * p : (a + 1) * p, b * p : (b + 1) * p] = (F * w[:, None]).T @ F
        H += COEF_PENALTY * np.eye(3 * p)
        step = np.linalg.solve(H, gradient.T.ravel()).reshape(3, p).T
        size = np.abs(step).max()
        coef = coef - step * min(1.0, 5.0 / max(size, 1e-12))
        if size < 1e-7:
            break
    return coef


def _unit(X: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    return X * np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)[:, None]
