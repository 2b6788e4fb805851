"""What an import of codebook entries would do to a topic collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.models import Column
from topicassign.numbers import grouped
from topics.codebook.layout import CodebookError, Entry
from topics.models import Topic
from topics.selectors import category_list, topic_list
from topics.services.base import CODE_FIELDS, SENTIMENT_LABEL_FIELDS, codes_of, field_names


@dataclass
class Planned:
    """What becomes of one entry: `topic` is None for a new one; `changes` says what would be different."""

    entry: Entry
    topic: Topic | None
    values: dict[str, Any]  # of the topic, but for its category
    changes: list[str] = field(default_factory=list)

    @property
    def action(self) -> str:
        return "new" if self.topic is None else "changed" if self.changes else "same"


@dataclass
class Plan:
    topics: list[Planned]
    new_categories: list[str]
    n_untouched: int  # topics of the column that the file does not name

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


def codebook_plan(column: Column, entries: Sequence[Entry]) -> Plan:
    """Return what an import of these entries would do; raises CodebookError where it cannot be done."""
    topics = list(topic_list(column=column))
    categories = {category.label.casefold(): category.label for category in category_list(column=column)}
    matches = _match(entries, topics)
    matched = {topic.pk for topic in matches.values()}
    planned = [_planned(entry, matches.get(entry.key)) for entry in entries]
    errors = _clashes(planned, [topic for topic in topics if topic.pk not in matched])
    errors += _sentiment_errors(planned)
    n_final = len(topics) + sum(one.topic is None for one in planned)
    if n_final > settings.LIMIT_TOPICS:
        errors.append(
            _("There would be %(n_final)s topics; a topic collection may have at most %(limit_topics)s.")
            % {"n_final": n_final, "limit_topics": settings.LIMIT_TOPICS}
        )
    if errors:
        raise CodebookError(errors)
    new_categories: dict[str, str] = {}
    for entry in entries:
        if entry.category.casefold() not in categories:
            new_categories.setdefault(entry.category.casefold(), entry.category)
    return Plan(planned, list(new_categories.values()), len(topics) - len(matched))


def _match(entries: Sequence[Entry], topics: Sequence[Topic]) -> dict[tuple[str, str], Topic]:
    by_key = {(topic.category.label.casefold(), topic.label.casefold()): topic for topic in topics}
    by_code = {code: topic for topic in topics for code in codes_of(topic)}
    by_label: dict[str, list[Topic]] = {}
    for topic in topics:
        by_label.setdefault(topic.label.casefold(), []).append(topic)
    matches = {entry.key: by_key[entry.key] for entry in entries if entry.key in by_key}
    taken = {topic.pk for topic in matches.values()}
    rest = [entry for entry in entries if entry.key not in matches]
    # A code says which topic is meant only if all codes of one entry, and of no other, point to it.
    claims = {
        entry.key: {by_code[code].pk: by_code[code] for code in entry.codes if code in by_code} for entry in rest
    }
    n_claims = Counter(pk for found in claims.values() for pk in found)
    for entry in rest:
        found = list(claims[entry.key].values())
        if len(found) == 1 and found[0].pk not in taken and n_claims[found[0].pk] == 1:
            matches[entry.key] = found[0]
            taken.add(found[0].pk)
    alike = Counter(entry.label.casefold() for entry in entries)
    for entry in rest:
        same = by_label.get(entry.label.casefold(), [])
        is_only_one = len(same) == 1 and alike[entry.label.casefold()] == 1
        if entry.key not in matches and is_only_one and same[0].pk not in taken:
            matches[entry.key] = same[0]
            taken.add(same[0].pk)
    return matches


def _planned(entry: Entry, topic: Topic | None) -> Planned:
    values: dict[str, Any] = {
        "label": entry.label,
        "description": entry.description or (topic.description if topic else ""),
        "sentiment_enabled": entry.has_sentiment or bool(topic and topic.sentiment_enabled),
    }
    for name in SENTIMENT_LABEL_FIELDS:
        values[name] = getattr(entry, name) or (getattr(topic, name) if topic else "")
    for name in CODE_FIELDS:
        given = getattr(entry, name)
        values[name] = given if given is not None or topic is None else getattr(topic, name)
    if not values["sentiment_enabled"]:
        values["code_positive"] = values["code_negative"] = None
    planned = Planned(entry, topic, values)
    if topic is not None:
        planned.changes = _changes(topic, entry, values)
    return planned


def _changes(topic: Topic, entry: Entry, values: dict[str, Any]) -> list[str]:
    changes = []
    if topic.label != entry.label:
        changes.append(_("renamed from %(topic)s") % {"topic": topic.label})
    if topic.category.label.casefold() != entry.category.casefold():
        changes.append(_("moved from %(category)s") % {"category": topic.category.label})
    if values["sentiment_enabled"] and not topic.sentiment_enabled:
        changes.append(_("sentiment switched on"))
    others = [
        name
        for name in ("description", *SENTIMENT_LABEL_FIELDS, *CODE_FIELDS)
        if values[name] != getattr(topic, name)
        and not (name in CODE_FIELDS and values[name] is None)  # filled in when written
    ]
    if others:
        changes.append(_("%(fields)s changed") % {"fields": field_names(others)})
    return changes


def _clashes(planned: Sequence[Planned], others: Sequence[Topic]) -> list[str]:
    """Return what would be there twice in the end: labels in a category, codes in the column."""
    errors = []
    codes = {code: topic.label for topic in others for code in codes_of(topic)}
    labels = {(topic.category.label.casefold(), topic.label.casefold()) for topic in others}
    for one in planned:
        if one.entry.key in labels:
            errors.append(
                _("Line %(line)s: there is already a topic named %(topic)s.")
                % {"line": one.entry.line, "topic": one.entry.label}
            )
        labels.add(one.entry.key)
        for name in CODE_FIELDS:
            code = one.values[name]
            if code is None:
                continue
            if code in codes:
                errors.append(
                    _("Line %(line)s: the code %(code)s of %(topic)s is already used by the topic %(other)s.")
                    % {"line": one.entry.line, "code": code, "topic": one.entry.label, "other": codes[code]}
                )
            codes[code] = one.entry.label
    return errors


def _sentiment_errors(planned: Sequence[Planned]) -> list[str]:
    errors = []
    for one in planned:
        topic = one.topic
        if topic is not None and one.values["sentiment_enabled"] and not topic.sentiment_enabled:
            n_reviewed = topic.assignments.filter(verbatim__is_reviewed=True).count()
            if n_reviewed:
                errors.append(
                    ngettext(
                        "Line %(line)s: %(topic)s is on %(n)s reviewed row without sentiment, so it cannot get "
                        "sentiment. Leave its sentiment empty, or give it another name.",
                        "Line %(line)s: %(topic)s is on %(n)s reviewed rows without sentiment, so it cannot get "
                        "sentiment. Leave its sentiment empty, or give it another name.",
                        n_reviewed,
                    )
                    % {"line": one.entry.line, "topic": topic.label, "n": grouped(n_reviewed)}
                )
    return errors
