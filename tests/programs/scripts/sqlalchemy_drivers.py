"""The drivers of SQLAlchemy's older versions, which the tests' own environment does not have."""

import asyncio
import os
import time

import sqlalchemy
from azure_postgresql_auth.sqlalchemy import create_asyncpg_engine, enable_entra_authentication
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

PLACE = os.environ["PLACE"]
WHO = text("SELECT session_user")
drivers = ["psycopg2", "pg8000", *(["psycopg"] if sqlalchemy.__version__ >= "2" else [])]


def who(engine):  # noqa: ANN001, ANN201
    """Log in."""
    with engine.connect() as connection:
        assert connection.execute(WHO).scalar() == os.environ["ROLE"]


async def who_async(engine) -> None:  # noqa: ANN001
    """Log in on an event loop."""
    async with engine.connect() as connection:
        assert (await connection.execute(WHO)).scalar() == os.environ["ROLE"]
    await engine.dispose()


end = time.monotonic() + float(os.environ["SECONDS"])
while time.monotonic() < end:
    for driver in drivers:
        by_url = create_engine(f"postgresql+{driver}://{PLACE}?plugin=entra", poolclass=NullPool)
        who(by_url)
        who(create_engine(by_url.url, poolclass=NullPool))
        by_code = create_engine(f"postgresql+{driver}://{PLACE}", poolclass=NullPool, future=True)
        enable_entra_authentication(by_code)
        who(by_code)
    asyncio.run(who_async(create_async_engine(f"postgresql+asyncpg://{PLACE}?plugin=entra")))
    asyncio.run(who_async(create_asyncpg_engine(f"postgresql+asyncpg://{PLACE}")))
    time.sleep(0.2)
enable_entra_authentication(Engine)
who(create_engine(f"postgresql+psycopg2://{PLACE}", poolclass=NullPool))
print("done")
