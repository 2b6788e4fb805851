"""The job that proposes topics: what it reads, compares and stores, and all that can go wrong on its way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.utils import translation

from finetune import proposal_sets, proposing
from finetune.engine import discovery
from finetune.models import Embedding, ProposalSet, ProposedTopic
from finetune.updates import update_now
from projects import jobs
from projects.jobs import JobRun, job_cancel, job_claim, job_execute
from projects.models import Job, JobKind, JobState
from rows.bulk.packing import ids_unpack
from rows.models import Verbatim
from tests.conftest import add_rows, add_topics
from tests.fakes import HashEncoder
from tests.finetune.proposing import add_set, propose, untold  # noqa: F401  (a fixture)
from topicassign.errors import ApplicationError
from topics.services import topic_delete

pytestmark = pytest.mark.django_db


def rows_of(proposal: ProposedTopic) -> set[int]:
    return set(ids_unpack(proposal.rows).tolist())


def words_of(proposal: ProposedTopic) -> list[str]:
    return list(Verbatim.objects.filter(pk__in=rows_of(proposal)).values_list("text", flat=True))


def test_the_texts_become_named_groups_of_rows(untold: Any, alice: Any) -> None:  # noqa: F811
    job = propose(untold.column, alice)

    assert job.state == JobState.DONE
    found = list(untold.column.proposal_set.proposals.all())
    assert job.result == {"n": len(found)}
    assert len(found) >= 3
    assert len({one.label.casefold() for one in found}) == len(found)
    pure = [one for one in found if len({"price" in text.lower() for text in words_of(one)}) == 1]
    assert len(pure) == len(found), "no group mixes prices with anything else"
    for one in found:
        assert one.phrases
        assert one.category
        assert one.n_rows == len(rows_of(one))
        assert set(one.examples) <= rows_of(one)
        assert one.is_chosen
    assert untold.column.proposal_set.n_rows == 90


def test_the_smallest_number_of_texts_is_the_engines() -> None:
    assert proposal_sets.MIN_TEXTS == 2 * discovery.MIN_ROWS


def test_rows_that_say_the_same_count_each(untold: Any, alice: Any) -> None:  # noqa: F811
    first = untold.column.verbatims.order_by("row_number").first()
    add_rows(untold, {untold.column: [first.text.upper()] * 5})

    propose(untold.column, alice)

    made = untold.column.proposal_set
    assert (made.n_texts, made.n_rows) == (90, 95)
    having = [one for one in made.proposals.all() if first.pk in rows_of(one)]
    copies = set(untold.column.verbatims.filter(row_number__gt=90).values_list("pk", flat=True))
    assert having
    assert all(copies <= rows_of(one) for one in having)


@pytest.mark.parametrize("kept_in", ["table", "cache"])
def test_vectors_that_are_there_are_not_made_again(
    untold: Any,  # noqa: F811
    alice: Any,
    monkeypatch: Any,
    kept_in: str,
) -> None:
    propose(untold.column, alice)
    assert Embedding.objects.count() == 90, "texts only: clauses and phrases are not worth keeping"
    if kept_in == "cache":
        add_topics(untold.column, ["Delivery"])
        update_now(untold.column)
        Embedding.objects.all().delete()
    encoded: list[str] = []
    encode = HashEncoder.encode

    def note(self: Any, texts: Any, **options: Any) -> Any:
        encoded.extend(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(HashEncoder, "encode", note)
    propose(untold.column, alice)

    assert encoded, "phrases are"
    assert not set(encoded) & set(untold.column.verbatims.values_list("text", flat=True))


def test_the_cache_of_updates_is_only_read(untold: Any, alice: Any, settings: Any) -> None:  # noqa: F811
    propose(untold.column, alice)

    assert not list(settings.CACHE_DIR.glob("features/**/vectors"))


def test_new_proposals_replace_the_old_ones(untold: Any, alice: Any) -> None:  # noqa: F811
    (old,) = add_set(untold.column, ("A", "Old"))

    propose(untold.column, alice)

    assert not ProposedTopic.objects.filter(pk=old.pk).exists()
    assert ProposalSet.objects.filter(column=untold.column).count() == 1


# --- more topics ----------------------------------------------------------------------------------
@pytest.fixture
def covered(untold: Any, assign: Any) -> Any:  # noqa: F811
    """The survey with a topic on all rows about prices."""
    (untold.price,) = add_topics(untold.column, [("Money", "Costs", True)])
    for verbatim in untold.column.verbatims.filter(text__icontains="price"):
        assign(verbatim, untold.price, 1)
    return untold


def test_what_topics_cover_is_said(covered: Any, alice: Any) -> None:
    propose(covered.column, alice)

    state = proposal_sets.proposal_state(covered.column)
    about = [entry for entry in state.entries if "price" in words_of(entry.proposal)[0].lower()]
    others = [entry for entry in state.entries if entry not in about]
    assert about
    for entry in about:
        n = entry.proposal.n_rows
        assert entry.hint == f"{n} of {n} rows already have “Costs”."
        assert not entry.proposal.is_chosen
    assert all(entry.hint == "" and entry.proposal.is_chosen for entry in others)


def test_more_topics_reads_only_rows_without_one(covered: Any, alice: Any) -> None:
    reviewed = covered.column.verbatims.filter(text__icontains="staff").first()
    reviewed.is_reviewed = True  # without a topic: nobody found one that fits
    reviewed.save()

    propose(covered.column, alice, only_uncovered=True)

    made = covered.column.proposal_set
    assert (made.only_uncovered, made.n_texts) == (True, 60)
    rows = set().union(*(rows_of(one) for one in made.proposals.all()))
    assert reviewed.pk in rows
    assert not Verbatim.objects.filter(pk__in=rows, text__icontains="price").exists()


def test_rows_of_deleted_topics_have_none(covered: Any, alice: Any) -> None:
    topic_delete(topic=covered.price, user=alice)

    propose(covered.column, alice, only_uncovered=True)

    assert covered.column.proposal_set.n_texts == 90


def test_where_everything_is_covered_there_is_nothing_more(covered: Any, alice: Any, assign: Any) -> None:
    for verbatim in covered.column.verbatims.exclude(text__icontains="price"):
        assign(verbatim, covered.price, 0)

    job = propose(covered.column, alice, only_uncovered=True)

    assert job.state == JobState.DONE
    made = covered.column.proposal_set
    assert (made.n_rows, made.proposals.count()) == (0, 0)


def test_a_topic_with_nearly_the_same_name_is_named(untold: Any, alice: Any) -> None:  # noqa: F811
    propose(untold.column, alice)
    label = untold.column.proposal_set.proposals.first().label
    add_topics(untold.column, [("Money", label.upper())])

    propose(untold.column, alice)

    state = proposal_sets.proposal_state(untold.column)
    hints = [entry.hint for entry in state.entries]
    assert f"Your topic “{label.upper()}” has a similar name." in hints


def test_categories_are_written_as_the_column_does(untold: Any, alice: Any) -> None:  # noqa: F811
    propose(untold.column, alice)
    category = untold.column.proposal_set.proposals.first().category
    add_topics(untold.column, [(category.upper(), "Other")])

    state = proposal_sets.proposal_state(untold.column)

    assert state.category_names[0] == category.upper()
    assert category not in state.category_names


# --- what can go wrong ----------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "words"), [(0, "no texts"), (1, "only 1 different text"), (7, "only 7 different")])
def test_too_few_texts_are_told_at_once(make_project: Any, alice: Any, n: int, words: str) -> None:
    project = make_project(alice, texts=[f"text {i}" for i in range(n)] + ["", "  "], topics=())

    with pytest.raises(ApplicationError, match=words):
        proposal_sets.proposals_start(column=project.column, user=alice)

    assert not Job.objects.filter(kind=JobKind.PROPOSALS).exists()


def test_texts_that_went_meanwhile_end_the_job_with_a_sentence(untold: Any, alice: Any) -> None:  # noqa: F811
    job = proposal_sets.proposals_start(column=untold.column, user=alice)
    untold.column.verbatims.all().delete()

    done = job_execute(job.pk)

    assert (done.state, done.error) == (JobState.FAILED, "This column has no texts.")


def test_missing_weights_are_told(untold: Any, alice: Any, settings: Any) -> None:  # noqa: F811
    settings.ENCODER_CLASS = "tests.fakes.MissingEncoder"

    done = propose(untold.column, alice)

    assert done.state == JobState.FAILED
    assert "weights are missing" in done.error


def test_a_broker_that_is_down_loses_nothing(untold: Any, alice: Any, monkeypatch: Any) -> None:  # noqa: F811
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr("projects.tasks.job_run.apply_async", refuse)

    job = proposal_sets.proposals_start(column=untold.column, user=alice)

    assert Job.objects.get(pk=job.pk).state == JobState.QUEUED
    assert job_execute(job.pk).state == JobState.DONE


def test_one_at_a_time(untold: Any, alice: Any) -> None:  # noqa: F811
    proposal_sets.proposals_start(column=untold.column, user=alice)

    with pytest.raises(ApplicationError) as refused:
        proposal_sets.proposals_start(column=untold.column, user=alice)

    assert refused.value.status == 409


def test_cancelled_it_leaves_the_proposals_of_before(untold: Any, alice: Any, monkeypatch: Any) -> None:  # noqa: F811
    (old,) = add_set(untold.column, ("A", "Old"))
    job = proposal_sets.proposals_start(column=untold.column, user=alice)
    find = proposing.propose_topics

    def cancelled_meanwhile(*args: Any, **kwargs: Any) -> Any:
        job_cancel(job=Job.objects.get(pk=job.pk))
        return find(*args, **kwargs)

    monkeypatch.setattr(proposing, "propose_topics", cancelled_meanwhile)
    done = job_execute(job.pk)

    assert done.state == JobState.CANCELLED
    assert list(untold.column.proposal_set.proposals.all()) == [old]


def test_a_killed_worker_costs_one_attempt(untold: Any, alice: Any, monkeypatch: Any) -> None:  # noqa: F811
    job = proposal_sets.proposals_start(column=untold.column, user=alice)
    claimed = job_claim(job.pk)

    def killed(*args: Any, **kwargs: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as patch, JobRun(claimed) as run:
        patch.setattr(proposing.ProposedTopic.objects, "bulk_create", killed)
        with pytest.raises(SystemExit):
            proposing.propose_run(run)
    assert not ProposalSet.objects.exists()

    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    assert job_execute(job.pk).state == JobState.DONE
    assert untold.column.proposal_set.proposals.exists()


def test_killed_after_the_end_it_does_not_take_back_what_people_did(untold: Any, alice: Any) -> None:  # noqa: F811
    job = propose(untold.column, alice)
    first = untold.column.proposal_set.proposals.first()
    proposal_sets.proposal_update(column=untold.column, proposal_id=first.pk, label="Mine")

    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    done = job_execute(job.pk)

    assert done.state == JobState.DONE
    assert ProposedTopic.objects.get(pk=first.pk).label == "Mine"


def test_a_job_that_was_taken_over_writes_nothing(untold: Any, alice: Any, monkeypatch: Any) -> None:  # noqa: F811
    job = proposal_sets.proposals_start(column=untold.column, user=alice)
    find = proposing.propose_topics

    def taken_over(*args: Any, **kwargs: Any) -> Any:
        found = find(*args, **kwargs)
        Job.objects.filter(pk=job.pk).update(claimed_by="another")
        return found

    monkeypatch.setattr(proposing, "propose_topics", taken_over)

    assert job_execute(job.pk) is None
    assert not ProposalSet.objects.exists()


def test_it_tells_how_far_it_is(untold: Any, alice: Any, monkeypatch: Any) -> None:  # noqa: F811
    seen: list[tuple[str, int, int]] = []
    report = jobs.JobRun.progress

    def note(self: Any, *args: Any, **kwargs: Any) -> None:
        report(self, *args, **kwargs)
        seen.append((self.job.stage, self.job.done, self.job.total))

    monkeypatch.setattr(jobs.JobRun, "progress", note)
    propose(untold.column, alice)

    stages = list(dict.fromkeys(stage for stage, _done, _total in seen))
    assert stages == [proposal_sets.STAGES[name] for name in ("read", "encode", "find", "compare")]
    found = [done for stage, done, _total in seen if stage == proposal_sets.STAGES["find"]]
    assert found == sorted(found)
    assert found[-1] == 100
    assert (proposal_sets.STAGES["encode"], 90, 90) in seen


def test_names_in_the_language_of_who_asked(make_project: Any, alice: Any, monkeypatch: Any) -> None:
    project = make_project(alice, texts=[f"text number {i} of many" for i in range(40)], topics=())
    nameless = discovery.TopicProposal("Numbers", "", (), np.arange(9), np.arange(3), 0.5)
    monkeypatch.setattr(proposing, "propose_topics", lambda *args, **kwargs: [nameless])
    with translation.override("de"):
        job = proposal_sets.proposals_start(column=project.column, user=alice)

    job_execute(job.pk)

    assert project.column.proposal_set.proposals.get().category in {"Sonstiges", "Other"}


def test_long_names_are_cut_between_words() -> None:
    assert proposal_sets.cut("a bc def", 4) == "a bc"
    assert proposal_sets.cut("a bcdef", 4) == "a"
    assert proposal_sets.cut("abcdef", 4) == "abcd"
    assert proposal_sets.cut(" a\nb\0 ", 4) == "a b"


def test_they_go_with_the_column(untold: Any, alice: Any) -> None:  # noqa: F811
    propose(untold.column, alice)

    untold.column.delete()

    assert not ProposedTopic.objects.exists()


def test_the_topic_that_most_rows_have_is_the_nearest(untold: Any, alice: Any, assign: Any) -> None:  # noqa: F811
    few, many = add_topics(untold.column, ["Few", "Many"])
    price = list(untold.column.verbatims.filter(text__icontains="price"))
    for i, verbatim in enumerate(price[:20]):
        assign(verbatim, many)
        if i < 7:
            assign(verbatim, few)

    having = proposing._Having(untold.column)

    ids = np.array(sorted(verbatim.pk for verbatim in price))
    assert having.of(ids) == (20, {"topic": many.pk, "n": 20})
    assert having.of(ids[25:]) == (0, {})
    assert having.of(np.array([], dtype=np.int64)) == (0, {})
