"""External credential objects, and tokens that the emulator did not issue."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from typing import Any, NamedTuple

import pytest
from azure_postgresql_auth import core, errors
from azure_postgresql_auth.emulator.identity.application_keys import ApplicationKeys
from azure_postgresql_auth.emulator.identity.directory import Identity


class Token(NamedTuple):
    """A token like azure-core's AccessToken."""

    token: str
    expires_on: float


def make_token(**claims: Any) -> str:
    """Return an unsigned token with these claims."""

    def segment(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{segment({'alg': 'RS256', 'typ': 'JWT'})}.{segment(claims)}.c2lnbmF0dXJl"


def make_certificate(form: str = "pem", password: str | None = None) -> bytes:
    """Return a certificate with its key that is not registered with any application."""
    someone = Identity("someone", "service-principal", None, "client", "object")
    return ApplicationKeys().make(someone, form, password)


def object_id(credential: Any) -> str:
    """Return the principal that a credential's token is for."""
    found: str = core.decode_jwt(credential.get_token(core.AZURE_DB_FOR_POSTGRES_SCOPE).token)["oid"]
    return found


def failure(credential: Any) -> str:
    """Return the error of a credential of this package."""
    with pytest.raises(errors.EntraConnectionValueError) as raised:
        credential.get_token(core.AZURE_DB_FOR_POSTGRES_SCOPE)
    prefix, kind, text = str(raised.value).split(": ", 2)
    assert (prefix, kind) == ("Could not retrieve Entra credentials", type(credential).__name__)
    return text


class SyncCredential:
    """A synchronous credential that counts its calls, and waits in them until it is released."""

    def __init__(self, token: str, *, lifetime: float = 3600, held: bool = False) -> None:
        self.token = token
        self.lifetime = lifetime
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.released = threading.Event()
        if not held:
            self.released.set()

    def get_token(self, *scopes: str, **_: Any) -> Token:
        self.calls.extend(scopes)
        assert self.released.wait(60), "never released"
        if self.error is not None:
            raise self.error
        return Token(self.token, time.time() + self.lifetime)


class AsyncCredential(SyncCredential):
    """An asynchronous credential that does the same."""

    async def get_token(self, *scopes: str, **_: Any) -> Token:  # type: ignore[override]
        self.calls.extend(scopes)
        while not self.released.is_set():
            await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return Token(self.token, time.time() + self.lifetime)


@pytest.fixture(params=[SyncCredential, AsyncCredential])
def credential_class(request: pytest.FixtureRequest) -> type[SyncCredential]:
    """Return each class of credential in turn."""
    kind: type[SyncCredential] = request.param
    return kind
