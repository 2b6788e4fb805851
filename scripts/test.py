"""Run all tests: `make test`, or `python scripts/test.py [PART ...] [-- PYTEST OPTIONS]`.

    sqlite       unit and service tests, embedded database
    postgresql   the same tests that touch a database, on PostgreSQL
    browser      tests/e2e in Chromium
    system       tests/system: real server and worker processes, kills, the start command

The first two run side by side. Browser tests that fail are tried once more, as a browser on a busy machine
may miss its moment; what failed at first is shown all the same. What is not on the machine is left out and
named at the end; REQUIRE_SERVICES=1 makes that an error.
TEST_DATABASE_URL, TEST_REDIS_URL and CHROMIUM name other servers or another browser.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATABASE_URL = os.environ.get("TEST_DATABASE_URL") or "postgres://postgres@127.0.0.1:5432/postgres"
REDIS_URL = os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9"
REQUIRED = os.environ.get("REQUIRE_SERVICES") == "1"
PARTS = {
    "sqlite": ["tests", "--ignore=tests/e2e", "--ignore=tests/system"],
    "postgresql": ["tests", "--ignore=tests/e2e", "--ignore=tests/system", "--ignore=tests/engine"],
    "browser": ["tests/e2e"],
    "system": ["tests/system"],
}


def main(arguments: list[str]) -> int:
    options = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if unknown := set(names) - set(PARTS):
        print(f"No such part: {', '.join(sorted(unknown))}. There are: {', '.join(PARTS)}.")
        return 2
    missing = look_around()
    for service, reason in missing.items():
        print(f"Not here: {service} ({reason}).")
    if missing and REQUIRED:
        print("REQUIRE_SERVICES=1 asks for all of them.")
        return 1

    report: list[tuple[str, str, float, bool]] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="topicassign-tests-") as folder, ThreadPoolExecutor(1) as beside:
        wanted = list(names or PARTS)
        early: dict[str, Future[Result]] = {}
        if {"sqlite", "postgresql"} <= set(wanted) and "PostgreSQL" not in missing:
            early["postgresql"] = beside.submit(run_part, "postgresql", folder, options, quiet=True)
        for name in wanted:
            if (name == "postgresql" and "PostgreSQL" in missing) or (name == "browser" and "Chromium" in missing):
                service = "PostgreSQL" if name == "postgresql" else "Chromium"
                report.append((name, f"left out: {service} is not here", 0.0, True))
                continue
            print(f"\n##### {name}", flush=True)
            result = early[name].result() if name in early else run_part(name, folder, options)
            if name in early:
                print(result.output, end="", flush=True)
            if result.code:
                failures.append(f"--- {name}: what failed\n{result.failures()}")
            if name == "browser" and result.code == 1:
                print("\n##### browser: what failed, a second time", flush=True)
                again = run_part(name, folder, [*options, "--last-failed", "--last-failed-no-failures=none"])
                result.closing += f"; second try: {again.closing}"
                result.seconds += again.seconds
                result.code = again.code
            report.append((name, result.closing, result.seconds, result.code == 0))

    print("", *failures, sep="\n")  # once more at the end, where a long log is read first
    for name, closing, seconds, passed in report:
        print(
            f"{'ok    ' if passed else 'FAILED'}  {name:<11} {closing}"
            + (f"  [{seconds:.0f} s]" if seconds else "")
        )
    if "Redis" in missing:
        print(f"left out: tests with Redis ({missing['Redis']})")
    return 0 if all(passed for *_, passed in report) else 1


def look_around() -> dict[str, str]:
    """Return what is missing on this machine, with the reason."""
    missing: dict[str, str] = {}
    try:
        import psycopg2

        psycopg2.connect(DATABASE_URL, connect_timeout=3).close()
    except Exception as error:
        missing["PostgreSQL"] = str(error).strip().splitlines()[0]
    try:
        import redis

        redis.Redis.from_url(REDIS_URL, socket_connect_timeout=3).ping()
    except Exception as error:
        missing["Redis"] = str(error)
    if chromium() is None:
        missing["Chromium"] = "no chromium on the PATH; CHROMIUM may name one"
    return missing


def chromium() -> str | None:
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    return None


def environment(part: str, folder: str) -> dict[str, str]:
    """Return the variables of a part: nothing of the person's own settings, state in a temporary folder."""
    variables = dict(os.environ)
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "DEBUG",
        "ALLOWED_HOSTS",
        "SITE_URL",
        "DJANGO_SETTINGS_MODULE",
    ):
        variables.pop(name, None)
    variables["DATA_DIR"] = str(Path(folder) / part)
    (Path(folder) / part / "staticfiles").mkdir(parents=True, exist_ok=True)  # else whitenoise warns in every test
    variables["TEST_DATABASE_URL"] = DATABASE_URL
    variables["TEST_REDIS_URL"] = REDIS_URL
    if browser := chromium():
        variables["CHROMIUM"] = browser
    if part == "postgresql":
        variables["DATABASE_URL"] = DATABASE_URL
    variables["TEST_DB_SUFFIX"] = f"{variables.get('TEST_DB_SUFFIX', os.getpid())}_{part}"
    return variables


@dataclass
class Result:
    code: int
    closing: str  # pytest's last line
    seconds: float
    output: str

    def failures(self) -> str:
        """Return the lines of the assertions and pytest's summary, without their long reports."""
        lines = re.sub(r"\x1b\[[0-9;]*m", "", self.output).splitlines()
        return "\n".join(line[:300] for line in lines if re.match(r"E  |_{3,} |(FAILED|ERROR) |.*Error: ", line))


def run_part(name: str, folder: str, options: list[str], *, quiet: bool = False) -> Result:
    """Run one pytest call and pass its output through, or keep it for later."""
    command = [sys.executable, "-m", "pytest", *PARTS[name], "-o", f"cache_dir={folder}/{name}-cache", *options]
    if sys.stdout.isatty():
        command.append("--color=yes")
    began, closing, lines = time.monotonic(), "no result", []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(name, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if not quiet:
                print(line, end="", flush=True)
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
            if re.fullmatch(r"=* ?\d+ \w+.* in [0-9.]+s.*", plain):
                closing = plain.strip("= ")
    code = process.returncode
    if code == 5 and (options or not REQUIRED):  # nothing collected
        code, closing = 0, "no tests"
    return Result(code, closing, time.monotonic() - began, "".join(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
