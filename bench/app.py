"""Measure the application: real servers, real worker, real HTTP, on PostgreSQL and SQLite.

    python bench/app.py --rows 10000,100000 --database both          (or: make bench ARGS="...")

For each database and size: import (beside a bare parse and COPY of the same rows), pages, filters, saves,
focus mode, light update, exports, peak memory. Prints a table and writes JSON to bench/results/.

Times are taken at the client, over loopback, with the whole stack in between: gunicorn (2 x 4 threads)
on PostgreSQL with Redis; waitress (8 threads) with the file queue on SQLite. The encoder is the stand-in of
bench/quick_encoder.py unless --encoder real: this measures the application, not the neural network.
"""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import http.client
import io
import json
import os
import platform
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.filters import measure_filters  # noqa: E402
from bench.topics import PASSWORD, decide  # noqa: E402
from tests.system.harness import Browser, Process, Site, hidden_fields, wait_until  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "scale-airbnb-albany.csv.gz"
HEADER = ["id", "date", "listing", "score", "kind", "text"]


# --- the table ------------------------------------------------------------------------------------
def texts_of(path: Path, n_rows: int) -> Iterator[tuple[str, str, str]]:
    """Yield date, listing and text; after the real ones, new texts put together from halves of two."""
    rng = random.Random(0)
    if not path.exists():
        words = [f"word{number}" for number in range(3_000)]
        weights = [1 / (rank + 10) for rank in range(3_000)]
        for _ in range(n_rows):
            length = max(2, int(rng.lognormvariate(3.2, 0.8)))
            yield "2026-05-01", str(rng.randint(1, 500)), " ".join(rng.choices(words, weights, k=length))
        return
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        real = [(line["date"], line["listing_id"], line["text"]) for line in csv.DictReader(file)]
    yield from real[:n_rows]
    for _ in range(n_rows - len(real)):
        (day, listing, first), (_, _, second) = rng.choice(real), rng.choice(real)
        yield day, listing, f"{first[: len(first) // 2].rstrip()} … {second[len(second) // 2 :].lstrip()}"


def write_table(path: Path, data: Path, n_rows: int) -> None:
    rng = random.Random(3)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number, (day, listing, text) in enumerate(texts_of(data, n_rows), 1):
            kind = "Boat" if number % 10_000 == 77 else ("Flat", "House", "Room")[number % 3]
            writer.writerow([f"R{number:07}", day, listing, rng.randint(0, 10), kind, text])


def bare_import(site: Site, path: Path) -> float:
    """Return the seconds a bare parse of the file and one COPY (or one executemany) takes."""
    began = time.perf_counter()
    if site.database == "postgresql":
        connection: Any = psycopg2.connect(site.postgres_url)
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE bare (id text, date text, listing text, score int, kind text, text text)")
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            next(lines)
            writer.writerows(lines)
        buffer.seek(0)
        cursor.copy_expert("COPY bare FROM STDIN WITH (FORMAT csv)", buffer)
        connection.commit()
        seconds = time.perf_counter() - began
        cursor.execute("DROP TABLE bare")
        connection.commit()
    else:
        connection = sqlite3.connect(site.folder / "bare.sqlite3")
        connection.execute("CREATE TABLE bare (id text, date text, listing text, score int, kind text, text text)")
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            next(lines)
            connection.executemany("INSERT INTO bare VALUES (?, ?, ?, ?, ?, ?)", lines)
        connection.commit()
        seconds = time.perf_counter() - began
    connection.close()
    return seconds


# --- measuring ------------------------------------------------------------------------------------
class Connection:
    """A signed-in client with one connection that stays open."""

    def __init__(self, site: Site) -> None:
        browser = Browser(site.url)
        home = browser.sign_in("bench", PASSWORD)
        assert home.status == 200, f"cannot sign in: {home.status} {home.url}"
        assert "/login" not in home.url, "cannot sign in"
        cookies = {cookie.name: cookie.value or "" for cookie in browser.cookies}
        self.port = site.port
        self.headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-CSRFToken": cookies.get("csrftoken", ""),
            "Referer": site.url,
            "HX-Request": "true",
        }
        self.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(
        self, path: str, fields: list[tuple[str, Any]] | None = None, *, page: bool = False
    ) -> tuple[float, int, str]:
        """Return seconds, status and text of one request."""
        headers = dict(self.headers)
        if page:
            del headers["HX-Request"]
        body = None
        if fields is not None:
            body = urllib.parse.urlencode(fields)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        for attempt in (1, 2):
            began = time.perf_counter()
            try:
                self.http.request("POST" if fields is not None else "GET", path, body, headers)
                response = self.http.getresponse()
                text = response.read().decode()
                return time.perf_counter() - began, response.status, text
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.http.close()  # the server closes idle connections
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")


def summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "min_ms": round(ordered[0] * 1000, 1),
        "p50_ms": round(statistics.median(ordered) * 1000, 1),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] * 1000, 1),
        "n": len(ordered),
    }


def cpu_seconds(process: Process) -> float:
    """Return the processor time a server and its processes have used."""
    total = 0.0
    for one in [psutil.Process(process.pid), *process.children()]:
        times = one.cpu_times()
        total += times.user + times.system
    return total


def measure(call: Callable[[], tuple[float, int, str]], n: int, web: Process) -> dict[str, float]:
    """Call n times; return median and 95th percentile at the client, and the server's own processor time."""
    call()  # warm: templates, plans
    seconds = []
    before = cpu_seconds(web)
    for _ in range(n):
        took, status, text = call()
        assert status == 200, f"{status}: {text[:300]}"
        seconds.append(took)
    return {**summary(seconds), "cpu_ms": round((cpu_seconds(web) - before) / n * 1000, 1)}


class Memory(threading.Thread):
    """Watches the largest resident set among the processes of a worker or server."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.peak_mb = 0.0
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.done.wait(0.1):
            try:
                for one in [psutil.Process(self.process.pid), *self.process.children()]:
                    self.peak_mb = max(self.peak_mb, one.memory_info().rss / 2**20)
            except psutil.Error:
                continue

    def stop(self) -> float:
        self.done.set()
        return round(self.peak_mb)


# --- the run --------------------------------------------------------------------------------------
class KeptSite(Site):
    """A site whose database and files stay for the next run; what was imported is told by `facts`."""

    def __init__(self, folder: Path, *, database: str, broker: str, **variables: str) -> None:
        super().__init__(folder, database=database, broker=broker, **variables)
        kept = folder / "name"
        self.is_new = not kept.exists()
        if self.is_new:
            folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(self.name)
        elif database == "postgresql":
            self.name, own = kept.read_text().strip(), self.name
            self.postgres_url = self.postgres_url.replace(own, self.name)
            self.environment["DATABASE_URL"] = self.postgres_url

    @property
    def facts(self) -> Path:
        return self.folder / "facts.json"

    def __enter__(self) -> Site:
        return super().__enter__() if self.is_new else self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            process.kill()

    def migrate(self) -> None:
        if self.is_new:
            super().migrate()
        else:
            self.manage("migrate", "--noinput", "--verbosity", "0")


class Bench:
    def __init__(self, site: Site, n_rows: int, table: Path, options: argparse.Namespace) -> None:
        self.site, self.n_rows, self.table, self.options = site, n_rows, table, options
        self.results: dict[str, Any] = {}

    def note(self, name: str, value: Any) -> None:
        self.results[name] = value
        print(f"  {name:<44} {show(value)}", flush=True)

    def step(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Run a step of bench/steps.py in its own process."""
        environment = {**self.site.environment, "DJANGO_SETTINGS_MODULE": "topicassign.settings"}
        done = subprocess.run(
            [sys.executable, str(ROOT / "bench" / "steps.py"), name, json.dumps(arguments)],
            env=environment, cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def jobs_over(self, *, seconds: float = 1200) -> None:
        def idle() -> bool:
            return self.site.sql("SELECT COUNT(*) FROM projects_job WHERE state IN ('queued', 'running')") == [
                (0,)
            ]

        wait_until(idle, seconds=seconds, what="all jobs are over", pause_s=0.1)

    def job_seconds(self, kind: str) -> dict[str, Any]:
        """Return how long the newest job of a kind took, from being made to its end, and its result."""
        if self.site.database == "postgresql":
            took = "EXTRACT(EPOCH FROM finished_at - created_at), EXTRACT(EPOCH FROM finished_at - started_at)"
        else:
            took = (
                "(julianday(finished_at) - julianday(created_at)) * 86400, "
                "(julianday(finished_at) - julianday(started_at)) * 86400"
            )
        total, work, result, state, error = self.site.sql(
            f"SELECT {took}, result, state, error FROM projects_job WHERE kind = %s "
            "ORDER BY created_at DESC LIMIT 1",
            kind,
        )[0]
        assert state == "done", error
        result = json.loads(result) if isinstance(result, str) else result
        return {"total_s": round(float(total), 2), "work_s": round(float(work), 2), "result": result}

    def run(self) -> dict[str, Any]:
        site = self.site
        site.migrate()
        worker = site.start_worker()
        self.web = web = site.start_web() if site.database == "postgresql" else self.start_waitress()
        memory = {"worker": Memory(worker), "web": Memory(web)}
        if self.options.only == "filters":
            self.filters()
            return self.results

        self.import_(memory)
        self.first_assignment()
        self.pages()
        self.light_update()
        self.saves()
        self.focus()
        self.clients()
        self.exports()
        for name, watch in memory.items():
            self.note(f"peak memory, {name} process, MB", watch.stop())
        return self.results

    def start_waitress(self) -> Process:
        self.site.collect_static()
        web = self.site.spawn(
            "web", "-m", "waitress", f"--listen=127.0.0.1:{self.site.port}", "--threads=8",
            "topicassign.wsgi:application",
        )  # fmt: skip
        self.site.wait_for_web(web)
        return web

    def filters(self) -> None:
        """Import, index, made-up topics; then every kind of filter and order."""
        kept = self.site.facts if isinstance(self.site, KeptSite) else None
        if kept is not None and kept.exists():
            facts = json.loads(kept.read_text())
            self.column = facts["column"]
            self.path = f"/columns/{self.column}/"
            measure_filters(self, Connection(self.site), facts)
            return
        uploaded = self.step("upload", path=str(self.table))
        made = self.step("import_now", upload=uploaded["upload"])
        self.column = made["column"]
        self.path = f"/columns/{self.column}/"
        for kind, seconds in made["seconds"].items():
            self.note(f"{kind}, s", round(seconds, 1))
        facts = {**self.step("seed", column=self.column), "column": self.column}
        if kept is not None:
            kept.write_text(json.dumps(facts))
        measure_filters(self, Connection(self.site), facts)

    def import_(self, memory: dict[str, Memory]) -> None:
        bare = min(bare_import_again(self.site, self.table) for _ in range(3))
        self.note(
            "bare parse + COPY, s" if self.site.database == "postgresql" else "bare parse + INSERT, s",
            round(bare, 2),
        )
        uploaded = self.step("upload", path=str(self.table))
        self.note("upload: read, check, find types, s", round(uploaded["seconds"], 2))
        memory["worker"].peak_mb = 0
        started = self.step("start_import", upload=uploaded["upload"])
        self.column = started["column"]
        self.path = f"/columns/{self.column}/"
        self.site.wait_for_job("import", lambda job: job.is_over, seconds=900, what="the import is over")
        took = self.job_seconds("import")
        self.note("import: start to all rows visible, s", took["total_s"])
        self.note("import, rows per second", round(self.n_rows / took["total_s"]))
        self.note("import / bare", round(took["total_s"] / bare, 1))
        self.note("import: worker memory, MB", round(memory["worker"].peak_mb))
        self.jobs_over()

    def first_assignment(self) -> None:
        took = self.job_seconds("update")
        self.note("vectors and features of all texts, s", took["work_s"])
        self.step("add_topics", column=self.column)
        self.jobs_over()
        self.note("first topics for all rows (no reviews), s", self.job_seconds("update")["work_s"])

    def pages(self) -> None:
        client = Connection(self.site)
        n = self.options.requests
        rows = self.path + "rows/"
        late = base64.urlsafe_b64encode(json.dumps([int(self.n_rows * 0.9)]).encode()).decode().rstrip("=")
        topics = list(self.step("open_rows", column=self.column, n=1)["topics"].values())
        wanted = {
            "page: whole view, first rows": (self.path, True),
            "page: rows, first 50": (rows, False),
            f"page: rows after row {int(self.n_rows * 0.9):,}": (f"{rows}?after={late}", False),
            "page: least certain first": (f"{rows}?sort=certainty", False),
            "page: filter by a common word": (f"{rows}?q=kitchen", False),
            "page: filter by a word that never occurs": (f"{rows}?q=xylophonist", False),
            "page: filter by a topic": (f"{rows}?topic={topics[0]}", False),
            "page: filter by a topic, after row 90 %": (f"{rows}?topic={topics[0]}&after={late}", False),
            "page: not reviewed, negative": (f"{rows}?reviewed=no&sentiment=-1", False),
            "page: project list": ("/", True),
        }
        for name, (path, page) in wanted.items():
            self.note(name, measure(partial(client.request, path, page=page), n, self.web))
        for name, path in (
            ("count of rows", "rows/count/"),
            ("results tab", "results/"),
            ("statistics tab", "statistics/"),
        ):
            took, status, text = client.request(self.path + path)
            assert status == 200, text[:300]
            self.note(f"loads after the page: {name}, first time, ms", round(took * 1000))

    def light_update(self) -> None:
        """The first update that learns, which turns nearly all rows, and then the usual ones."""
        n = self.options.reviews
        first = self.update_after(n)
        self.note(f"light update after the first {n} reviews at once, 50 topics, s", first["total_s"])
        took = sorted((self.update_after(10) for _ in range(3)), key=lambda one: one["total_s"])[1]
        self.note("light update after 10 more reviews, s", took["total_s"])
        self.note("light update after 10 more reviews, stages, s", took["result"]["stages"])

    def update_after(self, n_reviews: int) -> dict[str, Any]:
        self.step("switch", column=self.column, on=False)
        self.step("review", column=self.column, n=n_reviews)
        self.step("switch", column=self.column, on=True)
        _, status, text = Connection(self.site).request(f"{self.path}ai/update/", [])
        assert status < 400, f"{status}: {text[:300]}"
        self.jobs_over()
        return self.job_seconds("update")

    def saves(self) -> None:
        """Save reviews one after the other, AI updates off and then on (as in daily use)."""
        found = self.step("open_rows", column=self.column, n=500)
        client = Connection(self.site)
        for name, on, part in (
            ("AI updates off", False, found["rows"][:201]),
            ("AI updates on", True, found["rows"][201:402]),
        ):
            self.step("switch", column=self.column, on=on)
            save_next = partial(self.save_next, client, iter(part))
            self.note(f"review saved, {name}", measure(save_next, 200, self.web))
            self.jobs_over()

    def save_next(self, client: Connection, rows: Iterator[list[Any]]) -> tuple[float, int, str]:
        return self.save(client, next(rows))

    def save(self, client: Connection, row: list[Any]) -> tuple[float, int, str]:
        fields = [("revision", row[1]), *choices(row[2])]
        return client.request(f"{self.path}rows/{row[0]}/review/", fields)

    def focus(self) -> None:
        """Walk through focus mode: each request saves a review and brings the next card."""
        topics = self.step("open_rows", column=self.column, n=1)["topics"]
        client = Connection(self.site)
        for name, on in (("AI updates off", False), ("AI updates on", True)):
            self.step("switch", column=self.column, on=on)
            card = {"text": client.request(f"{self.path}focus/", page=True)[2]}
            next_card = partial(self.next_card, client, card, topics)
            self.note(f"focus: save and next card, {name}", measure(next_card, self.options.requests, self.web))
            self.jobs_over()

    def next_card(
        self, client: Connection, card: dict[str, str], topics: dict[str, int]
    ) -> tuple[float, int, str]:
        hidden = {
            name: value
            for name, value in hidden_fields(card["text"]).items()
            if name in {"verbatim", "revision", "card", "skip"}
        }
        text = self.site.sql("SELECT text FROM rows_verbatim WHERE id = %s", int(hidden["verbatim"]))[0][0]
        decided = choices(decide(text, topics))
        answer = client.request(f"{self.path}focus/review/", [*hidden.items(), *decided])
        card["text"] = answer[2]
        return answer

    def clients(self) -> None:
        """Eight people save reviews for some time, each as fast as the server answers; AI updates on."""
        found = self.step("open_rows", column=self.column, n=20_000)
        parts = [found["rows"][number::8] for number in range(8)]
        times: list[float] = []
        errors: list[str] = []
        deadline = time.monotonic() + self.options.load_s

        def person(number: int) -> None:
            client = Connection(self.site)
            for row in parts[number]:
                if time.monotonic() > deadline:
                    return
                took, status, text = self.save(client, row)
                times.append(took)
                if status != 200:
                    errors.append(f"{status}: {text[:200]}")

        threads = [threading.Thread(target=person, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors[:3]
        self.note(f"review saved, 8 clients for {self.options.load_s} s", summary(times))
        self.note("reviews per second, 8 clients", round(len(times) / self.options.load_s))
        self.jobs_over()

    def exports(self) -> None:
        for kind in ("csv", "xlsx"):
            took = self.step("export", column=self.column, kind=kind, path=str(self.site.folder / f"out.{kind}"))
            self.note(f"export {kind}, s", round(took["seconds"], 2))
            self.note(f"export {kind}, rows per second", round(self.n_rows / took["seconds"]))
            self.note(f"export {kind}, peak memory, MB", round(took["rss_mb"]))


def choices(decided: list[tuple[int, int]]) -> list[tuple[str, Any]]:
    """Return the form fields of topics with sentiments."""
    return [
        *(("topic", topic) for topic, _ in decided),
        *((f"sentiment-{topic}", sentiment) for topic, sentiment in decided),
    ]


def bare_import_again(site: Site, path: Path) -> float:
    (site.folder / "bare.sqlite3").unlink(missing_ok=True)
    return bare_import(site, path)


def show(value: Any) -> str:
    if isinstance(value, dict) and "p50_ms" in value:
        cpu = f"   server CPU {value['cpu_ms']:>6} ms" if "cpu_ms" in value else ""
        times = "   ".join(f"{name} {value[name + '_ms']:>7} ms" for name in ("min", "p50", "p95"))
        return f"{times}{cpu}   (n = {value['n']})"
    if isinstance(value, dict) and "plan" in value:
        return f"{value['ms']:>7} ms {value['pages']:>8,} pages   {value['plan']}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:g}" for name, number in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(results: list[dict[str, Any]]) -> str:
    """Return all results side by side, as Markdown."""
    names = list(dict.fromkeys(name for one in results for name in one["results"]))
    heads = [f"{one['database']}, {one['rows']:,}" for one in results]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for name in names:
        cells = []
        for one in results:
            value = one["results"].get(name, "")
            if isinstance(value, dict) and "p50_ms" in value:
                cpu = f" (CPU {value['cpu_ms']:g})" if "cpu_ms" in value else ""
                cells.append(f"{value['p50_ms']:g} / {value['p95_ms']:g} ms{cpu}")
            else:
                cells.append(show(value) if value != "" else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000", help="sizes, with commas")
    parser.add_argument("--database", choices=["both", "postgresql", "sqlite"], default="both")
    parser.add_argument("--encoder", choices=["quick", "real"], default="quick")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="CSV.GZ with date, listing_id and text; else made up"
    )
    parser.add_argument("--only", choices=["filters"], help="every kind of filter, without AI updates")
    parser.add_argument(
        "--keep", type=Path, help="with --only filters: a folder where database and files stay for the next run"
    )
    parser.add_argument("--requests", type=int, default=200, help="requests per page")
    parser.add_argument("--reviews", type=int, default=300, help="reviews before the light update")
    parser.add_argument("--load-s", type=int, default=30, help="seconds with 8 clients")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results" / f"app-{date.today()}.json")
    options = parser.parse_args()

    if options.keep and options.only != "filters":
        parser.error("--keep goes with --only filters")
    databases = ["postgresql", "sqlite"] if options.database == "both" else [options.database]
    found: list[dict[str, Any]] = []
    folder = Path(tempfile.mkdtemp(prefix="topicassign-bench-"))
    try:
        for n_rows in [int(size) for size in options.rows.split(",")]:
            source = folder / f"{n_rows}.csv"
            kept = [options.keep / f"{database}-{n_rows}" / "facts.json" for database in databases if options.keep]
            if not kept or not all(facts.exists() for facts in kept):
                write_table(source, options.data, n_rows)
                print(f"{source.stat().st_size / 2**20:.0f} MB of CSV", flush=True)
            for database in databases:
                print(f"\n{database}, {n_rows:,} rows", flush=True)
                variables = {
                    "LIMIT_FILE_MB": "1000",
                    "JOB_LEASE_S": "60",
                    "JOB_RECOVERY_S": "5",
                    "LOG_LEVEL": "WARNING",
                }
                if options.encoder == "real":
                    variables["ENCODER_CLASS"] = "finetune.engine.Encoder"
                broker = "redis" if database == "postgresql" else "files"
                kind, home = (KeptSite, options.keep.resolve()) if options.keep else (Site, folder)
                with kind(home / f"{database}-{n_rows}", database=database, broker=broker, **variables) as site:
                    results = Bench(site, n_rows, source, options).run()
                found.append({"database": database, "rows": n_rows, "results": results})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "texts": str(options.data.name) if options.data.exists() else "made up",
        "encoder": options.encoder,
        "runs": found,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1))
    print(f"\n{table(found)}\n\n{json.dumps(report)}")


if __name__ == "__main__":
    main()
