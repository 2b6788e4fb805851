"""Measure the engine's part of a light update on cached features: seconds and peak memory, up to a million rows.

    python bench/engine_speed.py ../shared/data/scale-airbnb-albany.csv.gz --output bench/results/engine_speed.json

Every case runs in a process of its own: fit, probabilities of all rows, thresholds, certainty and AI score, with
50 topics. Features are read as `finetune/features.py` reads them: float16 vectors and lexical features, both
memory-mapped. Rows are predicted block by block; nothing of shape (n_rows, n_topics) is kept.

The words are those of the data set's texts, repeated under new row numbers. **The vectors are random** unit
vectors, so that no encoder is needed: times and memory are right, probabilities say nothing about quality. The
features are made once (a few minutes, 1.4 kB per row) and kept in `--cache`.

The peak counts the pages of the mapped files that were read, which the system may take back at any time; the
column after it does not.
"""

from __future__ import annotations

import argparse
import cProfile
import csv
import gzip
import json
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.topics import TOPICS, decide
from finetune.engine import (
    N_LEXICAL_FEATURES,
    ExpectedCounts,
    TopicClassifier,
    TopicSpec,
    assign,
    certainty,
    lexical_features,
    topic_prompt,
)

N_FEATURES = 384
POOL_SAMPLE = 5_000  # as in finetune/updates.py
BLOCK = 50_000
# rows, reviews, seconds and MB it may take
CASES = ((100_000, 300, 1.5, 1_500), (100_000, 3_000, 6.0, None), (1_000_000, 300, 15.0, None))
TIMES_LINEAR = 1.3  # ten times the rows may take up to 13 times as long


def unit_vectors(rng: np.random.Generator, n: int) -> np.ndarray:
    X = rng.standard_normal((n, N_FEATURES), dtype=np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def make_features(path: Path, folder: Path, n_rows: int) -> None:
    """Write vectors, words, and the oracle's topics of the first rows."""
    if (folder / "done").is_file() and int((folder / "done").read_text()) >= n_rows:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "done").unlink(missing_ok=True)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        texts = list(dict.fromkeys(row["text"] for row in csv.DictReader(stream)))
    rng = np.random.default_rng(0)
    base = lexical_features(texts)
    ids = {label: j for j, (_, label, _) in enumerate(TOPICS)}
    Y = np.zeros((len(texts), len(TOPICS)), dtype=np.int8)
    for row, text in enumerate(texts):
        Y[row, [topic for topic, _ in decide(text, ids)]] = 1
    np.save(folder / "Y.npy", Y)
    n_stored = 0
    with (
        open(folder / "vectors", "wb") as vectors, open(folder / "lex_ends", "wb") as ends,
        open(folder / "lex_columns", "wb") as columns, open(folder / "lex_values", "wb") as values,
    ):  # fmt: skip
        for start in range(0, n_rows, len(texts)):
            part = base[: min(len(texts), n_rows - start)]
            vectors.write(unit_vectors(rng, part.shape[0]).astype("<f2").tobytes())
            ends.write((part.indptr[1:].astype("<i8") + n_stored).tobytes())
            columns.write(part.indices.astype("<i4").tobytes())
            values.write(part.data.astype("<f4").tobytes())
            n_stored += part.nnz
    (folder / "done").write_text(str(n_rows))


def open_features(folder: Path, n_rows: int) -> tuple[np.ndarray, sp.csr_matrix, np.ndarray]:
    """Return vectors, words and topics of the first rows as `ColumnFeatures` gives them."""
    X = np.memmap(folder / "vectors", dtype="<f2", mode="r", shape=(n_rows, N_FEATURES))
    indptr = np.concatenate([[0], np.memmap(folder / "lex_ends", dtype="<i8", mode="r", shape=(n_rows,))])
    n_stored = int(indptr[-1])
    X_lex = sp.csr_matrix((n_rows, N_LEXICAL_FEATURES), dtype=np.float32)
    X_lex.indptr = indptr.astype(np.int32) if n_stored < 2**31 else indptr
    X_lex.indices = np.memmap(folder / "lex_columns", dtype="<i4", mode="r", shape=(n_stored,))
    X_lex.data = np.memmap(folder / "lex_values", dtype="<f4", mode="r", shape=(n_stored,))
    return X, X_lex, np.load(folder / "Y.npy")


