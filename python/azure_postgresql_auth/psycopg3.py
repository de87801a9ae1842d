"""psycopg 3: connections that log in with Microsoft Entra ID.

    from azure_postgresql_auth.psycopg3 import EntraConnection
    from psycopg_pool import ConnectionPool

    pool = ConnectionPool("postgresql://server.postgres.database.azure.com/db", connection_class=EntraConnection)

Each new connection gets a token that is valid at that moment; one that is open outlives its token.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import tls
from azure_postgresql_auth._login import NO_OPTIONS, Failing, Options, Terms, connect, connect_async, libpq_limit
from azure_postgresql_auth._params import said_in
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    import psycopg
except ImportError as error:
    message = "psycopg 3 is not installed; install it with: pip install 'azure-postgresql-auth-rs[psycopg3]'"
    raise ImportError(message) from error
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import Row

if TYPE_CHECKING:
    from typing_extensions import Self

    from azure_postgresql_auth._core import Said

__all__ = ["AsyncEntraConnection", "EntraConnection", "EntraOperationalError", "InsecureTransportOperationalError"]


class EntraOperationalError(EntraConnectionValueError, psycopg.OperationalError):
    """No login could be had, so there is no connection: what pools and retries of psycopg look for."""


class InsecureTransportOperationalError(InsecureTransportError, psycopg.OperationalError):
    """The connection would have sent its token in the clear, so there is none."""


@functools.lru_cache(maxsize=64)
def _parsed(conninfo: str) -> dict[str, Any]:
    """What a connection string says.

    libpq's parser costs more than the rest of a login, and a pool passes the same string again and again. A function of
    this module, and not the parser itself wrapped: cloudpickle, of Dask, Ray and Spark, looks it up by its name.
    """
    return conninfo_to_dict(conninfo)


_TERMS = Terms(Failing(EntraOperationalError, InsecureTransportOperationalError), limit=libpq_limit)


class EntraConnection(psycopg.Connection[Row]):
    """A `psycopg.Connection` whose user and password, where they are not given, come from Microsoft Entra ID."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connects.

        Args:
            conninfo: as for `psycopg.Connection.connect`.
            **kwargs: as for `psycopg.Connection.connect`, and:
                credential: whose login; by default `azure_postgresql_auth.identity.DefaultAzureCredential`.
                scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
                allow_insecure_transport: True to send the token over a connection that TLS does not protect.

        Raises:
            CredentialValueError: `credential` is none, or an asynchronous one.
            EntraConnectionValueError: no login could be had; also a `psycopg.OperationalError`.
            psycopg.OperationalError: the server cannot be reached, or refuses the login.
        """
        options, said = _read(conninfo, kwargs)
        plainly = super().connect
        return connect(said, options, _TERMS, lambda login: plainly(conninfo, **{**kwargs, **login}))


class AsyncEntraConnection(psycopg.AsyncConnection[Row]):
    """A `psycopg.AsyncConnection` whose user and password, where they are not given, come from Microsoft Entra ID."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connects; takes the arguments of `EntraConnection.connect`, and any kind of credential.

        Raises:
            CredentialValueError: `credential` is none.
            EntraConnectionValueError: no login could be had; also a `psycopg.OperationalError`.
            psycopg.OperationalError: the server cannot be reached, or refuses the login.
        """
        options, said = _read(conninfo, kwargs)
        plainly = super().connect
        return await connect_async(said, options, _TERMS, lambda login: plainly(conninfo, **{**kwargs, **login}))


def _read(conninfo: str, keywords: dict[str, Any]) -> tuple[Options, Said]:
    """What the caller said; takes our keywords out of the driver's, and settles the transport in them."""
    options = NO_OPTIONS.taken_from(keywords)
    said = said_in(_parsed(conninfo), keywords)
    with _TERMS.failing:
        keywords.update(tls.libpq_settings(said, options.allow_insecure_transport))
    return options, said
