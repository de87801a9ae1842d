"""psycopg 3: connections that log in with Microsoft Entra ID.

    from azure_postgresql_auth.psycopg3 import EntraConnection
    from psycopg_pool import ConnectionPool

    pool = ConnectionPool("postgresql://server.postgres.database.azure.com/db", connection_class=EntraConnection)

Each new connection gets a valid token. An open connection stays open when its token expires.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, TypeVar, overload

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import Driver
from azure_postgresql_auth._engine.connect import ErrorTranslation, Options, connect, connect_async
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    import psycopg
except ImportError as error:
    message = "psycopg 3 is not installed; install it with: pip install 'azure-postgresql-auth-rs[psycopg3]'"
    raise ImportError(message) from error
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row

if TYPE_CHECKING:
    from psycopg import AsyncCursor, Cursor
    from psycopg.abc import AdaptContext
    from psycopg.rows import AsyncRowFactory, RowFactory
    from typing_extensions import Self

    from azure_postgresql_auth._core import ConnectionPlan
    from azure_postgresql_auth._shapes import AsyncTokenCredential, TokenCredential

__all__ = ["AsyncEntraConnection", "EntraConnection", "EntraOperationalError", "InsecureTransportOperationalError"]


OtherRow = TypeVar("OtherRow")


class EntraOperationalError(EntraConnectionValueError, psycopg.OperationalError):
    """Could not obtain a login. Pools and retry code that handle `psycopg.OperationalError` handle it, too."""


class InsecureTransportOperationalError(InsecureTransportError, psycopg.OperationalError):
    """The connection was refused because it could have sent its token unencrypted."""


@functools.lru_cache(maxsize=64)
def parsed(conninfo: str) -> dict[str, Any]:
    """Return the parameters of a connection string.

    The result is cached because libpq's parser takes longer than the rest of a cached login, and a pool passes the same
    string for each connection. It is a function of this module, rather than a wrapper of psycopg's parser, because
    cloudpickle (Dask, Ray, Spark) looks it up by its name.
    """
    return conninfo_to_dict(conninfo)


_TRANSLATION = ErrorTranslation(EntraOperationalError, InsecureTransportOperationalError)
_DRIVER = Driver("libpq", tls.AZURE_ROOTS, libpq_version=psycopg.pq.version())


class EntraConnection(psycopg.Connection[Row]):
    """A `psycopg.Connection` that logs in with Microsoft Entra ID.

    It obtains the user and the password of a connection unless they are given.
    """

    # The second overload is for pyright, which reads the class without type arguments as a connection that returns
    # tuples (psycopg/psycopg#1257).
    @overload  # type: ignore[override]
    @classmethod
    def connect(
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: RowFactory[Row] | None = None,
        cursor_factory: type[Cursor[Row]] | None = None,
        credential: TokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> Self: ...

    @overload
    @classmethod
    def connect(
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: RowFactory[OtherRow],
        cursor_factory: type[Cursor[OtherRow]] | None = None,
        credential: TokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> EntraConnection[OtherRow]: ...

    @classmethod
    def connect(
        cls,
        conninfo: str = "",
        *,
        credential: TokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> EntraConnection[Any]:
        """Connect to a server and return the connection.

        Args:
            conninfo: connection string or URL.
            credential: the credential to log in with; by default
                `azure_postgresql_auth.identity.DefaultAzureCredential`.
            scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
            allow_insecure_transport: True to send the token over a connection that TLS does not protect.
            **kwargs: the other arguments of `psycopg.Connection.connect`, and connection parameters, which take
                precedence over those in `conninfo`.

        Raises:
            CredentialValueError: `credential` is not a credential object, or it is an asynchronous one.
            EntraConnectionValueError: no token could be obtained; also a `psycopg.OperationalError`.
            psycopg.OperationalError: the server cannot be reached, or refuses the login.
        """
        options = Options(credential, scope, allow_insecure_transport)
        url = parsed(conninfo)
        with _TRANSLATION:
            plan = plan_for(url, kwargs, options)
        driver_connect = super().connect
        return connect(plan, options, _TRANSLATION, lambda arguments: driver_connect(conninfo, **arguments))


class AsyncEntraConnection(psycopg.AsyncConnection[Row]):
    """A `psycopg.AsyncConnection` that logs in with Microsoft Entra ID, as `EntraConnection` does."""

    @overload  # type: ignore[override]
    @classmethod
    async def connect(
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[Row] | None = None,
        cursor_factory: type[AsyncCursor[Row]] | None = None,
        credential: TokenCredential | AsyncTokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> Self: ...

    @overload
    @classmethod
    async def connect(
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[OtherRow],
        cursor_factory: type[AsyncCursor[OtherRow]] | None = None,
        credential: TokenCredential | AsyncTokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> AsyncEntraConnection[OtherRow]: ...

    @classmethod
    async def connect(
        cls,
        conninfo: str = "",
        *,
        credential: TokenCredential | AsyncTokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> AsyncEntraConnection[Any]:
        """Connect to a server and return the connection.

        Takes the arguments of `EntraConnection.connect`, with a synchronous or an asynchronous credential.

        Raises:
            CredentialValueError: `credential` is not a credential object.
            EntraConnectionValueError: no token could be obtained; also a `psycopg.OperationalError`.
            psycopg.OperationalError: the server cannot be reached, or refuses the login.
        """
        options = Options(credential, scope, allow_insecure_transport)
        url = parsed(conninfo)
        with _TRANSLATION:
            plan = plan_for(url, kwargs, options)
        driver_connect = super().connect
        return await connect_async(plan, options, _TRANSLATION, lambda arguments: driver_connect(conninfo, **arguments))


def plan_for(url: dict[str, Any], keywords: dict[str, Any], options: Options) -> ConnectionPlan:
    """Return the plan of a connection.

    Args:
        url: parameters of the connection string, from `parsed`.
        keywords: psycopg's keyword arguments and connection parameters.
        options: this package's own arguments.
    """
    plan = _DRIVER.plan(keywords, url, None, options.scope, options.allow_insecure_transport)
    if plan.has_unresolved_service:
        given = {**url, **{name: value for name, value in keywords.items() if value is not None}}
        service = _service_by_libpq(given)
        plan = _DRIVER.plan(keywords, url, service, options.scope, options.allow_insecure_transport)
    return plan


def _service_by_libpq(keywords: dict[str, Any]) -> dict[str, str] | None:
    """Return the parameters that libpq reads from a service; None if it does not find the service.

    The directory of the system-wide service file is compiled into libpq, so only libpq can find it. The function
    starts a connection with an invalid `target_session_attrs`: libpq rejects it after it has read the service file, and
    before it opens a socket.
    """
    service = {name: keywords[name] for name in ("service", "servicefile") if keywords.get(name)}
    rejected = psycopg.pq.PGconn.connect_start(make_conninfo("", **service, target_session_attrs="refused").encode())
    try:
        found = {option.keyword.decode(): option for option in rejected.info}
    finally:
        rejected.finish()
    if found["target_session_attrs"].val != b"refused":
        return None
    # A value that equals the default cannot be distinguished from it, unless an environment variable would override the
    # default. Treating the value as the default can only make the connection's rules stricter.
    defaults = {**{name: option.compiled for name, option in found.items()}, "user": _system_user()}
    given = {
        name: option.val
        for name, option in found.items()
        if option.val != defaults[name] or (option.envvar or b"").decode() in os.environ
    }
    return {name: value.decode() for name, value in given.items() if value}


def _system_user() -> bytes | None:
    from getpass import getuser  # noqa: PLC0415 - hardly ever needed

    try:
        return getuser().encode()
    except (ImportError, KeyError, OSError):
        # The user database has no name for this user; libpq has no default user then.
        return None
