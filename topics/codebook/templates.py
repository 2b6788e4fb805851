"""The topic collections that ship with the product, in topics/templates_data: JSON codebooks, one per language."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from topics.codebook.layout import Codebook
from topics.codebook.reading import MAX_BYTES
from topics.codebook.reading_json import json_read

FOLDER = Path(__file__).resolve().parents[1] / "templates_data"
TEMPLATE_LANGUAGES = ("en", "de")
# In the order of the list.
TEMPLATES = (
    "customer-feedback", "employee-survey", "product-review", "app-review", "hotel-restaurant", "nps",
)  # fmt: skip


@dataclass(frozen=True)
class Template:
    """A topic collection to begin with; `purpose` says in a sentence or two what it is for."""

    key: str
    language: str
    name: str
    purpose: str
    book: Codebook

    @property
    def n_topics(self) -> int:
        return len(self.book.entries)


@cache
def template_get(key: str, language: str) -> Template | None:
    """Return a template in a language, None where there is none."""
    if key not in TEMPLATES or language not in TEMPLATE_LANGUAGES:
        return None
    content = (FOLDER / f"{key}.{language}.json").read_bytes()
    body = json.loads(content)
    book = json_read(content, max_bytes=MAX_BYTES)
    book.kind, book.has_order, book.title = "template", False, body["name"]
    return Template(key, language, body["name"], body["purpose"], book)


def template_list(language: str) -> list[Template]:
    """Return the templates in a language, in the order of the list."""
    return [template for key in TEMPLATES if (template := template_get(key, language)) is not None]
