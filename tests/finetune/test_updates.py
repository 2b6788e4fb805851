"""AI updates from trigger to stored assignments, with a fake encoder and the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.encoders import forget_encoder
from finetune.features import ColumnFeatures, scratch_array
from finetune.models import Embedding, ModelVersion, Trigger, VersionState
from finetune.services import update_request
from finetune.updates import Update, update_now, version_load
from projects.jobs import job_execute
from projects.models import Column, Job, JobKind, JobState
from rows.models import Assignment, AssignmentSource, Verbatim
from rows.services.reviews import TopicChoice, verbatim_review
from tests.conftest import add_rows, add_topics
from tests.fakes import HashEncoder
from topicassign.errors import ApplicationError
from topics.models import Topic

TOPICS = (("Service", "Delivery", True), ("Service", "Staff", True), ("Price", "Price", False))
WORDS = {
    "Delivery": ["The delivery was {}", "My parcel delivery came {}", "{} delivery, parcel arrived"],
    "Staff": ["The staff was {}", "{} staff in the shop", "Shop staff were {} to me"],
    "Price": ["The price is {}", "{} price for a lamp", "Prices are {} here"],
}
MOODS = {1: ["great", "excellent", "wonderful"], -1: ["terrible", "awful", "horrible"]}


def corpus(n: int = 90) -> tuple[list[str], list[str], list[int]]:
    texts, labels, moods = [], [], []
    for i in range(n):
        label = list(WORDS)[i % 3]
        mood = 1 if (i // 3) % 2 else -1
        template = WORDS[label][(i // 6) % 3]
        texts.append(f"{template.format(MOODS[mood][(i // 2) % 3])} {i}")
        labels.append(label)
        moods.append(mood)
    return texts, labels, moods


@pytest.fixture
def survey(make_project: Any, alice: Any) -> Any:
    texts, labels, moods = corpus()
    project = make_project(alice, texts=texts, topics=TOPICS)
    project.truth = dict(
        zip(project.column.verbatims.order_by("row_number"), zip(labels, moods, strict=True), strict=True)
    )
    return project


def review(project: Any, n: int, user: Any) -> list[Verbatim]:
    topics = {topic.label: topic for topic in project.column.topics.all()}
    reviewed = []
    for verbatim in list(project.truth)[:n]:
        label, mood = project.truth[verbatim]
        verbatim.refresh_from_db()
        topic = topics[label]
        verbatim_review(
            verbatim=verbatim,
            topics=[TopicChoice(topic.pk, mood if topic.sentiment_enabled else None)],
            revision=verbatim.revision,
            user=user,
        )
        reviewed.append(verbatim)
    return reviewed


def share_right(project: Any) -> float:
    """Return the share of rows nobody reviewed whose topics are exactly the true one."""
    right = []
    for verbatim, (label, _) in project.truth.items():
        if Verbatim.objects.filter(pk=verbatim.pk, is_reviewed=False).exists():
            own = list(Assignment.objects.filter(verbatim=verbatim).values_list("topic__label", flat=True))
            right.append(own == [label])
    return float(np.mean(right))


def run_waiting_jobs(column: Any) -> list[Job]:
    """Do what a worker would do."""
    done = []
    while job := Job.objects.filter(column=column, kind=JobKind.UPDATE, state=JobState.QUEUED).first():
        Job.objects.filter(pk=job.pk).update(not_before=None)
        done.append(job_execute(job.pk))
    return done


@pytest.mark.django_db
class TestUpdate:
    def test_it_assigns_topics_before_any_review(self, survey: Any) -> None:
        result = update_now(survey.column)
        assert result["version"] == 1
        assert result["n_reviewed"] == 0
        assert Assignment.objects.filter(verbatim__column=survey.column, source=AssignmentSource.AI).count() > 45
        assert ModelVersion.objects.get().ai_score is not None

    def test_it_learns_from_reviews(self, survey: Any, alice: Any) -> None:
        update_now(survey.column)
        review(survey, 30, alice)
        update_now(survey.column)
        assert share_right(survey) > 0.9

    def test_it_finds_the_sentiment_of_a_topic_and_of_the_row(self, survey: Any, alice: Any) -> None:
        review(survey, 30, alice)
        update_now(survey.column)
        pairs = Assignment.objects.filter(
            verbatim__column=survey.column, verbatim__is_reviewed=False, topic__sentiment_enabled=True
        ).select_related("verbatim")
        truth = {verbatim.pk: mood for verbatim, (_, mood) in survey.truth.items()}
        assert np.mean([pair.sentiment == truth[pair.verbatim_id] for pair in pairs]) > 0.9
        assert all(pair.verbatim.sentiment is not None for pair in pairs)

    def test_topics_without_sentiment_get_none(self, survey: Any, alice: Any) -> None:
        review(survey, 30, alice)
        update_now(survey.column)
        assert not Assignment.objects.filter(topic__label="Price").exclude(sentiment=None).exists()

    def test_reviewed_rows_stay_as_the_person_left_them(self, survey: Any, alice: Any) -> None:
        first = next(iter(survey.truth))
        wrong = Topic.objects.get(label="Price")
        verbatim_review(verbatim=first, topics=[TopicChoice(wrong.pk)], revision=0, user=alice)
        update_now(survey.column)
        assert list(first.assignments.values_list("topic__label", "source")) == [("Price", "person")]

    def test_duplicates_get_the_same_topics(self, make_project: Any, alice: Any) -> None:
        project = make_project(
            alice, texts=["Delivery was slow", "delivery  WAS slow", "Nice staff", "Price too high"], topics=TOPICS
        )
        update_now(project.column)
        first, second = project.column.verbatims.order_by("row_number")[:2]
        assert list(first.assignments.values_list("topic", "sentiment")) == list(
            second.assignments.values_list("topic", "sentiment")
        )
        assert first.certainty == second.certainty

    def test_a_second_update_without_news_writes_nothing(self, survey: Any, alice: Any) -> None:
        review(survey, 12, alice)
        update_now(survey.column)
        before = list(Assignment.objects.order_by("pk").values_list("pk", flat=True))
        revisions = list(Verbatim.objects.order_by("pk").values_list("revision", flat=True))
        update_now(survey.column)
        assert list(Assignment.objects.order_by("pk").values_list("pk", flat=True)) == before
        assert list(Verbatim.objects.order_by("pk").values_list("revision", flat=True)) == revisions

    def test_texts_are_encoded_once(self, survey: Any) -> None:
        update_now(survey.column)
        n_encoded = HashEncoder.n_encoded
        update_now(survey.column)
        assert HashEncoder.n_encoded == n_encoded
        assert Embedding.objects.count() == 90 + len(TOPICS)

    def test_a_lost_cache_folder_is_made_again_without_encoding(self, survey: Any) -> None:
        update_now(survey.column)
        n_encoded = HashEncoder.n_encoded
        ColumnFeatures(survey.column.pk, HashEncoder.key, HashEncoder.n_features).clear()
        update_now(survey.column)
        assert HashEncoder.n_encoded == n_encoded

    def test_rows_get_first_assignments_while_encoding_goes_on(self, survey: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("finetune.updates.ENCODE_BLOCK", 30)
        seen = []
        update = Update(survey.column, None, trigger=Trigger.ROWS)
        early = update._assign_early

        def spy(block: np.ndarray) -> None:
            early(block)
            seen.append(
                Verbatim.objects.filter(column=survey.column, assignments__isnull=False).distinct().count()
            )

        monkeypatch.setattr(update, "_assign_early", spy)
        update.execute()
        assert len(seen) == 3
        assert 0 < seen[0] <= 30 < seen[2]

    def test_topics_made_while_encoding_goes_on_count_from_the_next_block(
        self, survey: Any, alice: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("finetune.updates.ENCODE_BLOCK", 30)
        made = []
        encode = HashEncoder.encode

        def add_topic_then_encode(encoder: Any, texts: Any, **options: Any) -> Any:
            if len(texts) == 30 and not made:
                made.append(add_topics(survey.column, [("Place", "Shop", False)])[0])
                update_request(column=survey.column, trigger=Trigger.TOPICS)
            return encode(encoder, texts, **options)

        monkeypatch.setattr(HashEncoder, "encode", add_topic_then_encode)
        job = update_request(column=survey.column, trigger=Trigger.ROWS)
        assert job is not None
        done = job_execute(job.pk)
        assert done is not None
        assert made[0].pk in ModelVersion.objects.order_by("number").first().topic_ids
        survey.column.refresh_from_db()
        assert not survey.column.update_requested

    def test_a_column_without_topics_still_gets_overall_sentiment(self, make_project: Any, alice: Any) -> None:
        project = make_project(alice, texts=["Great, I love it", "Horrible, I hate it"], topics=[])
        assert update_now(project.column)["version"] is None
        assert list(project.column.verbatims.order_by("row_number").values_list("sentiment", flat=True)) == [1, -1]

    @pytest.mark.parametrize("texts", [["Only one row about delivery"], ["", "  "], ["same"] * 5])
    def test_odd_columns_do_no_harm(self, make_project: Any, alice: Any, texts: list[str]) -> None:
        project = make_project(alice, texts=texts, topics=TOPICS)
        assert update_now(project.column)["version"] == 1

    def test_every_row_reviewed(self, survey: Any, alice: Any) -> None:
        review(survey, 90, alice)
        assert update_now(survey.column)["n_reviewed"] == 90

    def test_it_writes_nothing_for_a_topic_deleted_meanwhile(self, survey: Any, monkeypatch: Any) -> None:
        from django.utils import timezone

        price = Topic.objects.get(label="Price")
        update = Update(survey.column, None, trigger=Trigger.ROWS)
        evaluate = update._evaluate

        def delete_then_evaluate() -> None:
            Topic.objects.filter(pk=price.pk).update(deleted_at=timezone.now())
            evaluate()

        monkeypatch.setattr(update, "_evaluate", delete_then_evaluate)
        update.execute()
        assert not Assignment.objects.filter(topic=price).exists()
        assert not ModelVersion.objects.get().topic_scores.filter(topic=price).exists()


@pytest.mark.django_db
class TestVersions:
    def test_a_stored_model_predicts_the_same_bit_for_bit(self, survey: Any, alice: Any) -> None:
        review(survey, 30, alice)
        update = Update(survey.column, None, trigger=Trigger.COMMAND)
        update.execute()
        loaded = version_load(ModelVersion.objects.get())
        assert loaded is not None
        classifier, sentiment = loaded
        assert np.any(sentiment.mood_W_)  # learnt from the texts that nobody reviewed
        X, X_lex = update.features.X, update.features.X_lex
        assert np.array_equal(classifier.predict_proba(X, X_lex), update.classifier.predict_proba(X, X_lex))
        assert np.array_equal(classifier.thresholds_, update.classifier.thresholds_)
        rows = np.arange(update.features.n)
        topics = np.zeros(update.features.n, dtype=int)
        clauses = update.features.clauses
        assert np.array_equal(
            sentiment.predict(clauses, X, rows, topics), update.sentiment_model.predict(clauses, X, rows, topics)
        )

    def test_a_damaged_model_is_refused(self, survey: Any) -> None:
        update_now(survey.column)
        version = ModelVersion.objects.get()
        version.artifact = bytes(version.artifact)[:-1] + b"x"
        with pytest.raises(ApplicationError, match="damaged"):
            version_load(version)

    def test_an_update_replaces_a_model_of_another_release(self, survey: Any, monkeypatch: Any) -> None:
        with monkeypatch.context() as earlier:
            earlier.setattr("finetune.updates.ARTIFACT_FORMAT", 1)
            update_now(survey.column)
        with pytest.raises(ApplicationError, match="another release"):
            version_load(ModelVersion.objects.get())
        monkeypatch.setattr("finetune.updates.ENCODE_BLOCK", 30)  # several blocks: early assignments
        ColumnFeatures(survey.column.pk, HashEncoder.key, HashEncoder.n_features).clear()
        update_now(survey.column)
        version = ModelVersion.objects.get(state=VersionState.DEPLOYED)
        assert version.number == 2
        assert version_load(version) is not None

    def test_only_the_last_is_in_use_and_old_arrays_go(self, survey: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("finetune.updates.KEEP_ARTIFACTS", 1)
        for _ in range(4):
            update_now(survey.column)
        states = dict(ModelVersion.objects.values_list("number", "state"))
        assert states == {1: "superseded", 2: "superseded", 3: "superseded", 4: "deployed"}
        kept = ModelVersion.objects.exclude(artifact=None).values_list("number", flat=True)
        assert sorted(kept) == [3, 4]

    def test_audit_rows_give_a_measured_score(self, survey: Any, alice: Any) -> None:
        reviewed = review(survey, 30, alice)
        Verbatim.objects.filter(pk__in=[verbatim.pk for verbatim in reviewed]).update(is_audit=True)
        update_now(survey.column)
        measured = ModelVersion.objects.get().metrics["measured"]
        assert measured["n"] == 30
        assert measured["low"] <= measured["score"] <= measured["high"]

    def test_few_audit_rows_measure_nothing(self, survey: Any, alice: Any) -> None:
        reviewed = review(survey, 5, alice)
        Verbatim.objects.filter(pk=reviewed[0].pk).update(is_audit=True)
        update_now(survey.column)
        assert ModelVersion.objects.get().metrics["measured"] == {"score": None, "n": 1}


@pytest.mark.django_db(transaction=True)
class TestTriggers:
    def test_every_fifth_review_starts_an_update(self, survey: Any, alice: Any) -> None:
        review(survey, 4, alice)
        assert not Job.objects.exists()
        review_one = list(survey.truth)[4]
        verbatim_review(verbatim=review_one, topics=[], revision=review_one.revision, user=alice)
        assert [job.state for job in run_waiting_jobs(survey.column)] == [JobState.DONE]
        survey.column.refresh_from_db()
        assert survey.column.n_reviews_since_update == 0
        assert ModelVersion.objects.get().trigger == Trigger.REVIEWS

    def test_reviews_during_an_update_lead_to_one_more(self, survey: Any, alice: Any, monkeypatch: Any) -> None:
        once = []
        deploy = Update._deploy

        def review_then_deploy(update: Update) -> Any:
            if not once:
                once.append(True)
                review(survey, 6, alice)
            return deploy(update)

        monkeypatch.setattr(Update, "_deploy", review_then_deploy)
        update_request(column=survey.column, trigger=Trigger.BUTTON)
        done = run_waiting_jobs(survey.column)
        assert [job.payload["trigger"] for job in done] == [Trigger.BUTTON, Trigger.FOLLOW_UP]
        assert ModelVersion.objects.get(state=VersionState.DEPLOYED).n_reviewed == 6

    def test_updates_off_freezes_learning(self, survey: Any, alice: Any) -> None:
        survey.column.ai_updates_on = False
        survey.column.save()
        review(survey, 10, alice)
        assert not Job.objects.exists()

    def test_new_rows_get_topics_from_the_existing_model_while_updates_are_off(self, survey: Any) -> None:
        update_now(survey.column)
        Column.objects.filter(pk=survey.column.pk).update(ai_updates_on=False)
        Assignment.objects.all().delete()  # whatever the others have is frozen
        fresh = add_rows(survey, {survey.column: ["The delivery was late", "Delivery was awful"]})
        update_request(column=survey.column, trigger=Trigger.ROWS, assign_only=True)
        assert [job.state for job in run_waiting_jobs(survey.column)] == [JobState.DONE]
        assert ModelVersion.objects.count() == 1
        assert set(Assignment.objects.values_list("verbatim__row", flat=True)) == {row.pk for row in fresh}

    def test_changes_before_the_start_are_debounced_into_one_update(self, survey: Any) -> None:
        first = update_request(column=survey.column, trigger=Trigger.TOPICS, delay_s=5)
        assert first is not None
        due = first.not_before
        second = update_request(column=survey.column, trigger=Trigger.TOPICS, delay_s=60)
        assert second is not None
        assert second.pk == first.pk
        first.refresh_from_db()
        assert first.not_before > due
        assert Job.objects.count() == 1

    def test_missing_weights_fail_the_update_with_a_way_out_and_keep_the_review(
        self, survey: Any, alice: Any, settings: Any
    ) -> None:
        settings.ENCODER_CLASS = "tests.fakes.MissingEncoder"
        forget_encoder()
        review(survey, 5, alice)
        (job,) = run_waiting_jobs(survey.column)
        assert job.state == JobState.FAILED
        assert "three ways" in job.error
        assert Verbatim.objects.filter(is_reviewed=True).count() == 5

    def test_a_failed_update_leaves_the_last_model_in_use(self, survey: Any, monkeypatch: Any) -> None:
        update_now(survey.column)
        monkeypatch.setattr(Update, "_train", lambda update: 1 / 0)
        update_request(column=survey.column, trigger=Trigger.BUTTON)
        (job,) = run_waiting_jobs(survey.column)
        assert job.state == JobState.FAILED
        assert "ZeroDivision" not in job.error
        assert ModelVersion.objects.get().state == VersionState.DEPLOYED

    def test_an_update_can_be_cancelled(self, survey: Any, monkeypatch: Any) -> None:
        job = update_request(column=survey.column, trigger=Trigger.BUTTON)
        assert job is not None
        train = Update._train

        def cancel_then_train(update: Update) -> None:
            Job.objects.filter(pk=job.pk).update(cancel_requested=True)
            train(update)

        monkeypatch.setattr(Update, "_train", cancel_then_train)
        done = job_execute(job.pk)
        assert done is not None
        assert done.state == JobState.CANCELLED
        assert not ModelVersion.objects.exists()


def test_a_torn_tail_of_the_cache_is_cut(settings: Any, tmp_path: Any) -> None:
    features = ColumnFeatures(1, "hash/1", 4)
    X = np.eye(4, dtype=np.float16)
    features.append([bytes([i]) * 16 for i in range(4)], ["one", "two", "", "four five"], X)
    with open(features.folder / "vectors", "ab") as stream:
        stream.write(b"half a vec")
    again = ColumnFeatures(1, "hash/1", 4)
    assert again.n == 4
    again.append([bytes([9]) * 16], ["nine"], X[:1])
    assert np.array_equal(again.X[4], X[0])
    assert again.positions([bytes([9]) * 16, bytes([7]) * 16]).tolist() == [4, -1]
    assert again.X_lex.shape[0] == len(again.clauses) == 5


def test_a_shortened_cache_file_starts_the_cache_anew(settings: Any) -> None:
    features = ColumnFeatures(1, "hash/1", 4)
    features.append([b"a" * 16], ["text"], np.ones((1, 4)))
    (features.folder / "lex_values").write_bytes(b"")
    assert ColumnFeatures(1, "hash/1", 4).n == 0


class TestScratchArray:
    def test_a_large_one_lies_in_a_file_that_leaves_nothing(self, settings: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("finetune.features.MAX_IN_MEMORY", 100)
        array = scratch_array((20, 3))
        assert isinstance(array, np.memmap)
        array[:] = 2.0
        assert array.sum() == 120
        assert not [path for path in Path(settings.CACHE_DIR).iterdir() if path.is_file()]

    def test_an_update_with_one_assigns_the_same(self, survey: Any, monkeypatch: Any) -> None:
        update_now(survey.column)
        query = Assignment.objects.order_by("verbatim", "topic").values_list("verbatim", "topic", "probability")
        expected = list(query)
        monkeypatch.setattr("finetune.features.MAX_IN_MEMORY", 100)
        assert update_now(survey.column)["version"] == 2
        assert list(query) == expected
