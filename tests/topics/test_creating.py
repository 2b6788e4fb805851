"""Adding many topics by name: one act, all or none, one undo."""

from __future__ import annotations

import pytest

from projects.models import Change, ChangeKind, Job, JobKind
from rows.models import Assignment
from tests.topics.restructuring import review, topic, topics_state, undo
from topicassign.errors import ApplicationError
from topics.models import Category, Topic
from topics.services import NewTopic, category_create, topic_delete, topics_create
from topics.services.base import MAX_CODE

pytestmark = pytest.mark.django_db

NEW = [
    NewTopic("Opening hours", "Shop", sentiment_enabled=True),
    NewTopic("Parking", "shop", description="Where people leave\r\ntheir cars"),
    NewTopic("Refunds", "SERVICE"),
]


def test_topics_come_with_their_categories_and_codes(column, alice):
    highest = max(one.code_negative or one.code_neutral for one in column.topics.all())

    change = topics_create(column=column, topics=NEW, user=alice)

    made = [Topic.objects.get(pk=pk) for pk in change.ids]
    assert [(one.category.label, one.label) for one in made] == [
        ("Shop", "Opening hours"),
        ("Shop", "Parking"),
        ("Service", "Refunds"),
    ]
    assert [(one.code_neutral, one.code_positive, one.code_negative) for one in made] == [
        (highest + 1, highest + 2, highest + 3),
        (highest + 4, None, None),
        (highest + 5, None, None),
    ]
    assert made[1].description == "Where people leave\ntheir cars"
    assert [one.position for one in made] == [0, 1, 2]
    assert change.summary == "3 topics added: Opening hours, Parking, Refunds"
    assert Job.objects.filter(kind=JobKind.UPDATE, column=column).exists(), "the AI reads them"


def test_it_is_one_act_with_one_undo(column, alice):
    before = topics_state(column)
    n_changes = Change.objects.count()
    change = topics_create(column=column, topics=NEW, user=alice)
    assert Change.objects.count() == n_changes + 1
    assert change.kind == ChangeKind.TOPICS_CREATE

    undo(change, alice)

    assert topics_state(column) == before
    assert not column.categories.filter(label="Shop", deleted_at=None).exists()
    assert column.categories.filter(label="Service", deleted_at=None).exists()


def test_undo_leaves_a_category_that_is_used_since(column, alice):
    change = topics_create(column=column, topics=NEW, user=alice)
    topics_create(column=column, topics=[NewTopic("Lifts", "Shop")], user=alice)

    undo(change, alice)

    shop = column.categories.get(label="Shop", deleted_at=None)
    assert [one.label for one in shop.topics.filter(deleted_at=None)] == ["Lifts"]


def test_undo_takes_those_that_are_left(column, alice):
    change = topics_create(column=column, topics=NEW, user=alice)
    topic_delete(topic=topic(column, "Parking"), user=alice)

    undo(change, alice)

    assert not column.topics.filter(label__in=["Opening hours", "Refunds"], deleted_at=None).exists()


def test_undo_is_refused_where_people_reviewed_with_them(column, alice):
    change = topics_create(column=column, topics=NEW, user=alice)
    review(column, alice, 2, "Parking")

    with pytest.raises(ApplicationError, match="Rows were reviewed with Parking since"):
        undo(change, alice)

    assert topic(column, "Refunds")


def test_undo_of_topics_that_are_all_gone_is_refused(column, alice):
    change = topics_create(column=column, topics=NEW[:1], user=alice)
    topic_delete(topic=topic(column, "Opening hours"), user=alice)

    with pytest.raises(ApplicationError, match="deleted since"):
        undo(change, alice)


def test_assignments_by_the_ai_go_and_the_overall_sentiment_with_them(column, alice, assign):
    change = topics_create(column=column, topics=NEW, user=alice)
    verbatim = column.verbatims.get(row_number=2)
    assign(verbatim, topic(column, "Opening hours"), 1)

    undo(change, alice)

    assert not Assignment.objects.filter(verbatim=verbatim, topic__deleted_at=None).exists()


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ([], "at least one"),
        ([NewTopic("  ", "Shop")], "Give the topic a name"),
        ([NewTopic("Speed", " ")], "Give the category a name"),
        ([NewTopic("x" * 51, "Shop")], "at most 50 characters"),
        ([NewTopic("Speed", "x" * 31)], "at most 30 characters"),
        ([NewTopic("Speed", "Shop", description="x" * 2_001)], "at most 2,000 characters"),
        ([NewTopic("Speed", "Shop"), NewTopic("friendliness", "service")], "already a topic named friendliness"),
        ([NewTopic("Speed", "Shop"), NewTopic("SPEED ", "shop")], "already a topic named SPEED"),
    ],
)
def test_all_or_none(column, alice, new, words):
    before = topics_state(column)

    with pytest.raises(ApplicationError, match=words):
        topics_create(column=column, topics=new, user=alice)

    assert topics_state(column) == before
    assert not Category.objects.filter(column=column, label="Shop").exists()


def test_the_limit_counts_all_of_them(column, alice, settings):
    settings.LIMIT_TOPICS = column.topics.count() + 2

    with pytest.raises(ApplicationError, match="at most 5 topics"):
        topics_create(column=column, topics=NEW, user=alice)
    topics_create(column=column, topics=NEW[:2], user=alice)


def test_after_the_highest_code_come_the_gaps(column, alice):
    Topic.objects.filter(pk=topic(column, "Price").pk).update(code_neutral=MAX_CODE)
    used = {
        code for one in column.topics.all() for code in (one.code_neutral, one.code_positive, one.code_negative)
    }

    change = topics_create(column=column, topics=NEW, user=alice)

    codes = [
        code
        for one in Topic.objects.filter(pk__in=change.ids)
        for code in (one.code_neutral, one.code_positive, one.code_negative)
        if code is not None
    ]
    assert len(set(codes)) == 5
    assert not set(codes) & used
    assert max(codes) < 20


def test_a_deleted_category_of_the_name_is_not_used(column, alice):
    old = category_create(column=column, label="Shop", user=alice)
    old.deleted_at = old.column.project.created_at
    old.save()

    topics_create(column=column, topics=NEW[:1], user=alice)

    assert topic(column, "Opening hours").category != old


def test_150_topics_need_few_statements(column, alice, django_assert_max_num_queries):
    new = [NewTopic(f"Topic {i}", f"Category {i % 10}", sentiment_enabled=True) for i in range(150)]

    with django_assert_max_num_queries(120):
        change = topics_create(column=column, topics=new, user=alice)

    assert len(change.ids) == 150
