"""A pgbouncer.ini to start from."""

from __future__ import annotations

import os

from azure_postgresql_auth.tls import AZURE_ROOTS

_INI = """\
;; For Azure Database for PostgreSQL, with tokens kept by `azure-postgresql-auth pgbouncer`.

[databases]
;; Every database of the server, each client as the role that it names. To have one role for all clients, whatever they
;; call themselves, write it here: * = host=... user=orders
* = host={host} port=5432

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
pidfile = {pid_file}

;; Tokens change, so clients cannot know them: who can connect to this address is let in. Widen listen_addr only with
;; auth_type = hba, and rules that say who may come.
auth_type = trust
auth_file = {auth_file}

;; A token is a password: the server has to prove that it is Azure's.
server_tls_sslmode = verify-full
server_tls_ca_file = {roots}

pool_mode = transaction
;; A login that failed is tried again after this many seconds.
server_login_retry = 5
"""


def template(host: str | None, auth_file: str, pid_file: str | None) -> str:
    """The text."""
    return _INI.format(
        host=host or "myserver.postgres.database.azure.com",
        auth_file=os.path.abspath(auth_file),  # noqa: PTH100 - pathlib would resolve no more
        pid_file=os.path.abspath(pid_file) if pid_file else "/run/pgbouncer/pgbouncer.pid",  # noqa: PTH100
        roots=AZURE_ROOTS,
    )
