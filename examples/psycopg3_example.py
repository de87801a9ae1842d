"""psycopg 3 with Microsoft Entra ID: a connection, and a pool of them.

    python psycopg3_example.py --mode sync
    python psycopg3_example.py --mode async

Requires the extra `psycopg3`. `settings.py` reads the server and the database; the default credential logs in.
"""

from __future__ import annotations

import argparse
import asyncio

from azure_postgresql_auth.psycopg3 import AsyncEntraConnection, EntraConnection
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from settings import Settings, read_settings

QUERY = "SELECT current_user, current_setting('server_version')"


def main_sync(settings: Settings) -> None:
    """Connect from synchronous code."""
    with EntraConnection.connect(host=settings.server, dbname=settings.database) as connection:
        print("EntraConnection:", connection.execute(QUERY).fetchone())

    pool = ConnectionPool(
        kwargs={"host": settings.server, "dbname": settings.database},
        connection_class=EntraConnection,
        min_size=1,
        open=False,
    )
    with pool, pool.connection() as connection:
        print("ConnectionPool:", connection.execute(QUERY).fetchone())


async def main_async(settings: Settings) -> None:
    """Connect from coroutines; fetching a token does not block the event loop."""
    async with await AsyncEntraConnection.connect(host=settings.server, dbname=settings.database) as connection:
        cursor = await connection.execute(QUERY)
        print("AsyncEntraConnection:", await cursor.fetchone())

    pool = AsyncConnectionPool(
        kwargs={"host": settings.server, "dbname": settings.database},
        connection_class=AsyncEntraConnection,
        min_size=1,
        open=False,
    )
    async with pool, pool.connection() as connection:
        cursor = await connection.execute(QUERY)
        print("AsyncConnectionPool:", await cursor.fetchone())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Connect with psycopg 3 and Microsoft Entra ID.")
    parser.add_argument("--mode", choices=("sync", "async"), default="sync")
    mode = parser.parse_args().mode
    settings = read_settings()
    if mode == "async":
        asyncio.run(main_async(settings))
    else:
        main_sync(settings)


if __name__ == "__main__":
    main()
