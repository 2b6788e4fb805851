"""Keywords on pages: the field of the dialog, what it says while one types, and where rows show them."""

from __future__ import annotations

import pytest
from django.urls import reverse

from projects.models import Change, Column, Role
from rows import keywords as row_keywords
from tests.conftest import add_rows
from tests.topics.restructuring import put, review, topic
from tests.topics.test_topic_views import topic_data, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def price(column):
    return topic(column, "Price")


@pytest.fixture
def ask(as_alice, column, htmx):
    """Return a function that asks what typed keywords find."""

    def post(typed):
        return as_alice.post(url("keywords_preview", column.pk), {"keywords": typed}, headers=htmx)

    return post


def paragraphs(response) -> list[str]:
    text = response.text.replace("<p>", "\n").replace('<p class="keywords__problem">', "\n")
    while "<" in text:
        start = text.index("<")
        text = text[:start] + text[text.index(">", start) + 1 :]
    return [" ".join(line.split()) for line in text.split("\n") if line.strip()]


# --- the dialog -----------------------------------------------------------------------------------
def test_the_dialog_shows_keywords_one_per_line(as_alice, price, htmx):
    price.keywords = ["cost", "/fees?/i"]
    price.save()
    page = as_alice.get(url("topic_edit", price.pk), headers=htmx).text
    assert ">\ncost\n/fees?/i</textarea>" in page
    assert 'hx-trigger="load, input delay:600ms' in page
    assert url("keywords_preview", price.column_id) in page


def test_keywords_are_saved_and_undone(as_alice, price, htmx):
    data = topic_data(price, keywords=" cost \r\n\r\n/fees?/i\r\nCost")
    assert as_alice.post(url("topic_edit", price.pk), data, headers=htmx).status_code == 200
    price.refresh_from_db()
    assert price.keywords == ["cost", "/fees?/i"]
    as_alice.post(reverse("projects:change_undo", args=[Change.objects.get().pk]))
    price.refresh_from_db()
    assert price.keywords == []


def test_a_topic_is_added_with_keywords(as_alice, column, htmx):
    data = {"label": "Noise", "category": column.categories.first().pk, "keywords": "loud\nnoisy"}
    assert as_alice.post(url("topic_create", column.pk), data, headers=htmx).status_code == 200
    assert topic(column, "Noise").keywords == ["loud", "noisy"]


def test_each_wrong_line_is_named_and_nothing_is_lost(as_alice, price, htmx):
    typed = "cost\n/(/\n\n/a*/"
    response = as_alice.post(url("topic_edit", price.pk), topic_data(price, keywords=typed), headers=htmx)
    assert response.status_code == 422
    assert "Line 2, /(/: a closing parenthesis ) is missing." in response.text
    assert "Line 4, /a*/: it also matches nothing at all" in response.text
    assert ">\ncost\n/(/\n\n/a*/</textarea>" in response.text
    assert 'aria-invalid="true"' in response.text
    price.refresh_from_db()
    assert price.keywords == []


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("\n".join(f"word{n}" for n in range(101)), "at most 100 keywords, these are 101"),
        ("x" * 40_001, "at most 40000 characters"),
        ("a\x00b", "Null characters are not allowed."),
    ],
)
def test_too_much_is_refused(as_alice, price, htmx, typed, message):
    response = as_alice.post(url("topic_edit", price.pk), topic_data(price, keywords=typed), headers=htmx)
    assert response.status_code == 422
    assert message in response.text


def test_a_form_without_the_field_leaves_keywords_alone(as_alice, price, htmx):
    price.keywords = ["cost"]
    price.save()
    as_alice.post(url("topic_edit", price.pk), topic_data(price, label="Costs"), headers=htmx)
    price.refresh_from_db()
    assert (price.label, price.keywords) == ("Costs", ["cost"])


def test_what_is_stored_may_stay_though_it_could_not_be_typed(as_alice, price, htmx):
    price.keywords = [f"word{n}" for n in range(150)]  # two topics came together
    price.save()
    data = topic_data(price, label="Costs", keywords="\n".join(price.keywords))
    assert as_alice.post(url("topic_edit", price.pk), data, headers=htmx).status_code == 200
    price.refresh_from_db()
    assert (price.label, len(price.keywords)) == ("Costs", 150)


def test_what_is_typed_is_shown_as_text(ask, as_alice, price, htmx):
    bad = "<script>alert(1)</script>"
    assert "<script>" not in ask(f"{bad}\n/<script>(/\nlate").text
    price.keywords = [bad]
    price.save()
    assert "<script>alert" not in as_alice.get(url("topic_edit", price.pk), headers=htmx).text


# --- what they find -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("late", ["Found in 2 rows, 2 of them not reviewed."]),  # duplicates count
        ("late\nstaff\nnowhere", ["Found in 3 rows, 3 of them not reviewed.", "Not found: nowhere"]),
        ("nowhere", ["Found in no row."]),
        ("/expensive|staff/", ["Found in 2 rows, 2 of them not reviewed."]),
        ("", []),
        ("\n \n", []),
        ("/(/", ["Line 1, /(/: a closing parenthesis ) is missing."]),
        (
            "late\n/(/",
            ["Line 2, /(/: a closing parenthesis ) is missing.", "Found in 2 rows, 2 of them not reviewed."],
        ),
        ("\n".join(map(str, range(101))), ["A topic may have at most 100 keywords, these are 101."]),
    ],
)
def test_the_dialog_says_what_keywords_find(ask, typed, said):
    response = ask(typed)
    assert response.status_code == 200
    assert paragraphs(response) == said


