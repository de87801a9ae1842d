"""One measurement in one process: `probe.py CANDIDATE WHAT` prints its figures as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
import timeit
from pathlib import Path
from typing import Any, Callable

CALLS = 20_000


def micros(call: Callable[[], object]) -> float:
    """Microseconds that a call takes at best, over several series."""
    return min(timeit.repeat(call, number=CALLS, repeat=5)) / CALLS * 1e6


def credential(candidate: str) -> Any:
    """A managed identity, in each candidate's way."""
    if candidate == "ours":
        from azure_postgresql_auth.identity import ManagedIdentityCredential

        return ManagedIdentityCredential()
    from azure.identity import ManagedIdentityCredential as Official

    return Official()


def measure_import(candidate: str) -> dict[str, float]:
    """What importing costs above psycopg's own import."""
    import psycopg

    _ = psycopg
    found = {}
    begun = time.perf_counter()
    if candidate == "ours":
        import azure_postgresql_auth._core as extension

        _ = extension
        found["import of the extension, ms"] = (time.perf_counter() - begun) * 1e3
    if candidate != "static password":
        from azure_postgresql_auth import psycopg3

        _ = psycopg3
        credential(candidate)
    found["import above psycopg's, with a credential made, ms"] = (time.perf_counter() - begun) * 1e3
    return found


def measure_cached(candidate: str) -> dict[str, float]:
    """What a login costs when its token is cached."""
    if candidate == "static password":
        return {}
    from azure_postgresql_auth import core

    whose = credential(candidate)
    found = {"cached get_entra_conninfo, us": micros(lambda: core.get_entra_conninfo(whose))}
    if candidate == "ours":
        from azure_postgresql_auth import _credentials

        login = _credentials.adopt(whose).provider.login
        scope = core.AZURE_DB_FOR_POSTGRES_SCOPE
        found["cached login in Rust, us"] = micros(lambda: login(scope))
    return found


def measure_login(candidate: str) -> dict[str, float]:
    """From a started interpreter to the first row, and what is left then."""
    begun = time.perf_counter()
    if candidate == "static password":
        import psycopg

        connection = psycopg.connect(user=os.environ["BENCH_USER"], password=os.environ["BENCH_TOKEN"])
    else:
        from azure_postgresql_auth.psycopg3 import EntraConnection

        connection = EntraConnection.connect(credential=credential(candidate))
    connection.execute("SELECT 1").fetchone()
    elapsed = (time.perf_counter() - begun) * 1e3
    # Two milliseconds for a thread that has nothing left to do to end.
    time.sleep(0.002)
    status = Path("/proc/self/status").read_text("ascii")
    values = dict(line.split(":", 1) for line in status.splitlines())
    return {
        "first row, ms": elapsed,
        "memory after first row, MB": int(values["VmRSS"].split()[0]) / 1024,
        "threads left after first row": int(values["Threads"]) - 1,
    }


if __name__ == "__main__":
    kind = {"import": measure_import, "cached": measure_cached, "login": measure_login}[sys.argv[2]]
    print(json.dumps(kind(sys.argv[1])))
