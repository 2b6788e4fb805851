"""Measure merging and combining topics that many rows have, and undoing it.

    python bench/merging.py --rows 100000                  (PostgreSQL; --database sqlite for the other)

In a scratch database: the column of bench/bulk.py, three topics of the AI on four fifths of the rows each. One is
merged into another, two are combined to one with sentiment, each is undone. Prints seconds, and processor seconds
of the database and of Python, which a busy machine stretches less.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import bulk


def processors() -> tuple[float, float]:
    """Return the processor seconds so far of this connection's PostgreSQL process, and of Python."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0, time.process_time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), time.process_time()
    except OSError:  # on another machine
        return 0.0, time.process_time()


def timed(act: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    before, began = processors(), time.perf_counter()
    answer = act()
    took, after = time.perf_counter() - began, processors()
    numbers = {"s": took, "database_cpu_s": after[0] - before[0], "python_cpu_s": after[1] - before[1]}
    return {key: round(value, 2) for key, value in numbers.items()}, answer


def measure(options: Any) -> None:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from django.conf import settings

    from projects.history import change_undo
    from rows.models import TopicMove
    from topics.services import background, combine_preview, merge_preview, topics_combine, topics_merge

    settings.TOPIC_CHANGE_DEBOUNCE_S = 3600
    background.AT_ONCE = 10**9  # in this process
    column = bulk.make(options.rows)
    user = User.objects.get(username="bench")
    first, second = column.topics.order_by("pk")[:2]
    result: dict[str, Any] = {"rows": options.rows, "database": options.database}
    for turn in range(options.repeats):
        pair = {"positive": first, "negative": second}
        acts: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
            (
                "merge",
                partial(merge_preview, target=first, sources=[second]),
                partial(topics_merge, target=first, sources=[second], user=user),
            ),
            (
                "combine",
                partial(combine_preview, **pair),
                partial(topics_combine, **pair, label=f"Both {turn}", user=user),
            ),
        ]
        for name, preview, act in acts:
            seen, found = timed(preview)
            done, change = timed(act)
            move = TopicMove.objects.get(pk=change.inverse["move"])
            bulk.settle()
            undone, _change = timed(partial(change_undo, change=change, user=user))
            bulk.settle()
            numbers = {
                "n_rows": found.n_rows,
                "n_both": found.n_both,
                "preview": seen,
                "do": done,
                "undo": undone,
                "inverse_bytes_per_row": round(len(bytes(move.data)) / move.n_rows, 1),
            }
            if name not in result or done["s"] < result[name]["do"]["s"]:
                result[name] = numbers
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    bulk.measure = measure
    bulk.main()
