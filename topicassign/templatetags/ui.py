"""Template tags for the small parts every page is made of: icons, faces, chips, bars.

They are Python, not includes, because a row feed draws hundreds of them and an include costs ten times as much.
"""

from __future__ import annotations

import gettext as catalogues
import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join, json_script
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince
from django.utils.translation import get_language, ngettext, to_locale
from django.utils.translation import gettext as _

from rows.text import search_terms
from topicassign import numbers

register = template.Library()

SENTIMENT_NAMES = {1: "positive", 0: "neutral", -1: "negative"}


@lru_cache(maxsize=8)
def _sprite(path: str) -> str:
    return static(path)


def sentiment_name(sentiment: int | None) -> str:
    """Return the untranslated name of a sentiment: positive, neutral or negative; "" for None."""
    return "" if sentiment is None else SENTIMENT_NAMES[int(sentiment)]


def sentiment_word(sentiment: int | None) -> str:
    """Return the word a person reads for a sentiment."""
    if sentiment is None:
        return ""
    if sentiment == 0:
        return _("neutral")
    return _("positive") if sentiment > 0 else _("negative")


@register.simple_tag
def icon(name: str, size: str = "", label: str = "") -> SafeString:
    """Return an icon of static/img/icons.svg.

    `size` is "", "small", "large" or "spin"; with `label` the icon is announced, else it is decoration.
    """
    return _icon(name, size, label)


@lru_cache(maxsize=1024)
def _icon(name: str, size: str, label: str) -> SafeString:
    classes = f"icon icon--{size}" if size else "icon"
    if name == "check":
        classes += " icon--check"
    svg = format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        classes,
        _sprite("img/icons.svg"),
        name,
    )
    return svg + format_html('<span class="visually-hidden">{}</span>', label) if label else svg


@register.simple_tag
def sentiment_face(sentiment: int | None, label: str | None = None, size: str = "") -> SafeString:
    """Return the face of a sentiment (circle, square, diamond: they differ in shape too); "" for None.

    The word is read to screen readers; pass `label=""` where it already stands beside the face.
    """
    if sentiment is None:
        return mark_safe("")
    return _face(int(sentiment), sentiment_word(sentiment) if label is None else label, size)


@lru_cache(maxsize=256)
def _face(sentiment: int, word: str, size: str) -> SafeString:
    name = SENTIMENT_NAMES[sentiment]
    return format_html(
        '<svg class="face face--{}{}" aria-hidden="true"><use href="{}#{}"/></svg>{}',
        name,
        f" face--{size}" if size else "",
        _sprite("img/faces.svg"),
        name,
        format_html('<span class="visually-hidden">{}</span>', word) if word else "",
    )


@register.simple_tag
def chip(
    label: str,
    category: str = "",
    color: str = "",
    sentiment: int | None = None,
    count: int | None = None,
    extra_class: str = "",
    title: str = "",
) -> SafeString:
    """Return a topic chip: category in small capitals and colour, label, sentiment face."""
    return format_html(
        '<span class="chip{}" data-color="{}"{}>{}<span class="chip__label">{}</span>{}{}</span>',
        f" {extra_class}" if extra_class else "",
        color or "slate",
        format_html(' title="{}"', title) if title else "",
        format_html('<span class="chip__category">{}</span>', category) if category else "",
        label,
        format_html('<span class="chip__count">{}</span>', count) if count is not None else "",
        sentiment_face(sentiment),
    )


@register.simple_tag
def assignment_chip(assignment: Any) -> SafeString:
    """Return the chip of a topic on a row: who put it there and how sure the AI was is its tooltip."""
    return topic_chip(assignment.topic, assignment.sentiment, assignment.source, assignment.probability)


def topic_chip(topic: Any, sentiment: int | None, source: str, probability: float | None) -> SafeString:
    """Return the chip of an assignment, given by its parts."""
    title = f"{topic.category.label}: {topic.label}"
    if source == "ai":
        share = f", {100 * probability:.0f} %" if probability is not None else ""
        title += f" ({_('AI')}{share})"
    elif source == "keyword":
        where = _("by keyword")
        title += f" ({where})"
    return chip(
        topic.sentiment_label(sentiment), topic.category.label, topic.category.color, sentiment, title=title
    )


@register.simple_tag
def dot(color: str = "") -> SafeString:
    """Return the coloured dot of a category."""
    return format_html('<span class="dot" data-color="{}"></span>', color or "slate")


@register.simple_tag
def meter(value: float | None, maximum: float = 100, color: str = "", mark: float | None = None) -> SafeString:
    """Return a horizontal bar as SVG (widths are attributes: no inline style, so the CSP holds)."""
    share = 0.0 if not maximum or value is None else max(0.0, min(1.0, float(value) / float(maximum)))
    line = (
        format_html('<line x1="{0}%" x2="{0}%" y1="0" y2="100%"/>', f"{100 * mark / maximum:.2f}")
        if mark is not None and maximum
        else ""
    )
    return format_html(
        '<svg class="meter" aria-hidden="true" preserveAspectRatio="none"{}>'
        '<rect width="{}%" height="100%"/>{}</svg>',
        format_html(' data-color="{}"', color) if color else "",
        f"{100 * share:.2f}",
        line,
    )


