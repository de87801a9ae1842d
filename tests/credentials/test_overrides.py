"""Credentials of ours whose methods a program overrides, in a subclass or for its own tests: its method is called."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from azure_postgresql_auth import core, identity
from azure_postgresql_auth.identity import aio

from tests.support.credentials import Token, make_token

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.drivers import Driver

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
USER = make_token(upn="ada@contoso.com")


class Recording(identity.ManagedIdentityCredential):
    """Looks at each token before it hands it on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def get_token(self, *scopes: str, **options: Any) -> Any:
        self.calls.extend(scopes)
        return super().get_token(*scopes, **options)


class RecordingInfo(identity.ManagedIdentityCredential):
    """The same by azure-core's newer method."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def get_token_info(self, *scopes: str, **options: Any) -> Any:
        self.calls.extend(scopes)
        return super().get_token_info(*scopes, **options)


class RecordingAio(aio.ManagedIdentityCredential):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def get_token(self, *scopes: str, **options: Any) -> Any:  # type: ignore[override]
        self.calls.extend(scopes)
        return await super().get_token(*scopes, **options)


@pytest.mark.parametrize("kind", [Recording, RecordingInfo])
def test_a_subclass(kind: type[Recording | RecordingInfo], emulator: Emulator) -> None:
    credential = kind()
    for _ in range(3):
        assert core.get_entra_conninfo(credential)["user"] == emulator.identity.role
        assert asyncio.run(core.get_entra_conninfo_async(credential))["user"] == emulator.identity.role
    assert credential.calls == [SCOPE]
    assert len(emulator.token_requests) == 1
    assert core.token_stats(credential).requests == 1


def test_a_subclass_that_is_asynchronous(emulator: Emulator) -> None:
    credential = RecordingAio()
    for _ in range(3):
        assert asyncio.run(core.get_entra_conninfo_async(credential))["user"] == emulator.identity.role
    assert credential.calls == [SCOPE]


def test_a_subclass_by_a_driver(emulator: Emulator, driver: Driver) -> None:
    credential = Recording()
    assert driver.who(driver.on(emulator), credential) == emulator.identity.role
    assert credential.calls == [SCOPE]


def test_many_threads_call_it_once(emulator: Emulator) -> None:
    emulator.latency = 0.1
    credential = Recording()
    with ThreadPoolExecutor(20) as pool:
        assert len({done.result() for done in [pool.submit(core.get_entra_token, credential) for _ in range(20)]}) == 1
    assert credential.calls == [SCOPE]


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("of", ["class", "base class", "object"])
@pytest.mark.parametrize("cached", [False, True])
def test_mock_patch(of: str, cached: bool) -> None:  # noqa: FBT001
    """Patches hold from the moment at which they are made until they end, whatever is cached."""
    credential = identity.ManagedIdentityCredential()
    own = core.get_entra_conninfo(credential) if cached else None
    target: Any = {
        "class": identity.ManagedIdentityCredential,
        "base class": identity.ManagedIdentityCredential.__mro__[-2],
        "object": credential,
    }[of]
    for user in ("ada@contoso.com", "grace@contoso.com"):
        token = Token(make_token(upn=user), time.time() + 60)
        with mock.patch.object(target, "get_token", return_value=token) as get_token:
            for _ in range(2):
                assert core.get_entra_conninfo(credential) == {"user": user, "password": token.token}
                assert core.get_entra_token(credential) == token.token
                assert asyncio.run(core.get_entra_token_async(credential)) == token.token
            get_token.assert_called_once()
    assert core.get_entra_conninfo(credential)["user"] not in {"ada@contoso.com", "grace@contoso.com"}
    if own is not None:
        assert core.get_entra_conninfo(credential) == own


@pytest.mark.usefixtures("emulator")
def test_replaced_method(monkeypatch: pytest.MonkeyPatch) -> None:
    credential = identity.DefaultAzureCredential()
    monkeypatch.setattr(credential, "get_token", lambda *_: Token(USER, time.time() + 60))
    assert core.get_entra_conninfo(credential)["user"] == "ada@contoso.com"


def test_a_chain_does_not_call_it_and_says_so() -> None:
    with pytest.raises(ValueError, match="Recording overrides get_token"):
        identity.ChainedTokenCredential(Recording())
