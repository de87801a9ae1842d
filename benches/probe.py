"""One measurement in one process: `probe.py CANDIDATE WHAT` prints its figures as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import timeit
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

CALLS = 20_000


def micros(call: Callable[[], object]) -> float:
    """Microseconds that a call takes at best, over several series."""
    return min(timeit.repeat(call, number=CALLS, repeat=15)) / CALLS * 1e6


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


def measure_added(candidate: str) -> dict[str, float]:
    """CPU that a cached login adds to a connection: ours less the driver's own, both to a socket that is not there.

    What TLS and the server take is the same for both and a hundred times as much, so it is left out.
    """
    if candidate != "ours":
        return {}
    import psycopg
    import psycopg2
    from azure_postgresql_auth import psycopg2 as ours2
    from azure_postgresql_auth import psycopg3 as ours3
    from azure_postgresql_auth import sqlalchemy as ours_sqlalchemy
    from sqlalchemy import NullPool, create_engine

    whose = credential(candidate)
    nowhere = "host=/nowhere dbname=x"
    static: dict[str, Any] = {"user": os.environ["BENCH_USER"], "password": os.environ["BENCH_TOKEN"]}
    url = "postgresql+psycopg://@/x?host=/nowhere"
    plain = create_engine(url, poolclass=NullPool, connect_args=static)
    entra = create_engine(url, poolclass=NullPool)
    ours_sqlalchemy.enable_entra_authentication(entra, whose)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "psycopg 3": (
            lambda: ours3.EntraConnection.connect(nowhere, credential=whose),
            lambda: psycopg.connect(nowhere, **static),
        ),
        "psycopg2": (
            lambda: ours2.EntraConnection(nowhere, credential=whose),
            lambda: psycopg2.connect(nowhere, **static),
        ),
        "SQLAlchemy": (entra.connect, plain.connect),
    }
    found = {f"added to a connection by {name}, us": added(ours, bare) for name, (ours, bare) in pairs.items()}
    found["added to a connection by asyncpg, us"] = asyncio.run(added_to_asyncpg(whose, static))
    return found


SERIES = 30
CONNECTIONS = 60


def added(ours: Callable[[], object], bare: Callable[[], object]) -> float:
    """Microseconds of CPU between two failing calls, each in the best of many series, taken in turns."""
    best = [float("inf"), float("inf")]
    for _ in range(SERIES):
        for index, connect in enumerate((ours, bare)):
            begun = time.process_time()
            for _ in range(CONNECTIONS):
                with contextlib.suppress(Exception):
                    connect()
            best[index] = min(best[index], time.process_time() - begun)
    return (best[0] - best[1]) / CONNECTIONS * 1e6


async def added_to_asyncpg(whose: Any, static: dict[str, Any]) -> float:
    """The same for asyncpg."""
    import asyncpg
    from azure_postgresql_auth import asyncpg as ours

    place = {"host": "/nowhere", "database": "x"}
    ways: list[Callable[[], Any]] = [
        lambda: ours.connect(**place, credential=whose),
        lambda: asyncpg.connect(**place, **static),
    ]
    best = [float("inf"), float("inf")]
    for _ in range(SERIES):
        for index, connect in enumerate(ways):
            begun = time.process_time()
            for _ in range(CONNECTIONS):
                with contextlib.suppress(Exception):
                    await connect()
            best[index] = min(best[index], time.process_time() - begun)
    return (best[0] - best[1]) / CONNECTIONS * 1e6


def measure_gap(candidate: str) -> dict[str, float]:
    """Longest time that a 5 ms ticker had to wait while 5 first connections waited for a slow identity endpoint."""
    if candidate == "static password":
        return {}
    import azure_postgresql_auth.psycopg3 as entra

    class Slow:
        def get_token(self, *_: str, **__: Any) -> Any:
            time.sleep(0.5)
            return SimpleNamespace(token=os.environ["BENCH_TOKEN"], expires_on=int(time.time() + 3600))

    if candidate == "ours":
        from azure_postgresql_auth import asyncpg as ours_asyncpg
        from azure_postgresql_auth import sqlalchemy as ours_sqlalchemy
        from sqlalchemy import NullPool

        async def psycopg3(whose: Any) -> None:
            await (await entra.AsyncEntraConnection.connect(credential=whose)).close()

        async def asyncpg(whose: Any) -> None:
            await (await ours_asyncpg.connect(host="localhost", credential=whose)).close()

        place = f"postgresql+asyncpg://localhost:{os.environ['PGPORT']}/postgres"
        engines: dict[int, Any] = {}

        async def sqlalchemy(whose: Any) -> None:
            async with engines[id(whose)].connect():
                pass

        ways = {"psycopg 3": psycopg3, "asyncpg": asyncpg, "SQLAlchemy": sqlalchemy}
        kinds = {"native": lambda: credential(candidate), "synchronous": Slow}

        def prepared(kind: str) -> Any:
            """A credential, and what a program sets up before its loop runs."""
            whose = kinds[kind]()
            engines[id(whose)] = ours_sqlalchemy.create_asyncpg_engine(place, whose, poolclass=NullPool)
            return whose

        return {
            f"longest gap of the loop, {way}, {kind} credential, ms": asyncio.run(gap(ways[way], prepared(kind)))
            for way in ways
            for kind in kinds
        }

    async def official(whose: Any) -> None:
        await (await entra.AsyncEntraConnection.connect(credential=whose)).close()

    from azure.identity.aio import ManagedIdentityCredential

    return {
        "longest gap of the loop, psycopg 3, native credential, ms": asyncio.run(
            gap(official, ManagedIdentityCredential())
        )
    }


async def gap(connect: Callable[[Any], Any], whose: Any) -> float:
    """Milliseconds that the ticker was late at worst."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            worst = max(worst, time.perf_counter() - begun - 0.005)

    ticker = asyncio.ensure_future(tick())
    await asyncio.sleep(0.05)
    await asyncio.gather(*(connect(whose) for _ in range(5)))
    ticker.cancel()
    if hasattr(whose, "close") and (closing := whose.close()):
        await closing
    return worst * 1e3


MEASURES: dict[str, Callable[[str], dict[str, float]]] = {
    "import": measure_import,
    "cached": measure_cached,
    "login": measure_login,
    "added": measure_added,
    "gap": measure_gap,
}

if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[2]](sys.argv[1])))
