"""An example pgbouncer.ini."""

from __future__ import annotations

import os

from azure_postgresql_auth.tls import AZURE_ROOTS

_INI = """\
;; For Azure Database for PostgreSQL, with tokens kept by `azure-postgresql-auth pgbouncer`.

[databases]
;; Every database of the server, with the role that each client names. To use one role for all clients, add it here:
;; * = host=... user=orders
* = host={host} port=5432

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
pidfile = {pid_file}

;; Tokens change, so clients cannot know them: every client that can connect to this address is accepted. Set another
;; listen_addr only with auth_type = hba and rules for the clients that are allowed.
auth_type = trust
auth_file = {auth_file}

;; A token is a password, so PgBouncer has to verify that the server is Azure's.
server_tls_sslmode = verify-full
server_tls_ca_file = {roots}

pool_mode = transaction
;; A login that failed is tried again after this many seconds.
server_login_retry = 5
"""


def template(host: str | None, auth_file: str, pid_file: str | None) -> str:
    """Return the text of the file."""
    return _INI.format(
        host=host or "myserver.postgres.database.azure.com",
        auth_file=os.path.abspath(auth_file),  # noqa: PTH100 - pathlib's resolve would follow links
        pid_file=os.path.abspath(pid_file) if pid_file else "/run/pgbouncer/pgbouncer.pid",  # noqa: PTH100
        roots=AZURE_ROOTS,
    )
