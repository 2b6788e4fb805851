from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.utils.safestring import SafeString

from topicassign.templatetags.ui import stacked_bar

register = template.Library()


@register.simple_tag
def topic_bar(counts: Mapping[str, int], n_most: int) -> SafeString:
    """Return a small bar: rows positive, neutral, negative and without sentiment; `n_most` is its full width."""
    parts = [(counts[name], f"is-{name}") for name in ("positive", "neutral", "negative", "none") if counts[name]]
    return stacked_bar(parts, n_most)
