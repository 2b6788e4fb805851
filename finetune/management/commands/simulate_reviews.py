"""Measure the AI on a data set with known truth: an oracle reviews, the command reports."""

import json
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune.engine.simulate import DatasetError


class Command(BaseCommand):
    help = (
        "Plays an oracle that reviews a data set (CSV or CSV.GZ with the columns text and topics) and prints "
        "F1 on the rows not reviewed, AI score, seconds and memory at 0, 50, 100, 200 and 300 reviews. "
        "Works in a project of its own in this installation's database and removes it at the end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dataset", help="CSV or CSV.GZ with the columns text and topics (a JSON list)")
        parser.add_argument("--reviews", type=int, default=300)
        parser.add_argument("--strategy", choices=["focus", "random", "certainty"], default="focus")
        parser.add_argument("--seeds", default="0", help="comma separated, e.g. 0,1,2")
        parser.add_argument(
            "--deep", action="store_true", help="fine-tune the encoder at 20, 50, 100, ... reviews"
        )
        parser.add_argument("--engine-only", action="store_true", help="without database and services")
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["dataset"])
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        if options["reviews"] < 0:
            raise CommandError(f"--reviews must not be negative, got {options['reviews']}.")
        try:
            seeds = [int(seed) for seed in options["seeds"].split(",")]
        except ValueError:
            raise CommandError(f"--seeds must be whole numbers with commas, got {options['seeds']!r}.") from None
        checkpoints: list[dict[str, Any]] = []
        if min(seeds) < 0:
            raise CommandError(f"--seeds must not be negative, got {options['seeds']}.")
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ended like this, it tidies up as well
        try:
            for seed in seeds:
                checkpoints += self._simulate(str(path), seed, options)
        except DatasetError as error:
            raise CommandError(str(error)) from None
        finally:
            signal.signal(signal.SIGTERM, before)
        self._table(checkpoints)
        if options["json"]:
            self.stdout.write(
                json.dumps({"dataset": path.name, "strategy": options["strategy"], "checkpoints": checkpoints})
            )

    def _simulate(self, path: str, seed: int, options: dict[str, Any]) -> list[dict[str, Any]]:
        if options["engine_only"]:
            from finetune.engine import simulate as engine

            return engine.simulate(
                path,
                n_reviews=options["reviews"],
                strategy=options["strategy"],
                seed=seed,
                deep_at=engine.DEEP_AT if options["deep"] else (),
            )
        from finetune.simulation import simulate

        return simulate(
            path,
            n_reviews=options["reviews"],
            strategy=options["strategy"],
            seed=seed,
            deep=options["deep"],
            log=lambda line: print(line, file=sys.stderr, flush=True),
        )

    def _table(self, checkpoints: list[dict[str, Any]]) -> None:
        if not checkpoints:
            return
        names = [name for name, value in checkpoints[0].items() if not isinstance(value, list)]
        self.stdout.write("  ".join(name.rjust(max(9, len(name))) for name in names))
        for row in checkpoints:
            self.stdout.write("  ".join(_cell(row[name]).rjust(max(9, len(name))) for name in names))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
