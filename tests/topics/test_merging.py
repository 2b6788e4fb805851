"""Merging topics: what becomes of rows, keywords and everything that named the sources, and the way back."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projects.models import Change, ChangeKind
from rows.bulk.options import BulkOptions
from rows.models import Assignment, AssignmentSource, TopicMove, Verbatim
from rows.moves.gather import gathered_entry
from rows.selectors import topic_counts
from rows.services.overall import overall_refresh
from rows.services.reviews import TopicChoice, verbatim_review
from tests.conftest import TEXTS
from tests.topics.restructuring import chips, put, review, row, rows_state, topic, topics_state, undo
from topicassign.errors import ApplicationError, StaleRevisionError
from topics import hooks
from topics.hooks import Gathering
from topics.models import Topic
from topics.selectors import topic_list
from topics.services import (
    category_delete,
    merge_preview,
    topic_create,
    topic_delete,
    topic_update,
    topics_merge,
)

pytestmark = pytest.mark.django_db

NINE = [f"Answer number {n} about something" for n in range(1, 10)]


@pytest.fixture
def column(make_project, alice):
    """Nine different texts; A, B and C without sentiment, S and T with."""
    return make_project(
        alice, texts=NINE, topics=["A", "B", "C", ("Moods", "S", True), ("Moods", "T", True)]
    ).column


@pytest.fixture
def told(monkeypatch):
    """Collect what the AI is told about."""
    calls = []
    monkeypatch.setattr(hooks.topics_changed, "_functions", [lambda **values: calls.append(values)])
    return calls


@pytest.fixture
def merge(column, alice):
    """Return a function that merges topics named by their labels, the target first."""

    def act(target, *sources, **values):
        return topics_merge(
            target=topic(column, target), sources=[topic(column, one) for one in sources], user=alice, **values
        )

    return act


# --- rows -----------------------------------------------------------------------------------------
def test_rows_of_the_sources_get_the_target(column, merge, told):
    put(column, 1, "B", probability=0.7)
    put(column, 2, "C", probability=0.6)
    put(column, 3, "A", probability=0.5)
    change = merge("A", "B", "C")
    assert chips(column, 1) == {"A": (None, "ai", 0.7, 0)}
    assert chips(column, 2) == {"A": (None, "ai", 0.6, 0)}
    assert chips(column, 3) == {"A": (None, "ai", 0.5, 0)}
    assert [one.label for one in topic_list(column=column)] == ["A", "S", "T"]
    assert str(change) == "Topics merged: B, C → A, 2 rows"
    assert len(told) == 1
    column.refresh_from_db()
    assert topic_counts(column=column)[topic(column, "A").pk]["all"] == 3


def test_reviewed_rows_stay_reviewed_and_count_for_the_target(column, merge, alice):
    before = review(column, alice, 1, "B", "C")
    merge("A", "B")
    after = row(column, 1)
    assert (after.is_reviewed, after.reviewed_by, after.reviewed_at) == (True, alice, before.reviewed_at)
    assert chips(column, 1) == {"A": (None, "person", None, 0), "C": (None, "person", None, 1)}


def test_rows_of_deleted_rows_move_along_but_are_not_counted(column, merge, alice):
    put(column, 1, "B")
    verbatim = row(column, 1)
    verbatim.row.deleted_at = verbatim.row.created_at
    verbatim.row.save()
    assert merge_preview(target=topic(column, "A"), sources=[topic(column, "B")]).n_rows == 0
    merge("A", "B")
    assert list(chips(column, 1)) == ["A"]


def test_a_duplicate_group_moves_together(make_project, alice):
    column = make_project(alice, topics=["A", "B"]).column
    review(column, alice, 1, "B")  # row 4 says the same
    topics_merge(target=topic(column, "A"), sources=[topic(column, "B")], user=alice)
    assert chips(column, 1) == chips(column, 4) == {"A": (None, "person", None, 0)}
    assert TEXTS[0].casefold().split() == TEXTS[3].casefold().split()


@pytest.mark.parametrize(
    ("target", "source", "winner"),
    [
        ((None, "ai", 0.4, 0), (None, "ai", 0.9, 1), (None, "ai", 0.9, 0)),
        ((None, "ai", 0.9, 1), (None, "ai", 0.4, 0), (None, "ai", 0.9, 0)),
        ((None, "ai", 0.99, 0), (None, "person", None, 3), (None, "person", None, 0)),
        ((None, "keyword", 0.2, 0), (None, "ai", 0.9, 1), (None, "keyword", 0.2, 0)),
        ((None, "import", None, 0), (None, "person", None, 1), (None, "person", None, 0)),
        ((None, "keyword", None, 0), (None, "import", None, 1), (None, "import", None, 0)),
        ((None, "ai", None, 0), (None, "ai", 0.9, 1), (None, "ai", None, 0)),
    ],
)
def test_a_row_with_both_keeps_the_one_that_was_said_best(column, merge, target, source, winner):
    for label, (mood, by, probability, position) in (("A", target), ("B", source)):
        put(column, 1, label, mood, source=by, probability=probability, position=position)
    merge("A", "B")
    assert chips(column, 1) == {"A": winner}


def test_chips_keep_their_order(column, merge, alice):
    review(column, alice, 1, "B", "C", "A")
    merge("A", "B")
    assert list(chips(column, 1)) == ["A", "C"]


# --- sentiments -----------------------------------------------------------------------------------
def test_a_target_with_sentiment_keeps_the_sentiments_of_the_rows(column, merge, alice):
    put(column, 1, "S", -1)
    review(column, alice, 2, ("S", 1))
    merge("T", "S")
    assert chips(column, 1)["T"][0] == -1
    assert chips(column, 2)["T"][0] == 1


def test_a_row_reviewed_with_two_sentiments_keeps_that_of_the_target(column, merge, alice):
    review(column, alice, 1, ("S", 1), ("T", -1))
    assert row(column, 1).sentiment == 0
    assert merge_preview(target=topic(column, "T"), sources=[topic(column, "S")]).n_conflicting == 1
    merge("T", "S")
    assert chips(column, 1) == {"T": (-1, "person", None, 0)}
    assert row(column, 1).sentiment == -1


def test_a_sentiment_topic_merged_into_one_without_drops_it(column, merge, alice, monkeypatch):
    from rows import hooks as row_hooks

    monkeypatch.setattr(row_hooks.text_sentiments, "_functions", [lambda texts: [0 for _ in texts]])
    review(column, alice, 1, ("S", -1))
    put(column, 2, "S", 1)
    seen = merge_preview(target=topic(column, "A"), sources=[topic(column, "S")])
    assert (seen.n_dropped, seen.n_dropped_reviewed, seen.n_positive) == (2, 1, 0)
    change = merge("A", "S")
    assert chips(column, 1) == {"A": (None, "person", None, 0)}
    assert chips(column, 2)["A"][0] is None
    assert row(column, 1).sentiment == 0  # that of the text
    undo(change, alice)
    assert chips(column, 1) == {"S": (-1, "person", None, 0)}
    assert row(column, 1).sentiment == -1


def test_without_sentiment_into_one_with_reviewed_rows_get_neutral(column, merge, alice):
    review(column, alice, 1, "A")
    put(column, 2, "A")
    seen = merge_preview(target=topic(column, "T"), sources=[topic(column, "A")])
    assert (seen.n_unsaid, seen.n_unsaid_reviewed, seen.n_neutral) == (2, 1, 1)
    merge("T", "A")
    assert chips(column, 1)["T"][0] == 0
    assert row(column, 1).is_reviewed
    assert chips(column, 2)["T"][0] is None  # until the AI proposes one


def test_without_sentiment_into_one_with_reviewed_rows_can_go_back_to_unreviewed(column, merge, alice):
    before = review(column, alice, 1, "A", "B")
    Verbatim.objects.filter(pk=before.pk).update(is_audit=True)
    review(column, alice, 2, "A", ("T", 1))  # says a sentiment already
    then = rows_state(column)
    seen = merge_preview(target=topic(column, "T"), sources=[topic(column, "A")], unsaid="propose")
    assert (seen.n_unsaid_reviewed, seen.n_neutral, seen.n_positive) == (1, 0, 1)
    change = merge("T", "A", unsaid="propose")
    now = row(column, 1)
    assert (now.is_reviewed, now.reviewed_by, now.reviewed_at, now.is_audit) == (False, None, None, False)
    assert chips(column, 1)["T"][0] is None
    assert row(column, 2).is_reviewed
    assert chips(column, 2)["T"][0] == 1
    # The AI writes all topics of an open row, and undoing finds them again.
    Assignment.objects.filter(verbatim=now, topic__deleted_at=None).delete()
    put(column, 1, "C")
    undo(change, alice)
    assert rows_state(column) == then


# --- topics ---------------------------------------------------------------------------------------
def test_the_target_keeps_what_it_is_and_gets_the_keywords(column, merge, alice):
    target, source = topic(column, "T"), topic(column, "A")
    topic_update(topic=target, user=alice, description="Mine", label_positive="Good")
    Topic.objects.filter(pk=target.pk).update(keywords=["Late", "/slow|tardy/"])
    Topic.objects.filter(pk=source.pk).update(keywords=["late", "/SLOW|tardy/", "delay"], description="Theirs")
    then = topics_state(column)
    before = topic(column, "T")
    change = merge("T", "A")
    after = topic(column, "T")
    kept = ("label", "description", "code_neutral", "code_positive", "code_negative", "label_positive")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.version != before.version  # a form that was opened before would drop the keywords
    assert after.keywords == ["Late", "/slow|tardy/", "/SLOW|tardy/", "delay"]
    Topic.objects.filter(pk=target.pk).update(keywords=[*after.keywords, "since"])
    undo(change, alice)
    assert topic(column, "T").keywords == ["Late", "/slow|tardy/", "since"]
    Topic.objects.filter(pk=target.pk).update(keywords=["Late", "/slow|tardy/"])
    assert topics_state(column) == then


def test_codes_of_the_sources_are_not_given_away_by_themselves(column, merge, alice):
    code = topic(column, "B").code_neutral
    change = merge("A", "B")
    new = topic_create(column=column, label="N", category=topic(column, "A").category, user=alice)
    assert new.code_neutral > code
    undo(change, alice)
    assert topic(column, "B").code_neutral == code


def test_what_named_a_source_can_follow_it(column, merge, alice):
    b, c = topic(column, "B"), topic(column, "C")
    merge("B", "C")
    change = merge("A", "B")
    b.refresh_from_db()
    c.refresh_from_db()
    assert (c.merged_into_id, b.merged_into_id) == (b.pk, topic(column, "A").pk)
    undo(change, alice)
    b.refresh_from_db()
    assert b.merged_into_id is None


# --- preview --------------------------------------------------------------------------------------
def test_preview_says_what_the_merge_does_and_writes_nothing(column, merge, alice, django_assert_max_num_queries):
    put(column, 1, "B")
    put(column, 2, "A")
    put(column, 2, "B")
    review(column, alice, 3, "B")
    review(column, alice, 4, "A", "B")
    review(column, alice, 5, "A")
    then = rows_state(column)
    with django_assert_max_num_queries(4):
        seen = merge_preview(target=topic(column, "A"), sources=[topic(column, "B")])
    assert (seen.n_rows, seen.n_reviewed, seen.n_both, seen.n_both_reviewed) == (4, 2, 2, 1)
    assert rows_state(column) == then
    change = merge("A", "B")
    assert "4 rows" in str(change)
    assert merge_preview(target=topic(column, "A"), sources=[topic(column, "C")]).n_rows == 0


# --- undo -----------------------------------------------------------------------------------------
def test_undo_brings_everything_back(column, merge, alice, told):
    put(column, 1, "A", probability=0.4)
    put(column, 1, "B", probability=0.9)
    put(column, 2, "B")
    review(column, alice, 3, "B", "C")
    review(column, alice, 4, "A", "B")
    rows, topics = rows_state(column), topics_state(column)
    change = merge("A", "B", "C")
    undoing = undo(change, alice)
    assert rows_state(column) == rows
    assert topics_state(column) == topics
    assert str(undoing) == "Undone: Topics merged: B, C → A, 4 rows"
    assert len(told) == 2
    with pytest.raises(ApplicationError, match="already undone"):
        undo(change, alice)


def test_undo_leaves_rows_alone_that_people_reviewed_since(column, merge, alice, bob):
    review(column, alice, 1, "B")
    review(column, alice, 2, "B")
    put(column, 3, "B")
    change = merge("A", "B")
    review(column, bob, 1, "C")
    review(column, bob, 3, "A")
    undoing = undo(change, alice)
    assert list(chips(column, 1)) == ["C"]
    assert row(column, 1).reviewed_by == bob
    assert list(chips(column, 2)) == ["B"]
    assert list(chips(column, 3)) == ["A"]
    assert "2 rows were reviewed since and left as they are" in str(undoing)


def test_undo_takes_back_what_the_ai_wrote_since(column, merge, alice):
    put(column, 1, "B", probability=0.7)
    then = rows_state(column)
    change = merge("A", "B")
    Assignment.objects.filter(topic=topic(column, "A")).update(probability=0.99)
    undo(change, alice)
    assert rows_state(column) == then
    change = merge("A", "B")
    Assignment.objects.filter(topic=topic(column, "A")).delete()
    undo(change, alice)
    assert rows_state(column) == then


def test_merges_of_the_same_rows_can_be_undone_in_any_order(column, merge, alice):
    review(column, alice, 1, "B", ("S", 1))
    put(column, 2, "B")
    put(column, 2, "S", -1)
    then = rows_state(column)
    first, second = merge("A", "B"), merge("T", "S")
    undo(first, alice)
    assert list(chips(column, 1)) == ["B", "T"]
    third = merge("C", "B")
    undo(second, alice)
    undo(third, alice)
    assert rows_state(column) == then


def test_a_chain_of_merges_is_undone_from_its_end(column, merge, alice):
    put(column, 1, "C")
    then = rows_state(column)
    first = merge("B", "C")
    second = merge("A", "B")
    with pytest.raises(ApplicationError, match="B was deleted or merged since; undo that first"):
        undo(first, alice)
    undo(second, alice)
    undo(first, alice)
    assert rows_state(column) == then


def test_undo_leaves_rows_alone_that_a_bulk_action_changed_since(column, merge, alice):
    from rows.bulk.selection import Selection
    from rows.services.bulk import bulk_start

    put(column, 1, "B")
    change = merge("A", "B")
    bulk_start(
        column=column,
        selection=Selection(column, ids=[row(column, 1).pk]),
        options=BulkOptions(topics_mode="replace", topics=(TopicChoice(topic(column, "C").pk),)),
        user=alice,
        token="t" * 32,
    )
    undo(change, alice)
    assert list(chips(column, 1)) == ["C"]


def test_undo_is_refused_where_it_cannot_be(column, merge, alice):
    change = merge("A", "B")
    taken = topic_create(column=column, label="b", category=topic(column, "A").category, user=alice)
    with pytest.raises(ApplicationError, match="already a topic named B"):
        undo(change, alice)
    topic_delete(topic=taken, user=alice)
    deleted = topic_delete(topic=topic(column, "A"), user=alice)
    with pytest.raises(ApplicationError, match="A was deleted or merged since"):
        undo(change, alice)
    undo(deleted, alice)
    other = merge("T", "S")
    switched = topic_update(topic=topic(column, "T"), user=alice, sentiment_enabled=False)
    with pytest.raises(ApplicationError, match="sentiment of T was switched since"):
        undo(other, alice)
    undo(switched, alice)
    undo(other, alice)
    third = merge("A", "S")
    category_delete(category=column.categories.get(label="Moods"), user=alice)
    with pytest.raises(ApplicationError, match="category of S was deleted since"):
        undo(third, alice)
    assert Topic.objects.filter(column=column, deleted_at=None).count() == 2


def test_undo_over_the_limit_is_refused(column, merge, alice, settings):
    change = merge("A", "B")
    settings.LIMIT_TOPICS = 4
    with pytest.raises(ApplicationError, match="at most 4 topics"):
        undo(change, alice)
    assert Topic.objects.filter(column=column, deleted_at=None).count() == 4


def test_an_earlier_review_can_be_undone_after_the_merge(column, merge, alice):
    review(column, alice, 1, "B")
    review(column, alice, 1, "C")
    last = Change.objects.filter(kind=ChangeKind.REVIEW).order_by("-pk").first()
    merge("A", "B")
    undo(last, alice)
    assert list(chips(column, 1)) == ["A"]  # where the topic of that review went
    assert row(column, 1).is_reviewed


CHIP = st.tuples(
    st.sampled_from([-1, 0, 1]),
    st.sampled_from(list(AssignmentSource.values)),
    st.one_of(st.none(), st.floats(0, 1).map(lambda p: round(p, 4))),
)
ROW = st.tuples(st.booleans(), st.dictionaries(st.sampled_from(["A", "B", "C", "S", "T"]), CHIP, max_size=5))


@given(
    rows=st.lists(ROW, min_size=1, max_size=5),
    order=st.permutations(["A", "B", "C", "S", "T"]),
    n_sources=st.integers(1, 3),
    unsaid=st.sampled_from(["neutral", "propose"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undo_restores_the_exact_state_of_any_rows(column, alice, rows, order, n_sources, unsaid):
    with transaction.atomic():
        for number, (is_reviewed, labels) in enumerate(rows, start=1):
            if is_reviewed:
                Verbatim.objects.filter(pk=row(column, number).pk).update(is_reviewed=True, reviewed_by=alice)
            for label, (mood, source, probability) in labels.items():
                put(
                    column,
                    number,
                    label,
                    mood if label in "ST" else None,
                    source="person" if is_reviewed else source,
                    probability=None if is_reviewed else probability,
                )
        overall_refresh(column=column, topic_ids=list(column.topics.values_list("pk", flat=True)))
        before, topics = rows_state(column), topics_state(column)
        names = list(order)
        change = topics_merge(
            target=topic(column, names[0]),
            sources=[topic(column, name) for name in names[1 : 1 + n_sources]],
            user=alice,
            unsaid=unsaid,
        )
        merged = rows_state(column)
        gone = set(names[1 : 1 + n_sources])
        for number, (_is_reviewed, labels) in enumerate(rows, start=1):
            there = set(merged[number][1])
            had = bool(gone & labels.keys()) or names[0] in labels
            assert there == (labels.keys() - gone - {names[0]}) | ({names[0]} if had else set())
        undo(change, alice)
        assert rows_state(column) == before
        assert topics_state(column) == topics
        transaction.set_rollback(True)


def test_the_record_of_many_rows_is_small(make_project, alice):
    n = 3_000
    column = make_project(alice, texts=[f"text {n}" for n in range(n)], topics=["A", "B"]).column
    b = topic(column, "B")
    Assignment.objects.bulk_create(
        Assignment(verbatim=verbatim, topic=b, source="ai", probability=round(0.5 + i / 10_000, 4))
        for i, verbatim in enumerate(column.verbatims.all())
    )
    change = topics_merge(target=topic(column, "A"), sources=[b], user=alice)
    assert len(bytes(TopicMove.objects.get().data)) < n
    assert len(str(change.inverse)) < 300


# --- bad input ------------------------------------------------------------------------------------
def test_bad_merges_are_refused_and_change_nothing(column, alice, make_project):
    other = make_project(alice).column
    a, b = topic(column, "A"), topic(column, "B")
    for sources, code in (([], "nothing_chosen"), ([a], "same_topic"), ([b, a], "same_topic")):
        with pytest.raises(ApplicationError) as error:
            topics_merge(target=a, sources=sources, user=alice)
        assert error.value.code == code
    with pytest.raises(ApplicationError, match="not of the same column"):
        topics_merge(target=a, sources=[topic(other, "Price")], user=alice)
    with pytest.raises(ApplicationError, match="cannot be merged with itself"):
        merge_preview(target=a, sources=[a])
    assert not Change.objects.exists()


def test_a_source_named_twice_is_one(column, merge):
    put(column, 1, "B")
    assert "1 row" in str(merge("A", "B", "B"))


def test_merging_a_topic_that_was_deleted_meanwhile_is_a_conflict(column, alice):
    a, b, c = (topic(column, label) for label in "ABC")
    topic_delete(topic=topic(column, "B"), user=alice)
    for target, sources in ((a, [b, c]), (b, [a])):
        with pytest.raises(ApplicationError, match="B was deleted meanwhile") as error:
            topics_merge(target=target, sources=sources, user=alice)
        assert (error.value.status, error.value.code) == (409, "topic_deleted")
    assert topic(column, "C")


def test_merging_an_older_state_is_a_conflict(column, alice):
    a, b = topic(column, "A"), topic(column, "B")
    expected = {a.pk: a.version, b.pk: b.version}
    topic_update(topic=topic(column, "B"), user=alice, label="Other")
    with pytest.raises(StaleRevisionError):
        topics_merge(target=a, sources=[b], user=alice, expected=expected)
    assert topic(column, "Other")


def test_the_same_merge_sent_twice_is_one_act(column, alice, bob):
    a, b = topic(column, "A"), topic(column, "B")
    put(column, 1, "B")
    first = topics_merge(target=a, sources=[b], user=alice, expected={b.pk: b.version})
    again = topics_merge(target=a, sources=[b], user=alice, expected={b.pk: b.version})
    assert again == first
    assert Change.objects.count() == 1
    with pytest.raises(ApplicationError, match="deleted meanwhile"):
        topics_merge(target=a, sources=[b], user=bob)
    undo(first, alice)
    assert topics_merge(target=a, sources=[b], user=alice) != first


def test_a_review_based_on_the_state_before_is_a_conflict(column, merge, alice):
    put(column, 1, "B")
    seen = row(column, 1)
    c = topic(column, "C")
    merge("A", "B")
    with pytest.raises(StaleRevisionError):
        verbatim_review(verbatim=seen, topics=[TopicChoice(c.pk)], revision=seen.revision, user=alice)


# --- the AI, filters, exports ---------------------------------------------------------------------
def test_the_ai_learns_the_target_from_the_reviews_of_the_sources(column, merge, alice):
    from finetune.updates import update_now

    for number, label in ((1, "A"), (2, "B"), (3, "B"), (4, "C")):
        review(column, alice, number, label)
    update_now(column)
    merge("A", "B")
    assert update_now(column)["version"] == 2
    version = column.versions.get(number=2)
    assert topic(column, "A").pk in version.topic_ids
    assert len(version.topic_ids) == 4
    assert [list(chips(column, n)) for n in (1, 2, 3, 4)] == [["A"], ["A"], ["A"], ["C"]]


def test_an_update_that_began_before_the_merge_writes_nothing_for_the_sources(column, merge):
    import numpy as np

    from finetune.writeback import Outcome, groups_load, write_back

    a, b = topic(column, "A"), topic(column, "B")
    groups = groups_load(column)
    merge("A", "B")
    one = np.ones((groups.n, 2))
    outcome = Outcome(
        np.arange(groups.n),
        one.astype(bool),
        one.astype(np.float32),
        np.full((groups.n, 2), 9, dtype=np.int8),
        np.zeros(groups.n, dtype=np.int8),
        np.ones(groups.n),
    )
    write_back(None, column=column, groups=groups, topic_ids=[a.pk, b.pk], outcome=outcome)
    assert list(chips(column, 1)) == ["A"]


def test_a_link_that_filters_by_a_source_shows_the_rows_of_the_target(column, merge):
    from rows.filters import RowFilter

    put(column, 1, "B")
    put(column, 2, "A")
    b = topic(column, "B")
    merge("A", "B")
    found = RowFilter.from_query(f"topic={b.pk}", column)
    assert [one.label for one in found.topics] == ["A"]
    assert sorted(found.apply().values_list("row_number", flat=True)) == [1, 2]


def test_exports_have_the_target_and_its_code(column, merge, alice):
    from rows.exporting import tables
    from rows.exporting.options import ExportOptions
    from rows.filters import RowFilter

    put(column, 1, "B")
    merge("A", "B")
    code = topic(column, "A").code_neutral
    header, lines = tables.table_lines(
        column=column, row_filter=RowFilter(column), options=ExportOptions(layout="codes")
    )
    first = dict(zip(header, next(iter(next(iter(lines)))), strict=True))
    assert str(code) in {str(value) for value in first.values()}


def test_a_bulk_action_that_took_a_source_off_is_undone_with_the_target(column, merge, alice):
    from rows.bulk.selection import Selection
    from rows.services.bulk import bulk_start

    review(column, alice, 1, "B", "C")
    bulk = bulk_start(
        column=column,
        selection=Selection(column, ids=[row(column, 1).pk]),
        options=BulkOptions(topics_mode="remove", topics=(TopicChoice(topic(column, "B").pk),)),
        user=alice,
        token="r" * 32,
    )
    merge("A", "B")
    undo(bulk.change, alice)
    assert list(chips(column, 1)) == ["A", "C"]


# --- at the same moment ---------------------------------------------------------------------------
def both(first, second):
    """Run two acts at the same moment, each with a connection of its own; return what they raised."""
    errors = []

    def run(act):
        try:
            act()
        except ApplicationError as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    return errors


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_a_topic_is_merged_or_deleted_not_both(self, column, alice):
        a, b = topic(column, "A"), topic(column, "B")
        put(column, 1, "B")
        errors = both(
            lambda: topics_merge(target=a, sources=[b], user=alice),
            lambda: topic_delete(topic=topic(column, "B"), user=alice),
        )
        assert [error.status in (404, 409) for error in errors] == [True]
        assert Change.objects.filter(kind__in=[ChangeKind.TOPICS_MERGE, ChangeKind.TOPIC_DELETE]).count() == 1

    def test_two_merges_of_one_topic(self, column, alice, bob):
        a, b, c = (topic(column, label) for label in "ABC")
        put(column, 1, "B")
        errors = both(
            lambda: topics_merge(target=a, sources=[b], user=alice),
            lambda: topics_merge(target=c, sources=[b], user=bob),
        )
        assert [error.code for error in errors] == ["topic_deleted"]
        assert len(chips(column, 1)) == 1

    def test_merging_into_each_other_leaves_one(self, column, alice, bob):
        a, b = topic(column, "A"), topic(column, "B")
        put(column, 1, "B")
        errors = both(
            lambda: topics_merge(target=a, sources=[b], user=alice),
            lambda: topics_merge(target=b, sources=[a], user=bob),
        )
        assert [error.status for error in errors] == [409]
        assert len(chips(column, 1)) == 1

    @pytest.mark.parametrize("number", [1, 2])
    def test_no_review_is_lost_in_a_merge(self, column, alice, bob, number):
        """Row 1 has the source already, row 2 gets it by the review."""
        put(column, 1, "B")
        a, b = topic(column, "A"), topic(column, "B")
        for _round in range(5):
            verbatim = row(column, number)
            errors = both(
                lambda: topics_merge(target=a, sources=[b], user=alice),
                lambda verbatim=verbatim: verbatim_review(
                    verbatim=verbatim, topics=[TopicChoice(b.pk)], revision=verbatim.revision, user=bob
                ),
            )
            assert len(errors) <= 1
            if not errors:  # the review came first
                assert list(chips(column, number)) == ["A"]
                assert row(column, number).is_reviewed
            else:
                assert errors[0].code in ("topic_missing", "stale")
                assert not row(column, number).is_reviewed
            undo(Change.objects.filter(kind=ChangeKind.TOPICS_MERGE).order_by("-pk").first(), alice)
            for change in Change.objects.filter(kind=ChangeKind.REVIEW, undone_at=None):
                undo(change, bob)

    def test_a_review_that_waits_for_the_merge_hears_that_its_topic_is_gone(self, column, alice, bob):
        a, b = topic(column, "A"), topic(column, "B")
        put(column, 1, "B")
        verbatim, merged = row(column, 2), threading.Event()

        def slowly():
            with transaction.atomic():
                topics_merge(target=a, sources=[b], user=alice)
                merged.set()
                time.sleep(0.5)

        def late():
            merged.wait(10)
            verbatim_review(verbatim=verbatim, topics=[TopicChoice(b.pk)], revision=verbatim.revision, user=bob)

        errors = both(slowly, late)
        assert [error.code for error in errors] == ["topic_missing"]
        assert not row(column, 2).is_reviewed

    def test_reviews_of_other_rows_do_not_wait_for_a_merge(self, column, alice, bob):
        a, b, c = (topic(column, label) for label in "ABC")
        put(column, 1, "B")
        verbatim, took = row(column, 5), []
        with transaction.atomic():
            column_before = Change.objects.count()
            hooks.rows_lock.send(column=column, topic_ids=[b.pk])

            def act():
                began = time.monotonic()
                verbatim_review(
                    verbatim=verbatim, topics=[TopicChoice(c.pk)], revision=verbatim.revision, user=bob
                )
                took.append(time.monotonic() - began)

            assert both(act, lambda: None) == []
        assert took
        assert Change.objects.count() == column_before + 1
        topics_merge(target=a, sources=[b], user=alice)


def test_what_a_row_gets_does_not_depend_on_the_order_of_its_topics():
    rule = Gathering(target_id=1, source_ids=(2, 3), has_sentiment=False)
    own = {1: (None, "ai", 0.5, 2), 2: (None, "ai", 0.5, 1), 3: (None, "ai", 0.4, 0)}
    backwards = dict(reversed(own.items()))
    assert gathered_entry(own, rule, is_reviewed=False) == gathered_entry(backwards, rule, is_reviewed=False)
    assert gathered_entry(own, rule, is_reviewed=False) == (None, "ai", 0.5, 0)
