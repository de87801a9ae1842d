"""psycopg 3: connections that log in with Microsoft Entra ID.

    from azure_postgresql_auth.psycopg3 import EntraConnection
    from psycopg_pool import ConnectionPool

    pool = ConnectionPool("postgresql://server.postgres.database.azure.com/db", connection_class=EntraConnection)

Each new connection gets a token that is valid at that moment; one that is open outlives its token.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import tls
from azure_postgresql_auth._core import Driver
from azure_postgresql_auth._login import NO_OPTIONS, ErrorTranslation, Traits, connect, connect_async
from azure_postgresql_auth.errors import EntraConnectionValueError, InsecureTransportError

try:
    import psycopg
except ImportError as error:
    message = "psycopg 3 is not installed; install it with: pip install 'azure-postgresql-auth-rs[psycopg3]'"
    raise ImportError(message) from error
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row

if TYPE_CHECKING:
    from typing_extensions import Self

    from azure_postgresql_auth._core import ConnectionPlan
    from azure_postgresql_auth._login import Options

__all__ = ["AsyncEntraConnection", "EntraConnection", "EntraOperationalError", "InsecureTransportOperationalError"]


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
        options = NO_OPTIONS.taken_from(kwargs)
        url = parsed(conninfo)
        with _TRAITS.translating:
            plan = plan_for(url, kwargs, options)
        plainly = super().connect
        return connect(plan, options, _TRAITS, lambda arguments: plainly(conninfo, **arguments))


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
        options = NO_OPTIONS.taken_from(kwargs)
        url = parsed(conninfo)
        with _TRAITS.translating:
            plan = plan_for(url, kwargs, options)
        plainly = super().connect
        return await connect_async(plan, options, _TRAITS, lambda arguments: plainly(conninfo, **arguments))


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
