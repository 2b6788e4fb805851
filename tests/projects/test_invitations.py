"""Invitation links: shown once, stored as a hash, used once."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import close_old_connections, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from projects.models import Change, Invitation, Member, Role
from projects.selectors import project_role
from projects.services import members as services
from topicassign.errors import ApplicationError

NEW = {
    "username": "dora",
    "email": "dora@example.org",
    "password1": "violet harbour 77",
    "password2": "violet harbour 77",
}


@pytest.fixture
def invite(project, as_alice):
    def make(role: str = "analyst", **values: str) -> str:
        response = as_alice.post(
            reverse("projects:invitation_create", args=[project.pk]), {"role": role, **values}
        )
        assert response.status_code == 200
        return re.findall(r'value="http://testserver(/invitations/[^"]+)"', response.content.decode())[0]

    return make


def test_the_link_is_shown_once_and_only_its_hash_is_stored(project, invite, as_alice):
    link = invite()

    token = link.split("/")[2]
    assert len(token) >= 43  # 256 random bits
    stored = Invitation.objects.get()
    assert token not in str(vars(stored))
    assert stored.token_hash == services.token_hash(token)
    page = as_alice.get(reverse("projects:members", args=[project.pk])).content.decode()
    assert token not in page
    assert "Open invitations" in page
    assert all(token not in change.summary + str(change.inverse) for change in Change.objects.all())


def test_the_answer_with_the_link_is_not_kept_by_browsers(project, as_alice):
    response = as_alice.post(reverse("projects:invitation_create", args=[project.pk]), {"role": "viewer"})

    assert response["Cache-Control"] == "no-store"


def test_a_signed_in_person_joins(project, invite, as_charlie, charlie):
    link = invite("viewer")
    page = as_charlie.get(link).content.decode()
    assert "Join as charlie" in page
    assert project_role(project=project, user=charlie) is None  # opening the link alone joins nobody

    response = as_charlie.post(link)

    assert response["Location"] == reverse("projects:detail", args=[project.pk])
    assert project_role(project=project, user=charlie) == Role.VIEWER


def test_a_new_person_makes_an_account_and_is_in(project, invite):
    client, link = Client(), invite()
    assert "Create account and join" in client.get(link).content.decode()

    response = client.post(link, NEW)

    assert response["Location"] == reverse("projects:detail", args=[project.pk])
    assert client.get(response["Location"]).status_code == 200
    dora = get_user_model().objects.get(username="dora")
    assert project_role(project=project, user=dora) == Role.ANALYST
    assert not dora.is_staff


def test_somebody_with_an_account_can_sign_in_first(project, invite):
    link = invite()

    assert f"/login/?next={link}" in Client().get(link).content.decode()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"username": "Alice"}, "This user name is taken"),
        ({"username": ""}, "required"),
        ({"email": ""}, "required"),
        ({"email": "no address"}, "valid email"),
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"password2": "something else 1"}, "match"),
    ],
)
def test_a_bad_account_is_refused_and_the_link_still_works(project, invite, values, sentence):
    link = invite()
    client = Client()

    response = client.post(link, {**NEW, **values})

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not get_user_model().objects.filter(email="dora@example.org").exists()
    assert client.post(link, NEW).status_code == 302


def test_a_link_works_once(project, invite, as_charlie):
    link = invite()
    as_charlie.post(link)

    again = Client().get(link)

    assert again.status_code == 410
    assert "does not work any more" in again.content.decode()


def test_too_old_taken_back_deleted_or_made_up_links_are_one_page(project, invite, as_alice, as_charlie, charlie):
    old, revoked, orphan = invite(), invite(), invite()
    found = list(Invitation.objects.order_by("id"))
    Invitation.objects.filter(pk=found[0].pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    as_alice.post(reverse("projects:invitation_revoke", args=[project.pk, found[1].pk]))
    type(project).objects.filter(pk=project.pk).update(deleted_at=timezone.now())

    answers = {
        (as_charlie.get(link).status_code, as_charlie.post(link).status_code) for link in (old, revoked, orphan)
    }
    answers.add((as_charlie.get("/invitations/abc/").status_code, 410))

    assert answers == {(410, 410)}
    assert not Member.objects.filter(user=charlie).exists()


def test_an_expiring_link_is_listed_until_it_expires(project, invite, as_alice):
    invite("viewer", email="dora@example.org")
    members = reverse("projects:members", args=[project.pk])
    assert "dora@example.org" in as_alice.get(members).content.decode()

    Invitation.objects.update(expires_at=timezone.now())

    assert "dora@example.org" not in as_alice.get(members).content.decode()


@pytest.mark.parametrize(
    ("role", "invited", "after"),
    [("viewer", "admin", "admin"), ("admin", "viewer", "admin"), ("analyst", "analyst", "analyst")],
)
def test_a_member_keeps_the_higher_role(project, invite, as_bob, bob, role, invited, after):
    as_bob.post(invite(invited))

    assert project_role(project=project, user=bob) == after


def test_the_owner_opening_the_link_stays_the_owner(project, invite, as_alice):
    as_alice.post(invite("viewer"))

    assert not Member.objects.filter(project=project, user=project.owner).exists()


def test_joining_can_be_undone_by_an_admin(project, invite, as_alice, as_charlie):
    as_charlie.post(invite())
    joined = Change.objects.latest("pk")
    assert "joined as analyst" in joined.summary

    as_alice.post(reverse("projects:change_undo", args=[joined.pk]))

    assert as_charlie.get(reverse("projects:detail", args=[project.pk])).status_code == 404


def test_taking_back_can_be_undone(project, invite, as_alice, as_charlie):
    link = invite()
    as_alice.post(reverse("projects:invitation_revoke", args=[project.pk, Invitation.objects.get().pk]))
    assert as_charlie.get(link).status_code == 410

    as_alice.post(reverse("projects:change_undo", args=[Change.objects.latest("pk").pk]))

    assert as_charlie.get(link).status_code == 200


def test_it_is_mailed_when_an_address_is_given(project, as_alice):
    response = as_alice.post(
        reverse("projects:invitation_create", args=[project.pk]), {"role": "viewer", "email": "dora@example.org"}
    )

    assert "Sent to dora@example.org" in response.content.decode()
    assert mail.outbox[0].to == ["dora@example.org"]
    assert "/invitations/" in mail.outbox[0].body


def test_a_mail_server_that_is_down_does_not_cost_the_link(project, as_alice, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    response = as_alice.post(
        reverse("projects:invitation_create", args=[project.pk]), {"role": "viewer", "email": "dora@example.org"}
    )

    page = response.content.decode()
    assert "could not be sent" in page
    assert "/invitations/" in page


@pytest.mark.parametrize("values", [{"role": "owner"}, {"role": ""}, {"role": "viewer", "email": "nonsense"}])
def test_a_bad_invitation_is_refused(project, as_alice, values):
    response = as_alice.post(reverse("projects:invitation_create", args=[project.pk]), values)

    assert response.status_code == 422
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 403), ("admin", 200)])
def test_only_admins_invite(project, as_bob, as_charlie, role, status):
    address = reverse("projects:invitation_create", args=[project.pk])

    assert as_bob.post(address, {"role": "viewer"}).status_code == status
    assert as_charlie.post(address, {"role": "viewer"}).status_code == 404


def test_a_used_invitation_cannot_be_taken_back(project, invite, as_alice, as_charlie):
    as_charlie.post(invite())

    response = as_alice.post(reverse("projects:invitation_revoke", args=[project.pk, Invitation.objects.get().pk]))

    assert response.status_code == 409


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_people_at_the_same_moment_one_gets_in(project, alice, make_user):
    invitation, _ = services.invitation_create(project=project, role="viewer", user=alice)
    people = [make_user(f"person{n}") for n in range(6)]
    start, outcomes = threading.Barrier(len(people)), []

    def join(person) -> None:
        start.wait()
        try:
            services.invitation_accept(invitation=invitation, user=person)
            outcomes.append("in")
        except ApplicationError:
            outcomes.append("late")
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=join, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["in"] + ["late"] * 5
    assert Member.objects.filter(project=project, user__in=people).count() == 1
