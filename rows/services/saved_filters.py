"""Saving filters under a name: one's own, or shared with everybody in the project.

Anybody who may see the project may keep filters. Sharing shows something to others, so it takes an
analyst; what others shared may be changed by admins only.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.models import Column, Role
from rows.filters import RowFilter
from rows.models import SavedFilter
from rows.text import storable
from topicassign.errors import ApplicationError

MAX_PER_PERSON = 100


def saved_filter_list(*, column: Column, user: Any) -> QuerySet[SavedFilter]:
    """Return the filters a person sees: their own, and those shared by others."""
    seen = Q(owner=user) | Q(is_shared=True)
    return SavedFilter.objects.filter(seen, column=column, deleted_at=None).select_related("owner")


def get_saved_filter_for_write(
    *, column: Column, user: Any, saved_filter_id: int, deleted: bool = False
) -> SavedFilter:
    """Return a filter the person may change; Http404 for those they cannot see, PermissionDenied for others."""
    found = SavedFilter.objects.select_related("owner").filter(pk=saved_filter_id, column=column).first()
    if found is None or (found.deleted_at is not None) is not deleted:
        raise Http404("No such filter.")
    if found.owner_id == user.pk:
        return found
    if not found.is_shared:
        raise Http404("No such filter.")
    if not _role(column).rank >= Role.ADMIN.rank:
        raise PermissionDenied(_("Only the person who saved this filter, or an admin, can change it."))
    return found


def may_change(*, saved: SavedFilter, column: Column, user: Any) -> bool:
    return saved.owner_id == user.pk or _role(column).rank >= Role.ADMIN.rank


def may_share(column: Column) -> bool:
    return _role(column).rank >= Role.ANALYST.rank


def saved_filter_create(*, column: Column, user: Any, name: str, query: str, is_shared: bool) -> SavedFilter:
    """Keep a filter under a name. Raises ApplicationError for a name that is empty, too long or taken."""
    row_filter = RowFilter.from_query(query, column)
    query = row_filter.understood()
    if not query:
        raise ApplicationError(_("There is nothing to save: no filter is set."), status=422)
    if SavedFilter.objects.filter(column=column, owner=user, deleted_at=None).count() >= MAX_PER_PERSON:
        raise ApplicationError(
            _("You have %(n)s saved filters here, the most there may be. Delete one first.")
            % {"n": MAX_PER_PERSON},
            status=422,
        )
    saved = SavedFilter(column=column, owner=user, name=_clean(name), query=query, is_shared=is_shared)
    return _save(saved, column=column, force_insert=True)


def saved_filter_update(*, saved: SavedFilter, column: Column, name: str, is_shared: bool) -> SavedFilter:
    """Rename a filter, share it or stop sharing it."""
    if is_shared and not saved.is_shared and not may_share(column):
        raise PermissionDenied(_("Viewers keep filters for themselves."))
    saved.name, saved.is_shared, saved.modified_at = _clean(name), is_shared, timezone.now()
    return _save(saved, column=column, update_fields=["name", "is_shared", "modified_at"])


def saved_filter_delete(*, saved: SavedFilter) -> None:
    SavedFilter.objects.filter(pk=saved.pk).update(deleted_at=timezone.now())


def saved_filter_restore(*, saved: SavedFilter, column: Column) -> SavedFilter:
    """Bring a deleted filter back; its name may be taken by now."""
    saved.deleted_at = None
    return _save(saved, column=column, update_fields=["deleted_at"])


def _role(column: Column) -> Role:
    return column.project.role  # type: ignore[attr-defined]  # set by the permission check of this request


def _clean(name: str) -> str:
    name = " ".join(storable(name).split())
    if not name:
        raise ApplicationError(_("Give the filter a name."), status=422)
    if len(name) > SavedFilter.NAME_CHARS:
        raise ApplicationError(
            _("The name has %(n)s characters; at most %(limit)s fit.")
            % {"n": len(name), "limit": SavedFilter.NAME_CHARS},
            status=422,
        )
    return name


def _save(saved: SavedFilter, *, column: Column, **how: Any) -> SavedFilter:
    if saved.is_shared and saved.pk is None and not may_share(column):
        raise PermissionDenied(_("Viewers keep filters for themselves."))
    try:
        with transaction.atomic():
            saved.save(**how)
    except IntegrityError:
        text = _("You already have a filter named “%(name)s” here. Choose another name.")
        raise ApplicationError(text % {"name": saved.name}, status=422) from None
    return saved
