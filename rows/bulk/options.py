"""What a bulk action does to each row, as a person chose it in the dialog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from projects.models import Column
from rows.services.reviews import TopicChoice, checked_choices
from topicassign.errors import ApplicationError
from topicassign.templatetags.ui import thousands
from topics.models import Topic

TOPIC_MODES = ("keep", "add", "replace", "remove")
REVIEW_MODES = ("keep", "reviewed", "unreviewed")
HIGHLIGHT_MODES = ("keep", "on", "off")
MAX_TOPICS = 100
_SENTIMENTS = {"1": 1, "0": 0, "-1": -1}


@dataclass(frozen=True)
class BulkOptions:
    """Topics are added, put in the place of all others, or removed; the rest is one choice each."""

    topics_mode: str = "keep"
    topics: tuple[TopicChoice, ...] = ()
    review: str = "keep"
    highlight: str = "keep"
    delete: bool = False

    @classmethod
    def read(cls, data: QueryDict) -> BulkOptions:
        """Read a form. Raises ApplicationError: 400 where it is not one of ours."""
        if data.get("delete") == "1":
            return cls(delete=True)
        modes = {}
        for name, known in (
            ("topics_mode", TOPIC_MODES),
            ("review", REVIEW_MODES),
            ("highlight", HIGHLIGHT_MODES),
        ):
            modes[name] = data.get(name) or "keep"
            if modes[name] not in known:
                raise ApplicationError(_("This form is not one of ours. Open it again."), status=400)
        ids = data.getlist("topic") if modes["topics_mode"] != "keep" else []
        if not all(value.isdecimal() and len(value) < 19 for value in ids) or len(ids) > MAX_TOPICS:
            raise ApplicationError(_("This form names a topic that cannot be. Open it again."), status=400)
        choices = []
        for value in dict.fromkeys(ids):
            sentiment = data.get(f"sentiment-{value}")
            if sentiment is not None and sentiment not in _SENTIMENTS:
                raise ApplicationError(_("Sentiment must be -1, 0 or 1."), status=400)
            choices.append(TopicChoice(int(value), None if sentiment is None else _SENTIMENTS[sentiment]))
        return cls(
            topics_mode=modes["topics_mode"],
            topics=tuple(choices),
            review=modes["review"],
            highlight=modes["highlight"],
        )

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> BulkOptions:
        return cls(**{**stored, "topics": tuple(TopicChoice(*pair) for pair in stored["topics"])})

    def as_json(self) -> dict[str, Any]:
        return {
            "topics_mode": self.topics_mode,
            "topics": [[choice.topic_id, choice.sentiment] for choice in self.topics],
            "review": self.review,
            "highlight": self.highlight,
            "delete": self.delete,
        }

    @property
    def decides(self) -> bool:
        """Say whether topics or the review state change: such acts go to identical rows, too."""
        return self.topics_mode != "keep" or self.review != "keep"

    def check(self) -> None:
        """Raise ApplicationError where nothing would happen whatever the rows are."""
        if self.topics_mode in ("add", "remove") and not self.topics:
            raise ApplicationError(
                _("Choose at least one topic to add.")
                if self.topics_mode == "add"
                else _("Choose at least one topic to remove."),
                code="no_topics",
            )
        if not (self.delete or self.decides or self.highlight != "keep"):
            raise ApplicationError(_("Choose what to change."), code="nothing_chosen")

    def chosen(self, column: Column) -> list[tuple[Topic, int | None]]:
        """Return the topics with the sentiment each will have. Raises ApplicationError if one was deleted."""
        try:
            return checked_choices(list(self.topics), column)
        except ApplicationError as refusal:
            if refusal.code != "topic_missing":
                raise
            raise ApplicationError(
                _("A topic of this bulk action was deleted meanwhile. Open the dialog again and choose anew."),
                status=409,
                code="topic_missing",
            ) from None

    def summary(self, column: Column, n: int) -> str:
        """Return what was done to n rows, for history and notices."""
        parts = []
        if self.delete:
            return ngettext("%(n)s row deleted", "%(n)s rows deleted", n) % {"n": thousands(n)}
        topics = Topic.objects.filter(column=column, pk__in=[choice.topic_id for choice in self.topics])
        labels = ", ".join(topic.label for topic in topics)
        if self.topics_mode == "add":
            parts.append(_("%(topics)s added") % {"topics": labels})
        elif self.topics_mode == "remove":
            parts.append(_("%(topics)s removed") % {"topics": labels})
        elif self.topics_mode == "replace":
            parts.append(_("topics replaced by %(topics)s") % {"topics": labels or _("none")})
        if self.review != "keep":
            parts.append(_("reviewed") if self.review == "reviewed" else _("not reviewed"))
        if self.highlight != "keep":
            parts.append(_("highlighted") if self.highlight == "on" else _("no longer highlighted"))
        rows = ngettext("%(n)s row", "%(n)s rows", n) % {"n": thousands(n)}
        return f"{rows}: {', '.join(parts)}"
