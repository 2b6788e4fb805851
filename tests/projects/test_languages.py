"""The language of pages: the browser's, the person's; what machines read stays as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from finetune.models import ModelVersion, TopicScore
from projects import jobs
from projects.models import Change, Job, JobKind, JobState, Preference
from rows.exporting.options import ExportOptions
from rows.services.exports import export_write
from tests.conftest import PASSWORD
from topicassign.errors import ApplicationError
from topicassign.templatetags import ui
from topics.models import Topic

pytestmark = pytest.mark.django_db

GERMAN = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.5"}


def page(client: Client, url: str, **headers: str) -> str:
    response = client.get(url, **headers)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


# --- which language ------------------------------------------------------------------------------
def test_the_browser_says_which_language_until_somebody_chooses() -> None:
    assert '<html lang="de"' in page(Client(), "/login/", **GERMAN)
    assert '<html lang="en"' in page(Client(), "/login/", HTTP_ACCEPT_LANGUAGE="fr")

    client = Client(**GERMAN)
    response = client.post(reverse("projects:language"), {"language": "en", "next": "/login/?next=/"})

    assert (response.status_code, response["Location"]) == (302, "/login/?next=/")
    assert '<html lang="en"' in page(client, "/login/")


def test_a_choice_is_kept_with_the_account_and_comes_with_signing_in(alice: Any, bob: Any) -> None:
    client = Client()
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    client.post(reverse("projects:language"), {"language": "de", "next": "/"})
    assert Preference.objects.get(user=alice).language == "de"
    client.post("/logout/")
    assert "Anmelden" in page(client, "/login/"), "the sign-in page of this browser stays German"

    elsewhere = Client()
    elsewhere.post("/login/", {"username": "alice", "password": PASSWORD})
    assert '<html lang="de"' in page(elsewhere, "/")
    bobs = Client()
    bobs.post("/login/", {"username": "bob", "password": PASSWORD})
    assert '<html lang="en"' in page(bobs, "/")


def test_the_switch_refuses_unknown_languages_and_other_hosts(as_charlie: Client, charlie: Any) -> None:
    url = reverse("projects:language")

    assert as_charlie.get(url).status_code == 405
    assert as_charlie.post(url, {"language": "xx"}).status_code == 400
    assert as_charlie.post(url, {}).status_code == 400
    assert not Preference.objects.filter(user=charlie).exists()
    elsewhere = as_charlie.post(url, {"language": "de", "next": "https://evil.example/"})
    assert elsewhere["Location"] == "/"


def test_a_language_that_is_gone_from_the_product_harms_nobody(alice: Any) -> None:
    Preference.objects.create(user=alice, language="xx")
    client = Client()

    assert client.post("/login/", {"username": "alice", "password": PASSWORD}).status_code == 302
    assert '<html lang="en"' in page(client, "/")


def test_error_pages_and_refusals_speak_the_language_too(
    as_alice: Client, as_charlie: Client, project: Any
) -> None:
    missing = as_alice.get("/projects/999999/", **GERMAN)
    assert missing.status_code == 404
    assert '<html lang="de"' in missing.content.decode()
    assert "Hier ist nichts" in missing.content.decode()
    assert as_charlie.get(f"/projects/{project.pk}/", **GERMAN).status_code == 404

    topic = project.column.topics.first()
    refused = as_alice.post(
        reverse("topics:topic_rename", args=[topic.pk]), {"label": ""}, HTTP_HX_REQUEST="true", **GERMAN
    )
    assert refused.status_code == 422
    assert "Geben Sie dem Thema einen Namen." in refused.content.decode()


def test_mails_are_in_the_language_of_whoever_sends_them(
    as_alice: Client, project: Any, mailoutbox: list[Any]
) -> None:
    as_alice.post(
        reverse("projects:invitation_create", args=[project.pk]), {"role": "analyst", "email": "d@x.org"}, **GERMAN
    )

    (mail,) = mailoutbox
    assert mail.subject == "Einladung zu „Customer survey“"
    assert "lädt Sie zum Projekt „Customer survey“ in TopicAssign ein, als Analyst" in mail.body


# --- what is stored ------------------------------------------------------------------------------
def test_a_job_tells_its_failure_in_the_language_of_whoever_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: jobs.JobRun) -> None:
        raise ApplicationError(translation.gettext("The uploaded file is gone. Upload it again."))

    monkeypatch.setitem(jobs._HANDLERS, JobKind.IMPORT, refuse)
    with translation.override("de"):
        asked = Job.objects.create(kind=JobKind.IMPORT)
    plain = Job.objects.create(kind=JobKind.IMPORT)

    with translation.override("en"):  # the worker's own
        for job in (asked, plain):
            jobs.job_execute(job.pk)

    asked.refresh_from_db()
    plain.refresh_from_db()
    assert (asked.state, asked.error) == (
        JobState.FAILED,
        "Die hochgeladene Datei ist nicht mehr da. Laden Sie sie erneut hoch.",
    )
    assert plain.error == "The uploaded file is gone. Upload it again."


def test_a_stage_is_stored_in_english_and_shown_in_the_language_of_the_reader(
    as_alice: Client, column: Any
) -> None:
    job = Job.objects.create(
        kind=JobKind.UPDATE, project=column.project, column=column, state=JobState.RUNNING, stage="Training"
    )
    Job.objects.filter(pk=job.pk).update(stage="Encoding texts")
    url = reverse("projects:job_detail", args=[job.pk])

    assert "Texte werden eingelesen" in page(as_alice, url, **GERMAN)
    assert "Encoding texts" in page(as_alice, url)
    assert as_alice.get(url, HTTP_ACCEPT="application/json", **GERMAN).json()["stage"] == "Encoding texts"


def test_the_history_keeps_the_words_of_whoever_acted(as_alice: Client, project: Any) -> None:
    topic = project.column.topics.get(label="Price")
    as_alice.post(
        reverse("topics:topic_rename", args=[topic.pk]),
        {"label": "Preis", "version": topic.version},
        HTTP_HX_REQUEST="true",
        **GERMAN,
    )

    assert Change.objects.latest("pk").summary == "Thema umbenannt: Price → Preis"
    assert "Thema umbenannt: Price → Preis" in page(as_alice, reverse("projects:history", args=[project.pk]))


# --- numbers -------------------------------------------------------------------------------------
def test_numbers_are_written_as_the_language_does() -> None:
    with translation.override("de"):
        assert ui.thousands(1204) == "1.204"
        assert ui.thousands(-1_234_567) == "-1.234.567"
        assert ui.percent(0.125, 1) == "12,5\u00a0%"
        assert ui.percent(0.0001, 1) == "<\u00a00,1\u00a0%"
        assert ui.duration(2.44) == "2,4 s"
        assert ui.n_rows(1) == "1 Zeile"
        assert ui.n_rows(2500) == "2.500 Zeilen"
    with translation.override("en"):
        assert ui.thousands(1204) == "1\u202f204"
        assert ui.percent(0.125, 1) == "12.5\u00a0%"


def test_dates_are_written_as_the_language_does(as_alice: Client, project: Any) -> None:
    at = Change.objects.create(project=project, kind="import", summary="x").at

    assert (
        f"{at.day}. "
        in re.findall(
            r"<time[^>]*>([^<]*)</time>", page(as_alice, reverse("projects:history", args=[project.pk]), **GERMAN)
        )[0]
    )


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("content", ["rows", "summary"])
def test_exports_are_the_same_in_every_language(
    column: Any, assign: Any, tmp_path: Path, kind: str, content: str
) -> None:
    first = column.verbatims.first()
    assign(first, column.topics.first(), 1, probability=0.875)
    options = ExportOptions(format=kind, content=content, probabilities=True)
    written = {}
    for language in ("en", "de"):
        with translation.override(language):
            path = tmp_path / f"{language}.{kind}"
            export_write(path=path, column=column, options=options)
            written[language] = path.read_bytes() if kind == "csv" else _cells(path)
    assert written["de"] == written["en"]


def _cells(path: Path) -> Any:
    from python_calamine import CalamineWorkbook

    return CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()


MACHINE = re.compile(
    r"\s(x|y|x1|x2|y1|y2|cx|cy|r|width|height|points|viewBox|d|value|max|min|href|id|for|name|action"
    r"|data-(?:id|topic|row|n|n-rows|total|ids|color|sentiment|guess|level|version|poll|url|rename-url|max-mb)"
    r"|hx-(?:get|post|vals|target|include|trigger))=\"([^\"]*)\""
)


@pytest.fixture
def rich(column: Any, assign: Any) -> Any:
    """A column with a score, a large id and something on every tab."""
    topics = {topic.label: topic for topic in column.topics.all()}
    for verbatim, label, sentiment in zip(
        column.verbatims.order_by("row_number"), topics, (-1, 1, None), strict=False
    ):
        assign(verbatim, topics[label], sentiment if topics[label].sentiment_enabled else None, probability=0.625)
    Topic.objects.create(
        pk=1_234_567, column=column, category=column.categories.first(), label="Large", code_neutral=99
    )
    for number, score in enumerate((40.25, 61.75, 63.5), 1):
        version = ModelVersion.objects.create(
            column=column, number=number, trigger="reviews", n_reviewed=7 * number, ai_score=score, duration_s=1.5,
            state="deployed" if number == 3 else "superseded",
            metrics={"measured": {"score": 58.4, "low": 49.2, "high": 66.1, "n": 40}},
        )  # fmt: skip
    for topic, score, count in zip(topics.values(), (42.3, 71.7, 55.5), (61, 40, 7), strict=True):
        TopicScore.objects.create(version=version, topic=topic, score=score, count=count, influence=score - 63.5)
    return column


@pytest.mark.parametrize(
    "name", ["rows:browser", "rows:results", "rows:statistics", "finetune:ai_score", "topics:list"]
)
def test_what_machines_read_on_a_page_is_the_same_in_every_language(
    as_alice: Client, rich: Any, name: str, settings: Any
) -> None:
    settings.AUDIT_SHARE_PERCENT = 0  # else focus mode may draw another card each time
    url = reverse(name, args=[rich.pk])
    token = re.compile(r"[\w-]{40,}")  # of forms, another in each answer
    english, german = (token.sub("", page(as_alice, url, **headers)) for headers in ({}, GERMAN))
    assert english != german

    def values(html: str) -> list[tuple[str, str]]:
        return [(key, value) for key, value in MACHINE.findall(html) if _is_for_machines(value)]

    assert values(german) == values(english)
    assert "1.234.567" not in german
    for vals in re.findall(r"hx-vals='([^']*)'", german):
        json.loads(vals)


def _is_for_machines(value: str) -> bool:
    """Leave out values that are words."""
    return bool(re.fullmatch(r"[\w\s.,:;/?&=#%\"{}|+-]*", value)) and bool(re.search(r"\d", value))
