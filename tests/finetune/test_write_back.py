"""Rule 1: the AI never writes a reviewed verbatim, whatever happens at the same time."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
from django.db import connection, connections, transaction

from finetune import writeback as module
from finetune.writeback import NO_SENTIMENT, Outcome, groups_load, write_back
from rows.models import Assignment, AssignmentSource, Verbatim
from rows.services.reviews import TopicChoice, verbatim_review, verbatim_unreview
from topicassign.errors import StaleRevisionError

TOPICS = [("A", f"Topic {i}", i % 2 == 0) for i in range(6)]


def random_outcome(column: Any, n_topics: int, with_sentiment: np.ndarray, seed: int) -> tuple[Any, Outcome]:
    groups = groups_load(column)
    rng = np.random.default_rng(seed)
    Y_prob = rng.random((groups.n, n_topics), dtype=np.float32)
    Y_hat = Y_prob > 0.6
    S_hat = np.where(Y_hat & with_sentiment, rng.integers(-1, 2, Y_hat.shape), NO_SENTIMENT).astype(np.int8)
    sentiment = rng.integers(-1, 2, groups.n).astype(np.int8)
    certainty = rng.random(groups.n, dtype=np.float32)
    return groups, Outcome(np.arange(groups.n), Y_hat, Y_prob, S_hat, sentiment, certainty)


def stored(column: Any) -> dict[int, set[tuple[int, int | None]]]:
    found: dict[int, set[tuple[int, int | None]]] = {
        pk: set() for pk in column.verbatims.values_list("pk", flat=True)
    }
    for verbatim, topic, sentiment in Assignment.objects.values_list("verbatim", "topic", "sentiment"):
        found[verbatim].add((topic, sentiment))
    return found


@pytest.fixture
def crowd(make_project: Any, alice: Any) -> Any:
    texts = [f"Text number {i // 2 if i % 10 == 1 else i}" for i in range(120)]
    return make_project(alice, texts=texts, topics=TOPICS)


@pytest.mark.django_db
def test_it_stores_exactly_what_was_decided(crowd: Any) -> None:
    topics = list(crowd.column.topics.order_by("pk"))
    enabled = np.array([topic.sentiment_enabled for topic in topics])
    groups, outcome = random_outcome(crowd.column, len(topics), enabled, 1)
    write_back(None, column=crowd.column, groups=groups, topic_ids=[t.pk for t in topics], outcome=outcome)
    found = stored(crowd.column)
    for row, head in enumerate(groups.head_ids.tolist()):
        wanted = {
            (topics[j].pk, None if outcome.S_hat[row, j] == NO_SENTIMENT else int(outcome.S_hat[row, j]))
            for j in np.flatnonzero(outcome.Y_hat[row])
        }
        assert found[head] == wanted
        for member in groups.members.get(row, []):
            assert found[member] == wanted
        assert Verbatim.objects.get(pk=head).sentiment == outcome.sentiment[row]


@pytest.mark.django_db
def test_pairs_that_stay_keep_their_row_and_strays_go(crowd: Any, monkeypatch: Any) -> None:
    topics = list(crowd.column.topics.order_by("pk"))
    ids = [topic.pk for topic in topics]
    groups, outcome = random_outcome(crowd.column, len(topics), np.zeros(len(topics), dtype=bool), 1)
    outcome.Y_hat[0] = [True, True, False, True, False, False]
    outcome.Y_prob[0] = [0.9, 0.8, 0.1, 0.7, 0.1, 0.1]
    head = int(groups.head_ids[0])
    pairs = Assignment.objects.filter(verbatim=head).order_by("position")
    write_back(None, column=crowd.column, groups=groups, topic_ids=ids, outcome=outcome)
    before = dict(pairs.values_list("topic", "pk"))
    assert list(before) == [ids[0], ids[1], ids[3]]  # likeliest first

    pairs.filter(topic=ids[1]).update(source=AssignmentSource.PERSON)  # a review that was taken back leaves such
    copies = groups.members.get(0, [])
    outcome.Y_hat[0] = [False, True, False, True, True, False]
    outcome.Y_prob[0] = [0.2, 0.65, 0.1, 0.75, 0.7, 0.1]
    write_back(None, column=crowd.column, groups=groups, topic_ids=ids, outcome=outcome)
    for verbatim in (head, *copies):
        found = Assignment.objects.filter(verbatim=verbatim).order_by("position")
        assert list(found.values_list("topic", "position", "source", "probability")) == [
            (ids[3], 0, "ai", 0.75),
            (ids[4], 1, "ai", 0.7),
            (ids[1], 2, "ai", 0.65),
        ]
    after = dict(pairs.values_list("topic", "pk"))
    assert [after[ids[1]], after[ids[3]]] == [before[ids[1]], before[ids[3]]]

    # A pair that came after the present state was read, for a topic that the AI decided against.
    compare = module._compare

    def compare_then_add(*arguments: Any) -> Any:
        plan = compare(*arguments)
        Assignment.objects.create(verbatim_id=head, topic_id=ids[5], source=AssignmentSource.AI)
        return plan

    outcome.Y_hat[0, 0] = True
    monkeypatch.setattr(module, "_compare", compare_then_add)
    write_back(None, column=crowd.column, groups=groups, topic_ids=ids, outcome=outcome)
    assert set(pairs.values_list("topic", flat=True)) == {ids[0], ids[1], ids[3], ids[4]}


@pytest.mark.django_db
def test_certainty_alone_does_not_make_a_new_revision(crowd: Any) -> None:
    topics = list(crowd.column.topics.order_by("pk"))
    enabled = np.array([topic.sentiment_enabled for topic in topics])
    groups, outcome = random_outcome(crowd.column, len(topics), enabled, 1)
    ids = [topic.pk for topic in topics]
    write_back(None, column=crowd.column, groups=groups, topic_ids=ids, outcome=outcome)
    revisions = list(crowd.column.verbatims.values_list("revision", flat=True))
    outcome.certainty = 1 - outcome.certainty
    assert write_back(None, column=crowd.column, groups=groups, topic_ids=ids, outcome=outcome) == 0
    assert list(crowd.column.verbatims.values_list("revision", flat=True)) == revisions
    head = Verbatim.objects.get(pk=int(groups.head_ids[5]))
    assert head.certainty == pytest.approx(float(outcome.certainty[5]), abs=0.01)


@pytest.mark.django_db
def test_what_the_ai_wrote_is_no_conflict_for_a_review(crowd: Any, alice: Any) -> None:
    verbatim = crowd.column.verbatims.first()
    Verbatim.objects.filter(pk=verbatim.pk).update(revision=3)
    verbatim_review(verbatim=verbatim, topics=[], revision=0, user=alice)
    with pytest.raises(StaleRevisionError):
        verbatim_review(verbatim=verbatim, topics=[], revision=3, user=alice)


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_reviews_during_write_back_are_never_overwritten(crowd: Any, alice: Any, bob: Any) -> None:
    """Two people review and take back at random while the AI writes all rows again and again."""
    column = crowd.column
    topics = list(column.topics.order_by("pk"))
    enabled = np.array([topic.sentiment_enabled for topic in topics])
    topic_ids = [topic.pk for topic in topics]
    last_word: dict[bytes, set[tuple[int, int | None]] | None] = {}
    stop = threading.Event()
    failures: list[str] = []
    counts = {"reviews": 0, "stale": 0, "writes": 0}
    owned = list(Verbatim.objects.filter(column=column, is_group_head=True).order_by("pk"))

    def person(user: Any, mine: list[Verbatim], seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(700):
                verbatim = Verbatim.objects.get(pk=rng.choice(mine).pk)
                key = bytes(verbatim.fingerprint)
                if rng.random() < 0.2 and verbatim.is_reviewed:
                    verbatim_unreview(verbatim=verbatim, revision=verbatim.revision, user=user)
                    last_word[key] = None
                else:
                    chosen = rng.sample(range(len(topics)), rng.randint(0, 3))
                    moods = {j: rng.choice([-1, 0, 1]) if enabled[j] else None for j in chosen}
                    verbatim_review(
                        verbatim=verbatim,
                        topics=[TopicChoice(topic_ids[j], moods[j]) for j in chosen],
                        revision=verbatim.revision,
                        user=user,
                    )
                    last_word[key] = {(topic_ids[j], moods[j]) for j in chosen}
                counts["reviews"] += 1
        except Exception as error:  # seen by the main thread
            failures.append(f"{type(error).__name__}: {error}")
        finally:
            connections.close_all()

    def machine() -> None:
        try:
            seed = 0
            while not stop.is_set():
                seed += 1
                groups, outcome = random_outcome(column, len(topics), enabled, seed)
                counts["writes"] += write_back(
                    None, column=column, groups=groups, topic_ids=topic_ids, outcome=outcome
                )
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
        finally:
            connections.close_all()

    people = [
        threading.Thread(target=person, args=(alice, owned[::2], 1)),
        threading.Thread(target=person, args=(bob, owned[1::2], 2)),
    ]
    ai = threading.Thread(target=machine)
    for thread in (*people, ai):
        thread.start()
    for thread in people:
        thread.join()
    stop.set()
    ai.join()

    assert not failures
    assert counts["reviews"] == 1400
    assert counts["writes"] > 1000, "the AI must have written meanwhile, or nothing was tested"
    found = stored(column)
    for verbatim in Verbatim.objects.filter(column=column):
        decided = last_word.get(bytes(verbatim.fingerprint))
        assert verbatim.is_reviewed == (decided is not None)
        if decided is not None:
            assert found[verbatim.pk] == decided
            assert not verbatim.assignments.exclude(source=AssignmentSource.PERSON).exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_row_reviewed_after_the_comparison_is_left_alone(crowd: Any, alice: Any, monkeypatch: Any) -> None:
    """The AI compares, a person reviews, the AI comes to its batch: the lock shows the review."""
    column = crowd.column
    topics = list(column.topics.order_by("pk"))
    enabled = np.array([topic.sentiment_enabled for topic in topics])
    groups, outcome = random_outcome(column, len(topics), enabled, 3)
    compare = module._compare
    target = Verbatim.objects.get(pk=int(groups.head_ids[0]))

    def compare_then_review(*args: Any) -> Any:
        answer = compare(*args)
        verbatim_review(verbatim=target, topics=[TopicChoice(topics[1].pk)], revision=0, user=alice)
        return answer

    monkeypatch.setattr(module, "_compare", compare_then_review)
    write_back(None, column=column, groups=groups, topic_ids=[t.pk for t in topics], outcome=outcome)
    assert list(target.assignments.values_list("topic", "source")) == [(topics[1].pk, "person")]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_review_waits_for_a_batch_and_wins(crowd: Any, alice: Any) -> None:
    """A review that meets a locked batch waits for it, then stands."""
    verbatim = crowd.column.verbatims.order_by("pk").first()
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Verbatim.objects.select_for_update().filter(pk=verbatim.pk))
            locked.set()
            release.wait(10)
            Verbatim.objects.filter(pk=verbatim.pk).update(revision=1)
        connection.close()

    def review() -> None:
        verbatim_review(verbatim=verbatim, topics=[], revision=0, user=alice)
        connection.close()

    batch = threading.Thread(target=hold)
    batch.start()
    locked.wait(10)
    person = threading.Thread(target=review)
    person.start()
    person.join(0.3)
    assert person.is_alive(), "the review must wait for the lock"
    release.set()
    person.join(10)
    batch.join(10)
    verbatim.refresh_from_db()
    assert verbatim.is_reviewed
    assert verbatim.revision == 2
