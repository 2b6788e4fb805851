"""Codebooks: what is read, what is refused by line, what an import does, and the way out and back in."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
import xlsxwriter

from projects.files import TableError
from projects.history import change_undo
from projects.models import Change
from rows.services.reviews import TopicChoice, verbatim_review
from topicassign.errors import ApplicationError
from topics.codebook import (
    CodebookError,
    codebook_apply,
    codebook_csv,
    codebook_dump,
    codebook_import,
    codebook_load,
    codebook_plan,
    codebook_read,
    codebook_xlsx,
)
from topics.codebook.exporting import codebook_table
from topics.selectors import category_list, topic_list
from topics.services import topic_create, topic_delete, topic_update

pytestmark = pytest.mark.django_db

SAMPLE = """code,topic,category,sentiment,description
10,Delivery,Service,neutral,How fast it comes
11,Delivery,Service,positive,
12,Delivery,Service,negative,
20,Price,Money,,What it costs
"""


@pytest.fixture
def empty(make_project, alice):
    return make_project(alice, topics=()).column


def read(text: str, name: str = "codes.csv"):
    return codebook_read(name, text.encode())


def run(column, alice, text: str):
    return codebook_import(column=column, file_name="codes.csv", content=text.encode(), user=alice)


def workbook(lines, sheet="Codes") -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        if sheet != "Codes":
            book.add_worksheet("Readme").write(0, 0, "Topic")
        page = book.add_worksheet(sheet)
        for number, line in enumerate(lines):
            page.write_row(number, 0, line)
    return file.getvalue()


def test_import_into_an_empty_collection(empty, alice):
    result = run(empty, alice, SAMPLE)
    assert (result.n_created, result.n_updated, result.n_unchanged, result.n_categories_created) == (2, 0, 0, 2)
    delivery, price = topic_list(column=empty)
    assert (delivery.category.label, delivery.sentiment_enabled, delivery.description) == (
        "Service", True, "How fast it comes",
    )  # fmt: skip
    assert [delivery.code(value) for value in (0, 1, -1)] == [10, 11, 12]
    assert (price.sentiment_enabled, price.code_neutral, price.code_positive) == (False, 20, None)
    assert len({category.color for category in category_list(column=empty)}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "Kategorie;Thema;Nummer;Stimmung;Beschreibung\nService;Delivery;10;neutral;x\nService;Delivery;11;positiv;\n"
        "Service;Delivery;12;negativ;\n",
        "SENTIMENT\tTopic_Category\tTOPIC LABEL\tCode ID\n0\tService\tDelivery\t10\n1\tService\tDelivery\t11\n"
        "-1\tService\tDelivery\t12\n",
        "My codebook,,,\n\nCode,Topic,Category,Sentiment\n10,Delivery,Service,Neutral\n11,,,POS\n12,,,neg\n",
    ],
)
def test_headings_in_any_order_case_and_in_german(text):
    (entry,) = read(text).entries
    assert (entry.label, entry.category, entry.has_sentiment) == ("Delivery", "Service", True)
    assert entry.codes == [10, 11, 12]


def test_only_topics_are_needed(empty, alice):
    run(empty, alice, "Topic\nDelivery\nPrice\n")
    assert [(topic.category.label, topic.label, topic.code_neutral) for topic in topic_list(column=empty)] == [
        ("General", "Delivery", 0), ("General", "Price", 1)
    ]  # fmt: skip


def test_workbook_with_the_sheet_codes(empty, alice):
    content = workbook([["Code", "Topic", "Category"], [7.0, "Delivery", "Service"]], sheet="Codebook")
    codebook_import(column=empty, file_name="codes.xlsx", content=content, user=alice)
    assert [(topic.label, topic.code_neutral) for topic in topic_list(column=empty)] == [("Delivery", 7)]


def test_missing_codes_are_the_next_free_ones(empty, alice):
    run(empty, alice, "code,topic,category,sentiment\n,A,C,positive\n50,B,C,\n,D,C,\n")
    a, b, d = topic_list(column=empty)
    assert (b.code_neutral, {*(a.code(value) for value in (0, 1, -1)), d.code_neutral}) == (50, {51, 52, 53, 54})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("code,topic,category\n", "a header but no topics"),
        ("a,b\n1,2\n", "No column is named Topic; the first line says: a, b"),
        ("topic,label\nx,y\n", "Line 1: two columns are named like label"),
        ("code,topic,category\n1,A,C\n1,B,C\n", "Line 3: the code 1 is already used in line 2"),
        ("code,topic,category\n1,A,C\n2,a,c\n", "Line 3: the topic a is already in line 2"),
        (
            "topic,category,sentiment\nA,C,positive\nA,C,positive\n",
            "with the sentiment positive is already in line 2",
        ),
        ("code,topic,category\nx7,A,C\n", "Line 2: 'x7' is no code"),
        ("code,topic,category\n1.5,A,C\n", "Line 2: '1.5' is no code"),
        ("code,topic,category\n-3,A,C\n", "Line 2: '-3' is no code"),
        ("code,topic,category\n99999999999,A,C\n", "is no code"),
        ("code,topic,category\n1,,C\n", "Line 2: the topic is missing"),
        ("code,topic,category\n1,A,\n", "Line 2: the category of A is missing"),
        (
            "code,topic,category\n1," + "x" * 51 + ",C\n",
            "Line 2: the topic may have at most 50 characters, it has 51",
        ),
        ("code,topic,category\n1,A," + "x" * 31 + "\n", "Line 2: the category may have at most 30"),
        ("topic,category,sentiment\nA,C,happy\n", "Line 2: 'happy' is no sentiment"),
        ("topic,category,sentiment\nA,C,\nA,C,neutral\n", "Line 2: the topic A is in line 3"),
        ("topic,category,color\nA,C,beige\n", "Line 2: 'beige' is no colour"),
        ("topic,category,description\nA,C," + "x" * 2001 + "\n", "at most 2000 characters"),
        ('topic,category\n"A,C\n', "never closed"),
    ],
)
def test_bad_files_are_refused_by_line(empty, alice, text, message):
    with pytest.raises(ApplicationError) as error:
        run(empty, alice, text)
    assert message in error.value.message
    assert not empty.topics.exists()
    assert not Change.objects.exists()


def test_all_errors_are_told_the_first_three_in_the_message():
    lines = "".join(f"x{n},A{n},C\n" for n in range(5))
    with pytest.raises(CodebookError) as error:
        read("code,topic,category\n" + lines)
    assert len(error.value.errors) == 5
    assert error.value.message.endswith("And 2 more.")


def test_801_topics_are_refused(empty, alice):
    with pytest.raises(CodebookError, match="801 topics; a topic collection may have at most 800"):
        run(empty, alice, "topic,category\n" + "".join(f"T{n},C\n" for n in range(801)))


def test_topics_of_the_file_and_of_the_column_count_together(column, alice, settings):
    settings.LIMIT_TOPICS = 4
    with pytest.raises(CodebookError, match="There would be 5 topics"):
        run(column, alice, "topic,category\nA,C\nB,C\n")


@pytest.mark.parametrize(
    ("content", "name"), [(b"\x00\x01\x02" * 500, "codes.csv"), (b"x", "codes.pdf"), (b"nope", "codes.xlsx")]
)
def test_what_is_no_table_is_refused(empty, alice, content, name):
    with pytest.raises(TableError):
        codebook_import(column=empty, file_name=name, content=content, user=alice)


def test_importing_again_changes_nothing(empty, alice):
    run(empty, alice, SAMPLE)
    n_changes = Change.objects.count()
    result = run(empty, alice, SAMPLE)
    assert (result.n_created, result.n_updated, result.n_unchanged) == (0, 0, 2)
    assert Change.objects.count() == n_changes


def test_import_updates_by_code_then_by_label(empty, alice):
    run(empty, alice, SAMPLE)
    before = {topic.label: topic.pk for topic in topic_list(column=empty)}
    plan = codebook_plan(empty, read("code,topic,category\n21,price,Money\n10,Shipping,Service\n5,New,Shop\n"))
    assert [(one.action, list(map(str, one.edits))) for one in plan.topics] == [
        ("changed", ["Name: Price → price", "Code: 20 → 21"]),
        ("changed", ["Name: Delivery → Shipping"]),
        ("new", []),
    ]
    assert (plan.new_categories, plan.missing.topics) == (["Shop"], [])
    run(empty, alice, "code,topic,category\n21,price,Money\n10,Shipping,Service\n5,New,Shop\n")
    after = {topic.label: topic for topic in topic_list(column=empty)}
    assert after["price"].pk == before["Price"]
    assert after["Shipping"].pk == before["Delivery"]
    assert after["Shipping"].sentiment_enabled
    assert [after["Shipping"].code(value) for value in (0, 1, -1)] == [10, 11, 12]


def test_import_moves_a_topic_to_another_category(empty, alice):
    run(empty, alice, SAMPLE)
    run(empty, alice, "topic,category\nPrice,Service\n")
    assert [(topic.category.label, topic.label) for topic in topic_list(column=empty)] == [
        ("Service", "Delivery"), ("Service", "Price")
    ]  # fmt: skip


def test_a_code_says_which_topic_is_meant_even_where_labels_are_swapped(empty, alice):
    run(empty, alice, "code,topic,category\n1,A,C\n2,B,C\n")
    ids = {topic.label: topic.pk for topic in topic_list(column=empty)}
    run(empty, alice, "code,topic,category\n2,A,C\n1,B,C\n")
    assert {topic.label: (topic.pk, topic.code_neutral) for topic in topic_list(column=empty)} == {
        "A": (ids["B"], 2), "B": (ids["A"], 1)
    }  # fmt: skip


def test_import_refuses_a_code_of_a_topic_that_is_not_in_the_file(column, alice):
    text = "code,topic,category,sentiment\n4,Delivery time,Service,neutral\n1,Delivery time,Service,positive\n"
    with pytest.raises(
        CodebookError, match="Line 2: the code 1 of Delivery time is already used by the topic Friend"
    ):
        run(column, alice, text)
    with pytest.raises(CodebookError, match="Line 2: there is already a topic named Delivery time"):
        run(column, alice, "code,topic,category\n1,Delivery time,Service\n")


def test_import_refuses_sentiment_on_reviewed_rows_by_line(column, alice):
    price = column.topics.get(label="Price")
    verbatim = column.verbatims.order_by("row_number")[1]
    verbatim_review(verbatim=verbatim, topics=[TopicChoice(price.pk)], revision=0, user=alice)
    with pytest.raises(CodebookError, match="Line 2: Price is on 1 reviewed row without sentiment"):
        run(column, alice, "topic,category,sentiment\nPrice,Price,positive\n")


def test_import_never_switches_sentiment_off(column, alice):
    run(column, alice, "topic,category,sentiment,description\nFriendliness,Service,,Smiles\n")
    topic = column.topics.get(label="Friendliness")
    assert (topic.sentiment_enabled, topic.code_positive, topic.description) == (True, 2, "Smiles")


def test_undo_of_an_import(column, alice):
    table = codebook_table(column)
    text = "code,topic,category,description\n1,Kindness,Service,new\n,Price,Service,\n70,Extra,Shop,\n"
    result = run(column, alice, text)
    assert (result.n_created, result.n_updated) == (1, 2)
    change_undo(change=result.change, user=alice)
    assert sorted(map(str, codebook_table(column))) == sorted(map(str, table))
    assert [category.label for category in category_list(column=column)] == ["Service", "Price"]


def test_undo_of_an_import_is_refused_after_a_later_change(column, alice):
    result = run(column, alice, "code,topic,category\n1,Kindness,Service\n")
    topic_update(topic=column.topics.get(label="Kindness"), user=alice, label="Warmth")
    with pytest.raises(ApplicationError, match="later change first"):
        change_undo(change=result.change, user=alice)


def test_undo_of_an_import_is_refused_when_a_former_label_was_given_away(column, alice):
    result = run(column, alice, "code,topic,category\n1,Kindness,Service\n")
    topic_create(column=column, label="Friendliness", category=column.categories.first(), user=alice)
    with pytest.raises(ApplicationError, match="used otherwise by now"):
        change_undo(change=result.change, user=alice)


def test_undo_of_an_import_leaves_what_was_deleted_since(empty, alice):
    result = run(empty, alice, SAMPLE)
    topic_delete(topic=topic_list(column=empty).first(), user=alice)
    change_undo(change=result.change, user=alice)
    assert not topic_list(column=empty).exists()


@pytest.mark.parametrize(("make", "name"), [(codebook_csv, "c.csv"), (codebook_xlsx, "c.xlsx")])
def test_what_is_exported_can_be_imported_unchanged(column, empty, alice, make, name):
    topic = column.topics.get(label="Friendliness")
    topic_update(
        topic=topic, user=alice, label="=1+1", label_positive="+ Kind", label_negative="-Rude", code_neutral=900,
        description='Smiles, "warmth"\nand @home',
    )  # fmt: skip
    codebook_import(column=empty, file_name=name, content=make(column), user=alice)
    assert codebook_table(empty) == codebook_table(column)


def test_no_exported_cell_is_a_formula(column, alice):
    topic_update(topic=column.topics.get(label="Price"), user=alice, label='=HYPERLINK("http://x")')
    assert "'=HYPERLINK" in codebook_csv(column).decode()
    with zipfile.ZipFile(io.BytesIO(codebook_xlsx(column))) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


def test_entries_survive_the_way_through_the_browser():
    book = read(SAMPLE)
    assert codebook_load(json.loads(json.dumps(codebook_dump(book)))) == book


def test_apply_plans_again_so_a_late_clash_is_refused(empty, alice):
    book = read(SAMPLE)
    codebook_plan(empty, book)
    category = codebook_apply(column=empty, book=read("topic,category\nX,Y\n"), user=alice)
    assert category.n_created == 1
    topic = topic_create(column=empty, label="Z", category=empty.categories.first(), user=alice, code_neutral=20)
    topic_update(topic=topic, user=alice, sentiment_enabled=True, code_positive=10)
    with pytest.raises(CodebookError, match="already used by the topic Z"):
        codebook_apply(column=empty, book=book, user=alice)


def test_sample_codebook_is_accepted(empty, alice, settings):
    content = (settings.BASE_DIR / "demo" / "codebook.csv").read_bytes()
    result = codebook_import(column=empty, file_name="codebook.csv", content=content, user=alice)
    assert result.n_created >= 15
    assert result.n_categories_created == 6