def light_update(folder: Path, n_rows: int, n_reviews: int) -> dict[str, Any]:
    """Do the engine's part of one light update; return seconds by step and peak memory in MB."""
    X, X_lex, Y = open_features(folder, n_rows)
    prompts = [topic_prompt(TopicSpec(label=label, category=category)) for category, label, _ in TOPICS]
    label_X, label_X_lex = unit_vectors(np.random.default_rng(1), len(prompts)), lexical_features(prompts)
    rng = np.random.default_rng(2)
    reviewed = np.sort(rng.choice(n_rows, n_reviews, replace=False))
    pool = np.setdiff1d(np.arange(n_rows), reviewed)
    sample = np.sort(rng.choice(pool, POOL_SAMPLE, replace=False))
    memory_before = peak_mb()
    clock = {"fit": 0.0, "probabilities": 0.0, "certainty and score": 0.0}
    began, began_cpu = time.perf_counter(), time.process_time()
    own = own_mb()
    model = TopicClassifier(random_state=0).fit(
        np.asarray(X[reviewed], dtype=np.float32), Y[reviewed % len(Y)], label_X=label_X, X_lex=X_lex[reviewed],
        label_X_lex=label_X_lex, pool_X=np.asarray(X[sample], dtype=np.float32), pool_X_lex=X_lex[sample],
    )  # fmt: skip
    clock["fit"] = time.perf_counter() - began
    sure = np.ones(len(pool), dtype=np.float32)
    counts = ExpectedCounts(len(TOPICS))
    for start in range(0, len(pool), BLOCK):
        rows = pool[start : start + BLOCK]
        before = time.perf_counter()
        Y_prob = model.predict_proba(X[rows], X_lex[rows])
        middle = time.perf_counter()
        sure[start : start + len(rows)] = certainty(Y_prob, model.thresholds_)
        counts.add(Y_prob, assign(Y_prob, model.thresholds_))
        own = max(own, own_mb())
        clock["probabilities"] += middle - before
        clock["certainty and score"] += time.perf_counter() - middle
    score = counts.ai_score()
    return {
        "rows": n_rows,
        "reviews": n_reviews,
        "topics": len(TOPICS),
        "seconds": round(time.perf_counter() - began, 2),
        "steps": {step: round(seconds, 2) for step, seconds in clock.items()},
        "processor_seconds": round(time.process_time() - began_cpu, 2),
        "peak_mb": round(peak_mb()),
        "peak_before_mb": round(memory_before),
        "own_mb": round(own),
        "ai_score": round(score.score, 4),
        "mean_certainty": round(float(sure.mean(dtype=np.float64)), 7),
    }


def peak_mb() -> float:
    """Return the highest resident memory of this process, read pages of the mapped files included, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def own_mb() -> float:
    """Return the memory of this process now without mapped files, in MB; nan where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), float("nan"))


def run_case(folder: Path, n_rows: int, n_reviews: int, repeats: int) -> dict[str, Any]:
    """Return the quickest of a few fresh processes."""
    command = [sys.executable, __file__, "--case", str(n_rows), str(n_reviews), "--cache", str(folder), "-"]
    results = []
    for _ in range(repeats):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"  {n_rows:,} rows, {n_reviews:,} reviews: {results[-1]['seconds']} s", file=sys.stderr)
    best = min(results, key=lambda result: result["seconds"])
    return best | {"all_seconds": [result["seconds"] for result in results]}


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| rows | reviews | fit, s | probabilities, s | certainty, score, s | together, s | processor, s "
        "| peak MB | without mapped files | target |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        steps = " | ".join(f"{seconds:.2f}" for seconds in result["steps"].values())
        limit = f"{result['max_seconds']:g} s" + (f", {result['max_mb']:,} MB" if result["max_mb"] else "")
        lines.append(
            f"| {result['rows']:,} | {result['reviews']:,} | {steps} | **{result['seconds']:.2f}** "
            f"| {result['processor_seconds']:.2f} | {result['peak_mb']:,} | {result['own_mb']:,} "
            f"| {limit}: {'met' if result['met'] else 'missed'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="gzipped CSV with a column `text`")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "engine-speed")
    parser.add_argument("--repeats", type=int, default=3, help="processes per case; the quickest counts")
    parser.add_argument("--max-rows", type=int, default=1_000_000, help="leave out larger cases")
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument("--profile", action="store_true", help="with --case: print where the time goes")
    parser.add_argument(
        "--case", type=int, nargs=2, metavar=("ROWS", "REVIEWS"), help="run one case in this process"
    )
    options = parser.parse_args()
    if options.case:
        if options.profile:
            with cProfile.Profile() as profile:
                print(json.dumps(light_update(options.cache, *options.case)))
            pstats.Stats(profile).sort_stats("tottime").print_stats(18)
        else:
            print(json.dumps(light_update(options.cache, *options.case)))
        return
    cases = [case for case in CASES if case[0] <= options.max_rows]
    make_features(options.dataset, options.cache, max(case[0] for case in cases))
    results = []
    for n_rows, n_reviews, max_seconds, max_mb in cases:
        result = run_case(options.cache, n_rows, n_reviews, options.repeats)
        result |= {"max_seconds": max_seconds, "max_mb": max_mb}
        result["met"] = result["seconds"] <= max_seconds and (not max_mb or result["peak_mb"] <= max_mb)
        results.append(result)
    print(f"Words of {options.dataset.name}, repeated; random vectors; {os.cpu_count()} cores.\n")
    print(table(results))
    report: dict[str, Any] = {"dataset": options.dataset.name, "vectors": "random", "cases": results}
    same = {result["rows"]: result["seconds"] for result in results if result["reviews"] == 300}
    if len(same) > 1:
        few, many = min(same), max(same)
        growth = (same[many] / same[few]) / (many / few)
        report["growth"] = round(growth, 3)
        word = "linear" if growth <= TIMES_LINEAR else "more than linear"
        print(f"\n{few:,} to {many:,} rows: {growth * many / few:.1f} times the seconds: {word}.")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    if not all(result["met"] for result in results) or report.get("growth", 0) > TIMES_LINEAR:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
