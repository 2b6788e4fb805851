"""Who may see and change a project is decided here, and only here.

Strangers get 404: a project that is not yours does not exist for you. A member whose role is too
small gets 403. Every view, endpoint and download goes through these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Count, Exists, Max, OuterRef, Prefetch, Q, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from projects.models import (
    ACTIVE_STATES,
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Invitation,
    Job,
    JobKind,
    JobState,
    Member,
    Preference,
    Project,
    ProjectState,
    Role,
)

AnyUser = AbstractBaseUser | AnonymousUser

_NEEDED = {
    Role.VIEWER: gettext_lazy("Your role does not allow this."),
    Role.ANALYST: gettext_lazy(
        "You may look at this project but not change it. An admin can give you the analyst role."
    ),
    Role.ADMIN: gettext_lazy("Only admins of this project can do this."),
}


def project_list(*, user: AnyUser) -> QuerySet[Project]:
    """Return the live projects the person owns or is a member of."""
    if not user.is_authenticated:
        return Project.objects.none()
    membership = Member.objects.filter(project=OuterRef("pk"), user=user.pk)
    return Project.objects.filter(Q(owner=user.pk) | Exists(membership), deleted_at=None)


def project_role(*, project: Project, user: AnyUser) -> Role | None:
    """Return the person's role in the project, None for strangers."""
    if not user.is_authenticated:
        return None
    if project.owner_id == user.pk:
        return Role.ADMIN
    role = Member.objects.filter(project=project, user=user.pk).values_list("role", flat=True).first()
    return Role(role) if role else None


def _require(project: Project | None, user: AnyUser, needed: Role) -> Project:
    role = project_role(project=project, user=user) if project and project.deleted_at is None else None
    if project is None or role is None:
        raise Http404(_("No such project."))
    if role.rank < needed.rank:
        raise PermissionDenied(_NEEDED[needed])
    project.role = role  # type: ignore[attr-defined]  # for templates: what to offer
    return project


def _get(user: AnyUser, project_id: int, needed: Role) -> Project:
    return _require(Project.objects.select_related("owner").filter(pk=project_id).first(), user, needed)


def get_project_for_read(user: AnyUser, project_id: int) -> Project:
    """Return the project for a viewer or more; raises Http404 for strangers."""
    return _get(user, project_id, Role.VIEWER)


def get_project_for_write(user: AnyUser, project_id: int) -> Project:
    """Return the project for an analyst or more; raises PermissionDenied for viewers."""
    return _get(user, project_id, Role.ANALYST)


def get_project_for_admin(user: AnyUser, project_id: int) -> Project:
    """Return the project for an admin; raises PermissionDenied for other members."""
    return _get(user, project_id, Role.ADMIN)


def _get_column(user: AnyUser, column_id: int, needed: Role, *, text: bool) -> Column:
    column = Column.objects.select_related("project", "project__owner").filter(pk=column_id).first()
    _require(column.project if column else None, user, needed)
    assert column is not None
    if text and (column.type != ColumnType.TEXT_TO_ANALYZE or column.project.state != ProjectState.READY):
        raise Http404(_("No such text column."))
    return column


def get_column_for_read(user: AnyUser, column_id: int) -> Column:
    """Return a text-to-analyze column of a ready project, for a viewer or more."""
    return _get_column(user, column_id, Role.VIEWER, text=True)


def get_column_for_write(user: AnyUser, column_id: int) -> Column:
    """Return a text-to-analyze column of a ready project, for an analyst or more."""
    return _get_column(user, column_id, Role.ANALYST, text=True)


def get_column_for_admin(user: AnyUser, column_id: int) -> Column:
    """Return a text-to-analyze column of a ready project, for an admin."""
    return _get_column(user, column_id, Role.ADMIN, text=True)


