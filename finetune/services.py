"""When an AI update starts, and who asked for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune.models import Trigger, VersionState
from finetune.selectors import column_has_keywords
from projects.history import change_record, undoes
from projects.jobs import job_active, job_enqueue, job_send
from projects.models import ACTIVE_STATES, Change, ChangeKind, Column, Job, JobKind, JobState
from topicassign.errors import ApplicationError

# Acts after which an update may wait for more of them.
TOPIC_KINDS = (
    ChangeKind.TOPIC_CREATE, ChangeKind.TOPICS_CREATE, ChangeKind.TOPIC_UPDATE, ChangeKind.TOPIC_DELETE,
    ChangeKind.TOPICS_MERGE, ChangeKind.TOPICS_COMBINE, ChangeKind.TOPICS_MOVE, ChangeKind.TOPICS_DELETE,
    ChangeKind.TOPIC_SPLIT, ChangeKind.TOPIC_SENTIMENT, ChangeKind.CATEGORY_UPDATE, ChangeKind.CATEGORY_DELETE,
    ChangeKind.CODEBOOK, ChangeKind.LEARNS_FROM,
)  # fmt: skip


def update_request(
    *,
    column: Column,
    trigger: str,
    user: Any = None,
    delay_s: float = 0,
    assign_only: bool = False,
    keywords_only: bool = False,
    deep: bool = False,
) -> Job | None:
    """Ask for an AI update. One at a time per column: an update on its way is used, or followed by one more.

    `assign_only` learns nothing: new rows get topics from the model in use. `keywords_only` only brings in line
    what rows have by keyword. An update that waits becomes the one that does more.

    Returns the job that will do it, None if a running update was told to be followed by another.
    """
    payload: dict[str, Any] = {"trigger": str(trigger), "assign_only": assign_only, "deep": deep}
    if keywords_only:
        payload["keywords_only"] = True
    if deep:
        payload["n_reviewed"] = column.versions.aggregate(last=Max("n_reviewed"))["last"] or 0
    active = job_active(column=column)
    if active is None:
        try:
            with transaction.atomic():
                return job_enqueue(
                    kind=JobKind.UPDATE,
                    project=column.project,
                    column=column,
                    user=user,
                    payload=payload,
                    delay_s=delay_s,
                )
        except IntegrityError:  # somebody else was faster
            active = job_active(column=column)
    if active is not None and active.state == JobState.QUEUED:
        wider = _wider(active.payload, payload)
        if wider != active.payload and not Job.objects.filter(pk=active.pk, state=JobState.QUEUED).update(
            payload=wider
        ):
            Column.objects.filter(pk=column.pk).update(update_requested=True)  # it began this very moment
            return None
        # Debounce: each further change pushes a waiting update back.
        if delay_s and active.not_before is not None:
            moved = Job.objects.filter(pk=active.pk, state=JobState.QUEUED).update(
                not_before=timezone.now() + timedelta(seconds=delay_s)
            )
            if moved:
                transaction.on_commit(lambda: job_send(active, countdown_s=delay_s))
        return active
    Column.objects.filter(pk=column.pk).update(update_requested=True)
    return None


def _wider(waiting: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of an update that does what either asks for."""
    wider = dict(waiting)
    if wanted["deep"] and not waiting.get("deep"):
        wider |= {"deep": True, "n_reviewed": wanted["n_reviewed"]}
    least = min(_narrowness(waiting), _narrowness(wanted))
    if least < _narrowness(waiting):
        wider |= {"assign_only": least == 1, "keywords_only": False}
    return wider


def _narrowness(payload: dict[str, Any]) -> int:
    """Return 0 for an update that learns, 1 for one that assigns only, 2 for one that looks at keywords only."""
    return 2 if payload.get("keywords_only") else int(bool(payload.get("assign_only")))


def after_review(column: Column, user: Any) -> None:
    """Start a light update once enough reviews have come together."""
    if column.ai_updates_on and column.n_reviews_since_update >= settings.REVIEWS_PER_UPDATE:
        update_request(column=column, trigger=Trigger.REVIEWS, user=user)


def after_topic_change(column: Column, user: Any) -> None:
    """Start an update some seconds after the last change of the topic collection.

    With AI updates off nothing is learned; but keywords are rules of people, and count at once.
    """
    column.refresh_from_db(fields=["ai_updates_on"])
    if column.ai_updates_on:
        update_request(column=column, trigger=Trigger.TOPICS, user=user, delay_s=settings.TOPIC_CHANGE_DEBOUNCE_S)
    elif column_has_keywords(column):
        update_request(column=column, trigger=Trigger.TOPICS, user=user, keywords_only=True)


def after_import(column: Column, user: Any) -> None:
    """New rows get topics at once; with AI updates off, from the model in use."""
    update_request(column=column, trigger=Trigger.ROWS, user=user, assign_only=not column.ai_updates_on)


