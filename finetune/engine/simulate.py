"""Play a reviewer who knows the truth, to see how much a number of reviews teaches."""

from __future__ import annotations

import csv
import gzip
import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from finetune.engine.classifier import TopicClassifier, TunedRows
from finetune.engine.encoder import Encoder
from finetune.engine.lexical import lexical_features
from finetune.engine.query import QueryStrategy
from finetune.engine.scoring import (
    ExpectedCounts,
    assign,
    audit_score,
    audit_weights,
    certainty,
    measured_f1,
    reliability,
)
from finetune.engine.sentiment import (
    Clauses,
    SentimentClassifier,
    overall_sentiments,
    read_clauses,
    text_sentiment,
)
from finetune.engine.topics import TopicSpec, topic_prompt
from finetune.engine.tuning import (
    PRINCIPAL_SAMPLE,
    TunedEncoder,
    TuningOptions,
    is_better,
    tune,
    unseen_by,
)

CHECKPOINTS = (0, 50, 100, 200, 300)
STRATEGIES = ("focus", "random", "certainty")
DEEP_AT = (20, 50, 100, 200, 300)
POOL_SAMPLE = 5000
MIN_ROWS_PER_TOPIC = 30  # unreviewed rows from which the score of a topic is judged
SENTIMENTS = {"positive": 1, "neutral": 0, "negative": -1}


class DatasetError(ValueError):
    """The file is not a data set in the format of `load_dataset`."""


@dataclass(frozen=True)
class Dataset:
    """Distinct texts with their true topics.

    Attributes
    ----------
    texts : list of str
    topics : list of TopicSpec, sorted by category and label
    Y : int8 of shape (n_rows, n_topics)
    sentiment : int8 of shape (n_rows, n_topics)
        -1, 0 or 1 where `Y` is 1 and `has_sentiment`.
    has_sentiment : bool of shape (n_topics,)
    """

    texts: list[str]
    topics: list[TopicSpec]
    Y: np.ndarray
    sentiment: np.ndarray
    has_sentiment: np.ndarray


def load_dataset(
    path: str | os.PathLike[str], seed: int = 0, max_rows: int = 6000, min_rows_per_topic: int = 10
) -> Dataset:
    """Read a labelled CSV (gzipped or not) with the columns `text` and `topics`.

    `topics` holds a JSON list of `{"category", "label", "sentiment"}`. Equal texts count once (the first); of more
    than `max_rows` a seeded part is taken, in file order; topics with fewer than `min_rows_per_topic` rows in
    that part are left out.

    Raises
    ------
    DatasetError
        With the line at fault; also if the file cannot be read or has no rows.
    """
    try:
        return _load_dataset(path, seed, max_rows, min_rows_per_topic)
    except (UnicodeDecodeError, EOFError, zlib.error, csv.Error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path} is not a CSV file in UTF-8: {error}.") from error


def _load_dataset(path, seed: int, max_rows: int, min_rows_per_topic: int) -> Dataset:
    csv.field_size_limit(10_000_000)
    opener = gzip.open if str(path).endswith(".gz") else open
    texts: dict[str, list[dict]] = {}
    with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        if not {"text", "topics"} <= set(reader.fieldnames or ()):
            raise DatasetError(
                f"{path} needs the columns text and topics, it has {', '.join(reader.fieldnames or ()) or 'none'}."
            )
        for line in reader:
            if line["text"] in texts:
                continue
            try:
                texts[line["text"]] = [
                    {"key": (entry.get("category") or "", entry["label"]), "sentiment": entry.get("sentiment")}
                    for entry in json.loads(line["topics"])
                ]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                message = f'{path}, line {reader.line_num}: topics must be a JSON list of {{"category", "label"}}.'
                raise DatasetError(message) from error
    rows = list(texts.items())
    if not rows:
        raise DatasetError(f"{path} has no rows.")
    if len(rows) > max_rows:
        chosen = np.random.default_rng(seed).choice(len(rows), max_rows, replace=False)
        rows = [rows[i] for i in np.sort(chosen)]
    counts = Counter(key for _, entries in rows for key in {entry["key"] for entry in entries})
    keys = sorted(key for key, count in counts.items() if count >= min_rows_per_topic)
    number = {key: i for i, key in enumerate(keys)}
    Y = np.zeros((len(rows), len(keys)), dtype=np.int8)
    sentiment = np.zeros_like(Y)
    has_sentiment = np.zeros(len(keys), dtype=bool)
    for row, (_, entries) in enumerate(rows):
        for entry in entries:
            topic = number.get(entry["key"])
            if topic is None:
                continue
            Y[row, topic] = 1
            if entry["sentiment"] in SENTIMENTS:
                sentiment[row, topic] = SENTIMENTS[entry["sentiment"]]
                has_sentiment[topic] = True
    topics = [TopicSpec(label=label, category=category) for category, label in keys]
    return Dataset([text for text, _ in rows], topics, Y, sentiment, has_sentiment)


