"""What a merge or a combination would do: one statement over the assignments of the topics, nothing written."""

from __future__ import annotations

from typing import Any

from django.db.models import Avg, Case, Count, F, FloatField, IntegerField, Max, Min, Q, Value, When
from django.db.models.functions import Cast

from projects.models import Column
from rows.models import Assignment, has_deleted_rows
from topics.hooks import Gathered, Gathering
from topics.models import OVERALL_CUT


def rows_gathered(column: Column, gathering: Gathering) -> Gathered:
    """Count the rows of the topics by what they would get."""
    found = Assignment.objects.filter(topic__in=gathering.topic_ids).order_by()
    if has_deleted_rows(column.project_id):
        found = found.filter(verbatim__row__deleted_at=None)
    mood: Any = F("sentiment")
    if gathering.fixed is not None:
        mood = Case(
            *(When(topic=topic, then=Value(value)) for topic, value in gathering.fixed.items()),
            output_field=IntegerField(),
        )
    rows = found.values("verbatim").annotate(
        reviewed=Max(Case(When(verbatim__is_reviewed=True, then=1), default=0)),
        n=Count("pk"),
        n_sources=Count("pk", filter=~Q(topic=gathering.target_id)),
        with_mood=Count("sentiment"),
        low=Min(mood),
        high=Max(mood),
        mean=Avg(Cast(mood, FloatField())),
    )
    changed = Q(n_sources__gt=0)
    numbers = rows.aggregate(
        n_rows=Count("verbatim", filter=changed),
        n_reviewed=Count("verbatim", filter=changed & Q(reviewed=1)),
        n_both=Count("verbatim", filter=changed & Q(n__gt=1)),
        n_both_reviewed=Count("verbatim", filter=changed & Q(n__gt=1, reviewed=1)),
        n_conflicting=Count("verbatim", filter=changed & ~Q(low=F("high"))),
        n_said=Count("verbatim", filter=changed & Q(with_mood__gt=0)),
        n_said_reviewed=Count("verbatim", filter=changed & Q(with_mood__gt=0, reviewed=1)),
        n_positive=Count("verbatim", filter=Q(mean__gt=OVERALL_CUT)),
        n_negative=Count("verbatim", filter=Q(mean__lt=-OVERALL_CUT)),
        n_neutral=Count("verbatim", filter=Q(mean__gte=-OVERALL_CUT, mean__lte=OVERALL_CUT)),
    )
    n_said, n_said_reviewed = numbers.pop("n_said"), numbers.pop("n_said_reviewed")
    if gathering.fixed is not None:
        return Gathered(**numbers)
    if not gathering.has_sentiment:
        numbers |= {"n_conflicting": 0, "n_positive": 0, "n_neutral": 0, "n_negative": 0}
        return Gathered(**numbers, n_dropped=n_said, n_dropped_reviewed=n_said_reviewed)
    n_unsaid_reviewed = numbers["n_reviewed"] - n_said_reviewed
    if gathering.unsaid == "neutral":
        numbers["n_neutral"] += n_unsaid_reviewed
    return Gathered(**numbers, n_unsaid=numbers["n_rows"] - n_said, n_unsaid_reviewed=n_unsaid_reviewed)
