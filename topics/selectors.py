"""Reads of the topic collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from projects.models import Column, ColumnType, ProjectState
from projects.selectors import AnyUser, get_column_for_admin, get_column_for_read, project_list
from topics import hooks
from topics.models import Category, Topic

NO_COUNTS = {"positive": 0, "neutral": 0, "negative": 0, "none": 0, "all": 0}


@dataclass
class TopicEntry:
    """A topic with the numbers of rows that have it."""

    topic: Topic
    counts: Mapping[str, int]


@dataclass
class CategoryEntry:
    """A category with its topics; `n` is the number of assignments (not of rows) of its topics."""

    category: Category
    topics: list[TopicEntry] = field(default_factory=list)

    @property
    def n(self) -> int:
        return sum(entry.counts["all"] for entry in self.topics)


def category_list(*, column: Column) -> QuerySet[Category]:
    """Return the live categories of a column in order, their live topics prefetched."""
    topics = Topic.objects.filter(deleted_at=None).order_by("position", "id")
    return (
        Category.objects.filter(column=column, deleted_at=None)
        .order_by("position", "id")
        .prefetch_related(Prefetch("topics", queryset=topics))
    )


def topic_list(*, column: Column, deleted_too: bool = False) -> QuerySet[Topic]:
    """Return the live topics of a column in the order of the screen."""
    topics = column.topics.all() if deleted_too else column.topics.filter(deleted_at=None)
    return topics.select_related("category").order_by("category__position", "category_id", "position", "id")


def most_have_sentiment(column: Column) -> bool:
    """Return whether a new topic starts with sentiment: it starts as most of the others are."""
    enabled = list(column.topics.filter(deleted_at=None).values_list("sentiment_enabled", flat=True))
    return 2 * sum(enabled) >= len(enabled)


def topic_collection(*, column: Column) -> list[CategoryEntry]:
    """Return the categories with their topics and how many rows have each."""
    counts: Mapping[int, Mapping[str, int]] = hooks.topic_counts.first(default={}, column=column)
    return [
        CategoryEntry(
            category,
            [TopicEntry(topic, counts.get(topic.pk, NO_COUNTS)) for topic in category.topics.all()],
        )
        for category in category_list(column=column)
    ]


def columns_with_topics(*, user: AnyUser, besides: Column) -> QuerySet[Column]:
    """Return the other text columns that have topics and that the person may read; `n_topics` says how many."""
    return (
        Column.objects.filter(
            project__in=project_list(user=user),
            project__state=ProjectState.READY,
            type=ColumnType.TEXT_TO_ANALYZE,
        )
        .exclude(pk=besides.pk)
        .annotate(n_topics=Count("topics", filter=Q(topics__deleted_at=None)))
        .filter(n_topics__gt=0)
        .select_related("project")
        .order_by("project__name", "project_id", "position")
    )


def n_rows_with(topics: QuerySet[Topic]) -> tuple[int, int]:
    """Return how many rows have at least one of these topics, and how many of those are reviewed."""
    having = topics.filter(assignments__verbatim__row__deleted_at=None).order_by()
    numbers = having.aggregate(
        n_rows=Count("assignments__verbatim", distinct=True),
        n_reviewed=Count(
            "assignments__verbatim", filter=Q(assignments__verbatim__is_reviewed=True), distinct=True
        ),
    )
    return numbers["n_rows"], numbers["n_reviewed"]


def topics_followed(topic_ids: Iterable[int]) -> dict[int, tuple[Topic, int | None]]:
    """Return where the rows of topics went that were merged or combined: (live topic, sentiment) by their ids.

    What names such a topic (a saved filter, an act before the merge that is undone) goes on with the other one.
    The sentiment is what a row gets that had the topic without one: that of the version with its code, or neutral.
    """
    found: dict[int, tuple[Topic, int | None]] = {}
    topic_ids = list(topic_ids)
    if not topic_ids:
        return found
    at = {topic.pk: topic for topic in Topic.objects.filter(pk__in=topic_ids).exclude(merged_into=None)}
    moods: dict[int, int | None] = dict.fromkeys(at)
    while at:
        targets = Topic.objects.select_related("category").in_bulk(
            [topic.merged_into_id for topic in at.values() if topic.merged_into_id is not None]
        )
        step: dict[int, Topic] = {}
        for pk, topic in at.items():
            target = targets[topic.merged_into_id]
            if not target.sentiment_enabled:
                moods[pk] = None
            elif not topic.sentiment_enabled:
                moods[pk] = next((one for one in (1, -1) if target.code(one) == topic.code_neutral), 0)
            if target.deleted_at is None:
                found[pk] = (target, moods[pk])
            elif target.merged_into_id is not None:
                step[pk] = target
        at = step
    return found


def _topic(topic_id: int) -> Topic:
    topic = Topic.objects.select_related("category", "column").filter(pk=topic_id).first()
    if topic is None:
        raise Http404(_("No such topic."))
    return topic


def get_topic_for_read(user: AnyUser, topic_id: int) -> Topic:
    """Return a live topic of a column the person may read."""
    topic = _topic(topic_id)
    topic.column = get_column_for_read(user, topic.column_id)
    if topic.deleted_at is not None:
        raise Http404(_("This topic was deleted."))
    return topic


def get_topic_for_admin(user: AnyUser, topic_id: int) -> Topic:
    """Return a live topic of a column whose topics the person may change."""
    topic = _topic(topic_id)
    topic.column = get_column_for_admin(user, topic.column_id)
    if topic.deleted_at is not None:
        raise Http404(_("This topic was deleted."))
    return topic


def get_category_for_admin(user: AnyUser, category_id: int) -> Category:
    """Return a live category of a column whose topics the person may change."""
    category = Category.objects.filter(pk=category_id).first()
    if category is None:
        raise Http404(_("No such category."))
    category.column = get_column_for_admin(user, category.column_id)
    if category.deleted_at is not None:
        raise Http404(_("This category was deleted."))
    return category
