"""What a column learns from the reviews of another one: vectors and topics of its reviewed texts, no copies.

The texts are read where they are, at every update: reviews that are taken back, rows that are deleted and links
that are ended count no longer with the next update of the learning column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db.models import QuerySet

from finetune.encoders import encode_texts
from finetune.engine import LentRows, lexical_features
from projects.models import Column
from rows.models import Assignment, Verbatim
from rows.sql import chunks
from rows.text import digest
from topics.partners import teachers

# Of a lent row against an own one, for each step of a chain: where A learns from B and B from C, rows of C count
# 1/16 for A. Measured in docs/learning.md.
WEIGHT_PER_STEP = 0.25
# In all. The ridges solve systems of this size, and every row of the pool is compared with each of them: 1,000
# make an update of 100,000 rows a second and a half longer.
MAX_ROWS = 1_000
MAX_READ = 10_000  # the newest reviews of a column, from which those are chosen


@dataclass
class Lent:
    """Rows for the classifier, and what the version notes of each source: column, step, weight, rows, topics."""

    rows: list[LentRows] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)


def lent_rows(column: Column, topic_ids: Sequence[int]) -> Lent:
    """Return what a column may learn from others; `topic_ids` are to be learned, in the classifier's order.

    Texts that were reviewed here, too, are left out: what was decided here counts here, and the same text in the
    source would tell the classifier the answer when it judges the own row without itself. Texts without a vector
    by the encoder in use are encoded first.
    """
    lent = Lent()
    place = {pk: j for j, pk in enumerate(topic_ids)}
    taken = {bytes(one) for one in _reviewed(column).values_list("fingerprint", flat=True)}
    for teacher in teachers(column):
        column_of = {other: place[topic] for other, topic in teacher.partners.items() if topic in place}
        n_left = MAX_ROWS - sum(len(one.X) for one in lent.rows)
        if not column_of or n_left <= 0:
            break
        chosen, Y = _chosen(teacher.column, column_of, len(topic_ids), taken, n_left)
        if not chosen:
            continue
        texts = dict(Verbatim.objects.filter(pk__in=[pk for pk, _mark in chosen]).values_list("pk", "text"))
        listed = [texts.get(pk, "") for pk, _mark in chosen]  # a row purged meanwhile has none any more
        taken.update(mark for _pk, mark in chosen)
        knows = np.zeros(len(topic_ids), dtype=bool)
        knows[list(column_of.values())] = True
        weight = WEIGHT_PER_STEP**teacher.step
        lent.rows.append(
            LentRows(
                X=encode_texts(listed, [digest(text) for text in listed]).astype(np.float32),
                X_lex=lexical_features(listed),
                Y=Y,
                knows=knows,
                weight=weight,
            )
        )
        lent.sources.append(
            {
                "column": teacher.column.pk,
                "step": teacher.step,
                "weight": weight,
                "n_rows": len(chosen),
                "n_topics": int(knows.sum()),
            }
        )
    return lent


def _reviewed(column: Column) -> QuerySet[Verbatim]:
    return Verbatim.objects.live(column).filter(is_reviewed=True, is_group_head=True, is_empty=False)


def _chosen(
    source: Column, column_of: Mapping[int, int], n_topics: int, taken: set[bytes], most: int
) -> tuple[list[tuple[int, bytes]], np.ndarray]:
    """Return (id, fingerprint) of reviewed texts of the source, newest first, and their topics (0/1).

    Of too many those are taken that come first when each topic in turn gives its newest one: rare topics need
    examples more than frequent ones.
    """
    newest = _reviewed(source).order_by("-reviewed_at", "-pk").values_list("pk", "fingerprint")[:MAX_READ]
    rows = [(pk, bytes(one)) for pk, one in newest if bytes(one) not in taken]
    Y = np.zeros((len(rows), n_topics), dtype=np.int8)
    row_of = {pk: i for i, (pk, _mark) in enumerate(rows)}
    for part in chunks(list(row_of)):
        pairs = Assignment.objects.filter(verbatim__in=part, topic__in=list(column_of)).order_by()
        for pk, topic in pairs.values_list("verbatim", "topic"):
            Y[row_of[pk], column_of[topic]] = 1
    if len(rows) <= most:
        return rows, Y
    seen: Counter[int] = Counter()
    turn = np.zeros(len(rows), dtype=np.int64)
    for i in range(len(rows)):
        topics = np.flatnonzero(Y[i]).tolist() or [-1]  # rows without any topic take turns, too
        turn[i] = min(seen[topic] for topic in topics)
        seen.update(topics)
    keep = np.sort(np.argsort(turn, kind="stable")[:most])
    return [rows[i] for i in keep.tolist()], Y[keep]
