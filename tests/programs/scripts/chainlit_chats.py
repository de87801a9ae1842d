"""Chainlit: its default data layer, with a pool that logs in, and with a password file that is kept fresh."""

import json
import os
import sys
from pathlib import Path

from serving import close_connections, fetch, free_port, going_on, query, serving

PLACE = os.environ["PLACE"]
URL = f"postgresql://{PLACE}"
# The tables and columns of Chainlit's data layer that the pages here use.
TABLES = (
    """CREATE TABLE "User" (id text PRIMARY KEY, identifier text UNIQUE, metadata text,
    "createdAt" timestamp, "updatedAt" timestamp)""",
    """CREATE TABLE "Thread" (id text PRIMARY KEY, name text, metadata text, tags text[], "userId" text,
    "createdAt" timestamp, "updatedAt" timestamp, "deletedAt" timestamp)""",
)
APP = """
import chainlit


@chainlit.header_auth_callback
def user(headers):
    return chainlit.User(identifier=headers["x-user"])


@chainlit.on_message
async def answer(message):
    pass
"""
POOL = f"""{APP}

from azure_postgresql_auth.asyncpg import create_pool
from chainlit.data.chainlit_data_layer import ChainlitDataLayer


class EntraDataLayer(ChainlitDataLayer):
    async def connect(self):
        if not self.pool:
            self.pool = await create_pool(self.database_url)


@chainlit.data_layer
def data_layer():
    return EntraDataLayer("{URL}")
"""


class Chats:
    """A Chainlit server."""

    def __init__(self, name: str, app: str, *around: str, **environment: str) -> None:
        folder = Path(name)
        folder.mkdir()
        (folder / "app.py").write_text(app, "utf-8")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        address = ["--host", "127.0.0.1", "--port", str(port)]
        app_file = str((folder / "app.py").resolve())
        command = [sys.executable, "-m", "chainlit", "run", app_file, "--headless", *address]
        environment |= {
            "CHAINLIT_APP_ROOT": str(folder.resolve()),
            "CHAINLIT_AUTH_SECRET": "for this test alone, it protects nothing",
        }
        # This page needs no database.
        self.running = serving([*around, *command], lambda: fetch(f"{self.url}/auth/config"), environment)

    def use(self, number: int) -> None:
        """Log a user in, which writes to the database, and list this user's chats."""
        fetch(f"{self.url}/auth/header", b"", {"x-user": f"user{number}"})
        wanted = json.dumps({"pagination": {"first": 5}, "filter": {}}).encode()
        found = fetch(f"{self.url}/project/threads", wanted, {"Content-Type": "application/json"})
        assert json.loads(found)["data"] == []


# Chainlit leaves this to the operator.
for table in TABLES:
    query(table)
pool = Chats("pool", POOL)
passfile = ["--file", "pgpass", "--host", PLACE.partition(":")[0]]
pgpass = [sys.executable, "-m", "azure_postgresql_auth", "pgpass", *passfile, "--"]
beside = Chats("passfile", APP, *pgpass, DATABASE_URL=URL)
with pool.running, beside.running:
    for number in going_on():
        close_connections()
        pool.use(number)
        beside.use(number)
print("done")
