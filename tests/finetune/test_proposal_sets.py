"""Working on proposals: every touch is kept, two people do not lose each other's, adding is one act."""

from __future__ import annotations

import re
from typing import Any

import pytest

from finetune import proposal_sets as sets
from finetune.models import ProposalSet, ProposedTopic
from projects.models import ChangeKind
from rows.models import Assignment, Verbatim
from tests.finetune.proposing import add_set, untold  # noqa: F401  (a fixture)
from tests.topics.restructuring import topic, undo
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.models import Topic
from topics.services import NewTopic, topic_delete, topics_create, topics_merge

pytestmark = pytest.mark.django_db

PROPOSALS = (("Delivery", "Speed"), ("Delivery", "Parcel"), ("Shop", "Staff"))


@pytest.fixture
def column(untold: Any) -> Any:  # noqa: F811
    return untold.column


@pytest.fixture
def three(column: Any) -> list[ProposedTopic]:
    return add_set(column, *PROPOSALS)


def state(column: Any) -> sets.ProposalState:
    found = sets.proposal_state(column)
    assert found is not None
    return found


def labels(column: Any) -> list[str]:
    return [entry.proposal.label for entry in state(column).entries]


def accept(column: Any, user: Any) -> Any:
    return sets.proposals_accept(column=column, user=user, seen=state(column).seen)


# --- touches --------------------------------------------------------------------------------------
def test_what_is_not_named_stays(column: Any, three: Any) -> None:
    sets.proposal_update(column=column, proposal_id=three[0].pk, is_chosen=False)

    found = ProposedTopic.objects.get(pk=three[0].pk)
    assert (found.is_chosen, found.label, found.category, found.sentiment_enabled) == (
        False,
        "Speed",
        "Delivery",
        True,
    )


def test_a_name_is_cleaned(column: Any, three: Any) -> None:
    sets.proposal_update(column=column, proposal_id=three[0].pk, label="  How \n fast ")

    assert labels(column)[0] == "How fast"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"label": " "}, "Give the topic a name"),
        ({"label": "x" * 51}, "at most 50"),
        ({"category": "\t"}, "Give the category a name"),
        ({"category": "x" * 31}, "at most 30"),
    ],
)
def test_names_that_cannot_be_are_refused(column: Any, three: Any, values: Any, words: str) -> None:
    with pytest.raises(ApplicationError, match=words):
        sets.proposal_update(column=column, proposal_id=three[0].pk, **values)

    assert labels(column) == ["Speed", "Parcel", "Staff"]


def test_two_people_who_rename_the_same_do_not_lose_a_name(column: Any, three: Any) -> None:
    seen = {"label": "Speed", "category": "Delivery"}
    sets.proposal_update(column=column, proposal_id=three[0].pk, label="Pace", seen=seen)

    with pytest.raises(StaleRevisionError, match=r"named this “Pace” meanwhile\. “Tempo” was not saved"):
        sets.proposal_update(column=column, proposal_id=three[0].pk, label="Tempo", seen=seen)

    assert labels(column)[0] == "Pace"


def test_two_people_who_change_different_things_keep_both(column: Any, three: Any) -> None:
    seen = {"label": "Speed", "category": "Delivery"}
    one = {"label": "Pace", "category": "Delivery", "is_chosen": True}
    other = {"label": "Speed", "category": "Shop", "is_chosen": True}
    sets.proposal_update(column=column, proposal_id=three[0].pk, seen=seen, **one)
    sets.proposal_update(column=column, proposal_id=three[0].pk, seen=seen, **other)

    found = ProposedTopic.objects.get(pk=three[0].pk)
    assert (found.label, found.category) == ("Pace", "Shop")


def test_what_was_replaced_meanwhile_is_refused(column: Any, three: Any) -> None:
    ProposalSet.objects.all().delete()

    with pytest.raises(StaleRevisionError):
        sets.proposal_update(column=column, proposal_id=three[0].pk, is_chosen=False)


def test_proposals_of_another_column_are_out_of_reach(
    column: Any, three: Any, make_project: Any, alice: Any
) -> None:
    other = make_project(alice, name="Other", topics=())

    with pytest.raises(StaleRevisionError):
        sets.proposal_update(column=other.column, proposal_id=three[0].pk, label="Stolen")
    with pytest.raises(StaleRevisionError):
        sets.proposal_discard(column=other.column, proposal_id=three[0].pk, is_discarded=True)


def test_a_category_is_renamed_for_all_that_are_in_it(column: Any, three: Any) -> None:
    sets.proposals_rename_category(column=column, category="delivery", label="Shipping")

    assert [name for name, _ in state(column).categories] == ["Shipping", "Shop"]
    with pytest.raises(StaleRevisionError, match="“Sending” was not saved"):
        sets.proposals_rename_category(column=column, category="Delivery", label="Sending")
    with pytest.raises(ApplicationError, match="Give the category a name"):
        sets.proposals_rename_category(column=column, category="Shop", label="")


