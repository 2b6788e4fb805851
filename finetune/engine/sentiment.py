"""Sentiment: of a text as a whole, and of each topic in it.

One text may praise one topic and blame another, so a text is cut into clauses, and the clause whose words speak
of the topic decides. A lexicon with negation works before any review; reviews teach which words mean what here.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.base import BaseEstimator
from sklearn.utils import murmurhash3_32

from finetune.engine.lexical import MAX_TEXT_CHARS, N_LEXICAL_FEATURES, word_set
from finetune.engine.vectors import unit

ARRAYS_FORMAT = 2
CLASSES = np.array([-1, 0, 1], dtype=np.int8)
N_SENTIMENT_FEATURES = 8
OVERALL_CUT = 0.33
TEXT_CUT = 0.1

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[.;:!?\n]+|,|[^\w\s]", re.UNICODE)
# Where a clause ends: signs, and words that begin the next one. English first; the commonest of German, Spanish,
# French, Italian, Dutch and Portuguese.
_BREAKS = frozenset(".,;:!?\n")
_BREAKING_WORDS = word_set(
    "but however although though yet except whereas while despite aber jedoch obwohl pero aunque mais cependant",
    "ma però maar mas embora",
    "and und y et e en because since when so",
)
_NEGATIONS = word_set(
    "not no never none nothing nobody neither nor without hardly barely scarcely rarely seldom lacks lacking",
    "lacked cannot cant dont doesnt didnt isnt arent wasnt werent wont wouldnt couldnt shouldnt aint",
    "nicht kein keine keinen nie ohne nunca jamás sin pas jamais aucun sans non mai senza niet geen nooit zonder",
    "não nem sem",
)
# Words of customers and employees that the general lexicon does not know or weighs oddly, by valence.
_FEEDBACK_WORDS = {
    -2.1: word_set(
        "overpriced unhelpful unprofessional tasteless undercooked overcooked faulty schlecht malo mala mauvais",
        "slecht ruim pessimo",
    ),
    -1.8: word_set(
        "broken crash crashes crashed crashing buggy glitchy stale inattentive unresponsive bland slow delayed",
        "disorganized disorganised overrated",
    ),
    -1.5: word_set(
        "slowly delay delays soggy greasy cramped noisy outdated confusing wrong ignored flimsy understaffed",
        "pricey expensive costly clunky langsam lento traag teuer caro lent",
    ),
    -1.2: word_set(
        "late slower missing forgot leak leaks leaking bug bugs complicated cluttered mediocre dull crowded loud",
        "dated cher duur",
    ),
    -0.8: word_set("cold dry salty raw tiny worn wait waited waiting queue refund average"),
    1.2: word_set("quick quickly fast smooth smoothly reasonable reasonably crisp quiet authentic"),
    1.5: word_set("fresh prompt promptly tender juicy affordable spacious cozy cosy intuitive stylish generous"),
    1.9: word_set(
        "tasty flavorful flavourful attentive knowledgeable courteous accommodating reliable seamless",
        "gut freundlich bueno buena bon bonne buono goed bom boa",
    ),
    2.5: word_set("delicious yummy super toll excelente ottimo"),
}
NEGATION_FACTOR = -0.74
NEGATION_REACH = 3
COMPOUND_SCALE = 15.0
MIN_PAIRS = 3  # fewer reviewed pairs teach nothing
MIN_POOL = 50
MOOD_RIDGE = 20.0
NEAR_WORDS = 4.0
PAIR_WEIGHT = 0.7
COEF_PENALTY = 2.0
ROW_PENALTY = 3.0
LOG_THREE = 1.1  # about: log-probabilities plus this are 0 where nothing is known
LOWEST_LOG = -7.0
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
            if token[0] in _BREAKS or token in _BREAKING_WORDS:
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


def clause_texts(text: str) -> list[str]:
    """Return the clauses of a text as they stand there, cut where `read_clauses` cuts."""
    text = text[:MAX_TEXT_CHARS]
    parts: list[str] = []
    start = 0
    for match in _TOKEN.finditer(text):
        token = match.group().lower()
        if token[0] in _BREAKS or token in _BREAKING_WORDS:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return [part for part in (part.strip() for part in parts) if any(letter.isalnum() for letter in part)]


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


def overall_sentiments(S: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Return `overall_sentiment` of many rows, int8 of shape (n_rows,).

    Parameters
    ----------
    S : int array of shape (n_rows, n_topics)
        Sentiments; read only where `has`.
    has : bool array of shape (n_rows, n_topics)
        Which topics with sentiment the rows have; rows without any get 0.
    """
    n = has.sum(axis=1)
    total = np.where(has, S, 0).sum(axis=1, dtype=np.int64)
    mean = np.divide(total, n, out=np.zeros(len(n)), where=n > 0)
    return (mean > OVERALL_CUT).astype(np.int8) - (mean < -OVERALL_CUT).astype(np.int8)


