"""Topics proposed from the texts, as people work on them: ask, tick, rename, merge, discard, add.

What a job found is kept in the database, and so is every touch of a person: a reload shows it again, and two
people see the same. A save names the value that the person saw of what it changes; where somebody else changed
just that meanwhile it is refused. Nothing of it is a topic before `proposals_accept`, which is one act with undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from finetune.models import ProposalSet, ProposedTopic
from projects.jobs import job_active, job_enqueue
from projects.models import Change, Column, Job, JobKind
from rows.bulk.packing import ids_unpack
from rows.models import Assignment, Verbatim
from rows.selectors import assignments_live
from rows.sql import chunks
from topicassign.errors import ApplicationError, StaleRevisionError
from topicassign.numbers import grouped
from topics.models import CATEGORY_CHARS, LABEL_CHARS, Topic, state_digest
from topics.services import NewTopic, labels_taken, topics_create
from topics.services.base import check_label, clean_label, lock_column

MIN_TEXTS = 8  # fewer tell nothing apart
NEAR_SHARE = 0.3  # a topic that fewer of its rows have is not said to be near
COVERED_SHARE = 0.3
DESCRIPTION_CHARS = 300

STAGES = {
    "read": gettext_noop("Reading texts"),
    "encode": gettext_noop("Encoding texts"),
    "find": gettext_noop("Finding topics in the texts"),
    "compare": gettext_noop("Comparing with your topics"),
    "name": gettext_noop("Asking for names"),
}


# --- asking for them ------------------------------------------------------------------------------
def texts_to_read(column: Column, *, only_uncovered: bool) -> QuerySet[Verbatim]:
    """Return the first of each group of rows that say the same, in the order of their ids."""
    rows = Verbatim.objects.live(column).filter(is_empty=False, is_group_head=True)
    if only_uncovered:
        covered = Assignment.objects.filter(verbatim=OuterRef("pk"), topic__deleted_at=None)
        rows = rows.filter(~Exists(covered))
    return rows.order_by("id")


def too_few_message(n_texts: int) -> str:
    """Return why so few texts give no topics."""
    if not n_texts:
        return _("This column has no texts.")
    return ngettext(
        "There is only %(n)s different text. At least %(least)s are needed to find topics in them.",
        "There are only %(n)s different texts. At least %(least)s are needed to find topics in them.",
        n_texts,
    ) % {"n": n_texts, "least": MIN_TEXTS}


@transaction.atomic
def proposals_start(*, column: Column, user: Any, only_uncovered: bool = False) -> Job:
    """Ask for proposals; those there are stay until the new ones are found.

    Raises ApplicationError where there are too few texts, and (409) while proposals are being made.
    """
    lock_column(column)
    _refuse_while_active(column)
    n_texts = texts_to_read(column, only_uncovered=False)[:MIN_TEXTS].count()
    if n_texts < MIN_TEXTS:
        raise ApplicationError(too_few_message(n_texts), code="too_few_texts")
    return _enqueue(column, user, {"act": "propose", "only_uncovered": only_uncovered})


def _refuse_while_active(column: Column) -> None:
    if job_active(column=column, kind=JobKind.PROPOSALS) is not None:
        raise ApplicationError(
            _("Topics are being proposed for this column already. Wait for the end, or cancel it."),
            status=409,
            code="proposals_active",
        )


def _enqueue(column: Column, user: Any, payload: dict[str, Any]) -> Job:
    return job_enqueue(kind=JobKind.PROPOSALS, project=column.project, column=column, user=user, payload=payload)


@transaction.atomic
def naming_start(*, column: Column, user: Any) -> Job:
    """Ask the endpoint of LLM_URL for names of the open proposals; the person has agreed to what is sent."""
    lock_column(column)
    if not settings.LLM_URL:
        raise ApplicationError(_("No endpoint for names is set up on this server."), code="no_endpoint")
    _refuse_while_active(column)
    proposals = naming_list(column)
    if not proposals:
        raise ApplicationError(_("There are no proposals to name."), code="nothing_to_name")
    return _enqueue(column, user, {"act": "name", "proposals": [one.pk for one in proposals]})


def naming_list(column: Column) -> list[ProposedTopic]:
    """Return the proposals that a machine may name: open ones that no person has renamed."""
    found = proposal_state(column)
    return [one.proposal for one in found.entries if not one.proposal.is_renamed] if found else []


# --- what the screen shows ------------------------------------------------------------------------
@dataclass
class Entry:
    """A proposal that can be added, and what stands against it."""

    proposal: ProposedTopic
    taken: str = ""  # why it cannot be added under this name; "" where it can
    category: str = ""  # as the column, or else the first proposal, writes it
    near: Topic | None = None
    share: float = 0.0  # of the rows that were read
    examples: list[Verbatim] = field(default_factory=list)
    merged: list[ProposedTopic] = field(default_factory=list)

    @property
    def is_counted(self) -> bool:
        return self.proposal.is_chosen and not self.taken

    @property
    def description(self) -> str:
        """Return the description of the topic: an endpoint's, else its phrases, which help the AI to assign it."""
        if self.proposal.description:
            return self.proposal.description
        phrases = [phrase for one in (self.proposal, *self.merged) for phrase in one.phrases]
        return cut(", ".join(dict.fromkeys(phrases)), DESCRIPTION_CHARS)

    @property
    def merged_names(self) -> str:
        return ", ".join(f"“{one.label}”" for one in self.merged)

    @property
    def hint(self) -> str:
        """Return how much of it the column's topics cover already, "" where little."""
        n_rows, n = self.proposal.n_rows, self.proposal.near.get("n", 0)
        if self.near is not None and n:
            return _("%(n)s of %(total)s rows already have “%(topic)s”.") % {
                "n": grouped(n),
                "total": grouped(n_rows),
                "topic": self.near.label,
            }
        if self.proposal.n_covered >= COVERED_SHARE * n_rows:
            return _("%(n)s of %(total)s rows already have a topic.") % {
                "n": grouped(self.proposal.n_covered),
                "total": grouped(n_rows),
            }
        if self.near is not None:
            return _("Your topic “%(topic)s” has a similar name.") % {"topic": self.near.label}
        return ""


