"""Many ids, and what undo needs, in few bytes.

500,000 ids that lie close together take some ten kilobytes: differences of sorted numbers, compressed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def ids_pack(ids: Iterable[int]) -> bytes:
    """Return sorted ids as compressed differences."""
    array = np.fromiter(ids, dtype=np.int64)
    array.sort()
    return zlib.compress(np.diff(array, prepend=0).astype("<i8").tobytes(), 6)


def ids_unpack(packed: bytes | memoryview) -> np.ndarray:
    """Return the ids, sorted, as an array of int64."""
    return np.cumsum(np.frombuffer(zlib.decompress(bytes(packed)), dtype="<i8"))


def data_pack(data: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 6)


def data_unpack(packed: bytes | memoryview) -> dict[str, Any]:
    return json.loads(zlib.decompress(bytes(packed)))


class Shared:
    """A list in which equal values are kept once: most rows of a batch come from the same state."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._index: dict[str, int] = {}

    def add(self, value: Any) -> int:
        """Return the index of a value."""
        key = repr(value)
        if key not in self._index:
            self._index[key] = len(self.values)
            self.values.append(value)
        return self._index[key]


def differences(numbers: Sequence[int]) -> list[int]:
    return [number - before for before, number in zip((0, *numbers), numbers, strict=False)]


def sums(differences: Iterable[int]) -> list[int]:
    total, numbers = 0, []
    for step in differences:
        total += step
        numbers.append(total)
    return numbers
