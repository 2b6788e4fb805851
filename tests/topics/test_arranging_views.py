"""The dialogs about several topics, dropping, and splitting: what they say, what they do, and who may."""

from __future__ import annotations

import pytest
from django.urls import reverse

from projects.models import Change, ChangeKind, Job, JobKind, Role
from tests.topics.restructuring import chips, put, review, row, rows_state, topic, topics_state, undo
from topics.models import Category
from topics.selectors import category_list
from topics.services import background, topic_create, topic_delete, topic_update

pytestmark = pytest.mark.django_db


@pytest.fixture
def column(make_project, alice, bob):
    return make_project(
        alice,
        topics=[
            ("Service", "Speed"), ("Service", "Staff"), ("Service", "Hours"),
            ("Price", "Value"), ("Price", "Staff"),
        ],
        members={bob: Role.ANALYST},
    ).column  # fmt: skip


def url(name, one):
    return reverse(f"topics:{name}", args=[one.pk])


def seen(column, *labels):
    found = [topic(column, label) for label in labels]
    return ",".join(f"{one.pk}:{one.version}" for one in found)


def collection(column):
    return {one.label: [topic.label for topic in one.topics.all()] for one in category_list(column=column)}


@pytest.fixture
def place(column, as_alice, htmx):
    def post(labels, **where):
        return as_alice.post(url("topics_place", column), {"topics": seen(column, *labels), **where}, headers=htmx)

    return post


def test_topics_dropped_before_another_keep_their_order(column, place):
    response = place(["Hours", "Speed"], before=topic(column, "Value").pk)
    assert response.status_code == 200
    assert collection(column)["Price"] == ["Speed", "Hours", "Value", "Staff"]
    assert "topics-changed" in response["HX-Trigger"]
    assert "rows-changed" not in response["HX-Trigger"]


def test_topics_dropped_into_a_category_come_to_its_end(column, place):
    place(["Speed"], category=Category.objects.get(label="Price").pk)
    assert collection(column)["Price"] == ["Value", "Staff", "Speed"]


def test_where_a_topic_stands_already_nothing_is_recorded(column, place):
    assert place(["Speed"], before=topic(column, "Hours").pk).status_code == 200
    before = Change.objects.count()
    assert place(["Speed"], before=topic(column, "Hours").pk).status_code == 200
    assert Change.objects.count() == before


def test_a_category_cannot_have_two_topics_of_one_name(column, as_alice, htmx):
    double = column.topics.get(label="Staff", category__label="Service")
    response = as_alice.post(
        url("topics_place", column),
        {"topics": f"{double.pk}:{double.version}", "category": Category.objects.get(label="Price").pk},
        headers=htmx,
    )
    assert response.status_code == 422
    assert "already a topic named Staff" in response.text


@pytest.mark.parametrize(
    ("topics", "status", "says"),
    [
        ("", 422, "Choose at least one topic"),
        ("x,;<script>,-1,1e9,²", 422, "Choose at least one topic"),
        ("999999999999", 409, "deleted meanwhile"),
        (f"{'9' * 4000}", 422, "Choose at least one topic"),
    ],
)
def test_bad_lists_of_topics_are_answered_calmly(column, as_alice, htmx, topics, status, says):
    for name in ("topics_place", "topics_move", "topics_merge", "topics_delete"):
        before = topics_state(column)
        response = as_alice.post(url(name, column), {"topics": topics}, headers=htmx)
        assert (response.status_code, says in response.text) == (status, True), name
        assert topics_state(column) == before


def test_topics_of_another_column_are_not_there(column, as_alice, alice, make_project, htmx):
    other = make_project(alice, name="Other", topics=["Theirs"]).column
    for name in ("topics_place", "topics_move", "topics_merge", "topics_delete"):
        wanted = f"{seen(column, 'Speed')},{seen(other, 'Theirs')}"
        assert as_alice.post(url(name, column), {"topics": wanted}, headers=htmx).status_code == 409
    assert topic(other, "Theirs")


def test_a_place_that_is_gone_is_said(column, place, alice):
    gone = topic(column, "Value")
    topic_delete(topic=gone, user=alice)
    assert place(["Speed"], before=gone.pk).status_code == 409
    assert place(["Speed"], category=999_999).status_code == 409
    assert place(["Speed"]).status_code == 409


