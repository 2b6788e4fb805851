"""Every route × everybody × reading and writing × page, fragment and JSON.

The routes come from the URL resolver. `RULES` says who may read (GET) and write (POST) at each; a
route that is not in the table fails the test, so nobody adds a page without deciding who may see it.

Who is not signed in gets the sign-in page (401 for fragments and programs). To a stranger nothing
exists: 404. A member whose role is too small gets 403. None in the table means that the method does
not exist there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from projects.models import ColumnType, Job, JobKind, JobState, Member, Project
from projects.services.members import invitation_create
from projects.services.projects import project_delete, project_update
from rows.exporting.options import ExportOptions
from rows.models import SavedFilter
from rows.services.exports import export_start
from rows.services.imports import upload_create, upload_organise, upload_plan
from tests.finetune.proposing import add_set

ANYBODY, SIGNED_IN, VIEWER, ANALYST, ADMIN, OWNER = "anybody", "signed in", "viewer", "analyst", "admin", "owner"
LEVELS = {SIGNED_IN: 0, VIEWER: 1, ANALYST: 2, ADMIN: 3, OWNER: 4}
# Who asks, and what they are: a stranger is signed in, no more.
PEOPLE = {"stranger": SIGNED_IN, "viewer": VIEWER, "analyst": ANALYST, "admin": ADMIN, "owner": OWNER}


@dataclass
class Rule:
    """Who may read and write. `hidden`: who may not gets 404 even as a member (things of one person)."""

    read: str | None
    write: str | None = None
    hidden: bool = False
    args: dict[str, Any] = field(default_factory=dict)  # other objects than the usual ones, by name
    body: dict[str, Any] = field(default_factory=dict)  # of the POST


RULES: dict[str, Rule] = {
    # site
    "login": Rule(ANYBODY, ANYBODY),
    "logout": Rule(None, SIGNED_IN),
    "password_change": Rule(SIGNED_IN, SIGNED_IN),
    "password_change_done": Rule(SIGNED_IN),
    "password_reset": Rule(ANYBODY, ANYBODY),
    "password_reset_done": Rule(ANYBODY),
    "password_reset_confirm": Rule(ANYBODY, ANYBODY),
    "password_reset_complete": Rule(ANYBODY),
    "health": Rule(ANYBODY),
    "robots_txt": Rule(ANYBODY),
    "favicon": Rule(ANYBODY),
    # projects
    "projects:list": Rule(SIGNED_IN),
    "projects:deleted": Rule(SIGNED_IN),
    "projects:work_waiting": Rule(SIGNED_IN),
    "projects:language": Rule(ANYBODY, ANYBODY, body={"language": "en"}),
    "projects:shortcuts": Rule(None, SIGNED_IN, body={"on": "1"}),
    "projects:detail": Rule(VIEWER),
    "projects:numbers": Rule(VIEWER),
    "projects:settings": Rule(ADMIN, ADMIN),
    "projects:delete": Rule(ADMIN, ADMIN),
    "projects:restore": Rule(None, ADMIN, hidden=True, args={"project_id": "deleted_project_id"}),
    "projects:history": Rule(VIEWER),
    "projects:members": Rule(VIEWER),
    "projects:member_leave": Rule(None, VIEWER),
    "projects:member_role": Rule(None, ADMIN, body={"role": "admin"}),
    "projects:member_remove": Rule(None, ADMIN),
    "projects:member_owner": Rule(None, OWNER),
    "projects:invitation_create": Rule(None, ADMIN, body={"role": "viewer"}),
    "projects:invitation_revoke": Rule(None, ADMIN),
    "projects:invitation_accept": Rule(ANYBODY, ANYBODY),
    "projects:change_undo": Rule(None, ADMIN),
    "projects:job_detail": Rule(VIEWER),
    "projects:job_cancel": Rule(None, ANALYST),
    "projects:job_retry": Rule(None, ANALYST, args={"job_id": "failed_job_id"}),
    # topics
    "topics:list": Rule(VIEWER),
    "topics:topic_create": Rule(ADMIN, ADMIN),
    "topics:topic_edit": Rule(ADMIN, ADMIN),
    "topics:topic_rename": Rule(None, ADMIN),
    "topics:topic_delete": Rule(ADMIN, ADMIN),
    "topics:topic_merge": Rule(ADMIN, ADMIN),
    "topics:keywords_preview": Rule(None, ADMIN),
    "topics:merge_preview": Rule(ADMIN, None),
    "topics:topic_split": Rule(ADMIN, ADMIN),
    "topics:split_rows": Rule(ADMIN, None),
    "topics:split_preview": Rule(ADMIN, None),
    "topics:topics_place": Rule(None, ADMIN),
    "topics:topics_move": Rule(ADMIN, ADMIN),
    "topics:topics_merge": Rule(ADMIN, ADMIN),
    "topics:merge_many_preview": Rule(ADMIN, None),
    "topics:topics_delete": Rule(ADMIN, ADMIN),
    "topics:tidy": Rule(ANALYST),
    "topics:pair_mark": Rule(None, ADMIN),
    "topics:learning": Rule(ADMIN, ADMIN),
    "topics:learning_preview": Rule(ADMIN, None),
    "topics:category_create": Rule(ADMIN, ADMIN),
    "topics:category_edit": Rule(ADMIN, ADMIN),
    "topics:category_rename": Rule(None, ADMIN),
    "topics:category_move": Rule(None, ADMIN),
    "topics:category_delete": Rule(ADMIN, ADMIN),
    "topics:codebook_export": Rule(ANALYST),
    "topics:codebook_import": Rule(ADMIN, ADMIN),
    "topics:codebook_apply": Rule(None, ADMIN),
    "topics:ways": Rule(ADMIN),
    "topics:templates": Rule(ADMIN),
    "topics:template": Rule(ADMIN, ADMIN, args={"key": "template_key"}),
    "topics:from_project": Rule(ADMIN, ADMIN),
    # rows
    "rows:browser": Rule(VIEWER),
    "rows:chunk": Rule(VIEWER),
    "rows:count": Rule(VIEWER),
    "rows:filter_builder": Rule(VIEWER),
    "rows:filter_options": Rule(VIEWER),
    "rows:saved_filters": Rule(VIEWER, VIEWER, body={"name": "Mine", "query": "reviewed=no"}),
    "rows:saved_filter_update": Rule(None, ADMIN, body={"name": "Renamed"}),  # somebody's, shared
    "rows:saved_filter_delete": Rule(None, ADMIN),
    "rows:saved_filter_restore": Rule(None, ADMIN, args={"saved_filter_id": "deleted_saved_filter_id"}),
    "rows:view_options": Rule(None, VIEWER),
    "rows:results": Rule(VIEWER),
    "rows:statistics": Rule(VIEWER),
    "rows:undo_last": Rule(None, ANALYST),
    "rows:verbatim": Rule(VIEWER),
    "rows:verbatim_review": Rule(None, ANALYST),
    "rows:verbatim_unreview": Rule(None, ANALYST),
    "rows:verbatim_highlight": Rule(None, ANALYST),
    "rows:bulk_dialog": Rule(None, ANALYST, body={"all": "1"}),
    "rows:bulk_count": Rule(ANALYST),
    "rows:bulk_preview": Rule(None, ANALYST, body={"all": "1", "review": "reviewed"}),
    "rows:bulk_run": Rule(None, ANALYST, body={"all": "1", "review": "reviewed", "token": "a" * 32}),
    "rows:bulk_status": Rule(VIEWER),
    "rows:focus": Rule(ANALYST),
    "rows:focus_palette": Rule(ANALYST),
    "rows:focus_review": Rule(None, ANALYST),
    "rows:focus_undo": Rule(None, ANALYST),
    "rows:focus_release": Rule(None, ANALYST),
    # imports: an upload belongs to the person who made it
    "rows:import_upload": Rule(SIGNED_IN, SIGNED_IN),
    "rows:import_organise": Rule(OWNER, OWNER, hidden=True),
    "rows:import_sheet": Rule(None, OWNER, hidden=True),
    "rows:import_settings": Rule(OWNER, OWNER, hidden=True),
    "rows:import_check": Rule(OWNER, hidden=True),
    "rows:import_bad_cells": Rule(OWNER, hidden=True),
    "rows:import_cancel": Rule(None, OWNER, hidden=True),
    # exports
    "rows:export": Rule(ANALYST, ANALYST, body={"content": "rows", "format": "csv"}),
    "rows:export_list": Rule(ANALYST),
    "rows:export_download": Rule(ANALYST, args={"job_id": "export_job_id"}),
    # finetune
    "finetune:ai_status": Rule(VIEWER),
    "finetune:ai_score": Rule(VIEWER),
    "finetune:ai_switch": Rule(None, ADMIN),
    "finetune:ai_update": Rule(None, ADMIN),
    "finetune:assignment_why": Rule(VIEWER),
    "finetune:proposals": Rule(ADMIN),
    "finetune:proposals_start": Rule(None, ADMIN),
    "finetune:proposals_accept": Rule(None, ADMIN),
    "finetune:proposals_choose": Rule(None, ADMIN, body={"chosen": "true"}),
    "finetune:proposals_name": Rule(None, ADMIN, body={"agreed": "1"}),
    "finetune:proposals_rename_category": Rule(None, ADMIN, body={"category": "Speed", "label": "Pace"}),
    "finetune:proposals_discard_all": Rule(None, ADMIN),
    "finetune:proposal_update": Rule(None, ADMIN, body={"label": "Pace", "was_label": "Pace"}),
    "finetune:proposal_discard": Rule(None, ADMIN),
    "finetune:proposal_merge": Rule(ADMIN, ADMIN),
    "finetune:proposal_separate": Rule(None, ADMIN),
}


def routes(resolver: URLResolver | None = None, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield name (with namespace) and pattern of every route; a route without a name comes by its path."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from routes(entry, inner)
        else:
            yield f"{namespace}{entry.name or str(entry.pattern)}", entry


ALL = dict(routes())
OURS = {name: pattern for name, pattern in ALL.items() if not name.startswith("admin:")}
OPERATORS = {name: pattern for name, pattern in ALL.items() if name.startswith("admin:")}


def test_every_route_has_a_rule_and_every_rule_a_route() -> None:
    assert set(OURS) - set(RULES) == set(), "routes without a rule: decide who may read and write there"
    assert set(RULES) - set(OURS) == set(), "rules without a route"


@pytest.fixture
def cast(make_user: Any) -> dict[str, Any]:
    return {name: make_user(name) for name in (*PEOPLE, "someone")}


@pytest.fixture
def things(make_project: Any, cast: dict[str, Any]) -> dict[str, Any]:
    """One of each thing an address can name, all in one project."""
    members = {cast[name]: name for name in ("viewer", "analyst", "admin")}
    owner = cast["owner"]
    project: Project = make_project(
        owner, members={**members, cast["someone"]: "viewer"}, columns=[("Region", ColumnType.SINGLE_SELECT)]
    )
    column = project.column  # type: ignore[attr-defined]
    deleted: Project = make_project(owner, name="Deleted", members=members)
    project_delete(project=deleted, user=owner)
    invitation, token = invitation_create(project=project, role="viewer", user=owner)
    change = project_update(project=project, values={"description": "Changed"}, user=owner)
    assert change is not None
    job = Job.objects.create(
        kind=JobKind.UPDATE,
        state=JobState.RUNNING,
        project=project,
        column=column,
        user=owner,
        heartbeat_at=timezone.now(),
    )
    export = export_start(column=column, user=owner, options=ExportOptions())
    failed = export_start(column=column, user=owner, options=ExportOptions())
    Job.objects.filter(pk=failed.pk).update(state=JobState.FAILED, finished_at=timezone.now())
    upload = upload_create(user=owner, file_name="walk.csv", content=[b"Comment,Region\nGood,North\nBad,South\n"])
    plan = upload_plan(upload)
    plan[0].type = ColumnType.TEXT_TO_ANALYZE
    upload_organise(upload=upload, columns=plan)
    topic = column.topics.first()
    shared = {"column": column, "owner": cast["someone"], "query": "reviewed=no", "is_shared": True}
    saved = SavedFilter.objects.create(name="Shared", **shared)
    gone = SavedFilter.objects.create(name="Gone", deleted_at=timezone.now(), **shared)
    return {
        "saved_filter_id": saved.pk,
        "deleted_saved_filter_id": gone.pk,
        "other_id": project.columns.get(ref="region").pk,
        "project_id": project.pk,
        "deleted_project_id": deleted.pk,
        "template_key": "nps",
        "column_id": column.pk,
        "verbatim_id": column.verbatims.first().pk,
        "topic_id": topic.pk,
        "category_id": topic.category_id,
        "member_id": Member.objects.get(project=project, user=cast["someone"]).pk,
        "invitation_id": invitation.pk,
        "token": token,
        "uidb64": "MQ",
        "change_id": change.pk,
        "job_id": job.pk,
        "failed_job_id": failed.pk,
        "export_job_id": export.pk,
        "proposal_id": add_set(column, ("Speed", "Pace"))[0].pk,
        "upload_id": upload.pk,
    }


HEADERS = {"page": {}, "fragment": {"HX-Request": "true"}, "json": {"Accept": "application/json"}}


def ask(client: Client, method: str, url: str, form: str, body: dict[str, Any]) -> Any:
    """Send one request and take back whatever it wrote."""
    cache.clear()
    with transaction.atomic():
        response = getattr(client, method.lower())(
            url, *([body] if method == "POST" else []), headers=HEADERS[form]
        )
        if response.streaming:
            b"".join(response.streaming_content)
        transaction.set_rollback(True)
    return response


def verdict(rule: Rule, level: str | None, person: str, form: str, method: str, response: Any) -> str:
    """Return what is wrong with an answer, "" when it is right."""
    status = response.status_code
    if status >= 500:
        return f"failed with {status}"
    if rule.read == ANYBODY:
        return "" if status not in (401, 403, 404) else f"is public, but got {status}"
    if person == "anonymous":
        if form == "page":
            to_login = status == 302 and response["Location"].startswith("/login/")
            return "" if to_login else f"should be sent to sign in, got {status}"
        return "" if status == 401 else f"should get 401, got {status}"
    if level is None:
        return "" if status in (405, 404, 403) else f"has no {method}, but got {status}"
    rank = LEVELS[PEOPLE[person]]
    if rank >= LEVELS[level]:
        return "" if status not in (401, 403, 404, 405) else f"is allowed, but got {status}"
    expected = 404 if rank == 0 or rule.hidden else 403
    if status != expected:
        return f"should get {expected}, got {status}"
    if form == "json" and (response["Content-Type"] != "application/json" or "code" not in response.json()):
        return "should be refused in JSON"
    return ""


# Signing in, out and joining change the session of the client, which is not rolled back with the rest.
CHANGES_SESSION = {name for name in OURS if ":" not in name} | {"projects:invitation_accept"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_it_shows_each_person_what_they_may_see(
    name: str, cast: dict[str, Any], things: dict[str, Any], client_of: Any
) -> None:
    rule = RULES.get(name)
    assert rule is not None, f"{name} has no rule"
    url = reverse(name, kwargs={key: things[rule.args.get(key, key)] for key in OURS[name].pattern.converters})
    methods = [("GET", rule.read), ("POST", rule.write), ("PUT", None), ("DELETE", None)]
    wrong = []
    for person in ("anonymous", *PEOPLE):
        client = client_of(cast.get(person), raise_request_exception=False)
        for form in HEADERS:
            for method, level in methods:
                if method in ("PUT", "DELETE") and (form != "page" or name in CHANGES_SESSION):
                    continue  # the sign-in forms of Django take PUT for POST
                if name in CHANGES_SESSION and person != "anonymous":
                    client.force_login(cast[person], backend="django.contrib.auth.backends.ModelBackend")
                response = ask(client, method, url, form, rule.body)
                if problem := verdict(rule, level, person, form, method, response):
                    wrong.append(f"{method} {url} as {form} by {person} {problem}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - {"admin:login", "admin:logout"}))
def test_only_staff_reaches_the_administration(name: str, alice: Any, client_of: Any) -> None:
    url = operator_url(name)
    wrong = []
    for person in (None, alice):
        client = client_of(person, raise_request_exception=False)
        for form in HEADERS:
            for method in ("GET", "POST"):
                response = ask(client, method, url, form, {})
                if response.status_code not in (302, 401, 403, 404):
                    wrong.append(f"{method} {url} as {form} by {person}: {response.status_code}")
                elif response.status_code == 302 and "/login/" not in response["Location"]:
                    wrong.append(f"{method} {url} as {form} by {person}: to {response['Location']}")
    assert not wrong, "\n".join(wrong)


def operator_url(name: str) -> str:
    """Return an address of an administration route; two of them have no name to reverse."""
    pattern = OPERATORS[name].pattern
    if name == "admin:app_list":
        return reverse(name, kwargs={"app_label": "projects"})
    if name == "admin:<path:object_id>/":  # sends old addresses of an object on
        return "/admin/projects/project/1/"
    if name == "admin:(?P<url>.*)$":
        return "/admin/no/such/page/"
    keys = [*pattern.converters] or [*getattr(pattern.regex, "groupindex", {})]
    return reverse(name, kwargs=dict.fromkeys(keys, 1))
