"""Measure topics proposed from the texts alone against the topics that people gave.

    python bench/proposals.py ../shared/data/mams-acsa.csv.gz ... --seeds 0,1,2
    python bench/proposals.py ../shared/data/scale-airbnb-albany.csv.gz --speed 10000,100000

Quality: the share of the given topics that a proposal matches (one to one, best first; the F1 of their rows is at
least 0.5), and the normalised mutual information of topics and proposals. A row with several topics counts with
equal parts for each. Beside it plain k-means with the true number of topics, which nobody knows beforehand. Speed:
with vectors that are there already; clauses and phrases are encoded within the time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from finetune.engine import Encoder, propose_topics
from finetune.engine.simulate import load_dataset

MATCH_F1 = 0.5


def matched_share(Y: np.ndarray, P: np.ndarray) -> float:
    both = Y.T.astype(np.float32) @ P.astype(np.float32)
    f1 = 2 * both / np.maximum(Y.sum(axis=0)[:, None] + P.sum(axis=0)[None], 1)
    n_matched = 0
    while f1.size and f1.max() >= MATCH_F1:
        topic, proposal = np.unravel_index(f1.argmax(), f1.shape)
        f1[topic], f1[:, proposal] = -1, -1
        n_matched += 1
    return n_matched / Y.shape[1]


def mutual_information(Y: np.ndarray, P: np.ndarray) -> float:
    """Return the mutual information, divided by the mean of the two entropies."""

    def weights(Z: np.ndarray) -> np.ndarray:
        W = np.column_stack([Z, ~Z.any(axis=1)]).astype(float)
        return W / W.sum(axis=1, keepdims=True)

    def entropy(p: np.ndarray) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    joint = weights(Y).T @ weights(P) / len(Y)
    a, b = joint.sum(axis=1), joint.sum(axis=0)
    there = joint > 0
    shared = float((joint[there] * np.log(joint[there] / np.outer(a, b)[there])).sum())
    return shared / max((entropy(a) + entropy(b)) / 2, 1e-12)


def of_rows(rows: list[np.ndarray], n: int) -> np.ndarray:
    P = np.zeros((n, len(rows)), dtype=bool)
    for number, own in enumerate(rows):
        P[own, number] = True
    return P


def quality(path: Path, seeds: list[int], encoder: Encoder) -> None:
    found = []
    for seed in seeds:
        dataset = load_dataset(path, seed)
        X = encoder.encode(dataset.texts)
        Y = np.asarray(dataset.Y) > 0
        proposals = propose_topics(dataset.texts, X, encoder.encode, random_state=seed)
        P = of_rows([one.rows for one in proposals], len(X))
        labels = KMeans(Y.shape[1], n_init=3, random_state=seed).fit(X).labels_
        K = labels[:, None] == np.arange(Y.shape[1])
        found.append(
            (len(proposals), matched_share(Y, P), mutual_information(Y, P), matched_share(Y, K),
             mutual_information(Y, K), P.sum() / len(P))
        )  # fmt: skip
    n, share, nmi, share_k, nmi_k, per_row = np.mean(found, axis=0)
    name = path.name.split(".")[0]
    print(
        f"| {name} | {Y.shape[1]} | {n:.0f} | {per_row:.2f} | {share:.3f} | {nmi:.3f} "
        f"| {share_k:.3f} | {nmi_k:.3f} |",
        flush=True,
    )


def speed(path: Path, sizes: list[int], encoder: Encoder) -> None:
    texts = [
        text for text in load_dataset(path, 0, max_rows=1_000_000, min_rows_per_topic=0).texts if text.strip()
    ]
    X = encoder.encode(texts[: min(len(texts), 10_000)])
    rng = np.random.default_rng(0)
    for n in sizes:
        take = np.arange(n) % len(X)
        many = [f"{texts[i]} ({k // len(X)})" if k >= len(X) else texts[i] for k, i in enumerate(take)]
        noisy = X[take] + 0.02 * rng.standard_normal((n, X.shape[1])).astype(np.float32)
        noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
        began, processor = time.perf_counter(), time.process_time()
        proposals = propose_topics(many, noisy, encoder.encode)
        seconds, processor = time.perf_counter() - began, time.process_time() - processor
        print(
            f"{n:,} texts: {seconds:.1f} s, {processor:.1f} s of processors, {len(proposals)} proposals",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--seeds", default="0,1,2", type=lambda value: [int(one) for one in value.split(",")])
    parser.add_argument("--speed", default="", help="numbers of texts: time the first data set instead")
    options = parser.parse_args()
    encoder = Encoder.load()
    if options.speed:
        speed(options.datasets[0], [int(n) for n in options.speed.split(",")], encoder)
        return
    print("| data set | topics | proposals | per row | matched | NMI | k-means: matched | NMI |")
    print("|---|---|---|---|---|---|---|---|")
    for path in options.datasets:
        quality(path, options.seeds, encoder)


if __name__ == "__main__":
    main()
