"""What the engine reads of a column's texts: an append-only, memory-mapped cache beside the database.

Everything here can be made again from the database, so the folder may be deleted at any time. One
update per column at a time, so one writer. The files grow by appending; `meta.json`, replaced
atomically, says how much of them is valid: a process killed in between leaves a tail that is cut.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from django.conf import settings

from finetune.engine import N_LEXICAL_FEATURES, Clauses, lexical_features, read_clauses
from finetune.engine.vectors import inverse_of, unit
from finetune.folders import features_folder, n_cached
from rows.text import DIGEST_BYTES

FORMAT = 1
MAX_IN_MEMORY = 256 * 2**20
CHUNK_VECTORS = 65_536


class VectorCache:
    """Vectors of distinct texts by one encoder, found by the digest of the text.

    Attributes
    ----------
    n : int
        Number of texts.
    """

    def __init__(self, folder: Path, n_features: int) -> None:
        self.folder = folder
        self.n_features = n_features
        self._position: dict[bytes, int] = {}
        self._open()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            meta = json.loads((self.folder / "meta.json").read_text())
            if meta["format"] != FORMAT or meta["n_features"] != self.n_features:
                raise ValueError("another format")
            self._read_meta(meta)
            for name, n_bytes in self._sizes().items():
                path = self.folder / name
                if path.stat().st_size < n_bytes:
                    raise ValueError("cut short")
                os.truncate(path, n_bytes)
        except (OSError, ValueError, KeyError):
            self.clear()
            return
        raw = (self.folder / "digests").read_bytes()
        self._position = {raw[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES]: i for i in range(self.n)}

    def _read_meta(self, meta: dict[str, int]) -> None:
        self.n = meta["n"]

    def _meta(self) -> dict[str, int]:
        return {"format": FORMAT, "n": self.n, "n_features": self.n_features}

    def _sizes(self) -> dict[str, int]:
        """Return how many bytes of each file are valid."""
        return {"digests": self.n * DIGEST_BYTES, "vectors": self.n * self.n_features * 2}

    def clear(self) -> None:
        """Forget everything; the next use makes it again."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.n = 0
        self._position = {}

    @staticmethod
    def remove(folder: Path) -> None:
        """Delete the cached features of a column that is gone."""
        shutil.rmtree(folder, ignore_errors=True)

    def positions(self, digests: Sequence[bytes]) -> np.ndarray:
        """Return where each text is, -1 where it is not here yet; shape (n,), int64."""
        get = self._position.get
        return np.fromiter((get(digest, -1) for digest in digests), dtype=np.int64, count=len(digests))

    def append_vectors(self, digests: Sequence[bytes], X: np.ndarray) -> None:
        """Add texts with their vectors."""
        self._append(digests, {"vectors": np.ascontiguousarray(X, dtype="<f2").tobytes()})

    def _append(self, digests: Sequence[bytes], parts: dict[str, bytes]) -> None:
        for name, content in {"digests": b"".join(digests), **parts}.items():
            with open(self.folder / name, "ab") as stream:
                stream.write(content)
        for i, digest in enumerate(digests):
            self._position[digest] = self.n + i
        self.n += len(digests)
        partial = self.folder / "meta.json.part"
        partial.write_text(json.dumps(self._meta()))
        partial.replace(self.folder / "meta.json")

    def _map(self, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        if not shape[0]:
            return np.zeros(shape, dtype=dtype)
        return np.memmap(self.folder / name, dtype=dtype, mode="r", shape=shape)

    @property
    def X(self) -> np.ndarray:  # noqa: N802  (the field's name)
        """Sentence vectors, float16 memory map of shape (n, n_features)."""
        return self._map("vectors", "<f2", (self.n, self.n_features))


def cached_vectors(folder: Path, digests: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """Return the vectors that are cached, float32, without opening the cache for writing.

    For web processes: the worker may be appending meanwhile. Empty if the cache is not there.
    """
    wanted = set(digests)
    try:
        meta = json.loads((folder / "meta.json").read_text())
        n, width = meta["n"], meta["n_features"]
        stored = np.fromfile(folder / "digests", dtype="<u8", count=2 * n).reshape(-1, 2)
        beginnings = np.frombuffer(b"".join(wanted), dtype="<u8").reshape(-1, 2)[:, 0]
        found = {}
        with open(folder / "vectors", "rb") as stream:
            for i in np.flatnonzero(np.isin(stored[:, 0], beginnings)).tolist():
                one = stored[i].tobytes()
                if one in wanted:
                    stream.seek(i * width * 2)
                    found[one] = np.frombuffer(stream.read(width * 2), dtype="<f2").astype(np.float32)
        return found
    except (OSError, ValueError, KeyError):
        return {}


def scratch_array(shape: tuple[int, int]) -> np.ndarray:
    """Return a float32 array of some shape, in a file without a name if it is large (MAX_IN_MEMORY).

    A million rows and 800 topics are 3 GB of probabilities, read twice from front to back: a file will do.

    Raises
    ------
    OSError
        If there is no room for the file.
    """
    n_bytes = 4 * shape[0] * shape[1]
    if n_bytes <= MAX_IN_MEMORY:
        return np.empty(shape, dtype=np.float32)
    folder = Path(settings.CACHE_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as stream:  # the map keeps it open
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, n_bytes)  # a full disk is an error here and a crash later
        return np.memmap(stream, dtype=np.float32, mode="w+", shape=shape)


def most_similar(folder: Path, vector: np.ndarray, *, limit: int) -> tuple[int, np.ndarray, list[bytes]]:
    """Return the cached texts whose vectors point most in the direction of a vector.

    Reads the memory map chunk by chunk, so a million float16 vectors need 100 MB at a time; a worker may be
    appending meanwhile.

    Returns
    -------
    n : int
        Number of vectors looked at; 0 where there is no cache.
    cosines : ndarray of shape (n_found,)
        Highest first.
    digests : list of bytes
        Of the texts, in the same order.
    """
    n = n_cached(folder)
    if n == 0:
        return 0, np.zeros(0, dtype=np.float32), []
    width = len(vector)
    X = np.memmap(folder / "vectors", dtype="<f2", mode="r", shape=(n, width))
    unit_vector = unit(vector.astype(np.float32)[None, :])[0]
    cosines = np.empty(n, dtype=np.float32)
    for start in range(0, n, CHUNK_VECTORS):
        part = X[start : start + CHUNK_VECTORS].astype(np.float32)
        cosines[start : start + len(part)] = (part @ unit_vector) * inverse_of(
            np.sqrt(np.einsum("ij,ij->i", part, part))
        )
    best = np.argpartition(-cosines, min(limit, n) - 1)[:limit] if n > limit else np.arange(n)
    best = best[np.lexsort((best, -cosines[best]))]
    stored = np.memmap(folder / "digests", dtype=np.uint8, mode="r", shape=(n, DIGEST_BYTES))
    return n, cosines[best], [stored[place].tobytes() for place in best]


def tuned_folder(key: str) -> Path:
    """Return where a fine-tuned encoder and the vectors it made are kept."""
    return Path(settings.CACHE_DIR) / "tuned" / key


class ColumnFeatures(VectorCache):
    """Vectors, words and clauses of distinct texts of a column."""

    def __init__(self, column_id: int, encoder_key: str, n_features: int) -> None:
        super().__init__(features_folder(column_id, encoder_key), n_features)

    def _read_meta(self, meta: dict[str, int]) -> None:
        super()._read_meta(meta)
        self._nnz, self._n_words = meta["nnz"], meta["n_words"]

    def _meta(self) -> dict[str, int]:
        return super()._meta() | {"nnz": self._nnz, "n_words": self._n_words}

    def _sizes(self) -> dict[str, int]:
        return super()._sizes() | {
            "lex_ends": self.n * 8,
            "lex_columns": self._nnz * 4,
            "lex_values": self._nnz * 4,
            "word_ends": self.n * 8,
            "word_columns": self._n_words * 4,
            "word_valences": self._n_words * 4,
            "word_clauses": self._n_words * 4,
        }

    def clear(self) -> None:
        super().clear()
        self._nnz = self._n_words = 0

    def append(self, digests: Sequence[bytes], texts: Sequence[str], X: np.ndarray) -> None:
        """Add texts with their vectors; their words and clauses are read here, once per text."""
        X_lex = lexical_features(texts)
        clauses = read_clauses(texts)
        ends = (X_lex.indptr[1:].astype("<i8")) + self._nnz
        parts = {
            "vectors": np.ascontiguousarray(X, dtype="<f2").tobytes(),
            "lex_ends": ends.tobytes(),
            "lex_columns": X_lex.indices.astype("<i4").tobytes(),
            "lex_values": X_lex.data.astype("<f4").tobytes(),
            "word_ends": (clauses.indptr[1:].astype("<i8") + self._n_words).tobytes(),
            "word_columns": clauses.column.astype("<i4").tobytes(),
            "word_valences": clauses.valence.astype("<f4").tobytes(),
            "word_clauses": clauses.clause.astype("<i4").tobytes(),
        }
        self._nnz += int(X_lex.nnz)
        self._n_words += len(clauses.column)
        self._append(digests, parts)

    @property
    def clauses(self) -> Clauses:
        """Words with clause and valence of all texts, over memory maps."""
        return Clauses(
            indptr=np.concatenate([[0], self._map("word_ends", "<i8", (self.n,))]),
            column=self._map("word_columns", "<i4", (self._n_words,)),
            valence=self._map("word_valences", "<f4", (self._n_words,)),
            clause=self._map("word_clauses", "<i4", (self._n_words,)),
        )

    @property
    def X_lex(self) -> sp.csr_matrix:  # noqa: N802
        """Lexical features, csr matrix over memory maps of shape (n, N_LEXICAL_FEATURES)."""
        indptr = np.concatenate([[0], self._map("lex_ends", "<i8", (self.n,))])
        if self._nnz < 2**31:
            indptr = indptr.astype(np.int32)
        matrix = sp.csr_matrix((self.n, N_LEXICAL_FEATURES), dtype=np.float32)
        matrix.indptr = indptr
        matrix.indices = self._map("lex_columns", "<i4", (self._nnz,))
        matrix.data = self._map("lex_values", "<f4", (self._nnz,))
        return matrix
