"""The arithmetic of bench/learning.py."""

import json
import math

import pytest

from bench.learning import Results, read_lines, report, reviews_needed

CURVE = [(0, 0.5), (100, 0.7), (200, 0.8)]


@pytest.mark.parametrize(
    ("wanted", "n_reviews"), [(0.7, 100), (0.6, 50), (0.75, 150), (0.8, 200), (0.4, 0), (0.81, math.inf)]
)
def test_reviews_needed_lie_on_the_line_between_checkpoints(wanted, n_reviews):
    assert reviews_needed(CURVE, wanted) == pytest.approx(n_reviews)


def test_a_curve_that_falls_first_is_reached_where_it_rises():
    assert reviews_needed([(0, 0.6), (50, 0.5), (100, 0.7)], 0.65) == pytest.approx(87.5)
    assert reviews_needed([], 0.5) == math.inf


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "learning.jsonl"
    assert read_lines(path) == []
    path.write_text('{"seed": 1}\n{"seed": 2}\n{"se', encoding="utf-8")
    assert read_lines(path) == [{"seed": 1}, {"seed": 2}]


def checkpoint(n_reviews: int, f1: float, *, deep: bool = False, **changes) -> dict:
    return {
        "n_reviews": n_reviews, "f1_micro": f1, "f1_macro": f1 - 0.1, "f1_micro_sentiment": None,
        "overall_agreement": None, "score_error": -2.0, "topic_score_error": None, "ece": 0.01,
        "reliability": [(90, 0.02, 0.01), (10, 0.5, 0.6)], "audit_low": 60.0, "audit_high": 80.0,
        "audit_covers": True, "seconds_update": 0.5, "seconds_deep": 60.0 if deep else None, "deep_in_use": deep,
        "rss_mb": 900.0,
    } | changes  # fmt: skip


def test_the_report_means_over_seeds_and_holds_no_nan():
    none = dict.fromkeys(("audit_low", "audit_high", "audit_covers"))
    records = [
        {
            "dataset": "made-up", "n_rows": 500, "n_topics": 6, "encoder": "fake", "engine": "1234567",
            "seed": seed, "way": way,
            "checkpoints": [checkpoint(0, 0.5, **none), checkpoint(100, f1 + seed / 50, deep=way == "deep")],
        }
        for seed in (0, 1)
        for way, f1 in (("light", 0.6), ("random", 0.7), ("deep", 0.8))
    ]  # fmt: skip
    markdown = report(Results(json.loads(json.dumps(records))))
    assert "| labels only, 0 | .500 / .400 | .500 |" in markdown
    assert "| focus, light, 100 | .610 / .510 | .610 |" in markdown
    assert "| focus, light, 100 | 52 |" in markdown  # (.61 - .50) / (.71 - .50) of the way
    assert "| focus, deep, 100 | more than 100 |" in markdown
    assert "2 of 2" in markdown
    assert "None of the data sets has sentiment." in markdown
    assert "nan" not in markdown
    assert len([line for line in markdown.splitlines() if line.startswith("| labels only")]) == 1