class SentimentClassifier(BaseEstimator):
    """Sentiment of each (row, topic) pair; works before any review and learns from reviewed pairs.

    Per pair: the lexicon's verdict on the words near those that speak of the topic, on their clauses and on the
    whole text; the mood that the sentence vector suggests; a ridge on the sentence vector and one on words and
    word pairs, those near the topic's words counting most, each half shared by all topics and half the topic's
    own; how often the topic was praised and blamed; the overall sentiment of the text, itself learnt from the
    reviewed rows. A softmax regression on leave-one-row-out values combines them (stacking, Wolpert 1992).

    `predict` answers for a pair alone. `predict_jointly` takes all pairs of a row together: the row's other
    sentiments are one more input, as far as the reviews say that they matter, and the labels chosen are those
    with the highest expected number of right judgements, the row's overall sentiment being one of them.

    Parameters
    ----------
    ridge : float, default=1.0
        Regularisation of both ridges on pairs; those on rows have twice as much.
    random_state : int, default=0
        Kept for symmetry; nothing here is random.
    """

    def __init__(self, *, ridge: float = 1.0, random_state: int = 0):
        self.ridge = ridge
        self.random_state = random_state

    def fit(
        self, texts, X, assignments, *, label_X, classifier=None, label_texts=None, pool_texts=None, pool_X=None,
        extra=None,
    ) -> SentimentClassifier:  # fmt: skip
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
        pool_texts : sequence of str, or Clauses, optional
        pool_X : ndarray of shape (n_pool, n_features), optional
            Unreviewed texts; they teach which direction of the sentence vectors goes with the lexicon's mood.
            Without them, or with fewer than MIN_POOL, the vectors say nothing about mood before reviews.
        extra : ndarray of shape (n_pairs, 3), optional
            Log-probabilities of negative, neutral, positive by another model that has not seen the pair's row.
            If given, every prediction needs them.

        Raises
        ------
        ValueError
            If shapes do not match, a row or topic does not exist, a sentiment is not -1, 0 or 1, or `extra` has
            another shape or values that are not finite.
        """
        clauses = texts if isinstance(texts, Clauses) else read_clauses(texts)
        assignments = _valid_pairs(assignments, n_rows=len(clauses), n_topics=len(label_X))
        if len(X) != len(clauses):
            raise ValueError(f"X has {len(X)} rows, there are {len(clauses)} texts.")
        if classifier is None and label_texts is not None and len(label_texts) != len(label_X):
            raise ValueError(f"label_texts has {len(label_texts)} topics, label_X has {len(label_X)}.")
        self.n_topics_ = len(label_X)
        self.n_features_ = np.shape(label_X)[1] if self.n_topics_ else np.shape(X)[-1]
        self.word_weights_ = _distinctive(_topic_words(classifier, label_texts, self.n_topics_))
        self.n_pairs_ = len(assignments)
        self.uses_extra_ = extra is not None
        extra = self._checked_extra(extra, self.n_pairs_)
        self._fit_mood(pool_texts, pool_X)
        rows, topics, labels = assignments.T
        T = np.eye(3)[labels + 1]
        counts = np.zeros((self.n_topics_, 3))
        np.add.at(counts, (topics, labels + 1), 1.0)
        usual = (counts.sum(axis=0) + 1.0) / (counts.sum() + 3.0)
        self.priors_ = _shrunk(counts, usual).astype(np.float32)
        self.center_ = np.zeros(self.n_features_, dtype=np.float32)
        self.columns_ = self.row_columns_ = np.zeros(0, dtype=np.int32)
        self.dense_W_ = np.zeros((self.n_features_, 3), dtype=np.float32)
        self.topic_W_ = np.zeros((self.n_topics_, self.n_features_, 3), dtype=np.float32)
        self.word_W_ = np.zeros((0, 3), dtype=np.float32)
        self.topic_words_ = [(np.zeros(0, dtype=np.int32), self.word_W_)] * self.n_topics_
        self.row_dense_W_, self.row_word_W_ = self.dense_W_, self.word_W_
        self.coef_, self.joint_coef_, self.row_coef_, self.row_joint_coef_ = _start(self.uses_extra_)
        if self.n_pairs_ < MIN_PAIRS:
            return self
        X = np.asarray(X, dtype=np.float32)
        if X.shape[1:] != (self.n_features_,):
            raise ValueError(f"X has shape {X.shape}, label_X has {self.n_features_} features.")
        if not np.isfinite(X).all():
            raise ValueError("X must hold finite numbers only.")
        used, row_of_used = np.unique(rows, return_inverse=True)
        clauses, X = clauses.take(used), X[used]
        self.center_ = X.mean(axis=0)
        V = unit(X - self.center_)
        log_overall = self._fit_rows(clauses, X, V, row_of_used, labels, extra)
        lexicon, bag = self._pair_words(clauses, row_of_used, topics)
        self.columns_ = np.unique(bag.indices).astype(np.int32)
        bag = bag[:, self.columns_]
        V = V[row_of_used]
        share = 0.5 + 0.5 * (topics[:, None] == topics[None, :])
        target = T - T.mean(axis=0)
        dense, dense_alpha = _ridge((V @ V.T) * share, target, self.ridge, rows)
        words, word_alpha = _ridge((bag @ bag.T).toarray() * share, target, self.ridge, rows)
        self.dense_W_ = (0.5 * V.T @ dense_alpha).astype(np.float32)
        self.word_W_ = np.asarray(0.5 * (bag.T @ word_alpha), dtype=np.float32)
        self.topic_words_ = list(self.topic_words_)
        for topic in np.unique(topics):
            of_topic = np.flatnonzero(topics == topic)
            self.topic_W_[topic] = 0.5 * V[of_topic].T @ dense_alpha[of_topic]
            own = bag[of_topic]
            places = np.unique(own.indices).astype(np.int32)
            weights = np.asarray(0.5 * (own[:, places].T @ word_alpha[of_topic]), dtype=np.float32)
            self.topic_words_[topic] = (places, weights)
        # What the priors would be without the pair's own label.
        log_prior = np.log(_shrunk(counts[topics] - T, usual)) + LOG_THREE
        F = self._features(
            lexicon, self._mood(X)[row_of_used], log_prior, dense, words, log_overall[row_of_used], extra
        )
        self.coef_ = _softmax_regression(F, labels + 1, self.coef_, COEF_PENALTY)
        start = np.vstack([self.coef_, np.zeros((3, 3))])
        F = np.hstack([F, _others(row_of_used, softmax(F @ self.coef_, axis=1))])
        self.joint_coef_ = _softmax_regression(F, labels + 1, start, COEF_PENALTY)
        return self

    def predict(self, texts, X, row_idx, topic_idx, label_X=None, *, extra=None) -> np.ndarray:
        """Return the sentiment of each pair alone, int8 in {-1, 0, 1}; arguments as in `predict_proba`."""
        return CLASSES[self.predict_proba(texts, X, row_idx, topic_idx, extra=extra).argmax(axis=1)]

    def predict_proba(self, texts, X, row_idx, topic_idx, label_X=None, *, extra=None) -> np.ndarray:
        """Return the probability of each pair's sentiments.

        Parameters
        ----------
        texts : sequence of str, or Clauses
        X : ndarray of shape (n_rows, n_features)
        row_idx, topic_idx : int arrays of shape (n_pairs,)
            Row in `texts` and `X`, topic as numbered in `fit`.
        label_X : ignored, for symmetry with `fit`
        extra : ndarray of shape (n_pairs, 3)
            As in `fit`; needed if, and left unread unless, the model was fitted with it.

        Returns
        -------
        proba : ndarray of shape (n_pairs, 3), float32
            Columns: negative, neutral, positive. Each pair's depend on its text and topic alone.

        Raises
        ------
        ValueError
            If the model was fitted with `extra` and none, or one that does not fit, is given.
        """
        return self._predict(texts, X, row_idx, topic_idx, extra, jointly=False)[0]

    def predict_jointly(self, texts, X, row_idx, topic_idx, *, extra=None) -> np.ndarray:
        """Return the sentiment of each pair, int8, where the pairs given for a row are all that it has.

        The labels of a row are those with the highest expected number of right judgements: the probability of
        every pair's label plus that of the overall sentiment which follows from them. As expectations add up,
        the answer is exact however the pairs depend on each other; dynamic programming over the sum of the
        labels finds it. Arguments and errors as in `predict_proba`.
        """
        proba, overall, rows_of_used = self._predict(texts, X, row_idx, topic_idx, extra, jointly=True)
        return _best_labels(rows_of_used, proba, overall)

    def _predict(self, texts, X, row_idx, topic_idx, extra, *, jointly):
        """Return probabilities of the pairs, and of the rows' overall sentiment with the row of each pair."""
        rows = np.asarray(row_idx, dtype=np.int64)
        topics = np.asarray(topic_idx, dtype=np.int64)
        extra = self._checked_extra(extra, len(rows))
        used, rows_of_used = np.unique(rows, return_inverse=True)
        clauses = texts.take(used) if isinstance(texts, Clauses) else read_clauses([texts[i] for i in used])
        mood = np.zeros((len(used), 2), dtype=np.float32)
        log_overall = np.zeros((len(used), 3), dtype=np.float32)
        overall = np.zeros((len(used), 3), dtype=np.float32)
        row_extra = _row_means(rows_of_used, extra, len(used))
        for start in range(0, len(used), PREDICT_CHUNK_PAIRS):
            part = slice(start, start + PREDICT_CHUNK_PAIRS)
            X_part = np.asarray(X[used[part]], dtype=np.float32)
            own = clauses.take(np.arange(len(clauses))[part])
            mood[part] = self._mood(X_part)
            dense = words = np.zeros((len(X_part), 3), dtype=np.float32)
            if self.n_pairs_ >= MIN_PAIRS:
                dense = unit(X_part - self.center_) @ self.row_dense_W_
                words = _bag(own, 1.0)[:, self.row_columns_] @ self.row_word_W_
            F = self._row_features(own, mood[part], dense, words)
            log_overall[part] = log_softmax(F @ self.row_coef_, axis=1)
            overall[part] = softmax(np.hstack([F, row_extra[part]]) @ self.row_joint_coef_, axis=1)
        proba = np.zeros((len(rows), 3), dtype=np.float32)
        logits = np.zeros((len(rows) if jointly else 0, 3), dtype=np.float32)
        coef, joint_coef = self.coef_.astype(np.float32), self.joint_coef_.astype(np.float32)
        for start in range(0, len(rows), PREDICT_CHUNK_PAIRS):
            part = slice(start, start + PREDICT_CHUNK_PAIRS)
            in_row, topic = rows_of_used[part], topics[part]
            lexicon, bag = self._pair_words(clauses, in_row, topic)
            dense = words = np.zeros((len(topic), 3), dtype=np.float32)
            if self.n_pairs_ >= MIN_PAIRS:
                wanted, of_wanted = np.unique(rows[part], return_inverse=True)
                V = unit(np.asarray(X[wanted], dtype=np.float32) - self.center_)[of_wanted]
                dense, words = self._ridges(V, bag[:, self.columns_], topic)
            log_prior = np.log(self.priors_[topic]) + LOG_THREE
            F = self._features(lexicon, mood[in_row], log_prior, dense, words, log_overall[in_row], extra[part])
            proba[part] = softmax(F @ coef, axis=1)
            if jointly:
                logits[part] = F @ joint_coef[:-3]
        if jointly:
            proba = softmax(logits + _others(rows_of_used, proba) @ joint_coef[-3:], axis=1)
        return proba, overall, rows_of_used

    def _checked_extra(self, extra, n_pairs: int) -> np.ndarray:
        """Return the other model's log-probabilities about their usual value; without it no columns."""
        if not self.uses_extra_:
            return np.zeros((n_pairs, 0), dtype=np.float32)
        if extra is None:
            raise ValueError("this sentiment model was fitted with extra; it needs them to predict.")
        extra = np.asarray(extra, dtype=np.float32)
        if extra.shape != (n_pairs, 3) or not np.isfinite(extra).all():
            raise ValueError(f"extra must be finite and of shape ({n_pairs}, 3), got shape {extra.shape}.")
        return np.maximum(extra, LOWEST_LOG) + np.float32(LOG_THREE)

    def _fit_mood(self, pool_texts, pool_X) -> None:
        """Learn from the pool which direction of the sentence vectors goes with the lexicon's mood.

        Distant supervision: a ridge from vectors to the lexicon's compound smooths over words that the lexicon
        does not know. Its output has unit variance times its leave-one-out correlation with the compound, so
        that it says little where the lexicon and the vectors do not go together (another language).
        """
        self.mood_W_ = np.zeros(self.n_features_, dtype=np.float32)
        self.mood_center_ = np.zeros(self.n_features_, dtype=np.float32)
        if pool_X is None or pool_texts is None or len(pool_X) < MIN_POOL:
            return
        compound = sentiment_features(pool_texts)[:, 0].astype(np.float64)
        center = np.asarray(pool_X, dtype=np.float64).mean(axis=0)
        V = np.asarray(pool_X, dtype=np.float64) - center
        target = compound - compound.mean()
        inverse = np.linalg.inv(V.T @ V + MOOD_RIDGE * np.eye(V.shape[1]))
        weights = inverse @ (V.T @ target)
        found = V @ weights
        leverage = np.einsum("ij,ij->i", V @ inverse, V)
        held_out = target - (target - found) / np.maximum(1.0 - leverage, 1e-6)
        if min(found.std(), held_out.std(), target.std()) < 1e-9:
            return
        correlation = max(0.0, float(np.corrcoef(held_out, target)[0, 1]))
        self.mood_W_ = (weights * correlation / found.std()).astype(np.float32)
        self.mood_center_ = center.astype(np.float32)

    def _mood(self, X) -> np.ndarray:
        """Return the mood that the sentence vectors suggest and its strength, (n_rows, 2)."""
        mood = (X - self.mood_center_) @ self.mood_W_
        return np.stack([mood, np.abs(mood)], axis=1)

    def _fit_rows(self, clauses, X, V, rows, labels, extra) -> np.ndarray:
        """Learn the overall sentiment of texts; return its leave-one-out log-probabilities, (n_rows, 3)."""
        n = len(clauses)
        mean = np.bincount(rows, labels, minlength=n) / np.bincount(rows, minlength=n)
        overall = (mean > OVERALL_CUT).astype(np.int64) - (mean < -OVERALL_CUT)
        T = np.eye(3)[overall + 1]
        target = T - T.mean(axis=0)
        bag = _bag(clauses, 1.0)
        self.row_columns_ = np.unique(bag.indices).astype(np.int32)
        bag = bag[:, self.row_columns_]
        dense, dense_alpha = _ridge(V @ V.T, target, 2.0 * self.ridge, np.arange(n))
        words, word_alpha = _ridge((bag @ bag.T).toarray(), target, 2.0 * self.ridge, np.arange(n))
        self.row_dense_W_ = (V.T @ dense_alpha).astype(np.float32)
        self.row_word_W_ = np.asarray(bag.T @ word_alpha, dtype=np.float32)
        F = self._row_features(clauses, self._mood(X), dense, words)
        F_joint = np.hstack([F, _row_means(rows, extra, n)])
        self.row_coef_ = _softmax_regression(F, overall + 1, self.row_coef_, ROW_PENALTY)
        self.row_joint_coef_ = _softmax_regression(F_joint, overall + 1, self.row_joint_coef_, ROW_PENALTY)
        return log_softmax(F @ self.row_coef_, axis=1)

    def _ridges(self, V, bag, topics):
        """Return what vectors and words say of each pair, each (n_pairs, 3): the shared part and the topic's."""
        dense, words = V @ self.dense_W_, bag @ self.word_W_
        order = np.argsort(topics, kind="stable")
        bounds = np.searchsorted(topics[order], np.arange(self.n_topics_ + 1))
        bag = bag[order]
        whole = np.zeros_like(self.word_W_)
        for topic in np.flatnonzero(np.diff(bounds)):
            places, weights = self.topic_words_[topic]
            part = slice(bounds[topic], bounds[topic + 1])
            dense[order[part]] += V[order[part]] @ self.topic_W_[topic]
            if len(places):
                whole[places] = weights
                words[order[part]] += bag[part] @ whole
                whole[places] = 0.0
        return dense, words

    def _pair_words(self, clauses: Clauses, rows, topics):
        """Return lexicon features, (n_pairs, 9), and words of each pair; those near the topic's count most."""
        part = clauses.take(rows)
        owner = part.owner
        n_pairs = len(rows)
        if not len(owner):
            return np.zeros((n_pairs, 9), dtype=np.float32), sp.csr_matrix(
                (n_pairs, N_LEXICAL_FEATURES), dtype=np.float32
            )
        evidence = np.zeros(len(owner), dtype=np.float32)
        if self.word_weights_.nnz:
            evidence = _look_up(self.word_weights_, topics[owner], part.column)
        is_start = (np.diff(owner, prepend=-1) != 0) | (np.diff(part.clause, prepend=-1) != 0)
        clause = np.cumsum(is_start) - 1
        of_pair = owner[is_start]
        found = np.bincount(clause, evidence)
        best = np.zeros(n_pairs)
        np.maximum.at(best, of_pair, found)
        # Clauses that speak of the topic; their neighbours and the rest of the text keep a little weight.
        share = np.where(best[of_pair] > 0, found / np.maximum(best[of_pair], 1e-9), 1.0)
        in_clause = 0.1 + 0.9 * share
        nearby = _nearness(part, owner, evidence, n_pairs)
        valence = [np.maximum(part.valence, 0), np.minimum(part.valence, 0)]
        by_clause = [np.bincount(clause, value) for value in valence]
        positive, negative = (np.bincount(of_pair, value * in_clause, minlength=n_pairs) for value in by_clause)
        near_positive, near_negative = (np.bincount(owner, value * nearby, minlength=n_pairs) for value in valence)
        total = np.bincount(of_pair, by_clause[0] + by_clause[1], minlength=n_pairs)
        matched = _compound(positive + negative)
        lexicon = np.stack(
            [
                matched, np.log1p(positive), -np.log1p(-negative), _compound(total), best > 0, np.abs(matched),
                _compound(near_positive + near_negative), np.log1p(near_positive), -np.log1p(-near_negative),
            ],
            axis=1,
        ).astype(np.float32)  # fmt: skip
        return lexicon, _bag(part, nearby)

    def _features(self, lexicon, mood, log_prior, dense, words, log_overall, extra):
        ones = np.ones((len(lexicon), 1), dtype=np.float32)
        return np.hstack([ones, lexicon, mood, log_prior, dense, words, log_overall + LOG_THREE, extra])

    def _row_features(self, clauses, mood, dense, words):
        ones = np.ones((len(mood), 1), dtype=np.float32)
        return np.hstack([ones, sentiment_features(clauses)[:, [0, 3, 4]], mood, dense, words])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything predictions need as plain arrays, ready for `np.savez` without pickle."""
        used = np.flatnonzero(np.abs(self.topic_W_).sum(axis=(1, 2)) > 0)
        arrays = {name: getattr(self, name + "_") for name in _STORED}
        return arrays | {
            "format": np.array(ARRAYS_FORMAT),
            "params": np.array([self.ridge, self.random_state]),
            "n_pairs": np.array(self.n_pairs_),
            "uses_extra": np.array(self.uses_extra_),
            "topic_W": self.topic_W_[used],
            "topic_W_topics": used,
            "topic_words_ends": np.cumsum([len(places) for places, _ in self.topic_words_], dtype=np.int64),
            "topic_words_places": np.concatenate(
                [np.zeros(0, dtype=np.int32), *(places for places, _ in self.topic_words_)]
            ),
            "topic_words_W": np.concatenate(
                [np.zeros((0, 3), dtype=np.float32), *(weights for _, weights in self.topic_words_)]
            ),
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
        model.uses_extra_ = bool(arrays["uses_extra"])
        for name in _STORED:
            setattr(model, name + "_", np.asarray(arrays[name]))
        model.n_topics_, model.n_features_ = len(model.priors_), len(model.dense_W_)
        model.topic_W_ = np.zeros((model.n_topics_, model.n_features_, 3), dtype=np.float32)
        model.topic_W_[np.asarray(arrays["topic_W_topics"])] = arrays["topic_W"]
        places, weights = np.asarray(arrays["topic_words_places"]), np.asarray(arrays["topic_words_W"])
        bounds = [0, *np.asarray(arrays["topic_words_ends"]).tolist()]
        model.topic_words_ = [(places[start:end], weights[start:end]) for start, end in itertools.pairwise(bounds)]
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


_STORED = (
    "priors", "coef", "joint_coef", "row_coef", "row_joint_coef", "columns", "row_columns", "dense_W", "word_W",
    "row_dense_W", "row_word_W", "center", "mood_W", "mood_center",
)  # fmt: skip


def _topic_words(classifier, label_texts, n_topics) -> sp.csr_matrix:
    """Return how strongly each word speaks of each topic, csr (n_topics, N_LEXICAL_FEATURES), no negatives."""
    if classifier is not None:
        return classifier.topic_words()
    if label_texts is None:
        return sp.csr_matrix((n_topics, N_LEXICAL_FEATURES), dtype=np.float32)
    words = read_clauses(label_texts)
    parts = (np.ones(len(words.column), dtype=np.float32), words.column, words.indptr)
    return sp.csr_matrix(parts, shape=(n_topics, N_LEXICAL_FEATURES))


def _distinctive(weights: sp.csr_matrix) -> sp.csr_matrix:
    """Return the weights times the squared share of the topic in the word: 'the' must not find the place."""
    weights = sp.csr_matrix(weights, copy=True)
    total = np.bincount(weights.indices, weights.data, minlength=weights.shape[1])[weights.indices]
    share = np.divide(weights.data, total, out=np.zeros_like(weights.data), where=total > 0)
    weights.data = (weights.data * share * share).astype(np.float32)
    return weights


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


def _start(uses_extra: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights of the four softmax regressions before any review; columns negative, neutral, positive.

    Pairs: 1; lexicon (compound, positive sum, negative sum on the topic's clauses, compound of the text, topic's
    words found, strength, compound and sums near the topic's words); mood of the vector, its strength; log prior
    of the topic (3); vector ridge (3); word ridge (3); log-probabilities of the overall sentiment (3); extra (3).
    Pairs, jointly: and the other pairs of the row (3). Rows: 1; lexicon (compound of the text, highest and lowest
    of a clause); mood, its strength; vector ridge (3); word ridge (3). Rows, jointly: and the mean extra (3).
    """
    coef = np.zeros((27, 3))
    coef[0] = [0.0, 0.45, 0.0]
    coef[1] = coef[7] = [-0.75, 0.0, 0.75]
    coef[2] = coef[8] = [-0.1, -0.1, 0.2]
    coef[3] = coef[9] = [-0.2, 0.1, 0.1]
    coef[4] = [-0.3, 0.0, 0.3]
    coef[6] = [0.0, -0.8, 0.0]
    coef[10] = [-0.7, 0.0, 0.7]
    coef[12:21] = 0.7 * np.tile(np.eye(3), (3, 1))
    coef[24:27] = 0.7 * np.eye(3)
    row_coef = np.zeros((15, 3))
    row_coef[0] = [0.0, -0.3, 0.0]
    row_coef[1] = [-0.7, 0.0, 0.7]
    row_coef[4] = [-1.0, 0.0, 1.0]
    row_coef[6:12] = 1.5 * np.tile(np.eye(3), (2, 1))
    row_coef[12:15] = np.diag([0.7, 0.0, 0.7])
    if not uses_extra:
        coef, row_coef = coef[:24], row_coef[:12]
    return coef, np.vstack([coef, np.zeros((3, 3))]), row_coef[:12], row_coef


