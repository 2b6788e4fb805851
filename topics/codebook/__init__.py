"""Topic collections as files: a codebook in CSV or Excel, read and written in the same layout.

    Code | Topic          | Category | Sentiment | Sentiment label | Description | Colour
    7    | Delivery time  | Service  | neutral   |                 | ...         | teal
    8    | Delivery time  | Service  | positive  | Fast            |             |
    9    | Delivery time  | Service  | negative  | Slow            |             |
    10   | Price          | Price    |           |                 |             |

A topic with sentiment has one line per version. Only "Topic" is needed; columns may come in any order,
in English or German. Reading has three steps, so that the screen can show what would happen:

    entries = codebook_read("codes.xlsx", content)   # what the file says; CodebookError names the lines
    plan = codebook_plan(column, entries)            # what would be new, changed, unchanged
    result = codebook_apply(column=column, entries=entries, user=user)   # one act, one undo

`codebook_import` does all three. A topic of the file updates the topic with the same label in the same
category; else the one that holds one of its codes; else the only one with the same label. Topics that are
not in the file stay, and a file never switches sentiment off.
"""

from topics.codebook.exporting import codebook_csv, codebook_xlsx
from topics.codebook.layout import CodebookError, Entry, entries_dump, entries_load
from topics.codebook.planning import Plan, Planned, codebook_plan
from topics.codebook.reading import MAX_BYTES, codebook_read
from topics.codebook.writing import CodebookResult, codebook_apply, codebook_import

__all__ = [
    "MAX_BYTES",
    "CodebookError",
    "CodebookResult",
    "Entry",
    "Plan",
    "Planned",
    "codebook_apply",
    "codebook_csv",
    "codebook_import",
    "codebook_plan",
    "codebook_read",
    "codebook_xlsx",
    "entries_dump",
    "entries_load",
]
