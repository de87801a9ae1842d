"""psycopg 3: connections that log in with Microsoft Entra ID.

    from azure_postgresql_auth.psycopg3 import EntraConnection
    from psycopg_pool import ConnectionPool

    pool = ConnectionPool("postgresql://server.postgres.database.azure.com/db", connection_class=EntraConnection)

Each new connection gets a token that is valid at that moment; one that is open outlives its token.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, TypeVar, overload

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import Driver
from azure_postgresql_auth._engine.connect import ErrorTranslation, Options, Traits, connect, connect_async
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
    """No login could be had, so there is no connection: what pools and retries of psycopg look for."""


class InsecureTransportOperationalError(InsecureTransportError, psycopg.OperationalError):
    """The connection would have sent its token in the clear, so there is none."""


@functools.lru_cache(maxsize=64)
def parsed(conninfo: str) -> dict[str, Any]:
    """What a connection string says.

    libpq's parser costs more than the rest of a login, and a pool passes the same string again and again. A function of
    this module, and not the parser itself wrapped: cloudpickle, of Dask, Ray and Spark, looks it up by its name.
    """
    return conninfo_to_dict(conninfo)


_TRAITS = Traits(ErrorTranslation(EntraOperationalError, InsecureTransportOperationalError))
_DRIVER = Driver("libpq", tls.AZURE_ROOTS, libpq_version=psycopg.pq.version())


class EntraConnection(psycopg.Connection[Row]):
    """A `psycopg.Connection` whose user and password, where they are not given, come from Microsoft Entra ID."""

    # The second is for pyright, to which the class without arguments is one of tuples (psycopg/psycopg#1257).
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
    def connect(  # noqa: PLR0913 - psycopg's, and ours
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: RowFactory[Any] | None = None,
        cursor_factory: type[Cursor[Any]] | None = None,
        credential: TokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> EntraConnection[Any]:
        """Connect to a server and return the connection.

        The other arguments are those of `psycopg.Connection.connect`.

        Args:
            conninfo: connection string or URL.
            autocommit: True to start no transactions.
            prepare_threshold: number of executions after which a statement is prepared; None for never.
            context: where the connection's adapters come from.
            row_factory: makes rows of results, as `psycopg.rows.dict_row`.
            cursor_factory: class of the connection's cursors.
            credential: whose login; by default `azure_postgresql_auth.identity.DefaultAzureCredential`.
            scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
            allow_insecure_transport: True to send the token over a connection that TLS does not protect.
            **kwargs: connection parameters, which win over those of `conninfo`.

        Raises:
            CredentialValueError: `credential` is not a credential object, or an asynchronous one.
            EntraConnectionValueError: no token could be obtained; also a `psycopg.OperationalError`.
            psycopg.OperationalError: the server cannot be reached, or refuses the login.
        """
        options = Options(credential, scope, allow_insecure_transport)
        url = parsed(conninfo)
        with _TRAITS.translating:
            plan = plan_for(url, kwargs, options)
        driver_connect = functools.partial(
            super().connect,
            conninfo,
            autocommit=autocommit,
            prepare_threshold=prepare_threshold,
            context=context,
            row_factory=row_factory,
            cursor_factory=cursor_factory,
        )
        return connect(plan, options, _TRAITS, lambda arguments: driver_connect(**arguments))


class AsyncEntraConnection(psycopg.AsyncConnection[Row]):
    """A `psycopg.AsyncConnection` whose user and password, where they are not given, come from Microsoft Entra ID."""

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
    async def connect(  # noqa: PLR0913 - psycopg's, and ours
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[Any] | None = None,
        cursor_factory: type[AsyncCursor[Any]] | None = None,
        credential: TokenCredential | AsyncTokenCredential | None = None,
        scope: str | None = None,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> AsyncEntraConnection[Any]:
        """Connect to a server and return the connection.

        Takes the arguments of `EntraConnection.connect`, and credentials of both kinds.

        Raises:
            CredentialValueError: `credential` is not a credential object.
            EntraConnectionValueError: no token could be obtained; also a `psycopg.OperationalError`.
            psycopg.OperationalError: the server cannot be reached, or refuses the login.
        """
        options = Options(credential, scope, allow_insecure_transport)
        url = parsed(conninfo)
        with _TRAITS.translating:
            plan = plan_for(url, kwargs, options)
        driver_connect = functools.partial(
            super().connect,
            conninfo,
            autocommit=autocommit,
            prepare_threshold=prepare_threshold,
            context=context,
            row_factory=row_factory,
            cursor_factory=cursor_factory,
        )
        return await connect_async(plan, options, _TRAITS, lambda arguments: driver_connect(**arguments))


def plan_for(url: dict[str, Any], keywords: dict[str, Any], options: Options) -> ConnectionPlan:
    """Decide about a connection with psycopg's arguments; ours are in `options`.

    Args:
        url: what the connection string says, by `parsed`.
        keywords: the others.
        options: ours.
    """
    plan = _DRIVER.plan(keywords, url, None, options.scope, options.allow_insecure_transport)
    if plan.has_unresolved_service:
        said = {**url, **{name: value for name, value in keywords.items() if value is not None}}
        service = _service_by_libpq(said)
        plan = _DRIVER.plan(keywords, url, service, options.scope, options.allow_insecure_transport)
    return plan


def _service_by_libpq(keywords: dict[str, Any]) -> dict[str, str] | None:
    """What libpq itself reads of a service, None if it finds none.

    Only libpq knows the directory of service files that it was built with. It is asked to connect with a parameter that
    it refuses after it has read all of them, and before it opens a socket.
    """
    service = {name: keywords[name] for name in ("service", "servicefile") if keywords.get(name)}
    asked = psycopg.pq.PGconn.connect_start(make_conninfo("", **service, target_session_attrs="refused").encode())
    try:
        found = {option.keyword.decode(): option for option in asked.info}
    finally:
        asked.finish()
    refused = found["target_session_attrs"].val
    if refused != b"refused":
        return None
    # A value that equals a default cannot be told from it, unless a variable would have come before the default; taken
    # for the default, it is at worst treated more strictly.
    defaults = {**{name: option.compiled for name, option in found.items()}, "user": _system_user()}
    said = {
        name: option.val
        for name, option in found.items()
        if option.val != defaults[name] or (option.envvar or b"").decode() in os.environ
    }
    return {name: value.decode() for name, value in said.items() if value}


def _system_user() -> bytes | None:
    from getpass import getuser  # noqa: PLC0415 - hardly ever needed

    try:
        return getuser().encode()
    except (ImportError, KeyError, OSError):
        # No name in the user database, and then libpq has none either.
        return None
