"""The queue of focus mode: which row to review next.

Rows that teach most first, then the least certain ones, mixed with a share of rows drawn at random, and never two
near-identical texts in a row (specification S4.3). The random rows are marked (`is_audit`) and make an unbiased
sample to measure the AI on, so they are drawn without a look at content or certainty.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from projects.models import Column
from rows import hooks
from rows.models import Assignment, Verbatim
from rows.selectors import with_topics
from rows.services.leases import lease_claim, leased_to_others

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
    user: Any = None,
) -> Card | None:
    """Return the next card, or None when everything is reviewed, skipped or in front of somebody else.

    Parameters
    ----------
    last_id
        The verbatim shown before: its near-copies wait.
    exclude
        Verbatims that the person skipped.
    strategy
        "focus" (mix), "certainty" (least certain only) or "random".
    user
        Who gets the card: the row is leased to them, and rows leased to others wait. None: no leases.
    """
    rng = rng or random.SystemRandom()
    skipped = set(exclude)
    if last_id:
        skipped.add(last_id)
    if user is not None:
        skipped.update(leased_to_others(column=column, user=user).values_list("verbatim_id", flat=True))
    while (card := _choose(column, last_id, skipped, rng, strategy)) is not None:
        if user is None or lease_claim(verbatim=card.verbatim, user=user):
            return card
        skipped.add(card.verbatim.pk)  # somebody else was faster
    return None


def _choose(
    column: Column, last_id: int | None, skipped: set[int], rng: random.Random, strategy: str
) -> Card | None:
    share = {"focus": settings.AUDIT_SHARE_PERCENT / 100, "random": 1.0, "certainty": 0.0}[strategy]
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


def recent_topics(*, column: Column, user: Any, limit: int = 8) -> list[int]:
    """Return the topics this person put on rows last, the last one first."""
    last = Verbatim.objects.filter(column=column, is_reviewed=True).order_by("-reviewed_at", "-id")
    own = [pk for pk, reviewer in last.values_list("pk", "reviewed_by")[:200] if reviewer == user.pk][:30]
    topics: dict[int, list[int]] = {pk: [] for pk in own}
    used = Assignment.objects.filter(verbatim__in=own, topic__deleted_at=None).order_by("position", "id")
    for verbatim, topic in used.values_list("verbatim_id", "topic_id"):
        topics[verbatim].append(topic)
    return list(dict.fromkeys(pk for found in topics.values() for pk in found))[:limit]