def test_a_topic_somebody_changed_since_is_not_moved(column, as_alice, alice, htmx):
    wanted = seen(column, "Speed")
    topic_update(topic=topic(column, "Speed"), user=alice, description="Other")
    response = as_alice.post(
        url("topics_place", column), {"topics": wanted, "before": topic(column, "Value").pk}, headers=htmx
    )
    assert response.status_code == 409
    assert "Speed" in collection(column)["Service"]


def test_the_move_dialog_puts_topics_at_the_top_or_into_a_new_category(column, as_alice, alice, htmx):
    wanted = seen(column, "Speed", "Hours")
    dialog = as_alice.get(url("topics_move", column), {"topics": wanted}, headers=htmx)
    assert "Move 2 topics" in dialog.text
    price = Category.objects.get(label="Price").pk
    as_alice.post(
        url("topics_move", column), {"topics": wanted, "category": price, "place": "start"}, headers=htmx
    )
    assert collection(column)["Price"] == ["Speed", "Hours", "Value", "Staff"]
    data = {"topics": wanted, "category": "new", "new_category": "", "place": "end"}
    stale = as_alice.post(url("topics_move", column), data, headers=htmx)
    assert stale.status_code == 422
    assert "Give the category a name." in stale.text
    data |= {"topics": seen(column, "Speed", "Hours"), "new_category": "price"}
    taken = as_alice.post(url("topics_move", column), data, headers=htmx)
    assert taken.status_code == 422
    assert "already a category" in taken.text
    before = topics_state(column)
    as_alice.post(url("topics_move", column), data | {"new_category": "Shop"}, headers=htmx)
    assert collection(column)["Shop"] == ["Speed", "Hours"]
    undo(Change.objects.filter(kind=ChangeKind.TOPICS_MOVE).latest("pk"), alice)
    assert "Shop" not in collection(column)
    assert topics_state(column) == before


def test_undo_of_a_move_keeps_a_new_category_that_is_used_by_now(column, as_alice, alice, htmx):
    data = {"topics": seen(column, "Speed"), "category": "new", "new_category": "Shop", "place": "end"}
    as_alice.post(url("topics_move", column), data, headers=htmx)
    topic_create(column=column, category=Category.objects.get(label="Shop"), label="Parking", user=alice)
    undo(Change.objects.get(kind=ChangeKind.TOPICS_MOVE), alice)
    assert collection(column)["Shop"] == ["Parking"]


def test_deleting_several_says_what_is_lost_and_is_one_act(column, as_alice, alice, htmx):
    review(column, alice, 2, "Speed", "Hours")
    put(column, 3, "Speed")
    wanted = seen(column, "Speed", "Hours")
    dialog = as_alice.get(url("topics_delete", column), {"topics": wanted}, headers=htmx)
    assert "2 rows lose topics. 1 of them was reviewed by people." in dialog.text
    before = rows_state(column), topics_state(column)
    for _ in range(2):  # sent twice is one act
        assert as_alice.post(url("topics_delete", column), {"topics": wanted}, headers=htmx).status_code == 200
    assert list(chips(column, 2)) == []
    undo(Change.objects.get(kind=ChangeKind.TOPICS_DELETE), alice)
    assert (rows_state(column), topics_state(column)) == before


def test_several_are_merged_into_the_one_that_stays(column, as_alice, alice, htmx):
    review(column, alice, 2, "Speed")
    put(column, 3, "Hours")
    wanted = seen(column, "Speed", "Hours", "Value")
    target = topic(column, "Value").pk
    dialog = as_alice.get(url("topics_merge", column), {"topics": wanted, "target": target}, headers=htmx)
    assert f'<option value="{target}" selected>Price: Value</option>' in dialog.text
    data = {"topics": wanted, "target": target, "how": "merge"}
    preview = as_alice.get(url("merge_many_preview", column), data, headers=htmx)
    assert "<strong>2 rows change</strong>, 1 of them reviewed" in preview.text
    assert "Speed, Hours go; Value keeps its name" in preview.text
    before = rows_state(column), topics_state(column)
    for _ in range(2):
        response = as_alice.post(url("topics_merge", column), data, headers=htmx)
        assert response.status_code == 200
    assert list(chips(column, 2)) == list(chips(column, 3)) == ["Value"]
    undo(Change.objects.get(kind=ChangeKind.TOPICS_MERGE), alice)
    assert (rows_state(column), topics_state(column)) == before


