"""psycopg2: connections that log in with Microsoft Entra ID.

    from functools import partial
    from azure_postgresql_auth.psycopg2 import EntraConnection
    from psycopg2.pool import ThreadedConnectionPool

    pool = ThreadedConnectionPool(1, 5, host="server.postgres.database.azure.com", dbname="db",
                                  connection_factory=EntraConnection)

A credential other than the default one is closed over, for psycopg2 hands a factory nothing but the connection string:
`connection_factory=partial(EntraConnection, credential=credential)`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import tls
from azure_postgresql_auth._login import NO_OPTIONS, Failing, Terms, accepted, connect, libpq_limit
from azure_postgresql_auth._params import said_in
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    import psycopg2
except ImportError as error:
    message = "psycopg2 is not installed; install it with: pip install 'azure-postgresql-auth-rs[psycopg2]'"
    raise ImportError(message) from error
from psycopg2.extensions import connection, make_dsn, parse_dsn

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EntraConnection", "EntraOperationalError", "InsecureTransportOperationalError"]


class EntraOperationalError(EntraConnectionValueError, psycopg2.OperationalError):
    """No login could be had, so there is no connection: what pools and retries around psycopg2 look for."""


class InsecureTransportOperationalError(InsecureTransportError, psycopg2.OperationalError):
    """The connection would have sent its token in the clear, so there is none."""


@functools.lru_cache(maxsize=64)
def _parsed(dsn: str) -> dict[str, Any]:
    """What a connection string says; as in `psycopg3`."""
    return parse_dsn(dsn)


_TERMS = Terms(Failing(EntraOperationalError, InsecureTransportOperationalError), limit=libpq_limit)


class _Refused(Exception):  # noqa: N818 - no error: there is a second try
    """The server refused a cached token, and there is another one now."""


class _SecondTry(type):
    """Makes another object for the second try: psycopg2's know one attempt to connect, and stay closed if it fails."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except _Refused as refused:
            made = super().__call__(*args, **kwargs)
            (accepted,) = refused.args
            accepted()
            return made


class EntraConnection(connection, metaclass=_SecondTry):
    """A psycopg2 connection whose user and password, where they are not given, come from Microsoft Entra ID.

    Args:
        dsn: as for `psycopg2.connect`.
        async_: as for `psycopg2.connect`; the token is waited for all the same.
        **kwargs: as for `psycopg2.connect`, and:
            credential: whose login; by default `azure_postgresql_auth.identity.DefaultAzureCredential`.
            scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
            allow_insecure_transport: True to send the token over a connection that TLS does not protect.

    Raises:
        CredentialValueError: `credential` is none, or an asynchronous one.
        EntraConnectionValueError: no login could be had; also a `psycopg2.OperationalError`.
        psycopg2.OperationalError: the server cannot be reached, or refuses the login.
    """

    def __init__(self, dsn: str | None = None, async_: int = 0, **kwargs: Any) -> None:
        asynchronous = int(kwargs.pop("async", async_))
        cursor_factory = kwargs.pop("cursor_factory", None)
        options = NO_OPTIONS.taken_from(kwargs)
        if "database" in kwargs:
            kwargs["dbname"] = kwargs.pop("database")
        parsed = _parsed(dsn) if dsn else {}
        said = said_in(parsed, kwargs)
        with _TERMS.failing:
            kwargs.update(tls.libpq_settings(said, options.allow_insecure_transport))
        plainly = super().__init__
        tried = False

        def attempt(login: dict[str, Any]) -> None:
            nonlocal tried
            if tried:
                raise _Refused(functools.partial(accepted, said, options))
            tried = True
            plainly(make_dsn(**{**parsed, **kwargs, **login}), async_=asynchronous)

        connect(said, options, _TERMS, attempt)
        if cursor_factory is not None:
            self.cursor_factory = cursor_factory

    @classmethod
    def connect(cls, dsn: str | None = None, **kwargs: Any) -> Self:
        """Connects, as the constructor does."""
        return cls(dsn, **kwargs)
