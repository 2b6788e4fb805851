"""Focus mode serves a row to one person at a time: soft leases, which end by themselves and lock nothing."""

import random
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from projects.models import Change
from rows.focus import focus_next
from rows.models import FocusLease, Verbatim
from rows.services.leases import lease_claim, leases_prune, leases_release, leases_renew
from rows.services.reviews import TopicChoice, verbatim_review

TEXTS = [f"Answer {number} about delivery" for number in range(1, 41)]


@pytest.fixture(autouse=True)
def _no_random_rows(settings):
    settings.AUDIT_SHARE_PERCENT = 0


@pytest.fixture
def column(make_project, alice, bob):
    return make_project(alice, texts=TEXTS, members={bob: "analyst"}).column


def url(name, column):
    return reverse(f"rows:{name}", args=[column.pk])


def age(column, seconds):
    FocusLease.objects.filter(column=column).update(expires_at=timezone.now() - timedelta(seconds=seconds))


def number_of(answer):
    """Row numbers of the cards in an answer."""
    import re

    return [int(found) for found in re.findall(r'data-row="(\d+)"', answer.content.decode())]


def test_two_people_never_get_the_same_row(column, alice, bob):
    served = [focus_next(column=column, user=user).verbatim.row_number for user in (alice, bob, alice, bob)]
    # Without saying what they hold, each gets their own row again: it is theirs.
    assert served == [1, 2, 1, 2]


def test_ones_own_rows_stay_ones_own_and_the_next_ones_are_others(column, alice, bob):
    first = focus_next(column=column, user=alice).verbatim
    second = focus_next(column=column, user=alice, last_id=first.pk).verbatim
    assert (first.row_number, second.row_number) == (1, 2)
    assert focus_next(column=column, user=bob).verbatim.row_number == 3


def test_a_lease_ends_by_itself(column, alice, bob):
    focus_next(column=column, user=alice)
    age(column, 1)
    assert focus_next(column=column, user=bob).verbatim.row_number == 1
    assert FocusLease.objects.get(verbatim__row_number=1).user == bob


def test_random_rows_respect_leases_too(column, alice, bob, settings):
    settings.AUDIT_SHARE_PERCENT = 100
    held = set()
    for _ in range(20):
        card = focus_next(column=column, user=alice, exclude=held, rng=random.Random(len(held)))
        held.add(card.verbatim.pk)
    for seed in range(30):
        card = focus_next(column=column, user=bob, rng=random.Random(seed))
        assert card.verbatim.pk not in held


def test_what_is_left_to_others_is_not_served(column, alice, bob):
    Verbatim.objects.filter(column=column, row_number__gt=2).update(is_reviewed=True)
    for pk in column.verbatims.filter(row_number__lte=2):
        assert lease_claim(verbatim=pk, user=alice)
    assert focus_next(column=column, user=bob) is None


def test_renewing_does_not_take_a_row_back_from_somebody(column, alice, bob):
    verbatim = focus_next(column=column, user=alice).verbatim
    age(column, 1)
    assert lease_claim(verbatim=verbatim, user=bob)
    assert leases_renew(column=column, user=alice, verbatim_ids=[verbatim.pk]) == 0
    assert not lease_claim(verbatim=verbatim, user=alice)
    assert leases_release(column=column, user=alice, verbatim_ids=[verbatim.pk]) == 0
    assert FocusLease.objects.get().user == bob


def test_old_leases_are_cleared_away(column, alice):
    focus_next(column=column, user=alice)
    leases_prune(column=column)
    assert FocusLease.objects.count() == 1
    age(column, 10_000)
    leases_prune(column=column)
    assert not FocusLease.objects.exists()


def test_without_a_person_no_lease_is_taken(column):
    assert focus_next(column=column) is not None
    assert not FocusLease.objects.exists()


# --- through the pages ---------------------------------------------------------------------------
def test_the_pages_of_two_people_show_different_rows(as_alice, as_bob, column):
    assert number_of(as_alice.get(url("focus", column))) == [1]
    assert number_of(as_bob.get(url("focus", column))) == [2]


def test_several_cards_are_held_ready_and_none_of_them_twice(as_alice, as_bob, column, htmx):
    first = column.verbatims.get(row_number=1)
    as_alice.get(url("focus", column))
    answer = as_alice.get(url("focus", column), {"want": "3", "have": str(first.pk)}, headers=htmx)
    assert number_of(answer) == [2, 3, 4]
    assert number_of(as_bob.get(url("focus", column))) == [5]


def test_a_review_gives_the_row_free_and_brings_the_next_card(as_alice, column, htmx):
    first = column.verbatims.get(row_number=1)
    as_alice.get(url("focus", column))
    answer = as_alice.post(url("focus_review", column), {"revision": "0", "verbatim": first.pk}, headers=htmx)
    assert number_of(answer) == [2]
    assert list(FocusLease.objects.values_list("verbatim__row_number", flat=True)) == [2]


def test_a_review_works_when_its_lease_has_expired(as_alice, as_bob, column, htmx, bob):
    first = column.verbatims.get(row_number=1)
    as_alice.get(url("focus", column))
    age(column, 1)
    assert number_of(as_bob.get(url("focus", column))) == [1]
    answer = as_alice.post(url("focus_review", column), {"revision": "0", "verbatim": first.pk}, headers=htmx)
    assert answer.status_code == 200
    assert Verbatim.objects.get(pk=first.pk).is_reviewed
    # Bob decides about the row he still sees: both versions are shown, his is not lost.
    price = column.topics.get(label="Price")
    data = {"revision": "0", "verbatim": first.pk, "topic": price.pk}
    conflict = as_bob.post(url("focus_review", column), data, headers=htmx)
    assert conflict.status_code == 409
    assert "Your version" in conflict.content.decode()
    assert f'name="topic" value="{price.pk}"' in conflict.content.decode()
    assert not Verbatim.objects.get(pk=first.pk).assignments.exists()


