"""Tokens for Azure Database for PostgreSQL, and the user names that go with them.

Every function takes an optional `credential`: one of `azure_postgresql_auth.identity`, any object with azure-core's
`get_token` or `get_token_info`, or None for the default credential, which looks where azure-identity's
`DefaultAzureCredential` looks. Tokens are cached per credential and scope and renewed ahead of their expiry; however
many threads and tasks need a token at once, one request is sent to the identity service.
"""

from __future__ import annotations

from azure_postgresql_auth._core import PendingLogin, TokenStats, decode_jwt, parse_principal_name
from azure_postgresql_auth._engine import registry
from azure_postgresql_auth._engine.registry import entries
from azure_postgresql_auth._engine.waiting import DEFAULT_TIMEOUT, wait, wait_async

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from typing import Final

    from azure_postgresql_auth._core import Login
    from azure_postgresql_auth._shapes import AsyncTokenCredential, TokenCredential

__all__ = [
    "AZURE_DB_FOR_POSTGRES_SCOPE",
    "AZURE_MANAGEMENT_SCOPE",
    "TokenStats",
    "decode_jwt",
    "get_entra_conninfo",
    "get_entra_conninfo_async",
    "get_entra_token",
    "get_entra_token_async",
    "parse_principal_name",
    "token_stats",
]

# Show and pickle them under the public module, from which programs import them.
for _function in (decode_jwt, parse_principal_name):
    _function.__module__ = __name__

AZURE_DB_FOR_POSTGRES_SCOPE: Final = "https://ossrdbms-aad.database.windows.net/.default"
"""OAuth 2.0 scope of database tokens in Azure's public cloud."""

AZURE_MANAGEMENT_SCOPE: Final = "https://management.azure.com/.default"
"""OAuth 2.0 scope of Azure Resource Manager, whose tokens name a managed identity where the database's do not."""


def get_entra_token(credential: TokenCredential | None = None, scope: str | None = None) -> str:
    """Return an access token, to be sent as the password of a new connection.

    Args:
        credential: the credential to obtain the token with; None for the default credential.
        scope: OAuth 2.0 scope; by default the database scope of the cloud that `AZURE_AUTHORITY_HOST` names, else of
            the public cloud.

    Returns:
        The access token, a JSON Web Token (JWT). Its `repr` is redacted.

    Raises:
        CredentialValueError: `credential` is not a credential object, or it is an asynchronous one.
        EntraConnectionValueError: no token could be obtained within 30 seconds; the message lists every attempt.
        Exception: a credential object that is not of this package raised it.
    """
    return str(login(credential, scope, user_known=True).password)


async def get_entra_token_async(
    credential: TokenCredential | AsyncTokenCredential | None = None, scope: str | None = None
) -> str:
    """Return an access token as `get_entra_token` does, without blocking the event loop.

    Takes synchronous and asynchronous credentials; a synchronous one is called in a thread.
    """
    return str((await login_async(credential, scope, user_known=True)).password)


def get_entra_conninfo(credential: TokenCredential | None = None, scope: str | None = None) -> dict[str, str]:
    """Return the user and the password of a new connection.

    The user name comes from the token's claims. They name, in this order: a user-assigned managed identity, a user,
    the Azure resource of a system-assigned identity, or an application. If they name none, the claims of a token for
    Azure Resource Manager (`AZURE_MANAGEMENT_SCOPE`) are used.

    Args:
        credential: the credential to log in with; None for the default credential.
        scope: as for `get_entra_token`.

    Returns:
        A dictionary with the keys "user" and "password", the keywords of every driver.

    Raises:
        TokenDecodeError: the token is not a JWT.
        UsernameExtractionError: no claim names a user.
        ScopePermissionError: no claim of the database token names a user, and no token for Azure Resource Manager
            could be obtained.
        CredentialValueError: as for `get_entra_token`.
        EntraConnectionValueError: as for `get_entra_token`.
    """
    if scope is None:
        # The common case, a cached login, in as few steps as possible: every new connection takes them.
        try:
            entry = entries[id(credential)]
            method = entry.method
            if method is None:
                owner = entry.owner
                is_current = owner() is credential and not entry.asynchronous
            else:
                # A credential of this package, whose `get_token` may be overridden.
                is_current = type(credential).get_token is method and credential._tokens is entry  # type: ignore[union-attr]  # noqa: SLF001
        except (AttributeError, KeyError):
            pass
        else:
            if is_current:
                cached = entry.provider.conninfo()
                if cached is not None:
                    return cached
    found = login(credential, scope)
    return {"user": _user(found), "password": found.password}


async def get_entra_conninfo_async(
    credential: TokenCredential | AsyncTokenCredential | None = None, scope: str | None = None
) -> dict[str, str]:
    """Return the user and the password as `get_entra_conninfo` does, without blocking the event loop.

    Takes synchronous and asynchronous credentials; a synchronous one is called in a thread.
    """
    found = await login_async(credential, scope)
    return {"user": _user(found), "password": found.password}


def token_stats(credential: TokenCredential | AsyncTokenCredential | None = None) -> TokenStats:
    """Return the counters of a credential's token cache, for example for a metrics exporter.

    Args:
        credential: the credential that is passed to the drivers; None for the default credential.

    Raises:
        CredentialValueError: `credential` is not a credential object.
    """
    return registry.resolve(credential).provider.stats()


def _user(found: Login) -> str:
    assert found.user is not None, "asked for"  # noqa: S101 - for the type checker
    return found.user


def login(
    credential: object, scope: str | None = None, *, user_known: bool = False, timeout: float = DEFAULT_TIMEOUT
) -> Login:
    """Return a login for synchronous code.

    Args:
        credential: None, or an object with the methods of a credential.
        scope: OAuth 2.0 scope of the token.
        user_known: the caller has a user name, so the claims are not read.
        timeout: seconds to wait at most for a login that is not cached.
    """
    entry, found = registry.start(credential, scope, user_known, blocking=True)
    return wait(entry, found, timeout) if isinstance(found, PendingLogin) else found


async def login_async(
    credential: object,
    scope: str | None = None,
    *,
    user_known: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
) -> Login:
    """Return a login on an event loop; one that is cached is returned without suspending the task."""
    entry, found = registry.start(credential, scope, user_known, blocking=False)
    return await wait_async(entry, found, timeout) if isinstance(found, PendingLogin) else found
