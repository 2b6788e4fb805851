"""Keywords of topics: how one is written, what is wrong with it, and which texts have it.

The only home of these rules.

A keyword is a word or a phrase, or a regular expression between slashes. Words are found as whole words, whatever
their case; regular expressions are those of RE2, which takes time in proportion to the text whatever the pattern,
so that none of them can hang a worker.
"""

from __future__ import annotations

import functools
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import re2
import structlog
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from topicassign.errors import ApplicationError

log = structlog.get_logger(__name__)

MAX_KEYWORDS = 100  # of one topic
MAX_CHARS = 200  # of one keyword
# Size of a compiled expression, in RE2's instructions: what a character of text may cost in the worst case.
MAX_PROGRAM = 3_000
MAX_TOPIC_PROGRAMS = 12_000
MAX_ALL_PROGRAMS = 500_000
SET_PROGRAM = 10_000  # expressions are looked for together up to this size
SET_MEMORY = 16 * 2**20
LIMIT_S = 120.0
FEW_WORDS = 200


# --- one keyword --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Problem:
    """What is wrong with a keyword. `line` counts from 1 in what was typed, empty lines too."""

    line: int
    keyword: str
    message: str


def keywords_clean(keywords: Iterable[str]) -> list[str]:
    """Return keywords as they are stored: tidy, without empty ones, each once.

    Raises
    ------
    ApplicationError
        If one cannot be used, with the sentence of the first; `extra["problems"]` has all of them. Or if there
        are more than MAX_KEYWORDS.
    """
    cleaned, problems = keywords_check(keywords)
    if problems:
        raise ApplicationError(
            problems[0].message,
            code="bad_keyword",
            field="keywords",
            problems=[[one.line, one.message] for one in problems],
        )
    if message := keywords_refused(cleaned):
        raise ApplicationError(message, code="too_many_keywords", field="keywords")
    return cleaned


def keywords_refused(cleaned: Sequence[str]) -> str:
    """Return a sentence about what is wrong with keywords together that can be used one by one, "" if nothing."""
    if len(cleaned) > MAX_KEYWORDS:
        return _("A topic may have at most %(most)s keywords, these are %(n)s.") % {
            "most": MAX_KEYWORDS, "n": len(cleaned),
        }  # fmt: skip
    if sum(_compile(keyword).programsize for keyword in cleaned if is_regex(keyword)) > MAX_TOPIC_PROGRAMS:
        return _("The regular expressions of this topic are too large together. Use fewer, or simpler ones.")
    return ""


def keywords_check(keywords: Iterable[str]) -> tuple[list[str], list[Problem]]:
    """Return the keywords that can be used, as they are stored, and what is wrong with the others."""
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for line, raw in enumerate(keywords, start=1):
        typed = raw.strip()
        keyword = unicodedata.normalize("NFC", typed if is_regex(typed) else " ".join(typed.split()))
        if not keyword:
            continue
        message = _problem(keyword)
        if message:
            problems.append(Problem(line, keyword, message))
        else:
            found.setdefault(keyword if is_regex(keyword) else " ".join(tokens_of(keyword)), keyword)
    return list(found.values()), problems


def is_regex(keyword: str) -> bool:
    return keyword.startswith("/")


def _problem(keyword: str) -> str:
    """Return a sentence about what is wrong with a tidy keyword, "" if nothing is."""
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in keyword):
        return _("%(keyword)s: has characters that cannot be typed.") % {"keyword": _short(keyword)}
    if len(keyword) > MAX_CHARS:
        return _("%(keyword)s: a keyword may have at most %(most)s characters, this one has %(n)s.") % {
            "keyword": _short(keyword), "most": MAX_CHARS, "n": len(keyword),
        }  # fmt: skip
    if not is_regex(keyword):
        if any(letter.isalnum() or unicodedata.category(letter).startswith("S") for letter in keyword):
            return ""
        return _("%(keyword)s: has no letters, digits or signs to look for.") % {"keyword": _short(keyword)}
    reason = _regex_problem(keyword)
    return f"{_short(keyword)}: {reason}" if reason else ""


