"""Input about several topics at once: which, where to, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from projects.models import Column
from topicassign.errors import ApplicationError
from topics.forms import NEW_CATEGORY, CategoryChoiceForm, ServiceForm
from topics.models import LABEL_CHARS, Topic
from topics.selectors import topic_list

ROLES = ("positive", "neutral", "negative")
START, END = "start", "end"


def topics_chosen(column: Column, wanted: str, *, deleted_too: bool = False) -> list[Topic]:
    """Return the topics that `12,13:version` names, in the order of the screen.

    With `deleted_too` also those that are gone: a form that was sent twice is for the service to answer.
    Raises ApplicationError where none is named (422) or one is not there (409: it was deleted, or never was).
    """
    ids = {pk for pk in (_number(part) for part in wanted.split(",")) if pk is not None}
    if not ids:
        raise ApplicationError(_now("Choose at least one topic."), code="nothing_chosen")
    there = topic_list(column=column, deleted_too=deleted_too)
    found = [topic for topic in there if topic.pk in ids]
    if len(found) < len(ids):
        raise ApplicationError(
            _now("A topic of your selection was deleted meanwhile. Nothing was changed."),
            status=409,
            code="topic_deleted",
        )
    return found


def versions_seen(wanted: str) -> dict[int, str] | None:
    """Return the versions of `12:version,13:version` that the person saw; None where none are named."""
    pairs = (part.split(":", 1) for part in wanted.split(",") if ":" in part)
    seen = {_number(pk): version for pk, version in pairs if version}
    return {pk: version for pk, version in seen.items() if pk is not None} or None


def seen_text(topics: Sequence[Topic]) -> str:
    return ",".join(f"{topic.pk}:{topic.version}" for topic in topics)


def _number(text: str) -> int | None:
    digits = text.split(":", 1)[0].strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None


class MoveForm(CategoryChoiceForm):
    """Where topics go: a category, a new one among them, and its start or end."""

    topics = forms.CharField(widget=forms.HiddenInput)
    place = forms.ChoiceField(
        label=_("Place"),
        choices=[(START, _("at the top")), (END, _("at the bottom"))],
        initial=END,
        widget=forms.RadioSelect,
    )

    def __init__(self, data: Any = None, *, column: Column, topics: Sequence[Topic]) -> None:
        self.chosen = list(topics)
        super().__init__(data, column=column)
        self.fields["category"].widget.attrs["autofocus"] = True

    def first_values(self, column: Column) -> dict[str, Any]:
        others = [pk for pk in self.categories if int(pk) != self.chosen[0].category_id]
        return {"topics": seen_text(self.chosen), "category": others[0] if others else NEW_CATEGORY, "place": END}

    @property
    def expected(self) -> dict[int, str] | None:
        return versions_seen(self.cleaned_data["topics"])

    def values(self) -> dict[str, Any]:
        """Return what `topics_move` takes."""
        category = self.chosen_category
        if isinstance(category, str):
            return {"category": category}
        moved = {topic.pk for topic in self.chosen}
        others = [topic for topic in category.topics.all() if topic.pk not in moved]
        return {
            "category": category,
            "before": others[0] if self.cleaned_data["place"] == START and others else None,
        }


class MergeManyForm(ServiceForm):
    """What becomes of two or more topics: they go into one of them, or up to three become one with sentiment."""

    topics = forms.CharField(widget=forms.HiddenInput)
    target = forms.ChoiceField(label=_("Which one stays?"), widget=forms.Select(attrs={"autofocus": True}))
    how = forms.ChoiceField(
        choices=[("merge", ""), ("combine", "")], initial="merge", required=False, widget=forms.RadioSelect
    )
    label = forms.CharField(
        label=_("Name of the new topic"),
        max_length=LABEL_CHARS,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    unsaid = forms.ChoiceField(
        choices=[("neutral", ""), ("propose", "")], initial="neutral", required=False, widget=forms.RadioSelect
    )

    def __init__(self, data: Any = None, *, topics: Sequence[Topic], target: str = "") -> None:
        self.by_id = {str(topic.pk): topic for topic in topics}
        stays = target if target in self.by_id else str(topics[0].pk)
        self.chosen = list(topics)
        first = {"topics": seen_text(topics), "target": stays, "label": self.by_id[stays].label}
        super().__init__(data, initial=first)
        self.fields["target"].choices = [  # type: ignore[attr-defined]
            (pk, f"{topic.category.label}: {topic.label}") for pk, topic in self.by_id.items()
        ]
        # The first is positive and the last negative; the person says otherwise.
        for topic, role in zip(topics, ROLES if len(topics) > 2 else ("positive", "negative"), strict=False):
            self.fields[f"role-{topic.pk}"] = forms.ChoiceField(
                label=topic.label,
                choices=[("positive", _("positive")), ("neutral", _("neutral")), ("negative", _("negative"))],
                initial=role,
                required=False,
            )

    @property
    def expected(self) -> dict[int, str] | None:
        return versions_seen(self.cleaned_data["topics"])

    @property
    def may_combine(self) -> bool:
        return 2 <= len(self.chosen) <= len(ROLES) and not any(topic.sentiment_enabled for topic in self.chosen)

    @property
    def roles(self) -> list[forms.BoundField]:
        return [self[f"role-{topic.pk}"] for topic in self.chosen] if self.may_combine else []

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("how") != "combine":
            return cleaned
        if not self.may_combine:
            self.add_error(None, _("Only two or three topics without sentiment can be combined."))
            return cleaned
        given = sorted(cleaned.get(f"role-{topic.pk}") or "" for topic in self.chosen)
        if len(set(given)) < len(given) or not {"positive", "negative"} <= set(given):
            self.add_error(None, _("Say which topic is the positive and which the negative version, each once."))
        if not (cleaned.get("label") or "").strip():
            self.add_error("label", _("Give the new topic a name."))
        return cleaned

    @property
    def is_combination(self) -> bool:
        return bool(self.cleaned_data.get("how") == "combine")

    @property
    def kept(self) -> Topic:
        return self.by_id[self.cleaned_data["target"]]

    @property
    def sources(self) -> list[Topic]:
        return [topic for topic in self.chosen if topic.pk != self.kept.pk]

    def side(self, role: str) -> Topic | None:
        """Return the topic that becomes the positive, neutral or negative version."""
        return next((one for one in self.chosen if self.cleaned_data[f"role-{one.pk}"] == role), None)
