"""From a codebook table to a codebook; JSON is read in reading_json.py."""

from __future__ import annotations

from collections import Counter

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from projects.files import cell_text, table_inspect, table_rows
from topicassign.templatetags.ui import sentiment_word
from topics.codebook.layout import (
    VERSION_FIELDS,
    CategorySaid,
    Codebook,
    CodebookError,
    Entry,
    cell_bared,
    clean_text,
    description_error,
    keywords_clean,
    keywords_split,
)
from topics.codebook.reading_json import json_read
from topics.models import CATEGORY_CHARS, LABEL_CHARS, validate_color
from topics.services.base import MAX_CODE, clean_label

MAX_BYTES = 5 * 1024 * 1024
MAX_LINES = 10_000
DEFAULT_CATEGORY = "General"
_HEADINGS = {
    "code": {"code", "codes", "code id", "id", "nr", "no", "number", "nummer", "codenummer", "code nr", "key"},
    "topic": {"topic", "topics", "label", "topic label", "topic name", "name", "thema", "themen", "code label",
              "bezeichnung", "codename", "themenname", "unterthema"},
    "category": {"category", "topic category", "categories", "kategorie", "kategorien", "themenkategorie",
                 "oberthema", "gruppe", "group", "theme", "oberkategorie"},
    "sentiment": {"sentiment", "sentiments", "stimmung", "tonalität", "tonalitaet", "polarity", "polarität"},
    "sentiment_label": {"sentiment label", "sentimentlabel", "stimmungslabel", "sentiment bezeichnung",
                        "stimmungsbezeichnung"},
    "description": {"description", "definition", "beschreibung", "erklärung", "erklaerung"},
    "color": {"color", "colour", "farbe", "category color", "category colour"},
    "keywords": {"keywords", "keyword", "key words", "stichwörter", "stichworte", "stichwort", "schlüsselwörter",
                 "schlagwörter", "schlagworte"},
}  # fmt: skip
_SENTIMENTS = {
    "neutral": 0, "0": 0, "neu": 0, "neutrale": 0, "mixed": 0, "gemischt": 0,
    "positive": 1, "positiv": 1, "pos": 1, "1": 1, "+1": 1, "+": 1,
    "negative": -1, "negativ": -1, "neg": -1, "-1": -1, "-": -1, "−1": -1, "−": -1,
}  # fmt: skip
_NO_SENTIMENT = {"", "any", "none", "no", "ohne", "keine", "n/a"}
_SHEETS = {"codes", "code", "codebook", "codeplan", "topics", "topic collection", "themen"}


FORMATS = ("csv", "tsv", "txt", "xlsx", "json")


def codebook_read(file_name: str, content: bytes) -> Codebook:
    """Return what a codebook file says; raises CodebookError (a sentence for each line) and TableError."""
    if file_name.lower().endswith(".json"):
        book = json_read(content, max_bytes=MAX_BYTES)
        book.title = file_name
        return book
    table = table_inspect(content, file_name, formats=FORMATS, max_bytes=MAX_BYTES)
    for sheet in table.sheets:
        if sheet.strip().casefold() in _SHEETS:
            table = table.with_sheet(sheet)
            break
    lines = [(number, [cell_text(cell).strip() for cell in cells]) for number, cells in table_rows(table)]
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise CodebookError([_("The file is empty. Its first line names the columns: code, topic, category.")])
    columns, header_line = _find_columns(lines)
    lines = [(number, cells) for number, cells in lines if number > header_line]
    if not lines:
        raise CodebookError([_("The file has a header but no topics. Add one line per topic.")])
    if len(lines) > MAX_LINES:
        raise CodebookError(
            [
                _("The file has %(n_lines)s lines; a codebook may have at most %(max_lines)s.")
                % {"n_lines": len(lines), "max_lines": MAX_LINES}
            ]
        )
    book = _Reader(columns).read(lines)
    book.title = file_name
    return book


def _find_columns(lines: list[tuple[int, list[str]]]) -> tuple[dict[str, int], int]:
    """Return the index of each known column, and the header's line number; titles above it are skipped."""
    for number, cells in lines[:10]:
        found: dict[str, int] = {}
        for index, cell in enumerate(cells):
            heading = " ".join(cell.casefold().replace("_", " ").replace("-", " ").strip(" .:#*").split())
            for name, known in _HEADINGS.items():
                if heading in known:
                    if name in found:
                        raise CodebookError(
                            [
                                _("Line %(number)s: two columns are named like %(cell)s. Keep one of them.")
                                % {"number": number, "cell": cell}
                            ]
                        )
                    found[name] = index
        if "topic" in found:
            return found, number
    shown = ", ".join(cell[:30] for cell in lines[0][1][:6] if cell)
    raise CodebookError(
        [
            _(
                "No column is named Topic; the first line says: %(shown)s. It must name the columns: "
                "code, topic, category."
            )
            % {"shown": shown}
        ]
    )


