"""Topics by keyword, from the edit of a topic through the real update to the rows, with AI updates on and off."""

from __future__ import annotations

from typing import Any

import pytest

from finetune.encoders import forget_encoder
from finetune.keywords import KeywordUpdate
from finetune.models import ModelVersion, Trigger, VersionState
from finetune.services import ai_switch, update_request
from finetune.updates import Update, update_now
from projects.history import change_undo
from projects.jobs import job_execute
from projects.models import Change, Column, Job, JobKind, JobState
from rows.models import Assignment, AssignmentSource, Verbatim
from tests.conftest import add_rows
from tests.finetune.test_updates import corpus
from tests.topics.restructuring import put, review, row, topic
from topics import keywords
from topics.services import topic_create, topic_delete, topic_split, topic_update, topics_merge

pytestmark = pytest.mark.django_db

TOPICS = (("Service", "Delivery", True), ("Service", "Staff", True), ("Price", "Price", False), "Extras")
# 61 to 66: what "Extras" is about says no other word of the collection; 64 says the same as 61
OWN = (
    "zebra one",
    "A Zebra two, awful",
    "zebras three",
    "ZEBRA one",
    "nothing of it",
    "zebra and great staff in the shop",
)
KEYWORD, AI = AssignmentSource.KEYWORD, AssignmentSource.AI


@pytest.fixture
def column(make_project: Any, alice: Any) -> Column:
    texts, _labels, _moods = corpus(60)
    return make_project(alice, texts=[*texts, *OWN], topics=TOPICS).column


def work(column: Column) -> list[str]:
    """Do what a worker would do; returns the state of each job."""
    states = []
    while job := Job.objects.filter(column=column, kind=JobKind.UPDATE, state=JobState.QUEUED).first():
        Job.objects.filter(pk=job.pk).update(not_before=None)
        done = job_execute(job.pk)
        states.append(done.state if done else "")
    return states


def by_keyword(column: Column, label: str = "Extras") -> list[int]:
    """Return the numbers of the rows that have a topic by keyword."""
    found = Assignment.objects.filter(verbatim__column=column, topic__label=label, source=KEYWORD)
    return sorted(found.values_list("verbatim__row_number", flat=True))


def sources(column: Column, number: int) -> dict[str, str]:
    own = Assignment.objects.filter(verbatim=row(column, number), topic__deleted_at=None)
    return dict(own.values_list("topic__label", "source"))


def give(column: Column, user: Any, *words: str, label: str = "Extras") -> Change | None:
    return topic_update(topic=topic(column, label), user=user, keywords=list(words))


def off(column: Column) -> None:
    Column.objects.filter(pk=column.pk).update(ai_updates_on=False)
    column.refresh_from_db()