def _short(keyword: str, most: int = 40) -> str:
    return keyword if len(keyword) <= most else keyword[: most - 1] + "…"


# --- regular expressions ------------------------------------------------------------------------
_WRITTEN = re.compile(r"/(?P<pattern>.*)/(?P<flags>[^/]*)", re.DOTALL)
# Beginnings of what RE2 says, and what that means to the person who wrote the expression.
_REASONS: tuple[tuple[re.Pattern[str], str | Promise], ...] = (
    (re.compile(r"invalid perl operator: \(\?<?[=!]"), gettext_lazy(
        "looking ahead or behind, (?=…), (?!…), (?<=…) or (?<!…), is not possible here.")),
    (re.compile(r"invalid escape sequence: \\[1-9]"), gettext_lazy(
        "referring back to a group, such as \\1, is not possible here.")),
    (re.compile(r"invalid escape sequence: (?P<what>.*)"), gettext_lazy(
        "%(what)s means nothing here. To find the sign itself, leave the backslash out.")),
    (re.compile(r"invalid perl operator: (?P<what>.*)"), gettext_lazy("%(what)s is not possible here.")),
    (re.compile(r"missing \)"), gettext_lazy("a closing parenthesis ) is missing.")),
    (re.compile(r"unexpected \)"), gettext_lazy("there is a closing parenthesis ) without an opening one.")),
    (re.compile(r"missing \]"), gettext_lazy("a closing bracket ] is missing.")),
    (re.compile(r"invalid character class range: (?P<what>.*)"), gettext_lazy(
        "%(what)s is no range of characters.")),
    (re.compile(r"no argument for repetition operator: (?P<what>.*)"), gettext_lazy(
        "%(what)s repeats nothing. To find the sign itself, write a backslash before it.")),
    (re.compile(r"(bad|invalid) repetition operator: (?P<what>.*)"), gettext_lazy(
        "%(what)s cannot stand together.")),
    (re.compile(r"invalid repetition size: (?P<what>.*)"), gettext_lazy("%(what)s repeats too often.")),
    (re.compile(r"trailing \\"), gettext_lazy("it ends with a backslash that belongs to nothing.")),
    (re.compile(r"(pattern too large|expression nesting)"), gettext_lazy("it is too large. Make it simpler.")),
)  # fmt: skip
_PROBES = ("", "a", " a-1 ", "É 語\n.")


def _regex_problem(keyword: str) -> str:
    """Return half a sentence about what is wrong with a regular expression, "" if nothing is."""
    written = _WRITTEN.fullmatch(keyword)
    if written is None:
        return _("a regular expression ends with a slash.")
    if not written["pattern"]:
        return _("there is nothing between the slashes.")
    if written["flags"] not in ("", "i"):
        return _("after the last slash there may be an i, for upper and lower case alike, and nothing else.")
    try:
        compiled = _compile(keyword)
    except re2.error as error:
        return _reason(str(error.args[0], "utf-8", "replace") if isinstance(error.args[0], bytes) else str(error))
    if "\\C" in written["pattern"]:
        return _("%(what)s is not possible here.") % {"what": "\\C"}
    if max(compiled.programsize, compiled.reverseprogramsize) > MAX_PROGRAM:
        return _("it is too large. Make it simpler.")
    if any(found.start() == found.end() for probe in _PROBES for found in compiled.finditer(probe)):
        return _("it also matches nothing at all, so it would be found in every text.")
    return ""


def _reason(said: str) -> str:
    for pattern, meaning in _REASONS:
        if found := pattern.match(said):
            return str(meaning) % found.groupdict() if found.groupdict() else str(meaning)
    return _("this is no regular expression (%(said)s).") % {"said": said}


def _options(max_memory: int = 2**23) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = max_memory
    return options


def _pattern(keyword: str) -> str:
    """Return the expression of a keyword, with its flag inside."""
    body, _slash, flags = keyword[1:].rpartition("/")
    return f"(?i){body}" if flags else body


