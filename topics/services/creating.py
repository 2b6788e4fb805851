"""Many topics at once, given by name: one act with one undo. For proposals, templates and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column
from topicassign.errors import ApplicationError
from topicassign.numbers import grouped
from topics import hooks
from topics.models import CATEGORY_CHARS, DESCRIPTION_CHARS, LABEL_CHARS, Category, Topic
from topics.services.base import (
    CODE_FIELDS,
    check_label,
    check_limit,
    free_codes,
    labels_text,
    live_column,
    lock_column,
    next_position,
    tell,
)
from topics.services.categories import category_add
from topics.services.topics import delete_if_empty


@dataclass(frozen=True)
class NewTopic:
    """A topic to add, its category by name: a category of that name is used, else added with it."""

    label: str
    category: str
    description: str = ""
    sentiment_enabled: bool = False


@transaction.atomic
def topics_create(*, column: Column, topics: Sequence[NewTopic], user: Any, summary: str = "") -> Change:
    """Add topics, each at the end of its category, with the next free codes; all or none.

    Returns the change; its `ids` are the new topics, in the order given.

    Raises
    ------
    ApplicationError
        Without topics; over the limit; for a label that is empty, too long, twice or already in its category.
    """
    if not topics:
        raise ApplicationError(_("Choose at least one topic."), code="nothing_chosen")
    column = lock_column(column)
    check_limit(column, len(topics))
    categories = {one.label.casefold(): one for one in column.categories.filter(deleted_at=None)}
    added: list[int] = []
    taken: dict[int, set[str]] = {}
    for category_id, label in column.topics.filter(deleted_at=None).values_list("category", "label"):
        taken.setdefault(category_id, set()).add(label.casefold())
    positions: dict[int, int] = {}
    codes = free_codes(column)
    made: list[Topic] = []
    for new in topics:
        category = _category(column, new.category, categories, added)
        label = check_label(new.label, what="topic", most=LABEL_CHARS)
        if label.casefold() in taken.setdefault(category.pk, set()):
            raise ApplicationError(
                _("There is already a topic named %(label)s in the category %(category)s.")
                % {"label": label, "category": category.label},
                code="topic_exists",
                field="label",
            )
        taken[category.pk].add(label.casefold())
        if category.pk not in positions:
            positions[category.pk] = next_position(category.topics.filter(deleted_at=None))
        topic = Topic(
            column=column,
            category=category,
            label=label,
            description=_description(new.description),
            sentiment_enabled=new.sentiment_enabled,
            position=positions[category.pk],
        )
        positions[category.pk] += 1
        for field in CODE_FIELDS if new.sentiment_enabled else CODE_FIELDS[:1]:
            setattr(topic, field, next(codes))
        made.append(topic)
    made = Topic.objects.bulk_create(made, batch_size=500)
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPICS_CREATE,
        user=user,
        summary=summary
        or ngettext("%(n)s topic added: %(topics)s", "%(n)s topics added: %(topics)s", len(made))
        % {"n": grouped(len(made)), "topics": labels_text(made, 5)},
        inverse={"topics": [topic.pk for topic in made], "categories": added},
        ids=[topic.pk for topic in made],
    )
    tell(column, user, for_ai=True)
    return change


def labels_taken(column: Column) -> Mapping[tuple[str, str], Topic]:
    """Return the live topics by (category, label) in small letters: what `topics_create` would refuse."""
    topics = Topic.objects.filter(column=column, deleted_at=None).select_related("category")
    return {(topic.category.label.casefold(), topic.label.casefold()): topic for topic in topics}


def _category(column: Column, label: str, known: dict[str, Category], added: list[int]) -> Category:
    key = check_label(label, what="category", most=CATEGORY_CHARS).casefold()
    if key not in known:
        known[key] = category_add(column=column, label=label)
        added.append(known[key].pk)
    return known[key]


def _description(text: str) -> str:
    text = text.strip().replace("\r\n", "\n").replace("\0", "")
    if len(text) > DESCRIPTION_CHARS:
        raise ApplicationError(
            _("A description may have at most %(most)s characters, this one has %(n)s.")
            % {"most": grouped(DESCRIPTION_CHARS), "n": grouped(len(text))},
            code="description_too_long",
            field="description",
        )
    return text


@undoes(ChangeKind.TOPICS_CREATE)
def _undo_create(change: Change, user: Any) -> None:
    """Take all of them back that are still there; refused once people have reviewed rows with one."""
    column = live_column(change)
    topics = list(Topic.objects.filter(pk__in=change.inverse["topics"], deleted_at=None))
    if not topics:
        raise ApplicationError(_("These topics were deleted since."), status=409)
    reviewed = next((one for one in topics if one.assignments.filter(verbatim__is_reviewed=True).exists()), None)
    if reviewed is not None:
        raise ApplicationError(
            _("Rows were reviewed with %(topic)s since. Delete the topics if they shall lose them.")
            % {"topic": reviewed.label},
            status=409,
        )
    ids = [topic.pk for topic in topics]
    Topic.objects.filter(pk__in=ids).update(deleted_at=timezone.now())
    for category_id in change.inverse["categories"]:
        delete_if_empty(category_id)
    hooks.sentiments_changed.send(column=column, topic_ids=ids)
    tell(column, user, for_ai=True)
