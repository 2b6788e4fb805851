"""The pages and fragments of the topic collection: what each of the cast gets, bad input, events."""

from __future__ import annotations

import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from python_calamine import CalamineWorkbook

from projects.history import change_undo
from projects.models import Change, Column, Role
from rows.services.reviews import TopicChoice, verbatim_review
from topics.selectors import category_list, topic_list
from topics.services import category_delete, topic_delete

pytestmark = pytest.mark.django_db


@pytest.fixture
def price(column):
    return column.topics.get(label="Price")


def url(name: str, pk: int) -> str:
    return reverse(f"topics:{name}", args=[pk])


def topic_data(topic, **changes):
    names = ("label", "description", "label_positive", "label_neutral", "label_negative", "code_neutral",
             "code_positive", "code_negative")  # fmt: skip
    data = {name: value for name in names if (value := getattr(topic, name)) is not None}
    data |= {"category": topic.category_id, "version": topic.version}
    if topic.sentiment_enabled:
        data["sentiment_enabled"] = "on"
    return {**data, **changes}


def events(response) -> dict:
    return json.loads(response["HX-Trigger"])


# --- who may -------------------------------------------------------------------------------------
READS = ["list"]
ADMIN_DIALOGS = ["topic_create", "category_create", "codebook_import"]


@pytest.mark.parametrize("role", list(Role))
def test_members_see_the_topics_strangers_do_not(column, as_bob, as_charlie, htmx, role):
    response = as_bob.get(url("list", column.pk), headers=htmx)
    assert response.status_code == 200
    assert "Friendliness" in response.text
    assert ("New topic" in response.text) is (role == Role.ADMIN)
    assert ("data-rename-url" in response.text) is (role == Role.ADMIN)
    assert as_charlie.get(url("list", column.pk), headers=htmx).status_code == 404
    assert as_bob.post(url("list", column.pk)).status_code == 405


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 403), ("admin", 200)])
def test_only_admins_change_topics(column, price, as_bob, as_charlie, htmx, role, status):
    addresses = [url(name, column.pk) for name in ADMIN_DIALOGS]
    addresses += [url(name, price.pk) for name in ("topic_edit", "topic_delete")]
    addresses += [url(name, price.category_id) for name in ("category_edit", "category_delete")]
    for address in addresses:
        assert as_bob.get(address, headers=htmx).status_code == status, address
        assert as_charlie.get(address, headers=htmx).status_code == 404
        assert as_charlie.post(address, headers=htmx).status_code == 404
    for address in (url("topic_rename", price.pk), url("category_rename", price.category_id)):
        assert as_charlie.post(address, {"label": "x"}, headers=htmx).status_code == 404
        if role != "admin":
            assert as_bob.post(address, {"label": "x"}, headers=htmx).status_code == 403
    assert not Change.objects.exists()


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 200)])
def test_codebook_export_is_for_those_who_may_export(column, as_bob, role, status):
    response = as_bob.get(url("codebook_export", column.pk))
    assert response.status_code == status
    if status == 200:
        assert response["Content-Disposition"] == 'attachment; filename="customer-survey-comment-codebook.csv"'
        assert response.content.startswith(b"\xef\xbb\xbfCode,Topic,Category")
        assert as_bob.get(url("codebook_export", column.pk), {"format": "xlsx"}).content.startswith(b"PK")


def test_addresses_typed_by_hand_lead_to_the_collection(column, price, as_alice):
    for address in (
        url("topic_create", column.pk),
        url("topic_edit", price.pk),
        url("codebook_import", column.pk),
    ):
        assert as_alice.get(address).url == url("list", column.pk)
    page = as_alice.get(url("list", column.pk))
    assert "<html" in page.text
    assert "Friendliness" in page.text


