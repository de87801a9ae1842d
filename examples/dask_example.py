"""Dask with Microsoft Entra ID: worker processes read a table in parallel, and each of them logs in separately.

    python dask_example.py --workers 4

Requires the extra `psycopg3` and the package `distributed`. `settings.py` reads the server and the database. The
workers run on this machine. Workers on other machines work alike; each uses the identity of its own machine.
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
# Every server has this table. Each task reads the rows with another remainder of the key.
QUERY = "SELECT oid, proname FROM pg_proc WHERE mod(oid::bigint, %s) = %s"


def read_part(part: int, server: dict[str, Any]) -> tuple[int, str, list[Any]]:
    """Read one part in a worker; return it with the worker's process id and role."""
    with EntraConnection.connect(**server) as connection:
        rows = connection.execute(QUERY, (PARTS, part)).fetchall()
        return os.getpid(), connection.info.user, rows


def read_table(client: Client, settings: Settings) -> None:
    """Read all parts, and print the processes and roles that read them."""
    # No token is sent: the credential is pickled as its configuration, and is shared by all tasks of a worker process.
    server = {"host": settings.server, "dbname": settings.database, "credential": DefaultAzureCredential()}
    # Not pure, because Dask would reuse the results of a pure function after the table has changed.
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
    cluster = LocalCluster(n_workers=workers, threads_per_worker=2, dashboard_address="127.0.0.1:0")
    with cluster, Client(cluster) as client:
        read_table(client, settings)


# The guard is required, because worker processes import this file.
if __name__ == "__main__":
    main()
