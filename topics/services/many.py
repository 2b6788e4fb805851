"""Many topics at once: move and delete. Each is one act with one undo. (Merging: see merging.py.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column
from topicassign.errors import ApplicationError
from topics import hooks
from topics.models import Category, Topic
from topics.selectors import topic_list
from topics.services.base import (
    check_topic_label,
    labels_text,
    live_column,
    lock_column,
    reload_topics,
    same_act,
    tell,
)
from topics.services.categories import category_add
from topics.services.merging import check_together
from topics.services.topics import delete_if_empty, topics_restore


@transaction.atomic
def topics_delete(*, topics: Sequence[Topic], user: Any, expected: Mapping[int, str] | None = None) -> Change:
    """Delete topics: the rows that have them lose them. Undoing brings all of them back.

    Raises ApplicationError (409) where one of them was deleted meanwhile; the same list sent twice is one act.
    """
    column = _column_of(topics)
    asked = sorted({topic.pk for topic in topics})
    if (done := same_act(column, user, ChangeKind.TOPICS_DELETE, asked)) is not None:
        return done
    topics = _in_order(column, reload_topics(column, topics, expected))
    Topic.objects.filter(pk__in=asked).update(deleted_at=timezone.now())
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPICS_DELETE,
        user=user,
        summary=_("Topics deleted: %(topics)s") % {"topics": labels_text(topics, 5)},
        inverse={"asked": asked, "topics": asked},
        ids=asked,
    )
    hooks.sentiments_changed.send(column=column, topic_ids=asked)
    tell(column, user, for_ai=True)
    return change


def topic_move(
    *,
    topic: Topic,
    user: Any,
    category: Category | None = None,
    before: Topic | None = None,
    expected: str | None = None,
) -> Change | None:
    """Put a topic before another one, or to the end of a category (its own unless given)."""
    return topics_move(
        topics=[topic],
        user=user,
        category=category or (before.category if before is not None else topic.category),
        before=before,
        expected={topic.pk: expected} if expected is not None else None,
    )


@transaction.atomic
def topics_move(
    *,
    topics: Sequence[Topic],
    category: Category | str,
    user: Any,
    before: Topic | None = None,
    expected: Mapping[int, str] | None = None,
) -> Change | None:
    """Move topics into a category, before one of its topics or to the end; they keep their order.

    A category given by its name is added, and undoing takes it away again. Returns the change, None where all of
    them stand there already.

    Raises
    ------
    ApplicationError
        If a topic or the category was deleted meanwhile (409), or the category has, or would have, two topics of
        one name.
    """
    column = _column_of(topics)
    topics = _in_order(column, reload_topics(column, topics, expected))
    is_new = isinstance(category, str)
    category = (
        category_add(column=column, label=category)
        if isinstance(category, str)
        else _live_category(column, category)
    )
    moved = {topic.pk for topic in topics}
    _check_labels(category, topics)
    orders = {pk: _order_of(pk) for pk in {category.pk, *(topic.category_id for topic in topics)}}
    order = _with_moved(orders[category.pk], [topic.pk for topic in topics], before)
    came = [topic for topic in topics if topic.category_id != category.pk]
    if not came and order == orders[category.pk]:
        return None
    former = {str(topic.pk): topic.category_id for topic in topics}
    for topic in came:
        topic.category = category
        topic.ai_version += 1
        topic.save(update_fields=["category", "ai_version"])
    _number(order)
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPICS_MOVE,
        user=user,
        summary=_("Topics moved to %(category)s: %(topics)s")
        % {"category": category.label, "topics": labels_text(topics, 5)}
        if came
        else _("Topics of %(category)s ordered") % {"category": category.label},
        inverse={
            "category": category.pk,
            "former": former,
            "orders": {str(pk): ids for pk, ids in orders.items()},
            "category_created": category.pk if is_new else None,
        },
        ids=sorted(moved),
    )
    tell(column, user, for_ai=bool(came))
    return change


def _column_of(topics: Sequence[Topic]) -> Column:
    if not topics:
        raise ApplicationError(_("Choose at least one topic."), code="nothing_chosen")
    check_together(topics)
    return lock_column(topics[0].column)


def _in_order(column: Column, topics: Sequence[Topic]) -> list[Topic]:
    """Return topics in the order of the screen, each once."""
    by_id = {topic.pk: topic for topic in topics}
    return [by_id[pk] for pk in topic_list(column=column).values_list("pk", flat=True) if pk in by_id]


def _live_category(column: Column, category: Category) -> Category:
    fresh = Category.objects.filter(pk=category.pk, column=column, deleted_at=None).first()
    if fresh is None:
        raise ApplicationError(
            _("The category was deleted meanwhile. Choose another one."), status=409, code="category_missing"
        )
    return fresh


def _check_labels(category: Category, topics: Sequence[Topic]) -> None:
    seen: set[str] = set()
    for topic in topics:
        check_topic_label(category, topic.label, besides=topic)
        if topic.label.casefold() in seen:
            raise ApplicationError(
                _("Two of these topics are named %(topic)s; a category can have one. Rename or merge them.")
                % {"topic": topic.label},
                code="topic_exists",
            )
        seen.add(topic.label.casefold())


def _order_of(category_id: int) -> list[int]:
    topics = Topic.objects.filter(category=category_id, deleted_at=None).order_by("position", "id")
    return list(topics.values_list("pk", flat=True))


def _with_moved(order: Sequence[int], moved: Sequence[int], before: Topic | None) -> list[int]:
    """Return an order with topics put before one, or at the end."""
    rest = [pk for pk in order if pk not in moved]
    if before is None:
        return [*rest, *moved]
    if before.pk not in order:
        raise ApplicationError(
            _("The topic %(topic)s is not in this category any more. Load the page again, then move.")
            % {"topic": before.label},
            status=409,
            code="stale",
        )
    after = [pk for pk in order[order.index(before.pk) :] if pk not in moved]
    return [*rest[: len(rest) - len(after)], *moved, *after]


def _number(order: Sequence[int]) -> None:
    topics = {topic.pk: topic for topic in Topic.objects.filter(pk__in=order)}
    changed = []
    for position, pk in enumerate(order):
        if topics[pk].position != position:
            topics[pk].position = position
            changed.append(topics[pk])
    Topic.objects.bulk_update(changed, ["position"], batch_size=500)


@undoes(ChangeKind.TOPICS_DELETE)
def _undo_delete(change: Change, user: Any) -> None:
    column = live_column(change)
    topics_restore(column, change.inverse["topics"])
    hooks.sentiments_changed.send(column=column, topic_ids=change.inverse["topics"])
    tell(column, user, for_ai=True)


@undoes(ChangeKind.TOPICS_MOVE)
def _undo_move(change: Change, user: Any) -> None:
    """Put topics back to where they were among those that are there now."""
    column = live_column(change)
    inverse = change.inverse
    former = {int(pk): category for pk, category in inverse["former"].items()}
    topics = list(Topic.objects.filter(pk__in=list(former), column=column, deleted_at=None))
    if len(topics) < len(former):
        raise ApplicationError(_("A topic of this act was deleted since; undo that first."), status=409)
    if any(topic.category_id != inverse["category"] for topic in topics):
        raise ApplicationError(
            _("A topic of this act was moved again since; undo the later change first."), status=409
        )
    by_category: dict[int, list[Topic]] = {}
    for topic in topics:
        by_category.setdefault(former[topic.pk], []).append(topic)
    categories = {
        category.pk: category for category in Category.objects.filter(pk__in=list(by_category), deleted_at=None)
    }
    if len(categories) < len(by_category):
        raise ApplicationError(
            _("A category that the topics came from was deleted since; undo that first."), status=409
        )
    for pk, several in by_category.items():
        for topic in several:
            if pk != topic.category_id:
                check_topic_label(categories[pk], topic.label)
                topic.category = categories[pk]
                topic.ai_version += 1
                topic.save(update_fields=["category", "ai_version"])
        _number(_as_before(_order_of(pk), inverse["orders"][str(pk)], {topic.pk for topic in several}))
    delete_if_empty(inverse.get("category_created"))
    tell(column, user, for_ai=any(pk != inverse["category"] for pk in by_category))


def _as_before(present: Sequence[int], then: Sequence[int], moved: set[int]) -> list[int]:
    """Return the present order with the moved ones each after the topic that it stood after."""
    order = [pk for pk in present if pk not in moved]
    for place, pk in enumerate(then):
        if pk not in moved:
            continue
        earlier = (order.index(one) for one in reversed(then[:place]) if one in order)
        order.insert(next(earlier, -1) + 1, pk)
    return order
