"""Likely topics on the card of focus mode."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from finetune.models import Embedding
from finetune.proposals import proposals
from finetune.updates import update_now
from rows.models import Verbatim
from tests.finetune.test_updates import review, survey  # noqa: F401  (a fixture)
from topics.models import Topic


@pytest.fixture
def learned(survey: Any, alice: Any) -> Any:  # noqa: F811
    review(survey, 30, alice)
    update_now(survey.column)
    return survey


@pytest.mark.django_db
def test_the_true_topic_comes_first_with_its_sentiment(learned: Any) -> None:
    verbatim = list(learned.truth)[36]
    label, mood = learned.truth[verbatim]
    (topic, probability, sentiment), *others = proposals(learned.column, verbatim)
    assert Topic.objects.get(pk=topic).label == label
    assert sentiment == (mood if label != "Price" else None)
    assert all(probability >= other[1] for other in others)


@pytest.mark.django_db
def test_it_follows_a_new_version(learned: Any, alice: Any) -> None:
    verbatim = list(learned.truth)[60]
    before = proposals(learned.column, verbatim)
    review(learned, 55, alice)
    update_now(learned.column)
    assert proposals(learned.column, verbatim) != before


@pytest.mark.django_db
def test_deleted_topics_are_not_proposed(learned: Any) -> None:
    from django.utils import timezone

    Topic.objects.filter(label="Delivery").update(deleted_at=timezone.now())
    for verbatim in learned.truth:
        assert "Delivery" not in Topic.objects.filter(
            pk__in=[topic for topic, _, _ in proposals(learned.column, verbatim)]
        ).values_list("label", flat=True)


@pytest.mark.django_db
def test_without_model_or_vector_there_is_nothing(survey: Any) -> None:  # noqa: F811
    verbatim = Verbatim.objects.first()
    assert proposals(survey.column, verbatim) == []
    update_now(survey.column)
    Embedding.objects.all().delete()
    assert proposals(survey.column, verbatim) == []


@pytest.mark.django_db
def test_the_card_shows_them(learned: Any, client_of: Any, alice: Any) -> None:
    page = client_of(alice).get(reverse("rows:focus", args=[learned.column.pk]))
    assert page.status_code == 200
    assert "%" in page.content.decode()
