"""The roles in the PostgreSQL behind, as the administrator makes and removes them."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from ._backend import BackendError, identifier, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Query = Callable[[str], Sequence[object]]

logger = logging.getLogger("azure_postgresql_auth.emulator")

_DUPLICATE_OBJECT = "42710"


class Roles:
    """Roles that log in with a random password that only the front door knows."""

    def __init__(self, query: Query, *, ours: bool) -> None:
        """Administer through `query`; `ours` says that the server lives and dies with the emulator."""
        self._query = query
        self._ours = ours
        self._created: set[str] = set()
        self.passwords: dict[str, str] = {}
        if ours:
            # So that a program can be tried at once; on Azure, an administrator grants what is needed.
            query("GRANT ALL ON SCHEMA public TO PUBLIC")

    def create(self, name: str) -> None:
        """Create a role; one that exists in a given server is taken over, and not dropped in the end."""
        password = secrets.token_urlsafe(24)
        rights = " CREATEDB" if self._ours else ""
        attributes = f"ROLE {identifier(name)} LOGIN{rights} PASSWORD {literal(password)}"
        try:
            self._query(f"CREATE {attributes}")
        except BackendError as error:
            if error.sqlstate != _DUPLICATE_OBJECT:
                raise
            self._query(f"ALTER {attributes}")
        else:
            self._created.add(name)
        self.passwords[name] = password

    def drop(self, name: str) -> None:
        """Drop a role that we created; one that owns something stays, but cannot log in."""
        self.passwords.pop(name, None)
        if name not in self._created:
            return
        try:
            if self._ours:
                self._query(f"DROP OWNED BY {identifier(name)} CASCADE")
            self._query(f"DROP ROLE {identifier(name)}")
        except BackendError as error:
            logger.warning("role %s stays, without login: %s", name, error)
            self._query(f"ALTER ROLE {identifier(name)} NOLOGIN PASSWORD NULL")
        else:
            self._created.discard(name)

    def drop_all(self) -> None:
        """Leave a given server as it was; one of our own disappears anyway."""
        if self._ours:
            return
        for name in list(self._created):
            try:
                self.drop(name)
            except Exception as error:  # noqa: BLE001, PERF203 - the server may be gone; stopping goes on
                logger.warning("role %s could not be dropped: %s", name, error)
