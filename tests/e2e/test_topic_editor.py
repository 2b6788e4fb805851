"""Arranging topics in a browser: drag and drop, keys, menus, and several at once."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from projects.models import Change, ChangeKind, Member, Role
from rows.services.reviews import TopicChoice, verbatim_review
from tests.conftest import add_topics
from tests.e2e.conftest import Site
from tests.topics.restructuring import chips, put, review, row
from topics.models import Category
from topics.selectors import category_list
from topics.services import topic_create, topic_delete

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def column(make_project, alice):
    column = make_project(
        alice,
        topics=[("Service", "Speed", False), ("Service", "Staff", False), ("Service", "Opening hours", False),
                ("Price", "Value", False), ("Price", "Discounts", False)],
    ).column  # fmt: skip
    return column


@pytest.fixture
def board(site, alice, column):
    """The page of the topics, signed in as the owner."""
    site.sign_in(alice)
    page = site.open(reverse("topics:list", args=[column.pk]))
    expect(page.locator("topic-selection:defined")).to_be_attached()
    return page


def collection(column) -> dict[str, list[str]]:
    return {
        category.label: [topic.label for topic in category.topics.all()]
        for category in category_list(column=column)
    }


def chip(page, label):
    return page.locator("topic-board").get_by_role("button", name=label, exact=True)


def line(page, label):
    return page.locator("[data-topic]", has=page.get_by_role("button", name=label, exact=True))


def drag(page, label, to, share=0.5, *, onto=None):
    """Drag a chip to a line, at a share of its height; `onto` is a locator that is not a topic."""
    start = chip(page, label).bounding_box()
    end = (onto or line(page, to)).bounding_box()
    page.mouse.move(start["x"] + 8, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + 40, end["y"] + end["height"] * share, steps=8)


def shown(page) -> list[str]:
    return page.locator("[data-topic] .chip__label").all_inner_texts()


def in_place(page, labels):
    expect(page.locator("[data-topic] .chip__label")).to_have_text(labels)


def fresh_list(page):
    """Wait until an act has brought the list again."""
    return page.expect_response(lambda answer: answer.url.endswith("/topics/") and answer.request.method == "GET")


def test_a_topic_is_dragged_between_others_and_comes_back(board, column):
    drag(board, "Opening hours", "Speed", 0.1)
    expect(board.locator(".topic-ghost")).to_contain_text("Before Speed")
    board.mouse.up()
    expect(board.get_by_text("Topics of Service ordered")).to_be_visible()
    in_place(board, ["Opening hours", "Speed", "Staff", "Value", "Discounts"])
    assert collection(column)["Service"] == ["Opening hours", "Speed", "Staff"]
    expect(board.get_by_role("dialog")).to_have_count(0)  # the click that ends a drag opens nothing
    board.keyboard.press("Control+z")
    in_place(board, ["Speed", "Staff", "Opening hours", "Value", "Discounts"])


def test_a_topic_is_dragged_into_another_category(board, column):
    drag(board, "Speed", "Value", 0.9)
    expect(board.locator(".topic-ghost")).to_contain_text("After Value")
    board.mouse.up()
    in_place(board, ["Staff", "Opening hours", "Value", "Speed", "Discounts"])
    expect(board.get_by_text("Topics moved to Price: Speed")).to_be_visible()
    assert collection(column)["Price"] == ["Value", "Speed", "Discounts"]


def test_a_topic_dragged_to_the_name_of_a_category_comes_to_its_top(board, column):
    drag(board, "Staff", "", onto=board.get_by_role("heading", name="Price"))
    expect(board.locator(".topic-ghost")).to_contain_text("Into Price")
    board.mouse.up()
    in_place(board, ["Speed", "Opening hours", "Staff", "Value", "Discounts"])


def test_escape_takes_a_drag_back(board, column):
    before = collection(column)
    drag(board, "Speed", "Discounts")
    expect(board.locator(".is-drop-onto")).to_have_count(1)
    board.keyboard.press("Escape")
    expect(board.locator(".topic-ghost, .is-drop-onto, .is-dragged")).to_have_count(0)
    board.mouse.up()
    expect(board.get_by_role("dialog")).to_have_count(0)
    assert collection(column) == before


def test_a_topic_dropped_on_itself_or_outside_stays_where_it_is(board, column):
    before = collection(column)
    drag(board, "Speed", "Speed", 0.9)
    board.mouse.up()
    drag(board, "Speed", "", onto=board.get_by_role("heading", name="Topics", exact=True))
    expect(board.locator(".topic-ghost__hint")).to_be_empty()
    board.mouse.up()
    expect(board.get_by_role("dialog")).to_have_count(0)
    assert collection(column) == before
    assert not Change.objects.filter(column=column, kind=ChangeKind.TOPICS_MOVE).exists()


def test_a_topic_dropped_onto_another_asks_what_shall_become_of_them(site, board, column, alice):
    review(column, alice, 2, "Speed")
    put(column, 3, "Speed")
    put(column, 3, "Staff")
    drag(board, "Speed", "Staff")
    expect(board.locator(".topic-ghost")).to_contain_text("Merge or combine with Staff")
    board.mouse.up()
    dialog = board.get_by_role("dialog", name="Merge Speed and Staff")
    expect(dialog).to_contain_text("2 rows change, 1 of them reviewed")
    expect(dialog).to_contain_text("1 row has both and keeps one")
    expect(dialog.get_by_label("Which one stays?")).to_have_value(str(column.topics.get(label="Staff").pk))
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog).to_be_hidden()
    in_place(board, ["Staff", "Opening hours", "Value", "Discounts"])
    assert list(chips(column, 2)) == list(chips(column, 3)) == ["Staff"]
    board.get_by_role("button", name="Undo").click()
    in_place(board, ["Speed", "Staff", "Opening hours", "Value", "Discounts"])
    assert list(chips(column, 3)) == ["Speed", "Staff"]


def test_three_topics_become_one_with_sentiment_by_keys_alone(site, board, column, alice):
    review(column, alice, 2, "Speed")
    review(column, alice, 3, "Opening hours")
    chip(board, "Speed").focus()
    board.keyboard.press("Shift+ArrowDown")
    board.keyboard.press("Shift+ArrowDown")
    expect(board.get_by_role("region", name="Selected topics")).to_contain_text("3 topics selected")
    board.keyboard.press("m")
    dialog = board.get_by_role("dialog", name="Merge 3 topics")
    expect(dialog.get_by_label("Which one stays?")).to_be_focused()
    dialog.get_by_label("Combine: they become").focus()
    board.keyboard.press("Space")
    expect(dialog.get_by_label("Which one stays?")).to_be_hidden()
    expect(dialog.get_by_label("Speed", exact=True)).to_have_value("positive")
    expect(dialog.get_by_label("Opening hours", exact=True)).to_have_value("negative")
    expect(dialog).to_contain_text("Afterwards 1 are positive, 0 neutral and 1 negative")
    site.assert_accessible_in_both_themes()
    dialog.get_by_label("Name of the new topic").fill("Service overall")
    board.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(chip(board, "Service overall")).to_be_visible()
    assert chips(column, 3)["Service overall"][0] == -1
    assert collection(column)["Service"] == ["Service overall"]


def test_two_of_one_sentiment_are_refused_beside_the_choice(board, column):
    chip(board, "Speed").click(modifiers=["ControlOrMeta"])
    chip(board, "Staff").click(modifiers=["ControlOrMeta"])
    expect(board.get_by_role("dialog")).to_have_count(0)
    board.get_by_role("region", name="Selected topics").get_by_role("button", name="Merge…").click()
    dialog = board.get_by_role("dialog", name="Merge Speed and Staff")
    dialog.get_by_label("Combine: they become").check()
    dialog.get_by_label("Staff", exact=True).select_option("positive")
    expect(dialog).to_contain_text("Say which topic is the positive and which the negative version, each once.")
    dialog.get_by_role("button", name="Merge", exact=True).click()
    expect(dialog.get_by_role("alert").first).to_contain_text("each once")
    assert len(collection(column)["Service"]) == 3


def test_keys_move_a_topic_over_the_border_of_its_category(board, column):
    chip(board, "Staff").focus()
    board.keyboard.press("Alt+ArrowDown")
    in_place(board, ["Speed", "Opening hours", "Staff", "Value", "Discounts"])
    board.keyboard.press("Alt+ArrowDown")
    board.keyboard.press("Alt+ArrowDown")
    in_place(board, ["Speed", "Opening hours", "Value", "Staff", "Discounts"])
    expect(board.get_by_text("Topics moved to Price: Staff")).to_be_visible()
    expect(chip(board, "Staff")).to_be_focused()
    assert collection(column) == {"Service": ["Speed", "Opening hours"], "Price": ["Value", "Staff", "Discounts"]}
    assert Change.objects.filter(column=column, kind=ChangeKind.TOPICS_MOVE).count() == 1
    board.keyboard.press("ArrowUp")
    expect(chip(board, "Value")).to_be_focused()
    board.keyboard.press("Home")
    expect(chip(board, "Speed")).to_be_focused()


def test_several_are_dragged_together_and_moved_by_dialog(board, column):
    chip(board, "Speed").focus()
    board.keyboard.press("x")
    line(board, "Opening hours").get_by_label("Select Opening hours").check()
    drag(board, "Opening hours", "Discounts", 0.1)
    expect(board.locator(".topic-ghost")).to_contain_text("Opening hours +1")
    board.mouse.up()
    in_place(board, ["Staff", "Value", "Speed", "Opening hours", "Discounts"])
    bar = board.get_by_role("region", name="Selected topics")
    expect(bar).to_contain_text("2 topics selected")  # the fresh list keeps them
    bar.get_by_role("button", name="Move…").click()
    dialog = board.get_by_role("dialog", name="Move 2 topics")
    dialog.get_by_label("Category", exact=True).select_option("New category…")
    expect(dialog.get_by_label("Name of the new category")).to_be_focused()
    board.keyboard.type("Shop")
    board.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(board.get_by_role("heading", name="Shop")).to_be_visible()
    assert collection(column)["Shop"] == ["Speed", "Opening hours"]
    board.keyboard.press("Control+z")
    expect(board.get_by_role("heading", name="Shop")).to_have_count(0)
    assert collection(column)["Price"] == ["Value", "Speed", "Opening hours", "Discounts"]


def test_several_are_deleted_and_brought_back_as_one(board, column, alice):
    review(column, alice, 2, "Speed", "Staff")
    chip(board, "Speed").click(modifiers=["ControlOrMeta"])
    chip(board, "Opening hours").click(modifiers=["Shift"])
    board.keyboard.press("Delete")
    dialog = board.get_by_role("dialog", name="Delete 3 topics?")
    expect(dialog).to_contain_text(
        "1 row loses topics. 1 of them was reviewed by people.".replace("topics", "a topic")
    )
    board.keyboard.press("Enter")
    in_place(board, ["Value", "Discounts"])
    expect(board.get_by_role("region", name="Selected topics")).to_be_hidden()
    board.get_by_role("button", name="Undo").click()
    in_place(board, ["Speed", "Staff", "Opening hours", "Value", "Discounts"])
    assert list(chips(column, 2)) == ["Speed", "Staff"]


def test_select_all_takes_what_the_search_shows_and_escape_clears(board, column):
    board.get_by_placeholder("Search 5 topics").fill("price")
    chip(board, "Value").focus()
    board.keyboard.press("Control+a")
    expect(board.get_by_role("region", name="Selected topics")).to_contain_text("2 topics selected")
    board.keyboard.press("Escape")
    expect(board.get_by_role("region", name="Selected topics")).to_be_hidden()


def test_the_menu_of_a_topic_does_everything(site, board, column):
    chip(board, "Staff").focus()
    board.keyboard.press("Shift+F10")
    menu = line(board, "Staff").locator(".menu")
    expect(menu.get_by_role("button", name="Properties")).to_be_focused()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    with fresh_list(board):
        menu.get_by_role("button", name="Move up").click()
    in_place(board, ["Staff", "Speed", "Opening hours", "Value", "Discounts"])
    chip(board, "Staff").click(button="right")
    line(board, "Staff").get_by_role("button", name="Rename").click()
    board.keyboard.type("Team")
    with fresh_list(board):
        board.keyboard.press("Enter")
    expect(chip(board, "Team")).to_be_visible()
    line(board, "Team").hover()
    board.get_by_role("button", name="More about Team").click()
    line(board, "Team").get_by_role("button", name="Move to…").press("Enter")
    dialog = board.get_by_role("dialog", name="Move Team")
    dialog.get_by_label("at the top").check()
    with fresh_list(board):
        dialog.get_by_role("button", name="Move", exact=True).click()
    in_place(board, ["Speed", "Opening hours", "Team", "Value", "Discounts"])
    board.get_by_role("button", name="More about Team").click()
    line(board, "Team").get_by_role("button", name="Delete…").press("Enter")
    with fresh_list(board):
        board.get_by_role("dialog").get_by_role("button", name="Delete topic").click()
    expect(chip(board, "Team")).to_have_count(0)
    board.get_by_role("button", name="More about Value").click()
    line(board, "Value").get_by_role("link", name="Show its rows").press("Enter")
    expect(board).to_have_url(f"{site.url}/columns/{column.pk}/?topic={column.topics.get(label='Value').pk}")


def test_topics_are_added_one_after_the_other(board, column):
    board.get_by_role("button", name="Add topic – Price").click()
    field = board.get_by_label("Name of the new topic in Price")
    board.keyboard.type("Fees")
    board.keyboard.press("Enter")
    expect(chip(board, "Fees")).to_be_visible()
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    board.keyboard.type("Refunds")
    board.keyboard.press("Enter")
    expect(chip(board, "Refunds")).to_be_visible()
    board.keyboard.press("Escape")
    assert collection(column)["Price"] == ["Value", "Discounts", "Fees", "Refunds"]
    board.get_by_role("button", name="Add topic – Price").click()
    board.keyboard.type("fees")
    board.keyboard.press("Enter")
    dialog = board.get_by_role("dialog", name="New topic")
    expect(dialog).to_contain_text("There is already a topic named fees in the category Price.")
    expect(dialog.get_by_label("Topic", exact=True)).to_have_value("fees")


def test_a_category_is_dragged_in_front_of_another(board, column):
    box = board.get_by_role("heading", name="Price").bounding_box()
    target = board.get_by_role("heading", name="Service").bounding_box()
    board.mouse.move(box["x"] + 5, box["y"] + 5)
    board.mouse.down()
    board.mouse.move(target["x"] + 10, target["y"] + 2, steps=6)
    expect(board.locator(".topic-ghost")).to_contain_text("Before Service")
    board.mouse.up()
    in_place(board, ["Value", "Discounts", "Speed", "Staff", "Opening hours"])
    assert list(collection(column)) == ["Price", "Service"]


def test_what_somebody_deleted_meanwhile_is_said_and_the_list_is_fresh(site, board, column, alice):
    topic_delete(topic=column.topics.get(label="Discounts"), user=alice)
    drag(board, "Speed", "Discounts", 0.1)
    board.mouse.up()
    expect(board.get_by_text("was deleted meanwhile")).to_be_visible()
    in_place(board, ["Speed", "Staff", "Opening hours", "Value"])


def test_sentiment_for_reviewed_topics_asks_first(site, board, column, alice):
    review(column, alice, 2, "Speed")
    chip(board, "Speed").click()
    dialog = board.get_by_role("dialog")
    expect(dialog).to_contain_text("1 reviewed row has it without one")
    dialog.get_by_role("switch", name="Sentiment").check()
    dialog.get_by_role("button", name="Save").click()
    box = dialog.get_by_label("Put them back to not reviewed")
    expect(box).to_be_focused()
    expect(dialog).to_contain_text("1 reviewed row has this topic.")
    site.assert_accessible_in_both_themes()
    dialog.get_by_label("Topic", exact=True).fill("Tempo")
    box.check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    expect(board.get_by_text("1 row back to not reviewed")).to_be_visible()
    assert not row(column, 2).is_reviewed
    assert column.topics.get(label="Tempo").sentiment_enabled
    expect(chip(board, "Tempo")).to_be_visible()
    board.get_by_role("button", name="Undo").click()
    expect(chip(board, "Speed")).to_be_visible()
    assert row(column, 2).is_reviewed
    assert not column.topics.get(label="Speed").sentiment_enabled


def test_a_topic_is_split_by_examples(site, board, column, alice):
    for number in (1, 2, 3, 4):
        put(column, number, "Speed")
    verbatim = row(column, 6)
    chosen = [TopicChoice(column.topics.get(label="Speed").pk, None)]
    verbatim_review(verbatim=verbatim, topics=chosen, revision=verbatim.revision, user=alice)
    chip(board, "Speed").click(button="right")
    line(board, "Speed").get_by_role("button", name="Split…").click()
    dialog = board.get_by_role("dialog", name="Split Speed")
    expect(dialog.get_by_label("The new topic is called")).to_be_focused()
    expect(dialog).to_contain_text("Mark a row of each half")
    dialog.get_by_role("button", name="Split", exact=True).click()
    expect(dialog).to_contain_text("Give the new topic a name.")
    expect(dialog).to_contain_text("Say of at least one row that it stays, and of one that it goes.")
    dialog.get_by_label("The new topic is called").fill("Waiting")
    dialog.get_by_role("group", name="Row 1").get_by_label("goes").check()
    dialog.get_by_role("group", name="Row 6").get_by_label("stays").check()
    expect(dialog).to_contain_text("of the 2 that nobody reviewed")
    dialog.get_by_label("Which rows go to the new topic").fill("zzz")
    expect(dialog).to_contain_text("No other row of this topic matches.")
    expect(dialog.get_by_role("group", name="Row 1").get_by_label("goes")).to_be_checked()
    site.assert_accessible_in_both_themes()
    site.assert_fits()
    dialog.get_by_role("button", name="Split", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(chip(board, "Waiting")).to_be_visible()
    assert list(chips(column, 1)) == list(chips(column, 4)) == ["Waiting"]  # they say the same
    assert list(chips(column, 6)) == ["Speed"]
    board.get_by_role("button", name="Undo").click()
    expect(chip(board, "Waiting")).to_have_count(0)
    assert list(chips(column, 1)) == ["Speed"]


def test_eight_hundred_topics_can_be_arranged(site, make_project, alice):
    many = make_project(alice, name="Large", topics=[]).column
    add_topics(many, [(f"Category {n % 20}", f"Topic number {n}", n % 2 == 0) for n in range(800)])
    site.sign_in(alice)
    page = site.open(reverse("topics:list", args=[many.pk]))
    expect(page.locator("[data-topic]")).to_have_count(800)
    chip(page, "Topic number 0").focus()
    page.keyboard.press("Control+a")
    expect(page.locator("topic-selection")).to_contain_text("800 topics selected")
    page.keyboard.press("v")
    # `expect` describes the page to itself while it waits: with 800 topics that takes minutes.
    page.wait_for_selector("#dialog h2:text('Move 800 topics')")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    drag(page, "Topic number 0", "Topic number 40", 0.1)
    page.mouse.up()
    page.wait_for_selector("text=Topics of Category 0 ordered")
    first = Category.objects.get(column=many, label="Category 0").topics.order_by("position")
    assert [topic.label for topic in first[:2]] == ["Topic number 20", "Topic number 0"]


def test_a_member_who_may_not_edit_gets_no_handles(site, column, bob, alice):
    Member.objects.create(project=column.project, user=bob, role=Role.ANALYST)
    topic_create(column=column, label="Other", category="Service 2", user=alice)
    site.sign_in(bob)
    page = site.open(reverse("topics:list", args=[column.pk]))
    expect(page.locator("topic-board")).to_be_visible()
    assert shown(page)[:2] == ["Speed", "Staff"]
    expect(
        page.locator("[data-pick-topic], [data-topic-menu-open], [data-add-topic], topic-selection")
    ).to_have_count(0)
    expect(page.locator("topic-board[data-editable]")).to_have_count(0)


def test_a_finger_drags_by_the_dots(browser, browser_context_args, live_server, traffic, column, alice):
    context = browser.new_context(
        **{**browser_context_args, "viewport": {"width": 390, "height": 800}}, has_touch=True, is_mobile=True
    )
    phone = Site(context.new_page(), live_server.url)
    phone.sign_in(alice)
    page = phone.open(reverse("topics:list", args=[column.pk]))
    expect(page.locator("topic-selection:defined")).to_be_attached()
    grip = line(page, "Opening hours").locator("[data-topic-grip]").bounding_box()
    target = line(page, "Speed").bounding_box()
    touch = context.new_cdp_session(page)
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        at = y + (target["y"] + 2 - y) * step / 8
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + 30, "y": at}]})
    expect(page.locator(".topic-ghost")).to_contain_text("Before Speed")
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    in_place(page, ["Opening hours", "Speed", "Staff", "Value", "Discounts"])
    expect(page.get_by_text("Topics of Service ordered")).to_be_visible()
    assert collection(column)["Service"] == ["Opening hours", "Speed", "Staff"]
    context.close()
    phone.check()
