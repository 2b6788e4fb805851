"""Input about splitting a topic: the names of its halves, and rows that are examples of them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from topics.forms import ServiceForm
from topics.models import LABEL_CHARS, Topic

MOST_EXAMPLES = 300
STAYS, GOES = "a", "b"


class SplitForm(ServiceForm):
    """Names of both halves; the examples are fields `half-ID`, the confirmed rows `confirm`."""

    label_a = forms.CharField(
        label=_("The old topic is called"),
        max_length=LABEL_CHARS,
        error_messages={"required": _("Give the topic a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    label = forms.CharField(
        label=_("The new topic is called"),
        max_length=LABEL_CHARS,
        error_messages={"required": _("Give the new topic a name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    version = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, topic: Topic) -> None:
        self.topic = topic
        super().__init__(data, initial={"label_a": topic.label, "version": topic.version})

    @property
    def halves(self) -> dict[int, str]:
        """Return the half that the person gave rows, by their ids, in the order of the form."""
        given = {
            _number(name.removeprefix("half-")): value
            for name, value in (self.data or {}).items()
            if name.startswith("half-") and value in {STAYS, GOES}
        }
        return {pk: half for pk, half in list(given.items())[:MOST_EXAMPLES] if pk is not None}

    def examples(self, half: str) -> list[int]:
        return [pk for pk, own in self.halves.items() if own == half]

    @property
    def confirmed(self) -> list[int]:
        """Return the reviewed rows that the person gives the new half as the AI proposed."""
        given = self.data.getlist("confirm") if isinstance(self.data, QueryDict) else []
        return [pk for pk in map(_number, given) if pk is not None]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.examples(GOES) or not self.examples(STAYS):
            self.add_error(None, _("Say of at least one row that it stays, and of one that it goes."))
        return cleaned


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
