"""Pools of four kinds in one process, with what it forks: python -m tests.stress.soak.load PAUSE.

A process of its own, so that what is measured there is the library and not the emulator. Runs until SIGTERM, and prints
its threads and descriptors before and after, when nothing is under way, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import threading
import time
import warnings
from typing import Any, Callable

from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth import identity
from azure_postgresql_auth.psycopg3 import AsyncEntraConnection, EntraConnection
from azure_postgresql_auth.sqlalchemy import enable_entra_authentication

from tests.stress.soak import events, forks, samples
from tests.stress.soak.faults import CONNECT_TIMEOUT, POOL_TIMEOUT

PAUSE = float(sys.argv[1])
"""Seconds between two queries of a pool."""
WARM_UP = 4.0
"""Seconds after which what is set up once is there."""


class DiskWarnings(logging.Handler):
    """Counts what the shared cache says of a disk that is full."""

    def emit(self, record: logging.LogRecord) -> None:
        if "shared cache" in record.getMessage():
            events.count("warnings of the shared cache")


class Counted(EntraConnection[Any]):
    """A connection of psycopg's pool, whose logins are counted where the pool makes them."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
        login = events.attempt("psycopg", kwargs["credential"])
        try:
            connection = super().connect(conninfo, **kwargs)
        except Exception as error:
            login.failed(error)
            raise
        login.succeeded()
        return connection


class AsyncCounted(AsyncEntraConnection[Any]):
    """The same of its asynchronous pool."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
        login = events.attempt("psycopg async", kwargs["credential"])
        try:
            connection = await super().connect(conninfo, **kwargs)
        except Exception as error:
            login.failed(error)
            raise
        login.succeeded()
        return connection


def psycopg_pool(credential: Any, stop: threading.Event) -> None:
    from psycopg import OperationalError
    from psycopg_pool import ConnectionPool

    keywords = {"credential": credential, "connect_timeout": CONNECT_TIMEOUT}
    with ConnectionPool(
        "", connection_class=Counted, kwargs=keywords, min_size=1, max_size=3, max_lifetime=0.3, timeout=POOL_TIMEOUT
    ) as pool:
        while not stop.is_set():
            query = events.attempt("queries of psycopg")
            try:
                with pool.connection() as connection:
                    connection.execute("SELECT 1")
                query.succeeded()
            except OperationalError as error:
                query.failed(error)
            time.sleep(PAUSE)


def psycopg_async_pool(credential: Any, stop: threading.Event) -> None:
    from psycopg import OperationalError
    from psycopg_pool import AsyncConnectionPool

    async def churn(pool: AsyncConnectionPool[AsyncCounted]) -> None:
        while not stop.is_set():
            query = events.attempt("queries of psycopg async")
            try:
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
                query.succeeded()
            except OperationalError as error:
                query.failed(error)
            await asyncio.sleep(PAUSE)

    async def run() -> None:
        keywords = {"credential": credential, "connect_timeout": CONNECT_TIMEOUT, "user": "app"}
        async with AsyncConnectionPool(
            "",
            connection_class=AsyncCounted,
            kwargs=keywords,
            min_size=1,
            max_size=3,
            max_lifetime=0.3,
            timeout=POOL_TIMEOUT,
        ) as pool:
            await asyncio.gather(churn(pool), churn(pool))

    asyncio.run(run())


def psycopg2_pool(credential: Any, stop: threading.Event) -> None:
    from sqlalchemy import QueuePool, create_engine, text

    # A service principal, whose token names no user.
    connect_args = {"credential": credential, "user": "app", "connect_timeout": CONNECT_TIMEOUT}
    engine = create_engine("postgresql+psycopg2://", connect_args=connect_args, poolclass=QueuePool, pool_size=1)
    enable_entra_authentication(engine)
    while not stop.is_set():
        login = events.attempt("psycopg2", credential)
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                connection.invalidate()  # the next one logs in
            login.succeeded()
        except Exception as error:  # noqa: BLE001 - judged later
            login.failed(error)
        time.sleep(PAUSE)
    engine.dispose()


def asyncpg_pool(credential: Any, stop: threading.Event) -> None:
    async def churn(pool: Any) -> None:
        while not stop.is_set():
            login = events.attempt("asyncpg", credential)
            try:
                await pool.fetchval("SELECT 1")
                login.succeeded()
            except Exception as error:  # noqa: BLE001 - judged later
                login.failed(error)
            await asyncio.sleep(PAUSE)

    async def run() -> None:
        # Each connection is good for one query.
        pool = await entra_asyncpg.create_pool(
            user="app", credential=credential, min_size=0, max_size=3, max_queries=1, timeout=CONNECT_TIMEOUT
        )
        await asyncio.gather(churn(pool), churn(pool))
        await pool.close()

    asyncio.run(run())


def churn(ended: threading.Event, seconds: float | None = None) -> None:
    """Run all of it for so long, or until the end."""
    stop = threading.Event()
    managed, secret, default = (
        identity.ManagedIdentityCredential(),
        identity.EnvironmentCredential(),
        identity.DefaultAzureCredential(),
    )
    parts: list[tuple[Callable[..., None], Any]] = [
        (psycopg_pool, managed),
        (psycopg_async_pool, default),
        (psycopg2_pool, secret),
        (asyncpg_pool, default),
        (forks.workers, [managed, secret, default]),
        (forks.exits, None),
    ]
    threads = [threading.Thread(target=part, args=(argument, stop), name=part.__name__) for part, argument in parts]
    for thread in threads:
        thread.start()
    ended.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(POOL_TIMEOUT)
        if thread.is_alive():
            sys.exit(f"{thread.name} hangs")


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later on forks of threaded processes
    # Pools discard connections of killed backends, and log this.
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    logging.getLogger("psycopg.pool").propagate = False
    logging.getLogger("azure_postgresql_auth").addHandler(DiskWarnings(logging.WARNING))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    churn(ended, WARM_UP)
    before = samples.settled(1, 6)
    churn(ended)
    after = samples.settled(before.threads, before.descriptors)
    print("\n" + json.dumps({"before": before._asdict(), "after": after._asdict()}))  # noqa: T201


if __name__ == "__main__":
    main()
