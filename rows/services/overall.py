"""The overall sentiment of rows after topics came, went or lost their sentiments (specification S3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Avg, Case, Count, F, OuterRef, Q, SmallIntegerField, Subquery, Sum, Value, When

from projects.models import Column
from rows import hooks
from rows.models import Assignment, Verbatim
from rows.sql import chunks
from topics.models import OVERALL_CUT

_BATCH = 1_000


def overall_refresh(*, column: Column, topic_ids: Sequence[int]) -> None:
    """Compute the overall sentiment of all verbatims that have these topics, deleted ones too, again.

    Where a sentiment topic is left, the mean of its topics decides: one update that writes only what differs.
    Where none is left, the text decides: at once for reviewed verbatims, which the AI never writes; for the
    others with the AI update that every such change starts.
    """
    of_topics = Subquery(
        Assignment.objects.filter(verbatim=OuterRef("pk"), topic__deleted_at=None, sentiment__isnull=False)
        .order_by()
        .values("verbatim")
        .annotate(mean=Avg("sentiment"))
        .annotate(
            overall=Case(
                When(mean__gt=OVERALL_CUT, then=Value(1)),
                When(mean__lt=-OVERALL_CUT, then=Value(-1)),
                default=Value(0),
                output_field=SmallIntegerField(),
            )
        )
        .values("overall")
    )
    having = Assignment.objects.filter(topic__in=topic_ids).order_by().values("verbatim")
    verbatims = Verbatim.objects.filter(column=column, pk__in=having).annotate(overall=of_topics)
    other = Q(sentiment=None) | ~Q(sentiment=F("overall"))
    verbatims.filter(other, overall__isnull=False).update(sentiment=of_topics)
    _from_text(list(verbatims.filter(is_reviewed=True, overall=None).only("pk", "text", "sentiment")))


def overall_by_topics(verbatim_ids: Sequence[int]) -> dict[int, int]:
    """Return the overall sentiment of those verbatims that have a topic with a sentiment."""
    found: dict[int, int] = {}
    for part in chunks(verbatim_ids):
        said = Assignment.objects.filter(verbatim__in=part, topic__deleted_at=None, sentiment__isnull=False)
        sums = said.order_by().values_list("verbatim").annotate(total=Sum("sentiment"), n=Count("pk"))
        for pk, total, n in sums:
            mean = total / n
            found[pk] = 1 if mean > OVERALL_CUT else -1 if mean < -OVERALL_CUT else 0
    return found


def overall_by_text(verbatim_ids: Sequence[int]) -> dict[int, int | None]:
    """Return the overall sentiment of verbatims from their texts alone, None where nobody can say."""
    found: dict[int, int | None] = {}
    for start in range(0, len(verbatim_ids), _BATCH):
        part = Verbatim.objects.filter(pk__in=verbatim_ids[start : start + _BATCH]).order_by()
        texts = dict(part.values_list("pk", "text"))
        answer = hooks.text_sentiments.first(default=None, texts=list(texts.values()))
        for index, pk in enumerate(texts):
            found[pk] = None if answer is None else int(answer[index])
    return found


def _from_text(verbatims: list[Verbatim]) -> None:
    for start in range(0, len(verbatims), _BATCH):
        batch = verbatims[start : start + _BATCH]
        sentiments = hooks.text_sentiments.first(default=None, texts=[verbatim.text for verbatim in batch])
        if sentiments is None:
            sentiments = [None] * len(batch)
        changed = []
        for verbatim, sentiment in zip(batch, sentiments, strict=True):
            value = None if sentiment is None else int(sentiment)
            if verbatim.sentiment != value:
                verbatim.sentiment = value
                changed.append(verbatim)
        Verbatim.objects.bulk_update(changed, ["sentiment"], batch_size=500)
