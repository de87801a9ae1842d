"""Runs a soak from its beginning to its judgement."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.stress.soak import judgement
from tests.stress.soak.control import Control
from tests.stress.soak.events import Events
from tests.stress.soak.faults import KILLED, LIFETIME
from tests.stress.soak.samples import Sampler
from tests.stress.soak.services import Processes
from tests.stress.soak.storm import Storm

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.stress.soak.services import Process

PAUSE = 0.2
"""Seconds between two queries of a pool: for hours, beside other work."""
SHORT_PAUSE = 0.02
BUSY_AT_MOST = 0.05
"""The share of the time in which the machine may be too busy for a judgement on time-outs."""
POOLS = ("logins without the library", "psycopg", "psycopg async", "psycopg2", "asyncpg", "forked", "exits")
SERVED = (
    "django",
    "celery",
    "proxy",
    "pages with status 200",
    "tasks",
    "rows copied",
    "idle connections that lived",
    "warnings of the shared cache",
)
# Besides these, and what is reported as a failure, nothing is counted.
ALSO = (
    "queries of psycopg",
    "queries of psycopg async",
    "tokens of forked workers",
    "sessions of the proxy",
    "pages with status 503",
)


def soak(emulator: Emulator, seconds: float, folder: Path, *, everything: bool) -> dict[str, Any]:
    """Run the load and the storm, and return what happened; "judgement" lists what should not have.

    Args:
        emulator: what all of it runs against.
        seconds: for how long.
        folder: where logs, samples and failures go.
        everything: False for the pools only, without what takes minutes.
    """
    emulator.lifetime = LIFETIME
    principal = emulator.add_identity("app", "service-principal")
    variables = {**emulator.env, **emulator.client_secret_env(principal)}
    if everything:
        variables["AZURE_POSTGRESQL_AUTH_CACHE_DIR"] = str(folder / "tokens")
        (folder / "tokens").mkdir(mode=0o700)
    events = Events(folder)
    every = min(max(seconds / 1000, 0.25), 5.0)
    try:
        with (
            (folder / "windows.jsonl").open("w", encoding="utf-8") as windows,
            Processes(folder, emulator, variables) as processes,
            Sampler(folder, every, events.counts) as sampler,
        ):
            storm = Storm(emulator, seconds, windows)
            processes.start("load", "tests.stress.soak.load", str(PAUSE if everything else SHORT_PAUSE))
            if everything:
                processes.start_servers()
                processes.start("clients", "tests.stress.soak.clients")
                storm.add_processes(processes.started)
                sampler.follow("emulator", os.getpid())
            for started in processes.started:
                sampler.follow(started.name, started.process.pid, family=started.has_workers)
            with Control(emulator, storm.busy) as control:
                storm.rage()
            emulator.heal()
            processes.end()
    finally:
        events.close()
    events.counts["logins without the library"] = control.logins
    return _report(folder, seconds, storm, events, processes)


def _report(folder: Path, seconds: float, storm: Storm, events: Events, processes: Processes) -> dict[str, Any]:
    everything = len(processes.started) > 1
    settled, complaints = _output_of_load(processes.started[0])
    allowed, failed = judgement.sort_out(folder, storm.windows)
    grew, growing = judgement.judge_growth(folder) if everything else ({}, [])
    expected = (*POOLS, *SERVED) if everything else POOLS
    wrong = [*processes.wrong, *complaints, *failed, *growing, *judgement.judge_broken(allowed, storm.killed)]
    wrong += [f"none of {client}" for client in expected if not events.counts[client]]
    wrong += [f"{number} of {client}" for client, number in events.counts.items() if client not in {*expected, *ALSO}]
    if settled:
        wrong += judgement.judge_settled(settled["before"], settled["after"])
    excused: dict[str, float] = {}
    for window in storm.windows:
        excused[window.kind] = excused.get(window.kind, 0.0) + window.ended - window.begun
    if excused.get("busy machine", 0.0) > seconds * BUSY_AT_MOST:
        wrong.append(f"the machine was too busy for {excused['busy machine']:.0f} s; run this where it is not")
    return {
        "seconds": seconds,
        "attempts that succeeded": dict(sorted(events.counts.items())),
        "attempts that were allowed to fail": allowed,
        "seconds in which attempts may fail": {kind: round(length) for kind, length in excused.items()},
        "threads and descriptors of the pools": settled,
        "growth": grew,
        "server": {"logins": storm.logins, "backends killed": storm.killed},
        "identity service": {"statuses": storm.statuses, "faults": storm.faults},
        "windows": dict(Counter(f"{window.kind}: {window.name}" for window in storm.windows)),
        "judgement": wrong,
    }


def _output_of_load(load: Process) -> tuple[dict[str, Any], list[str]]:
    """Return what the load has printed at its end, and what else is in its log."""
    lines = [line for line in load.log.read_text("utf-8", "replace").splitlines() if line.strip()]
    try:
        settled = json.loads(lines.pop()) if lines else {}
    except ValueError:
        settled = {}
    # libpq prints the server's messages on idle connections.
    return settled, [f"load: {line}" for line in lines if not any(words in line for words in KILLED)]
