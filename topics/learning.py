"""Reads about a column that learns from another one: what it may learn from, and what a person may know of it."""

from __future__ import annotations

from dataclasses import dataclass

from projects.models import Column, ColumnType, Project, ProjectState
from projects.selectors import AnyUser, project_list, project_role
from topics.services.learning import n_reviewed


@dataclass(frozen=True)
class LearningState:
    """What a column learns from, as far as a person may know.

    `source` is None where the person may not read it, or its project was deleted (`is_deleted`).
    """

    source: Column | None
    n_reviewed: int = 0
    is_deleted: bool = False


def learning_state(*, column: Column, user: AnyUser) -> LearningState | None:
    """Return what a column learns from, None where that is nothing."""
    source = Column.objects.select_related("project", "project__owner").filter(teaches=column.pk).first()
    if source is None:
        return None
    if source.project.deleted_at is not None:
        return LearningState(None, is_deleted=True)
    if project_role(project=source.project, user=user) is None:
        return LearningState(None)
    return LearningState(source, n_reviewed=n_reviewed(source))


def learning_sources(*, column: Column, user: AnyUser) -> list[tuple[Project, list[Column]]]:
    """Return the text columns that the person may read, but for this one, by project; last changed first."""
    columns: dict[int, list[Column]] = {}
    readable = project_list(user=user).filter(state=ProjectState.READY)
    texts = Column.objects.filter(project__in=readable, type=ColumnType.TEXT_TO_ANALYZE).exclude(pk=column.pk)
    for one in texts.order_by("position", "pk"):
        columns.setdefault(one.project_id, []).append(one)
    projects = readable.filter(pk__in=list(columns)).order_by("-modified_at", "-pk")
    return [(project, columns[project.pk]) for project in projects]
