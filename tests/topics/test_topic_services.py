"""Topics: adding, changing, deleting, and taking it back."""

from __future__ import annotations

import pytest

from projects.history import change_undo
from projects.models import Change, ChangeKind, Column
from rows.models import Assignment, Verbatim
from rows.selectors import topic_counts
from rows.services.reviews import TopicChoice, verbatim_review
from topicassign.errors import ApplicationError, StaleRevisionError
from topics import hooks
from topics.models import Topic
from topics.selectors import topic_list
from topics.services import topic_create, topic_delete, topic_update
from topics.services.base import pack_ids, unpack_ids

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(monkeypatch):
    """Collect what the AI is told about."""
    calls = []
    monkeypatch.setattr(hooks.topics_changed, "_functions", [lambda **values: calls.append(values)])
    return calls


@pytest.fixture
def price(column):
    return column.topics.get(label="Price")


@pytest.fixture
def friendliness(column):
    return column.topics.get(label="Friendliness")


def last_change(column: Column) -> Change:
    return Change.objects.filter(column=column).order_by("-pk").first()


def review(column, alice, index, *choices):
    verbatim = column.verbatims.order_by("row_number")[index]
    return verbatim_review(verbatim=verbatim, topics=choices, revision=verbatim.revision, user=alice)


def test_create_gives_the_next_free_codes_and_tells_the_ai(column, alice, told):
    category = column.categories.get(label="Service")
    before = column.data_version
    topic = topic_create(column=column, label="  Opening \t hours ", category=category, user=alice)
    assert (topic.label, topic.code_neutral, topic.code_positive, topic.position) == ("Opening hours", 8, None, 2)
    with_sentiment = topic_create(
        column=column, label="Range", category=category, user=alice, sentiment_enabled=True, code_positive=50
    )
    assert [with_sentiment.code(value) for value in (0, 1, -1)] == [51, 50, 52]
    column.refresh_from_db()
    assert column.data_version == before + 2
    assert [call["user"] for call in told] == [alice, alice]


def test_undo_of_create_takes_the_topic_away(column, alice, told):
    topic = topic_create(column=column, label="New", category=column.categories.first(), user=alice)
    change_undo(change=last_change(column), user=alice)
    assert topic not in topic_list(column=column)
    assert len(told) == 2


def test_undo_of_create_is_refused_once_rows_were_reviewed_with_it(column, alice):
    topic = topic_create(column=column, label="New", category=column.categories.first(), user=alice)
    change = last_change(column)
    review(column, alice, 1, TopicChoice(topic.pk))
    with pytest.raises(ApplicationError, match="reviewed with New since"):
        change_undo(change=change, user=alice)
    assert topic in topic_list(column=column)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("", "Give the topic a name"),
        (" \n\t", "Give the topic a name"),
        ("x" * 51, "at most 50 characters, this one has 51"),
        ("FRIENDLINESS", "already a topic named FRIENDLINESS"),
        (" friendliness ", "already a topic"),
    ],
)
def test_create_refuses_bad_labels(column, alice, label, message):
    category = column.categories.get(label="Service")
    with pytest.raises(ApplicationError, match=message):
        topic_create(column=column, label=label, category=category, user=alice)
    assert column.topics.count() == 3
    assert not Change.objects.exists()


def test_labels_are_unique_ignoring_case_beyond_ascii(column, alice):
    category = column.categories.first()
    topic_create(column=column, label="Öffnungszeiten", category=category, user=alice)
    with pytest.raises(ApplicationError, match="already a topic"):
        topic_create(column=column, label="ÖFFNUNGSZEITEN", category=category, user=alice)


def test_the_same_label_may_stand_in_another_category(column, alice):
    topic = topic_create(
        column=column, label="Friendliness", category=column.categories.get(label="Price"), user=alice
    )
    assert topic.category.label == "Price"


