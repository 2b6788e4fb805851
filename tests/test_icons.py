"""Every icon that a page asks for is in the sprite: one that is missing leaves an empty place and no error."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMED = re.compile(r'\{% icon "([a-z0-9-]+)"|icon_name(?:=|\|default:)"([a-z0-9-]+)"')


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    there = set(re.findall(r'<symbol id="([^"]+)"', (ROOT / "static/img/icons.svg").read_text(encoding="utf-8")))
    asked = {
        (name, str(path.relative_to(ROOT)))
        for path in (ROOT / "templates").rglob("*.html")
        for names in NAMED.findall(path.read_text(encoding="utf-8"))
        for name in names
        if name
    }
    assert len(asked) > 50
    missing = sorted(one for one in asked if one[0] not in there)
    assert not missing, f"Add them to ICONS in scripts/vendor.mjs, then `make vendor`: {missing}"
