"""The production processes (gunicorn, Celery, PostgreSQL, Redis) do the whole job, asked over HTTP only.

Import → codebook → the AI assigns → reviews → the AI learns → export, with the real encoder. The same
runs embedded: waitress, the file queue and SQLite, as `manage.py start` puts them together.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import Answer, Browser, Site, hidden_fields, wait_until

pytestmark = pytest.mark.slow

TOPICS = {
    "Delivery": ["The parcel came two weeks late", "Fast delivery, arrived next day", "Courier lost my order"],
    "Price": ["Far too expensive for what it is", "Great price, very cheap", "Cost went up again"],
    "Staff": ["The assistant was so friendly", "Rude woman at the till", "Nobody in the shop could help me"],
    "Quality": ["Broke after one week", "Solid and well made", "The material feels cheap and thin"],
}
TAILS = ["", " I will tell my friends.", " Ordered in {}.", " My order was number {}.", " {} stars from me."]


def make_table(n_rows: int) -> tuple[bytes, dict[str, list[str]]]:
    """Return a CSV file with awkward cells among plain ones, and the topics of each text."""
    rng = random.Random(11)
    truth: dict[str, list[str]] = {"N/A": [], "=1+1": [], "=HYPERLINK(1)": []}
    texts = list(truth)
    while len(texts) < n_rows:
        chosen = rng.sample(sorted(TOPICS), rng.choice((1, 1, 2)))
        text = ". ".join(rng.choice(TOPICS[topic]) for topic in chosen) + "."
        text += rng.choice(TAILS).format(rng.randint(1, 999))
        truth[text] = chosen
        texts.append(text)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["customer", "answer", "stars"])
    writer.writerows([f"{number:05}", text, rng.randint(1, 5)] for number, text in enumerate(texts, 1))
    return buffer.getvalue().encode(), truth


def job_done(browser: Browser, path: str, *, seconds: float = 180) -> dict[str, Any]:
    """Follow a job by its page's JSON until it is over."""

    def look() -> dict[str, Any] | None:
        seen = json.loads(browser.get(path, Accept="application/json").body)
        return seen if seen["state"] not in {"queued", "running"} else None

    done: dict[str, Any] = wait_until(look, seconds=seconds, what=f"the job {path} is over", pause_s=0.2)
    assert done["state"] == "done", done
    return done


def updates_over(browser: Browser, column: int, *, version: int, seconds: float = 180) -> str:
    """Wait until the header strip shows at least that version and no update on its way; returns it."""

    def look() -> str | None:
        strip = browser.get(f"/columns/{column}/ai/").text
        seen = re.search(r'data-version="(\d+)"', strip) or re.search(r"seen=[^.]*\.[^.]*\.(\d+)\.", strip)
        return strip if seen and int(seen[1]) >= version and "<progress" not in strip else None

    found: str = wait_until(look, seconds=seconds, what=f"version {version} of the AI", pause_s=0.3)
    return found


