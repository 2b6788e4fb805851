"""The list of projects, one project, its settings."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune.models import ModelVersion
from projects.models import Change, ChangeKind, Job, JobKind, JobState, Member, Project, ProjectState
from rows.services.reviews import TopicChoice, verbatim_review


def names(response) -> list[str]:
    return [project.name for project in response.context["page"].projects]


def test_the_list_shows_own_and_shared_projects_to_their_people_only(project, as_alice, as_bob, as_charlie):
    assert names(as_alice.get("/")) == ["Customer survey"]
    assert names(as_bob.get("/")) == ["Customer survey"]
    assert names(as_charlie.get("/")) == []


def test_an_empty_list_says_how_to_start(as_charlie):
    page = as_charlie.get("/").content.decode()

    assert "Start with a table of answers" in page
    assert reverse("rows:import_upload") in page
    assert "load_sample" in page


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("garden", ["Garden shop"]),
        ("QUARTERLY shop", ["Garden shop"]),
        ("größe", ["Apps"]),
        ("nothing", []),
        ("%", []),
    ],
)
def test_it_finds_projects_by_every_word_of_name_description_or_tag(make_project, alice, as_alice, htmx, q, found):
    make_project(alice, name="Garden shop", description="Quarterly survey", texts=[])
    make_project(alice, name="Apps", tags=["Größe"], texts=[])

    response = as_alice.get("/", {"q": q}, headers=htmx)

    assert names(response) == found
    assert "<html" not in response.content.decode()


def test_it_sorts_by_last_change_or_name(make_project, alice, as_alice):
    older = make_project(alice, name="Beta", texts=["one"])
    make_project(alice, name="alpha", texts=["one"])
    assert names(as_alice.get("/")) == ["alpha", "Beta"]

    verbatim = older.column.verbatims.get()
    verbatim_review(verbatim=verbatim, topics=[], revision=0, user=alice)

    assert names(as_alice.get("/")) == ["Beta", "alpha"]
    assert names(as_alice.get("/", {"sort": "name"})) == ["alpha", "Beta"]
    assert names(as_alice.get("/", {"sort": "nonsense", "page": "x"})) == ["Beta", "alpha"]


def test_many_projects_come_in_pages(make_project, alice, as_alice):
    Project.objects.bulk_create(Project(owner=alice, name=f"Project {n:02}") for n in range(30))

    first = as_alice.get("/", {"sort": "name"})
    second = as_alice.get("/", {"sort": "name", "page": 2})
    beyond = as_alice.get("/", {"sort": "name", "page": 99})

    assert names(first)[0] == "Project 00"
    assert names(second) == [f"Project {n:02}" for n in range(25, 30)]
    assert names(beyond) == names(second)


def test_the_list_costs_the_same_number_of_queries_for_many_projects(
    make_project, alice, as_alice, django_assert_max_num_queries
):
    for n in range(8):
        make_project(alice, name=f"Project {n}", texts=["one", "two"])

    with django_assert_max_num_queries(12):
        as_alice.get("/")


def test_a_card_asks_for_numbers_that_are_not_counted_yet_and_has_them_afterwards(
    project, column, as_alice, alice
):
    url = reverse("projects:numbers", args=[project.pk])
    assert f'hx-get="{url}"' in as_alice.get("/").content.decode()
    verbatim = column.verbatims.first()  # has a duplicate: both are reviewed
    verbatim_review(verbatim=verbatim, topics=[], revision=0, user=alice)

    card = as_alice.get(url).content.decode()

    assert "6 rows" in card
    assert "40\u00a0% reviewed" in card  # 2 of 5 texts, one of six cells is empty
    page = as_alice.get("/").content.decode()
    assert "40\u00a0% reviewed" in page
    assert f'hx-get="{url}"' not in page


def test_it_shows_the_score_of_the_version_in_use_only(project, column, as_alice):
    assert "AI score –" in as_alice.get(reverse("projects:detail", args=[project.pk])).content.decode()
    ModelVersion.objects.create(column=column, number=1, trigger="first", state="superseded", ai_score=99)
    ModelVersion.objects.create(column=column, number=2, trigger="reviews", state="deployed", ai_score=62.6)

    page = as_alice.get(reverse("projects:detail", args=[project.pk])).content.decode()

    assert "AI score 63" in page


def test_a_column_without_topics_says_what_to_do(make_project, alice, as_alice, column):
    bare = make_project(alice, name="Bare", topics=())

    assert "No topics yet: add some" in as_alice.get(reverse("projects:detail", args=[bare.pk])).content.decode()
    assert "3 topics" in as_alice.get(reverse("projects:detail", args=[column.project_id])).content.decode()


def test_an_import_is_shown_with_its_progress_to_the_importer(make_project, alice, as_alice):
    importing = make_project(alice, name="tickets.csv", texts=[], state=ProjectState.IMPORTING)
    Job.objects.create(
        kind=JobKind.IMPORT, state=JobState.RUNNING, project=importing, user=alice, stage="Rows", done=12, total=40
    )

    for address in ("/", reverse("projects:detail", args=[importing.pk])):
        page = as_alice.get(address).content.decode()
        assert 'value="12" max="40"' in page
        assert "Cancel" in page


def test_an_import_that_failed_is_told_to_the_importer_with_another_try(alice, as_alice, as_bob):
    job = Job.objects.create(
        kind=JobKind.IMPORT,
        state=JobState.FAILED,
        user=alice,
        finished_at=timezone.now(),
        error="The disk of the server is full.",
    )

    page = as_alice.get("/").content.decode()

    assert "The disk of the server is full." in page
    assert reverse("projects:job_retry", args=[job.pk]) in page
    assert "The disk of the server is full." not in as_bob.get("/").content.decode()
    assert as_bob.post(reverse("projects:job_retry", args=[job.pk])).status_code == 404


@pytest.mark.parametrize("role", ["viewer", "analyst", "admin"])
def test_a_project_shows_members_what_they_may_do(project, column, as_bob, role):
    page = as_bob.get(reverse("projects:detail", args=[project.pk])).content.decode()

    assert reverse("rows:browser", args=[column.pk]) in page
    assert (reverse("rows:focus", args=[column.pk]) in page) == (role != "viewer")
    assert (reverse("projects:settings", args=[project.pk]) in page) == (role == "admin")
    assert "Region" in page
    assert "Single select" in page


def test_a_deleted_project_is_gone_from_every_page(project, as_alice):
    Project.objects.filter(pk=project.pk).update(deleted_at=timezone.now())

    assert names(as_alice.get("/")) == []
    for name in ("detail", "members", "history", "settings", "delete", "numbers"):
        assert as_alice.get(reverse(f"projects:{name}", args=[project.pk])).status_code == 404


def test_settings_are_saved_and_can_be_undone(project, as_alice):
    url = reverse("projects:settings", args=[project.pk])

    response = as_alice.post(url, {"name": "Autumn", "description": "Wave 3", "tags": "nps,  shop , NPS,"})

    assert response.status_code == 302
    project.refresh_from_db()
    assert (project.name, project.description, project.tags) == ("Autumn", "Wave 3", ["nps", "shop"])
    change = Change.objects.get(kind=ChangeKind.PROJECT_UPDATE)
    as_alice.post(reverse("projects:change_undo", args=[change.pk]))
    project.refresh_from_db()
    assert (project.name, project.description, project.tags) == ("Customer survey", "", [])


def test_two_admins_at_once_do_not_write_over_each_other(project, as_alice, client_of, bob):
    url = reverse("projects:settings", args=[project.pk])
    loaded = {"initial-name": "Customer survey", "initial-description": "", "initial-tags": ""}
    as_alice.post(url, {**loaded, "name": "Customer survey", "description": "From Alice", "tags": "nps"})
    Member.objects.update(role="admin")

    # Bob loaded the page before Alice saved; he only changes the name.
    client_of(bob).post(url, {**loaded, "name": "From Bob", "description": "", "tags": ""})

    project.refresh_from_db()
    assert (project.name, project.description, project.tags) == ("From Bob", "From Alice", ["nps"])


def test_settings_can_be_emptied(project, as_alice):
    url = reverse("projects:settings", args=[project.pk])
    as_alice.post(url, {"name": "Customer survey", "description": "Wave 3", "tags": "a, b"})
    page = as_alice.get(url).content.decode()
    assert 'name="initial-tags" value="a, b"' in page

    as_alice.post(
        url,
        {
            "initial-name": "Customer survey",
            "name": "Customer survey",
            "initial-description": "Wave 3",
            "description": "",
            "initial-tags": "a, b",
            "tags": "",
        },
    )

    project.refresh_from_db()
    assert (project.description, project.tags) == ("", [])


def test_undoing_settings_that_changed_again_is_refused(project, as_alice, htmx):
    url = reverse("projects:settings", args=[project.pk])
    as_alice.post(url, {"name": "Second"})
    as_alice.post(url, {"name": "Third"})
    first = Change.objects.filter(kind=ChangeKind.PROJECT_UPDATE).earliest("pk")

    response = as_alice.post(reverse("projects:change_undo", args=[first.pk]), headers=htmx)

    assert response.status_code == 409
    project.refresh_from_db()
    assert project.name == "Third"


def test_saving_the_same_settings_makes_no_history(project, as_alice):
    as_alice.post(reverse("projects:settings", args=[project.pk]), {"name": "Customer survey"})

    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": ""}, "required"),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"name": "   "}, "required"),
        ({"name": "ok", "description": "x" * 2001}, "at most 2000 characters"),
        ({"name": "ok", "tags": ",".join(f"t{n}" for n in range(21))}, "At most 20 tags"),
        ({"name": "ok", "tags": "x" * 51}, "at most 50 characters"),
    ],
)
def test_bad_settings_come_back_filled_in_and_change_nothing(project, as_alice, values, sentence):
    response = as_alice.post(reverse("projects:settings", args=[project.pk]), values)

    assert response.status_code == 422
    assert sentence in response.content.decode()
    project.refresh_from_db()
    assert project.name == "Customer survey"
    assert "<h1>Customer survey</h1>" in response.content.decode()


def test_names_are_shown_as_text_never_as_markup(make_project, alice, as_alice):
    evil = make_project(alice, name="<script>alert(1)</script>", tags=['"><b>x'], description="<img src=x>")

    for address in ("/", *(reverse(f"projects:{n}", args=[evil.pk]) for n in ("detail", "settings", "history"))):
        page = as_alice.get(address).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x>" not in page
        assert "<b>x" not in page


@pytest.mark.parametrize("name", ["settings", "delete"])
def test_the_wrong_method_is_refused(project, as_alice, name):
    assert as_alice.put(reverse(f"projects:{name}", args=[project.pk])).status_code == 405


def test_members_count_the_owner(project, as_alice):
    page = as_alice.get(reverse("projects:detail", args=[project.pk]))

    assert page.context["n_members"] == 1 + Member.objects.filter(project=project).count() == 2


def test_an_analyst_reviews_and_the_history_names_act_and_person(project, column, as_alice, bob):
    verbatim = column.verbatims.all()[1]
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(column.topics.first().pk, 1)], revision=0, user=bob)

    page = as_alice.get(reverse("projects:history", args=[project.pk])).content.decode()

    assert "Row 2 reviewed: Friendliness" in page
    assert "Bob" in page
