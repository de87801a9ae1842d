"""What the programs here share that are servers."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_START = 240
"""Seconds in which a server has to be ready."""
_opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())


def free_port() -> int:
    """Return a port that nothing uses, below those that systems give to connections by themselves."""
    while True:
        port = random.randrange(20_000, 32_768)  # noqa: S311 - not a secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def until_ready(server: subprocess.Popen[bytes], is_ready: Callable[[], object]) -> None:
    """Wait until a server answers; `is_ready` raises OSError until then."""
    end = time.monotonic() + _START
    while True:
        assert server.poll() is None
        try:
            is_ready()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.3)
        else:
            return


@contextmanager
def serving(
    command: Sequence[str], is_ready: Callable[[], object], environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server in this block, which starts when the server is ready."""
    with subprocess.Popen(command, env={**os.environ, **(environment or {})}) as server:
        try:
            until_ready(server, is_ready)
            yield
        finally:
            server.terminate()
        server.wait(60)


def fetch(url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None, method: str = "") -> bytes:
    """Return the body of a response; cookies are kept."""
    request = urllib.request.Request(url, data, dict(headers or {}), method=method or None)
    with _opener.open(request, timeout=30) as response:
        return bytes(response.read())


def going_on() -> Iterator[int]:
    """Count up for as long as the test wants."""
    end, number = time.monotonic() + float(os.environ["SECONDS"]), 0
    while time.monotonic() < end:
        number += 1
        yield number


def close_connections() -> None:
    """Close the server's connections to the database, which it would keep for long."""
    query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE usename = session_user AND pid <> pg_backend_pid()"
    )


def query(sql: str) -> list[object]:
    """Return the first column, by a connection of asyncpg's."""
    return asyncio.run(_query(sql))


async def _query(sql: str) -> list[object]:
    from azure_postgresql_auth.asyncpg import connect

    connection = await connect(f"postgresql://{os.environ['PLACE']}")
    try:
        return [row[0] for row in await connection.fetch(sql)]
    finally:
        await connection.close()