def _softmax_regression(F, labels, start, penalty, n_iterations=60):
    """Return softmax coefficients held to `start`: Newton steps, halved until the loss falls."""
    F = np.asarray(F, dtype=np.float64)
    p = F.shape[1]
    coef = start.copy()
    T = np.eye(3)[labels]

    def loss(coef):
        Z = F @ coef
        return (logsumexp(Z, axis=1) - (Z * T).sum(axis=1)).sum() + 0.5 * penalty * ((coef - start) ** 2).sum()

    lowest = loss(coef)
    for _ in range(n_iterations):
        P = softmax(F @ coef, axis=1)
        gradient = F.T @ (P - T) + penalty * (coef - start)
        H = penalty * np.eye(3 * p)
        for a in range(3):
            for b in range(3):
                w = P[:, a] * ((a == b) - P[:, b])
                H[a * p : (a + 1) * p, b * p : (b + 1) * p] += (F * w[:, None]).T @ F
        step = np.linalg.solve(H, gradient.T.ravel()).reshape(3, p).T
        for _ in range(12):
            reached = loss(coef - step)
            if reached <= lowest:
                break
            step = step / 2
        else:
            break
        coef, lowest = coef - step, reached
        if np.abs(step).max() < 1e-7:
            break
    return coef


def _shrunk(counts, usual):
    """Return shares of the three sentiments, drawn to the usual ones as if by four pairs."""
    return (counts + 4.0 * usual) / (counts.sum(axis=1, keepdims=True) + 4.0)


