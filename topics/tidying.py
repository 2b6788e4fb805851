"""Topics that may be one and the same, and topics that no row has: what the page "Tidy up" lists."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from django.db.models import QuerySet

from projects.models import Column
from topics import hooks
from topics.hooks import Overlaps
from topics.models import DistinctPair, Topic
from topics.selectors import topic_list
from topics.wording import plain, triples_of

# From where on two topics are listed. Cosines seen with MiniLM: "Delivery time" and "Delivery duration" .86,
# "Staff friendliness" and "Friendly staff" .83, "Breakfast" and "Dinner" .59; of the pairs of banking77's labels
# one in 200 is above .75.
MEANING = 0.75
WORDING = 0.7
SAME_ROWS = 0.5  # rows with both among the rows with either
ALWAYS = 0.9  # rows with both among the rows with the smaller topic
MIN_BOTH = 5  # fewer rows with both may be chance
MIN_LIFT = 1.5  # rows with both against those expected if the topics had nothing to do with each other
MAX_SHOWN = 100
# A collection has such a topic in each category: of the same name, and not the same.
_GENERIC = {
    "other", "others", "general", "misc", "miscellaneous", "various", "rest", "none", "unclear",
    "sonstiges", "andere", "anderes", "allgemein", "allgemeines", "verschiedenes", "unklar", "keine angabe",
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two topics that may be the same, with what speaks for it; `first` has at least as many rows as `second`.

    The numbers of rows are those that were counted (see `Overlaps.every`).
    """

    first: Topic
    second: Topic
    n_first: int
    n_second: int
    n_both: int
    meaning: float | None = None  # cosine, where it is high
    wording: float | None = None  # share of the letters' triples in common, where it is high
    is_same_rows: bool = False
    is_always: bool = False

    @property
    def same_rows(self) -> float:
        """The share of the rows with either topic that have both."""
        return self.n_both / max(1, self.n_first + self.n_second - self.n_both)

    @property
    def strength(self) -> float:
        always = 0.95 * self.n_both / max(1, self.n_second) if self.is_always else 0.0
        return max(self.meaning or 0.0, self.wording or 0.0, self.same_rows if self.is_same_rows else 0.0, always)


@dataclass
class Tidying:
    """What could be tidied up.

    Attributes
    ----------
    pairs : list of Pair
        Strongest first, at most `MAX_SHOWN`; `n_pairs` says how many there are.
    unused : list of Topic
        Topics that no row has, in the order of the screen; empty while no row has any topic (`is_untouched`).
    distinct : list of DistinctPair
        Pairs of which somebody said that they are not the same, last first.
    n_unread : int
        Topics that could be compared by their names only, for the AI has not read them yet.
    """

    pairs: list[Pair] = field(default_factory=list)
    n_pairs: int = 0
    unused: list[Topic] = field(default_factory=list)
    distinct: list[DistinctPair] = field(default_factory=list)
    n_topics: int = 0
    n_unread: int = 0
    every: int = 1
    is_untouched: bool = False


def tidying(*, column: Column) -> Tidying:
    """Compare each topic of a column with each other."""
    topics = {topic.pk: topic for topic in topic_list(column=column)}
    overlaps: Overlaps = hooks.topic_overlaps.first(default=Overlaps(), column=column)
    counts: Mapping[int, Mapping[str, int]] = hooks.topic_counts.first(default={}, column=column)
    meaning, read = hooks.topic_likeness.first(default=({}, set()), column=column, least=MEANING)
    distinct = list(distinct_pairs(column=column))
    apart = {(one.first_id, one.second_id) for one in distinct}
    wording = _alike_in_wording(list(topics.values()))
    on_rows = _on_the_same_rows(overlaps)
    found = []
    for a, b in {*meaning, *wording, *on_rows} - apart:
        if a not in topics or b not in topics:
            continue
        # The one with more rows first; of as many, the older one.
        first, second = (a, b) if overlaps.counts.get(a, 0) >= overlaps.counts.get(b, 0) else (b, a)
        is_same_rows, is_always = on_rows.get((a, b), (False, False))
        found.append(
            Pair(
                topics[first],
                topics[second],
                n_first=overlaps.counts.get(first, 0),
                n_second=overlaps.counts.get(second, 0),
                n_both=overlaps.together.get((a, b), 0),
                meaning=meaning.get((a, b)),
                wording=wording.get((a, b)),
                is_same_rows=is_same_rows,
                is_always=is_always,
            )
        )
    found.sort(key=lambda pair: (-round(pair.strength, 3), -pair.n_both, pair.first.pk, pair.second.pk))
    unused = [topic for pk, topic in topics.items() if not counts.get(pk, {}).get("all")]
    is_untouched = len(unused) == len(topics)
    return Tidying(
        pairs=found[:MAX_SHOWN],
        n_pairs=len(found),
        unused=[] if is_untouched else unused,
        distinct=distinct,
        n_topics=len(topics),
        n_unread=len(topics.keys() - read),
        every=overlaps.every,
        is_untouched=is_untouched and bool(topics),
    )


def distinct_pairs(*, column: Column) -> QuerySet[DistinctPair]:
    """Return the pairs of live topics of which somebody said that they are not the same, last first."""
    return DistinctPair.objects.filter(
        first__column=column, first__deleted_at=None, second__deleted_at=None
    ).select_related("first__category", "second__category")


def _on_the_same_rows(overlaps: Overlaps) -> dict[tuple[int, int], tuple[bool, bool]]:
    """Return the pairs that share most of their rows, or of which one never comes without the other."""
    found = {}
    for (a, b), n_both in overlaps.together.items():
        n_a, n_b = overlaps.counts[a], overlaps.counts[b]
        if n_both < MIN_BOTH:
            continue
        same = n_both / (n_a + n_b - n_both)
        # Topics that most rows have meet often, whatever they mean; those that are never apart are another matter.
        if n_both < MIN_LIFT * n_a * n_b / max(1, overlaps.n_rows) and same < ALWAYS:
            continue
        always = n_both >= ALWAYS * min(n_a, n_b)
        if same >= SAME_ROWS or always:
            found[a, b] = (same >= SAME_ROWS, always)
    return found


def _alike_in_wording(topics: Collection[Topic]) -> dict[tuple[int, int], float]:
    """Return pairs whose labels share most of their triples of letters (Dice), or are the same.

    Goes by the triples, not by the pairs: 800 labels take a tenth of a second.
    """
    labels = {topic.pk: plain(topic.label) for topic in topics}
    generic = {topic.pk: topic.category_id for topic in topics if labels[topic.pk] in _GENERIC}
    triples = {pk: triples_of(label) for pk, label in labels.items()}
    having: dict[str, list[int]] = defaultdict(list)
    found: dict[tuple[int, int], float] = {}
    for b in sorted(labels):
        common: Counter[int] = Counter()
        for triple in triples[b]:
            common.update(having[triple])
            having[triple].append(b)
        for a, n in common.items():
            share = 2 * n / (len(triples[a]) + len(triples[b]))
            is_generic = a in generic and b in generic and generic[a] != generic[b]
            if share >= WORDING and not is_generic:
                found[a, b] = round(share, 3)
    return found
