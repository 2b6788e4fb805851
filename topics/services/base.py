"""What all writes of the topic collection share: the lock, clean labels, codes, and telling others."""

from __future__ import annotations

import base64
import json
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import connection
from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from projects.history import column_touch
from projects.models import Change, Column
from topicassign.errors import ApplicationError, StaleRevisionError
from topicassign.numbers import grouped
from topics import hooks
from topics.hooks import PutBack
from topics.models import CATEGORY_CHARS, LABEL_CHARS, PALETTE, Category, Topic

MAX_CODE = 999_999_999
COLLECTION_LOCK = 7_091  # the first of the two numbers by which PostgreSQL knows the locks on topic collections
CODE_FIELDS = ("code_neutral", "code_positive", "code_negative")
SENTIMENT_LABEL_FIELDS = ("label_neutral", "label_positive", "label_negative")
_NAMES = {
    "code_neutral": gettext_lazy("neutral code"),
    "code_positive": gettext_lazy("positive code"),
    "code_negative": gettext_lazy("negative code"),
    "label_neutral": gettext_lazy("neutral label"),
    "label_positive": gettext_lazy("positive label"),
    "label_negative": gettext_lazy("negative label"),
    "sentiment_enabled": gettext_lazy("sentiment"),
    "color": gettext_lazy("colour"),
    "label": gettext_lazy("label"),
    "category": gettext_lazy("category"),
    "description": gettext_lazy("description"),
    "keywords": gettext_lazy("keywords"),
}


_NAMELESS = {
    "topic": gettext_lazy("Give the topic a name."),
    "category": gettext_lazy("Give the category a name."),
}
_TOO_LONG = {
    "topic": gettext_lazy("The name of a topic may have at most %(most)s characters, this one has %(n)s."),
    "category": gettext_lazy("The name of a category may have at most %(most)s characters, this one has %(n)s."),
}
_STALE = {
    "topic": gettext_lazy(
        "Somebody else changed this topic meanwhile. Open it again to see the new state; nothing was saved."
    ),
    "category": gettext_lazy(
        "Somebody else changed this category meanwhile. Open it again to see the new state; nothing was saved."
    ),
}


