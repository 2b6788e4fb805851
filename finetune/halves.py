"""Which rows of a topic belong to its new half: each is compared with the examples of both halves.

Reads the vectors that AI updates have cached, so that it works in a web process, without the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune.features import cached_vectors
from finetune.folders import features_folder
from finetune.models import ModelVersion, VersionState
from projects.models import Column
from rows.models import Verbatim
from rows.sql import chunks
from topics.hooks import Halves

NEAREST = 3  # examples of a half that a row is compared with, besides their mean
MAX_EXAMPLES = 1_000  # of a half
STEEPNESS = 10.0  # how sure a difference of cosines makes


def halves(
    column: Column, verbatim_ids: Sequence[int], examples_a: Sequence[int], examples_b: Sequence[int]
) -> Halves:
    """Return the probability that a row belongs to b, for the rows whose texts the AI has read.

    A row is as near to a half as to the mean of its examples and the nearest few of them, after what all texts
    have in common was taken off. Without examples of one half nothing can be said.
    """
    rows = _vectors(column, verbatim_ids)
    a, b = (_stack(_vectors(column, some[:MAX_EXAMPLES])) for some in (examples_a, examples_b))
    missing = tuple(pk for pk in verbatim_ids if pk not in rows)
    if not rows or not len(a) or not len(b):
        return Halves(missing=tuple(verbatim_ids))
    X = _stack(rows)
    common = np.concatenate([X, a, b]).mean(axis=0)
    X, a, b = (_unit(part - common) for part in (X, a, b))
    p = 1.0 / (1.0 + np.exp(-STEEPNESS * (_nearness(X, b) - _nearness(X, a))))
    return Halves({pk: round(float(one), 4) for pk, one in zip(rows, p, strict=True)}, missing)


def _nearness(X: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Return the mean of two cosines: with the examples' mean, and with the nearest of them; shape (n,)."""
    to_mean = X @ _unit(examples.mean(axis=0, keepdims=True))[0]
    n = min(NEAREST, len(examples))
    nearest = np.empty(len(X), dtype=np.float32)
    for start in range(0, len(X), 10_000):
        cosines = X[start : start + 10_000] @ examples.T
        nearest[start : start + 10_000] = np.partition(cosines, -n, axis=1)[:, -n:].mean(axis=1)
    return (to_mean + nearest) / 2


def _unit(X: np.ndarray) -> np.ndarray:
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)


def _stack(vectors: dict[int, np.ndarray]) -> np.ndarray:
    return np.stack(list(vectors.values())) if vectors else np.zeros((0, 1), dtype=np.float32)


def _vectors(column: Column, verbatim_ids: Sequence[int]) -> dict[int, np.ndarray]:
    """Return the vectors of verbatims; of those that say the same only the first was encoded."""
    deployed = ModelVersion.objects.filter(column=column, state=VersionState.DEPLOYED)
    encoder = deployed.values_list("encoder", flat=True).first()
    if encoder is None:
        return {}
    folder = features_folder(column.pk, encoder)
    found: dict[int, np.ndarray] = {}
    for part in chunks(verbatim_ids):
        own = Verbatim.objects.filter(column=column, pk__in=part, is_empty=False).order_by()
        digests: dict[int, bytes] = {}
        group_of: dict[int, bytes] = {}
        for pk, digest, fingerprint, size in own.values_list("pk", "digest", "fingerprint", "group_size"):
            digests[pk] = bytes(digest)
            if size > 1:
                group_of[pk] = bytes(fingerprint)
        same = Verbatim.objects.filter(column=column, fingerprint__in=set(group_of.values()), group_size__gt=1)
        heads = {
            bytes(fingerprint): bytes(digest)
            for fingerprint, digest in same.filter(is_group_head=True).values_list("fingerprint", "digest")
        }
        digests |= {pk: heads[group] for pk, group in group_of.items() if group in heads}
        vectors = cached_vectors(folder, list(digests.values())) if digests else {}
        found |= {pk: vectors[digest] for pk, digest in digests.items() if digest in vectors}
    return found
