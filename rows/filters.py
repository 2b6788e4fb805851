"""Filters and sort order of a column's rows, read from a query string.

The same object drives the row browser, the results, the statistics and the export, so a link shows
the same rows everywhere. Unknown or broken values are ignored and told (`notices`), never an error:
a saved link must keep working after a topic is deleted.

    ?q=late "not again" -cheap&reviewed=no&topic=3&topic=7&sentiment=-1&sort=certainty
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from projects.models import Column
from rows.models import Assignment, Verbatim
from rows.text import search_terms
from topics.models import Topic

# How the names of conditions begin that one of several identical rows can meet and another not: a star is on one
# row, and row number, dates and the cells of other columns belong to one row.
SUSPENDING = ("highlighted", "number", "date", "col")
_YES_NO = {"yes": True, "no": False}
_SENTIMENTS = {"positive": 1, "neutral": 0, "negative": -1, "1": 1, "0": 0, "-1": -1}


@dataclass(frozen=True)
class Sort:
    key: str
    label: str
    fields: tuple[str, ...]  # ends with a unique field, so that a keyset is a total order


SORTS = {
    sort.key: sort
    for sort in (
        Sort("number", "Order of upload", ("row_number",)),
        Sort("-number", "Order of upload, last first", ("-row_number",)),
        Sort("certainty", "Least certain first", ("is_reviewed", "certainty", "id")),
        Sort("-certainty", "Most certain first", ("-is_reviewed", "-certainty", "-id")),
        Sort("recent", "Recently reviewed", ("-reviewed_at", "-id")),
    )
}


@dataclass
class RowFilter:
    """What is asked for. `apply` narrows a queryset of verbatims; `chips` describes it to the person."""

    column: Column
    q: str = ""
    reviewed: bool | None = None
    highlighted: bool | None = None
    empty: bool | None = None
    topics: list[Topic] = field(default_factory=list)
    topics_mode: str = "any"  # any | all | none
    has_topics: bool | None = None
    sentiments: list[int] = field(default_factory=list)  # overall sentiment
    topic_sentiments: list[int] = field(default_factory=list)
    sort: Sort = SORTS["number"]
    grouped: bool = True
    grouped_default: bool = True  # what this person has chosen; the address names only what differs from it
    notices: list[str] = field(default_factory=list)

    @classmethod
    def from_query(cls, query: QueryDict | str, column: Column, *, grouped_default: bool = True) -> RowFilter:
        """Read a query string. Topics of other columns and unknown values end up in `notices`."""
        data = QueryDict(query) if isinstance(query, str) else query
        found = cls(column=column, q=data.get("q", "").strip()[:500], grouped_default=grouped_default)
        for name in ("reviewed", "highlighted", "empty", "has_topics"):
            value = data.get(name)
            if value:
                if value in _YES_NO:
                    setattr(found, name, _YES_NO[value])
                else:
                    found.notices.append(f"The filter {name}={value[:40]} is not known and was left out.")
        ids = [int(value) for value in data.getlist("topic") if value.isdecimal() and len(value) < 19]
        found.topics = list(
            Topic.objects.filter(pk__in=ids, column=column, deleted_at=None).select_related("category")
        )
        if len(found.topics) < len(data.getlist("topic")):
            found.notices.append("A topic of this filter no longer exists; the filter goes on without it.")
        mode = data.get("topic_mode", "any")
        found.topics_mode = mode if mode in {"any", "all", "none"} else "any"
        found.sentiments = _sentiments(data.getlist("sentiment"))
        found.topic_sentiments = _sentiments(data.getlist("topic_sentiment"))
        found.sort = SORTS.get(data.get("sort", ""), SORTS["number"])
        found.grouped = _YES_NO.get(data.get("grouped", ""), grouped_default)
        return found

    @property
    def is_active(self) -> bool:
        """Say whether anything narrows the rows (the sort order does not)."""
        return bool(self.parameters(with_sort=False))

    def parameters(self, *, with_sort: bool = True) -> list[tuple[str, str]]:
        """Return the filter as the pairs of its query string."""
        pairs: list[tuple[str, str]] = []
        if self.q:
            pairs.append(("q", self.q))
        for name in ("reviewed", "highlighted", "empty", "has_topics"):
            value = getattr(self, name)
            if value is not None:
                pairs.append((name, "yes" if value else "no"))
        pairs += [("topic", str(topic.pk)) for topic in self.topics]
        if self.topics and self.topics_mode != "any":
            pairs.append(("topic_mode", self.topics_mode))
        pairs += [("sentiment", str(value)) for value in self.sentiments]
        pairs += [("topic_sentiment", str(value)) for value in self.topic_sentiments]
        if with_sort and self.sort.key != "number":
            pairs.append(("sort", self.sort.key))
        if with_sort and self.grouped != self.grouped_default:
            pairs.append(("grouped", "yes" if self.grouped else "no"))
        return pairs

    @property
    def suspends_grouping(self) -> bool:
        """Say whether identical rows are shown one by one although grouping is on (spec S3.6).

        A group shows its first row; a condition that only another row of it meets would find nothing.
        """
        names = {name for name, _ in self.parameters(with_sort=False)}
        return any(name.startswith(SUSPENDING) for name in names)

    @property
    def is_grouped(self) -> bool:
        """Say whether identical rows are shown once."""
        return self.grouped and not self.suspends_grouping

    def query_string(self, *, without: tuple[str, str] | None = None) -> str:
        """Return the filter as a query string, leaving out one pair (for the cross on its chip)."""
        query = QueryDict(mutable=True)
        for name, value in self.parameters():
            if (name, value) != without:
                query.appendlist(name, value)
        return query.urlencode()

    def chips(self) -> list[dict[str, Any]]:
        """Return one description per condition: text and the query string without it."""
        words = {1: "positive", 0: "neutral", -1: "negative"}
        yes_no = {
            ("reviewed", "yes"): "Reviewed", ("reviewed", "no"): "Not reviewed",
            ("highlighted", "yes"): "Highlighted", ("highlighted", "no"): "Not highlighted",
            ("empty", "yes"): "Empty", ("empty", "no"): "Not empty",
            ("has_topics", "yes"): "With topics", ("has_topics", "no"): "Without topics",
            ("topic_mode", "all"): "All of the topics", ("topic_mode", "none"): "None of the topics",
        }  # fmt: skip
        labels = {str(topic.pk): f"{topic.category.label}: {topic.label}" for topic in self.topics}
        chips = []
        for name, value in self.parameters(with_sort=False):
            if name == "q":
                text = f"Text: {value}"
            elif name == "topic":
                text = labels[value]
            elif name == "sentiment":
                text = f"Overall {words[int(value)]}"
            elif name == "topic_sentiment":
                text = f"Topic {words[int(value)]}"
            else:
                text = yes_no[(name, value)]
            chips.append({"text": text, "query": self.query_string(without=(name, value))})
        return chips

    def apply(self, *, group: bool | None = None) -> QuerySet[Verbatim]:
        """Return the verbatims asked for, unsorted.

        `group` True shows one verbatim of each duplicate group; default is what the query asks for, unless
        its conditions suspend grouping.
        """
        query: QuerySet[Verbatim] = Verbatim.objects.live(self.column)
        if self.is_grouped if group is None else group:
            query = query.filter(is_group_head=True)
        query = self._apply_text(query)
        for name, lookup in (
            ("reviewed", "is_reviewed"),
            ("highlighted", "is_highlighted"),
            ("empty", "is_empty"),
        ):
            if getattr(self, name) is not None:
                query = query.filter(**{lookup: getattr(self, name)})
        if self.sentiments:
            query = query.filter(sentiment__in=self.sentiments)
        return self._apply_topics(query)

    def _apply_text(self, query: QuerySet[Verbatim]) -> QuerySet[Verbatim]:
        for term, wanted in search_terms(self.q):
            condition = Q(text__icontains=term)
            query = query.filter(condition) if wanted else query.exclude(condition)
        return query

    def _apply_topics(self, query: QuerySet[Verbatim]) -> QuerySet[Verbatim]:
        own = Assignment.objects.filter(verbatim=OuterRef("pk"), topic__deleted_at=None)
        if self.has_topics is not None:
            query = query.filter(Exists(own) if self.has_topics else ~Exists(own))
        wanted = self.topic_sentiments
        if not self.topics:
            if wanted:
                query = query.filter(Exists(own.filter(sentiment__in=wanted)))
            return query
        topics = [topic.pk for topic in self.topics]
        if self.topics_mode == "all":
            for topic in topics:
                query = query.filter(Exists(_with_sentiment(own.filter(topic=topic), wanted)))
            return query
        having = Assignment.objects.filter(topic__in=topics)
        having = _with_sentiment(having, wanted)
        if self.topics_mode == "none":
            return query.exclude(pk__in=having.values("verbatim"))
        return query.filter(pk__in=having.values("verbatim"))


def _with_sentiment(query: QuerySet[Assignment], sentiments: list[int]) -> QuerySet[Assignment]:
    return query.filter(sentiment__in=sentiments) if sentiments else query


def _sentiments(values: Iterable[str]) -> list[int]:
    return sorted({_SENTIMENTS[value] for value in values if value in _SENTIMENTS}, reverse=True)
