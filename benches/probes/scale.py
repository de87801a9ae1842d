"""Measure how cost grows: cached logins by threads and by scopes, memory by credentials."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace
from typing import Any

from _candidate import CANDIDATE, credential, memory, tell
from _timing import micros
from azure_postgresql_auth import core

THREADS = (1, 2, 4, 8, 16, 32, 64)
CREDENTIALS = (1, 10, 100, 1000, 10_000)
SCOPES = (1, 10, 100, 1000)
SECONDS = 0.4


class Given:
    """A credential with a fixed token, to avoid ten thousand requests to an endpoint."""

    def get_token(self, *_: str, **__: Any) -> Any:
        """Return the token."""
        return SimpleNamespace(token=os.environ["BENCH_TOKEN"], expires_on=int(time.time()) + 3600)


def by_threads() -> dict[str, float]:
    """Return the cached logins per second of all threads together."""
    whose = credential()
    core.get_entra_conninfo(whose)
    figures = {}
    for number in THREADS:
        counts = [0] * number
        ready = threading.Barrier(number + 1)
        over = threading.Event()

        def log_in(index: int, ready: threading.Barrier = ready, counts: list[int] = counts) -> None:
            ready.wait()
            while not over.is_set():  # noqa: B023 - joined below
                for _ in range(100):
                    core.get_entra_conninfo(whose)
                counts[index] += 100

        threads = [threading.Thread(target=log_in, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        ready.wait()
        begun = time.perf_counter()
        time.sleep(SECONDS)
        over.set()
        for thread in threads:
            thread.join()
        figures[f"cached logins per second, {number} threads"] = sum(counts) / (time.perf_counter() - begun)
    return figures


def by_credentials() -> dict[str, float]:
    """Return kilobytes of memory per new managed identity and, for this package, per credential with its token."""
    figures = {}
    # All are kept, so that none reuses memory that another has freed; the first has caused the imports.
    kept: list[Any] = [credential()]
    for number in CREDENTIALS:
        before = memory()["memory, MB"]
        kept.append([credential(client_id=f"{index:08d}-0000-0000-0000-000000000000") for index in range(number)])
        figures[f"memory of a credential, {number}, KB"] = (memory()["memory, MB"] - before) * 1024 / number
        if CANDIDATE == "ours":
            given = [Given() for _ in range(number)]
            kept.append(given)
            before, begun = memory()["memory, MB"], time.perf_counter()
            for whose in given:
                core.get_entra_conninfo(whose)
            figures[f"first login, {number} credentials, us"] = (time.perf_counter() - begun) / number * 1e6
            figures[f"memory of a token, {number} credentials, KB"] = (memory()["memory, MB"] - before) * 1024 / number
            middle = given[number // 2]
            figures[f"cached login, {number} credentials, us"] = micros(
                lambda middle=middle: core.get_entra_conninfo(middle)  # type: ignore[misc]
            )
    return figures


def by_scopes() -> dict[str, float]:
    """Return the microseconds of a cached login with a credential that has tokens for many scopes."""
    figures = {}
    for number in SCOPES:
        whose = Given()
        scopes = [f"https://server-{index}.example/.default" for index in range(number)]
        for scope in scopes:
            core.get_entra_conninfo(whose, scope=scope)
        figures[f"cached login, {number} scopes, us"] = micros(
            lambda whose=whose, scope=scopes[number // 2]: core.get_entra_conninfo(whose, scope=scope)  # type: ignore[misc]
        )
    return figures


def main() -> None:
    """Measure all three; scopes only for this package, because the peer's logins do not take one."""
    tell({**by_threads(), **by_credentials(), **(by_scopes() if CANDIDATE == "ours" else {})})


if __name__ == "__main__":
    main()