def test_reviewed_rows_are_counted_apart(ask, column, alice):
    review(column, alice, 1, "Price")  # and 4, which says the same
    review(column, alice, 2, "Price")
    assert paragraphs(ask("late\nstaff\nexpensive")) == ["Found in 4 rows, 1 of them not reviewed."]


def test_empty_and_deleted_rows_are_not_counted(ask, column):
    add_rows(column.project, {column: ["N/A once more", "late again"]})
    row = column.project.rows.last()
    assert paragraphs(ask("late")) == ["Found in 3 rows, 3 of them not reviewed."]
    row.deleted_at = row.created_at
    row.save()
    assert paragraphs(ask("late")) == ["Found in 2 rows, 2 of them not reviewed."]


def test_it_stops_after_many_rows_and_says_so(ask, column, monkeypatch):
    monkeypatch.setattr(row_keywords, "MAX_GROUPS", 2)
    assert paragraphs(ask("late\nstaff")) == [
        "Found in at least 3 rows, 3 of them not reviewed (looked at the first 3 rows)."
    ]
    assert paragraphs(ask("expensive")) == ["Not found in the first 3 rows."]
    monkeypatch.setattr(row_keywords, "MAX_GROUPS", 4)
    assert paragraphs(ask("expensive")) == ["Found in 1 row, 1 of them not reviewed."]


def test_it_stops_when_it_takes_too_long(ask, monkeypatch):
    monkeypatch.setattr(row_keywords, "BLOCK_CHARS", 1)
    monkeypatch.setattr(row_keywords, "LIMIT_S", -1)
    assert paragraphs(ask("late\nstaff")) == [
        "Found in at least 2 rows, 2 of them not reviewed (looked at the first 2 rows)."
    ]
    assert paragraphs(ask("staff")) == ["Not found in the first 2 rows."]


@pytest.mark.parametrize("role", list(Role))
def test_only_those_who_may_edit_topics_may_ask(as_bob, as_charlie, client_of, column, role):
    address = url("keywords_preview", column.pk)
    assert as_bob.post(address, {"keywords": "late"}).status_code == (200 if role == Role.ADMIN else 403)
    assert as_charlie.post(address, {"keywords": "late"}).status_code == 404
    assert client_of().post(address).status_code == 302
    assert as_bob.get(address).status_code == 405


# --- rows -----------------------------------------------------------------------------------------
@pytest.fixture
def found(column, price):
    price.keywords = ["expensive", "/not here/"]
    price.save()
    put(column, 3, "Price", source="keyword", probability=0.12)
    put(column, 2, "Price", source="ai")
    return column


def browse(client, column: Column, query: str = "") -> str:
    return client.get(reverse("rows:browser", args=[column.pk]) + query).text


def test_the_chip_says_where_it_comes_from(as_alice, found):
    page = browse(as_alice, found)
    assert 'title="Price: Price (by keyword)"' in page
    assert 'title="Price: Price (AI, 80 %)"' in page


def test_rows_are_filtered_by_it(as_alice, found):
    page = browse(as_alice, found, "?source=keyword")
    assert "Too expensive" in page
    assert "friendly staff" not in page
    assert "Assigned by keyword" in page


def test_the_panel_marks_the_topic(as_alice, found, htmx):
    row = found.verbatims.get(row_number=3)
    panel = as_alice.get(reverse("rows:verbatim", args=[found.pk, row.pk]), headers=htmx).text
    assert ">keyword</span>" in panel
    other = found.verbatims.get(row_number=2)
    panel = as_alice.get(reverse("rows:verbatim", args=[found.pk, other.pk]), headers=htmx).text
    assert ">keyword</span>" not in panel


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (3, ["expensive"], "The row has this topic because its text has a keyword of it:"),
        (3, ["nothing"], "The row got this topic by a keyword that is gone"),
        (2, ["staff"], "The text has a keyword of this topic:"),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_why_names_the_keyword(as_bob, as_charlie, found, price, htmx, role, number, words, said):
    price.keywords = words
    price.save()
    row = found.verbatims.get(row_number=number)
    address = reverse("finetune:assignment_why", args=[found.pk, row.pk, price.pk])
    page = as_bob.get(address, headers=htmx).text
    assert said in page
    assert (f'why__word">{words[0]}</span>' in page) is (words != ["nothing"])
    assert as_charlie.get(address, headers=htmx).status_code == 404


def test_focus_mode_has_it_ticked_and_marked(as_alice, found):
    review(found, found.project.owner, 1)
    review(found, found.project.owner, 2)
    page = as_alice.get(reverse("rows:focus", args=[found.pk])).text
    start = page.index("Too expensive")
    card = page[start : page.index("</form>", start)]
    assert f'value="{topic(found, "Price").pk}" checked' in card
    assert ">keyword</span>" in card