# --- the collection ------------------------------------------------------------------------------
def test_counts_stand_beside_the_topics(column, as_alice, htmx, assign):
    topic = column.topics.get(label="Friendliness")
    for verbatim, sentiment in zip(column.verbatims.all()[:3], (1, 1, -1), strict=True):
        assign(verbatim, topic, sentiment)
    text = as_alice.get(url("list", column.pk), headers=htmx).text
    assert "2 positive, 0 neutral, 1 negative" in text
    assert f'href="{reverse("rows:browser", args=[column.pk])}?topic={topic.pk}"' in text


def test_an_empty_collection_says_how_to_begin(make_project, alice, bob, as_alice, as_bob, htmx):
    column = make_project(alice, topics=(), members={bob: Role.VIEWER}).column
    text = as_alice.get(url("list", column.pk), headers=htmx).text
    assert "Add the first topic" in text
    assert "Topics from …" in text
    text = as_bob.get(url("list", column.pk), headers=htmx).text
    assert "An admin of the project can add them" in text
    assert "Add the first topic" not in text


def test_markup_in_names_is_text(column, price, as_alice, htmx):
    as_alice.post(url("topic_rename", price.pk), {"label": "<img src=x onerror=alert(1)> {{ 7 }}"}, headers=htmx)
    for address in (url("list", column.pk), url("topic_edit", price.pk), url("topic_delete", price.pk)):
        text = as_alice.get(address, headers=htmx).text
        assert "<img src=x" not in text
        assert "&lt;img src=x onerror=alert(1)&gt; {{ 7 }}" in text


def test_the_list_asks_the_database_as_often_for_many_topics(make_project, alice, as_alice, htmx):
    few = make_project(alice, topics=[("C", f"T{n}") for n in range(3)]).column
    many = make_project(alice, topics=[(f"C{n % 7}", f"T{n}", True) for n in range(100)]).column
    counts = []
    for column in (few, many):
        with CaptureQueriesContext(connection) as queries:
            assert as_alice.get(url("list", column.pk), headers=htmx).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- topics --------------------------------------------------------------------------------------
def test_create_closes_the_dialog_offers_undo_and_tells_the_page(column, price, as_alice, alice, htmx):
    data = {"label": "Opening hours", "category": price.category_id}
    response = as_alice.post(url("topic_create", column.pk), data, headers=htmx)
    topic = column.topics.get(label="Opening hours")
    assert response.status_code == 200
    assert "modal-dialog" not in response.text
    assert {"topics-changed", "topic-created", "ai-changed"} <= set(events(response))
    assert events(response)["topic-created"] == {
        "target": "body", "id": topic.pk, "label": "Opening hours", "category": "Price",
        "color": topic.category.color, "sentiment": False, "code": topic.code_neutral,
    }  # fmt: skip
    change = Change.objects.get()
    assert reverse("projects:change_undo", args=[change.pk]) in response.text


def test_create_with_a_new_category_is_one_act(column, as_alice, alice, htmx):
    data = {"label": "Opening hours", "category": "new", "new_category": "Shop"}
    as_alice.post(url("topic_create", column.pk), data, headers=htmx)
    assert [category.label for category in category_list(column=column)] == ["Service", "Price", "Shop"]
    change_undo(change=Change.objects.get(), user=alice)
    assert [category.label for category in category_list(column=column)] == ["Service", "Price"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": ""}, "Give the topic a name."),
        ({"label": "x" * 51}, "at most 50 characters"),
        ({"label": "PRICE"}, "already a topic named PRICE"),
        ({"code_neutral": "1"}, "already used by the topic Friendliness"),
        ({"code_neutral": "abc"}, "whole number"),
        ({"category": "999999"}, "Select a valid choice"),
        ({"category": "new"}, "Give the category a name."),
        ({"category": "new", "new_category": "service"}, "already a category named service"),
    ],
)
def test_create_refuses_bad_input_in_the_dialog(column, price, as_alice, htmx, changes, message):
    data = {"label": "Opening hours", "category": price.category_id, **changes}
    response = as_alice.post(url("topic_create", column.pk), data, headers=htmx)
    assert response.status_code == 422
    assert "modal-dialog" in response.text
    assert message in response.text
    assert column.topics.count() == 3
    assert column.categories.count() == 2


