"""Add, change, order and delete categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column
from topicassign.errors import ApplicationError
from topics import hooks
from topics.models import Category, Topic
from topics.services.base import (
    check_category_label,
    check_topic_label,
    check_version,
    field_names,
    full_clean,
    live_column,
    lock_column,
    next_color,
    next_position,
    tell,
)


@transaction.atomic
def category_create(*, column: Column, label: str, user: Any, color: str = "") -> Category:
    """Add a category at the end; without a colour it gets one the others do not have."""
    column = lock_column(column)
    category = category_add(column=column, label=label, color=color)
    change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.CATEGORY_CREATE,
        user=user,
        summary=_("Category added: %(category)s") % {"category": category.label},
        inverse={"category": category.pk},
        ids=[category.pk],
    )
    tell(column, user, for_ai=False)  # an empty category says nothing to the AI
    return category


def category_add(*, column: Column, label: str, color: str = "") -> Category:
    """Save a new category of a locked column, without a record of its own."""
    category = Category(
        column=column,
        label=check_category_label(column, label),
        color=(color or next_color(column)).lower(),
        position=next_position(column.categories.filter(deleted_at=None)),
    )
    full_clean(category)
    category.save()
    return category


@transaction.atomic
def category_update(
    *,
    category: Category,
    user: Any,
    label: str | None = None,
    color: str | None = None,
    expected: str | None = None,
) -> Change | None:
    """Rename or recolour a category; None arguments stay as they are.

    `expected` is the `version` the person saw; StaleRevisionError if it is not the present one.
    Returns the change, None where nothing is different.
    """
    column = lock_column(category.column)
    _reload(category)
    check_version(category.version, expected, "category")
    before = {"label": category.label, "color": category.color}
    if label is not None:
        category.label = check_category_label(column, label, besides=category)
    if color is not None:
        category.color = color.lower()
    fields = [field for field, value in before.items() if getattr(category, field) != value]
    if not fields:
        return None
    full_clean(category)
    category.save(update_fields=fields)
    renamed = "label" in fields
    if renamed:
        _bump_topics(category)
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.CATEGORY_UPDATE,
        user=user,
        summary=_("Category renamed: %(before)s → %(after)s")
        % {"before": before["label"], "after": category.label}
        if renamed
        else _("Category %(category)s: %(fields)s changed")
        % {"category": category.label, "fields": field_names(fields)},
        inverse={
            "category": category.pk,
            "before": {field: before[field] for field in fields},
            "after": {field: getattr(category, field) for field in fields},
        },
        ids=[category.pk],
    )
    tell(column, user, for_ai=renamed)
    return change


@transaction.atomic
def category_delete(*, category: Category, user: Any) -> Change:
    """Delete a category with its topics. Rows lose these topics; undoing brings all of it back."""
    column = lock_column(category.column)
    _reload(category)
    now = timezone.now()
    topics = list(category.topics.filter(deleted_at=None).values_list("pk", flat=True))
    Topic.objects.filter(pk__in=topics).update(deleted_at=now)
    category.deleted_at = now
    category.save(update_fields=["deleted_at"])
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.CATEGORY_DELETE,
        user=user,
        summary=(
            ngettext(
                "Category deleted: %(category)s with %(n)s topic",
                "Category deleted: %(category)s with %(n)s topics",
                len(topics),
            )
            % {"category": category.label, "n": len(topics)}
            if topics
            else _("Category deleted: %(category)s") % {"category": category.label}
        ),
        inverse={"category": category.pk, "topics": topics},
        ids=[category.pk],
    )
    if topics:
        hooks.sentiments_changed.send(column=column, topic_ids=topics)
    tell(column, user, for_ai=bool(topics))
    return change


@transaction.atomic
def categories_reorder(*, column: Column, category_ids: Sequence[int], user: Any) -> Change | None:
    """Put the categories of a column into the order of `category_ids`, which names each of them once."""
    column = lock_column(column)
    before = list(
        column.categories.filter(deleted_at=None).order_by("position", "id").values_list("pk", flat=True)
    )
    if sorted(before) != sorted(category_ids):
        raise ApplicationError(
            _("The categories changed meanwhile. Load the page again, then order them."), status=409, code="stale"
        )
    if before == list(category_ids):
        return None
    _order(category_ids)
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.CATEGORY_UPDATE,
        user=user,
        summary=_("Categories ordered"),
        inverse={"order": before, "order_after": list(category_ids)},
    )
    tell(column, user, for_ai=False)
    return change


def _order(category_ids: Sequence[int]) -> None:
    for position, pk in enumerate(category_ids):
        Category.objects.filter(pk=pk).update(position=position)


def _reload(category: Category) -> None:
    """Read the category again under the lock; it may be gone."""
    fresh = Category.objects.filter(pk=category.pk, deleted_at=None).first()
    if fresh is None:
        raise ApplicationError(_("This category was deleted meanwhile."), status=404, code="resource_missing")
    category.__dict__.update(fresh.__dict__)


def _bump_topics(category: Category) -> None:
    category.topics.filter(deleted_at=None).update(ai_version=F("ai_version") + 1)


@undoes(ChangeKind.CATEGORY_CREATE)
def _undo_create(change: Change, user: Any) -> None:
    column = live_column(change)
    category = Category.objects.filter(pk=change.inverse["category"], deleted_at=None).first()
    if category is None:
        raise ApplicationError(_("This category was deleted since."), status=409)
    if category.topics.filter(deleted_at=None).exists():
        raise ApplicationError(
            _("The category %(category)s has topics by now. Delete it instead, or move its topics first.")
            % {"category": category.label},
            status=409,
        )
    category.deleted_at = timezone.now()
    category.save(update_fields=["deleted_at"])
    tell(column, user, for_ai=False)


@undoes(ChangeKind.CATEGORY_UPDATE)
def _undo_update(change: Change, user: Any) -> None:
    column = live_column(change)
    if "order" in change.inverse:
        present = list(
            column.categories.filter(deleted_at=None).order_by("position", "id").values_list("pk", flat=True)
        )
        if present != change.inverse["order_after"]:
            raise ApplicationError(_("The categories were changed again since; nothing was undone."), status=409)
        _order(change.inverse["order"])
        tell(column, user, for_ai=False)
        return
    category = Category.objects.filter(pk=change.inverse["category"], deleted_at=None).first()
    if category is None:
        raise ApplicationError(_("This category was deleted since; undo that first."), status=409)
    before, after = change.inverse["before"], change.inverse["after"]
    if any(getattr(category, field) != value for field, value in after.items()):
        raise ApplicationError(
            _("This category was changed again since; undo the later change first."), status=409
        )
    if "label" in before:
        check_category_label(column, before["label"], besides=category)
        _bump_topics(category)
    for field, value in before.items():
        setattr(category, field, value)
    full_clean(category)
    category.save(update_fields=list(before))
    tell(column, user, for_ai="label" in before)


@undoes(ChangeKind.CATEGORY_DELETE)
def _undo_delete(change: Change, user: Any) -> None:
    from topics.services.topics import topic_restore  # both files undo deletions

    column = live_column(change)
    category = Category.objects.get(pk=change.inverse["category"])
    check_category_label(column, category.label)
    category.deleted_at = None
    category.save(update_fields=["deleted_at"])
    topics = list(Topic.objects.filter(pk__in=change.inverse["topics"]).exclude(deleted_at=None))
    for topic in topics:
        check_topic_label(category, topic.label)
        topic_restore(column, topic)
    if topics:
        hooks.sentiments_changed.send(column=column, topic_ids=[topic.pk for topic in topics])
    tell(column, user, for_ai=bool(topics))
