"""Signing in and out, throttling, a forgotten password, a session that is over."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from tests.conftest import PASSWORD

LOGIN = "/login/"


def sign_in(client: Client, username: str = "alice", password: str = PASSWORD, **more: str) -> Any:
    return client.post(LOGIN, {"username": username, "password": password, **more})


def test_it_signs_in_and_shows_the_projects(alice, project):
    client = Client()

    response = sign_in(client)

    assert response.status_code == 302
    assert response["Location"] == "/"
    assert "Customer survey" in client.get("/").content.decode()


@pytest.mark.parametrize(("username", "password"), [("alice", "wrong"), ("nobody", PASSWORD)])
def test_it_refuses_with_one_sentence_that_tells_nobody_which_accounts_exist(alice, username, password):
    response = sign_in(Client(), username, password)

    assert response.status_code == 200
    assert "User name and password do not belong together" in response.content.decode()


def test_it_refuses_an_inactive_account_in_the_same_words(alice):
    alice.is_active = False
    alice.save()

    assert "User name and password do not belong together" in sign_in(Client()).content.decode()


def test_it_goes_on_where_the_person_was(alice, project):
    client = Client()
    wanted = f"/projects/{project.pk}/history/?before=9"

    response = client.get(wanted)
    assert response.status_code == 302
    assert response["Location"].startswith("/login/?next=")
    page = client.get(response["Location"])
    assert f'value="{wanted}"' in page.content.decode()

    assert sign_in(client, next=wanted)["Location"] == wanted


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil.example"]
)
def test_it_never_sends_people_to_another_site(alice, target):
    assert sign_in(Client(), next=target)["Location"] == "/"


def test_it_gives_a_new_session_at_sign_in(alice):
    client = Client()
    client.get(LOGIN)
    session = client.session
    session["planted"] = 1
    session.save()
    before = client.session.session_key

    sign_in(client)

    assert client.session.session_key != before


def test_signing_out_needs_a_post_and_ends_the_session(as_alice):
    assert as_alice.get("/logout/").status_code == 405

    response = as_alice.post("/logout/")

    assert response.status_code == 200
    assert "You are signed out" in response.content.decode()
    assert as_alice.get("/").status_code == 302


def test_a_fragment_of_a_signed_out_person_gets_401_instead_of_a_login_page_in_the_page(project, htmx):
    response = Client().get(reverse("projects:detail", args=[project.pk]), headers=htmx)

    assert response.status_code == 401
    assert "<form" not in response.content.decode()


def test_a_program_gets_401_as_json(project):
    response = Client().get(reverse("projects:detail", args=[project.pk]), headers={"Accept": "application/json"})

    assert response.status_code == 401
    assert response.json()["code"] == "not_authenticated"


def test_it_locks_after_five_wrong_passwords_even_for_the_right_one(alice, settings):
    settings.AXES_ENABLED = True
    client = Client()
    for _ in range(4):
        assert sign_in(client, password="wrong").status_code == 200

    fifth = sign_in(client, password="wrong")
    right = sign_in(client)

    assert fifth.status_code == 429
    assert "Too many attempts" in fifth.content.decode()
    assert right.status_code == 429
    assert client.get("/").status_code == 302


def test_the_lock_is_for_one_name_and_not_for_everybody(alice, bob, settings):
    settings.AXES_ENABLED = True
    client = Client()
    for _ in range(6):
        sign_in(client, password="wrong")

    assert sign_in(client, "bob").status_code == 302


def test_a_forgotten_password_is_reset_by_mail(alice):
    client = Client()

    response = client.post("/password/reset/", {"email": "alice@example.org"})

    assert response["Location"] == "/password/reset/sent/"
    assert "Check your e-mail" in client.get("/password/reset/sent/").content.decode()
    assert len(mail.outbox) == 1
    link = re.findall(r"http://testserver(/password/reset/\S+)", str(mail.outbox[0].body))[0]
    form = client.get(link, follow=True)
    assert form.status_code == 200
    address = form.redirect_chain[-1][0]
    assert link.split("/")[-2] not in address  # the token is not left in the address bar
    new = "a quiet violet harbour"
    done = client.post(address, {"new_password1": new, "new_password2": new}, follow=True)
    assert "Password changed" in done.content.decode()
    assert sign_in(Client(), password=new).status_code == 302
    used = client.get(link, follow=True)
    assert "does not work any more" in used.content.decode()


def test_an_unknown_address_gets_the_same_answer_and_no_mail(alice):
    response = Client().post("/password/reset/", {"email": "nobody@example.org"})

    assert response["Location"] == "/password/reset/sent/"
    assert mail.outbox == []


def test_changing_the_password_asks_for_the_old_one(as_alice, client_of, alice):
    elsewhere = client_of(alice)
    new = {"new_password1": "a quiet violet harbour", "new_password2": "a quiet violet harbour"}

    refused = as_alice.post("/password/change/", {"old_password": "wrong", **new})
    changed = as_alice.post("/password/change/", {"old_password": PASSWORD, **new})

    assert refused.status_code == 200
    assert changed["Location"] == "/password/change/done/"
    assert as_alice.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302  # other sessions are over


@pytest.mark.parametrize("password", ["short", "1234567890", "password123", "alice@example.org"])
def test_a_weak_password_is_refused(as_alice, password):
    response = as_alice.post(
        "/password/change/",
        {"old_password": PASSWORD, "new_password1": password, "new_password2": password},
    )

    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
