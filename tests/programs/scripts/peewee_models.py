"""peewee's models, on psycopg2 and on asyncpg."""

import asyncio
import os
import time

from azure_postgresql_auth.asyncpg import connect
from azure_postgresql_auth.psycopg2 import EntraConnection
from peewee import Model, TextField
from playhouse.pool import PooledPostgresqlDatabase
from playhouse.pwasyncio import AsyncPostgresqlDatabase

SERVER = f"postgresql://{os.environ['PLACE']}"
SECONDS = float(os.environ["SECONDS"])


class Note(Model):
    """A row."""

    words = TextField()


def synchronous() -> int:
    """Write through a pool, and return the number of rows."""
    database = PooledPostgresqlDatabase(SERVER, connection_factory=EntraConnection, stale_timeout=0.1)
    database.bind([Note])
    with database:
        database.create_tables([Note])
    end = time.monotonic() + SECONDS / 2
    number = 0
    while time.monotonic() < end:
        number += 1
        with database:
            Note.create(words="a")
            assert Note.select().count() == number
        time.sleep(0.2)
    database.close_all()
    return number


async def asynchronous(number: int) -> None:
    """Write on an event loop."""
    database = AsyncPostgresqlDatabase(SERVER, connect=connect, pool_min_size=0, max_inactive_connection_lifetime=0.1)
    database.bind([Note])
    end = time.monotonic() + SECONDS / 2
    while time.monotonic() < end:
        number += 1
        async with database:
            await database.run(Note.create, words="a")
            assert await database.run(Note.select().count) == number
        await asyncio.sleep(0.2)
    await database.close_pool()


asyncio.run(asynchronous(synchronous()))
print("done")
