"""Deep updates: when they start, what they leave behind, and that the last good model survives what happens."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune import tunings, updates
from finetune.encoders import forget_encoder
from finetune.engine.encoder import resolve_weights
from finetune.engine.tuning import TuningOptions, tuning_parts
from finetune.explanations import explain_assignment
from finetune.features import tuned_folder
from finetune.models import ModelVersion, Trigger, Tuning, TuningState, VersionState
from finetune.proposals import forget_models, proposals
from finetune.services import after_update, deep_due, next_deep_update, update_request
from finetune.updates import Update, update_now, version_load
from projects.jobs import JobCancelledError, job_execute
from projects.models import Job, JobKind, JobState
from rows.focus import focus_next
from rows.models import Verbatim
from tests.fakes import FakeTunedEncoder
from tests.finetune.test_updates import review, share_right, survey  # noqa: F401  (a fixture)
from topicassign.errors import ApplicationError

N_REVIEWS = 24


@pytest.fixture
def fake_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train nothing: the copies are made of words."""

    def tune(base: Any, texts: Any, Y: np.ndarray, **more: Any) -> tuple[FakeTunedEncoder, np.ndarray]:
        more["progress"](0.5)
        return FakeTunedEncoder(Y.shape[1]), tuning_parts(len(texts), FakeTunedEncoder.n_members)

    monkeypatch.setattr(tunings, "tune", tune)
    monkeypatch.setattr(tunings, "TunedEncoder", FakeTunedEncoder)
    monkeypatch.setattr(updates, "can_tune", lambda encoder: True)
    monkeypatch.setattr(updates, "is_better", lambda *_: True)
    tunings._loaded.clear()


def deployed(project: Any) -> ModelVersion:
    return ModelVersion.objects.get(column=project.column, state=VersionState.DEPLOYED)


def folders() -> list[Path]:
    root = tuned_folder("x").parent
    return sorted(root.iterdir()) if root.is_dir() else []


class TestSchedule:
    @pytest.mark.parametrize(
        ("last", "coming"), [(0, 20), (19, 20), (20, 50), (77, 100), (300, 600), (600, 1200), (650, 1200)]
    )
    def test_the_next_one_comes_at_the_numbers_of_the_settings_then_at_every_doubling(self, last, coming):
        assert next_deep_update(last) == coming

    def test_it_starts_after_the_update_that_saw_enough_reviews(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, 19, alice)
        update_now(survey.column)
        assert not deep_due(survey.column)
        review(survey, 20, alice)
        job = update_request(column=survey.column, trigger=Trigger.REVIEWS)
        assert job is not None
        job_execute(job.pk)
        coming = Job.objects.get(column=survey.column, kind=JobKind.UPDATE, state=JobState.QUEUED)
        assert coming.payload["deep"]
        job_execute(coming.pk)
        assert Tuning.objects.get(column=survey.column).state == TuningState.IN_USE
        assert not deep_due(survey.column)
        assert not Job.objects.filter(column=survey.column, state=JobState.QUEUED).exists()

    def test_it_does_not_start_while_ai_updates_are_off(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column)
        survey.column.ai_updates_on = False
        survey.column.save(update_fields=["ai_updates_on"])
        Job.objects.filter(state=JobState.QUEUED).update(state=JobState.DONE)
        job = Job.objects.filter(column=survey.column).first()
        assert job is not None
        after_update(job)
        assert not Job.objects.filter(column=survey.column, state=JobState.QUEUED).exists()

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
    def test_one_that_failed_or_was_cancelled_waits_for_the_next_number(self, survey, alice, fake_tuning, state):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column)
        assert deep_due(survey.column)
        job = update_request(column=survey.column, trigger=Trigger.DEEP, deep=True)
        assert job is not None
        Job.objects.filter(pk=job.pk).update(state=state)
        assert not deep_due(survey.column)
        review(survey, 50, alice)
        update_now(survey.column)
        assert deep_due(survey.column)

    def test_without_numbers_there_are_none(self, survey, alice, settings):  # noqa: F811
        settings.DEEP_UPDATES_AT = []
        review(survey, N_REVIEWS, alice)
        update_now(survey.column)
        assert not deep_due(survey.column)

    def test_an_encoder_that_cannot_be_tuned_is_left_alone(self, survey, alice):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        job = update_request(column=survey.column, trigger=Trigger.COMMAND, deep=True)
        assert job is not None
        job_execute(job.pk)
        assert Tuning.objects.get().state == TuningState.NOT_POSSIBLE
        assert deployed(survey).tuning is None
        assert not deep_due(survey.column)
        assert not Job.objects.filter(state=JobState.QUEUED).exists()

    def test_a_fully_reviewed_column_is_not_tried_again_and_again(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, 90, alice)
        job = update_request(column=survey.column, trigger=Trigger.COMMAND, deep=True)
        assert job is not None
        job_execute(job.pk)
        assert not deep_due(survey.column)
        assert not Job.objects.filter(state=JobState.QUEUED).exists()


