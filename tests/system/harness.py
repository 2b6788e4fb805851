"""Real processes for tests: a site with its own folder, database and queue, and a small HTTP client.

    with Site(folder, database="postgresql", broker="redis") as site:
        site.migrate()
        worker = site.start_worker()
        web = site.start_web()
        browser = Browser(site.url)

Nothing here imports the product: what is tested runs in other processes, as it does for people.
"""

from __future__ import annotations

import atexit
import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

ROOT = Path(__file__).resolve().parents[2]
POSTGRES_URL = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
OURS = ("DATABASE_URL", "REDIS_URL", "DATA_DIR", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "SITE_URL", "QUEUE_NAME")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(check: Callable[[], Any], *, seconds: float = 30, what: str = "", pause_s: float = 0.05) -> Any:
    """Return the first true answer of `check`; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := check():
            return answer
        time.sleep(pause_s)
    raise AssertionError(f"not within {seconds:g} s: {what or check}")


class Process:
    """A started command with its output in a file, in a process group of its own."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as stream:
            self.popen = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=stream, stderr=stream,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def kill(self) -> None:
        """kill -9 for the process and everything it started."""
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait(10)

    def kill_child(self) -> None:
        """kill -9 for what the process started, which is the pool process that does the work."""
        children = self.children()
        assert children, f"{self.name} has no child"
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def terminate(self, *, seconds: float = 30) -> int:
        self.popen.terminate()
        return self.popen.wait(seconds)


