"""Topics proposed from the texts: planted themes are found, named, and given to the rows that speak of them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.quick_encoder import QuickEncoder
from finetune.engine import discovery, propose_topics
from finetune.engine.phrases import Phrases

THEMES = {
    "parking": "parking garage car spot space meter",
    "breakfast": "breakfast buffet eggs coffee croissant juice",
    "wifi": "wifi internet connection router signal password",
    "pool": "pool swimming water towels sauna lifeguard",
    "reception": "reception desk clerk lobby keys luggage",
    "bed": "bed mattress pillow sheets blanket sleep",
    "noise": "noise street traffic windows loud neighbours",
    "bathroom": "bathroom shower tap drain sink mirror",
    "price": "price bill rate discount deposit receipt",
    "elevator": "elevator lift stairs floor button doors",
}
ENCODER = QuickEncoder()


def speak(rng: np.random.Generator, theme: str) -> str:
    return f"the {theme} with {' '.join(rng.permutation(THEMES[theme].split())[:4])}"


def corpus(n: int, *, n_themes: int = 1, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Return texts of one clause or several, and which themes each has."""
    rng = np.random.default_rng(seed)
    Y = np.zeros((n, len(THEMES)), dtype=bool)
    texts = []
    for row in range(n):
        chosen = rng.permutation(len(THEMES))[:n_themes]
        Y[row, chosen] = True
        texts.append(". ".join(speak(rng, list(THEMES)[theme]) for theme in chosen) + f" {row}")
    return texts, Y


def propose(texts: list[str], **options):
    return propose_topics(texts, ENCODER.encode(texts), ENCODER.encode, **options)


def f1_of_best(Y: np.ndarray, proposals) -> np.ndarray:
    """Return, per theme, the F1 of the rows of the proposal that fits best."""
    P = np.zeros((len(Y), len(proposals)), dtype=bool)
    for number, one in enumerate(proposals):
        P[one.rows, number] = True
    both = Y.T.astype(int) @ P.astype(int)
    return (2 * both / (Y.sum(axis=0)[:, None] + P.sum(axis=0))).max(axis=1)


def test_texts_of_one_thing_each_are_grouped_and_named():
    texts, Y = corpus(400)
    proposals = propose(texts)
    assert (f1_of_best(Y, proposals) >= 0.8).mean() >= 0.9
    words = {word for theme in THEMES.items() for word in " ".join(theme).split()}
    assert {word for one in proposals for word in one.label.casefold().split()} <= words
    assert len({one.label for one in proposals}) == len(proposals)
    for one in proposals:
        assert set(one.examples) <= set(one.rows)
        assert 1 <= len(one.examples) <= 3
        assert one.category
        assert one.phrases


def test_a_text_of_several_things_gets_several_topics():
    texts, Y = corpus(400, n_themes=3)
    proposals = propose(texts)
    assert (f1_of_best(Y, proposals) >= 0.7).mean() >= 0.8
    n_topics = np.bincount(np.concatenate([one.rows for one in proposals]), minlength=len(texts))
    assert 2 <= n_topics.mean() <= 4


def test_rows_that_were_not_clustered_get_topics_too(monkeypatch):
    monkeypatch.setattr(discovery, "SAMPLE_ROWS", 250)
    texts, Y = corpus(900)
    assert (f1_of_best(Y, propose(texts)) >= 0.8).mean() >= 0.9


def test_the_same_texts_give_the_same_proposals():
    texts, _Y = corpus(200, n_themes=2)
    one, two = propose(texts), propose(texts)
    assert [(p.label, p.category, p.rows.tolist()) for p in one] == [
        (p.label, p.category, p.rows.tolist()) for p in two
    ]


@pytest.mark.parametrize(
    "texts",
    [[], [""] * 50, ["one answer"], ["a", "b", "c"], ["   "] * 20 + ["good"]],
    ids=["none", "all empty", "one", "three", "blank"],
)
def test_too_few_texts_give_no_proposals(texts):
    assert propose(texts) == []


def test_odd_texts_do_no_harm():
    texts, Y = corpus(200)
    odd = ["", "   ", "!!!", "12345", "👍", "ok", "x " * 9_000, "<b>hi</b>", "=1+1", "没有", "\0"]
    proposals = propose([*texts, *odd])
    assert (
        f1_of_best(np.vstack([Y, np.zeros((len(odd), Y.shape[1]), dtype=bool)]), proposals) >= 0.7
    ).mean() >= 0.8
    empty = {len(texts), len(texts) + 1}
    assert not empty & set(np.concatenate([one.rows for one in proposals]).tolist())


def test_all_texts_alike_are_no_error():
    assert len(propose([f"the same answer {number % 2}" for number in range(60)])) <= 60


def test_progress_goes_from_0_to_1():
    told: list[float] = []
    propose(corpus(120)[0], progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert all(0 <= share <= 1 for share in told)


def test_phrases_do_not_border_on_function_words_and_keep_how_they_are_written():
    texts = ["I forgot the PIN code of my card", "the PIN code was wrong", "where is the pin code?"] * 2
    phrases = Phrases.read(texts)
    assert phrases.surface["pin code"] == "PIN code"
    assert not any(
        key.startswith(("the ", "of ")) or key.endswith((" the", " of", " my")) for key in phrases.texts_of
    )
    assert phrases.texts_of["pin code"] == [0, 1, 2, 3, 4, 5]
    assert "code of my" not in phrases.texts_of
