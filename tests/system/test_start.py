"""`manage.py start`: one command serves everything, keeps its worker alive and ends cleanly."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from tests.system.harness import Browser, Process, Site, wait_until

pytestmark = pytest.mark.slow


def start(site: Site, *options: str) -> Process:
    starter = site.spawn("start", "manage.py", "start", "--port", str(site.port), *options)
    wait_until(
        lambda: "TopicAssign is ready" in starter.output() or not starter.is_running,
        seconds=90,
        what="it is ready",
    )
    assert starter.is_running, starter.output()
    return starter


def part(starter: Process, word: str) -> psutil.Process | None:
    """Return the child of the starter with a word in its command line."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(starter.pid).children():
            if word in child.cmdline():
                return child
    return None


def test_it_serves_and_works_with_all_its_state_in_one_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Site(tmp_path, HOME=str(elsewhere), TMPDIR=str(elsewhere)) as site:
        starter = start(site)
        assert f"TopicAssign is ready: {site.url}" in starter.output()
        assert "createsuperuser" in starter.output()
        page = Browser(site.url).get("/")
        assert page.status == 200
        assert "/login" in page.url
        assert page.headers["Content-Security-Policy"]
        assert "Django" not in (page.headers["Server"] or "")
        wait_until(lambda: " ready." in starter.output(), seconds=60, what="the worker is ready")
        children = psutil.Process(starter.pid).children(recursive=True)

        started = time.monotonic()
        assert starter.terminate() == 0
        assert time.monotonic() - started < 20
        assert not any(child.is_running() and child.status() != "zombie" for child in children)
        assert (tmp_path / "data" / "db.sqlite3").exists()
        assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o077 == 0
        assert (tmp_path / "data" / "queue").stat().st_mode & 0o077 == 0


def test_a_killed_worker_is_started_again_and_pages_go_on(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        starter = start(site)
        first = wait_until(lambda: part(starter, "celery"), what="there is a worker")
        wait_until(lambda: " ready." in starter.output(), seconds=60, what="the worker is ready")
        first.kill()
        second = wait_until(
            lambda: (found := part(starter, "celery")) and found.pid != first.pid and found,
            what="there is a new one",
        )
        assert second.pid != first.pid
        assert "starting it again" in starter.output()
        assert Browser(site.url).get("/").status == 200
        wait_until(lambda: starter.output().count(" ready.") >= 2, seconds=60, what="the new worker is ready")


def test_kill_9_of_the_starter_leaves_nothing_behind(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        starter = start(site)
        wait_until(lambda: " ready." in starter.output(), seconds=60, what="the worker is ready")
        children = psutil.Process(starter.pid).children(recursive=True)
        assert len(children) >= 2
        os.kill(starter.pid, signal.SIGKILL)
        starter.popen.wait(10)
        _, left = psutil.wait_procs(children, timeout=30)
        assert left == []


def test_a_port_in_use_is_told_in_one_sentence(tmp_path: Path) -> None:
    with Site(tmp_path) as site, socket.socket() as other:
        other.bind(("127.0.0.1", site.port))
        other.listen()
        done = site.manage("start", "--port", str(site.port), check=False)
        assert done.returncode == 1
        assert f"Port {site.port} is in use by another program." in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "data" / "db.sqlite3").exists()


def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path: Path) -> None:
    with Site(tmp_path, JOB_LEASE_S="soon") as site:
        done = site.manage("start", "--port", str(site.port), check=False)
        assert done.returncode != 0
        assert "JOB_LEASE_S must be a whole number, got 'soon'." in done.stderr
