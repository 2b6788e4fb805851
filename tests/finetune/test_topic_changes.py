"""What the AI does after a change of the topic collection: what starts an update, when, and what it touches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from finetune.engine import TopicClassifier
from finetune.models import ModelVersion, Trigger, Tuning, TuningState
from finetune.services import TOPIC_KINDS, update_request
from finetune.tunings import tuning_in_use
from finetune.updates import Update, update_now
from projects.history import change_undo
from projects.jobs import job_execute
from projects.models import Change, Column, Job, JobKind, JobState
from rows.models import Assignment, Verbatim
from tests.conftest import add_rows
from tests.fakes import HashEncoder
from tests.finetune.test_deep_updates import fake_tuning  # noqa: F401  (a fixture)
from tests.finetune.test_updates import corpus, run_waiting_jobs
from tests.finetune.test_updates import review as review_truth
from tests.topics.restructuring import put, review, row, topic
from topics.services import (
    NewTopic,
    categories_reorder,
    category_create,
    category_delete,
    category_update,
    topic_create,
    topic_delete,
    topic_move,
    topic_sentiment_on,
    topic_split,
    topic_update,
    topics_combine,
    topics_create,
    topics_delete,
    topics_merge,
    topics_move,
)

pytestmark = pytest.mark.django_db

TOPICS = (("Service", "Delivery", True), ("Service", "Staff", True), ("Price", "Price", False), ("Price", "Fees"))
Act = Callable[[Column, Any], Any]


@pytest.fixture
def survey(make_project: Any, alice: Any) -> Any:
    texts, labels, moods = corpus(60)
    project = make_project(alice, texts=texts, topics=TOPICS)
    verbatims = project.column.verbatims.order_by("row_number")
    project.truth = dict(zip(verbatims, zip(labels, moods, strict=True), strict=True))
    return project


@pytest.fixture
def column(survey: Any) -> Column:
    return survey.column


def changed(name: str, **fields: Any) -> Act:
    return lambda column, user: topic_update(topic=topic(column, name), user=user, **fields)


def category(column: Column, label: str) -> Any:
    return column.categories.get(label=label, deleted_at=None)


def split(column: Column, user: Any) -> Change:
    Assignment.objects.filter(verbatim__row_number__in=[3, 6]).delete()
    put(column, 3, "Price")
    put(column, 6, "Price")
    old, new = row(column, 3).pk, row(column, 6).pk
    return topic_split(topic=topic(column, "Price"), label="Costs", examples_a=[old], examples_b=[new], user=user)


def sentiment_on(column: Column, user: Any) -> Change | None:
    review(column, user, 3, "Price")
    Job.objects.all().delete()
    return topic_sentiment_on(topic=topic(column, "Price"), user=user, unreview=True)


# What a person can do: whether the AI reads it, and how it is done.
ACTS: dict[str, tuple[bool, Act]] = {
    "label": (True, changed("Price", label="Costs")),
    "category of a topic": (True, changed("Price", category="New")),
    "description": (True, changed("Price", description="What it costs")),
    "keywords": (True, changed("Price", keywords=["cost"])),
    "sentiment on": (True, changed("Price", sentiment_enabled=True)),
    "sentiment on with reviewed rows": (True, sentiment_on),
    "sentiment off": (True, changed("Staff", sentiment_enabled=False)),
    "sentiment label": (True, changed("Staff", label_positive="Friendly")),
    "label of a category": (
        True, lambda column, user: category_update(category=category(column, "Price"), user=user, label="Money"),
    ),
    "add": (
        True,
        lambda column, user: topic_create(
            column=column, category=category(column, "Price"), label="New", user=user
        ),
    ),
    "add many": (
        True,
        lambda column, user: topics_create(
            column=column, topics=[NewTopic("New", "Price"), NewTopic("Newer", "Shop")], user=user
        ),
    ),
    "delete": (True, lambda column, user: topic_delete(topic=topic(column, "Price"), user=user)),
    "delete many": (
        True,
        lambda column, user: topics_delete(
            topics=[topic(column, "Price"), topic(column, "Staff")], user=user
        ),
    ),
    "delete a category with topics": (
        True, lambda column, user: category_delete(category=category(column, "Price"), user=user),
    ),
    "merge": (
        True,
        lambda column, user: topics_merge(
            target=topic(column, "Price"), sources=[topic(column, "Fees")], user=user
        ),
    ),
    "combine": (
        True,
        lambda column, user: topics_combine(
            positive=topic(column, "Price"), negative=topic(column, "Fees"), label="Money", user=user
        ),
    ),
    "split": (True, split),
    "move to another category": (
        True,
        lambda column, user: topics_move(
            topics=[topic(column, "Price")], category=category(column, "Service"), user=user
        ),
    ),
    "code": (False, changed("Price", code_neutral=77)),
    "the same again": (False, changed("Price", label="Price", description="", keywords=[])),
    "order of topics": (
        False,
        lambda column, user: topic_move(
            topic=topic(column, "Fees"), before=topic(column, "Price"), user=user
        ),
    ),
    "colour": (
        False, lambda column, user: category_update(category=category(column, "Price"), user=user, color="red"),
    ),
    "order of categories": (
        False,
        lambda column, user: categories_reorder(
            column=column,
            category_ids=[category(column, "Price").pk, category(column, "Service").pk],
            user=user,
        ),
    ),
    "an empty category": (False, lambda column, user: category_create(column=column, label="New", user=user)),
}  # fmt: skip


# --- which changes start an update ----------------------------------------------------------------
@pytest.mark.parametrize("name", list(ACTS))
def test_a_change_starts_an_update_if_the_ai_reads_it(column: Any, alice: Any, name: str, settings: Any) -> None:
    is_read, act = ACTS[name]
    began = timezone.now()
    act(column, alice)
    assert Job.objects.count() == int(is_read)
    if is_read:
        job = Job.objects.get()
        assert (job.kind, job.state, job.payload["trigger"]) == (JobKind.UPDATE, JobState.QUEUED, Trigger.TOPICS)
        assert job.not_before >= began + timedelta(seconds=settings.TOPIC_CHANGE_DEBOUNCE_S)


@pytest.mark.parametrize("name", [name for name in ACTS if name != "the same again"])
def test_so_does_undoing_it(column: Any, alice: Any, name: str) -> None:
    is_read, act = ACTS[name]
    act(column, alice)
    Job.objects.all().delete()
    change_undo(change=Change.objects.filter(column=column).latest("pk"), user=alice)
    assert Job.objects.filter(payload__trigger=Trigger.TOPICS).count() == int(is_read)


@pytest.mark.parametrize("name", list(ACTS))
def test_reviewed_rows_are_not_touched_by_the_update(column: Any, alice: Any, name: str) -> None:
    update_now(column)
    for number in (1, 2):
        review(column, alice, number, ("Staff", 1))
    ACTS[name][1](column, alice)
    fields = ("pk", "topic", "sentiment", "source", "probability", "position")
    reviewed = Assignment.objects.filter(verbatim__column=column, verbatim__is_reviewed=True).order_by("pk")
    before = list(reviewed.values_list(*fields))
    rows = list(Verbatim.objects.filter(column=column, is_reviewed=True).order_by("pk").values())
    done = run_waiting_jobs(column)
    assert all(job.state == JobState.DONE for job in done)
    assert list(reviewed.values_list(*fields)) == before
    assert list(Verbatim.objects.filter(column=column, is_reviewed=True).order_by("pk").values()) == rows


# --- when -----------------------------------------------------------------------------------------
def test_it_waits_until_nothing_has_changed_for_some_seconds(column: Any, alice: Any, settings: Any) -> None:
    for label in ("Costs", "Money", "Dues"):
        last = timezone.now()
        topic_update(topic=column.topics.get(pk=topic_pk(column)), user=alice, label=label)
    job = Job.objects.get()
    assert job.not_before >= last + timedelta(seconds=settings.TOPIC_CHANGE_DEBOUNCE_S)
    assert job_execute(job.pk) is None  # not yet
    assert len(run_waiting_jobs(column)) == 1
    assert ModelVersion.objects.count() == 1


def topic_pk(column: Column) -> int:
    return column.topics.order_by("pk")[2].pk


@pytest.mark.parametrize("name", [name for name, (for_ai, _act) in ACTS.items() if for_ai])
def test_a_follow_up_waits_after_every_act_that_the_ai_reads(column: Any, alice: Any, name: str) -> None:
    ACTS[name][1](column, alice)
    assert Change.objects.filter(column=column).latest("pk").kind in TOPIC_KINDS


def test_changes_during_an_update_start_one_more_that_waits_for_others(
    column: Any, alice: Any, monkeypatch: Any, settings: Any
) -> None:
    deploy, once = Update._deploy, []

    def edit_then_deploy(update: Update) -> Any:
        if not once:
            once.extend(
                topic_update(topic=topic(column, label), user=alice, description="More")
                for label in ("Price", "Staff", "Fees")
            )
        return deploy(update)

    monkeypatch.setattr(Update, "_deploy", edit_then_deploy)
    first = update_request(column=column, trigger=Trigger.BUTTON)
    job_execute(first.pk)
    coming = Job.objects.get(state=JobState.QUEUED)
    assert coming.payload["trigger"] == Trigger.FOLLOW_UP
    waits = (coming.not_before - timezone.now()).total_seconds()
    assert 0 < waits <= settings.TOPIC_CHANGE_DEBOUNCE_S
    topic_update(topic=topic(column, "Price"), user=alice, description="Even more")
    coming.refresh_from_db()
    assert (coming.not_before - timezone.now()).total_seconds() > settings.TOPIC_CHANGE_DEBOUNCE_S - 1
    assert [job.state for job in run_waiting_jobs(column)] == [JobState.DONE]
    assert ModelVersion.objects.count() == 2


def test_a_change_long_before_the_end_needs_no_more_waiting(column: Any, alice: Any, monkeypatch: Any) -> None:
    deploy = Update._deploy

    def edit_then_deploy(update: Update) -> Any:
        if not Change.objects.exists():
            topic_update(topic=topic(column, "Price"), user=alice, description="More")
            Change.objects.update(at=timezone.now() - timedelta(minutes=1))
        return deploy(update)

    monkeypatch.setattr(Update, "_deploy", edit_then_deploy)
    first = update_request(column=column, trigger=Trigger.BUTTON)
    job_execute(first.pk)
    assert Job.objects.get(state=JobState.QUEUED).not_before is None


# --- renaming -------------------------------------------------------------------------------------
@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect what the classifier is given to learn from."""
    seen: list[dict[str, Any]] = []
    fit = TopicClassifier.fit

    def spy(model: TopicClassifier, X: Any, Y: Any, **more: Any) -> TopicClassifier:
        seen.append({"X": X, "Y": Y, **more})
        return fit(model, X, Y, **more)

    monkeypatch.setattr(TopicClassifier, "fit", spy)
    return seen


