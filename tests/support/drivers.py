"""All drivers and ways to connect, with a common interface."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, TypeVar

import psycopg2
import pytest
from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth import psycopg2 as entra_psycopg2
from azure_postgresql_auth import psycopg3 as entra_psycopg3
from azure_postgresql_auth import sqlalchemy as entra_sqlalchemy
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterator

Result = TypeVar("Result")
AZURE = "srv.postgres.database.azure.com"
WHO = "SELECT session_user"


class Driver(NamedTuple):
    """A way to connect; `who(url, credential, **keywords)` logs in and returns the user."""

    name: str
    who: Callable[..., str]
    error: type[Exception]
    """The driver's base class for failed connections."""
    asynchronous: bool = False
    libpq: bool = True

    def on(self, emulator: Any, **user_info: str) -> str:
        """Return the emulator's URL for this driver."""
        url: str = emulator.dsn if self.name != "sqlalchemy+pg8000" else emulator.dsn.partition("?")[0]
        user = ":".join(user_info.values())
        return url.replace("//", f"//{user}@") if user else url

    def via(self, port: int) -> tuple[str, dict[str, Any]]:
        """URL and keywords by which an Azure host's name leads to a port on this machine."""
        return f"postgresql://{AZURE}:{port}/postgres", {"hostaddr": "127.0.0.1"} if self.libpq else {}


def psycopg3(url: str, credential: Any = None, **keywords: Any) -> str:
    with entra_psycopg3.EntraConnection.connect(url, credential=credential, **keywords) as connection:
        row: Any = connection.execute(WHO).fetchone()
        return str(row[0])


async def psycopg3_async(url: str, credential: Any = None, **keywords: Any) -> str:
    async with await entra_psycopg3.AsyncEntraConnection.connect(url, credential=credential, **keywords) as connection:
        row: Any = await (await connection.execute(WHO)).fetchone()
        return str(row[0])


def wait_for(connection: Any) -> None:
    """Wait as `psycopg2.extras.wait_select` does, which hangs on Windows when the server cannot be reached.

    Windows reports an attempt to connect that failed as an exceptional condition, and not as a writable socket.
    """
    while (state := connection.poll()) != POLL_OK:
        reading, writing = ([connection] if state == wanted else [] for wanted in (POLL_READ, POLL_WRITE))
        select.select(reading, writing, [connection])


def asked(connection: Any) -> str:
    """Return psycopg2's current user, and close the connection."""
    try:
        if connection.async_:
            wait_for(connection)
        with connection.cursor() as cursor:
            cursor.execute(WHO)
            if connection.async_:
                wait_for(connection)
            return str(cursor.fetchone()[0])
    finally:
        connection.close()


def psycopg2_class(url: str, credential: Any = None, **keywords: Any) -> str:
    return asked(entra_psycopg2.EntraConnection(url, credential=credential, **keywords))


def psycopg2_connect(url: str, credential: Any = None, **keywords: Any) -> str:
    return asked(entra_psycopg2.EntraConnection.connect(url, credential=credential, **keywords))


def psycopg2_factory(url: str, credential: Any = None, **keywords: Any) -> str:
    factory: Any = partial(entra_psycopg2.EntraConnection, credential=credential)
    return asked(psycopg2.connect(url, connection_factory=factory, **keywords))


def psycopg2_async(url: str, credential: Any = None, **keywords: Any) -> str:
    factory: Any = partial(entra_psycopg2.EntraConnection, credential=credential)
    return asked(psycopg2.connect(url, connection_factory=factory, async_=True, **keywords))


async def asyncpg(url: str, credential: Any = None, **keywords: Any) -> str:
    connection = await entra_asyncpg.connect(url, credential=credential, **keywords)
    try:
        return str(await connection.fetchval(WHO))
    finally:
        await connection.close()


async def asyncpg_pool(url: str, credential: Any = None, **keywords: Any) -> str:
    async with entra_asyncpg.create_pool(url, credential=credential, min_size=1, max_size=2, **keywords) as pool:
        return str(await pool.fetchval(WHO))


def sqlalchemy_sync(driver: str, url: str, credential: Any = None, **keywords: Any) -> str:
    dialect = make_url(url).set(drivername=f"postgresql+{driver}")
    engine = create_engine(dialect, poolclass=NullPool, connect_args={"credential": credential, **keywords})
    entra_sqlalchemy.enable_entra_authentication(engine)
    with engine.connect() as connection:
        return str(connection.execute(text(WHO)).scalar())


