"""What an open page learns by asking again: nothing, the strip, rows of others, everything after an update."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from finetune.live import Seen, pulse
from finetune.models import ModelVersion
from projects.models import Column, Job, JobKind, JobState, Member, Project, ProjectState
from projects.selectors import get_column_for_read
from rows.services.reviews import TopicChoice, verbatim_review

pytestmark = pytest.mark.django_db


def url(column: Column) -> str:
    return reverse("finetune:ai_status", args=[column.pk])


def seen_of(client: Any, column: Column) -> str:
    """Load the strip as a page does and return the word it holds."""
    return client.get(url(column)).content.decode().split("seen=")[1].split('"')[0]


def poll(client: Any, column: Column, seen: str) -> Any:
    return client.get(url(column), {"seen": seen}, headers={"HX-Request": "true"})


def events(response: Any) -> dict[str, Any]:
    return json.loads(response.headers.get("HX-Trigger", "{}"))


def review(column: Column, number: int, user: Any) -> list[int]:
    verbatim = column.verbatims.get(row_number=number)
    topic = column.topics.get(label="Price")
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(topic.pk, None)], revision=verbatim.revision, user=user)
    return [verbatim.pk]


def deploy(column: Column, number: int = 1, **values: Any) -> ModelVersion:
    """Put a version in use as an update does at its end."""
    column.versions.filter(state="deployed").update(state="superseded")
    version = ModelVersion.objects.create(
        column=column, number=number, trigger="reviews", state="deployed", ai_score=60.0, **values
    )
    Column.objects.filter(pk=column.pk).update(revision=column.revision + number)
    return version


def test_nothing_new_is_204_without_a_body(as_bob: Any, column: Column) -> None:
    response = poll(as_bob, column, seen_of(as_bob, column))
    assert response.status_code == 204
    assert not response.content
    assert not events(response)
    assert "no-store" in response.headers["Cache-Control"]


def test_an_idle_poll_asks_for_the_person_and_one_thing_more(as_bob: Any, column: Column) -> None:
    seen = seen_of(as_bob, column)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert poll(as_bob, column, seen).status_code == 204
    assert len(captured) == 3, [one["sql"] for one in captured]  # session, person, pulse


def test_a_review_of_somebody_else_names_its_rows(as_bob: Any, column: Column, alice: Any) -> None:
    seen = seen_of(as_bob, column)
    ids = review(column, 3, alice)
    response = poll(as_bob, column, seen)
    assert events(response) == {"row-changed": {"target": "body", "ids": ids, "source": "live"}}
    assert poll(as_bob, column, response.content.decode().split("seen=")[1].split('"')[0]).status_code == 204


def test_ones_own_review_changes_the_strip_only(as_bob: Any, column: Column, bob: Any) -> None:
    seen = seen_of(as_bob, column)
    review(column, 3, bob)
    response = poll(as_bob, column, seen)
    assert response.status_code == 200
    assert "data-until-update>4<" in response.content.decode()
    assert not events(response)


def test_many_reviews_of_others_ask_for_all_rows_instead(
    client_of: Any, make_project: Any, alice: Any, bob: Any
) -> None:
    column = make_project(alice, texts=[f"text {n}" for n in range(30)], members={bob: "analyst"}).column
    client = client_of(bob)
    seen = seen_of(client, column)
    for number in range(1, 23):
        review(column, number, alice)
    assert set(events(poll(client, column, seen))) == {"rows-changed"}


def test_a_topic_changed_by_somebody_else_renews_topics_and_rows(
    as_bob: Any, as_alice: Any, column: Column
) -> None:
    seen = seen_of(as_bob, column)
    topic = column.topics.get(label="Price")
    as_alice.post(reverse("topics:topic_rename", args=[topic.pk]), {"label": "Cost", "version": topic.version})
    topic.refresh_from_db()
    assert topic.label == "Cost"
    assert set(events(poll(as_bob, column, seen))) == {"rows-changed", "topics-changed"}


def test_an_update_renews_everything_and_is_said(as_bob: Any, column: Column) -> None:
    seen = seen_of(as_bob, column)
    deploy(column)
    found = events(poll(as_bob, column, seen))
    assert {"rows-changed", "ai-updated", "announce"} == set(found)
    assert found["announce"]["value"] == "AI update finished."


@pytest.mark.parametrize(
    "seen", ["", "nonsense", "1.2.3", "....", "1..1.9999999999999999999999", "1..1.-5", "<b>"]
)
def test_a_word_nobody_wrote_gets_the_strip_and_no_events(as_bob: Any, column: Column, seen: str) -> None:
    deploy(column)
    response = poll(as_bob, column, seen)
    assert response.status_code == 200
    assert not events(response)


def test_progress_of_an_update_is_news_but_the_same_progress_is_not(as_bob: Any, column: Column) -> None:
    job = Job.objects.create(
        kind=JobKind.UPDATE,
        project=column.project,
        column=column,
        state=JobState.RUNNING,
        stage="Training",
        total=9,
    )
    seen = seen_of(as_bob, column)
    assert poll(as_bob, column, seen).status_code == 204
    Job.objects.filter(pk=job.pk).update(done=5)
    page = poll(as_bob, column, seen).content.decode()
    assert "Training" in page
    assert "step 3 of 6" in page
    assert 'value="5" max="9"' in page
    assert 'data-poll="1"' in page


def test_a_queued_update_is_looked_at_each_time_for_it_may_begin_to_wait(as_bob: Any, column: Column) -> None:
    job = Job.objects.create(kind=JobKind.UPDATE, project=column.project, column=column)
    seen = seen_of(as_bob, column)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    assert "no worker answers" in poll(as_bob, column, seen).content.decode()


class TestWhoMayAsk:
    def test_the_short_way_knows_the_same_people_as_the_long_one(
        self, project: Project, column: Column, alice: Any, bob: Any, charlie: Any
    ) -> None:
        assert get_column_for_read(alice, column.pk)
        assert get_column_for_read(bob, column.pk)
        assert pulse(alice, column.pk) is not None
        assert pulse(bob, column.pk) is not None
        assert pulse(charlie, column.pk) is None
        assert pulse(alice, column.pk + 1000) is None

    def test_a_stranger_who_knows_the_word_gets_404(self, as_alice: Any, as_charlie: Any, column: Column) -> None:
        assert poll(as_charlie, column, seen_of(as_alice, column)).status_code == 404

    def test_a_member_who_was_removed_gets_404(self, as_bob: Any, column: Column) -> None:
        seen = seen_of(as_bob, column)
        Member.objects.all().delete()
        assert poll(as_bob, column, seen).status_code == 404

    @pytest.mark.parametrize("change", [{"deleted_at": timezone.now()}, {"state": ProjectState.IMPORTING}])
    def test_a_deleted_or_unfinished_project_has_no_pulse(
        self, as_bob: Any, column: Column, change: dict[str, Any]
    ) -> None:
        seen = seen_of(as_bob, column)
        Project.objects.update(**change)
        assert poll(as_bob, column, seen).status_code == 404

    def test_a_column_of_another_type_has_none(self, project: Project, alice: Any) -> None:
        assert pulse(alice, project.columns.get(name="Region").pk) is None

    def test_who_is_signed_out_gets_401(self, client: Any, column: Column) -> None:
        assert poll(client, column, "1.x.1.1").status_code == 401


def test_the_word_is_read_as_it_was_written() -> None:
    seen = Seen("12.ab34ru9f", "7", 41)
    assert Seen.read(seen.write()) == seen
