"""What counts as the same text, and what a database can store of a text."""

from __future__ import annotations

import hashlib
import re
from operator import add

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
# What people type to search: word, "exact phrase", and either with a minus for texts without it.
_TERMS = re.compile(r'(-?)(?:"([^"]+)"|(\S+))')
DIGEST_BYTES = 16
MAX_TERMS = 20


def storable(text: str) -> str:
    """Return the text as typed, with what no database stores (NUL, lone surrogates) shown as U+FFFD."""
    return _NOT_STORABLE.sub("\ufffd", text)


def normalised(text: str) -> str:
    """Return the text without regard to case, surrounding and repeated white space (spec S3.6)."""
    return " ".join(text.split()).casefold()


def fingerprint(text: str) -> bytes:
    """Return 16 bytes that are equal for duplicates."""
    return hashlib.blake2b(normalised(text).encode(), digest_size=DIGEST_BYTES).digest()


def digest(text: str) -> bytes:
    """Return 16 bytes of the exact text: the key of its cached embedding."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


def is_blank(text: str, placeholders: tuple[str, ...] = ()) -> bool:
    """Say whether a cell counts as empty: white space only, or one of the project's placeholders."""
    stripped = text.strip()
    return not stripped or stripped in placeholders


def search_terms(query: str) -> list[tuple[str, bool]]:
    """Return the words and phrases of a search, each with whether texts must have it; at most `MAX_TERMS`."""
    return [(phrase or word, not minus) for minus, phrase, word in _TERMS.findall(query)[:MAX_TERMS]]


def text_pairs(text: str) -> set[str]:
    """Return all pairs of neighbouring characters."""
    return set(map(add, text, text[1:]))
