"""simulate_reviews and update_ai."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from projects.models import Project
from tests.finetune.test_updates import corpus, survey  # noqa: F401  (a fixture)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.csv"
    texts, labels, moods = corpus(120)
    words = {1: "positive", -1: "negative"}
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "split", "text", "topics"])
        for i, (text, label, mood) in enumerate(zip(texts, labels, moods, strict=True)):
            topic = {"category": "shop", "label": label, "sentiment": words[mood]}
            writer.writerow([i, "train", text, json.dumps([topic])])
    return path


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("strategy", ["focus", "random", "certainty"])
def test_simulate_reviews_reports_and_leaves_nothing(dataset: Path, strategy: str) -> None:
    out = StringIO()
    call_command(
        "simulate_reviews",
        str(dataset),
        "--reviews=30",
        f"--strategy={strategy}",
        "--seeds=0,1",
        "--json",
        stdout=out,
    )
    report = json.loads(out.getvalue().splitlines()[-1])
    assert report["dataset"] == "tiny.csv"
    assert [(row["seed"], row["n_reviews"]) for row in report["checkpoints"]] == [(0, 0), (0, 30), (1, 0), (1, 30)]
    for row in report["checkpoints"]:
        assert set(row) == {
            "seed", "n_reviews", "f1_micro", "f1_macro", "f1_weighted", "f1_micro_sentiment", "ai_score",
            "audit_score", "seconds_update", "seconds_total", "rss_mb",
        }  # fmt: skip
    assert report["checkpoints"][1]["f1_micro"] > 0.9
    assert not Project.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_simulation_repeats_itself(dataset: Path) -> None:
    def run() -> list[Any]:
        out = StringIO()
        call_command("simulate_reviews", str(dataset), "--reviews=20", "--json", stdout=out)
        rows = json.loads(out.getvalue().splitlines()[-1])["checkpoints"]
        return [(row["f1_micro"], row["f1_micro_sentiment"], row["ai_score"]) for row in rows]

    assert run() == run()


@pytest.mark.parametrize(("options", "deep_at"), [([], ()), (["--deep"], (20, 50, 100, 200, 300))])
def test_the_engine_alone_fine_tunes_when_asked(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], deep_at: tuple[int, ...]
) -> None:
    calls: list[dict[str, Any]] = []

    def simulate(path: str, **arguments: Any) -> list[dict[str, Any]]:
        calls.append(arguments)
        return [
            {"seed": 0, "f1_micro": 0.123456, "deep_in_use": True, "audit_low": None, "reliability": [[9, 1, 1]]}
        ]

    monkeypatch.setattr("finetune.engine.simulate.simulate", simulate)
    out = StringIO()
    call_command("simulate_reviews", str(dataset), "--engine-only", "--json", *options, stdout=out)
    assert calls[0]["deep_at"] == deep_at
    names, values, report = out.getvalue().splitlines()
    assert names.split() == ["seed", "f1_micro", "deep_in_use", "audit_low"]  # no lists in the table
    assert values.split() == ["0", "0.1235", "True", "-"]
    assert json.loads(report)["checkpoints"][0]["reliability"] == [[9, 1, 1]]


def test_simulate_reviews_wants_a_file() -> None:
    with pytest.raises(CommandError, match="no file"):
        call_command("simulate_reviews", "/nowhere.csv")


@pytest.mark.parametrize("engine_only", [[], ["--engine-only"]])
@pytest.mark.parametrize(
    ("content", "seeds", "words"),
    [
        ("a,b\n1,2\n", "0", "text and topics"),
        ("text,topics\n", "0", "no rows"),
        ("text,topics\n", "-1", "negative"),
    ],
)
def test_simulate_reviews_says_what_is_wrong_with_its_file(
    tmp_path: Path, content: str, seeds: str, words: str, engine_only: list[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(CommandError, match=words):
        call_command("simulate_reviews", str(path), f"--seeds={seeds}", *engine_only)


@pytest.mark.django_db(transaction=True)
def test_update_ai_waits_and_prints_what_it_did(survey: Any) -> None:  # noqa: F811
    out = StringIO()
    call_command("update_ai", survey.column.pk, "--wait", "--json", stdout=out)
    result = json.loads(out.getvalue().splitlines()[-1])
    assert result["version"] == 1
    assert set(result) == {"version", "ai_score", "n_reviewed", "seconds", "stages"}
    assert {"prepare", "encode", "train", "evaluate", "assign"} <= set(result["stages"])


@pytest.mark.django_db
def test_update_ai_leaves_what_follows_to_a_worker(survey: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    sent = []
    monkeypatch.setattr("finetune.services.deep_due", lambda column: True)
    monkeypatch.setattr("finetune.management.commands.update_ai.job_send", lambda job: sent.append(job.payload))
    call_command("update_ai", survey.column.pk, "--wait", stdout=StringIO())
    assert [payload["deep"] for payload in sent] == [True]


def test_update_ai_knows_only_text_columns(project: Any) -> None:
    other = project.columns.get(ref="region")
    for number in (other.pk, 987654):
        with pytest.raises(CommandError, match="no text column"):
            call_command("update_ai", number)