def _ridge(K, target, ridge, groups):
    """Return kernel ridge predictions for rows as if their group were left out, and the dual weights."""
    G = np.linalg.inv(K.astype(np.float64) + ridge * np.eye(len(K)))
    alpha = G @ target
    return target - _grouped_residuals(G, alpha, groups), alpha


def _nearness(part: Clauses, owner, evidence, n_pairs):
    """Return how close each word is to words that speak of the topic, from 0.05 to 1; 1 if there are none.

    Evidence fades by a factor of e over NEAR_WORDS words and once more with each clause between; the sum over up
    to 15 words on either side comes out of four doublings instead of thirty shifts (Hillis and Steele 1986).
    """
    same = owner[1:] == owner[:-1]
    fading = np.exp(-1.0 / NEAR_WORDS - np.minimum(np.diff(part.clause), 3) * same).astype(np.float32) * same
    nearness = -evidence
    for towards in (1, -1):
        total, decay = evidence[::towards].copy(), np.concatenate([[0], fading[::towards]]).astype(np.float32)
        for shift in (1, 2, 4, 8):
            if shift >= len(total):
                break
            total[shift:] += decay[shift:] * total[:-shift].copy()
            decay[shift:] *= decay[:-shift].copy()
            decay[:shift] = 0.0
        nearness = nearness + total[::towards]
    highest = np.zeros(n_pairs, dtype=np.float32)
    np.maximum.at(highest, owner, nearness)
    highest = highest[owner]
    share = np.where(highest > 0, nearness / np.maximum(highest, 1e-12), 1.0)
    return (0.05 + 0.95 * share).astype(np.float32)


