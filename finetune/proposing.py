"""The job that proposes topics: read the texts, find topics in them, compare these with the topics there are.

Vectors come from the column's cache and the table of embeddings; those that are missing are made and stored there.
The cache itself belongs to AI updates, one of which may run meanwhile: it is only read here. Nothing is written
before the end, where one transaction replaces the proposals of the column: a killed worker leaves those of before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import transaction
from django.utils.translation import gettext as _

from finetune.encoders import encode_texts, get_encoder
from finetune.engine import propose_topics
from finetune.engine.discovery import TopicProposal
from finetune.engine.vectors import unit
from finetune.features import cached_vectors, scratch_array
from finetune.folders import features_folder
from finetune.models import ProposalSet, ProposedTopic
from finetune.proposal_sets import MIN_TEXTS, NEAR_SHARE, STAGES, cut, texts_to_read, too_few_message
from projects.jobs import JobRun
from projects.models import Column, Job
from rows.bulk.packing import ids_pack
from rows.models import Verbatim
from rows.selectors import assignments_live
from rows.text import digest
from topicassign.errors import ApplicationError
from topics.models import CATEGORY_CHARS, LABEL_CHARS, Topic
from topics.selectors import most_have_sentiment

READ_BLOCK = 20_000
ENCODE_BLOCK = 1_024
SAME_SHARE = 0.5  # where more have it, the proposal is not ticked
NEAR_COSINE = 0.75  # of two names


@dataclass
class _Texts:
    """Distinct texts of a column.

    Attributes
    ----------
    members : dict of int to list of int
        Index of a text to the ids of the other rows that say it.
    """

    ids: np.ndarray
    texts: list[str]
    digests: list[bytes]
    members: dict[int, list[int]]

    @property
    def n_rows(self) -> int:
        return len(self.ids) + sum(map(len, self.members.values()))

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Return the ids of all rows with some of the texts, ascending."""
        more = [pk for index in indices.tolist() for pk in self.members.get(index, ())]
        return np.sort(np.concatenate([self.ids[indices], np.array(more, dtype=np.int64)]))


def propose_run(run: JobRun) -> dict[str, Any]:
    """Run the job. Returns the number of proposals as JSON."""
    if "n" in run.payload:  # an attempt before this one came to the end, and was killed then
        return {"n": run.payload["n"]}
    job: Job = run.job
    assert job.column is not None
    column = job.column
    only_uncovered = bool(run.payload.get("only_uncovered"))
    run.progress(0, 0, STAGES["read"])
    texts = _read(column, only_uncovered, run)
    if len(texts.ids) < MIN_TEXTS and not only_uncovered:
        raise ApplicationError(too_few_message(len(texts.ids)), code="too_few_texts")
    found: list[TopicProposal] = []
    if len(texts.ids) >= MIN_TEXTS:
        X = _vectors(column, texts, run)
        run.progress(0, 100, STAGES["find"])
        tell = _Teller(run)
        found = propose_topics(texts.texts, X, tell.encode, progress=tell)
    run.progress(0, len(found), STAGES["compare"])
    proposals = _compared(column, texts, found, run)
    with transaction.atomic():
        ProposalSet.objects.filter(column=column).delete()
        made = ProposalSet.objects.create(
            column=column,
            job=job,
            only_uncovered=only_uncovered,
            n_rows=texts.n_rows,
            n_texts=len(texts.ids),
        )
        for proposal in proposals:
            proposal.proposal_set = made
        ProposedTopic.objects.bulk_create(proposals, batch_size=100)
        run.note(done=len(found), payload={**run.payload, "n": len(proposals)})
    return {"n": len(proposals)}


def _read(column: Column, only_uncovered: bool, run: JobRun) -> _Texts:
    ids: list[int] = []
    texts: list[str] = []
    digests: list[bytes] = []
    heads: dict[bytes, int] = {}  # of texts that several rows say
    query = texts_to_read(column, only_uncovered=only_uncovered)
    fields = ("pk", "text", "digest", "fingerprint", "group_size")
    for pk, text, own, fingerprint, size in query.values_list(*fields).iterator(chunk_size=READ_BLOCK):
        if size > 1:
            heads[bytes(fingerprint)] = len(ids)
        ids.append(pk)
        texts.append(text)
        digests.append(bytes(own))
        if len(ids) % READ_BLOCK == 0:
            run.progress(len(ids), 0)
    members: dict[int, list[int]] = {}
    if heads:
        others = Verbatim.objects.live(column).filter(is_empty=False, group_size__gt=1, is_group_head=False)
        for pk, fingerprint in others.order_by().values_list("pk", "fingerprint").iterator(chunk_size=READ_BLOCK):
            head = heads.get(bytes(fingerprint))
            if head is not None:
                members.setdefault(head, []).append(pk)
    return _Texts(np.array(ids, dtype=np.int64), texts, digests, members)


