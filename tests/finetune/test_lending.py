"""AI updates of a column that learns from another project."""

from __future__ import annotations

from typing import Any

import pytest

from finetune import lending
from finetune.encoders import forget_encoder
from finetune.lending import lent_rows
from finetune.models import Embedding, ModelVersion, Tuning
from finetune.updates import Update, update_now
from projects.models import Job
from projects.services.projects import project_delete, project_restore
from rows.models import Assignment, Verbatim
from rows.services.reviews import TopicChoice, verbatim_review, verbatim_unreview
from tests.conftest import add_rows
from tests.fakes import HashEncoder
from tests.finetune.test_deep_updates import fake_tuning  # noqa: F401  (a fixture)
from tests.finetune.test_updates import corpus, review, share_right
from topics.selectors import topic_list
from topics.services import topic_delete, topic_update
from topics.services.learning import learning_set

pytestmark = pytest.mark.django_db
# Names that say nothing about their texts: what is known of them comes from reviews.
DUMB = (("A", "First thing", True), ("A", "Second thing", True), ("B", "Third thing", False))
NAMES = dict(zip(("Delivery", "Staff", "Price"), ("First thing", "Second thing", "Third thing"), strict=True))


def make(make_project: Any, owner: Any, name: str, start: int, n: int = 60) -> Any:
    texts, labels, moods = corpus(start + n)
    project = make_project(owner, name=name, texts=texts[start:], topics=DUMB)
    truth = zip([NAMES[label] for label in labels[start:]], moods[start:], strict=True)
    project.truth = dict(zip(project.column.verbatims.order_by("row_number"), truth, strict=True))
    return project


@pytest.fixture
def old(make_project: Any, alice: Any) -> Any:
    """Last year's survey: 40 of its texts are reviewed."""
    project = make(make_project, alice, "Last year", 200)
    review(project, 40, alice)
    return project


@pytest.fixture
def new(make_project: Any, alice: Any) -> Any:
    return make(make_project, alice, "This year", 0)


def link(new: Any, old: Any, user: Any) -> None:
    new.column.refresh_from_db()
    learning_set(column=new.column, source=old and old.column, user=user)


def ids(project: Any) -> list[int]:
    return list(topic_list(column=project.column).values_list("pk", flat=True))


def lent(project: Any) -> Any:
    return lent_rows(project.column, ids(project))