def _bag(clauses: Clauses, weight) -> sp.csr_matrix:
    """Return weighted words and pairs of neighbouring words, rows of length 1, csr (n, N_LEXICAL_FEATURES).

    A pair counts PAIR_WEIGHT times the lower of its words' weights.
    """
    n, n_words = len(clauses), len(clauses.column)
    indices = np.empty(2 * n_words, dtype=np.int32)
    values = np.empty(2 * n_words, dtype=np.float32)
    # Words and the pairs they begin alternate, so that each text's stay together.
    indices[::2], values[::2] = clauses.column, weight
    following = np.roll(clauses.column, -1)
    mixed = clauses.column.astype(np.uint32) * np.uint32(2_654_435_761) + following.astype(np.uint32)
    indices[1::2] = (mixed * np.uint32(2_246_822_519) >> np.uint32(7)) % np.uint32(N_LEXICAL_FEATURES)
    values[1::2] = PAIR_WEIGHT * np.minimum(values[::2], np.roll(values[::2], -1))
    lasts = clauses.indptr[1:][np.diff(clauses.indptr) > 0] - 1
    values[2 * lasts + 1] = 0.0
    # Repeated words stay apart: summing them would take longer than all else here.
    owner = np.repeat(np.arange(n), 2 * np.diff(clauses.indptr))
    norms = np.sqrt(np.bincount(owner, values * values, minlength=n)).astype(np.float32)
    values /= np.maximum(norms, 1e-9)[owner]
    bag = sp.csr_matrix((values, indices, 2 * clauses.indptr), shape=(n, N_LEXICAL_FEATURES))
    return bag