def _compile(keyword: str) -> re2._Regexp:
    return re2.compile(_pattern(keyword), _options())


# --- words --------------------------------------------------------------------------------------
# Scripts without spaces between words: each character is looked up by itself, a keyword is found anywhere.
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u109f"  # Tibetan, Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # Japanese, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Chinese
)
_ASCII_TOKENS = re.compile(r"\w+(?:(?<=n)'t(?!\w))?|[^\w\s]", re.ASCII)
_HALF_WIDTH = re.compile("[\uff65-\uff9f]+")
_ALIKE = str.maketrans(
    dict.fromkeys("‘’ʼ′´`＇", "'")
    | dict.fromkeys("‐‑‒–—−－", "-")
    | dict.fromkeys("\u00ad\u200c\u200d\u2060\ufe0e\ufe0f\ufeff")  # invisible inside a word or sign
    | dict.fromkeys("\u200b", " ")
    | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code) not in "＇－"}
)


@functools.cache
def _tokens() -> re.Pattern[str]:
    """Return what a token is: a word, or a sign. Marks, which `\\w` does not know, belong to words."""
    marks = _ranges(code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
    letter = rf"(?:(?![{_UNSPACED}])[\w{marks}])"
    return re.compile(rf"[{_UNSPACED}]|{letter}+(?:(?<=n)'t(?!{letter}))?|[^\s]")


def _ranges(codes: Iterable[int]) -> str:
    """Return sorted code points as the inside of a character class."""
    parts: list[list[int]] = []
    for code in codes:
        if parts and parts[-1][1] == code - 1:
            parts[-1][1] = code
        else:
            parts.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in parts)


def tokens_of(text: str) -> list[str]:
    """Return the words and signs of a text, in order, without regard to case.

    An apostrophe ends a word ("staff's", "l'hôtel") except in n't ("can't" is not "can"); so does a hyphen.
    Characters of scripts that have no spaces stand alone.
    """
    return _split(_folded(text))


def _folded(text: str) -> str:
    """Return a text such that what counts as the same is the same."""
    if text.isascii():
        return text.lower().replace("`", "'")
    text = unicodedata.normalize("NFC", text).translate(_ALIKE)
    if _HALF_WIDTH.search(text):
        text = _HALF_WIDTH.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return unicodedata.normalize("NFC", text.casefold())


def _split(folded: str) -> list[str]:
    return (_ASCII_TOKENS if folded.isascii() else _tokens()).findall(folded)