def test_label_is_data_not_markup(column, alice):
    label = "<b>{{ 7*7 }}</b> =SUM(A1) \x00 ok"
    topic = topic_create(column=column, label=label, category=column.categories.first(), user=alice)
    assert topic.label == "<b>{{ 7*7 }}</b> =SUM(A1) ok"


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"code_neutral": 1}, "already used by the topic Friendliness"),
        ({"code_neutral": 2}, "already used by the topic Friendliness"),
        ({"code_neutral": -5}, "from 0 to"),
        ({"code_neutral": 10**12}, "from 0 to"),
        ({"code_neutral": 90, "code_positive": 90}, "given twice"),
    ],
)
def test_codes_are_unique_over_all_versions(column, alice, codes, message):
    with pytest.raises(ApplicationError, match=message):
        topic_create(
            column=column,
            label="N",
            category=column.categories.first(),
            user=alice,
            sentiment_enabled=True,
            **codes,
        )


def test_codes_of_other_columns_do_not_clash(make_project, alice):
    project = make_project(alice, texts={"One": ["a"], "Two": ["b"]})
    one, two = project.columns.order_by("position")
    assert one.topics.first().code_neutral == two.topics.first().code_neutral == 1


def test_topics_are_limited(column, alice, settings):
    settings.LIMIT_TOPICS = 3
    with pytest.raises(ApplicationError, match="at most 3 topics"):
        topic_create(column=column, label="Fourth", category=column.categories.first(), user=alice)


def test_create_refuses_a_category_of_another_column(column, alice, make_project):
    other = make_project(alice).column.categories.first()
    with pytest.raises(ApplicationError, match="category was deleted"):
        topic_create(column=column, label="N", category=other, user=alice)


@pytest.mark.parametrize(
    ("fields", "for_ai"),
    [
        ({"label": "Prices"}, True),
        ({"description": "What it costs"}, True),
        ({"label_neutral": "Fair"}, True),
        ({"sentiment_enabled": True}, True),
        ({"code_neutral": 77}, False),
    ],
)
def test_update_tells_the_ai_only_what_it_reads(column, alice, price, told, fields, for_ai):
    version, ai_version = column.data_version, price.ai_version
    change = topic_update(topic=price, user=alice, **fields)
    column.refresh_from_db()
    price.refresh_from_db()
    assert change is not None
    assert bool(told) is for_ai
    assert (column.data_version > version) is for_ai
    assert (price.ai_version > ai_version) is for_ai
    before = dict(change.inverse["before"])
    change_undo(change=change, user=alice)
    price.refresh_from_db()
    assert {name: getattr(price, name) for name in before} == before


def test_update_without_a_difference_does_nothing(column, alice, price, told):
    assert topic_update(topic=price, user=alice, label="Price", description=" ") is None
    assert not told
    assert not Change.objects.exists()


def test_update_moves_to_another_category_and_back(column, alice, price):
    service = column.categories.get(label="Service")
    change = topic_update(topic=price, user=alice, category=service)
    assert [topic.label for topic in topic_list(column=column)] == ["Friendliness", "Delivery time", "Price"]
    change_undo(change=change, user=alice)
    price.refresh_from_db()
    assert price.category.label == "Price"


def test_update_refuses_a_label_that_is_there_after_the_move(column, alice, price, friendliness):
    topic_update(topic=price, user=alice, label="friendliness")
    with pytest.raises(ApplicationError, match="already a topic named"):
        topic_update(topic=price, user=alice, category=friendliness.category)


def test_a_case_change_is_a_rename(alice, price):
    topic_update(topic=price, user=alice, label="PRICE")
    price.refresh_from_db()
    assert price.label == "PRICE"


def test_update_of_an_older_state_is_refused(alice, price):
    seen = price.version
    topic_update(topic=price, user=alice, label="Prices")
    with pytest.raises(StaleRevisionError):
        topic_update(topic=price, user=alice, label="Cost", expected=seen)
    price.refresh_from_db()
    assert price.label == "Prices"


