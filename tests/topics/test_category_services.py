"""Categories: adding, changing, ordering, deleting, and taking it back."""

from __future__ import annotations

import pytest

from projects.history import change_undo
from projects.models import Change
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.selectors import category_list, topic_list
from topics.services import (
    categories_reorder,
    category_create,
    category_delete,
    category_update,
    topic_create,
    topic_delete,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def service(column):
    return column.categories.get(label="Service")


def labels(column) -> list[str]:
    return [category.label for category in category_list(column=column)]


def test_create_stands_last_with_a_colour_of_its_own(column, alice):
    category = category_create(column=column, label=" Shop ", user=alice)
    assert labels(column) == ["Service", "Price", "Shop"]
    assert category.color not in set(column.categories.exclude(pk=category.pk).values_list("color", flat=True))


@pytest.mark.parametrize("color", ["teal", "#A13F8C"])
def test_create_takes_palette_and_hex(column, alice, color):
    assert category_create(column=column, label="N", user=alice, color=color).color == color.lower()


@pytest.mark.parametrize(
    ("label", "color", "message"),
    [
        ("", "", "Give the category a name"),
        ("x" * 31, "", "at most 30 characters, this one has 31"),
        ("SERVICE", "", "already a category named SERVICE"),
        ("New", "beige", "Choose a colour"),
        ("New", "#12", "Choose a colour"),
        ("New", "red;background:url(x)", "."),
    ],
)
def test_create_refuses_bad_input(column, alice, label, color, message):
    with pytest.raises(ApplicationError, match=message):
        category_create(column=column, label=label, color=color, user=alice)
    assert labels(column) == ["Service", "Price"]


def test_rename_is_read_by_the_ai_a_colour_is_not(column, alice, service):
    before, topic = column.data_version, service.topics.first()
    category_update(category=service, user=alice, color="red")
    column.refresh_from_db()
    assert column.data_version == before
    category_update(category=service, user=alice, label="Staff")
    column.refresh_from_db()
    assert column.data_version == before + 1
    assert service.topics.get(pk=topic.pk).ai_version == topic.ai_version + 1


def test_undo_of_update(column, alice, service):
    change = category_update(category=service, user=alice, label="Staff", color="red")
    category_update(category=service, user=alice)
    change_undo(change=change, user=alice)
    service.refresh_from_db()
    assert (service.label, service.color) == ("Service", "blue")


def test_update_of_an_older_state_is_refused(alice, service):
    seen = service.version
    category_update(category=service, user=alice, label="Staff")
    with pytest.raises(StaleRevisionError):
        category_update(category=service, user=alice, label="People", expected=seen)


def test_delete_takes_its_topics_and_undo_brings_them_back(column, alice, service):
    lone = topic_create(column=column, label="Gone before", category=service, user=alice)
    topic_delete(topic=lone, user=alice)
    change = category_delete(category=service, user=alice)
    assert labels(column) == ["Price"]
    assert [topic.label for topic in topic_list(column=column)] == ["Price"]
    change_undo(change=change, user=alice)
    assert labels(column) == ["Service", "Price"]
    assert [topic.label for topic in topic_list(column=column)] == ["Friendliness", "Delivery time", "Price"]


def test_topic_cannot_come_back_into_a_deleted_category(column, alice, service):
    change = topic_delete(topic=service.topics.first(), user=alice)
    category_delete(category=service, user=alice)
    with pytest.raises(ApplicationError, match="category was deleted since"):
        change_undo(change=change, user=alice)


def test_undo_of_create_is_refused_while_it_has_topics(column, alice):
    category = category_create(column=column, label="New", user=alice)
    change = Change.objects.get()
    topic_create(column=column, label="T", category=category, user=alice)
    with pytest.raises(ApplicationError, match="has topics by now"):
        change_undo(change=change, user=alice)


def test_reorder_and_undo(column, alice):
    ids = [category.pk for category in category_list(column=column)]
    change = categories_reorder(column=column, category_ids=ids[::-1], user=alice)
    assert labels(column) == ["Price", "Service"]
    change_undo(change=change, user=alice)
    assert labels(column) == ["Service", "Price"]
    assert categories_reorder(column=column, category_ids=ids, user=alice) is None
    with pytest.raises(ApplicationError, match="changed meanwhile"):
        categories_reorder(column=column, category_ids=ids[:1], user=alice)
