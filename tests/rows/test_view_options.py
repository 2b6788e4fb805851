"""How a person sees the rows: options of their own, identical rows grouped or one by one, and the numbers."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from rows.filters import RowFilter
from rows.models import Verbatim, ViewOptions
from rows.selectors import row_numbers

pytestmark = pytest.mark.django_db


def url(name, column, *args):
    return reverse(f"rows:{name}", args=[column.pk, *args])


def numbers(content: bytes) -> list[int]:
    """The row numbers of a list, in order."""
    return [int(found) for found in re.findall(r"</span>(\d+)</a>", content.decode())]


def save(client, column, **values):
    return client.post(url("view_options", column), values, headers={"HX-Request": "true"})


def test_grouping_is_on_until_somebody_switches_it_off_and_then_stays_off_for_them(as_bob, as_alice, column):
    assert numbers(as_bob.get(url("chunk", column)).content) == [1, 2, 3, 5, 6]
    answer = save(as_bob, column)
    assert answer.status_code == 204
    assert "grouping-changed" in answer["HX-Trigger"]
    assert numbers(as_bob.get(url("chunk", column)).content) == [1, 2, 3, 4, 5, 6]
    assert numbers(as_bob.get(url("browser", column)).content) == [1, 2, 3, 4, 5, 6]
    assert numbers(as_alice.get(url("chunk", column)).content) == [1, 2, 3, 5, 6], "Alice's view is her own"


def test_an_address_that_names_the_grouping_wins_and_keeps_it_on_the_next_pages(as_bob, column):
    save(as_bob, column)
    page = as_bob.get(f"{url('browser', column)}?grouped=yes")
    assert numbers(page.content) == [1, 2, 3, 5, 6]
    assert 'data-query="grouped=yes"' in page.content.decode()


def test_other_columns_are_drawn_again_without_a_new_list(as_bob, column):
    region = column.project.columns.get(ref="region")
    answer = save(as_bob, column, is_grouped="yes", shown=[str(region.pk)])
    assert "rows-changed" in answer["HX-Trigger"]
    assert ViewOptions.objects.get(user__username="bob").shown == [region.pk]
    save(as_bob, column, is_grouped="yes")
    assert ViewOptions.objects.get(user__username="bob").shown == []


def test_too_many_other_columns_are_refused_and_nothing_is_kept(as_bob, make_project, alice, bob):
    project = make_project(alice, columns=[(f"C{n}", "text") for n in range(10)], members={bob: "viewer"})
    ids = [str(other.pk) for other in project.columns.filter(type="text")]
    answer = save(as_bob, project.column, is_grouped="yes", shown=ids[:9])
    assert answer.status_code == 422
    assert b"at most 8" in answer.content
    assert not ViewOptions.objects.exists()


def test_strangers_have_no_options(as_charlie, column):
    assert save(as_charlie, column).status_code == 404
    assert not ViewOptions.objects.exists()


def test_a_filter_that_looks_at_single_rows_suspends_grouping_and_says_so(as_bob, column):
    copy = column.verbatims.get(row_number=4)  # says the same as row 1, which heads the group
    Verbatim.objects.filter(pk=copy.pk).update(is_highlighted=True)
    page = as_bob.get(f"{url('browser', column)}?highlighted=yes")
    assert numbers(page.content) == [4], "the group's first row has no star, the fourth has"
    assert b'id="grouping-suspended"' in page.content
    assert b"\xc3\x972" not in page.content, "no badge says that two rows are shown as one"
    assert b'id="grouping-suspended"' not in as_bob.get(url("browser", column)).content
    save(as_bob, column)
    page = as_bob.get(f"{url('browser', column)}?highlighted=yes")
    assert b'id="grouping-suspended"' not in page.content, "nothing is suspended where nothing is grouped"


@pytest.mark.parametrize("query", ["", "q=late", "reviewed=no", "sentiment=1", "has_topics=yes", "empty=no"])
def test_conditions_that_hold_for_a_whole_group_keep_it_together(column, query):
    assert not RowFilter.from_query(query, column).suspends_grouping
    assert RowFilter.from_query(query, column).is_grouped


def test_conditions_named_after_row_number_date_and_columns_suspend_grouping(column, monkeypatch):
    for name in ("number_from", "date_added", "col_3"):
        monkeypatch.setattr(RowFilter, "parameters", lambda self, with_sort=True, name=name: [(name, "1")])
        assert RowFilter(column).suspends_grouping


def test_the_count_tells_the_rows_shown_and_the_rows_behind_them(as_bob, column):
    content = as_bob.get(url("count", column)).content.decode()
    assert 'data-n-rows="5"' in content
    assert "They stand for 6 rows of the table" in content
    assert row_numbers(column=column, row_filter=RowFilter(column)) == {"n_rows": 5, "n_all": 6}
    content = as_bob.get(f"{url('count', column)}?grouped=no").content.decode()
    assert 'data-n-rows="6"' in content
    assert "They stand for" not in content
    content = as_bob.get(f"{url('count', column)}?q=friendly").content.decode()
    assert "They stand for" not in content, "no identical rows among these: nothing to explain"


def test_two_people_who_group_differently_do_not_share_a_number(as_bob, as_alice, column):
    save(as_bob, column)
    assert b'data-n-rows="6"' in as_bob.get(url("count", column)).content
    assert b'data-n-rows="5"' in as_alice.get(url("count", column)).content
