"""One batch of a bulk action: lock its verbatims, change those that differ, return what undo needs.

Only rows that differ are written, so a batch that is done twice (a worker was killed, two ticked rows are
identical) changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F

from projects.models import Column
from rows import hooks, sql
from rows.bulk.options import BulkOptions
from rows.bulk.packing import Shared, data_pack, differences
from rows.models import Verbatim
from rows.services.reviews import overall_sentiment
from topics.models import Topic

FIELDS = (
    "pk", "is_empty", "is_reviewed", "reviewed_by_id", "reviewed_at", "is_audit", "is_highlighted", "sentiment",
    "revision",
)  # fmt: skip


@dataclass
class Part:
    """What a batch changed: packed for undo, with the range of its ids."""

    n_rows: int
    first_id: int
    last_id: int
    data: bytes


@dataclass
class _Batch:
    """What to write."""

    insert: list[sql.NewAssignment] = field(default_factory=list)
    update: list[tuple[int, int | None, str, float | None, int]] = field(default_factory=list)
    delete: list[int] = field(default_factory=list)
    verbatims: dict[int, int | None] = field(default_factory=dict)  # id to sentiment
    texts_needed: list[int] = field(default_factory=list)
    stars: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    states: Shared = field(default_factory=Shared)
    state_of: list[int] = field(default_factory=list)
    before: list[list[Any]] = field(default_factory=list)
    added: Shared = field(default_factory=Shared)
    added_of: list[int] = field(default_factory=list)


def apply_batch(
    *,
    column: Column,
    options: BulkOptions,
    chosen: Sequence[tuple[Topic, int | None]],
    live_topics: set[int],
    user_id: int | None,
    ids: Sequence[int],
) -> Part | None:
    """Change the selected verbatims `ids` and, where topics or reviews are decided, the rows identical to them.

    Call it inside a transaction. Returns None where nothing differed.
    """
    selected = set(ids)
    found = _lock(column, ids, with_copies=options.decides)
    sql.topics_hold(topic.pk for topic, _mood in chosen)
    batch = _Batch()
    current: dict[int, dict[int, tuple[Any, ...]]] = {}
    if options.decides:
        for pk, verbatim, topic, *rest in sql.assignments_of([row[0] for row in found]):
            if topic in live_topics:
                current.setdefault(verbatim, {})[topic] = (pk, *rest)
    wanted = [(topic.pk, sentiment) for topic, sentiment in chosen]
    for row in found:
        if options.decides and not row[1]:
            _decide(batch, row, current.get(row[0], {}), wanted, options)
        if options.highlight != "keep" and row[0] in selected and row[6] != (options.highlight == "on"):
            batch.stars.append(row[0])
    _sentiments_from_text(batch)
    sql.assignments_delete(batch.delete)
    sql.assignments_update(batch.update)
    sql.assignments_insert(batch.insert)
    sql.verbatims_update(list(batch.verbatims.items()), review=options.review, user_id=user_id)
    for part in sql.chunks(batch.stars):
        Verbatim.objects.filter(pk__in=part).update(is_highlighted=options.highlight == "on")
    touched = sorted(batch.verbatims.keys() | set(batch.stars))
    return Part(len(touched), touched[0], touched[-1], _inverse(batch, options)) if touched else None


def _lock(column: Column, ids: Sequence[int], *, with_copies: bool) -> list[tuple[Any, ...]]:
    wanted = sql.with_copies(column, ids, "pk", copies=with_copies)
    found: list[tuple[Any, ...]] = []
    for part in sql.chunks(wanted):  # in the order of ids, as reviews and AI updates lock
        locked = Verbatim.objects.select_for_update(of=("self",)).filter(pk__in=part).order_by("pk")
        found += locked.values_list(*FIELDS)
    return found


def _decide(
    batch: _Batch,
    row: tuple[Any, ...],
    current: dict[int, tuple[Any, ...]],
    wanted: list[tuple[int, int | None]],
    options: BulkOptions,
) -> None:
    """Add what changes about one verbatim. `current`: topic to (id, sentiment, source, probability, position)."""
    pk, _empty, is_reviewed, reviewed_by, reviewed_at, is_audit, _star, sentiment, revision = row
    gone: list[int] = []
    changed: dict[int, tuple[int | None, int]] = {}  # topic to (sentiment, position)
    new: list[tuple[int, int | None, int]] = []
    if options.topics_mode == "remove":
        gone = [topic for topic, _s in wanted if topic in current]
    elif options.topics_mode in ("add", "replace"):
        if options.topics_mode == "replace":
            gone = list(current.keys() - {topic for topic, _s in wanted})
        place = max((entry[4] for topic, entry in current.items() if topic not in gone), default=-1)
        for topic, mood in wanted:
            if topic not in current:
                place += 1
                new.append((topic, mood, min(place, 32_767)))
            elif current[topic][1] != mood:
                changed[topic] = (mood, current[topic][4])
    topics_change = bool(gone or changed or new)
    to_reviewed = options.review == "reviewed" and (topics_change or not is_reviewed)
    if not (topics_change or to_reviewed or (options.review == "unreviewed" and is_reviewed)):
        return
    if to_reviewed:  # a decision about all topics of the row: those of the AI are a person's now
        for topic, entry in current.items():
            if entry[2] != sql.PERSON and topic not in changed and topic not in gone:
                changed[topic] = (entry[1], entry[4])
    before = []
    for topic in (*gone, *changed):
        entry = current[topic]
        before.append([topic, *entry[1:]])
    batch.delete += [current[topic][0] for topic in gone]
    batch.update += [
        (current[topic][0], mood, sql.PERSON, None, place) for topic, (mood, place) in changed.items()
    ]
    batch.insert += [(pk, topic, mood, sql.PERSON, None, place) for topic, mood, place in new]
    mood = sentiment
    if topics_change:
        moods = {topic: entry[1] for topic, entry in current.items() if topic not in gone}
        moods |= {topic: value for topic, (value, _p) in changed.items()}
        moods |= {topic: value for topic, value, _p in new}
        mood = overall_sentiment([value for value in moods.values() if value is not None])
        if mood is None:
            mood = sentiment
            if any(entry[1] is not None for entry in current.values()):
                batch.texts_needed.append(pk)
    batch.verbatims[pk] = mood
    batch.ids.append(pk)
    batch.revisions.append(revision + 1)
    at = reviewed_at.isoformat() if reviewed_at else None
    batch.state_of.append(batch.states.add([is_reviewed, reviewed_by, at, is_audit, sentiment]))
    batch.before.append(before)
    batch.added_of.append(batch.added.add([topic for topic, _m, _p in new]))


def _sentiments_from_text(batch: _Batch) -> None:
    """Rows that lost their last topic with a sentiment get that of their text, as after a review."""
    for part in sql.chunks(batch.texts_needed):
        found = list(Verbatim.objects.filter(pk__in=part).order_by().values_list("pk", "text"))
        answer = hooks.text_sentiments.first(default=None, texts=[text for _pk, text in found])
        for index, (pk, _text) in enumerate(found):
            batch.verbatims[pk] = None if answer is None else int(answer[index])


def _inverse(batch: _Batch, options: BulkOptions) -> bytes:
    return data_pack(
        {
            "ids": differences(batch.ids),
            "revisions": batch.revisions,
            "states": batch.states.values,
            "state_of": batch.state_of,
            "before": batch.before,
            "added": batch.added.values,
            "added_of": batch.added_of,
            "stars": differences(batch.stars),
            "star": options.highlight == "on",
        }
    )


def column_note(column: Column) -> None:
    """Note for polls and for the AI that rows of a column changed; the last write of a batch's transaction."""
    Column.objects.filter(pk=column.pk).update(revision=F("revision") + 1, data_version=F("data_version") + 1)
