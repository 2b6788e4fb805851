"""Projects and their people in a browser."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from projects.models import Job, JobKind, JobState, Member, Project, Role
from projects.services.members import invitation_create


def url(name: str, project: Project) -> str:
    return reverse(f"projects:{name}", args=[project.pk])


def test_the_invitation_page_is_accessible_and_narrow(site, project, alice):
    _, token = invitation_create(project=project, role="analyst", user=alice)
    site.open(reverse("projects:invitation_accept", args=[token]))
    site.assert_accessible()
    site.assert_fits()


def test_the_list_is_searched_while_typing(site, make_project, alice):
    make_project(alice, name="Garden shop", tags=["nps"], texts=["one"])
    make_project(alice, name="App reviews", texts=["one"])
    site.sign_in(alice)
    page = site.open("/")
    expect(page.locator(".project-card")).to_have_count(2)

    page.get_by_role("searchbox", name="Search projects").press_sequentially("garden")

    expect(page.locator(".project-card")).to_have_count(1)
    expect(page.get_by_role("link", name="Garden shop")).to_be_visible()
    expect(page).to_have_url(f"{site.url}/?q=garden&sort=modified")
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No project matches")).to_be_visible()
    site.assert_accessible()


def test_numbers_come_once_a_card_is_seen(site, project, alice):
    site.sign_in(alice)
    page = site.open("/")

    expect(page.locator(".project-card")).to_contain_text("6 rows")
    expect(page.locator(".column-line")).to_contain_text("0 % reviewed")


def test_a_project_is_deleted_by_its_typed_name_and_comes_back(site, project, alice):
    site.sign_in(alice)
    page = site.open(url("settings", project))
    page.get_by_role("link", name="Delete project…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("6 rows")
    site.assert_accessible()
    dialog.get_by_role("textbox").fill("Customer")
    dialog.get_by_role("button", name="Delete project").click()
    expect(dialog).to_contain_text("That is not the name of the project")

    dialog.get_by_role("textbox").fill("Customer survey")
    dialog.get_by_role("button", name="Delete project").click()

    expect(page.get_by_text("“Customer survey” was deleted.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Customer survey", level=1)).to_be_visible()
    expect(page.locator("toast-item")).to_contain_text("is back")


def test_a_role_is_changed_in_place_and_undone_from_the_notice(site, project, alice, bob):
    site.sign_in(alice)
    page = site.open(url("members", project))
    role = page.get_by_label("Role of Bob")

    role.select_option("viewer")

    expect(page.locator("toast-item")).to_contain_text("Bob is now viewer")
    assert Member.objects.get(user=bob).role == Role.VIEWER
    page.locator("toast-item").get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Role of Bob")).to_have_value("analyst")
    assert Member.objects.get(user=bob).role == Role.ANALYST


def test_an_invitation_link_lets_a_new_person_in(site, second_site, project, alice):
    site.sign_in(alice)
    page = site.open(url("members", project))
    page.get_by_role("button", name="Make link").click()
    field = page.get_by_label("Invitation link", exact=True)
    expect(field).to_be_visible()
    site.assert_accessible()
    link = field.input_value()

    other = second_site.open(link.removeprefix(site.url))
    other.get_by_label("User name").fill("dora")
    other.get_by_label("E-mail").fill("dora@example.org")
    other.get_by_label("Password", exact=True).fill("violet harbour 77")
    other.get_by_label("Password confirmation").fill("violet harbour 77")
    other.get_by_role("button", name="Create account and join").click()

    expect(other.get_by_role("heading", name="Customer survey", level=1)).to_be_visible()
    page.reload()
    expect(page.get_by_role("row", name="dora")).to_be_visible()
    expect(page.get_by_text("Open invitations")).to_be_hidden()


def test_a_member_is_asked_before_leaving(site, project, bob):
    site.sign_in(bob)
    page = site.open(url("members", project))
    page.get_by_role("button", name="Leave").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("row", name="Bob")).to_be_visible()

    page.get_by_role("button", name="Leave").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave").click()

    expect(page.get_by_text("You left “Customer survey”.")).to_be_visible()
    expect(page.get_by_text("Start with a table of answers")).to_be_visible()


def test_progress_moves_by_itself_and_ends(site, furnished, alice):
    job = Job.objects.get(kind=JobKind.UPDATE)
    site.sign_in(alice)
    page = site.open(reverse("projects:job_detail", args=[job.pk]))
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "30")
    site.assert_accessible()

    Job.objects.filter(pk=job.pk).update(done=90, stage="Train")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "90")
    expect(page.get_by_text("Train")).to_be_visible()

    Job.objects.filter(pk=job.pk).update(state=JobState.DONE, finished_at=timezone.now())
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.locator(".job")).to_contain_text("Done")
    assert page.locator(".job").get_attribute("hx-trigger") is None


def test_a_failed_job_is_tried_again(site, furnished, alice):
    site.sign_in(alice)
    page = site.open(url("detail", furnished))
    expect(page.get_by_text("The disk of the server is full.")).to_be_visible()

    page.get_by_role("button", name="Try again").click()

    expect(page.get_by_text("waits for its turn")).to_be_visible()
    assert Job.objects.get(kind=JobKind.EXPORT).state == JobState.QUEUED


def test_a_worker_that_is_away_is_told_on_top_of_the_page(site, furnished, alice):
    Job.objects.filter(kind=JobKind.UPDATE).update(
        state=JobState.QUEUED, created_at=timezone.now() - timedelta(minutes=1)
    )
    site.sign_in(alice)
    page = site.open("/")

    expect(page.get_by_text("no worker is answering")).to_be_visible()
    site.assert_accessible()


def test_the_history_is_taken_back_act_by_act(site, furnished, alice):
    site.sign_in(alice)
    page = site.open(url("history", furnished))
    entry = page.get_by_role("listitem").filter(has_text="Description changed, Tags changed").first

    entry.get_by_role("button", name="Undo").click()

    expect(page.get_by_role("listitem").filter(has_text="undone by alice")).to_be_visible()
    furnished.refresh_from_db()
    assert furnished.description == ""


def test_an_expired_session_keeps_what_was_typed_in_the_settings(site, project, alice):
    site.sign_in(alice)
    page = site.open(url("settings", project))
    page.get_by_label("Description").fill("A long description, typed with care")
    site.sign_out()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.locator("[name=username]").fill("alice")
    page.locator("[name=password]").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_label("Description")).to_have_value("A long description, typed with care")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    assert Project.objects.get(pk=project.pk).description == "A long description, typed with care"


def test_a_fragment_after_the_session_is_over_shows_the_way_back(site, project, alice, bob):
    site.expect_problem("status of 401")
    site.sign_in(alice)
    page = site.open(url("members", project))
    site.sign_out()

    page.get_by_label("Role of Bob").select_option("viewer")

    expect(page.get_by_text("You are signed out.")).to_be_visible()
    expect(page.get_by_role("link", name="Sign in")).to_have_attribute(
        "href", f"/login/?next={url('members', project).replace('/', '%2F')}"
    )
    assert Member.objects.get(user=bob).role == Role.ANALYST


def test_administration_works_under_the_strict_policy(site, project, make_user):
    root = make_user("root", is_staff=True, is_superuser=True)
    site.sign_in(root)
    for path in ("/admin/", f"/admin/projects/project/{project.pk}/change/", "/admin/rows/verbatim/"):
        site.page.goto(site.url + path)
        expect(site.page.locator("#content")).to_be_visible()
    assert Client().get("/admin/").status_code == 302
