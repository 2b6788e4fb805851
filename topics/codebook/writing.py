"""Codebook entries into a topic collection, as one act that can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column
from topicassign.errors import ApplicationError
from topics import hooks
from topics.codebook.layout import Entry
from topics.codebook.planning import Plan, codebook_plan
from topics.codebook.reading import codebook_read
from topics.models import Category, Topic
from topics.selectors import category_list, topic_list
from topics.services.base import CODE_FIELDS, codes_of, live_column, lock_column, next_code, next_position, tell
from topics.services.categories import category_add
from topics.services.topics import AI_FIELDS, state_of, topic_uncreate


@dataclass
class CodebookResult:
    """What an import did; `change` is None where everything was there already."""

    n_created: int
    n_updated: int
    n_unchanged: int
    n_categories_created: int
    change: Change | None = None


def codebook_import(*, column: Column, file_name: str, content: bytes, user: Any) -> CodebookResult:
    """Read a codebook file and write it into a column's topic collection.

    Raises
    ------
    TableError
        If the file is no table of an accepted kind (see projects.files).
    CodebookError
        If a line is wrong or clashes with the topics that are there; nothing is written.
    """
    return codebook_apply(column=column, entries=codebook_read(file_name, content), user=user)


@transaction.atomic
def codebook_apply(*, column: Column, entries: Sequence[Entry], user: Any) -> CodebookResult:
    """Write a codebook's topics into a column as one act; raises CodebookError and writes nothing if it cannot."""
    column = lock_column(column)
    plan = codebook_plan(column, entries)
    categories = {category.label.casefold(): category for category in category_list(column=column)}
    colors = {entry.category.casefold(): entry.color for entry in reversed(entries) if entry.color}
    for label in plan.new_categories:
        category = category_add(column=column, label=label, color=colors.get(label.casefold(), ""))
        categories[label.casefold()] = category
    _number(column, plan)
    created: list[Topic] = []
    updated: list[dict[str, Any]] = []
    positions: dict[int, int] = {}
    states: list[tuple[Topic, dict[str, Any]]] = []
    for one in plan.topics:
        category = categories[one.entry.category.casefold()]
        if one.topic is None:
            if category.pk not in positions:
                positions[category.pk] = next_position(category.topics.filter(deleted_at=None))
            created.append(Topic(column=column, category=category, position=positions[category.pk], **one.values))
            positions[category.pk] += 1
        else:
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
    result = CodebookResult(
        n_created=len(created),
        n_updated=len(updated),
        n_unchanged=len(plan.topics) - len(created) - len(updated),
        n_categories_created=len(plan.new_categories),
    )
    if not created and not updated and not plan.new_categories:
        return result
    result.change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.CODEBOOK,
        user=user,
        summary=_("Codebook imported: %(new)s topics added, %(changed)s changed")
        % {"new": len(created), "changed": len(updated)},
        inverse={
            "created": [topic.pk for topic in created],
            "categories": [categories[label.casefold()].pk for label in plan.new_categories],
            "updated": updated,
        },
        ids=[topic.pk for topic in created][:1_000],
    )
    for_ai = bool(created) or any(not AI_FIELDS.isdisjoint(one["after"]) for one in updated)
    tell(column, user, for_ai=for_ai)
    return result


def _number(column: Column, plan: Plan) -> None:
    """Give the next free codes to versions without one."""
    given = [code for one in plan.topics for name in CODE_FIELDS if (code := one.values[name]) is not None]
    free = max([next_code(column), *(code + 1 for code in given)])
    for one in plan.topics:
        for name in CODE_FIELDS if one.values["sentiment_enabled"] else CODE_FIELDS[:1]:
            if one.values[name] is None:
                one.values[name] = free
                free += 1


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


@undoes(ChangeKind.CODEBOOK)
def _undo_codebook(change: Change, user: Any) -> None:
    column = live_column(change)
    inverse = change.inverse
    for pk in inverse["created"]:
        if Topic.objects.filter(pk=pk, deleted_at=None).exists():
            topic_uncreate(pk)
    states, disabled = [], []
    for written in inverse["updated"]:
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
    for category in Category.objects.filter(pk__in=inverse["categories"], deleted_at=None):
        if not category.topics.filter(deleted_at=None).exists():
            category.deleted_at = timezone.now()
            category.save(update_fields=["deleted_at"])
    tell(column, user, for_ai=True)


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
