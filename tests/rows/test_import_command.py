"""manage.py import_project: the wizard's services without the wizard."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from projects.models import Project
from rows.models import Upload, Verbatim

pytestmark = pytest.mark.django_db
CODEBOOK = "code,topic,category,sentiment\n1,Staff,Service,\n2,Price,Price,\n"


@pytest.fixture
def boss(make_user: Any) -> Any:
    return make_user("boss", is_superuser=True, is_staff=True)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "customer_answers.csv"
    path.write_text("id,Comment,Reason,score\n001,too slow,N/A,7\n002,,fine,x\n", encoding="utf-8")
    return path


def run(*args: Any) -> str:
    out = io.StringIO()
    call_command("import_project", *map(str, args), stdout=out)
    return out.getvalue()


def test_json_answers_as_the_contract_says(boss: Any, answers: Path) -> None:
    answer = json.loads(run(answers, "--text", "Comment", "--text", "reason", "--json").splitlines()[-1])
    project = Project.objects.get()
    assert answer["project"] == {"id": project.pk, "name": "customer answers"}
    assert answer["n_rows"] == 2
    assert [(one["ref"], one["name"], one["type"]) for one in answer["columns"]] == [
        ("id", "id", "text"), ("comment", "Comment", "text_to_analyze"), ("reason", "Reason", "text_to_analyze"),
        ("score", "score", "text"),
    ]  # fmt: skip
    assert answer["columns"][0]["id"] == project.columns.get(name="id").pk
    assert project.owner == boss
    assert list(Verbatim.objects.filter(row_number=1).order_by("pk").values_list("text", flat=True)) == [
        "too slow",
        "N/A",
    ]


def test_codebook_goes_to_every_text_column(boss: Any, answers: Path, tmp_path: Path) -> None:
    codebook = tmp_path / "codebook.csv"
    codebook.write_text(CODEBOOK, encoding="utf-8")
    assert "2 topics" in run(
        answers, "--text", "Comment", "--text", "Reason", "--topics", codebook, "--name", "Mine"
    )
    project = Project.objects.get(name="Mine")
    assert [column.topics.count() for column in project.columns.filter(type="text_to_analyze")] == [2, 2]


def test_codebook_may_be_json(boss: Any, answers: Path, tmp_path: Path) -> None:
    codebook = tmp_path / "codebook.json"
    topics = [{"label": "Staff", "keywords": ["clerk"], "codes": {"neutral": 9}}]
    body = {"format": "topicassign-codebook", "version": 1, "categories": [{"label": "C", "topics": topics}]}
    codebook.write_text(json.dumps(body), encoding="utf-8")
    assert "1 topics" in run(answers, "--text", "Comment", "--topics", codebook)
    topic = Project.objects.get().columns.get(name="Comment").topics.get()
    assert (topic.label, topic.keywords, topic.code_neutral) == ("Staff", ["clerk"], 9)
    codebook.write_text('{"format": "other"}', encoding="utf-8")
    with pytest.raises(CommandError, match="no codebook of TopicAssign"):
        run(answers, "--text", "Comment", "--topics", codebook)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--text", "Nothing"], "no column named 'Nothing'. Its columns are: id, Comment, Reason, score"),
        (["--text", "Comment", "--owner", "nobody"], "no active user named 'nobody'"),
        (["--text", "Comment", "--topics", "/nowhere.csv"], "no file /nowhere.csv"),
        (["--text", "Comment", "--name", "x" * 101], "at most 100 characters"),
    ],
)
def test_errors_are_sentences(boss: Any, answers: Path, more: list[str], message: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(answers, *more)
    assert message in str(refused.value)
    assert not Project.objects.exists()
    assert not Upload.objects.exists()


def test_it_wants_to_know_the_owner(answers: Path, make_user: Any) -> None:
    with pytest.raises(CommandError, match="no superuser"):
        run(answers, "--text", "Comment")
    make_user("one", is_superuser=True)
    make_user("two", is_superuser=True)
    with pytest.raises(CommandError, match="several superusers"):
        run(answers, "--text", "Comment")
    run(answers, "--text", "Comment", "--owner", "two")
    assert Project.objects.get().owner.username == "two"


def test_a_missing_or_broken_file_is_told(boss: Any, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no file"):
        run(tmp_path / "none.csv", "--text", "x")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(CommandError, match="not a table that can be read"):
        run(tmp_path / "a.pdf", "--text", "x")


def test_bad_cells_need_a_decision(boss: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = "\n".join(f"{n},some text {n}" for n in range(99))
    path.write_text(f"score,Comment\n{lines}\nx,last one\n", encoding="utf-8")
    with pytest.raises(CommandError, match="--leave-bad-empty"):
        run(path, "--text", "Comment")
    run(path, "--text", "Comment", "--leave-bad-empty")
    assert Verbatim.objects.count() == 100