@dataclass
class ProposalState:
    """The proposals of a column by what became of them; `entries` are those that can be added."""

    set: ProposalSet
    entries: list[Entry]
    discarded: list[ProposedTopic]
    added: list[ProposedTopic]
    n_free: int  # topics that the column may still get
    category_names: list[str] = field(default_factory=list)  # of the column, then those proposed

    @property
    def n_chosen(self) -> int:
        return sum(entry.is_counted for entry in self.entries)

    @property
    def n_taken(self) -> int:
        return sum(entry.proposal.is_chosen and bool(entry.taken) for entry in self.entries)

    @property
    def seen(self) -> str:
        """Return a short text that changes with all that adding them would do: adding names what it saw."""
        return state_digest(
            self.set.pk,
            [
                (one.pk, one.label, one.category, one.sentiment_enabled)
                for one in (entry.proposal for entry in self.entries if entry.is_counted)
            ],
        )

    @property
    def categories(self) -> list[tuple[str, list[Entry]]]:
        """Return the entries by category, in the order in which these come first."""
        groups: dict[str, tuple[str, list[Entry]]] = {}
        for entry in self.entries:
            groups.setdefault(entry.category, (entry.category, []))[1].append(entry)
        return list(groups.values())


def proposal_state(column: Column, *, with_examples: bool = False) -> ProposalState | None:
    """Return the proposals of a column, None where there are none to see."""
    found = ProposalSet.objects.filter(column=column).first()
    if found is None:
        return None
    proposals = list(found.proposals.defer("rows").select_related("topic"))
    topics = labels_taken(column)
    by_id = {topic.pk: topic for topic in topics.values()}
    state = ProposalState(found, [], [], [], max(0, settings.LIMIT_TOPICS - len(topics)))
    merged: dict[int, list[ProposedTopic]] = {}
    named: set[tuple[str, str]] = set()
    for one in proposals:
        if one.merged_into_id is not None:
            merged.setdefault(one.merged_into_id, []).append(one)
        elif is_added(one):
            state.added.append(one)
        elif one.is_discarded:
            state.discarded.append(one)
        else:
            key = (one.category.casefold(), one.label.casefold())
            entry = Entry(one, near=by_id.get(one.near.get("topic", 0)), share=one.n_rows / max(1, found.n_rows))
            if key in topics:
                entry.taken = _("“%(category)s” has a topic of this name already.") % {"category": one.category}
            elif one.is_chosen and key in named:
                entry.taken = _("Another proposal of this category has the same name.")
            if one.is_chosen:
                named.add(key)
            state.entries.append(entry)
    names = {name.casefold(): name for name in _own_categories(column)}
    for entry in state.entries:
        name = entry.proposal.category
        entry.category = names.setdefault(name.casefold(), name)
        entry.merged = merged.get(entry.proposal.pk, [])
    state.category_names = list(names.values())
    if with_examples:
        _add_examples(column, state.entries)
    return state