def _others(rows, proba):
    """Return the mean probabilities of the other pairs of each pair's row, less a third; 0 for lone pairs."""
    n = int(rows.max(initial=-1)) + 1
    total = np.stack([np.bincount(rows, proba[:, j], minlength=n) for j in range(3)], axis=1)[rows]
    n_others = np.bincount(rows, minlength=n)[rows][:, None] - 1
    return np.where(n_others > 0, (total - proba) / np.maximum(n_others, 1) - 1 / 3, 0.0)


def _row_means(rows, values, n_rows):
    """Return the mean of each row's pairs, (n_rows, n_columns); every row has a pair."""
    means = np.zeros((n_rows, values.shape[1]), dtype=np.float32)
    for j in range(values.shape[1]):
        means[:, j] = np.bincount(rows, values[:, j], minlength=n_rows) / np.bincount(rows, minlength=n_rows)
    return means


def _best_labels(rows, proba, overall):
    """Return labels, int8, with the highest sum per row of their `proba` and the `overall` of what follows.

    Parameters
    ----------
    rows : int array of shape (n_pairs,)
    proba : ndarray of shape (n_pairs, 3)
    overall : ndarray of shape (n_rows, 3)
    """
    labels = np.zeros(len(rows), dtype=np.int8)
    order = np.argsort(rows, kind="stable")
    present, starts, counts = np.unique(rows[order], return_index=True, return_counts=True)
    for k in np.unique(counts):
        group = np.flatnonzero(counts == k)
        pairs = order[starts[group][:, None] + np.arange(k)]
        # best[:, t]: the highest sum over the first pairs if their labels add up to t, counted from the lowest.
        best = np.zeros((len(group), 1))
        chosen = []
        for j in range(k):
            sums = np.full((len(group), best.shape[1] + 2, 3), -np.inf)
            for s in range(3):
                sums[:, s : s + best.shape[1], s] = best + proba[pairs[:, j], s, None]
            chosen.append(sums.argmax(axis=2).astype(np.int8))
            best = sums.max(axis=2)
        mean = np.arange(-k, k + 1) / k
        follows = (mean > OVERALL_CUT).astype(np.int64) - (mean < -OVERALL_CUT) + 1
        total = (best + overall[present[group]][:, follows]).argmax(axis=1)
        for j in range(k - 1, -1, -1):
            s = chosen[j][np.arange(len(group)), total]
            labels[pairs[:, j]] = s - 1
            total = total - s
    return labels
