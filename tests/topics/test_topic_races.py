"""Two people edit one topic collection at the same time."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from topicassign.errors import ApplicationError
from topics.models import Topic
from topics.selectors import topic_list
from topics.services import topic_create, topic_delete
from topics.services.base import codes_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def together(*acts):
    """Run the acts at the same moment, each with a connection of its own; return what they raised."""
    barrier, errors = threading.Barrier(len(acts)), []

    def run(act):
        try:
            barrier.wait(timeout=10)
            act()
        except ApplicationError as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return errors


def test_codes_and_limit_hold_when_many_add_at_once(column, alice, settings):
    settings.LIMIT_TOPICS = 9
    category = column.categories.first()
    errors = together(
        *(
            lambda n=n: topic_create(
                column=column, label=f"T{n}", category=category, user=alice, sentiment_enabled=True
            )
            for n in range(8)
        )
    )
    topics = list(topic_list(column=column))
    assert len(topics) == 9
    assert [error.code for error in errors] == ["too_many_topics"] * 2
    codes = [code for topic in topics for code in codes_of(topic)]
    assert len(codes) == len(set(codes))


def test_the_same_topic_is_added_once(column, alice):
    category = column.categories.first()
    act = lambda: topic_create(column=column, label="Same", category=category, user=alice)  # noqa: E731
    errors = together(act, act, act)
    assert [error.code for error in errors] == ["topic_exists"] * 2
    assert Topic.objects.filter(label="Same").count() == 1


def test_the_same_topic_is_deleted_once(column, alice):
    pk = column.topics.first().pk
    act = lambda: topic_delete(topic=Topic.objects.get(pk=pk), user=alice)  # noqa: E731
    errors = together(act, act)
    assert [error.status for error in errors] == [404]
