"""The administration pages: for staff only, nothing secret, nothing that breaks the rules of the product."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from finetune.models import (
    Embedding,
    MeaningSearch,
    ModelVersion,
    ProposalSet,
    ProposedTopic,
    TopicScore,
    Tuning,
    TuningState,
)
from projects.models import ApiKey, Change, Column, Invitation, Job, JobKind, JobState, Member, Preference, Project
from projects.services.members import invitation_create
from projects.services.projects import project_delete, project_update
from rows.models import (
    Assignment,
    BulkAction,
    BulkPart,
    Cell,
    FocusLease,
    IndexedColumn,
    Row,
    SavedFilter,
    SearchText,
    TextBlock,
    TopicMove,
    Upload,
    Verbatim,
    ViewOptions,
)
from topics.models import Category, DistinctPair, Topic, TopicPartner

OURS = [
    model for model in admin.site._registry if model._meta.app_label in {"projects", "topics", "rows", "finetune"}
]


@pytest.fixture
def as_root(make_user, client_of):
    return client_of(make_user("root", is_staff=True, is_superuser=True))


@pytest.fixture
def one_of_each(project, column, alice, assign):
    """At least one object of every model."""
    topic = column.topics.first()
    assign(column.verbatims.first(), topic, 1)
    invitation_create(project=project, role="viewer", user=alice)
    project_update(project=project, values={"name": "Renamed"}, user=alice)
    ApiKey.objects.create(user=alice, name="script", prefix="abcdefgh", key_hash="5" * 64)
    Job.objects.create(kind=JobKind.EXPORT, project=project, user=alice)
    Upload.objects.create(user=alice, file_name="a.csv", path="/secret/path", size_bytes=3)
    Embedding.objects.create(encoder="fake", digest=b"0" * 16, vector=b"12")
    version = ModelVersion.objects.create(column=column, number=1, trigger="first", artifact=b"npz")
    TopicScore.objects.create(version=version, topic=topic)
    Tuning.objects.create(
        column=column, key="0" * 32, state=TuningState.IN_USE, encoder="fake", n_reviewed=20, n_features=4,
        digests=b"", parts=b"",
    )  # fmt: skip
    MeaningSearch.objects.create(column=column, digest=b"0" * 16, text="late")
    proposals = ProposalSet.objects.create(column=column)
    ProposedTopic.objects.create(
        proposal_set=proposals, position=0, label="Late", category="A", rows=b"", n_rows=2
    )
    Preference.objects.create(user=alice)
    DistinctPair.objects.create(first=topic, second=column.topics.last())
    TopicPartner.objects.create(topic=topic, other=column.topics.last())
    bulk = BulkAction.objects.create(column=column, user=alice, token="t" * 32)
    BulkPart.objects.create(bulk=bulk, number=1, first_id=1, last_id=2, n_rows=2, data=b"12")
    TopicMove.objects.create(column=column, n_rows=2, data=b"12")
    verbatim = column.verbatims.first()
    FocusLease.objects.create(verbatim=verbatim, column=column, user=alice, expires_at=timezone.now())
    ViewOptions.objects.create(user=alice, column=column)
    SavedFilter.objects.create(column=column, owner=alice, name="Late", query="q=late")
    IndexedColumn.objects.get_or_create(column=column)
    Cell.objects.get_or_create(column=column, row_number=1, defaults={"number": 2.0})
    TextBlock.objects.get_or_create(column=column, first_number=1, defaults={"pairs": "la\x1fat"})
    SearchText.objects.get_or_create(verbatim=verbatim, column=column, defaults={"text": "late"})


def address(model, page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_model_has_a_page():
    from django.apps import apps

    models = {
        model
        for name in ("projects", "topics", "rows", "finetune")
        for model in apps.get_app_config(name).get_models()
    }

    assert set(OURS) == models


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_lists_and_objects_open(as_root, one_of_each, model):
    found = model.objects.first()
    assert found is not None

    assert as_root.get(address(model, "changelist")).status_code == 200
    assert as_root.get(address(model, "changelist"), {"q": "1"}).status_code == 200
    assert as_root.get(address(model, "changelist"), {"q": "müller' --"}).status_code == 200
    assert as_root.get(address(model, "change", found.pk)).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_nothing_is_added_by_hand(as_root, one_of_each, model):
    assert as_root.get(address(model, "add")).status_code == 403


@pytest.mark.parametrize(
    "model",
    [
        Row,
        Verbatim,
        Assignment,
        Topic,
        Category,
        Column,
        ModelVersion,
        TopicScore,
        Tuning,
        Change,
        Job,
        Upload,
        Invitation,
    ],
    ids=lambda model: model.__name__,
)
def test_what_has_rules_is_shown_but_not_edited_or_deleted(as_root, one_of_each, model):
    found = model.objects.first()

    assert as_root.post(address(model, "change", found.pk), {}).status_code == 403
    assert as_root.post(address(model, "delete", found.pk), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=found.pk).exists()


@pytest.mark.parametrize(("model", "secret"), [(ApiKey, "5" * 64), (Invitation, None), (Upload, "/secret/path")])
def test_secrets_are_not_shown(as_root, one_of_each, model, secret):
    found = model.objects.first()
    secret = secret or found.token_hash

    assert secret not in as_root.get(address(model, "change", found.pk)).content.decode()
    assert secret not in as_root.get(address(model, "changelist")).content.decode()


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_people_who_are_not_staff_do_not_get_in(as_alice, one_of_each, model):
    response = as_alice.get(address(model, "changelist"))

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_staff_without_permissions_see_nothing(make_user, client_of, one_of_each):
    client = client_of(make_user("helper", is_staff=True))

    assert client.get(address(Project, "changelist")).status_code == 403


def act(client, model, name: str, *ids: object):
    return client.post(
        address(model, "changelist"), {"action": name, "_selected_action": [str(one) for one in ids]}
    )


def test_an_operator_restores_a_project(as_root, project, alice):
    project_delete(project=project, user=alice)

    act(as_root, Project, "restore", project.pk)

    project.refresh_from_db()
    assert project.deleted_at is None


def test_an_operator_gives_a_project_to_somebody_else(as_root, project, bob):
    form = {
        "name": project.name,
        "description": "",
        "owner": bob.pk,
        "members-TOTAL_FORMS": 0,
        "members-INITIAL_FORMS": 0,
        "columns-TOTAL_FORMS": 0,
        "columns-INITIAL_FORMS": 0,
    }

    response = as_root.post(address(Project, "change", project.pk), form)

    assert response.status_code == 302
    project.refresh_from_db()
    assert project.owner == bob
    assert not Member.objects.filter(project=project, user=bob).exists()


def test_an_operator_revokes_keys_and_invitations(as_root, one_of_each):
    act(as_root, ApiKey, "revoke", ApiKey.objects.get().pk)
    act(as_root, Invitation, "revoke", Invitation.objects.get().pk)

    assert ApiKey.objects.get().revoked_at
    assert Invitation.objects.get().revoked_at


def test_an_operator_cancels_and_retries_jobs(as_root, project, alice):
    waiting = Job.objects.create(kind=JobKind.EXPORT, project=project, user=alice)
    failed = Job.objects.create(
        kind=JobKind.EXPORT, state=JobState.FAILED, project=project, user=alice, finished_at=timezone.now()
    )

    act(as_root, Job, "cancel", waiting.pk)
    act(as_root, Job, "retry", failed.pk)

    waiting.refresh_from_db()
    failed.refresh_from_db()
    assert waiting.state == JobState.CANCELLED
    assert failed.state == JobState.QUEUED


def test_big_tables_are_not_counted_to_their_end(as_root, project, monkeypatch):
    monkeypatch.setattr("topicassign.admin_tools.MOST_COUNTED", 4)

    page = as_root.get(address(Verbatim, "changelist")).content.decode()

    assert "4 verbatims" in page


def test_a_person_who_owns_projects_is_not_deleted_with_them(as_root, project, alice):
    as_root.post(reverse("admin:auth_user_delete", args=[alice.pk]), {"post": "yes"})

    assert Project.objects.filter(pk=project.pk, owner=alice).exists()