def test_a_category_renamed_to_another_joins_it(column: Any, three: Any) -> None:
    sets.proposals_rename_category(column=column, category="Delivery", label="shop")

    assert [(name, len(entries)) for name, entries in state(column).categories] == [("Shop", 3)]


def test_all_are_ticked_and_switched_at_once(column: Any, three: Any) -> None:
    sets.proposal_discard(column=column, proposal_id=three[2].pk, is_discarded=True)
    sets.proposals_choose(column=column, is_chosen=False)
    assert state(column).n_chosen == 0
    sets.proposals_choose(column=column, sentiment_enabled=False)

    found = list(ProposedTopic.objects.order_by("position").values_list("is_chosen", "sentiment_enabled"))
    assert found == [(False, False), (False, False), (True, True)], "what was discarded stays as it is"


def test_discarded_is_put_away_and_comes_back(column: Any, three: Any) -> None:
    sets.proposal_discard(column=column, proposal_id=three[1].pk, is_discarded=True)
    assert labels(column) == ["Speed", "Staff"]
    assert state(column).discarded == [three[1]]

    sets.proposal_discard(column=column, proposal_id=three[1].pk, is_discarded=False)
    assert labels(column) == ["Speed", "Parcel", "Staff"]


def test_discarding_all_needs_the_set_that_was_seen(column: Any, three: Any) -> None:
    with pytest.raises(StaleRevisionError):
        sets.proposals_discard_all(column=column, set_id=three[0].proposal_set_id + 1)

    sets.proposals_discard_all(column=column, set_id=three[0].proposal_set_id)
    assert sets.proposal_state(column) is None


# --- merging --------------------------------------------------------------------------------------
def test_merged_their_rows_unite(column: Any) -> None:
    speed, parcel, staff = add_set(column, *PROPOSALS, n_rows=40)  # 120 of 90 rows: the last one shares some

    sets.proposals_merge(column=column, target_id=speed.pk, source_ids=[parcel.pk, staff.pk], label="All of it")

    (entry,) = state(column).entries
    assert entry.proposal.label == "All of it"
    assert entry.proposal.n_rows == 90
    assert entry.merged_names == "“Parcel”, “Staff”"


def test_merged_again_there_are_no_chains(column: Any, three: Any) -> None:
    speed, parcel, staff = (one.pk for one in three)
    sets.proposals_merge(column=column, target_id=parcel, source_ids=[staff])
    sets.proposals_merge(column=column, target_id=speed, source_ids=[parcel])
    assert state(column).entries[0].proposal.n_rows == 12

    sets.proposal_separate(column=column, proposal_id=speed)

    assert labels(column) == ["Speed", "Parcel", "Staff"]
    assert [entry.proposal.n_rows for entry in state(column).entries] == [4, 4, 4]


def test_merged_they_are_compared_anew(column: Any, three: Any, assign: Any, alice: Any) -> None:
    (pk,) = topics_create(column=column, topics=[NewTopic("Post", "Old")], user=alice).ids
    for verbatim in column.verbatims.order_by("pk")[:6]:
        assign(verbatim, Topic.objects.get(pk=pk))

    sets.proposals_merge(column=column, target_id=three[0].pk, source_ids=[three[1].pk])
    assert state(column).entries[0].hint == "6 of 8 rows already have “Post”."

    sets.proposal_separate(column=column, proposal_id=three[0].pk)
    assert state(column).entries[0].hint == "4 of 4 rows already have “Post”."


@pytest.mark.parametrize("gone", ["discarded", "merged", "added", "deleted"])
def test_merging_with_what_is_gone_is_refused(column: Any, three: Any, alice: Any, gone: str) -> None:
    speed, parcel, staff = three
    if gone == "discarded":
        sets.proposal_discard(column=column, proposal_id=parcel.pk, is_discarded=True)
    elif gone == "merged":
        sets.proposals_merge(column=column, target_id=staff.pk, source_ids=[parcel.pk])
    elif gone == "deleted":
        parcel_pk, _ = parcel.pk, parcel.delete()
        parcel.pk = parcel_pk
    else:
        sets.proposals_choose(column=column, is_chosen=False)
        sets.proposal_update(column=column, proposal_id=parcel.pk, is_chosen=True)
        accept(column, alice)

    with pytest.raises(StaleRevisionError):
        sets.proposals_merge(column=column, target_id=speed.pk, source_ids=[parcel.pk])


def test_merging_needs_another_one(column: Any, three: Any) -> None:
    with pytest.raises(ApplicationError, match="at least one"):
        sets.proposals_merge(column=column, target_id=three[0].pk, source_ids=[three[0].pk])


