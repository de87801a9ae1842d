"""Measure the first connections of a process, all at once: `concurrency.py CANDIDATE threads|tasks NUMBER`.

All connections request their login at the same time. At most 100 at once go on to the server, so that its limit is not
what is measured; in this way, a thousand connections are real ones.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import psycopg
from _candidate import CANDIDATE, connector, connector_aio, credential, credential_aio, tell

AT_ONCE = 100
STACK = 256 * 1024


class Course:
    """The progress of the connections."""

    def __init__(self) -> None:
        """Start the clock."""
        self.begun = time.perf_counter()
        self.logins: list[float] = []
        self.failed = 0

    def has_login(self) -> None:
        """Count a connection that goes on to the server."""
        self.logins.append(time.perf_counter() - self.begun)

    def figures(self) -> dict[str, float]:
        """Return the figures at the end."""
        return {
            "all logins, ms": max(self.logins, default=0.0) * 1e3,
            "all connections, ms": (time.perf_counter() - self.begun) * 1e3,
            "failed": self.failed,
        }


def threads(number: int) -> dict[str, float]:
    """Connect in this number of threads."""
    threading.stack_size(STACK)
    connect = connector(None if CANDIDATE == "static" else credential())
    course, gate = Course(), threading.Semaphore(AT_ONCE)
    plainly: Any = vars(psycopg.Connection)["connect"].__func__

    def gated(cls: Any, *arguments: Any, **keywords: Any) -> Any:
        course.has_login()
        with gate:
            return plainly(cls, *arguments, **keywords)

    psycopg.Connection.connect = classmethod(gated)  # type: ignore[assignment]
    ready = threading.Barrier(number + 1)

    def one() -> None:
        ready.wait()
        try:
            connect().close()
        except Exception:  # noqa: BLE001 - counted
            course.failed += 1

    started = [threading.Thread(target=one) for _ in range(number)]
    for thread in started:
        thread.start()
    course.begun = time.perf_counter()
    ready.wait()
    for thread in started:
        thread.join()
    return course.figures()


async def tasks(number: int) -> dict[str, float]:
    """Connect in this number of tasks of one event loop."""
    whose = None if CANDIDATE == "static" else credential_aio()
    connect = connector_aio(whose)
    course, gate = Course(), asyncio.Semaphore(AT_ONCE)
    plainly: Any = vars(psycopg.AsyncConnection)["connect"].__func__

    async def gated(cls: Any, *arguments: Any, **keywords: Any) -> Any:
        course.has_login()
        async with gate:
            return await plainly(cls, *arguments, **keywords)

    psycopg.AsyncConnection.connect = classmethod(gated)  # type: ignore[assignment]

    async def one() -> None:
        try:
            await (await connect()).close()
        except Exception:  # noqa: BLE001 - counted
            course.failed += 1

    course.begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(number)))
    figures = course.figures()
    if CANDIDATE == "peer" and whose is not None:
        await whose.close()
    return figures


if __name__ == "__main__":
    count = int(sys.argv[3])
    tell(threads(count) if sys.argv[2] == "threads" else asyncio.run(tasks(count)))
