"""Topics that rows get because their text has a keyword, as AI updates write them, and without an AI update.

A keyword is a rule that a person wrote: it puts its topic on every row with the keyword that nobody reviewed, and
takes it off again when the keyword or the topic goes. It says nothing about the AI. So the probability beside such
a topic is what the AI gives it (none where no model knows the topic), and the AI score leaves keywords out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import structlog

from finetune import sentiments
from finetune.engine import overall_sentiments, text_sentiment
from finetune.features import ColumnFeatures
from finetune.models import STAGES, TopicScore, VersionState
from finetune.writeback import (
    NO_SENTIMENT,
    SOURCE_CODES,
    SOURCES,
    Groups,
    Outcome,
    Stored,
    groups_load,
    write_back,
)
from projects.jobs import JobRun
from projects.models import Column
from rows.models import AssignmentSource, Verbatim
from rows.selectors import topic_list
from topicassign.errors import ApplicationError
from topics.keywords import KeywordMatcher
from topics.models import Topic

log = structlog.get_logger(__name__)

READ_BLOCK = 2_000
APPLY_BLOCK = 10_000
AI, KEYWORD = SOURCE_CODES[AssignmentSource.AI], SOURCE_CODES[AssignmentSource.KEYWORD]


class ColumnKeywords:
    """Which duplicate groups of a column have a keyword of which topic; each text is looked at once.

    Parameters
    ----------
    n_groups : int
    texts : callable
        Returns the texts of some groups.
    """

    def __init__(self, topics: Sequence[Topic], n_groups: int, texts: Callable[[np.ndarray], list[str]]) -> None:
        self._matcher = KeywordMatcher({topic.pk: topic.keywords for topic in topics})
        self._texts = texts
        self._is_read = np.zeros(n_groups, dtype=bool)
        self._topics_of: dict[int, list[int]] = {}  # group to topic ids; most have none

    def read(self, groups: np.ndarray, progress: Callable[[int, int], None] | None = None) -> None:
        """Look at the texts of some groups."""
        if not self._matcher.topic_ids:
            return
        missing = groups[~self._is_read[groups]]
        for start in range(0, len(missing), READ_BLOCK):
            if progress is not None:
                progress(start, len(missing))
            block = missing[start : start + READ_BLOCK]
            for i, j in zip(*self._matcher.match(self._texts(block)), strict=True):
                self._topics_of.setdefault(int(block[i]), []).append(self._matcher.topic_ids[j])
            self._is_read[block] = True

    def of(self, groups: np.ndarray, topic_ids: Sequence[int]) -> np.ndarray:
        """Return which of some groups, read before, have a keyword of which topics, bool of shape
        (n, n_topics)."""
        found = np.zeros((len(groups), len(topic_ids)), dtype=bool)
        if not self._topics_of:
            return found
        column_of = {topic: j for j, topic in enumerate(topic_ids)}
        for i, group in enumerate(groups.tolist()):
            for topic in self._topics_of.get(group, ()):
                if topic in column_of:
                    found[i, column_of[topic]] = True
        return found


def texts_of(groups: Groups, indices: np.ndarray) -> list[str]:
    """Return the texts of some groups; one whose row was deleted meanwhile has none any more."""
    heads = groups.head_ids[indices].tolist()
    texts: dict[int, str] = {}
    for start in range(0, len(heads), READ_BLOCK):
        texts.update(Verbatim.objects.filter(pk__in=heads[start : start + READ_BLOCK]).values_list("pk", "text"))
    return [texts.get(head, "") for head in heads]


class KeywordUpdate:
    """Brings the topics that rows have by keyword in line with the keywords, and leaves all else as it is.

    For columns whose AI updates are off: nothing is learned, and what the AI assigned stays. It needs neither
    the encoder nor a model; with a model, new topics with sentiment get theirs from it, else from the text.
    """

    def __init__(self, column: Column, run: JobRun | None) -> None:
        self.column = column
        self.run = run

    def execute(self) -> int:
        """Return how many rows changed."""
        self.topics = list(topic_list(column=self.column))
        self.topic_ids = [topic.pk for topic in self.topics]
        if not self.topics:
            return 0
        self.with_sentiment = np.array([topic.sentiment_enabled for topic in self.topics], dtype=bool)
        self.groups = groups_load(self.column)
        self.words = ColumnKeywords(self.topics, self.groups.n, lambda block: texts_of(self.groups, block))
        self._load_model()
        pool = np.flatnonzero(~self.groups.is_reviewed)
        self.stored = Stored(self.column, self.groups, self.topic_ids, sources=SOURCES[1:])
        n_changed = 0
        for start in range(0, len(pool), APPLY_BLOCK):
            self._report(start, len(pool))
            block = pool[start : start + APPLY_BLOCK]
            self.words.read(block, partial(self._report_read, start, len(pool)))
            n_changed += write_back(
                self.run,
                column=self.column,
                groups=self.groups,
                topic_ids=self.topic_ids,
                outcome=self._outcome(block),
                stored=self.stored,
            )
        self._report(len(pool), len(pool))
        return n_changed

    def _report(self, done: int, total: int) -> None:
        if self.run is not None:
            self.run.progress(done, total, STAGES["assign"])

    def _report_read(self, start: int, n_pool: int, done: int, _total: int) -> None:
        self._report(start + done, n_pool)

    def _load_model(self) -> None:
        from finetune.updates import version_load

        self.model, self.features, self.model_topics = None, None, []
        self.thresholds = np.full(len(self.topics), np.inf, dtype=np.float32)
        version = self.column.versions.filter(state=VersionState.DEPLOYED).first()
        if version is None:
            return
        column_of = {topic: j for j, topic in enumerate(self.topic_ids)}
        for topic, cut in TopicScore.objects.filter(version=version).values_list("topic", "threshold"):
            if topic in column_of and cut is not None:
                self.thresholds[column_of[topic]] = cut
        try:
            loaded = version_load(version)
        except ApplicationError as error:  # damaged, or of another release
            log.warning("keywords_without_model", column=self.column.pk, error=str(error))
            return
        if loaded is not None:
            classifier, self.model = loaded
            self.model_topics = list(version.topic_ids)
            self.features = ColumnFeatures(self.column.pk, version.encoder, classifier.n_features_)

    def _outcome(self, block: np.ndarray) -> Outcome:
        has, source, sentiment, probability = self.stored.of(block)
        by_keyword = self.words.of(block, self.topic_ids)
        was_by_keyword = has & (source == KEYWORD)
        # What a keyword put on a row stays without it where the AI had said the same.
        by_ai = was_by_keyword & ~by_keyword & (probability >= self.thresholds)
        wanted = (has & ~was_by_keyword) | by_ai | by_keyword
        source = np.where(by_ai | ~has, AI, source)
        source[by_keyword & (source == AI)] = KEYWORD  # a person and a file have said it better
        fresh = wanted & ~has & self.with_sentiment[None, :]
        S = np.where(wanted & has, sentiment, NO_SENTIMENT).astype(np.int8)
        overall = self.groups.sentiment[block].copy()
        other = np.flatnonzero((wanted != has).any(axis=1))
        if len(other):
            texts = texts_of(self.groups, block[other])
            S[other] = self._moods(block[other], fresh[other], S[other], texts)
            said = S[other] != NO_SENTIMENT
            overall[other] = np.where(
                said.any(axis=1), overall_sentiments(S[other], said), np.asarray(text_sentiment(texts))
            )
        return Outcome(block, wanted, probability, S, overall, self.groups.certainty[block], source)

    def _moods(self, groups: np.ndarray, fresh: np.ndarray, S: np.ndarray, texts: list[str]) -> np.ndarray:
        """Return the sentiments with those of the fresh pairs, by the model where it can read the text."""
        S = S.copy()
        rows, topics = np.nonzero(fresh)
        if not len(rows):
            return S
        S[rows, topics] = np.asarray(text_sentiment([texts[row] for row in rows.tolist()]), dtype=np.int8)
        if self.model is None or self.features is None:
            return S
        positions = self.features.positions([self.groups.digests[group] for group in groups.tolist()])
        known = np.flatnonzero(positions >= 0)
        place = {topic: j for j, topic in enumerate(self.model_topics)}
        ours = np.array([j for j, topic in enumerate(self.topic_ids) if topic in place], dtype=np.int64)
        its = np.array([place[self.topic_ids[j]] for j in ours.tolist()], dtype=np.int64)
        Y = np.zeros((len(known), len(self.model_topics)), dtype=bool)
        Y[:, its] = fresh[known][:, ours]
        said = sentiments.predict(
            self.model,
            features=self.features,
            positions=positions[known],
            Y_hat=Y,
            with_sentiment=np.ones(len(self.model_topics), dtype=bool),
        )[:, its]
        at = np.ix_(known, ours)
        S[at] = np.where(said != NO_SENTIMENT, said, S[at])
        return S


def keywords_apply(column: Column, run: JobRun | None = None) -> dict[str, Any]:
    """Apply the keywords of a column now, learning nothing; returns how many rows changed."""
    return {"n_changed": KeywordUpdate(column, run).execute()}