def is_added(proposal: ProposedTopic) -> bool:
    """Whether it became a topic that is still there; one whose adding was undone is offered again."""
    topic = proposal.topic
    return topic is not None and (topic.deleted_at is None or topic.merged_into_id is not None)


def _add_examples(column: Column, entries: Sequence[Entry]) -> None:
    ids = [pk for entry in entries for pk in entry.proposal.examples]
    texts = Verbatim.objects.live(column).only("text", "row_number").in_bulk(ids)
    for entry in entries:
        entry.examples = [texts[pk] for pk in entry.proposal.examples if pk in texts]


def _own_categories(column: Column) -> list[str]:
    own = column.categories.filter(deleted_at=None).order_by("position", "id")
    return list(own.values_list("label", flat=True))


# --- what people do with them -----------------------------------------------------------------------
def _locked(column: Column, proposal_ids: Sequence[int]) -> list[ProposedTopic]:
    """Return open proposals of a column whose lock is held; 409 where one is not open any more."""
    found = ProposedTopic.objects.select_related("topic").filter(
        pk__in=proposal_ids, proposal_set__column=column, merged_into=None
    )
    by_id = {one.pk: one for one in found if not is_added(one)}
    if len(by_id) < len(set(proposal_ids)):
        raise StaleRevisionError(
            _("Somebody else changed these proposals meanwhile. Nothing was changed; you see the new state now.")
        )
    return [by_id[pk] for pk in dict.fromkeys(proposal_ids)]


@transaction.atomic
def proposal_update(
    *,
    column: Column,
    proposal_id: int,
    label: str | None = None,
    category: str | None = None,
    is_chosen: bool | None = None,
    sentiment_enabled: bool | None = None,
    seen: dict[str, str] | None = None,
) -> ProposedTopic:
    """Change what is named of a proposal.

    `seen` has the label and category that the person saw. Raises StaleRevisionError where it is another by now,
    and ApplicationError for a name that is empty or too long.
    """
    lock_column(column)
    (proposal,) = _locked(column, [proposal_id])
    changed = []
    if label is not None and label != (seen or {}).get("label", proposal.label):
        cleaned = check_label(label, what="topic", most=LABEL_CHARS)
        _refuse_stale(proposal.label, (seen or {}).get("label"), cleaned)
        proposal.label, proposal.is_renamed = cleaned, True
        changed += ["label", "is_renamed"]
    # Categories are the same however they are written: the screen shows them as the column does.
    if category is not None and category.casefold() != (seen or {}).get("category", proposal.category).casefold():
        cleaned = check_label(category, what="category", most=CATEGORY_CHARS)
        _refuse_stale(proposal.category, (seen or {}).get("category"), cleaned)
        proposal.category = _as_written(column, cleaned)
        changed.append("category")
    if is_chosen is not None:
        proposal.is_chosen = is_chosen
        changed.append("is_chosen")
    if sentiment_enabled is not None:
        proposal.sentiment_enabled = sentiment_enabled
        changed.append("sentiment_enabled")
    proposal.save(update_fields=changed)
    return proposal


