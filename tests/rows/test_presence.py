"""Who has which row open: told to the others, forgotten by itself, never to strangers."""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rows import presence

pytestmark = pytest.mark.django_db


def poll(client, column, row="", known=""):
    answer = client.get(f"{reverse('finetune:ai_status', args=[column.pk])}?open={row}&with={known}")
    events = json.loads(answer.get("HX-Trigger", "{}"))
    return answer, events.get("presence")


def test_a_row_open_at_one_persons_is_told_to_the_other_and_not_to_oneself(as_alice, as_bob, column):
    row = column.verbatims.first().pk
    as_alice.get(reverse("rows:verbatim", args=[column.pk, row]))
    _, news = poll(as_bob, column)
    assert news["rows"] == {str(row): ["alice"]}
    assert poll(as_alice, column, row)[1] is None


def test_a_poll_without_news_says_nothing(as_alice, as_bob, column):
    row = column.verbatims.first().pk
    poll(as_alice, column, row)
    sign = poll(as_bob, column)[1]["sign"]
    assert poll(as_bob, column, known=sign)[1] is None


def test_closing_the_row_and_going_away_are_noticed(as_alice, as_bob, column, bob):
    first, second = column.verbatims.order_by("pk")[:2]
    poll(as_alice, column, first.pk)
    sign = poll(as_bob, column)[1]["sign"]
    poll(as_alice, column, second.pk)
    assert poll(as_bob, column, known=sign)[1]["rows"] == {str(second.pk): ["alice"]}
    poll(as_alice, column)  # closed
    assert poll(as_bob, column, known=sign)[1]["rows"] == {}


def test_it_runs_out_by_itself(as_alice, as_bob, column, monkeypatch):
    monkeypatch.setattr(presence, "LEASE_S", 0)  # the page is gone at once
    poll(as_alice, column, column.verbatims.first().pk)
    assert poll(as_bob, column)[1] is None


def test_strangers_are_told_nothing_and_leave_no_trace(as_charlie, as_bob, column):
    row = column.verbatims.first().pk
    answer, news = poll(as_charlie, column, row)
    assert (answer.status_code, news) == (404, None)
    assert poll(as_bob, column)[1] is None
    assert as_charlie.get(reverse("rows:verbatim", args=[column.pk, row])).status_code == 404


@pytest.mark.parametrize("row", ["abc", "-1", "9" * 30, "1%27"])
def test_a_broken_id_is_no_row(as_alice, as_bob, column, row):
    assert poll(as_alice, column, row)[0].status_code == 200
    assert poll(as_bob, column)[1] is None


def test_it_asks_the_database_for_nothing(as_alice, as_bob, column):
    poll(as_alice, column, column.verbatims.first().pk)
    base = reverse("finetune:ai_status", args=[column.pk])
    costs = []
    for address in (base, f"{base}?open=&with="):
        cache.delete("none")
        with CaptureQueriesContext(connection) as captured:
            as_bob.get(address)
        costs.append(len(captured))
    assert costs[0] == costs[1]
