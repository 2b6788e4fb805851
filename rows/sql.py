"""The statements that bulk actions and AI updates write with: one per table and batch, however many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connection
from django.utils import timezone

from projects.models import Column
from rows.models import Assignment, AssignmentSource, Verbatim

CHUNK = 5_000  # below the number of parameters that SQLite takes

# verbatim, topic, sentiment, source, probability, position
NewAssignment = tuple[int, int, int | None, str, float | None, int]
_TYPES = ("bigint", "bigint", "smallint", "varchar", "float8", "smallint")


def chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def literals(rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return PostgreSQL array literals of the columns of rows of numbers and plain words.

    psycopg2 would adapt lists item by item.
    """
    return [
        "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
        for values in zip(*rows, strict=True)
    ]


def assignments_of(
    verbatim_ids: Sequence[int], topic_ids: Sequence[int] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield (id, verbatim, topic, sentiment, source, probability, position)."""
    for part in chunks(verbatim_ids):
        query = Assignment.objects.filter(verbatim__in=part).order_by()
        if topic_ids is not None:
            query = query.filter(topic__in=topic_ids)
        yield from query.values_list("pk", "verbatim", "topic", "sentiment", "source", "probability", "position")


def with_copies(column: Column, ids: Sequence[int], name: str, *, copies: bool = True) -> list[int]:
    """Return a field of the verbatims that are not deleted, and of those that say the same; sorted."""
    wanted: set[int] = set()
    fingerprints: set[bytes] = set()
    for part in chunks(ids):
        own = Verbatim.objects.live(column).filter(pk__in=part).order_by()
        for value, fingerprint, size, is_empty in own.values_list(name, "fingerprint", "group_size", "is_empty"):
            wanted.add(value)
            if copies and size > 1 and not is_empty:
                fingerprints.add(bytes(fingerprint))
    if fingerprints:
        same = Verbatim.objects.live(column).filter(fingerprint__in=fingerprints, group_size__gt=1)
        wanted.update(same.order_by().values_list(name, flat=True))
    return sorted(wanted)


def topics_hold(topic_ids: Iterable[int]) -> None:
    """Keep acts on topics from merging these away until the transaction is over; wait for one that does.

    Call it with the verbatims locked, before the topics are read that will be written: the foreign keys are
    checked at the end of the transaction only, and a merged topic is still there then.
    """
    ids = sorted(set(topic_ids))
    if ids and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM topics_topic WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [ids])


def assignments_insert(rows: list[NewAssignment]) -> None:
    """Insert rows; several times as fast as `bulk_create`."""
    if not rows:
        return
    fields = "verbatim_id, topic_id, sentiment, source, probability, position"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            arrays = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
            cursor.execute(
                f"INSERT INTO rows_assignment ({fields}) SELECT * FROM unnest({arrays})",  # noqa: S608
                literals(rows),
            )
        else:
            cursor.executemany(
                f"INSERT INTO rows_assignment ({fields}) VALUES (%s, %s, %s, %s, %s, %s)",  # noqa: S608
                rows,
            )


def assignments_update(rows: list[tuple[int, int | None, str, float | None, int]]) -> None:
    """Update (id, sentiment, source, probability, position)."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "UPDATE rows_assignment SET sentiment = new.s, source = new.c, probability = new.p, "
                "position = new.o FROM unnest(%s::bigint[], %s::smallint[], %s::varchar[], %s::float8[], "
                "%s::smallint[]) AS new (a, s, c, p, o) WHERE rows_assignment.id = new.a",
                literals(rows),
            )
        else:
            cursor.executemany(
                "UPDATE rows_assignment SET sentiment = %s, source = %s, probability = %s, position = %s "
                "WHERE id = %s",
                [(*rest, pk) for pk, *rest in rows],
            )


def assignments_delete(ids: Sequence[int]) -> None:
    for part in chunks(ids):
        Assignment.objects.filter(pk__in=part).order_by()._raw_delete(using=connection.alias)


def verbatims_update(rows: list[tuple[int, int | None]], *, review: str, user_id: int | None) -> None:
    """Give locked verbatims (id, sentiment) their sentiment, review state and next revision."""
    if not rows:
        return
    values: list[Any] = []
    extra = ""
    if review == "reviewed":
        extra = ", is_reviewed = %s, reviewed_by_id = %s, reviewed_at = %s"
        values = [True, user_id, timezone.now()]
    elif review == "unreviewed":
        extra = ", is_reviewed = %s, reviewed_by_id = NULL, reviewed_at = NULL, is_audit = %s"
        values = [False, False]
    revisions = "revision = revision + 1, person_revision = revision + 1"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"UPDATE rows_verbatim SET sentiment = new.s, {revisions}{extra} "  # noqa: S608
                "FROM unnest(%s::bigint[], %s::smallint[]) AS new (v, s) WHERE rows_verbatim.id = new.v",
                [*values, *literals(rows)],
            )
        else:
            cursor.executemany(
                f"UPDATE rows_verbatim SET sentiment = %s, {revisions}{extra} WHERE id = %s",  # noqa: S608
                [(sentiment, *values, pk) for pk, sentiment in rows],
            )


def verbatims_restore(rows: list[tuple[Any, ...]]) -> None:
    """Update (id, is_reviewed, reviewed_by, reviewed_at as ISO text, is_audit, sentiment); a new revision."""
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "UPDATE rows_verbatim SET is_reviewed = new.r, reviewed_by_id = users.id, reviewed_at = new.t, "
                "is_audit = new.a, sentiment = new.s, revision = revision + 1, person_revision = revision + 1 "
                "FROM unnest(%s::bigint[], %s::boolean[], %s::int[], %s::timestamptz[], %s::boolean[], "
                "%s::smallint[]) AS new (v, r, u, t, a, s) LEFT JOIN auth_user AS users ON users.id = new.u "
                "WHERE rows_verbatim.id = new.v",
                literals(rows),
            )
        else:
            from django.utils.dateparse import parse_datetime

            cursor.executemany(
                "UPDATE rows_verbatim SET is_reviewed = %s, "
                "reviewed_by_id = (SELECT id FROM auth_user WHERE id = %s), reviewed_at = %s, is_audit = %s, "
                "sentiment = %s, revision = revision + 1, person_revision = revision + 1 WHERE id = %s",
                [
                    (reviewed, by, _plain(parse_datetime(at)) if at else None, audit, sentiment, pk)
                    for pk, reviewed, by, at, audit, sentiment in rows
                ],
            )


def _plain(moment: Any) -> Any:
    """Return a moment as SQLite stores it: UTC without a zone."""
    return connection.ops.adapt_datetimefield_value(moment)


PERSON = AssignmentSource.PERSON.value
