"""The encoder of this process, loaded once, and the table of vectors it has made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import structlog
from django.conf import settings
from django.utils.module_loading import import_string

from finetune.engine import WeightsMissingError
from finetune.models import Embedding
from topicassign.errors import ApplicationError

log = structlog.get_logger(__name__)
_lock = threading.Lock()
_encoder: Any = None
VECTOR_TYPE = np.dtype("<f2")
READ_CHUNK = 2_000


def get_encoder() -> Any:
    """Return the process's encoder, loading it at the first call.

    Raises
    ------
    ApplicationError
        If the weights are missing; the message names the three ways to provide them.
    """
    global _encoder
    with _lock:
        if _encoder is None:
            try:
                _encoder = import_string(settings.ENCODER_CLASS).load(
                    settings.ENCODER_PATH or None, allow_download=settings.ENCODER_ALLOW_DOWNLOAD
                )
            except WeightsMissingError as error:
                raise ApplicationError(str(error), code="weights_missing") from error
            log.info("encoder_loaded", key=_encoder.key)
        return _encoder


def forget_encoder() -> None:
    """Drop the loaded encoder (tests, change of settings)."""
    global _encoder
    with _lock:
        _encoder = None


def read_vectors(encoder_key: str, digests: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """Return the stored vectors of those digests that have one."""
    found: dict[bytes, np.ndarray] = {}
    for start in range(0, len(digests), READ_CHUNK):
        part = digests[start : start + READ_CHUNK]
        rows = Embedding.objects.filter(encoder=encoder_key, digest__in=part).values_list("digest", "vector")
        for digest, vector in rows.iterator(chunk_size=READ_CHUNK):
            found[bytes(digest)] = np.frombuffer(bytes(vector), dtype=VECTOR_TYPE)
    return found


def write_vectors(encoder_key: str, digests: Sequence[bytes], X: np.ndarray) -> None:
    """Store vectors; a digest that is already there keeps its vector."""
    X16 = X.astype(VECTOR_TYPE)
    Embedding.objects.bulk_create(
        (
            Embedding(encoder=encoder_key, digest=digest, vector=X16[i].tobytes())
            for i, digest in enumerate(digests)
        ),
        batch_size=500,
        ignore_conflicts=True,
    )


def encode_texts(
    texts: Sequence[str], digests: Sequence[bytes], *, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """Return vectors of texts, from the table where they are there, else from the encoder (then stored).

    Vectors always have the table's precision (float16), so that a text has one vector only.
    """
    encoder = get_encoder()
    X = np.zeros((len(texts), encoder.n_features), dtype=VECTOR_TYPE)
    known = read_vectors(encoder.key, list(dict.fromkeys(digests)))
    missing: dict[bytes, str] = {}
    for text, digest in zip(texts, digests, strict=True):
        if digest not in known:
            missing.setdefault(digest, text)
    if missing:
        n_known = len(texts) - len(missing)
        fresh = encoder.encode(
            list(missing.values()), progress=(lambda n: progress(n_known + n)) if progress else None
        ).astype(VECTOR_TYPE)
        write_vectors(encoder.key, list(missing), fresh)
        known.update(zip(missing, fresh, strict=True))
    for i, digest in enumerate(digests):
        X[i] = known[digest]
    return X