class TestUse:
    def test_the_light_updates_that_follow_use_it(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column, deep=True)
        tuning = Tuning.objects.get(column=survey.column)
        assert deployed(survey).tuning == tuning
        assert deployed(survey).hyper_parameters["kind"] == "deep"
        review(survey, N_REVIEWS + 5, alice)
        update_now(survey.column)
        version = deployed(survey)
        assert (version.tuning, version.hyper_parameters["kind"]) == (tuning, "light")
        loaded = version_load(version)
        assert loaded is not None
        assert loaded[0].needs_tuned
        assert share_right(survey) > 0.9

    def test_proposals_and_reasons_read_its_vectors(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column, deep=True)
        row = Verbatim.objects.filter(column=survey.column, is_reviewed=False).exclude(assignments=None).first()
        assert row is not None
        topic = row.assignments.get().topic
        assert proposals(survey.column, row)[0][0] == topic.pk
        explanation = explain_assignment(verbatim=row, topic=topic)
        assert explanation is not None
        assert explanation.probability == pytest.approx(proposals(survey.column, row)[0][1], abs=1e-3)

    def test_a_better_one_takes_its_place_and_its_files_go(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column, deep=True)
        first = Tuning.objects.get(column=survey.column)
        review(survey, 50, alice)
        update_now(survey.column, deep=True)
        first.refresh_from_db()
        second = Tuning.objects.get(column=survey.column, state=TuningState.IN_USE)
        assert first.state == TuningState.REPLACED
        assert folders() == [tuned_folder(second.key)]
        assert not ModelVersion.objects.filter(tuning=first).exclude(artifact=None).exists()

    def test_one_that_is_not_better_leaves_a_note_and_no_files(self, survey, alice, fake_tuning, monkeypatch):  # noqa: F811
        monkeypatch.setattr(updates, "is_better", lambda *_: False)
        review(survey, N_REVIEWS, alice)
        update_now(survey.column, deep=True)
        tuning = Tuning.objects.get(column=survey.column)
        assert tuning.state == TuningState.NOT_BETTER
        assert {"f1", "f1_before"} <= set(tuning.metrics)
        assert not folders()
        assert deployed(survey).tuning is None
        assert not deep_due(survey.column)

    def test_lost_files_cost_nothing_but_a_new_one(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column, deep=True)
        tunings.tuning_drop(Tuning.objects.get().key)
        row = Verbatim.objects.filter(column=survey.column, is_reviewed=False).first()
        assert row is not None
        assert proposals(survey.column, row) == []
        update_now(survey.column)
        assert deployed(survey).tuning is None
        assert share_right(survey) > 0.9
        assert deep_due(survey.column)


