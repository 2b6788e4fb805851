"""Search by meaning: which texts of a column say something like a sentence.

The sentence has to go through the encoder, and the column's vectors are read from the cache; both happen in
a worker, as a short job. Web processes read what it found, so that they need neither the encoder's memory
nor its seconds. An answer is kept until texts are added.
"""

from __future__ import annotations

import time
from array import array
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune.folders import features_folder, n_cached
from finetune.models import MeaningSearch, ModelVersion, VersionState
from projects.jobs import JobRun, job_active, job_enqueue
from projects.models import Column, Job, JobKind, JobState
from rows.hooks import MeaningAnswer
from rows.models import Verbatim
from rows.text import digest
from topicassign.errors import ApplicationError

MAX_TEXTS = 1_000
MAX_ROWS = 10_000
# A text is similar if its cosine is at least two thirds of the best one's, but not where that asks for too little
# or too much: far texts of a poor search, or only copies of the sentence. Seen with MiniLM on 400 reviews: best
# texts reach 0.35 to 0.55, nonsense stays below 0.25.
SHARE_OF_BEST = 0.65
LOWEST_FLOOR, HIGHEST_FLOOR = 0.25, 0.4
WAIT_S = 0.8  # of a page for an answer; after that the page asks again by itself
GIVE_UP_S = 20  # of waiting in the queue
RETRY_S = 30  # after a failure
KEEP_DAYS = 30


def meaning_answer(*, column: Column, text: str) -> MeaningAnswer:
    """Return what a search found, or why there is nothing yet; starts it where nobody did."""
    encoder = _encoder_key(column)
    n_texts = n_cached(features_folder(column.pk, encoder)) if encoder else 0
    if not n_texts:
        return MeaningAnswer("failed", message=_no_vectors(column))
    search, _made = MeaningSearch.objects.select_related("job").get_or_create(
        column=column, digest=digest(text), defaults={"text": text}
    )
    if _is_answered(search, encoder, n_texts):
        return _read(search)
    job = search.job
    over = job is None or not job.is_active
    recently = timezone.now() - timedelta(seconds=RETRY_S)
    if job is not None and job.state == JobState.FAILED and job.finished_at and job.finished_at > recently:
        return MeaningAnswer("failed", message=job.error)
    if over:
        job = _start(search)
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            time.sleep(0.05)
            search.refresh_from_db()
            if _is_answered(search, encoder, n_texts):
                return _read(search)
    assert job is not None
    waited = (timezone.now() - job.created_at).total_seconds()
    if waited > GIVE_UP_S and job.state == JobState.QUEUED:
        return MeaningAnswer(
            "failed",
            message=_(
                "No worker has answered for %(n)s seconds: it may be busy or not running. The search goes on "
                "as soon as it is back; load the page again then."
            )
            % {"n": int(waited)},
        )
    return MeaningAnswer("working", message=_("Searching by meaning …"))


def meaning_prepare(*, column: Column, text: str) -> None:
    """Answer a search in this process, if it is not answered yet; raises ApplicationError."""
    encoder = _encoder_key(column)
    n_texts = n_cached(features_folder(column.pk, encoder)) if encoder else 0
    search, _made = MeaningSearch.objects.get_or_create(
        column=column, digest=digest(text), defaults={"text": text}
    )
    if not n_texts or not _is_answered(search, encoder, n_texts):
        _search(search)


def search_run(run: JobRun) -> dict[str, Any]:
    """Run the job of one search."""
    search = MeaningSearch.objects.select_related("column").filter(pk=run.payload["search"]).first()
    if search is None:  # tidied away, or the column is gone
        return {}
    n_rows = _search(search)
    old = timezone.now() - timedelta(days=KEEP_DAYS)
    MeaningSearch.objects.filter(column=search.column, created_at__lt=old).exclude(pk=search.pk).delete()
    done = Job.objects.filter(kind=JobKind.MEANING, column=search.column, state=JobState.DONE)
    done.filter(finished_at__lt=timezone.now() - timedelta(hours=1)).delete()
    return {"n_rows": n_rows}


def _search(search: MeaningSearch) -> int:
    from finetune.encoders import get_encoder
    from finetune.features import most_similar

    encoder = get_encoder()
    folder = features_folder(search.column_id, encoder.key)
    if not n_cached(folder):
        raise ApplicationError(_no_vectors(search.column), code="vectors_missing")
    vector = encoder.encode([search.text])[0]
    n_texts, cosines, digests = most_similar(folder, vector, limit=MAX_TEXTS)
    floor = min(HIGHEST_FLOOR, max(LOWEST_FLOOR, SHARE_OF_BEST * float(cosines[0])))
    place = {one: i for i, (one, cosine) in enumerate(zip(digests, cosines, strict=True)) if cosine >= floor}
    found = _rows_of(search.column, place)
    ids = array("q", (pk for _place, _number, pk in sorted(found)[:MAX_ROWS]))
    MeaningSearch.objects.filter(pk=search.pk).update(encoder=encoder.key, n_texts=n_texts, found=ids.tobytes())
    return len(ids)


def _rows_of(column: Column, place: dict[bytes, int]) -> list[tuple[int, int, int]]:
    """Return place, row number and id of all rows with these texts; of duplicates only one has been encoded."""
    rows = Verbatim.objects.filter(column=column, is_empty=False).order_by()
    found: dict[int, tuple[int, int, int]] = {}
    groups: dict[bytes, int] = {}
    exact = rows.filter(digest__in=list(place))
    for pk, number, own, text, size in exact.values_list(
        "pk", "row_number", "digest", "fingerprint", "group_size"
    ):
        found[pk] = (place[bytes(own)], number, pk)
        if size > 1:
            groups[bytes(text)] = min(place[bytes(own)], groups.get(bytes(text), len(place)))
    same = rows.filter(group_size__gt=1, fingerprint__in=list(groups))  # as the index has it
    for pk, number, text in same.values_list("pk", "row_number", "fingerprint"):
        found[pk] = (groups[bytes(text)], number, pk)
    return list(found.values())


def _start(search: MeaningSearch) -> Job:
    with transaction.atomic():
        job = job_enqueue(
            kind=JobKind.MEANING,
            project=search.column.project,
            column=search.column,
            payload={"search": search.pk},
        )
        MeaningSearch.objects.filter(pk=search.pk).update(job=job)
    return job


def _is_answered(search: MeaningSearch, encoder: str, n_texts: int) -> bool:
    return search.n_texts == n_texts and search.encoder == encoder


def _read(search: MeaningSearch) -> MeaningAnswer:
    return MeaningAnswer("ready", tuple(array("q", bytes(search.found))))


def _encoder_key(column: Column) -> str:
    """Return the encoder whose vectors the model in use reads, "" where there is none."""
    deployed = ModelVersion.objects.filter(column=column, state=VersionState.DEPLOYED)
    return deployed.values_list("encoder", flat=True).first() or ""


def _no_vectors(column: Column) -> str:
    if job_active(column=column) is not None:
        return _("The texts are being read by the AI. Search by meaning works as soon as that is done.")
    return _("The AI has not read the texts of this column yet. Search by meaning works after the next AI update.")
