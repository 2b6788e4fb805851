"""The queue of focus mode: which row to review next.

Rows that teach most first, then the least certain ones, mixed with a share of rows drawn at random, and never two
near-identical texts in a row (specification S4.3). The random rows are marked (`is_audit`) and make an unbiased
sample to measure the AI on, so they are drawn without a look at content or certainty.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db.models import QuerySet

from projects.models import Column
from rows import hooks
from rows.models import Verbatim
from rows.selectors import with_topics

N_CANDIDATES = 20
_DRAWS = 64


@dataclass
class Card:
    """The next row to review and whether it was drawn at random."""

    verbatim: Verbatim
    is_audit: bool


def pool(column: Column) -> QuerySet[Verbatim]:
    """Return what is left to review: one verbatim of each duplicate group, not empty, not reviewed."""
    # `in`: Django writes `is_reviewed=False` as NOT is_reviewed, for which SQLite reads no index.
    return Verbatim.objects.live(column).filter(is_reviewed__in=[False], is_empty=False, is_group_head=True)


def focus_next(
    *,
    column: Column,
    last_id: int | None = None,
    exclude: Collection[int] = (),
    rng: random.Random | None = None,
    strategy: str = "focus",
) -> Card | None:
    """Return the next card, or None when everything is reviewed or skipped.

    Parameters
    ----------
    last_id
        The verbatim shown before: its near-copies wait.
    exclude
        Verbatims that the person skipped.
    strategy
        "focus" (mix), "certainty" (least certain only) or "random".
    """
    rng = rng or random.SystemRandom()
    share = {"focus": settings.AUDIT_SHARE_PERCENT / 100, "random": 1.0, "certainty": 0.0}[strategy]
    skipped = set(exclude)
    if last_id:
        skipped.add(last_id)
    if rng.random() < share:
        drawn = _draw(column, skipped, rng)
        if drawn is not None:
            return Card(drawn, is_audit=True)
    candidates = _planned(column, skipped) if strategy == "focus" else []
    if not candidates:
        candidates = list(
            with_topics(pool(column).exclude(pk__in=skipped).order_by("certainty", "id"))[:N_CANDIDATES]
        )
    if not candidates:
        return None
    if last_id:
        alike = hooks.near_identical.first(
            default=set(), column=column, verbatim_id=last_id, candidate_ids=[row.pk for row in candidates]
        )
        for row in candidates:
            if row.pk not in alike:
                return Card(row, is_audit=False)
    return Card(candidates[0], is_audit=False)


def _planned(column: Column, skipped: set[int]) -> list[Verbatim]:
    """Return what is left of the order the last AI update planned."""
    order: list[int] = hooks.review_order.first(default=[], column=column)
    left = [pk for pk in order if pk not in skipped]
    still_open = set(pool(column).filter(pk__in=left).values_list("pk", flat=True))
    chosen = [pk for pk in left if pk in still_open][:N_CANDIDATES]
    found = {row.pk: row for row in with_topics(Verbatim.objects.filter(pk__in=chosen))}
    return [found[pk] for pk in chosen if pk in found]


def _draw(column: Column, skipped: set[int], rng: random.Random) -> Verbatim | None:
    """Return a row drawn uniformly from the pool: random row numbers until one is in it."""
    # One end at a time: SQLite would read all rows for both together.
    row_numbers = Verbatim.objects.filter(column=column).values_list("row_number", flat=True)
    low, high = row_numbers.order_by("row_number").first(), row_numbers.order_by("-row_number").first()
    if low is None or high is None:
        return None
    for _ in range(4):
        numbers = [rng.randint(low, high) for _ in range(_DRAWS)]
        found = {
            row.row_number: row.pk for row in pool(column).filter(row_number__in=numbers).exclude(pk__in=skipped)
        }
        for number in numbers:
            if number in found:
                return with_topics(Verbatim.objects.filter(pk=found[number])).get()
    # Few rows are left among many: draw from the list itself.
    left = list(pool(column).exclude(pk__in=skipped).order_by("id").values_list("pk", flat=True)[:10_000])
    return with_topics(Verbatim.objects.filter(pk=rng.choice(left))).get() if left else None
