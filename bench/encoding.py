"""Measure how fast texts become vectors, against `SentenceTransformer.encode` as it comes: float32, batches of 32.

    python bench/encoding.py ../shared/data/banking77.csv.gz ../shared/data/scale-airbnb-albany.csv.gz

The first data set gives distinct short texts; the second distinct long ones, the longest that fit the encoder's
window: beyond it the one cuts a text and the other reads on, which is not the same work. Both encoders work on the
same texts in turn, several rounds, so that a burst of other work meets both; the ratio is that of the quickest
rounds. The cosine is the lowest between the two vectors of a text. `--threads 1` makes processor seconds, which
are printed as well, comparable on a busy machine.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from finetune.engine import Encoder
from finetune.engine.encoder import resolve_weights

WANTED_RATIO = 2.5
WANTED_COSINE = 0.999


def read_texts(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(dict.fromkeys(row["text"] for row in csv.DictReader(stream) if row["text"].strip()))


def n_tokens(plain: Any, texts: list[str]) -> np.ndarray:
    return np.array([len(ids) for ids in plain.tokenizer(texts, truncation=False, verbose=False)["input_ids"]])


def longest_that_fit(plain: Any, texts: list[str], n: int) -> list[str]:
    lengths = n_tokens(plain, texts)
    order = np.argsort(np.where(lengths <= plain.max_seq_length, -lengths, 0), kind="stable")
    return [texts[i] for i in order[:n]]


def compare(encoder: Encoder, plain: Any, texts: list[str], rounds: int) -> dict[str, Any]:
    """Encode texts both ways in turn; return seconds of every round, ratio, and lowest cosine."""
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    processor: dict[str, list[float]] = {"ours": [], "plain": []}
    encoder.encode(texts[:100])
    plain.encode(texts[:100], show_progress_bar=False)
    for _ in range(rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        ours = encoder.encode(texts)
        middle, middle_cpu = time.perf_counter(), time.process_time()
        theirs = plain.encode(texts, show_progress_bar=False)
        seconds["ours"].append(middle - began)
        seconds["plain"].append(time.perf_counter() - middle)
        processor["ours"].append(middle_cpu - began_cpu)
        processor["plain"].append(time.process_time() - middle_cpu)
        print(f"  {seconds['ours'][-1]:.2f} s against {seconds['plain'][-1]:.2f} s", file=sys.stderr)
    return {
        "texts": len(texts),
        "mean_tokens": round(float(np.mean(n_tokens(plain, texts))), 1),
        "texts_per_s": round(len(texts) / min(seconds["ours"])),
        "plain_texts_per_s": round(len(texts) / min(seconds["plain"])),
        "ratio": round(min(seconds["plain"]) / min(seconds["ours"]), 2),
        "processor_ratio": round(min(processor["plain"]) / min(processor["ours"]), 2),
        "min_cosine": round(float((ours * theirs).sum(axis=1).min()), 5),
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("short", type=Path, help="gzipped CSV with a column `text`")
    parser.add_argument("long", type=Path, help="gzipped CSV with a column `text`")
    parser.add_argument("--n-short", type=int, default=3_000)
    parser.add_argument("--n-long", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; as many as it takes if left out")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()

    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    began = time.perf_counter()
    encoder = Encoder.load(None)
    loading = time.perf_counter() - began
    began = time.perf_counter()
    encoder._bfloat16_pays()
    self_test = time.perf_counter() - began
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(resolve_weights(None)), device="cpu", local_files_only=True)
    print(
        f"{encoder.key}, {torch.get_num_threads()} threads, loaded in {loading:.1f} s, "
        f"self-test {self_test:.2f} s\n"
    )
    sets = {
        "short": read_texts(options.short)[: options.n_short],
        "long": longest_that_fit(plain, read_texts(options.long), options.n_long),
    }
    report: dict[str, Any] = {"encoder": encoder.key, "threads": torch.get_num_threads(), "self_test_s": self_test}
    print("| texts | tokens | texts per s | plain | ratio | ratio of processor seconds | lowest cosine |")
    print("|---|---|---|---|---|---|---|")
    for name, texts in sets.items():
        result = report[name] = compare(encoder, plain, texts, options.rounds)
        print(
            f"| {result['texts']:,} {name} | {result['mean_tokens']} | {result['texts_per_s']:,} "
            f"| {result['plain_texts_per_s']:,} | {result['ratio']} | {result['processor_ratio']} "
            f"| {result['min_cosine']} |"
        )
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    if any(report[n]["ratio"] < WANTED_RATIO or report[n]["min_cosine"] < WANTED_COSINE for n in sets):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