def test_create_twice_adds_one(column, price, as_alice, htmx):
    data = {"label": "Opening hours", "category": price.category_id}
    assert as_alice.post(url("topic_create", column.pk), data, headers=htmx).status_code == 200
    assert as_alice.post(url("topic_create", column.pk), data, headers=htmx).status_code == 422
    assert column.topics.filter(label="Opening hours").count() == 1


def test_create_for_programs(column, price, as_alice):
    data = {"label": "Opening hours", "category": price.category_id, "sentiment_enabled": "on"}
    json_headers = {"Accept": "application/json"}
    response = as_alice.post(url("topic_create", column.pk), data, headers=json_headers)
    assert response.status_code == 201
    assert response.json()["label"] == "Opening hours"
    assert response.json()["sentiment"] is True
    again = as_alice.post(url("topic_create", column.pk), data, headers=json_headers)
    assert again.status_code == 422
    assert "already a topic" in again.json()["message"]


def test_the_801st_topic_is_refused(column, price, as_alice, htmx, settings):
    settings.LIMIT_TOPICS = 3
    data = {"label": "Opening hours", "category": price.category_id}
    response = as_alice.post(url("topic_create", column.pk), data, headers=htmx)
    assert response.status_code == 422
    assert "at most 3 topics" in response.text


def test_edit_saves_all_properties(column, as_alice, htmx):
    topic = column.topics.get(label="Friendliness")
    data = topic_data(topic, label="Kindness", label_positive="Kind", label_negative="Rude", code_negative="77",
                      description="How people\r\nwere treated")  # fmt: skip
    response = as_alice.post(url("topic_edit", topic.pk), data, headers=htmx)
    assert response.status_code == 200
    assert {"topics-changed", "rows-changed", "ai-changed"} <= set(events(response))
    topic.refresh_from_db()
    assert (topic.label, topic.label_positive, topic.code_negative) == ("Kindness", "Kind", 77)
    assert topic.description == "How people\nwere treated"


def test_edit_without_a_change_writes_nothing(price, as_alice, htmx):
    response = as_alice.post(url("topic_edit", price.pk), topic_data(price), headers=htmx)
    assert response.status_code == 200
    assert response.text == ""
    assert not Change.objects.exists()


def test_edit_of_an_older_state_is_a_conflict(price, as_alice, as_bob, htmx, column, bob):
    column.project.members.update(role=Role.ADMIN)
    seen = topic_data(price)
    as_bob.post(url("topic_edit", price.pk), {**seen, "label": "Cost"}, headers=htmx)
    response = as_alice.post(url("topic_edit", price.pk), {**seen, "label": "Prices"}, headers=htmx)
    assert response.status_code == 409
    assert response["HX-Retarget"] == "#toasts"
    assert "Somebody else changed this topic" in response.text
    price.refresh_from_db()
    assert price.label == "Cost"


def test_sentiment_on_with_reviewed_rows_asks_first(column, price, alice, as_alice, htmx):
    verbatim = column.verbatims.first()
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=0, user=alice)
    data = topic_data(price, sentiment_enabled="on")
    response = as_alice.post(url("topic_edit", price.pk), data, headers=htmx)
    assert response.status_code == 422
    assert "2 reviewed rows have this topic." in response.text  # two say the same
    assert "Put them back to not reviewed" in response.text
    price.refresh_from_db()
    assert not price.sentiment_enabled
    response = as_alice.post(url("topic_edit", price.pk), data | {"confirm_unreview": "on"}, headers=htmx)
    assert response.status_code == 200
    price.refresh_from_db()
    verbatim.refresh_from_db()
    assert price.sentiment_enabled
    assert not verbatim.is_reviewed


