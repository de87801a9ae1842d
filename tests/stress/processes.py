"""Forks and exits in the middle of fetches, by the thousand, on every CPython here, with the wheel of `make wheel`.

    python -m tests.stress.processes [VERSION ...]

Prints what happened as JSON. tests/stress/process_load.py is what runs in each interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth.emulator import Emulator

from tests.stress.process_load import ENDINGS, EXIT_CODE, KINDS
from tests.support.emulator import hidden_world
from tests.support.wheels import VERSIONS, WHEELS, interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LOAD = Path(__file__).with_name("process_load.py")
# 5,000 forks and 5,000 exits on each CPython.
FORKS = 22
"""Processes for each kind of credential that fork `AT_A_TIME` children in the middle of fetches."""
FIRSTS = 75
"""Processes of each kind that fork 2 children while a thread is the first of all to ask for a token."""
EXITS = 5
"""Processes for each way to end that have `AT_A_TIME` children end so."""
ENDS = 84
"""Processes that end in each of these ways themselves."""
AT_A_TIME = 50
SECONDS = 600
AT_ONCE = 4

Job = tuple[str, list[str], int]
"""What it shows, the load's arguments, and the exit code that it must have."""


def environment(version: str) -> Path | None:
    """Return the Python of a virtual environment with only the wheel; None if this CPython is not installed."""
    python = interpreter(version)
    if python is None:
        return None
    home = ROOT / ".venv" / f"stress-{version}"
    # pip comes last: without it, making the environment was interrupted.
    if not (home / "bin" / "pip").exists():
        subprocess.run([python, "-m", "venv", "--clear", home], check=True)
    install = ["install", "--quiet", "--no-index", "--disable-pip-version-check", "--force-reinstall", str(WHEELS[-1])]
    subprocess.run([home / "bin" / "python", "-m", "pip", *install], check=True)
    return home / "bin" / "python"


def jobs() -> Iterator[Job]:
    for kind in KINDS:
        for _ in range(FORKS):
            yield "forked in the middle", ["fork", kind, str(AT_A_TIME)], 0
        for _ in range(FIRSTS):
            yield "forked during the first use", ["first", kind, "2"], 0
    for ending in ENDINGS:
        for _ in range(EXITS):
            yield "exits of children", ["exits", ending, str(AT_A_TIME)], 0
        for number in range(ENDS):
            code = EXIT_CODE * (number % 2)
            yield "exits of processes", ["end", ending, *([str(code)] if code else [])], code


def run(python: Path, job: Job, variables: dict[str, str]) -> str:
    """Run a job, and return its error; "" if it succeeded."""
    _, arguments, expected = job
    try:
        done = subprocess.run(
            [python, "-I", LOAD, *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{arguments}: hangs"
    if (done.returncode, done.stderr, done.stdout) == (expected, "", ""):
        return ""
    return f"{arguments}: ended with {done.returncode}: {done.stdout}{done.stderr}"


def stress(python: Path, emulator: Emulator, variables: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    wrong: list[str] = []
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        todo = list(jobs())
        forks = [job for job in todo if job[0].startswith("forked")]
        # Short fetches for forks, which are to fall into them often; long ones and short lives for exits.
        for batch, latency, lifetime in ((forks, 0.01, 3600.0), ([job for job in todo if job not in forks], 0.1, 3.0)):
            emulator.latency, emulator.lifetime = latency, lifetime
            for job, said in zip(batch, pool.map(lambda job: run(python, job, variables), batch)):
                children = 1 if job[1][0] == "end" else int(job[1][2])
                found[job[0]] = found.get(job[0], 0) + children
                if said:
                    wrong.append(said)
    return {**found, "seconds": round(time.monotonic() - begun), "wrong": wrong}


def main() -> int:
    found = {}
    with hidden_world(), Emulator() as emulator:
        principal = emulator.add_identity("app", "service-principal")
        variables = {**emulator.env, **emulator.client_secret_env(principal)}
        for version in sys.argv[1:] or VERSIONS:
            python = environment(version)
            if python is not None:
                found[version] = stress(python, emulator, variables)
                print(version, json.dumps(found[version], indent=2), flush=True)  # noqa: T201
    return 1 if not found or any(story["wrong"] for story in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
