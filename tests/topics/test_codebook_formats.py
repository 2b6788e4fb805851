"""Codebooks out and in again without loss, as CSV, Excel and JSON; JSON that is wrong; keywords in a cell."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from projects.files import TableError
from projects.history import change_undo
from projects.models import Change
from tests.topics.restructuring import topics_state
from topicassign.errors import ApplicationError
from topics.codebook import (
    CodebookError,
    codebook_csv,
    codebook_import,
    codebook_json,
    codebook_plan,
    codebook_read,
    codebook_xlsx,
)
from topics.codebook.layout import keywords_join, keywords_split
from topics.models import Topic
from topics.selectors import category_list, topic_list
from topics.services import categories_reorder, category_create, topic_create, topic_move, topic_update

pytestmark = pytest.mark.django_db

MAKERS = [(codebook_csv, "c.csv"), (codebook_xlsx, "c.xlsx"), (codebook_json, "c.json")]
HOSTILE = (
    "=1+1", "+49 30", "-Rude", "@home", "'=1+1", "''-x", "'quoted'", '"quoted"', "a,b;c|d\te",
    "<b>x</b> & {{ 7 }}",
    "🙂🇩🇪 family 👩‍👩‍👧", "شكرا جزيلا", "שלום \u200fעולם", "007", "1e5", "TRUE", "2024-01-02", "N/A", "null",
    "%s {0} \\n", "Ünïcödé ﬁ", "x" * 50, "_x0041_",
)  # fmt: skip


@pytest.fixture
def empty(make_project, alice):
    return make_project(alice, topics=()).column


@pytest.fixture
def rich(column, alice):
    """A column with something of everything a codebook carries."""
    friendly, price = column.topics.get(label="Friendliness"), column.topics.get(label="Price")
    topic_update(
        topic=friendly, user=alice, label_positive="+ Kind", label_negative="-Rude", code_neutral=900,
        description='Smiles, "warmth"\nand @home\n\n=1+1; line | four',
    )  # fmt: skip
    Topic.objects.filter(pk=price.pk).update(keywords=["fee", "/a;b|c/i", '"so called"', "one;two", "=cost"])
    service = column.categories.get(label="Service")
    for number, label in enumerate(HOSTILE):
        topic_create(
            column=column, category=service, label=label, description=label, user=alice,
            sentiment_enabled=number % 3 == 0, label_positive=f"Good {number}" if number % 6 == 0 else "",
        )  # fmt: skip
    return column


def said(column):
    """Return all that a person may set of a topic collection, in the order of the screen."""
    fields = ("label", "description", "keywords", "sentiment_enabled", "code_neutral", "code_positive",
              "code_negative", "label_neutral", "label_positive", "label_negative")  # fmt: skip
    return [
        (
            category.label,
            category.color,
            [[getattr(topic, name) for name in fields] for topic in category.topics.all()],
        )
        for category in category_list(column=column)
    ]


def take(column, alice, body, name="c.json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return codebook_import(column=column, file_name=name, content=content, user=alice)


def book(*topics, **more):
    return {
        "format": "topicassign-codebook",
        "version": 1,
        "categories": [{"label": "C", "topics": list(topics)}],
        **more,
    }


# --- out and in again ----------------------------------------------------------------------------
@pytest.mark.parametrize(("make", "name"), MAKERS)
def test_what_is_exported_makes_the_same_collection(rich, empty, alice, make, name):
    take(empty, alice, make(rich), name)
    assert said(empty) == said(rich)


@pytest.mark.parametrize(("make", "name"), MAKERS)
def test_what_is_exported_changes_nothing_where_it_came_from(rich, alice, make, name):
    n_changes, before = Change.objects.count(), topics_state(rich)
    result = take(rich, alice, make(rich), name)
    assert (result.n_created, result.n_updated, result.change) == (0, 0, None)
    assert (Change.objects.count(), topics_state(rich)) == (n_changes, before)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.lists(
        st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=50), min_size=1, max_size=4
    ),
    description=st.text(max_size=60),
    keywords=st.lists(st.text(max_size=12), max_size=4),
)
@pytest.mark.parametrize(("make", "name"), MAKERS)
def test_any_collection_comes_back_as_it_was(make_any_collection, make, name, labels, description, keywords):
    from_column, to_column, user = make_any_collection(labels, description, keywords)
    if from_column is None:
        return
    codebook_import(column=to_column, file_name=name, content=make(from_column), user=user)
    assert said(to_column) == said(from_column)


@pytest.fixture
def make_any_collection(make_project, alice):
    """Return columns made anew for each example: one with the topics, if they can be made, and an empty one."""

    def make(labels, description, keywords):
        from_column, to_column = make_project(alice, topics=()).column, make_project(alice, topics=()).column
        body = book(
            *({"label": label, "description": description, "keywords": keywords} for label in labels),
        )
        try:
            codebook_import(column=from_column, file_name="c.json", content=json.dumps(body).encode(), user=alice)
        except CodebookError:
            return None, None, None
        return from_column, to_column, alice

    return make


def test_json_keeps_empty_categories_colours_and_the_order(column, empty, alice):
    category_create(column=column, label="Nothing yet", color="#12ab34", user=alice)
    ids = list(category_list(column=column).values_list("pk", flat=True))
    categories_reorder(column=column, category_ids=[ids[2], ids[0], ids[1]], user=alice)
    service = column.categories.get(label="Service")
    topic_move(topic=column.topics.get(label="Price"), category=service, before=None, user=alice)
    take(empty, alice, codebook_json(column))
    assert said(empty) == said(column)
    assert [one[0] for one in said(empty)] == ["Nothing yet", "Service", "Price"]


def test_json_says_of_itself_what_it_is(column):
    body = json.loads(codebook_json(column))
    assert {name: body[name] for name in ("format", "version", "language", "name")} == {
        "format": "topicassign-codebook", "version": 1, "language": "en", "name": "Comment",
    }  # fmt: skip
    assert body["categories"][0]["topics"][0]["codes"] == {"neutral": 1, "positive": 2, "negative": 3}


def test_json_puts_the_collection_back_as_it_was_exported(rich, alice):
    content, before = codebook_json(rich), said(rich)
    price = rich.topics.get(label="Price")
    topic_update(topic=price, user=alice, label="Cost", description="Something", code_neutral=777)
    topic_update(topic=rich.topics.get(label="Friendliness"), user=alice, description="", label_positive="")
    topic_update(topic=price, user=alice, code_neutral=7)
    result = take(rich, alice, content)
    assert result.n_updated == 2
    assert said(rich) == before
    change_undo(change=result.change, user=alice)
    assert rich.topics.get(label="Cost").description == "Something"


def test_order_of_the_file_is_taken_and_undone(column, alice):
    body = json.loads(codebook_json(column))
    body["categories"].reverse()
    body["categories"][1]["topics"].reverse()
    before = topics_state(column)
    plan = codebook_plan(column, codebook_read("c.json", json.dumps(body).encode()))
    assert (plan.is_reordered, plan.n_changed, plan.is_same) == (True, 0, False)
    result = take(column, alice, body)
    assert [topic.label for topic in topic_list(column=column)] == ["Price", "Delivery time", "Friendliness"]
    change_undo(change=result.change, user=alice)
    assert topics_state(column) == before
    assert [one[0] for one in said(column)] == ["Service", "Price"]


def test_json_says_nothing_with_what_it_leaves_out(column, alice):
    friendly = column.topics.get(label="Friendliness")
    topic_update(topic=friendly, user=alice, description="Smiles", label_positive="Kind")
    body = book({"label": "Friendliness"})
    body["categories"][0]["label"] = "Service"
    assert take(column, alice, body).change is None
    body["categories"][0]["topics"][0] |= {"description": "", "sentiment_labels": {"positive": ""}}
    take(column, alice, body)
    friendly.refresh_from_db()
    assert (friendly.description, friendly.label_positive, friendly.sentiment_enabled) == ("", "", True)


# --- JSON that is wrong --------------------------------------------------------------------------
DEEP = b'{"format":"topicassign-codebook","version":1,"categories":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" \n ", "The file is empty"),
        (b"[]", "This is no codebook of TopicAssign"),
        (b'{"format": "other"}', "This is no codebook of TopicAssign"),
        (b'{"categories": [}', "Line 1: the JSON cannot be read from column 17 on"),
        (b'{\n"a" 1}', "Line 2: the JSON cannot be read"),
        (b'{"a": NaN}', "NaN is no value that JSON knows"),
        (b'{"a": -Infinity}', "-Infinity is no value that JSON knows"),
        (b'{"a": ' + b"9" * 5000 + b"}", "The number 999999999999999999… is too large"),
        (b'{"a": 1, "a": 2}', '"a" is given twice in one place'),
        (DEEP, "nested too deeply"),
        (book(version=2), "version 2 of its format; this TopicAssign reads version 1"),
        (book(version="1"), 'version "1" of its format'),
        (book(version=True), "version true of its format"),
        (book(categories="x"), 'no list of "categories"'),
        (book(categories=[]), "no categories and no topics"),
        (book(categories=[7]), "Category 1: it is no object"),
        (book(categories=[{"topics": []}]), "Category 1: its label is missing"),
        (book(categories=[{"label": "x" * 31}]), "Category 1: its label may have at most 30 characters"),
        (book(categories=[{"label": "C"}, {"label": "c"}]), "Category c: it is there twice"),
        (book(categories=[{"label": "C", "color": "beige"}]), 'Category C: "beige" is no colour'),
        (book(categories=[{"label": "C", "color": 7}]), "Category C: 7 is no colour"),
        (book(categories=[{"label": "C", "topics": {}}]), 'Category C: its "topics" are no list'),
        (book(categories=[{"label": "C", "colour": "red"}]), 'Category C: "colour" is not known here'),
        (book(extra=1), 'The file: "extra" is not known here'),
        (book("A"), "Topic 1 of C: it is no object"),
        (book({"label": 7}), "Topic 1 of C: its label is missing"),
        (book({"label": "A"}, {"label": "x" * 51}), "Topic 2 of C: its label may have at most 50 characters"),
        (book({"label": "A"}, {"label": "a"}), "Topic a of C: it is there twice"),
        (book({"label": "A", "lable": "B"}), 'Topic A of C: "lable" is not known here'),
        (book({"label": "A", "sentiment": "yes"}), 'Topic A of C: its "sentiment" is neither true nor false'),
        (book({"label": "A", "description": 7}), 'its "description" is no text'),
        (book({"label": "A", "description": "x" * 2001}), "at most 2000 characters, it has 2001"),
        (book({"label": "A", "keywords": "late"}), 'its "keywords" are no list of texts'),
        (book({"label": "A", "keywords": [1]}), 'its "keywords" are no list of texts'),
        (book({"label": "A", "keywords": ["x" * 201]}), "may have at most 200 characters, this one has 201"),
        (book({"label": "A", "keywords": [f"k{n}" for n in range(1001)]}), "at most 1000 keywords"),
        (book({"label": "A", "codes": 7}), 'its "codes" are no object'),
        (book({"label": "A", "codes": {"neutral": 1.5}}), "1.5 is no code"),
        (book({"label": "A", "codes": {"neutral": "1"}}), '"1" is no code'),
        (book({"label": "A", "codes": {"neutral": True}}), "true is no code"),
        (book({"label": "A", "codes": {"neutral": -1}}), "-1 is no code"),
        (book({"label": "A", "codes": {"neutral": 1_000_000_000}}), "1000000000 is no code"),
        (book({"label": "A", "codes": {"good": 1}}), '"good" is not known here'),
        (book({"label": "A", "codes": {"positive": 1}}), "it has no sentiment, so it can have a neutral"),
        (
            book({"label": "A", "codes": {"neutral": 1}}, {"label": "B", "codes": {"neutral": 1}}),
            "Topic B of C: the code 1 is already used by the topic A",
        ),
        (
            book({"label": "A", "sentiment": True, "codes": {"neutral": 1, "positive": 1}}),
            "Topic A of C: the code 1 is already used by the topic A",
        ),
        (book({"label": "A", "sentiment_labels": {"positive": 7}}), "its positive label is no text"),
        (book({"label": "A", "sentiment_labels": {"positive": "x" * 51}}), "sentiment label may have at most 50"),
        (
            book({"label": "A", "sentiment_labels": {"positive": "Good", "negative": "good"}}),
            "two of its sentiment labels are the same",
        ),
        (book(*({"label": f"T{n}"} for n in range(801))), "801 topics; a topic collection may have at most 800"),
    ],
)  # fmt: skip
def test_json_that_is_wrong_is_refused_by_topic(empty, alice, content, message):
    with pytest.raises(CodebookError) as error:
        take(empty, alice, content)
    assert any(message in one for one in error.value.errors), error.value.errors
    assert not empty.categories.exists()
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n"label": "Wärme"}'.encode("cp1252"), "JSON is UTF-8, but line 2 holds bytes"),
        ("{}".encode("utf-16"), "JSON is UTF-8, but line 1"),
        (b" " * (5 * 1024 * 1024 + 1), "at most 5 MB"),
    ],
)
def test_json_in_another_encoding_or_too_large_is_refused(empty, alice, content, message):
    with pytest.raises(TableError, match=message):
        take(empty, alice, content)


def test_letters_that_no_text_may_have_are_left_out(empty, alice):
    body = book(
        {"label": "A\u0000B\ud800C", "description": "x\u0000y\ud800z\r\nw", "keywords": ["l\u0000ate\ud800"]}
    )
    take(empty, alice, body)
    topic = empty.topics.get()
    assert (topic.label, topic.description, topic.keywords) == ("A B C", "xyz\nw", ["late"])


def test_all_that_is_wrong_is_told_at_once(empty, alice):
    with pytest.raises(CodebookError) as error:
        take(
            empty,
            alice,
            book({"label": ""}, {"label": "A", "sentiment": 1}, {"label": "B", "codes": {"neutral": -1}}),
        )
    assert len(error.value.errors) == 3


# --- tables that are wrong in other ways than test_codebook.py has -------------------------------
def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"x", "c.xlsm", "Workbooks with macros are not accepted"),
        (zipped(xl__workbook_xml=b"", **{"xl/vbaProject.bin": b"x"}), "c.xlsx", "Workbooks with macros"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "c.xlsx", "password"),
        (zipped(**{"xl/workbook.xml": b"0" * 150_000_000}), "c.xlsx", "unpack"),
        (b"topic\n" + b"x" * (10 * 1024 * 1024), "c.csv", "at most 5 MB"),
        ("topic\nWärme\nKälte\nHöhe\nTür\n".encode() + b"\xff\n", "c.csv", "line 6 holds bytes that are not"),
        (b"x", "c", "Use one of these: .csv, .tsv, .txt, .xlsx, .json"),
    ],
)
def test_files_that_are_no_codebook_are_refused(empty, alice, content, name, message):
    with pytest.raises(TableError) as error:
        take(empty, alice, content, name)
    assert message in error.value.message
    assert not empty.topics.exists()


# --- keywords ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cell", "keywords"),
    [
        ("", []),
        ("late", ["late"]),
        ("late; slow ;; ", ["late", "slow"]),
        ("late\nslow\r\ntardy", ["late", "slow", "tardy"]),
        ("/a;b/; x", ["/a;b/", "x"]),
        (r"/a\/;b/i; x", [r"/a\/;b/i", "x"]),
        ("/a/ or /b/; x", ["/a/ or /b/", "x"]),
        ("/never closed; x", ["/never closed", "x"]),
        ('"a;b"; "say ""hi"""; 5" screen', ["a;b", 'say "hi"', '5" screen']),
        ('"never closed; x', ['"never closed', "x"]),
    ],
)
def test_keywords_stand_in_one_cell(cell, keywords):
    assert keywords_split(cell) == keywords


