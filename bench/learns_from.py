"""Measure what a column gains by learning from another one, on the engine alone.

    OMP_NUM_THREADS=1 python bench/learns_from.py DATA/mams-acsa.csv.gz DATA/banking77.csv.gz --seeds 0,1,2

A data set is parted into two "projects". A has 300 reviews; B has 0 to 300 of its own (random rows, the same with
and without the link), and is judged by micro-F1 on its rows that nobody reviewed. Four kinds of A:

    same      rows like those of B, all topics
    partly    A's collection has a random half of the topics
    shifted   A's rows are the other end of the main direction of the vectors: other subjects, other wording
    differs   a third of A's topics mean something else there: their reviews are exchanged among them

Prints a Markdown table per data set: F1 without the link, and by how many points it changes with it, for each
weight of A's rows; in brackets by how many points the AI score is above the weighted F1 that it estimates.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from finetune.engine import Encoder, LentRows, TopicClassifier, ai_score, assign, measured_f1  # noqa: E402
from finetune.engine.simulate import Dataset, Features, dataset_features, load_dataset  # noqa: E402

KINDS = ("same", "partly", "shifted", "differs")
OWN = (0, 20, 50, 100, 300)
N_LENT = 300


def parted(kind: str, X: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of A and of B."""
    if kind == "shifted":
        centered = X - X.mean(axis=0)
        direction = np.linalg.svd(centered[rng.permutation(len(X))[:2_000]], full_matrices=False)[2][0]
        order = np.argsort(centered @ direction, kind="stable")
    else:
        order = rng.permutation(len(X))
    half = len(X) // 2
    return rng.permutation(order[:half]), rng.permutation(order[half:])


def lent_rows(
    kind: str, data: Dataset, features: Features, a: np.ndarray, weight: float, rng: np.random.Generator
) -> LentRows:
    n_topics = data.Y.shape[1]
    rows, knows, Y = a[:N_LENT], np.ones(n_topics, dtype=bool), data.Y[a[:N_LENT]].copy()
    chosen = rng.permutation(n_topics)
    if kind == "partly":
        knows[chosen[: n_topics // 2]] = False
        Y[:, ~knows] = 0
    if kind == "differs":
        third = chosen[: max(2, n_topics // 3)]
        Y[:, third] = Y[:, np.roll(third, 1)]
    X_lex: Any = features.X_lex
    return LentRows(features.X[rows], X_lex[rows], Y, knows, weight)


def judged(
    data: Dataset, features: Features, b: np.ndarray, n_own: int, lent: list[LentRows]
) -> tuple[float, float]:
    """Return micro-F1 on the rows of B that nobody reviewed, and by how much the AI score is too high."""
    own, pool = b[:n_own], b[n_own:]
    X_lex: Any = features.X_lex
    classifier = TopicClassifier(random_state=0).fit(
        features.X[own],
        data.Y[own],
        label_X=features.label_X,
        X_lex=X_lex[own],
        label_X_lex=features.label_X_lex,
        pool_X=features.X[pool],
        pool_X_lex=X_lex[pool],
        lent=lent,
    )
    Y_prob = classifier.predict_proba(features.X[pool], X_lex[pool])
    Y_hat = assign(Y_prob, classifier.thresholds_)
    weighted = 100 * measured_f1(data.Y[pool], Y_hat)
    error = ai_score(Y_prob, Y_hat).score - weighted
    return 100 * measured_f1(data.Y[pool], Y_hat, average="micro"), error


def measure(path: Path, seeds: list[int], kinds: list[str], own: list[int], weights: list[float]) -> None:
    encoder = Encoder.load()
    found: dict[tuple[str, int], list[list[tuple[float, float]]]] = {}
    for seed in seeds:
        data = load_dataset(path, seed)
        features = dataset_features(data, encoder)
        for kind in kinds:
            a, b = parted(kind, features.X, np.random.default_rng(seed))
            for n_own in own:
                line = [judged(data, features, b, n_own, [])]
                for weight in weights:
                    lent = lent_rows(kind, data, features, a, weight, np.random.default_rng(seed))
                    line.append(judged(data, features, b, n_own, [lent]))
                found.setdefault((kind, n_own), []).append(line)
                shown = np.round(line, 1).tolist()
                print(path.name, seed, kind, n_own, shown, file=sys.stderr, flush=True)
    print(f"\n{path.name}, {len(seeds)} seeds\n\n| A | reviews of B | without |", end="")
    print("".join(f" weight {weight:g} |" for weight in weights))
    print("|---|---|---|" + "---|" * len(weights))
    for (kind, n_own), lines in found.items():
        (without, error), *linked = np.mean(lines, axis=0)
        shown = " | ".join(f"{one - without:+.1f} ({off:+.1f})" for one, off in linked)
        print(f"| {kind} | {n_own} | {without:.1f} ({error:+.1f}) | {shown} |")


def numbers(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--own", type=numbers, default=list(OWN))
    parser.add_argument("--weights", type=numbers, default=[0.1, 0.25, 0.5])
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    seeds, own = [int(one) for one in options.seeds], [int(one) for one in options.own]
    for path in options.files:
        measure(path, seeds, options.kinds.split(","), own, options.weights)


if __name__ == "__main__":
    main()