class Site:
    """One installation of the product in a folder of its own."""

    def __init__(self, folder: Path, *, database: str = "sqlite", broker: str = "files", **variables: str) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self.database = database
        self.name = f"topicassign_system_{uuid.uuid4().hex[:10]}"
        self.port = free_port()
        self.environment = {name: value for name, value in os.environ.items() if name not in OURS}
        self.environment |= {
            "DATA_DIR": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "LOG_LEVEL": "INFO",
            "SITE_URL": self.url,
            "JOB_LEASE_S": "4",
            "JOB_RECOVERY_S": "1",
            "ENCODER_ALLOW_DOWNLOAD": "no",
            "ENCODER_CLASS": "bench.quick_encoder.QuickEncoder",
            **variables,
        }
        if database == "postgresql":
            base, _, query = POSTGRES_URL.partition("?")
            self.postgres_url = base.rsplit("/", 1)[0] + f"/{self.name}" + (f"?{query}" if query else "")
            self.environment["DATABASE_URL"] = self.postgres_url
        if broker == "redis":
            self.environment |= {"REDIS_URL": REDIS_URL, "QUEUE_NAME": self.name}
        self.redis = broker == "redis"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Site:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.database == "postgresql":
            self._admin_sql(f'CREATE DATABASE "{self.name}"')
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            process.kill()
        if self.database == "postgresql":
            self._admin_sql(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        if self.redis:
            client = redis.Redis.from_url(REDIS_URL)
            for key in client.scan_iter(match=f"*{self.name}*"):
                client.delete(key)

    @staticmethod
    def _admin_sql(statement: str) -> None:
        connection = psycopg2.connect(POSTGRES_URL)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    # --- processes -------------------------------------------------------------------------------
    def spawn(self, name: str, *command: str) -> Process:
        process = Process(
            name, [sys.executable, *command], self.environment, self.folder / f"{name}-{len(self.processes)}.log"
        )
        self.processes.append(process)
        return process

    def manage(
        self, *arguments: str, seconds: float = 180, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def shell(self, code: str) -> Any:
        """Run Python inside the product; returns what it assigned to `answer`."""
        code += "\nimport json; print('\\n' + json.dumps(answer, default=str))"
        done = self.manage("shell", "--verbosity", "0", "-c", f"answer = None\n{code}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def migrate(self) -> None:
        """Bring the database up to date: by copying one that was made before, which is quicker."""
        if self.database == "postgresql":
            self._admin_sql(f'DROP DATABASE "{self.name}"')
            self._admin_sql(f'CREATE DATABASE "{self.name}" TEMPLATE "{_template("postgresql")}"')
        else:
            (self.folder / "data").mkdir(parents=True, exist_ok=True)
            shutil.copy(_template("sqlite"), self.folder / "data" / "db.sqlite3")

    def collect_static(self) -> None:
        shutil.copytree(_static_files(), self.folder / "data" / "staticfiles", dirs_exist_ok=True)

    def start_worker(self, *options: str) -> Process:
        """Start a worker with the options of the product; returns once it is ready."""
        worker = self.spawn(
            "worker", "-m", "celery", "-A", "topicassign", "worker", "-P", "prefork", "-c", "1",
            "--without-gossip", "--without-mingle", "--loglevel", "INFO", "-n", f"{self.name}@%h", *options,
        )  # fmt: skip
        wait_until(
            lambda: " ready." in worker.output() or not worker.is_running, seconds=60, what="the worker is ready"
        )
        assert worker.is_running, worker.output()
        return worker

    def start_web(self) -> Process:
        """Start gunicorn as the image does; returns once it answers."""
        self.collect_static()
        web = self.spawn(
            "web", "-m", "gunicorn", "topicassign.wsgi:application", "--bind", f"127.0.0.1:{self.port}",
            "--worker-class", "gthread", "--workers", "2", "--threads", "4",
        )  # fmt: skip
        self.wait_for_web(web)
        return web

    def wait_for_web(self, process: Process, *, seconds: float = 60) -> None:
        def answers() -> bool:
            assert process.is_running, process.output()
            with contextlib.suppress(OSError):
                return Browser(self.url).get("/health/").status > 0
            return False

        wait_until(answers, seconds=seconds, what="the web server answers")

    # --- the database ----------------------------------------------------------------------------
    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read from the site's database, beside the product."""
        if self.database == "postgresql":
            connection: Any = psycopg2.connect(self.postgres_url)
        else:
            connection = sqlite3.connect(self.folder / "data" / "db.sqlite3", timeout=10)
            query = query.replace("%s", "?")
        try:
            cursor = connection.cursor()
            cursor.execute(query, values)
            return list(cursor.fetchall())
        finally:
            connection.close()

    def job(self, kind: str) -> JobSeen | None:
        """Return the newest job of a kind."""
        found = self.sql(
            "SELECT state, stage, done, total, attempts, error, claimed_by FROM projects_job WHERE kind = %s "
            "ORDER BY created_at DESC LIMIT 1",
            kind,
        )
        return JobSeen(*found[0]) if found else None

    def wait_for_job(self, kind: str, check: Callable[[JobSeen], Any], *, seconds: float, what: str) -> JobSeen:
        def look() -> JobSeen | None:
            seen = self.job(kind)
            return seen if seen is not None and check(seen) else None

        try:
            found: JobSeen = wait_until(look, seconds=seconds, what=what, pause_s=0.01)
        except AssertionError as error:
            logs = "\n".join(process.output()[-3000:] for process in self.processes)
            raise AssertionError(f"{error}; the job is {self.job(kind)}\n{logs}") from None
        return found


@cache
def _template(database: str) -> str:
    """Make an empty database with all migrations, once per run; returns its file or its name."""
    folder = Path(tempfile.mkdtemp(prefix="topicassign-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    site = Site(folder, database=database)
    site.__enter__()
    site.manage("migrate", "--noinput", "--verbosity", "0")
    if database == "postgresql":
        atexit.register(site.__exit__)
        return site.name
    with contextlib.closing(sqlite3.connect(folder / "data" / "db.sqlite3")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return str(folder / "data" / "db.sqlite3")


@cache
def _static_files() -> Path:
    """Collect the static files, once per run; returns their folder."""
    folder = Path(tempfile.mkdtemp(prefix="topicassign-static-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Site(folder).manage("collectstatic", "--noinput", "--verbosity", "0")
    return folder / "data" / "staticfiles"


@dataclass(frozen=True)
class JobSeen:
    state: str
    stage: str
    done: int
    total: int
    attempts: int
    error: str
    claimed_by: str

    @property
    def is_over(self) -> bool:
        return self.state in {"done", "failed", "cancelled"}


@dataclass
class Answer:
    status: int
    url: str
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Browser:
    """As little of a browser as forms need: cookies, the CSRF token, redirects, uploads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def get(self, path: str, **headers: str) -> Answer:
        return self._open(urllib.request.Request(urllib.parse.urljoin(self.url, path), headers=headers))

    def post(
        self,
        path: str,
        fields: dict[str, Any] | list[tuple[str, Any]] | None = None,
        files: dict[str, tuple[str, bytes]] | None = None,
        **headers: str,
    ) -> Answer:
        token = next((cookie.value for cookie in self.cookies if cookie.name == "csrftoken"), "") or ""
        pairs = [*(fields.items() if isinstance(fields, dict) else fields or [])]
        headers = {"X-CSRFToken": token, "Referer": self.url, **headers}
        if files:
            body, headers["Content-Type"] = _multipart(pairs, files)
        else:
            body = urllib.parse.urlencode(pairs, doseq=True).encode()
        return self._open(
            urllib.request.Request(urllib.parse.urljoin(self.url, path), data=body, headers=headers, method="POST")
        )

    def sign_in(self, username: str, password: str) -> Answer:
        login = self.get("/")
        forms = re.findall(r"<form.*?</form>", login.text, re.DOTALL)  # another one changes the language
        hidden = next(hidden_fields(form) for form in forms if 'name="password"' in form)
        return self.post(login.url, {"username": username, "password": password, **hidden})

    def _open(self, request: urllib.request.Request) -> Answer:
        try:
            with self.opener.open(request, timeout=60) as response:
                return Answer(response.status, response.url, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.url or "", error.headers, error.read())


def hidden_fields(html: str) -> dict[str, str]:
    """Return name and value of the hidden inputs of a page."""
    found = {}
    for tag in re.findall(r"<input[^>]*type=[\"']?hidden[\"']?[^>]*>", html):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name:
            found[name[1]] = value[1] if value else ""
    return found


def _multipart(pairs: list[tuple[str, Any]], files: dict[str, tuple[str, bytes]]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in pairs
    ]
    for name, (file_name, content) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
