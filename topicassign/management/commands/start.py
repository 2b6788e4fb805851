"""`manage.py start`: the whole product with one command, and all its state under DATA_DIR."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from types import FrameType
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command
from django.core.management.base import CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

RESTARTS = 5  # of the worker ...
WITHIN_S = 60  # ... in this time; after that it rests as long before the next try
PATIENCE_S = 10  # for what is running when the product is stopped; a job goes on at the next start
READY_S = 60
WINDOWS = sys.platform == "win32"


class Command(BaseCommand):
    help = "Start TopicAssign: web server and worker. The state of the embedded default lives under DATA_DIR."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="default 8000")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default 127.0.0.1")
        parser.add_argument("--no-worker", action="store_true", help="only the web server")
        parser.add_argument("--sample", action="store_true", help="load the sample project, once")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        check_port(host, port)
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104  (compared, not bound)
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        self.prepare()
        # Children run in the same folder with the same settings, whatever was relative for us.
        environment = {
            **os.environ,
            "DATA_DIR": str(settings.DATA_DIR),
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "topicassign.settings"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])),
            "SITE_URL": os.environ.get("SITE_URL") or url,
        }
        logins = self.load_sample(environment) if options["sample"] else []
        starter = Starter(self, environment, host, port, with_worker=not options["no_worker"])
        if starter.run(lambda: self.welcome(url, logins)):
            raise CommandError("The web server stopped. Its messages above say why.")

    def prepare(self) -> None:
        """Bring database and static files up to date."""
        connection = connections[DEFAULT_DB_ALIAS]
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self.stdout.write("Preparing the database …")
            call_command("migrate", verbosity=0, interactive=False)
        connections.close_all()
        stamp = settings.STATIC_ROOT / ".source"
        source = static_digest()
        if not settings.DEBUG and (not stamp.exists() or stamp.read_text() != source):
            self.stdout.write("Preparing the static files …")
            call_command("collectstatic", verbosity=0, interactive=False, clear=True)
            stamp.write_text(source)

    def load_sample(self, environment: dict[str, str]) -> list[dict[str, str]]:
        """Run `load_sample` in its own process, so that the encoder's memory is given back."""
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "load_sample", "--json"]
        done = subprocess.run(  # noqa: S603  (our own program)
            command,
            env={**environment, "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING")},
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise CommandError("The sample project could not be loaded. The message above says why.")
        return json.loads(done.stdout.strip().splitlines()[-1])["logins"]

    def welcome(self, url: str, logins: list[dict[str, str]]) -> None:
        lines = ["", f"TopicAssign is ready: {url}"]
        if logins:
            lines += ["", "Sign in (these passwords are shown once):"]
            lines += [f"  {login['username']:<8}  {login['password']}   {login['role']}" for login in logins]
        elif not get_user_model().objects.exists():
            lines += ["There is no account yet: python manage.py createsuperuser"]
        connections.close_all()
        lines += ["", "Stop with Ctrl+C.", ""]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def check_port(host: str, port: int) -> None:
    """Raise CommandError with a sentence if nobody can listen there."""
    if not 0 < port < 65536:
        raise CommandError(f"--port must be from 1 to 65535, got {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if not WINDOWS:  # there it would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(
                    f"Port {port} is in use by another program. "
                    f"Stop that one, or choose another port: start --port {port + 1}"
                ) from None
            raise CommandError(f"Cannot listen on {host}, port {port}: {error.strerror}.") from None


def static_digest() -> str:
    """Return a digest that changes when a static file or an installed app's version does."""
    import django

    found = hashlib.sha256(django.__version__.encode())
    for path in sorted((settings.BASE_DIR / "static").rglob("*")):
        if path.is_file():
            stat = path.stat()
            found.update(f"{path}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return found.hexdigest()


class Starter:
    """Two children: they start, are watched, and end together."""

    def __init__(
        self, command: Command, environment: dict[str, str], host: str, port: int, *, with_worker: bool
    ) -> None:
        self.command = command
        self.environment = environment
        self.host, self.port = host, port
        self.with_worker = with_worker
        self.web: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.starts: deque[float] = deque()
        self.rest_until = 0.0
        self.stopping = False

    def run(self, welcome: Any) -> int:
        """Run until a signal or the end of the web server. Returns 0 for the former."""
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, self.on_signal)
        try:
            self.web = self.spawn(
                "-m", "waitress", f"--listen={self.host}:{self.port}", "--threads=8", "--ident=TopicAssign",
                "topicassign.wsgi:application",
            )  # fmt: skip
            if self.with_worker:
                self.start_worker()
            shown, deadline = False, time.monotonic() + READY_S
            while not self.stopping:
                if self.web.poll() is not None:
                    return 1
                if not shown and (self.answers() or time.monotonic() > deadline):
                    shown = True
                    welcome()
                if self.with_worker:
                    self.watch_worker()
                time.sleep(0.2)
            return 0
        finally:
            self.stop()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a child in a process group of its own: Ctrl+C reaches only us, we pass it on in order."""
        options: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if WINDOWS
            else {"start_new_session": True, "preexec_fn": _end_with_parent}
        )
        return subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, *arguments], env=self.environment, **options
        )

    def start_worker(self) -> None:
        # Two: an import or a light update need not wait for a deep update, which takes minutes.
        pool = ["-P", "threads", "-c", "2"] if WINDOWS else ["-P", "prefork", "-c", "2"]
        self.starts.append(time.monotonic())
        self.worker = self.spawn(
            # The queue is ours and carries JSON only, so running as root is no open door.
            "-W", "ignore:You're running the worker", "-m", "celery", "--quiet", "-A", "topicassign",
            "worker", *pool, "--without-gossip", "--without-mingle",
            "--loglevel", settings.LOGGING["root"]["level"],
        )  # fmt: skip

    def watch_worker(self) -> None:
        """Start a dead worker again; one that dies at once gets a rest in between."""
        now = time.monotonic()
        if self.worker is not None:
            if self.worker.poll() is None:
                return
            code, self.worker = self.worker.returncode, None
            while self.starts and self.starts[0] < now - WITHIN_S:
                self.starts.popleft()
            if len(self.starts) >= RESTARTS:
                self.rest_until = now + WITHIN_S
                self.say(
                    f"The worker stopped {RESTARTS} times within {WITHIN_S} s, last with status {code}. "
                    f"Pages work, imports and AI updates wait. Next try in {WITHIN_S} s."
                )
            else:
                self.say(f"The worker stopped with status {code}; starting it again.")
        if now >= self.rest_until:
            self.start_worker()

    def answers(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        try:
            with socket.create_connection((host, self.port), timeout=1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """End both children: ask, wait, insist. A job cut off here goes on at the next start."""
        children = [child for child in (self.web, self.worker) if child is not None]
        for child in children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + PATIENCE_S
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say("Something is still running; it goes on at the next start.")
            if not WINDOWS:
                # What is left of the group: the pool's process, or one that outlived its worker.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            elif child.poll() is None:
                child.kill()
            child.wait()

    def say(self, message: str) -> None:
        self.command.stderr.write(message)
        self.command.stderr.flush()


def _end_with_parent() -> None:
    """In the child, on Linux: get SIGTERM when the starter ends, even by kill -9."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