def learned(column: Column) -> Update:
    update = Update(column, None, trigger=Trigger.COMMAND)
    update.execute()
    return update


def assigned(column: Column, *, besides: str) -> list[Any]:
    own = Assignment.objects.filter(verbatim__column=column).exclude(topic__label__in=[besides, "Costs"])
    return list(own.order_by("verbatim", "topic").values_list("verbatim", "topic", "sentiment"))


def test_renaming_reads_one_label_anew_and_nothing_else(survey: Any, column: Any, alice: Any, fits: Any) -> None:
    review_truth(survey, 12, alice)
    learned(column)
    n_encoded = HashEncoder.n_encoded
    topic_update(topic=topic(column, "Price"), user=alice, label="Costs")
    learned(column)
    assert HashEncoder.n_encoded == n_encoded + 1
    before, after = fits
    for name in ("X", "Y", "pool_X", "calibration_weight"):
        assert np.array_equal(before[name], after[name])
    for name in ("X_lex", "pool_X_lex"):
        assert (before[name] != after[name]).nnz == 0
    others = [0, 1, 3]
    assert np.array_equal(before["label_X"][others], after["label_X"][others])
    assert not np.array_equal(before["label_X"][2], after["label_X"][2])
    assert (before["label_X_lex"][others] != after["label_X_lex"][others]).nnz == 0