def _refuse_stale(present: str, seen: str | None, wanted: str) -> None:
    if seen is not None and present.casefold() not in {seen.casefold(), wanted.casefold()}:
        raise StaleRevisionError(
            _("Somebody else named this “%(present)s” meanwhile. “%(wanted)s” was not saved.")
            % {"present": present, "wanted": wanted}
        )


def _as_written(column: Column, category: str) -> str:
    """Return a category's name as it is written where it exists already, among topics or proposals."""
    proposed = ProposedTopic.objects.filter(proposal_set__column=column).order_by("position", "id")
    for name in (*_own_categories(column), *proposed.values_list("category", flat=True)):
        if name.casefold() == category.casefold():
            return name
    return category


@transaction.atomic
def proposals_choose(
    *, column: Column, is_chosen: bool | None = None, sentiment_enabled: bool | None = None
) -> None:
    """Tick or untick all open proposals, or switch the sentiment of all."""
    lock_column(column)
    values = {"is_chosen": is_chosen, "sentiment_enabled": sentiment_enabled}
    state = proposal_state(column)
    if state is None:
        raise _gone()
    ids = [entry.proposal.pk for entry in state.entries]
    ProposedTopic.objects.filter(pk__in=ids).update(
        **{name: value for name, value in values.items() if value is not None}
    )


@transaction.atomic
def proposals_rename_category(*, column: Column, category: str, label: str) -> None:
    """Give all open proposals of a category another category; an existing name puts both together."""
    lock_column(column)
    cleaned = check_label(label, what="category", most=CATEGORY_CHARS)
    state = proposal_state(column)
    if state is None:
        raise _gone()
    found = [one for one in state.entries if one.proposal.category.casefold() == category.casefold()]
    if not found:
        raise StaleRevisionError(
            _("Somebody else renamed or emptied this category meanwhile. “%(wanted)s” was not saved.")
            % {"wanted": cleaned}
        )
    if cleaned.casefold() != category.casefold():
        cleaned = _as_written(column, cleaned)
    ProposedTopic.objects.filter(pk__in=[one.proposal.pk for one in found]).update(category=cleaned)


@transaction.atomic
def proposal_discard(*, column: Column, proposal_id: int, is_discarded: bool) -> ProposedTopic:
    """Put a proposal away, or bring it back."""
    lock_column(column)
    (proposal,) = _locked(column, [proposal_id])
    proposal.is_discarded = is_discarded
    proposal.save(update_fields=["is_discarded"])
    return proposal


@transaction.atomic
def proposals_merge(
    *, column: Column, target_id: int, source_ids: Sequence[int], label: str | None = None
) -> ProposedTopic:
    """Unite the rows of proposals in one. Raises ApplicationError without others, 409 where one is gone."""
    lock_column(column)
    ids = [pk for pk in dict.fromkeys(source_ids) if pk != target_id]
    if not ids:
        raise ApplicationError(_("Tick at least one proposal to merge."), code="nothing_chosen")
    target, *sources = _locked(column, [target_id, *ids])
    if target.is_discarded or any(one.is_discarded for one in sources):
        raise StaleRevisionError(_("One of these proposals was discarded meanwhile. Nothing was merged."))
    if label is not None and (cleaned := check_label(label, what="topic", most=LABEL_CHARS)) != target.label:
        target.label, target.is_renamed = cleaned, True
    moved = [one.pk for one in sources]
    ProposedTopic.objects.filter(merged_into__in=moved).update(merged_into=target)  # no chains
    ProposedTopic.objects.filter(pk__in=moved).update(merged_into=target)
    _measure(column, target)
    return target


