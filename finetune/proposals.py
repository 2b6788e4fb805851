"""Likely topics of one text, for the card in front of a person: fast, and never in the way.

The web process keeps the models of the columns people work in. Loading one takes some tens of
milliseconds, so it happens in a thread: meanwhile the model before answers, or nobody.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import structlog
from django.conf import settings
from django.db import connection

from finetune.encoders import read_vectors
from finetune.engine import SentimentClassifier, TopicClassifier, lexical_features, read_clauses
from finetune.features import cached_vectors, tuned_folder
from finetune.models import ModelVersion, VersionState
from finetune.updates import version_load
from projects.models import Column
from rows.models import Verbatim
from topicassign.errors import ApplicationError
from topics.models import Topic

log = structlog.get_logger(__name__)

MIN_PROBABILITY = 0.05
MAX_MODELS = 8
MAX_PROPOSALS = 10


@dataclass
class LoadedModel:
    """A version's classifiers, as they are kept in this process."""

    version_id: int
    number: int
    encoder: str
    tuning: str | None  # key of the fine-tuned encoder whose vectors the classifier reads
    topic_ids: list[int]
    classifier: TopicClassifier
    sentiment: SentimentClassifier

    def vectors(self, digests: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return vectors of the texts that have them, float32: the encoder's, then the fine-tuned ones."""
        found = {
            one: vector.astype(np.float32)
            for one, vector in read_vectors(self.encoder, list(dict.fromkeys(digests))).items()
        }
        if self.tuning is None or not found:
            return found
        tuned = cached_vectors(tuned_folder(self.tuning) / "vectors", list(found))
        return {one: np.concatenate([found[one], vector]) for one, vector in tuned.items()}

    @property
    def n_topics_(self) -> int:
        return self.classifier.n_topics_

    def predict_proba(self, X: np.ndarray, X_lex: sp.csr_matrix | None = None) -> np.ndarray:
        """Return the classifier's probabilities; rows of X as `vectors` gives them."""
        n = self.classifier.n_features_
        return self.classifier.predict_proba(X[:, :n], X_lex, X[:, n:] if self.tuning is not None else None)


_models: OrderedDict[int, LoadedModel] = OrderedDict()  # by column
_loading: set[int] = set()
_lock = threading.Lock()


def proposals(column: Column, verbatim: Verbatim) -> list[tuple[int, float, int | None]]:
    """Return (topic id, probability, sentiment) of the likeliest topics of a text, likeliest first.

    Empty while no model is loaded and for texts that are not encoded yet.
    """
    model = model_of(column)
    if model is None:
        return []
    vector = model.vectors([bytes(verbatim.digest)]).get(bytes(verbatim.digest))
    return [] if vector is None else _predict(model, verbatim.text, vector)


def model_of(column: Column, *, wait: bool = False) -> LoadedModel | None:
    """Return the model in use of a column; None where there is none, or it is still being loaded.

    `wait`: load it here and now if need be (tens of milliseconds), for an answer somebody asked for.
    """
    version_id = (
        ModelVersion.objects.filter(column=column, state=VersionState.DEPLOYED)
        .values_list("pk", flat=True)
        .first()
    )
    if version_id is None:
        return None
    model = _models.get(column.pk)
    if model is None or model.version_id != version_id:
        if wait:
            _load_now(column.pk, version_id)
        else:
            _load(column.pk, version_id)
        model = _models.get(column.pk)
    return model


def _predict(model: LoadedModel, text: str, vector: np.ndarray) -> list[tuple[int, float, int | None]]:
    X = vector[None, :]
    Y_prob = model.predict_proba(X, lexical_features([text]))[0]
    likely = np.argsort(-Y_prob, kind="stable")[:MAX_PROPOSALS]
    likely = likely[Y_prob[likely] >= MIN_PROBABILITY]
    enabled = dict(
        Topic.objects.filter(pk__in=[model.topic_ids[j] for j in likely], deleted_at=None).values_list(
            "pk", "sentiment_enabled"
        )
    )
    likely = np.array([j for j in likely if model.topic_ids[j] in enabled], dtype=np.int64)
    if not likely.size:
        return []
    moods = model.sentiment.predict(
        read_clauses([text]), X[:, : model.classifier.n_features_], np.zeros(len(likely), dtype=np.int64), likely
    )
    return [
        (
            model.topic_ids[j],
            round(float(Y_prob[j]), 4),
            int(mood) if enabled[model.topic_ids[j]] else None,
        )
        for j, mood in zip(likely.tolist(), moods, strict=True)
    ]


def _load(column_id: int, version_id: int) -> None:
    with _lock:
        if column_id in _loading:
            return
        _loading.add(column_id)
    if settings.LOAD_MODELS_IN_THREADS:
        threading.Thread(target=_load_in_thread, args=(column_id, version_id), daemon=True).start()
    else:
        _load_now(column_id, version_id)


def _load_in_thread(column_id: int, version_id: int) -> None:
    try:
        _load_now(column_id, version_id)
    finally:
        connection.close()


def _load_now(column_id: int, version_id: int) -> None:
    try:
        version = ModelVersion.objects.select_related("tuning").get(pk=version_id)
        loaded = version_load(version)
        if loaded is not None:
            model = LoadedModel(
                version.pk,
                version.number,
                version.encoder,
                version.tuning.key if version.tuning is not None else None,
                list(version.topic_ids),
                *loaded,
            )
            with _lock:
                _models[column_id] = model
                _models.move_to_end(column_id)
                while len(_models) > MAX_MODELS:
                    _models.popitem(last=False)
    except (ModelVersion.DoesNotExist, ApplicationError) as error:
        log.warning("proposals_without_model", column=column_id, error=str(error))
    except Exception:
        log.exception("proposals_failed", column=column_id)
    finally:
        with _lock:
            _loading.discard(column_id)


def forget_models() -> None:
    """Drop all loaded models (tests: ids start again)."""
    with _lock:
        _models.clear()
