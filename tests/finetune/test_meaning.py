"""Search by meaning: the worker answers, pages read."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from finetune.encoders import forget_encoder
from finetune.features import VectorCache, most_similar
from finetune.models import MeaningSearch
from finetune.updates import update_now
from projects.jobs import job_execute
from projects.models import Column, Job, JobKind, JobState
from rows.filters import RowFilter
from tests.fakes import HashEncoder

TEXTS = (
    "The parcel came two days late.",
    "The parcel came three days late and broken",
    "Friendly staff, thank you",
    "the  parcel came two days LATE.",
    "",
    "Far too expensive",
    "Late parcel",
)


@pytest.fixture
def read(make_project: Any, alice: Any, bob: Any, role: str, monkeypatch: Any) -> Column:
    """A column whose texts the AI has read."""
    monkeypatch.setattr("finetune.meaning.WAIT_S", 0)
    monkeypatch.setattr("finetune.meaning.HIGHEST_FLOOR", 0.27)  # the fake's vectors are short
    column = make_project(alice, texts=TEXTS, members={bob: role}).column
    update_now(column)
    return column


def rows(client: Client, column: Column, query: str) -> list[int]:
    page = client.get(f"{reverse('rows:browser', args=[column.pk])}?{query}", headers={"HX-Request": "true"})
    assert page.status_code == 200
    return [int(n) for n in re.findall(r"</span>(\d+)</a>", page.content.decode())]


def page_of(client: Client, column: Column, query: str) -> str:
    return client.get(f"{reverse('rows:browser', args=[column.pk])}?{query}").content.decode()


def run_jobs() -> None:
    for job in Job.objects.filter(kind=JobKind.MEANING, state=JobState.QUEUED):
        job_execute(job.pk)


def test_the_most_similar_rows_come_first(read: Column, as_bob: Client) -> None:
    page = page_of(as_bob, read, "meaning=late+parcel")
    assert "Searching by meaning" in page
    assert "every 1s" in page
    assert 'class="row' not in page
    run_jobs()
    assert rows(as_bob, read, "meaning=late+parcel") == [7, 1, 2]
    page = page_of(as_bob, read, "meaning=late+parcel")
    assert "every 1s" not in page
    assert "Most similar first" in page
    # Another order, other filters, duplicates one by one, statistics and pages.
    assert rows(as_bob, read, "meaning=late+parcel&sort=number") == [1, 2, 7]
    assert rows(as_bob, read, "meaning=late+parcel&q=broken") == [2]
    assert set(rows(as_bob, read, "meaning=late+parcel&grouped=no")) == {7, 1, 4, 2}
    assert (
        "3 rows match"
        in as_bob.get(reverse("rows:count", args=[read.pk]) + "?meaning=late+parcel").content.decode()
    )
    assert Job.objects.filter(kind=JobKind.MEANING).count() == 1


def test_web_processes_never_load_the_encoder(read: Column, as_bob: Client, monkeypatch: Any) -> None:
    forget_encoder()
    monkeypatch.setattr(HashEncoder, "load", classmethod(lambda *_a, **_k: pytest.fail("loaded in a request")))
    page_of(as_bob, read, "meaning=late+parcel")
    as_bob.get(reverse("rows:count", args=[read.pk]) + "?meaning=late+parcel")


def test_numbers_made_while_it_works_are_not_kept(read: Column, as_bob: Client) -> None:
    count = reverse("rows:count", args=[read.pk]) + "?meaning=late+parcel"
    assert as_bob.get(count).content.decode() == "…"  # no number while there is none
    as_bob.get(reverse("rows:statistics", args=[read.pk]) + "?meaning=late+parcel")
    run_jobs()
    assert "3 rows match" in as_bob.get(count).content.decode()
    statistics = as_bob.get(reverse("rows:statistics", args=[read.pk]) + "?meaning=late+parcel")
    assert statistics.context["n_rows"] == 4


def test_pages_of_similar_rows_follow_each_other(read: Column) -> None:
    from rows.selectors import verbatim_page

    row_filter = RowFilter.from_query("meaning=late parcel&grouped=no", read)
    row_filter.prepare()
    seen, after = [], ""
    for _step in range(10):
        page = verbatim_page(row_filter=row_filter, after=after, limit=1)
        seen += [read.verbatims.get(pk=pk).row_number for pk in page.ids]
        after = page.after
        if not after:
            break
    assert seen == [7, 1, 4, 2]


def test_without_vectors_it_says_so(make_project: Any, alice: Any, as_alice: Client) -> None:
    column = make_project(alice, texts=TEXTS).column
    assert "The AI has not read the texts of this column yet" in page_of(as_alice, column, "meaning=late")
    assert not Job.objects.filter(kind=JobKind.MEANING).exists()


def test_missing_weights_are_told(read: Column, as_bob: Client, settings: Any) -> None:
    page_of(as_bob, read, "meaning=late")
    settings.ENCODER_CLASS = "tests.fakes.MissingEncoder"
    forget_encoder()
    run_jobs()
    page = page_of(as_bob, read, "meaning=late")
    assert "weights are missing" in page
    assert "every 1s" not in page


def test_a_worker_that_is_down_is_told_after_a_while(read: Column, as_bob: Client) -> None:
    page_of(as_bob, read, "meaning=late")
    Job.objects.update(created_at=timezone.now() - timedelta(seconds=40))
    page = page_of(as_bob, read, "meaning=late")
    assert "No worker has answered for 40 seconds" in page
    assert "every 1s" not in page
    run_jobs()  # it is back
    assert rows(as_bob, read, "meaning=late+parcel&sort=number") == []
    run_jobs()
    assert rows(as_bob, read, "meaning=late+parcel&sort=number") == [1, 2, 7]


def test_new_texts_make_a_search_old(read: Column, as_bob: Client) -> None:
    from tests.conftest import add_rows

    page_of(as_bob, read, "meaning=late+parcel")
    run_jobs()
    add_rows(read.project, {read: ["Parcel so late"]})
    update_now(read)
    page_of(as_bob, read, "meaning=late+parcel")
    run_jobs()
    assert 8 in rows(as_bob, read, "meaning=late+parcel")


def test_an_export_waits_for_the_answer(read: Column, tmp_path: Any) -> None:
    from rows.exporting.options import ExportOptions
    from rows.services.exports import export_write

    n = export_write(path=tmp_path / "x.csv", column=read, options=ExportOptions(query="meaning=late parcel"))
    assert n == 4


@pytest.mark.parametrize(
    "text", ["\x00", "x" * 10_000, "'; DROP TABLE rows_row; --", "🙂" * 400, "<script>alert(1)</script>"]
)
def test_hostile_sentences(read: Column, as_bob: Client, text: str) -> None:

    query = urlencode({"meaning": text})
    page = page_of(as_bob, read, query)
    run_jobs()
    page = page_of(as_bob, read, query)
    assert "<script>alert" not in page
    assert MeaningSearch.objects.get().n_texts


@pytest.mark.parametrize("role", ["viewer"])
def test_viewers_may_search_and_strangers_not(read: Column, as_bob: Client, as_charlie: Client) -> None:
    assert "Searching by meaning" in page_of(as_bob, read, "meaning=late")
    assert as_charlie.get(reverse("rows:browser", args=[read.pk]) + "?meaning=late").status_code == 404


def test_most_similar_reads_chunk_by_chunk(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("finetune.features.CHUNK_VECTORS", 7)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 8)).astype(np.float16)
    X[3] = 0
    cache = VectorCache(tmp_path / "v", 8)
    digests = [bytes([i]) * 16 for i in range(50)]
    cache.append_vectors(digests, X)
    vector = rng.normal(size=8)
    n, cosines, found = most_similar(tmp_path / "v", vector, limit=5)
    X32 = X.astype(np.float64)
    norms = np.linalg.norm(X32, axis=1)
    exact = X32 @ vector / np.where(norms > 0, norms, 1) / np.linalg.norm(vector)
    order = np.argsort(-exact)[:5]
    assert n == 50
    assert found == [digests[i] for i in order]
    assert cosines == pytest.approx(exact[order], abs=1e-4)
    assert most_similar(tmp_path / "nothing", vector, limit=5)[0] == 0