class TestUpdate:
    def test_reviews_of_another_project_teach_before_the_first_own_one(
        self, new: Any, old: Any, alice: Any
    ) -> None:
        update_now(new.column)
        alone = share_right(new)
        link(new, old, alice)
        result = update_now(new.column)
        assert share_right(new) > alone + 0.3
        assert result["n_reviewed"] == 0  # own ones
        version = ModelVersion.objects.get(column=new.column, state="deployed")
        assert version.metrics["learned_from"] == [
            {"column": old.column.pk, "step": 1, "weight": 0.25, "n_rows": 40, "n_topics": 3}
        ]

    def test_the_source_and_reviewed_rows_stay_as_they_are(self, new: Any, old: Any, alice: Any) -> None:
        first = next(iter(new.truth))
        wrong = new.column.topics.get(label="Third thing")
        verbatim_review(verbatim=first, topics=[TopicChoice(wrong.pk)], revision=0, user=alice)
        before = list(Assignment.objects.filter(verbatim__column=old.column).order_by("pk").values())
        n_texts = Verbatim.objects.count()
        link(new, old, alice)
        update_now(new.column)
        assert list(first.assignments.values_list("topic__label", "source")) == [("Third thing", "person")]
        assert list(Assignment.objects.filter(verbatim__column=old.column).order_by("pk").values()) == before
        assert Verbatim.objects.count() == n_texts
        assert not Job.objects.filter(column=old.column, payload__trigger="topics").exists()

    def test_the_score_is_measured_on_own_rows_only(self, new: Any, old: Any, alice: Any) -> None:
        review(new, 10, alice)
        Verbatim.objects.filter(column=old.column, is_reviewed=True).update(is_audit=True)
        link(new, old, alice)
        update = Update(new.column, None, trigger="button")
        update.execute()
        assert update.classifier.loo_proba_.shape[0] == len(update.Y) == 10
        assert update.classifier.n_lent_ == 40
        assert "measured" not in update.scores.metrics  # no own row was drawn at random
        assert update.scores.support.sum() == 10
        planned = set(update.scores.metrics["queue"])
        assert planned <= set(new.column.verbatims.values_list("pk", flat=True))

    def test_new_reviews_of_the_source_come_with_the_next_own_update(self, new: Any, old: Any, alice: Any) -> None:
        link(new, old, alice)
        update_now(new.column)
        Job.objects.all().delete()
        review(old, 45, alice)
        assert not Job.objects.filter(column=new.column).exists()  # no storm of updates
        update_now(new.column)
        assert (
            ModelVersion.objects.get(column=new.column, state="deployed").metrics["learned_from"][0]["n_rows"]
            == 45
        )

    def test_the_update_after_the_link_was_ended_learns_without_it(self, new: Any, old: Any, alice: Any) -> None:
        update_now(new.column)
        alone = ModelVersion.objects.get(column=new.column, state="deployed").ai_score
        link(new, old, alice)
        update_now(new.column)
        link(new, None, alice)
        update_now(new.column)
        version = ModelVersion.objects.get(column=new.column, state="deployed")
        assert "learned_from" not in version.metrics
        assert version.ai_score == pytest.approx(alone, abs=1e-4)

    def test_topics_without_a_partner_learn_as_before(self, new: Any, old: Any, alice: Any) -> None:
        topic_delete(topic=old.column.topics.get(label="Third thing"), user=alice)
        link(new, old, alice)
        (rows,) = lent(new).rows
        assert rows.knows.tolist() == [True, True, False]
        assert not rows.Y[:, 2].any()
        update_now(new.column)

    def test_a_renamed_topic_goes_on_teaching(self, new: Any, old: Any, alice: Any) -> None:
        link(new, old, alice)
        topic_update(topic=old.column.topics.get(label="Third thing"), user=alice, label="Costs")
        assert lent(new).rows[0].knows.all()

    def test_a_deep_update_tunes_on_own_reviews_and_keeps_the_lent_rows(
        self,
        new: Any,
        old: Any,
        alice: Any,
        fake_tuning: None,  # noqa: F811
    ) -> None:
        review(new, 24, alice)
        link(new, old, alice)
        update = Update(new.column, None, trigger="deep", deep=True)
        update.execute()
        assert Tuning.objects.get(column=new.column).n_reviewed == 24
        assert update.classifier.needs_tuned
        assert update.classifier.n_lent_ == 40
        assert share_right(new) > 0.8

    def test_the_strip_says_what_it_guesses_from(
        self, new: Any, old: Any, alice: Any, as_alice: Any, htmx: dict[str, str]
    ) -> None:
        update_now(new.column)
        Job.objects.all().delete()
        strip = as_alice.get(f"/columns/{new.column.pk}/ai/", headers=htmx)
        assert "Guessing from topic labels." in strip.text
        link(new, old, alice)
        update_now(new.column)
        Job.objects.all().delete()
        new.column.refresh_from_db()
        assert "Guessing from another project." in as_alice.get(f"/columns/{new.column.pk}/ai/", headers=htmx).text
        assert (
            "reviews of another project" in as_alice.get(f"/columns/{new.column.pk}/ai/score/", headers=htmx).text
        )