@register.simple_tag
def stacked_bar(parts: Iterable[tuple[float, str]], maximum: float = 100, color: str = "") -> SafeString:
    """Return one bar of several parts: `parts` are (value, CSS class), `maximum` is the full width."""
    x, rects = 0.0, []
    for value, css_class in parts:
        width = 0.0 if not maximum else 100 * float(value) / float(maximum)
        rects.append(
            format_html(
                '<rect class="{}" x="{}%" width="{}%" height="100%"/>', css_class, f"{x:.2f}", f"{width:.2f}"
            )
        )
        x += width
    return format_html(
        '<svg aria-hidden="true"{}>{}</svg>',
        format_html(' data-color="{}"', color) if color else "",
        format_html_join("", "{}", ((rect,) for rect in rects)),
    )


@register.simple_tag
def marked(text: str, query: str = "", limit: int = 0) -> SafeString:
    """Return `text` escaped, the words and phrases of a search in <mark>, cut after `limit` characters."""
    if limit and len(text) > limit:
        text = text[:limit].rstrip() + "…"
    found = {term for term, wanted in search_terms(query) if wanted and term.strip()}
    words = sorted(found, key=len, reverse=True)
    if not words:
        return conditional_escape(text)
    pieces = re.split("(" + "|".join(re.escape(word) for word in words) + ")", text, flags=re.IGNORECASE)
    return format_html_join(
        "",
        "{}",
        ((format_html("<mark>{}</mark>", piece) if index % 2 else piece,) for index, piece in enumerate(pieces)),
    )


@register.filter
def percent(value: float | None, digits: int = 0) -> str:
    """Format a share in [0, 1] as percent; an en dash for None. A share that is not zero never reads 0 %.

    The space is one that no line is broken at.
    """
    if value in (None, ""):
        return "–"
    value = float(value)
    if 0 < value < 0.5 * 10 ** (-2 - int(digits)):
        return f"<\u00a0{numbers.decimal(10.0 ** -int(digits), int(digits))}\u00a0%"
    return f"{numbers.decimal(100 * value, int(digits))}\u00a0%"


@register.filter
def score(value: float | None) -> str:
    """Format an AI score as a whole number; an en dash where there is none."""
    return "–" if value in (None, "") or value != value else f"{float(value):.0f}"


@register.filter
def signed(value: float | None, digits: int = 1) -> str:
    """Format a difference with its sign (a true minus); an en dash for None."""
    if value in (None, ""):
        return "–"
    text = f"{abs(float(value)):.{int(digits)}f}"
    return text if not float(text) else f"{'+' if float(value) > 0 else '−'}{text}"


@register.filter
def duration(seconds: float | None) -> str:
    """Format seconds for people: 0.4 s, 12 s, 3 min 20 s, 1 h 5 min."""
    if seconds in (None, ""):
        return "–"
    seconds = float(seconds)
    if seconds < 10:
        return f"{numbers.decimal(seconds, 1)} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


@register.filter
def ago(moment: datetime | None) -> str:
    """Say how long ago a moment was: just now, 3 minutes ago, 2 days, 4 hours ago; an en dash for None."""
    if moment in (None, ""):
        return "–"
    if (timezone.now() - moment).total_seconds() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(moment)}


@register.filter
def thousands(value: int | None) -> str:
    """Format a whole number in groups of three, as the language writes them; an en dash for None."""
    return "–" if value in (None, "") else numbers.thousands(int(value))


@register.simple_tag
def script_texts() -> SafeString:
    """Return what scripts say in the language of the page, for static/js/texts.js; English needs nothing."""
    texts = _script_texts(get_language() or "en")
    return json_script(texts, "texts") if texts else mark_safe("")


@lru_cache(maxsize=8)
def _script_texts(language: str) -> dict[str, Any]:
    try:
        catalogue = catalogues.translation("djangojs", settings.LOCALE_PATHS[0], [to_locale(language)])
    except FileNotFoundError:
        return {}
    texts: dict[str, Any] = {}
    for key, text in catalogue._catalog.items():  # type: ignore[attr-defined]
        if isinstance(key, tuple):  # a plural form: (English singular, number of the form)
            texts.setdefault(key[0], []).append(text)
        elif key:
            texts[key] = text
    return texts


@register.filter
def get_item(mapping: Any, key: Any) -> Any:
    """Return `mapping[key]`, or None."""
    try:
        return mapping.get(key)
    except AttributeError:
        return None


@register.simple_tag
def n_rows(count: int) -> str:
    """Return "1 row" or "n rows"."""
    return ngettext("%(n)s row", "%(n)s rows", count) % {"n": thousands(count)}


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """Return the current query string with `changes` applied; a value of None or "" removes the key."""
    params = context["request"].GET.copy()
    for key, value in changes.items():
        if value is None or value == "":
            params.pop(key, None)
        elif isinstance(value, (list, tuple)):
            params.setlist(key, [str(one) for one in value])
        else:
            params[key] = str(value)
    encoded = params.urlencode()
    return f"?{encoded}" if encoded else "?"
