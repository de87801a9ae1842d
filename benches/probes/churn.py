"""Measure logins per second through a pool that keeps no connection, from four threads, and the CPU of each."""

from __future__ import annotations

import threading
import time

from _candidate import CANDIDATE, credential, static, tell
from psycopg_pool import NullConnectionPool

THREADS = 4
SECONDS = 3.0


def pool() -> NullConnectionPool:
    """Return a pool in which every client gets a new connection."""
    if CANDIDATE == "static":
        return NullConnectionPool(kwargs=static(), max_size=THREADS, open=True)
    from azure_postgresql_auth.psycopg3 import EntraConnection

    return NullConnectionPool(
        connection_class=EntraConnection, kwargs={"credential": credential()}, max_size=THREADS, open=True
    )


def main() -> None:
    """Measure after the first connection."""
    counts = [0] * THREADS
    with pool() as connections:
        with connections.connection() as connection:
            connection.execute("SELECT 1")
        begun, burnt = time.perf_counter(), time.process_time()

        def churn(index: int) -> None:
            while time.perf_counter() - begun < SECONDS:
                with connections.connection() as connection:
                    connection.execute("SELECT 1")
                counts[index] += 1

        threads = [threading.Thread(target=churn, args=(index,)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed, used = time.perf_counter() - begun, time.process_time() - burnt
    tell({"logins per second": sum(counts) / elapsed, "CPU of a login, ms": used / sum(counts) * 1e3})


if __name__ == "__main__":
    main()
