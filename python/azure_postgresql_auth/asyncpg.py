"""asyncpg: connections that log in with Microsoft Entra ID.

from azure_postgresql_auth.asyncpg import create_pool

async with create_pool("postgresql://server.postgres.database.azure.com/db") as pool:
    await pool.fetchval("SELECT current_user")
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import tls
from azure_postgresql_auth._login import NO_OPTIONS, Failing, Options, Terms, connect_async, plain_limit
from azure_postgresql_auth._params import said_in_url
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    import asyncpg
except ImportError as error:
    message = "asyncpg is not installed; install it with: pip install 'azure-postgresql-auth-rs[asyncpg]'"
    raise ImportError(message) from error

if TYPE_CHECKING:
    from asyncpg import Connection
    from asyncpg.pool import Pool

__all__ = ["EntraOperationalError", "InsecureTransportOperationalError", "connect", "create_pool"]


class EntraOperationalError(EntraConnectionValueError, asyncpg.ClientCannotConnectError):  # type: ignore[misc]
    """No login could be had, so there is no connection: in asyncpg's terms, SQLSTATE 08001."""


class InsecureTransportOperationalError(InsecureTransportError, asyncpg.ClientCannotConnectError):  # type: ignore[misc]
    """The connection would have sent its token in the clear, so there is none."""


_TERMS = Terms(
    Failing(EntraOperationalError, InsecureTransportOperationalError),
    limit=plain_limit,
    # asyncpg.connect's own; it holds for the token too.
    timeout=60.0,
)


async def connect(dsn: str | None = None, **kwargs: Any) -> Connection[Any]:
    """`asyncpg.connect`, with user and password, where they are not given, from Microsoft Entra ID.

    Args:
        dsn: as for `asyncpg.connect`.
        **kwargs: as for `asyncpg.connect`, and:
            credential: whose login, of any kind; by default `azure_postgresql_auth.identity.DefaultAzureCredential`.
            scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
            allow_insecure_transport: True to send the token over a connection that TLS does not protect.

    Raises:
        CredentialValueError: `credential` is none.
        EntraConnectionValueError: no login could be had; also an `asyncpg.ClientCannotConnectError`.
        asyncpg.PostgresError: the server refuses the login.
    """
    options = NO_OPTIONS.taken_from(kwargs)
    said = said_in_url(dsn, {**kwargs, "sslmode": tls.asyncpg_mode(kwargs.get("ssl"))})
    with _TERMS.failing:
        kwargs.update(tls.asyncpg_settings(said, kwargs.get("ssl"), options.allow_insecure_transport))
    return await connect_async(said, options, _TERMS, lambda login: asyncpg.connect(dsn, **{**kwargs, **login}))


def create_pool(dsn: str | None = None, **kwargs: Any) -> Pool[Any]:
    """`asyncpg.create_pool`, whose new connections log in as those of `connect` do; takes the keywords of both."""
    options = {name: kwargs.pop(name) for name in Options.__slots__ if name in kwargs}
    return asyncpg.create_pool(dsn, connect=functools.partial(connect, **options), **kwargs)
