"""Topic collections on their way in and out: codebook files, templates, the topics of another project.

As a table (CSV, Excel), read and written in the same layout, a topic with sentiment in one line per version:

    Code | Topic          | Category | Sentiment | Sentiment label | Description | Colour | Keywords
    7    | Delivery time  | Service  | neutral   |                 | ...         | teal   | late; /slow|tardy/
    8    | Delivery time  | Service  | positive  | Fast            |             |        |
    9    | Delivery time  | Service  | negative  | Slow            |             |        |
    10   | Price          | Price    |           |                 |             |        |

As JSON without any loss: see reading_json. Whatever the source, there are three steps, so that the screen can show
what would happen:

    book = codebook_read("codes.xlsx", content)   # what the file says; CodebookError names the lines
    plan = codebook_plan(column, book)            # what would be new, changed, as it is, missing
    result = codebook_apply(column=column, book=book, user=user)   # one act, one undo

`codebook_import` does all three. docs/codebook.md has the formats and every case.
"""

from topics.codebook.exporting import codebook_csv, codebook_json, codebook_of, codebook_xlsx
from topics.codebook.layout import CategorySaid, Codebook, CodebookError, Entry, codebook_dump, codebook_load
from topics.codebook.planning import Missing, Plan, Planned, codebook_plan, collection_version
from topics.codebook.reading import FORMATS, MAX_BYTES, codebook_read
from topics.codebook.templates import TEMPLATE_LANGUAGES, Template, template_get, template_list
from topics.codebook.writing import CodebookResult, codebook_apply, codebook_import, result_text

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "TEMPLATE_LANGUAGES",
    "CategorySaid",
    "Codebook",
    "CodebookError",
    "CodebookResult",
    "Entry",
    "Missing",
    "Plan",
    "Planned",
    "Template",
    "codebook_apply",
    "codebook_csv",
    "codebook_dump",
    "codebook_import",
    "codebook_json",
    "codebook_load",
    "codebook_of",
    "codebook_plan",
    "codebook_read",
    "codebook_xlsx",
    "collection_version",
    "result_text",
    "template_get",
    "template_list",
]
