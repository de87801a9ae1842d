"""The steps of `demo.py`: the ways to connect with every driver, as in a program."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import psycopg
from azure_postgresql_auth import asyncpg, psycopg2, psycopg3
from azure_postgresql_auth.identity import ClientSecretCredential, ManagedIdentityCredential
from azure_postgresql_auth.sqlalchemy import (
    create_asyncpg_engine,
    enable_entra_authentication,
    enable_entra_authentication_async,
)
from psycopg2.pool import ThreadedConnectionPool
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azure_postgresql_auth.emulator import Emulator
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812 - the module is a class here

TOKEN_SECONDS = 4  # Azure's tokens are valid for an hour or a day
LATENCY_SECONDS = 0.2  # so that all connections have to wait for the first token
TURN_SECONDS = 0.01
AT_ONCE = 20
WHO = "SELECT current_user"


class StepError(Exception):
    """A step did not have the expected result."""


class Outcome(NamedTuple):
    """The results of a step."""

    users: Sequence[str]
    """`current_user` of each connection, from PostgreSQL."""
    refusal: str = ""
    """The error of a login that is expected to be refused."""


@dataclass
class Stage:
    """The objects that the steps share."""

    emulator: Emulator
    clean_up: contextlib.ExitStack
    credential: ManagedIdentityCredential = field(default_factory=ManagedIdentityCredential)
    """One credential object for all drivers, synchronous and asynchronous."""
    kept_token: str = ""
    pools: list[ConnectionPool[Any]] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    """The process ids of the server's backends for the pool's connections."""

    @property
    def dsn(self) -> str:
        """The server's URL for libpq and asyncpg, without user and password."""
        return self.emulator.dsn

    def url(self, driver: str) -> URL:
        """Return the server's URL for SQLAlchemy."""
        return make_url(self.dsn).set(drivername=f"postgresql+{driver}")


# psycopg 3


def connect_from_threads(stage: Stage) -> Outcome:
    """Connect without a credential: the default one finds the emulator's managed identity."""

    def connect(_: int) -> str:
        with psycopg3.EntraConnection.connect(stage.dsn) as connection:
            stage.kept_token = connection.info.password
            return current_user(connection)

    with one_token_request(stage), ThreadPoolExecutor(AT_ONCE) as threads:
        return Outcome(list(threads.map(connect, range(AT_ONCE))))


def connect_from_tasks(stage: Stage) -> Outcome:
    """Connect with a credential, from coroutines."""

    async def count_turns_until_token() -> int:
        asked = len(stage.emulator.token_requests)
        for turns in range(1000):
            if len(stage.emulator.token_requests) > asked:
                return turns
            await asyncio.sleep(TURN_SECONDS)
        return 0

    async def connect_all() -> list[str]:
        turns = asyncio.create_task(count_turns_until_token())
        users = await asyncio.gather(*(connect_async(stage) for _ in range(AT_ONCE)))
        require(await turns > LATENCY_SECONDS / TURN_SECONDS / 4, "the event loop stood still until the token came")
        return users

    with one_token_request(stage):
        return Outcome(asyncio.run(connect_all()))


async def connect_async(stage: Stage) -> str:
    """Connect once."""
    async with await psycopg3.AsyncEntraConnection.connect(stage.dsn, credential=stage.credential) as connection:
        return await current_user_async(connection)


def open_pool(stage: Stage) -> Outcome:
    """Open a pool, and keep it open for a later step."""
    pool = ConnectionPool(
        stage.dsn,
        connection_class=psycopg3.EntraConnection,
        kwargs={"credential": stage.credential},
        min_size=2,
        max_size=8,
        open=False,
    )
    stage.pools.append(stage.clean_up.enter_context(pool))
    pool.wait()
    users, stage.sessions = use_pool(pool, 2)
    return Outcome(users)


def open_async_pool(stage: Stage) -> Outcome:
    """Open a pool on an event loop, another one than that of the previous tasks."""

    async def use() -> list[str]:
        pool = AsyncConnectionPool(
            stage.dsn,
            connection_class=psycopg3.AsyncEntraConnection,
            kwargs={"credential": stage.credential},
            min_size=2,
            max_size=8,
            open=False,
        )
        async with pool, contextlib.AsyncExitStack() as held:
            await pool.wait()
            connections = [await held.enter_async_context(pool.connection()) for _ in range(2)]
            return [await current_user_async(connection) for connection in connections]

    return Outcome(asyncio.run(use()))


# psycopg2


def psycopg2_connect(stage: Stage) -> Outcome:
    """Connect."""
    with contextlib.closing(psycopg2.EntraConnection(stage.dsn, credential=stage.credential)) as connection:
        return Outcome([psycopg2_user(connection)])


def psycopg2_pool(stage: Stage) -> Outcome:
    """Open a pool; psycopg2 passes only the DSN to its connections, so the credential is bound to the class."""
    factory = partial(psycopg2.EntraConnection, credential=stage.credential)
    pool = ThreadedConnectionPool(2, 8, stage.dsn, connection_factory=factory)
    stage.clean_up.callback(pool.closeall)
    return Outcome([psycopg2_user(connection) for connection in (pool.getconn(), pool.getconn())])


# asyncpg


def asyncpg_connect(stage: Stage) -> Outcome:
    """Connect."""

    async def connect() -> str:
        connection = await asyncpg.connect(stage.dsn, credential=stage.credential)
        try:
            return str(await connection.fetchval(WHO))
        finally:
            await connection.close()

    return Outcome([asyncio.run(connect())])


