"""Fine-tuned encoders of columns: made by deep updates, used by every light update that follows.

Weights and vectors lie in the cache folder; the table says which ones are in use and which texts they have seen.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import structlog

from finetune.engine import TunedRows
from finetune.engine.tuning import TunedEncoder, TuningOptions, tune, unseen_by
from finetune.features import VectorCache, tuned_folder
from finetune.models import ModelVersion, Tuning, TuningState
from projects.models import Column, Job
from rows.text import DIGEST_BYTES, digest

log = structlog.get_logger(__name__)

ENCODE_BLOCK = 1_024
SWEEP_AFTER_S = 86_400  # files nobody needs: of a killed update, of a deleted project


_loaded: dict[str, TunedEncoder] = {}  # kept in this process, by key


class ColumnTuning:
    """A fine-tuned encoder with the vectors it has made so far of one column's texts."""

    def __init__(self, record: Tuning, base: Any, encoder: TunedEncoder | None = None) -> None:
        self.record = record
        self._base = base
        self._encoder = encoder
        self.vectors = VectorCache(tuned_folder(record.key) / "vectors", record.n_features)

    @property
    def encoder(self) -> TunedEncoder:
        """The copies themselves; loaded when first needed, which takes a second."""
        key = self.record.key
        if self._encoder is None:
            self._encoder = _loaded.get(key)
        if self._encoder is None:
            self._encoder = TunedEncoder.load(tuned_folder(key) / "weights", self._base)
        if key not in _loaded:
            _loaded.clear()  # one at a time: the copies take some 200 MB
            _loaded[key] = self._encoder
        return self._encoder

    def ensure(
        self,
        digests: Sequence[bytes],
        texts: Callable[[np.ndarray], list[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Encode what is not encoded yet; return where each text is in `vectors`, int64 of shape (n,).

        Parameters
        ----------
        texts
            Gives the texts of some indices into `digests`.
        progress
            Called with texts done and texts in all; may raise to stop, what is done so far is kept.
        """
        positions = self.vectors.positions(digests)
        missing = np.flatnonzero(positions < 0)
        if not len(missing):
            return positions
        n_known = len(digests) - len(missing)
        for start in range(0, len(missing), ENCODE_BLOCK):
            block = missing[start : start + ENCODE_BLOCK]
            fresh = {digests[i]: text for i, text in zip(block.tolist(), texts(block), strict=True)}
            new = [one for one in fresh if self.vectors.positions([one])[0] < 0]
            base = n_known + start
            report = (lambda n, base=base: progress(base + n, len(digests))) if progress else None
            self.vectors.append_vectors(new, self.encoder.encode([fresh[one] for one in new], progress=report))
        return self.vectors.positions(digests)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Return vectors as the classifier reads them, float16 of shape (n, n_features)."""
        return self.vectors.X[positions]

    def rows(
        self,
        *,
        digests: Sequence[bytes],
        positions: np.ndarray,
        pool: np.ndarray,
        prompts: Sequence[str],
        topic_ids: Sequence[int],
    ) -> TunedRows:
        """Return what the classifier learns from.

        Parameters
        ----------
        digests, positions
            Of the reviewed texts.
        pool
            Positions of the sample of unreviewed texts.
        """
        raw, parts = bytes(self.record.digests), np.frombuffer(bytes(self.record.parts), dtype=np.uint8)
        part_of = {raw[i * DIGEST_BYTES : (i + 1) * DIGEST_BYTES]: int(part) for i, part in enumerate(parts)}
        left_out = np.array([part_of.get(one, -1) for one in digests], dtype=np.int64)
        labels = self.ensure([digest(prompt) for prompt in prompts], lambda block: [prompts[i] for i in block])
        column_of = {topic: j for j, topic in enumerate(self.record.topic_ids)}
        return self.encoder.rows(
            X=np.asarray(self.vectors.X[positions], dtype=np.float32),
            is_unseen=unseen_by(left_out, self.encoder.n_members),
            pool_X=np.asarray(self.vectors.X[pool], dtype=np.float32),
            label_X=np.asarray(self.vectors.X[labels], dtype=np.float32),
            columns=[column_of.get(topic, -1) for topic in topic_ids],
        )


def tuning_in_use(column: Column, base: Any) -> ColumnTuning | None:
    """Return the fine-tuned encoder of a column; None without one, or if its files are lost."""
    record = Tuning.objects.filter(column=column, state=TuningState.IN_USE, encoder=base.key).first()
    if record is None:
        return None
    tuning = ColumnTuning(record, base)
    try:
        _ = tuning.encoder
    except (OSError, ValueError, KeyError) as error:
        # Updates go on without it; as the record is gone from the count, a deep update may follow soon.
        log.warning("tuning_lost", tuning=record.key, error=str(error))
        ModelVersion.objects.filter(tuning=record).update(artifact=None)  # they read vectors that are gone
        Tuning.objects.filter(pk=record.pk).delete()
        tuning_drop(record.key)
        return None
    return tuning


def tuning_make(
    *,
    column: Column,
    job: Job | None,
    base: Any,
    texts: Sequence[str],
    digests: Sequence[bytes],
    Y: np.ndarray,
    prompts: Sequence[str],
    topic_ids: Sequence[int],
    pool_texts: Sequence[str],
    options: TuningOptions | None = None,
    progress: Callable[[float], None] | None = None,
) -> ColumnTuning:
    """Fine-tune the encoder on reviewed texts and store the copies. Not in use yet: see `is_better`.

    Parameters
    ----------
    Y : ndarray of shape (n_reviewed, n_topics)
    """
    encoder, parts = tune(
        base, texts, Y, prompts=prompts, pool_texts=pool_texts, options=options, progress=progress
    )
    key = uuid.uuid4().hex
    try:
        encoder.save(tuned_folder(key) / "weights")
    except OSError:
        tuning_drop(key)
        raise
    record = Tuning(
        column=column,
        job=job,
        key=key,
        encoder=base.key,
        n_reviewed=len(texts),
        n_features=encoder.n_features,
        topic_ids=list(topic_ids),
        digests=b"".join(digests),
        parts=parts.astype(np.uint8).tobytes(),
    )
    return ColumnTuning(record, base, encoder)


def tuning_note_impossible(*, column: Column, base: Any, n_reviewed: int) -> None:
    """Note that there was nothing to fine-tune, so that nobody tries again before the next number of reviews."""
    Tuning.objects.create(
        column=column,
        key=uuid.uuid4().hex,
        state=TuningState.NOT_POSSIBLE,
        encoder=base.key,
        n_reviewed=n_reviewed,
        n_features=0,
        digests=b"",
        parts=b"",
    )


def tuning_drop(key: str) -> None:
    """Delete the files of a fine-tuned encoder."""
    _loaded.pop(key, None)
    shutil.rmtree(tuned_folder(key), ignore_errors=True)


def tunings_sweep() -> None:
    """Delete files that belong to no fine-tuned encoder in use and that nobody has touched for a day."""
    root = tuned_folder("x").parent
    if not root.is_dir():
        return
    in_use = set(Tuning.objects.filter(state=TuningState.IN_USE).values_list("key", flat=True))
    for folder in root.iterdir():
        if folder.name not in in_use and time.time() - folder.stat().st_mtime > SWEEP_AFTER_S:
            tuning_drop(folder.name)
