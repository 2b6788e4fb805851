"""Bring an empty installation into the state that the pictures of the documentation show.

`scripts/screenshots.py` runs this in a process of its own, with DATA_DIR set. It loads the sample project,
reviews rows as they come in focus mode with what gold.csv says about them, and prints one line of JSON. The same
seed makes the same reviews in the same order.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SEED = 4
N_SPREAD = 20  # reviewed by the sample itself, evenly spread
N_FOCUS = (30, 35, 35, 40)  # then in focus mode, with an update after each of these
N_SINCE = 2  # after the last update, so that the header counts down
STARRED = (3, 12, 27)  # row numbers


def main() -> None:
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "topicassign.settings"
    os.environ["DEEP_UPDATES_AT"] = ""  # none by itself: the one below is asked for
    import django

    django.setup()
    print(json.dumps(prepare()))


def prepare() -> dict[str, Any]:
    """Return what the pictures need to know: passwords, and the ids of the project's parts."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from finetune.management.commands.load_sample import NAME, TEXT_COLUMNS
    from projects.models import Project

    call_command("migrate", verbosity=0, interactive=False)
    output = io.StringIO()
    call_command("load_sample", "--json", reviews=N_SPREAD, stdout=output)
    logins = json.loads(output.getvalue().strip().splitlines()[-1])["logins"]
    project = Project.objects.get(name=NAME)
    column = project.columns.get(name=TEXT_COLUMNS[0])
    people = {user.username: user for user in get_user_model().objects.all()}
    turns = [people["analyst"], people["analyst"], people["analyst"], people["admin"]]
    gold = read_gold(column)
    rng = random.Random(SEED)
    for index, n_reviews in enumerate(N_FOCUS):
        review(column, turns, gold, n_reviews, rng)
        say(f"AI update {index + 2}: {column.name}")
        call_command("update_ai", str(column.pk), wait=True, deep=index == len(N_FOCUS) - 1, stdout=sys.stderr)
    review(column, turns, gold, N_SINCE, rng)
    furnish(column, people["admin"])
    return {
        "passwords": {login["username"]: login["password"] for login in logins},
        "project": project.pk,
        "column": column.pk,
        "filter": filter_query(column),
    }


def read_gold(column: Any) -> dict[int, list[Any]]:
    """Return what a person would decide about each row that was coded by hand, by row number."""
    from finetune.management.commands.load_sample import KEY, choice
    from rows.models import Row
    from topics.models import Topic

    with (ROOT / "demo" / "gold.csv").open(newline="", encoding="utf-8") as file:
        coded = {line[KEY]: line["topics"] for line in csv.DictReader(file)}
    topics = {topic.label: topic for topic in Topic.objects.filter(column=column, deleted_at=None)}
    rows = Row.objects.filter(project=column.project)
    return {
        row.number: [choice(part, topics) for part in coded[row.values[KEY]].split(";")]
        for row in rows
        if row.values.get(KEY) in coded
    }


def review(column: Any, turns: list[Any], gold: dict[int, list[Any]], n_reviews: int, rng: random.Random) -> None:
    """Review rows as focus mode serves them; those that nobody coded are skipped."""
    from projects.jobs import jobs_held
    from rows.focus import focus_next
    from rows.services.reviews import verbatim_review

    last_id: int | None = None
    skipped: set[int] = set()
    done = 0
    with jobs_held():
        while done < n_reviews:
            card = focus_next(column=column, last_id=last_id, exclude=skipped, rng=rng)
            if card is None:
                return
            last_id = card.verbatim.pk
            if card.verbatim.row_number not in gold:
                skipped.add(card.verbatim.pk)
                continue
            verbatim_review(
                verbatim=card.verbatim,
                topics=gold[card.verbatim.row_number],
                revision=card.verbatim.revision,
                user=turns[done % len(turns)],
                is_audit=card.is_audit,
            )
            done += 1


def furnish(column: Any, user: Any) -> None:
    """Add what people leave behind: stars, saved filters."""
    from projects.selectors import get_column_for_write
    from rows.services.reviews import verbatim_highlight
    from rows.services.saved_filters import saved_filter_create

    column = get_column_for_write(user, column.pk)  # as a page gets it, with the person's role
    for verbatim in column.verbatims.filter(row_number__in=STARRED):
        verbatim_highlight(verbatim=verbatim, highlighted=True, user=user)
    for name, query, shared in (
        ("Unhappy about delivery", filter_query(column), True),
        ("Still to check", "reviewed=no&certainty_max=60", False),
    ):
        saved_filter_create(column=column, user=user, name=name, query=query, is_shared=shared)


def filter_query(column: Any) -> str:
    """Return a filter with a condition of each kind: a category, a sentiment, another column."""
    delivery = column.categories.get(label="Delivery")
    nps = column.project.columns.get(ref="nps_score")
    return f"category={delivery.pk}&sentiment=-1&c{nps.pk}.op=le&c{nps.pk}.a=6"


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
