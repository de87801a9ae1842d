"""Logins with the functions of `core`, in a thread or on an event loop, depending on the credential."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from azure_postgresql_auth import core, identity

from tests.support.credentials import AsyncCredential, make_token

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
USER = make_token(upn="ada@contoso.com")


def conninfo(credential: Any, **keywords: Any) -> dict[str, str]:
    """Return user and password with a synchronous or asynchronous credential."""
    if isinstance(credential, AsyncCredential):
        return asyncio.run(core.get_entra_conninfo_async(credential, **keywords))
    return core.get_entra_conninfo(credential, **keywords)


def ask(credential: Any) -> str:
    """Return the token of a synchronous or asynchronous credential."""
    if isinstance(credential, AsyncCredential):
        return asyncio.run(core.get_entra_token_async(credential))
    return core.get_entra_token(credential)


def until_expired(credential: identity.ManagedIdentityCredential) -> None:
    time.sleep(max(0.0, credential.get_token(SCOPE).expires_on - time.time()))
