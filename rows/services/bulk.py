"""Bulk actions: one act on many rows, one step of history, one review for the next AI update.

A small one is done at once. A large one is a job that goes through the ids, batch by batch: each batch is one
transaction with its inverse and the note of how far the job came, so that a killed worker costs one batch at
most. A cancelled or failed one keeps what is done, as one act that can be undone. Undoing goes the same ways.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from projects.history import change_record, undoes
from projects.jobs import JobLostError, JobRun, job_enqueue
from projects.models import ACTIVE_STATES, Change, ChangeKind, Column, Job, JobKind
from rows import hooks
from rows.bulk import deletion
from rows.bulk.apply import Part, apply_batch, column_note
from rows.bulk.options import BulkOptions
from rows.bulk.packing import ids_pack, ids_unpack
from rows.bulk.revert import Reverted, revert_part
from rows.bulk.selection import Selection, preview
from rows.models import BulkAction, BulkPart
from topicassign.errors import ApplicationError
from topicassign.templatetags.ui import thousands
from topics.models import Topic

AT_ONCE = 300  # rows that change within the request
BATCH = 2_000
STAGE_SELECT, STAGE_DO = gettext_noop("Finding the rows"), gettext_noop("Changing rows")
STAGE_UNDO, STAGE_REGROUP = gettext_noop("Putting rows back"), gettext_noop("Grouping identical rows")


def bulk_start(
    *,
    column: Column,
    selection: Selection,
    options: BulkOptions,
    user: Any,
    token: str,
    n_expected: int | None = None,
) -> BulkAction:
    """Do a bulk action, at once or by a job; the same token twice is one act.

    Raises
    ------
    ApplicationError
        If nothing is selected or would change, a topic or the filter's topic was deleted, or a large bulk
        action of the column is on its way.
    """
    known = BulkAction.objects.filter(token=token, column=column, user=user).first()
    if known is not None:
        return known
    options.check()
    options.chosen(column)
    refuse_while_active(column)
    found = preview(selection=selection, options=options)
    if not found.n_changed:
        raise ApplicationError(_("None of the selected rows would change."), code="nothing_changes")
    try:
        with transaction.atomic():
            bulk = BulkAction.objects.create(
                column=column,
                user=user,
                token=token,
                options=options.as_json(),
                selection=selection.as_json(),
                n_expected=n_expected,
            )
            if max(found.n_rows, found.n_changed) > AT_ONCE:
                bulk.job = job_enqueue(
                    kind=JobKind.BULK,
                    project=column.project,
                    column=column,
                    user=user,
                    payload={"bulk": bulk.pk, "undo": False},
                )
                bulk.save(update_fields=["job"])
                return bulk
            _select(bulk, selection)
            _work(bulk, None)
            _finish(bulk)
    except IntegrityError:  # the same form, sent twice at the same moment
        known = BulkAction.objects.filter(token=token, column=column, user=user).first()
        if known is None:
            raise
        return known
    return bulk


def bulk_active(column: Column) -> Job | None:
    """Return the bulk job of a column that waits or runs."""
    return Job.objects.filter(column=column, kind=JobKind.BULK, state__in=ACTIVE_STATES).first()


def refuse_while_active(column: Column) -> None:
    if bulk_active(column) is not None:
        raise ApplicationError(
            _("A bulk action is on its way in this column. Wait for its end, or cancel it."),
            status=409,
            code="bulk_active",
        )


def bulk_run(run: JobRun) -> dict[str, Any]:
    """Do, or undo, what a job is for, from where the attempt before it stopped."""
    bulk = BulkAction.objects.select_related("column__project", "change").get(pk=run.payload["bulk"])
    if bulk.column.project.deleted_at is not None:
        raise ApplicationError(_("The project of this bulk action was deleted."))
    if run.payload["undo"]:
        done = _undo_parts(bulk, run)
        return {"n_changed": done.n_restored, "n_left_alone": bulk.n_left_alone}
    if bulk.change is not None and bulk.change.undone_at is not None:
        raise ApplicationError(_("What was done of this bulk action has been undone. Start a new one."))
    if bulk.selected is None:
        run.progress(0, 0, STAGE_SELECT)
        selection = Selection.from_json(bulk.selection, bulk.column)
        selection.row_filter.prepare()
        _select(bulk, selection)
    _work(bulk, run)
    _finish(bulk)
    return {"n_changed": bulk.n_changed, "n_expected": bulk.n_expected}


def bulk_clean_up(job: Job) -> None:
    """A cancelled or failed job: what is done stays, as one act that can be undone."""
    bulk = BulkAction.objects.select_related("column__project", "change").filter(pk=job.payload["bulk"]).first()
    if bulk is None:
        return
    if not job.payload["undo"]:
        _finish(bulk)
        return
    if bulk.change is None:
        return
    with transaction.atomic():  # the rest can still be undone
        left = sum(bulk.parts.filter(is_undone=False).values_list("n_rows", flat=True))
        Change.objects.filter(pk=bulk.change.pk).update(undone_at=None)
        Change.objects.filter(undo_of=bulk.change.pk).update(
            undo_of=None, summary=_("Undoing was stopped, %(n)s rows are left: %(what)s")[:200]
            % {"n": thousands(left), "what": bulk.change.summary[:200]},
        )  # fmt: skip


# --- doing ----------------------------------------------------------------------------------------
def _select(bulk: BulkAction, selection: Selection) -> None:
    """Note which rows are meant, once: from here on the filter does not matter any more."""
    bulk.selected = ids_pack(selection.resolve())
    bulk.n_selected = len(ids_unpack(bulk.selected))
    bulk.save(update_fields=["selected", "n_selected"])


def _work(bulk: BulkAction, run: JobRun | None) -> None:
    assert bulk.selected is not None
    ids = ids_unpack(bulk.selected)
    options = BulkOptions.from_json(bulk.options)
    if run is not None:
        run.progress(bulk.position, bulk.n_selected, STAGE_DO)
    while bulk.position < len(ids):
        batch = [int(pk) for pk in ids[bulk.position : bulk.position + BATCH]]
        with transaction.atomic():
            _guard(run)
            part = _apply(bulk, options, batch)
            bulk.position += len(batch)
            _note(bulk, part)
            if run is not None:
                run.note(done=bulk.position, payload=run.payload)
        if run is not None:
            run.job.done = bulk.position
            run.check()
            _pause()


def _apply(bulk: BulkAction, options: BulkOptions, batch: Sequence[int]) -> Part | None:
    column = bulk.column
    if options.delete:
        grouped = Selection.from_json(bulk.selection, column).grouped
        part = deletion.delete_batch(column=column, ids=batch, grouped=grouped, at=bulk.created_at)
        if part is not None:
            deletion.columns_note(column.project)
        return part
    part = apply_batch(
        column=column,
        options=options,
        chosen=options.chosen(column),
        live_topics=set(Topic.objects.filter(column=column, deleted_at=None).values_list("pk", flat=True)),
        user_id=bulk.user_id,
        ids=batch,
    )
    if part is not None:
        options.chosen(column)  # an act on topics may have taken one away while the batch waited for it
        column_note(column)
    return part


def _note(bulk: BulkAction, part: Part | None) -> None:
    if part is not None:
        BulkPart.objects.create(
            bulk=bulk,
            number=bulk.parts.count() + 1,
            first_id=part.first_id,
            last_id=part.last_id,
            n_rows=part.n_rows,
            data=part.data,
        )
        bulk.n_changed += part.n_rows
    BulkAction.objects.filter(pk=bulk.pk).update(position=bulk.position, n_changed=bulk.n_changed)


def _guard(run: JobRun | None) -> None:
    """Write only what is ours to write, and do not wait for the disk: a lost batch is simply done again."""
    if run is None:
        return
    if not run.owns():
        raise JobLostError(str(run.job.pk))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # The planner, who last counted when the table was small, would read all of it for every batch.
            cursor.execute("SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off")


def _pause() -> None:
    if connection.vendor == "sqlite":
        time.sleep(0.005)  # SQLite has one writer and no queue for it: leave a gap for people's reviews


def _finish(bulk: BulkAction) -> None:
    """Write the act into the history, and count it as one review; a second time only its numbers change."""
    with transaction.atomic():
        locked = BulkAction.objects.select_for_update(of=("self",)).select_related("change").get(pk=bulk.pk)
        if not locked.n_changed:
            return
        column = bulk.column
        options = BulkOptions.from_json(locked.options)
        summary = options.summary(column, locked.n_changed)
        if locked.change is not None:
            Change.objects.filter(pk=locked.change.pk).update(summary=summary)
            bulk.change = locked.change
            return
        change = change_record(
            project=column.project,
            column=column,
            kind=ChangeKind.ROWS_DELETE if options.delete else ChangeKind.BULK,
            user=bulk.user,
            summary=summary,
            inverse={"bulk": locked.pk},
        )
        is_counted = options.decides and options.review != "unreviewed"
        BulkAction.objects.filter(pk=locked.pk).update(change=change, is_counted=is_counted)
        bulk.change, bulk.is_counted = change, is_counted
        Column.objects.filter(pk=column.pk).update(
            n_reviews_since_update=F("n_reviews_since_update") + int(is_counted), last_edited_at=timezone.now()
        )
        column.refresh_from_db(fields=["n_reviews_since_update", "data_version", "revision", "last_edited_at"])
        if options.decides:
            hooks.reviews_changed.send(column=column, user=bulk.user)


def bulk_sentence(bulk: BulkAction) -> str:
    """Return what was done, and if it is not what the dialog said, that too."""
    options = BulkOptions.from_json(bulk.options)
    n = bulk.n_changed
    if not n:
        return _("Nothing was changed: the selected rows were changed or deleted meanwhile.")
    text = options.summary(bulk.column, n) + "."
    is_whole = bulk.selected is not None and bulk.position >= bulk.n_selected
    if is_whole and bulk.n_expected is not None and bulk.n_expected != n:
        text += " " + _("It was %(n)s when you were asked; the rows changed meanwhile.") % {
            "n": thousands(bulk.n_expected)
        }
    return text


# --- undoing --------------------------------------------------------------------------------------
@undoes(ChangeKind.BULK, ChangeKind.ROWS_DELETE)
def _undo_bulk(change: Change, user: Any) -> str | None:
    bulk = BulkAction.objects.select_related("column__project").filter(change=change).first()
    if bulk is None:
        raise ApplicationError(_("What this act changed is not known any more."), status=410)
    if change.kind == ChangeKind.ROWS_DELETE and not deletion.restorable(bulk.created_at):
        raise ApplicationError(
            _("Deleted rows can be brought back for %(n)s days; these are too old.")
            % {"n": settings.RESTORE_DAYS},
            status=410,
        )
    refuse_while_active(bulk.column)
    if bulk.n_changed <= AT_ONCE:
        _undo_parts(bulk, None)
        return left_alone(bulk.n_left_alone)
    bulk.job = job_enqueue(
        kind=JobKind.BULK,
        project=bulk.column.project,
        column=bulk.column,
        user=user,
        payload={"bulk": bulk.pk, "undo": True},
    )
    bulk.save(update_fields=["job"])
    return _("in the background")


def left_alone(n: int) -> str | None:
    """Return half a sentence about rows that somebody changed since."""
    if not n:
        return None
    return ngettext(
        "%(n)s row was changed since and left as it is", "%(n)s rows were changed since and left as they are", n
    ) % {"n": thousands(n)}


def _undo_parts(bulk: BulkAction, run: JobRun | None) -> Reverted:
    options = BulkOptions.from_json(bulk.options)
    column = bulk.column
    total = Reverted()
    n_done = sum(bulk.parts.filter(is_undone=True).values_list("n_rows", flat=True))
    if run is not None:
        run.progress(n_done, bulk.n_changed, STAGE_UNDO)
    # The last first: what a row was before the first of them is what remains.
    numbers = list(bulk.parts.filter(is_undone=False).order_by("-number").values_list("number", flat=True))
    for number in numbers:
        with transaction.atomic():
            _guard(run)
            part = BulkPart.objects.select_for_update().get(bulk=bulk, number=number)
            if options.delete:
                back, n_gone = deletion.restore_part(part=part, at=bulk.created_at)
                done = Reverted(len(back), n_gone)
                if run is None:
                    deletion.regroup_restored(column.project, back)
            else:
                done = revert_part(column=column, part=part)
            part.is_undone = True
            part.save(update_fields=["is_undone"])
            total.n_restored += done.n_restored
            total.n_left_alone += done.n_left_alone
            n_done += part.n_rows
            BulkAction.objects.filter(pk=bulk.pk).update(n_left_alone=F("n_left_alone") + done.n_left_alone)
            if not options.delete:
                column_note(column)
            if run is not None:
                run.note(done=n_done, payload=run.payload)
        if run is not None:
            run.job.done = n_done
            run.check()
            _pause()
    _undone(bulk, options, run)
    return total


def _undone(bulk: BulkAction, options: BulkOptions, run: JobRun | None) -> None:
    column = bulk.column
    bulk.refresh_from_db(fields=["n_left_alone", "is_counted"])
    if options.delete and run is not None:
        run.progress(stage=STAGE_REGROUP)
    with transaction.atomic() if run is not None else nullcontext():
        if options.delete:
            if run is not None:
                deletion.regroup_all(column.project)
            deletion.columns_note(column.project)
        if bulk.is_counted:
            BulkAction.objects.filter(pk=bulk.pk).update(is_counted=False)
            Column.objects.filter(pk=column.pk, n_reviews_since_update__gt=0).update(
                n_reviews_since_update=F("n_reviews_since_update") - 1
            )
        Column.objects.filter(pk=column.pk).update(last_edited_at=timezone.now())
        column.refresh_from_db(fields=["n_reviews_since_update", "data_version", "revision", "last_edited_at"])
        if options.decides:
            hooks.reviews_changed.send(column=column, user=bulk.user)
        note = left_alone(bulk.n_left_alone)
        if run is not None and bulk.change is not None:
            summary = (_("Undone: %(what)s") % {"what": bulk.change} + (f" – {note}" if note else ""))[:300]
            if not Change.objects.filter(undo_of=bulk.change.pk).update(summary=summary):  # tried again
                undoing = change_record(
                    project=column.project, column=column, kind=ChangeKind.UNDO, user=run.job.user,
                    summary=summary, inverse={},
                )  # fmt: skip
                Change.objects.filter(pk=undoing.pk).update(undo_of=bulk.change)
                Change.objects.filter(pk=bulk.change.pk).update(undone_at=timezone.now())
