"""What a review form says, for the sidebar and focus mode alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.core.signing import Signer
from django.http import QueryDict
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from projects.history import can_undo
from projects.models import Change, ChangeKind, Column
from projects.selectors import may_undo
from rows import hooks
from rows.models import Assignment, Verbatim
from rows.services.reviews import TopicChoice
from topicassign.errors import ApplicationError
from topics.models import Topic

# One key for rows served in order, one for rows drawn at random: a token does not tell which of them it is.
_SIGNERS = {False: Signer(salt="rows.focus.planned"), True: Signer(salt="rows.focus.random")}
_SENTIMENTS = {"1": 1, "0": 0, "-1": -1}
MAX_SKIPPED = 300


@dataclass
class ReviewForm:
    """A posted review: the row it is about, the revision it was based on, and the topics in order."""

    revision: int
    topics: list[TopicChoice] = field(default_factory=list)
    as_shown: bool = False  # confirm what the row has, whatever it is

    @classmethod
    def read(cls, data: QueryDict) -> ReviewForm:
        """Read a form; raises ApplicationError (400) where it is not one of ours."""
        revision = data.get("revision", "")
        if not revision.isdecimal() or len(revision) > 9:
            raise ApplicationError(_("This review came without its revision. Open the row again."), status=400)
        ids = data.getlist("topic")
        if not all(value.isdecimal() and len(value) < 19 for value in ids):
            raise ApplicationError(_("This review names a topic that cannot be. Open the row again."), status=400)
        choices = []
        for value in ids:
            sentiment = data.get(f"sentiment-{value}")
            if sentiment is not None and sentiment not in _SENTIMENTS:
                raise ApplicationError(_("Sentiment must be -1, 0 or 1."), status=400)
            choices.append(TopicChoice(int(value), None if sentiment is None else _SENTIMENTS[sentiment]))
        return cls(revision=int(revision), topics=choices, as_shown=data.get("as_shown") == "1")


def choices_of(verbatim: Verbatim) -> list[TopicChoice]:
    """Return the topics a verbatim has as choices, in order."""
    return [TopicChoice(row.topic_id, row.sentiment) for row in verbatim.assignments.all()]


def is_saved_already(*, verbatim: Verbatim, form: ReviewForm, user: Any) -> bool:
    """Say whether this very decision of this person is what the row has: it was sent twice.

    A page that did not get the answer to a review sends it again; that is no conflict.
    """
    if not verbatim.is_reviewed or verbatim.reviewed_by_id != user.pk:
        return False
    has = {choice.topic_id: choice.sentiment for choice in choices_of(verbatim)}
    asked = {choice.topic_id: choice.sentiment for choice in form.topics}
    if has.keys() != asked.keys():
        return False
    # A review without a sentiment was saved as neutral, and one for a topic without sentiment as none.
    return all(asked[pk] == mood or (asked[pk] is None and mood == 0) or mood is None for pk, mood in has.items())


@dataclass
class Line:
    """One topic in the editor of a row."""

    topic: Topic
    is_on: bool
    sentiment: int | None = None
    probability: float | None = None
    source: str = ""


def lines_of(assignments: Iterable[Assignment]) -> list[Line]:
    """Return the lines of a row's topics."""
    return [Line(row.topic, True, row.sentiment, row.probability, row.source) for row in assignments]


def lines_of_choices(choices: list[TopicChoice], column: Column) -> list[Line]:
    """Return lines for choices that are not saved (the person's own version in a conflict)."""
    topics = {
        topic.pk: topic
        for topic in Topic.objects.filter(
            column=column, deleted_at=None, pk__in=[one.topic_id for one in choices]
        ).select_related("category")
    }
    return [Line(topics[one.topic_id], True, one.sentiment) for one in choices if one.topic_id in topics]