def lock_column(column: Column) -> Column:
    """Let one writer at a time change this topic collection. Call it inside the transaction.

    Not a lock on the column's row: every review writes that row last, while it holds its verbatims. An act on
    topics that held it, and then waited for one of these verbatims, would wait for ever. (SQLite has one writer.)
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [COLLECTION_LOCK, column.pk % 2**31])
    return Column.objects.select_related("project").get(pk=column.pk)


def clean_label(label: str) -> str:
    """Return a label as it is stored: composed letters, single spaces, no control characters."""
    text = unicodedata.normalize("NFC", label)
    text = "".join(" " if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} else letter for letter in text)
    return " ".join(text.split())


def check_label(label: str, *, what: str, most: int) -> str:
    """Return the clean label; raises ApplicationError when it is empty or too long."""
    cleaned = clean_label(label)
    if not cleaned:
        raise ApplicationError(_NAMELESS[what], code="label_missing", field="label")
    if len(cleaned) > most:
        raise ApplicationError(
            _TOO_LONG[what] % {"most": most, "n": len(cleaned)},
            code="label_too_long",
            field="label",
        )
    return cleaned


def check_category_label(column: Column, label: str, *, besides: Category | None = None) -> str:
    cleaned = check_label(label, what="category", most=CATEGORY_CHARS)
    others = Category.objects.filter(column=column, deleted_at=None)
    if besides is not None:
        others = others.exclude(pk=besides.pk)
    if cleaned.casefold() in {other.casefold() for other in others.values_list("label", flat=True)}:
        raise ApplicationError(
            _("There is already a category named %(label)s.") % {"label": cleaned},
            code="category_exists",
            field="label",
        )
    return cleaned


def check_topic_label(category: Category, label: str, *, besides: Topic | None = None) -> str:
    cleaned = check_label(label, what="topic", most=LABEL_CHARS)
    others = Topic.objects.filter(category=category, deleted_at=None)
    if besides is not None:
        others = others.exclude(pk=besides.pk)
    if cleaned.casefold() in {other.casefold() for other in others.values_list("label", flat=True)}:
        raise ApplicationError(
            _("There is already a topic named %(label)s in the category %(category)s.")
            % {"label": cleaned, "category": category.label},
            code="topic_exists",
            field="label",
        )
    return cleaned


def check_limit(column: Column, n_new: int = 1) -> None:
    n_topics = Topic.objects.filter(column=column, deleted_at=None).count()
    if n_topics + n_new > settings.LIMIT_TOPICS:
        raise ApplicationError(
            _(
                "A topic collection may have at most %(limit_topics)s topics. Delete or merge some "
                "before adding more."
            )
            % {"limit_topics": settings.LIMIT_TOPICS},
            code="too_many_topics",
        )


def codes_of(topic: Topic) -> list[int]:
    """Return the codes a topic holds, over all its versions."""
    return [code for code in (getattr(topic, field) for field in CODE_FIELDS) if code is not None]


def codes_in_use(column: Column, *, besides: Iterable[int] = ()) -> dict[int, Topic]:
    """Return the codes of the live topics of a column, each with its topic."""
    topics = Topic.objects.filter(column=column, deleted_at=None).exclude(pk__in=list(besides))
    return {code: topic for topic in topics for code in codes_of(topic)}


def free_codes(column: Column, *, besides: Iterable[int] = ()) -> Iterator[int]:
    """Yield free codes, each once: upwards from the highest that any topic has or had.

    So undoing never clashes. The first code of an empty collection is 0; where the highest are taken, the gaps
    follow from below.
    `besides` are codes that are promised to others.
    """
    used = set(besides)
    for codes in Topic.objects.filter(column=column).values_list(*CODE_FIELDS):
        used.update(code for code in codes if code is not None)
    above = max(used, default=-1) + 1
    yield from range(above, MAX_CODE + 1)
    yield from (code for code in range(above) if code not in used)


def check_codes(column: Column, topic: Topic) -> None:
    """Fill in missing codes and refuse those that are out of range, named twice or taken by another topic."""
    wanted = CODE_FIELDS if topic.sentiment_enabled else CODE_FIELDS[:1]
    given = [(field, getattr(topic, field)) for field in CODE_FIELDS if getattr(topic, field) is not None]
    taken = codes_in_use(column, besides=[topic.pk] if topic.pk else [])
    seen: set[int] = set()
    for field, code in given:
        if not 0 <= code <= MAX_CODE:
            raise ApplicationError(
                _("A code is a whole number from 0 to %(max_code)s, got %(code)s.")
                % {"max_code": MAX_CODE, "code": code},
                code="bad_code",
                field=field,
            )
        if code in seen:
            raise ApplicationError(
                _("The code %(code)s is given twice. Each version of a topic needs its own code.")
                % {"code": code},
                code="code_exists",
                field=field,
            )
        if code in taken:
            raise ApplicationError(
                _("The code %(code)s is already used by the topic %(topic)s.")
                % {"code": code, "topic": taken[code].label},
                code="code_exists",
                field=field,
            )
        seen.add(code)
    free = free_codes(column, besides=seen)
    for field in wanted:
        if getattr(topic, field) is None:
            setattr(topic, field, next(free))


def next_color(column: Column) -> str:
    """Return the palette's first colour that the fewest categories have."""
    used = list(Category.objects.filter(column=column, deleted_at=None).values_list("color", flat=True))
    return min(PALETTE, key=used.count)


def next_position(query: Any) -> int:
    last = query.order_by("-position").values_list("position", flat=True).first()
    return 0 if last is None else last + 1


def full_clean(instance: Model) -> None:
    """Run the model's own checks; a broken one is a sentence for the person."""
    try:
        instance.full_clean()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        field = "" if field == NON_FIELD_ERRORS else field
        raise ApplicationError(f"{messages[0]}", code="invalid", field=field) from None


