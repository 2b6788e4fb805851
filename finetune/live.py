"""What makes an open page old: one word per state of a column, and what changed since a page saw it.

A page holds the word of the state it shows and sends it with every poll. While it is true, the answer is 204 and
costs one small statement. Otherwise the page gets the header strip as it is now, and events that name the parts
to ask for again: all rows after an AI update, single rows that somebody else reviewed, the topics.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from projects.models import ACTIVE_STATES, Change, ChangeKind, Column, JobState
from projects.selectors import AnyUser, column_pulse

MOST_CHANGES = 20  # more acts of others than that since the last poll: all rows are asked for again
MOST_ROWS = 20

_ROW_KINDS = {ChangeKind.REVIEW, ChangeKind.UNREVIEW, ChangeKind.HIGHLIGHT}
_NO_ROW_KINDS = {ChangeKind.PROJECT_UPDATE, ChangeKind.MEMBER, ChangeKind.AI_SWITCH}


@dataclass(frozen=True)
class Pulse:
    """State of a column that a page can tell from another: its revision, and the last AI update."""

    revision: int
    job: str
    is_queued: bool = False

    @property
    def word(self) -> str:
        return f"{self.revision}.{self.job}"


def pulse(user: AnyUser, column_id: int) -> Pulse | None:
    """Return the state of a column, None where the person may not read it."""
    found = column_pulse(user, column_id)
    if found is None:
        return None
    revision, job, state, stage, done, is_cancelling = found
    if job is None:
        return Pulse(revision, "")
    word = str(job).replace("-", "")[:8] + state[:2]
    if state in ACTIVE_STATES:
        word += f"{zlib.crc32(f'{stage}:{done}:{is_cancelling}'.encode()):x}"
    return Pulse(revision, word, state == JobState.QUEUED)


@dataclass(frozen=True)
class Seen:
    """What a page says that it shows."""

    word: str = ""
    version: str = ""
    change: int = 0

    @classmethod
    def read(cls, text: str) -> Seen:
        """Read what `write` wrote; anything else is a page that has seen nothing."""
        parts = text.split(".")
        if len(parts) != 4 or not parts[3].isdecimal() or len(parts[3]) > 18:
            return cls()
        return cls(f"{parts[0]}.{parts[1]}", parts[2], int(parts[3]))

    def write(self) -> str:
        return f"{self.word}.{self.version}.{self.change}"


def last_change(column: Column) -> int:
    """Return the id of the last act in a column, 0 before the first."""
    return Change.objects.filter(column=column).order_by("-id").values_list("pk", flat=True).first() or 0


def events_since(*, column: Column, seen: Seen, now: Seen, user: Any) -> dict[str, dict[str, Any]]:
    """Return the events that a page which has seen `seen` needs, with their details.

    A person's own acts are left out: the answer to each has told the page already.
    """
    if not seen.word:
        return {}
    if seen.version != now.version:  # an AI update changes any row, the counts and the scores
        return {"rows-changed": {}, "ai-updated": {}, "announce": {"value": _("AI update finished.")}}
    job_seen, job_now = (one.word.partition(".")[2] for one in (seen, now))
    if job_now != job_seen and job_now.endswith(JobState.DONE[:2]):
        # An update that made no version: rows got topics from the model in use, or by keywords.
        return {"rows-changed": {}, "topics-changed": {}}
    others = list(
        Change.objects.filter(column=column, pk__gt=seen.change)
        .exclude(user=user)
        .order_by("pk")
        .values_list("pk", "kind")[: MOST_CHANGES + 1]
    )
    kinds = {kind for _, kind in others} - _NO_ROW_KINDS
    if not kinds:
        return {}
    if kinds <= _ROW_KINDS and len(others) <= MOST_CHANGES:
        changes = Change.objects.filter(pk__in=[pk for pk, _ in others]).values_list("ids", flat=True)
        ids = sorted({pk for one in changes for pk in one})
        if len(ids) <= MOST_ROWS:
            return {"row-changed": {"ids": ids, "source": "live"}}
    events: dict[str, dict[str, Any]] = {"rows-changed": {}}
    if kinds - _ROW_KINDS:
        events["topics-changed"] = {}
    return events
