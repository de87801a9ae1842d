"""psycopg2 with Microsoft Entra ID: a connection, and a pool of them.

    python psycopg2_example.py

Requires the extra `psycopg2`. `settings.py` reads the server and the database; the default credential logs in.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth.identity import DefaultAzureCredential
from azure_postgresql_auth.psycopg2 import EntraConnection
from psycopg2.pool import ThreadedConnectionPool
from settings import Settings, read_settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection

QUERY = "SELECT current_user, current_setting('server_version')"


def main(settings: Settings) -> None:
    """Connect, and open a pool."""
    with closing(EntraConnection(host=settings.server, dbname=settings.database)) as direct:
        print("EntraConnection:", ask(direct))

    # psycopg2 passes only the connection string to a connection_factory, so a credential is bound to it. Without a
    # credential, use connection_factory=EntraConnection.
    credential = DefaultAzureCredential(exclude_developer_cli_credential=True)
    pool = ThreadedConnectionPool(
        1,
        5,
        host=settings.server,
        dbname=settings.database,
        connection_factory=partial(EntraConnection, credential=credential),
    )
    try:
        borrowed = pool.getconn()
        print("ThreadedConnectionPool:", ask(borrowed))
        pool.putconn(borrowed)
    finally:
        pool.closeall()


def ask(connection: connection) -> tuple[Any, ...] | None:
    """Return the user and the version that the server reports."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY)
        return cursor.fetchone()


if __name__ == "__main__":
    main(read_settings())