def test_three_are_combined_by_their_roles(column, as_alice, alice, htmx):
    for number, label in ((2, "Speed"), (3, "Hours"), (6, "Value")):
        review(column, alice, number, label)
    ids = {label: topic(column, label).pk for label in ("Speed", "Hours", "Value")}
    data = {
        "topics": seen(column, *ids), "target": ids["Speed"], "how": "combine", "label": "Overall",
        f"role-{ids['Speed']}": "negative", f"role-{ids['Hours']}": "neutral", f"role-{ids['Value']}": "positive",
    }  # fmt: skip
    preview = as_alice.get(url("merge_many_preview", column), data, headers=htmx)
    assert "Afterwards 1 are positive, 1 neutral and 1 negative" in preview.text
    assert as_alice.post(url("topics_merge", column), data, headers=htmx).status_code == 200
    assert [chips(column, number)["Overall"][0] for number in (2, 3, 6)] == [-1, 0, 1]


def test_what_cannot_be_combined_comes_back_with_the_reason(column, as_alice, alice, htmx):
    topic_update(topic=topic(column, "Value"), user=alice, sentiment_enabled=True)
    four = {"topics": seen(column, "Speed", "Value"), "target": topic(column, "Speed").pk, "how": "combine"}
    answer = as_alice.post(url("topics_merge", column), four | {"label": "X"}, headers=htmx)
    assert answer.status_code == 422
    assert "Only two or three topics without sentiment can be combined." in answer.text
    assert "can be combined" in as_alice.get(url("merge_many_preview", column), four, headers=htmx).text
    two = {
        "topics": seen(column, "Speed", "Hours"),
        "target": topic(column, "Speed").pk,
        "how": "combine",
        "label": "",
    }
    answer = as_alice.post(url("topics_merge", column), two, headers=htmx)
    assert "each once" in answer.text
    assert "Give the new topic a name." in answer.text
    one = as_alice.post(url("topics_merge", column), {"topics": seen(column, "Speed")}, headers=htmx)
    assert one.status_code == 422
    assert "at least two topics" in one.text
    elsewhere = {"topics": seen(column, "Speed", "Hours"), "target": topic(column, "Value").pk}
    assert as_alice.post(url("topics_merge", column), elsewhere, headers=htmx).status_code == 422


def test_a_large_merge_of_several_goes_on_in_the_background(column, as_alice, htmx, monkeypatch):
    monkeypatch.setattr(background, "AT_ONCE", 0)
    put(column, 3, "Hours")
    data = {"topics": seen(column, "Speed", "Hours"), "target": topic(column, "Speed").pk}
    response = as_alice.post(url("topics_merge", column), data, headers=htmx)
    assert "Many rows change" in response.text
    assert Job.objects.get(kind=JobKind.TOPICS).payload["act"] == "merge"


def test_a_category_is_put_in_front_of_another_or_last(column, as_alice, htmx):
    service, price = (Category.objects.get(label=label) for label in ("Service", "Price"))
    as_alice.post(url("category_move", price), {"before": service.pk}, headers=htmx)
    assert list(collection(column)) == ["Price", "Service"]
    as_alice.post(url("category_move", price), {"before": ""}, headers=htmx)
    assert list(collection(column)) == ["Service", "Price"]
    for bad in (price.pk, 999_999, "x"):
        assert as_alice.post(url("category_move", price), {"before": bad}, headers=htmx).status_code == 409


@pytest.fixture
def split_data(column, alice):
    for number in (1, 2, 3):
        put(column, number, "Speed")
    review(column, alice, 6, "Speed")
    return {
        "label_a": "Speed", "label": "Waiting", "version": topic(column, "Speed").version,
        f"half-{row(column, 1).pk}": "b", f"half-{row(column, 6).pk}": "a",
    }  # fmt: skip


