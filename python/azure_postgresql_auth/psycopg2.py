"""psycopg2: connections that log in with Microsoft Entra ID.

    from functools import partial
    from azure_postgresql_auth.psycopg2 import EntraConnection
    from psycopg2.pool import ThreadedConnectionPool

    pool = ThreadedConnectionPool(1, 5, host="server.postgres.database.azure.com", dbname="db",
                                  connection_factory=EntraConnection)

psycopg2 passes only the connection string to a factory. To use a credential other than the default one, bind it:
`connection_factory=partial(EntraConnection, credential=credential)`.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import Driver
from azure_postgresql_auth._engine.connect import ErrorTranslation, Options, accepted, connect, restore_error
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    import psycopg2
except ImportError as error:
    message = "psycopg2 is not installed; install it with: pip install 'azure-postgresql-auth-rs[psycopg2]'"
    raise ImportError(message) from error
from psycopg2.extensions import connection, cursor, libpq_version, make_dsn, parse_dsn

if TYPE_CHECKING:
    from typing_extensions import Self

    from azure_postgresql_auth._core import ConnectionPlan
    from azure_postgresql_auth._shapes import TokenCredential

__all__ = ["EntraConnection", "EntraOperationalError", "InsecureTransportOperationalError"]


class EntraOperationalError(EntraConnectionValueError, psycopg2.OperationalError):
    """Could not obtain a login. Pools and retry code that handle `psycopg2.OperationalError` handle it, too."""

    def __reduce__(self) -> tuple[Any, ...]:
        # psycopg2's own leaves out all attributes but its own.
        return restore_error, (type(self), self.args, self.report)


class InsecureTransportOperationalError(InsecureTransportError, psycopg2.OperationalError):
    """The connection was refused because it could have sent its token unencrypted."""

    def __reduce__(self) -> tuple[Any, ...]:
        # psycopg2's own leaves out all attributes but its own.
        return restore_error, (type(self), self.args, self.report)


@functools.lru_cache(maxsize=64)
def parsed(dsn: str) -> dict[str, Any]:
    """Return the parameters of a connection string; cached for the reasons given in `psycopg3.parsed`."""
    return parse_dsn(dsn) if dsn else {}


_TRANSLATION = ErrorTranslation(EntraOperationalError, InsecureTransportOperationalError)
_DRIVER = Driver("libpq", tls.AZURE_ROOTS, libpq_version=libpq_version())


def plan_for(url: dict[str, Any], keywords: dict[str, Any], options: Options) -> ConnectionPlan:
    """Return the plan of a connection; the arguments are those of `psycopg3.plan_for`."""
    return _DRIVER.plan(keywords, url, None, options.scope, options.allow_insecure_transport)


class _TokenRefused(Exception):  # noqa: N818 - starts the second attempt, never reaches the caller
    """The server refused a cached token, and a newer one is available."""


_is_second: ContextVar[bool] = ContextVar("azure_postgresql_auth_second_attempt", default=False)


class _SecondAttempt(type):
    """Create another object for the second attempt, because a psycopg2 connection can connect only once."""

    if not TYPE_CHECKING:  # type checkers take the signature of __init__

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().__call__(*args, **kwargs)
            except _TokenRefused:
                second = _is_second.set(True)
            try:
                return super().__call__(*args, **kwargs)
            finally:
                _is_second.reset(second)


class EntraConnection(connection, metaclass=_SecondAttempt):
    """A psycopg2 connection that logs in with Microsoft Entra ID.

    It obtains the user and the password unless they are given.

    Args:
        dsn: connection string or URL, as for `psycopg2.connect`.
        async_: as for `psycopg2.connect`; the constructor blocks until it has a token in any case.
        cursor_factory: class of the connection's cursors, as for `psycopg2.connect`.
        credential: the credential to log in with; by default `azure_postgresql_auth.identity.DefaultAzureCredential`.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
        allow_insecure_transport: True to send the token over a connection that TLS does not protect.
        **kwargs: connection parameters, which take precedence over those in `dsn`.

    Raises:
        CredentialValueError: `credential` is not a credential object, or it is an asynchronous one.
        EntraConnectionValueError: no token could be obtained; also a `psycopg2.OperationalError`.
        psycopg2.OperationalError: the server cannot be reached, or refuses the login.
    """

    def __init__(  # noqa: PLR0913 - psycopg2's arguments and this package's
        self,
        dsn: str | None = None,
        async_: int = 0,
        *,
        cursor_factory: type[cursor] | None = None,
        credential: TokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> None:
        asynchronous = int(kwargs.pop("async", async_))
        options = Options(credential, scope, allow_insecure_transport)
        if "database" in kwargs:
            kwargs["dbname"] = kwargs.pop("database")
        # As in psycopg2, None leaves a parameter to the connection string.
        kwargs = {keyword: value for keyword, value in kwargs.items() if value is not None}
        url = parsed(dsn or "")
        with _TRANSLATION:
            plan = plan_for(url, kwargs, options)
        driver_connect = super().__init__
        is_second, is_used = _is_second.get(), False
        # The flag is for this object alone: a connection that a subclass opens meanwhile has two attempts of its own.
        _is_second.set(False)

        def attempt(arguments: dict[str, Any]) -> None:
            nonlocal is_used
            if is_used:
                raise _TokenRefused
            is_used = True
            # By position, because replication connections name the second argument `async`.
            driver_connect(make_dsn(**{**url, **arguments}), asynchronous)  # type: ignore[call-arg]

        connect(plan, options, _TRANSLATION, attempt, tries=1 if is_second else 2)
        if is_second:
            accepted(plan, options)
        if cursor_factory is not None:
            self.cursor_factory = cursor_factory

    @classmethod
    def connect(  # noqa: PLR0913 - the constructor's arguments, repeated for type checkers
        cls,
        dsn: str | None = None,
        *,
        async_: int = 0,
        cursor_factory: type[cursor] | None = None,
        credential: TokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Connect to a server and return the connection, as the constructor does."""
        return cls(
            dsn,
            async_,
            cursor_factory=cursor_factory,
            credential=credential,
            scope=scope,
            allow_insecure_transport=allow_insecure_transport,
            **kwargs,
        )
