"""Reviews: a person's decision about all topics of one verbatim.

A review is one transaction over the verbatim and all its duplicates: topics, reviewed mark, history
and counters. It needs neither broker nor worker nor encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from projects.history import change_record, undoes
from projects.models import Change, ChangeKind, Column
from rows import hooks, sql
from rows.models import Assignment, AssignmentSource, Verbatim
from rows.selectors import bulk_changes, head_id
from topicassign.errors import ApplicationError, StaleRevisionError
from topics.models import OVERALL_CUT, Sentiment, Topic
from topics.selectors import topics_followed

UNDO_BATCH = 5_000  # below the number of parameters that SQLite takes


@dataclass(frozen=True)
class TopicChoice:
    """A topic as decided by a person; `sentiment` None lets a topic without sentiment stay without."""

    topic_id: int
    sentiment: int | None = None


@dataclass
class Review:
    """What a review did: the change (for undo) and the verbatims it wrote, the reviewed one first."""

    change: Change
    verbatim: Verbatim
    n_verbatims: int


def overall_sentiment(sentiments: Sequence[int]) -> int | None:
    """Return the overall sentiment of a verbatim from those of its topics (spec S3.3); None without any."""
    if not sentiments:
        return None
    mean = sum(sentiments) / len(sentiments)
    return 1 if mean > OVERALL_CUT else -1 if mean < -OVERALL_CUT else 0


def verbatim_review(
    *,
    verbatim: Verbatim,
    topics: Iterable[TopicChoice],
    revision: int,
    user: Any,
    is_audit: bool | None = None,
) -> Review:
    """Save a person's decision about all topics of a verbatim and its duplicates.

    Parameters
    ----------
    topics
        The whole decision, in order: topics not named are taken off.
    revision
        The revision the decision was based on. What the AI wrote since is no conflict, for a person
        decides about all topics; what another person wrote is.
    is_audit
        True when the row was served at random; None keeps what is known.

    Raises
    ------
    StaleRevisionError
        If another person changed the verbatim since `revision`.
    ApplicationError
        If a topic is not of this column, is named twice, or has a sentiment it cannot have.
    """
    return _decide(
        verbatim=verbatim, topics=list(topics), revision=revision, user=user, reviewed=True, is_audit=is_audit
    )


def verbatim_unreview(*, verbatim: Verbatim, revision: int, user: Any) -> Review:
    """Take the reviewed mark off a verbatim and its duplicates; its topics stay until the next AI update."""
    return _decide(verbatim=verbatim, topics=None, revision=revision, user=user, reviewed=False, is_audit=None)


@transaction.atomic
def _decide(
    *,
    verbatim: Verbatim,
    topics: list[TopicChoice] | None,
    revision: int,
    user: Any,
    reviewed: bool,
    is_audit: bool | None,
) -> Review:
    column = verbatim.column
    members = Verbatim.objects.group_of(verbatim)
    group = list(members.select_for_update().order_by("pk"))
    target = next((member for member in group if member.pk == verbatim.pk), None)
    if target is None:
        raise ApplicationError(_("This row was deleted."), status=404, code="resource_missing")
    if revision < target.person_revision or revision > target.revision:
        raise StaleRevisionError(
            _("Somebody else changed this row meanwhile. Compare both versions, then choose."),
            revision=target.revision,
        )
    before = _states(group, members)
    now = timezone.now()
    if topics is None:
        chosen: list[tuple[Topic, int | None]] = [
            (row.topic, row.sentiment)
            for row in Assignment.objects.filter(verbatim=target, topic__deleted_at=None).select_related("topic")
        ]
    else:
        sql.topics_hold(choice.topic_id for choice in topics)
        chosen = checked_choices(topics, column)
    sentiment = _sentiment_of(target.text, chosen)
    ids = [member.pk for member in group]
    if topics is not None:
        _delete_assignments(members)
        _create_assignments(ids, chosen)
    values: dict[str, Any] = {
        "is_reviewed": reviewed,
        "reviewed_by": user if reviewed else None,
        "reviewed_at": now if reviewed else None,
        "sentiment": sentiment,
        "revision": F("revision") + 1,
        "person_revision": F("revision") + 1,
    }
    if is_audit is not None:
        values["is_audit"] = is_audit
    elif not reviewed:
        values["is_audit"] = False
    members.update(**values)
    change = change_record(
        project=column.project,
        column=column,
        kind=ChangeKind.REVIEW if reviewed else ChangeKind.UNREVIEW,
        user=user,
        summary=_summary(target, chosen, reviewed, len(ids)),
        inverse={"states": before, "topics": [[topic.pk, value] for topic, value in chosen]},
        ids=[target.pk],
        subject_id=head_id(target),
    )
    verbatim.refresh_from_db()
    # Last of all: reviews of one column queue on its row from here to the end of the transaction.
    column_reviewed(column, n_reviews=1 if reviewed else 0)
    hooks.reviews_changed.send(column=column, user=user)
    return Review(change=change, verbatim=verbatim, n_verbatims=len(ids))


def column_reviewed(column: Column, *, n_reviews: int) -> None:
    """Count reviews for the next AI update and note the change for polls."""
    now = timezone.now()
    with connection.cursor() as cursor:  # one statement instead of two while others wait for this row
        cursor.execute(
            "UPDATE projects_column SET n_reviews_since_update = n_reviews_since_update + %s,"
            " data_version = data_version + 1, revision = revision + 1, last_edited_at = %s WHERE id = %s"
            " RETURNING n_reviews_since_update, data_version, revision",
            [n_reviews, connection.ops.adapt_datetimefield_value(now), column.pk],
        )
        column.n_reviews_since_update, column.data_version, column.revision = cursor.fetchone()
    column.last_edited_at = now


def checked_choices(topics: list[TopicChoice], column: Column) -> list[tuple[Topic, int | None]]:
    """Return the topics with the sentiment each will have. Raises ApplicationError as `verbatim_review` says."""
    known = {
        topic.pk: topic
        for topic in Topic.objects.filter(
            pk__in=[choice.topic_id for choice in topics], column=column, deleted_at=None
        )
    }
    chosen: list[tuple[Topic, int | None]] = []
    seen: set[int] = set()
    for choice in topics:
        topic = known.get(choice.topic_id)
        if topic is None:
            raise ApplicationError(
                _("A topic of this review was deleted meanwhile. Reload the row and choose again."),
                code="topic_missing",
            )
        if topic.pk in seen:
            raise ApplicationError(
                _("The topic %(topic)s was named twice.") % {"topic": topic.label}, code="topic_twice"
            )
        seen.add(topic.pk)
        if not topic.sentiment_enabled:
            chosen.append((topic, None))
        elif choice.sentiment is None:
            chosen.append((topic, int(Sentiment.NEUTRAL)))
        elif choice.sentiment in Sentiment.values:
            chosen.append((topic, choice.sentiment))
        else:
            raise ApplicationError(
                _("Sentiment must be -1, 0 or 1, got %(got)s.") % {"got": choice.sentiment}, code="sentiment"
            )
    return chosen


def _sentiment_of(text: str, chosen: list[tuple[Topic, int | None]]) -> int | None:
    own = overall_sentiment([value for _, value in chosen if value is not None])
    if own is not None:
        return own
    answer = hooks.text_sentiments.first(default=None, texts=[text])
    return int(answer[0]) if answer is not None and len(answer) else None


def _delete_assignments(verbatims: QuerySet[Verbatim]) -> None:
    """Take all topics off verbatims that are locked; nothing hangs on an assignment, so nothing cascades."""
    Assignment.objects.filter(verbatim__in=verbatims.order_by().values("pk")).order_by()._raw_delete(
        using=connection.alias
    )


def _create_assignments(verbatim_ids: list[int], chosen: list[tuple[Topic, int | None]]) -> None:
    Assignment.objects.bulk_create(
        (
            Assignment(
                verbatim_id=verbatim_id,
                topic=topic,
                sentiment=value,
                source=AssignmentSource.PERSON,
                position=position,
            )
            for verbatim_id in verbatim_ids
            for position, (topic, value) in enumerate(chosen)
        ),
        batch_size=2_000,
    )


def _states(group: list[Verbatim], members: QuerySet[Verbatim]) -> list[dict[str, Any]]:
    """Return the group's state as JSON, members that are alike together: what undo puts back."""
    assignments: dict[int, list[list[Any]]] = {member.pk: [] for member in group}
    for row in (
        Assignment.objects.filter(verbatim__in=members.values("pk"))
        .order_by("verbatim", "position", "id")
        .values_list("verbatim", "topic", "sentiment", "source", "probability", "position")
    ):
        assignments[row[0]].append(list(row[1:]))
    states: list[dict[str, Any]] = []
    index: dict[str, dict[str, Any]] = {}
    for member in group:
        state = {
            "is_reviewed": member.is_reviewed,
            "reviewed_by": member.reviewed_by_id,
            "reviewed_at": member.reviewed_at.isoformat() if member.reviewed_at else None,
            "is_audit": member.is_audit,
            "sentiment": member.sentiment,
            "assignments": assignments[member.pk],
        }
        key = repr(state)
        if key not in index:
            index[key] = {**state, "ids": []}
            states.append(index[key])
        index[key]["ids"].append(member.pk)
    return states


