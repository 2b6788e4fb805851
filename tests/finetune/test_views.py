"""The AI's part of the screen: status strip, score tab, switch and button."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune.models import Trigger
from finetune.services import update_request
from finetune.updates import update_now
from projects.models import Change, Job, JobState
from tests.finetune.test_updates import review, survey  # noqa: F401  (a fixture)


def url(name: str, column: Any) -> str:
    return reverse(f"finetune:{name}", args=[column.pk])


@pytest.mark.django_db
class TestStatus:
    def test_before_the_first_update_there_is_no_score(self, as_alice: Any, column: Any) -> None:
        page = as_alice.get(url("ai_status", column)).content.decode()
        assert "AI score –" in page
        assert "data-until-update>5<" in page

    def test_it_shows_score_and_counter(self, client_of: Any, alice: Any, survey: Any) -> None:  # noqa: F811
        review(survey, 2, alice)
        update_now(survey.column)
        review(survey, 3, alice)
        page = client_of(alice).get(url("ai_status", survey.column)).content.decode()
        assert "data-ai-score" in page
        assert "data-until-update>4<" in page or "data-until-update>2<" in page

    def test_it_says_when_it_is_guessing(self, client_of: Any, alice: Any, survey: Any) -> None:  # noqa: F811
        update_now(survey.column)
        page = client_of(alice).get(url("ai_status", survey.column)).content.decode()
        assert "Guessing" in page

    def test_an_idle_poll_gets_204_until_something_changes(self, client_of: Any, alice: Any, survey: Any) -> None:  # noqa: F811
        client = client_of(alice)
        address = url("ai_status", survey.column)
        page = client.get(address).content.decode()
        seen = page.split("seen=")[1].split('"')[0]
        assert client.get(address, {"seen": seen}).status_code == 204
        update_now(survey.column)
        changed = client.get(address, {"seen": seen})
        assert changed.status_code == 200
        assert "ai-updated" in changed["HX-Trigger"]

    def test_a_waiting_update_that_nobody_does_is_told(self, as_alice: Any, column: Any) -> None:
        job = update_request(column=column, trigger=Trigger.BUTTON)
        Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=1))
        page = as_alice.get(url("ai_status", column)).content.decode()
        assert "no worker answers" in page

    def test_a_failed_update_gives_its_reason(self, as_alice: Any, column: Any) -> None:
        job = update_request(column=column, trigger=Trigger.BUTTON)
        Job.objects.filter(pk=job.pk).update(state=JobState.FAILED, error="The disk is <full>.")
        page = as_alice.get(url("ai_status", column)).content.decode()
        assert "The disk is &lt;full&gt;." in page


@pytest.mark.django_db
class TestScore:
    def test_without_a_version_it_says_what_to_do(self, as_alice: Any, column: Any) -> None:
        assert "No AI score yet" in as_alice.get(url("ai_score", column)).content.decode()

    @pytest.mark.parametrize("by", ["score", "count", "influence", "topic", "'; DROP TABLE"])
    def test_every_topic_has_a_line(self, client_of: Any, alice: Any, survey: Any, by: str) -> None:  # noqa: F811
        review(survey, 10, alice)
        update_now(survey.column)
        page = client_of(alice).get(url("ai_score", survey.column), {"by": by}).content.decode()
        for label in ("Delivery", "Staff", "Price"):
            assert label in page


@pytest.mark.django_db
class TestSwitchAndButton:
    def test_the_owner_switches_updates_off_and_undoes_it(self, as_alice: Any, column: Any) -> None:
        page = as_alice.post(url("ai_switch", column), {}, headers={"HX-Request": "true"})
        column.refresh_from_db()
        assert not column.ai_updates_on
        assert "AI updates are off" in page.content.decode()
        as_alice.post(reverse("projects:change_undo", args=[Change.objects.get().pk]))
        column.refresh_from_db()
        assert column.ai_updates_on

    def test_a_second_click_changes_nothing(self, as_alice: Any, column: Any) -> None:
        for _ in range(2):
            as_alice.post(url("ai_switch", column), {"on": "yes"})
        assert not Change.objects.exists()

    def test_the_button_starts_one_update(self, as_alice: Any, column: Any) -> None:
        assert as_alice.post(url("ai_update", column)).status_code == 200
        assert as_alice.post(url("ai_update", column)).status_code == 409
        assert Job.objects.count() == 1

    def test_the_button_refuses_while_updates_are_off(self, as_alice: Any, column: Any) -> None:
        column.ai_updates_on = False
        column.save()
        assert as_alice.post(url("ai_update", column)).status_code == 422
        assert not Job.objects.exists()

    @pytest.mark.parametrize("role", ["viewer", "analyst"])
    @pytest.mark.parametrize("name", ["ai_switch", "ai_update"])
    def test_members_below_admin_may_not(self, as_bob: Any, column: Any, name: str) -> None:
        assert as_bob.post(url(name, column)).status_code == 403
        assert as_bob.get(url("ai_status", column)).status_code == 200

    @pytest.mark.parametrize("name", ["ai_status", "ai_score"])
    def test_strangers_see_nothing(self, as_charlie: Any, column: Any, name: str) -> None:
        assert as_charlie.get(url(name, column)).status_code == 404
