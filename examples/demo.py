"""The program of `make demo`: logins with Microsoft Entra ID, from the token to the query, on this machine.

The emulator replaces Azure: it issues tokens as a managed identity's endpoint does, and its PostgreSQL accepts only
these tokens. For every step of `demo_steps.py` the program prints what the server recorded and what it shows, and ends
with an error if the records differ from what is expected.
"""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Callable, NamedTuple

import demo_steps as steps
from azure_postgresql_auth.emulator import Emulator
from demo_steps import LATENCY_SECONDS, TOKEN_SECONDS, Outcome, Stage, StepError, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure_postgresql_auth.emulator import Login

FORMAT = "{:<48} {:>11}  {:<17}  {:<7}  {:>9}  {:>14}"
COLUMNS = ("step", "connections", "current_user", "TLS", "token age", "token requests")


class Step(NamedTuple):
    """A line of the table."""

    name: str
    run: Callable[[Stage], Outcome]
    explanation: str


class Chapter(NamedTuple):
    """A group of steps with a title."""

    title: str
    steps: Sequence[Step]


CHAPTERS = (
    Chapter(
        "psycopg 3",
        (
            Step(
                f"EntraConnection.connect, {steps.AT_ONCE} threads",
                steps.connect_from_threads,
                "These first connections at once share one token request; the token also says who the user is.",
            ),
            Step(
                f"AsyncEntraConnection.connect, {steps.AT_ONCE} tasks",
                steps.connect_from_tasks,
                "The same for coroutines, with a credential of their own; the event loop is not blocked meanwhile.",
            ),
            Step(
                "ConnectionPool(connection_class=...)",
                steps.open_pool,
                "The credential that served the coroutines serves synchronous code too.",
            ),
            Step(
                "AsyncConnectionPool(connection_class=...)",
                steps.open_async_pool,
                "The same once more, on another event loop.",
            ),
        ),
    ),
    Chapter(
        "psycopg2",
        (
            Step(
                "EntraConnection(dsn)",
                steps.psycopg2_connect,
                "Another driver, the same credential: its token is there already.",
            ),
            Step(
                "ThreadedConnectionPool(connection_factory=...)",
                steps.psycopg2_pool,
                "psycopg2's own pool, with the credential bound to the factory.",
            ),
        ),
    ),
    Chapter(
        "asyncpg",
        (
            Step("connect", steps.asyncpg_connect, "No libpq here; TLS is settled in asyncpg's own terms."),
            Step("create_pool", steps.asyncpg_pool, "asyncpg's own pool."),
        ),
    ),
    Chapter(
        "SQLAlchemy",
        (
            Step(
                "create_engine, psycopg",
                partial(steps.sqlalchemy_engine, "psycopg"),
                "The engine asks for a login whenever its pool opens a connection.",
            ),
            Step(
                "create_engine, psycopg2",
                partial(steps.sqlalchemy_engine, "psycopg2"),
                "The same on another driver.",
            ),
            Step(
                "create_async_engine, psycopg",
                partial(steps.sqlalchemy_async_engine, "psycopg"),
                "The token is awaited; the event loop runs on.",
            ),
            Step(
                "create_asyncpg_engine",
                steps.sqlalchemy_asyncpg_engine,
                "An asynchronous engine on asyncpg, in one call.",
            ),
        ),
    ),
    Chapter(
        "When tokens expire",
        (
            Step(
                "psycopg.connect, the first token kept",
                steps.send_expired_token,
                "Without this package: a token that was kept as the password is refused once it has expired.",
            ),
            Step(
                "psycopg 3's ConnectionPool needs more",
                steps.grow_pool,
                "With it: the connections that were open stay open, and new ones bring a token that is valid now.",
            ),
            Step(
                "psycopg2, asyncpg, SQLAlchemy once more",
                steps.connect_everywhere,
                "New connections simply work; nothing was closed, restarted or configured in between.",
            ),
        ),
    ),
    Chapter(
        "Who logs in",
        (
            Step(
                "EntraConnection.connect(user=...)",
                steps.connect_as_service_principal,
                "A service principal logs in with its client secret, as the role that user= names.",
            ),
            Step(
                "EntraConnection.connect(user=...), refused",
                steps.name_wrong_role,
                "What the server refuses arrives as the driver's own error: this identity has no role of that name.",
            ),
        ),
    ),
)


def perform(step: Step, stage: Stage) -> None:
    """Run a step, check it, and print what the server recorded."""
    before = len(stage.emulator.logins)
    try:
        outcome = step.run(stage)
        logins = stage.emulator.logins[before:]
        check(outcome, logins)
    except StepError as error:
        message = f"{step.name}: {error}"
        raise StepError(message) from error
    last = logins[-1]
    cells = (
        f"  {step.name}",
        len(logins) if last.accepted else "refused",
        last.role,
        last.tls_version,
        f"{last.token_age:.1f} s",
        len(stage.emulator.token_requests),
    )
    print(FORMAT.format(*cells))
    for line in (step.explanation, *outcome.refusal.splitlines()):
        print(f"      {line}", flush=True)


def check(outcome: Outcome, logins: Sequence[Login]) -> None:
    """Compare the program's results with the server's records."""
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
    """Remove settings of Azure, PostgreSQL and proxies, so that the demo uses only the emulator."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "IMDS_", "MSI_", "PG")) or name.upper().endswith("_PROXY"):
            del os.environ[name]


def main() -> int:
    """Run the steps in order, until one fails."""
    forget_environment()
    with Emulator(lifetime=TOKEN_SECONDS, latency=LATENCY_SECONDS) as emulator, contextlib.ExitStack() as clean_up:
        # A program needs only these variables to use the emulator instead of Azure.
        os.environ.update(emulator.env)
        ((version,),) = emulator.sql("SHOW server_version")
        print(f"PostgreSQL {version} behind an emulated Azure, whose tokens live for {TOKEN_SECONDS} s here.\n")
        print(FORMAT.format(*COLUMNS))
        stage = Stage(emulator, clean_up)
        try:
            for chapter in CHAPTERS:
                print(f"\n{chapter.title}")
                for step in chapter.steps:
                    perform(step, stage)
        except StepError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    print("\nEvery step did what it says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
