"""An oracle reviews a data set with known truth, through the services that the browser uses.

For measuring, not for people: the project it makes is removed at the end.
"""

from __future__ import annotations

import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test.utils import override_settings

from finetune.engine import measured_f1
from finetune.engine.simulate import Dataset, load_dataset
from finetune.features import ColumnFeatures
from finetune.models import Trigger
from finetune.selectors import version_deployed
from finetune.services import update_request
from finetune.tunings import tuning_drop
from finetune.writeback import NO_SENTIMENT
from projects.jobs import job_execute, jobs_held
from projects.models import ACTIVE_STATES, Column, ColumnType, Job, JobKind, JobState, Project
from rows.focus import focus_next
from rows.models import Assignment, Row, Verbatim
from rows.services.reviews import TopicChoice, verbatim_review
from rows.text import digest, fingerprint, storable
from topics.models import CATEGORY_CHARS, LABEL_CHARS, Category, Topic

CHECKPOINTS = (0, 50, 100, 200, 300)


def simulate(
    dataset_path: str,
    *,
    n_reviews: int,
    strategy: str,
    seed: int,
    checkpoints: Sequence[int] = CHECKPOINTS,
    deep: bool = False,
    log: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Review `n_reviews` rows of a data set and measure the AI on all rows not yet reviewed.

    Parameters
    ----------
    strategy
        "focus" (the product's queue), "certainty" or "random".
    seed
        Chooses the rows where the data set is cut, and drives the queue's random rows.
    deep
        Fine-tune the encoder at the numbers of reviews of DEEP_UPDATES_AT; without, light updates only.

    Returns
    -------
    checkpoints
        One dict per checkpoint: seed, n_reviews, f1_micro, f1_macro, f1_weighted, f1_micro_sentiment, ai_score,
        audit_score, seconds_update, seconds_total, rss_mb.
    """
    data = load_dataset(dataset_path, seed=seed)
    name = Path(dataset_path).name
    began = time.perf_counter()
    with jobs_held(), override_settings(DEEP_UPDATES_AT=settings.DEEP_UPDATES_AT if deep else []):
        oracle = _Oracle(data, name, seed)
        try:
            return oracle.run(n_reviews, strategy, checkpoints, log, began)
        finally:
            oracle.remove()


class _Oracle:
    def __init__(self, data: Dataset, name: str, seed: int) -> None:
        self.data = data
        self.S = np.where(data.has_sentiment[None, :] & (data.Y == 1), data.sentiment, NO_SENTIMENT)
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311  (a measurement must repeat)
        self.user = get_user_model().objects.get_or_create(
            username="simulation", defaults={"is_active": False, "email": ""}
        )[0]
        with transaction.atomic():
            self._store(name)

    def _store(self, name: str) -> None:
        self.project = Project.objects.create(name=f"Simulation {name}"[:100], owner=self.user)
        self.column = Column.objects.create(
            project=self.project, ref="text", name="Text", type=ColumnType.TEXT_TO_ANALYZE
        )
        categories: dict[str, Category] = {}
        self.topics: list[Topic] = []
        for position, spec in enumerate(self.data.topics):
            if spec.category not in categories:
                categories[spec.category] = Category.objects.create(
                    column=self.column,
                    label=_short(spec.category or "Topics", CATEGORY_CHARS, len(categories)),
                    position=len(categories),
                )
            code = 3 * position
            sentiment = bool(self.data.has_sentiment[position])
            self.topics.append(
                Topic.objects.create(
                    column=self.column,
                    category=categories[spec.category],
                    label=_short(spec.label, LABEL_CHARS, position),
                    sentiment_enabled=sentiment,
                    code_neutral=code,
                    code_positive=code + 1 if sentiment else None,
                    code_negative=code + 2 if sentiment else None,
                    position=position,
                )
            )
        texts = [storable(text) for text in self.data.texts]
        prints = [fingerprint(text) for text in texts]
        sizes = Counter(prints)
        heads = {mark: i for i, mark in reversed(list(enumerate(prints)))}
        rows = Row.objects.bulk_create(Row(project=self.project, number=i + 1) for i in range(len(texts)))
        Verbatim.objects.bulk_create(
            (
                Verbatim(
                    row=row, column=self.column, row_number=row.number, text=text,
                    fingerprint=mark, digest=digest(text), is_group_head=heads[mark] == i, group_size=sizes[mark],
                )
                for i, (row, text, mark) in enumerate(zip(rows, texts, prints, strict=True))
            ),
            batch_size=1_000,
        )  # fmt: skip

    def remove(self) -> None:
        from django.db.models import Q

        for query in (
            Assignment.objects.filter(verbatim__column=self.column),
            Verbatim.objects.filter(column=self.column),
            Row.objects.filter(project=self.project),
        ):
            query.order_by()._raw_delete(using=query.db)
        Job.objects.filter(Q(project=self.project)).delete()
        self.column.versions.all().delete()
        Topic.objects.filter(column=self.column).delete()
        keys = list(self.column.tunings.values_list("key", flat=True))
        self.project.delete()
        for key in keys:
            tuning_drop(key)
        for folder in (settings.CACHE_DIR / "features").glob(f"*/{self.column.pk}"):
            ColumnFeatures.remove(folder)

    def run(
        self,
        n_reviews: int,
        strategy: str,
        checkpoints: Sequence[int],
        log: Callable[[str], None],
        began: float,
    ) -> list[dict[str, Any]]:
        update_request(column=self.column, trigger=Trigger.ROWS)
        self._work()
        results = []
        last_id: int | None = None
        wanted = sorted({n for n in checkpoints if n <= n_reviews} | {n_reviews})
        for n in range(n_reviews + 1):
            if n in wanted:
                result = self._measure(n, time.perf_counter() - began)
                log(
                    f"seed {self.seed}, {n} reviews: micro {result['f1_micro']}, macro {result['f1_macro']}, "
                    f"AI score {result['ai_score']}, {result['seconds_update']:.2f} s an update"
                )
                results.append(result)
            if n == n_reviews:
                break
            card = focus_next(column=self.column, last_id=last_id, rng=self.rng, strategy=strategy)
            if card is None:
                break
            last_id = card.verbatim.pk
            verbatim_review(
                verbatim=card.verbatim,
                topics=self._truth(card.verbatim.row_number - 1),
                revision=card.verbatim.revision,
                user=self.user,
                is_audit=card.is_audit,
            )
            self.column.refresh_from_db()
            self._work()
        return results

    def _truth(self, row: int) -> list[TopicChoice]:
        choices = []
        for j in np.flatnonzero(self.data.Y[row]):
            sentiment = int(self.S[row, j])
            choices.append(TopicChoice(self.topics[j].pk, None if sentiment == NO_SENTIMENT else sentiment))
        return choices

    def _work(self) -> None:
        """Do the background work that a worker would do."""
        while True:
            job = Job.objects.filter(column=self.column, kind=JobKind.UPDATE, state__in=ACTIVE_STATES).first()
            if job is None:
                return
            Job.objects.filter(pk=job.pk).update(not_before=None)
            done = job_execute(job.pk)
            if done is None or done.state != JobState.DONE:
                raise RuntimeError(
                    f"The AI update ended as {done.state if done else 'lost'}: {done and done.error}"
                )

    def _measure(self, n: int, seconds_total: float) -> dict[str, Any]:
        Y, S = self.data.Y, self.S
        Y_hat = np.zeros(Y.shape, dtype=bool)
        S_hat = np.full(Y.shape, NO_SENTIMENT, dtype=np.int8)
        column_of = {topic.pk: j for j, topic in enumerate(self.topics)}
        pairs = Assignment.objects.filter(verbatim__column=self.column).values_list(
            "verbatim__row_number", "topic", "sentiment"
        )
        for number, topic, sentiment in pairs.iterator():
            Y_hat[number - 1, column_of[topic]] = True
            if sentiment is not None:
                S_hat[number - 1, column_of[topic]] = sentiment
        reviewed = Verbatim.objects.filter(column=self.column, is_reviewed=True).values_list(
            "row_number", flat=True
        )
        pool = np.ones(len(Y), dtype=bool)
        pool[np.array(list(reviewed), dtype=np.int64) - 1] = False
        version = version_deployed(self.column)
        last = Job.objects.filter(column=self.column, state=JobState.DONE).order_by("-finished_at").first()
        return {
            "seed": self.seed,
            "n_reviews": n,
            "f1_micro": _rounded(measured_f1(Y[pool], Y_hat[pool], average="micro")),
            "f1_macro": _rounded(measured_f1(Y[pool], Y_hat[pool], average="macro")),
            "f1_weighted": _rounded(measured_f1(Y[pool], Y_hat[pool], average="weighted")),
            "f1_micro_sentiment": _rounded(_micro_with_sentiment(Y[pool], S[pool], Y_hat[pool], S_hat[pool])),
            "ai_score": version.ai_score if version else None,
            "audit_score": (version.metrics.get("measured") or {}).get("score") if version else None,
            "seconds_update": float(last.result.get("seconds", 0.0)) if last else 0.0,
            "seconds_total": round(seconds_total, 2),
            "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def _short(label: str, limit: int, number: int) -> str:
    """Return a label that fits; cut ones get a number, so that two of them stay apart."""
    return label if len(label) <= limit else f"{label[: limit - 5]}~{number}"


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _micro_with_sentiment(Y: np.ndarray, S: np.ndarray, Y_hat: np.ndarray, S_hat: np.ndarray) -> float:
    """Return micro-F1 of (topic, sentiment) pairs; without any sentiment in the data it equals plain micro-F1."""
    right = (Y.astype(bool) & Y_hat & (S_hat == S)).sum()
    total = Y.sum() + Y_hat.sum()
    return float(2 * right / total) if total else float("nan")