def column_pulse(user: AnyUser, column_id: int) -> tuple[Any, ...] | None:
    """Return (revision, id, state, stage, done and cancelling of the last AI update) of a text column, or None.

    One small statement for polls, which come every few seconds from every open page: None for whoever may not
    read the column, and then the usual way says why. Only numbers of this file go in, as parameters.
    """
    if not user.is_authenticated:
        return None
    column, project, member, job = (one._meta.db_table for one in (Column, Project, Member, Job))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT c.revision, j.id, j.state, j.stage, j.done, j.cancel_requested FROM {column} c "  # noqa: S608
            f"JOIN {project} p ON p.id = c.project_id LEFT JOIN {job} j ON j.id = (SELECT id FROM {job} "
            "WHERE column_id = c.id AND kind = %s ORDER BY created_at DESC LIMIT 1) "
            "WHERE c.id = %s AND c.type = %s AND p.state = %s AND p.deleted_at IS NULL AND (p.owner_id = %s "
            f"OR EXISTS (SELECT 1 FROM {member} m WHERE m.project_id = p.id AND m.user_id = %s))",
            [
                JobKind.UPDATE.value, column_id, ColumnType.TEXT_TO_ANALYZE.value, ProjectState.READY.value,
                user.pk, user.pk,
            ],
        )  # fmt: skip
        return cursor.fetchone()


def get_job(user: AnyUser, job_id: UUID | str, *, write: bool = False) -> Job:
    """Return a job: one's own, or one of a project the person may read (write: may change)."""
    job = Job.objects.select_related("project", "project__owner", "column", "user").filter(pk=job_id).first()
    if job is None:
        raise Http404(_("No such job."))
    if job.project is None or job.project.state == ProjectState.IMPORTING:
        if not user.is_authenticated or job.user_id != user.pk:
            raise Http404(_("No such job."))
        return job
    _require(job.project, user, Role.ANALYST if write else Role.VIEWER)
    return job


def column_list(*, project: Project) -> QuerySet[Column]:
    """Return the text-to-analyze columns of a project, in order."""
    return project.columns.filter(type=ColumnType.TEXT_TO_ANALYZE)


# --- acts and their undoing ------------------------------------------------------------------------
# What analysts do; every other act (topics, settings, people) belongs to admins.
_ANALYST_ACTS = frozenset({ChangeKind.REVIEW, ChangeKind.UNREVIEW, ChangeKind.HIGHLIGHT, ChangeKind.BULK})


def may_undo(*, change: Change, role: Role, user: AnyUser) -> bool:
    """Say whether a member may take an act back: admins all of them, analysts their own reviews and stars."""
    if role == Role.ADMIN:
        return True
    return role == Role.ANALYST and change.kind in _ANALYST_ACTS and change.user_id == user.pk


def get_change_for_undo(user: AnyUser, change_id: int) -> Change:
    """Return an act the person may take back; Http404 for strangers, PermissionDenied for other members."""
    change = Change.objects.select_related("project", "project__owner", "column").filter(pk=change_id).first()
    if change is not None and change.kind == ChangeKind.PROJECT_DELETE:
        get_deleted_project_for_admin(user, change.project_id)
        return change
    project = _require(change.project if change else None, user, Role.VIEWER)
    assert change is not None
    role: Role = project.role  # type: ignore[attr-defined]
    if not may_undo(change=change, role=role, user=user):
        if role == Role.ANALYST and change.kind in _ANALYST_ACTS:
            raise PermissionDenied(_("Only the person who did this, or an admin, can undo it."))
        raise PermissionDenied(_NEEDED[Role.ANALYST if change.kind in _ANALYST_ACTS else Role.ADMIN])
    return change


@dataclass
class Slice:
    """Part of a list: its objects, and whether newer and older ones exist."""

    items: list[Any]
    has_more: bool


def change_list(*, project: Project, before: int | None = None, limit: int = 50) -> Slice:
    """Return the acts in a project, last first, from the one older than `before`."""
    query = Change.objects.filter(project=project).select_related("user", "column", "undo_of", "undone_by__user")
    if before:
        query = query.filter(pk__lt=before)
    found = list(query.order_by("-id")[: limit + 1])
    return Slice(found[:limit], len(found) > limit)


# --- people ----------------------------------------------------------------------------------------
def get_member_for_admin(user: AnyUser, project_id: int, member_id: int) -> Member:
    """Return a member of a project that the person administers."""
    project = get_project_for_admin(user, project_id)
    member = Member.objects.select_related("user").filter(pk=member_id, project=project).first()
    if member is None:
        raise Http404(_("No such member."))
    member.project = project
    return member


def member_list(*, project: Project) -> QuerySet[Member]:
    return Member.objects.filter(project=project).select_related("user").order_by("created_at", "id")