@transaction.atomic
def proposal_separate(*, column: Column, proposal_id: int) -> None:
    """Take the proposals that were merged into one out of it again."""
    lock_column(column)
    (target,) = _locked(column, [proposal_id])
    freed = list(target.merged.all())
    target.merged.update(merged_into=None)
    for one in (target, *freed):  # one of them may have had others merged into it
        _measure(column, one)


def _measure(column: Column, target: ProposedTopic) -> None:
    """Count the rows of a proposal and of those merged into it, and compare them with the column's topics."""
    parts = [bytes(target.rows), *(bytes(one) for one in target.merged.values_list("rows", flat=True))]
    rows = np.unique(np.concatenate([ids_unpack(part) for part in parts])).tolist()
    target.n_rows, target.n_covered, target.near = len(rows), 0, {}
    counts: dict[int, int] = {}
    for part in chunks(rows):
        own = assignments_live(column=column).filter(verbatim__in=part)
        target.n_covered += own.aggregate(n=Count("verbatim", distinct=True))["n"]
        for topic, n in own.values_list("topic").annotate(n=Count("pk")):
            counts[topic] = counts.get(topic, 0) + n
    best = max(counts, key=lambda topic: (counts[topic], -topic), default=0)
    if counts.get(best, 0) >= NEAR_SHARE * len(rows):
        target.near = {"topic": best, "n": counts[best]}
    target.save(update_fields=["label", "is_renamed", "n_rows", "n_covered", "near"])


@transaction.atomic
def proposals_discard_all(*, column: Column, set_id: int) -> None:
    """Throw all proposals of a column away; its topics stay. New ones can be asked for at any time."""
    lock_column(column)
    if not ProposalSet.objects.filter(column=column, pk=set_id).exists():
        raise _gone()
    ProposalSet.objects.filter(column=column, pk=set_id).delete()


@transaction.atomic
def proposals_accept(*, column: Column, user: Any, seen: str) -> Change:
    """Add the ticked proposals as topics: one act with one undo.

    Those whose name is taken stay where they are. `seen` is the state's, as the person saw it.

    Raises
    ------
    StaleRevisionError
        If what would be added is not what the person saw.
    ApplicationError
        If nothing is ticked, or over the limit of topics.
    """
    column = lock_column(column)
    state = proposal_state(column)
    if state is None:
        raise _gone()
    if state.seen != seen:
        raise StaleRevisionError(
            _("The proposals were changed meanwhile. Nothing was added: look at them again, then add them.")
        )
    entries = [entry for entry in state.entries if entry.is_counted]
    chosen = [entry.proposal for entry in entries]
    if not chosen:
        raise ApplicationError(_("Tick at least one proposal that has a name of its own."), code="nothing_chosen")
    change = topics_create(
        column=column,
        user=user,
        topics=[
            NewTopic(
                one.proposal.label,
                one.proposal.category,
                description=one.description,
                sentiment_enabled=one.proposal.sentiment_enabled,
            )
            for one in entries
        ],
        summary=ngettext("%(n)s proposed topic added", "%(n)s proposed topics added", len(chosen))
        % {"n": grouped(len(chosen))},
    )
    for proposal, topic_id in zip(chosen, change.ids, strict=True):
        proposal.topic_id = topic_id
    ProposedTopic.objects.bulk_update(chosen, ["topic"], batch_size=200)
    return change


def _gone() -> StaleRevisionError:
    return StaleRevisionError(_("These proposals were replaced or discarded meanwhile."))


def cut(text: str, most: int) -> str:
    """Return a clean name of at most so many characters, cut between words where that is possible."""
    text = clean_label(text)
    if len(text) <= most:
        return text
    head = text[: most + 1].rsplit(" ", 1)[0] if " " in text[: most + 1] else text
    return head[:most].strip()
