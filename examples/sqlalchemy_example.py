"""SQLAlchemy with Microsoft Entra ID: engines with and without a pool, on one of several drivers.

    python sqlalchemy_example.py --mode sync --driver psycopg2
    python sqlalchemy_example.py --mode async --driver asyncpg

Requires the extra `sqlalchemy` and that of the driver: `psycopg3`, `psycopg2` or `asyncpg`. `settings.py` reads the
server and the database; the default credential logs in.
"""

from __future__ import annotations

import argparse
import asyncio

from azure_postgresql_auth.sqlalchemy import (
    create_asyncpg_engine,
    enable_entra_authentication,
    enable_entra_authentication_async,
)
from settings import read_settings
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

QUERY = text("SELECT current_user, current_setting('server_version')")
DRIVERS = {"sync": ("psycopg", "psycopg2"), "async": ("psycopg", "asyncpg")}


def main_sync(url: URL) -> None:
    """Connect from synchronous code."""
    direct = create_engine(url, poolclass=NullPool)
    enable_entra_authentication(direct)
    with direct.connect() as connection:
        print("create_engine, no pool:", tuple(connection.execute(QUERY).one()))

    pooled = create_engine(url)
    enable_entra_authentication(pooled)
    with pooled.connect() as connection:
        print("create_engine:", tuple(connection.execute(QUERY).one()))
    pooled.dispose()


async def main_async(url: URL) -> None:
    """Connect from coroutines; fetching a token does not block the event loop."""
    direct = create_async_engine(url, poolclass=NullPool)
    enable_entra_authentication_async(direct)
    await show("create_async_engine, no pool:", direct)

    pooled = create_async_engine(url)
    enable_entra_authentication_async(pooled)
    await show("create_async_engine:", pooled)

    if url.drivername == "postgresql+asyncpg":
        await show("create_asyncpg_engine:", create_asyncpg_engine(url))  # creates the engine and enables the logins


async def show(name: str, engine: AsyncEngine) -> None:
    """Return the user and the version that the server reports."""
    async with engine.connect() as connection:
        print(name, tuple((await connection.execute(QUERY)).one()))
    await engine.dispose()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Connect with SQLAlchemy and Microsoft Entra ID.")
    parser.add_argument("--mode", choices=tuple(DRIVERS), default="sync")
    parser.add_argument("--driver", choices=("psycopg", "psycopg2", "asyncpg"), default="psycopg")
    arguments = parser.parse_args()
    if arguments.driver not in DRIVERS[arguments.mode]:
        parser.error(f"--mode {arguments.mode} goes with --driver {' or '.join(DRIVERS[arguments.mode])}")
    settings = read_settings()
    url = URL.create(f"postgresql+{arguments.driver}", host=settings.server, database=settings.database)
    if arguments.mode == "async":
        asyncio.run(main_async(url))
    else:
        main_sync(url)


if __name__ == "__main__":
    main()