def invitation_list(*, project: Project) -> QuerySet[Invitation]:
    """Return the invitations whose link still works."""
    return Invitation.objects.filter(
        project=project, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
    ).select_related("created_by")


def get_invitation_for_admin(user: AnyUser, project_id: int, invitation_id: int) -> Invitation:
    """Return an invitation to a project that the person administers."""
    project = get_project_for_admin(user, project_id)
    invitation = Invitation.objects.filter(pk=invitation_id, project=project).first()
    if invitation is None:
        raise Http404(_("No such invitation."))
    invitation.project = project
    return invitation


# --- deleted projects ------------------------------------------------------------------------------
def deleted_project_list(*, user: AnyUser) -> QuerySet[Project]:
    """Return the deleted projects that the person may bring back, last deleted first."""
    admin_of = Member.objects.filter(project=OuterRef("pk"), user=user.pk, role=Role.ADMIN)
    since = timezone.now() - timedelta(days=settings.RESTORE_DAYS)
    return (
        Project.objects.filter(Q(owner=user.pk) | Exists(admin_of), deleted_at__gte=since)
        .select_related("owner")
        .order_by("-deleted_at")
    )


def get_deleted_project_for_admin(user: AnyUser, project_id: int) -> Project:
    """Return a deleted project that can be restored; Http404 for everybody but its admins."""
    project = deleted_project_list(user=user).filter(pk=project_id).first()
    if project is None:
        raise Http404(_("No such deleted project."))
    return project


# --- the list of projects --------------------------------------------------------------------------
PROJECTS_A_PAGE = 25


@dataclass
class ProjectPage:
    """One page of a person's projects; `n_found` of `n_all` match the search."""

    projects: list[Project]
    n_found: int
    n_all: int
    page: int
    n_pages: int


