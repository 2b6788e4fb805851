"""How alike two labels are, letter by letter."""

from __future__ import annotations

import unicodedata


def plain(label: str) -> str:
    """Return the words of a label without case, accents and punctuation."""
    text = unicodedata.normalize("NFKD", label.casefold())
    letters = (one if one.isalnum() else " " for one in text if not unicodedata.combining(one))
    return " ".join("".join(letters).split())


def triples_of(label: str) -> set[str]:
    """Return the triples of letters of a plain label, whose words may stand in any order."""
    return {f" {word} "[i : i + 3] for word in label.split() for i in range(len(word))}


def wording(first: str, second: str) -> float:
    """Return the share of triples of letters that two labels have in common (Dice), in [0, 1]."""
    a, b = triples_of(plain(first)), triples_of(plain(second))
    return 2 * len(a & b) / max(1, len(a) + len(b))