def test_update_of_a_deleted_topic_is_404(alice, price):
    topic_delete(topic=Topic.objects.get(pk=price.pk), user=alice)
    with pytest.raises(ApplicationError) as error:
        topic_update(topic=price, user=alice, label="Cost")
    assert error.value.status == 404


def test_undo_is_refused_after_a_later_change_of_the_same(alice, price):
    change = topic_update(topic=price, user=alice, label="Prices")
    topic_update(topic=price, user=alice, label="Cost")
    with pytest.raises(ApplicationError, match="later change first"):
        change_undo(change=change, user=alice)


def test_undo_works_after_a_later_change_of_something_else(alice, price):
    change = topic_update(topic=price, user=alice, label="Prices")
    topic_update(topic=price, user=alice, description="What it costs")
    change_undo(change=change, user=alice)
    price.refresh_from_db()
    assert (price.label, price.description) == ("Price", "What it costs")


def test_sentiment_can_be_switched_on_while_nobody_reviewed(column, alice, price, assign):
    assign(column.verbatims.first(), price)
    topic_update(topic=price, user=alice, sentiment_enabled=True)
    price.refresh_from_db()
    assert [price.code(value) for value in (0, 1, -1)] == [7, 8, 9]


def test_sentiment_on_is_refused_with_reviewed_rows_and_says_what_to_do(column, alice, price):
    review(column, alice, 1, TopicChoice(price.pk))
    with pytest.raises(ApplicationError, match=r"1 reviewed row has Price.*Add a new topic with sentiment"):
        topic_update(topic=price, user=alice, sentiment_enabled=True)
    price.refresh_from_db()
    assert not price.sentiment_enabled


def test_sentiment_off_drops_sentiments_and_undo_brings_them_back(column, alice, friendliness, assign):
    first, second, third = column.verbatims.order_by("row_number")[:3]
    assign(first, friendliness, 1)
    assign(third, friendliness, -1)
    review(column, alice, 1, TopicChoice(friendliness.pk, 1))
    change = topic_update(topic=friendliness, user=alice, sentiment_enabled=False)
    assert set(friendliness.assignments.values_list("sentiment", flat=True)) == {None}
    assert (friendliness.code_positive, friendliness.code_negative) == (None, None)
    change_undo(change=change, user=alice)
    friendliness.refresh_from_db()
    found = dict(friendliness.assignments.values_list("verbatim", "sentiment"))
    assert found == {first.pk: 1, second.pk: 1, third.pk: -1}
    assert [friendliness.code(value) for value in (0, 1, -1)] == [1, 2, 3]


def test_undo_of_sentiment_off_is_refused_when_rows_were_reviewed_without(column, alice, friendliness):
    change = topic_update(topic=friendliness, user=alice, sentiment_enabled=False)
    review(column, alice, 1, TopicChoice(friendliness.pk))
    with pytest.raises(ApplicationError, match="1 row was reviewed with Friendliness since"):
        change_undo(change=change, user=alice)


def test_two_equal_sentiment_labels_are_refused(alice, friendliness):
    with pytest.raises(ApplicationError, match="Two sentiment labels are the same"):
        topic_update(topic=friendliness, user=alice, label_positive="Good", label_negative="good")


def test_delete_hides_the_topic_and_keeps_assignments_for_undo(column, alice, friendliness, told, assign):
    verbatim = column.verbatims.order_by("row_number")[1]
    assign(verbatim, friendliness, 1)
    assert topic_counts(column=column)[friendliness.pk]["positive"] == 1
    change = topic_delete(topic=friendliness, user=alice)
    column.refresh_from_db()
    assert friendliness.pk not in topic_counts(column=column)
    assert Assignment.objects.filter(topic=friendliness).count() == 1
    assert len(told) == 1
    change_undo(change=change, user=alice)
    column.refresh_from_db()
    assert topic_counts(column=column)[friendliness.pk]["positive"] == 1


