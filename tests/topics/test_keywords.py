"""What keywords find, what is wrong with those that cannot be used, and how topics keep them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.history import change_undo
from projects.models import Change
from tests.topics.restructuring import topic
from topicassign.errors import ApplicationError, StaleRevisionError
from topics import keywords
from topics.keywords import KeywordMatcher, keywords_check, keywords_clean, keywords_found, tokens_of
from topics.services import topic_create, topic_update


# --- words ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("bus", "The bus was late"),
        ("BUS", "the bus"),
        ("bus", "(bus)"),
        ("bus", "Bus-stop"),  # a hyphen ends a word
        ("wi-fi", "The Wi‑Fi is slow"),  # with the hyphen that does not break
        ("straße", "STRASSE gesperrt"),
        ("Strasse", "an der Straße"),
        ("größe", "GRÖSSE passt nicht"),
        ("über", "u\u0308ber den Preis"),  # written with a mark of its own
        ("staff", "the staff's manners"),
        ("hôtel", "l’hôtel"),
        ("don't", "I don’t know"),
        ("o'clock", "at 5 o'clock"),
        ("late delivery", "a late\n  delivery again"),
        ("c++", "I write C++ code"),
        ("24/7", "open 24/7!"),
        ("#1", "we are #1"),
        ("€", "for 5€"),
        ("😀", "nice😀😀"),
        ("❤", "love it ❤️"),
        ("配送", "配送が遅い"),  # no spaces between words
        ("バス", "ﾊﾞｽ停"),  # half width
        ("ABC", "ＡＢＣ"),  # full width
        ("อาหาร", "อาหารอร่อย"),
        ("हिन्दी", "यह हिन्दी है"),
        ("büro", "bü\u00adro"),  # a hyphen that shows at the end of a line only
    ],
)
def test_a_word_is_found(keyword, text):
    assert keywords_found([keyword], text) == [keyword]
    assert keywords_clean([keyword])


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("bus", "a business trip"),
        ("bus", "busses"),
        ("we", "however"),
        ("can", "I can't"),
        ("won", "it won’t work"),
        ("uber", "über"),
        ("late delivery", "late, delivery"),
        ("delivery late", "late delivery"),
        ("c++", "I write C"),
        ("5", "5G"),
        ("wi-fi", "wifi"),
        ("wi fi", "wi-fi"),
        ("bus", ""),
        ("हिन्द", "यह हिन्दी है"),  # a mark belongs to its letter
    ],
)
def test_a_part_of_a_word_is_not(keyword, text):
    assert keywords_found([keyword], text) == []


# --- regular expressions --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("keyword", "text", "is_found"),
    [
        ("/slow|tardy/", "so slow", True),
        ("/slow|tardy/", "SLOW", False),
        ("/slow|tardy/i", "TARDY", True),
        ("/größe/i", "GRÖßE", True),
        ("/[0-9 ]{6,10}/", "call 0171 234", True),
        ("/^late/", "too late", False),
        (r"/a\/b/", "a/b", True),
        ("/a//b/", "a//b", True),
        ("/über/", "u\u0308ber", True),
        (r"/\p{Han}/", "配", True),
        ("/a|b)(c|d/", "a", False),  # not one by itself, though it would be inside a group
    ],
)
def test_an_expression_is_found(keyword, text, is_found):
    assert (keywords_found([keyword], text) == [keyword]) is is_found


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("/(/", "a closing parenthesis ) is missing"),
        ("/)/", "without an opening one"),
        ("/[a/", "a closing bracket ] is missing"),
        ("/[z-a]/", "z-a is no range of characters"),
        ("/*a/", "* repeats nothing"),
        ("/a**/", "** cannot stand together"),
        ("/a{1001}/", "{1001} repeats too often"),
        ("/\\/", "it ends with a backslash"),
        (r"/\q/", r"\q means nothing here"),
        ("/(?=a)b/", "looking ahead or behind"),
        ("/(?<!a)b/", "looking ahead or behind"),
        (r"/(a)\1/", "referring back to a group"),
        (r"/\C/", r"\C is not possible here"),
        ("/(?z)a/", "(?z is not possible here"),
        ("/a*/", "it also matches nothing at all"),
        ("/x|/", "it also matches nothing at all"),
        (r"/\b/", "it also matches nothing at all"),
        ("/^/", "it also matches nothing at all"),
        (r"/\p{L}{1,50}/", "it is too large"),
        ("/((((a{9}){9}){9}){9}){9}/", "repeats too often"),
        ("//", "nothing between the slashes"),
        ("//i", "nothing between the slashes"),
        ("/abc", "ends with a slash"),
        ("/", "ends with a slash"),
        ("/a/gi", "after the last slash there may be an i"),
        ("x" * 201, "at most 200 characters, this one has 201"),
        ("!?…", "no letters, digits or signs"),
        ("a\x07b", "characters that cannot be typed"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(keyword, reason):
    cleaned, problems = keywords_check(["fine", "", keyword])
    assert cleaned == ["fine"]
    assert [problem.line for problem in problems] == [3]
    assert reason in problems[0].message
    assert keyword[:5] in problems[0].message
    with pytest.raises(ApplicationError, match="") as refused:
        keywords_clean([keyword])
    assert refused.value.extra["field"] == "keywords"
    assert keywords_found([keyword], "fine (a) *a b") == []  # stored all the same, it is left out


def test_keywords_are_stored_tidy_and_once():
    typed = ["  late   delivery ", "", "Late Delivery", "/a b/", "/a b/", "/A b/", "Straße", "strasse"]
    assert keywords_clean(typed) == ["late delivery", "/a b/", "/A b/", "Straße"]


def test_there_is_a_limit_of_keywords_and_of_expressions():
    assert len(keywords_clean([f"word{n}" for n in range(100)])) == 100
    with pytest.raises(ApplicationError, match="at most 100 keywords, these are 101"):
        keywords_clean([f"word{n}" for n in range(101)])
    with pytest.raises(ApplicationError, match="too large together"):
        keywords_clean([rf"/\p{{L}}\p{{L}}{n}/" for n in range(9)])


@given(st.text(max_size=30), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_typed_is_either_usable_or_refused(keyword, text):
    for typed in (keyword, f"/{keyword}/", f"/{keyword}/i"):
        cleaned, problems = keywords_check([typed])
        assert len(problems) + len(cleaned) <= 1
        keywords_found(cleaned, text)
        assert keywords_clean(cleaned) == cleaned


def _is_among(words: list[str], of: list[str]) -> bool:
    return any(of[at : at + len(words)] == words for at in range(len(of)))


@given(st.lists(st.text("abcß ü'-.配", min_size=1, max_size=5), max_size=8), st.text("abcß ü'-.配", max_size=40))
@settings(max_examples=200, deadline=None)
def test_many_at_once_find_what_each_finds_alone(typed, text):
    cleaned, _problems = keywords_check(typed)
    assert keywords_found(cleaned, text) == [one for one in cleaned if _is_among(tokens_of(one), tokens_of(text))]


def test_topics_are_told_apart():
    matcher = KeywordMatcher({7: ["late", "/slow+/"], 3: [], 9: ["late", "not late"]})
    text, place = matcher.match(["slooow", "", "not late", "LATE"])
    found = [(int(i), matcher.topic_ids[j]) for i, j in zip(text, place, strict=True)]
    assert found == [(2, 7), (2, 9), (3, 7), (3, 9)]
    assert matcher.match([])[0].shape == (0,)


class _Exhausted:
    """What a set without memory for one more state is like."""

    def Match(self, text):
        return []


@pytest.mark.parametrize("when", ["from the beginning", "later"])
def test_expressions_are_found_where_a_set_runs_out_of_memory(monkeypatch, when):
    monkeypatch.setattr(keywords, "SET_PROGRAM", 10**6)
    if when == "later":
        monkeypatch.setattr(keywords, "_search_set", lambda patterns: _Exhausted())
    else:
        monkeypatch.setattr(keywords, "SET_MEMORY", 2_000)
    words = [f"/b{n:03}[a-z]+{n}/" for n in range(200)]
    assert keywords_found(words, "xx b007zz7 b199q199") == ["/b007[a-z]+7/", "/b199[a-z]+199/"]


def test_an_expression_that_hangs_others_takes_no_time():
    began = time.monotonic()
    assert keywords_found(["/(a+)+$/", "/(a|aa)+b/", "/(.*a){20}c/"], "a" * 20_000 + "!") == []
    assert time.monotonic() - began < 5


def test_expressions_may_not_take_longer_than_they_are_given():
    matcher = KeywordMatcher({1: ["/a.b/"]}, limit_s=0)
    with pytest.raises(ApplicationError, match="take too long"):
        matcher.match(["text"])


def test_expressions_that_are_too_large_together_are_refused(monkeypatch):
    monkeypatch.setattr(keywords, "MAX_ALL_PROGRAMS", 100)
    with pytest.raises(ApplicationError, match="too large together"):
        KeywordMatcher({n: [f"/{'ab' * 10}{n}/"] for n in range(10)})


# --- services -------------------------------------------------------------------------------------
pytestmark = pytest.mark.django_db


def test_a_topic_is_added_with_keywords(column, alice):
    made = topic_create(
        column=column, category=column.categories.get(label="Service"), label="Noise", user=alice,
        keywords=[" loud ", "Loud", "/nois[ey]/"],
    )  # fmt: skip
    assert topic(column, "Noise").keywords == ["loud", "/nois[ey]/"]
    assert made.keywords == ["loud", "/nois[ey]/"]


def test_keywords_are_changed_and_undone(column, alice):
    topic_update(topic=topic(column, "Price"), user=alice, keywords=["cost"])
    then = topic(column, "Price").ai_version
    change = topic_update(topic=topic(column, "Price"), user=alice, keywords=["cost", "/fees?/"])
    after = topic(column, "Price")
    assert (after.keywords, after.ai_version) == (["cost", "/fees?/"], then + 1)
    assert str(change) == "Topic Price: keywords changed"
    change_undo(change=change, user=alice)
    assert topic(column, "Price").keywords == ["cost"]


def test_the_same_keywords_are_no_change(column, alice):
    topic_update(topic=topic(column, "Price"), user=alice, keywords=["cost"])
    assert topic_update(topic=topic(column, "Price"), user=alice, keywords=[" cost"]) is None
    assert Change.objects.count() == 1


def test_undo_is_refused_where_the_keywords_were_changed_since(column, alice):
    change = topic_update(topic=topic(column, "Price"), user=alice, keywords=["cost"])
    topic_update(topic=topic(column, "Price"), user=alice, keywords=["fee"])
    with pytest.raises(ApplicationError, match="undo the later change first"):
        change_undo(change=change, user=alice)
    assert topic(column, "Price").keywords == ["fee"]


def test_a_bad_keyword_changes_nothing(column, alice):
    with pytest.raises(ApplicationError, match="closing parenthesis"):
        topic_update(topic=topic(column, "Price"), user=alice, label="Costs", keywords=["/(/"])
    assert topic(column, "Price").keywords == []
    assert not Change.objects.exists()


def test_a_form_from_before_does_not_overwrite_keywords(column, alice):
    seen = topic(column, "Price").version
    topic_update(topic=topic(column, "Price"), user=alice, keywords=["cost"])
    with pytest.raises(StaleRevisionError):
        topic_update(topic=topic(column, "Price"), user=alice, expected=seen, keywords=[])
    assert topic(column, "Price").keywords == ["cost"]


def test_more_than_may_be_typed_stay_after_a_merge(column, alice):
    price = topic(column, "Price")
    price.keywords = [f"word{n}" for n in range(150)]
    price.save()
    topic_update(topic=topic(column, "Price"), user=alice, label="Costs", keywords=price.keywords)
    assert len(topic(column, "Costs").keywords) == 150
