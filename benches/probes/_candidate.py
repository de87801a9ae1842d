"""The differences between the candidates: their credentials, and how they connect.

Every probe imports this module, in the candidate's environment. It imports nothing that a candidate would be charged.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

CANDIDATE = sys.argv[1]
"""The candidate: "ours", "peer" or "static"."""


def static() -> dict[str, Any]:
    """User and password for a candidate that already has a token."""
    return {"user": os.environ["BENCH_USER"], "password": os.environ["BENCH_TOKEN"]}


def credential(kind: str = "ManagedIdentityCredential", **settings: str) -> Any:
    """Return a credential of the class of this name, which both packages have."""
    return getattr(_identity(), kind)(**settings)


def credential_aio() -> Any:
    """Return a managed identity for asynchronous code."""
    if CANDIDATE == "ours":
        return credential()
    from azure.identity.aio import ManagedIdentityCredential

    return ManagedIdentityCredential()


def _identity() -> Any:
    if CANDIDATE == "ours":
        from azure_postgresql_auth import identity

        return identity
    from azure import identity as official

    return official


def connector(whose: Any = None) -> Callable[[], Any]:
    """Connect with psycopg 3 to the server of PGHOST."""
    if CANDIDATE == "static":
        import psycopg

        return lambda: psycopg.connect(**static())
    from azure_postgresql_auth.psycopg3 import EntraConnection

    return lambda: EntraConnection.connect(credential=whose)


def connector_aio(whose: Any = None) -> Callable[[], Any]:
    """Connect asynchronously with psycopg 3 to the server of PGHOST."""
    if CANDIDATE == "static":
        import psycopg

        return lambda: psycopg.AsyncConnection.connect(**static())
    from azure_postgresql_auth.psycopg3 import AsyncEntraConnection

    return lambda: AsyncEntraConnection.connect(credential=whose)


def memory() -> dict[str, float]:
    """Return the process's private memory."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - importing pathlib would be measured
        values = dict(line.split(":", 1) for line in status)
    return {"memory, MB": int(values["VmRSS"].split()[0]) / 1024, "threads": int(values["Threads"])}


def tell(figures: dict[str, float]) -> None:
    """Print the figures for the program that runs the probe."""
    import json

    print(json.dumps(figures), flush=True)
