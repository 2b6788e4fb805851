"""The first page of every kind of filter and order, and pages far down: what bench/app.py --only filters measures.

The table is imported and indexed as always; topics, reviews and vectors are made up by SQL, because an AI
update of a million rows would take longer than everything else.
"""

from __future__ import annotations

import base64
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.app import Bench, Connection

SENTENCE = "the shower was cold"


def token(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def queries(facts: dict[str, Any], n_rows: int) -> dict[str, str]:
    """Return the query string of every kind, common and rare where that decides what the database does."""
    topics, columns = facts["topics"], facts["columns"]
    score, day, listing, ident, kind = (columns[name] for name in ("score", "date", "listing", "id", "kind"))
    late = token(int(n_rows * 0.9))
    return {
        "rows, first page": "",
        "rows, page after row 90 %": f"after={late}",
        "least certain first": "sort=certainty",
        "recently reviewed": "sort=recent",
        "longest first": "sort=-length",
        "order of a number column": f"sort=c{score}",
        "order of a date column, last first": f"sort=-c{day}",
        "order of a text column": f"sort=c{ident}",
        "one word, common": "q=kitchen",
        "one word, 1 in 1,000": "q=spider",
        "one word, never": "q=xylophonist",
        "two words": "q=kitchen+spider",
        "phrase": "q=%22walking+distance%22",
        "phrase, never": "q=%22distance+kitchen+host%22",
        "word without another": "q=spider+-kitchen",
        "only without a word": "q=-great",
        "two letters, never": "q=%C3%BCq",
        "topic, 1 in 5": f"topic={topics[0]}",
        "topic, 1 in 5,000": f"topic={topics[-1]}",
        "topic, after row 90 %": f"topic={topics[0]}&after={late}",
        "any of 3 topics": "&".join(f"topic={topic}" for topic in topics[10:13]),
        "all of 2 topics": f"topic={topics[0]}&topic={topics[1]}&topic_mode=all",
        "none of 2 topics": f"topic={topics[0]}&topic={topics[1]}&topic_mode=none",
        "with topics": "has_topics=yes",
        "without topics": "has_topics=no",
        "category": f"category={facts['categories'][3]}",
        "topic sentiment": "topic_sentiment=-1",
        "topic, negative": f"topic={topics[5]}&topic_sentiment=-1",
        "overall sentiment": "sentiment=-1",
        "reviewed": "reviewed=yes",
        "not reviewed": "reviewed=no",
        "reviewed by, last 7 days": f"reviewed_by={facts['user']}&reviewed_last=7&reviewed_unit=days",
        "highlighted": "highlighted=yes",
        "empty": "empty=yes",
        "duplicates": "duplicates=yes",
        "certainty, 1 in 10": "certainty_max=10",
        "certainty, none": "certainty_min=100",
        "assigned by a person": "source=person",
        "language, 1 in 100": "language=de",
        "added today": "added_last=1&added_unit=days",
        "added before, none": "added_to=2020-01-01",
        "row number": f"row_min={n_rows - 1000}",
        "number =": f"c{score}.a=7",
        "number, none": f"c{score}.op=gt&c{score}.a=99",
        "number, range": f"c{score}.op=between&c{score}.a=3&c{score}.b=4",
        "number ≠": f"c{score}.op=ne&c{score}.a=7",
        "date, range": f"c{day}.a=2024-01-01&c{day}.b=2024-01-31",
        "date, none": f"c{day}.a=1999-01-01&c{day}.b=1999-01-31",
        "date, last 3 months": f"c{day}.op=last&c{day}.n=3&c{day}.unit=months",
        "select, any of": f"c{kind}.is=Flat&c{kind}.is=Boat",
        "select, 1 in 10,000": f"c{kind}.is=Boat",
        "text equals": f"c{ident}.op=equals&c{ident}.a=R0500000",
        "text contains, rare": f"c{ident}.a=99999",
        "cell empty": f"c{listing}.op=empty",
        "five at once": f"q=kitchen&reviewed=no&topic={topics[0]}&c{score}.op=ge&c{score}.a=8&certainty_max=50",
        "meaning, answered": "meaning=" + SENTENCE.replace(" ", "+"),
    }


def measure_filters(bench: Bench, client: Connection, facts: dict[str, Any]) -> None:
    from bench.app import measure

    rows = f"{bench.path}rows/"
    wanted = queries(facts, bench.n_rows)
    for name, query in wanted.items():
        call = partial(client.request, f"{rows}?{query}")
        if "meaning" in query:
            answer_search(client, f"{bench.path}?{query}")
        bench.note(name, measure(call, bench.options.requests, bench.web))
    if bench.site.database == "postgresql":
        for name, plan in bench.step("explain", column=bench.column, queries=wanted).items():
            bench.note(f"database: {name}", plan)


def answer_search(client: Connection, path: str) -> None:
    """Ask until the worker has answered: the first page after that is measured."""
    began = time.perf_counter()
    while time.perf_counter() - began < 120:
        _took, _status, text = client.request(path)
        if "every 1s" not in text:
            break
        time.sleep(0.2)
    print(f"  search by meaning answered after {time.perf_counter() - began:.1f} s", flush=True)
