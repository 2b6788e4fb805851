"""The page of proposals: who may, what it shows, what each touch answers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune import proposal_sets as sets
from finetune.forms_proposals import NEW_CATEGORY
from finetune.models import ProposalSet, ProposedTopic
from projects.jobs import job_execute
from projects.models import Change, Job, JobKind, JobState, Role
from tests.finetune.proposing import add_set, untold  # noqa: F401  (a fixture)
from tests.finetune.test_naming import Endpoint, endpoint  # noqa: F401  (a fixture)
from topics.services import NewTopic, topics_create

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{ 7*7 }} %(n)s"


@pytest.fixture
def column(untold: Any) -> Any:  # noqa: F811
    return untold.column


@pytest.fixture
def three(column: Any) -> list[ProposedTopic]:
    return add_set(column, ("Delivery", "Speed"), ("Delivery", "Parcel"), ("Shop", "Staff"))


def url(name: str, column: Any, *args: int) -> str:
    return reverse(f"finetune:{name}", args=[column.pk, *args])


def form_of(proposal: ProposedTopic, **changes: Any) -> dict[str, Any]:
    """Return what the line of a proposal sends."""
    found = {
        "label": proposal.label,
        "was_label": proposal.label,
        "category": proposal.category,
        "was_category": proposal.category,
        "new_category": "",
        "chosen": "1" if proposal.is_chosen else None,
        "sentiment": "1" if proposal.sentiment_enabled else None,
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def fresh(proposal: ProposedTopic) -> ProposedTopic:
    return ProposedTopic.objects.get(pk=proposal.pk)


# --- who may --------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", list(Role))
def test_only_admins_may(column: Any, three: Any, as_bob: Any, as_charlie: Any, role: str) -> None:
    allowed = role == Role.ADMIN
    assert as_bob.get(url("proposals", column)).status_code == (200 if allowed else 403)
    assert as_charlie.get(url("proposals", column)).status_code == 404
    for name, args in (("proposals_start", ()), ("proposals_accept", ()), ("proposal_discard", (three[0].pk,))):
        assert as_charlie.post(url(name, column, *args)).status_code == 404
        status = as_bob.post(url(name, column, *args)).status_code
        assert (status == 403) is not allowed


@pytest.mark.parametrize("role", list(Role))
def test_only_admins_find_the_way(column: Any, as_bob: Any, role: str) -> None:
    empty = as_bob.get(reverse("topics:list", args=[column.pk])).text
    topics_create(column=column, topics=[NewTopic("A", "B")], user=None)
    full = as_bob.get(reverse("topics:list", args=[column.pk])).text

    for page in (empty, full):
        assert (url("proposals", column) in page) is (role == Role.ADMIN)


def test_a_proposal_of_another_column_is_not_reached(
    column: Any, three: Any, as_alice: Any, make_project: Any, alice: Any
) -> None:
    other = make_project(alice, name="Other")

    assert as_alice.post(url("proposal_update", other.column, three[0].pk), form_of(three[0])).status_code == 409
    assert as_alice.get(url("proposal_merge", other.column, three[0].pk)).status_code == 409


# --- before there are any -------------------------------------------------------------------------
def test_an_empty_page_explains_and_offers(column: Any, as_alice: Any) -> None:
    page = as_alice.get(url("proposals", column)).text

    assert "Propose topics" in page
    assert "Nothing is added before you say so." in page
    assert "without a topic" not in page


def test_with_topics_the_rows_without_one_come_first(column: Any, as_alice: Any, alice: Any) -> None:
    topics_create(column=column, topics=[NewTopic("A", "B")], user=alice)

    page = as_alice.get(url("proposals", column)).text

    assert page.index("Propose from rows without a topic") < page.index("Propose from all rows")


def test_asking_starts_a_job_that_the_page_shows(column: Any, as_alice: Any, htmx: Any) -> None:
    answer = as_alice.post(url("proposals_start", column), headers=htmx)

    job = Job.objects.get(kind=JobKind.PROPOSALS)
    assert f'id="job-{job.pk}"' in answer.text
    assert "Topics are being found in your texts" in answer.text
    assert as_alice.post(url("proposals_start", column), headers=htmx).status_code == 409
    job_execute(job.pk)
    done = as_alice.get(reverse("projects:job_detail", args=[job.pk]), headers=htmx)
    assert "proposals-changed" in json.loads(done["HX-Trigger"])
    page = as_alice.get(url("proposals", column)).text
    assert f'id="job-{job.pk}"' not in page
    assert page.count("data-proposal>") == column.proposal_set.proposals.count()


def test_the_job_page_leads_to_the_proposals(column: Any, as_alice: Any) -> None:
    as_alice.post(url("proposals_start", column))
    job = Job.objects.get(kind=JobKind.PROPOSALS)
    job_execute(job.pk)

    assert url("proposals", column) in as_alice.get(reverse("projects:job_detail", args=[job.pk])).text


def test_a_failed_job_shows_its_reason_and_another_try(column: Any, as_alice: Any, settings: Any) -> None:
    settings.ENCODER_CLASS = "tests.fakes.MissingEncoder"
    as_alice.post(url("proposals_start", column))
    job = Job.objects.get(kind=JobKind.PROPOSALS)
    job_execute(job.pk)

    page = as_alice.get(url("proposals", column)).text

    assert "weights are missing" in page
    assert reverse("projects:job_retry", args=[job.pk]) in page
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(days=3))
    assert "weights are missing" not in as_alice.get(url("proposals", column)).text


def test_too_few_texts_are_a_notice(make_project: Any, as_alice: Any, alice: Any, htmx: Any) -> None:
    project = make_project(alice, texts=["one", "two"], topics=())

    answer = as_alice.post(url("proposals_start", project.column), headers=htmx)

    assert (answer.status_code, answer["HX-Retarget"]) == (422, "#toasts")
    assert "only 2 different texts" in answer.text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"only_uncovered": True, "n_rows": 0}, "Everything is covered"),
        ({"only_uncovered": True, "n_rows": 3}, "No more topics"),
        ({"n_rows": 90}, "No topics found"),
    ],
)
def test_where_nothing_was_found_it_says_why(column: Any, as_alice: Any, values: Any, words: str) -> None:
    ProposalSet.objects.create(column=column, **values)

    page = as_alice.get(url("proposals", column)).text

    assert words in page
    assert "proposals__bar" not in page


# --- the list -------------------------------------------------------------------------------------
def test_a_line_shows_all_that_is_known(column: Any, three: Any, as_alice: Any) -> None:
    page = as_alice.get(url("proposals", column)).text

    assert "4 rows" in page
    assert "4\u00a0%" in page
    assert "speed delivery" in page
    for pk in three[0].examples:
        assert column.verbatims.get(pk=pk).text in page
    assert page.index("Speed") < page.index("Parcel") < page.index("Staff")
    assert "Add 3 topics" in page


def test_hostile_texts_and_names_are_only_text(column: Any, three: Any, as_alice: Any) -> None:
    column.verbatims.update(text=HOSTILE)
    ProposedTopic.objects.update(phrases=[HOSTILE], category=HOSTILE[:30], description=HOSTILE)
    ProposedTopic.objects.filter(pk=three[0].pk).update(label=HOSTILE[:50])

    page = (
        as_alice.get(url("proposals", column)).text
        + as_alice.get(url("proposal_merge", column, three[1].pk), headers={"HX-Request": "true"}).text
    )

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "{{ 7*7 }}" in page


def test_rows_that_were_deleted_are_no_examples(column: Any, three: Any, as_alice: Any) -> None:
    column.verbatims.filter(pk__in=three[0].examples).delete()

    assert as_alice.get(url("proposals", column)).status_code == 200


@pytest.mark.parametrize("n", [8, 80, 150])
def test_many_need_no_more_statements(
    column: Any, as_alice: Any, n: int, django_assert_max_num_queries: Any, htmx: Any
) -> None:
    found = add_set(column, *((f"Category {i % 9}", f"Proposal {i}") for i in range(n)))

    with django_assert_max_num_queries(20):
        page = as_alice.get(url("proposals", column)).text
    assert f"Add {n} topics" in page
    with django_assert_max_num_queries(25):
        answer = as_alice.post(
            url("proposal_update", column, found[0].pk), form_of(found[0], chosen=None), headers=htmx
        )
    assert f"Add {n - 1} topics" in answer.text
    assert len(answer.text) < 3_000


# --- touches --------------------------------------------------------------------------------------
def test_a_tick_is_kept_and_answers_with_what_it_changed(
    column: Any, three: Any, as_alice: Any, htmx: Any
) -> None:
    answer = as_alice.post(
        url("proposal_update", column, three[0].pk), form_of(three[0], chosen=None), headers=htmx
    )

    assert not fresh(three[0]).is_chosen
    assert set(re.findall(r'id="([\w-]+)" hx-swap-oob="true"', answer.text)) == {
        f"proposal-state-{three[0].pk}",
        "proposals-count",
        "proposals-add-text",
    }
    assert "Add 2 topics" in answer.text
    page = as_alice.get(url("proposals", column)).text
    assert len(re.findall(r"checked[^>]*data-tick", page)) == 2


def test_a_name_that_is_taken_is_flagged_on_both_lines(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    ProposedTopic.objects.filter(pk=three[1].pk).update(label="Speed")
    answer = as_alice.post(
        url("proposal_update", column, three[0].pk), form_of(three[0], label="Pace"), headers=htmx
    )

    assert f'id="proposal-state-{three[1].pk}"' in answer.text, "its name is free now"
    again = as_alice.post(
        url("proposal_update", column, three[2].pk),
        form_of(three[2], category="Delivery", label="Pace"),
        headers=htmx,
    )
    assert "Another proposal of this category has the same name." in again.text


def test_another_category_answers_with_the_whole_list(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    moved = form_of(three[0], category="Shop")
    answer = as_alice.post(url("proposal_update", column, three[0].pk), moved, headers=htmx)
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#proposals", "innerHTML")
    assert fresh(three[0]).category == "Shop"

    new = form_of(fresh(three[0]), category=NEW_CATEGORY, new_category=" Ways to pay ")
    as_alice.post(url("proposal_update", column, three[0].pk), new, headers=htmx)
    assert fresh(three[0]).category == "Ways to pay"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": ""}, "Give the topic a name"),
        ({"label": "x" * 51}, "at most 50"),
        ({"label": "x" * 501}, "too long"),
        ({"category": NEW_CATEGORY, "new_category": "x" * 31}, "at most 30"),
    ],
)
def test_bad_names_are_refused_with_a_sentence(
    column: Any, three: Any, as_alice: Any, htmx: Any, changes: Any, words: str
) -> None:
    answer = as_alice.post(url("proposal_update", column, three[0].pk), form_of(three[0], **changes), headers=htmx)

    assert answer.status_code == 422
    assert words in answer.text
    assert (fresh(three[0]).label, fresh(three[0]).category) == ("Speed", "Delivery")


def test_two_people_at_one_name(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    ProposedTopic.objects.filter(pk=three[0].pk).update(label="Pace")

    answer = as_alice.post(
        url("proposal_update", column, three[0].pk), form_of(three[0], label="Tempo"), headers=htmx
    )

    assert answer.status_code == 409
    assert "“Tempo” was not saved" in answer.text


def test_all_at_once(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    answer = as_alice.post(url("proposals_choose", column), {"chosen": "false"}, headers=htmx)
    assert "Add 0 topics" in answer.text
    as_alice.post(url("proposals_choose", column), {"sentiment": "false"}, headers=htmx)
    as_alice.post(url("proposals_choose", column), {"chosen": "true"}, headers=htmx)
    as_alice.post(url("proposals_choose", column), {"chosen": "perhaps"}, headers=htmx)

    found = ProposedTopic.objects.values_list("is_chosen", "sentiment_enabled")
    assert set(found) == {(True, False)}


def test_discard_and_bring_back(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    gone = as_alice.post(url("proposal_discard", column, three[0].pk), headers=htmx)
    assert "1 discarded" in gone.text
    assert "Add 2 topics" in gone.text

    back = as_alice.post(url("proposal_discard", column, three[0].pk), {"back": "1"}, headers=htmx)
    assert "discarded" not in back.text.replace("proposals__discarded", "").replace("/discard/", "")
    assert "Add 3 topics" in back.text


def test_a_category_is_renamed(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    address = url("proposals_rename_category", column)

    as_alice.post(address, {"category": "Delivery", "label": "Shipping"}, headers=htmx)

    assert fresh(three[1]).category == "Shipping"
    assert as_alice.post(address, {"category": "Delivery", "label": "Sending"}, headers=htmx).status_code == 409
    assert as_alice.post(address, {"category": "Shop", "label": ""}, headers=htmx).status_code == 422
    assert as_alice.post(address, {"label": "Shop"}, headers=htmx).status_code == 422


def test_merging_asks_with_which(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    address = url("proposal_merge", column, three[2].pk)
    dialog = as_alice.get(address, headers=htmx)
    assert 'value="Staff"' in dialog.text
    assert f'value="{three[2].pk}"' not in dialog.text
    assert as_alice.get(address).status_code == 302, "a dialog is no page"

    empty = as_alice.post(address, {"label": "People"}, headers=htmx)
    assert empty.status_code == 422
    assert "Tick at least one" in empty.text
    assert 'value="People"' in empty.text
    bad = as_alice.post(address, {"label": "x" * 51, "source": [three[0].pk]}, headers=htmx)
    assert bad.status_code == 422
    assert re.search(rf'value="{three[0].pk}" checked', bad.text)
    as_alice.post(address, {"label": "P", "source": ["x", "99999999999999999999"]}, headers=htmx)

    done = as_alice.post(address, {"label": "People", "source": [three[0].pk]}, headers=htmx)
    assert done.text == ""
    assert "proposals-changed" in json.loads(done["HX-Trigger"])
    page = as_alice.get(url("proposals", column)).text
    assert "With “Speed”." in page
    as_alice.post(url("proposal_separate", column, three[2].pk), headers=htmx)
    assert fresh(three[0]).merged_into is None


def test_adding_answers_with_a_notice_that_undoes(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    seen = sets.proposal_state(column).seen

    answer = as_alice.post(url("proposals_accept", column), {"seen": seen}, headers=htmx)

    change = Change.objects.get(kind="topics_create")
    assert "3 proposed topics added" in answer.text
    assert reverse("projects:change_undo", args=[change.pk]) in answer.text
    assert "3 proposals are topics by now." in answer.text
    undone = as_alice.post(reverse("projects:change_undo", args=[change.pk]), headers=htmx)
    assert "topics-changed" in json.loads(undone["HX-Trigger"])
    assert "Add 3 topics" in as_alice.get(url("proposals", column)).text
    assert as_alice.post(url("proposals_accept", column), {"seen": "old"}, headers=htmx).status_code == 409


def test_over_the_limit_is_said_before(column: Any, three: Any, as_alice: Any, htmx: Any, settings: Any) -> None:
    settings.LIMIT_TOPICS = 2

    page = as_alice.get(url("proposals", column)).text

    assert "A column may have 2 topics; there is room for 2 more." in page
    seen = sets.proposal_state(column).seen
    refused = as_alice.post(url("proposals_accept", column), {"seen": seen}, headers=htmx)
    assert refused.status_code == 422


def test_all_are_discarded_once(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    address = url("proposals_discard_all", column)
    assert as_alice.post(address, {"set": "x"}, headers=htmx).status_code == 409

    as_alice.post(address, {"set": three[0].proposal_set_id}, headers=htmx)

    assert not ProposalSet.objects.exists()
    assert as_alice.post(address, {"set": three[0].proposal_set_id}, headers=htmx).status_code == 409


# --- names from an endpoint -----------------------------------------------------------------------
def test_without_an_endpoint_nobody_is_asked(column: Any, three: Any, as_alice: Any, htmx: Any) -> None:
    assert "agreed" not in as_alice.get(url("proposals", column)).text
    assert as_alice.post(url("proposals_name", column), {"agreed": "1"}, headers=htmx).status_code == 422


def test_what_would_be_sent_is_said_and_not_ticked(
    column: Any,
    three: Any,
    as_alice: Any,
    htmx: Any,
    endpoint: Endpoint,  # noqa: F811
) -> None:
    sets.proposal_update(column=column, proposal_id=three[0].pk, label="Mine")

    page = as_alice.get(url("proposals", column)).text

    assert f"up to three example texts of each of 2 proposals to {endpoint.host}" in page
    (box,) = re.findall(r'<input type="checkbox" name="agreed"[^>]*>', page)
    assert "checked" not in box
    assert as_alice.post(url("proposals_name", column), headers=htmx).status_code == 422
    assert not Job.objects.filter(kind=JobKind.PROPOSALS).exists()
    assert endpoint.requests == []


def test_agreed_it_is_sent_and_a_failure_is_a_notice(
    column: Any,
    three: Any,
    as_alice: Any,
    htmx: Any,
    endpoint: Endpoint,  # noqa: F811
) -> None:
    endpoint.status = 500
    as_alice.post(url("proposals_name", column), {"agreed": "1"}, headers=htmx)
    job = Job.objects.get(kind=JobKind.PROPOSALS)
    assert job_execute(job.pk).state == JobState.FAILED
    page = as_alice.get(url("proposals", column)).text
    assert "The proposals keep the names made of their phrases." in page
    assert "Speed" in page

    endpoint.status = 200
    as_alice.post(url("proposals_name", column), {"agreed": "1"}, headers=htmx)
    job_execute(Job.objects.filter(kind=JobKind.PROPOSALS).latest("created_at").pk)
    assert "Says it." in as_alice.get(url("proposals", column)).text
