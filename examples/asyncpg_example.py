"""asyncpg with Microsoft Entra ID: a connection, and a pool of them.

    python asyncpg_example.py

Requires the extra `asyncpg`. `settings.py` reads the server and the database; the default credential logs in.
"""

from __future__ import annotations

import asyncio

from azure_postgresql_auth.asyncpg import connect, create_pool
from settings import Settings, read_settings

QUERY = "SELECT current_user, current_setting('server_version')"


async def main(settings: Settings) -> None:
    """Connect, and open a pool."""
    connection = await connect(host=settings.server, database=settings.database)
    try:
        print("connect:", tuple(await connection.fetchrow(QUERY)))
    finally:
        await connection.close()

    async with create_pool(host=settings.server, database=settings.database, min_size=1) as pool:
        print("create_pool:", tuple(await pool.fetchrow(QUERY)))


if __name__ == "__main__":
    asyncio.run(main(read_settings()))
