"""Soft leases: focus mode serves a row to one person at a time.

A lease is taken when a row is served or held ready, renewed while the page shows it, and given back when it is
reviewed, skipped or the page is left. What is not given back ends by itself after FOCUS_LEASE_S.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from projects.models import Column
from rows.models import FocusLease, Verbatim


def lease_claim(*, verbatim: Verbatim, user: Any) -> bool:
    """Take the row for this person, or renew what they have; False where somebody else was faster.

    One statement decides: of two people at the same moment one changes (or inserts) the line, the other does not.
    """
    now = timezone.now()
    values = {"user": user, "expires_at": now + timedelta(seconds=settings.FOCUS_LEASE_S)}
    free = Q(user=user) | Q(expires_at__lte=now)
    if FocusLease.objects.filter(free, verbatim=verbatim.pk).update(**values):
        return True
    try:
        with transaction.atomic():
            FocusLease.objects.create(verbatim_id=verbatim.pk, column_id=verbatim.column_id, **values)
    except IntegrityError:
        return False
    return True


def leased_to_others(*, column: Column, user: Any) -> QuerySet[FocusLease]:
    """Return the leases of other people in this column that still hold."""
    return FocusLease.objects.filter(column=column, expires_at__gt=timezone.now()).exclude(user=user)


def leases_renew(*, column: Column, user: Any, verbatim_ids: Collection[int]) -> int:
    """Keep this person's leases of rows that their page still holds; those taken over meanwhile stay gone."""
    if not verbatim_ids:
        return 0
    until = timezone.now() + timedelta(seconds=settings.FOCUS_LEASE_S)
    return FocusLease.objects.filter(column=column, user=user, verbatim__in=verbatim_ids).update(expires_at=until)


def leases_release(*, column: Column, user: Any, verbatim_ids: Collection[int]) -> int:
    """Give rows back, so that others get them at once."""
    if not verbatim_ids:
        return 0
    own = FocusLease.objects.filter(column=column, user=user, verbatim__in=verbatim_ids)
    return own._raw_delete(using=own.db)  # nothing hangs on a lease: one statement, no transaction around it


def leases_prune(*, column: Column) -> None:
    """Delete what ended long ago; nothing reads it, it only takes room."""
    before = timezone.now() - timedelta(seconds=settings.FOCUS_LEASE_S)
    FocusLease.objects.filter(column=column, expires_at__lt=before).delete()
