"""Every sentence has its translation, and the compiled catalogues are those of the sources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts import messages

DOMAINS = ("django", "djangojs")


@pytest.mark.parametrize("language", messages.LANGUAGES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_sentence_is_translated_and_compiled(language: str, domain: str) -> None:
    found = messages.problems(domain, language)
    assert not found, "Run `make messages` and translate what is listed:\n" + "\n".join(found)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the catalogues that a test may spoil."""
    for domain in DOMAINS:
        for path in messages.paths(domain, "de"):
            target = tmp_path / "de" / "LC_MESSAGES" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    monkeypatch.setattr(messages, "LOCALE", tmp_path)
    return tmp_path / "de" / "LC_MESSAGES"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('msgid "Sign out"', 'msgid "Log out"', "Not in django.po: 'Sign out'"),
        ('msgstr "Abmelden"', 'msgstr ""', "Without translation: 'Sign out'"),
        ('msgstr "Version %(number)s"', 'msgstr "Version %(nummer)s"', "Other placeholders: 'Version %(number)s'"),
        ('msgstr "Abmelden"', 'msgstr "Ausloggen"', "django.mo is older than django.po"),
        ('msgid "Sign out"', '#, fuzzy\nmsgid "Sign out"', "Fuzzy: 'Sign out'"),
    ],
)
def test_it_says_what_is_wrong_with_a_catalogue(other: Path, before: str, after: str, complaint: str) -> None:
    po = other / "django.po"
    text = po.read_text(encoding="utf-8")
    assert before in text
    po.write_text(text.replace(before, after), encoding="utf-8")

    assert any(one.startswith(complaint) for one in messages.problems("django", "de"))


def test_a_translation_that_is_no_longer_used_is_kept_and_comes_back(
    other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = messages.collect

    def without_sign_out(domain: str, language: str = "de") -> messages.Catalog:
        catalog = collect(domain, language)
        if "Sign out" in catalog:
            catalog.delete("Sign out")
        return catalog

    monkeypatch.setattr(messages, "collect", without_sign_out)
    assert "Sign out" not in messages.update("django", "de")
    assert '#~ msgstr "Abmelden"' in (other / "django.po").read_text(encoding="utf-8")
    monkeypatch.setattr(messages, "collect", collect)

    assert messages.update("django", "de")["Sign out"].string == "Abmelden"
    assert messages.problems("django", "de") == []


def test_no_sentence_is_put_together_before_it_is_looked_up() -> None:
    """gettext(f"…") never finds anything: what it is asked for is not what stands in the code."""
    names = set(messages.KEYWORDS) - {"gettext_noop"}
    found = []
    for app in messages.APPS:
        for path in (messages.ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in names:
                    continue
                if node.args and isinstance(node.args[0], (ast.JoinedStr, ast.BinOp)):
                    found.append(f"{path.relative_to(messages.ROOT)}:{node.lineno}")
    assert not found
