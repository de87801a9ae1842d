"""Dask with Microsoft Entra ID: worker processes read a table in parallel, and each of them logs in by itself.

    python dask_example.py --workers 4

Needs the extra `psycopg3` and the package `distributed`. Where it connects to, `settings.py` says. The workers are on
this machine here; on others it is the same, and each finds the identity that its own machine has.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from azure_postgresql_auth.identity import DefaultAzureCredential
from azure_postgresql_auth.psycopg3 import EntraConnection
from distributed import Client, LocalCluster
from settings import Settings, read_settings

PARTS = 24
# Every server has this table. The key divides it: each task reads another part.
QUERY = "SELECT oid, proname FROM pg_proc WHERE mod(oid::bigint, %s) = %s"


def read_part(part: int, server: dict[str, Any]) -> tuple[int, str, list[Any]]:
    """Read one part, in a worker; tell the process and the role that did, too."""
    with EntraConnection.connect(**server) as connection:
        rows = connection.execute(QUERY, (PARTS, part)).fetchall()
        return os.getpid(), connection.info.user, rows


def read_table(client: Client, settings: Settings) -> None:
    """Read all parts, and say who did."""
    # No token travels: the credential arrives as its configuration, and is one for all tasks of a worker process.
    server = {"host": settings.server, "dbname": settings.database, "credential": DefaultAzureCredential()}
    # Not pure: a table may change, and what Dask keeps of a pure function's results does not.
    parts = client.gather(client.map(read_part, range(PARTS), server=server, pure=False))
    processes, roles = {process for process, _, _ in parts}, {role for _, role, _ in parts}
    rows = sum(len(rows) for _, _, rows in parts)
    print(f"{rows} rows in {len(parts)} parts, read by {len(processes)} processes as {', '.join(roles)}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Read a table with Dask, psycopg 3 and Microsoft Entra ID.")
    parser.add_argument("--workers", type=int, default=4)
    workers = parser.parse_args().workers
    settings = read_settings()
    cluster = LocalCluster(n_workers=workers, threads_per_worker=2, dashboard_address=None)
    with cluster, Client(cluster) as client:
        read_table(client, settings)


# Worker processes import this file, too.
if __name__ == "__main__":
    main()