def check_version(current: str, expected: str | None, what: str) -> None:
    """Refuse a save that was based on an older state than the present one."""
    if expected is not None and expected != current:
        raise StaleRevisionError(_STALE[what])


def reload_topics(column: Column, topics: Sequence[Topic], expected: Mapping[int, str] | None) -> list[Topic]:
    """Read topics of a locked column again, in the order given.

    `expected` has the versions that the person saw, by id. Raises ApplicationError (409) where a topic is deleted
    by now, and StaleRevisionError where one is another than the person saw.
    """
    ids = [topic.pk for topic in topics]
    fresh = {
        topic.pk: topic
        for topic in Topic.objects.select_related("category").filter(pk__in=ids, column=column, deleted_at=None)
    }
    for topic in topics:
        if topic.pk not in fresh:
            raise ApplicationError(
                _("The topic %(topic)s was deleted meanwhile. Nothing was changed.") % {"topic": topic.label},
                status=409,
                code="topic_deleted",
            )
        check_version(fresh[topic.pk].version, (expected or {}).get(topic.pk), "topic")
    for topic in fresh.values():
        topic.column = column
    return [fresh[pk] for pk in ids]


def same_act(column: Column, user: Any, kind: str, ids: Sequence[int]) -> Change | None:
    """Return the act of this person that did just this, if it is not undone: a form that was sent twice.

    Acts that take topics away cannot be done again, so what was done is the answer.
    """
    gone = Topic.objects.filter(pk__in=ids).exclude(deleted_at=None)
    if not gone.exists():
        return None
    found = Change.objects.filter(column=column, user=user, kind=kind, undone_at=None).order_by("-pk")
    return next((change for change in found[:20] if change.inverse.get("asked") == list(ids)), None)


def labels_text(topics: Sequence[Topic], most: int = 3) -> str:
    """Return the labels of some topics for a summary: A, B, C and 4 more."""
    text = ", ".join(topic.label for topic in topics[:most])
    if len(topics) <= most:
        return text
    return _("%(topics)s and %(n)s more") % {"topics": text, "n": len(topics) - most}


def rows_text(n: int) -> str:
    return ngettext("%(n)s row", "%(n)s rows", n) % {"n": grouped(n)}


def put_back_text(done: PutBack) -> str | None:
    """Return half a sentence about rows that people decided about since."""
    parts = []
    if done.n_left_alone - done.n_converted > 0:
        n = done.n_left_alone - done.n_converted
        parts.append(
            ngettext(
                "%(n)s row was reviewed since and left as it is",
                "%(n)s rows were reviewed since and left as they are",
                n,
            )
            % {"n": grouped(n)}
        )
    if done.n_converted:
        parts.append(
            ngettext(
                "%(n)s row reviewed since got the former topic",
                "%(n)s rows reviewed since got the former topic",
                done.n_converted,
            )
            % {"n": grouped(done.n_converted)}
        )
    return "; ".join(parts) or None


def tell(column: Column, user: Any, *, for_ai: bool) -> None:
    """Note the change for polls and, where the AI reads it, start its update (debounced by the listener)."""
    column_touch(column, data=for_ai)
    column.refresh_from_db(fields=["revision", "data_version", "last_edited_at"])
    if for_ai:
        hooks.topics_changed.send(column=column, user=user)


def field_names(fields: Iterable[str]) -> str:
    """Return fields as words for a summary: label, neutral code."""
    return ", ".join(str(_NAMES.get(field, field)) for field in fields)


def live_column(change: Change) -> Column:
    assert change.column is not None
    return lock_column(change.column)


def pack_ids(ids: Iterable[int]) -> str:
    """Return many ids as a short text: undoing an act on 100,000 rows must not fill the history."""
    previous, gaps = 0, []
    for pk in sorted(ids):
        gaps.append(pk - previous)
        previous = pk
    return base64.b64encode(zlib.compress(json.dumps(gaps, separators=(",", ":")).encode(), 6)).decode()


def unpack_ids(packed: str) -> list[int]:
    ids, last = [], 0
    for gap in json.loads(zlib.decompress(base64.b64decode(packed))):
        last += gap
        ids.append(last)
    return ids