def test_renaming_after_reviews_leaves_the_other_topics_alone(survey: Any, column: Any, alice: Any) -> None:
    review_truth(survey, 24, alice)
    before, rows = learned(column).Y_prob.copy(), assigned(column, besides="Price")
    topic_update(topic=topic(column, "Price"), user=alice, label="Costs")
    after = learned(column).Y_prob
    assert assigned(column, besides="Price") == rows
    moved = np.abs(after - before).mean(axis=0)
    assert moved[2] > 0
    assert moved[[0, 1, 3]].max() < 0.01


@pytest.mark.parametrize("label", ["Delivery", "Staff", "Price"])
def test_renaming_before_any_review_changes_that_topic_most(column: Any, alice: Any, label: str) -> None:
    before = learned(column).Y_prob.copy()
    topic_update(topic=topic(column, label), user=alice, label="Qwertz")
    moved = np.abs(learned(column).Y_prob - before).mean(axis=0)
    place = ["Delivery", "Staff", "Price", "Fees"].index(label)
    assert moved.argmax() == place


def test_renaming_keeps_the_fine_tuned_encoder(
    survey: Any,
    column: Any,
    alice: Any,
    fake_tuning: Any,  # noqa: F811
) -> None:
    review_truth(survey, 24, alice)
    update_now(column, deep=True)
    tuning = tuning_in_use(column, HashEncoder())
    n_texts = tuning.vectors.n
    topic_update(topic=topic(column, "Price"), user=alice, label="Costs")
    update_now(column)
    assert Tuning.objects.get().state == TuningState.IN_USE
    assert tuning_in_use(column, HashEncoder()).vectors.n == n_texts + 1
    assert ModelVersion.objects.latest("number").tuning == Tuning.objects.get()


