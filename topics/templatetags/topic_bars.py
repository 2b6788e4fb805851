from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.utils.safestring import SafeString

from topicassign.templatetags.ui import sentiment_face, stacked_bar

register = template.Library()

_SENTIMENTS = {"positive": 1, "negative": -1, "neutral": 0}  # of equal ones the first is shown


@register.simple_tag
def topic_bar(counts: Mapping[str, int], n_most: int) -> SafeString:
    """Return a small bar: rows positive, neutral, negative and without sentiment; `n_most` is its full width."""
    parts = [(counts[name], f"is-{name}") for name in ("positive", "neutral", "negative", "none") if counts[name]]
    return stacked_bar(parts, n_most)


@register.simple_tag
def main_face(counts: Mapping[str, int]) -> SafeString | str:
    """Return the face of the most frequent sentiment, for whom colours are not enough; "" without any."""
    name, n = max(((name, counts.get(name, 0)) for name in _SENTIMENTS), key=lambda pair: pair[1])
    return sentiment_face(_SENTIMENTS[name], "") if n else ""
