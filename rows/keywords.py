"""In how many rows keywords are, while somebody waits for the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from projects.models import Column
from rows.models import Verbatim
from topics.hooks import KeywordRows
from topics.keywords import KeywordMatcher

MAX_GROUPS = 20_000
LIMIT_S = 2.0
BLOCK_CHARS = 50_000  # between two looks at the clock

# text, is it reviewed, rows that say the same
Group = tuple[str, bool, int]


def keyword_rows(column: Column, keywords: Sequence[str]) -> KeywordRows:
    """Count the rows that have keywords, from the first row on, for two seconds at most."""
    matcher = KeywordMatcher({place: [keyword] for place, keyword in enumerate(keywords)})
    began = time.monotonic()
    per_keyword = np.zeros(len(keywords), dtype=np.int64)
    n_rows = n_unreviewed = n_looked = 0
    is_all = True
    groups = _groups(column)
    for block in _blocks(groups):
        if block is None or (n_looked and time.monotonic() - began > LIMIT_S):
            is_all = False
            break
        texts, is_reviewed, size = zip(*block, strict=True)
        text, word = matcher.match(texts)
        n_of, is_open = np.array(size), ~np.array(is_reviewed, dtype=bool)
        np.add.at(per_keyword, word, n_of[text])
        found = np.unique(text)
        n_rows += int(n_of[found].sum())
        n_unreviewed += int(n_of[found][is_open[found]].sum())
        n_looked += int(n_of.sum())
    return KeywordRows(n_rows, n_unreviewed, tuple(per_keyword.tolist()), n_looked, is_all)


def _groups(column: Column) -> Iterator[Group]:
    """Yield one text of each duplicate group, in the order of the rows; one more than MAX_GROUPS at most."""
    query = Verbatim.objects.live(column).filter(is_group_head=True, is_empty=False).order_by("row_number")
    lines = query.values_list("text", "is_reviewed", "group_size")[: MAX_GROUPS + 1]
    yield from lines.iterator(chunk_size=1_000)


def _blocks(groups: Iterator[Group]) -> Iterator[list[Group] | None]:
    """Yield groups in blocks of some BLOCK_CHARS characters; None where there would be more than MAX_GROUPS."""
    block: list[Group] = []
    n_chars = 0
    for number, group in enumerate(groups):
        if number == MAX_GROUPS:
            yield block
            yield None
            return
        block.append(group)
        n_chars += len(group[0])
        if n_chars >= BLOCK_CHARS:
            yield block
            block, n_chars = [], 0
    if block:
        yield block