def _summary(target: Verbatim, chosen: list[tuple[Topic, int | None]], reviewed: bool, n: int) -> str:
    if not reviewed:
        return act_text(target, n, "unreview")
    labels = ", ".join(topic.label for topic, _sentiment in chosen) or _("no topics")
    return _("%(what)s: %(topics)s") % {"what": act_text(target, n, "review"), "topics": labels}


def act_text(target: Verbatim, n: int, act: str) -> str:
    """Say what was done to a row and the `n` - 1 rows with the same text: act is review, "
    "unreview, star or unstar."""
    values = {"row": target.row_number, "n": n - 1}
    if n > 1:
        return {
            "review": _("Row %(row)s and %(n)s identical reviewed"),
            "unreview": _("Row %(row)s and %(n)s identical back to not reviewed"),
        }[act] % values
    return {
        "review": _("Row %(row)s reviewed"),
        "unreview": _("Row %(row)s back to not reviewed"),
        "star": _("Row %(row)s highlighted"),
        "unstar": _("Row %(row)s no longer highlighted"),
    }[act] % values


def entries_followed(
    entries: Iterable[Sequence[Any]], followed: Mapping[int, tuple[Topic, int | None]]
) -> list[list[Any]]:
    """Return stored (topic, sentiment, …) of a row as they would be today: topics merged since are others now."""
    entries = list(entries)
    found = {entry[0]: list(entry) for entry in entries if entry[0] not in followed}
    for topic, mood, *rest in entries:
        if topic in followed:
            target, said = followed[topic]
            now = None if not target.sentiment_enabled else said if mood is None else mood
            found.setdefault(target.pk, [target.pk, now, *rest])
    return list(found.values())


