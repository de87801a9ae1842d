"""Measure the CPU that a cached login adds to a connection, by driver.

It is the difference between the package's `connect` and the driver's own with a token, both to a socket that does not
exist. The cost of TLS and of the server is the same for both and a hundred times as high, so it is excluded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Callable

import psycopg
import psycopg2
from _candidate import CANDIDATE, credential, static, tell
from azure_postgresql_auth import psycopg2 as entra2
from azure_postgresql_auth import psycopg3 as entra3
from azure_postgresql_auth import sqlalchemy as entra_sqlalchemy
from sqlalchemy import NullPool, create_engine

if TYPE_CHECKING:
    from collections.abc import Awaitable

SERIES = 40
CONNECTIONS = 20
NOWHERE = "host=/nowhere dbname=x"
URL = "postgresql+psycopg://@/x?host=/nowhere"


def both(ours: Callable[[], object], bare: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU of two failing calls in microseconds, each in the best of many series that alternate."""

    async def once(connect: Callable[[], object]) -> None:
        connect()

    return asyncio.run(both_async(lambda: once(ours), lambda: once(bare)))


async def both_async(
    ours: Callable[[], Awaitable[object]], bare: Callable[[], Awaitable[object]]
) -> tuple[float, float]:
    """Do the same as `costs` for coroutines."""
    best = [float("inf"), float("inf")]
    for _ in range(SERIES):
        for index, connect in enumerate((ours, bare)):
            begun = time.process_time()
            for _ in range(CONNECTIONS):
                with contextlib.suppress(Exception):
                    await connect()
            best[index] = min(best[index], (time.process_time() - begun) / CONNECTIONS * 1e6)
    return best[0], best[1]


def main() -> None:
    """Measure every driver that the candidate supports."""
    whose, fixed = credential(), static()
    plain = create_engine(URL, poolclass=NullPool, connect_args=fixed)
    if CANDIDATE == "ours":
        entra = create_engine(URL, poolclass=NullPool)
        entra_sqlalchemy.enable_entra_authentication(entra, whose)
    else:
        entra = create_engine(URL, poolclass=NullPool, connect_args={"credential": whose})
        entra_sqlalchemy.enable_entra_authentication(entra)
    figures = {
        "psycopg 3": both(
            lambda: entra3.EntraConnection.connect(NOWHERE, credential=whose),
            lambda: psycopg.connect(NOWHERE, **fixed),
        ),
        "psycopg2": both(
            lambda: entra2.EntraConnection(NOWHERE, credential=whose),
            lambda: psycopg2.connect(NOWHERE, **fixed),
        ),
        "SQLAlchemy": both(entra.connect, plain.connect),
    }
    if CANDIDATE == "ours":
        import asyncpg
        from azure_postgresql_auth import asyncpg as entra_asyncpg

        place: dict[str, Any] = {"host": "/nowhere", "database": "x"}
        figures["asyncpg"] = asyncio.run(
            both_async(
                lambda: entra_asyncpg.connect(**place, credential=whose), lambda: asyncpg.connect(**place, **fixed)
            )
        )
    by_driver = [(f"{driver}: ", login, token) for driver, (login, token) in figures.items()]
    told = {f"{driver}with a login, us": login for driver, login, _ in by_driver}
    tell({**told, **{f"{driver}with a token, us": token for driver, _, token in by_driver}})


if __name__ == "__main__":
    main()
