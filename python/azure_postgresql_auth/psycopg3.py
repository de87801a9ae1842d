"""psycopg 3: connections that log in with Microsoft Entra ID.

    from azure_postgresql_auth.psycopg3 import EntraConnection
    from psycopg_pool import ConnectionPool

    pool = ConnectionPool("postgresql://server.postgres.database.azure.com/db", connection_class=EntraConnection)

Each new connection gets a token that is valid at that moment; one that is open outlives its token.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth import core, tls
from azure_postgresql_auth._core import scope_for
from azure_postgresql_auth._params import Said
from azure_postgresql_auth.errors import (
    CredentialValueError,
    EntraConnectionValueError,
    InsecureTransportError,
)

try:
    import psycopg
except ImportError as error:
    message = "psycopg 3 is not installed; install it with: pip install 'azure-postgresql-auth-rs[psycopg3]'"
    raise ImportError(message) from error
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from azure_postgresql_auth._core import Login

__all__ = ["AsyncEntraConnection", "EntraConnection", "EntraOperationalError", "InsecureTransportOperationalError"]


class EntraOperationalError(EntraConnectionValueError, psycopg.OperationalError):
    """No login could be had, so there is no connection: what pools and retries of psycopg look for."""


class InsecureTransportOperationalError(InsecureTransportError, psycopg.OperationalError):
    """The connection would have sent its token in the clear, so there is none."""


@contextmanager
def _as_operational_error() -> Iterator[None]:
    """Makes whatever kept a login from being had a failed connection in psycopg's terms."""
    try:
        yield
    except CredentialValueError:
        raise
    except InsecureTransportError as error:
        raise InsecureTransportOperationalError(str(error)) from error
    except EntraConnectionValueError as error:
        raise EntraOperationalError(str(error)) from error
    except Exception as error:
        message = f"Could not retrieve Entra credentials: {str(error) or type(error).__name__}"
        raise EntraOperationalError(message) from error


class _Request:
    """What one `connect` call wants, and what it lacks."""

    def __init__(self, conninfo: str, keywords: dict[str, Any]) -> None:
        self.credential = keywords.pop("credential", None)
        self._scope = keywords.pop("scope", None)
        self._allow_insecure_transport = keywords.pop("allow_insecure_transport", False)
        self.keywords = keywords
        self.said = Said.from_libpq(conninfo_to_dict(conninfo, **keywords))

    def secure(self) -> None:
        """Settles the transport, before any token is asked for."""
        self.keywords.update(tls.libpq_settings(self.said, allow_insecure_transport=self._allow_insecure_transport))

    @property
    def login_arguments(self) -> dict[str, Any]:
        return {
            "scope": self._scope or scope_for(self.said.hosts),
            "user_known": self.said.user is not None,
            "timeout": self.said.connect_timeout or core.DEFAULT_TIMEOUT,
        }

    def fill(self, login: Login) -> None:
        self.keywords["password"] = login.password
        if login.user is not None:
            self.keywords["user"] = login.user


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
        request = _Request(conninfo, kwargs)
        if not request.said.complete:
            with _as_operational_error():
                request.secure()
                request.fill(core.login(request.credential, **request.login_arguments))
        return super().connect(conninfo, **request.keywords)


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
        request = _Request(conninfo, kwargs)
        if not request.said.complete:
            with _as_operational_error():
                request.secure()
                request.fill(await core.login_async(request.credential, **request.login_arguments))
        return await super().connect(conninfo, **request.keywords)
