"""The scripts of the pages: what imports what."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "static" / "js"
_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']\./([\w-]+\.js)["']""")


def imports() -> dict[str, set[str]]:
    found = {}
    for path in FOLDER.glob("*.js"):
        lines = path.read_text(encoding="utf-8").splitlines()
        code = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
        found[path.name] = set(_IMPORT.findall(code))
    return found


def test_every_imported_module_is_there():
    modules = imports()
    assert {name for names in modules.values() for name in names} <= set(modules)


def test_modules_do_not_import_each_other_in_a_circle():
    """The hashed name of a module depends on those it imports: in a circle there would be none."""
    modules = imports()
    left = dict(modules)
    while leaves := [name for name, names in left.items() if not names & set(left)]:
        for name in leaves:
            del left[name]
    assert not left