def test_rows_to_split_are_found_by_words_and_those_chosen_stay(column, as_alice, htmx, split_data):
    speed = topic(column, "Speed")
    rows = as_alice.get(url("split_rows", speed), split_data | {"search": "staff FRIENDLY"}, headers=htmx).text
    assert "Very friendly staff" in rows
    assert "The delivery came two days late." in rows  # an example
    assert "Too expensive" not in rows
    assert rows.count("checked") >= 3


def test_splitting_moves_the_examples_with_those_that_say_the_same(column, as_alice, alice, htmx, split_data):
    put(column, 4, "Speed")  # says the same as row 1
    before = rows_state(column), collection(column)
    speed = topic(column, "Speed")
    preview = as_alice.get(url("split_preview", speed), split_data, headers=htmx).text
    assert "of the 2 that nobody reviewed" in preview
    assert (rows_state(column), collection(column)) == before
    assert as_alice.post(url("topic_split", speed), split_data, headers=htmx).status_code == 200
    assert list(chips(column, 1)) == list(chips(column, 4)) == ["Waiting"]
    assert list(chips(column, 6)) == ["Speed"]
    undo(Change.objects.get(kind=ChangeKind.TOPIC_SPLIT), alice)
    assert (rows_state(column), collection(column)) == before


def test_confirmed_reviewed_rows_go_along(column, as_alice, alice, htmx, split_data):
    review(column, alice, 3, "Speed")
    data = {**split_data, "version": topic(column, "Speed").version, "confirm": [row(column, 3).pk, "x"]}
    assert as_alice.post(url("topic_split", topic(column, "Speed")), data, headers=htmx).status_code == 200
    assert list(chips(column, 3)) == ["Waiting"]
    assert row(column, 3).is_reviewed


def test_bad_splits_come_back_with_the_reason_and_change_nothing(column, as_alice, alice, htmx, split_data):
    before = topics_state(column)
    speed = topic(column, "Speed")
    bad = [
        (split_data | {"label": ""}, "Give the new topic a name."),
        (split_data | {"label": "hours"}, "already a topic named hours"),
        (split_data | {"label": "x" * 51}, "at most 50"),
        (split_data | {f"half-{row(column, 6).pk}": "b"}, "at least one row that it stays"),
        ({"label": "Waiting", "label_a": "Speed", "half-²": "a", "half-x": "b"}, "at least one row"),
    ]
    for data, says in bad:
        answer = as_alice.post(url("topic_split", speed), data, headers=htmx)
        assert (answer.status_code, says in answer.text) == (422, True), says
        assert topics_state(column) == before
    topic_update(topic=topic(column, "Speed"), user=alice, description="Other")
    assert as_alice.post(url("topic_split", speed), split_data, headers=htmx).status_code == 409


def test_hostile_texts_are_shown_as_text(make_project, as_alice, alice, htmx):
    column = make_project(
        alice, texts=["<script>alert(1)</script>", "fine"], topics=["<b>Bold</b>", "Other"]
    ).column
    bold = topic(column, "<b>Bold</b>")
    put(column, 1, "<b>Bold</b>")
    dialog = as_alice.get(url("topic_split", bold), headers=htmx).text
    assert "<script>alert" not in dialog
    assert "&lt;script&gt;alert" in dialog
    merge = as_alice.get(
        url("topics_merge", column), {"topics": seen(column, "<b>Bold</b>", "Other")}, headers=htmx
    )
    assert "<b>Bold" not in merge.text


def test_only_admins_arrange_and_strangers_find_nothing(column, as_bob, as_charlie, htmx):
    wanted = seen(column, "Speed", "Hours")
    for name in ("topics_place", "topics_move", "topics_merge", "topics_delete"):
        assert as_bob.post(url(name, column), {"topics": wanted}, headers=htmx).status_code == 403
        assert as_charlie.post(url(name, column), {"topics": wanted}, headers=htmx).status_code == 404
    for name in ("split_rows", "split_preview", "topic_split"):
        assert as_bob.get(url(name, topic(column, "Speed")), headers=htmx).status_code == 403
        assert as_charlie.get(url(name, topic(column, "Speed")), headers=htmx).status_code == 404