# --- many keywords in many texts ----------------------------------------------------------------
class KeywordMatcher:
    """Finds the keywords of many topics in many texts.

    Words cost a look-up for each word of a text, however many keywords there are; regular expressions are looked
    for together, some hundreds in one pass over a text.

    Parameters
    ----------
    keywords : mapping
        Keywords by topic. One that cannot be used (stored by another release, say) is left out and logged.
    limit_s : float
        Seconds that the regular expressions may take in all calls together.

    Attributes
    ----------
    topic_ids : list of int
        The topics that have keywords.

    Raises
    ------
    ApplicationError
        If the regular expressions are too large together; by `match`, if they take longer than `limit_s`.
    """

    def __init__(self, keywords: Mapping[int, Sequence[str]], *, limit_s: float = LIMIT_S) -> None:
        self.topic_ids = [topic for topic, own in keywords.items() if own]
        self.limit_s = limit_s
        self._seconds = 0.0
        self._words: dict[str, list[int]] = {}  # a word that is a keyword: its topics
        self._phrases: dict[str, list[tuple[str, int]]] = {}  # first word: the phrase between spaces, its topic
        expressions: dict[str, list[int]] = {}
        for j, topic in enumerate(self.topic_ids):
            for keyword in keywords[topic]:
                if message := _problem(keyword):
                    log.warning("keyword_skipped", topic=topic, problem=message)
                elif is_regex(keyword):
                    expressions.setdefault(keyword, []).append(j)
                else:
                    tokens = tokens_of(keyword)
                    if len(tokens) == 1:
                        self._words.setdefault(tokens[0], []).append(j)
                    else:
                        self._phrases.setdefault(tokens[0], []).append((f" {' '.join(tokens)} ", j))
        firsts = self._words.keys() | self._phrases.keys()
        # Where words are few, most texts have none of them: that is seen at a glance, without taking them apart.
        self._glance = _search_set([re2.escape(word) for word in firsts]) if 0 < len(firsts) <= FEW_WORDS else None
        self._sets = [_ExpressionSet(part) for part in _parts(expressions)]

    def match(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return which texts have which topics.

        Returns
        -------
        text, topic : ndarray of shape (n_found,), int64
            Places in `texts` and in `topic_ids`, in this order, each pair once.
        """
        found: set[tuple[int, int]] = set()
        if self._words or self._phrases:
            for i, text in enumerate(texts):
                found.update((i, j) for j in self._by_words(text))
        if self._sets:
            began = time.perf_counter()
            for i, text in enumerate(texts):
                composed = text if text.isascii() else unicodedata.normalize("NFC", text)
                for expressions in self._sets:
                    found.update((i, j) for j in expressions.topics_of(composed))
                if self._seconds + time.perf_counter() - began > self.limit_s:
                    raise ApplicationError(
                        _(
                            "The regular expressions among the keywords take too long. Make them simpler: avoid "
                            "long repetitions such as {100}."
                        ),
                        code="keywords_too_slow",
                    )
            self._seconds += time.perf_counter() - began
        pairs = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _by_words(self, text: str) -> set[int]:
        folded = _folded(text)
        if self._glance is not None and not self._glance.Match(folded):
            return set()
        tokens = _split(folded)
        own = set(tokens)
        found: set[int] = set()
        for word in self._words.keys() & own:
            found.update(self._words[word])
        if firsts := self._phrases.keys() & own:
            joined = f" {' '.join(tokens)} "
            found.update(j for first in firsts for phrase, j in self._phrases[first] if phrase in joined)
        return found


def _parts(expressions: Mapping[str, list[int]]) -> list[dict[str, list[int]]]:
    """Cut expressions into parts that are looked for together."""
    parts: list[dict[str, list[int]]] = []
    size = total = 0
    for keyword, topics in expressions.items():
        own = _compile(keyword).programsize
        if not parts or size + own > SET_PROGRAM:
            parts.append({})
            size = 0
        parts[-1][keyword] = topics
        size += own
        total += own
    if total > MAX_ALL_PROGRAMS:
        raise ApplicationError(
            _("The regular expressions among the keywords are too large together. Use fewer, or simpler ones."),
            code="keywords_too_large",
        )
    return parts


def _search_set(patterns: Iterable[str]) -> re2.Set:
    found = re2.Set.SearchSet(_options(SET_MEMORY))
    for pattern in patterns:
        found.Add(pattern)
    found.Compile()
    return found


class _ExpressionSet:
    """Regular expressions that one pass over a text looks for."""

    def __init__(self, expressions: Mapping[str, list[int]]) -> None:
        self._keywords = list(expressions)
        self._topics = list(expressions.values())
        # A set says "nothing found" as well when it ran out of memory. An expression that is found in every text
        # tells the two apart; without it, the expressions are looked for one by one.
        try:
            self._set = _search_set([*map(_pattern, self._keywords), ""])
        except re2.error:  # no memory even to begin with
            self._set = None

    def topics_of(self, text: str) -> Iterable[int]:
        always = len(self._keywords)
        found = self._set.Match(text) if self._set is not None else []
        if always not in found:
            found = [i for i, keyword in enumerate(self._keywords) if _compile(keyword).search(text)]
        return (j for i in found if i != always for j in self._topics[i])


def keywords_found(keywords: Iterable[str], text: str) -> list[str]:
    """Return those of a topic's keywords that a text has, in their order."""
    own = list(keywords)
    _text, places = KeywordMatcher({i: [keyword] for i, keyword in enumerate(own)}).match([text])
    return [own[j] for j in sorted(places.tolist())]
