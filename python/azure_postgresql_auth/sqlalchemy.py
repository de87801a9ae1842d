"""SQLAlchemy: engines whose new connections log in with Microsoft Entra ID.

    from azure_postgresql_auth.sqlalchemy import enable_entra_authentication
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg://server.postgres.database.azure.com/db")
    enable_entra_authentication(engine)

Works with psycopg, psycopg2 and pg8000, and on asynchronous engines with psycopg and asyncpg. The login is asked for
whenever a pool opens a connection (SQLAlchemy's `do_connect` event). A credential other than the default one is given
to the function, or as `connect_args={"credential": ...}` to `create_engine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import Driver
from azure_postgresql_auth._login import ErrorTranslation, Options, Traits, connect
from azure_postgresql_auth._waiting import wait_async
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    from sqlalchemy import Engine, event, exc
    from sqlalchemy.engine import make_url
    from sqlalchemy.util import await_only
except ImportError as error:
    message = "SQLAlchemy is not installed; install it with: pip install 'azure-postgresql-auth-rs[sqlalchemy]'"
    raise ImportError(message) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL, Dialect
    from sqlalchemy.ext.asyncio import AsyncEngine

    from azure_postgresql_auth._core import ConnectionPlan, Login, PendingLogin
    from azure_postgresql_auth._credentials import Adopted

__all__ = [
    "EntraOperationalError",
    "InsecureTransportOperationalError",
    "create_asyncpg_engine",
    "enable_entra_authentication",
    "enable_entra_authentication_async",
]


_PG8000 = Driver("pg8000", tls.AZURE_ROOTS)
_LIBPQ_ONLY = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl")


class EntraOperationalError(EntraConnectionValueError, exc.OperationalError):
    """No login could be had, so there is no connection: what leaves `engine.connect()`."""

    def __init__(self, text: str) -> None:
        exc.OperationalError.__init__(self, None, None, Exception(text))
        self.args = (text,)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class InsecureTransportOperationalError(EntraOperationalError, InsecureTransportError):
    """The connection would have sent its token in the clear, so there is none."""


def enable_entra_authentication(
    engine: Engine,
    credential: object = None,
    *,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
) -> None:
    """Makes the connections that an engine opens from now on log in with Microsoft Entra ID.

    Args:
        engine: a synchronous engine; any PostgreSQL dialect whose driver takes `user` and `password`.
        credential: whose login; `connect_args={"credential": ...}` wins over it. By default
            `azure_postgresql_auth.identity.DefaultAzureCredential`.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
        allow_insecure_transport: True to send the token over a connection that TLS does not protect.

    Raises:
        TypeError: `engine` is an asynchronous one.

    From `engine.connect()` and the like:
        CredentialValueError: the credential is none, or an asynchronous one.
        EntraConnectionValueError: no login could be had; also a `sqlalchemy.exc.OperationalError`.
    """
    if not isinstance(engine, Engine):
        text = f"enable_entra_authentication takes a synchronous engine, not {type(engine).__name__}"
        if hasattr(engine, "sync_engine"):
            text += "; use enable_entra_authentication_async"
        raise TypeError(text)
    _listen(engine, Options(credential, scope, allow_insecure_transport))


def enable_entra_authentication_async(
    engine: AsyncEngine,
    credential: object = None,
    *,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
) -> None:
    """`enable_entra_authentication` for an asynchronous engine, on psycopg or asyncpg.

    The token is awaited, so the event loop runs on while it is fetched; synchronous and asynchronous credentials will
    do.

    Raises:
        TypeError: `engine` is a synchronous one.
    """
    sync_engine = getattr(engine, "sync_engine", None)
    if sync_engine is None:
        text = f"enable_entra_authentication_async takes an AsyncEngine, not {type(engine).__name__}"
        raise TypeError(text)

    def awaiting(adopted: Adopted, pending: PendingLogin, timeout: float) -> Login:
        # SQLAlchemy calls its drivers from a greenlet of the event loop's, where this gives way to other tasks.
        return await_only(wait_async(adopted, pending, timeout))

    _listen(sync_engine, Options(credential, scope, allow_insecure_transport), awaiting)


def create_asyncpg_engine(
    url: str | URL,
    credential: object = None,
    *,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
    **kwargs: Any,
) -> AsyncEngine:
    """An asynchronous engine on asyncpg whose connections log in with Microsoft Entra ID.

    Args:
        url: a `postgresql+asyncpg` URL. libpq's `sslmode` and `sslrootcert` are understood in its query.
        credential: as for `enable_entra_authentication_async`, and so are the next two.
        scope: OAuth 2.0 scope of the token.
        allow_insecure_transport: True to send the token over a connection that TLS does not protect.
        **kwargs: as for `sqlalchemy.ext.asyncio.create_async_engine`.

    Raises:
        CredentialValueError: `credential` is none.
        ValueError: the URL is for another driver.
        ImportError: asyncpg is not installed.
    """
    from azure_postgresql_auth import _credentials, asyncpg  # noqa: PLC0415 - names the extra if it is missing

    _ = asyncpg
    _credentials.adopt(credential)
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - synchronous programs need none of it

    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername != "postgresql+asyncpg":
        text = f"create_asyncpg_engine needs a postgresql+asyncpg URL, not {parsed.drivername}"
        raise ValueError(text)
    engine = create_async_engine(parsed, **kwargs)
    enable_entra_authentication_async(
        engine, credential, scope=scope, allow_insecure_transport=allow_insecure_transport
    )
    return engine


def _listen(
    engine: Engine, options: Options, waiting: Callable[[Adopted, PendingLogin, float], Login] | None = None
) -> None:
    # asyncpg has a limit of its own, see `azure_postgresql_auth.asyncpg`.
    timeout = 60.0 if engine.dialect.driver == "asyncpg" else None
    traits = Traits(ErrorTranslation(EntraOperationalError, InsecureTransportOperationalError), timeout)

    @event.listens_for(engine, "do_connect")
    def connect_with_login(dialect: Dialect, _: object, arguments: tuple[Any, ...], shared: dict[str, Any]) -> Any:
        # SQLAlchemy passes the same dictionary for every connection of the engine.
        parameters = dict(shared)
        given = options.taken_from(parameters)
        with traits.translating:
            plan = _plan(dialect, arguments, parameters, given)
        return connect(plan, given, traits, lambda told: dialect.connect(*arguments, **told), waiting)


def _plan(dialect: Dialect, arguments: tuple[Any, ...], parameters: dict[str, Any], options: Options) -> ConnectionPlan:
    """Decide about a connection; `parameters` are what the dialect made of the engine's URL and arguments."""
    if dialect.driver == "pg8000":
        return _pg8000_plan(parameters, options)
    if dialect.driver == "asyncpg":
        from azure_postgresql_auth import asyncpg  # noqa: PLC0415 - the driver that is in use

        # The dialect passes libpq's names on as keywords, which asyncpg understands in a URL only.
        query = {name: parameters.pop(name) for name in _LIBPQ_ONLY if name in parameters}
        if query:
            parameters["dsn"] = f"postgresql://?{urlencode(query)}"
        return asyncpg.plan_for(parameters.get("dsn"), parameters, options)
    conninfo = arguments[0] if arguments and isinstance(arguments[0], str) else ""
    if dialect.driver == "psycopg2":
        from azure_postgresql_auth import psycopg2  # noqa: PLC0415 - the driver that is in use

        return psycopg2.plan_for(psycopg2.parsed(conninfo), parameters, options)
    from azure_postgresql_auth import psycopg3  # noqa: PLC0415 - the driver that is in use

    return psycopg3.plan_for(psycopg3.parsed(conninfo), parameters, options)


def _pg8000_plan(parameters: dict[str, Any], options: Options) -> ConnectionPlan:
    context = parameters.get("ssl_context")
    sslmode = tls.sslmode_of(context)
    if parameters.get("unix_sock") is not None:
        # Then pg8000 connects to that, and the host is but a name.
        parameters["host"] = "localhost"
    is_opaque = parameters.get("sock") is not None or not isinstance(parameters.get("host", ""), str)
    plan = _PG8000.plan(
        parameters, {"sslmode": sslmode}, None, options.scope, options.allow_insecure_transport, is_opaque
    )
    decided = tls.pg8000_ssl(plan, context)
    if decided is not None:
        parameters["ssl_context"] = decided
    return plan
