"""`pgbouncer`: keeps the tokens in PgBouncer's userlist fresh.

PgBouncer logs in to the server with the password that its `auth_file` has for a user. Each look asks for every
identity's token, which the library renews ahead of its expiry; one that is new is written, and PgBouncer is told.
"""

from __future__ import annotations

from azure_postgresql_auth.cli.pgbouncer.refresher import run

__all__ = ["run"]
