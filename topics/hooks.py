"""What apps on the right are told, and asked, about topics.

The acts that restructure a topic collection (topics/services) know the rules of topics; what becomes of the rows
that have them is written by the app of rows, behind the hooks below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from topicassign.hooks import Hook

# topics_changed(column, user): something the AI reads about the topic collection changed.
topics_changed = Hook("topics_changed")
# sentiments_changed(column, topic_ids): these topics came, went or lost their sentiments, so that the
# overall sentiment of the rows that have them may be another.
sentiments_changed = Hook("sentiments_changed")
# topic_counts(column) -> {topic id: {"positive", "neutral", "negative", "none", "all"}} in rows.
topic_counts = Hook("topic_counts")


@dataclass(frozen=True)
class Gathering:
    """The topics whose rows get another one instead.

    `fixed` says which sentiment each source stands for (combine); None keeps the sentiments of the rows (merge).
    `unsaid` says what reviewed rows get whose topic had no sentiment while the target has: neutral, or no
    sentiment until the AI proposes one, for which they go back to unreviewed.
    """

    target_id: int
    source_ids: tuple[int, ...]
    has_sentiment: bool
    fixed: Mapping[int, int] | None = None
    unsaid: Literal["neutral", "propose"] = "neutral"

    @property
    def topic_ids(self) -> tuple[int, ...]:
        return (self.target_id, *self.source_ids)


@dataclass(frozen=True)
class Gathered:
    """What a gathering would do, in rows that are not deleted; each row counts, duplicates too.

    Attributes
    ----------
    n_rows, n_reviewed : int
        Rows that get the target instead of sources, and those of them that are reviewed.
    n_both, n_both_reviewed : int
        Rows with several of the topics: they keep one.
    n_conflicting : int
        Rows whose topics had different sentiments (merge: one is kept, combine: their mean).
    n_dropped, n_dropped_reviewed : int
        Rows that lose a sentiment, for the target has none.
    n_unsaid, n_unsaid_reviewed : int
        Rows that have no sentiment although the target has: the AI proposes those of unreviewed rows; reviewed
        ones get what `Gathering.unsaid` says.
    n_positive, n_neutral, n_negative : int
        The sentiments of the rows with the target afterwards, as far as they are said.
    """

    n_rows: int = 0
    n_reviewed: int = 0
    n_both: int = 0
    n_both_reviewed: int = 0
    n_conflicting: int = 0
    n_dropped: int = 0
    n_dropped_reviewed: int = 0
    n_unsaid: int = 0
    n_unsaid_reviewed: int = 0
    n_positive: int = 0
    n_neutral: int = 0
    n_negative: int = 0


@dataclass(frozen=True)
class Moved:
    """What an act did to rows: the record that undoes it, and how many rows it changed."""

    move_id: int
    n_rows: int
    n_reviewed: int = 0


@dataclass(frozen=True)
class PutBack:
    n_restored: int = 0
    n_left_alone: int = 0  # somebody decided about them since
    n_converted: int = 0  # decided since with a topic that goes: they got the one it came from
    n_lost: int = 0  # decided since with a topic that goes, and none can stand for it


@dataclass(frozen=True)
class TopicRow:
    """A row that has a topic, for a person to look at; `n_copies` others say the same."""

    pk: int
    number: int
    text: str
    is_reviewed: bool
    n_copies: int = 0


@dataclass(frozen=True)
class Halves:
    """Which rows of a topic belong to the new half, as the AI sees it.

    `probability` has the rows that it could compare; `missing` are those whose text it has not read yet.
    """

    probability: Mapping[int, float] = field(default_factory=dict)
    missing: tuple[int, ...] = ()


# rows_lock(column, topic_ids, move_id=None): keep the rows that have these topics (and those of a move) and then
# the topics themselves from being changed by others, until the transaction is over.
rows_lock = Hook("rows_lock")
# rows_gather(column, gathering) -> Moved: give the rows of the sources, which are deleted by now, the target.
rows_gather = Hook("rows_gather")
# rows_gathered(column, gathering) -> Gathered: say what that would do.
rows_gathered = Hook("rows_gathered")
# rows_with_topic(column, topic_id, verbatim_ids) -> {verbatim id: is reviewed} of those that have the topic, with
# the rows that say the same; all rows that have it where verbatim_ids is None.
rows_with_topic = Hook("rows_with_topic")
# topic_rows(column, topic_id, search, verbatim_ids, most) -> list of TopicRow, rows that say the same once: those
# of verbatim_ids in their order or, where that is None, those with all words of `search`, reviewed ones first.
topic_rows = Hook("topic_rows")
# rows_divide(column, topic_id, new_id, verbatim_ids, proposed: {verbatim id: probability}) -> Moved: give rows the
# new topic instead of the one it was part of; those proposed only while nobody reviewed them.
rows_divide = Hook("rows_divide")
# rows_unreview(column, topic_id) -> Moved: take the reviewed mark off the rows with a topic.
rows_unreview = Hook("rows_unreview")
# rows_put_back(column, move_id, back, into=None) -> PutBack: undo a move of rows. `back` are the topics that come
# back with the rows they had; `into` maps a topic that goes, by (topic id, sentiment), to the (topic id, has
# sentiment) that rows decided since get instead.
rows_put_back = Hook("rows_put_back")
# halves(column, verbatim_ids, examples_a, examples_b) -> Halves: which rows are more like the examples of b.
halves = Hook("halves")


@dataclass(frozen=True)
class KeywordRows:
    """In how many rows keywords are; duplicates count.

    `n_looked` rows were looked at, from the first on; `is_all` says whether those are all there are.
    `per_keyword` has the rows of each keyword.
    """

    n_rows: int
    n_unreviewed: int
    per_keyword: tuple[int, ...]
    n_looked: int
    is_all: bool


# keyword_rows(column, keywords) -> KeywordRows: where clean keywords are, as far as one can look in two seconds.
keyword_rows = Hook("keyword_rows")


@dataclass(frozen=True)
class Overlaps:
    """How often topics stand on rows, alone and together; each row counts, duplicates too.

    Attributes
    ----------
    n_rows : int
        Rows with text that were counted.
    every : int
        1: all rows; n: of a very large column every nth row.
    counts : dict
        Rows by topic id.
    together : dict
        Rows with both, by (lower id, higher id), where there is any.
    """

    n_rows: int = 0
    every: int = 1
    counts: Mapping[int, int] = field(default_factory=dict)
    together: Mapping[tuple[int, int], int] = field(default_factory=dict)


# topic_overlaps(column) -> Overlaps of the live topics.
topic_overlaps = Hook("topic_overlaps")
# topic_likeness(column, least) -> {(lower id, higher id): cosine} of live topics whose texts are at least so near
# in meaning, and the ids of the topics that could be compared: the AI has read their texts.
topic_likeness = Hook("topic_likeness")
