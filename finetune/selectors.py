"""Reads about the AI of a column: where it stands, its score, its topics' scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Max, Q
from django.utils import timezone

from finetune.models import DEEP_STAGES, STAGES, ModelVersion, TopicScore, VersionState
from projects.jobs import job_active, jobs_are_waiting
from projects.models import Column, Job, JobKind, JobState
from rows.models import Assignment, AssignmentSource, Verbatim
from topics.models import Topic


@dataclass
class AiStatus:
    """What the header strip of a column shows."""

    score: float | None
    measured: dict[str, Any] | None
    n_until_update: int
    job: Job | None  # the update on its way
    failed: Job | None  # the last one, if it failed
    cancelled: Job | None  # the last one, if somebody stopped it
    step: tuple[int, int] | None  # of the running one: which of how many
    starts_in_s: int  # of the waiting one: it waits for more changes of the topics
    version: ModelVersion | None
    ai_updates_on: bool
    is_waiting: bool  # nobody does the work: broker or worker is down
    is_guessing: bool  # no review of its own has been learned from yet
    has_lent: bool  # it has learned from reviews of another project
    has_topics: bool


def version_deployed(column: Column) -> ModelVersion | None:
    """Return the version in use, without its arrays."""
    return column.versions.filter(state=VersionState.DEPLOYED).defer("artifact").first()


def column_has_keywords(column: Column) -> bool:
    """Say whether topics of a column have keywords, or rows have topics by keywords that are gone."""
    topics = Topic.objects.filter(column=column, deleted_at=None).order_by()
    if any(topics.values_list("keywords", flat=True)):
        return True
    by_hand = Assignment.objects.filter(~Q(source=AssignmentSource.AI), topic__in=topics.values("pk"))  # an index
    return by_hand.filter(source=AssignmentSource.KEYWORD).exists()


def ai_status(column: Column) -> AiStatus:
    """Return where the AI of a column stands."""
    version = version_deployed(column)
    job = job_active(column=column)
    last = None if job else Job.objects.filter(column=column, kind=JobKind.UPDATE).order_by("-created_at").first()
    return AiStatus(
        score=version.ai_score if version else None,
        measured=version.metrics.get("measured") if version else None,
        n_until_update=max(0, settings.REVIEWS_PER_UPDATE - column.n_reviews_since_update),
        job=job,
        failed=last if last is not None and last.state == JobState.FAILED else None,
        cancelled=last if last is not None and last.state == JobState.CANCELLED else None,
        step=_step(job),
        starts_in_s=_starts_in_s(job),
        version=version,
        ai_updates_on=column.ai_updates_on,
        is_waiting=job is not None and job.state == JobState.QUEUED and jobs_are_waiting(),
        is_guessing=version is not None and version.n_reviewed == 0,
        has_lent=version is not None and bool(version.metrics.get("learned_from")),
        has_topics=column.topics.filter(deleted_at=None).exists(),
    )


def _step(job: Job | None) -> tuple[int, int] | None:
    """Return which stage of how many a running update is in."""
    if job is None or job.state != JobState.RUNNING:
        return None
    names = [text for key, text in STAGES.items() if job.payload.get("deep") or key not in DEEP_STAGES]
    return (names.index(job.stage) + 1, len(names)) if job.stage in names else None


def _starts_in_s(job: Job | None) -> int:
    if job is None or job.state != JobState.QUEUED or job.not_before is None:
        return 0
    return max(0, round((job.not_before - timezone.now()).total_seconds()))


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


def n_audit_reviewed(column: Column) -> int:
    """Return how many reviewed rows were drawn at random, identical ones once: the sample that measures."""
    return Verbatim.objects.filter(column=column, is_audit=True, is_reviewed=True, is_group_head=True).count()
