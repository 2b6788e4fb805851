"""The history of acts and their undoing.

A service that changes data records one Change with its inverse. The app that knows how to apply an
inverse registers it here by kind, so that `change_undo` works for acts of every app without
importing them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.models import Change, ChangeKind, Column, Project
from topicassign.errors import ApplicationError

# Applies the inverse of a change; may return half a sentence that the person should read with it.
Undo = Callable[[Change, Any], str | None]
_UNDO: dict[str, Undo] = {}


def undoes(*kinds: str) -> Callable[[Undo], Undo]:
    """Register the function that takes back changes of these kinds."""

    def register(function: Undo) -> Undo:
        for kind in kinds:
            _UNDO[kind] = function
        return function

    return register


def change_record(
    *,
    project: Project,
    kind: str,
    user: Any,
    summary: str,
    inverse: dict[str, Any],
    column: Column | None = None,
    ids: list[int] | None = None,
    subject_id: int | None = None,
) -> Change:
    """Write one act into the history. Call it inside the transaction of the act.

    `summary` is stored as it is made, in the language of who did it: names of topics and people are part of
    it, and it says what was done even when the product words it differently by then.
    """
    return Change.objects.create(
        project=project,
        column=column,
        user=user if user is not None and user.is_authenticated else None,
        kind=kind,
        summary=summary[:300],
        inverse=inverse,
        ids=ids or [],
        subject_id=subject_id,
    )


def can_undo(change: Change) -> bool:
    return change.undone_at is None and change.kind in _UNDO


@transaction.atomic
def change_undo(*, change: Change, user: Any) -> Change:
    """Take an act back, once. Raises ApplicationError when that is no longer possible."""
    locked = Change.objects.select_for_update(of=("self",)).select_related("project", "column").get(pk=change.pk)
    if locked.undone_at is not None:
        raise ApplicationError(_("This was already undone."), status=409, code="already_undone")
    if locked.kind not in _UNDO:
        raise ApplicationError(_("This cannot be undone."))
    note = _UNDO[locked.kind](locked, user)
    locked.undone_at = timezone.now()
    locked.save(update_fields=["undone_at"])
    undoing = change_record(
        project=locked.project,
        column=locked.column,
        kind=ChangeKind.UNDO,
        user=user,
        summary=_("Undone: %(what)s") % {"what": locked} + (f" – {note}" if note else ""),
        inverse={},
        ids=locked.ids,
        subject_id=locked.subject_id,
    )
    undoing.undo_of = locked
    undoing.save(update_fields=["undo_of"])
    return undoing


def undo_part(*, change: Change, kind: str, inverse: dict[str, Any], user: Any) -> str | None:
    """Take back a part of an act that consists of several: what an act of another kind would store of it."""
    part = Change(project=change.project, column=change.column, kind=kind, inverse=inverse, ids=change.ids)
    return _UNDO[kind](part, user)


def column_touch(column: Column, *, data: bool = True, edited: bool = True) -> None:
    """Note that something in a column changed: for polls (`revision`), and for the AI (`data_version`)."""
    values: dict[str, Any] = {"revision": F("revision") + 1}
    if data:
        values["data_version"] = F("data_version") + 1
    if edited:
        values["last_edited_at"] = timezone.now()
    Column.objects.filter(pk=column.pk).update(**values)
