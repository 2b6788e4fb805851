"""Write requirements.lock: the exact version of every package, from the ranges in pyproject.toml.

    python scripts/lock.py        (or: make lock)

Resolves in a fresh virtual environment, first what the product needs, then what its development
needs on top, and writes both parts into one file. There are no hashes, because the CPU and the GPU
build of torch are different files of the same version. Use the oldest supported Python: its
resolution holds for the newer ones too.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
DEV_MARK = "# --- development and tests"
HEADER = """\
# The exact version of every package TopicAssign runs and is tested with, Python 3.11 to 3.14.
# Made by `make lock` from the ranges in pyproject.toml; do not edit.
"""
# Packages with a condition in pyproject.toml keep it here.
MARKERS = {"gunicorn": "platform_system != 'Windows'"}


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory(prefix="topicassign-lock-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        runtime = resolve(python, project["dependencies"], before=[])
        dev = resolve(python, project["optional-dependencies"]["dev"], before=runtime)
    only_dev = [line for line in dev if line not in runtime]
    LOCK.write_text("\n".join([HEADER, *runtime, "", f"{DEV_MARK} (everything below)", *only_dev, ""]))
    print(f"{LOCK.name}: {len(runtime)} packages to run, {len(only_dev)} more to develop.")


def resolve(python: Path, wanted: list[str], *, before: list[str]) -> list[str]:
    """Install `wanted` without touching the versions of `before`; return everything installed."""
    constraints = python.parent.parent / "constraints.txt"
    constraints.write_text("\n".join(before))
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "-c", str(constraints), *wanted], check=True)
    frozen = subprocess.run(
        [str(python), "-m", "pip", "freeze", "--all", "--exclude", "pip", "--exclude", "wheel"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = []
    for line in frozen.splitlines():
        match = re.match(r"^([A-Za-z0-9._-]+)==([^\s+]+)(\+\S+)?$", line)  # torch 2.13.0+cpu is torch 2.13.0
        if not match:
            raise SystemExit(f"Cannot lock this line of pip freeze: {line}")
        name, version = match[1], match[2]
        marker = MARKERS.get(name.lower())
        lines.append(f"{name}=={version}" + (f"; {marker}" if marker else ""))
    return lines


if __name__ == "__main__":
    main()
