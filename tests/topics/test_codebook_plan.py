"""What a codebook does to a collection that has topics: matching, what is missing, staleness, codes, undo."""

from __future__ import annotations

import json

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projects.history import change_undo
from projects.models import Change, ChangeKind
from tests.topics.restructuring import chips, put, review, row, topics_state
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.codebook import (
    CodebookError,
    codebook_apply,
    codebook_of,
    codebook_plan,
    codebook_read,
    collection_version,
    template_get,
    template_list,
)
from topics.codebook.templates import TEMPLATES
from topics.models import CATEGORY_CHARS, LABEL_CHARS, Topic
from topics.selectors import category_list, topic_list
from topics.services import (
    category_create,
    category_update,
    topic_create,
    topic_delete,
    topic_update,
    topics_merge,
)
from topics.services.base import MAX_CODE, codes_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def empty(make_project, alice):
    return make_project(alice, topics=()).column


def csv(text: str):
    return codebook_read("codes.csv", text.encode())


def apply(column, alice, text: str, **more):
    return codebook_apply(column=column, book=csv(text), user=alice, **more)


def tree(column):
    return {
        category.label: [topic.label for topic in category.topics.all()]
        for category in category_list(column=column)
    }


# --- codes ---------------------------------------------------------------------------------------
def test_automatic_codes_of_an_empty_collection_begin_at_zero(empty, alice):
    mood = topic_create(column=empty, category="Service", label="Staff", user=alice, sentiment_enabled=True)
    price = topic_create(column=empty, category="Money", label="Price", user=alice)
    assert [mood.code_neutral, mood.code_positive, mood.code_negative, price.code_neutral] == [0, 1, 2, 3]


def test_codes_stay_through_renaming_merging_and_undo(empty, alice):
    staff = topic_create(column=empty, category="Service", label="Staff", user=alice, sentiment_enabled=True)
    price = topic_create(column=empty, category="Money", label="Price", user=alice)
    topic_update(topic=staff, user=alice, label="People")
    merged = topics_merge(target=staff, sources=[price], user=alice)
    staff.refresh_from_db()
    assert codes_of(staff) == [0, 1, 2]
    new = topic_create(column=empty, category=staff.category, label="New", user=alice)
    assert new.code_neutral == 4  # 3 is kept for the topic that may come back
    change_undo(change=merged, user=alice)
    price.refresh_from_db()
    assert (price.deleted_at, price.code_neutral) == (None, 3)


def test_codes_below_are_given_where_the_highest_are_taken(empty, alice):
    one = topic_create(column=empty, category="C", label="A", user=alice, code_neutral=MAX_CODE)
    topic_create(column=empty, category=one.category, label="B", user=alice, code_neutral=1)
    mood = topic_create(column=empty, category=one.category, label="M", user=alice, sentiment_enabled=True)
    assert codes_of(mood) == [0, 2, 3]
    apply(empty, alice, "topic,category\nX,C\n")
    assert empty.topics.get(label="X").code_neutral == 4


