"""Roles, removal, leaving, the owner, and undoing each of them."""

from __future__ import annotations

import pytest
from django.urls import reverse

from projects.models import Change, ChangeKind, Member, Role
from projects.selectors import project_role


def url(name: str, project, *args: int) -> str:
    return reverse(f"projects:{name}", args=[project.pk, *args])


@pytest.fixture
def member(project, bob) -> Member:
    return Member.objects.get(project=project, user=bob)


def undo(client, **headers):
    change = Change.objects.filter(kind=ChangeKind.MEMBER).latest("pk")
    return client.post(reverse("projects:change_undo", args=[change.pk]), **headers)


@pytest.mark.parametrize("role", ["viewer", "analyst", "admin"])
def test_every_member_sees_the_members_but_only_admins_their_addresses(project, as_bob, role):
    page = as_bob.get(url("members", project)).content.decode()

    assert "Alice" in page
    assert ("alice@example.org" in page) == (role == "admin")
    assert ("Make link" in page) == (role == "admin")


@pytest.mark.parametrize("new", ["viewer", "admin"])
def test_an_admin_changes_a_role_and_can_undo_it(project, member, as_alice, bob, htmx, new):
    response = as_alice.post(url("member_role", project, member.pk), {"role": new}, headers=htmx)

    assert response.status_code == 200
    assert 'id="members"' in response.content.decode()
    assert "data-undo" in response.content.decode()
    assert project_role(project=project, user=bob) == new
    assert undo(as_alice, headers=htmx).status_code == 200
    assert project_role(project=project, user=bob) == Role.ANALYST


def test_the_same_role_again_is_no_act(project, member, as_alice):
    as_alice.post(url("member_role", project, member.pk), {"role": "analyst"})

    assert not Change.objects.exists()


@pytest.mark.parametrize("bad", ["", "owner", "<b>"])
def test_an_unknown_role_is_refused(project, member, as_alice, bad):
    response = as_alice.post(url("member_role", project, member.pk), {"role": bad})

    assert response.status_code == 422
    member.refresh_from_db()
    assert member.role == Role.ANALYST


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 403)])
def test_other_members_change_nobody(project, member, as_bob, as_charlie, role, status):
    for name, values in (("member_role", {"role": "admin"}), ("member_remove", {}), ("member_owner", {})):
        assert as_bob.post(url(name, project, member.pk), values).status_code == status
        assert as_charlie.post(url(name, project, member.pk), values).status_code == 404
    member.refresh_from_db()
    assert member.role == role


def test_a_removed_member_is_out_at_once_and_comes_back_by_undo(project, member, as_alice, as_bob):
    assert as_bob.get(url("detail", project)).status_code == 200

    as_alice.post(url("member_remove", project, member.pk))

    assert as_bob.get(url("detail", project)).status_code == 404
    undo(as_alice)
    assert as_bob.get(url("detail", project)).status_code == 200


def test_removing_somebody_who_is_gone_already_is_404(project, member, as_alice):
    as_alice.post(url("member_remove", project, member.pk))

    assert as_alice.post(url("member_remove", project, member.pk)).status_code == 404


def test_a_member_of_another_project_is_not_found_here(project, member, make_project, alice, as_alice):
    other = make_project(alice, name="Other")

    assert as_alice.post(url("member_remove", other, member.pk)).status_code == 404
    assert Member.objects.filter(pk=member.pk).exists()


@pytest.mark.parametrize("role", ["viewer", "analyst", "admin"])
def test_a_member_leaves(project, as_bob, role):
    response = as_bob.post(url("member_leave", project), follow=True)

    assert "You left “Customer survey”." in response.content.decode()
    assert as_bob.get(url("detail", project)).status_code == 404


def test_the_owner_can_neither_leave_nor_be_removed(project, alice, as_alice, as_bob):
    response = as_alice.post(url("member_leave", project))

    assert response.status_code == 422
    assert "Make somebody else the owner" in response.content.decode()
    assert project_role(project=project, user=alice) == Role.ADMIN
    assert not Member.objects.filter(project=project, user=alice).exists()  # nobody has an id to remove


def test_the_owner_hands_the_project_over_and_stays_as_admin(project, member, as_alice, alice, bob):
    as_alice.post(url("member_owner", project, member.pk))

    project.refresh_from_db()
    assert project.owner == bob
    assert Member.objects.get(project=project).user == alice
    assert project_role(project=project, user=alice) == Role.ADMIN


def test_only_the_new_owner_can_give_it_back(project, member, as_alice, as_bob, alice, bob):
    as_alice.post(url("member_owner", project, member.pk))
    assert undo(as_alice).status_code == 403
    assert undo(as_bob).status_code == 302

    project.refresh_from_db()
    assert project.owner == alice
    assert Member.objects.get(project=project).role == Role.ANALYST


@pytest.mark.parametrize("role", ["admin"])
def test_an_admin_is_not_the_owner(project, member, as_bob, role):
    assert as_bob.post(url("member_owner", project, member.pk)).status_code == 403


@pytest.mark.parametrize("role", ["admin"])
def test_an_admin_may_step_down_and_sees_less(project, member, as_bob, role):
    as_bob.post(url("member_role", project, member.pk), {"role": "viewer"})

    assert as_bob.get(url("settings", project)).status_code == 403
    assert as_bob.get(url("detail", project)).status_code == 200


def test_an_undo_that_came_too_late_is_refused(project, member, as_alice, htmx):
    as_alice.post(url("member_role", project, member.pk), {"role": "viewer"})
    first = Change.objects.get()
    as_alice.post(url("member_role", project, member.pk), {"role": "admin"})

    response = as_alice.post(reverse("projects:change_undo", args=[first.pk]), headers=htmx)

    assert response.status_code == 409
    assert response["HX-Retarget"] == "#toasts"
    member.refresh_from_db()
    assert member.role == Role.ADMIN


@pytest.mark.parametrize("name", ["member_role", "member_remove", "member_owner"])
def test_acts_need_a_post(project, member, as_alice, name):
    assert as_alice.get(url(name, project, member.pk)).status_code == 405
