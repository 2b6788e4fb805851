"""The AI score tab as numbers to draw: a bar per topic, the scale from 0 to 100, the line over updates.

Everything is in percent of the drawing, so the SVG needs no script and no fixed size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from finetune.models import TopicScore

# A bar thinner than this is hard to see; wide topics give way. Many topics share what there is.
THINNEST = 0.8
MOST_TAKEN_BY_THIN = 40.0
GAP = 0.35

Order = tuple[str, bool]  # what to sort by, and whether from high to low
_KEYS: dict[str, Callable[[TopicScore], Any]] = {
    "score": lambda item: item.score or 0.0,
    "count": lambda item: item.count,
    "influence": lambda item: item.influence or 0.0,
    "topic": lambda item: (item.topic.category.position, item.topic.category_id, item.topic.position),
}
_HIGH_FIRST = {"count"}  # what a first click on the heading gives; the others begin with the low end


@dataclass(frozen=True)
class Bar:
    """One topic: as wide as it has rows, as high as its score."""

    item: TopicScore
    x: float
    width: float

    @property
    def height(self) -> float:
        return self.item.score or 0.0

    @property
    def y(self) -> float:
        return 100 - self.height


def score_order(by: str, direction: str) -> Order:
    """Return a known order; anything else is by score, the lowest first."""
    by = by if by in _KEYS else "score"
    return by, {"up": False, "down": True}.get(direction, by in _HIGH_FIRST)


def sort_scores(scores: Sequence[TopicScore], order: Order) -> list[TopicScore]:
    """Return the scores sorted; topics without a score come last where one sorts by it."""
    by, high_first = order
    ranked = sorted(scores, key=lambda item: item.topic.label)
    ranked.sort(key=_KEYS[by], reverse=high_first)
    if by in {"score", "influence"}:
        ranked.sort(key=lambda item: item.score is None)
    return ranked


def score_bars(scores: Sequence[TopicScore]) -> list[Bar]:
    """Return the bars of the topics that have a score, by category, large topics first in each."""
    shown = [item for item in scores if item.score is not None]
    shown.sort(key=lambda item: (*_KEYS["topic"](item)[:2], -item.count, item.topic.label))
    total = sum(item.count for item in shown)
    if not total:
        return []
    thinnest = min(THINNEST, MOST_TAKEN_BY_THIN / len(shown))
    shared = 100 - thinnest * len(shown)
    gap = min(GAP, thinnest / 3)
    bars, x = [], 0.0
    for item in shown:
        width = thinnest + shared * item.count / total
        bars.append(Bar(item, round(x, 3), round(width - gap, 3)))
        x += width
    return bars


def score_line(history: Sequence[tuple[int, int, float]]) -> dict[str, Any] | None:
    """Return the points of the score over versions, in a box of 100 by 40; None for fewer than two."""
    if len(history) < 2:
        return None
    step = 100 / (len(history) - 1)
    points = [(round(i * step, 2), round(40 - 0.4 * score, 2)) for i, (_, _, score) in enumerate(history)]
    return {
        "points": " ".join(f"{x},{y}" for x, y in points),
        "first": history[0],
        "last": history[-1],
    }
