"""Tokens for Azure Database for PostgreSQL, and the user names that go with them.

Every function takes an optional `credential`: one of `azure_postgresql_auth.identity`, any object with azure-core's
`get_token` or `get_token_info`, or None for the default credential, which looks where azure-identity's
`DefaultAzureCredential` looks. Tokens are cached per credential and scope and renewed ahead of their expiry; however
many threads and tasks ask at once, the identity service is asked once.
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

AZURE_DB_FOR_POSTGRES_SCOPE: Final = "https://ossrdbms-aad.database.windows.net/.default"
"""OAuth 2.0 scope of database tokens in Azure's public cloud."""

AZURE_MANAGEMENT_SCOPE: Final = "https://management.azure.com/.default"
"""OAuth 2.0 scope of Azure Resource Manager, whose tokens name a managed identity where the database's do not."""


def get_entra_token(credential: TokenCredential | None = None, scope: str | None = None) -> str:
    """An access token, to be sent as the password of a new connection.

    Args:
        credential: whose token; None for the default credential.
        scope: OAuth 2.0 scope; by default the database scope of the cloud that `AZURE_AUTHORITY_HOST` names, else of
            the public cloud.

    Raises:
        CredentialValueError: `credential` is not a credential object, or an asynchronous one.
        EntraConnectionValueError: no token could be had; lists every attempt.
        Exception: what a credential object raised itself.
    """
    return str(login(credential, scope, user_known=True).password)


async def get_entra_token_async(
    credential: TokenCredential | AsyncTokenCredential | None = None, scope: str | None = None
) -> str:
    """`get_entra_token` for asynchronous code; takes synchronous credentials too and never blocks the event loop."""
    return str((await login_async(credential, scope, user_known=True)).password)


def get_entra_conninfo(credential: TokenCredential | None = None, scope: str | None = None) -> dict[str, str]:
    """User and password of a new connection.

    The user is what the token's claims name: a user-assigned managed identity, a user, the resource of a
    system-assigned identity or an application, in this order; where they name none, those of a token for Azure Resource
    Manager.

    Args:
        credential: whose login; None for the default credential.
        scope: as for `get_entra_token`.

    Returns:
        {"user": ..., "password": ...}, as every driver takes them.

    Raises:
        TokenDecodeError: the token is no JWT.
        UsernameExtractionError: no claim names a user.
        ScopePermissionError: no claim of the database token names a user, and the other token could not be had.
        CredentialValueError, EntraConnectionValueError, Exception: as for `get_entra_token`.
    """
    if scope is None:
        # The short way, in as few steps as Python allows.
        try:
            entry = entries[id(credential)]
            method = entry.method
            if method is None:
                owner = entry.owner
                is_current = owner() is credential and not entry.asynchronous
            else:
                # One of ours, whose `get_token` may be overridden.
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
    """`get_entra_conninfo` for asynchronous code; takes synchronous credentials too and never blocks the event loop."""
    found = await login_async(credential, scope)
    return {"user": _user(found), "password": found.password}


def token_stats(credential: TokenCredential | AsyncTokenCredential | None = None) -> TokenStats:
    """What a credential's tokens cost so far, for a metrics exporter to read: requests, cache hits, failures, expiries.

    Args:
        credential: any credential that logins were asked with; None for the default credential.

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
    """The login that all synchronous drivers use.

    Args:
        credential: None, or anything with the shape of a credential.
        scope: OAuth 2.0 scope of the token.
        user_known: the caller has a user: claims are not looked at.
        timeout: seconds that this call may wait; a cached login is there at once.
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
    """`login` on an event loop, which is not touched when the login is cached."""
    entry, found = registry.start(credential, scope, user_known, blocking=False)
    return await wait_async(entry, found, timeout) if isinstance(found, PendingLogin) else found