def after_update(job: Job) -> None:
    """Start one more update if something changed while this one ran. Called when an update is over."""
    if job.column is None or job.state in ACTIVE_STATES:
        return
    column = Column.objects.select_related("project").filter(pk=job.column.pk).first()
    if column is None or job.state != JobState.DONE:
        return
    if not column.ai_updates_on:
        if column.update_requested:  # rows or keywords came meanwhile
            update_request(column=column, trigger=Trigger.FOLLOW_UP, assign_only=True)
        return
    if deep_due(column) and not job.payload.get("deep"):  # one try at a time, whatever came of it
        update_request(column=column, trigger=Trigger.DEEP, deep=True)
    elif column.update_requested or column.n_reviews_since_update >= settings.REVIEWS_PER_UPDATE:
        update_request(column=column, trigger=Trigger.FOLLOW_UP, delay_s=_left_to_wait_s(column))


def _left_to_wait_s(column: Column) -> float:
    """Return the seconds until the last change of the topic collection has waited for others long enough."""
    last = Change.objects.filter(column=column, kind__in=TOPIC_KINDS).order_by("-pk").values_list("at", flat=True)
    if not (moment := last.first()):
        return 0.0
    waited_s = (timezone.now() - moment).total_seconds()
    return max(0.0, min(settings.TOPIC_CHANGE_DEBOUNCE_S, settings.TOPIC_CHANGE_DEBOUNCE_S - waited_s))


def deep_due(column: Column) -> bool:
    """Whether the encoder should be fine-tuned on the reviews of the version in use."""
    if not settings.DEEP_UPDATES_AT:
        return False
    version = column.versions.filter(state=VersionState.DEPLOYED).only("n_reviewed", "encoder").first()
    if version is None:
        return False
    tried = column.tunings.filter(encoder=version.encoder).aggregate(last=Max("n_reviewed"))["last"] or 0
    # One that failed or was cancelled is not tried again at once: it may have killed its worker.
    given_up = Job.objects.filter(
        column=column, kind=JobKind.UPDATE, state__in=[JobState.FAILED, JobState.CANCELLED], payload__deep=True
    )
    for payload in given_up.order_by("-created_at").values_list("payload", flat=True)[:1]:
        tried = max(tried, payload.get("n_reviewed", 0))
    return next_deep_update(tried) <= version.n_reviewed


def next_deep_update(n_last: int) -> int:
    """Return the number of reviews for the deep update after the one at `n_last` reviews (0: none yet)."""
    later = [n for n in settings.DEEP_UPDATES_AT if n > n_last]
    if later:
        return later[0]
    n = settings.DEEP_UPDATES_AT[-1]
    while n <= n_last:
        n *= 2
    return n


def update_by_hand(*, column: Column, user: Any) -> Job:
    """Start an update because a person asked for it.

    Raises
    ------
    ApplicationError
        If AI updates are off, or one is on its way already.
    """
    if not column.ai_updates_on:
        raise ApplicationError(_("AI updates are off for this column. Switch them on first."))
    if job_active(column=column) is not None:
        raise ApplicationError(_("An AI update is already on its way."), status=409, code="update_active")
    job = update_request(column=column, trigger=Trigger.BUTTON, user=user)
    if job is None:
        raise ApplicationError(_("An AI update is already on its way."), status=409, code="update_active")
    return job


@transaction.atomic
def ai_switch(*, column: Column, on: bool, user: Any) -> Change | None:
    """Switch AI updates on or off. What was learned stays; on again, an update catches up."""
    changed = Column.objects.filter(pk=column.pk, ai_updates_on=not on).update(
        ai_updates_on=on, revision=F("revision") + 1
    )
    column.refresh_from_db(fields=["ai_updates_on", "revision"])
    if not changed:
        return None
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.AI_SWITCH,
        user=user,
        summary=_("AI updates switched on") if on else _("AI updates switched off"),
        inverse={"on": not on},
    )
    if on:
        _catch_up(column, user)
    return change


def _catch_up(column: Column, user: Any) -> None:
    """Start an update if reviews, topics or rows changed since the version in use was made."""
    column.refresh_from_db(fields=["update_requested", "n_reviews_since_update", "data_version"])
    learned = column.versions.filter(state=VersionState.DEPLOYED).values_list("data_version", flat=True).first()
    is_behind = learned is None or learned < column.data_version
    if is_behind or column.update_requested or column.n_reviews_since_update:
        update_request(column=column, trigger=Trigger.BUTTON, user=user)


@undoes(ChangeKind.AI_SWITCH)
def _undo_switch(change: Change, user: Any) -> None:
    assert change.column is not None
    Column.objects.filter(pk=change.column.pk).update(
        ai_updates_on=change.inverse["on"], revision=F("revision") + 1
    )
    if change.inverse["on"]:
        _catch_up(change.column, user)
