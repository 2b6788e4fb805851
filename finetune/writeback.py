"""Writing the AI's assignments without ever touching a reviewed verbatim.

Most rows come out of an update as they were, so the present state is read once, compared in numpy,
and only rows that differ are written: in short transactions that lock their batch with
`SELECT … FOR UPDATE` where the verbatim is still not reviewed. A review that arrives meanwhile
waits for one batch at most, and a row reviewed before its batch is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.models import Q

from projects.history import column_touch
from projects.jobs import JobLostError, JobRun
from projects.models import Column
from rows import sql
from rows.models import Assignment, AssignmentSource, Verbatim
from rows.selectors import assignments_live
from topics.models import Topic

BATCH_GROUPS = 500
NO_SENTIMENT = 9  # stands for null in arrays of int8
SOURCES = (AssignmentSource.AI, AssignmentSource.KEYWORD, AssignmentSource.PERSON, AssignmentSource.IMPORT)
SOURCE_CODES = {source: code for code, source in enumerate(SOURCES)}  # stand for them in arrays of int8
# Probabilities and certainties move a little with every review. Smaller moves than these are not worth a write.
PROBABILITY_STEP = 0.1
CERTAINTY_STEP, CERTAINTY_SHARE = 0.01, 0.25


@dataclass
class Groups:
    """The duplicate groups of a column that are not empty, in a fixed order.

    Attributes
    ----------
    head_ids : ndarray of shape (n_groups,), int64
    certainty, sentiment : ndarray of shape (n_groups,)
        As stored now; sentiment is NO_SENTIMENT where null.
    members : dict
        Index of a group to the ids of its other verbatims.
    """

    head_ids: np.ndarray
    digests: list[bytes]
    is_reviewed: np.ndarray
    is_audit: np.ndarray
    certainty: np.ndarray
    sentiment: np.ndarray
    members: dict[int, list[int]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.head_ids)


def groups_load(column: Column) -> Groups:
    """Read the duplicate groups of a column: a few narrow columns, no texts."""
    query = Verbatim.objects.live(column).filter(is_empty=False)
    ids: list[int] = []
    digests: list[bytes] = []
    reviewed: list[bool] = []
    audit: list[bool] = []
    certainty: list[float] = []
    sentiment: list[int] = []
    rows = (
        query.filter(is_group_head=True)
        .order_by("id")
        .values_list("id", "digest", "is_reviewed", "is_audit", "certainty", "sentiment")
    )
    for pk, digest, is_reviewed, is_audit, sure, mood in rows.iterator(chunk_size=20_000):
        ids.append(pk)
        digests.append(bytes(digest))
        reviewed.append(is_reviewed)
        audit.append(is_audit)
        certainty.append(sure)
        sentiment.append(NO_SENTIMENT if mood is None else mood)
    groups = Groups(
        head_ids=np.array(ids, dtype=np.int64),
        digests=digests,
        is_reviewed=np.array(reviewed, dtype=bool),
        is_audit=np.array(audit, dtype=bool),
        certainty=np.array(certainty, dtype=np.float32),
        sentiment=np.array(sentiment, dtype=np.int8),
    )
    heads: dict[bytes, int] = {}
    copies: list[tuple[int, bytes]] = []
    several = query.filter(group_size__gt=1).order_by().values_list("id", "fingerprint", "is_group_head")
    for pk, fingerprint, is_head in several.iterator(chunk_size=20_000):
        if is_head:
            heads[bytes(fingerprint)] = pk
        else:
            copies.append((pk, bytes(fingerprint)))
    index = {pk: group for group, pk in enumerate(ids)} if copies else {}
    for pk, fingerprint in copies:
        group = index.get(heads.get(fingerprint, 0))
        if group is not None:
            groups.members.setdefault(group, []).append(pk)
    return groups


@dataclass
class Outcome:
    """What the AI, and keywords, decided for some groups.

    Attributes
    ----------
    groups : ndarray of shape (n,), int64
        Indices into `Groups`.
    Y_hat : bool ndarray of shape (n, n_topics)
    Y_prob : ndarray of shape (n, n_topics)
        The AI's own, for topics by keyword too; nan where it has none.
    S_hat : int8 ndarray of shape (n, n_topics)
        Sentiment of the assigned pairs, NO_SENTIMENT for topics without.
    sentiment : int8 ndarray of shape (n,)
        Overall sentiment.
    certainty : float ndarray of shape (n,)
    source : int8 ndarray of shape (n, n_topics), optional
        Who put the assigned topics there, as in SOURCE_CODES; without it, the AI.
    """

    groups: np.ndarray
    Y_hat: np.ndarray
    Y_prob: np.ndarray
    S_hat: np.ndarray
    sentiment: np.ndarray
    certainty: np.ndarray
    source: np.ndarray | None = None

    def is_by_keyword(self) -> np.ndarray:
        """Return which pairs are there by keyword, bool of shape (n, n_topics)."""
        if self.source is None:
            return np.zeros(self.Y_hat.shape, dtype=bool)
        return self.Y_hat & (self.source == SOURCE_CODES[AssignmentSource.KEYWORD])


class Stored:
    """The assignments of live topics on heads that nobody reviewed, as they are in the database now.

    Read once per update. What changes afterwards, a review, is caught under the lock of each batch.
    `sources` are those that are told from the AI.
    """

    def __init__(
        self,
        column: Column,
        groups: Groups,
        topic_ids: Sequence[int],
        *,
        only: np.ndarray | None = None,
        sources: Sequence[AssignmentSource] = (AssignmentSource.KEYWORD,),
    ):
        self.topic_ids = list(topic_ids)
        # Pairs of copies and of reviewed rows come along and are dropped below: a narrow table is read in a fifth
        # of the time that a join with the verbatims takes.
        query = assignments_live(column=column)
        by_hand = Assignment.objects.filter(  # those that no AI made are few, and have an index
            ~Q(source=AssignmentSource.AI), topic__in=self.topic_ids, source__in=sources
        ).order_by()
        if only is not None:
            heads = groups.head_ids[only].tolist()
            query, by_hand = query.filter(verbatim__in=heads), by_hand.filter(verbatim__in=heads)
        pairs = list(
            query.values_list("verbatim", "topic", "sentiment", "probability").iterator(chunk_size=50_000)
        )
        group, topic, is_known_group, is_known_topic = self._places(groups, pairs)
        # A topic made after the update read the collection: its assignments go, the next update knows it.
        self.has_others = np.zeros(groups.n, dtype=bool)
        self.has_others[group[is_known_group & ~is_known_topic]] = True
        keep = is_known_group & is_known_topic
        self.group, self.topic = group[keep], topic[keep]
        self.sentiment = np.fromiter(
            (NO_SENTIMENT if pair[2] is None else pair[2] for pair in pairs), dtype=np.int8, count=len(pairs)
        )[keep]
        self.probability = np.fromiter(
            (-1.0 if pair[3] is None else pair[3] for pair in pairs), dtype=np.float32, count=len(pairs)
        )[keep]
        self.source = np.zeros(len(self.group), dtype=np.int8)
        found = list(by_hand.values_list("verbatim", "topic", "source").iterator(chunk_size=50_000))
        if found and len(self.group):
            self._tell_sources(groups, found)

    def _places(
        self, groups: Groups, pairs: Sequence[tuple[Any, ...]]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return group and place of the topic for (verbatim, topic, …), and whether each is one of ours."""
        heads = np.fromiter((pair[0] for pair in pairs), dtype=np.int64, count=len(pairs))
        topics = np.fromiter((pair[1] for pair in pairs), dtype=np.int64, count=len(pairs))
        n, n_topics = groups.n, len(self.topic_ids)
        group = np.minimum(np.searchsorted(groups.head_ids, heads), max(0, n - 1))
        order = np.argsort(self.topic_ids, kind="stable")
        ids = np.asarray(self.topic_ids, dtype=np.int64)[order]
        place = np.minimum(np.searchsorted(ids, topics), max(0, n_topics - 1))
        is_known_group = (
            (groups.head_ids[group] == heads) & ~groups.is_reviewed[group] if n else np.zeros(0, dtype=bool)
        )
        is_known_topic = ids[place] == topics if n_topics else np.zeros(len(pairs), dtype=bool)
        return group, order[place] if n_topics else place, is_known_group, is_known_topic

    def _tell_sources(self, groups: Groups, found: Sequence[tuple[Any, ...]]) -> None:
        group, topic, is_known_group, is_known_topic = self._places(groups, found)
        n_topics = len(self.topic_ids)
        keys = self.group * n_topics + self.topic
        order = np.argsort(keys, kind="stable")
        wanted = group * n_topics + topic
        place = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
        is_here = is_known_group & is_known_topic & (keys[place] == wanted)
        codes = np.array([SOURCE_CODES[AssignmentSource(name)] for *_pair, name in found], dtype=np.int8)
        self.source[place[is_here]] = codes[is_here]

    def of(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the state of some groups: which pairs are there, who put them there, their sentiment and their
        probability (nan without), each of shape (n, n_topics)."""
        row_of = np.full(len(self.has_others), -1, dtype=np.int64)
        row_of[groups] = np.arange(len(groups))
        row = row_of[self.group]
        mine = row >= 0
        at = (row[mine], self.topic[mine])
        shape = (len(groups), len(self.topic_ids))
        has, source = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int8)
        sentiment = np.full(shape, NO_SENTIMENT, dtype=np.int8)
        probability = np.full(shape, np.nan, dtype=np.float32)
        has[at], source[at], sentiment[at] = True, self.source[mine], self.sentiment[mine]
        probability[at] = np.where(self.probability[mine] < 0, np.nan, self.probability[mine])
        return has, source, sentiment, probability


def write_back(
    run: JobRun | None,
    *,
    column: Column,
    groups: Groups,
    topic_ids: Sequence[int],
    outcome: Outcome,
    stored: Stored | None = None,
) -> int:
    """Store an outcome for groups that nobody reviewed; return how many verbatims changed topics or sentiment.

    `run` is the job this is done for; it is checked inside every transaction, so that a worker that
    lost its job to another one stops writing. None writes without a job (commands, tests). `stored`
    saves reading the present state for every part of a large column.
    """
    rows = np.flatnonzero(~groups.is_reviewed[outcome.groups])
    if not rows.size:
        return 0
    if stored is None:
        stored = Stored(column, groups, topic_ids, only=outcome.groups[rows] if len(rows) < 5_000 else None)
    plan = _compare(groups, outcome, stored)
    todo = rows[plan.any[rows]]
    n_changed = 0
    for start in range(0, len(todo), BATCH_GROUPS):
        batch = todo[start : start + BATCH_GROUPS]
        n_changed += _write_batch(run, column, groups, topic_ids, outcome, batch, plan)
        if run is not None:
            run.check()
        if connection.vendor == "sqlite":
            time.sleep(0.005)  # SQLite has one writer and no queue for it: leave a gap for people's reviews
    if len(todo):
        column_touch(column, data=False, edited=False)
    return n_changed


@dataclass
class _Plan:
    """What to write per row of an outcome, bool of shape (n,)."""

    differs: np.ndarray  # topics or sentiments changed: a new revision
    topics: np.ndarray  # the assignments have to be written
    any: np.ndarray  # anything at all


def _compare(groups: Groups, outcome: Outcome, stored: Stored) -> _Plan:
    n, n_topics = outcome.Y_hat.shape
    row_of = np.full(groups.n, -1, dtype=np.int64)
    row_of[outcome.groups] = np.arange(n)
    row = row_of[stored.group]
    mine = row >= 0
    row, topic = row[mine], stored.topic[mine]
    there = np.zeros((n, n_topics), dtype=bool)
    there[row, topic] = True
    topics = (there != outcome.Y_hat).any(axis=1) | stored.has_others[outcome.groups]
    kept = outcome.Y_hat[row, topic]
    other_mood = kept & (stored.sentiment[mine] != outcome.S_hat[row, topic])
    topics[row[other_mood]] = True
    was_by_keyword = stored.source[mine] == SOURCE_CODES[AssignmentSource.KEYWORD]
    topics[row[kept & (was_by_keyword != outcome.is_by_keyword()[row, topic])]] = True
    differs = topics | (groups.sentiment[outcome.groups] != outcome.sentiment)
    step = np.abs(stored.probability[mine] - outcome.Y_prob[row, topic])
    topics[row[kept & (step > PROBABILITY_STEP)]] = True
    old, new = groups.certainty[outcome.groups], outcome.certainty
    moved = np.abs(new - old) > np.maximum(CERTAINTY_STEP, CERTAINTY_SHARE * np.minimum(old, new))
    return _Plan(differs, topics, differs | topics | moved)


def _write_batch(
    run: JobRun | None,
    column: Column,
    groups: Groups,
    topic_ids: Sequence[int],
    outcome: Outcome,
    batch: np.ndarray,
    plan: _Plan,
) -> int:
    row_of: dict[int, int] = {}
    for row in batch.tolist():
        group = int(outcome.groups[row])
        row_of[int(groups.head_ids[group])] = row
        for pk in groups.members.get(group, ()):
            row_of[pk] = row
    with transaction.atomic():
        if run is not None and not run.owns():
            raise JobLostError(str(run.job.pk))
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # What a crash of the server may lose here, the job's next attempt writes again. And the planner,
                # who last counted when the table was small, would read all of it for every batch.
                cursor.execute("SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off")
        locked = list(
            Verbatim.objects.select_for_update()
            .filter(pk__in=list(row_of), is_reviewed=False)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        deleted_at = dict(Topic.objects.filter(column=column).values_list("pk", "deleted_at"))
        live = {topic for topic, moment in deleted_at.items() if moment is None}
        rewritten = [pk for pk in locked if plan.topics[row_of[pk]]]
        _write_assignments(
            rewritten,
            {
                (pk, topic): rest
                for pk, topic, *rest in _new_assignments(rewritten, row_of, topic_ids, live, outcome)
            },
            deleted=deleted_at.keys() - live,
        )
        _update_verbatims(
            [
                (
                    pk,
                    _or_none(int(outcome.sentiment[row_of[pk]])),
                    round(float(outcome.certainty[row_of[pk]]), 4),
                    int(plan.differs[row_of[pk]]),
                )
                for pk in locked
            ]
        )
    written = outcome.groups[batch]
    groups.certainty[written] = outcome.certainty[batch]
    groups.sentiment[written] = outcome.sentiment[batch]
    return sum(int(plan.differs[row_of[pk]]) for pk in locked)


def _or_none(sentiment: int) -> int | None:
    return None if sentiment == NO_SENTIMENT else sentiment


def _new_assignments(
    verbatim_ids: list[int], row_of: dict[int, int], topic_ids: Sequence[int], live: set[int], outcome: Outcome
) -> list[tuple[Any, ...]]:
    """Return (verbatim, topic, sentiment, probability, position, source): by keyword first, then the likeliest."""
    rows = np.array([row_of[pk] for pk in verbatim_ids], dtype=np.int64)
    known = np.array([topic in live for topic in topic_ids], dtype=bool)
    at, topic = np.nonzero(outcome.Y_hat[rows] & known)
    probability = outcome.Y_prob[rows[at], topic]
    order = np.lexsort((-probability, ~outcome.is_by_keyword()[rows[at], topic], at))
    at, topic, probability = at[order], topic[order], probability[order]
    position = np.arange(len(at)) - np.searchsorted(at, at)
    sentiment = outcome.S_hat[rows[at], topic]
    source = np.zeros(len(at), dtype=np.int8) if outcome.source is None else outcome.source[rows[at], topic]
    lists = (part.tolist() for part in (at, topic, sentiment, probability, position, source))
    return [
        (
            verbatim_ids[i],
            topic_ids[j],
            _or_none(mood),
            round(p, 4) if p == p else None,  # nan
            place,
            SOURCES[code].value,
        )
        for i, j, mood, p, place, code in zip(*lists, strict=True)
    ]


def _write_assignments(
    verbatim_ids: list[int], wanted: dict[tuple[int, int], list[Any]], *, deleted: Set[int]
) -> None:
    """Make the stored pairs of locked verbatims equal to `wanted`: (verbatim, topic) to (sentiment, probability,
    position, source). Pairs of deleted topics wait for an undo and are left alone.

    Most pairs stay or change their numbers only, which touches fewer indexes than a new pair does.
    """
    if not verbatim_ids:
        return
    # Naming the verbatims and the topics to skip lets PostgreSQL look up verbatims instead of all pairs.
    pairs = Assignment.objects.filter(verbatim__in=verbatim_ids).exclude(topic__in=deleted).order_by()
    gone: list[int] = []
    changed: list[tuple[Any, ...]] = []
    for pk, verbatim, topic, source, mood, probability, position in pairs.values_list(
        "pk", "verbatim", "topic", "source", "sentiment", "probability", "position"
    ):
        new = wanted.pop((verbatim, topic), None)
        if new is None:
            gone.append(pk)
        elif (mood, position, source) != (new[0], new[2], new[3]) or _has_moved(probability, new[1]):
            changed.append((pk, new[0], new[3], new[1], new[2]))
    if gone:
        Assignment.objects.filter(pk__in=gone).order_by()._raw_delete(using=connection.alias)
    sql.assignments_update(changed)
    sql.assignments_insert([(*pair, new[0], new[3], new[1], new[2]) for pair, new in wanted.items()])


def _has_moved(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(before - after) > PROBABILITY_STEP


def _update_verbatims(rows: list[tuple[Any, ...]]) -> None:
    """Update (id, sentiment, certainty, revisions to add) of verbatims that are locked."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "UPDATE rows_verbatim SET sentiment = new.s, certainty = new.c, revision = revision + new.r "
                "FROM unnest(%s::bigint[], %s::smallint[], %s::float8[], %s::int[]) AS new (v, s, c, r) "
                "WHERE rows_verbatim.id = new.v AND NOT rows_verbatim.is_reviewed",
                sql.literals(rows),
            )
        else:
            cursor.executemany(
                "UPDATE rows_verbatim SET sentiment = %s, certainty = %s, revision = revision + %s "
                "WHERE id = %s AND NOT is_reviewed",
                [(sentiment, certainty, add, pk) for pk, sentiment, certainty, add in rows],
            )


def statistics_refresh() -> None:
    """Let PostgreSQL plan with the assignments as they are now; its own visit may be a minute away."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE rows_assignment (verbatim_id, topic_id, sentiment)")
            cursor.execute("ANALYZE rows_verbatim (column_id, is_reviewed, certainty, sentiment)")
