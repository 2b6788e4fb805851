"""The standard fields of a filter: what is known about every verbatim, whatever table it came with.

Each reader takes values from a query string and returns clean ones; what cannot be used comes back as
`Lost`, a chip that says so and can be taken away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.models import Column
from rows.filters.expressions import Holds, HoldsPairs, there_is
from rows.filters.naming import NAMED, InPlace, Naming
from rows.models import Assignment, AssignmentSource, SearchText, TextBlock
from rows.text import search_terms, text_pairs
from topics.models import Topic

YES_NO = {"yes": True, "no": False}
SENTIMENTS = {"positive": 1, "neutral": 0, "negative": -1, "1": 1, "0": 0, "-1": -1}
FLAGS = ("reviewed", "highlighted", "empty", "duplicates", "has_topics")
MAX_VALUES = 1_000  # of one kind: more is no filter a person made
TRIGRAM = re.compile(r"[^\W_]{3}")  # what an index of trigrams can look for: three letters or digits in a row


@dataclass(frozen=True)
class Lost:
    """A part of a filter that cannot be used: its pairs in the query string, and why."""

    pairs: tuple[tuple[str, str], ...]
    text: str


def yes_no_text(name: str, value: bool) -> str:
    return {
        "reviewed": (_("Reviewed"), _("Not reviewed")),
        "highlighted": (_("Highlighted"), _("Not highlighted")),
        "empty": (_("Empty"), _("Not empty")),
        "duplicates": (_("Only duplicates"), _("Without duplicates")),
        "has_topics": (_("With topics"), _("Without topics")),
    }[name][0 if value else 1]


def sentiment_text(value: int) -> str:
    return {1: _("positive"), 0: _("neutral"), -1: _("negative")}[value]


def source_text(source: str) -> str:
    return {
        AssignmentSource.AI: _("Assigned by the AI"),
        AssignmentSource.PERSON: _("Assigned by a person"),
        AssignmentSource.KEYWORD: _("Assigned by keyword"),
        AssignmentSource.IMPORT: _("Assigned by import"),
    }[AssignmentSource(source)]


def read_ids(values: Iterable[str]) -> list[int]:
    """Return whole numbers that a database can hold."""
    found = (int(value) for value in values if value.isascii() and value.isdecimal() and len(value) < 19)
    return list(dict.fromkeys(found))[:MAX_VALUES]


def read_whole(text: str, *, low: int, high: int) -> int | None:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        return None
    return min(high, max(low, int(text)))


def read_sentiments(values: Iterable[str]) -> list[int]:
    return sorted({SENTIMENTS[value] for value in values if value in SENTIMENTS}, reverse=True)


def day_begins(day: date) -> datetime:
    """Return the first moment of a day in the site's time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def moments(name: str, first: date | None, last: date | None) -> Q:
    """Return the condition that a moment lies on these days."""
    found = Q()
    if first:
        found &= Q(**{f"{name}__gte": day_begins(first)})
    if last and last < date.max:
        found &= Q(**{f"{name}__lt": day_begins(last + timedelta(days=1))})
    return found


def text_condition(query: str, column: Column, *, is_indexed: bool, naming: Naming = NAMED) -> Q:
    """Return the condition that texts hold all words and phrases of a search, and none of those with a minus."""
    terms = search_terms(query)
    if is_indexed and terms and connection.vendor == "postgresql":
        # All terms in one place, so that the rarest leads and the others are looked at in what it found.
        texts = SearchText.objects.filter(column=column)
        for term, wanted in terms:
            held = Q(text__contains=term.lower())
            texts = texts.filter(held if wanted else ~held)
        in_blocks = _in_blocks([term.lower() for term, wanted in terms if wanted], column, naming)
        if in_blocks is not None:
            return in_blocks & there_is(texts.filter(verbatim=OuterRef("pk")))
        return naming.rows("pk", texts.values_list("verbatim", flat=True))
    found = Q()
    for term, wanted in terms:
        held = Q(Holds("text", term))
        found &= held if wanted else ~held
    return found


def _in_blocks(terms: list[str], column: Column, naming: Naming) -> Q | None:
    """Return the condition that a row is where all terms may occur, None where the index of trigrams knows better.

    It knows nothing of terms without three letters or digits in a row, like "ok" or ":-)".
    """
    if not terms or any(TRIGRAM.search(term) for term in terms):
        return None
    pairs = {pair for term in terms for pair in text_pairs(term) or {term}}
    blocks = TextBlock.objects.filter(HoldsPairs("pairs", sorted(pairs)), column=column)
    return naming.blocks(blocks)


def live_assignments(column: Column) -> Callable[[], QuerySet[Assignment]]:
    """Return a maker of queries for the topics of one verbatim, those of deleted topics left out.

    Deleted topics are few and named by their ids: a join with the topics would be made for every row.
    """
    deleted = list(Topic.objects.filter(column=column, deleted_at__isnull=False).values_list("pk", flat=True))

    def own() -> QuerySet[Assignment]:
        query = Assignment.objects.filter(verbatim=OuterRef("pk"))
        return query.exclude(topic__in=deleted) if deleted else query

    return own


def topic_condition(
    column: Column,
    *,
    topics: Sequence[int],
    mode: str,
    categories: Sequence[int],
    sentiments: Sequence[int],
    sources: Sequence[str],
    has_topics: bool | None,
    naming: Naming = NAMED,
) -> Q:
    """Return the condition on the topics of a verbatim; sentiments narrow topics and categories."""
    found = Q()
    if not (topics or categories or sentiments or sources or has_topics is not None):
        return found
    own = live_assignments(column)
    if has_topics is not None:
        found &= Q(Exists(own())) if has_topics else ~Q(Exists(own()))
    if sources:
        if AssignmentSource.AI in sources:
            found &= Q(Exists(own().filter(source__in=sources)))
        else:  # few: found by their own index, not by looking at every row
            ids = Topic.objects.filter(column=column, deleted_at=None).values_list("pk", flat=True)
            few = Assignment.objects.filter(~Q(source=AssignmentSource.AI), topic__in=list(ids))
            found &= NAMED.rows("pk", few.filter(source__in=sources).values_list("verbatim", flat=True))

    def having(**which: Any) -> QuerySet[Assignment]:
        query = Assignment.objects.filter(**which)
        return query.filter(sentiment__in=sentiments) if sentiments else query

    def on_any(ids: Sequence[int]) -> Q:
        return naming.rows("pk", having(topic__in=ids).values_list("verbatim", flat=True))

    if categories:
        own_topics = Topic.objects.filter(column=column, category__in=categories, deleted_at=None)
        found &= on_any(list(own_topics.values_list("pk", flat=True)))
    if not topics:
        if sentiments and not categories:
            found &= Q(Exists(own().filter(sentiment__in=sentiments)))
        return found
    if mode == "none":  # not "not in": PostgreSQL would make a list of all of them first
        return found & ~Q(Exists(having(topic__in=topics).filter(verbatim=OuterRef("pk"))))
    if mode == "all":
        if isinstance(naming, InPlace):
            for topic in topics:
                found &= on_any([topic])
            return found
        first, *others = topics
        both = having(topic=first)
        for topic in others:
            both = both.filter(verbatim__in=having(topic=topic).order_by().values("verbatim"))
        return found & naming.rows("pk", both.values_list("verbatim", flat=True))
    return found & on_any(topics)
