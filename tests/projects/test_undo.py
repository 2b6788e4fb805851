"""Taking acts back: whose, by whom, and what the page learns of it."""

from __future__ import annotations

import json
import threading

import pytest
from django.db import close_old_connections, connection
from django.urls import reverse

from projects.history import change_undo
from projects.models import Change, ChangeKind
from rows.services.reviews import TopicChoice, verbatim_review
from topicassign.errors import ApplicationError


def undo_url(change: Change) -> str:
    return reverse("projects:change_undo", args=[change.pk])


@pytest.fixture
def reviewed(project, column, bob) -> Change:
    verbatim = column.verbatims.all()[1]
    topic = column.topics.first()
    return verbatim_review(verbatim=verbatim, topics=[TopicChoice(topic.pk, 1)], revision=0, user=bob).change


def test_an_analyst_undoes_an_own_review(reviewed, column, as_bob, htmx):
    response = as_bob.post(undo_url(reviewed), headers=htmx)

    assert response.status_code == 200
    assert "Undone: Row 2 reviewed: Friendliness." in response.content.decode()
    assert 'hx-swap-oob="beforeend:#toasts"' in response.content.decode()
    events = json.loads(response["HX-Trigger"])
    assert events["rows-changed"] == {"target": "body", "ids": reviewed.ids}
    assert events["ai-changed"] == {"target": "body"}
    assert not column.verbatims.filter(is_reviewed=True).exists()


def test_it_answers_programs_with_json(reviewed, as_bob):
    response = as_bob.post(undo_url(reviewed), headers={"Accept": "application/json"})

    undoing = Change.objects.get(kind=ChangeKind.UNDO)
    assert response.json() == {
        "undone": reviewed.pk,
        "change": undoing.pk,
        "message": "Undone: Row 2 reviewed: Friendliness.",
    }


def test_without_scripts_it_goes_back_to_the_history(reviewed, project, as_bob):
    assert as_bob.post(undo_url(reviewed))["Location"] == reverse("projects:history", args=[project.pk])


def test_twice_is_refused_with_a_notice(reviewed, as_bob, htmx):
    as_bob.post(undo_url(reviewed), headers=htmx)

    again = as_bob.post(undo_url(reviewed), headers=htmx)

    assert again.status_code == 409
    assert "already undone" in again.content.decode()
    assert again["HX-Retarget"] == "#toasts"


@pytest.mark.parametrize("role", ["viewer", "analyst", "admin"])
def test_who_may_undo_a_review_of_alice(project, column, alice, as_bob, role):
    change = verbatim_review(verbatim=column.verbatims.all()[1], topics=[], revision=0, user=alice).change

    response = as_bob.post(undo_url(change))

    assert response.status_code == (302 if role == "admin" else 403)
    change.refresh_from_db()
    assert (change.undone_at is not None) == (role == "admin")


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 403), ("admin", 302)])
def test_acts_on_the_project_are_undone_by_admins(project, as_alice, as_bob, as_charlie, role, status):
    as_alice.post(reverse("projects:settings", args=[project.pk]), {"name": "Renamed"})
    change = Change.objects.get()

    assert as_charlie.post(undo_url(change)).status_code == 404
    assert as_bob.post(undo_url(change)).status_code == status


def test_an_undo_is_not_undone(reviewed, as_bob):
    as_bob.post(undo_url(reviewed))
    undoing = Change.objects.get(kind=ChangeKind.UNDO)

    assert as_bob.post(undo_url(undoing)).status_code in (403, 422)


def test_a_stranger_and_nobody_get_nothing(reviewed, as_charlie, client):
    assert as_charlie.post(undo_url(reviewed)).status_code == 404
    assert client.post(undo_url(reviewed)).status_code == 302
    assert as_charlie.post(reverse("projects:change_undo", args=[999_999])).status_code == 404
    reviewed.refresh_from_db()
    assert reviewed.undone_at is None


@pytest.mark.parametrize("role", ["viewer", "analyst", "admin"])
def test_the_history_offers_undo_to_those_who_may(reviewed, project, as_alice, as_bob, role):
    as_alice.post(reverse("projects:settings", args=[project.pk]), {"name": "Renamed"})
    renamed = Change.objects.get(kind=ChangeKind.PROJECT_UPDATE)

    page = as_bob.get(reverse("projects:history", args=[project.pk])).content.decode()

    assert (undo_url(reviewed) in page) == (role != "viewer")
    assert (undo_url(renamed) in page) == (role == "admin")


def test_a_long_history_comes_in_parts(project, as_alice, alice, htmx):
    Change.objects.bulk_create(
        Change(project=project, user=alice, kind=ChangeKind.PROJECT_UPDATE, summary=f"Act {n:03}")
        for n in range(70)
    )
    url = reverse("projects:history", args=[project.pk])

    first = as_alice.get(url).content.decode()
    oldest_shown = Change.objects.order_by("-id")[49].pk
    second = as_alice.get(url, {"before": oldest_shown}, headers=htmx).content.decode()

    assert "Act 069" in first
    assert "Act 019" not in first
    assert f"?before={oldest_shown}" in first
    assert "Act 019" in second
    assert "Act 000" in second
    assert "Show older" not in second


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_clicks_at_once_one_undoes(reviewed, bob):
    start, outcomes = threading.Barrier(6), []

    def click() -> None:
        start.wait()
        try:
            change_undo(change=reviewed, user=bob)
            outcomes.append("undone")
        except ApplicationError as refusal:
            outcomes.append(refusal.code)
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["already_undone"] * 5 + ["undone"]
    assert Change.objects.filter(kind=ChangeKind.UNDO).count() == 1