def _vectors(column: Column, texts: _Texts, run: JobRun) -> np.ndarray:
    """Return the vectors of texts, shape (n_texts, n_features)."""
    total = len(texts.ids)
    run.progress(0, total, STAGES["encode"])
    encoder = get_encoder()
    folder = features_folder(column.pk, encoder.key)
    X = scratch_array((total, encoder.n_features))
    missing: list[int] = []
    for start in range(0, total, READ_BLOCK):
        block = texts.digests[start : start + READ_BLOCK]
        cached = cached_vectors(folder, block)
        for i, own in enumerate(block, start):
            if own in cached:
                X[i] = cached[own]
            else:
                missing.append(i)
        run.progress(start + len(block) - len(missing), total)
    for start in range(0, len(missing), ENCODE_BLOCK):
        part = missing[start : start + ENCODE_BLOCK]
        n_done = total - len(missing) + start
        X[part] = encode_texts(
            [texts.texts[i] for i in part],
            [texts.digests[i] for i in part],
            progress=_adding(run, n_done, total),
        )
        run.progress(n_done + len(part), total)
    return X


def _adding(run: JobRun, n_done: int, total: int) -> Callable[[int], None]:
    return lambda n: run.progress(n_done + n, total)


class _Teller:
    """Reports how far the engine is, in percent, also while it encodes clauses and phrases."""

    ENCODING = 30  # percent that encoding clauses may take at most: the longest step

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._percent = 0

    def __call__(self, share: float) -> None:
        self._percent = round(100 * share)
        self._run.progress(self._percent, 100)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        most = min(self.ENCODING, 95 - self._percent)
        return get_encoder().encode(
            list(texts),
            progress=lambda n: self._run.progress(self._percent + most * n // max(1, len(texts)), 100),
        )


# --- compared with the topics there are -------------------------------------------------------------
def _compared(column: Column, texts: _Texts, found: Sequence[TopicProposal], run: JobRun) -> list[ProposedTopic]:
    """Return the proposals as they are stored, each with the topic that it is nearest to."""
    having = _Having(column)
    by_name = _near_by_name(column, [one.label for one in found])
    with_sentiment = most_have_sentiment(column)
    proposals = []
    for position, one in enumerate(found):
        rows = texts.rows(one.rows)
        n_covered, near = having.of(rows)
        if near.get("n", 0) < NEAR_SHARE * len(rows):
            near = {"topic": by_name[position]} if position in by_name else {}
        proposals.append(
            ProposedTopic(
                position=position,
                label=cut(one.label, LABEL_CHARS),
                category=cut(one.category, CATEGORY_CHARS) or _("Other"),
                phrases=list(one.phrases),
                examples=texts.ids[one.examples].tolist(),
                rows=ids_pack(rows.tolist()),
                n_rows=len(rows),
                n_covered=n_covered,
                near=near,
                is_chosen=near.get("n", 0) < SAME_SHARE * len(rows),
                sentiment_enabled=with_sentiment,
            )
        )
        run.progress(position + 1, len(found))
    return [one for one in proposals if one.label]


class _Having:
    """Which rows have which topics now."""

    def __init__(self, column: Column) -> None:
        pairs = (
            assignments_live(column=column).values_list("verbatim_id", "topic_id").iterator(chunk_size=READ_BLOCK)
        )
        found = np.fromiter((value for pair in pairs for value in pair), dtype=np.int64).reshape(-1, 2)
        found = found[np.argsort(found[:, 0], kind="stable")]
        self._rows, self._topics = found[:, 0], found[:, 1]

    def of(self, rows: np.ndarray) -> tuple[int, dict[str, int]]:
        """Return how many of some rows have a topic, and the topic that most of them have."""
        starts = np.searchsorted(self._rows, rows, side="left")
        n_topics = np.searchsorted(self._rows, rows, side="right") - starts
        n_covered = int((n_topics > 0).sum())
        if not n_covered:
            return 0, {}
        before = np.cumsum(n_topics) - n_topics
        places = np.repeat(starts - before, n_topics) + np.arange(int(n_topics.sum()))
        topics, counts = np.unique(self._topics[places], return_counts=True)
        best = int(counts.argmax())
        return n_covered, {"topic": int(topics[best]), "n": int(counts[best])}


def _near_by_name(column: Column, labels: Sequence[str]) -> dict[int, int]:
    """Return for labels that mean nearly the same as one of the column's topics its id, by index."""
    topics = list(Topic.objects.filter(column=column, deleted_at=None).values_list("pk", "label"))
    if not topics or not labels:
        return {}
    names = [label for _pk, label in topics]
    own = unit(encode_texts(names, [digest(name) for name in names]).astype(np.float32))
    cosines = unit(np.asarray(get_encoder().encode(list(labels)), dtype=np.float32)) @ own.T
    best = cosines.argmax(axis=1)
    return {i: topics[j][0] for i, j in enumerate(best.tolist()) if cosines[i, j] >= NEAR_COSINE}