def test_sentiment_off_asks_first(column, as_alice, htmx, assign):
    topic = column.topics.get(label="Friendliness")
    assign(column.verbatims.first(), topic, 1)
    data = topic_data(topic)
    del data["sentiment_enabled"]
    response = as_alice.post(url("topic_edit", topic.pk), data, headers=htmx)
    assert response.status_code == 422
    assert "1 row loses the sentiment of this topic" in response.text
    topic.refresh_from_db()
    assert topic.sentiment_enabled
    assert (
        as_alice.post(url("topic_edit", topic.pk), {**data, "confirm_off": "on"}, headers=htmx).status_code == 200
    )
    topic.refresh_from_db()
    assert not topic.sentiment_enabled


def test_rename_in_place(price, as_alice, htmx):
    seen = price.version
    response = as_alice.post(url("topic_rename", price.pk), {"label": "Cost", "version": seen}, headers=htmx)
    assert response.status_code == 200
    price.refresh_from_db()
    assert price.label == "Cost"
    stale = as_alice.post(url("topic_rename", price.pk), {"label": "Fee", "version": seen}, headers=htmx)
    assert stale.status_code == 409
    for label in ("", "x" * 51, "x" * 501):
        assert as_alice.post(url("topic_rename", price.pk), {"label": label}, headers=htmx).status_code == 422
    assert as_alice.get(url("topic_rename", price.pk)).status_code == 405


def test_delete_says_how_many_rows_lose_it(column, price, alice, as_alice, htmx, assign):
    first, second = column.verbatims.order_by("row_number")[1:3]
    assign(second, price)
    verbatim_review(verbatim=first, topics=[TopicChoice(price.pk)], revision=0, user=alice)
    text = as_alice.get(url("topic_delete", price.pk), headers=htmx).text
    assert "2 rows lose it." in text
    assert "1 of them was reviewed by people." in text
    response = as_alice.post(url("topic_delete", price.pk), headers=htmx)
    assert response.status_code == 200
    assert "Undo" in response.text
    assert not topic_list(column=column).filter(pk=price.pk).exists()


def test_a_deleted_topic_is_gone(price, alice, as_alice, htmx):
    topic_delete(topic=price, user=alice)
    for name in ("topic_edit", "topic_delete"):
        assert as_alice.get(url(name, price.pk), headers=htmx).status_code == 404
        assert as_alice.post(url(name, price.pk), headers=htmx).status_code == 404
    assert as_alice.post(url("topic_rename", price.pk), {"label": "x"}, headers=htmx).status_code == 404


# --- categories ----------------------------------------------------------------------------------
def test_category_create_edit_move_rename_delete(column, as_alice, htmx):
    response = as_alice.post(url("category_create", column.pk), {"label": "Shop", "color": "pink"}, headers=htmx)
    assert "topics-changed" in events(response)
    shop = column.categories.get(label="Shop")
    as_alice.post(url("category_move", shop.pk), {"direction": "up"}, headers=htmx)
    assert [category.label for category in category_list(column=column)] == ["Service", "Shop", "Price"]
    as_alice.post(url("category_rename", shop.pk), {"label": "Store"}, headers=htmx)
    shop.refresh_from_db()
    data = {"label": "Store", "color": "own", "own_color": "#AA3355", "version": shop.version}
    as_alice.post(url("category_edit", shop.pk), data, headers=htmx)
    shop.refresh_from_db()
    assert (shop.label, shop.color) == ("Store", "#aa3355")
    assert "It has no topics." in as_alice.get(url("category_delete", shop.pk), headers=htmx).text
    as_alice.post(url("category_delete", shop.pk), headers=htmx)
    assert [category.label for category in category_list(column=column)] == ["Service", "Price"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"label": "", "color": "pink"}, "Give the category a name."),
        ({"label": "Price", "color": "pink"}, "already a category named Price"),
        ({"label": "x" * 31, "color": "pink"}, "at most 30 characters"),
        ({"label": "N", "color": "beige"}, "valid choice"),
        ({"label": "N", "color": "own", "own_color": "redd"}, "Choose a colour"),
    ],
)
def test_category_create_refuses_bad_input(column, as_alice, htmx, data, message):
    response = as_alice.post(url("category_create", column.pk), data, headers=htmx)
    assert response.status_code == 422
    assert message in response.text
    assert column.categories.count() == 2