def test_a_review_sent_twice_is_saved_once_and_no_conflict(as_alice, column, htmx):
    """The answer may get lost on the way: the page sends the review again."""
    first = column.verbatims.get(row_number=1)
    topics = {topic.label: topic for topic in column.topics.all()}
    data = {
        "revision": "0",
        "verbatim": first.pk,
        "topic": [topics["Price"].pk, topics["Friendliness"].pk],
        f"sentiment-{topics['Friendliness'].pk}": "-1",
    }
    for _ in range(2):
        answer = as_alice.post(url("focus_review", column), data, headers=htmx)
        assert answer.status_code == 200
    assert Change.objects.count() == 1
    data[f"sentiment-{topics['Friendliness'].pk}"] = "1"  # another decision on the old state is none
    assert as_alice.post(url("focus_review", column), data, headers=htmx).status_code == 409


def test_the_same_decision_by_somebody_else_is_shown(as_bob, column, htmx, alice):
    first = column.verbatims.get(row_number=1)
    verbatim_review(verbatim=first, topics=[], revision=0, user=alice)
    data = {"revision": "0", "verbatim": first.pk}
    assert as_bob.post(url("focus_review", column), data, headers=htmx).status_code == 409


def test_skipping_gives_the_row_to_others(as_alice, as_bob, column, htmx):
    first = column.verbatims.get(row_number=1)
    as_alice.get(url("focus", column))
    assert number_of(as_alice.get(url("focus", column), {"skip": str(first.pk)}, headers=htmx)) == [2]
    assert number_of(as_bob.get(url("focus", column))) == [1]


def test_leaving_the_page_gives_all_its_rows_back(as_alice, as_bob, column, htmx):
    as_alice.get(url("focus", column))
    ids = list(FocusLease.objects.values_list("verbatim_id", flat=True))
    assert ids
    foreign = column.verbatims.get(row_number=9)
    assert number_of(as_bob.get(url("focus", column))) == [2]
    answer = as_alice.post(url("focus_release", column), {"have": f"{ids[0]},{foreign.pk},x"})
    assert answer.status_code == 204
    assert list(FocusLease.objects.values_list("user__username", flat=True)) == ["bob"]


def test_rows_in_front_of_others_are_named_as_the_reason(as_alice, as_bob, column):
    Verbatim.objects.filter(column=column, row_number__gt=1).update(is_reviewed=True)
    as_alice.get(url("focus", column))
    assert "in front of somebody else" in as_bob.get(url("focus", column)).content.decode()


@pytest.mark.parametrize("role", ["viewer"])
def test_viewers_and_strangers_take_no_lease(make_project, alice, bob, role, as_bob, as_charlie):
    column = make_project(alice, texts=TEXTS[:3], members={bob: role}).column
    for client, status in ((as_bob, 403), (as_charlie, 404)):
        assert client.get(url("focus", column)).status_code == status
        assert client.post(url("focus_release", column), {"have": "1"}).status_code == status
    assert not FocusLease.objects.exists()


@pytest.mark.parametrize(
    "query", [{"want": "x"}, {"want": "99999999999999999999"}, {"have": "1,,x,-3"}, {"want": "-1"}]
)
def test_bad_numbers_are_no_error(as_alice, column, htmx, query):
    answer = as_alice.get(url("focus", column), query, headers=htmx)
    assert answer.status_code == 200
    assert len(number_of(answer)) <= 5


# --- at the same time ------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_people_at_the_same_moment_get_different_rows(make_project, make_user):
    """Six people draw five cards each from forty rows, all at once: thirty different rows."""
    column = make_project(make_user("owner"), texts=TEXTS).column
    people = [make_user(f"person{number}") for number in range(6)]
    served: dict[int, list[int]] = {user.pk: [] for user in people}
    errors: list[BaseException] = []
    start = threading.Barrier(len(people))

    def draw(user):
        try:
            start.wait(timeout=20)
            for _ in range(5):
                card = focus_next(column=column, user=user, exclude=served[user.pk])
                served[user.pk].append(card.verbatim.pk)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=draw, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not errors
    drawn = [pk for own in served.values() for pk in own]
    assert len(drawn) == 30
    assert len(set(drawn)) == 30, "a row was served to two people"


@pytest.mark.django_db(transaction=True)
def test_of_many_who_want_one_row_one_gets_it(make_project, make_user):
    column = make_project(make_user("owner"), texts=TEXTS[:1]).column
    verbatim = column.verbatims.get()
    people = [make_user(f"person{number}") for number in range(8)]
    for is_expired in (False, True):  # nobody has it yet; somebody's lease has ended
        if is_expired:
            age(column, 1)
        won: list[bool] = []
        start = threading.Barrier(len(people))

        def claim(user, won=won, start=start):
            try:
                start.wait(timeout=20)
                won.append(lease_claim(verbatim=verbatim, user=user))
            finally:
                connection.close()

        threads = [threading.Thread(target=claim, args=(user,)) for user in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(won) == [False] * 7 + [True]


def test_the_topics_of_a_review_are_kept_with_an_expired_lease(column, alice):
    verbatim = focus_next(column=column, user=alice).verbatim
    age(column, 1)
    price = column.topics.get(label="Price")
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=0, user=alice)
    assert list(verbatim.assignments.values_list("topic__label", flat=True)) == ["Price"]
