"""Measure a login whose token is cached: microseconds, and Python's allocations."""

from __future__ import annotations

import sys
import tracemalloc
from typing import Any, Callable

from _candidate import CANDIDATE, credential, tell
from _timing import micros
from azure_postgresql_auth import core


def allocated(call: Callable[[], Any]) -> dict[str, float]:
    """Return the number of blocks and bytes that Python allocates for one result."""
    kept: list[Any] = [None] * 1000
    before = sys.getallocatedblocks()
    for index in range(len(kept)):
        kept[index] = call()
    blocks = (sys.getallocatedblocks() - before) / len(kept)
    kept = [None] * len(kept)
    tracemalloc.start()
    for index in range(len(kept)):
        kept[index] = call()
    size = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    return {"blocks held by a login": round(blocks, 2), "bytes held by a login": round(size)}


def main() -> None:
    """Measure the logins of a managed identity."""
    whose = credential()

    def conninfo() -> dict[str, str]:
        return core.get_entra_conninfo(whose)

    conninfo()
    figures = {"get_entra_conninfo, us": micros(conninfo), **allocated(conninfo)}
    scope = core.AZURE_DB_FOR_POSTGRES_SCOPE
    if CANDIDATE == "ours":
        from azure_postgresql_auth._engine import registry

        figures["native call, us"] = micros(registry.resolve(whose).provider.conninfo)
        figures["lambda alone, us"] = micros(lambda: None)
    figures["get_token, us"] = micros(lambda: whose.get_token(scope))
    tell(figures)


if __name__ == "__main__":
    main()
