"""When to stop reviewing (specification S4.4): advice with its reasons, never a block.

About a fifth of the rows, at most 300, is the target. It is weighed against how the AI score moved over the
last reviews and against what the AI scores on rows drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

TARGET_SHARE = 0.2
TARGET_ROWS = 300
MIN_SPAN = 20  # reviews that a trend covers, at least
LONG_SPAN = 100  # the score stands still for so long: more of the same will not move it
FLAT_POINTS = 1.5  # about what the score moves by chance
POOR_SCORE = 50


@dataclass(frozen=True)
class Trend:
    """How the AI score moved: from `before` to `now` over the last `n_reviews` reviews."""

    before: float
    now: float
    n_reviews: int

    @property
    def change(self) -> float:
        return self.now - self.before

    @property
    def is_flat(self) -> bool:
        return abs(self.change) < FLAT_POINTS


@dataclass
class StopAdvice:
    """What to tell the person: a headline, and why."""

    can_stop: bool
    headline: str
    reasons: list[str] = field(default_factory=list)
    line: str = ""  # points of the score's curve in a box of 100 × 24, for an SVG polyline


def review_target(n_unique: int) -> int:
    """Return how many reviews are advised: about a fifth of the rows, at most 300."""
    return min(TARGET_ROWS, math.ceil(TARGET_SHARE * n_unique), n_unique)


def score_trend(scores: Sequence[tuple[int, float]], span: int) -> Trend | None:
    """Return how the score moved over the last `span` reviews or a little more; None while it is too early."""
    if not scores:
        return None
    n_now, now = scores[-1]
    earlier = [(n, score) for n, score in scores if n <= n_now - span and n > 0]
    if not earlier:
        return None
    n_before, before = earlier[-1]
    return Trend(before, now, n_now - n_before)


def stop_advice(
    *,
    n_reviewed: int,
    n_unique: int,
    scores: Sequence[tuple[int, float]] = (),
    measured: dict[str, Any] | None = None,
    ai_updates_on: bool = True,
) -> StopAdvice:
    """Return whether reviewing may end, and the reasons.

    Parameters
    ----------
    scores
        (reviews, AI score) after each AI update, oldest first.
    measured
        Score, 95 % interval and size of the random sample; its score is None while it is too small.
    """
    target = review_target(n_unique)
    trend = score_trend(scores, max(MIN_SPAN, n_reviewed // 5))
    long_trend = score_trend(scores, LONG_SPAN)
    measured = measured or {}
    is_poor = measured.get("score") is not None and measured["high"] < POOR_SCORE
    reasons = [_reached(n_reviewed, target)]
    if trend is not None:
        reasons.append(_moved(trend))
    elif not ai_updates_on:
        reasons.append(_("AI updates are off, so the AI score does not show whether more reviews help."))
    else:
        reasons.append(_("It is too early for a trend of the AI score."))
    reasons.append(_measured(measured))

    if n_unique and n_reviewed >= n_unique:
        can_stop, headline = True, _("Everything is reviewed")
    elif n_reviewed < target:
        still = long_trend is not None and long_trend.is_flat and not is_poor
        can_stop = still
        headline = (
            _("You could stop: the AI score stands still") if still else _("Go on: each review still counts")
        )
        if still and long_trend is not None:
            reasons[1] = _moved(long_trend)
    elif is_poor:
        can_stop, headline = False, _("Target reached, but the AI is often wrong")
        reasons.append(_("Fewer and clearer topics help more than further reviews: see the AI score tab."))
    elif trend is not None and not trend.is_flat:
        rising = trend.change > 0
        can_stop = False
        headline = (
            _("Target reached, and the AI is still learning")
            if rising
            else _("Target reached, but the AI score falls")
        )
        reasons.append(
            _("A few more reviews pay.")
            if rising
            else _("The last rows were different from those before: a few more reviews settle it.")
        )
    else:
        can_stop, headline = True, _("You can stop now")
    return StopAdvice(can_stop, headline, reasons, _line(scores))


def _number(value: float, digits: int = 0) -> str:
    return number_format(value, digits, use_l10n=True)


def _reached(n_reviewed: int, target: int) -> str:
    text = _("%(n)s of about %(target)s advised rows are reviewed (a fifth of all different texts, at most 300).")
    return text % {"n": n_reviewed, "target": target}


def _moved(trend: Trend) -> str:
    values = {
        "before": _number(trend.before, 1),
        "now": _number(trend.now, 1),
        "n": trend.n_reviews,
    }
    if trend.is_flat:
        return _("Over the last %(n)s reviews the AI score hardly moved: %(before)s to %(now)s.") % values
    if trend.change > 0:
        return _("Over the last %(n)s reviews the AI score rose from %(before)s to %(now)s.") % values
    return _("Over the last %(n)s reviews the AI score fell from %(before)s to %(now)s.") % values


def _measured(measured: dict[str, Any]) -> str:
    if measured.get("score") is None:
        n = measured.get("n", 0)
        return _("Too few rows drawn at random to measure the AI itself (%(n)s so far, 20 are needed).") % {"n": n}
    values = {
        "n": measured["n"],
        "score": _number(measured["score"]),
        "low": _number(measured["low"]),
        "high": _number(measured["high"]),
    }
    return (
        _("On %(n)s rows drawn at random the AI scores %(score)s (95 %% interval %(low)s to %(high)s).") % values
    )


def _line(scores: Sequence[tuple[int, float]]) -> str:
    """Return the curve's points: reviews to the right, score upwards; "" for fewer than two updates."""
    if len(scores) < 2:
        return ""
    first, last = scores[0][0], scores[-1][0]
    values = [score for _n, score in scores]
    low, high = min(values), max(values)
    wide, tall = max(1, last - first), max(4.0, high - low)
    return " ".join(f"{100 * (n - first) / wide:.1f},{22 - 20 * (score - low) / tall:.1f}" for n, score in scores)
