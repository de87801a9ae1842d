"""Measure the CPU that a cached login adds to a connection over TLS, by driver.

Connections with a cached login alternate with connections of the driver itself, with a token as the password. The
figure is the median of the differences within the pairs. It includes what a login loses to caches that have gone cold
while the process waited for the server, which a tight loop would not show.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any, Callable

import asyncpg
import psycopg
import psycopg2
from _candidate import CANDIDATE, credential, static, tell
from azure_postgresql_auth import psycopg2 as entra2
from azure_postgresql_auth import psycopg3 as entra3
from azure_postgresql_auth import sqlalchemy as entra_sqlalchemy
from sqlalchemy import NullPool, create_engine

if TYPE_CHECKING:
    from collections.abc import Awaitable

PAIRS = 150
WARM_UP = 5


class Pairs:
    """The CPU of connections in pairs, in microseconds."""

    def __init__(self) -> None:
        """Begin without any."""
        self.ours: list[float] = []
        self.bare: list[float] = []

    def take(self, ours: Callable[[], Any], bare: Callable[[], Any]) -> Pairs:
        """Connect in the two ways in turns."""
        return asyncio.run(self.take_async(_awaitable(ours), _awaitable(bare)))

    async def take_async(self, ours: Callable[[], Awaitable[Any]], bare: Callable[[], Awaitable[Any]]) -> Pairs:
        """Do the same as `take` for coroutines."""
        for index in range(WARM_UP + PAIRS):
            for connect, spent in ((ours, self.ours), (bare, self.bare)):
                begun = time.process_time()
                connection = await connect()
                taken = time.process_time() - begun
                closed = connection.close()
                if closed is not None:
                    await closed
                if index >= WARM_UP:
                    spent.append(taken * 1e6)
        return self

    @property
    def added(self) -> float:
        """The median of the differences."""
        return statistics.median(ours - bare for ours, bare in zip(self.ours, self.bare))


def _awaitable(connect: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def once() -> Any:
        return connect()

    return once


def main() -> None:
    """Measure every driver that the candidate supports."""
    whose, fixed = credential(), static()
    # A new engine asks the server for its version and the like; raw connections do not.
    plain = create_engine("postgresql+psycopg://", poolclass=NullPool, connect_args=fixed)
    if CANDIDATE == "ours":
        entra = create_engine("postgresql+psycopg://", poolclass=NullPool)
        entra_sqlalchemy.enable_entra_authentication(entra, whose)
    else:
        entra = create_engine("postgresql+psycopg://", poolclass=NullPool, connect_args={"credential": whose})
        entra_sqlalchemy.enable_entra_authentication(entra)
    pairs = {
        "psycopg 3": Pairs().take(
            lambda: entra3.EntraConnection.connect(credential=whose), lambda: psycopg.connect(**fixed)
        ),
        "psycopg2": Pairs().take(
            lambda: entra2.EntraConnection("", credential=whose), lambda: psycopg2.connect("", **fixed)
        ),
        "SQLAlchemy": Pairs().take(entra.raw_connection, plain.raw_connection),
    }
    if CANDIDATE == "ours":
        from azure_postgresql_auth import asyncpg as entra_asyncpg  # the other package has no such module

        pairs["asyncpg"] = asyncio.run(
            Pairs().take_async(lambda: entra_asyncpg.connect(credential=whose), lambda: asyncpg.connect(**fixed))
        )
    figures = {f"{driver}, us": taken.added for driver, taken in pairs.items()}
    tell(
        {**figures, **{f"{driver}: with a token, us": statistics.median(taken.bare) for driver, taken in pairs.items()}}
    )


if __name__ == "__main__":
    main()
