"""Numbers as people write them in the language of the page; what machines read is formatted elsewhere."""

from __future__ import annotations

from django.utils import formats
from django.utils.translation import get_language


def decimal(value: float, digits: int = 0) -> str:
    """Return a number with its decimal mark: 12.5, in German 12,5."""
    return f"{value:.{digits}f}".replace(".", formats.get_format("DECIMAL_SEPARATOR"))


def grouped(value: int) -> str:
    """Return a whole number in groups of three, for sentences: 1,204, in German 1.204."""
    return f"{value:,}".replace(",", formats.get_format("THOUSAND_SEPARATOR"))


def thousands(value: int) -> str:
    """Return a whole number in groups of three, for tables and counters: English has thin spaces there."""
    if -1_000 < value < 1_000:
        return str(value)
    return grouped(value) if (get_language() or "en")[:2] != "en" else f"{value:,}".replace(",", "\u202f")
