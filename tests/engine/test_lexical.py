"""Words of a text as a sparse vector, and the text that stands for a topic."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.engine import N_LEXICAL_FEATURES, TopicSpec, lexical_features, topic_prompt


@settings(max_examples=80, deadline=None)
@given(texts=st.lists(st.text(max_size=60), max_size=6))
def test_a_text_has_the_same_features_in_any_company(texts):
    together = lexical_features(texts)
    assert together.shape == (len(texts), N_LEXICAL_FEATURES)
    assert together.dtype == np.float32
    assert together.has_sorted_indices
    for row, text in enumerate(texts):
        assert (together[row] != lexical_features([text])).nnz == 0


def test_case_does_not_matter_and_beginnings_tie_word_forms_together():
    A = lexical_features(["Delivered", "delivered", "deliveries", "refund"])
    assert (A[0] != A[1]).nnz == 0
    assert A[0].multiply(A[2]).sum() > 0
    assert A[0].multiply(A[3]).sum() == 0


def test_writing_without_spaces_is_cut_up():
    A = lexical_features(["配達が遅い", "配達は早い"])
    assert A[0].multiply(A[1]).sum() > 0


@pytest.mark.parametrize("text", ["", "   ", "\x00", "\ud800", "🙂" * 3, "a" * 50_000, "word " * 10_000])
def test_odd_texts_are_survived(text):
    assert np.isfinite(lexical_features([text]).data).all()


@pytest.mark.parametrize(
    ("spec", "prompt"),
    [
        (TopicSpec("card_arrival", "banking"), "card arrival"),
        (TopicSpec("Other", "Delivery"), "Delivery: Other"),
        (TopicSpec("Price", description="What things cost."), "Price. What things cost."),
        (TopicSpec("Price", keywords=("fee", "/costs?/", "/[a-z/")), "Price. fee"),
        (TopicSpec("Staff", sentiment_labels=("Friendly", "", "Unfriendly")), "Staff. Friendly, Unfriendly"),
        (TopicSpec("TooExpensive"), "Too Expensive"),
        (TopicSpec(""), ""),
    ],
)
def test_the_prompt_says_what_the_person_wrote(spec, prompt):
    assert topic_prompt(spec) == prompt


def test_importing_the_engine_loads_neither_django_nor_torch():
    code = (
        "import sys, finetune.engine, finetune.engine.simulate\n"
        "print([name for name in ('django', 'torch', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
