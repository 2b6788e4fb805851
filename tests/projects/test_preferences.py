"""Single-key shortcuts are switched off for a person, on every computer (WCAG 2.1.4)."""

import pytest
from django.urls import reverse

from projects.models import Preference

pytestmark = pytest.mark.django_db


def kept(client):
    page = client.get(reverse("projects:list")).content.decode()
    return 'name="shortcuts" content="off"' in page


def test_the_choice_is_kept_with_the_account(client_of, alice, bob):
    url = reverse("projects:shortcuts")
    at_home = client_of(alice)
    assert not kept(at_home)
    assert at_home.post(url, {"on": "0"}).status_code == 204
    assert kept(client_of(alice)), "another computer knows it too"
    assert not kept(client_of(bob)), "but nobody else"
    assert at_home.post(url, {"on": "1"}).status_code == 204
    assert not kept(client_of(alice))
    assert Preference.objects.count() == 1


@pytest.mark.parametrize("data", [{}, {"on": "maybe"}, {"on": ""}])
def test_nonsense_is_refused_and_changes_nothing(client_of, alice, data, htmx):
    assert client_of(alice).post(reverse("projects:shortcuts"), data, headers=htmx).status_code == 400
    assert not Preference.objects.exists()


def test_it_is_no_page_and_needs_a_person(client, as_alice):
    assert as_alice.get(reverse("projects:shortcuts")).status_code == 405
    assert client.post(reverse("projects:shortcuts"), {"on": "0"}).status_code in (302, 401)
