# ruff: noqa: F811  (fixtures of another module are arguments here)
"""The builder's fields and options, and saved filters: who sees and changes which."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from projects.models import Column
from rows.models import SavedFilter
from tests.rows.test_filters import both_ways, coded, named, numbers, table, topic_ids  # noqa: F401
from topics.models import Topic


def fields(client: Client, column: Column, query: str) -> str:
    response = client.get(f"{reverse('rows:filter_builder', args=[column.pk])}?{query}")
    assert response.status_code == 200
    return response.content.decode()


def test_the_builder_shows_what_is_set(coded: Column, as_bob: Client, bob: Any) -> None:
    query = named(
        coded,
        topic_ids(
            coded,
            f"topic=<Price>&category=[Service]&certainty_min=20&added_last=3&added_unit=weeks&reviewed_by={bob.pk}"
            "&score.op=between&score.a=1.5&score.b=7&day.op=last&day.n=2&day.unit=months&note.op=equals&note.a=x",
        ),
    )
    page = fields(as_bob, coded, query)
    topic = coded.topics.get(label="Price").pk
    assert re.search(rf'name="topic" value="{topic}" checked', page)
    assert page.count(" checked") >= 3
    for text in (
        'value="1.5"',
        'data-op="between" selected',
        'data-op="last" selected',
        'name="added_last" value="3"',
    ):
        assert text in page, text
    assert page.count(' is-set"') == 8


def test_names_from_the_file_are_escaped(table: Column, as_bob: Client) -> None:
    Column.objects.filter(ref="note").update(name='<img src=x onerror="alert(1)">')
    assert "<img" not in fields(as_bob, table, "")


def test_options_come_with_their_counts(both_ways: Column, as_bob: Client) -> None:
    region, buys = (both_ways.project.columns.get(ref=ref) for ref in ("region", "buys"))
    page = as_bob.get(reverse("rows:filter_options", args=[both_ways.pk, region.pk])).content.decode()
    assert re.findall(r'value="(\w+)"', page) == ["North", "South", "East", "north"]
    page = as_bob.get(
        reverse("rows:filter_options", args=[both_ways.pk, buys.pk]) + f"?c{buys.pk}.is=Gloves"
    ).content.decode()
    assert re.findall(r'value="(\w+)"', page) == ["Gloves", "Shoes", "Hats", "Coats"]
    assert re.search(r'value="Gloves" checked', page)  # chosen, though no cell has it


def test_only_columns_with_options_have_options(
    table: Column, as_bob: Client, make_project: Any, charlie: Any
) -> None:
    score = table.project.columns.get(ref="score")
    foreign = make_project(charlie, columns=[("Secret", "single_select")]).columns.get(ref="secret")
    for other in (score.pk, foreign.pk, table.pk, 999_999):
        assert as_bob.get(reverse("rows:filter_options", args=[table.pk, other])).status_code == 404


# --- saved filters -------------------------------------------------------------------------------
def save(client: Client, column: Column, **values: str) -> Any:
    return client.post(
        reverse("rows:saved_filters", args=[column.pk]),
        {"name": "Late ones", "query": "q=late", **values},
        headers={"HX-Request": "true"},
    )


def listed(client: Client, column: Column) -> list[str]:
    page = client.get(
        reverse("rows:saved_filters", args=[column.pk]), headers={"HX-Request": "true"}
    ).content.decode()
    return re.findall(r'saved-list__name" href="[^"]*">([^<]*)<', page)


def test_a_filter_is_saved_shared_renamed_deleted_and_comes_back(
    table: Column,
    as_bob: Client,
    as_alice: Client,
    bob: Any,
) -> None:
    assert save(as_bob, table).status_code == 200
    saved = SavedFilter.objects.get()
    assert (saved.owner, saved.name, saved.query, saved.is_shared) == (bob, "Late ones", "q=late", False)
    assert listed(as_bob, table) == ["Late ones"]
    assert listed(as_alice, table) == []  # one's own until it is shared, also for the owner of the project
    change = reverse("rows:saved_filter_update", args=[table.pk, saved.pk])
    answer = as_bob.post(change, {"name": "  Too   late ", "is_shared": "on", "query": ""})
    assert answer.status_code == 200
    assert listed(as_alice, table) == ["Too late"]
    undo = re.search(r'hx-post="([^"]*name=Late[^"]*)"', answer.content.decode())
    assert undo
    assert as_bob.post(undo[1].replace("&amp;", "&")).status_code == 200
    saved.refresh_from_db()
    assert (saved.name, saved.is_shared) == ("Late ones", False)
    gone = as_bob.post(reverse("rows:saved_filter_delete", args=[table.pk, saved.pk]))
    assert listed(as_bob, table) == []
    back = re.search(r'hx-post="([^"]*/restore/)"', gone.content.decode())
    assert back
    restored = as_bob.post(back[1])
    assert "saved-filters-restored" in restored["HX-Trigger"]
    assert listed(as_bob, table) == ["Late ones"]


def test_names_are_unique_per_person(table: Column, as_bob: Client, as_alice: Client) -> None:
    save(as_bob, table)
    again = save(as_bob, table, query="reviewed=no")
    assert again.status_code == 422
    assert "You already have a filter named “Late ones” here." in again.content.decode()
    assert save(as_alice, table).status_code == 200
    assert SavedFilter.objects.count() == 2
    SavedFilter.objects.filter(owner__username="bob").update(deleted_at=timezone.now())
    assert save(as_bob, table).status_code == 200  # the name of a deleted one is free
    gone = SavedFilter.objects.get(deleted_at__isnull=False)
    taken = as_bob.post(reverse("rows:saved_filter_restore", args=[table.pk, gone.pk]))
    assert taken.status_code == 422


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "  "}, "Give the filter a name."),
        ({"name": "x" * 81}, "at most 80 fit"),
        ({"query": ""}, "There is nothing to save"),
        ({"query": "nothing=known&topic=999999&reviewed=maybe"}, "There is nothing to save"),
    ],
)
def test_what_cannot_be_saved_says_why(
    table: Column,
    as_bob: Client,
    values: dict[str, str],
    message: str,
) -> None:
    answer = save(as_bob, table, **values)
    assert answer.status_code == 422
    assert message in answer.content.decode()
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_keeps_filters_but_shares_none(table: Column, as_bob: Client) -> None:
    assert save(as_bob, table).status_code == 200
    assert save(as_bob, table, name="Shared", is_shared="on").status_code == 403
    saved = SavedFilter.objects.get()
    change = reverse("rows:saved_filter_update", args=[table.pk, saved.pk])
    assert as_bob.post(change, {"name": "Shared", "is_shared": "on"}).status_code == 403
    assert as_bob.post(change, {"name": "Mine"}).status_code == 200


def test_others_filters(table: Column, as_bob: Client, as_alice: Client, as_charlie: Client) -> None:
    save(as_alice, table)
    own = SavedFilter.objects.get()
    addresses = [reverse(f"rows:saved_filter_{act}", args=[table.pk, own.pk]) for act in ("update", "delete")]
    for address in addresses:
        assert as_bob.post(address, {"name": "x"}).status_code == 404  # not shared: not there
        assert as_charlie.post(address, {"name": "x"}).status_code == 404
    SavedFilter.objects.update(is_shared=True)
    assert listed(as_bob, table) == ["Late ones"]
    for address in addresses:
        assert as_bob.post(address, {"name": "x"}).status_code == 403
        assert as_charlie.post(address, {"name": "x"}).status_code == 404
    save(as_bob, table, name="Bob's", is_shared="on")
    bobs = SavedFilter.objects.get(name="Bob's")
    assert as_alice.post(reverse("rows:saved_filter_delete", args=[table.pk, bobs.pk])).status_code == 200  # admin
    assert as_charlie.get(reverse("rows:saved_filters", args=[table.pk])).status_code == 404


def test_a_saved_filter_that_no_longer_fits_still_opens(coded: Column, as_bob: Client) -> None:
    price = coded.topics.get(label="Price")
    region = coded.project.columns.get(ref="region")
    save(as_bob, coded, query=f"topic={price.pk}&c{region.pk}.is=North&reviewed=yes")
    Topic.objects.filter(pk=price.pk).update(deleted_at=timezone.now())
    region.delete()
    page = as_bob.get(reverse("rows:saved_filters", args=[coded.pk])).content.decode()
    assert "no longer fits" in page
    view = as_bob.get(f"{reverse('rows:browser', args=[coded.pk])}?{SavedFilter.objects.get().query}")
    assert view.status_code == 200
    text = view.content.decode()
    assert "Deleted topic: Price" in text
    assert "A column that is no longer there" in text
    assert numbers(as_bob, coded, SavedFilter.objects.get().query) == [3]


def test_saved_names_are_escaped(table: Column, as_bob: Client) -> None:
    save(as_bob, table, name="<script>alert(1)</script>\x00")
    assert "<script>alert" not in as_bob.get(reverse("rows:saved_filters", args=[table.pk])).content.decode()