class TextEncoder(Protocol):
    """What the simulation needs of an encoder."""

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class Features:
    """What the engine computes once per text."""

    X: np.ndarray
    X_lex: object
    clauses: Clauses
    label_X: np.ndarray  # noqa: N815  (the field's name)
    label_X_lex: object  # noqa: N815
    prompts: list[str]


def dataset_features(dataset: Dataset, encoder: TextEncoder) -> Features:
    """Return the vectors, words and clauses of a data set's texts and topics."""
    prompts = [topic_prompt(topic) for topic in dataset.topics]
    return Features(
        encoder.encode(dataset.texts), lexical_features(dataset.texts), read_clauses(dataset.texts),
        encoder.encode(prompts), lexical_features(prompts), prompts,
    )  # fmt: skip


def simulate(
    dataset_path: str | os.PathLike[str], *, n_reviews: int = 300, strategy: str = "focus", seed: int = 0,
    checkpoints: Sequence[int] = CHECKPOINTS, update_every: int = 5, audit_share: float = 0.2,
    encoder: TextEncoder | None = None, deep_at: Sequence[int] = (), tuning: TuningOptions | None = None,
) -> list[dict]:  # fmt: skip
    """Review `n_reviews` rows with the truth as the answer and report the quality on all rows not yet reviewed.

    Parameters
    ----------
    dataset_path : path of a file that `load_dataset` reads
    n_reviews : int
    strategy : {"focus", "random", "certainty"}
        The product's queue; random order; least certain first without random rows and without diversity.
    seed : int
        Of the rows taken, the queue and the classifier.
    checkpoints : sequence of int
        Numbers of reviews at which to report; those above `n_reviews` are left out, `n_reviews` itself is added.
    update_every : int
        Reviews between two light updates.
    encoder : Encoder, optional
        Loaded if not given.
    deep_at : sequence of int, default=()
        Numbers of reviews at which the encoder is fine-tuned on the reviews so far, before anything is reported;
        usually `DEEP_AT`. All later light updates use it if it is better on the reviews (see `is_better`).
    tuning : TuningOptions, optional
        How to fine-tune.

    Returns
    -------
    list of dict
        One per checkpoint; all but the seconds and the memory are about the rows not yet reviewed:

        seed, n_reviews
        f1_micro, f1_macro, f1_weighted
        f1_micro_sentiment : pairs of topic and sentiment; None without sentiment
        overall_agreement : share of rows whose overall sentiment is right; None without sentiment
        ai_score, score_error : the score, and how far it is above 100 x f1_weighted
        topic_score_error : mean distance of a topic's score from 100 x its F1, over topics with a score and 30
            rows; None without any
        ece, reliability : expected calibration error of the probabilities, and what it is made of: a list of
            (pairs, mean probability, share that is true) per bin that is not empty
        audit_score, audit_low, audit_high, audit_covers : measured score of the random rows, its interval, and
            whether that holds 100 x f1_weighted; None with fewer than 5 random rows
        seconds_update, seconds_total : mean light update since the last checkpoint; all light updates so far
        seconds_deep : the last fine-tuning with the encoding of all texts; None before the first
        deep_in_use : whether the probabilities come from a fine-tuned encoder
        rss_mb

    Raises
    ------
    ValueError
        If the strategy is unknown, or reviews are too few to fine-tune at one of `deep_at`.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}.")
    dataset = load_dataset(dataset_path, seed)
    encoder = encoder or Encoder.load()
    features = dataset_features(dataset, encoder)
    return simulate_features(
        dataset, features, n_reviews=n_reviews, strategy=strategy, seed=seed, checkpoints=checkpoints,
        update_every=update_every, audit_share=audit_share, encoder=encoder, deep_at=deep_at, tuning=tuning,
    )  # fmt: skip


def simulate_features(
    dataset: Dataset, features: Features, *, n_reviews: int, strategy: str, seed: int,
    checkpoints: Sequence[int] = CHECKPOINTS, update_every: int = 5, audit_share: float = 0.2,
    encoder: TextEncoder | None = None, deep_at: Sequence[int] = (), tuning: TuningOptions | None = None,
) -> list[dict]:  # fmt: skip
    """Do what `simulate` says with features computed before; `encoder` is needed for fine-tuning only."""
    if len(deep_at) and encoder is None:
        raise ValueError("deep_at needs the encoder that made the features.")
    n_rows = len(dataset.texts)
    n_reviews = min(n_reviews, n_rows)
    marks = {mark for mark in checkpoints if mark <= n_reviews} | {n_reviews}
    stops = sorted(marks | {mark for mark in deep_at if mark <= n_reviews})
    reviewed: list[int] = []
    is_audit: list[bool] = []
    results: list[dict] = []
    seconds: list[float] = []
    seconds_deep: float | None = None
    deep: _Deep | None = None
    n_reported = 0
    while True:
        start = time.perf_counter()
        state = _light_update(
            dataset, features, np.asarray(reviewed, dtype=np.int64), np.asarray(is_audit, dtype=bool), seed, deep
        )
        seconds.append(time.perf_counter() - start)
        if len(reviewed) in deep_at:
            start = time.perf_counter()
            candidate = _fine_tune(dataset, state, encoder, features.prompts, seed, tuning)
            with_it = _light_update(
                dataset, features, state.reviewed, np.asarray(is_audit, dtype=bool), seed, candidate
            )
            if is_better(with_it.classifier, state.classifier, dataset.Y[state.reviewed]):
                state, deep = with_it, candidate
            seconds_deep = time.perf_counter() - start
        if len(reviewed) in marks:
            report: dict[str, Any] = {"seed": seed, "n_reviews": len(reviewed)}
            report |= _measure(dataset, features, state, np.asarray(is_audit, dtype=bool))
            report["seconds_update"] = float(np.mean(seconds[n_reported:]))
            report["seconds_total"] = float(np.sum(seconds))
            report["seconds_deep"] = seconds_deep
            report["deep_in_use"] = deep is not None
            report["rss_mb"] = _rss_mb()
            results.append(report)
            n_reported = len(seconds)
        if len(reviewed) >= n_reviews:
            return results
        next_stop = min(stop for stop in stops if stop > len(reviewed))
        n_next = min(update_every, next_stop - len(reviewed))
        chosen, audit = _next_rows(strategy, state, features, n_next, 1000 * seed + len(reviewed), audit_share)
        reviewed += [int(row) for row in state.pool[chosen]]
        is_audit += [bool(flag) for flag in audit]


@dataclass(frozen=True)
class _State:
    reviewed: np.ndarray
    pool: np.ndarray
    classifier: TopicClassifier
    Y_prob: np.ndarray
    Y_hat: np.ndarray
    certainty: np.ndarray
    sample: np.ndarray


def _light_update(dataset, features, reviewed, is_audit, seed, deep: _Deep | None) -> _State:
    pool = np.setdiff1d(np.arange(len(dataset.texts)), reviewed)
    sample = pool
    if len(pool) > POOL_SAMPLE:
        sample = np.sort(np.random.default_rng(seed).choice(pool, POOL_SAMPLE, replace=False))
    classifier = TopicClassifier(random_state=seed).fit(
        features.X[reviewed], dataset.Y[reviewed], label_X=features.label_X, X_lex=features.X_lex[reviewed],
        label_X_lex=features.label_X_lex, pool_X=features.X[sample], pool_X_lex=features.X_lex[sample],
        tuned=deep.rows(reviewed, sample) if deep is not None else None,
        calibration_weight=audit_weights(is_audit),
    )  # fmt: skip
    X_tuned = deep.X[pool] if deep is not None else None
    Y_prob = classifier.predict_proba(features.X[pool], features.X_lex[pool], X_tuned)
    Y_hat = assign(Y_prob, classifier.thresholds_)
    return _State(reviewed, pool, classifier, Y_prob, Y_hat, certainty(Y_prob, classifier.thresholds_), sample)


@dataclass(frozen=True)
class _Deep:
    """A fine-tuned encoder with its vectors of all texts and topics.

    Attributes
    ----------
    X, label_X : ndarray of shape (n_rows or n_topics, n_features of the encoder)
    part : int ndarray of shape (n_rows,)
        The member that was trained without the row, -1 for rows that none was trained on.
    """

    tuned: TunedEncoder
    X: np.ndarray
    label_X: np.ndarray  # noqa: N815  (the field's name)
    part: np.ndarray

    def rows(self, reviewed: np.ndarray, sample: np.ndarray) -> TunedRows:
        """Return what the classifier learns from."""
        return self.tuned.rows(
            X=self.X[reviewed], is_unseen=unseen_by(self.part[reviewed], self.tuned.n_members),
            pool_X=self.X[sample], label_X=self.label_X, columns=range(len(self.label_X)),
        )  # fmt: skip


def _fine_tune(dataset, state, encoder, prompts, seed, options) -> _Deep:
    """Fine-tune the encoder on the reviewed rows and encode everything with it."""
    texts = np.asarray(dataset.texts, dtype=object)
    sample = np.random.default_rng(seed).permutation(state.sample)[:PRINCIPAL_SAMPLE]
    tuned, parts = tune(
        encoder, texts[state.reviewed].tolist(), dataset.Y[state.reviewed], prompts=prompts,
        pool_texts=texts[sample].tolist(), options=options, random_state=seed,
    )  # fmt: skip
    part = np.full(len(texts), -1)
    part[state.reviewed] = parts
    return _Deep(tuned, tuned.encode(dataset.texts), tuned.encode(prompts), part)


def _next_rows(strategy, state, features, n, random_state, audit_share):
    if strategy == "random":
        chosen = np.random.default_rng(random_state).choice(
            len(state.pool), min(n, len(state.pool)), replace=False
        )
        return chosen, np.ones(len(chosen), dtype=bool)
    is_focus = strategy == "focus"
    return QueryStrategy().select(
        certainty=state.certainty, X=features.X[state.pool] if is_focus else None, n=n, random_state=random_state,
        audit_share=audit_share if is_focus else 0.0, Y_prob=state.Y_prob if is_focus else None,
        X_reviewed=features.X[state.reviewed],
    )  # fmt: skip


def _measure(dataset, features, state, is_audit) -> dict:
    Y = dataset.Y[state.pool]
    report: dict[str, Any] = {
        f"f1_{average}": measured_f1(Y, state.Y_hat, average=average) for average in ("micro", "macro", "weighted")
    }
    report["f1_micro_sentiment"] = report["overall_agreement"] = None
    if dataset.has_sentiment.any():
        S_hat = _sentiments(dataset, features, state)
        report["f1_micro_sentiment"] = _f1_with_sentiment(dataset, state, S_hat)
        report["overall_agreement"] = _overall_agreement(dataset, features, state, S_hat)
    true_score = 100.0 * report["f1_weighted"]
    counts = ExpectedCounts(state.Y_prob.shape[1]).add(state.Y_prob, state.Y_hat)
    score = counts.ai_score()
    report["ai_score"], report["score_error"] = score.score, score.score - true_score
    report["topic_score_error"] = _topic_score_error(Y, state.Y_hat, score.topic_score)
    bins = reliability(Y, state.Y_prob)
    report["ece"] = bins.error
    report["reliability"] = [
        (int(n), float(prob), float(share))
        for n, prob, share in zip(bins.count, bins.mean_prob, bins.share_true, strict=True)
        if n
    ]
    report |= dict.fromkeys(("audit_score", "audit_low", "audit_high", "audit_covers"))
    # Leave-one-out: what the current model would have said of each audit row had it not been reviewed.
    Y_loo = state.classifier.loo_proba_[is_audit]
    measured, low, high = audit_score(
        counts, dataset.Y[state.reviewed[is_audit]], Y_loo, assign(Y_loo, state.classifier.thresholds_)
    )
    if not np.isnan(measured):
        covers = bool(low <= true_score <= high)
        report |= {"audit_score": measured, "audit_low": low, "audit_high": high, "audit_covers": covers}
    return report


def _topic_score_error(Y, Y_hat, topic_score) -> float | None:
    """Return the mean distance of the topics' scores from 100 x their F1, over topics with enough rows."""
    support = Y.sum(axis=0, dtype=np.int64)
    counted = (support >= MIN_ROWS_PER_TOPIC) & ~np.isnan(topic_score)
    if not counted.any():
        return None
    f1 = 2 * (Y.astype(bool) & Y_hat).sum(axis=0) / np.maximum(1, support + Y_hat.sum(axis=0))
    return float(np.abs(topic_score - 100 * f1)[counted].mean())


