"""A topic collection as a codebook file."""

from __future__ import annotations

import csv
import io
from typing import Any

import xlsxwriter

from projects.models import Column
from topics.codebook.layout import FORMULA, HEADER, VERSION_FIELDS, WORDS
from topics.selectors import topic_list


def codebook_table(column: Column) -> list[list[Any]]:
    """Return the topic collection as lines of a codebook, the header first."""
    lines: list[list[Any]] = [list(HEADER)]
    for topic in topic_list(column=column):
        versions = (0, 1, -1) if topic.sentiment_enabled else (None,)
        for sentiment in versions:
            first = sentiment in (0, None)
            _, label_field = VERSION_FIELDS[sentiment or 0]
            lines.append(
                [
                    topic.code(sentiment),
                    topic.label,
                    topic.category.label,
                    "" if sentiment is None else WORDS[sentiment],
                    "" if sentiment is None else getattr(topic, label_field),
                    topic.description if first else "",
                    topic.category.color if first else "",
                ]
            )
    return lines


def codebook_csv(column: Column) -> bytes:
    """Return the codebook as CSV (UTF-8 with a mark, so that Excel reads it right); no cell is a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for line in codebook_table(column):
        writer.writerow(
            [f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell for cell in line]
        )
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
    with xlsxwriter.Workbook(file, options) as book:
        sheet = book.add_worksheet("Codes")
        bold = book.add_format({"bold": True})
        for number, line in enumerate(codebook_table(column)):
            sheet.write_row(number, 0, line, bold if number == 0 else None)
        sheet.freeze_panes(1, 0)
        for index, width in enumerate((8, 36, 24, 12, 20, 60, 10)):
            sheet.set_column(index, index, width)
    return file.getvalue()