def do_the_whole_job(site: Site) -> None:
    content, truth = make_table(400)
    browser = Browser(site.url)
    assert browser.sign_in("alice", "correct horse battery").status == 200

    # Import in three steps.
    organise = browser.post("/import/", {"text": ""}, {"file": ("answers.csv", content)})
    assert organise.url.endswith("/organise/"), organise.text[:2000]
    types = ["text", "text", "numerical"]
    fields = {f"c{index}-name": name for index, name in enumerate(["customer", "answer", "stars"])}
    fields |= {f"c{index}-type": kind for index, kind in enumerate(types)}
    fields |= {"c1-analyse": "on", "c1-wording": "What do you think of us?"}
    settings = browser.post(organise.url, fields)
    assert settings.url.endswith("/settings/"), settings.text[:2000]
    assert "400" in settings.text
    started = browser.post(settings.url, {"name": "Answers", "language": "en"})
    assert "/jobs/" in started.url, started.text[:2000]
    again = browser.post(settings.url, {"name": "Answers", "language": "en"})
    assert again.url == started.url, "a double submit leads to the same import"
    job_done(browser, started.url)
    assert site.sql("SELECT COUNT(*) FROM rows_row") == [(400,)]
    column = site.sql("SELECT id FROM projects_column WHERE type = 'text_to_analyze'")[0][0]

    # Topics from a codebook; the AI assigns from their labels.
    codebook = "code,topic,category,sentiment\n"
    for index, topic in enumerate(TOPICS):
        for offset, sentiment in enumerate(("neutral", "positive", "negative")):
            codebook += f"{10 * index + offset + 1},{topic},Shop,{sentiment}\n"
    preview = browser.post(f"/columns/{column}/codebook/import/", {}, {"file": ("codes.csv", codebook.encode())})
    token = hidden_fields(preview.text)["token"]
    assert browser.post(f"/columns/{column}/codebook/apply/", {"token": token}).status < 400
    updates_over(browser, column, version=1)
    assert site.sql("SELECT COUNT(*) FROM rows_assignment")[0][0] > 100

    # Reviews in focus mode; the AI learns by itself.
    topic_ids = dict(site.sql("SELECT label, id FROM topics_topic"))
    card = browser.get(f"/columns/{column}/focus/")
    reviewed = set()
    for _ in range(12):
        hidden = hidden_fields(card.text)
        pk = int(hidden["verbatim"])
        assert pk not in reviewed, "a reviewed row came back"
        reviewed.add(pk)
        text = site.sql("SELECT text FROM rows_verbatim WHERE id = %s", pk)[0][0]
        fields_of_review = {
            name: hidden[name] for name in ("verbatim", "revision", "card", "skip") if name in hidden
        }
        pairs: list[tuple[str, Any]] = [*fields_of_review.items()]
        for topic in truth[text]:
            pairs += [("topic", topic_ids[topic]), (f"sentiment-{topic_ids[topic]}", 1)]
        card = browser.post(f"/columns/{column}/focus/review/", pairs, None, **{"HX-Request": "true"})
        assert card.status == 200, card.text[:2000]
    assert site.sql("SELECT COUNT(*) FROM rows_verbatim WHERE is_reviewed")[0][0] >= 12
    updates_over(browser, column, version=2)
    wait_until(
        lambda: site.sql("SELECT COUNT(*) FROM projects_job WHERE state IN ('queued', 'running')") == [(0,)],
        seconds=120,
        what="no job is left",
    )
    n_learned = site.sql("SELECT MAX(n_reviewed) FROM finetune_modelversion")[0][0]
    assert n_learned >= 5
    page = browser.get(f"/columns/{column}/")
    assert page.status == 200
    assert "Delivery" in page.text

    # Export, and the file says what the database says.
    answer = browser.post(
        f"/columns/{column}/export/",
        {
            "content": "rows",
            "format": "csv",
            "layout": "columns",
            "other_columns": "on",
            "metadata": "on",
            "query": "",
        },
    )
    assert answer.status == 200, answer.text[:2000]
    job = uuid.UUID(str(site.sql("SELECT id FROM projects_job WHERE kind = 'export'")[0][0]))
    job_done(browser, f"/jobs/{job}/")
    file = browser.get(f"/exports/{job}/download/")
    assert file.status == 200
    lines = list(csv.DictReader(io.StringIO(file.body.decode("utf-8-sig"))))
    assert len(lines) == 400
    customers = {line["customer"].lstrip("'") for line in lines}
    assert "00001" in customers
    stored = dict(
        site.sql(
            "SELECT t.label, COUNT(*) FROM rows_assignment a JOIN topics_topic t ON t.id = a.topic_id "
            "GROUP BY t.label"
        )
    )
    heads = {topic: next(name for name in lines[0] if topic in name) for topic in TOPICS}
    exported = {topic: sum(1 for line in lines if line[head]) for topic, head in heads.items()}
    assert exported == {topic: stored.get(topic, 0) for topic in TOPICS}
    text_head = next(name for name in lines[0] if name == "answer")
    assert not any(line[text_head].startswith("=") for line in lines)

    # A stranger gets nothing of it, an anonymous visitor the sign-in page.
    stranger = Browser(site.url)
    stranger.sign_in("charlie", "correct horse battery")
    for path in (f"/columns/{column}/", f"/exports/{job}/download/", f"/columns/{column}/focus/"):
        assert stranger.get(path).status == 404
        assert "/login" in Browser(site.url).get(path).url


def make_people(site: Site) -> None:
    site.shell(
        """
from django.contrib.auth.models import User
for name in ("alice", "charlie"):
    User.objects.create_user(name, password="correct horse battery")
"""
    )


@pytest.mark.redis
def test_the_production_processes_do_the_whole_job(tmp_path: Path) -> None:
    with Site(tmp_path, database="postgresql", broker="redis", ENCODER_CLASS="finetune.engine.Encoder") as site:
        site.migrate()
        make_people(site)
        site.start_worker()
        site.start_web()
        health = health_of(site)
        assert health["status"] == "ok", health
        do_the_whole_job(site)


def test_the_embedded_start_does_the_whole_job(tmp_path: Path) -> None:
    with Site(tmp_path, ENCODER_CLASS="finetune.engine.Encoder") as site:
        site.migrate()
        make_people(site)
        starter = site.spawn("start", "manage.py", "start", "--port", str(site.port))
        site.wait_for_web(starter, seconds=120)
        do_the_whole_job(site)
        assert starter.terminate() == 0


def health_of(site: Site) -> dict[str, Any]:
    answer: Answer = Browser(site.url).get("/health/")
    found: dict[str, Any] = json.loads(answer.body)
    return found