def test_delete_writes_no_more_for_many_rows(make_project, alice, django_assert_max_num_queries):
    column = make_project(alice, texts=[f"text {n}" for n in range(300)]).column
    topic = column.topics.get(label="Friendliness")
    Assignment.objects.bulk_create(
        Assignment(verbatim=verbatim, topic=topic, sentiment=1, source="ai") for verbatim in column.verbatims.all()
    )
    with django_assert_max_num_queries(20):
        topic_delete(topic=topic, user=alice)


def test_delete_twice_is_404(alice, price):
    same = Topic.objects.get(pk=price.pk)
    topic_delete(topic=price, user=alice)
    with pytest.raises(ApplicationError) as error:
        topic_delete(topic=same, user=alice)
    assert error.value.status == 404


def test_undo_of_delete_is_refused_while_another_topic_has_the_label(column, alice, price):
    change = topic_delete(topic=price, user=alice)
    topic_create(column=column, label="price", category=price.category, user=alice)
    with pytest.raises(ApplicationError, match="already a topic named Price"):
        change_undo(change=change, user=alice)
    change.refresh_from_db()
    assert change.undone_at is None


def test_undo_of_delete_takes_new_codes_where_the_old_ones_are_taken(column, alice, price):
    change = topic_delete(topic=price, user=alice)
    other = topic_create(column=column, label="Cost", category=price.category, user=alice, code_neutral=7)
    change_undo(change=change, user=alice)
    price.refresh_from_db()
    assert (other.code_neutral, price.code_neutral) == (7, 8)


def test_overall_sentiment_follows_the_topics_that_are_left(column, alice):
    friendliness, delivery = column.topics.get(label="Friendliness"), column.topics.get(label="Delivery time")
    review(column, alice, 1, TopicChoice(friendliness.pk, 1), TopicChoice(delivery.pk, -1))
    verbatim = column.verbatims.order_by("row_number")[1]
    assert verbatim.sentiment == 0
    change = topic_delete(topic=friendliness, user=alice)
    verbatim.refresh_from_db()
    assert verbatim.sentiment == -1
    change_undo(change=change, user=alice)
    verbatim.refresh_from_db()
    assert verbatim.sentiment == 0
    topic_update(topic=delivery, user=alice, sentiment_enabled=False)
    verbatim.refresh_from_db()
    assert verbatim.sentiment == 1


def test_overall_sentiment_comes_from_the_text_when_no_sentiment_topic_is_left(column, alice, monkeypatch):
    from rows import hooks as row_hooks

    friendliness = column.topics.get(label="Friendliness")
    review(column, alice, 1, TopicChoice(friendliness.pk, -1))
    monkeypatch.setattr(row_hooks.text_sentiments, "_functions", [lambda texts: [1 for _ in texts]])
    topic_delete(topic=friendliness, user=alice)
    assert Verbatim.objects.get(column=column, row_number=2).sentiment == 1


def test_packed_ids_come_back():
    ids = [5, 6, 7, 1_000_000, 1_000_007]
    assert unpack_ids(pack_ids(reversed(ids))) == ids
    assert len(pack_ids(range(1, 1_000_001))) < 5_000


def test_history_tells_what_was_done(column, alice, price):
    topic_update(topic=price, user=alice, label="Prices")
    topic_update(topic=price, user=alice, code_neutral=99)
    topic_delete(topic=price, user=alice)
    kinds = list(Change.objects.order_by("pk").values_list("kind", "summary"))
    assert kinds == [
        (ChangeKind.TOPIC_UPDATE, "Topic renamed: Price → Prices"),
        (ChangeKind.TOPIC_UPDATE, "Topic Prices: neutral code changed"),
        (ChangeKind.TOPIC_DELETE, "Topic deleted: Price: Prices"),
    ]
