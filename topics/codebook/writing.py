"""A codebook into a topic collection, as one act that can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column
from topicassign.errors import ApplicationError, StaleRevisionError
from topics import hooks
from topics.codebook.layout import Codebook, CodebookError
from topics.codebook.planning import Plan, codebook_plan, collection_version, order_wanted
from topics.codebook.reading import codebook_read
from topics.models import Category, Topic
from topics.selectors import category_list, topic_list
from topics.services.base import (
    CODE_FIELDS,
    check_category_label,
    codes_of,
    free_codes,
    live_column,
    lock_column,
    next_position,
    tell,
)
from topics.services.categories import category_add
from topics.services.topics import AI_FIELDS, state_of, topic_uncreate, topics_restore


@dataclass
class CodebookResult:
    """What an import did; `change` is None where everything was there already."""

    n_created: int
    n_updated: int
    n_unchanged: int
    n_categories_created: int
    n_deleted: int = 0
    change: Change | None = None


def codebook_import(*, column: Column, file_name: str, content: bytes, user: Any) -> CodebookResult:
    """Read a codebook file and write it into a column's topic collection.

    Raises
    ------
    TableError
        If the file is no table of an accepted kind (see projects.files).
    CodebookError
        If a line or topic is wrong or clashes with the topics that are there; nothing is written.
    """
    return codebook_apply(column=column, book=codebook_read(file_name, content), user=user)


@transaction.atomic
def codebook_apply(
    *,
    column: Column,
    book: Codebook,
    user: Any,
    expected: str = "",
    delete_missing: bool = False,
) -> CodebookResult:
    """Write a codebook's topics into a column as one act.

    Parameters
    ----------
    expected
        The `collection_version` that the person saw; StaleRevisionError if the collection is another by now.
    delete_missing
        Whether topics go that the source does not name, and categories that it leaves empty.

    Raises CodebookError, and writes nothing, if it cannot be done.
    """
    column = lock_column(column)
    is_stale = bool(expected) and expected != collection_version(column)
    try:
        plan = codebook_plan(column, book, delete_missing=delete_missing)
    except CodebookError:
        if is_stale:
            raise _stale() from None
        raise
    result = CodebookResult(plan.n_new, plan.n_changed, plan.n_same, len(plan.new_categories))
    if plan.is_same and not (delete_missing and plan.missing.topics):
        return result  # a form that was sent twice, too
    if is_stale:
        raise _stale()
    if plan.only_with_deletion:
        raise CodebookError(plan.only_with_deletion)
    inverse: dict[str, Any] = {"positions": {}}
    before = {topic.pk: topic.position for topic in topic_list(column=column)}
    inverse["deleted"] = _delete(plan) if delete_missing else []
    result.n_deleted = len(inverse["deleted"])
    categories = _write_categories(column, plan, inverse)
    _number(column, plan)
    created = _write_topics(column, plan, categories, inverse)
    inverse["categories_deleted"] = _delete_categories(plan) if delete_missing else []
    if book.has_order:
        _order(column, plan, categories, inverse)
    after = {topic.pk: topic.position for topic in topic_list(column=column)}
    inverse["positions"] = {pk: position for pk, position in before.items() if after.get(pk, position) != position}
    result.change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.CODEBOOK,
        user=user,
        summary=f"{_origin(book)}: {result_text(result)}"[:300],
        inverse=inverse,
        ids=[topic.pk for topic in created][:1_000],
    )
    renamed = any("label" in one["after"] for one in inverse["categories_updated"])
    for_ai = bool(created or inverse["deleted"] or renamed) or any(
        not AI_FIELDS.isdisjoint(one["after"]) for one in inverse["updated"]
    )
    if inverse["deleted"]:
        hooks.sentiments_changed.send(column=column, topic_ids=inverse["deleted"])
    tell(column, user, for_ai=for_ai)
    return result


def result_text(result: CodebookResult) -> str:
    """Return what an import did as a clause: 3 topics added, 1 changed, 2 deleted."""
    n_new, n_changed, n_deleted = result.n_created, result.n_updated, result.n_deleted
    parts = [
        ngettext("%(n)s topic added", "%(n)s topics added", n_new) % {"n": n_new},
        ngettext("%(n)s changed", "%(n)s changed", n_changed) % {"n": n_changed},
    ]
    if n_deleted:
        parts.append(ngettext("%(n)s deleted", "%(n)s deleted", n_deleted) % {"n": n_deleted})
    return ", ".join(parts)


def _origin(book: Codebook) -> str:
    if book.kind == "template":
        return _("Topics from the template %(title)s") % {"title": book.title}
    if book.kind == "project":
        return _("Topics from %(title)s") % {"title": book.title}
    return _("Codebook imported")


def _stale() -> StaleRevisionError:
    return StaleRevisionError(
        _("The topic collection was changed since you looked at this preview. Nothing was written.")
    )


# --- writing --------------------------------------------------------------------------------------
def _delete(plan: Plan) -> list[int]:
    Topic.objects.filter(pk__in=plan.missing.ids).update(deleted_at=timezone.now())
    return plan.missing.ids


def _delete_categories(plan: Plan) -> list[int]:
    ids = [category.pk for category in plan.missing.categories]
    Category.objects.filter(pk__in=ids).update(deleted_at=timezone.now())
    return ids


def _write_categories(column: Column, plan: Plan, inverse: dict[str, Any]) -> dict[str, Category]:
    """Rename, recolour and add categories; returns the live ones by their label."""
    inverse["categories_updated"] = []
    for one in plan.changed_categories:
        assert one.category is not None
        before = {edit.field: edit.before for edit in one.edits}
        after = {edit.field: edit.after for edit in one.edits}
        Category.objects.filter(pk=one.category.pk).update(**after)
        if "label" in after:
            Topic.objects.filter(category=one.category.pk, deleted_at=None).update(ai_version=F("ai_version") + 1)
        inverse["categories_updated"].append({"category": one.category.pk, "before": before, "after": after})
    categories = {category.label.casefold(): category for category in category_list(column=column)}
    inverse["categories"] = []
    for one in plan.categories:
        if one.category is None:
            category = category_add(column=column, label=one.said.label, color=one.said.color)
            categories[one.said.label.casefold()] = category
            inverse["categories"].append(category.pk)
    return categories


def _write_topics(
    column: Column, plan: Plan, categories: dict[str, Category], inverse: dict[str, Any]
) -> list[Topic]:
    created: list[Topic] = []
    updated: list[dict[str, Any]] = []
    positions: dict[int, int] = {}
    states: list[tuple[Topic, dict[str, Any]]] = []
    for one in plan.topics:
        category = categories[one.category.casefold()]
        if one.topic is None:
            if category.pk not in positions:
                positions[category.pk] = next_position(category.topics.filter(deleted_at=None))
            created.append(Topic(column=column, category=category, position=positions[category.pk], **one.values))
            positions[category.pk] += 1
            continue
        after = {**one.values, "category": category.pk}
        before = {name: value for name, value in state_of(one.topic).items() if name in after}
        names = [name for name in after if after[name] != before[name]]
        if names:
            states.append((one.topic, {name: after[name] for name in names}))
            updated.append(
                {
                    "topic": one.topic.pk,
                    "before": {name: before[name] for name in names},
                    "after": {name: after[name] for name in names},
                }
            )
    write_states(states)
    for topic in created:
        topic.save()
    inverse["created"] = [topic.pk for topic in created]
    inverse["updated"] = updated
    return created


def _number(column: Column, plan: Plan) -> None:
    """Give the next free codes to versions without one."""
    free = free_codes(column, besides=[code for one in plan.topics for code in one.codes])
    for one in plan.topics:
        for name in CODE_FIELDS if one.values["sentiment_enabled"] else CODE_FIELDS[:1]:
            if one.values[name] is None:
                one.values[name] = next(free)


def _order(column: Column, plan: Plan, categories: dict[str, Category], inverse: dict[str, Any]) -> None:
    """Put categories and topics into the order of the source; what it does not name follows as it stood."""
    present = list(category_list(column=column))
    wanted = order_wanted(
        (categories[one.said.label.casefold()].pk for one in plan.categories),
        [category.pk for category in present],
    )
    before = {category.pk: category.position for category in present}
    _put_positions(Category, dict(zip(wanted, range(len(wanted)), strict=True)))
    inverse["category_positions"] = before
    topics: dict[str, list[int]] = {}
    by_label = {
        (topic.category_id, topic.label): topic.pk for category in present for topic in category.topics.all()
    }
    for one in plan.topics:
        category = categories[one.category.casefold()]
        topics.setdefault(one.category.casefold(), []).append(by_label[category.pk, one.values["label"]])
    for label, first in topics.items():
        there = next(one for one in present if one.pk == categories[label].pk)
        order = order_wanted(first, [topic.pk for topic in there.topics.all()])
        _put_positions(Topic, dict(zip(order, range(len(order)), strict=True)))


def _put_positions(model: type[Category] | type[Topic], positions: dict[int, int]) -> None:
    for one in model.objects.filter(pk__in=list(positions)):
        if one.position != positions[one.pk]:
            model.objects.filter(pk=one.pk).update(position=positions[one.pk])


def write_states(states: Iterable[tuple[Topic, dict[str, Any]]]) -> None:
    """Save several topics that may swap labels among themselves: first out of the way, then the final values."""
    states = list(states)
    for topic, values in states:
        if "label" in values or "category" in values:
            Topic.objects.filter(pk=topic.pk).update(label=f"\u2026{topic.pk}")
    for topic, values in states:
        moved = values.get("category", topic.category_id) != topic.category_id
        for name, value in values.items():
            setattr(topic, "category_id" if name == "category" else name, value)
        if moved:
            topic.position = next_position(Topic.objects.filter(category=topic.category_id, deleted_at=None))
        if not AI_FIELDS.isdisjoint(values):
            topic.ai_version += 1
        topic.save()


# --- undoing --------------------------------------------------------------------------------------
@undoes(ChangeKind.CODEBOOK)
def _undo_codebook(change: Change, user: Any) -> None:
    column = live_column(change)
    inverse = change.inverse
    for pk in inverse["created"]:
        if Topic.objects.filter(pk=pk, deleted_at=None).exists():
            topic_uncreate(pk)
    _undo_categories(column, inverse)
    _undo_updates(column, inverse["updated"])
    deleted = inverse.get("deleted", [])
    if deleted:
        topics_restore(column, deleted)
        hooks.sentiments_changed.send(column=column, topic_ids=deleted)
    for category in Category.objects.filter(pk__in=inverse["categories"], deleted_at=None):
        if not category.topics.filter(deleted_at=None).exists():
            category.deleted_at = timezone.now()
            category.save(update_fields=["deleted_at"])
    _put_positions(Topic, {int(pk): position for pk, position in inverse.get("positions", {}).items()})
    _put_positions(Category, {int(pk): position for pk, position in inverse.get("category_positions", {}).items()})
    tell(column, user, for_ai=True)


def _undo_categories(column: Column, inverse: dict[str, Any]) -> None:
    """Give categories their former names and colours, and bring those back that went."""
    for pk in inverse.get("categories_deleted", []):
        category = Category.objects.filter(pk=pk).exclude(deleted_at=None).first()
        if category is not None:
            check_category_label(column, category.label)
            category.deleted_at = None
            category.save(update_fields=["deleted_at"])
    for written in inverse.get("categories_updated", []):
        category = Category.objects.filter(pk=written["category"], deleted_at=None).first()
        if category is None or any(getattr(category, name) != value for name, value in written["after"].items()):
            raise ApplicationError(
                _("The category %(category)s was changed since; undo the later change first.")
                % {"category": written["after"].get("label") or (category.label if category else "")},
                status=409,
            )
        if "label" in written["before"]:
            check_category_label(column, written["before"]["label"], besides=category)
            category.topics.filter(deleted_at=None).update(ai_version=F("ai_version") + 1)
        for name, value in written["before"].items():
            setattr(category, name, value)
        category.save(update_fields=list(written["before"]))


def _undo_updates(column: Column, updated: Sequence[dict[str, Any]]) -> None:
    states, disabled = [], []
    for written in updated:
        topic = Topic.objects.select_related("category").filter(pk=written["topic"], deleted_at=None).first()
        if topic is None:
            raise ApplicationError(_("A topic of this codebook was deleted since; undo that first."), status=409)
        present = state_of(topic)
        if any(present[name] != value for name, value in written["after"].items()):
            raise ApplicationError(
                _("The topic %(topic)s was changed since; undo the later change first.") % {"topic": topic.label},
                status=409,
            )
        if written["after"].get("sentiment_enabled"):
            disabled.append(topic)
        states.append((topic, written["before"]))
    _refuse_taken(column, states)
    write_states(states)
    for topic in disabled:
        topic.assignments.exclude(sentiment=None).update(sentiment=None)
    if disabled:
        hooks.sentiments_changed.send(column=column, topic_ids=[topic.pk for topic in disabled])


def _refuse_taken(column: Column, states: Sequence[tuple[Topic, dict[str, Any]]]) -> None:
    """Refuse to undo where a former label or code was given to another topic since."""
    undone = {topic.pk for topic, _ in states}
    others = [topic for topic in topic_list(column=column) if topic.pk not in undone]
    codes = {code: topic.label for topic in others for code in codes_of(topic)}
    labels = {(topic.category_id, topic.label.casefold()) for topic in others}
    live = set(column.categories.filter(deleted_at=None).values_list("pk", flat=True))
    for topic, before in states:
        category = before.get("category", topic.category_id)
        label = before.get("label", topic.label)
        taken = (category, label.casefold()) in labels or any(before.get(name) in codes for name in CODE_FIELDS)
        if taken or category not in live:
            raise ApplicationError(
                _("The former label, category or code of %(label)s is used otherwise by now; nothing was undone.")
                % {"label": label},
                status=409,
            )
