"""From our own JSON to a codebook: everything a person may set, in the order of the screen.

    {"format": "topicassign-codebook", "version": 1, "language": "en", "categories": [
        {"label": "Service", "color": "teal", "topics": [
            {"label": "Delivery time", "description": "…", "keywords": ["late", "/slow|tardy/"],
             "sentiment": true, "sentiment_labels": {"positive": "Fast", "negative": "Slow"},
             "codes": {"neutral": 7, "positive": 8, "negative": 9}}]}]}

Only the labels are needed. What is left out says nothing; what is there, also "" and [], is written.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from projects.files import TableError
from topics.codebook.layout import (
    JSON_FORMAT,
    JSON_VERSION,
    VERSION_FIELDS,
    WORDS,
    CategorySaid,
    Codebook,
    CodebookError,
    Entry,
    clean_text,
    description_error,
    keywords_clean,
)
from topics.models import CATEGORY_CHARS, LABEL_CHARS, validate_color
from topics.services.base import MAX_CODE, clean_label

_BOOK_KEYS = {"format", "version", "name", "purpose", "language", "categories"}
_CATEGORY_KEYS = {"label", "color", "topics"}
_TOPIC_KEYS = {"label", "description", "keywords", "sentiment", "sentiment_labels", "codes"}
_VERSIONS = {word: VERSION_FIELDS[mood] for mood, word in WORDS.items()}


class _RefusedError(ValueError):
    """The text is no JSON that can be taken; the message tells the person what is wrong."""


def json_read(content: bytes, *, max_bytes: int) -> Codebook:
    """Return what a codebook in JSON says; raises CodebookError with a sentence for each topic that is wrong."""
    if len(content) > max_bytes:
        raise TableError(
            _("The file is too large; a codebook may have at most %(limit)s MB.")
            % {"limit": max_bytes // (1024 * 1024)},
            code="file_too_large",
        )
    body = _body(content)
    if not isinstance(body, dict) or body.get("format") != JSON_FORMAT:
        raise CodebookError(
            [
                _('This is no codebook of TopicAssign. Its JSON begins with {"format": "%(format)s", …}.')
                % {"format": JSON_FORMAT}
            ]
        )
    version = body.get("version")
    if version != JSON_VERSION or isinstance(version, bool):
        raise CodebookError(
            [
                _("The codebook has version %(version)s of its format; this TopicAssign reads version %(known)s.")
                % {"version": _shown(version), "known": JSON_VERSION}
            ]
        )
    return _Reader().read(body)


def _body(content: bytes) -> Any:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(
            _("JSON is UTF-8, but line %(line)s holds bytes that are not. Save it as UTF-8 and try again.")
            % {"line": line},
            code="bad_encoding",
        ) from None
    if not text.strip():
        raise CodebookError([_("The file is empty. Choose a codebook that was exported as JSON.")])
    try:
        return json.loads(
            text,
            parse_constant=_no_constant,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except json.JSONDecodeError as error:
        raise CodebookError(
            [
                _("Line %(line)s: the JSON cannot be read from column %(column)s on.")
                % {"line": error.lineno, "column": error.colno}
            ]
        ) from None
    except RecursionError:
        raise CodebookError([_("The JSON is nested too deeply to be a codebook.")]) from None
    except _RefusedError as error:
        raise CodebookError([str(error)]) from None


def _no_constant(word: str) -> NoReturn:
    raise _RefusedError(_("%(word)s is no value that JSON knows.") % {"word": word})


def _whole(digits: str) -> int:
    if len(digits) > 18:
        raise _RefusedError(_("The number %(digits)s… is too large.") % {"digits": digits[:18]})
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, n in Counter(key for key, _value in pairs).items():
        if n > 1:
            raise _RefusedError(_("%(key)s is given twice in one place.") % {"key": _shown(key)})
    return dict(pairs)


def _shown(value: Any) -> str:
    """Return a value of the file in a sentence: short, in the notation of JSON."""
    if isinstance(value, dict | list):
        return "{…}" if isinstance(value, dict) else "[…]"
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    return text if len(text) <= 40 else f"{text[:39]}…"


class _Reader:
    """Collects categories and topics, and what is wrong with them."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.categories: dict[str, CategorySaid] = {}
        self.entries: dict[tuple[str, str], Entry] = {}
        self.codes: dict[int, str] = {}
        self.n_topics = 0

    def read(self, body: dict[str, Any]) -> Codebook:
        self.unknown(body, _BOOK_KEYS, _("The file"))
        language = body.get("language", "")
        categories = body.get("categories")
        if not isinstance(categories, list):
            raise CodebookError([_('The file has no list of "categories".')])
        for number, one in enumerate(categories, 1):
            self.category(number, one)
        if self.n_topics > settings.LIMIT_TOPICS:
            self.errors.append(
                _("The file has %(n_entries)s topics; a topic collection may have at most %(limit_topics)s.")
                % {"n_entries": self.n_topics, "limit_topics": settings.LIMIT_TOPICS}
            )
        if not self.categories and not self.errors:
            self.errors.append(_("The file has no categories and no topics."))
        if self.errors:
            raise CodebookError(self.errors)
        return Codebook(
            list(self.entries.values()),
            list(self.categories.values()),
            has_order=True,
            language=language[:8] if isinstance(language, str) else "",
        )

    def wrong(self, where: str, what: str) -> None:
        self.errors.append(_("%(where)s: %(what)s") % {"where": where, "what": what})

    def unknown(self, body: dict[str, Any], known: set[str], where: str) -> None:
        for key in body:
            if key not in known:
                names = ", ".join(sorted(known))
                self.wrong(
                    where,
                    _("%(key)s is not known here. Known are: %(names)s.") % {"key": _shown(key), "names": names},
                )

    def category(self, number: int, body: Any) -> None:
        where = _("Category %(number)s") % {"number": number}
        if not isinstance(body, dict):
            return self.wrong(where, _("it is no object."))
        label = self.label(where, body, CATEGORY_CHARS)
        if not label:
            return None
        where = _("Category %(label)s") % {"label": label[:CATEGORY_CHARS]}
        self.unknown(body, _CATEGORY_KEYS, where)
        said = CategorySaid(label, self.color(where, body.get("color", "")))
        if label.casefold() in self.categories:
            return self.wrong(where, _("it is there twice."))
        self.categories[label.casefold()] = said
        topics = body.get("topics", [])
        if not isinstance(topics, list):
            return self.wrong(where, _('its "topics" are no list.'))
        self.n_topics += len(topics)
        if self.n_topics <= settings.LIMIT_TOPICS:
            for place, one in enumerate(topics, 1):
                self.topic(place, one, label)
        return None

    def color(self, where: str, value: Any) -> str:
        if value in ("", None):
            return ""
        try:
            validate_color(value.lower() if isinstance(value, str) else "?")
        except ValidationError as error:
            self.wrong(
                where,
                _("%(color)s is no colour. %(message)s") % {"color": _shown(value), "message": error.messages[0]},
            )
            return ""
        return str(value.lower())

    def label(self, where: str, body: dict[str, Any], most: int) -> str:
        """Return the clean label; "" where it is missing or too long, which is told."""
        value = body.get("label")
        label = clean_label(value) if isinstance(value, str) else ""
        if not label:
            self.wrong(where, _("its label is missing."))
        elif len(label) > most:
            self.wrong(
                where,
                _("its label may have at most %(most)s characters, it has %(n)s.")
                % {"most": most, "n": len(label)},
            )
            return ""
        return label

    def topic(self, place: int, body: Any, category: str) -> None:
        where = _("Topic %(place)s of %(category)s") % {"place": place, "category": category}
        if not isinstance(body, dict):
            return self.wrong(where, _("it is no object."))
        label = self.label(where, body, LABEL_CHARS)
        if not label:
            return None
        where = _("Topic %(topic)s of %(category)s") % {"topic": label, "category": category}
        self.unknown(body, _TOPIC_KEYS, where)
        entry = Entry(label=label, category=category)
        if entry.key in self.entries:
            return self.wrong(where, _("it is there twice."))
        self.entries[entry.key] = entry
        sentiment = body.get("sentiment", False)
        if not isinstance(sentiment, bool):
            self.wrong(where, _('its "sentiment" is neither true nor false.'))
        entry.has_sentiment = sentiment is True
        self.texts(where, entry, body)
        self.versions(where, entry, body)
        return None

    def texts(self, where: str, entry: Entry, body: dict[str, Any]) -> None:
        if "description" in body:
            value = body["description"]
            if not isinstance(value, str):
                return self.wrong(where, _('its "description" is no text.'))
            entry.description = clean_text(value)
            if error := description_error(entry.description):
                self.wrong(where, error)
        if "keywords" in body:
            value = body["keywords"]
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                return self.wrong(where, _('its "keywords" are no list of texts.'))
            entry.keywords, error = keywords_clean(value)
            if error:
                self.wrong(where, error)
        return None

    def versions(self, where: str, entry: Entry, body: dict[str, Any]) -> None:
        labels = self.by_version(where, body, "sentiment_labels")
        for word, value in labels.items():
            label = clean_label(value) if isinstance(value, str) else None
            if label is None:
                self.wrong(where, _("its %(version)s label is no text.") % {"version": word})
            elif len(label) > LABEL_CHARS:
                self.wrong(
                    where,
                    _("the sentiment label may have at most %(label_chars)s characters, it has %(n_own_label)s.")
                    % {"label_chars": LABEL_CHARS, "n_own_label": len(label)},
                )
            else:
                setattr(entry, _VERSIONS[word][1], label)
        own = [entry.label_neutral, entry.label_positive, entry.label_negative]
        if any(n > 1 for n in Counter(label.casefold() for label in own if label).values()):
            self.wrong(where, _("two of its sentiment labels are the same."))
        for word, code in self.by_version(where, body, "codes").items():
            self.code(where, entry, word, code)

    def by_version(self, where: str, body: dict[str, Any], name: str) -> dict[str, Any]:
        value = body.get(name, {})
        if not isinstance(value, dict):
            self.wrong(where, _('its "%(name)s" are no object.') % {"name": name})
            return {}
        self.unknown({key: None for key in value if key not in _VERSIONS}, set(_VERSIONS), where)
        return {word: value[word] for word in _VERSIONS if word in value}

    def code(self, where: str, entry: Entry, word: str, code: Any) -> None:
        if code is None:
            return None
        if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= MAX_CODE:
            return self.wrong(
                where,
                _("%(text)s is no code. A code is a whole number from 0 to %(max_code)s.")
                % {"text": _shown(code), "max_code": MAX_CODE},
            )
        if word != "neutral" and not entry.has_sentiment:
            return self.wrong(where, _("it has no sentiment, so it can have a neutral code only."))
        if code in self.codes:
            return self.wrong(
                where,
                _("the code %(code)s is already used by the topic %(other)s.")
                % {"code": code, "other": self.codes[code]},
            )
        self.codes[code] = entry.label
        setattr(entry, _VERSIONS[word][0], code)
        return None
