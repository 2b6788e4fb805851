"""Which rows are meant, and in which order: the one home of filters.

`RowFilter` drives the row browser, select all, results, statistics and export, so that a link shows
the same rows everywhere.
"""

from rows.filters.row_filter import RowFilter
from rows.filters.sorting import SIMILARITY, SORTS, Sort, sort_find, sorts_for

__all__ = ["SIMILARITY", "SORTS", "RowFilter", "Sort", "sort_find", "sorts_for"]