def _restore(ids: list[int], state: dict[str, Any], live_topics: set[int]) -> None:
    members = Verbatim.objects.filter(pk__in=ids)
    _delete_assignments(members)
    Assignment.objects.bulk_create(
        (
            Assignment(
                verbatim_id=pk,
                topic_id=topic,
                sentiment=sentiment,
                source=source,
                probability=probability,
                position=position,
            )
            for pk in ids
            for topic, sentiment, source, probability, position in state["assignments"]
            if topic in live_topics
        ),
        batch_size=2_000,
    )
    reviewed_at = state["reviewed_at"]
    members.update(
        is_reviewed=state["is_reviewed"],
        reviewed_by=state["reviewed_by"],
        reviewed_at=datetime.fromisoformat(reviewed_at) if reviewed_at else None,
        is_audit=state["is_audit"],
        sentiment=state["sentiment"],
        revision=F("revision") + 1,
        person_revision=F("revision") + 1,
    )


@undoes(ChangeKind.REVIEW, ChangeKind.UNREVIEW)
def _undo_review(change: Change, user: Any) -> None:
    """Put back what the review changed; refuses if somebody changed the rows since."""
    verbatim = Verbatim.objects.filter(pk__in=change.ids).first()
    if verbatim is None:
        raise ApplicationError(_("The row of this review no longer exists."), status=409)
    present = set(
        Verbatim.objects.group_of(verbatim).select_for_update().order_by("pk").values_list("pk", flat=True)
    )
    later = Change.objects.filter(
        column=change.column_id,
        subject_id=change.subject_id,
        kind__in=(ChangeKind.REVIEW, ChangeKind.UNREVIEW),
        pk__gt=change.pk,
        undone_at=None,
    )
    later_bulk = any(one.pk > change.pk and one.undone_at is None for one in bulk_changes(verbatim=verbatim))
    if later_bulk or later.exists():
        raise ApplicationError(_("This row was changed again since; undo the later change first."), status=409)
    stored = {entry[0] for state in change.inverse["states"] for entry in state["assignments"]}
    sql.topics_hold(stored)
    live_topics = set(Topic.objects.filter(column=change.column_id, deleted_at=None).values_list("pk", flat=True))
    followed = topics_followed(stored - live_topics)
    for state in change.inverse["states"]:
        state["assignments"] = entries_followed(state["assignments"], followed)
        ids = [pk for pk in state["ids"] if pk in present]
        for start in range(0, len(ids), UNDO_BATCH):
            _restore(ids[start : start + UNDO_BATCH], state, live_topics)
    assert change.column is not None
    column_reviewed(change.column, n_reviews=0)
    if change.kind == ChangeKind.REVIEW:
        Column.objects.filter(pk=change.column.pk, n_reviews_since_update__gt=0).update(
            n_reviews_since_update=F("n_reviews_since_update") - 1
        )
    hooks.reviews_changed.send(column=change.column, user=user)


def verbatim_highlight(*, verbatim: Verbatim, highlighted: bool, user: Any) -> Change:
    """Put a star on a verbatim, or take it off."""
    with transaction.atomic():
        Verbatim.objects.filter(pk=verbatim.pk).update(is_highlighted=highlighted)
        Column.objects.filter(pk=verbatim.column_id).update(revision=F("revision") + 1)
        verbatim.is_highlighted = highlighted
        return change_record(
            project=verbatim.column.project,
            column=verbatim.column,
            kind=ChangeKind.HIGHLIGHT,
            user=user,
            summary=act_text(verbatim, 1, "star" if highlighted else "unstar"),
            inverse={"verbatim": verbatim.pk, "was": not highlighted},
            ids=[verbatim.pk],
            subject_id=head_id(verbatim),
        )


@undoes(ChangeKind.HIGHLIGHT)
def _undo_highlight(change: Change, user: Any) -> None:
    Verbatim.objects.filter(pk=change.inverse["verbatim"]).update(is_highlighted=change.inverse["was"])
    assert change.column is not None
    Column.objects.filter(pk=change.column.pk).update(revision=F("revision") + 1)
