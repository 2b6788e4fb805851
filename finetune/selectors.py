"""Reads about the AI of a column: where it stands, its score, its topics' scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Max

from finetune.models import ModelVersion, TopicScore, VersionState
from projects.jobs import job_active, jobs_are_waiting
from projects.models import Column, Job, JobKind, JobState


@dataclass
class AiStatus:
    """What the header strip of a column shows."""

    score: float | None
    measured: dict[str, Any] | None
    n_until_update: int
    job: Job | None  # the update on its way
    failed: Job | None  # the last one, if it failed
    version: ModelVersion | None
    ai_updates_on: bool
    is_waiting: bool  # nobody does the work: broker or worker is down
    is_guessing: bool  # no review has been learned from yet


def version_deployed(column: Column) -> ModelVersion | None:
    """Return the version in use, without its arrays."""
    return column.versions.filter(state=VersionState.DEPLOYED).defer("artifact").first()


def ai_status(column: Column) -> AiStatus:
    """Return where the AI of a column stands."""
    version = version_deployed(column)
    job = job_active(column=column)
    last = Job.objects.filter(column=column, kind=JobKind.UPDATE).order_by("-created_at").first()
    return AiStatus(
        score=version.ai_score if version else None,
        measured=version.metrics.get("measured") if version else None,
        n_until_update=max(0, settings.REVIEWS_PER_UPDATE - column.n_reviews_since_update),
        job=job,
        failed=last if job is None and last is not None and last.state == JobState.FAILED else None,
        version=version,
        ai_updates_on=column.ai_updates_on,
        is_waiting=job is not None and job.state == JobState.QUEUED and jobs_are_waiting(),
        is_guessing=version is not None and version.n_reviewed == 0,
    )


def topic_scores(column: Column) -> list[TopicScore]:
    """Return the scores of the version in use for topics that still exist, lowest score first, unscored last."""
    version = version_deployed(column)
    if version is None:
        return []
    scores = TopicScore.objects.filter(version=version, topic__deleted_at=None).select_related(
        "topic", "topic__category"
    )
    return sorted(scores, key=lambda item: (item.score is None, item.score or 0.0, item.topic.label))


def score_history(column: Column, *, limit: int = 100) -> list[tuple[int, int, float]]:
    """Return (version, reviews, AI score) of the last versions, oldest first."""
    rows = (
        column.versions.exclude(ai_score=None).order_by("-number").values_list("number", "n_reviewed", "ai_score")
    )
    return [(number, n, float(score or 0)) for number, n, score in reversed(rows[:limit])]


def n_updates(column: Column) -> int:
    return column.versions.aggregate(last=Max("number"))["last"] or 0