def _sentiments(dataset, features, state) -> np.ndarray:
    """Return the sentiments of the pool's assignments, int8 of the shape of `Y_hat`, 0 where there is none."""
    rows, topics = np.nonzero(dataset.Y[state.reviewed] * dataset.has_sentiment)
    labels = dataset.sentiment[state.reviewed][rows, topics]
    model = SentimentClassifier().fit(
        features.clauses.take(state.reviewed),
        features.X[state.reviewed],
        np.stack([rows, topics, labels], axis=1),
        label_X=features.label_X, classifier=state.classifier,
        pool_texts=features.clauses.take(state.sample), pool_X=features.X[state.sample],
    )  # fmt: skip
    S_hat = np.zeros(state.Y_hat.shape, dtype=np.int8)
    rows, topics = np.nonzero(state.Y_hat & dataset.has_sentiment)
    S_hat[rows, topics] = model.predict_jointly(
        features.clauses.take(state.pool), features.X[state.pool], rows, topics
    )
    return S_hat


def _f1_with_sentiment(dataset, state, S_hat) -> float:
    """Return the micro-F1 of (topic, sentiment) pairs; both must be right."""
    Y, truth = dataset.Y[state.pool], dataset.sentiment[state.pool]
    same = (S_hat == truth) | ~dataset.has_sentiment
    right = ((state.Y_hat == 1) & (Y == 1) & same).sum()
    return float(2 * right / max(1, state.Y_hat.sum() + Y.sum()))


def _overall_agreement(dataset, features, state, S_hat) -> float:
    """Return the share of rows with a right overall sentiment, of those that truly have topics with sentiment."""
    is_true = (dataset.Y[state.pool] == 1) & dataset.has_sentiment
    is_found = (state.Y_hat == 1) & dataset.has_sentiment
    found = overall_sentiments(S_hat, is_found)
    bare = np.flatnonzero(~is_found.any(axis=1))
    if len(bare):
        found[bare] = text_sentiment(features.clauses.take(state.pool[bare]))
    truth = overall_sentiments(dataset.sentiment[state.pool], is_true)
    counted = is_true.any(axis=1)
    return float((found == truth)[counted].mean()) if counted.any() else float("nan")


def _rss_mb() -> float:
    """Return the highest resident memory of this process so far, in MiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