def project_find(*, user: AnyUser, q: str = "", sort: str = "modified", page: int = 1) -> ProjectPage:
    """Return a page of the projects whose name, description or tags hold every word of `q`.

    A person has tens or hundreds of projects, so the words are looked for here: JSON tags cannot be
    searched alike on both databases.
    """
    rows = list(
        project_list(user=user)
        .annotate(edited_at=Max("columns__last_edited_at"))
        .order_by()
        .values_list("pk", "name", "description", "tags", "modified_at", "edited_at")
    )
    words = q.casefold().split()
    found = [row for row in rows if all(word in _haystack(row) for word in words)]
    if sort == "name":
        found.sort(key=lambda row: (row[1].casefold(), row[0]))
    else:
        found.sort(key=lambda row: (_latest(row[4], row[5]), row[0]), reverse=True)
    n_pages = max(1, -(-len(found) // PROJECTS_A_PAGE))
    page = max(1, min(page, n_pages))
    ids = [row[0] for row in found[(page - 1) * PROJECTS_A_PAGE : page * PROJECTS_A_PAGE]]
    by_id = {project.pk: project for project in _with_columns(Project.objects.filter(pk__in=ids))}
    projects = [by_id[pk] for pk in ids if pk in by_id]
    _add_roles(projects, user)
    _add_imports(projects, user)
    return ProjectPage(projects, n_found=len(found), n_all=len(rows), page=page, n_pages=n_pages)


def _haystack(row: Sequence[Any]) -> str:
    return " ".join([row[1], row[2], *map(str, row[3])]).casefold()


def _latest(modified_at: datetime, edited_at: datetime | None) -> datetime:
    return max(modified_at, edited_at) if edited_at else modified_at


def text_columns() -> QuerySet[Column]:
    """Return text-to-analyze columns with the AI score of the model in use as `ai_score`."""
    return (
        Column.objects.filter(type=ColumnType.TEXT_TO_ANALYZE)
        .annotate(ai_score=Max("versions__ai_score", filter=Q(versions__state="deployed")))
        .order_by("position", "id")
    )


def topic_numbers(*, project: Project) -> dict[int, int]:
    """Return the number of topics by text-to-analyze column."""
    return dict(
        Column.objects.filter(project=project, type=ColumnType.TEXT_TO_ANALYZE)
        .annotate(n_topics=Count("topics", filter=Q(topics__deleted_at=None)))
        .order_by()
        .values_list("pk", "n_topics")
    )


def _with_columns(projects: QuerySet[Project]) -> QuerySet[Project]:
    return projects.select_related("owner").prefetch_related(
        Prefetch("columns", queryset=text_columns(), to_attr="text_columns")
    )


def _add_roles(projects: list[Project], user: AnyUser) -> None:
    roles = dict(Member.objects.filter(project__in=projects, user=user.pk).values_list("project", "role"))
    for project in projects:
        role = Role.ADMIN if project.owner_id == user.pk else Role(roles[project.pk])
        project.role = role  # type: ignore[attr-defined]
        project.edited_at = _latest(  # type: ignore[attr-defined]
            project.modified_at,
            max((one.last_edited_at for one in project.text_columns if one.last_edited_at), default=None),  # type: ignore[attr-defined]
        )


def _add_imports(projects: list[Project], user: AnyUser) -> None:
    """Put the running or failed import on projects that are not ready; only the importer sees them."""
    waiting = [project for project in projects if project.state == ProjectState.IMPORTING]
    jobs = Job.objects.filter(project__in=waiting, kind=JobKind.IMPORT, user=user.pk).order_by("created_at")
    by_project = {job.project_id: job for job in jobs}
    for project in waiting:
        project.import_job = by_project.get(project.pk)  # type: ignore[attr-defined]


def failed_import_list(*, user: AnyUser) -> QuerySet[Job]:
    """Return the person's imports of the last day that failed; their projects are gone, the reason is not."""
    return Job.objects.filter(
        user=user.pk,
        kind=JobKind.IMPORT,
        project=None,
        state=JobState.FAILED,
        finished_at__gte=timezone.now() - timedelta(days=1),
    ).order_by("-finished_at")


@dataclass
class ColumnNumbers:
    """How far the review of a text column is: texts that are not empty, and the reviewed ones among them."""

    column_id: int
    n_texts: int
    n_reviewed: int

    @property
    def share(self) -> float | None:
        return self.n_reviewed / self.n_texts if self.n_texts else None


@dataclass
class ProjectNumbers:
    n_rows: int
    columns: dict[int, ColumnNumbers]


def _numbers_key(project: Project, columns: Sequence[Column]) -> str:
    revisions = ".".join(f"{column.pk}-{column.revision}" for column in columns)
    return f"project:{project.pk}:numbers:{project.modified_at.timestamp()}:{revisions}"


def project_numbers_known(*, project: Project, columns: Sequence[Column]) -> ProjectNumbers | None:
    """Return the numbers when they were counted since the last change, else None: pages load them later."""
    return cache.get(_numbers_key(project, columns))


def project_numbers(*, project: Project, columns: Sequence[Column]) -> ProjectNumbers:
    """Count the rows of a project, and for each text column its texts and reviewed texts."""
    known = project_numbers_known(project=project, columns=columns)
    if known is not None:
        return known
    per_column = {
        column.pk: ColumnNumbers(
            column.pk,
            **column.verbatims.live(column).aggregate(
                n_texts=Count("pk", filter=Q(is_empty=False)),
                n_reviewed=Count("pk", filter=Q(is_empty=False, is_reviewed=True)),
            ),
        )
        for column in columns
    }
    numbers = ProjectNumbers(project.rows.filter(deleted_at=None).count(), per_column)
    cache.set(_numbers_key(project, columns), numbers, 3_600)
    return numbers


def job_list(*, project: Project, limit: int = 8) -> list[Job]:
    """Return the last jobs of a project, those still active first."""
    last = Job.objects.filter(project=project).select_related("user", "column").order_by("-created_at")
    found = {job.pk: job for job in last.filter(state__in=ACTIVE_STATES)[:limit]}
    for job in last[:limit]:
        found.setdefault(job.pk, job)
    return list(found.values())[:limit]


# --- the person ------------------------------------------------------------------------------------
def shortcuts_of(user: AnyUser) -> str:
    """Return "on" or "off": whether keys without Ctrl or Cmd do something for this person; "" without one."""
    if not user.is_authenticated:
        return ""
    kept = Preference.objects.filter(user_id=user.pk).values_list("single_key_shortcuts", flat=True).first()
    return "off" if kept is False else "on"


def language_of(user: AnyUser) -> str:
    """Return the language the person chose; "" for one who never did."""
    if not user.is_authenticated:
        return ""
    kept = Preference.objects.filter(user_id=user.pk).values_list("language", flat=True).first()
    return kept if kept in dict(settings.LANGUAGES) else ""