@given(st.lists(st.text().map(str.strip).filter(lambda one: one and "\r" not in one), max_size=5))
@example(['"', ";", "/;/", '/"/;', "a\nb", '";"'])
def test_any_keywords_come_back_from_their_cell(keywords):
    assert keywords_split(keywords_join(keywords)) == keywords


def test_keywords_are_kept_once_and_tidy(empty, alice):
    take(empty, alice, b"topic,keywords\nA,late; LATE;  very   late ;/Late/;/late/\n", "c.csv")
    topic = empty.topics.get()
    assert topic.keywords == ["late", "very late", "/Late/", "/late/"]


def test_keywords_of_a_file_replace_those_here_and_undo_brings_them_back(column, alice):
    Topic.objects.filter(label="Price").update(keywords=["fee"])
    version = column.topics.get(label="Price").ai_version
    result = take(column, alice, "code,topic,category,keywords\n7,Price,Price,cost; /€/\n".encode(), "c.csv")
    price = column.topics.get(label="Price")
    assert (price.keywords, price.ai_version) == (["cost", "/€/"], version + 1)
    assert take(column, alice, b"code,topic,category,keywords\n7,Price,Price,\n", "c.csv").change is None
    change_undo(change=result.change, user=alice)
    assert column.topics.get(label="Price").keywords == ["fee"]


@pytest.mark.parametrize(("make", "name"), MAKERS)
def test_keywords_of_merged_topics_come_back_however_many(column, empty, alice, make, name):
    words = [f"word number {n}" for n in range(300)]
    Topic.objects.filter(label="Price").update(keywords=words)
    take(empty, alice, make(column), name)
    assert empty.topics.get(label="Price").keywords == words


def test_keywords_that_no_cell_of_excel_can_hold_are_told(column, empty, alice):
    words = [f"{n} {'x' * 150}" for n in range(300)]
    Topic.objects.filter(label="Price").update(keywords=words)
    with pytest.raises(ApplicationError, match="keywords of Price are too long for a cell of Excel"):
        codebook_xlsx(column)
    take(empty, alice, codebook_json(column))
    assert empty.topics.get(label="Price").keywords == words


def test_too_long_keywords_are_refused_by_line(empty, alice):
    with pytest.raises(CodebookError, match=r"Line 2: x+…: a keyword may have at most 200 characters"):
        take(empty, alice, b"topic,keywords\nA," + b"x" * 201 + b"\n", "c.csv")