def card_sign(verbatim_id: int, is_audit: bool) -> str:
    """Return a token that says this row was served in focus mode, and whether at random (the audit sample).

    People must treat random rows like all others, so the token does not show what it says.
    """
    return _SIGNERS[is_audit].signature(str(verbatim_id))


def card_read(token: str, verbatim_id: int) -> bool | None:
    """Return whether the row was served at random; None where the token does not fit."""
    for is_audit, signer in _SIGNERS.items():
        if constant_time_compare(token, signer.signature(str(verbatim_id))):
            return is_audit
    return None


def skipped_ids(text: str) -> list[int]:
    """Read the comma-separated rows that the person skipped; the oldest are dropped beyond a limit."""
    ids = [int(value) for value in text.split(",") if value.isdecimal() and len(value) < 19]
    return list(dict.fromkeys(ids))[-MAX_SKIPPED:]


@dataclass
class HistoryEntry:
    """One act on a row, with the row's topics before and after it (None where it left them alone)."""

    change: Change
    before: list[Line] | None = None
    after: list[Line] | None = None
    ai_version: int | None = None  # the AI's version that had given the topics before


def history_entries(*, verbatim: Verbatim, changes: list[Change]) -> list[HistoryEntry]:
    """Return what each change did to the topics of this row; topics deleted since are left out."""
    pairs: list[tuple[Change, list[list[int]] | None, list[list[int]] | None]] = []
    by_ai: set[int] = set()  # changes of what the AI had assigned
    for change in changes:
        states = change.inverse.get("states")
        if states is None:
            pairs.append((change, None, None))
            continue
        own = next((state for state in states if verbatim.pk in state["ids"]), states[0] if states else None)
        before = [[row[0], row[1]] for row in own["assignments"]] if own else []
        if own and not own["is_reviewed"]:
            by_ai.add(change.pk)
        pairs.append((change, before, change.inverse.get("topics") or []))
    wanted = {row[0] for _, before, after in pairs for rows in (before, after) for row in rows or []}
    topics = {topic.pk: topic for topic in Topic.objects.filter(pk__in=wanted).select_related("category")}

    def lines(rows: list[list[int]] | None) -> list[Line] | None:
        return None if rows is None else [Line(topics[pk], True, mood) for pk, mood in rows if pk in topics]

    versions = hooks.ai_versions.first(default=[], column=verbatim.column) if by_ai else []

    def version(change: Change) -> int | None:
        if change.pk not in by_ai:
            return None
        return next((number for since, number in versions if since <= change.at), None)

    return [HistoryEntry(change, lines(before), lines(after), version(change)) for change, before, after in pairs]


_OWN_ACTS = (
    ChangeKind.REVIEW, ChangeKind.UNREVIEW, ChangeKind.HIGHLIGHT, ChangeKind.TOPIC_CREATE, ChangeKind.TOPIC_UPDATE,
    ChangeKind.TOPIC_DELETE, ChangeKind.CATEGORY_CREATE, ChangeKind.CATEGORY_UPDATE, ChangeKind.CATEGORY_DELETE,
    ChangeKind.CODEBOOK, ChangeKind.BULK, ChangeKind.ROWS_DELETE, ChangeKind.TOPICS_MERGE,
    ChangeKind.TOPICS_COMBINE, ChangeKind.TOPICS_MOVE, ChangeKind.TOPICS_DELETE, ChangeKind.TOPIC_SPLIT,
    ChangeKind.TOPIC_SENTIMENT,
)  # fmt: skip


def last_change(*, column: Column, user: Any, kinds: Iterable[str] = _OWN_ACTS) -> Change | None:
    """Return the last act of this person in this column that can still be undone."""
    query = Change.objects.filter(column=column, user=user, undone_at=None, kind__in=tuple(kinds)).order_by("-id")
    role = column.project.role  # type: ignore[attr-defined]  # may be smaller now than when the act was done
    return next(
        (change for change in query[:20] if can_undo(change) and may_undo(change=change, role=role, user=user)),
        None,
    )
