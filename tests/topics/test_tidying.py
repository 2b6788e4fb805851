"""The page "Tidy up": which topics it lists and why, and what a person can do about them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone

from finetune.encoders import write_vectors
from finetune.models import ModelVersion
from finetune.prompts import topic_prompts
from finetune.updates import update_now
from projects.models import Change, ChangeKind, Role
from rows import overlaps
from rows.models import Assignment, Row
from rows.text import digest
from tests.conftest import add_topics
from tests.fakes import HashEncoder
from tests.topics.restructuring import put, review, topic, undo
from topicassign.errors import ApplicationError
from topics import hooks
from topics.models import DistinctPair, Topic
from topics.services import pair_mark, topic_delete, topics_merge
from topics.tidying import MAX_SHOWN, tidying

pytestmark = pytest.mark.django_db
TEXTS = [f"Text number {n}" for n in range(40)]


@pytest.fixture
def column(make_project, alice, bob, role):
    topics = [("Service", "Delivery"), ("Service", "Kindness"), ("Price", "Value")]
    return make_project(alice, texts=TEXTS, topics=topics, members={bob: role}).column


def url(name, column):
    return reverse(f"topics:{name}", args=[column.pk])


def assign_many(column, label, numbers):
    Assignment.objects.bulk_create(
        Assignment(verbatim=verbatim, topic=topic(column, label), source="ai", probability=0.9)
        for verbatim in column.verbatims.filter(row_number__in=list(numbers))
    )


def names(found):
    return [(pair.first.label, pair.second.label) for pair in found.pairs]


def read_by_ai(column, vectors):
    """Store vectors of topics by label, as an AI update does."""
    topics = [topic(column, label) for label in vectors]
    write_vectors(
        HashEncoder.key,
        [digest(prompt) for prompt in topic_prompts(topics)],
        np.array(list(vectors.values())),
    )
    ModelVersion.objects.create(
        column=column, number=1, trigger="first", state="deployed", encoder=HashEncoder.key
    )


def direction(angle_cosine):
    vector = [0.0] * HashEncoder.n_features
    vector[0], vector[1] = angle_cosine, (1 - angle_cosine**2) ** 0.5
    return vector


class TestWhatIsListed:
    def test_topics_with_nearly_the_same_meaning(self, column):
        read_by_ai(column, {"Delivery": direction(1.0), "Kindness": direction(0.9), "Value": direction(0.3)})
        found = tidying(column=column)
        assert names(found) == [("Delivery", "Kindness")]
        assert found.pairs[0].meaning == pytest.approx(0.9, abs=0.01)
        assert found.n_unread == 0

    def test_topics_that_an_ai_update_read(self, make_project, alice):
        column = make_project(
            alice, texts=TEXTS, topics=["Slow parcel delivery", "Parcel delivery slow", "Price"]
        ).column
        update_now(column)
        found = tidying(column=column)
        assert [pair.meaning for pair in found.pairs] == [1.0]
        assert found.n_unread == 0

    def test_without_the_ai_names_are_compared_letter_by_letter(self, column):
        add_topics(column, [("Other names", "Deliveries"), ("Price", "Values"), ("Price", "Vale of tears")])
        found = tidying(column=column)
        assert {frozenset(pair) for pair in names(found)} == {frozenset({"Value", "Values"})}
        assert found.n_unread == 6
        assert found.pairs[0].meaning is None

    def test_case_accents_punctuation_and_order_of_words_make_no_difference(self, make_project, alice):
        column = make_project(
            alice, topics=["Café: Größe der Tische", "tische der grösse CAFE", "Personal"]
        ).column
        assert tidying(column=column).pairs[0].wording > 0.9

    def test_the_same_name_in_two_categories(self, make_project, alice):
        column = make_project(alice, topics=[("Food", "Quality"), ("Room", "Quality")]).column
        assert tidying(column=column).pairs[0].wording == 1.0

    def test_a_rest_category_in_each_category_is_no_pair(self, make_project, alice):
        topics = [("Food", "Other"), ("Room", "other"), ("Staff", "Sonstiges"), ("Place", "Sonstiges")]
        assert tidying(column=make_project(alice, topics=topics).column).pairs == []

    def test_topics_on_mostly_the_same_rows(self, column):
        assign_many(column, "Delivery", range(1, 11))
        assign_many(column, "Kindness", range(3, 13))
        found = tidying(column=column)
        (pair,) = found.pairs
        assert (pair.n_first, pair.n_second, pair.n_both) == (10, 10, 8)
        assert pair.is_same_rows
        assert pair.same_rows == pytest.approx(8 / 12)
        assert not pair.is_always

    def test_a_topic_that_never_comes_without_another(self, column):
        assign_many(column, "Delivery", range(1, 21))
        assign_many(column, "Kindness", range(1, 8))
        (pair,) = tidying(column=column).pairs
        assert (pair.first.label, pair.second.label) == ("Delivery", "Kindness")
        assert pair.is_always
        assert not pair.is_same_rows

    def test_few_rows_with_both_say_nothing(self, column):
        assign_many(column, "Delivery", range(1, 5))
        assign_many(column, "Kindness", range(1, 5))
        assert tidying(column=column).pairs == []

    def test_topics_that_most_rows_have_meet_by_chance(self, column):
        assign_many(column, "Delivery", range(1, 39))
        assign_many(column, "Kindness", range(1, 11))  # all of them with Delivery, as nearly all rows
        assign_many(column, "Value", range(8, 41))
        assert tidying(column=column).pairs == []

    def test_each_row_counts_duplicates_too_deleted_ones_not(self, make_project, alice):
        project = make_project(alice, texts=["Same text"] * 6 + TEXTS, topics=["A1", "B2"])
        column = project.column
        for number in range(1, 7):
            put(column, number, "A1")
            put(column, number, "B2")
        assert tidying(column=column).pairs[0].n_both == 6
        Row.objects.filter(project=project, number=6).update(deleted_at=timezone.now())
        column.revision += 1
        assert tidying(column=column).pairs[0].n_both == 5

    def test_deleted_topics_are_not_compared(self, column, alice):
        assign_many(column, "Delivery", range(1, 11))
        assign_many(column, "Kindness", range(1, 11))
        topic_delete(topic=topic(column, "Kindness"), user=alice)
        column.refresh_from_db()
        assert tidying(column=column).pairs == []

    def test_after_the_merge_the_pair_is_gone(self, column, alice):
        assign_many(column, "Delivery", range(1, 11))
        assign_many(column, "Kindness", range(1, 11))
        topics_merge(target=topic(column, "Delivery"), sources=[topic(column, "Kindness")], user=alice)
        column.refresh_from_db()
        assert tidying(column=column).pairs == []

    def test_topics_that_no_row_has(self, column):
        put(column, 1, "Delivery")
        found = tidying(column=column)
        assert [one.label for one in found.unused] == ["Kindness", "Value"]

    def test_before_the_first_assignment_nothing_counts_as_unused(self, column):
        found = tidying(column=column)
        assert found.unused == []
        assert found.is_untouched

    def test_of_a_very_large_column_a_part_is_counted(self, column, monkeypatch):
        assign_many(column, "Delivery", range(1, 41))
        assign_many(column, "Kindness", range(1, 21))
        monkeypatch.setattr(overlaps, "MAX_PAIRS", 40)
        counted = overlaps.topic_overlaps(column=column)
        assert counted.every > 1
        places = [pk for pk in column.verbatims.values_list("pk", flat=True) if pk % counted.every == 0]
        assert counted.n_rows == counted.counts[topic(column, "Delivery").pk] == len(places) < 40


class TestManyTopics:
    def test_800_topics_are_compared_at_once(self, make_project, alice, django_assert_max_num_queries):
        column = make_project(alice, texts=TEXTS, topics=[]).column
        add_topics(column, [f"Topic {n:03} {'abcdefgh'[n % 8] * 5}" for n in range(800)])
        began = time.perf_counter()
        with django_assert_max_num_queries(12):
            found = tidying(column=column)
        assert time.perf_counter() - began < 4  # 0.3 s on a quiet machine
        assert len(found.pairs) == MAX_SHOWN < found.n_pairs


class TestNotTheSame:
    def test_a_pair_is_no_longer_listed_until_it_is_brought_back(self, column, alice):
        add_topics(column, [("Price", "Values")])
        first, second = topic(column, "Values"), topic(column, "Value")
        change = pair_mark(first=first, second=second, is_distinct=True, user=alice)
        assert change.kind == ChangeKind.TOPICS_DISTINCT
        assert pair_mark(first=second, second=first, is_distinct=True, user=alice) is None  # it is said already
        column.refresh_from_db()
        found = tidying(column=column)
        assert found.pairs == []
        assert [(one.first.label, one.second.label) for one in found.distinct] == [("Value", "Values")]
        pair_mark(first=first, second=second, is_distinct=False, user=alice)
        assert names(tidying(column=column))

    def test_it_can_be_undone(self, column, alice):
        add_topics(column, [("Price", "Values")])
        pair = {"first": topic(column, "Value"), "second": topic(column, "Values")}
        change = pair_mark(**pair, is_distinct=True, user=alice)
        undo(change, alice)
        assert not DistinctPair.objects.exists()
        again = pair_mark(**pair, is_distinct=True, user=alice)
        back = pair_mark(**pair, is_distinct=False, user=alice)
        with pytest.raises(ApplicationError, match="undo the later change first"):
            undo(again, alice)
        undo(back, alice)
        assert DistinctPair.objects.count() == 1

    def test_the_ai_is_not_told(self, column, alice, monkeypatch):
        monkeypatch.setattr(hooks.topics_changed, "_functions", [lambda **_: pytest.fail("told")])
        add_topics(column, [("Price", "Values")])
        pair_mark(first=topic(column, "Value"), second=topic(column, "Values"), is_distinct=True, user=alice)


class TestPage:
    @pytest.fixture
    def furnished(self, column, alice):
        add_topics(column, [("Price", "Values")])
        review(column, alice, 1, "Value")
        review(column, alice, 2, "Value", "Values")
        review(column, alice, 3, "Delivery")
        column.refresh_from_db()
        return column

    def test_it_shows_pairs_with_their_reasons_and_rows(self, furnished, as_alice):
        page = as_alice.get(url("tidy", furnished))
        first, second = topic(furnished, "Value"), topic(furnished, "Values")
        assert "Nearly the same name: 73" in page.text
        assert f"?topic={first.pk}&amp;topic={second.pk}&amp;topic_mode=all" in page.text
        assert "1 row with both" in page.text
        rows = as_alice.get(
            f"{reverse('rows:browser', args=[furnished.pk])}?topic={first.pk}&topic={second.pk}&topic_mode=all"
        )
        assert "Text number 1<" in rows.text
        assert "Text number 0<" not in rows.text

    def test_merge_opens_with_the_topic_that_stays(self, furnished, as_alice, htmx):
        first, second = topic(furnished, "Value"), topic(furnished, "Values")
        address = f"{reverse('topics:topic_merge', args=[second.pk])}?target={first.pk}"
        assert address in as_alice.get(url("tidy", furnished)).text
        dialog = as_alice.get(address, headers=htmx)
        assert f'<option value="{first.pk}" selected>' in dialog.text
        strange = as_alice.get(f"{reverse('topics:topic_merge', args=[second.pk])}?target=x", headers=htmx)
        assert strange.status_code == 200
        assert " selected>Choose a topic" in strange.text

    @pytest.mark.parametrize(
        ("role", "status", "acts"), [("viewer", 403, 0), ("analyst", 200, 0), ("admin", 200, 1)]
    )
    def test_analysts_look_and_admins_act(self, furnished, as_bob, role, status, acts, htmx):
        page = as_bob.get(url("tidy", furnished))
        assert page.status_code == status
        assert ("Not the same" in page.text) == ("data-tick-all" in page.text) == bool(acts)
        pair = {"first": topic(furnished, "Value").pk, "second": topic(furnished, "Values").pk, "distinct": "1"}
        assert as_bob.post(url("pair_mark", furnished), pair, headers=htmx).status_code == (200 if acts else 403)
        assert DistinctPair.objects.count() == acts

    def test_to_a_stranger_nothing_exists(self, furnished, as_charlie):
        pair = {"first": topic(furnished, "Value").pk, "second": topic(furnished, "Values").pk, "distinct": "1"}
        assert as_charlie.get(url("tidy", furnished)).status_code == 404
        assert as_charlie.post(url("pair_mark", furnished), pair).status_code == 404
        assert as_charlie.get(url("topics_delete", furnished)).status_code == 404

    def test_topics_of_another_column_are_not_found(self, furnished, as_alice, make_project, alice, htmx):
        strange = make_project(alice, name="Other").column.topics.first()
        pair = {"first": topic(furnished, "Value").pk, "second": strange.pk, "distinct": "1"}
        assert as_alice.post(url("pair_mark", furnished), pair, headers=htmx).status_code == 404
        body = {"topic": [strange.pk]}
        assert as_alice.post(url("topics_delete", furnished), body, headers=htmx).status_code == 409
        assert as_alice.post(url("topics_delete", furnished), {"topic": ["x"]}, headers=htmx).status_code == 422
        assert strange.deleted_at is None

    @pytest.mark.parametrize("pair", [{}, {"first": "x", "second": "y"}])
    def test_a_pair_must_be_two_topics(self, furnished, as_alice, htmx, pair):
        assert as_alice.post(url("pair_mark", furnished), pair, headers=htmx).status_code in {404, 422}
        same = topic(furnished, "Value").pk
        twice = {"first": same, "second": same, "distinct": "1"}
        assert as_alice.post(url("pair_mark", furnished), twice, headers=htmx).status_code == 422

    def test_a_topic_deleted_meanwhile_is_a_conflict(self, furnished, as_alice, alice, htmx):
        pair = {"first": topic(furnished, "Value").pk, "second": topic(furnished, "Values").pk, "distinct": "1"}
        topic_delete(topic=topic(furnished, "Values"), user=alice)
        assert as_alice.post(url("pair_mark", furnished), pair, headers=htmx).status_code == 409

    def test_unused_topics_are_deleted_at_once_and_come_back(self, furnished, as_alice, alice, htmx):
        extra = add_topics(furnished, [("Price", "Never"), ("Price", "Ever")])
        furnished.revision += 1
        ids = [one.pk for one in extra]
        dialog = as_alice.get(url("topics_delete", furnished), {"topic": ids}, headers=htmx)
        assert "Delete 2 topics?" in dialog.text
        assert "No row has one of them." in dialog.text
        assert Topic.objects.filter(pk__in=ids, deleted_at=None).count() == 2
        done = as_alice.post(url("topics_delete", furnished), {"topics": ",".join(map(str, ids))}, headers=htmx)
        assert "topics-changed" in done["HX-Trigger"]
        assert not Topic.objects.filter(pk__in=ids, deleted_at=None).exists()
        undo(Change.objects.get(kind=ChangeKind.TOPICS_DELETE), alice)
        assert Topic.objects.filter(pk__in=ids, deleted_at=None).count() == 2

    def test_the_question_says_when_rows_got_them_meanwhile(self, furnished, as_alice, htmx):
        ids = [topic(furnished, "Kindness").pk]
        put(furnished, 4, "Kindness")
        dialog = as_alice.get(url("topics_delete", furnished), {"topic": ids}, headers=htmx)
        assert "1 row loses a topic." in dialog.text
        assert as_alice.get(url("topics_delete", furnished), headers=htmx).status_code == 422  # none ticked

    def test_the_menu_leads_there(self, furnished, as_alice, client_of, make_user):
        assert url("tidy", furnished) in as_alice.get(url("list", furnished)).text
        viewer = make_user("vera")
        furnished.project.members.create(user=viewer, role=Role.VIEWER)
        assert url("tidy", furnished) not in client_of(viewer).get(url("list", furnished)).text

    @pytest.mark.parametrize(
        ("topics", "text"),
        [
            ([], "There are no topics yet."),
            (["One"], "There is one topic only."),
            (["Aaa", "Zzz"], "No two topics look alike"),
        ],
    )
    def test_with_nothing_to_tidy_up_it_says_so(self, make_project, alice, as_alice, topics, text):
        column = make_project(alice, name="Small", topics=topics).column
        page = as_alice.get(url("tidy", column)).text
        assert text in page
        assert ("No row has a topic yet" in page) == (len(topics) == 2)
