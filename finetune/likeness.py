"""Which topics mean nearly the same: in the web process, by the vectors that AI updates have stored."""

from __future__ import annotations

import numpy as np

from finetune.encoders import read_vectors
from finetune.engine.vectors import unit
from finetune.models import ModelVersion, VersionState
from finetune.prompts import topic_prompts
from projects.models import Column
from rows.text import digest
from topics.selectors import topic_list


def topic_likeness(*, column: Column, least: float) -> tuple[dict[tuple[int, int], float], set[int]]:
    """Return the cosines of topics' texts that are at least `least`, and the topics that could be compared.

    A topic can be compared once an AI update has read it as it is now.
    """
    deployed = ModelVersion.objects.filter(column=column, state=VersionState.DEPLOYED)
    encoder = deployed.values_list("encoder", flat=True).first()
    topics = list(topic_list(column=column))
    if encoder is None or not topics:
        return {}, set()
    digests = [digest(prompt) for prompt in topic_prompts(topics)]
    vectors = read_vectors(encoder, list(dict.fromkeys(digests)))
    known = [(topic.pk, vectors[one]) for topic, one in zip(topics, digests, strict=True) if one in vectors]
    known.sort(key=lambda one: one[0])
    if not known:
        return {}, set()
    ids = [pk for pk, _vector in known]
    X = unit(np.stack([vector for _pk, vector in known]).astype(np.float32))
    cosines = X @ X.T  # of 800 topics: 2.5 MB
    first, second = np.nonzero(np.triu(cosines >= least, k=1))
    pairs = {
        (ids[a], ids[b]): round(float(min(1.0, cosines[a, b])), 3)
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    }
    return pairs, set(ids)
