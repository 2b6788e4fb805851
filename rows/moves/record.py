"""What one act on the topic collection changed on rows: enough to take it back, in few bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from projects.models import Column
from rows.bulk.packing import Shared, data_pack, data_unpack, differences, sums
from rows.models import TopicMove
from topics.hooks import Moved

# sentiment, source, probability, position
Entry = tuple[Any, ...]


@dataclass
class Record:
    """The inverse of an act.

    Attributes
    ----------
    revisions : dict
        Verbatim to its person_revision before and after. Whether a person decided about the row since is read
        from them.
    pairs : dict
        Topic to {verbatim: its entry before, None where it did not have the topic}.
    whole : dict
        Verbatim to all its (topic, *entry), where the AI may write the row from now on.
    states : dict
        Verbatim to (is_reviewed, reviewed_by, reviewed_at, is_audit), where the act took the reviewed mark off.
    moods : dict
        Verbatim to its overall sentiment before, where that changed.
    moody : list
        Verbatims whose overall sentiment has to be computed again: sentiments of their topics came or went.
    """

    revisions: dict[int, tuple[int, int]] = field(default_factory=dict)
    pairs: dict[int, dict[int, Entry | None]] = field(default_factory=dict)
    whole: dict[int, list[Sequence[Any]]] = field(default_factory=dict)
    states: dict[int, Sequence[Any]] = field(default_factory=dict)
    moods: dict[int, int | None] = field(default_factory=dict)
    moody: list[int] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return sorted(self.revisions)

    def pack(self) -> bytes:
        ids = self.ids
        return data_pack(
            {
                "ids": differences(ids),
                "before": [self.revisions[pk][0] for pk in ids],
                "steps": [self.revisions[pk][1] - self.revisions[pk][0] for pk in ids],
                "pairs": {str(topic): _pack_map(entries) for topic, entries in self.pairs.items()},
                "whole": _pack_map(self.whole),
                "states": _pack_map(self.states),
                "moods": _pack_map(self.moods),
                "moody": differences(sorted(self.moody)),
            }
        )

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> Record:
        data = data_unpack(packed)
        return cls(
            revisions=_revisions(data),
            pairs={int(topic): _unpack_map(values) for topic, values in data["pairs"].items()},
            whole=_unpack_map(data["whole"]),
            states=_unpack_map(data["states"]),
            moods=_unpack_map(data["moods"]),
            moody=sums(data["moody"]),
        )

    def save(self, column: Column, *, n_reviewed: int = 0) -> Moved:
        move = TopicMove.objects.create(column=column, n_rows=len(self.revisions), data=self.pack())
        return Moved(move.pk, move.n_rows, n_reviewed)


def decided_since(move: TopicMove, record: Record, now: Mapping[int, int]) -> set[int]:
    """Return the verbatims of a move that a person decided about since; `now` has their person_revision.

    Later acts on topics raise the same revisions, without deciding about the row: they are followed step by step.
    """
    after = {pk: revisions[1] for pk, revisions in record.revisions.items()}
    open_ids = {pk for pk, revision in after.items() if now.get(pk, revision) != revision}
    if open_ids:
        later = TopicMove.objects.filter(column=move.column_id, pk__gt=move.pk).order_by("pk")
        for packed in later.values_list("data", flat=True).iterator():
            for pk, (from_revision, to_revision) in _revisions(data_unpack(packed)).items():
                if pk in open_ids and after[pk] == from_revision:
                    after[pk] = to_revision
    return {pk for pk in open_ids if after[pk] != now[pk]}


def _revisions(data: dict[str, Any]) -> dict[int, tuple[int, int]]:
    return {
        pk: (before, before + step)
        for pk, before, step in zip(sums(data["ids"]), data["before"], data["steps"], strict=True)
    }


def _pack_map(values: Mapping[int, Any]) -> list[Any]:
    shared = Shared()
    ids = sorted(values)
    index = [shared.add(values[pk]) for pk in ids]
    return [differences(ids), index, shared.values]


def _unpack_map(packed: Sequence[Any]) -> dict[int, Any]:
    steps, index, values = packed
    ids: Iterable[int] = sums(steps)
    return {pk: values[place] for pk, place in zip(ids, index, strict=True)}
