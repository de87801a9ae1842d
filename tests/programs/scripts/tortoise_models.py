"""Tortoise ORM on asyncpg."""

import asyncio
import os
import time

from azure_postgresql_auth.asyncpg import connect
from tortoise import Tortoise, fields
from tortoise.models import Model

host, _, database = os.environ["PLACE"].partition("/")
server, _, port = host.partition(":")


class Note(Model):
    """A row."""

    id = fields.IntField(primary_key=True)
    words = fields.TextField()


async def main() -> None:
    """Write on an event loop."""
    settings = {"host": server, "port": int(port), "database": database, "user": None, "password": None}
    settings |= {"connect": connect, "minsize": 0, "max_inactive_connection_lifetime": 0.1}
    await Tortoise.init(
        config={
            "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": settings}},
            "apps": {"notes": {"models": ["__main__"]}},
        }
    )
    await Tortoise.generate_schemas()
    end = time.monotonic() + float(os.environ["SECONDS"])
    number = 0
    while time.monotonic() < end:
        number += 1
        await Note.create(words="a")
        assert await Note.all().count() == number
        await asyncio.sleep(0.3)
    await Tortoise.close_connections()


asyncio.run(main())
print("done")
