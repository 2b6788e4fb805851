"""Two people import codebooks into one topic collection at the same time."""

from __future__ import annotations

import pytest

from projects.models import Change
from tests.topics.test_topic_races import together
from topicassign.errors import StaleRevisionError
from topics.codebook import codebook_apply, codebook_read, collection_version, template_get
from topics.selectors import topic_list
from topics.services.base import codes_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def test_previews_of_one_state_are_written_by_one_person(column, alice):
    seen = collection_version(column)
    books = [codebook_read("c.csv", f"topic,category\nNew {n},Shop\n".encode()) for n in range(4)]
    acts = [
        lambda book=book: codebook_apply(column=column, book=book, user=alice, expected=seen) for book in books
    ]
    errors = together(*acts)
    assert [type(error) for error in errors] == [StaleRevisionError] * 3
    assert topic_list(column=column).count() == 4
    assert Change.objects.count() == 1


def test_a_template_sent_twice_at_once_is_taken_once(make_project, alice):
    column = make_project(alice, topics=()).column
    seen, book = collection_version(column), template_get("nps", "en").book
    act = lambda: codebook_apply(column=column, book=book, user=alice, expected=seen)  # noqa: E731
    assert together(act, act, act) == []
    topics = list(topic_list(column=column))
    codes = [code for topic in topics for code in codes_of(topic)]
    assert (len(topics), len(set(codes))) == (23, len(codes))
    assert Change.objects.count() == 1
