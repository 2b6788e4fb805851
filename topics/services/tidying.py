"""What a person decides about pairs of topics that look alike."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind
from topicassign.errors import ApplicationError
from topics.models import DistinctPair, Topic
from topics.services.base import live_column, lock_column, reload_topics, tell
from topics.services.merging import check_together


@transaction.atomic
def pair_mark(*, first: Topic, second: Topic, is_distinct: bool, user: Any) -> Change | None:
    """Say that two topics are not the same, so that they are no longer listed as similar, or take it back.

    Returns None where it was said already. Raises ApplicationError (409) where one of them was deleted meanwhile.
    """
    if first.pk == second.pk:
        raise ApplicationError(_("Choose two different topics."))
    check_together([first, second])
    column = lock_column(first.column)
    first, second = sorted(reload_topics(column, [first, second], None), key=lambda topic: topic.pk)
    if _is_distinct(first.pk, second.pk) == is_distinct:
        return None
    _set(first.pk, second.pk, is_distinct)
    names = {"first": first.label, "second": second.label}
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.TOPICS_DISTINCT,
        user=user,
        summary=_("Not the same: %(first)s and %(second)s") % names
        if is_distinct
        else _("Listed as similar again: %(first)s and %(second)s") % names,
        inverse={"pair": [first.pk, second.pk], "distinct": not is_distinct},
        ids=[first.pk, second.pk],
    )
    tell(column, user, for_ai=False)
    return change


def _is_distinct(first_id: int, second_id: int) -> bool:
    return DistinctPair.objects.filter(first=first_id, second=second_id).exists()


def _set(first_id: int, second_id: int, is_distinct: bool) -> None:
    if is_distinct:
        DistinctPair.objects.get_or_create(first_id=first_id, second_id=second_id)
    else:
        DistinctPair.objects.filter(first=first_id, second=second_id).delete()


@undoes(ChangeKind.TOPICS_DISTINCT)
def _undo_mark(change: Change, user: Any) -> None:
    column = live_column(change)
    first_id, second_id = change.inverse["pair"]
    if _is_distinct(first_id, second_id) == change.inverse["distinct"]:
        raise ApplicationError(_("This was decided again since; undo the later change first."), status=409)
    _set(first_id, second_id, change.inverse["distinct"])
    tell(column, user, for_ai=False)