def test_category_delete_names_its_topics(column, alice, as_alice, htmx):
    service = column.categories.get(label="Service")
    text = as_alice.get(url("category_delete", service.pk), headers=htmx).text
    assert "Its 2 topics are deleted with it" in text
    category_delete(category=service, user=alice)
    assert as_alice.get(url("category_delete", service.pk), headers=htmx).status_code == 404


# --- codebooks -----------------------------------------------------------------------------------
def upload(client, column: Column, content: bytes, name: str = "codes.csv", **headers):
    file = SimpleUploadedFile(name, content)
    return client.post(
        url("codebook_import", column.pk), {"file": file}, headers=headers or {"HX-Request": "true"}
    )


def token_of(response) -> str:
    return response.text.split('name="token" value="')[1].split('"')[0]


def test_codebook_is_shown_before_it_is_written(column, as_alice, htmx):
    response = upload(as_alice, column, b"code,topic,category\n1,Kindness,Service\n90,Extra,Shop\n")
    assert response.status_code == 200
    for text in (
        "1 new topic",
        "1 changed",
        "1 new category",
        "<del>Friendliness</del>",
        "<ins>Kindness</ins>",
        "2 topics are not in the file",
    ):
        assert text in response.text
    assert not Change.objects.exists()
    applied = as_alice.post(url("codebook_apply", column.pk), {"token": token_of(response)}, headers=htmx)
    assert applied.status_code == 200
    assert "1 topic added, 1 changed" in applied.text
    assert {topic.label for topic in topic_list(column=column)} == {"Kindness", "Delivery time", "Price", "Extra"}
    again = as_alice.post(url("codebook_apply", column.pk), {"token": token_of(response)}, headers=htmx)
    assert again.status_code == 200
    assert Change.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "codes.csv", "empty"),
        (b"code,topic,category\n1,A,C\n1,B,C\n", "codes.csv", "Line 3: the code 1 is already used in line 2"),
        (b"\x89PNG\r\n", "codes.csv", "is an image"),
        (b"code,topic\n", "codes.exe", "Use one of these"),
        (b"x" * (5 * 1024 * 1024 + 1), "codes.csv", "at most 5 MB"),
    ],
)
def test_codebook_that_cannot_be_used_is_refused(column, as_alice, content, name, message):
    response = upload(as_alice, column, content, name)
    assert response.status_code == 422
    assert message in response.text
    assert not Change.objects.exists()


def test_codebook_without_a_file_is_refused(column, as_alice, htmx):
    response = as_alice.post(url("codebook_import", column.pk), {}, headers=htmx)
    assert response.status_code == 422
    assert "Choose a file" in response.text


def test_codebook_names_are_escaped(column, as_alice):
    response = upload(as_alice, column, b"topic,category\n<b>x</b>,C\n", "<i>.csv")
    assert "<b>x</b>" not in response.text
    assert "<i>.csv" not in response.text


def test_preview_of_another_column_cannot_be_applied(column, make_project, alice, as_alice, htmx):
    other = make_project(alice).column
    token = token_of(upload(as_alice, column, b"topic,category\nA,C\n"))
    response = as_alice.post(url("codebook_apply", other.pk), {"token": token}, headers=htmx)
    assert response.status_code == 409
    for broken in ("", "x", token[:-2]):
        response = as_alice.post(url("codebook_apply", column.pk), {"token": broken}, headers=htmx)
        assert response.status_code == 409
    assert not Change.objects.exists()


def test_exported_workbook_can_be_read(column, as_alice):
    content = as_alice.get(url("codebook_export", column.pk), {"format": "xlsx"}).content
    lines = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_name("Codes").to_python()
    assert lines[0][:4] == ["Code", "Topic", "Category", "Sentiment"]
    assert [line[1] for line in lines[1:4]] == ["Friendliness"] * 3