ACTS = st.lists(
    st.tuples(st.sampled_from(["create", "mood", "rename", "code", "merge", "delete", "import", "undo"]),
              st.integers(0, 6), st.integers(0, 6)),
    max_size=12,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_codes_are_unique_after_any_sequence_of_acts(make_project, alice, acts):
    with transaction.atomic():
        column = make_project(alice, topics=()).column
        for kind, a, b in acts:
            try:
                with transaction.atomic():
                    _act(column, alice, kind, a, b)
            except ApplicationError:
                continue
            codes = [code for topic in topic_list(column=column) for code in codes_of(topic)]
            assert len(codes) == len(set(codes))
            assert all(None not in codes_of(topic) for topic in topic_list(column=column))
            for topic in topic_list(column=column):
                assert len(codes_of(topic)) == (3 if topic.sentiment_enabled else 1)
        transaction.set_rollback(True)


def _act(column, alice, kind, a, b):
    topics = list(topic_list(column=column))
    one, other = (topics[a % len(topics)], topics[b % len(topics)]) if topics else (None, None)
    category = column.categories.filter(deleted_at=None).first() or "C"
    if kind in {"create", "mood"}:
        label = f"T{Topic.objects.count()}"
        topic_create(column=column, category=category, label=label, user=alice, sentiment_enabled=kind == "mood")
    elif kind == "import":
        lines = f"{a},I{a},C,\n{b},I{b},D,\n,X{a},C,positive\n"
        apply(column, alice, "code,topic,category,sentiment\n" + lines, delete_missing=a % 2 == 0)
    elif kind == "undo":
        changes = list(Change.objects.filter(column=column, undone_at=None).exclude(kind=ChangeKind.UNDO)[:7])
        if changes:
            change_undo(change=changes[a % len(changes)], user=alice)
    elif one is None:
        return
    elif kind == "rename":
        topic_update(topic=one, user=alice, label=f"R{a}{b}")
    elif kind == "code":
        topic_update(topic=one, user=alice, code_neutral=b)
    elif kind == "merge" and one.pk != other.pk:
        topics_merge(target=one, sources=[other], user=alice)
    elif kind == "delete":
        topic_delete(topic=one, user=alice)


# --- what would change ---------------------------------------------------------------------------
def test_each_field_is_told_with_what_was_and_what_will_be(column, alice):
    text = (
        "code,topic,category,sentiment,sentiment label,description,keywords\n"
        "1,Warmth,Price,neutral,,Smiles,nice\n2,Warmth,Price,positive,Kind,,\n30,Warmth,Price,negative,,,\n"
    )
    (one,) = codebook_plan(column, csv(text)).topics
    assert list(map(str, one.edits)) == [
        "Category: Service → Price",
        "Name: Friendliness → Warmth",
        "Description: – → Smiles",
        "Keywords: – → nice",
        "Positive label: – → Kind",
        "Code, negative: 3 → 30",
    ]


def test_a_label_that_is_there_twice_is_no_match(column, alice):
    topic_create(column=column, category=column.categories.get(label="Service"), label="Price", user=alice)
    plan = codebook_plan(column, csv("topic,category\nPrice,Money\n"))
    assert [one.action for one in plan.topics] == ["new"]


def test_a_category_whose_topics_all_go_to_a_new_one_is_renamed(column, alice):
    category = column.categories.get(label="Service")
    text = "code,topic,category,colour\n1,Friendliness,Care,pink\n4,Delivery time,Care,\n"
    plan = codebook_plan(column, csv(text))
    assert (plan.new_categories, plan.n_changed) == ([], 0)
    assert [list(map(str, one.edits)) for one in plan.changed_categories] == [
        ["Name: Service → Care", "Colour: blue → pink"]
    ]
    versions = {topic.pk: topic.ai_version for topic in category.topics.all()}
    result = apply(column, alice, text)
    category.refresh_from_db()
    assert (category.label, category.color) == ("Care", "pink")
    assert all(topic.ai_version == versions[topic.pk] + 1 for topic in category.topics.all())
    change_undo(change=result.change, user=alice)
    category.refresh_from_db()
    assert (category.label, category.color) == ("Service", "blue")


def test_a_category_that_keeps_a_topic_is_not_renamed(column, alice):
    plan = codebook_plan(column, csv("code,topic,category\n1,Friendliness,Care\n"))
    assert plan.new_categories == ["Care"]
    assert plan.changed_categories == []


def test_undo_is_refused_when_the_category_was_renamed_since(column, alice):
    result = apply(column, alice, "code,topic,category\n1,Friendliness,Care\n4,Delivery time,Care\n")
    category_update(category=column.categories.get(label="Care"), user=alice, label="Help")
    with pytest.raises(ApplicationError, match="The category Care was changed since"):
        change_undo(change=result.change, user=alice)


def test_sentiment_that_the_file_does_not_have_stays_and_is_told(column, alice):
    (one,) = codebook_plan(column, csv("code,topic,category,description\n1,Friendliness,Service,Smiles\n")).topics
    assert one.notes == ["keeps its sentiment"]


# --- what is missing -----------------------------------------------------------------------------
NEW = "code,topic,category\n7,Price,Price\n50,Extra,Shop\n"


def test_missing_topics_are_named_with_their_rows_and_stay(column, alice):
    put(column, 1, "Delivery time", 1)
    review(column, alice, 2, "Friendliness")
    missing = codebook_plan(column, csv(NEW)).missing
    assert [topic.label for topic, _n in missing.topics] == ["Friendliness", "Delivery time"]
    assert (missing.n_rows, missing.n_reviewed) == (2, 1)
    assert [category.label for category in missing.categories] == ["Service"]
    apply(column, alice, NEW)
    assert tree(column) == {
        "Service": ["Friendliness", "Delivery time"], "Price": ["Price"], "Shop": ["Extra"]
    }  # fmt: skip


def test_missing_topics_can_go_in_the_same_act_and_come_back(column, alice):
    review(column, alice, 2, "Friendliness")
    before, rows_before = topics_state(column), chips(column, 2)
    result = apply(column, alice, NEW, delete_missing=True)
    assert (result.n_created, result.n_deleted) == (1, 2)
    assert tree(column) == {"Price": ["Price"], "Shop": ["Extra"]}
    assert chips(column, 2) == {}
    assert result.change.summary == "Codebook imported: 1 topic added, 0 changed, 2 deleted"
    change_undo(change=result.change, user=alice)
    assert topics_state(column) == before
    assert tree(column) == {"Service": ["Friendliness", "Delivery time"], "Price": ["Price"]}
    assert chips(column, 2) == rows_before


def test_a_missing_topic_can_make_room_for_its_name_and_comes_back(column, alice):
    before = topics_state(column)
    text = "code,topic,category,sentiment\n1,Delivery time,Service,neutral\n7,Price,Price,\n"
    plan = codebook_plan(column, csv(text))
    assert plan.only_with_deletion == ["Line 2: there is already a topic named Delivery time."]
    with pytest.raises(CodebookError, match="already a topic named Delivery time"):
        apply(column, alice, text)
    assert topics_state(column) == before
    result = apply(column, alice, text, delete_missing=True)
    assert tree(column) == {"Service": ["Delivery time"], "Price": ["Price"]}
    change_undo(change=result.change, user=alice)
    assert topics_state(column) == before


def test_a_full_collection_is_replaced_by_another_one(column, alice, settings):
    settings.LIMIT_TOPICS = 3
    text = "topic,category\n" + "".join(f"T{n},C\n" for n in range(3))
    assert "There would be 6 topics" in codebook_plan(column, csv(text)).only_with_deletion[0]
    with pytest.raises(CodebookError, match="There would be 6 topics"):
        apply(column, alice, text)
    result = apply(column, alice, text, delete_missing=True)
    assert tree(column) == {"C": ["T0", "T1", "T2"]}
    change_undo(change=result.change, user=alice)
    assert sorted(tree(column)) == ["Price", "Service"]


def test_deleting_what_is_missing_alone_is_an_act(column, alice):
    text = "code,topic,category\n7,Price,Price\n"
    assert apply(column, alice, text).change is None
    result = apply(column, alice, text, delete_missing=True)
    assert (result.n_deleted, tree(column)) == (2, {"Price": ["Price"]})
    assert apply(column, alice, text, delete_missing=True).change is None


# --- staleness -----------------------------------------------------------------------------------
EDITS = {
    "topic renamed": lambda column, alice: topic_update(
        topic=column.topics.get(label="Price"), user=alice, label="Cost"
    ),
    "description": lambda column, alice: topic_update(
        topic=column.topics.get(label="Price"), user=alice, description="x"
    ),
    "keywords": lambda column, alice: column.topics.filter(label="Price").update(keywords=["fee"]),
    "topic added": lambda column, alice: topic_create(column=column, category="New", label="N", user=alice),
    "topic deleted": lambda column, alice: topic_delete(topic=column.topics.get(label="Price"), user=alice),
    "category added": lambda column, alice: category_create(column=column, label="N", user=alice),
    "colour": lambda column, alice: category_update(
        category=column.categories.get(label="Price"), user=alice, color="red"
    ),
}


@pytest.mark.parametrize("edit", list(EDITS))
def test_a_collection_that_changed_since_the_preview_is_noticed(column, alice, edit):
    seen = collection_version(column)
    EDITS[edit](column, alice)
    before = topics_state(column)
    with pytest.raises(StaleRevisionError, match="was changed since you looked") as error:
        apply(column, alice, NEW, expected=seen)
    assert error.value.status == 409
    assert topics_state(column) == before
    assert apply(column, alice, NEW, expected=collection_version(column)).n_created


def test_rows_that_change_make_no_preview_stale(column, alice):
    seen = collection_version(column)
    review(column, alice, 2, "Friendliness")
    assert apply(column, alice, NEW, expected=seen).n_created == 1


def test_a_preview_that_is_sent_twice_writes_once(column, alice):
    seen = collection_version(column)
    assert apply(column, alice, NEW, expected=seen, delete_missing=True).change
    assert apply(column, alice, NEW, expected=seen, delete_missing=True).change is None


def test_a_clash_that_came_since_is_told_as_a_change(empty, alice):
    text, seen = "code,topic,category\n5,A,C\n", collection_version(empty)
    mood = topic_create(column=empty, category="C", label="Z", user=alice, sentiment_enabled=True, code_neutral=4)
    topic_create(column=empty, category=mood.category, label="A", user=alice)
    with pytest.raises(StaleRevisionError):
        apply(empty, alice, text + "4,B,C\n", expected=seen)


# --- offers: another project, templates ----------------------------------------------------------
def test_topics_of_another_project_come_with_everything_but_their_rows(column, empty, alice):
    topic = column.topics.get(label="Friendliness")
    topic_update(topic=topic, user=alice, label_positive="Kind", description="Smiles", code_negative=300)
    Topic.objects.filter(pk=topic.pk).update(keywords=["nice"])
    put(column, 1, "Delivery time", 1)
    result = codebook_apply(column=empty, book=codebook_of(column), user=alice)
    fields = ("label", "description", "sentiment_enabled", "code_neutral", "code_positive", "code_negative",
              "label_positive", "keywords", "category__label", "category__color", "position")  # fmt: skip
    assert list(topic_list(column=empty).values(*fields)) == list(topic_list(column=column).values(*fields))
    assert not empty.topics.filter(assignments__isnull=False).exists()
    assert result.change.summary == "Topics from Customer survey · Comment: 3 topics added, 0 changed"
    change_undo(change=result.change, user=alice)
    assert tree(empty) == {}


def test_an_offer_leaves_what_is_here_and_fills_in_what_it_lacks(column, make_project, alice):
    other = make_project(
        alice, topics=[("Staff", "friendliness", False), ("Price", "Price", True), ("X", "New", True)]
    )
    for topic in other.column.topics.all():
        topic_update(
            topic=topic, user=alice, description=f"About {topic.label}", code_neutral=topic.code_neutral + 50
        )
    topic_update(topic=column.topics.get(label="Price"), user=alice, description="Mine")
    book = codebook_of(other.column)
    plan = codebook_plan(column, book)
    assert [(one.action, list(map(str, one.edits))) for one in plan.topics] == [
        ("changed", ["Description: – → About friendliness"]),
        ("same", []),
        ("new", []),
    ]
    codebook_apply(column=column, book=book, user=alice)
    friendly = column.topics.get(label="Friendliness")
    assert (friendly.sentiment_enabled, friendly.category.label, codes_of(friendly)) == (
        True,
        "Service",
        [1, 2, 3],
    )
    assert not column.topics.get(label="Price").sentiment_enabled
    assert tree(column) == {"Service": ["Friendliness", "Delivery time"], "Price": ["Price"], "X": ["New"]}


def test_codes_of_an_offer_are_kept_where_they_are_free(column, make_project, alice):
    other = make_project(alice, topics=[("X", "New", False), ("X", "Far", False)]).column
    far = other.topics.get(label="Far")
    topic_update(topic=far, user=alice, code_neutral=500)
    codebook_apply(column=column, book=codebook_of(other), user=alice)
    assert column.topics.get(label="Far").code_neutral == 500
    assert column.topics.get(label="New").code_neutral == 501  # its own, 1, is taken here


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("key", TEMPLATES)
def test_a_template_fits_into_an_empty_column(empty, alice, key, language):
    template = template_get(key, language)
    book = template.book
    assert 15 <= template.n_topics <= 40
    assert 4 <= len(book.categories) <= 8
    assert len({entry.label.casefold() for entry in book.entries}) == template.n_topics
    assert len({said.color for said in book.categories}) == len(book.categories)
    assert all(len(entry.label) <= LABEL_CHARS and len(entry.category) <= CATEGORY_CHARS for entry in book.entries)
    assert all(35 <= len(entry.description) <= 250 for entry in book.entries)
    assert (template.language, book.language, book.kind) == (language, language, "template")
    assert len(template.purpose) > 40
    result = codebook_apply(column=empty, book=book, user=alice)
    assert result.n_created == template.n_topics
    assert [topic.label for topic in topic_list(column=empty)] == [entry.label for entry in book.entries]
    codes = sorted(code for topic in topic_list(column=empty) for code in codes_of(topic))
    assert codes == list(range(len(codes)))
    assert codebook_apply(column=empty, book=book, user=alice).change is None


@pytest.mark.parametrize("key", TEMPLATES)
def test_a_template_is_the_same_collection_in_both_languages(key):
    one, other = (template_get(key, language).book for language in ("en", "de"))
    assert [said.color for said in one.categories] == [said.color for said in other.categories]
    assert [(entry.has_sentiment, bool(entry.keywords)) for entry in one.entries] == [
        (entry.has_sentiment, bool(entry.keywords)) for entry in other.entries
    ]


def test_there_are_no_other_templates():
    assert [template.key for template in template_list("en")] == list(TEMPLATES)
    assert template_get("../nps", "en") is None
    assert template_get("nps", "fr") is None


def test_a_template_beside_topics_adds_and_renames_nothing(column, alice):
    before = {topic.pk: (topic.label, codes_of(topic)) for topic in topic_list(column=column)}
    result = codebook_apply(column=column, book=template_get("nps", "en").book, user=alice)
    after = {topic.pk: (topic.label, codes_of(topic)) for topic in topic_list(column=column)}
    assert before.items() <= after.items()
    assert result.n_created == 23


def test_template_keywords_find_only_answers_that_say_nothing():
    import re

    for key, language, yes, no in (
        (
            "nps",
            "en",
            ["n/a", "None", "--", "no comment.", "Nothing!"],
            ["no parking", "nothing works", "none of it"],
        ),
        (
            "nps",
            "de",
            ["k.A.", "k. A.", "nichts", "Keine", "weiß nicht"],
            ["keine Parkplätze", "nichts geht mehr"],
        ),
    ):
        entry = template_get(key, language).book.entries[-1]
        pattern = re.compile(entry.keywords[0][1:-2], re.IGNORECASE)
        assert [text for text in no if pattern.search(text)] == []
        assert [text for text in yes if not pattern.search(text) and text != "--"] == []


def test_row_of_a_deleted_row_counts_for_nothing(column, alice):
    put(column, 1, "Delivery time", 1)
    row(column, 1).row.__class__.objects.filter(number=1).update(deleted_at="2024-01-01T00:00Z")
    assert codebook_plan(column, csv(NEW)).missing.n_rows == 0


def test_the_json_of_templates_reads_as_a_file_too(empty, alice, settings):
    content = (settings.BASE_DIR / "topics" / "templates_data" / "nps.en.json").read_bytes()
    book = codebook_read("mine.json", content)
    assert (book.kind, book.has_order, len(book.entries)) == ("file", True, json.loads(content) and 23)
