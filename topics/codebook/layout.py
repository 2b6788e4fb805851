"""What reading and writing of codebooks share: the layouts, a codebook, and what goes wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from topicassign.errors import ApplicationError
from topics.keywords import keywords_check
from topics.models import DESCRIPTION_CHARS

# --- tables ---------------------------------------------------------------------------------------
HEADER = ("Code", "Topic", "Category", "Sentiment", "Sentiment label", "Description", "Colour", "Keywords")
WORDS = {0: "neutral", 1: "positive", -1: "negative"}
VERSION_FIELDS = {0: ("code_neutral", "label_neutral"), 1: ("code_positive", "label_positive"),
                   -1: ("code_negative", "label_negative")}  # fmt: skip
_FORMULA = re.compile(r"'*[=+\-@\t\r]")

# --- JSON -----------------------------------------------------------------------------------------
JSON_FORMAT = "topicassign-codebook"
JSON_VERSION = 1

# --- keywords -------------------------------------------------------------------------------------
MAX_KEYWORDS = 1_000  # more than a person may type for a topic: merged ones have those of all
_REGEX = re.compile(r"/(?:\\.|[^/\\\n])+/[a-z]*")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')

Kind = Literal["file", "template", "project"]


class CodebookError(ApplicationError):
    """The codebook cannot be used; `errors` holds a sentence for each line or topic at fault."""

    code = "bad_codebook"

    def __init__(self, errors: Sequence[str]) -> None:
        shown = " ".join(errors[:3])
        if len(errors) > 3:
            shown += " " + ngettext("And %(n)s more.", "And %(n)s more.", len(errors) - 3) % {"n": len(errors) - 3}
        super().__init__(
            _("Nothing was imported. %(errors)s") % {"errors": shown},
            errors=list(errors[:100]),
            n_errors=len(errors),
        )
        self.errors = list(errors)


@dataclass
class Entry:
    """A topic as the source says; None where it says nothing, so that what is there already stays."""

    label: str
    category: str
    line: int = 0  # of a table; 0 elsewhere
    has_sentiment: bool = False
    code_neutral: int | None = None
    code_positive: int | None = None
    code_negative: int | None = None
    label_neutral: str | None = None
    label_positive: str | None = None
    label_negative: str | None = None
    description: str | None = None
    keywords: list[str] | None = None

    @property
    def codes(self) -> list[int]:
        return [code for code in (self.code_neutral, self.code_positive, self.code_negative) if code is not None]

    @property
    def key(self) -> tuple[str, str]:
        return self.category.casefold(), self.label.casefold()

    def wrong(self, what: str) -> str:
        """Return a sentence that says where in the source something is wrong."""
        if self.line:
            return _("Line %(line)s: %(what)s") % {"line": self.line, "what": what}
        return _("Topic %(topic)s: %(what)s") % {"topic": self.label, "what": what}


@dataclass
class CategorySaid:
    """A category as the source says; an empty colour says nothing."""

    label: str
    color: str = ""


@dataclass
class Codebook:
    """A topic collection on its way into a column.

    Attributes
    ----------
    kind
        A file speaks about this collection: its codes name the topics, what it says is written. A template or
        another project offers topics: those that are here keep what they have and get only what they lack.
    has_order
        Whether categories and topics get the order of the source.
    title, language
        For the person: what it is and, where known, in which language.
    """

    entries: list[Entry]
    categories: list[CategorySaid]
    kind: Kind = "file"
    has_order: bool = False
    title: str = ""
    language: str = ""

    @property
    def is_offer(self) -> bool:
        return self.kind != "file"


def codebook_dump(book: Codebook) -> dict[str, Any]:
    return asdict(book)


def codebook_load(data: dict[str, Any]) -> Codebook:
    entries = [Entry(**values) for values in data["entries"]]
    categories = [CategorySaid(**values) for values in data["categories"]]
    return Codebook(**{**data, "entries": entries, "categories": categories})


# --- cells ----------------------------------------------------------------------------------------
def cell_guarded(text: str, *, is_text_file: bool) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before it.

    The cells of a workbook are marked as text, so only those get one that `cell_bared` would shorten.
    """
    is_at_risk = _FORMULA.match(text) is not None and (is_text_file or text.startswith("'"))
    return f"'{text}" if is_at_risk else text


def cell_bared(text: str) -> str:
    """Return a cell without the apostrophe that our own exports put before what looks like a formula."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def clean_text(text: str) -> str:
    """Return text as it is stored: line ends as \\n, no control characters, nothing around it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = (letter for letter in text if letter in "\n\t" or unicodedata.category(letter) not in {"Cc", "Cs"})
    return "".join(kept).strip()


def description_error(text: str) -> str:
    if len(text) <= DESCRIPTION_CHARS:
        return ""
    return _("the description may have at most %(description_chars)s characters, it has %(n_description)s.") % {
        "description_chars": DESCRIPTION_CHARS,
        "n_description": len(text),
    }


def keywords_join(keywords: Sequence[str]) -> str:
    """Return keywords as one cell, separated by "; ". Those that hold a separator stand in double quotes."""
    return "; ".join(_keyword_quoted(keyword) for keyword in keywords)


def _keyword_quoted(keyword: str) -> str:
    if any(letter in keyword for letter in ";\n") or keyword.startswith('"'):
        doubled = keyword.replace('"', '""')
        return f'"{doubled}"'
    return keyword


def keywords_split(text: str) -> list[str]:
    """Return the keywords of a cell: separated by semicolons or line breaks, `/a;b/` and "a;b" kept whole."""
    found, rest = [], text
    while rest := rest.lstrip("; \t\n\r"):
        whole = _QUOTED.match(rest) or _REGEX.match(rest)
        if whole is not None and re.match(r"[ \t]*($|[;\n\r])", rest[whole.end() :]):
            found.append(whole[1].replace('""', '"') if rest.startswith('"') else whole[0])
            rest = rest[whole.end() :]
            continue
        end = re.search(r"[;\n\r]", rest)
        found.append(rest[: end.start()].strip() if end else rest.strip())
        rest = rest[end.end() :] if end else ""
    return found


def keywords_clean(keywords: Sequence[str]) -> tuple[list[str], str]:
    """Return the keywords without blanks and repetitions, and what is wrong with them ("" if nothing)."""
    kept, problems = keywords_check(clean_text(keyword) for keyword in keywords)
    if problems:
        return [], problems[0].message
    if len(kept) > MAX_KEYWORDS:
        return [], _("a topic may have at most %(most)s keywords, this one has %(n)s.") % {
            "most": MAX_KEYWORDS, "n": len(kept),
        }  # fmt: skip
    return kept, ""