# --- with AI updates ------------------------------------------------------------------------------
class TestWithUpdates:
    def test_rows_with_a_keyword_get_the_topic(self, column: Any, alice: Any) -> None:
        give(column, alice, "zebra", "/THREE/i")
        assert work(column) == [JobState.DONE]
        assert by_keyword(column) == [61, 62, 63, 64, 66]

    def test_the_ai_reads_words_as_part_of_the_topic(self, column: Any, alice: Any) -> None:
        give(column, alice, "zebra", "/nashorn/")
        update = Update(column, None, trigger=Trigger.COMMAND)
        update.execute()
        assert update.prompts[-1] == "Extras. zebra"

    def test_the_probability_is_what_the_ai_gives_it(self, column: Any, alice: Any) -> None:
        give(column, alice, "/zebra/i")  # expressions say nothing to the AI
        update = Update(column, None, trigger=Trigger.COMMAND)
        update.execute()
        place = {int(update.groups.head_ids[group]): i for i, group in enumerate(update.pool)}
        own = Assignment.objects.filter(source=KEYWORD, verbatim__is_group_head=True)
        assert own.count() == 4
        for one in own:
            assert one.probability == pytest.approx(float(update.Y_prob[place[one.verbatim_id], 3]), abs=1e-4)

    def test_the_score_and_the_certainty_are_those_of_the_ai(self, column: Any, alice: Any) -> None:
        update_now(column)
        before = ModelVersion.objects.get(state=VersionState.DEPLOYED)
        sure = list(column.verbatims.order_by("pk").values_list("certainty", flat=True))
        give(column, alice, "/./")
        work(column)
        after = ModelVersion.objects.get(state=VersionState.DEPLOYED)
        assert len(by_keyword(column)) == 66
        assert (after.number, after.ai_score) == (before.number + 1, before.ai_score)
        assert list(column.verbatims.order_by("pk").values_list("certainty", flat=True)) == sure

    def test_reviewed_rows_stay_as_they_are(self, column: Any, alice: Any) -> None:
        review(column, alice, 62, "Price")
        review(column, alice, 66)
        give(column, alice, "zebra")
        work(column)
        assert by_keyword(column) == [61, 64]
        assert sources(column, 62) == {"Price": "person"}
        assert sources(column, 66) == {}

    def test_duplicates_get_it_together(self, make_project: Any, alice: Any) -> None:
        column = make_project(alice, texts=["A zebra", "a  ZEBRA", "other"], topics=TOPICS).column
        give(column, alice, "zebra")
        work(column)
        assert by_keyword(column) == [1, 2]

    def test_a_keyword_and_the_ai_make_one_assignment(self, column: Any, alice: Any) -> None:
        update_now(column)
        number = Assignment.objects.filter(topic__label="Price", source=AI).first().verbatim.row_number
        give(column, alice, "/price/i", label="Price")
        work(column)
        assert sources(column, number)["Price"] == KEYWORD
        assert Assignment.objects.filter(verbatim=row(column, number), topic__label="Price").count() == 1
        give(column, alice, label="Price")
        work(column)
        assert sources(column, number)["Price"] == AI

    def test_a_row_loses_the_topic_with_the_keyword(self, column: Any, alice: Any) -> None:
        give(column, alice, "zebra")
        work(column)
        revision = row(column, 61).revision
        change = give(column, alice, "zebras")
        work(column)
        assert by_keyword(column) == [63]
        assert row(column, 61).revision == revision + 1
        change_undo(change=change, user=alice)
        work(column)
        assert by_keyword(column) == [61, 62, 64, 66]

    def test_the_topic_comes_first_on_the_row(self, column: Any, alice: Any) -> None:
        give(column, alice, "/zebra/i")
        work(column)
        own = list(row(column, 66).assignments.order_by("position").values_list("topic__label", "position"))
        assert own[0] == ("Extras", 0)
        assert [position for _label, position in own] == list(range(len(own)))

    def test_the_sentiment_model_says_the_sentiment_and_the_row_follows(self, column: Any, alice: Any) -> None:
        topic_update(topic=topic(column, "Extras"), user=alice, sentiment_enabled=True, keywords=["/zebra/i"])
        work(column)
        moods = dict(
            Assignment.objects.filter(topic__label="Extras").values_list("verbatim__row_number", "sentiment")
        )
        assert moods[62] == -1
        assert None not in moods.values()
        assert row(column, 62).sentiment == -1
        assert not Assignment.objects.filter(topic__label="Price").exclude(sentiment=None).exists()

    def test_an_update_without_news_writes_nothing(self, column: Any, alice: Any) -> None:
        give(column, alice, "zebra")
        work(column)
        before = list(Assignment.objects.order_by("pk").values())
        revisions = list(Verbatim.objects.order_by("pk").values_list("revision", flat=True))
        update_now(column)
        assert list(Assignment.objects.order_by("pk").values()) == before
        assert list(Verbatim.objects.order_by("pk").values_list("revision", flat=True)) == revisions

    def test_new_rows_get_it(self, column: Any, alice: Any) -> None:
        give(column, alice, "zebra")
        work(column)
        add_rows(column.project, {column: ["Yet a zebra"]})
        update_request(column=column, trigger=Trigger.ROWS)
        work(column)
        assert by_keyword(column) == [61, 62, 64, 66, 67]

    def test_rows_get_it_while_encoding_goes_on(self, column: Any, alice: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("finetune.updates.ENCODE_BLOCK", 30)
        give(column, alice, "zebra")
        monkeypatch.setattr(Update, "_train", lambda update: (_ for _ in ()).throw(RuntimeError("stopped here")))
        assert work(column) == [JobState.FAILED]
        assert by_keyword(column) == [61, 62, 64, 66]

    def test_a_review_during_the_update_wins(self, column: Any, alice: Any, monkeypatch: Any) -> None:
        give(column, alice, "zebra")
        assign = Update._assign

        def review_then_assign(update: Update) -> None:
            review(column, alice, 61, "Price")
            assign(update)

        monkeypatch.setattr(Update, "_assign", review_then_assign)
        work(column)
        assert sources(column, 61) == sources(column, 64) == {"Price": "person"}
        assert by_keyword(column) == [62, 66]

    def test_a_keyword_typed_during_the_update_leads_to_one_more(
        self, column: Any, alice: Any, monkeypatch: Any
    ) -> None:
        assign, once = Update._assign, []

        def edit_then_assign(update: Update) -> None:
            if not once:
                once.append(give(column, alice, "zebra"))
            assign(update)

        monkeypatch.setattr(Update, "_assign", edit_then_assign)
        update_request(column=column, trigger=Trigger.BUTTON)
        assert work(column) == [JobState.DONE, JobState.DONE]
        assert by_keyword(column) == [61, 62, 64, 66]

    def test_a_deleted_topic_gets_nothing(self, column: Any, alice: Any, monkeypatch: Any) -> None:
        give(column, alice, "zebra")
        assign = Update._assign

        def delete_then_assign(update: Update) -> None:
            if not Change.objects.filter(kind="topic_delete").exists():
                topic_delete(topic=topic(column, "Extras"), user=alice)
            assign(update)

        monkeypatch.setattr(Update, "_assign", delete_then_assign)
        work(column)
        assert by_keyword(column) == []

    def test_expressions_that_take_too_long_are_named_as_the_reason(
        self, column: Any, alice: Any, monkeypatch: Any
    ) -> None:
        update_now(column)
        before = list(Assignment.objects.order_by("pk").values())
        give(column, alice, "/zebra/")
        monkeypatch.setattr(keywords.KeywordMatcher.__init__, "__kwdefaults__", {"limit_s": 0.0})
        assert work(column) == [JobState.FAILED]
        assert "take too long" in Job.objects.latest("created_at").error
        assert list(Assignment.objects.order_by("pk").values()) == before

    def test_a_merge_brings_the_keywords_along(self, column: Any, alice: Any) -> None:
        give(column, alice, "zebra")
        topics_merge(target=topic(column, "Price"), sources=[topic(column, "Extras")], user=alice)
        work(column)
        assert by_keyword(column, "Price") == [61, 62, 64, 66]

    def test_after_a_split_the_keywords_are_the_old_half_s(self, column: Any, alice: Any) -> None:
        give(column, alice, "zebra")
        work(column)
        new = [row(column, 62).pk]
        topic_split(topic=topic(column, "Extras"), label="Two", examples_a=[], examples_b=new, user=alice)
        assert "Extras" not in sources(column, 62)
        work(column)
        assert by_keyword(column) == [61, 62, 64, 66]
        assert (topic(column, "Extras").keywords, topic(column, "Two").keywords) == (["zebra"], [])


# --- with AI updates off --------------------------------------------------------------------------
class TestFrozen:
    @pytest.fixture
    def frozen(self, column: Any, settings: Any) -> Any:
        update_now(column)
        off(column)
        settings.ENCODER_CLASS = "tests.fakes.MissingEncoder"  # keywords need none
        forget_encoder()
        return column

    def others(self, column: Column) -> list[Any]:
        own = Assignment.objects.filter(verbatim__column=column).exclude(topic__label="Extras")
        return list(own.order_by("verbatim", "topic").values_list("verbatim", "topic", "sentiment", "probability"))

    def test_keywords_count_at_once_and_nothing_else_changes(self, frozen: Any, alice: Any) -> None:
        before = self.others(frozen)
        give(frozen, alice, "zebra")
        job = Job.objects.get(state=JobState.QUEUED)
        assert (job.not_before, job.payload["keywords_only"]) == (None, True)
        assert work(frozen) == [JobState.DONE]
        assert by_keyword(frozen) == [61, 62, 64, 66]
        assert self.others(frozen) == before
        assert ModelVersion.objects.count() == 1
        give(frozen, alice)
        assert work(frozen) == [JobState.DONE]
        assert by_keyword(frozen) == []
        assert self.others(frozen) == before

    def test_the_ai_s_own_stay_when_the_keyword_goes(self, frozen: Any, alice: Any) -> None:
        before = set(Assignment.objects.filter(topic__label="Price").values_list("verbatim", flat=True))
        assert before
        give(frozen, alice, "/price/i", "zebra", label="Price")
        work(frozen)
        assert 61 in by_keyword(frozen, "Price")
        give(frozen, alice, label="Price")
        work(frozen)
        assert by_keyword(frozen, "Price") == []
        after = set(Assignment.objects.filter(topic__label="Price").values_list("verbatim", flat=True))
        assert after == before

    def test_sentiments_come_from_the_model_in_use(self, frozen: Any, alice: Any) -> None:
        give(frozen, alice, "zebra", label="Staff")
        work(frozen)
        made = Assignment.objects.get(verbatim=row(frozen, 62), topic__label="Staff")
        assert (made.source, made.sentiment) == (KEYWORD, -1)
        assert row(frozen, 62).sentiment == -1

    def test_a_topic_that_no_model_knows_gets_its_rows(self, frozen: Any, alice: Any) -> None:
        topic_create(
            column=frozen, category="New", label="Animals", user=alice, sentiment_enabled=True, keywords=["zebra"]
        )
        work(frozen)
        made = Assignment.objects.get(verbatim=row(frozen, 62), topic__label="Animals")
        assert (made.source, made.sentiment, made.probability) == (KEYWORD, -1, None)

    def test_without_any_model(self, column: Any, alice: Any) -> None:
        off(column)
        give(column, alice, "zebra")
        assert work(column) == [JobState.DONE]
        assert by_keyword(column) == [61, 62, 64, 66]
        assert row(column, 61).certainty == 0

    def test_what_a_person_or_a_file_said_is_not_changed(self, frozen: Any, alice: Any) -> None:
        Assignment.objects.filter(verbatim=row(frozen, 61)).delete()
        put(frozen, 61, "Extras", source="import", probability=None)
        put(frozen, 61, "Price", source="person", probability=None)
        give(frozen, alice, "zebra")
        work(frozen)
        assert sources(frozen, 61) == {"Extras": "import", "Price": "person"}

    def test_a_review_meanwhile_wins(self, frozen: Any, alice: Any, monkeypatch: Any) -> None:
        outcome = KeywordUpdate._outcome

        def review_then_decide(update: KeywordUpdate, block: Any) -> Any:
            review(frozen, alice, 61, "Price")
            return outcome(update, block)

        monkeypatch.setattr(KeywordUpdate, "_outcome", review_then_decide)
        give(frozen, alice, "zebra")
        work(frozen)
        assert sources(frozen, 61) == {"Price": "person"}

    def test_a_keyword_typed_meanwhile_leads_to_one_more(self, column: Any, alice: Any, monkeypatch: Any) -> None:
        update_now(column)
        off(column)
        outcome, once = KeywordUpdate._outcome, []

        def edit_then_decide(update: KeywordUpdate, block: Any) -> Any:
            if not once:
                once.append(give(column, alice, "zebra", "nothing"))
            return outcome(update, block)

        monkeypatch.setattr(KeywordUpdate, "_outcome", edit_then_decide)
        give(column, alice, "zebra")
        assert work(column) == [JobState.DONE, JobState.DONE]
        assert by_keyword(column) == [61, 62, 64, 65, 66]

    def test_edits_without_keywords_start_nothing(self, frozen: Any, alice: Any) -> None:
        topic_update(topic=topic(frozen, "Price"), user=alice, label="Costs")
        assert not Job.objects.exists()

    def test_a_merge_keeps_what_the_ai_had_assigned(self, frozen: Any, alice: Any) -> None:
        give(frozen, alice, "zebra")
        n_price = Assignment.objects.filter(topic__label="Price").count()
        topics_merge(target=topic(frozen, "Extras"), sources=[topic(frozen, "Price")], user=alice)
        work(frozen)
        assert by_keyword(frozen) == [61, 62, 64, 66]
        extras = Assignment.objects.filter(topic__label="Extras")
        assert extras.exclude(source=KEYWORD).count() >= n_price - 4

    def test_new_rows_get_topics_of_the_model_and_of_keywords(self, column: Any, alice: Any) -> None:
        update_now(column)
        off(column)
        give(column, alice, "zebra")
        work(column)
        Assignment.objects.filter(topic__label="Price").delete()  # frozen, whatever the model would say
        add_rows(column.project, {column: ["The price is awful, zebra", "Shop staff were great"]})
        update_request(column=column, trigger=Trigger.ROWS, assign_only=True)
        assert work(column) == [JobState.DONE]
        assert sources(column, 67) == {"Extras": KEYWORD, "Price": AI}
        assert sources(column, 68)["Staff"] == AI
        assert Assignment.objects.filter(topic__label="Price").count() == 1

    def test_new_rows_get_keywords_where_no_model_fits(self, column: Any, alice: Any) -> None:
        off(column)
        give(column, alice, "zebra")
        add_rows(column.project, {column: ["One more zebra"]})
        update_request(column=column, trigger=Trigger.ROWS, assign_only=True)
        assert work(column) == [JobState.DONE]
        assert by_keyword(column) == [61, 62, 64, 66, 67]

    def test_switched_on_again_an_update_catches_up(self, frozen: Any, alice: Any, settings: Any) -> None:
        settings.ENCODER_CLASS = "tests.fakes.HashEncoder"
        forget_encoder()
        give(frozen, alice, "zebra")  # its job waits while updates are switched on: it becomes one that learns
        ai_switch(column=frozen, on=True, user=alice)
        assert work(frozen) == [JobState.DONE]
        assert ModelVersion.objects.get(state=VersionState.DEPLOYED).number == 2
        assert by_keyword(frozen) == [61, 62, 64, 66]

    def test_switched_on_again_topics_changed_meanwhile_are_learned(
        self, frozen: Any, alice: Any, settings: Any
    ) -> None:
        settings.ENCODER_CLASS = "tests.fakes.HashEncoder"
        forget_encoder()
        topic_update(topic=topic(frozen, "Price"), user=alice, label="Costs")
        ai_switch(column=frozen, on=True, user=alice)
        assert work(frozen) == [JobState.DONE]
        assert ModelVersion.objects.get(state=VersionState.DEPLOYED).number == 2

    def test_a_killed_attempt_is_simply_done_again(self, frozen: Any, alice: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("finetune.keywords.APPLY_BLOCK", 62)
        give(frozen, alice, "zebra")
        outcome, seen = KeywordUpdate._outcome, []

        def stop_at_the_second(update: KeywordUpdate, block: Any) -> Any:
            seen.append(len(block))
            if len(seen) == 2:
                raise RuntimeError("killed")
            return outcome(update, block)

        monkeypatch.setattr(KeywordUpdate, "_outcome", stop_at_the_second)
        assert work(frozen) == [JobState.FAILED]
        assert by_keyword(frozen) == [61, 62, 64]
        update_request(column=frozen, trigger=Trigger.TOPICS, keywords_only=True)
        assert work(frozen) == [JobState.DONE]
        assert by_keyword(frozen) == [61, 62, 64, 66]


# --- requests that meet ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("waiting", "wanted", "then"),
    [
        ({"keywords_only": True}, {"assign_only": True}, (True, False, False)),
        ({"keywords_only": True}, {}, (False, False, False)),
        ({"assign_only": True}, {}, (False, False, False)),
        ({"assign_only": True}, {"keywords_only": True}, (True, False, False)),
        ({}, {"keywords_only": True}, (False, False, False)),
        ({}, {"assign_only": True}, (False, False, False)),
        ({"assign_only": True}, {"deep": True}, (False, False, True)),
        ({"keywords_only": True}, {"keywords_only": True}, (False, True, False)),
    ],
)
def test_an_update_that_waits_becomes_the_one_that_does_more(column, waiting, wanted, then):
    update_request(column=column, trigger=Trigger.TOPICS, **waiting)
    update_request(column=column, trigger=Trigger.ROWS, **wanted)
    payload = Job.objects.get().payload
    names = ("assign_only", "keywords_only", "deep")
    assert tuple(bool(payload.get(name)) for name in names) == then
