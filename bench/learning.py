"""Measure how well the AI learns: an oracle reviews labelled data sets, with and without fine-tuning.

    python bench/learning.py ../shared/data/nlupp.csv.gz --seeds 0,1,2      (or: make bench-learning ARGS="...")

Four ways of learning, on the engine alone: nothing but the topic texts (0 reviews), the focus queue with light
updates, random rows with light updates, and the focus queue with the encoder fine-tuned at 20, 50, 100, 200 and
300 reviews. Prints a Markdown report and writes it, with all numbers as JSON, to bench/results/.

What is done is kept in bench/results/learning.jsonl, a line per data set, seed and way, and is not done again
while the engine (finetune/engine) and the data set stay what they are: a run that was stopped goes on where it
was.

Processes work side by side with one BLAS thread each; fine-tuning itself uses one thread per core. Seconds are
true with --jobs 1 on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is there; one process per core is faster than threads that wait

RESULTS = ROOT / "bench" / "results"
DATA = ROOT.parent / "shared" / "data"
DATASETS = tuple(DATA / f"{name}.csv.gz" for name in ("mams-acsa", "banking77", "nlupp"))
CHECKPOINTS = (0, 20, 50, 100, 200, 300)
# Random rows go on for twice as long, to see when they reach what the queue has.
RANDOM_CHECKPOINTS = (*CHECKPOINTS, 150, 250, 350, 400, 450, 500, 550, 600)
WAYS = ("light", "random", "deep")
NAMES = {"light": "focus, light", "random": "random, light", "deep": "focus, deep"}

Record = dict[str, Any]


# --- running --------------------------------------------------------------------------------------
def engine_version() -> str:
    """Return the commit that last changed the engine, with a digest of the files where they differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    files = sorted((ROOT / "finetune" / "engine").glob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    try:
        commit = git("log", "-1", "--format=%h", "--", "finetune/engine")
        return f"{commit}+{digest}" if git("status", "--porcelain", "--", "finetune/engine") else commit
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        return digest


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


@functools.cache
def _encoder() -> Any:
    import torch

    from finetune.engine import Encoder

    torch.set_num_threads(1)
    return Encoder.load()


def run_seed(path: Path, seed: int, ways: Sequence[str], n_reviews: int) -> Iterable[Record]:
    """Yield a record per way of learning; the texts are encoded once for all."""
    from finetune.engine.simulate import DEEP_AT, dataset_features, load_dataset, simulate_features

    dataset = load_dataset(path, seed)
    features = dataset_features(dataset, _encoder())
    for way in ways:
        is_random = way == "random"
        checkpoints = simulate_features(
            dataset, features, n_reviews=n_reviews * (2 if is_random else 1), seed=seed,
            strategy="random" if is_random else "focus",
            checkpoints=RANDOM_CHECKPOINTS if is_random else CHECKPOINTS,
            # The order of random rows does not depend on updates: those at the checkpoints are enough.
            update_every=1_000 if is_random else 5,
            encoder=_encoder(), deep_at=DEEP_AT if way == "deep" else (),
        )  # fmt: skip
        yield {
            "dataset": path.name.removesuffix(".gz").removesuffix(".csv"),
            "n_rows": len(dataset.texts),
            "n_topics": len(dataset.topics),
            "encoder": _encoder().key,
            "seed": seed,
            "way": way,
            "checkpoints": checkpoints,
        }


def work(path: Path, seed: int, ways: Sequence[str], n_reviews: int, key: Record, output: Path) -> list[Record]:
    """Run what is left of one data set and seed; append each result as soon as it is there."""
    records = []
    for record in run_seed(path, seed, ways, n_reviews):
        records.append(record | key)
        line = json.dumps(records[-1]) + "\n"
        with output.open("a", encoding="utf-8") as stream:  # one write of a line: processes do not mix
            stream.write(line)
        print(f"  {record['dataset']}, seed {seed}, {NAMES[record['way']]}: done", file=sys.stderr, flush=True)
    return records


def read_lines(path: Path) -> list[Record]:
    """Return the records of a JSON-lines file; a line that was cut off when a run was stopped is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def run_all(options: argparse.Namespace, ways: Sequence[str]) -> tuple[list[Record], list[str]]:
    """Return the records wanted, old and new, and what went wrong."""
    version = engine_version()
    output = options.results / "learning.jsonl"
    output.parent.mkdir(parents=True, exist_ok=True)
    kept = {_identity(record): record for record in read_lines(output)}
    found: list[Record] = []
    failures: list[str] = []
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = {}
        for path in options.datasets:
            key = {"file": file_digest(path), "engine": version, "n_reviews": options.reviews}
            for seed in options.seeds:
                wanted = {way: kept.get(_identity({**key, "seed": seed, "way": way})) for way in ways}
                found += [record for record in wanted.values() if record]
                left = [way for way, record in wanted.items() if record is None]
                if left:
                    arguments = (path, seed, left, options.reviews, key, output)
                    futures[pool.submit(work, *arguments)] = f"{path.name}, seed {seed}"
        print(f"{len(found)} results are there, {len(futures)} seeds to run.", file=sys.stderr, flush=True)
        for future in as_completed(futures):
            try:
                found += future.result()
            except Exception as error:  # the other seeds go on; a second run does what is missing
                traceback.print_exception(error)
                failures.append(f"{futures[future]}: {error!r}")
    return found, failures


def _identity(record: Record) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in ("file", "engine", "n_reviews", "seed", "way"))


# --- reporting ------------------------------------------------------------------------------------
class Results:
    """Records by data set and way, and means over seeds."""

    def __init__(self, records: Sequence[Record]):
        self.records = sorted(records, key=lambda record: (record["dataset"], record["seed"]))
        self.datasets = sorted({record["dataset"] for record in records})
        self.ways = [way for way in WAYS if any(record["way"] == way for record in records)]

    def at(self, way: str, dataset: str | None = None, n_reviews: int | None = None) -> list[Record]:
        """Return the checkpoints of all seeds."""
        return [
            checkpoint
            for record in self.records
            if record["way"] == way and dataset in (None, record["dataset"])
            for checkpoint in record["checkpoints"]
            if n_reviews in (None, checkpoint["n_reviews"])
        ]

    def marks(self, way: str) -> list[int]:
        return sorted({checkpoint["n_reviews"] for checkpoint in self.at(way)})

    def mean(self, key: str, *where: Any) -> float:
        return mean(float(one[key]) for one in self.at(*where) if one[key] is not None)


def mean(values: Iterable[float]) -> float:
    """Return the mean of the numbers, nan without any."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def cell(value: float, digits: int = 3) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if digits == 3 and text.startswith("0.") else text


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def reviews_needed(curve: Sequence[tuple[int, float]], wanted: float) -> float:
    """Return after how many reviews a curve reaches a value, on straight lines between checkpoints; inf if never.

    Parameters
    ----------
    curve : sequence of (n_reviews, value), ascending
    """
    before: tuple[int, float] | None = None
    for n_reviews, value in curve:
        if value >= wanted:
            if before is None or value == before[1]:
                return n_reviews
            return before[0] + (n_reviews - before[0]) * (wanted - before[1]) / (value - before[1])
        before = (n_reviews, value)
    return math.inf


def f1_table(results: Results) -> str:
    rows = []
    for way in results.ways:
        for mark in results.marks(way):
            if mark == 0 and way != results.ways[0]:
                continue  # without reviews all ways are one
            line = ["labels only, 0" if mark == 0 else f"{NAMES[way]}, {mark}"]
            for dataset in results.datasets:
                micro, macro = (results.mean(f"f1_{kind}", way, dataset, mark) for kind in ("micro", "macro"))
                line.append(f"{cell(micro)} / {cell(macro)}")
            of_sets = mean(results.mean("f1_micro", way, dataset, mark) for dataset in results.datasets)
            rows.append([*line, cell(of_sets)])
    return table(["way, reviews", *results.datasets, "mean micro"], rows)


def score_table(results: Results) -> str:
    header = [
        "way, reviews", "AI score, mean error", "largest", "mean signed", "per topic, mean error", "ECE",
        "audit interval covers", "its width",
    ]  # fmt: skip
    rows = []
    for way in results.ways:
        for mark in results.marks(way):
            rows.append([f"{NAMES[way]}, {mark}", *_score_cells(results.at(way, None, mark))])
        later = [one for one in results.at(way) if one["n_reviews"] >= 20]
        rows.append([f"**{NAMES[way]}, 20 and more**", *_score_cells(later)])
    return table(header, rows)


def _score_cells(checkpoints: Sequence[Record]) -> list[str]:
    def of(key: str) -> list[float]:
        return [float(one[key]) for one in checkpoints if one[key] is not None]

    errors = of("score_error")
    covers = of("audit_covers")
    width = [high - low for high, low in zip(of("audit_high"), of("audit_low"), strict=True)]
    return [
        cell(mean(map(abs, errors)), 1), cell(max(map(abs, errors), default=math.nan), 1), cell(mean(errors), 1),
        cell(mean(of("topic_score_error")), 1), cell(mean(of("ece"))),
        f"{sum(covers):.0f} of {len(covers)}" if covers else "–", cell(mean(width), 0),
    ]  # fmt: skip


def per_dataset_table(results: Results) -> str:
    """The errors of the scores at 20 reviews and more, set by set."""
    rows = []
    for way in results.ways:
        for dataset in results.datasets:
            checkpoints = [one for one in results.at(way, dataset) if one["n_reviews"] >= 20]
            rows.append([NAMES[way], dataset, *_score_cells(checkpoints)])
    return table(
        [
            "way",
            "data set",
            "AI score, mean error",
            "largest",
            "mean signed",
            "per topic",
            "ECE",
            "covers",
            "width",
        ],
        rows,
    )


def reliability_table(results: Results) -> str:
    """Return how often what was given a probability was true: all sets, seeds, and checkpoints from 20 on."""
    n_bins = 15
    rows = []
    sums = {way: [[0.0, 0.0, 0.0] for _ in range(n_bins)] for way in results.ways}
    for way in results.ways:
        for checkpoint in results.at(way):
            for n, prob, share in checkpoint["reliability"] if checkpoint["n_reviews"] >= 20 else ():
                total = sums[way][min(n_bins - 1, int(prob * n_bins))]
                for i, value in enumerate((n, n * prob, n * share)):
                    total[i] += value
    for i in range(n_bins):
        line = [f"{i / n_bins:.2f} – {(i + 1) / n_bins:.2f}"]
        for way in results.ways:
            n, prob, share = sums[way][i]
            line += [f"{n:,.0f}", cell(prob / n), cell(share / n)] if n else ["0", "–", "–"]
        rows.append(line)
    header = ["probability"]
    for way in results.ways:
        header += [f"{NAMES[way]}: pairs", "mean", "share true"]
    return table(header, rows)


def saved_table(results: Results) -> str:
    rows = []
    for way in [way for way in results.ways if way != "random"]:
        for mark in [mark for mark in results.marks(way) if mark >= 50]:
            line = [f"{NAMES[way]}, {mark}"]
            for dataset in results.datasets:
                curve = [(n, results.mean("f1_micro", "random", dataset, n)) for n in results.marks("random")]
                needed = reviews_needed(curve, results.mean("f1_micro", way, dataset, mark))
                line.append(f"{needed:.0f}" if math.isfinite(needed) else f"more than {curve[-1][0]}")
            rows.append(line)
    return table(["the queue with", *results.datasets], rows)


def sentiment_table(results: Results) -> str:
    datasets = [
        dataset
        for dataset in results.datasets
        if any(one["f1_micro_sentiment"] is not None for one in results.at(results.ways[0], dataset))
    ]
    if not datasets:
        return "None of the data sets has sentiment."
    rows = []
    for way in results.ways:
        for mark in results.marks(way):
            pairs = [results.mean("f1_micro_sentiment", way, dataset, mark) for dataset in datasets]
            overall = [results.mean("overall_agreement", way, dataset, mark) for dataset in datasets]
            cells = [f"{cell(one)} / {cell(two)}" for one, two in zip(pairs, overall, strict=True)]
            rows.append([f"{NAMES[way]}, {mark}", *cells])
    return table(["way, reviews", *datasets], rows)


def seconds_table(results: Results) -> str:
    rows = []
    for way in results.ways:
        for mark in results.marks(way):
            line = [f"{NAMES[way]}, {mark}"]
            for dataset in results.datasets:
                light, deep = (results.mean(f"seconds_{kind}", way, dataset, mark) for kind in ("update", "deep"))
                line.append(cell(light, 2) + (f" / {cell(deep, 0)}" if way == "deep" else ""))
            in_use = [one["deep_in_use"] for one in results.at(way, None, mark)]
            memory = max((one["rss_mb"] for one in results.at(way, None, mark)), default=math.nan)
            rows.append([*line, f"{sum(in_use)} of {len(in_use)}" if way == "deep" else "–", f"{memory:,.0f}"])
    return table(["way, reviews", *results.datasets, "fine-tuned encoder in use", "peak MB"], rows)


def report(results: Results) -> str:
    first = results.records[0]
    seeds = sorted({record["seed"] for record in results.records})
    sets = {
        r["dataset"]: f"{r['dataset']} ({r['n_rows']:,} rows, {r['n_topics']} topics)" for r in results.records
    }
    parts = [
        "# How well the AI learns",
        f"Engine {first['engine']}, encoder {first['encoder']}, seeds {', '.join(map(str, seeds))}; "
        f"{', '.join(sets.values())}. F1 on all rows not reviewed, mean over seeds.",
        "## Micro / macro-F1", f1_table(results),
        "## How true the scores are",
        "All sets and seeds. AI score against 100 × weighted F1; scores of topics with 30 rows or more; expected "
        "calibration error over all pairs of row and topic; 95 % interval of the score on audit rows.",
        score_table(results), per_dataset_table(results),
        "## Reliability of the probabilities", "From 20 reviews on.", reliability_table(results),
    ]  # fmt: skip
    if "random" in results.ways and len(results.ways) > 1:
        parts += ["## Reviews saved", "Random reviews that reach the same micro-F1.", saved_table(results)]
    parts += [
        "## Sentiment", "Micro-F1 of (topic, sentiment) pairs / agreement of the overall sentiment.",
        sentiment_table(results),
        "## Seconds", "A light update, mean since the line before / the last fine-tuning with the encoding of all "
        "texts.", seconds_table(results),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="*", default=DATASETS, help="CSV or CSV.GZ: text, topics")
    parser.add_argument("--seeds", default="0,1,2", type=lambda value: [int(seed) for seed in value.split(",")])
    parser.add_argument("--reviews", type=int, default=300)
    parser.add_argument("--no-deep", action="store_true", help="without fine-tuning: minutes instead of hours")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; as many as cores")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder")
    options = parser.parse_args()
    if missing := [str(path) for path in options.datasets if not path.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    if options.reviews < 0 or options.jobs < 1:
        parser.error("--reviews must not be negative, --jobs must be at least 1")
    records, failures = run_all(options, [way for way in WAYS if way != "deep" or not options.no_deep])
    if records:
        markdown = report(Results(records))
        name = f"learning-{datetime.now():%Y%m%d-%H%M%S}"
        (options.results / f"{name}.md").write_text(markdown, encoding="utf-8")
        (options.results / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        print(markdown)
    if failures:
        raise SystemExit("\n".join(["What failed:", *failures]))


if __name__ == "__main__":
    main()
