"""Cells and their types: what a typed cell means, and which type the cells of a column suggest.

Everything here works on plain strings, as typed. "N/A", "None" and "null" are words of a respondent
and never missing values; only white space and the project's placeholders are empty.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from django.utils.translation import gettext_noop

from projects.models import ColumnType

N_SAMPLES = 5
SAMPLE_CHARS = 200
MAX_DISTINCT = 1_000  # more than this and a column is no select
MAX_SHORT = 400  # short values counted exactly, for placeholders
SHORT_CHARS = 30
MAX_OPTIONS = 60
MAX_PROFILED = 20_000  # cells whose words are counted

# How a type's cells are written. "" for types with one way only.
NUMBER_FORMATS = ("point", "comma")
DATE_FORMATS = ("iso", "dmy_dots", "dmy", "mdy")
MULTI_FORMATS = (";", "|")

_NUMBER = {
    "point": re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d+)?(?:[eE][+-]?\d{1,3})?"),
    "comma": re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)?(?:,\d+)?"),
}
_TIME = r"(?:[T ]\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?"
_DATE = {
    "iso": re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})" + _TIME),
    "dmy_dots": re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})" + _TIME),
    "dmy": re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})" + _TIME),
    "mdy": re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})" + _TIME),
}
_DATE_ORDER = {"iso": (0, 1, 2), "dmy_dots": (2, 1, 0), "dmy": (2, 1, 0), "mdy": (2, 0, 1)}
_TRUE = frozenset(("true", "yes", "y", "t", "1", "ja", "oui", "sí", "si"))
_FALSE = frozenset(("false", "no", "n", "f", "0", "nein", "non"))
LANGUAGES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id
    ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu
    lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu
    rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr
    ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()  # noqa: SIM905
)
_LANGUAGE = re.compile(r"([A-Za-z]{2})(?:[-_][A-Za-z]{2,4})?")
_LANGUAGE_NAME = re.compile(
    r"\b(lang|language|languages|locale|sprache|langue|idioma|lingua|taal)\b", re.IGNORECASE
)
_QUESTION_NAME = re.compile(
    r"\?|\b(why|what|how|comments?|feedback|reasons?|reviews?|texts?|answers?|verbatims?|suggestions?|opinion|"
    r"messages?|body|description|kommentar|warum|text|antwort|commentaire|opini[oó]n)\b",
    re.IGNORECASE,
)
_LEADING_ZERO = re.compile(r"[+-]?0\d")


def parse_number(text: str, style: str = "point") -> int | float:
    """Return the number; raises ValueError. Whole numbers stay whole, however long."""
    if not _NUMBER[style].fullmatch(text) or not any(map(str.isdigit, text)) or not text.isascii():
        raise ValueError(gettext_noop("is not a number"))
    plain = text.replace(",", "") if style == "point" else text.replace(".", "").replace(",", ".")
    if len(plain) > 60:
        raise ValueError(gettext_noop("has too many digits for a number"))
    if plain.lstrip("+-").isdigit():
        return int(plain)
    number = float(plain)
    if number in (float("inf"), float("-inf")):
        raise ValueError(gettext_noop("is too large for a number"))
    return number


def parse_date(text: str, style: str = "iso") -> str:
    """Return the day as YYYY-MM-DD, or the moment in ISO form with its time zone (UTC where none is given)."""
    match = _DATE[style].fullmatch(text)
    if not match or not text.isascii():
        raise ValueError(gettext_noop("is not a date"))
    year, month, day = (int(match[1 + index]) for index in _DATE_ORDER[style])
    try:
        if match[4] is None:
            return date(year, month, day).isoformat()
        second, micro = int(match[6] or 0), int((match[7] or "0").ljust(6, "0"))
        moment = datetime(year, month, day, int(match[4]), int(match[5]), second, micro, tzinfo=UTC)
        if match[8] and match[8] != "Z":
            zone = match[8] if ":" in match[8] else f"{match[8][:3]}:{match[8][3:]}"
            moment = datetime.fromisoformat(moment.replace(tzinfo=None).isoformat() + zone)
        return moment.isoformat()
    except (ValueError, OverflowError):
        raise ValueError(gettext_noop("is not a date of the calendar")) from None


def parse_boolean(text: str, style: str = "") -> bool:
    word = text.casefold()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(gettext_noop("is neither yes nor no"))


def parse_language(text: str, style: str = "") -> str:
    """Return the ISO 639-1 code; a region is accepted and dropped (de-AT is de)."""
    match = _LANGUAGE.fullmatch(text)
    if not match or match[1].lower() not in LANGUAGES:
        raise ValueError(gettext_noop("is not a language code such as en or de"))
    return match[1].lower()


def parse_multi(text: str, style: str = ";") -> list[str]:
    """Return the options, each once, in the order they were given."""
    parts = (part.strip() for part in text.split(style or ";"))
    return list(dict.fromkeys(part for part in parts if part))


def keep(text: str, style: str = "") -> str:
    return text


PARSERS: dict[str, Callable[[str, str], Any]] = {
    ColumnType.NUMERICAL: parse_number,
    ColumnType.DATE: parse_date,
    ColumnType.BOOLEAN: parse_boolean,
    ColumnType.LANGUAGE: parse_language,
    ColumnType.MULTI_SELECT: parse_multi,
}
# Types whose cells can be wrong.
STRICT_TYPES = frozenset((ColumnType.NUMERICAL, ColumnType.DATE, ColumnType.BOOLEAN, ColumnType.LANGUAGE))
_STYLES: dict[str, tuple[str, ...]] = {
    ColumnType.NUMERICAL: NUMBER_FORMATS,
    ColumnType.DATE: DATE_FORMATS,
    ColumnType.BOOLEAN: ("",),
    ColumnType.LANGUAGE: ("",),
}


def is_valid(kind: str, style: str, text: str) -> bool:
    try:
        PARSERS[kind](text, style)
    except ValueError:
        return False
    return True


@dataclass
class ColumnScan:
    """What the cells of one column look like, gathered in one pass with bounded memory."""

    name: str
    n_cells: int = 0
    n_empty: int = 0
    n_words: int = 0
    n_profiled: int = 0
    n_profiled_distinct: int = 0
    n_leading_zero: int = 0
    n_long_digits: int = 0
    n_overlong: int = 0
    longest: int = 0
    samples: list[str] = field(default_factory=list)
    _distinct: set[str] = field(default_factory=set)
    _overflow: bool = False
    _short: Counter[str] = field(default_factory=Counter)
    _short_overflow: bool = False
    _profiled: set[int] = field(default_factory=set)
    _n_separated: Counter[str] = field(default_factory=Counter)
    _options: dict[str, set[str]] = field(default_factory=lambda: {style: set() for style in MULTI_FORMATS})
    # (type, style) -> cells that do not fit; dropped once it is hopeless.
    _misfits: dict[tuple[str, str], int] = field(
        default_factory=lambda: {(kind, style): 0 for kind, styles in _STYLES.items() for style in styles}
    )

    def feed(self, cells: Iterable[str], *, limit_chars: int) -> None:
        """Take in a batch of cells."""
        values = [cell.strip() for cell in cells]
        self.n_cells += len(values)
        filled = [value for value in values if value]
        self.n_empty += len(values) - len(filled)
        if not filled:
            return
        longest = max(map(len, filled))
        self.longest = max(self.longest, longest)
        if longest > limit_chars:
            self.n_overlong += sum(len(value) > limit_chars for value in filled)
        if self.n_profiled < MAX_PROFILED:
            part = filled[: MAX_PROFILED - self.n_profiled]
            self.n_profiled += len(part)
            self.n_words += sum(len(value.split()) for value in part)
            self._profiled.update(hash(value.casefold()) for value in part)
        if self._overflow and self._short_overflow and not self._misfits:
            return
        counts = Counter(filled)
        if len(self.samples) < N_SAMPLES:
            for value in counts:
                short = value if len(value) <= SAMPLE_CHARS else value[: SAMPLE_CHARS - 1] + "…"
                if short not in self.samples:
                    self.samples.append(short)
                if len(self.samples) == N_SAMPLES:
                    break
        self._count_values(counts)
        self._test_types(counts)

    def _count_values(self, counts: Counter[str]) -> None:
        if not self._overflow:
            self._distinct.update(counts)
            for style in MULTI_FORMATS:
                options = self._options[style]
                for value, n in counts.items():
                    if style in value:
                        self._n_separated[style] += n
                    if len(options) <= MAX_OPTIONS and len(value) < 500:
                        options.update(part.strip() for part in value.split(style))
            if len(self._distinct) > MAX_DISTINCT:
                self._overflow = True
                self._distinct = set()
        if not self._short_overflow:
            for value, n in counts.items():
                if len(value) <= SHORT_CHARS:
                    self._short[value] += n
            if len(self._short) > MAX_SHORT:
                self._short_overflow = True
                self._short = Counter()

    def _test_types(self, counts: Counter[str]) -> None:
        if self._misfits:
            for value, n in counts.items():
                if _LEADING_ZERO.match(value) and "." not in value[:3] and "," not in value[:3]:
                    self.n_leading_zero += n
                elif len(value) > 15 and value.isdigit():
                    self.n_long_digits += n
        n_filled = self.n_cells - self.n_empty
        for (kind, style), n_misfits in list(self._misfits.items()):
            n_misfits += sum(n for value, n in counts.items() if not is_valid(kind, style, value))
            if n_misfits > 50 and n_misfits > 0.2 * n_filled:
                del self._misfits[(kind, style)]
            else:
                self._misfits[(kind, style)] = n_misfits

    # --- conclusions ------------------------------------------------------------------------------

    @property
    def n_filled(self) -> int:
        return self.n_cells - self.n_empty

    def best_style(self, kind: str) -> tuple[str, int | None]:
        """Return how most cells write this type, and how many do not fit (None: not counted to the end)."""
        found = [(n, _STYLES[kind].index(style), style) for (k, style), n in self._misfits.items() if k == kind]
        if not found:
            return _STYLES[kind][0], None
        n_misfits, _, style = min(found)
        return style, n_misfits

    def _fits(self, kind: str) -> bool:
        """Say whether the column is of this type but for the odd wrong cell."""
        n_misfits = self.best_style(kind)[1]
        return self.n_filled > 0 and n_misfits is not None and n_misfits <= 0.02 * self.n_filled

    def suggest(self) -> str:
        """Return the type that the cells and the name suggest."""
        if not self.n_filled:
            return ColumnType.TEXT
        words = self.n_words / self.n_profiled
        if _LANGUAGE_NAME.search(self.name.replace("_", " ")) and self._fits(ColumnType.LANGUAGE):
            return ColumnType.LANGUAGE
        if self._fits(ColumnType.DATE):
            return ColumnType.DATE
        if self._fits(ColumnType.NUMERICAL):
            is_identifier = self.n_leading_zero or self.n_long_digits > 0.5 * self.n_filled
            return ColumnType.TEXT if is_identifier else ColumnType.NUMERICAL
        if self._fits(ColumnType.BOOLEAN) and len(self._distinct) <= 4:
            return ColumnType.BOOLEAN
        style = self.multi_style
        if self._n_separated[style] >= 0.1 * self.n_filled and len(self._options[style]) <= MAX_OPTIONS:
            options = self._options[style]
            if max(len(option) for option in options) <= 80 and self.n_filled >= 2 * len(options):
                return ColumnType.MULTI_SELECT
        distinct_share = len(self._profiled) / self.n_profiled
        asks = bool(_QUESTION_NAME.search(self.name.replace("_", " ")))
        if (words >= 4 and distinct_share >= 0.2) or (asks and words >= 1.5 and distinct_share >= 0.1):
            return ColumnType.TEXT_TO_ANALYZE
        few = not self._overflow and len(self._distinct) <= min(MAX_OPTIONS, max(2, self.n_filled // 3))
        few = few and len(self._distinct) < self.n_filled  # something must repeat
        if few and words <= 8:
            return ColumnType.SINGLE_SELECT
        if words >= 2.5 and distinct_share >= 0.5 and self.longest >= 40:
            return ColumnType.TEXT_TO_ANALYZE
        return ColumnType.TEXT

    @property
    def multi_style(self) -> str:
        return max(MULTI_FORMATS, key=lambda style: self._n_separated[style])

    def facts(self) -> dict[str, Any]:
        """Return the scan as JSON for `Upload.facts`."""
        suggested = self.suggest()
        styles = {kind: self.best_style(kind) for kind in _STYLES}
        day_first, month_first = (self._misfits.get((ColumnType.DATE, style)) for style in ("dmy", "mdy"))
        is_ambiguous = styles[ColumnType.DATE][0] == "dmy" and day_first is not None and day_first == month_first
        return {
            "name": self.name,
            "type": suggested,
            "samples": self.samples,
            "n_empty": self.n_empty,
            "n_filled": self.n_filled,
            "n_overlong": self.n_overlong,
            "mean_words": round(self.n_words / self.n_profiled, 1) if self.n_profiled else 0,
            "styles": {
                **{str(kind): style for kind, (style, _) in styles.items()},
                str(ColumnType.MULTI_SELECT): self.multi_style,
            },
            "n_misfits": {str(kind): n for kind, (_, n) in styles.items()},
            # 03/04/2026 may be either: the person may say which.
            "dates_are_ambiguous": is_ambiguous,
            # Exact counts of short cells, None where there were too many to keep.
            "short": None if self._short_overflow else dict(self._short.most_common(MAX_SHORT)),
        }
