"""AI updates: read the reviews, encode what is new, fit, score, assign, deploy.

A light update refits the classifier on cached embeddings. The stages are reported to the job, and
every one of them may be cut off by a killed worker: vectors, features and assignments already
written are simply found again by the next attempt, and the last good model stays in use until the
transaction that deploys the new one.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import structlog
from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from finetune import sentiments
from finetune.encoders import encode_texts, get_encoder
from finetune.engine import (
    ExpectedCounts,
    TopicClassifier,
    assign,
    audit_weights,
    certainty,
    lexical_features,
    most_telling,
)
from finetune.engine.tuning import PRINCIPAL_SAMPLE, TuningOptions, can_tune, is_better, loo_f1
from finetune.features import ColumnFeatures, scratch_array
from finetune.keywords import ColumnKeywords, keywords_apply, texts_of
from finetune.lending import Lent, lent_rows
from finetune.models import STAGES, ModelVersion, TopicScore, Trigger, Tuning, TuningState, VersionState
from finetune.prompts import topic_prompts
from finetune.scores import Scores, make_scores
from finetune.selectors import column_has_keywords
from finetune.tunings import (
    ColumnTuning,
    tuning_drop,
    tuning_in_use,
    tuning_make,
    tuning_note_impossible,
    tunings_sweep,
)
from finetune.writeback import (
    NO_SENTIMENT,
    SOURCE_CODES,
    Groups,
    Outcome,
    Stored,
    groups_load,
    statistics_refresh,
    write_back,
)
from projects.jobs import JobLostError, JobRun
from projects.models import Column, Job
from rows import sql
from rows.models import Assignment, AssignmentSource, Verbatim
from rows.selectors import topic_list
from rows.text import digest
from topicassign.errors import ApplicationError
from topics.models import Topic

log = structlog.get_logger(__name__)

ARTIFACT_FORMAT = 2
KEEP_ARTIFACTS = 5  # versions whose arrays are kept beside the one in use
POOL_SAMPLE = 5_000
ENCODE_BLOCK = 1_024
PREDICT_BLOCK = 50_000
ASSIGN_BLOCK = 10_000
MANY_CHANGES = 10_000
MIN_CERTAINTY = 0.0001  # none at all has a row that no update has seen
QUEUE_LENGTH = 60  # reviews planned ahead: more than people do before the next update


class _Lazy:
    """Rows of a memory map in another order, read when asked for."""

    def __init__(self, X: np.ndarray, rows: np.ndarray) -> None:
        self._X, self._rows = X, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        return self._X[self._rows[index]]


class Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - began, 3)

    @property
    def total(self) -> float:
        return round(time.perf_counter() - self._began, 3)


class Update:
    """One AI update of a column. `run` reports progress and guards the claim; None runs without a job.

    A deep update fine-tunes the encoder on the reviews first, and goes on with it if it is better.
    """

    def __init__(
        self, column: Column, run: JobRun | None, *, trigger: str, assign_only: bool = False, deep: bool = False
    ) -> None:
        self.column = column
        self.run = run
        self.trigger = trigger
        self.assign_only = assign_only
        self.deep = deep
        self.tuning: ColumnTuning | None = None
        self.candidate: ColumnTuning | None = None
        self.clock = Clock()
        self.n_changed = 0  # verbatims, since the planner was told
        self._early: tuple[TopicClassifier, list[int]] | None = None
        self._words: ColumnKeywords | None = None
        self.lent = Lent()

    def report(self, stage: str, done: int | None = None, total: int | None = None) -> None:
        if self.run is not None:
            self.run.progress(done, total, STAGES[stage])

    def execute(self) -> dict[str, Any]:
        """Do all of it. Returns what the command line prints: version, ai_score, n_reviewed, seconds, stages."""
        with self.clock.stage("prepare"):
            self.report("prepare", 0, 0)
            self._prepare()
        with self.clock.stage("encode"):
            self._encode()
        if not self.topics:
            self._write_sentiment_only()
            return self._result(None)
        if self.assign_only:
            return self._assign_from_existing()
        with self.clock.stage("train"):
            self.report("train", 0, 1)
            self._train()
        try:
            if self.deep:
                self._tune()
            return self._finish()
        except BaseException:
            if self.candidate is not None and self.candidate.record.pk is None:
                tuning_drop(self.candidate.record.key)
            raise

    def _finish(self) -> dict[str, Any]:
        with self.clock.stage("evaluate"):
            self.report("evaluate", 0, 1)
            self._evaluate()
        with self.clock.stage("assign"):
            self.words.read(self.pool, lambda _done, _total: self.report("assign", 0, len(self.pool)))
            self._assign()
        with self.clock.stage("deploy"):
            self.report("deploy", 0, 1)
            version = self._deploy()
        log.info("update_done", column=self.column.pk, version=version.number, seconds=self.clock.seconds)
        return self._result(version)

    def _result(self, version: ModelVersion | None) -> dict[str, Any]:
        return {
            "version": version.number if version else None,
            "ai_score": round(version.ai_score, 2) if version and version.ai_score is not None else None,
            "n_reviewed": version.n_reviewed if version else 0,
            "seconds": self.clock.total,
            "stages": self.clock.seconds,
        }

    # prepare

    def _prepare(self) -> None:
        self._read_topics()
        self.groups: Groups = groups_load(self.column)
        Verbatim.objects.filter(column=self.column, is_empty=True, certainty__lt=1).update(certainty=1.0)

    def _read_topics(self) -> None:
        Column.objects.filter(pk=self.column.pk).update(update_requested=False)
        self.column.refresh_from_db()
        self.n_reviews_seen = self.column.n_reviews_since_update
        self.data_version_seen = self.column.data_version
        self.topics: list[Topic] = list(topic_list(column=self.column))
        self.topic_ids = [topic.pk for topic in self.topics]
        self.with_sentiment = np.array([topic.sentiment_enabled for topic in self.topics], dtype=bool)
        self._words = None

    @property
    def words(self) -> ColumnKeywords:
        """Which texts have keywords of the topics that this update knows."""
        if self._words is None:
            self._words = ColumnKeywords(self.topics, self.groups.n, self._texts)
        return self._words

    # encode

    def _encode(self) -> None:
        self.encoder = get_encoder()
        self.features = ColumnFeatures(self.column.pk, self.encoder.key, self.encoder.n_features)
        self._encode_topics()
        self.tuning = tuning_in_use(self.column, self.encoder) if self.topics else None
        positions = self.features.positions(self.groups.digests)
        missing = np.flatnonzero(positions < 0)
        total = self.groups.n
        n_done = total - len(missing)
        self.report("encode", n_done, total)
        in_chunks = len(missing) > ENCODE_BLOCK
        for start in range(0, len(missing), ENCODE_BLOCK):
            block = missing[start : start + ENCODE_BLOCK]
            texts = self._texts(block)
            digests = [self.groups.digests[i] for i in block]
            X = encode_texts(texts, digests, progress=self._encode_progress(n_done, total))
            fresh = {d: i for i, d in reversed(list(enumerate(digests)))}  # a digest may come twice
            keep = sorted(fresh.values())
            self.features.append([digests[i] for i in keep], [texts[i] for i in keep], X[keep])
            n_done += len(block)
            self.report("encode", n_done, total)
            if in_chunks:
                self._catch_up_with_topics()
                self._assign_early(block)
        self._refresh_statistics()
        self.positions = self.features.positions(self.groups.digests)
        if self.tuning is not None:
            self._tuned_positions(self.tuning, np.arange(self.groups.n))

    def _tuned_positions(self, tuning: ColumnTuning, groups: np.ndarray) -> np.ndarray:
        """Return where the vectors of some groups are; texts that have none yet are encoded first."""
        return tuning.ensure(
            [self.groups.digests[i] for i in groups.tolist()],
            lambda block: self._texts(groups[block]),
            lambda done, total: self.report("encode_tuned", done, total),
        )

    def _tuned_of(self, model: TopicClassifier, groups: np.ndarray) -> np.ndarray | None:
        """Return the fine-tuned encoder's vectors of some groups, None for a model that reads none."""
        if not model.needs_tuned or self.tuning is None:
            return None
        return self.tuning.read(self._tuned_positions(self.tuning, groups))

    def _catch_up_with_topics(self) -> None:
        """Encoding a large column takes minutes; topics made meanwhile count from the next block on."""
        if self.assign_only or not Column.objects.filter(pk=self.column.pk, update_requested=True).exists():
            return
        self._read_topics()
        self._encode_topics()
        self._early = None
        positions = self.features.positions(self.groups.digests)
        self._assign_early(np.flatnonzero((positions >= 0) & ~self.groups.is_reviewed))

    def _encode_progress(self, base: int, total: int) -> Callable[[int], None]:
        return lambda n: self.report("encode", base + n, total)

    def _encode_topics(self) -> None:
        prompts = topic_prompts(self.topics)
        self.prompts = prompts
        if prompts:
            self.label_X = encode_texts(prompts, [digest(prompt) for prompt in prompts]).astype(np.float32)
            self.label_X_lex = lexical_features(prompts)

    def _texts(self, group_indices: np.ndarray) -> list[str]:
        return texts_of(self.groups, group_indices)  # the vector of a row deleted meanwhile is never used

    def _assign_early(self, block: np.ndarray) -> None:
        """Give the rows of a block their first assignments while encoding goes on."""
        if not self.topics or not len(block):
            return
        positions = self.features.positions([self.groups.digests[i] for i in block])
        if self._early is None:
            try:
                self._early = self._existing_classifier()
            except ApplicationError as error:  # damaged, or of another release: this update makes a new one
                log.warning("update_without_model", column=self.column.pk, error=str(error))
            self._early = self._early or self._zero_shot(positions)
        model, topic_ids = self._early
        self._write(self._outcome(model, block, positions, topic_ids), topic_ids)

    def _zero_shot(self, positions: np.ndarray) -> tuple[TopicClassifier, list[int]]:
        positions = np.sort(positions)[:POOL_SAMPLE]
        model = TopicClassifier(random_state=0).fit(
            np.zeros((0, self.encoder.n_features), dtype=np.float32),
            np.zeros((0, len(self.topics)), dtype=np.int8),
            label_X=self.label_X,
            X_lex=lexical_features([]),
            label_X_lex=self.label_X_lex,
            pool_X=np.asarray(self.features.X[positions], dtype=np.float32),
            pool_X_lex=self.features.X_lex[positions],
        )
        self.sentiment_model = sentiments.fit(
            classifier=model,
            features=self.features,
            positions=np.zeros(0, dtype=np.int64),
            S=np.zeros((0, len(self.topics)), dtype=np.int8),
            label_X=self.label_X,
            pool=positions,
        )
        return model, self.topic_ids

    def _existing_classifier(self) -> tuple[TopicClassifier, list[int]] | None:
        version = deployed_version(self.column)
        if version is None or version.encoder != self.encoder.key:
            return None
        if version.tuning_id != (self.tuning.record.pk if self.tuning is not None else None):
            return None  # it reads vectors that are not at hand
        if not set(self.topic_ids) <= set(version.topic_ids):
            return None
        loaded = version_load(version)
        if loaded is None:
            return None
        model, self.sentiment_model = loaded
        return model, version.topic_ids

    # train

    def _train(self) -> None:
        groups = self.groups
        # Reviews that arrived while the texts were encoded are read now, together with their topics.
        now = Verbatim.objects.live(self.column).filter(is_reviewed=True, is_group_head=True, is_empty=False)
        audit_of = dict(now.values_list("pk", "is_audit"))
        groups.is_reviewed = np.isin(groups.head_ids, np.fromiter(audit_of, dtype=np.int64, count=len(audit_of)))
        self.reviewed = reviewed = np.flatnonzero(groups.is_reviewed & (self.positions >= 0))
        groups.is_audit[reviewed] = [audit_of[int(head)] for head in groups.head_ids[reviewed]]
        self.Y, self.S = self._labels(reviewed)
        pool = np.flatnonzero(~groups.is_reviewed & (self.positions >= 0))
        rng = np.random.default_rng(0)
        sample = np.sort(rng.choice(pool, POOL_SAMPLE, replace=False)) if len(pool) > POOL_SAMPLE else pool
        self.pool_sample = sample
        self.lent = lent_rows(self.column, self.topic_ids)
        self.classifier = self._fit(self.tuning)
        self._fit_sentiment()

    def _fit(self, tuning: ColumnTuning | None) -> TopicClassifier:
        """Learn the topics from the reviewed groups, with or without a fine-tuned encoder."""
        reviewed, sample = self.reviewed, self.pool_sample
        positions, sample_positions = self.positions[reviewed], self.positions[sample]
        tuned = None
        if tuning is not None and len(reviewed) and len(sample):
            tuned = tuning.rows(
                digests=[self.groups.digests[i] for i in reviewed.tolist()],
                positions=self._tuned_positions(tuning, reviewed),
                pool=self._tuned_positions(tuning, sample),
                prompts=self.prompts,
                topic_ids=self.topic_ids,
            )
        return TopicClassifier(random_state=0).fit(
            np.asarray(self.features.X[positions], dtype=np.float32),
            self.Y,
            label_X=self.label_X,
            X_lex=self.features.X_lex[positions],
            label_X_lex=self.label_X_lex,
            pool_X=np.asarray(self.features.X[sample_positions], dtype=np.float32) if len(sample) else None,
            pool_X_lex=self.features.X_lex[sample_positions] if len(sample) else None,
            tuned=tuned,
            calibration_weight=audit_weights(self.groups.is_audit[reviewed]),
            lent=self.lent.rows,
        )

    def _fit_sentiment(self) -> None:
        self.sentiment_model = sentiments.fit(
            classifier=self.classifier,
            features=self.features,
            positions=self.positions[self.reviewed],
            S=self.S,
            label_X=self.label_X,
            pool=self.positions[self.pool_sample],
        )

    # fine-tune

    def _tune(self) -> None:
        """Fine-tune the encoder on the reviews; go on with it if it does better on reviews it has not seen."""
        tunings_sweep()
        options = TuningOptions()
        if not can_tune(self.encoder) or len(self.reviewed) < 2 * options.n_members or not len(self.pool_sample):
            tuning_note_impossible(column=self.column, base=self.encoder, n_reviewed=len(self.reviewed))
            return
        with self.clock.stage("tune"):
            self.report("tune", 0, 100)
            candidate = tuning_make(
                column=self.column,
                job=self.run.job if self.run is not None else None,
                base=self.encoder,
                texts=self._texts(self.reviewed),
                digests=[self.groups.digests[i] for i in self.reviewed.tolist()],
                Y=self.Y,
                prompts=self.prompts,
                topic_ids=self.topic_ids,
                pool_texts=self._texts(np.random.default_rng(0).permutation(self.pool_sample)[:PRINCIPAL_SAMPLE]),
                options=options,
                progress=lambda share: self.report("tune", round(100 * share), 100),
            )
            self.candidate = candidate
            classifier = self._fit(candidate)
            before, after = loo_f1(self.classifier, self.Y), loo_f1(classifier, self.Y)
            candidate.record.metrics |= {"f1_before": round(before, 4), "f1": round(after, 4)}
        if is_better(classifier, self.classifier, self.Y):
            with self.clock.stage("encode_tuned"):
                self._tuned_positions(candidate, np.arange(self.groups.n))
            self.tuning, self.classifier = candidate, classifier
            self._fit_sentiment()
        else:
            candidate.record.state = TuningState.NOT_BETTER
            candidate.record.save()
            tuning_drop(candidate.record.key)
            self.candidate = None

    def _labels(self, reviewed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return topics (0/1) and sentiments of the reviewed groups, both of shape (n_reviewed, n_topics)."""
        Y = np.zeros((len(reviewed), len(self.topics)), dtype=np.int8)
        S = np.full(Y.shape, NO_SENTIMENT, dtype=np.int8)
        row_of = {int(self.groups.head_ids[group]): row for row, group in enumerate(reviewed.tolist())}
        column_of = {topic: j for j, topic in enumerate(self.topic_ids)}
        heads = list(row_of)
        for start in range(0, len(heads), 5_000):
            pairs = Assignment.objects.filter(verbatim__in=heads[start : start + 5_000], topic__in=self.topic_ids)
            for head, topic, sentiment in pairs.order_by().values_list("verbatim", "topic", "sentiment"):
                Y[row_of[head], column_of[topic]] = 1
                if sentiment is not None:
                    S[row_of[head], column_of[topic]] = sentiment
        return Y, S

    # assign

    def _outcome(
        self, model: TopicClassifier, block: np.ndarray, positions: np.ndarray, topic_ids: Sequence[int]
    ) -> Outcome:
        """Return topics, sentiments and certainty of some groups."""
        order = np.argsort(positions, kind="stable")  # read the memory maps from front to back
        rows = positions[order]
        Y_prob = np.empty((len(block), len(topic_ids)), dtype=np.float32)
        Y_prob[order] = model.predict_proba(
            self.features.X[rows], self.features.X_lex[rows], self._tuned_of(model, block[order])
        )
        self.words.read(block)
        return self._decide(model, block, positions, topic_ids, Y_prob)

    def _decide(
        self,
        model: TopicClassifier,
        block: np.ndarray,
        positions: np.ndarray,
        topic_ids: Sequence[int],
        Y_prob: np.ndarray,
    ) -> Outcome:
        """Decide from probabilities, and from keywords, for which the texts were read before (another thread may
        be here, with no way to the database)."""
        Y_hat = assign(Y_prob, model.thresholds_)
        live = np.isin(np.asarray(topic_ids), np.asarray(self.topic_ids))
        Y_hat &= live[None, :]
        by_keyword = self.words.of(block, topic_ids)
        Y_hat |= by_keyword
        column_of = {topic: j for j, topic in enumerate(self.topic_ids)}
        with_sentiment = np.array(
            [topic in column_of and self.with_sentiment[column_of[topic]] for topic in topic_ids], dtype=bool
        )
        S_hat = sentiments.predict(
            self.sentiment_model,
            features=self.features,
            positions=positions,
            Y_hat=Y_hat,
            with_sentiment=with_sentiment,
        )
        sentiment = sentiments.overall(S_hat, self.features, positions)
        source = by_keyword * np.int8(SOURCE_CODES[AssignmentSource.KEYWORD])
        sure = np.maximum(certainty(Y_prob, model.thresholds_), MIN_CERTAINTY)
        return Outcome(block, Y_hat, Y_prob, S_hat, sentiment, sure, source)

    def _evaluate(self) -> None:
        """Predict the whole pool and score it."""
        self.pool = np.flatnonzero(~self.groups.is_reviewed & (self.positions >= 0))
        n_topics = len(self.topics)
        self.Y_prob = scratch_array((len(self.pool), n_topics))
        counts = ExpectedCounts(n_topics)
        X, X_lex = self.features.X, self.features.X_lex
        for start in range(0, len(self.pool), PREDICT_BLOCK):
            rows = self.positions[self.pool[start : start + PREDICT_BLOCK]]
            whole = len(rows) == self.features.n and bool((np.diff(rows) == 1).all())
            part, part_lex = (X, X_lex) if whole else (X[rows], X_lex[rows])
            tuned = self._tuned_of(self.classifier, self.pool[start : start + PREDICT_BLOCK])
            Y_prob = self.classifier.predict_proba(part, part_lex, tuned)
            counts.add(Y_prob, assign(Y_prob, self.classifier.thresholds_))
            self.Y_prob[start : start + len(rows)] = Y_prob
            self.report("evaluate", min(start + len(rows), len(self.pool)), len(self.pool))
        self.scores: Scores = make_scores(
            classifier=self.classifier,
            Y=self.Y,
            is_audit=self.groups.is_audit[self.reviewed],
            counts=counts,
        )
        if self.lent.sources:
            self.scores.metrics["learned_from"] = self.lent.sources
        self._plan_reviews()

    def _plan_reviews(self) -> None:
        """Say which texts to review next, those that tell most about the rest first."""
        planned = most_telling(
            _Lazy(self.features.X, self.positions[self.pool]),  # type: ignore[arg-type]
            self.Y_prob,
            n=QUEUE_LENGTH,
            X_reviewed=np.asarray(self.features.X[self.positions[self.reviewed]], dtype=np.float32),
            random_state=len(self.reviewed),
        )
        self.scores.metrics["queue"] = [int(pk) for pk in self.groups.head_ids[self.pool[planned]]]

    def _assign(self) -> None:
        n = len(self.pool)
        self.report("assign", 0, n)
        stored = Stored(self.column, self.groups, self.topic_ids)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decide") as pool:
            coming = pool.submit(self._decide_block, 0)
            for start in range(0, n, ASSIGN_BLOCK):
                outcome = coming.result()
                if start + ASSIGN_BLOCK < n:  # numbers for the next block while the database writes this one
                    coming = pool.submit(self._decide_block, start + ASSIGN_BLOCK)
                self._write(outcome, self.topic_ids, stored)
                self.report("assign", min(start + ASSIGN_BLOCK, n), n)
        self._refresh_statistics()

    def _write(self, outcome: Outcome, topic_ids: Sequence[int], stored: Stored | None = None) -> None:
        self.n_changed += write_back(
            self.run, column=self.column, groups=self.groups, topic_ids=topic_ids, outcome=outcome, stored=stored
        )

    def _refresh_statistics(self) -> None:
        """Tell the database's planner when a large column is not what it was."""
        if self.n_changed >= max(MANY_CHANGES, self.groups.n // 2):
            statistics_refresh()
        self.n_changed = 0

    def _decide_block(self, start: int) -> Outcome:
        block = self.pool[start : start + ASSIGN_BLOCK]
        Y_prob = self.Y_prob[start : start + len(block)]
        return self._decide(self.classifier, block, self.positions[block], self.topic_ids, Y_prob)

    def _assign_from_existing(self) -> dict[str, Any]:
        """Assign topics to new rows with the model in use, learning nothing (AI updates are off).

        What rows had before is frozen, too: a topic that was merged since is still there in the model in use.
        """
        is_new = self.groups.certainty == 0
        self.pool = np.flatnonzero(is_new & ~self.groups.is_reviewed & (self.positions >= 0))
        found = self._existing_classifier()
        if found is None:
            if column_has_keywords(self.column):
                keywords_apply(self.column, self.run)
                return self._result(deployed_version(self.column))
            raise ApplicationError(
                _(
                    "AI updates are off and there is no model that fits the topics. Switch AI updates on to "
                    "make one."
                )
            )
        model, topic_ids = found
        with self.clock.stage("assign"):
            for start in range(0, len(self.pool), PREDICT_BLOCK):
                block = self.pool[start : start + PREDICT_BLOCK]
                self._write(self._outcome(model, block, self.positions[block], topic_ids), topic_ids)
                self.report("assign", start + len(block), len(self.pool))
            if column_has_keywords(self.column):
                keywords_apply(self.column, self.run)
        return self._result(deployed_version(self.column))

    def _write_sentiment_only(self) -> None:
        """Without topics there is still an overall sentiment."""
        pool = np.flatnonzero(~self.groups.is_reviewed & (self.positions >= 0))
        for start in range(0, len(pool), PREDICT_BLOCK):
            block = pool[start : start + PREDICT_BLOCK]
            none = np.zeros((len(block), 0))
            outcome = Outcome(
                block,
                none.astype(bool),
                none.astype(np.float32),
                none.astype(np.int8),
                sentiments.overall(none.astype(np.int8), self.features, self.positions[block]),
                self.groups.certainty[block],
            )
            self._write(outcome, [])

    # deploy

    def _deploy(self) -> ModelVersion:
        artifact = artifact_bytes(self.classifier, self.sentiment_model, encoder=self.encoder.key)
        with transaction.atomic():
            # Acts on topics lock these first and the column last; the scores' foreign keys are checked at the end.
            sql.topics_hold(self.topic_ids)
            Column.objects.select_for_update().get(pk=self.column.pk)
            if self.run is not None and not self.run.owns():
                raise JobLostError(str(self.run.job.pk))
            number = (self.column.versions.aggregate(last=Max("number"))["last"] or 0) + 1
            self.column.versions.filter(state=VersionState.DEPLOYED).update(state=VersionState.SUPERSEDED)
            stale_tunings = self._deploy_tuning()
            version = ModelVersion.objects.create(
                column=self.column,
                job=self.run.job if self.run is not None else None,
                number=number,
                trigger=self.trigger,
                state=VersionState.DEPLOYED,
                data_version=self.data_version_seen,
                n_reviewed=len(self.reviewed),
                hyper_parameters={
                    "classifier": self.classifier.get_params(),
                    "kind": "deep" if self.candidate is not None else "light",
                },
                metrics=self.scores.metrics,
                ai_score=self.scores.ai_score,
                topic_ids=self.topic_ids,
                artifact=artifact,
                encoder=self.encoder.key,
                tuning=self.tuning.record if self.tuning is not None else None,
                sha256=hashlib.sha256(artifact).hexdigest(),
                duration_s=self.clock.total,
                timings=self.clock.seconds,
            )
            live = set(Topic.objects.filter(pk__in=self.topic_ids, deleted_at=None).values_list("pk", flat=True))
            TopicScore.objects.bulk_create(
                TopicScore(version=version, topic_id=topic, **self.scores.topic(j))
                for j, topic in enumerate(self.topic_ids)
                if topic in live
            )
            Column.objects.filter(pk=self.column.pk).update(
                n_reviews_since_update=Greatest(F("n_reviews_since_update") - self.n_reviews_seen, 0),
                revision=F("revision") + 1,
            )
            old = self.column.versions.exclude(artifact=None).exclude(pk=version.pk).order_by("-number")
            stale = list(old.values_list("pk", flat=True)[KEEP_ARTIFACTS:])
            ModelVersion.objects.filter(pk__in=stale).update(artifact=None)
        for key in stale_tunings:
            tuning_drop(key)
        return version

    def _deploy_tuning(self) -> list[str]:
        """Put the new fine-tuned encoder in use; return the keys of those whose files nobody reads any more."""
        if self.candidate is None:
            return []
        old = Tuning.objects.filter(column=self.column, state=TuningState.IN_USE)
        keys = list(old.values_list("key", flat=True))
        # Models that read its vectors cannot be used again.
        ModelVersion.objects.filter(tuning__in=old).update(artifact=None)
        old.update(state=TuningState.REPLACED)
        self.candidate.record.state = TuningState.IN_USE
        self.candidate.record.save()
        return keys


def deployed_version(column: Column) -> ModelVersion | None:
    return column.versions.filter(state=VersionState.DEPLOYED).first()


def artifact_bytes(classifier: TopicClassifier, sentiment_model: Any, *, encoder: str) -> bytes:
    """Return a model as npz: arrays and one JSON text, no pickle."""
    arrays = {f"topic/{name}": array for name, array in classifier.to_arrays().items()}
    arrays |= {f"sentiment/{name}": array for name, array in sentiment_model.to_arrays().items()}
    meta = json.dumps({"format": ARTIFACT_FORMAT, "encoder": encoder})
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, meta=np.frombuffer(meta.encode(), dtype=np.uint8), **arrays)
    return stream.getvalue()


def version_load(version: ModelVersion) -> tuple[TopicClassifier, Any] | None:
    """Return the classifier and the sentiment model of a version; None where its arrays are no longer kept.

    Raises
    ------
    ApplicationError
        If the stored bytes are damaged or of another format.
    """
    if version.artifact is None:
        return None
    raw = bytes(version.artifact)
    if hashlib.sha256(raw).hexdigest() != version.sha256:
        raise ApplicationError(
            _("The stored model of version %(number)s is damaged. Run an AI update.") % {"number": version.number}
        )
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        meta = json.loads(archive["meta"].tobytes())
        if meta["format"] != ARTIFACT_FORMAT:
            raise ApplicationError(
                _("Version %(number)s was made by another release. Run an AI update.") % {"number": version.number}
            )
        parts: dict[str, dict[str, np.ndarray]] = {"topic": {}, "sentiment": {}}
        for name in archive.files:
            kind, _slash, rest = name.partition("/")
            if rest:
                parts[kind][rest] = archive[name]
    return TopicClassifier.from_arrays(parts["topic"]), sentiments.load(parts["sentiment"])


def update_now(
    column: Column, *, trigger: str = Trigger.COMMAND, run: JobRun | None = None, deep: bool = False
) -> dict[str, Any]:
    """Run an update of a column in this process, without a job unless one is given."""
    return Update(column, run, trigger=trigger, deep=deep).execute()


def update_for_job(run: JobRun) -> dict[str, Any]:
    """Run the update a job asks for."""
    job: Job = run.job
    assert job.column is not None
    if not job.column.is_text_to_analyze:
        raise ApplicationError(_("Only text columns that are analysed can be updated."))
    if job.payload.get("keywords_only"):
        Column.objects.filter(pk=job.column.pk).update(update_requested=False)
        return keywords_apply(job.column, run)
    return Update(
        job.column,
        run,
        trigger=job.payload.get("trigger", Trigger.BUTTON),
        assign_only=bool(job.payload.get("assign_only")),
        deep=bool(job.payload.get("deep")),
    ).execute()
