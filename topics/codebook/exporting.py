"""A topic collection as a codebook file."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import xlsxwriter
from django.utils.translation import gettext as _

from projects.models import Column
from topicassign.errors import ApplicationError
from topics.codebook.layout import (
    HEADER,
    JSON_FORMAT,
    JSON_VERSION,
    VERSION_FIELDS,
    WORDS,
    CategorySaid,
    Codebook,
    Entry,
    cell_guarded,
    keywords_join,
)
from topics.models import Topic
from topics.selectors import category_list, topic_list
from topics.services.base import CODE_FIELDS, SENTIMENT_LABEL_FIELDS

EXCEL_CHARS = 32_767  # a longer text would be left out of its cell without a word


def codebook_table(column: Column) -> list[list[Any]]:
    """Return the topic collection as lines of a codebook, the header first."""
    lines: list[list[Any]] = [list(HEADER)]
    for topic in topic_list(column=column):
        versions = (0, 1, -1) if topic.sentiment_enabled else (None,)
        for sentiment in versions:
            first = sentiment in (0, None)
            label_field = VERSION_FIELDS[sentiment or 0][1]
            lines.append(
                [
                    topic.code(sentiment),
                    topic.label,
                    topic.category.label,
                    "" if sentiment is None else WORDS[sentiment],
                    "" if sentiment is None else getattr(topic, label_field),
                    topic.description if first else "",
                    topic.category.color if first else "",
                    keywords_join(topic.keywords) if first else "",
                ]
            )
    return lines


def _guarded(line: list[Any], *, is_text_file: bool) -> list[Any]:
    return [cell_guarded(cell, is_text_file=is_text_file) if isinstance(cell, str) else cell for cell in line]


def codebook_csv(column: Column) -> bytes:
    """Return the codebook as CSV (UTF-8 with a mark, so that Excel reads it right); no cell is a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for line in codebook_table(column):
        writer.writerow(_guarded(line, is_text_file=True))
    return text.getvalue().encode("utf-8-sig")


def codebook_xlsx(column: Column) -> bytes:
    """Return the codebook as an Excel workbook with the sheet "Codes"."""
    file = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "nan_inf_to_errors": True,
    }
    lines = codebook_table(column)
    for line in lines:
        if any(len(str(cell)) >= EXCEL_CHARS for cell in line):
            raise ApplicationError(
                _("The keywords of %(topic)s are too long for a cell of Excel. Take the codebook as CSV or JSON.")
                % {"topic": line[1]},
                code="too_long_for_excel",
            )
    with xlsxwriter.Workbook(file, options) as book:
        sheet = book.add_worksheet("Codes")
        bold = book.add_format({"bold": True})
        for number, line in enumerate(lines):
            sheet.write_row(number, 0, _guarded(line, is_text_file=False), bold if number == 0 else None)
        sheet.freeze_panes(1, 0)
        for index, width in enumerate((8, 36, 24, 12, 20, 60, 10, 40)):
            sheet.set_column(index, index, width)
    return file.getvalue()


def codebook_json(column: Column) -> bytes:
    """Return everything that a person may set of the topic collection as JSON; nothing is lost on the way back."""
    body = {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "name": column.name,
        "language": column.project.language,
        "categories": [
            {
                "label": category.label,
                "color": category.color,
                "topics": [_topic_json(topic) for topic in category.topics.all()],
            }
            for category in category_list(column=column)
        ],
    }
    return json.dumps(body, ensure_ascii=False, indent=2).encode() + b"\n"


def _topic_json(topic: Topic) -> dict[str, Any]:
    codes = {WORDS[mood]: getattr(topic, code) for mood, (code, _label) in VERSION_FIELDS.items()}
    return {
        "label": topic.label,
        "description": topic.description,
        "keywords": list(topic.keywords),
        "sentiment": topic.sentiment_enabled,
        "sentiment_labels": {
            WORDS[mood]: getattr(topic, label) for mood, (_code, label) in VERSION_FIELDS.items()
        },
        "codes": {word: code for word, code in codes.items() if code is not None},
    }


def codebook_of(column: Column) -> Codebook:
    """Return the topic collection of another column as an offer: its topics, nothing of its rows."""
    categories = list(category_list(column=column))
    entries = []
    for category in categories:
        for topic in category.topics.all():
            entry = Entry(
                label=topic.label,
                category=category.label,
                has_sentiment=topic.sentiment_enabled,
                description=topic.description or None,
                keywords=list(topic.keywords) or None,
            )
            for name in CODE_FIELDS:
                setattr(entry, name, getattr(topic, name))
            for name in SENTIMENT_LABEL_FIELDS:
                setattr(entry, name, getattr(topic, name) or None)
            entries.append(entry)
    return Codebook(
        entries,
        [CategorySaid(category.label, category.color) for category in categories],
        kind="project",
        title=f"{column.project.name} · {column.name}",
        language=column.project.language,
    )
