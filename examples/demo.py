"""What `make demo` runs: logins with Microsoft Entra ID, from the token to the query, on this machine alone.

The emulator stands in for Azure: it hands out tokens as a managed identity's endpoint does, and lets nobody into its
PostgreSQL without one. Every step shows what the server saw of it and says what that means; the program ends with an
error if it means something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import psycopg
from azure_postgresql_auth.emulator import Emulator
from azure_postgresql_auth.identity import ClientSecretCredential, ManagedIdentityCredential
from azure_postgresql_auth.psycopg3 import AsyncEntraConnection, EntraConnection
from psycopg_pool import AsyncConnectionPool, ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azure_postgresql_auth.emulator import Login

TOKEN_SECONDS = 4  # Azure's live for an hour or a day
LATENCY_SECONDS = 0.2  # so that everybody has to wait for the first token
TURN_SECONDS = 0.01
AT_ONCE = 20
FORMAT = "{:<42} {:>11}  {:<17}  {:<7}  {:>9}  {:>14}"
COLUMNS = ("step", "connections", "current_user", "TLS", "token age", "token requests")


class StepError(Exception):
    """A step did not do what it says."""


class Outcome(NamedTuple):
    """What a step saw."""

    users: Sequence[str]
    """`current_user` of each connection, as PostgreSQL says."""
    refusal: str = ""
    """The error of a login that is meant to be refused."""


@dataclass
class Stage:
    """What the steps share."""

    emulator: Emulator
    clean_up: contextlib.ExitStack
    credential: ManagedIdentityCredential = field(default_factory=ManagedIdentityCredential)
    """One object for all steps that name a credential, synchronous or not."""
    kept_token: str = ""
    pools: list[ConnectionPool[Any]] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    """The server processes that the pool's connections talk to."""


class Step(NamedTuple):
    """One line of the table."""

    name: str
    run: Callable[[Stage], Outcome]
    explanation: str


# The steps, as a program would do them


def connect_from_threads(stage: Stage) -> Outcome:
    """Connect with no credential named: the default one looks for a managed identity, and finds the emulator's."""

    def connect(_: int) -> str:
        with EntraConnection.connect(stage.emulator.dsn) as connection:
            stage.kept_token = connection.info.password
            return current_user(connection)

    with one_token_request(stage), ThreadPoolExecutor(AT_ONCE) as threads:
        return Outcome(list(threads.map(connect, range(AT_ONCE))))


def connect_from_tasks(stage: Stage) -> Outcome:
    """Connect with a credential of one's own, from coroutines."""

    async def connect() -> str:
        connection = await AsyncEntraConnection.connect(stage.emulator.dsn, credential=stage.credential)
        async with connection:
            return await current_user_async(connection)

    async def count_turns_until_token() -> int:
        asked = len(stage.emulator.token_requests)
        for turns in range(1000):
            if len(stage.emulator.token_requests) > asked:
                return turns
            await asyncio.sleep(TURN_SECONDS)
        return 0

    async def connect_all() -> list[str]:
        turns = asyncio.create_task(count_turns_until_token())
        users = await asyncio.gather(*(connect() for _ in range(AT_ONCE)))
        require(await turns > LATENCY_SECONDS / TURN_SECONDS / 4, "the event loop stood still until the token came")
        return users

    with one_token_request(stage):
        return Outcome(asyncio.run(connect_all()))