async def sqlalchemy_async(driver: str, url: str, credential: Any = None, **keywords: Any) -> str:
    dialect = make_url(url).set(drivername=f"postgresql+{driver}")
    engine = create_async_engine(dialect, poolclass=NullPool, connect_args=keywords)
    entra_sqlalchemy.enable_entra_authentication_async(engine, credential)
    async with engine.connect() as connection:
        return str((await connection.execute(text(WHO))).scalar())


async def asyncpg_engine(url: str, credential: Any = None, **keywords: Any) -> str:
    dialect = make_url(url).set(drivername="postgresql+asyncpg")
    engine = entra_sqlalchemy.create_asyncpg_engine(dialect, credential, connect_args=keywords)
    try:
        async with engine.connect() as connection:
            return str((await connection.execute(text(WHO))).scalar())
    finally:
        await engine.dispose()


def run(way: Callable[..., Awaitable[str]], *, selector: bool = False) -> Callable[..., str]:
    """Return a function that runs a coroutine function on a new event loop.

    With `selector`, on an event loop that psycopg supports on Windows, too.
    """

    def call(*arguments: Any, **keywords: Any) -> str:
        async def main() -> str:
            return await way(*arguments, **keywords)

        return run_on_selector_loop(main()) if selector else asyncio.run(main())

    return call


def run_on_selector_loop(main: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`; on Windows on the kind of loop that psycopg supports."""
    if sys.platform != "win32":
        return asyncio.run(main)
    loop = asyncio.SelectorEventLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def drivers() -> list[Driver]:
    import asyncpg as driver_asyncpg
    import psycopg
    import sqlalchemy.exc

    pg3, pg2, apg, sa = (
        psycopg.OperationalError,
        psycopg2.OperationalError,
        driver_asyncpg.PostgresConnectionError,
        sqlalchemy.exc.OperationalError,
    )
    return [
        Driver("psycopg3", psycopg3, pg3),
        Driver("psycopg3-async", run(psycopg3_async, selector=True), pg3, asynchronous=True),
        Driver("psycopg2", psycopg2_class, pg2),
        Driver("psycopg2.connect", psycopg2_connect, pg2),
        Driver("psycopg2-factory", psycopg2_factory, pg2),
        Driver("psycopg2-async", psycopg2_async, pg2),
        Driver("asyncpg", run(asyncpg), apg, asynchronous=True, libpq=False),
        Driver("asyncpg-pool", run(asyncpg_pool), apg, asynchronous=True, libpq=False),
        Driver("sqlalchemy+psycopg", partial(sqlalchemy_sync, "psycopg"), sa),
        Driver("sqlalchemy+psycopg2", partial(sqlalchemy_sync, "psycopg2"), sa),
        Driver("sqlalchemy+pg8000", partial(sqlalchemy_sync, "pg8000"), sa, libpq=False),
        Driver(
            "sqlalchemy+psycopg-async", run(partial(sqlalchemy_async, "psycopg"), selector=True), sa, asynchronous=True
        ),
        Driver("sqlalchemy+asyncpg", run(partial(sqlalchemy_async, "asyncpg")), sa, asynchronous=True, libpq=False),
        Driver("create_asyncpg_engine", run(asyncpg_engine), sa, asynchronous=True, libpq=False),
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the sockets of refused connections to the garbage collector, as asyncpg and pg8000 do."""
    for item in items:
        if "driver" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


def pytest_collection_finish() -> None:
    """Take what is there for good out of the collections below, which cost more than most tests otherwise."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=drivers(), ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """All of them, one after the other."""
    yield request.param
    with warnings.catch_warnings():
        # asyncpg and pg8000 leave the sockets of connections that failed to the garbage collector, azure-identity those
        # of its session; found later, they would fail some other test.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def azure_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve Azure's names to this machine and no others, for drivers that resolve names in Python."""
    resolve = socket.getaddrinfo

    def here(host: Any, *arguments: Any, **keywords: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name == AZURE:
            return resolve("127.0.0.1", *arguments, **keywords)
        if name not in {None, "localhost", "127.0.0.1", "::1"}:
            raise socket.gaierror(socket.EAI_NONAME, f"a test looked up {name}")
        return resolve(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", here)
