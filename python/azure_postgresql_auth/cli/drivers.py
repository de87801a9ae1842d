"""The drivers that may be installed, with a common interface."""

from __future__ import annotations

import asyncio
import importlib
import queue
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

_TIMEOUT: Final = 30.0


class Driver(NamedTuple):
    """A driver."""

    name: str
    extra: str
    distributions: tuple[str, ...]
    libpq: Callable[[], str]
    """Imports the driver and returns the version of its libpq; "" if it has none."""
    ask: Callable[[Mapping[str, Any], str], Any]
    """Connects with libpq's parameters, runs a statement and returns the first value of the first row, if any."""

    @property
    def distribution(self) -> str:
        """The name on PyPI."""
        return self.distributions[0]


def _version(number: int) -> str:
    # Versions have two parts since PostgreSQL 10.
    return f"{number // 10000}.{number % 10000}"


def _psycopg_libpq() -> str:
    return _version(importlib.import_module("psycopg").pq.version())


def _psycopg(parameters: Mapping[str, Any], statement: str) -> Any:
    psycopg = importlib.import_module("psycopg")
    with psycopg.connect(**parameters, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def _psycopg2_libpq() -> str:
    return _version(importlib.import_module("psycopg2.extensions").libpq_version())


def _psycopg2(parameters: Mapping[str, Any], statement: str) -> Any:
    connection = importlib.import_module("psycopg2").connect(**parameters)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def _asyncpg_libpq() -> str:
    importlib.import_module("asyncpg")
    return ""


def _asyncpg(parameters: Mapping[str, Any], statement: str) -> Any:
    return asyncio.run(_ask_asyncpg(parameters, statement))


async def _ask_asyncpg(parameters: Mapping[str, Any], statement: str) -> Any:
    from urllib.parse import urlencode  # noqa: PLC0415 - the other drivers need none of it

    asyncpg = importlib.import_module("asyncpg")
    given = dict(parameters)
    # libpq's TLS settings, which asyncpg accepts only in a URL.
    query = urlencode([(name, given.pop(name)) for name in ("sslmode", "sslrootcert") if name in given])
    known = {"host": "host", "port": "port", "user": "user", "password": "password", "dbname": "database"}
    keywords = {known[name]: value for name, value in given.items() if name in known}
    for name in {"host", "port"} & set(keywords):
        keywords[name] = str(keywords[name]).split(",")
    timeout = float(given.get("connect_timeout") or _TIMEOUT)
    connection = await asyncpg.connect(f"postgresql://?{query}", timeout=timeout, **keywords)
    try:
        row = (
            await connection.fetchrow(statement)
            if statement.startswith("SELECT")
            else await connection.execute(statement)
        )
        return row[0] if statement.startswith("SELECT") else None
    finally:
        await connection.close()


ALL: Final = (
    Driver("psycopg", "psycopg3", ("psycopg",), _psycopg_libpq, _psycopg),
    Driver("psycopg2", "psycopg2", ("psycopg2", "psycopg2-binary"), _psycopg2_libpq, _psycopg2),
    Driver("asyncpg", "asyncpg", ("asyncpg",), _asyncpg_libpq, _asyncpg),
)
"""All drivers, in order of preference."""


def first(preferred: str = "") -> Driver | None:
    """Return the preferred driver if it can be imported, else the first that can; None if none can."""
    for driver in sorted(ALL, key=lambda driver: driver.name != preferred):
        try:
            driver.libpq()
        except ImportError:
            continue
        return driver
    return None


def ask(driver: Driver, parameters: Mapping[str, Any], statement: str, limit: float) -> Any:
    """Return what the driver's `ask` returns, if that takes at most `limit` seconds.

    A thread of its own asks, because `connect_timeout` does not limit the statement, and because psycopg, when a signal
    interrupts it, waits for the server to cancel the statement. A thread that gets no answer ends with the process.

    Raises:
        TimeoutError: the server has not answered by then.
        Exception: the driver's own.
    """
    outcome: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((driver.ask(parameters, statement), None))
        except Exception as error:  # noqa: BLE001 - each driver has its own exceptions
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True, name=driver.name).start()
    try:
        answer, error = outcome.get(timeout=limit)
    except queue.Empty:
        message = f"no answer within {limit:g} s"
        raise TimeoutError(message) from None
    if error is not None:
        raise error
    return answer