def open_pool(stage: Stage) -> Outcome:
    """Open a pool, and leave it open for a later step."""
    pool = ConnectionPool(
        stage.emulator.dsn,
        connection_class=EntraConnection,
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
    """Open a pool on an event loop; the loop is another one than that of the tasks above."""

    async def use() -> list[str]:
        pool = AsyncConnectionPool(
            stage.emulator.dsn,
            connection_class=AsyncEntraConnection,
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


def send_expired_token(stage: Stage) -> Outcome:
    """Wait until every token has expired, and do what a program does that keeps the first one as its password."""
    # A token's end is a whole second, and one more may be on its way.
    seconds = TOKEN_SECONDS + 1 + LATENCY_SECONDS
    print(f"... {seconds} s later, all tokens so far have expired ...", flush=True)
    time.sleep(seconds)
    role, token = stage.emulator.identity.role, stage.kept_token
    return Outcome(
        (),
        refusal("The access token has expired", lambda: psycopg.connect(stage.emulator.dsn, user=role, password=token)),
    )


def grow_pool(stage: Stage) -> Outcome:
    """Take more connections from the pool than it has."""
    with one_token_request(stage):
        users, sessions = use_pool(stage.pools[0], 6)
    require(stage.sessions < sessions, "the connections that were open before are gone")
    return Outcome(users)


def connect_after_expiry(stage: Stage) -> Outcome:
    """Connect once more from a coroutine."""

    async def connect() -> str:
        async with await AsyncEntraConnection.connect(stage.emulator.dsn, credential=stage.credential) as connection:
            return await current_user_async(connection)

    return Outcome([asyncio.run(connect())])


def connect_as_service_principal(stage: Stage) -> Outcome:
    """Log in as an application with a client secret. Its token holds no name, so the role has to be named."""
    orders = stage.emulator.add_identity("orders-app", "service-principal")
    assert orders.client_secret is not None  # noqa: S101 - for the type checker
    credential = ClientSecretCredential(stage.emulator.tenant_id, orders.client_id, orders.client_secret)
    with EntraConnection.connect(stage.emulator.dsn, credential=credential, user="orders-app") as connection:
        return Outcome([current_user(connection)])


def name_wrong_role(stage: Stage) -> Outcome:
    """Name a role that was not created for this identity."""
    return Outcome(
        (),
        refusal("password authentication failed", lambda: EntraConnection.connect(stage.emulator.dsn, user="reports")),
    )


STEPS = (
    Step(
        f"EntraConnection.connect, {AT_ONCE} threads",
        connect_from_threads,
        f"{AT_ONCE} first connections at once share one token request; the token also says who the user is.",
    ),
    Step(
        f"AsyncEntraConnection.connect, {AT_ONCE} tasks",
        connect_from_tasks,
        "The same for coroutines, with a credential of their own; the event loop is not blocked meanwhile.",
    ),
    Step(
        "ConnectionPool(connection_class=...)",
        open_pool,
        "The credential that served the coroutines serves synchronous code too.",
    ),
    Step(
        "AsyncConnectionPool(connection_class=...)",
        open_async_pool,
        "The same once more, on another event loop.",
    ),
    Step(
        "psycopg.connect, the first token kept",
        send_expired_token,
        "Without this package: a token that was kept as the password is refused once it has expired.",
    ),
    Step(
        "ConnectionPool, still open, needs more",
        grow_pool,
        "With it: the connections that were open stay open, and new ones bring a token that is valid now.",
    ),
    Step(
        "AsyncEntraConnection.connect again",
        connect_after_expiry,
        "New connections simply work; nothing was closed, restarted or configured in between.",
    ),
    Step(
        "EntraConnection.connect(user=...)",
        connect_as_service_principal,
        "A service principal logs in with its client secret, as the role that user= names.",
    ),
    Step(
        "EntraConnection.connect(user=...), refused",
        name_wrong_role,
        "What the server refuses arrives as psycopg's own error: here the identity has no role of that name.",
    ),
)


# What the steps are made of


def current_user(connection: psycopg.Connection[Any]) -> str:
    """Ask PostgreSQL whom it takes us for."""
    row = connection.execute("SELECT current_user").fetchone()
    return "" if row is None else str(row[0])


async def current_user_async(connection: psycopg.AsyncConnection[Any]) -> str:
    """Ask PostgreSQL whom it takes us for."""
    row = await (await connection.execute("SELECT current_user")).fetchone()
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


# Showing it


def perform(step: Step, stage: Stage) -> None:
    """Run one step, check it, and print what the server saw."""
    before = len(stage.emulator.logins)
    outcome = step.run(stage)
    logins = stage.emulator.logins[before:]
    check(outcome, logins)
    last = logins[-1]
    cells = (
        step.name,
        len(logins) if last.accepted else "refused",
        last.role,
        last.tls_version,
        f"{last.token_age:.1f} s",
        len(stage.emulator.token_requests),
    )
    print(FORMAT.format(*cells))
    for line in (step.explanation, *outcome.refusal.splitlines()):
        print(f"    {line}", flush=True)


def check(outcome: Outcome, logins: Sequence[Login]) -> None:
    """Compare what the program saw with what the server saw."""
    require(logins, "the server saw no login")
    for login in logins:
        require(login.tls_version in {"TLSv1.2", "TLSv1.3"}, f"TLS is {login.tls_version}")
        if outcome.users:
            require(login.accepted, f"the server refused {login.role!r}: {login.message}")
            require({login.role} == set(outcome.users), f"{login.role!r} logged in, but was {set(outcome.users)}")
        else:
            require(not login.accepted, f"the server was meant to refuse {login.role!r}")
            require(login.message in outcome.refusal, f"{login.message!r} is not in {outcome.refusal!r}")


def forget_environment() -> None:
    """Drop settings of Azure, PostgreSQL and proxies: what is shown here must not depend on them, nor reach anybody."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "IMDS_", "MSI_", "PG")) or name.upper().endswith("_PROXY"):
            del os.environ[name]


def main() -> int:
    """Run the steps in order, up to the first that fails."""
    forget_environment()
    with Emulator(lifetime=TOKEN_SECONDS, latency=LATENCY_SECONDS) as emulator, contextlib.ExitStack() as clean_up:
        # All that a program needs in order to find the emulator in place of Azure.
        os.environ.update(emulator.env)
        ((version,),) = emulator.sql("SHOW server_version")
        print(f"PostgreSQL {version} behind an emulated Azure, whose tokens live for {TOKEN_SECONDS} s here.\n")
        print(FORMAT.format(*COLUMNS))
        stage = Stage(emulator, clean_up)
        step = STEPS[0]
        try:
            for step in STEPS:
                perform(step, stage)
        except StepError as error:
            print(f"demo: {step.name}: {error}", file=sys.stderr)
            return 1
    print("\nEvery step did what it says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
