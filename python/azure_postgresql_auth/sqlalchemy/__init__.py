"""SQLAlchemy: engines whose new connections log in with Microsoft Entra ID.

    from azure_postgresql_auth.sqlalchemy import enable_entra_authentication
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg://server.postgres.database.azure.com/db")
    enable_entra_authentication(engine)

Works with SQLAlchemy 1.4, 2.0 and 2.1, on psycopg, psycopg2, pg8000 and asyncpg. A login is obtained whenever a pool
opens a connection (SQLAlchemy's `do_connect` event). To use a credential other than the default one, pass it to the
function, or as `connect_args={"credential": ...}` to `create_engine`.

Programs that are configured only by a URL can name the engine plugin in it (`EntraPlugin`):

    postgresql+psycopg://server.postgres.database.azure.com/db?plugin=entra
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from sqlalchemy.dialects import plugins
    from sqlalchemy.engine import Engine, make_url
except ImportError as error:
    message = "SQLAlchemy is not installed; install it with: pip install 'azure-postgresql-auth-rs[sqlalchemy]'"
    raise ImportError(message) from error

from azure_postgresql_auth._engine.connect import Options
from azure_postgresql_auth.sqlalchemy._engine_login import (
    EngineLogin,
    EntraOperationalError,
    InsecureTransportOperationalError,
    set_login,
)
from azure_postgresql_auth.sqlalchemy._plugin import NAME, EntraPlugin

if TYPE_CHECKING:
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "EntraOperationalError",
    "EntraPlugin",
    "InsecureTransportOperationalError",
    "create_asyncpg_engine",
    "enable_entra_authentication",
    "enable_entra_authentication_async",
]

# An installed package has an entry point for the plugin; a source checkout on the path does not.
plugins.register(NAME, EntraPlugin.__module__, EntraPlugin.__name__)


def enable_entra_authentication(
    engine: Engine | AsyncEngine | type[Engine],
    credential: object = None,
    *,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
) -> None:
    """Make the connections that an engine opens from now on log in with Microsoft Entra ID.

    A second call for the same engine replaces the settings of the first, and a call replaces the engine plugin's
    settings. On an asynchronous engine the token is awaited, so the event loop is not blocked while it is fetched.

    Other listeners of `do_connect` run first, whenever they were registered. Their changes of the arguments apply, and
    a listener that returns a connection prevents the login.

    Args:
        engine: an engine on psycopg, psycopg2, pg8000 or asyncpg, synchronous or asynchronous. The class
            `sqlalchemy.engine.Engine` stands for all engines of the process that have no settings of their own; it
            affects every PostgreSQL connection for which no password is given, so do not use it in a program whose
            users can add connections.
        credential: the credential to log in with; `connect_args={"credential": ...}` takes precedence. By default
            `azure_postgresql_auth.identity.DefaultAzureCredential`.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
        allow_insecure_transport: True to send the token over a connection that TLS does not protect.

    Raises:
        TypeError: `engine` is none of these.
        sqlalchemy.exc.ArgumentError: the engine is for another database, or on a driver that is not supported.

    From `engine.connect()` and the like:
        CredentialValueError: not a credential object, or an asynchronous one for a synchronous engine.
        EntraConnectionValueError: could not obtain a login; also a `sqlalchemy.exc.OperationalError`.
    """
    target: Any = getattr(engine, "sync_engine", engine)
    is_class = isinstance(target, type) and issubclass(target, Engine)
    if not is_class and not isinstance(target, Engine):
        text = f"engine is required to be an Engine, an AsyncEngine or the class Engine, not {type(engine).__name__}"
        raise TypeError(text)
    set_login(target, EngineLogin(Options(credential, scope, allow_insecure_transport)))


def enable_entra_authentication_async(
    engine: Engine | AsyncEngine | type[Engine],
    credential: object = None,
    *,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
) -> None:
    """Do the same as `enable_entra_authentication`; the name that Microsoft's package has for `AsyncEngine`."""
    enable_entra_authentication(engine, credential, scope=scope, allow_insecure_transport=allow_insecure_transport)


def create_asyncpg_engine(
    url: str | URL,
    credential: object = None,
    *,
    scope: str | None = None,
    allow_insecure_transport: bool = False,
    **kwargs: Any,
) -> AsyncEngine:
    """Create an asynchronous engine on asyncpg whose connections log in with Microsoft Entra ID.

    Args:
        url: a `postgresql+asyncpg` URL, which may have libpq's `sslmode` and `sslrootcert` in its query.
        credential: the credential to log in with; by default `azure_postgresql_auth.identity.DefaultAzureCredential`.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
        allow_insecure_transport: True to send the token over a connection that TLS does not protect.
        **kwargs: as for `sqlalchemy.ext.asyncio.create_async_engine`.

    Raises:
        CredentialValueError: `credential` is not a credential object.
        ValueError: the URL is for another driver.
        ImportError: asyncpg is not installed.
    """
    from azure_postgresql_auth import asyncpg  # noqa: PLC0415 - its ImportError names the extra to install
    from azure_postgresql_auth._engine import registry  # noqa: PLC0415

    _ = asyncpg
    registry.resolve(credential)
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - synchronous programs do not need it

    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername != "postgresql+asyncpg":
        text = f"create_asyncpg_engine needs a postgresql+asyncpg URL, not {parsed.drivername}"
        raise ValueError(text)
    engine = create_async_engine(parsed, **kwargs)
    enable_entra_authentication(engine, credential, scope=scope, allow_insecure_transport=allow_insecure_transport)
    return engine
