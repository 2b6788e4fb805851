"""A topic as the engine sees it, and the text that stands for it before anybody gave an example."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TopicSpec:
    """What a person wrote about a topic."""

    label: str
    category: str = ""
    description: str = ""
    keywords: Sequence[str] = field(default=())
    sentiment_labels: Sequence[str] = field(default=())


def topic_prompt(spec: TopicSpec) -> str:
    """Return the text to encode for a topic; it serves as the topic's first example.

    Label, then description and keywords, then the labels of its sentiment versions. The category is left out
    unless the label says nothing by itself ("Other", "General"): on collections with broad categories it pulls
    all topics of a category together (nlupp, no reviews: micro-F1 0.44 with the label alone, 0.36 with the
    category before it).
    """
    label = _words(spec.label)
    parts = [f"{_words(spec.category)}: {label}" if spec.category and label.lower() in _EMPTY_LABELS else label]
    if spec.description.strip():
        parts.append(spec.description.strip())
    keywords = [word for word in spec.keywords if not (word.startswith("/") and word.rstrip("i").endswith("/"))]
    if keywords:
        parts.append(", ".join(keywords))
    wordings = [_words(wording) for wording in spec.sentiment_labels if wording and wording.strip()]
    if wordings:
        parts.append(", ".join(dict.fromkeys(wordings)))
    return ". ".join(part for part in parts if part)


_EMPTY_LABELS = {"other", "others", "general", "misc", "miscellaneous", "various", "else", "rest", "overall"}


def _words(label: str) -> str:
    """Return the label as words: underscores, camel case and slashes opened."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label.replace("_", " "))
    return re.sub(r"\s+", " ", text).strip()
