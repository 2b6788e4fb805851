"""Which rows a bulk action is about: rows ticked by hand, or all that match the filters.

What matches is asked of the database when the work begins; no list of 500,000 ids travels. A decision about
topics goes to all identical rows, as every review does; deleting does so while identical rows are grouped, for
then one row on the screen stands for all of them. A star belongs to the row that was ticked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _

from projects.models import Column
from rows.bulk.options import BulkOptions
from rows.filters import RowFilter
from rows.models import Assignment, Verbatim
from topicassign.errors import ApplicationError
from topicassign.templatetags.ui import thousands
from topics.models import Topic

MAX_IDS = 10_000


@dataclass
class Selection:
    """`ids` for rows ticked by hand; None: all rows of the filter `query` but `besides`.

    `grouped_default`: whether this person sees identical rows as one where the query does not say.
    """

    column: Column
    query: str = ""
    ids: list[int] | None = None
    besides: list[int] = field(default_factory=list)
    grouped_default: bool = True

    @classmethod
    def read(cls, data: QueryDict, column: Column, *, grouped_default: bool = True) -> Selection:
        """Read a form. Raises ApplicationError where nothing is selected, or more than a form can name."""
        query = data.get("query", "")[:5_000]
        if data.get("all") == "1":
            return cls(column, query, None, _ids(data.get("besides", "")), grouped_default)
        ids = _ids(data.get("ids", ""))
        if not ids:
            raise ApplicationError(_("Select some rows first."), code="nothing_selected")
        return cls(column, query, ids, [], grouped_default)

    @classmethod
    def from_json(cls, stored: dict[str, Any], column: Column) -> Selection:
        return cls(column, **stored)

    def as_json(self) -> dict[str, Any]:
        return {
            "query": self.query,
            "ids": self.ids,
            "besides": self.besides,
            "grouped_default": self.grouped_default,
        }

    @cached_property
    def row_filter(self) -> RowFilter:
        return RowFilter.from_query(self.query, self.column, grouped_default=self.grouped_default)

    @property
    def grouped(self) -> bool:
        """Say whether a row on the screen stands for the identical ones."""
        return self.row_filter.is_grouped

    def verbatims(self) -> QuerySet[Verbatim]:
        """Return what is selected, without identical rows that the list did not show.

        Raises ApplicationError if the filter lost a part since: without it, it would mean more rows; or if it
        searches by meaning and there is no answer yet.
        """
        if self.ids is not None:
            return Verbatim.objects.live(self.column).filter(pk__in=self.ids)
        row_filter = self.row_filter
        if row_filter.notices:
            raise ApplicationError(
                _("The filter no longer says which rows are meant: %(why)s Select the rows again.")
                % {"why": row_filter.notices[0]},
                status=409,
                code="filter_changed",
            )
        answer = row_filter.meaning_answer
        if answer is not None and answer.state != "ready":
            raise ApplicationError(answer.message, status=409, code="search_not_ready")
        query = row_filter.apply()
        if row_filter.sort.key == "recent":  # as the list does
            query = query.filter(is_reviewed=True)
        return query.exclude(pk__in=self.besides) if self.besides else query

    def resolve(self) -> Iterator[int]:
        """Yield the ids of `verbatims`, without holding them all as objects."""
        yield from self.verbatims().order_by().values_list("pk", flat=True).iterator(chunk_size=20_000)

    def copies(self) -> QuerySet[Verbatim]:
        """Return the identical rows of what is selected that are not selected themselves."""
        own = self.verbatims().order_by()
        same = own.filter(group_size__gt=1).values("fingerprint")
        return (
            Verbatim.objects.live(self.column)
            .filter(is_empty=False, group_size__gt=1, fingerprint__in=same)
            .filter(~Exists(own.filter(pk=OuterRef("pk"))))
            .order_by()
        )


def _ids(text: str) -> list[int]:
    values = [value for value in text.split(",") if value]
    if len(values) > MAX_IDS:
        raise ApplicationError(
            _("At most %(n)s rows can be ticked one by one. Use filters and “Select all”.")
            % {"n": thousands(MAX_IDS)},
            status=413,
            code="too_many",
        )
    if not all(value.isdecimal() and len(value) < 19 for value in values):
        raise ApplicationError(_("This selection names a row that cannot be. Select again."), status=400)
    return sorted({int(value) for value in values})


@dataclass
class Preview:
    """What would happen.

    `n_shown` rows are selected on the screen and stand for `n_rows`; `n_changed` of these change, of which
    `n_reviewed` are reviewed already; `n_empty` hold no text and can have no topics.
    """

    n_shown: int = 0
    n_rows: int = 0
    n_changed: int = 0
    n_reviewed: int = 0
    n_empty: int = 0

    @property
    def n_same(self) -> int:
        return self.n_rows - self.n_changed - self.n_empty


def preview(*, selection: Selection, options: BulkOptions) -> Preview:
    """Count what a bulk action would do now."""
    own = _counts(selection.verbatims(), _differs(selection.column, options, star=True), options)
    found = Preview(own["n"], own["n"], own["n_changed"], own["n_reviewed"], own["n_empty"])
    if options.decides or (options.delete and selection.grouped):
        copies = _counts(selection.copies(), _differs(selection.column, options, star=False), options)
        found.n_rows += copies["n"]
        found.n_changed += copies["n_changed"]
        found.n_reviewed += copies["n_reviewed"]
    return found


def _counts(query: QuerySet[Verbatim], differs: Q, options: BulkOptions) -> dict[str, int]:
    empty = Q(is_empty=True) & ~differs if options.decides else Q(pk=None)
    with_plan = query.order_by()
    return with_plan.aggregate(
        n=Count("pk"),
        n_changed=Count("pk", filter=differs),
        n_reviewed=Count("pk", filter=differs & Q(is_reviewed=True)),
        n_empty=Count("pk", filter=empty),
    )


def _differs(column: Column, options: BulkOptions, *, star: bool) -> Q:
    """Return the condition under which a verbatim is changed."""
    if options.delete:
        return Q(pk__isnull=False)
    any_of = Q(pk=None)
    own = Assignment.objects.filter(verbatim=OuterRef("pk")).order_by()
    chosen = options.chosen(column) if options.topics_mode != "keep" else []
    if options.topics_mode in ("add", "replace"):
        for topic, sentiment in chosen:
            mood = {"sentiment__isnull": True} if sentiment is None else {"sentiment": sentiment}
            any_of |= Q(~Exists(own.filter(topic=topic, **mood)))
    if options.topics_mode == "replace":
        others = Topic.objects.filter(column=column, deleted_at=None).exclude(
            pk__in=[one.pk for one, _s in chosen]
        )
        any_of |= Q(Exists(own.filter(topic__in=list(others.values_list("pk", flat=True)))))
    elif options.topics_mode == "remove":
        any_of |= Q(Exists(own.filter(topic__in=[one.pk for one, _s in chosen])))
    if options.review != "keep":
        any_of |= Q(is_reviewed=options.review != "reviewed")
    condition = any_of & Q(is_empty=False)
    if star and options.highlight != "keep":
        condition |= Q(is_highlighted=options.highlight != "on")
    return condition
