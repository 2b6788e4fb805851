"""Collect the sentences of the product and compile their translations, without gettext's own tools.

    python scripts/messages.py            (or: make messages)   update locale/*/LC_MESSAGES, then compile
    python scripts/messages.py --check    say what is missing, fuzzy, broken or old; status 1 if anything is

Python and templates go into django.po, scripts into djangojs.po. A sentence whose English changed keeps its
old translation marked "fuzzy" until somebody looked at it; fuzzy ones are not shown to people.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
APPS = ("topicassign", "projects", "topics", "rows", "finetune")
LANGUAGES = {"de": "German"}
KEYWORDS: dict[str, object] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
}
_CALL = re.compile(
    r"\b(?P<name>_|gettext|ngettext|pgettext|npgettext)\(\s*"
    r"(?P<first>u?'(?:[^'\\]|\\.)*'|u?\"(?:[^\"\\]|\\.)*\")"
    r"(?:\s*,\s*(?P<second>u?'(?:[^'\\]|\\.)*'|u?\"(?:[^\"\\]|\\.)*\"))?"
    r"(?:\s*,\s*(?P<third>u?'(?:[^'\\]|\\.)*'|u?\"(?:[^\"\\]|\\.)*\"))?"
)
_PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|%%|%[sd]")


def new_catalog(language: str) -> Catalog:
    return Catalog(
        locale=language,
        project="TopicAssign",
        header_comment=f"# TopicAssign in {LANGUAGES[language]}. Translate here, then run `make messages`.",
        version="1",
        last_translator="TopicAssign",
        language_team=LANGUAGES[language],
        msgid_bugs_address="-",
        charset="utf-8",
        fuzzy=False,
    )


def collect(domain: str, language: str = "de") -> Catalog:
    """Return the sentences of a domain ("django" or "djangojs") as they stand in the code now."""
    catalog = new_catalog(language)
    found = _scripts() if domain == "djangojs" else [*_python(), *_templates()]
    for path, message, context in found:
        text = message if isinstance(message, str) else message[0]
        flags = ["python-format"] if domain == "django" and "%(" in text else []
        catalog.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)], flags=flags, context=context)
    return catalog


Found = Iterator[tuple[Path, "str | tuple[str, ...]", "str | None"]]


def _python() -> Found:
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield from _extracted("python", path)


def _scripts() -> Found:
    for path in sorted((ROOT / "static" / "js").glob("*.js")):
        yield from _extracted("javascript", path)


def _extracted(method: str, path: Path) -> Found:
    with path.open("rb") as file:
        for _line, message, _comments, context in extract(method, file, KEYWORDS, options={"encoding": "utf-8"}):  # type: ignore[arg-type]
            yield path, message, context


def _templates() -> Found:
    """Django turns a template into calls of gettext; what is asked for is in their arguments."""
    from django.utils.translation.template import templatize

    for path in sorted((ROOT / "templates").rglob("*")):
        if path.suffix not in {".html", ".txt"}:
            continue
        for call in _CALL.finditer(templatize(path.read_text(encoding="utf-8"), origin=path.name)):
            words = [ast.literal_eval(call[part]) for part in ("first", "second", "third") if call[part]]
            match call["name"]:
                case "ngettext":
                    yield path, (words[0], words[1]), None
                case "pgettext":
                    yield path, words[1], words[0]
                case "npgettext":
                    yield path, (words[1], words[2]), words[0]
                case _:
                    yield path, words[0], None


def paths(domain: str, language: str) -> tuple[Path, Path]:
    folder = LOCALE / language / "LC_MESSAGES"
    return folder / f"{domain}.po", folder / f"{domain}.mo"


def read(po: Path, language: str) -> Catalog:
    if not po.exists():
        return new_catalog(language)
    with po.open("rb") as file:
        return read_po(file, locale=language)


def update(domain: str, language: str) -> Catalog:
    """Bring the .po up to the code and compile it."""
    po, mo = paths(domain, language)
    po.parent.mkdir(parents=True, exist_ok=True)
    catalog = read(po, language)
    for message in catalog.obsolete.values():  # a sentence that comes back has its translation at once
        catalog[message.id] = message
    catalog.update(collect(domain, language), no_fuzzy_matching=False, update_creation_date=False)
    catalog.revision_date = catalog.creation_date  # a date that changes with every run hides real changes
    po.write_bytes(_bytes(write_po, catalog, width=110, sort_output=True, include_lineno=False))
    mo.write_bytes(_bytes(write_mo, catalog))
    return catalog


def _bytes(write: object, catalog: Catalog, **options: object) -> bytes:
    buffer = io.BytesIO()
    write(buffer, catalog, **options)  # type: ignore[operator]
    return buffer.getvalue()


def problems(domain: str, language: str) -> list[str]:
    """Return one sentence for everything that keeps a translation from being complete and in use."""
    po, mo = paths(domain, language)
    if not po.exists() or not mo.exists():
        return [f"{po.name} or {mo.name} is missing for {language}."]
    catalog = read(po, language)
    found = []
    for message in collect(domain, language):
        if not message.id:
            continue
        known = catalog.get(message.id, message.context)
        shown = message.id if isinstance(message.id, str) else message.id[0]
        where = ", ".join(sorted({file for file, _line in message.locations}))
        if known is None:
            found.append(f"Not in {po.name}: {shown!r} ({where})")
            continue
        texts = _texts(known)
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        if known.fuzzy:
            found.append(f"Fuzzy: {shown!r} ({where})")
        elif not all(texts) or len(texts) != len(ids) or (len(ids) == 2) != isinstance(known.id, tuple):
            found.append(f"Without translation: {shown!r} ({where})")
        elif any(_values(text) - _values(ids[-1]) for text in texts) or _values(texts[-1]) != _values(ids[-1]):
            found.append(f"Other placeholders: {shown!r} ({where})")
        elif any(text.startswith("\n") != one.startswith("\n") for text, one in zip(texts, ids, strict=True)):
            found.append(f"Other line ends: {shown!r} ({where})")
    if _compiled(mo.read_bytes()) != _compiled(_bytes(write_mo, catalog)):
        found.append(f"{mo.name} is older than {po.name}: run make messages.")
    return found


def _values(text: str) -> set[str]:
    return {match[0] for match in _PLACEHOLDER.finditer(text)}


def _compiled(content: bytes) -> dict[object, str]:
    catalogue = dict(GNUTranslations(io.BytesIO(content))._catalog)  # type: ignore[attr-defined]
    catalogue.pop("", None)  # its header has dates
    return catalogue


def _texts(message: Message) -> tuple[str, ...]:
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(string)


def main() -> None:
    sys.path.insert(0, str(ROOT))
    is_check = "--check" in sys.argv[1:]
    found = []
    for language in LANGUAGES:
        for domain in ("django", "djangojs"):
            if not is_check:
                update(domain, language)
            found += [f"{language}: {problem}" for problem in problems(domain, language)]
    print("\n".join(found) or "Every sentence has its translation.")
    sys.exit(1 if found and is_check else 0)


if __name__ == "__main__":
    main()
