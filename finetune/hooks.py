"""Where the apps on the left meet this one: their hooks, registered once at start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.core.cache import cache

from projects.models import Column, Project
from rows import hooks as row_hooks
from rows.models import Verbatim
from topics import hooks as topic_hooks

NEAR_IDENTICAL_COSINE = 0.9


def connect() -> None:
    from finetune import services, tasks  # noqa: F401  (tasks registers the job handler)

    row_hooks.reviews_changed.register(services.after_review)
    row_hooks.rows_imported.register(_rows_imported)
    row_hooks.text_sentiments.register(_text_sentiments)
    row_hooks.near_identical.register(_near_identical)
    row_hooks.proposals.register(_proposals)
    row_hooks.review_order.register(_review_order)
    row_hooks.ai_versions.register(_ai_versions)
    row_hooks.learning_state.register(_learning_state)
    row_hooks.meaning_search.register(_meaning_search)
    row_hooks.meaning_prepare.register(_meaning_prepare)
    topic_hooks.topics_changed.register(services.after_topic_change)
    topic_hooks.halves.register(_halves)
    topic_hooks.topic_likeness.register(_topic_likeness)


def _rows_imported(project: Project, user: Any) -> None:
    from finetune import services
    from projects.selectors import column_list

    for column in column_list(project=project):
        services.after_import(column, user)


def _text_sentiments(texts: Sequence[str]) -> list[int]:
    from finetune.engine import text_sentiment

    return [int(value) for value in text_sentiment(texts)]


def _proposals(column: Column, verbatim: Verbatim) -> list[tuple[int, float, int | None]]:
    from finetune.proposals import proposals

    return proposals(column, verbatim)


def _review_order(column: Column) -> list[int]:
    from finetune.selectors import version_deployed

    version = version_deployed(column)
    return version.metrics.get("queue", []) if version is not None else []


def _ai_versions(column: Column) -> list[tuple[datetime, int]]:
    return list(column.versions.exclude(state="trained").order_by("-number").values_list("created_at", "number"))


def _learning_state(column: Column) -> dict[str, Any]:
    from finetune.models import VersionState
    from finetune.selectors import score_history

    # Not the whole version: its metrics hold the plan of the queue, which is long.
    deployed = column.versions.filter(state=VersionState.DEPLOYED)
    version = deployed.values_list("pk", "number", "metrics__measured").first()
    if version is None:
        return {"version": 0, "scores": [], "measured": None}
    pk, number, measured = version
    key = f"column:{column.pk}:learning:{pk}"
    scores = cache.get(key)
    if scores is None:
        scores = [(n_reviewed, score) for _, n_reviewed, score in score_history(column)]
        cache.set(key, scores, 600)
    return {"version": number, "scores": scores, "measured": measured}


def _meaning_search(column: Column, text: str) -> row_hooks.MeaningAnswer:
    from finetune.meaning import meaning_answer

    return meaning_answer(column=column, text=text)


def _meaning_prepare(column: Column, text: str) -> None:
    from finetune.meaning import meaning_prepare

    meaning_prepare(column=column, text=text)


def _halves(
    column: Column, verbatim_ids: Sequence[int], examples_a: Sequence[int], examples_b: Sequence[int]
) -> topic_hooks.Halves:
    from finetune.halves import halves

    return halves(column, verbatim_ids, examples_a, examples_b)


def _topic_likeness(column: Column, least: float) -> tuple[dict[tuple[int, int], float], set[int]]:
    from finetune.likeness import topic_likeness

    return topic_likeness(column=column, least=least)


def _near_identical(column: Column, verbatim_id: int, candidate_ids: Sequence[int]) -> set[int]:
    """Return the candidates whose vector points almost the same way as that of a verbatim.

    Reads stored vectors only: it works without loading the encoder and says nothing about texts
    that are not encoded yet.
    """
    from finetune.encoders import VECTOR_TYPE
    from finetune.models import Embedding, ModelVersion

    encoder = (
        ModelVersion.objects.filter(column=column, state="deployed").values_list("encoder", flat=True).first()
    )
    if encoder is None:
        return set()
    digest_of = dict(Verbatim.objects.filter(pk__in=[verbatim_id, *candidate_ids]).values_list("pk", "digest"))
    vectors = {
        bytes(digest): np.frombuffer(bytes(vector), dtype=VECTOR_TYPE).astype(np.float32)
        for digest, vector in Embedding.objects.filter(
            encoder=encoder, digest__in=list(digest_of.values())
        ).values_list("digest", "vector")
    }
    last = vectors.get(bytes(digest_of.get(verbatim_id, b"")))
    if last is None:
        return set()
    alike = set()
    for pk in candidate_ids:
        vector = vectors.get(bytes(digest_of.get(pk, b"")))
        if vector is None:
            continue
        norm = float(np.linalg.norm(vector) * np.linalg.norm(last)) or 1.0
        if float(vector @ last) / norm > NEAR_IDENTICAL_COSINE:
            alike.add(pk)
    return alike
