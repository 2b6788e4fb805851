"""What reading and writing of codebooks share: the layout, an entry, and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext as _

from topicassign.errors import ApplicationError

HEADER = ("Code", "Topic", "Category", "Sentiment", "Sentiment label", "Description", "Colour")
WORDS = {0: "neutral", 1: "positive", -1: "negative"}
VERSION_FIELDS = {0: ("code_neutral", "label_neutral"), 1: ("code_positive", "label_positive"),
                   -1: ("code_negative", "label_negative")}  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CodebookError(ApplicationError):
    """The codebook cannot be used; `errors` holds a sentence for each line at fault."""

    code = "bad_codebook"

    def __init__(self, errors: Sequence[str]) -> None:
        shown = " ".join(errors[:3])
        if len(errors) > 3:
            shown += " " + _("And %(n)s more.") % {"n": len(errors) - 3}
        super().__init__(
            _("Nothing was imported. %(errors)s") % {"errors": shown},
            errors=list(errors[:100]),
            n_errors=len(errors),
        )
        self.errors = list(errors)


@dataclass
class Entry:
    """A topic as the file says; None and "" where it says nothing."""

    line: int
    label: str
    category: str
    has_sentiment: bool = False
    code_neutral: int | None = None
    code_positive: int | None = None
    code_negative: int | None = None
    label_neutral: str = ""
    label_positive: str = ""
    label_negative: str = ""
    description: str = ""
    color: str = ""

    @property
    def codes(self) -> list[int]:
        return [code for code in (self.code_neutral, self.code_positive, self.code_negative) if code is not None]

    @property
    def key(self) -> tuple[str, str]:
        return self.category.casefold(), self.label.casefold()


def entries_dump(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in entries]


def entries_load(data: Sequence[dict[str, Any]]) -> list[Entry]:
    return [Entry(**values) for values in data]