# --- adding ---------------------------------------------------------------------------------------
def test_adding_is_one_act(column: Any, three: Any, alice: Any) -> None:
    sets.proposal_update(column=column, proposal_id=three[1].pk, is_chosen=False, label="Box")
    sets.proposal_update(column=column, proposal_id=three[2].pk, sentiment_enabled=False)

    change = accept(column, alice)

    assert change.kind == ChangeKind.TOPICS_CREATE
    assert change.summary == "2 proposed topics added"
    assert (topic(column, "Speed").sentiment_enabled, topic(column, "Staff").sentiment_enabled) == (True, False)
    assert labels(column) == ["Box"]
    assert len(state(column).added) == 2


def test_nothing_is_reviewed_and_nothing_assigned_by_adding(column: Any, three: Any, alice: Any) -> None:
    accept(column, alice)

    assert not Verbatim.objects.filter(column=column, is_reviewed=True).exists()
    assert not Assignment.objects.exists()


def test_phrases_become_the_description_that_the_ai_reads(column: Any, three: Any, alice: Any) -> None:
    sets.proposals_merge(column=column, target_id=three[0].pk, source_ids=[three[1].pk])
    ProposedTopic.objects.filter(pk=three[2].pk).update(phrases=["word"] + [f"phrase {i}" for i in range(100)])

    accept(column, alice)

    assert topic(column, "Speed").description == "speed, speed delivery, parcel, parcel delivery"
    assert topic(column, "Staff").description.startswith("word, phrase 0, phrase 1")
    assert len(topic(column, "Staff").description) <= 300


def test_undone_they_are_offered_again(column: Any, three: Any, alice: Any) -> None:
    change = accept(column, alice)
    assert labels(column) == []

    undo(change, alice)

    assert labels(column) == ["Speed", "Parcel", "Staff"]
    accept(column, alice)
    assert column.topics.filter(deleted_at=None).count() == 3


def test_a_topic_that_was_merged_since_is_not_offered_again(column: Any, three: Any, alice: Any) -> None:
    accept(column, alice)
    topics_merge(target=topic(column, "Parcel"), sources=[topic(column, "Speed")], user=alice)
    topic_delete(topic=topic(column, "Staff"), user=alice)

    assert labels(column) == ["Staff"]


def test_names_that_are_taken_are_flagged_and_stay(column: Any, three: Any, alice: Any) -> None:
    topics_create(column=column, topics=[NewTopic("SPEED", "delivery")], user=alice)
    sets.proposal_update(column=column, proposal_id=three[2].pk, label="parcel", category="Delivery")

    found = state(column)
    assert [bool(entry.taken) for entry in found.entries] == [True, False, True]
    assert (found.n_chosen, found.n_taken) == (1, 2)
    change = accept(column, alice)

    assert [Topic.objects.get(pk=pk).label for pk in change.ids] == ["Parcel"]
    assert labels(column) == ["Speed", "parcel"]
    assert all(re.search("has a topic of this name", entry.taken) for entry in state(column).entries)


def test_the_same_name_of_one_that_is_not_ticked_is_no_hindrance(column: Any, three: Any) -> None:
    sets.proposal_update(column=column, proposal_id=three[1].pk, label="Speed")
    assert state(column).n_taken == 1

    sets.proposal_update(column=column, proposal_id=three[0].pk, is_chosen=False)
    assert state(column).n_taken == 0


def test_what_changed_meanwhile_is_not_added(column: Any, three: Any, alice: Any) -> None:
    seen = state(column).seen
    sets.proposal_update(column=column, proposal_id=three[0].pk, label="Pace")

    with pytest.raises(StaleRevisionError, match="Nothing was added"):
        sets.proposals_accept(column=column, user=alice, seen=seen)

    assert not column.topics.exists()


def test_added_twice_is_added_once(column: Any, three: Any, alice: Any) -> None:
    seen = state(column).seen
    sets.proposals_accept(column=column, user=alice, seen=seen)

    with pytest.raises(StaleRevisionError):
        sets.proposals_accept(column=column, user=alice, seen=seen)

    assert column.topics.count() == 3


def test_nothing_ticked_nothing_added(column: Any, three: Any, alice: Any) -> None:
    sets.proposals_choose(column=column, is_chosen=False)

    with pytest.raises(ApplicationError, match="Tick at least one"):
        accept(column, alice)


def test_over_the_limit_it_is_said_before_and_refused(column: Any, three: Any, alice: Any, settings: Any) -> None:
    settings.LIMIT_TOPICS = 2
    assert state(column).n_free == 2

    with pytest.raises(ApplicationError, match="at most 2 topics"):
        accept(column, alice)

    assert not column.topics.exists()
