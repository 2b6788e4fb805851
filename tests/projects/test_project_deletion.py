"""Deleting a project, bringing it back, and its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from projects.models import Change, ChangeKind, Job, JobKind, JobState, Project, ProjectState
from projects.services.projects import projects_purge
from rows.models import Assignment, Row, Verbatim
from topics.models import Category, Topic


def delete_url(project: Project) -> str:
    return reverse("projects:delete", args=[project.pk])


@pytest.fixture
def deleted(project, as_alice) -> Project:
    as_alice.post(delete_url(project), {"confirm": "Customer survey"})
    project.refresh_from_db()
    assert project.deleted_at
    return project


def age(project: Project, days: int) -> None:
    Project.objects.filter(pk=project.pk).update(deleted_at=timezone.now() - timedelta(days=days))


@pytest.mark.parametrize("typed", ["", "customer survey", "Customer", "Customer survey!"])
def test_the_name_must_be_typed_exactly(project, as_alice, typed):
    response = as_alice.post(delete_url(project), {"confirm": typed})

    assert response.status_code == 422
    project.refresh_from_db()
    assert project.deleted_at is None


def test_deleting_hides_it_and_offers_undo(project, as_alice, as_bob):
    response = as_alice.post(delete_url(project), {"confirm": " Customer  survey "}, follow=True)

    page = response.content.decode()
    assert "“Customer survey” was deleted." in page
    change = Change.objects.get(kind=ChangeKind.PROJECT_DELETE)
    assert reverse("projects:change_undo", args=[change.pk]) in page
    assert as_bob.get(reverse("projects:detail", args=[project.pk])).status_code == 404


def test_the_dialog_sends_the_browser_to_the_list(project, as_alice, htmx):
    dialog = as_alice.get(delete_url(project), headers=htmx).content.decode()
    response = as_alice.post(delete_url(project), {"confirm": "Customer survey"}, headers=htmx)

    assert "<modal-dialog>" in dialog
    assert "6 rows" in dialog
    assert response["HX-Redirect"].startswith("/?deleted=")


def test_a_second_click_does_no_harm(deleted, as_alice):
    assert as_alice.post(delete_url(deleted), {"confirm": "Customer survey"}).status_code == 404
    assert Change.objects.filter(kind=ChangeKind.PROJECT_DELETE).count() == 1


def test_deleting_stops_the_jobs_of_the_project(project, column, as_alice, alice):
    waiting = Job.objects.create(kind=JobKind.UPDATE, project=project, column=column, user=alice)
    running = Job.objects.create(kind=JobKind.EXPORT, state=JobState.RUNNING, project=project, user=alice)

    as_alice.post(delete_url(project), {"confirm": "Customer survey"})

    waiting.refresh_from_db()
    running.refresh_from_db()
    assert waiting.state == JobState.CANCELLED
    assert running.cancel_requested


def test_a_project_that_is_being_imported_is_cancelled_not_deleted(make_project, alice, as_alice):
    importing = make_project(alice, texts=[], state=ProjectState.IMPORTING)

    response = as_alice.post(delete_url(importing), {"confirm": importing.name})

    assert response.status_code == 422
    assert "Cancel the import instead" in response.content.decode()


def test_undo_right_after_deleting_brings_it_back(deleted, as_alice):
    change = Change.objects.get(kind=ChangeKind.PROJECT_DELETE)

    response = as_alice.post(reverse("projects:change_undo", args=[change.pk]))

    assert response["Location"] == reverse("projects:detail", args=[deleted.pk])
    assert as_alice.get(response["Location"]).status_code == 200


def test_it_can_be_restored_from_recently_deleted_with_everything(deleted, as_alice, as_bob):
    listed = as_alice.get(reverse("projects:deleted")).content.decode()
    assert "Customer survey" in listed

    response = as_alice.post(reverse("projects:restore", args=[deleted.pk]), follow=True)

    assert response.status_code == 200
    assert "is back" in response.content.decode()
    assert Verbatim.objects.filter(column__project=deleted).count() == 6
    assert as_bob.get(reverse("projects:detail", args=[deleted.pk])).status_code == 200
    again = as_alice.post(reverse("projects:restore", args=[deleted.pk]))
    assert again.status_code == 404


@pytest.mark.parametrize(("role", "status"), [("admin", 302), ("analyst", 404), ("viewer", 404)])
def test_only_admins_see_and_restore_what_was_deleted(deleted, as_bob, as_charlie, role, status):
    for client in (as_charlie, as_bob):
        page = client.get(reverse("projects:deleted")).content.decode()
        assert ("Customer survey" in page) == (client is as_bob and role == "admin")
    assert as_charlie.post(reverse("projects:restore", args=[deleted.pk])).status_code == 404
    change = Change.objects.get(kind=ChangeKind.PROJECT_DELETE)
    assert as_charlie.post(reverse("projects:change_undo", args=[change.pk])).status_code == 404

    assert as_bob.post(reverse("projects:restore", args=[deleted.pk])).status_code == status


def test_it_cannot_be_restored_after_thirty_days(deleted, as_alice):
    age(deleted, 31)
    change = Change.objects.get(kind=ChangeKind.PROJECT_DELETE)

    assert "Customer survey" not in as_alice.get(reverse("projects:deleted")).content.decode()
    assert as_alice.post(reverse("projects:restore", args=[deleted.pk])).status_code == 404
    assert as_alice.post(reverse("projects:change_undo", args=[change.pk])).status_code == 404


def test_after_thirty_days_it_is_deleted_for_good_and_nothing_else_is(deleted, make_project, alice, assign):
    for verbatim in Verbatim.objects.filter(column__project=deleted)[:3]:
        assign(verbatim, deleted.columns.first().topics.first())
    kept = make_project(alice, name="Kept")
    recent = make_project(alice, name="Recent")
    age(recent, 29)
    assert projects_purge() == 0

    age(deleted, 31)

    assert projects_purge() == 1
    assert set(Project.objects.values_list("name", flat=True)) == {"Kept", "Recent"}
    assert set(Row.objects.values_list("project__name", flat=True)) == {"Kept", "Recent"}
    for model in (Topic, Category, Verbatim):
        assert set(model.objects.values_list("column__project", flat=True)) == {kept.pk, recent.pk}
    assert not Assignment.objects.exists()
    assert projects_purge() == 0


def test_purging_works_in_batches(deleted, monkeypatch):
    monkeypatch.setattr("projects.services.projects._PURGE_BATCH", 2)
    age(deleted, 31)

    assert projects_purge() == 1
    assert not Row.objects.exists()


def test_purging_stops_in_time_and_goes_on_at_the_next_call(deleted, monkeypatch):
    monkeypatch.setattr("projects.services.projects._PURGE_BATCH", 4)
    age(deleted, 31)

    assert projects_purge(budget_s=-1) == 0
    assert Row.objects.count() == 2
    assert projects_purge(budget_s=-1) == 0
    assert projects_purge(budget_s=-1) == 1
