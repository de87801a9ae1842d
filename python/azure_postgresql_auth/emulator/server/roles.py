"""The roles in the PostgreSQL behind the front end."""

# ruff: noqa: S608 - every name in a statement is quoted

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator.server.backend import BackendError, identifier, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Optional

    Query = Callable[[str, Optional[str]], Sequence[tuple[Optional[str], ...]]]

logger = logging.getLogger("azure_postgresql_auth.emulator")

_LONGEST_NAME = 63

# Sessions with a lock on a table in this database. Dropping the table would wait for the end of their transactions.
_END_TRANSACTIONS = """
SELECT pg_terminate_backend(pid) FROM (
    SELECT DISTINCT pid FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE datname = current_database() AND locktype = 'relation' AND relation >= 16384 AND pid <> pg_backend_pid()
) AS holders
"""


class Roles:
    """Roles with random passwords that only the front end knows."""

    def __init__(self, query: Query, administrator: str, *, ours: bool) -> None:
        """Manage roles with `query`, as `administrator`; `ours`: the emulator has started the server."""
        self._query = query
        self._administrator = administrator
        self._ours = ours
        self._created: set[str] = set()
        self.passwords: dict[str, str] = {}
        if ours:
            # So that programs work without further grants; on Azure, an administrator grants the privileges.
            for database in (None, "template1"):
                query("GRANT ALL ON SCHEMA public TO PUBLIC", database)

    def create(self, name: str) -> None:
        """Create a role. If it exists in a given server, change its password and do not drop it at the end.

        Raises:
            ValueError: the role is the server's administrator, its name is too long, or PostgreSQL rejects it.
        """
        if len(name.encode()) > _LONGEST_NAME:
            message = (
                f"role {name!r} is longer than the {_LONGEST_NAME} bytes that PostgreSQL allows; pass another role="
            )
            raise ValueError(message)
        found = self._query(f"SELECT rolsuper FROM pg_roles WHERE rolname = {literal(name)}", None)
        if name == self._administrator or found == [("t",)]:
            message = f"role {name!r} administers the server behind the emulator; pass another role= or role=None"
            raise ValueError(message)
        password = secrets.token_urlsafe(24)
        rights = " CREATEDB" if self._ours else ""
        verb = "ALTER" if found else "CREATE"
        if not found:
            self._created.add(name)
        try:
            self._query(f"{verb} ROLE {identifier(name)} LOGIN{rights} PASSWORD {literal(password)}", None)
        except BackendError as error:
            self._created.discard(name)
            message = f"PostgreSQL refuses the role {name!r}: {error}"
            raise ValueError(message) from error
        self.passwords[name] = password

    def drop(self, name: str) -> None:
        """Drop a role that was created here. If it owns objects in a given server, only disable its login."""
        self.passwords.pop(name, None)
        if name not in self._created:
            return
        try:
            self.drop_owned(name, databases=True)
            self._query(f"DROP ROLE IF EXISTS {identifier(name)}", None)
        except BackendError as error:
            logger.warning("role %s stays, without login: %s", name, error)
            self._query(f"ALTER ROLE {identifier(name)} NOLOGIN PASSWORD NULL", None)
        else:
            self._created.discard(name)

    def drop_owned(self, name: str, *, databases: bool) -> None:
        """Drop what a role owns in the emulator's server, and its privileges; sessions that block this are ended.

        Args:
            name: the role.
            databases: True to drop its databases, False to only empty them.
        """
        if not self._ours:
            return
        role = f"(SELECT oid FROM pg_roles WHERE rolname = {literal(name)})"
        if databases:
            for (database,) in self._query(f"SELECT datname FROM pg_database WHERE datdba = {role}", None):
                self._query(f"DROP DATABASE {identifier(str(database))} WITH (FORCE)", None)
        # Most tests leave nothing, which one query of the catalog that all databases share shows.
        touched = (
            "SELECT DISTINCT datname FROM pg_shdepend JOIN pg_database ON pg_database.oid = dbid OR dbid = 0 AND "
            f"datname = current_database() WHERE refclassid = 'pg_authid'::regclass AND refobjid = {role} "
            "AND NOT (classid = 'pg_database'::regclass AND deptype = 'o')"
        )
        for (database,) in self._query(touched, None):
            self._query(_END_TRANSACTIONS, database)
            self._query(f"DROP OWNED BY {identifier(name)} CASCADE", database)

    def drop_all(self) -> None:
        """Drop all roles in a given server; a server that the emulator started is removed anyway."""
        if self._ours:
            return
        for name in list(self._created):
            try:
                self.drop(name)
            except Exception as error:  # noqa: BLE001, PERF203 - the server may have stopped; continue to stop the rest
                logger.warning("role %s could not be dropped: %s", name, error)
