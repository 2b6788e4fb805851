"""Why a row has a topic: the service, the page's part, and who may see it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from finetune.encoders import forget_encoder
from finetune.explanations import AROUND, LONG_TEXT, explain_assignment
from finetune.models import Embedding, ModelVersion
from finetune.updates import update_now
from projects.models import Member
from rows.models import Row, Verbatim
from tests.conftest import add_rows
from tests.fakes import HashEncoder
from tests.finetune.test_updates import review, survey  # noqa: F401  (a fixture)
from topics.models import Topic

pytestmark = pytest.mark.django_db


@pytest.fixture
def learned(survey: Any, alice: Any) -> Any:  # noqa: F811
    review(survey, 30, alice)
    update_now(survey.column)
    return survey


def open_row(project: Any, label: str, after: int = 30) -> Verbatim:
    """Return a row nobody reviewed whose true topic is `label`."""
    return next(verbatim for verbatim in list(project.truth)[after:] if project.truth[verbatim][0] == label)


def topic(project: Any, label: str) -> Topic:
    return project.column.topics.get(label=label)


def why(project: Any, verbatim: Verbatim, label: str) -> str:
    return reverse("finetune:assignment_why", args=[project.column.pk, verbatim.pk, topic(project, label).pk])


# --- the service ------------------------------------------------------------------------------------
def test_it_marks_the_words_that_carried_the_topic(learned: Any) -> None:
    verbatim = open_row(learned, "Delivery")
    explanation = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery"))
    assert "".join(piece.text for piece in explanation.pieces) == verbatim.text
    marked = {piece.text.lower() for piece in explanation.pieces if piece.level and not piece.is_against}
    assert any("delivery" in text or "parcel" in text for text in marked)
    assert max(piece.level for piece in explanation.pieces) == 3
    assert explanation.probability > 0.5 > explanation.base_probability
    assert explanation.words_percent is None or 0 < explanation.words_percent < 100


def test_the_nearest_rows_are_reviewed_and_have_the_topic(learned: Any) -> None:
    verbatim = open_row(learned, "Delivery")
    explanation = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery"))
    assert len(explanation.examples) == 3
    assert explanation.n_examples == 10
    for example in explanation.examples:
        found = Verbatim.objects.get(pk=example.verbatim_id)
        assert found.is_reviewed
        assert found.assignments.filter(topic__label="Delivery").exists()
        assert example.row_number == found.row_number
    similarities = [example.similarity for example in explanation.examples]
    assert similarities == sorted(similarities, reverse=True)


def test_a_row_is_not_its_own_example(learned: Any) -> None:
    verbatim = next(iter(learned.truth))
    verbatim.refresh_from_db()
    explanation = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery"))
    assert verbatim.is_reviewed
    assert verbatim.pk not in [example.verbatim_id for example in explanation.examples]


def test_deleted_rows_are_no_examples(learned: Any) -> None:
    verbatim = open_row(learned, "Delivery")
    before = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery")).examples
    Row.objects.filter(verbatims__pk=before[0].verbatim_id).update(deleted_at=timezone.now())
    after = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery")).examples
    assert before[0].verbatim_id not in [example.verbatim_id for example in after]


def test_a_topic_without_examples_says_so(survey: Any) -> None:  # noqa: F811
    update_now(survey.column)
    explanation = explain_assignment(verbatim=open_row(survey, "Price"), topic=topic(survey, "Price"))
    assert explanation.examples == []
    assert explanation.n_examples == 0
    assert next(word.lower() for word in explanation.strongest) in {"price", "prices"}


def test_without_model_vector_or_topic_there_is_nothing_to_explain(learned: Any, make_project: Any) -> None:
    verbatim, delivery = open_row(learned, "Delivery"), topic(learned, "Delivery")
    later = Topic.objects.create(
        column=learned.column, category=delivery.category, label="Later", code_neutral=99, position=9
    )
    assert explain_assignment(verbatim=verbatim, topic=later) is None
    elsewhere = make_project(learned.owner, name="Other").column.topics.first()
    assert explain_assignment(verbatim=verbatim, topic=elsewhere) is None
    (fresh,) = add_rows(learned, {learned.column: ["a text the AI has not read"]})
    assert explain_assignment(verbatim=fresh.verbatims.get(), topic=delivery) is None
    (empty,) = add_rows(learned, {learned.column: [" "]})
    assert explain_assignment(verbatim=empty.verbatims.get(), topic=delivery) is None
    assert explain_assignment(verbatim=verbatim, topic=delivery) is not None
    ModelVersion.objects.all().delete()
    assert explain_assignment(verbatim=verbatim, topic=delivery) is None


def test_it_needs_no_encoder(learned: Any, settings: Any) -> None:
    settings.ENCODER_CLASS = "tests.fakes.MissingEncoder"
    forget_encoder()
    n_encoded = HashEncoder.n_encoded
    assert explain_assignment(verbatim=open_row(learned, "Staff"), topic=topic(learned, "Staff")) is not None
    assert HashEncoder.n_encoded == n_encoded


def test_it_is_quick_and_asks_little_of_the_database(learned: Any) -> None:
    verbatim, delivery = open_row(learned, "Delivery"), topic(learned, "Delivery")
    explain_assignment(verbatim=verbatim, topic=delivery)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        began = time.process_time()
        explain_assignment(verbatim=verbatim, topic=delivery)
        spent = time.process_time() - began
    assert len(queries) <= 8
    assert spent < 0.5  # 0.015 on the machine this was written on


def test_a_long_text_is_shown_around_its_marked_words(learned: Any) -> None:
    filler = "lorem ipsum dolor sit amet " * 40
    (row,) = add_rows(learned, {learned.column: [f"{filler}The delivery was great. {filler}"]})
    update_now(learned.column)
    verbatim = row.verbatims.get()
    explanation = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery"))
    shown = "".join(piece.text for piece in explanation.pieces)
    assert "delivery" in shown
    assert "…" in shown
    assert len(shown) < len(verbatim.text)
    assert len(shown) < LONG_TEXT + 4 * AROUND * len(explanation.pieces)


def test_people_topics_are_explained_as_well(learned: Any) -> None:
    """Somebody gave a topic that the AI did not see: it says what speaks against it."""
    explanation = explain_assignment(verbatim=open_row(learned, "Delivery"), topic=topic(learned, "Price"))
    assert explanation.probability < 0.5


def test_it_follows_a_new_version(learned: Any, alice: Any) -> None:
    verbatim = open_row(learned, "Delivery", after=60)
    first = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery"))
    review(learned, 55, alice)
    update_now(learned.column)
    second = explain_assignment(verbatim=verbatim, topic=topic(learned, "Delivery"))
    assert (first.version, second.version) == (1, 2)
    assert second.n_examples > first.n_examples


# --- the page ---------------------------------------------------------------------------------------
def test_the_panel_offers_why_at_each_topic_and_shows_it(learned: Any, as_alice: Any, htmx: Any) -> None:
    verbatim = open_row(learned, "Delivery")
    panel = as_alice.get(reverse("rows:verbatim", args=[learned.column.pk, verbatim.pk])).content.decode()
    address = why(learned, verbatim, "Delivery")
    assert f'hx-get="{address}"' in panel
    answer = as_alice.get(address, headers=htmx)
    assert answer.status_code == 200
    content = answer.content.decode()
    assert "Why “Delivery”?" in content
    assert "<mark" in content
    assert content.count("data-open-row") == 3


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_members_may_see_why(learned: Any, as_bob: Any, bob: Any, role: str) -> None:
    Member.objects.create(project=learned, user=bob, role=role)
    verbatim = open_row(learned, "Delivery")
    assert as_bob.get(why(learned, verbatim, "Delivery")).status_code == 200
    panel = as_bob.get(reverse("rows:verbatim", args=[learned.column.pk, verbatim.pk])).content.decode()
    assert why(learned, verbatim, "Delivery") in panel


def test_strangers_get_404(learned: Any, as_charlie: Any) -> None:
    assert as_charlie.get(why(learned, open_row(learned, "Delivery"), "Delivery")).status_code == 404


def test_rows_and_topics_of_other_columns_do_not_exist_here(
    learned: Any, as_alice: Any, make_project: Any
) -> None:
    verbatim, delivery = open_row(learned, "Delivery"), topic(learned, "Delivery")
    other = make_project(learned.owner, name="Other").column
    for arguments in (
        [learned.column.pk, verbatim.pk, other.topics.first().pk],
        [learned.column.pk, other.verbatims.first().pk, delivery.pk],
        [other.pk, verbatim.pk, delivery.pk],
        [learned.column.pk, verbatim.pk, 0],
    ):
        assert as_alice.get(reverse("finetune:assignment_why", args=arguments)).status_code == 404
    Topic.objects.filter(pk=delivery.pk).update(deleted_at=timezone.now())
    assert as_alice.get(why(learned, verbatim, "Delivery")).status_code == 404


def test_it_is_only_for_reading(learned: Any, as_alice: Any) -> None:
    assert as_alice.post(why(learned, open_row(learned, "Delivery"), "Delivery")).status_code == 405


def test_without_a_model_the_answer_is_a_sentence(survey: Any, as_alice: Any) -> None:  # noqa: F811
    answer = as_alice.get(why(survey, open_row(survey, "Delivery"), "Delivery"))
    assert answer.status_code == 200
    assert "nothing to show yet" in answer.content.decode()
    assert not Embedding.objects.exists()


def test_a_text_cannot_bring_markup_along(learned: Any, as_alice: Any) -> None:
    text = "<script>alert(1)</script> delivery <b>parcel</b> was great & late"
    (row,) = add_rows(learned, {learned.column: [text]})
    update_now(learned.column)
    content = as_alice.get(why(learned, row.verbatims.get(), "Delivery")).content.decode()
    assert "<script>" not in content
    assert "<b>" not in content
    assert "&lt;" in content
    assert "<mark" in content


def test_focus_mode_is_left_as_it_is(learned: Any, as_alice: Any) -> None:
    page = as_alice.get(reverse("rows:focus", args=[learned.column.pk])).content.decode()
    assert "/why/" not in page
