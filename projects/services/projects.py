"""Settings of a project, its deletion and its return."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from projects import jobs
from projects.history import change_record, change_undo, undoes
from projects.models import ACTIVE_STATES, Change, ChangeKind, Job, Project, ProjectState
from topicassign.errors import ApplicationError

log = structlog.get_logger(__name__)
_EDITABLE = ("name", "description", "tags")
_PURGE_BATCH = 2_000


@transaction.atomic
def project_update(*, project: Project, values: dict[str, Any], user: Any) -> Change | None:
    """Change name, description or tags. Returns None when nothing differs."""
    locked = _lock(project)
    changed = {
        name: values[name] for name in _EDITABLE if name in values and values[name] != getattr(locked, name)
    }
    if not changed:
        return None
    before = {name: getattr(locked, name) for name in changed}
    for name, value in changed.items():
        setattr(locked, name, value)
        setattr(project, name, value)
    locked.full_clean(exclude=["owner"])
    locked.save(update_fields=[*changed, "modified_at"])
    words = {
        "name": _("Renamed to “%(name)s”") % {"name": locked.name},
        "description": _("Description changed"),
        "tags": _("Tags changed"),
    }
    return change_record(
        project=locked,
        kind=ChangeKind.PROJECT_UPDATE,
        user=user,
        summary=", ".join(words[name] for name in changed),
        inverse={"before": before, "after": changed},
    )


@undoes(ChangeKind.PROJECT_UPDATE)
def _undo_update(change: Change, user: Any) -> None:
    project = _lock(change.project)
    if any(getattr(project, name) != value for name, value in change.inverse["after"].items()):
        raise ApplicationError(
            _("The settings were changed again since; undo the later change first."), status=409
        )
    for name, value in change.inverse["before"].items():
        setattr(project, name, value)
    project.save(update_fields=[*change.inverse["before"], "modified_at"])


@transaction.atomic
def project_delete(*, project: Project, user: Any) -> Change:
    """Hide a project with all it holds; it can be restored for `RESTORE_DAYS` days. Its jobs are stopped."""
    locked = _lock(project)
    if locked.deleted_at is not None:
        raise ApplicationError(_("This project was already deleted."), status=409, code="already_deleted")
    if locked.state == ProjectState.IMPORTING:
        raise ApplicationError(_("This project is still being imported. Cancel the import instead."))
    locked.deleted_at = timezone.now()
    locked.save(update_fields=["deleted_at"])
    for job in Job.objects.filter(project=locked, state__in=ACTIVE_STATES):
        jobs.job_cancel(job=job)
    return change_record(
        project=locked,
        kind=ChangeKind.PROJECT_DELETE,
        user=user,
        summary=_("Project “%(name)s” deleted") % {"name": locked.name},
        inverse={"deleted": True},
    )


def project_restore(*, project: Project, user: Any) -> Change:
    """Bring a deleted project back, as it was."""
    change = Change.objects.filter(project=project, kind=ChangeKind.PROJECT_DELETE, undone_at=None).first()
    if change is None:
        raise ApplicationError(_("This project is not deleted."), status=409)
    return change_undo(change=change, user=user)


@undoes(ChangeKind.PROJECT_DELETE)
def _undo_delete(change: Change, user: Any) -> None:
    project = _lock(change.project)
    if project.deleted_at is not None and project.deleted_at < restorable_since():
        raise ApplicationError(
            _("Deleted projects can be restored for %(n)s days; this one is too old.")
            % {"n": settings.RESTORE_DAYS},
            status=410,
        )
    project.deleted_at = None
    project.save(update_fields=["deleted_at"])


def restorable_since() -> Any:
    """Return the moment before which a deletion is final."""
    return timezone.now() - timedelta(days=settings.RESTORE_DAYS)


def projects_purge(*, budget_s: float = float("inf")) -> int:
    """Delete for good what was deleted more than `RESTORE_DAYS` days ago. Returns how many projects.

    Rows go in batches, each its own short transaction, so that a large project neither fills the memory
    nor blocks anybody. After `budget_s` seconds it stops; the next call goes on.
    """
    n_purged, stop_at = 0, time.monotonic() + budget_s
    for project in Project.objects.filter(deleted_at__lt=restorable_since()):
        while ids := list(project.rows.order_by("pk").values_list("pk", flat=True)[:_PURGE_BATCH]):
            project.rows.filter(pk__in=ids).delete()
            if time.monotonic() > stop_at:
                return n_purged
        with transaction.atomic():
            for column in project.columns.all():
                column.topics.all().delete()  # before the categories they protect
                column.categories.all().delete()
            project.delete()
        log.info("project_purged", project=project.pk)
        n_purged += 1
    return n_purged


def _lock(project: Project) -> Project:
    return Project.objects.select_for_update().get(pk=project.pk)
