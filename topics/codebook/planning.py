"""What a codebook would do to a topic collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from projects.models import Column
from topicassign.numbers import grouped
from topics import hooks
from topics.codebook.layout import CategorySaid, Codebook, CodebookError, Entry, keywords_join
from topics.models import Category, Topic, state_digest
from topics.selectors import NO_COUNTS, category_list, n_rows_with, topic_list
from topics.services.base import CODE_FIELDS, SENTIMENT_LABEL_FIELDS, codes_of
from topics.services.topics import FIELDS

_TITLES = {
    "label": pgettext_lazy("of a topic", "Name"),
    "category": gettext_lazy("Category"),
    "sentiment_enabled": gettext_lazy("Sentiment"),
    "description": gettext_lazy("Description"),
    "keywords": gettext_lazy("Keywords"),
    "label_neutral": gettext_lazy("Neutral label"),
    "label_positive": gettext_lazy("Positive label"),
    "label_negative": gettext_lazy("Negative label"),
    "code_neutral": gettext_lazy("Code"),
    "code_positive": gettext_lazy("Code, positive"),
    "code_negative": gettext_lazy("Code, negative"),
    "color": gettext_lazy("Colour"),
}


@dataclass
class Edit:
    """A property that gets another value; as a person reads it."""

    field: str
    before: str
    after: str

    @property
    def title(self) -> str:
        return str(_TITLES[self.field])

    def __str__(self) -> str:
        return f"{self.title}: {self.before or '–'} → {self.after or '–'}"


@dataclass
class Planned:
    """What becomes of one entry: `topic` is None for a new one; `edits` say what would be different."""

    entry: Entry
    topic: Topic | None
    values: dict[str, Any]  # of the topic, but for its category
    category: str  # its label
    edits: list[Edit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def action(self) -> str:
        return "new" if self.topic is None else "changed" if self.edits else "same"

    @property
    def codes(self) -> list[int]:
        return [code for name in CODE_FIELDS if (code := self.values[name]) is not None]

    @property
    def is_renamed(self) -> bool:
        return any(edit.field == "label" for edit in self.edits)


@dataclass
class PlannedCategory:
    """What becomes of a category that the source names: `category` is None for a new one."""

    said: CategorySaid
    category: Category | None
    edits: list[Edit] = field(default_factory=list)


@dataclass
class Missing:
    """Topics of the collection that the source does not name. They stay unless the person says otherwise."""

    topics: list[tuple[Topic, int]] = field(default_factory=list)  # with the number of their rows
    categories: list[Category] = field(default_factory=list)  # that would be left without topics
    n_rows: int = 0
    n_reviewed: int = 0

    @property
    def ids(self) -> list[int]:
        return [topic.pk for topic, _n_rows in self.topics]


@dataclass
class Plan:
    topics: list[Planned]
    categories: list[PlannedCategory]
    missing: Missing
    is_reordered: bool = False
    # What keeps it from being written unless the missing topics are deleted.
    only_with_deletion: list[str] = field(default_factory=list)

    def count(self, action: str) -> int:
        return sum(planned.action == action for planned in self.topics)

    @property
    def n_new(self) -> int:
        return self.count("new")

    @property
    def n_changed(self) -> int:
        return self.count("changed")

    @property
    def n_same(self) -> int:
        return self.count("same")

    @property
    def new_categories(self) -> list[str]:
        return [one.said.label for one in self.categories if one.category is None]

    @property
    def changed_categories(self) -> list[PlannedCategory]:
        return [one for one in self.categories if one.edits]

    @property
    def is_same(self) -> bool:
        """Say whether there is nothing to write (but for deleting what is missing)."""
        return not (
            self.n_new or self.n_changed or self.new_categories or self.changed_categories or self.is_reordered
        )


def collection_version(column: Column) -> str:
    """Return a short text that changes with everything of a topic collection that a codebook may write."""
    categories = column.categories.filter(deleted_at=None).order_by("pk")
    topics = column.topics.filter(deleted_at=None).order_by("pk")
    return state_digest(
        list(categories.values_list("pk", "label", "color", "position")),
        list(topics.values_list("pk", "position", *("category_id" if n == "category" else n for n in FIELDS))),
    )


def codebook_plan(column: Column, book: Codebook, *, delete_missing: bool = False) -> Plan:
    """Return what a codebook would do; raises CodebookError where it cannot be done, whatever is deleted."""
    topics = list(topic_list(column=column))
    categories = list(category_list(column=column))
    matches = _match(book, topics)
    matched = {topic.pk for topic in matches.values()}
    others = [topic for topic in topics if topic.pk not in matched]
    planned_categories = _categories(book, categories, topics, matches)
    renamed = {one.category.pk: one.said.label for one in planned_categories if one.category is not None}
    planned = [_planned(book, entry, matches.get(entry.key), renamed, topics) for entry in book.entries]
    always = _sentiment_errors(planned)
    without = _clashes(planned, others) + _limit_errors(len(topics) + sum(one.topic is None for one in planned))
    with_deletion = _clashes(planned, []) + _limit_errors(len(planned))
    errors = always + (with_deletion if delete_missing or not others else without)
    only_with_deletion: list[str] = []
    if errors and others and not delete_missing and not always and not with_deletion:
        errors, only_with_deletion = [], without
    if errors:
        raise CodebookError(errors)
    return Plan(
        planned,
        planned_categories,
        _missing(column, others, categories, planned_categories, planned),
        _is_reordered(book, categories, planned_categories, planned),
        only_with_deletion,
    )


# --- which topic is meant -------------------------------------------------------------------------
def _match(book: Codebook, topics: Sequence[Topic]) -> dict[tuple[str, str], Topic]:
    """Return the topic each entry is about: by code, then category and label, then a label that is there once."""
    matches: dict[tuple[str, str], Topic] = {} if book.is_offer else _match_codes(book.entries, topics)
    taken = {topic.pk for topic in matches.values()}
    by_key = {(topic.category.label.casefold(), topic.label.casefold()): topic for topic in topics}
    by_label: dict[str, list[Topic]] = {}
    for topic in topics:
        by_label.setdefault(topic.label.casefold(), []).append(topic)
    for entry in book.entries:
        found = by_key.get(entry.key)
        if entry.key not in matches and found is not None and found.pk not in taken:
            matches[entry.key] = found
            taken.add(found.pk)
    alike = Counter(entry.label.casefold() for entry in book.entries)
    for entry in book.entries:
        same = by_label.get(entry.label.casefold(), [])
        is_only_one = len(same) == 1 and alike[entry.label.casefold()] == 1
        if entry.key not in matches and is_only_one and same[0].pk not in taken:
            matches[entry.key] = same[0]
            taken.add(same[0].pk)
    return matches


def _match_codes(entries: Sequence[Entry], topics: Sequence[Topic]) -> dict[tuple[str, str], Topic]:
    # Codes say which topic is meant only if all codes of one entry, and of no other, point to it.
    by_code = {code: topic for topic in topics for code in codes_of(topic)}
    claims = {
        entry.key: {by_code[code].pk: by_code[code] for code in entry.codes if code in by_code}
        for entry in entries
    }
    n_claims = Counter(pk for found in claims.values() for pk in found)
    return {
        key: topic
        for key, found in claims.items()
        for pk, topic in found.items()
        if len(found) == 1 and n_claims[pk] == 1
    }


def _categories(
    book: Codebook,
    categories: Sequence[Category],
    topics: Sequence[Topic],
    matches: Mapping[tuple[str, str], Topic],
) -> list[PlannedCategory]:
    """Return what becomes of the categories that the source names.

    A category whose topics all go to one new category, which gets no others, is renamed.
    """
    by_label = {category.label.casefold(): category for category in categories}
    used = _used_categories(book, matches)
    named = [said for said in book.categories if not book.is_offer or said.label.casefold() in used]
    named_labels = {said.label.casefold() for said in named}
    goes_to: dict[int, set[str]] = {}
    comes_from: dict[str, set[int]] = {}
    to = {topic.pk: key[0] for key, topic in matches.items()}
    for topic in topics:
        goes_to.setdefault(topic.category_id, set()).add(to.get(topic.pk, ""))
        comes_from.setdefault(to.get(topic.pk, ""), set()).add(topic.category_id)
    renamed = {}
    for category in categories:
        targets = goes_to.get(category.pk, set())
        if book.is_offer or category.label.casefold() in named_labels or len(targets) != 1:
            continue
        target = next(iter(targets))
        if target and target not in by_label and comes_from[target] == {category.pk}:
            renamed[target] = category
    planned = []
    for said in named:
        found = by_label.get(said.label.casefold()) or renamed.get(said.label.casefold())
        one = PlannedCategory(said, found)
        if found is not None and not book.is_offer:
            if found.label != said.label:
                one.edits.append(Edit("label", found.label, said.label))
            if said.color and found.color != said.color:
                one.edits.append(Edit("color", found.color, said.color))
        planned.append(one)
    return planned


def _used_categories(book: Codebook, matches: Mapping[tuple[str, str], Topic]) -> set[str]:
    """Return the categories of an offer that topics of it come into; what is here already stays where it is."""
    return {entry.category.casefold() for entry in book.entries if entry.key not in matches}


# --- what becomes of a topic ----------------------------------------------------------------------
def _planned(
    book: Codebook,
    entry: Entry,
    topic: Topic | None,
    renamed: Mapping[int, str],
    topics: Sequence[Topic],
) -> Planned:
    values = _offered(entry, topic) if book.is_offer and topic is not None else _said(entry, topic)
    notes: list[str] = []
    if not values["sentiment_enabled"]:
        values["code_positive"] = values["code_negative"] = None
    if book.is_offer and topic is None:
        taken = {code for other in topics for code in codes_of(other)}
        for name in CODE_FIELDS:
            if values[name] in taken:
                values[name] = None
    category = topic.category.label if book.is_offer and topic is not None else entry.category
    planned = Planned(entry, topic, values, category, notes=notes)
    if topic is not None:
        if topic.sentiment_enabled and not entry.has_sentiment and not book.is_offer:
            notes.append(_("keeps its sentiment"))
        planned.edits = _edits(topic, planned, renamed)
    return planned


def _said(entry: Entry, topic: Topic | None) -> dict[str, Any]:
    """Return the values of a topic as the source says them; what it does not say stays."""
    values: dict[str, Any] = {
        "label": entry.label,
        "sentiment_enabled": entry.has_sentiment or bool(topic and topic.sentiment_enabled),
    }
    for name, nothing in (("description", ""), ("keywords", []), *((name, "") for name in SENTIMENT_LABEL_FIELDS)):
        said = getattr(entry, name)
        values[name] = said if said is not None else getattr(topic, name) if topic else nothing
    for name in CODE_FIELDS:
        said = getattr(entry, name)
        values[name] = said if said is not None or topic is None else getattr(topic, name)
    return values


def _offered(entry: Entry, topic: Topic) -> dict[str, Any]:
    """Return the values of a topic that is here already: what it has, and what it lacks from the source."""
    values: dict[str, Any] = {name: getattr(topic, name) for name in ("label", "sentiment_enabled", *CODE_FIELDS)}
    for name in ("description", "keywords"):
        values[name] = getattr(topic, name) or getattr(entry, name) or getattr(topic, name)
    has_labels = any(getattr(topic, name) for name in SENTIMENT_LABEL_FIELDS)
    for name in SENTIMENT_LABEL_FIELDS:
        takes = topic.sentiment_enabled and entry.has_sentiment and not has_labels
        values[name] = (getattr(entry, name) or "") if takes else getattr(topic, name)
    return values


def _edits(topic: Topic, planned: Planned, renamed: Mapping[int, str]) -> list[Edit]:
    """Return what would be different; codes that are filled in when it is written are none."""
    edits = []
    values = planned.values
    category = renamed.get(topic.category_id, topic.category.label)
    if category.casefold() != planned.category.casefold():
        edits.append(Edit("category", topic.category.label, planned.category))
    for name in FIELDS:
        if name == "category":
            continue
        before, after = getattr(topic, name), values[name]
        if before != after and not (name in CODE_FIELDS and after is None):
            edits.append(Edit(name, _as_text(name, before), _as_text(name, after)))
    return edits


def _as_text(name: str, value: Any) -> str:
    if name == "keywords":
        return keywords_join(value)
    if name == "sentiment_enabled":
        return _("on") if value else _("off")
    return "" if value is None else str(value)


# --- what stands against it -----------------------------------------------------------------------
def _clashes(planned: Sequence[Planned], others: Sequence[Topic]) -> list[str]:
    """Return what would be there twice in the end: labels in a category, codes in the column."""
    errors = []
    codes = {code: topic.label for topic in others for code in codes_of(topic)}
    labels = {(topic.category.label.casefold(), topic.label.casefold()) for topic in others}
    for one in planned:
        key = (one.category.casefold(), one.values["label"].casefold())
        if key in labels:
            errors.append(
                one.entry.wrong(_("there is already a topic named %(topic)s.") % {"topic": one.entry.label})
            )
        labels.add(key)
        for code in one.codes:
            if code in codes:
                errors.append(
                    one.entry.wrong(
                        _("the code %(code)s of %(topic)s is already used by the topic %(other)s.")
                        % {"code": code, "topic": one.entry.label, "other": codes[code]}
                    )
                )
            codes[code] = one.entry.label
    return errors


def _limit_errors(n_final: int) -> list[str]:
    if n_final <= settings.LIMIT_TOPICS:
        return []
    return [
        _("There would be %(n_final)s topics; a topic collection may have at most %(limit_topics)s.")
        % {"n_final": n_final, "limit_topics": settings.LIMIT_TOPICS}
    ]


def _sentiment_errors(planned: Sequence[Planned]) -> list[str]:
    errors = []
    for one in planned:
        topic = one.topic
        if topic is not None and one.values["sentiment_enabled"] and not topic.sentiment_enabled:
            n_reviewed = topic.assignments.filter(verbatim__is_reviewed=True).count()
            if n_reviewed:
                message = ngettext(
                    "%(topic)s is on %(n)s reviewed row without sentiment, so it cannot get "
                    "sentiment. Leave its sentiment empty, or give it another name.",
                    "%(topic)s is on %(n)s reviewed rows without sentiment, so it cannot get "
                    "sentiment. Leave its sentiment empty, or give it another name.",
                    n_reviewed,
                )
                errors.append(one.entry.wrong(message % {"topic": topic.label, "n": grouped(n_reviewed)}))
    return errors


# --- what is not in the source, and the order -----------------------------------------------------
def _missing(
    column: Column,
    others: Sequence[Topic],
    categories: Sequence[Category],
    planned_categories: Sequence[PlannedCategory],
    planned: Sequence[Planned],
) -> Missing:
    kept = {one.category.pk for one in planned_categories if one.category is not None}
    filled = {one.category.casefold() for one in planned}
    empty = [one for one in categories if one.pk not in kept and one.label.casefold() not in filled]
    if not others:
        return Missing(categories=empty)
    counts: Mapping[int, Mapping[str, int]] = hooks.topic_counts.first(default={}, column=column)
    n_rows, n_reviewed = n_rows_with(Topic.objects.filter(pk__in=[topic.pk for topic in others]))
    topics = [(topic, counts.get(topic.pk, NO_COUNTS)["all"]) for topic in others]
    return Missing(topics, empty, n_rows, n_reviewed)


def order_wanted(first: Iterable[int], present: Sequence[int]) -> list[int]:
    """Return ids in the order of the source, then those that it does not name as they stood."""
    chosen = list(first)
    return [*chosen, *(pk for pk in present if pk not in set(chosen))]


def _is_reordered(
    book: Codebook,
    categories: Sequence[Category],
    planned_categories: Sequence[PlannedCategory],
    planned: Sequence[Planned],
) -> bool:
    """Say whether what is here already, and stays where it is, would stand in another order."""
    if not book.has_order:
        return False
    present = [category.pk for category in categories]
    if order_wanted((one.category.pk for one in planned_categories if one.category), present) != present:
        return True
    label_of = {one.category.pk: one.said.label.casefold() for one in planned_categories if one.category}
    stays: dict[int, list[int]] = {}
    for one in planned:
        if one.topic is not None and label_of.get(one.topic.category_id) == one.category.casefold():
            stays.setdefault(one.topic.category_id, []).append(one.topic.pk)
    for category in categories:
        there = [topic.pk for topic in category.topics.all()]
        if order_wanted(stays.get(category.pk, []), there) != there:
            return True
    return False
