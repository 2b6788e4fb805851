"""Moving and deleting many topics as one act."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from projects.models import Change, ChangeKind
from rows.selectors import topic_counts
from tests.topics.restructuring import put, review, row, topic, topics_state, undo
from topicassign.errors import ApplicationError, StaleRevisionError
from topics import hooks
from topics.models import Topic
from topics.selectors import topic_list
from topics.services import (
    category_delete,
    topic_create,
    topic_delete,
    topic_move,
    topic_update,
    topics_delete,
    topics_move,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def column(make_project, alice):
    return make_project(
        alice,
        topics=[("One", "A"), ("One", "B"), ("One", "C", True), ("Two", "D"), ("Two", "E", True), ("Three", "A")],
    ).column


@pytest.fixture
def told(monkeypatch):
    calls = []
    monkeypatch.setattr(hooks.topics_changed, "_functions", [lambda **values: calls.append(values)])
    return calls


def board(column):
    """Return the collection as text: One A B C | Two D E | Three A."""
    groups = {}
    for one in topic_list(column=column):
        groups.setdefault(one.category.label, []).append(one.label)
    return " | ".join(" ".join([category, *labels]) for category, labels in groups.items())


def of(column, *labels):
    return [topic(column, label) for label in labels]


def category(column, label):
    return column.categories.get(label=label)


# --- move -----------------------------------------------------------------------------------------
def test_topics_move_together_and_keep_their_order(column, alice, told):
    then = topics_state(column)
    change = topics_move(topics=of(column, "E", "C", "B"), category=category(column, "Three"), user=alice)
    assert board(column) == "One A | Two D | Three A B C E"
    assert str(change) == "Topics moved to Three: B, C, E"
    assert len(told) == 1
    undo(change, alice)
    assert topics_state(column) == then
    assert len(told) == 2


def test_topics_move_before_another(column, alice):
    topics_move(
        topics=of(column, "E", "B"), category=category(column, "One"), before=topic(column, "C"), user=alice
    )
    assert board(column) == "One A B E C | Two D | Three A"


def test_one_topic_is_reordered(column, alice, told):
    version = topic(column, "C").ai_version
    change = topic_move(topic=topic(column, "C"), before=topic(column, "B"), user=alice)
    assert board(column) == "One A C B | Two D E | Three A"
    assert str(change) == "Topics of One ordered"
    assert not told  # the AI does not read the order
    assert topic(column, "C").ai_version == version
    topic_move(topic=topic(column, "C"), user=alice)
    assert board(column) == "One A B C | Two D E | Three A"
    topic_move(topic=topic(column, "C"), before=topic(column, "D"), user=alice)
    assert board(column) == "One A B | Two C D E | Three A"


def test_dropping_where_it_stands_does_nothing(column, alice):
    assert topic_move(topic=topic(column, "B"), before=topic(column, "C"), user=alice) is None
    assert topic_move(topic=topic(column, "B"), before=topic(column, "B"), user=alice) is None
    assert topic_move(topic=topic(column, "E"), user=alice) is None
    assert not Change.objects.exists()


def test_undo_of_a_move_finds_its_place_among_later_ones(column, alice):
    change = topics_move(topics=of(column, "B", "C"), category=category(column, "Two"), user=alice)
    topic_create(column=column, label="New", category=category(column, "One"), user=alice)
    topic_update(topic=topic(column, "C"), user=alice, label="Renamed")
    undo(change, alice)
    assert board(column) == "One A B Renamed New | Two D E | Three A"


def test_undo_of_a_move_is_refused_where_it_cannot_be(column, alice):
    change = topics_move(topics=of(column, "B", "C"), category=category(column, "Two"), user=alice)
    again = topic_move(topic=topic(column, "B"), category=category(column, "Three"), user=alice)
    with pytest.raises(ApplicationError, match="moved again since"):
        undo(change, alice)
    undo(again, alice)
    taken = topic_create(column=column, label="b", category=category(column, "One"), user=alice)
    with pytest.raises(ApplicationError, match="already a topic named B"):
        undo(change, alice)
    topic_delete(topic=taken, user=alice)
    deleted = topic_delete(topic=topic(column, "C"), user=alice)
    with pytest.raises(ApplicationError, match="deleted since"):
        undo(change, alice)
    undo(deleted, alice)
    category_delete(category=category(column, "One"), user=alice)
    with pytest.raises(ApplicationError, match="came from was deleted since"):
        undo(change, alice)
    assert board(column) == "Two D E B C | Three A"


def test_bad_moves_are_refused_and_change_nothing(column, alice, make_project):
    then = board(column)
    one_a = Topic.objects.get(column=column, label="A", category__label="One")
    three_a = Topic.objects.get(column=column, label="A", category__label="Three")
    with pytest.raises(ApplicationError, match="already a topic named A"):
        topic_move(topic=one_a, category=category(column, "Three"), user=alice)
    with pytest.raises(ApplicationError, match="Two of these topics are named A"):
        topics_move(topics=[one_a, three_a], category=category(column, "Two"), user=alice)
    with pytest.raises(ApplicationError, match="not in this category any more"):
        topics_move(
            topics=of(column, "B"), category=category(column, "Two"), before=topic(column, "C"), user=alice
        )
    with pytest.raises(ApplicationError, match="Choose at least one topic"):
        topics_move(topics=[], category=category(column, "Two"), user=alice)
    other = make_project(alice).column
    with pytest.raises(ApplicationError, match="category was deleted"):
        topics_move(topics=of(column, "B"), category=other.categories.first(), user=alice)
    with pytest.raises(ApplicationError, match="not of the same column"):
        topics_move(topics=[*of(column, "B"), other.topics.first()], category=category(column, "Two"), user=alice)
    assert board(column) == then
    assert not Change.objects.exists()


def test_moving_deleted_or_changed_topics_is_a_conflict(column, alice):
    b, c = of(column, "B", "C")
    topic_update(topic=topic(column, "B"), user=alice, description="Changed")
    with pytest.raises(StaleRevisionError):
        topics_move(topics=[b, c], category=category(column, "Two"), user=alice, expected={b.pk: b.version})
    topic_delete(topic=topic(column, "C"), user=alice)
    with pytest.raises(ApplicationError) as error:
        topics_move(topics=[b, c], category=category(column, "Two"), user=alice)
    assert error.value.status == 409
    assert board(column) == "One A B | Two D E | Three A"


# --- delete ---------------------------------------------------------------------------------------
def test_many_are_deleted_and_brought_back_as_one(column, alice, told):
    put(column, 1, "B")
    review(column, alice, 2, ("C", 1), ("E", -1))
    assert row(column, 2).sentiment == 0
    then = topics_state(column)
    change = topics_delete(topics=of(column, "E", "B"), user=alice)
    assert board(column) == "One A C | Two D | Three A"
    assert str(change) == "Topics deleted: B, E"
    assert row(column, 2).sentiment == 1
    column.refresh_from_db()
    assert topic(column, "C").pk in topic_counts(column=column)
    assert len(told) == 1
    undo(change, alice)
    assert topics_state(column) == then
    assert row(column, 2).sentiment == 0
    assert Change.objects.filter(kind=ChangeKind.TOPICS_DELETE).count() == 1


def test_undo_of_deleting_many_is_all_or_nothing(column, alice):
    change = topics_delete(topics=of(column, "B", "C"), user=alice)
    topic_create(column=column, label="c", category=category(column, "One"), user=alice)
    with pytest.raises(ApplicationError, match="already a topic named C"):
        undo(change, alice)
    assert board(column) == "One A c | Two D E | Three A"


def test_deleting_many_checks_what_the_person_saw(column, alice, bob):
    b, c = of(column, "B", "C")
    topic_update(topic=topic(column, "B"), user=alice, description="Changed")
    with pytest.raises(StaleRevisionError):
        topics_delete(topics=[b, c], user=alice, expected={b.pk: b.version})
    topic_delete(topic=topic(column, "C"), user=alice)
    with pytest.raises(ApplicationError) as error:
        topics_delete(topics=[b, c], user=alice)
    assert error.value.status == 409
    with pytest.raises(ApplicationError, match="Choose at least one"):
        topics_delete(topics=[], user=alice)
    first = topics_delete(topics=[b], user=alice)
    assert topics_delete(topics=[b], user=alice) == first
    with pytest.raises(ApplicationError, match="B was deleted meanwhile"):
        topics_delete(topics=[b], user=bob)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_moving_and_deleting_at_the_same_moment_leaves_one_state(column, alice):
    b, c = of(column, "B", "C")
    two = category(column, "Two")
    errors = []

    def run(act):
        try:
            act()
        except ApplicationError as error:
            errors.append(error.status)
        finally:
            connection.close()

    acts = (
        lambda: topics_move(topics=[b, c], category=two, user=alice),
        lambda: topics_delete(topics=[b, c], user=alice),
        lambda: topics_move(topics=[c], category=two, before=topic(column, "D"), user=alice),
    )
    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert board(column) == "One A | Two D E | Three A"
    assert set(errors) <= {409}
