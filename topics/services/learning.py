"""A column that learns from another one: set, replaced, ended, each as one act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from projects.history import change_record, undo_part, undoes
from projects.models import Change, ChangeKind, Column
from projects.selectors import get_column_for_read
from topicassign.errors import ApplicationError
from topics import codebook
from topics.partners import partners_of, partners_store
from topics.selectors import topic_list
from topics.services.base import live_column, lock_column, tell

LEARNING_LOCK = 7_092  # beside COLLECTION_LOCK; one for all columns, for a loop may lead through any


@dataclass(frozen=True)
class LearningPreview:
    """What a column could learn from another one."""

    source: Column
    n_reviewed: int  # different texts
    n_partners: int  # topics of the source that have a partner
    n_topics: int  # of the source
    n_missing: int  # topics of the source without a partner, which can be added
    is_loop: bool = False


def learning_preview(*, column: Column, source: Column) -> LearningPreview:
    """Say what `learning_set` would bring; nothing is written."""
    partners = partners_of(column, source)
    n_topics = topic_list(column=source).count()
    return LearningPreview(
        source=source,
        n_reviewed=n_reviewed(source),
        n_partners=len(partners),
        n_topics=n_topics,
        n_missing=n_topics - len(partners),
        is_loop=makes_loop(column.pk, source.pk),
    )


def n_reviewed(column: Column) -> int:
    """Return how many different texts of a column people have reviewed."""
    return column.verbatims.filter(
        is_reviewed=True, is_group_head=True, is_empty=False, row__deleted_at=None
    ).count()


@transaction.atomic
def learning_set(*, column: Column, source: Column | None, user: Any, with_topics: bool = False) -> Change | None:
    """Let a column learn from the reviews of another one; None ends that. Returns None where nothing changes.

    `with_topics` also adds the topics of the source that have no partner. No text is copied: AI updates read the
    reviewed texts of the source where they are.

    Raises
    ------
    Http404
        If the person may not read the source.
    ApplicationError
        If the source is the column itself, or learns from it, also across others.
    CodebookError
        If the topics do not fit.
    """
    _lock_links()
    column = lock_column(column)
    former = column.learns_from_id
    inverse: dict[str, Any] = {"former": former, "now": source.pk if source else None}
    n_added = 0
    if source is not None:
        source = get_column_for_read(user, source.pk)
        _refuse_loop(column.pk, source.pk)
        if with_topics:
            result = codebook.codebook_apply(column=column, book=_missing(column, source), user=user)
            if result.change is not None:
                n_added = result.n_created
                inverse["codebook"] = result.change.inverse
                result.change.delete()  # part of this act
        partners_store(column, source)
    if former == inverse["now"] and not n_added:
        return None
    _write(column, inverse["now"])
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.LEARNS_FROM,
        user=user,
        summary=_summary(column, source, n_added),
        inverse=inverse,
    )
    tell(column, user, for_ai=True)
    return change


def makes_loop(column_id: int, source_id: int) -> bool:
    """Say whether a column would learn from itself, at whatever hand."""
    at: int | None = source_id
    seen: set[int] = set()
    while at is not None and at not in seen:
        if at == column_id:
            return True
        seen.add(at)
        at = Column.objects.filter(pk=at).values_list("learns_from", flat=True).first()
    return False


def _refuse_loop(column_id: int, source_id: int) -> None:
    if column_id == source_id:
        raise ApplicationError(_("A column cannot learn from itself."), code="learning_loop", field="source")
    if makes_loop(column_id, source_id):
        raise ApplicationError(
            _("That column learns from this one, directly or through others. Two cannot learn from each other."),
            code="learning_loop",
            field="source",
        )


def _lock_links() -> None:
    """Let one writer at a time change who learns from whom: two that are set at once could make a loop."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LEARNING_LOCK])


def _write(column: Column, source_id: int | None) -> None:
    Column.objects.filter(pk=column.pk).update(learns_from=source_id)


def _summary(column: Column, source: Column | None, n_added: int) -> str:
    """Name the act without naming the source: not everybody who reads the history may know it."""
    if source is None:
        return _("Learning from another project ended")
    if n_added:
        return _("Learns from another project; %(n)s topics added from it") % {"n": n_added}
    return _("Learns from another project")


def _missing(column: Column, source: Column) -> codebook.Codebook:
    """Return the topics of the column as they are, and those of the source that have no partner.

    With its own topics among the entries, none of them can be taken for one of the source.
    """
    partners = partners_of(column, source)
    lacking = {
        (topic.category.label.casefold(), topic.label.casefold())
        for topic in topic_list(column=source)
        if topic.pk not in partners
    }
    book, own = codebook.codebook_of(source), codebook.codebook_of(column)
    offered = [entry for entry in book.entries if entry.key in lacking]
    named = {entry.category for entry in offered}
    book.categories = [one for one in book.categories if one.label in named]
    book.entries = [*own.entries, *offered]
    return book


@undoes(ChangeKind.LEARNS_FROM)
def _undo_learning(change: Change, user: Any) -> None:
    _lock_links()
    column = live_column(change)
    former, now = change.inverse["former"], change.inverse["now"]
    present = column.learns_from_id
    # A source that was deleted for good since took the link with it.
    is_gone = present is None and not Column.objects.filter(pk=now).exists()
    if present != now and not is_gone:
        raise ApplicationError(_("This was set again since; undo the later change first."), status=409)
    if former is not None and not Column.objects.filter(pk=former).exists():
        former = None
    if former is not None:
        _refuse_loop(column.pk, former)
    if "codebook" in change.inverse:
        undo_part(change=change, kind=ChangeKind.CODEBOOK, inverse=change.inverse["codebook"], user=user)
    _write(column, former)
    tell(column, user, for_ai=True)