def asyncpg_pool(stage: Stage) -> Outcome:
    """Open a pool."""

    async def use() -> list[str]:
        pool = asyncpg.create_pool(stage.dsn, credential=stage.credential, min_size=2, max_size=8)
        async with pool, pool.acquire() as one, pool.acquire() as other:
            return [str(await one.fetchval(WHO)), str(await other.fetchval(WHO))]

    return Outcome(asyncio.run(use()))


# SQLAlchemy


def sqlalchemy_engine(driver: str, stage: Stage) -> Outcome:
    """Connect with a synchronous engine."""
    engine = create_engine(stage.url(driver), connect_args={"credential": stage.credential})
    enable_entra_authentication(engine)
    stage.clean_up.callback(engine.dispose)
    with engine.connect() as connection:
        return Outcome([str(connection.scalar(text(WHO)))])


def sqlalchemy_async_engine(driver: str, stage: Stage) -> Outcome:
    """Connect with an asynchronous engine."""
    engine = create_async_engine(stage.url(driver))
    enable_entra_authentication_async(engine, stage.credential)
    return Outcome([asyncio.run(ask_engine(engine))])


def sqlalchemy_asyncpg_engine(stage: Stage) -> Outcome:
    """Do both in one call."""
    return Outcome([asyncio.run(ask_engine(create_asyncpg_engine(stage.url("asyncpg"), stage.credential)))])


async def ask_engine(engine: AsyncEngine) -> str:
    """Ask PostgreSQL whom it takes us for."""
    async with engine.connect() as connection:
        user = await connection.scalar(text(WHO))
    await engine.dispose()
    return str(user)


# What happens in the course of time


def send_expired_token(stage: Stage) -> Outcome:
    """Wait until every token has expired, and do what a program does that keeps the first one as its password."""
    # A token's end is a whole second, and one more may be on its way.
    seconds = TOKEN_SECONDS + 1 + LATENCY_SECONDS
    print(f"... {seconds} s later, all tokens so far have expired ...", flush=True)
    time.sleep(seconds)
    role, token = stage.emulator.identity.role, stage.kept_token
    return Outcome(
        (), refusal("The access token has expired", lambda: psycopg.connect(stage.dsn, user=role, password=token))
    )


def grow_pool(stage: Stage) -> Outcome:
    """Take more connections from the pool than it has."""
    with one_token_request(stage):
        users, sessions = use_pool(stage.pools[0], 6)
    require(stage.sessions < sessions, "the connections that were open before are gone")
    return Outcome(users)


def connect_everywhere(stage: Stage) -> Outcome:
    """Connect once more with each driver."""
    again = (psycopg2_connect, asyncpg_connect, partial(sqlalchemy_engine, "psycopg"), sqlalchemy_asyncpg_engine)
    return Outcome([user for connect in again for user in connect(stage).users])


# Who logs in


def connect_as_service_principal(stage: Stage) -> Outcome:
    """Log in as an application with a client secret. Its token holds no name, so the role has to be named."""
    orders = stage.emulator.add_identity("orders-app", "service-principal")
    assert orders.client_secret is not None  # noqa: S101 - for the type checker
    credential = ClientSecretCredential(stage.emulator.tenant_id, orders.client_id, orders.client_secret)
    with psycopg3.EntraConnection.connect(stage.dsn, credential=credential, user="orders-app") as connection:
        return Outcome([current_user(connection)])


def name_wrong_role(stage: Stage) -> Outcome:
    """Name a role that was not created for this identity."""

    def connect() -> psycopg.Connection[Any]:
        return psycopg3.EntraConnection.connect(stage.dsn, user="reports")

    return Outcome((), refusal("password authentication failed", connect))


# What the steps are made of


def current_user(connection: psycopg.Connection[Any]) -> str:
    """Ask PostgreSQL whom it takes us for."""
    row = connection.execute(WHO).fetchone()
    return "" if row is None else str(row[0])


async def current_user_async(connection: psycopg.AsyncConnection[Any]) -> str:
    """Ask PostgreSQL whom it takes us for."""
    row = await (await connection.execute(WHO)).fetchone()
    return "" if row is None else str(row[0])


def psycopg2_user(connection: Psycopg2Connection) -> str:
    """Ask PostgreSQL whom it takes us for."""
    with connection.cursor() as cursor:
        cursor.execute(WHO)
        row = cursor.fetchone()
    return "" if row is None else str(row[0])


def use_pool(pool: ConnectionPool[Any], count: int) -> tuple[list[str], set[int]]:
    """Hold `count` connections at once; tell their users and server processes."""
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(pool.connection()) for _ in range(count)]
        return (
            [current_user(connection) for connection in connections],
            {connection.info.backend_pid for connection in connections},
        )


def refusal(reason: str, connect: Callable[[], psycopg.Connection[Any]]) -> str:
    """Tell the error with which a login is refused for this reason."""
    try:
        connection = connect()
    except psycopg.OperationalError as error:
        require(reason in str(error), f"expected {reason!r}: {error}")
        return f"{type(error).__module__}.{type(error).__name__}: {error}"
    connection.close()
    message = f"expected {reason!r}, and was let in"
    raise StepError(message)


@contextlib.contextmanager
def one_token_request(stage: Stage) -> Iterator[None]:
    """Check that one token is asked for meanwhile."""
    before = len(stage.emulator.token_requests)
    yield
    asked = len(stage.emulator.token_requests) - before
    require(asked == 1, f"one token request was expected, there were {asked}")


def require(fact: object, otherwise: str) -> None:
    """Go on if it is so."""
    if not fact:
        raise StepError(otherwise)
