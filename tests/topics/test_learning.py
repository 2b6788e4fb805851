"""A column that learns from another project: who may set it, what it does to topics, loops, undo."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.http import Http404
from django.urls import reverse
from django.utils import timezone

from projects.models import Change, ChangeKind, Column, Job, JobKind, Member, Role
from projects.services.projects import project_delete, project_restore
from tests.conftest import add_topics
from tests.topics.restructuring import review, topic, topics_state, undo
from tests.topics.test_topic_races import together
from topicassign.errors import ApplicationError
from topics.models import Topic, TopicPartner
from topics.partners import partners_of, teachers
from topics.selectors import topic_list
from topics.services import topic_create, topic_delete, topic_update, topics_merge
from topics.services.learning import learning_set

pytestmark = pytest.mark.django_db
OTHERS = [("Service", "Delivery time", True), ("Price", "price"), ("Food", "Taste"), ("Food", "Portions", True)]


@pytest.fixture
def source(make_project, alice):
    return make_project(alice, name="Last year", topics=OTHERS).column


def url(name, column):
    return reverse(f"topics:{name}", args=[column.pk])


def learns(column, source, user, **values):
    column.refresh_from_db()
    return learning_set(column=column, source=source, user=user, **values)


def partners(column, source):
    """Return the pairs of topics as labels of the source and of the column."""
    labels = dict(Topic.objects.values_list("pk", "label"))
    return {(labels[other], labels[own]) for other, own in partners_of(column, source).items()}


class TestPartners:
    def test_category_and_label_ignoring_case(self, column, source):
        assert partners(column, source) == {("Delivery time", "Delivery time"), ("price", "Price")}

    def test_a_label_that_both_have_once_in_another_category(self, column, make_project, alice):
        source = make_project(alice, name="B", topics=[("Logistics", "delivery TIME")]).column
        assert partners(column, source) == {("delivery TIME", "Delivery time")}

    def test_a_label_that_one_of_them_has_twice_is_decided_by_the_code(self, column, make_project, alice):
        twice = [("Logistics", "Delivery time"), ("Food", "Delivery time")]
        source = make_project(alice, name="B", topics=[("Y", "Z"), *twice]).column
        same_code = source.topics.get(category__label="Logistics")
        assert partners_of(column, source) == {same_code.pk: topic(column, "Delivery time").pk}

    def test_a_label_that_one_of_them_has_twice_is_no_partner_without_the_code(self, column, make_project, alice):
        topics = [("Y", "Z"), ("Y", "Q"), ("Logistics", "Delivery time"), ("Food", "Delivery time")]
        assert partners(column, make_project(alice, name="B", topics=topics).column) == set()

    def test_one_code_and_a_label_that_is_alike(self, make_project, alice):
        column = make_project(alice, name="A", topics=[("A", "One"), ("A", "Waiting time")]).column
        source = make_project(alice, name="B", topics=[("A", "One"), ("A", "Waiting times (phone)")]).column
        assert ("Waiting times (phone)", "Waiting time") in partners(column, source)

    def test_copies_of_one_codebook_that_were_extended_apart(self, make_project, alice):
        topics = [("A", "One"), ("A", "Two"), ("A", "Three"), ("A", "Four")]
        column = make_project(alice, name="A", topics=[*topics, ("A", "Parking")]).column
        source = make_project(alice, name="B", topics=[*topics, ("A", "Breakfast")]).column
        assert len(partners(column, source)) == 4

    def test_codes_alone_say_nothing(self, make_project, alice):
        column = make_project(alice, name="A", topics=[("A", "One"), ("A", "Two"), ("A", "Three")]).column
        source = make_project(alice, name="B", topics=[("B", "Uno"), ("B", "Due"), ("B", "Three")]).column
        assert partners(column, source) == {("Three", "Three")}

    def test_renaming_on_either_side_keeps_partners_that_were_set(self, column, source, alice):
        learns(column, source, alice)
        topic_update(topic=topic(column, "Delivery time"), user=alice, label="Shipping")
        topic_update(topic=topic(source, "price"), user=alice, label="Costs")
        assert partners(column, source) == {("Delivery time", "Shipping"), ("Costs", "Price")}

    def test_topics_added_later_are_matched_by_name(self, column, source, alice):
        learns(column, source, alice)
        topic_create(column=column, label="Taste", category="Food", user=alice)
        assert ("Taste", "Taste") in partners(column, source)

    def test_merged_topics_are_followed_on_both_sides(self, column, source, alice):
        learns(column, source, alice)
        value = topic_create(column=column, label="Value", category=topic(column, "Price").category, user=alice)
        topics_merge(target=value, sources=[topic(column, "Price")], user=alice)
        fees = topic_create(column=source, label="Fees", category=topic(source, "price").category, user=alice)
        topics_merge(target=fees, sources=[topic(source, "price")], user=alice)
        assert ("Fees", "Value") in partners(column, source)

    def test_deleted_topics_have_no_partner(self, column, source, alice):
        learns(column, source, alice)
        topic_delete(topic=topic(column, "Price"), user=alice)
        assert partners(column, source) == {("Delivery time", "Delivery time")}


class TestChain:
    @pytest.fixture
    def three(self, make_project, alice):
        return [make_project(alice, name=name, topics=OTHERS).column for name in "ABC"]

    def test_it_goes_on_with_what_the_source_learns_from(self, three, alice):
        a, b, c = three
        learns(b, c, alice)
        learns(a, b, alice)
        found = teachers(a)
        assert [(one.column.pk, one.step) for one in found] == [(b.pk, 1), (c.pk, 2)]
        assert found[1].partners[topic(c, "Taste").pk] == topic(a, "Taste").pk

    def test_second_hand_topics_need_a_partner_at_each_step(self, three, alice):
        a, b, c = three
        topic_delete(topic=topic(b, "Taste"), user=alice)
        learns(b, c, alice)
        learns(a, b, alice)
        assert topic(c, "Taste").pk not in teachers(a)[1].partners

    def test_it_ends_after_three_steps(self, make_project, alice):
        columns = [make_project(alice, name=name, topics=OTHERS).column for name in "ABCDE"]
        for column, source in pairwise(columns):
            learns(column, source, alice)
        assert [one.step for one in teachers(columns[0])] == [1, 2, 3]

    def test_it_ends_at_a_deleted_project_and_goes_on_when_that_is_back(self, three, alice):
        a, b, c = three
        learns(b, c, alice)
        learns(a, b, alice)
        project_delete(project=b.project, user=alice)
        assert teachers(a) == []
        project_restore(project=b.project, user=alice)
        assert len(teachers(a)) == 2

    def test_loops_are_refused_also_across_others(self, three, alice):
        a, b, c = three
        learns(a, b, alice)
        learns(b, c, alice)
        for column, source in ((c, a), (b, a), (a, a)):
            with pytest.raises(ApplicationError, match="learn from"):
                learns(column, source, alice)
        assert list(Column.objects.filter(pk=c.pk).values_list("learns_from", flat=True)) == [None]

    def test_loops_are_refused_when_an_act_is_undone(self, three, alice):
        a, b, _c = three
        first = learns(a, b, alice)
        ended = learns(a, None, alice)
        learns(b, a, alice)
        with pytest.raises(ApplicationError, match="learn from"):
            undo(ended, alice)
        with pytest.raises(ApplicationError, match="undo the later change first"):
            undo(first, alice)

    def test_a_loop_made_otherwise_ends_the_chain(self, three):
        a, b, _c = three
        Column.objects.filter(pk=a.pk).update(learns_from=b)
        Column.objects.filter(pk=b.pk).update(learns_from=a)
        assert [one.column.pk for one in teachers(a)] == [b.pk]

    def test_columns_of_one_project_may_learn_from_each_other(self, make_project, alice):
        project = make_project(alice, texts={"Praise": ["good"], "Blame": ["bad"]}, topics=OTHERS)
        praise, blame = project.columns.all()
        learns(praise, blame, alice)
        assert [one.column.pk for one in teachers(praise)] == [blame.pk]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_that_are_set_at_once_do_not_make_a_loop(make_project, alice):
    a, b = (make_project(alice, name=name, topics=OTHERS).column for name in "AB")
    errors = together(lambda: learns(a, b, alice), lambda: learns(b, a, alice))
    assert [error.code for error in errors] == ["learning_loop"]
    assert Column.objects.exclude(learns_from=None).count() == 1


class TestSet:
    def test_it_is_one_act_that_starts_an_update_and_can_be_undone(self, column, source, alice):
        change = learns(column, source, alice)
        column.refresh_from_db()
        assert column.learns_from_id == source.pk
        assert change.kind == ChangeKind.LEARNS_FROM
        assert Job.objects.filter(column=column, kind=JobKind.UPDATE).count() == 1
        assert not Job.objects.filter(column=source).exists()
        assert learns(column, source, alice) is None  # said already
        undo(change, alice)
        column.refresh_from_db()
        assert column.learns_from_id is None

    def test_with_ai_updates_off_nothing_starts(self, column, source, alice):
        Column.objects.filter(pk=column.pk).update(ai_updates_on=False)
        learns(column, source, alice)
        assert not Job.objects.filter(column=column).exists()

    def test_another_source_replaces_the_first(self, column, source, alice, make_project):
        learns(column, source, alice)
        second = make_project(alice, name="Two years ago", topics=OTHERS).column
        change = learns(column, second, alice)
        column.refresh_from_db()
        assert column.learns_from_id == second.pk
        undo(change, alice)
        column.refresh_from_db()
        assert column.learns_from_id == source.pk

    def test_it_can_be_ended(self, column, source, alice):
        learns(column, source, alice)
        change = learns(column, None, alice)
        column.refresh_from_db()
        assert column.learns_from_id is None
        assert teachers(column) == []
        assert learns(column, None, alice) is None
        undo(change, alice)
        column.refresh_from_db()
        assert column.learns_from_id == source.pk

    def test_its_missing_topics_come_along_as_part_of_the_act(self, column, source, alice):
        Topic.objects.filter(pk=topic(source, "Taste").pk).update(description="How it tastes")
        before = topics_state(column)
        change = learns(column, source, alice, with_topics=True)
        assert [one.label for one in topic_list(column=column)] == [
            "Friendliness", "Delivery time", "Price", "Taste", "Portions",
        ]  # fmt: skip
        taste, portions = topic(column, "Taste"), topic(column, "Portions")
        assert (taste.category.label, taste.description) == ("Food", "How it tastes")
        assert portions.sentiment_enabled
        assert topics_state(column)[:3] == before  # the own ones are as they were
        assert len({one.code_neutral for one in topic_list(column=column)}) == 5
        assert Change.objects.filter(column=column).count() == 1
        assert TopicPartner.objects.filter(topic=taste, other=topic(source, "Taste")).exists()
        undo(change, alice)
        assert topics_state(column) == before
        column.refresh_from_db()
        assert column.learns_from_id is None

    def test_a_code_that_means_something_else_here_takes_nothing_over(self, column, make_project, alice):
        """The fixture numbers its topics 1, 4, 7 in each collection."""
        source = make_project(alice, name="B", topics=[("X", "Alpha"), ("Y", "Beta"), ("Z", "Gamma")]).column
        learns(column, source, alice, with_topics=True)
        labels = [one.label for one in topic_list(column=column)]
        assert labels == ["Friendliness", "Delivery time", "Price", "Alpha", "Beta", "Gamma"]

    def test_a_name_that_is_there_twice_moves_no_topic(self, make_project, alice):
        column = make_project(alice, name="A", topics=[("Food", "Other")]).column
        source = make_project(alice, name="B", topics=[("Food", "Other"), ("Room", "Other")]).column
        learns(column, source, alice, with_topics=True)
        found = [(one.category.label, one.label) for one in topic_list(column=column)]
        assert found == [("Food", "Other"), ("Room", "Other")]

    def test_too_many_topics_are_refused_and_nothing_is_set(self, column, source, alice, settings):
        settings.LIMIT_TOPICS = 4
        with pytest.raises(ApplicationError, match="at most 4"):
            learns(column, source, alice, with_topics=True)
        column.refresh_from_db()
        assert column.learns_from_id is None

    def test_no_text_is_copied(self, column, source, alice):
        before = list(column.verbatims.order_by("pk").values_list("text", flat=True))
        review(source, alice, 1, "Taste")
        learns(column, source, alice, with_topics=True)
        assert list(column.verbatims.order_by("pk").values_list("text", flat=True)) == before

    def test_the_person_must_be_able_to_read_the_source(self, column, source, bob, make_project, charlie):
        strange = make_project(charlie, name="Secret", topics=OTHERS).column
        with pytest.raises(Http404):
            learns(column, strange, bob)
        with pytest.raises(Http404):
            learns(column, source, bob)
        Member.objects.create(project=source.project, user=bob, role=Role.VIEWER)
        assert learns(column, source, bob) is not None

    def test_who_loses_access_later_leaves_the_link(self, column, source, bob):
        """It was allowed when it was set; any admin of the column can end it."""
        membership = Member.objects.create(project=source.project, user=bob, role=Role.VIEWER)
        learns(column, source, bob)
        membership.delete()
        assert len(teachers(column)) == 1
        assert learns(column, None, bob) is not None

    def test_a_source_that_is_deleted_for_good_takes_the_link_along(self, column, source, alice):
        change = learns(column, source, alice)
        ended = learns(column, None, alice)
        undo(ended, alice)
        source.topics.all().delete()
        source.project.delete()
        column.refresh_from_db()
        assert column.learns_from_id is None
        undo(change, alice)  # nothing left to do, and nothing breaks
        column.refresh_from_db()
        assert column.learns_from_id is None

    def test_the_history_does_not_name_the_source(self, column, source, alice, as_bob):
        learns(column, source, alice, with_topics=True)
        page = as_bob.get(reverse("projects:history", args=[column.project_id]))
        assert "Learns from another project; 2 topics added from it" in page.text
        assert "Last year" not in page.text


class TestDialog:
    @pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 403), ("admin", 200)])
    def test_admins_of_the_column_may_set_it(self, column, source, as_bob, bob, role, status, htmx):
        Member.objects.create(project=source.project, user=bob, role=Role.VIEWER)
        assert as_bob.get(url("learning", column), headers=htmx).status_code == status
        assert as_bob.get(url("learning_preview", column), headers=htmx).status_code == status
        body = {"source": source.pk, "with_topics": "1"}
        assert as_bob.post(url("learning", column), body, headers=htmx).status_code == status
        column.refresh_from_db()
        assert (column.learns_from_id == source.pk) == (status == 200)

    def test_to_a_stranger_nothing_exists(self, column, source, as_charlie, htmx):
        assert as_charlie.get(url("learning", column), headers=htmx).status_code == 404
        body = {"source": source.pk}
        assert as_charlie.get(url("learning_preview", column), body, headers=htmx).status_code == 404
        assert as_charlie.post(url("learning", column), body, headers=htmx).status_code == 404

    @pytest.mark.parametrize("role", ["admin"])
    def test_it_offers_what_the_person_may_read_and_leaks_nothing_else(
        self, column, source, as_bob, bob, htmx, make_project, charlie
    ):
        readable = make_project(charlie, name="Shared", topics=OTHERS, members={bob: "viewer"}).column
        gone = make_project(charlie, name="Gone", topics=OTHERS, members={bob: "viewer"})
        gone.deleted_at = timezone.now()
        gone.save()
        dialog = as_bob.get(url("learning", column), headers=htmx).text
        assert "Shared" in dialog
        assert f'<option value="{readable.pk}"' in dialog
        assert "Last year" not in dialog
        assert "Gone" not in dialog
        assert f'<option value="{column.pk}"' not in dialog
        for hidden in (source.pk, gone.column.pk, 999_999):
            body = {"source": hidden}
            assert as_bob.get(url("learning_preview", column), body, headers=htmx).status_code == 404
            assert as_bob.post(url("learning", column), body, headers=htmx).status_code == 404
        column.refresh_from_db()
        assert column.learns_from_id is None

    def test_the_preview_says_what_there_is(self, column, source, as_alice, alice, htmx):
        review(source, alice, 2, "Taste")
        review(source, alice, 3)
        body = {"source": source.pk}
        text = as_alice.get(url("learning_preview", column), body, headers=htmx).text
        assert "<strong>2 texts</strong> were reviewed there." in text
        assert "2 of its 4 topics are here, too" in text
        assert "Also add its 2 other topics" in text
        assert 'value="1" checked' in text
        left = as_alice.get(url("learning_preview", column), {**body, "seen": source.pk}, headers=htmx).text
        assert 'value="1" checked' not in left
        assert "Choose a column to see" in as_alice.get(url("learning_preview", column), headers=htmx).text
        column.refresh_from_db()
        assert column.learns_from_id is None

    def test_the_preview_warns_of_a_loop_and_setting_it_says_why(self, column, source, as_alice, alice, htmx):
        learns(source, column, alice)
        body = {"source": source.pk}
        assert "learns from this one" in as_alice.get(url("learning_preview", column), body, headers=htmx).text
        refused = as_alice.post(url("learning", column), body, headers=htmx)
        assert refused.status_code == 422
        assert "Two cannot learn from each other." in refused.text

    @pytest.mark.parametrize("body", [{}, {"source": ""}, {"source": "x"}, {"source": "-1"}, {"source": "9" * 30}])
    def test_a_column_has_to_be_chosen(self, column, source, as_alice, htmx, body):
        assert as_alice.post(url("learning", column), body, headers=htmx).status_code == 422

    def test_setting_and_ending_it(self, column, source, as_alice, htmx):
        done = as_alice.post(url("learning", column), {"source": source.pk}, headers=htmx)
        assert "topics-changed" in done["HX-Trigger"]
        assert "Undo" in done.text
        dialog = as_alice.get(url("learning", column), headers=htmx).text
        assert f'<option value="{source.pk}" selected>' in dialog
        assert "Stop learning" in dialog
        as_alice.post(url("learning", column), {"end": "1", "source": source.pk}, headers=htmx)
        column.refresh_from_db()
        assert column.learns_from_id is None

    def test_without_another_column_it_says_so(self, column, as_alice, htmx):
        assert "There is no other text column" in as_alice.get(url("learning", column), headers=htmx).text


class TestWhereItIsShown:
    def test_topics_statistics_and_settings_name_the_source_to_its_readers(
        self, column, source, alice, as_alice, htmx
    ):
        review(source, alice, 2, "Taste")
        learns(column, source, alice)
        pages = [
            as_alice.get(url("list", column), headers=htmx),
            as_alice.get(reverse("rows:statistics", args=[column.pk]), headers=htmx),
            as_alice.get(reverse("projects:settings", args=[column.project_id])),
        ]
        for page in pages:
            assert "Last year · Comment</a> (1 review)" in page.text

    def test_others_read_of_another_project(self, column, source, alice, as_bob, htmx):
        learns(column, source, alice)
        for address in (url("list", column), reverse("rows:statistics", args=[column.pk])):
            page = as_bob.get(address, headers=htmx).text
            assert "Learns from another project, which you cannot open." in page
            assert "Last year" not in page

    def test_a_deleted_source_is_not_named(self, column, source, alice, as_alice, htmx):
        learns(column, source, alice)
        project_delete(project=source.project, user=alice)
        page = as_alice.get(url("list", column), headers=htmx).text
        assert "which was deleted" in page
        assert "Last year" not in page
        assert "Stop learning" in as_alice.get(url("learning", column), headers=htmx).text

    def test_a_column_of_its_own_says_nothing(self, column, as_alice, htmx):
        add_topics(column, ["More"])
        assert "Learns from" not in as_alice.get(url("list", column), headers=htmx).text
        settings_page = as_alice.get(reverse("projects:settings", args=[column.project_id])).text
        assert "Learns from its own reviews only." in settings_page