class TestFaults:
    def test_lost_files_while_ai_updates_are_off_are_said_plainly(self, survey, alice, fake_tuning):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column, deep=True)
        tunings.tuning_drop(Tuning.objects.get().key)
        forget_models()
        with pytest.raises(ApplicationError, match="no model that fits"):
            Update(survey.column, None, trigger=Trigger.ROWS, assign_only=True).execute()
        row = Verbatim.objects.filter(column=survey.column, is_reviewed=False).first()
        assert row is not None
        assert proposals(survey.column, row) == []

    def test_a_cancelled_one_leaves_no_files_and_the_model_before(self, survey, alice, fake_tuning, monkeypatch):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column)
        before = deployed(survey).number

        def evaluate(self: Any) -> None:
            raise JobCancelledError

        monkeypatch.setattr(updates.Update, "_evaluate", evaluate)
        job = update_request(column=survey.column, trigger=Trigger.COMMAND, deep=True)
        assert job is not None
        done = job_execute(job.pk)
        assert done is not None
        assert done.state == JobState.CANCELLED
        assert not folders()
        assert not Tuning.objects.exists()
        assert deployed(survey).number == before

    def test_one_that_stops_while_it_encodes_leaves_no_files(self, survey, alice, fake_tuning, monkeypatch):  # noqa: F811
        review(survey, N_REVIEWS, alice)
        update_now(survey.column)
        ensure = tunings.ColumnTuning.ensure

        def stop(self: Any, digests: Any, texts: Any, progress: Any = None) -> np.ndarray:
            if len(digests) > 70:  # not the reviewed rows, not the topics: the whole column
                raise JobCancelledError
            return ensure(self, digests, texts, progress)

        monkeypatch.setattr(tunings.ColumnTuning, "ensure", stop)
        with pytest.raises(JobCancelledError):
            update_now(survey.column, deep=True)
        assert not folders()
        assert deployed(survey).tuning is None

    def test_a_full_disk_is_said_and_leaves_no_files(self, survey, alice, fake_tuning, monkeypatch):  # noqa: F811
        def save(self: Any, folder: Path) -> None:
            folder.mkdir(parents=True)
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(FakeTunedEncoder, "save", save)
        review(survey, N_REVIEWS, alice)
        job = update_request(column=survey.column, trigger=Trigger.COMMAND, deep=True)
        assert job is not None
        done = job_execute(job.pk)
        assert done is not None
        assert done.state == JobState.FAILED
        assert "disk" in done.error
        assert not folders()


class TestReviewOrder:
    def test_focus_mode_follows_the_plan_of_the_last_update(self, survey, alice, settings):  # noqa: F811
        settings.AUDIT_SHARE_PERCENT = 0
        update_now(survey.column)
        plan = deployed(survey).metrics["queue"]
        first = focus_next(column=survey.column)
        assert first is not None
        assert first.verbatim.pk == plan[0]
        skipped = focus_next(column=survey.column, exclude=[plan[0]])
        assert skipped is not None
        assert skipped.verbatim.pk in plan[1:]

    def test_reviewed_rows_drop_out_and_the_least_certain_follow_at_its_end(self, survey, alice, settings):  # noqa: F811
        settings.AUDIT_SHARE_PERCENT = 0
        settings.REVIEWS_PER_UPDATE = 1000
        update_now(survey.column)
        version = deployed(survey)
        plan = version.metrics["queue"]
        version.metrics["queue"] = plan[:1]
        version.save()
        Verbatim.objects.filter(pk=plan[0]).update(is_reviewed=True)
        card = focus_next(column=survey.column)
        assert card is not None
        least = (
            Verbatim.objects.filter(column=survey.column, is_reviewed=False).order_by("certainty", "id").first()
        )
        assert card.verbatim == least


@pytest.mark.skipif(resolve_weights() is None, reason="no encoder weights on this machine")
def test_the_encoder_itself_is_fine_tuned_end_to_end(survey, alice, settings, monkeypatch):  # noqa: F811
    settings.ENCODER_CLASS = "finetune.engine.Encoder"
    forget_encoder()
    monkeypatch.setattr(updates, "TuningOptions", partial(TuningOptions, epochs=2, n_members=2))
    monkeypatch.setattr(updates, "is_better", lambda *_: True)
    review(survey, N_REVIEWS, alice)
    update_now(survey.column, deep=True)
    tuning = Tuning.objects.get(column=survey.column)
    assert (tuning_folder_files(tuning), tuning.n_reviewed) == (
        ["arrays.npz", "meta.json", "weights.safetensors"],
        24,
    )
    assert share_right(survey) > 0.9
    tunings._loaded.clear()  # the next worker reads it from its files
    review(survey, N_REVIEWS + 3, alice)
    update_now(survey.column)
    assert deployed(survey).tuning == tuning
    assert share_right(survey) > 0.9


def tuning_folder_files(tuning: Tuning) -> list[str]:
    return sorted(path.name for path in (tuned_folder(tuning.key) / "weights").iterdir())
