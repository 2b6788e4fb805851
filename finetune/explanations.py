"""Why a row has a topic, for the person who looks at it: in the web process, without the encoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from django.db.models import Max

from finetune.engine import Explanation, Part, explain, nearest_rows
from finetune.proposals import model_of
from projects.models import Column
from rows.models import Verbatim
from topics.models import Topic

MAX_EXAMPLES = 1_000  # reviewed rows with the topic that are looked at, last reviewed first
N_NEAREST = 3
N_BACKGROUND = 16
MIN_SHOWN = 0.1  # log-odds; a word that did less is not marked
LEVELS = (0.15, 0.4, 0.75)  # share of the strongest word from which a word is marked weakly, clearly, strongly
SHORT_TEXT = 200
LONG_TEXT = 800  # a longer text is shown around its marked words only
AROUND = 90


@dataclass(frozen=True)
class Piece:
    """A stretch of the text: its level is 0 (not marked) to 3 (strongest)."""

    text: str
    level: int = 0
    is_against: bool = False


@dataclass(frozen=True)
class Example:
    """A reviewed row with the topic."""

    verbatim_id: int
    row_number: int
    text: str
    similarity: float


@dataclass(frozen=True)
class AssignmentExplanation:
    """What a page needs to say why.

    Attributes
    ----------
    probability : float
        What the model in use says of the row today, in [0, 1].
    base_probability : float
        What it says of any other text before reading it.
    words_log_odds, meaning_log_odds : float
        What the words and the meaning of the whole text added to that.
    words_percent : int or None
        The words' part of what spoke for the topic, where both parts did.
    pieces : list of Piece
        The text in order, a long one cut to what is around its marked words.
    strongest, against : list of str
        The marked words for and against, strongest first.
    examples : list of Example
        The nearest reviewed rows with the topic, nearest first.
    n_examples : int
        Reviewed rows with the topic that were looked at, up to `MAX_EXAMPLES`.
    """

    topic: Topic
    version: int
    probability: float
    base_probability: float
    words_log_odds: float
    meaning_log_odds: float
    words_percent: int | None
    pieces: list[Piece]
    strongest: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    n_examples: int = 0

    @property
    def meaning_percent(self) -> int | None:
        """The other part of what spoke for the topic."""
        return None if self.words_percent is None else 100 - self.words_percent


def explain_assignment(*, verbatim: Verbatim, topic: Topic) -> AssignmentExplanation | None:
    """Explain one topic of one row by the model in use.

    None where there is nothing to explain: no model yet, the text is empty or not encoded yet, or the model
    does not know the topic.
    """
    column = verbatim.column
    if verbatim.is_empty or topic.column_id != column.pk:
        return None
    model = model_of(column, wait=True)
    if model is None or topic.pk not in model.topic_ids:
        return None
    # Vectors come from the table: the feature cache beside it belongs to the one process that writes it.
    examples = _examples(verbatim, topic)
    others = list(_background(column, verbatim))
    own_digest = bytes(verbatim.digest)
    digests = [own_digest, *(digest for _, digest in examples), *others]
    vectors = model.vectors(digests)
    if own_digest not in vectors:
        return None
    x = vectors[own_digest]
    examples = [(pk, digest) for pk, digest in examples if digest in vectors]
    background = [vectors[digest] for digest in others if digest in vectors]
    explanation = explain(
        model,
        verbatim.text,
        model.topic_ids.index(topic.pk),
        x=x,
        background_X=np.asarray(background, dtype=np.float32).reshape(-1, len(x)),
    )
    near = nearest_rows(
        x,
        np.asarray([vectors[digest] for _, digest in examples], dtype=np.float32).reshape(-1, len(x)),
        n=N_NEAREST,
    )
    pieces, strongest, against = _mark(verbatim.text, explanation.words)
    return AssignmentExplanation(
        topic=topic,
        version=model.number,
        probability=explanation.probability,
        base_probability=1.0 / (1.0 + math.exp(-explanation.base)),
        words_log_odds=explanation.words_share,
        meaning_log_odds=explanation.meaning_share,
        words_percent=_words_percent(explanation),
        pieces=pieces,
        strongest=strongest,
        against=against,
        examples=_with_texts([(examples[one.row][0], one.similarity) for one in near]),
        n_examples=len(examples),
    )


def _examples(verbatim: Verbatim, topic: Topic) -> list[tuple[int, bytes]]:
    """Return id and digest of reviewed rows with the topic, without the row itself and its duplicates.

    Plain values, one row of each text: making a thousand objects of the model takes longer than all the rest.
    """
    query = (
        Verbatim.objects.live(verbatim.column)
        .filter(is_reviewed=True, is_group_head=True, is_empty=False, assignments__topic=topic)
        .exclude(fingerprint=bytes(verbatim.fingerprint))
        .order_by("-reviewed_at", "-id")
    )
    return [(pk, bytes(digest)) for pk, digest in query.values_list("pk", "digest")[:MAX_EXAMPLES]]


def _background(column: Column, verbatim: Verbatim) -> Iterator[bytes]:
    """Return digests of texts spread over the column: found by their number, whatever its size."""
    last = Verbatim.objects.filter(column=column).aggregate(last=Max("row_number"))["last"] or 0
    numbers = np.unique(np.linspace(1, last, num=min(last, 4 * N_BACKGROUND), dtype=np.int64)).tolist()
    query = Verbatim.objects.live(column).filter(row_number__in=numbers, is_empty=False).exclude(pk=verbatim.pk)
    digests = [bytes(value) for value in query.order_by("row_number").values_list("digest", flat=True)]
    step = max(1, len(digests) // N_BACKGROUND)
    yield from dict.fromkeys(digests[::step][:N_BACKGROUND])


def _with_texts(near: Sequence[tuple[int, float]]) -> list[Example]:
    rows = Verbatim.objects.filter(pk__in=[pk for pk, _ in near]).values_list("pk", "row_number", "text")
    found = {pk: (number, _shortened(text)) for pk, number, text in rows}
    return [Example(pk, *found[pk], similarity) for pk, similarity in near if pk in found]


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHORT_TEXT else text[:SHORT_TEXT].rstrip() + "…"


def _words_percent(explanation: Explanation) -> int | None:
    words, meaning = explanation.words_share, explanation.meaning_share
    return round(100 * words / (words + meaning)) if words > 0 and meaning > 0 else None


# --- marks ---------------------------------------------------------------------------------------


def _mark(text: str, words: Sequence[Part]) -> tuple[list[Piece], list[str], list[str]]:
    """Return the text in pieces, and the marked words for and against the topic."""
    strongest = max((abs(part.contribution) for part in words), default=0.0)
    signs: list[tuple[int, int, int, bool]] = []
    named: tuple[list[str], list[str]] = ([], [])
    for part in words:
        size = abs(part.contribution)
        level = sum(size >= share * strongest for share in LEVELS) if size >= MIN_SHOWN else 0
        if not level:
            continue
        is_against = part.contribution < 0
        signs += [(start, end, level, is_against) for start, end in part.spans]
        start, end = part.spans[0]
        named[is_against].append(text[start:end])
    return _shown(text, list(_pieces(text, sorted(signs)))), named[0], named[1]


def _pieces(text: str, signs: Sequence[tuple[int, int, int, bool]]) -> Iterator[Piece]:
    """Cut the text at its marks; neighbours that are marked alike become one mark."""
    flat: list[tuple[str, int, bool]] = []
    at = 0
    for start, end, level, is_against in signs:
        gap = text[at:start]
        alike = flat and flat[-1][1:] == (level, is_against) and not gap.strip()
        if gap:
            flat.append((gap, level, is_against) if alike else (gap, 0, False))
        flat.append((text[start:end], level, is_against))
        at = end
    if text[at:]:
        flat.append((text[at:], 0, False))
    for (level, is_against), group in groupby(flat, key=lambda one: one[1:]):
        yield Piece("".join(one[0] for one in group), level, is_against)


def _shown(text: str, pieces: list[Piece]) -> list[Piece]:
    """Return all pieces of a short text; of a long one only what is around the marks."""
    if len(text) <= LONG_TEXT:
        return pieces
    if len(pieces) == 1:
        return [Piece(text[:LONG_TEXT].rstrip() + " …")]
    shown = []
    for number, piece in enumerate(pieces):
        before = piece.text[:AROUND] if number else ""
        after = piece.text[-AROUND:] if number < len(pieces) - 1 else ""
        is_cut = piece.level == 0 and len(piece.text) > len(before) + len(after) + 3
        shown.append(Piece(f"{before} … {after}") if is_cut else piece)
    return shown
