"""The pictures of the documentation: each one named is there, says what it shows, and all of them stay small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import screenshots

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["README.md", "docs/user-guide.md"])
def test_every_picture_named_is_there_in_light_and_dark_with_an_alternative(name: str) -> None:
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r"<picture>(.*?)</picture>", text, re.DOTALL)
    assert pictures
    for picture in pictures:
        sources = re.findall(r'(?:srcset|src)="([^"]+)"', picture)
        assert [source.rsplit("-", 1)[1] for source in sources] == ["dark.webp", "light.webp"]
        assert not [source for source in sources if not (page.parent / source).is_file()]
        assert len(re.findall(r'alt="[^"]{20,}"', picture)) == 1


def test_there_is_a_picture_of_each_state_and_all_are_small() -> None:
    there = {path.name: path.stat().st_size for path in screenshots.FOLDER.iterdir()}
    assert set(there) == {
        f"{name}-{width}-{theme}.webp"
        for name in screenshots.STATES
        for width in screenshots.SIZES
        for theme in screenshots.THEMES
    }
    assert sum(there.values()) <= screenshots.MOST_BYTES


def test_what_is_wrong_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(screenshots, "CHROMIUM", "/nowhere/chromium")
    assert screenshots.main([]) == 1
    assert "There is no Chromium at /nowhere/chromium." in capsys.readouterr().out