class TestWhatIsLent:
    def test_nothing_without_a_link(self, new: Any) -> None:
        assert lent(new).rows == lent(new).sources == []

    def test_the_labels_are_those_of_the_reviews(self, new: Any, old: Any, alice: Any) -> None:
        link(new, old, alice)
        (rows,) = lent(new).rows
        assert (rows.X.shape, rows.X_lex.shape[0], rows.Y.shape, rows.weight) == ((40, 64), 40, (40, 3), 0.25)
        assert rows.Y.sum() == 40
        assert sorted(rows.Y.sum(axis=0).tolist()) == [13, 13, 14]

    def test_what_was_reviewed_here_counts_here(self, make_project: Any, new: Any, old: Any, alice: Any) -> None:
        """The same text in other letters would tell the classifier the answer about an own row."""
        same = next(iter(old.truth)).text
        add_rows(new, {new.column: [same.upper()]})
        link(new, old, alice)
        assert lent(new).sources[0]["n_rows"] == 40
        own = new.column.verbatims.order_by("-row_number").first()
        verbatim_review(verbatim=own, topics=[], revision=own.revision, user=alice)
        assert lent(new).sources[0]["n_rows"] == 39

    def test_reviews_taken_back_and_deleted_rows_are_not_lent(self, new: Any, old: Any, alice: Any) -> None:
        link(new, old, alice)
        first, second, *_rest = old.column.verbatims.filter(is_reviewed=True).order_by("pk")
        verbatim_unreview(verbatim=first, user=alice, revision=first.revision)
        second.row.deleted_at = first.row.created_at
        second.row.save()
        assert lent(new).sources[0]["n_rows"] == 38

    def test_a_deleted_project_lends_nothing_until_it_is_back(self, new: Any, old: Any, alice: Any) -> None:
        link(new, old, alice)
        project_delete(project=old, user=alice)
        assert lent(new).rows == []
        old.refresh_from_db()
        project_restore(project=old, user=alice)
        assert lent(new).sources[0]["n_rows"] == 40

    def test_a_chain_fades(self, make_project: Any, new: Any, old: Any, alice: Any) -> None:
        older = make(make_project, alice, "Two years ago", 400)
        review(older, 12, alice)
        link(old, older, alice)
        link(new, old, alice)
        facts = [(one["column"], one["step"], one["weight"], one["n_rows"]) for one in lent(new).sources]
        assert facts == [(old.column.pk, 1, 0.25, 40), (older.column.pk, 2, 0.0625, 12)]

    def test_of_too_many_rows_each_topic_gives_some(
        self, new: Any, old: Any, alice: Any, monkeypatch: Any
    ) -> None:
        rare = old.column.topics.get(label="Third thing")
        Assignment.objects.filter(topic=rare).exclude(
            verbatim=Assignment.objects.filter(topic=rare).first().verbatim_id
        ).delete()
        monkeypatch.setattr(lending, "MAX_ROWS", 6)
        link(new, old, alice)
        (rows,) = lent(new).rows
        assert len(rows.Y) == 6
        assert rows.Y.sum(axis=0)[2] == 1  # its only example
        assert rows.Y.sum(axis=0).min() >= 1

    def test_the_nearest_of_a_chain_comes_first(
        self, make_project: Any, new: Any, old: Any, alice: Any, monkeypatch: Any
    ) -> None:
        older = make(make_project, alice, "Two years ago", 400)
        review(older, 12, alice)
        link(old, older, alice)
        link(new, old, alice)
        monkeypatch.setattr(lending, "MAX_ROWS", 45)
        assert [one["n_rows"] for one in lent(new).sources] == [40, 5]

    def test_vectors_are_those_of_the_encoder_in_use(self, new: Any, old: Any, alice: Any, settings: Any) -> None:
        """Both columns go by one encoder: after a change of it the texts of the source are encoded anew."""
        update_now(old.column)
        settings.ENCODER_CLASS = "tests.finetune.test_lending.OtherEncoder"
        forget_encoder()
        link(new, old, alice)
        (rows,) = lent(new).rows
        assert rows.X.shape == (40, 64)
        assert Embedding.objects.filter(encoder=OtherEncoder.key).count() == 40
        update_now(new.column)


class OtherEncoder(HashEncoder):
    key = "hash/2/numpy"
