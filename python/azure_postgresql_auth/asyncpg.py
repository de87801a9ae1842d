"""asyncpg: connections that log in with Microsoft Entra ID.

from azure_postgresql_auth.asyncpg import create_pool

async with create_pool("postgresql://server.postgres.database.azure.com/db") as pool:
    await pool.fetchval("SELECT current_user")
"""

from __future__ import annotations

import configparser
import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlparse, urlunparse

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import Driver
from azure_postgresql_auth._engine.connect import ErrorTranslation, Options, connect_async
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    import asyncpg
    from asyncpg import compat
except ImportError as error:
    message = "asyncpg is not installed; install it with: pip install 'azure-postgresql-auth-rs[asyncpg]'"
    raise ImportError(message) from error

if TYPE_CHECKING:
    from asyncpg import Connection
    from asyncpg.pool import Pool

    from azure_postgresql_auth._core import ConnectionPlan
    from azure_postgresql_auth._shapes import AsyncTokenCredential, TokenCredential

__all__ = ["EntraOperationalError", "InsecureTransportOperationalError", "connect", "create_pool"]


class EntraOperationalError(EntraConnectionValueError, asyncpg.ClientCannotConnectError):  # type: ignore[misc]
    """Could not obtain a login. In asyncpg's terms the client cannot connect (SQLSTATE 08001)."""


class InsecureTransportOperationalError(InsecureTransportError, asyncpg.ClientCannotConnectError):  # type: ignore[misc]
    """The connection was refused because it could have sent its token unencrypted."""


_TRANSLATION = ErrorTranslation(EntraOperationalError, InsecureTransportOperationalError)
_DRIVER = Driver("asyncpg", tls.AZURE_ROOTS)


async def connect(
    dsn: str | None = None,
    *,
    credential: TokenCredential | AsyncTokenCredential | None = None,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
    **kwargs: Any,
) -> Connection[Any]:
    """Connect to a server as `asyncpg.connect` does, with Microsoft Entra ID unless a password is given.

    Args:
        dsn: connection URL.
        credential: the credential to log in with; by default `azure_postgresql_auth.identity.DefaultAzureCredential`.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
        allow_insecure_transport: True to send the token over a connection that TLS does not protect.
        **kwargs: the arguments of `asyncpg.connect`. Its `timeout` (60 s by default) includes obtaining the token.

    Raises:
        CredentialValueError: `credential` is not a credential object.
        EntraConnectionValueError: no token could be obtained; also an `asyncpg.ClientCannotConnectError`.
        asyncpg.PostgresError: the server refuses the login.
    """
    options = Options(credential, scope, allow_insecure_transport)
    # First, because what is no text is a mistake of the program and not a login that failed.
    url = read_url(dsn).dsn if dsn else None
    with _TRANSLATION:
        plan = plan_for(dsn, kwargs, options)
    return await connect_async(plan, options, _TRANSLATION, lambda arguments: asyncpg.connect(url, **arguments))


def create_pool(
    dsn: str | None = None,
    *,
    credential: TokenCredential | AsyncTokenCredential | None = None,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
    **kwargs: Any,
) -> Pool[Any]:
    """Create a pool as `asyncpg.create_pool` does, whose connections log in as those of `connect` do.

    Takes the arguments of both. Errors of logins are raised when the pool opens a connection, not by this function.
    """
    connecting = functools.partial(
        connect, credential=credential, scope=scope, allow_insecure_transport=allow_insecure_transport
    )
    return asyncpg.create_pool(dsn, connect=connecting, **kwargs)


def plan_for(dsn: str | None, keywords: dict[str, Any], options: Options) -> ConnectionPlan:
    """Return the plan of a connection.

    Sets `ssl` in `keywords`, asyncpg's arguments, where the plan requires it. `options` are this package's arguments.
    """
    url = read_url(dsn) if dsn else _Url()
    params, is_opaque = dict(url.params), url.is_opaque
    ssl = keywords.get("ssl")
    sslmode = tls.sslmode_of(ssl)
    if sslmode is not None:
        params["sslmode"] = sslmode
    try:
        service = _service(keywords.get("service") or params.get("service"), keywords) if dsn else None
    except (configparser.Error, OSError, UnicodeDecodeError):
        # asyncpg raises the same error when it connects.
        service, is_opaque = None, True
    plan = _DRIVER.plan(keywords, params, service, options.scope, options.allow_insecure_transport, is_opaque)
    decided = tls.asyncpg_ssl(plan, ssl)
    if decided is None and ssl is None:
        # asyncpg reads every other source itself.
        decided = url.ssl
    if decided is not None:
        keywords["ssl"] = decided
    return plan


class _Url(NamedTuple):
    """A connection URL as asyncpg reads it."""

    dsn: str | None = None
    """The URL without the parameters that asyncpg does not know."""
    params: dict[str, str] = {}  # noqa: RUF012 - never changed
    is_opaque: bool = False
    """The URL cannot be parsed; asyncpg rejects it when it connects."""
    ssl: str | None = None
    """The `sslmode` that corresponds to the URL's `ssl`, a parameter that asyncpg does not know."""


@functools.lru_cache(maxsize=64)
def read_url(dsn: str) -> _Url:
    """Read a URL with the functions that asyncpg uses.

    Source: `_parse_connect_dsn_and_args` in asyncpg's `connect_utils.py`, 0.30 to 0.32.
    """
    try:
        parts = urlparse(dsn)
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        if parts.scheme not in {"postgresql", "postgres"}:
            return _Url(dsn, is_opaque=True)
    except ValueError:
        return _Url(dsn, is_opaque=True)
    before, at, after = parts.netloc.partition("@")
    user, _, password = before.partition(":") if at else ("", "", "")
    params = {keyword: values[-1] for keyword, values in query.items()}
    # The authority wins over the query.
    authority = after if at else before
    stronger = {"user": unquote(user), "password": unquote(password), "authority": authority}
    params.update({keyword: value for keyword, value in stronger.items() if value})
    ssl = None
    if "ssl" in params:
        # `ssl` is one of asyncpg's arguments, but in a URL asyncpg would send it to the server as a setting.
        given = params.pop("ssl")
        sslmode = tls.sslmode_of(given)
        if sslmode is not None:
            params.setdefault("sslmode", sslmode)
        # The plan decides what `ssl=true` verifies; the connection is encrypted in any case.
        ssl = params.get("sslmode") or ("require" if given else None)
        rest = [pair for pair in parts.query.split("&") if pair.partition("=")[0] != "ssl"]
        dsn = urlunparse(parts._replace(query="&".join(rest)))
    return _Url(dsn, params, ssl=ssl)


def _service(name: str | None, keywords: dict[str, Any]) -> dict[str, str] | None:
    """Return the settings of a service, read with asyncpg's parser; None if asyncpg does not read the service."""
    if not name or "service" not in (asyncpg.connect.__kwdefaults__ or {}):
        # asyncpg before 0.31 does not read services.
        return None
    file = keywords.get("servicefile")
    if file is None:
        # As in asyncpg, an empty string names no file.
        file = os.environ.get("PGSERVICEFILE")
    if file is None:
        home = compat.get_pg_home_directory()
        file = [] if home is None else home / ".pg_service.conf"
    parser = configparser.ConfigParser()
    parser.read(file)
    return dict(parser[name]) if name in parser.sections() else None
