"""Made-up customer answers with known topics and moods, for tests of the engine; every text is written here."""

from __future__ import annotations

import numpy as np

from finetune.engine import TopicSpec

GOOD = ("great", "excellent", "lovely", "perfect", "wonderful", "impressive")
BAD = ("terrible", "awful", "poor", "disappointing", "horrible", "bad")
PLAIN = ("usual", "same as ever", "as described", "as announced", "unchanged", "standard")
SUBJECTS = {
    "Delivery": ("the delivery", "the parcel", "shipping", "the courier", "the driver"),
    "Price": ("the price", "what it costs", "the discount", "the fee", "value for money"),
    "Staff": ("the staff", "the lady at the till", "your team", "the assistant", "the salesman"),
    "Website": ("the website", "the online shop", "the search page", "the checkout form", "the app"),
    "Returns": ("sending it back", "the refund", "the return label", "the exchange", "my money back"),
    "Sizes": ("the size", "how it fits", "the length of the sleeves", "the size chart", "the waist"),
}
TOPICS = [TopicSpec(label=label) for label in SUBJECTS]


def answers(n: int, *, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return distinct texts, Y of shape (n, 6) and the sentiment of each assignment, int8 of the same shape."""
    rng = np.random.default_rng(seed)
    texts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    labels = list(SUBJECTS)
    while len(texts) < n:
        y = np.zeros(len(labels), dtype=np.int8)
        mood = np.zeros(len(labels), dtype=np.int8)
        chosen = rng.choice(len(labels), rng.choice([0, 1, 2], p=[0.1, 0.5, 0.4]), replace=False)
        clauses = []
        for topic in chosen:
            y[topic] = 1
            mood[topic] = rng.choice([-1, 0, 1])
            words = {1: GOOD, -1: BAD, 0: PLAIN}[int(mood[topic])]
            clauses.append(f"{rng.choice(SUBJECTS[labels[topic]])} was {rng.choice(words)}")
        opening = rng.choice(["", "I think ", "For me ", "Last week ", "To be honest ", "As always "])
        ending = rng.choice(["", ".", ", that is all", " this time", " in May", " for my sister"])
        body = ", but ".join(clauses) if clauses else str(rng.choice(["nothing to add", "no idea", "hello there"]))
        texts.setdefault(f"{opening}{body}{ending}", (y, mood))
    return (
        list(texts),
        np.array([y for y, _ in texts.values()]),
        np.array([mood for _, mood in texts.values()]),
    )
