"""What the tests of proposals share: a survey of three subjects, and its proposals."""

from __future__ import annotations

from typing import Any

import pytest

from finetune.models import ProposedTopic
from finetune.proposal_sets import proposals_start
from projects.jobs import job_execute
from projects.models import Column, Job
from tests.finetune.test_updates import corpus


def propose(column: Column, user: Any, **options: Any) -> Job:
    """Ask for proposals and do the work."""
    job = proposals_start(column=column, user=user, **options)
    done = job_execute(job.pk)
    assert done is not None
    return done


def add_set(column: Column, *proposals: tuple[str, str], n_rows: int = 4, **values: Any) -> list[ProposedTopic]:
    """Write a set of proposals given as (category, label), without a job; each has `n_rows` rows of the column."""
    from finetune.models import ProposalSet
    from rows.bulk.packing import ids_pack

    ids = list(column.verbatims.order_by("pk").values_list("pk", flat=True))
    made = ProposalSet.objects.create(column=column, n_rows=len(ids), n_texts=len(ids))
    found = []
    for position, (category, label) in enumerate(proposals):
        own = [ids[(position * n_rows + i) % len(ids)] for i in range(n_rows)]
        found.append(
            ProposedTopic.objects.create(
                proposal_set=made,
                position=position,
                label=label,
                category=category,
                phrases=[label.lower(), f"{label.lower()} {category.lower()}"],
                examples=own[:3],
                rows=ids_pack(own),
                n_rows=len(set(own)),
                **values,
            )
        )
    return found


@pytest.fixture
def untold(make_project: Any, alice: Any, bob: Any, role: str) -> Any:
    """Alice's survey of 90 texts about delivery, staff and prices, without a topic; Bob is a member."""
    texts, _labels, _moods = corpus()
    return make_project(alice, texts=texts, topics=(), members={bob: role})