class _Reader:
    """Collects the lines of a codebook into entries, and what is wrong with them."""

    def __init__(self, columns: dict[str, int]) -> None:
        self.columns = columns
        self.errors: list[str] = []
        self.entries: dict[tuple[str, str], Entry] = {}
        self.seen: dict[tuple[str, str], dict[int | None, int]] = {}  # lines of each topic by sentiment
        self.codes: dict[int, int] = {}
        self.last: Entry | None = None
        self.categories: dict[str, CategorySaid] = {}

    def read(self, lines: list[tuple[int, list[str]]]) -> Codebook:
        for number, cells in lines:
            self.line(number, cells)
        entries = list(self.entries.values())
        for entry in entries:
            self.finish(entry)
        if len(entries) > settings.LIMIT_TOPICS:
            self.errors.append(
                _("The file has %(n_entries)s topics; a topic collection may have at most %(limit_topics)s.")
                % {"n_entries": len(entries), "limit_topics": settings.LIMIT_TOPICS}
            )
        if self.errors:
            raise CodebookError(self.errors)
        return Codebook(entries, list(self.categories.values()))

    def cell(self, cells: list[str], name: str) -> str:
        index = self.columns.get(name)
        return cell_bared(cells[index]) if index is not None and index < len(cells) else ""

    def wrong(self, number: int, what: str) -> None:
        self.errors.append(_("Line %(line)s: %(what)s") % {"line": number, "what": what})

    def line(self, number: int, cells: list[str]) -> None:
        label, category = clean_label(self.cell(cells, "topic")), clean_label(self.cell(cells, "category"))
        word = self.cell(cells, "sentiment").casefold()
        if not label:
            # Merged cells: the lines of the other sentiments leave topic and category empty.
            if self.last is None or word in _NO_SENTIMENT:
                return self.wrong(number, _("the topic is missing."))
            label, category = self.last.label, category or self.last.category
        if not category:
            if "category" in self.columns:
                return self.wrong(number, _("the category of %(label)s is missing.") % {"label": label[:60]})
            category = DEFAULT_CATEGORY
        if len(label) > LABEL_CHARS:
            return self.wrong(
                number,
                _("the topic may have at most %(label_chars)s characters, it has %(n_label)s.")
                % {"label_chars": LABEL_CHARS, "n_label": len(label)},
            )
        if len(category) > CATEGORY_CHARS:
            return self.wrong(
                number,
                _("the category may have at most %(category_chars)s characters, it has %(n_category)s.")
                % {"category_chars": CATEGORY_CHARS, "n_category": len(category)},
            )
        if word not in _SENTIMENTS and word not in _NO_SENTIMENT:
            return self.wrong(
                number,
                _("%(word)s is no sentiment. Use neutral, positive, negative or nothing.")
                % {"word": repr(word[:30])},
            )
        self.categories.setdefault(category.casefold(), CategorySaid(category))
        entry = Entry(line=number, label=label, category=category)
        entry = self.entries.setdefault(entry.key, entry)
        self.last = entry
        sentiment = None if word in _NO_SENTIMENT else _SENTIMENTS[word]
        earlier = self.seen.setdefault(entry.key, {})
        if sentiment in earlier:
            values = {"label": label, "line": earlier[sentiment], "sentiment": sentiment_word(sentiment)}
            if sentiment is None:
                return self.wrong(number, _("the topic %(label)s is already in line %(line)s.") % values)
            return self.wrong(
                number,
                _("the topic %(label)s with the sentiment %(sentiment)s is already in line %(line)s.") % values,
            )
        earlier[sentiment] = number
        self.version(number, cells, entry, sentiment)

    def version(self, number: int, cells: list[str], entry: Entry, sentiment: int | None) -> None:
        code_field, label_field = VERSION_FIELDS[sentiment or 0]
        entry.has_sentiment = entry.has_sentiment or sentiment is not None
        code = self.cell(cells, "code")
        if code:
            self.code(number, entry, code_field, code)
        own_label = clean_label(self.cell(cells, "sentiment_label"))
        if len(own_label) > LABEL_CHARS:
            self.wrong(
                number,
                _("the sentiment label may have at most %(label_chars)s characters, it has %(n_own_label)s.")
                % {"label_chars": LABEL_CHARS, "n_own_label": len(own_label)},
            )
        elif own_label:
            setattr(entry, label_field, own_label)
        description = clean_text(self.cell(cells, "description"))
        if error := description_error(description):
            self.wrong(number, error)
        entry.description = entry.description or description or None
        keywords, error = keywords_clean(keywords_split(self.cell(cells, "keywords")))
        if error:
            self.wrong(number, error)
        entry.keywords = entry.keywords or keywords or None
        color = self.cell(cells, "color").lower()
        if color:
            try:
                validate_color(color)
                said = self.categories[entry.category.casefold()]
                said.color = said.color or color
            except ValidationError as bad:
                self.wrong(
                    number,
                    _("%(color)s is no colour. %(message)s")
                    % {"color": repr(color[:30]), "message": bad.messages[0]},
                )

    def code(self, number: int, entry: Entry, code_field: str, text: str) -> None:
        if not (text.isascii() and text.isdecimal() and len(text) <= 12 and int(text) <= MAX_CODE):
            return self.wrong(
                number,
                _("%(text)s is no code. A code is a whole number from 0 to %(max_code)s.")
                % {"text": repr(text[:30]), "max_code": MAX_CODE},
            )
        code = int(text)
        if code in self.codes:
            return self.wrong(
                number,
                _("the code %(code)s is already used in line %(line)s.")
                % {"code": code, "line": self.codes[code]},
            )
        self.codes[code] = number
        if getattr(entry, code_field) is not None:
            return self.wrong(
                number, _("the topic %(topic)s has two codes for one version.") % {"topic": entry.label}
            )
        setattr(entry, code_field, code)

    def finish(self, entry: Entry) -> None:
        lines = self.seen[entry.key]
        if None in lines and 0 in lines:
            self.wrong(
                lines[None],
                _("the topic %(topic)s is in line %(line)s with the sentiment neutral and here without one.")
                % {"topic": entry.label, "line": lines[0]},
            )
        labels = [entry.label_neutral, entry.label_positive, entry.label_negative]
        if any(n > 1 for n in Counter(label.casefold() for label in labels if label).values()):
            self.wrong(entry.line, _("two sentiment labels of %(topic)s are the same.") % {"topic": entry.label})
