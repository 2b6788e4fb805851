"""A filter, read from a query string: `apply` narrows verbatims, `chips` tells the person what is asked for.

Unknown, broken or deleted things become chips and notices that say so, never an error: a saved link
must keep working after a topic is deleted.

    ?q=late "not again" -cheap&reviewed=no&topic=3&topic=7&sentiment=-1&c12.op=ge&c12.a=9&sort=certainty
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.models import Column
from rows import hooks
from rows.filters import standard
from rows.filters.columns import ColumnCondition, day_text, range_text, rolling_start, rolling_text
from rows.filters.naming import NAMED, Naming
from rows.filters.reading import read_into
from rows.filters.sorting import SORTS, Sort
from rows.filters.standard import Lost
from rows.models import Verbatim, indexed_columns
from topicassign.errors import ApplicationError
from topics.models import Category, Topic

Pair = tuple[str, str]


@dataclass
class RowFilter:
    """What is asked for, cleaned. Everything is combined by AND."""

    column: Column
    q: str = ""
    meaning: str = ""
    reviewed: bool | None = None
    highlighted: bool | None = None
    empty: bool | None = None
    duplicates: bool | None = None
    topics: list[Topic] = field(default_factory=list)
    topics_mode: str = "any"  # any | all | none
    has_topics: bool | None = None
    categories: list[Category] = field(default_factory=list)
    sentiments: list[int] = field(default_factory=list)  # overall sentiment
    topic_sentiments: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    certainty: tuple[int | None, int | None] = (None, None)  # percent
    languages: list[str] = field(default_factory=list)
    reviewers: list[Any] = field(default_factory=list)
    # Days, from and to; or ("last", number, unit).
    reviewed_on: tuple[Any, ...] = ()
    added_on: tuple[Any, ...] = ()
    row_numbers: tuple[int | None, int | None] = (None, None)
    columns: list[ColumnCondition] = field(default_factory=list)
    sort: Sort = SORTS["number"]
    grouped: bool = True
    grouped_default: bool = True  # what this person has chosen; the address names only what differs from it
    lost: list[Lost] = field(default_factory=list)

    @classmethod
    def from_query(cls, query: QueryDict | str, column: Column, *, grouped_default: bool = True) -> RowFilter:
        """Read a query string. What it cannot use ends up in `lost`, with a reason."""
        found = cls(column=column, grouped_default=grouped_default)
        read_into(found, QueryDict(query) if isinstance(query, str) else query)
        return found

    # --- telling ----------------------------------------------------------------------------------
    @property
    def notices(self) -> list[str]:
        """Return a sentence for everything that could not be used."""
        return [
            _("A part of this filter could not be used and was left out (%(what)s).") % {"what": one.text}
            for one in self.lost
        ]

    @property
    def is_active(self) -> bool:
        """Say whether anything narrows the rows (the sort order does not)."""
        return any(pairs for _text, pairs, _query in self._parts())

    @property
    def suspends_grouping(self) -> bool:
        """Say whether identical rows are shown one by one although grouping is on (spec S3.6).

        A group shows its first row; a condition that only another row of it meets would find nothing. A star is on
        one row, and row number, dates and the cells of other columns belong to one row.
        """
        of_one_row = self.columns or self.added_on or self.highlighted is not None
        return bool(of_one_row or any(end is not None for end in self.row_numbers))

    @property
    def is_grouped(self) -> bool:
        """Say whether identical rows are shown as one."""
        return self.grouped and not self.suspends_grouping

    def _parts(self) -> list[tuple[str, list[Pair], Q | None]]:
        """Return every condition as text, pairs of the query string, and what verbatims must fulfil.

        Topics, texts and meaning are put together in `_combined`: they have no condition of their own here.
        """
        parts: list[tuple[str, list[Pair], Q | None]] = []
        if self.q:
            parts.append((_("Text: %(text)s") % {"text": self.q}, [("q", self.q)], None))
        if self.meaning:
            text = _("Meaning: %(text)s") % {"text": self.meaning}
            parts.append((text, [("meaning", self.meaning)], None))
        for name, condition in (
            ("reviewed", Q(is_reviewed=self.reviewed)),
            ("highlighted", Q(is_highlighted=self.highlighted)),
            ("empty", Q(is_empty=self.empty)),
            ("duplicates", Q(group_size__gt=1) if self.duplicates else Q(group_size=1)),
            ("has_topics", None),
        ):
            if (value := getattr(self, name)) is not None:
                parts.append((standard.yes_no_text(name, value), [(name, "yes" if value else "no")], condition))
        for topic in self.topics:
            parts.append((f"{topic.category.label}: {topic.label}", [("topic", str(topic.pk))], None))
        if self.topics and self.topics_mode != "any":
            text = _("All of the topics") if self.topics_mode == "all" else _("None of the topics")
            parts.append((text, [("topic_mode", self.topics_mode)], None))
        for category in self.categories:
            text = _("Category: %(label)s") % {"label": category.label}
            parts.append((text, [("category", str(category.pk))], None))
        for value in self.sentiments:
            text = _("Overall %(sentiment)s") % {"sentiment": standard.sentiment_text(value)}
            parts.append((text, [("sentiment", str(value))], Q(sentiment__in=self.sentiments)))
        for value in self.topic_sentiments:
            text = _("Topic %(sentiment)s") % {"sentiment": standard.sentiment_text(value)}
            parts.append((text, [("topic_sentiment", str(value))], None))
        for source in self.sources:
            parts.append((standard.source_text(source), [("source", source)], None))
        return [*parts, *self._more_parts()]

    def _more_parts(self) -> list[tuple[str, list[Pair], Q | None]]:
        parts: list[tuple[str, list[Pair], Q | None]] = []
        if (ends := self._ends("certainty", self.certainty)) is not None:
            low, high = self.certainty
            # Both values of is_reviewed: the index on certainty begins with it.
            condition = Q(is_reviewed__in=[False, True]) if self.reviewed is None else Q()
            condition &= Q(certainty__gte=low / 100) if low is not None else Q()
            condition &= Q(certainty__lte=high / 100) if high is not None else Q()
            shown = range_text(*(f"{end} %" if end is not None else None for end in self.certainty))
            parts.append((_("Certainty %(range)s") % {"range": shown}, ends, condition))
        if (ends := self._ends("row", self.row_numbers)) is not None:
            low, high = self.row_numbers
            condition = Q(row_number__gte=low) if low is not None else Q()
            condition &= Q(row_number__lte=high) if high is not None else Q()
            shown = range_text(*(str(end) if end is not None else None for end in self.row_numbers))
            parts.append((_("Row number %(range)s") % {"range": shown}, ends, condition))
        for code in self.languages:
            text = _("Language: %(code)s") % {"code": code}
            parts.append((text, [("language", code)], Q(language__in=self.languages)))
        for user in self.reviewers:
            text = _("Reviewed by %(name)s") % {"name": person_name(user)}
            pair = ("reviewed_by", str(user.pk))
            parts.append((text, [pair], Q(is_reviewed=True, reviewed_by__in=self.reviewers)))
        for name, days, what in (
            ("reviewed", self.reviewed_on, _("Reviewed")),
            ("added", self.added_on, _("Added")),
        ):
            if days:
                shown, pairs, (first, last) = self._read_out(name, days)
                condition = (
                    Q(is_reviewed=True) & standard.moments("reviewed_at", first, last)
                    if name == "reviewed"
                    else standard.moments("row__created_at", first, last)
                )
                parts.append((f"{what} {shown}", pairs, condition))
        for one in self.columns:
            parts.append((one.describe(), one.parameters(), None))
        return parts

    def _ends(self, name: str, ends: tuple[int | None, int | None]) -> list[Pair] | None:
        pairs = zip(("min", "max"), ends, strict=True)
        found = [(f"{name}_{key}", str(end)) for key, end in pairs if end is not None]
        return found or None

    def _read_out(self, name: str, days: tuple[Any, ...]) -> tuple[str, list[Pair], tuple[Any, Any]]:
        if days[0] == "last":
            today = timezone.localdate()
            pairs = [(f"{name}_last", str(days[1])), (f"{name}_unit", days[2])]
            return rolling_text(*days[1:]), pairs, (rolling_start(today, *days[1:]), today)
        ends = zip(("from", "to"), days, strict=True)
        pairs = [(f"{name}_{key}", day.isoformat()) for key, day in ends if day]
        return range_text(*(day_text(day) for day in days)), pairs, (days[0], days[1])

    def parameters(self, *, with_sort: bool = True) -> list[Pair]:
        """Return the filter as the pairs of its query string; what could not be used stays in it."""
        pairs = [pair for _text, own, _query in self._parts() for pair in own]
        if with_sort:
            pairs += [pair for one in self.lost for pair in one.pairs]
            if self.sort.key != ("similarity" if self.meaning else "number"):
                pairs.append(("sort", self.sort.key))
            if self.grouped != self.grouped_default:
                pairs.append(("grouped", "yes" if self.grouped else "no"))
        return pairs

    def query_string(self, *, without: Collection[Pair] = ()) -> str:
        """Return the filter as a query string, leaving out some pairs (for the cross on a chip)."""
        query = QueryDict(mutable=True)
        for name, value in self.parameters():
            if (name, value) not in without:
                query.appendlist(name, value)
        return query.urlencode()

    def understood(self) -> str:
        """Return the query string of what can be used: for what is kept, like an export or a saved filter."""
        return self.query_string(without={pair for one in self.lost for pair in one.pairs})

    def chips(self) -> list[dict[str, Any]]:
        """Return one description per condition: text and the query string without it."""
        chips: list[dict[str, Any]] = []
        for text, pairs, _query in self._parts():
            chips.append({"text": text, "query": self.query_string(without=pairs), "is_lost": False})
        for one in self.lost:
            chips.append({"text": one.text, "query": self.query_string(without=one.pairs), "is_lost": True})
        return chips

    # --- narrowing --------------------------------------------------------------------------------
    @cached_property
    def meaning_answer(self) -> hooks.MeaningAnswer | None:
        """Return what the search by meaning found, None where nobody asked for one."""
        if not self.meaning:
            return None
        missing = hooks.MeaningAnswer("failed", message=_("Search by meaning is not available here."))
        answer: hooks.MeaningAnswer = hooks.meaning_search.first(missing, column=self.column, text=self.meaning)
        return answer

    def prepare(self) -> None:
        """Have a search by meaning answered now; for jobs and commands.

        Raises ApplicationError where there is no answer: "all that match" would be none.
        """
        if not self.meaning:
            return
        hooks.meaning_prepare.send(column=self.column, text=self.meaning)
        self.__dict__.pop("meaning_answer", None)
        answer = self.meaning_answer
        if answer is None or answer.state != "ready":
            raise ApplicationError(answer.message if answer else "")

    @property
    def is_working(self) -> bool:
        """Say whether a search by meaning is still on its way."""
        return self.meaning_answer is not None and self.meaning_answer.state == "working"

    def cache_name(self) -> str:
        """Return what numbers about these rows are kept under, "" for all rows.

        "The last 7 days" are others tomorrow, and a search by meaning is answered late.
        """
        if not self.is_active:
            return ""
        answer = self.meaning_answer
        stamp = f":{answer.state}:{len(answer.ids)}:{hash(answer.ids)}" if answer else ""
        return f"{self.query_string()}:{timezone.localdate()}{stamp}"

    def apply(self, *, group: bool | None = None, naming: Naming = NAMED) -> QuerySet[Verbatim]:
        """Return the verbatims asked for, unsorted.

        `group` True shows one verbatim of each duplicate group; default is what the query asks for. A search
        by meaning that is not answered matches nothing: acts on "all that match" must not touch the rest.
        Who passes a `naming` of its own has to heed what it keeps.
        """
        query: QuerySet[Verbatim] = Verbatim.objects.live(self.column)
        if self.is_grouped if group is None else group:
            query = query.filter(is_group_head=True)
        condition = Q()
        for _text, _pairs, own in self._parts():
            if own is not None:
                condition &= own
        return query.filter(condition & (self._named if naming is NAMED else self._combined(naming)))

    @cached_property
    def _named(self) -> Q:
        return self._combined(NAMED)

    @cached_property
    def _indexed(self) -> set[int]:
        asked = [one.column.pk for one in self.columns]
        return indexed_columns([self.column.pk, *asked]) if self.q or asked else set()

    def _combined(self, naming: Naming) -> Q:
        found = standard.topic_condition(
            self.column,
            topics=[topic.pk for topic in self.topics],
            mode=self.topics_mode,
            categories=[category.pk for category in self.categories],
            sentiments=self.topic_sentiments,
            sources=self.sources,
            has_topics=self.has_topics,
            naming=naming,
        )
        if self.q:
            is_indexed = self.column.pk in self._indexed
            found &= standard.text_condition(self.q, self.column, is_indexed=is_indexed, naming=naming)
        for one in self.columns:
            found &= one.condition(is_indexed=one.column.pk in self._indexed, naming=naming)
        if self.meaning_answer is not None:
            found &= Q(pk__in=self.meaning_answer.ids)
        return found


def person_name(user: AbstractBaseUser) -> str:
    return user.get_full_name() or user.get_username()  # type: ignore[attr-defined]
