"""Measure how long five first connections block an event loop with an identity endpoint that takes 500 ms."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

from _candidate import CANDIDATE, connector_aio, credential, credential_aio, tell

if TYPE_CHECKING:
    from collections.abc import Awaitable

TICK = 0.005
CONNECTIONS = 5
IDLE = 0.6
"""Seconds for which the idle loop is measured: about as long as with the connections."""


class Slow:
    """A synchronous credential that blocks the thread while it waits."""

    def get_token(self, *_: str, **__: Any) -> Any:
        """Block, and return a token."""
        time.sleep(0.5)
        return SimpleNamespace(token=os.environ["BENCH_TOKEN"], expires_on=int(time.time() + 3600))


async def gaps(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the longest delay of a ticker in milliseconds, idle and during the work."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK)
            worst = max(worst, time.perf_counter() - begun - TICK)

    ticker = asyncio.ensure_future(tick())
    await asyncio.sleep(IDLE)
    idle, worst = worst, 0.0
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    ticker.cancel()
    return idle * 1e3, worst * 1e3


async def watched(work: Callable[[], Awaitable[object]], close: Callable[[], Awaitable[object]] | None) -> Any:
    """Measure, and close the candidate's resources."""
    found = await gaps(work)
    if close is not None:
        await close()
    return found


def by_psycopg3(whose: Any) -> Callable[[], Awaitable[object]]:
    """Connect with psycopg 3."""
    connect = connector_aio(whose)

    async def one() -> None:
        await (await connect()).close()

    return one


def by_asyncpg(whose: Any) -> Callable[[], Awaitable[object]]:
    """Connect with asyncpg."""
    from azure_postgresql_auth import asyncpg

    async def one() -> None:
        await (await asyncpg.connect(host="localhost", credential=whose)).close()

    return one


def by_sqlalchemy(whose: Any) -> Callable[[], Awaitable[object]]:
    """Connect with SQLAlchemy on asyncpg."""
    from azure_postgresql_auth import sqlalchemy
    from sqlalchemy import NullPool

    place = f"postgresql+asyncpg://localhost:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"
    engine = sqlalchemy.create_asyncpg_engine(place, whose, poolclass=NullPool)

    async def one() -> None:
        async with engine.connect():
            pass

    return one


def main() -> None:
    """Measure every driver that the candidate supports."""
    ways: dict[str, Callable[[], tuple[Callable[[], Awaitable[object]], Any]]] = {}
    if CANDIDATE == "ours":
        for driver, by in {"psycopg 3": by_psycopg3, "asyncpg": by_asyncpg, "SQLAlchemy": by_sqlalchemy}.items():
            ways[f"{driver}, native credential"] = lambda by=by: (by(credential()), None)  # type: ignore[misc]
            ways[f"{driver}, synchronous credential"] = lambda by=by: (by(Slow()), None)  # type: ignore[misc]
    elif CANDIDATE == "peer":

        def official() -> tuple[Callable[[], Awaitable[object]], Any]:
            whose = credential_aio()
            return by_psycopg3(whose), whose.close

        ways["psycopg 3, native credential"] = official
    else:
        ways["psycopg 3, no token to wait for"] = lambda: (by_psycopg3(None), None)
    figures = {}
    for name, prepare in ways.items():
        idle, worst = asyncio.run(watched(*prepare()))
        figures[f"{name}: idle, ms"] = idle
        figures[f"{name}: waiting, ms"] = worst
    tell(figures)


if __name__ == "__main__":
    main()
