"""One request however many ask: threads, tasks, loops; and renewal ahead of the end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core, identity

from tests.support.credentials import SyncCredential, make_token
from tests.support.logins import SCOPE, USER, until_expired

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


class TestOneRequest:
    """However many ask at once, the credential is asked once. Counted, not timed."""

    def test_threads(self) -> None:
        credential = SyncCredential(USER, held=True)
        with ThreadPoolExecutor(100) as pool:
            asked = [pool.submit(core.get_entra_conninfo, credential) for _ in range(100)]
            credential.released.set()
            assert {future.result()["user"] for future in asked} == {"ada@contoso.com"}
        assert credential.calls == [SCOPE]

    def test_tasks(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            asked = [asyncio.ensure_future(core.get_entra_conninfo_async(credential)) for _ in range(100)]
            await asyncio.sleep(0)
            credential.released.set()
            assert {info["user"] for info in await asyncio.gather(*asked)} == {"ada@contoso.com"}

        asyncio.run(ask())
        assert credential.calls == [SCOPE]

    def test_threads_and_tasks_and_loops_together(self, emulator: Emulator) -> None:
        emulator.latency = 0.3
        credential = identity.ManagedIdentityCredential()

        async def ask() -> list[dict[str, str]]:
            return list(await asyncio.gather(*(core.get_entra_conninfo_async(credential) for _ in range(20))))

        with ThreadPoolExecutor(40) as pool:
            loops = [pool.submit(asyncio.run, ask()) for _ in range(5)]
            threads = [pool.submit(core.get_entra_conninfo, credential) for _ in range(35)]
            found = [thread.result() for thread in threads] + [info for loop in loops for info in loop.result()]
        assert len(found) == 135
        assert len({info["password"] for info in found}) == 1
        assert len(emulator.token_requests) == 1

    def test_a_failure_is_shared(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)
        credential.error = LookupError("no")

        async def ask() -> list[Any]:
            asked = [asyncio.ensure_future(core.get_entra_token_async(credential)) for _ in range(10)]
            await asyncio.sleep(0)
            credential.released.set()
            return list(await asyncio.gather(*asked, return_exceptions=True))

        assert {type(error) for error in asyncio.run(ask())} == {LookupError}
        assert len(credential.calls) == 1

    def test_threads_that_are_the_first_of_all(self) -> None:
        for _ in range(20):
            credential = SyncCredential(USER)
            barrier = threading.Barrier(20)

            def ask(_: int, credential: SyncCredential = credential, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                core.get_entra_token(credential)

            with ThreadPoolExecutor(20) as pool:
                list(pool.map(ask, range(20)))
            assert len(credential.calls) == 1


class TestRenewal:
    def test_a_token_past_its_middle_is_renewed_without_waiting(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, lifetime=6)

        async def ask() -> None:
            await core.get_entra_token_async(credential)
            credential.released.clear()
            await asyncio.sleep(3.7)  # renewal is due between half and six tenths of its life
            credential.token = make_token(upn="renewed@contoso.com")
            assert await core.get_entra_token_async(credential) == USER
            await asyncio.sleep(0.01)
            assert len(credential.calls) == 2
            assert await core.get_entra_token_async(credential) == USER
            assert len(credential.calls) == 2
            credential.released.set()
            for _ in range(200):
                if await core.get_entra_token_async(credential) == credential.token:
                    return
                await asyncio.sleep(0.005)
            pytest.fail("never renewed")

        asyncio.run(ask())

    def test_an_expired_token_is_not_given_out(self, emulator: Emulator) -> None:
        emulator.lifetime = 1
        credential = identity.ManagedIdentityCredential()
        first = core.get_entra_token(credential)
        until_expired(credential)
        assert core.get_entra_token(credential) != first