def test_a_new_name_that_reads_the_same_changes_nothing(column: Any, alice: Any) -> None:
    learned(column)
    before = list(Assignment.objects.order_by("pk").values())
    n_encoded = HashEncoder.n_encoded
    topic_update(topic=topic(column, "Price"), user=alice, code_neutral=99)
    learned(column)
    assert list(Assignment.objects.order_by("pk").values()) == before
    assert HashEncoder.n_encoded == n_encoded


# --- topics without examples ----------------------------------------------------------------------
def test_a_new_topic_is_assigned_by_its_label_until_rows_are_reviewed_with_it(
    survey: Any, column: Any, alice: Any
) -> None:
    add_rows(survey, {column: ["my garden", "Garden again", "a big garden"]})
    review_truth(survey, 12, alice)
    update_now(column)
    made = topic_create(column=column, category="Outside", label="Garden", user=alice)
    run_waiting_jobs(column)
    found = Assignment.objects.filter(topic=made)
    assert sorted(found.values_list("verbatim__row_number", flat=True)) == [61, 62, 63]
    assert set(found.values_list("source", flat=True)) == {"ai"}


def test_a_new_topic_learns_from_its_first_reviews(survey: Any, column: Any, alice: Any) -> None:
    made = topic_create(column=column, category="Lamps", label="Qwertz", user=alice)
    update_now(column)
    lamps = list(column.verbatims.filter(text__contains="lamp").values_list("row_number", flat=True))
    for number in lamps[:4]:
        review(column, alice, number, "Qwertz")
    for number in [n for n in range(1, 30) if n not in lamps][:8]:
        review(column, alice, number, "Staff")
    update_now(column)
    found = Assignment.objects.filter(topic=made, verbatim__is_reviewed=False)
    with_word = found.filter(verbatim__text__contains="lamp").count()
    assert with_word > len(lamps[4:]) / 2
    assert with_word > found.count() / 2
