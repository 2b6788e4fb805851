"""`make run` in a fresh folder: the sample project, three people, and pages that answer."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.system.harness import ROOT, Browser, Process, Site, wait_until

pytestmark = pytest.mark.slow


def make_run(site: Site) -> Process:
    run = Process(
        "make",
        ["make", "run", f"PORT={site.port}"],
        site.environment,
        site.folder / f"make-{len(site.processes)}.log",
    )
    site.processes.append(run)
    wait_until(
        lambda: "Stop with Ctrl+C" in run.output() or not run.is_running, seconds=300, what="make run is ready"
    )
    assert run.is_running, run.output()
    return run


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_make_run_serves_the_sample_project_once(tmp_path: Path) -> None:
    if not (ROOT / ".venv" / "bin" / "python").exists() and not os.environ.get("CI"):
        pytest.skip("make run would build .venv first")
    with Site(tmp_path) as site:
        for name in ("ENCODER_CLASS", "LOG_LEVEL"):
            del site.environment[name]  # as people start it: the real encoder, quiet
        run = make_run(site)
        logins = dict(re.findall(r"^  (admin|analyst|viewer) +(\S+)   \1$", run.output(), re.MULTILINE))
        assert set(logins) == {"admin", "analyst", "viewer"}
        assert f"TopicAssign is ready: {site.url}" in run.output()

        columns = site.sql("SELECT id FROM projects_column WHERE type = 'text_to_analyze' ORDER BY position")
        assert len(columns) == 2
        assert site.sql("SELECT COUNT(*) FROM rows_row")[0][0] >= 600
        assert site.sql("SELECT COUNT(*) FROM rows_verbatim WHERE is_reviewed")[0][0] >= 60
        assert site.sql("SELECT COUNT(*) FROM rows_assignment WHERE source = 'ai'")[0][0] > 300
        for name, password in logins.items():
            browser = Browser(site.url)
            home = browser.sign_in(name, password)
            assert home.status == 200
            assert "Harbour" in home.text
            for (column,) in columns:
                page = browser.get(f"/columns/{column}/")
                assert page.status == 200
                assert "Delivery" in page.text
        assert Browser(site.url).sign_in("admin", "wrong password").url.startswith(f"{site.url}/login")

        os.killpg(run.pid, signal.SIGINT)  # Ctrl+C in the terminal
        run.popen.wait(30)

        again = make_run(site)
        assert "Sign in" not in again.output()
        assert site.sql("SELECT COUNT(*) FROM projects_project") == [(1,)]
        assert "password" not in site.sql("SELECT password FROM auth_user WHERE username = 'admin'")[0][0]
