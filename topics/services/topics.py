"""Add, change and delete topics.

A deleted topic keeps its assignments: they are hidden wherever topics are read (`topic.deleted_at`),
so that deleting a topic of 100,000 rows, and undoing it, writes one row. A review of such a row
replaces all its assignments, the hidden ones too; undoing the deletion does not bring those back,
for the person has decided about that row since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column
from topicassign.errors import ApplicationError
from topicassign.numbers import grouped
from topics import hooks
from topics.keywords import keywords_clean
from topics.models import Category, Topic
from topics.services.base import (
    CODE_FIELDS,
    SENTIMENT_LABEL_FIELDS,
    check_codes,
    check_limit,
    check_topic_label,
    check_version,
    clean_label,
    codes_in_use,
    field_names,
    free_codes,
    full_clean,
    live_column,
    lock_column,
    next_position,
    pack_ids,
    tell,
    unpack_ids,
)
from topics.services.categories import category_add

# What a person may set, in the order of the form; `category` is set by its id.
FIELDS = (
    "label", "category", "description", "keywords", "sentiment_enabled", *SENTIMENT_LABEL_FIELDS, *CODE_FIELDS,
)  # fmt: skip
# What the AI reads: changing one of these starts an update (specification S2.7).
AI_FIELDS = frozenset(
    {"label", "category", "description", "keywords", "sentiment_enabled", *SENTIMENT_LABEL_FIELDS}
)
_BATCH = 5_000


@transaction.atomic
def topic_create(
    *,
    column: Column,
    label: str,
    category: Category | str,
    user: Any,
    **fields: Any,
) -> Topic:
    """Add a topic at the end of a category; a category given by its name is added with it.

    `fields` are others of FIELDS; codes left out are the next free ones. Raises ApplicationError for a
    label that is empty, too long or already there, for clashing codes, and over the limit.
    """
    column = lock_column(column)
    topic = topic_add(column=column, label=label, category=category, **fields)
    change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPIC_CREATE,
        user=user,
        summary=_("Topic added: %(category)s: %(topic)s")
        % {"category": topic.category.label, "topic": topic.label},
        inverse={"topic": topic.pk, "category": topic.category_id if isinstance(category, str) else None},
        ids=[topic.pk],
    )
    tell(column, user, for_ai=True)
    return topic


def topic_add(*, column: Column, label: str, category: Category | str, **fields: Any) -> Topic:
    """Save a new topic of a locked column, without a record of its own."""
    check_limit(column)
    category = _live_category(column, category)
    topic = Topic(column=column, category=category, label=check_topic_label(category, label))
    _set(topic, fields)
    check_codes(column, topic)
    topic.position = next_position(category.topics.filter(deleted_at=None))
    full_clean(topic)
    topic.save()
    return topic


@transaction.atomic
def topic_update(*, topic: Topic, user: Any, expected: str | None = None, **fields: Any) -> Change | None:
    """Change properties of a topic; those not named stay as they are. A category given by its name is added.

    Switching sentiment on is refused while the topic is on reviewed rows: nobody has said what their
    sentiment is. Switching it off drops the sentiments of all its rows; undoing brings them back.

    Parameters
    ----------
    expected
        The `version` of the topic that the person saw; StaleRevisionError if it is not the present one.
    fields
        Any of FIELDS. A code of None asks for the next free one.

    Returns the change, None where nothing is different.
    """
    column = lock_column(topic.column)
    _reload(topic)
    check_version(topic.version, expected, "topic")
    label = topic.label
    written = topic_write(column, topic, fields)
    if not written["after"]:
        return None
    changed = list(written["after"])
    for_ai = not AI_FIELDS.isdisjoint(changed)
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPIC_UPDATE,
        user=user,
        summary=_("Topic renamed: %(before)s → %(after)s") % {"before": label, "after": topic.label}
        if "label" in changed
        else _("Topic %(topic)s: %(fields)s changed") % {"topic": label, "fields": field_names(changed)},
        inverse=written,
        ids=[topic.pk],
    )
    tell(column, user, for_ai=for_ai)
    return change


def topic_write(column: Column, topic: Topic, fields: dict[str, Any]) -> dict[str, Any]:
    """Save changed properties of a topic of a locked column; returns what undoing needs."""
    before = state_of(topic)
    if "category" in fields:
        topic.category = _live_category(column, fields["category"])
    moved = topic.category_id != before["category"]
    if "label" in fields or moved:
        topic.label = check_topic_label(topic.category, fields.get("label", topic.label), besides=topic)
    _set(topic, {name: value for name, value in fields.items() if name not in {"label", "category"}})
    if topic.sentiment_enabled and not before["sentiment_enabled"]:
        _refuse_sentiment_on_reviewed(topic)
    check_codes(column, topic)
    after = {name: value for name, value in state_of(topic).items() if value != before[name]}
    written: dict[str, Any] = {"topic": topic.pk, "before": {name: before[name] for name in after}, "after": after}
    if not after:
        return written
    if moved:
        written["before"]["position"] = topic.position
        if isinstance(fields["category"], str):
            written["category_created"] = topic.category_id
        topic.position = next_position(topic.category.topics.filter(deleted_at=None))
    if not AI_FIELDS.isdisjoint(after):
        topic.ai_version += 1
    full_clean(topic)
    topic.save(update_fields=[*after, "position", "ai_version"])
    if before["sentiment_enabled"] and not topic.sentiment_enabled:
        written["sentiments"] = _drop_sentiments(topic)
        hooks.sentiments_changed.send(column=column, topic_ids=[topic.pk])
    return written


@transaction.atomic
def topic_delete(*, topic: Topic, user: Any) -> Change:
    """Delete a topic: the rows that have it lose it. Undoing brings it back to them."""
    column = lock_column(topic.column)
    _reload(topic)
    topic.deleted_at = timezone.now()
    topic.save(update_fields=["deleted_at"])
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPIC_DELETE,
        user=user,
        summary=_("Topic deleted: %(category)s: %(topic)s")
        % {"category": topic.category.label, "topic": topic.label},
        inverse={"topic": topic.pk},
        ids=[topic.pk],
    )
    hooks.sentiments_changed.send(column=column, topic_ids=[topic.pk])
    tell(column, user, for_ai=True)
    return change


def topic_restore(column: Column, topic: Topic) -> None:
    """Bring a deleted topic of a locked column back; codes that were given away meanwhile are replaced."""
    if Topic.objects.filter(column=column, deleted_at=None).count() >= settings.LIMIT_TOPICS:
        check_limit(column)
    taken = codes_in_use(column)
    free = free_codes(column)
    for field in CODE_FIELDS:
        if getattr(topic, field) in taken:
            setattr(topic, field, next(free))
    topic.deleted_at = topic.merged_into = None
    topic.ai_version += 1
    topic.save(update_fields=["deleted_at", "merged_into", "ai_version", *CODE_FIELDS])


def topics_restore(column: Column, topic_ids: Sequence[int]) -> list[Topic]:
    """Bring deleted topics of a locked column back where they were; refused where that cannot be."""
    topics = list(Topic.objects.select_related("category").filter(pk__in=topic_ids))
    if len(topics) < len(topic_ids):
        raise ApplicationError(_("A topic of this act does not exist any more."), status=409)
    for topic in topics:
        if topic.deleted_at is None:
            raise ApplicationError(_("The topic %(topic)s is back already.") % {"topic": topic.label}, status=409)
        if topic.category.deleted_at is not None:
            raise ApplicationError(
                _("The category of %(topic)s was deleted since; undo that first.") % {"topic": topic.label},
                status=409,
            )
        check_topic_label(topic.category, topic.label)
        topic_restore(column, topic)
    return topics


def state_of(topic: Topic) -> dict[str, Any]:
    """Return what a person may set of a topic, as JSON."""
    return {name: getattr(topic, "category_id" if name == "category" else name) for name in FIELDS}


def _set(topic: Topic, fields: dict[str, Any]) -> None:
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise TypeError(f"Topics have no {', '.join(sorted(unknown))}.")
    for name, value in fields.items():
        if name in SENTIMENT_LABEL_FIELDS:
            value = clean_label(value or "")
        elif name == "description":
            value = (value or "").strip().replace("\r\n", "\n").replace("\0", "")
        elif name == "keywords" and value != topic.keywords:  # what is stored already may be more, after a merge
            value = keywords_clean(value)
        setattr(topic, name, value)
    if not topic.sentiment_enabled:
        topic.code_positive = topic.code_negative = None
    labels = [getattr(topic, name).casefold() for name in SENTIMENT_LABEL_FIELDS if getattr(topic, name)]
    if len(labels) != len(set(labels)):
        raise ApplicationError(
            _("Two sentiment labels are the same. Give each its own, or leave them empty."),
            code="sentiment_labels",
            field="label_positive",
        )


def _live_category(column: Column, category: Category | str) -> Category:
    if isinstance(category, str):
        return category_add(column=column, label=category)
    fresh = Category.objects.filter(pk=category.pk, column=column, deleted_at=None).first()
    if fresh is None:
        raise ApplicationError(
            _("The category was deleted meanwhile. Choose another one."), code="category_missing", field="category"
        )
    return fresh


def _reload(topic: Topic) -> None:
    """Read the topic again under the lock; it may be gone."""
    fresh = Topic.objects.select_related("category").filter(pk=topic.pk, deleted_at=None).first()
    if fresh is None:
        raise ApplicationError(_("This topic was deleted meanwhile."), status=404, code="resource_missing")
    topic.__dict__.update(fresh.__dict__)


def _refuse_sentiment_on_reviewed(topic: Topic) -> None:
    n_reviewed = topic.assignments.filter(verbatim__is_reviewed=True).count()
    if n_reviewed:
        raise ApplicationError(
            ngettext(
                "Sentiment cannot be switched on: %(n)s reviewed row has %(topic)s, and nobody said with "
                "which sentiment. Add a new topic with sentiment and review these rows with it, or take "
                "their reviewed mark off first.",
                "Sentiment cannot be switched on: %(n)s reviewed rows have %(topic)s, and nobody said "
                "with which sentiment. Add a new topic with sentiment and review these rows with it, or "
                "take their reviewed mark off first.",
                n_reviewed,
            )
            % {"n": grouped(n_reviewed), "topic": topic.label},
            code="sentiment_reviewed",
            field="sentiment_enabled",
            n_reviewed=n_reviewed,
        )


def _drop_sentiments(topic: Topic) -> dict[str, str]:
    """Take the sentiment off all assignments of a topic; returns who had which."""
    dropped: dict[str, str] = {}
    for sentiment in (1, 0, -1):
        ids = list(topic.assignments.filter(sentiment=sentiment).values_list("verbatim_id", flat=True))
        if ids:
            dropped[str(sentiment)] = pack_ids(ids)
    topic.assignments.exclude(sentiment=None).update(sentiment=None)
    return dropped


def _give_back_sentiments(topic: Topic, dropped: dict[str, str]) -> None:
    """Put sentiments back where the topic still is, without one."""
    for sentiment, packed in dropped.items():
        ids = unpack_ids(packed)
        for start in range(0, len(ids), _BATCH):
            topic.assignments.filter(verbatim__in=ids[start : start + _BATCH], sentiment=None).update(
                sentiment=int(sentiment)
            )


@undoes(ChangeKind.TOPIC_CREATE)
def _undo_create(change: Change, user: Any) -> None:
    column = live_column(change)
    topic_uncreate(change.inverse["topic"])
    delete_if_empty(change.inverse.get("category"))
    tell(column, user, for_ai=True)


def topic_uncreate(topic_id: int) -> None:
    """Take back that a topic was added; refused once people have reviewed rows with it."""
    topic = Topic.objects.filter(pk=topic_id, deleted_at=None).first()
    if topic is None:
        raise ApplicationError(_("This topic was deleted since."), status=409)
    if topic.assignments.filter(verbatim__is_reviewed=True).exists():
        raise ApplicationError(
            _("Rows were reviewed with %(topic)s since. Delete the topic if they shall lose it.")
            % {"topic": topic.label},
            status=409,
        )
    topic.deleted_at = timezone.now()
    topic.save(update_fields=["deleted_at"])
    hooks.sentiments_changed.send(column=topic.column, topic_ids=[topic.pk])


@undoes(ChangeKind.TOPIC_UPDATE)
def _undo_update(change: Change, user: Any) -> None:
    column = live_column(change)
    topic_unwrite(column, change.inverse)
    tell(column, user, for_ai=not AI_FIELDS.isdisjoint(change.inverse["after"]))


def topic_unwrite(column: Column, written: dict[str, Any]) -> None:
    """Take back what `topic_write` did; refused if somebody changed the same since."""
    topic = Topic.objects.select_related("category").filter(pk=written["topic"], deleted_at=None).first()
    if topic is None:
        raise ApplicationError(_("This topic was deleted since; undo that first."), status=409)
    before, after = dict(written["before"]), written["after"]
    present = state_of(topic)
    if any(present[name] != value for name, value in after.items()):
        raise ApplicationError(
            _("The topic %(topic)s was changed again since; undo the later change first.")
            % {"topic": topic.label},
            status=409,
        )
    if "category" in before:
        category = Category.objects.filter(pk=before["category"], deleted_at=None).first()
        if category is None:
            raise ApplicationError(
                _("The topic's former category was deleted since; undo that first."), status=409
            )
        topic.category = category
        topic.position = before.pop("position", topic.position)
        del before["category"]
    if after.get("sentiment_enabled") is False:
        _refuse_sentiment_on_newly_reviewed(topic, written)
    for name, value in before.items():
        setattr(topic, name, value)
    check_topic_label(topic.category, topic.label, besides=topic)
    check_codes(column, topic)
    topic.ai_version += 1
    full_clean(topic)
    topic.save()
    delete_if_empty(written.get("category_created"))
    if after.get("sentiment_enabled") is False:
        _give_back_sentiments(topic, written.get("sentiments", {}))
        hooks.sentiments_changed.send(column=column, topic_ids=[topic.pk])
    elif after.get("sentiment_enabled") is True:
        _drop_sentiments(topic)
        hooks.sentiments_changed.send(column=column, topic_ids=[topic.pk])


def delete_if_empty(category_id: int | None) -> None:
    """Take away a category that came with an act, unless it is used otherwise by now."""
    if category_id is None:
        return
    category = Category.objects.filter(pk=category_id, deleted_at=None).first()
    if category is not None and not category.topics.filter(deleted_at=None).exists():
        category.deleted_at = timezone.now()
        category.save(update_fields=["deleted_at"])


def _refuse_sentiment_on_newly_reviewed(topic: Topic, written: dict[str, Any]) -> None:
    known = {pk for packed in written.get("sentiments", {}).values() for pk in unpack_ids(packed)}
    reviewed = set(topic.assignments.filter(verbatim__is_reviewed=True).values_list("verbatim_id", flat=True))
    n_new = len(reviewed - known)
    if n_new:
        raise ApplicationError(
            ngettext(
                "%(n)s row was reviewed with %(topic)s since, without sentiment. Undo these reviews "
                "first, then its sentiment can come back.",
                "%(n)s rows were reviewed with %(topic)s since, without sentiment. Undo these reviews "
                "first, then its sentiment can come back.",
                n_new,
            )
            % {"n": grouped(n_new), "topic": topic.label},
            status=409,
        )


@undoes(ChangeKind.TOPIC_DELETE)
def _undo_delete(change: Change, user: Any) -> None:
    column = live_column(change)
    topic = Topic.objects.select_related("category").get(pk=change.inverse["topic"])
    if topic.deleted_at is None:
        raise ApplicationError(_("This topic is back already."), status=409)
    if topic.category.deleted_at is not None:
        raise ApplicationError(_("The topic's category was deleted since; undo that first."), status=409)
    check_topic_label(topic.category, topic.label)
    topic_restore(column, topic)
    hooks.sentiments_changed.send(column=column, topic_ids=[topic.pk])
    tell(column, user, for_ai=True)
