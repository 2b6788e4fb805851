"""The dialogs that get topics from files, templates and other projects: who may, what is shown and refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from projects.models import Change, Column, Member, Project, ProjectState, Role
from projects.services.projects import project_delete
from tests.topics.restructuring import put, review
from topics.codebook import codebook_json
from topics.codebook.templates import TEMPLATES
from topics.models import Topic
from topics.selectors import topic_list
from topics.services import topic_create, topic_delete, topic_update
from topics.ways import WAYS, Way, way_add

pytestmark = pytest.mark.django_db


def url(name: str, column: Column, *args) -> str:
    return reverse(f"topics:{name}", args=[column.pk, *args])


def upload(client, column: Column, content: bytes | str, name: str = "codes.csv"):
    file = SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)
    return client.post(url("codebook_import", column), {"file": file}, headers={"HX-Request": "true"})


def token_of(response) -> str:
    return response.text.split('name="token" value="')[1].split('"')[0]


def words(response) -> str:
    """Return the text of an answer as it reads."""
    return " ".join(re.sub(r"<[^>]*>", "", response.text).split())


@pytest.fixture
def empty(make_project, alice):
    return make_project(alice, topics=(), name="Second wave").column


@pytest.fixture
def write(as_alice, htmx):
    """Apply what was previewed."""

    def apply(column: Column, preview, **data):
        data = {"token": token_of(preview), **data}
        return as_alice.post(url("codebook_apply", column), data, headers=htmx)

    return apply


def labels(column: Column) -> list[str]:
    return [topic.label for topic in topic_list(column=column)]


# --- who may -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 403), ("admin", 200)])
def test_only_admins_get_topics(column, as_bob, as_charlie, client, htmx, role, status):
    addresses = [url(name, column) for name in ("ways", "templates", "from_project", "codebook_import")]
    addresses.append(url("template", column, "nps"))
    for address in addresses:
        assert as_bob.get(address, headers=htmx).status_code == status, address
        assert as_charlie.get(address, headers=htmx).status_code == 404
        assert client.get(address, headers=htmx).status_code == 401
    for address in addresses[2:]:
        assert as_charlie.post(address, headers=htmx).status_code == 404
        if role != "admin":
            assert as_bob.post(address, headers=htmx).status_code == 403
    assert not Change.objects.exists()


def test_addresses_typed_by_hand_lead_to_the_collection(column, as_alice):
    for name, args in (("ways", ()), ("templates", ()), ("template", ("nps",)), ("from_project", ())):
        assert as_alice.get(url(name, column, *args)).url == url("list", column)
    assert as_alice.post(url("ways", column)).status_code == 405
    assert as_alice.post(url("templates", column)).status_code == 405
    assert as_alice.put(url("from_project", column)).status_code == 405


@pytest.mark.parametrize("role", ["viewer", "analyst", "admin"])
def test_the_menu_offers_what_a_role_may(column, as_bob, htmx, role):
    text = as_bob.get(url("list", column), headers=htmx).text
    assert ("Topics from …" in text) is (role == "admin")
    assert ("Codebook as JSON" in text) is (role != "viewer")


# --- the choice ----------------------------------------------------------------------------------
def test_the_ways_lead_to_their_dialogs(column, as_alice, htmx):
    text = as_alice.get(url("ways", column), headers=htmx).text
    for name in ("templates", "codebook_import", "from_project", "learning"):
        assert f'hx-get="{url(name, column)}"' in text
    proposals = reverse("finetune:proposals", args=[column.pk])
    assert f'<a class="way" href="{proposals}" autofocus>' in text


def test_an_app_can_add_a_way(column, as_alice, htmx, monkeypatch):
    monkeypatch.setattr("topics.ways.WAYS", before := WAYS[:])
    monkeypatch.setattr("topics.views_codebook.WAYS", before)
    way = Way("own", "topics:list", "sparkles", "A way of its own", "By an app.")
    way_add(way, before="template")
    way_add(way, before="template")
    text = words(as_alice.get(url("ways", column), headers=htmx))
    assert text.count("A way of its own") == 1
    assert text.index("A way of its own") < text.index("A template")


# --- templates -----------------------------------------------------------------------------------
def test_templates_come_in_the_language_of_the_project(column, as_alice, htmx):
    text = words(as_alice.get(url("templates", column), headers=htmx))
    assert "Customer feedback" in text
    assert "26 topics" in text
    Project.objects.filter(pk=column.project_id).update(language="de")
    german = as_alice.get(url("templates", column), headers=htmx)
    assert "Kundenfeedback" in german.text
    assert f"{url('template', column, 'nps')}?language=de" in german.text
    assert '<ul class="ways" lang="de">' in german.text
    assert '<span class="badge badge--outline" lang="en">26 topics</span>' in german.text
    other = words(as_alice.get(url("templates", column), {"language": "en"}, headers=htmx))
    assert "Customer feedback" in other
    assert "The topic collections of this project are in German, these topics are in English" in other
    assert "in German, these topics" not in words(german)


def test_another_language_gets_english_with_a_note(column, as_alice, htmx):
    Project.objects.filter(pk=column.project_id).update(language="fr")
    text = words(as_alice.get(url("templates", column), headers=htmx))
    assert "Customer feedback" in text
    assert "are in French, these topics are in English" in text


@pytest.mark.parametrize("language", ["xx", "../de", "", "EN"])
def test_a_language_that_there_is_not_is_the_default(column, as_alice, htmx, language):
    text = as_alice.get(url("templates", column), {"language": language}, headers=htmx).text
    assert "Customer feedback" in text


def test_a_template_shows_its_topics_before_it_is_taken(column, as_alice, htmx):
    response = as_alice.get(url("template", column, "app-review"), {"language": "de"}, headers=htmx)
    for text in ("Funktionswunsch", "Stabilität und Tempo", "Lade- und Reaktionszeiten", "27"):
        assert text in response.text
    assert labels(column) == ["Friendliness", "Delivery time", "Price"]


@pytest.mark.parametrize("key", ["nothing", "nps-en", "NPS", "templates"])
def test_a_template_that_there_is_not_is_404(column, as_alice, htmx, key):
    assert as_alice.get(url("template", column, key), headers=htmx).status_code == 404
    assert as_alice.post(url("template", column, key), headers=htmx).status_code == 404


@pytest.mark.parametrize("key", TEMPLATES)
def test_a_template_is_previewed_taken_and_undone(empty, as_alice, htmx, write, key):
    preview = as_alice.post(url("template", empty, key), {"language": "de"}, headers=htmx)
    assert preview.status_code == 200
    assert "in English, these topics are in German" in words(preview)
    assert f'hx-get="{url("templates", empty)}?language=de"' in preview.text
    assert labels(empty) == []
    response = write(empty, preview)
    assert response.status_code == 200
    change = Change.objects.get()
    assert change.summary.startswith("Topics from the template ")
    assert reverse("projects:change_undo", args=[change.pk]) in response.text
    assert len(labels(empty)) == change.inverse["created"].__len__() > 20
    as_alice.post(reverse("projects:change_undo", args=[change.pk]), headers=htmx)
    assert labels(empty) == []
    assert not empty.categories.filter(deleted_at=None).exists()


def test_a_template_beside_topics_says_what_stays(column, as_alice, htmx):
    preview = words(as_alice.post(url("template", column, "nps"), headers=htmx))
    assert "23 new topics" in preview
    assert "3 topics are not in the template They stay as they are" in preview


# --- another project -----------------------------------------------------------------------------
@pytest.fixture
def source(make_project, bob, alice):
    """A project of Bob, in which Alice may read."""
    return make_project(
        bob, name="First wave", members={alice: Role.VIEWER}, topics=[("Shop", "Opening hours", True)]
    )


def test_topics_of_a_project_one_may_read_are_copied(source, empty, as_alice, htmx, write):
    put(source.column, 1, "Opening hours", 1)
    listed = words(as_alice.get(url("from_project", empty), headers=htmx))
    assert "First wave Comment1 topic" in listed
    preview = as_alice.post(url("from_project", empty), {"source": source.column.pk}, headers=htmx)
    assert "1 new topic" in preview.text
    response = write(empty, preview)
    assert "First wave · Comment: 1 topic added, 0 changed." in response.text
    assert labels(empty) == ["Opening hours"]
    assert not Topic.objects.get(column=empty).assignments.exists()


def test_projects_of_strangers_never_appear(source, column, empty, make_project, charlie, alice, as_alice, htmx):
    hidden = make_project(charlie, name="Secret survey", topics=[("Plan", "Secret topic", False)])
    text = as_alice.get(url("from_project", empty), headers=htmx).text
    assert "Secret survey" not in text
    response = as_alice.post(url("from_project", empty), {"source": hidden.column.pk}, headers=htmx)
    assert response.status_code == 404
    assert "Secret" not in response.text
    member = Member.objects.get(project=source, user=alice)
    member.delete()
    assert "First wave" not in as_alice.get(url("from_project", empty), headers=htmx).text
    assert as_alice.post(url("from_project", empty), {"source": source.column.pk}, headers=htmx).status_code == 404


def test_columns_without_topics_deleted_and_unfinished_projects_are_no_source(
    source, empty, make_project, alice, as_alice, htmx
):
    bare = make_project(alice, name="Bare", topics=())
    gone = make_project(alice, name="Gone")
    project_delete(project=gone, user=alice)
    unready = make_project(alice, name="Unready")
    Project.objects.filter(pk=unready.pk).exclude(state="").update(
        state=next(state for state in ProjectState.values if state != ProjectState.READY)
    )
    text = as_alice.get(url("from_project", empty), headers=htmx).text
    assert "First wave" in text
    for name in ("Bare", "Gone", "Unready", "Second wave"):
        assert f"<strong>{name}</strong>" not in text
    for project, status in ((bare, 422), (gone, 404), (unready, 404)):
        response = as_alice.post(url("from_project", empty), {"source": project.column.pk}, headers=htmx)
        assert response.status_code == status, project.name


@pytest.mark.parametrize("chosen", ["", "x", "-1", "9" * 30, "own", "1.5"])
def test_no_source_is_asked_for_again(source, empty, as_alice, htmx, chosen):
    data = {"source": empty.pk if chosen == "own" else chosen}
    response = as_alice.post(url("from_project", empty), data, headers=htmx)
    assert response.status_code == 422
    assert "Choose a text column." in response.text
    assert "First wave" in response.text


def test_nobody_else_has_topics(empty, as_alice, htmx):
    assert "No other topics to copy" in as_alice.get(url("from_project", empty), headers=htmx).text


def test_a_project_in_another_language_is_told(source, empty, as_alice, htmx):
    Project.objects.filter(pk=source.pk).update(language="de")
    preview = as_alice.post(url("from_project", empty), {"source": source.column.pk}, headers=htmx)
    assert "in English, these topics are in German" in words(preview)


def test_a_collection_that_cannot_take_more_topics_says_so(source, column, as_alice, htmx, settings):
    settings.LIMIT_TOPICS = 0
    response = as_alice.post(url("from_project", column), {"source": source.column.pk}, headers=htmx)
    assert response.status_code == 422
    assert "There would be 4 topics" in response.text
    assert "Nothing was changed" in response.text


# --- the preview ---------------------------------------------------------------------------------
def test_the_preview_shows_new_changed_and_missing(column, alice, as_alice):
    review(column, alice, 2, "Delivery time")
    put(column, 1, "Delivery time", -1)
    preview = upload(
        as_alice, column, "code,topic,category,description\n1,Warmth,Service,Smiles\n7,Price,Price,\n,New,Shop,\n"
    )
    text = words(preview)
    assert "Name: Friendliness →becomes Warmth" in text
    assert "Description: – →becomes Smiles" in text
    assert "keeps its sentiment" in text
    assert "1 topic is not in the file" in text
    assert "Delete the 1 missing topic: 2 rows lose them, 1 of them reviewed" in text
    assert "1 topic stays as it is" in text
    assert 'name="delete_missing" value="1">' in preview.text  # off by default, and not required


def test_missing_topics_go_only_when_the_box_is_ticked(column, as_alice, write):
    text = "code,topic,category\n7,Price,Price\n8,Extra,Price\n"
    write(column, upload(as_alice, column, text))
    assert labels(column) == ["Friendliness", "Delivery time", "Price", "Extra"]
    same = upload(as_alice, column, text)
    assert "Everything in this file is here already" in same.text
    assert 'name="delete_missing" value="1" required' in same.text
    assert "1 topic added" not in write(column, same).text
    response = write(column, same, delete_missing="1")
    assert "codes.csv: 0 topics added, 0 changed, 2 deleted." in response.text
    assert "rows-changed" in response["HX-Trigger"]
    assert labels(column) == ["Price", "Extra"]


def test_what_only_fits_without_the_missing_topics_says_so(column, as_alice, write):
    text = "code,topic,category\n1,Delivery time,Service\n"
    preview = upload(as_alice, column, text)
    assert "Together with them it cannot be written:Line 2: there is already a topic" in words(preview)
    refused = write(column, preview)
    assert refused.status_code == 422
    assert "there is already a topic named Delivery time" in refused.text
    assert labels(column) == ["Friendliness", "Delivery time", "Price"]
    assert write(column, refused, delete_missing="1").status_code == 200
    assert labels(column) == ["Delivery time"]


def test_a_collection_changed_since_the_preview_is_shown_again(column, alice, as_alice, htmx, write):
    preview = upload(as_alice, column, "code,topic,category\n1,Warmth,Service\n9,New,Shop\n")
    topic_update(topic=column.topics.get(label="Friendliness"), user=alice, label="Kindness")
    n_changes = Change.objects.count()
    stale = write(column, preview, delete_missing="1")
    assert stale.status_code == 409
    assert (stale["HX-Retarget"], stale["HX-Reswap"]) == ("#dialog", "innerHTML")
    assert "The topic collection was changed since you looked at this preview. Nothing was written." in words(
        stale
    )
    assert "Name: Kindness →becomes Warmth" in words(stale)
    assert 'value="1" checked' in stale.text
    assert Change.objects.count() == n_changes
    assert write(column, stale, delete_missing="1").status_code == 200
    assert labels(column) == ["Warmth", "New"]


def test_a_changed_collection_that_the_file_does_not_fit_any_more(column, alice, as_alice, write):
    preview = upload(as_alice, column, "code,topic,category,sentiment\n50,New,Shop,positive\n")
    topic = topic_create(column=column, category="Shop", label="New", user=alice)
    review(column, alice, 2, "New")
    stale = write(column, preview)
    assert stale.status_code == 422
    assert "New is on 1 reviewed row without sentiment" in stale.text
    topic.refresh_from_db()
    assert not topic.sentiment_enabled


def test_a_template_that_is_applied_after_a_change_is_shown_again(column, alice, as_alice, htmx, write):
    preview = as_alice.post(url("template", column, "nps"), headers=htmx)
    topic_delete(topic=column.topics.get(label="Price"), user=alice)
    stale = write(column, preview)
    assert stale.status_code == 409
    assert "2 topics are not in the template" in stale.text
    assert write(column, stale).status_code == 200


def test_a_preview_sent_twice_writes_once(column, as_alice, write):
    preview = upload(as_alice, column, "code,topic,category\n9,New,Shop\n")
    assert write(column, preview).status_code == 200
    assert write(column, preview).status_code == 200
    assert Change.objects.count() == 1


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_a_preview_is_written_by_admins_only(column, as_alice, as_bob, as_charlie, htmx, role):
    data = {"token": token_of(upload(as_alice, column, "code,topic,category\n9,New,Shop\n"))}
    assert as_bob.post(url("codebook_apply", column), data, headers=htmx).status_code == 403
    assert as_charlie.post(url("codebook_apply", column), data, headers=htmx).status_code == 404
    assert not Change.objects.exists()


def test_markup_in_topics_is_text(column, as_alice):
    hostile = "<img src=x onerror=alert(1)>"
    text = "code,topic,category,description,keywords\n"
    text += f'1,"{hostile}",Service,"{hostile}","{hostile}"\n,B,"<i>x</i>",,\n'
    preview = upload(as_alice, column, text, "<u>.csv")
    assert "<img src=x" not in preview.text
    assert "<i>x</i>" not in preview.text
    assert "<u>.csv" not in preview.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in preview.text


def test_eight_hundred_topics_with_long_texts_go_through_the_preview(empty, as_alice, write):
    topics: list[dict[str, Any]] = [
        {"label": f"T{n}", "description": f"{n} " + "🙂ä" * 900, "sentiment": True} for n in range(800)
    ]
    body = {"format": "topicassign-codebook", "version": 1, "categories": [{"label": "C", "topics": topics}]}
    content = json.dumps(body, ensure_ascii=False).encode()
    while len(content) > 5 * 1024 * 1024:
        for topic in topics:
            topic["description"] = topic["description"][: len(topic["description"]) // 2]
        content = json.dumps(body, ensure_ascii=False).encode()
    preview = upload(as_alice, empty, content, "c.json")
    assert preview.status_code == 200
    assert len(preview.content) < 5_000_000
    assert write(empty, preview).status_code == 200
    assert len(labels(empty)) == 800


def test_json_that_is_wrong_comes_back_with_its_topics(column, as_alice):
    body = {
        "format": "topicassign-codebook",
        "version": 1,
        "categories": [{"label": "C", "topics": [{"label": ""}] * 60}],
    }
    response = upload(as_alice, column, json.dumps(body), "codes.json")
    assert response.status_code == 422
    assert "Topic 1 of C: its label is missing." in response.text
    assert "And 10 more." in response.text


# --- out -----------------------------------------------------------------------------------------
def test_the_json_comes_as_a_file(column, as_bob, as_charlie):
    response = as_bob.get(url("codebook_export", column), {"format": "json"})
    assert response["Content-Type"] == "application/json; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="customer-survey-comment-codebook.json"'
    assert response.content == codebook_json(column)
    assert as_charlie.get(url("codebook_export", column), {"format": "json"}).status_code == 404


def test_a_form_that_there_is_not_is_csv(column, as_bob):
    assert as_bob.get(url("codebook_export", column), {"format": "exe"}).content.startswith(b"\xef\xbb\xbfCode,")
