"""The roles in the PostgreSQL behind the front end."""

# ruff: noqa: S608 - every name in a statement is quoted

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator.server.backend import BackendError, identifier, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Optional

    from azure_postgresql_auth.emulator.server.backend import Backend

    Query = Callable[[str, Optional[str]], Sequence[tuple[Optional[str], ...]]]

logger = logging.getLogger("azure_postgresql_auth.emulator")

_LONGEST_NAME = 63

_INVALID_PASSWORD = "28P01"  # noqa: S105 - an SQLSTATE
_INVALID_AUTHORIZATION = "28000"
_DUPLICATE_OBJECT = "42710"
_UNDEFINED_OBJECT = "42704"

# PostgreSQL fails one of two statements that change a role at the same time ("tuple concurrently updated"), so that
# emulators on one server take turns. The number is arbitrary; the lock ends with the statement behind it.
_IN_TURN = "SELECT pg_advisory_xact_lock(7020390172384);"

# Sessions with a lock on a table in this database. Dropping the table would wait for the end of their transactions.
_END_TRANSACTIONS = """
SELECT pg_terminate_backend(pid) FROM (
    SELECT DISTINCT pid FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE datname = current_database() AND locktype = 'relation' AND relation >= 16384 AND pid <> pg_backend_pid()
) AS holders
"""


class Roles:
    """Roles with passwords that only emulators know.

    Several emulators may have roles of the same name in one given server. Those that know its administrator's password
    agree on a role's password; `restore` undoes what others have changed.
    """

    def __init__(self, query: Query, backend: Backend, *, ours: bool) -> None:
        """Manage the backend's roles with `query`; `ours`: the emulator has started the server."""
        self._query = query
        self._administrator = backend.user
        # Without a password of its administrator, every emulator has a key of its own.
        self._key = backend.password.encode() or secrets.token_bytes()
        self._ours = ours
        self._created: set[str] = set()
        self._names: set[str] = set()
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
        try:
            found = self._query(f"SELECT rolsuper FROM pg_roles WHERE rolname = {literal(name)}", None)
            if name == self._administrator or found == [("t",)]:
                message = f"role {name!r} administers the server behind the emulator; pass another role= or role=None"
                raise ValueError(message)
            self._write(name, exists=bool(found))
        except BackendError as error:
            message = f"PostgreSQL refuses the role {name!r}: {error}"
            raise ValueError(message) from error
        self._names.add(name)

    def restore(self, name: str, sqlstate: str) -> bool:
        """Set a role's password again, and create it if it is gone, after the server has refused its login.

        Another emulator on a given server may have changed or dropped it. A role that an administrator has barred from
        logging in stays barred.

        Returns:
            Whether it is worth logging in once more.

        Raises:
            BackendError: PostgreSQL rejects the change.
        """
        if self._ours or name not in self._names or sqlstate not in {_INVALID_PASSWORD, _INVALID_AUTHORIZATION}:
            return False
        lookup = f"SELECT FROM pg_roles WHERE rolname = {literal(name)}"
        if sqlstate == _INVALID_AUTHORIZATION and self._query(lookup, None):
            return False
        self._write(name, exists=sqlstate == _INVALID_PASSWORD)
        return True

    def _write(self, name: str, *, exists: bool) -> None:
        """Create or alter the role; `exists` is what was seen last, which another emulator may have changed."""
        rights = " CREATEDB" if self._ours else ""
        options = f"LOGIN{rights} PASSWORD {literal(self.password(name))}"
        while True:
            created = name in self._created
            if not exists:
                self._created.add(name)
            verb, changed = ("ALTER", _UNDEFINED_OBJECT) if exists else ("CREATE", _DUPLICATE_OBJECT)
            try:
                self._query(f"{_IN_TURN} {verb} ROLE {identifier(name)} {options}", None)
            except BackendError as error:
                if not created:
                    self._created.discard(name)
                if error.sqlstate != changed:
                    raise
                exists = not exists
            else:
                return

    def password(self, name: str) -> str:
        """Return the password that the role has in the backend."""
        digest = hmac.new(self._key, f"azure_postgresql_auth.emulator {name}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode()

    def drop(self, name: str) -> None:
        """Drop a role that was created here. If it owns objects in a given server, only disable its login."""
        self._names.discard(name)
        if name not in self._created:
            return
        try:
            self.drop_owned(name, databases=True)
            self._query(f"{_IN_TURN} DROP ROLE IF EXISTS {identifier(name)}", None)
        except BackendError as error:
            logger.warning("role %s stays, without login: %s", name, error)
            self._query(f"{_IN_TURN} ALTER ROLE {identifier(name)} NOLOGIN PASSWORD NULL", None)
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
