"""Waiting for a login on threads and event loops."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

import pytest
from azure_postgresql_auth import core, errors, identity

from tests.support.credentials import AsyncCredential, SyncCredential, Token
from tests.support.logins import SCOPE, USER
from tests.support.platforms import needs_proc, needs_signals
from tests.support.polling import eventually

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator


class WatchingLoop(asyncio.SelectorEventLoop):
    """Knows which descriptors it is to watch."""

    def __init__(self) -> None:
        self.watched: set[Any] = set()
        self.added = 0
        super().__init__()

    def add_reader(  # type: ignore[override] # typeshed follows the types of the arguments
        self, fd: Any, callback: Callable[..., object], *args: Any
    ) -> None:
        self.watched.add(fd)
        self.added += 1
        super().add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        self.watched.discard(fd)
        return super().remove_reader(fd)


class OvertakenLoop(asyncio.SelectorEventLoop):
    """Lets another thread do something between the question whether it is closed and the answer."""

    overtake: Callable[[], object] | None = None

    def is_closed(self) -> bool:
        if self.overtake is not None:
            other = threading.Thread(target=self.overtake)
            self.overtake = None
            other.start()
            other.join()
        return super().is_closed()


def ignore_what_is_pending(*_: Any) -> None:
    """Take the message of a task that went with its loop."""


class TestWaiting:
    def test_the_loop_runs_on(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            asked = asyncio.ensure_future(core.get_entra_token_async(credential))
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert not asked.done()
            credential.released.set()
            assert await asked == USER

        asyncio.run(ask())

    def test_cancelling_one_leaves_the_others(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            leader, *others = [asyncio.ensure_future(core.get_entra_token_async(credential)) for _ in range(5)]
            await asyncio.sleep(0.01)
            leader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leader
            credential.released.set()
            assert await asyncio.gather(*others) == [USER] * 4

        asyncio.run(ask())
        assert credential.calls == [SCOPE]

    def test_a_loop_that_ends_hands_the_fetch_to_another(self) -> None:
        credential = AsyncCredential(USER, held=True)

        async def begin() -> None:
            asked = asyncio.ensure_future(core.get_entra_token_async(credential))
            await asyncio.sleep(0.01)
            asked.cancel()

        asyncio.run(begin())
        credential.released.set()
        assert asyncio.run(core.get_entra_token_async(credential)) == USER
        assert len(credential.calls) == 2

    # CPython 3.9 cannot delete a transport of a Proactor loop that was closed without this error.
    @pytest.mark.filterwarnings("ignore:.*_ProactorBasePipeTransport.__del__:pytest.PytestUnraisableExceptionWarning")
    def test_a_loop_that_was_closed_under_its_fetch_does_not_block_others(self) -> None:
        credential = AsyncCredential(USER, held=True)
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(ignore_what_is_pending)
        task = loop.create_task(core.get_entra_token_async(credential))
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        assert not task.done()
        credential.released.set()
        assert asyncio.run(core.get_entra_token_async(credential)) == USER
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del loop, task
            gc.collect()
        # A transport, which Proactor loops need, is closed by its loop only; the socket in it is not left open.
        assert [str(each.message) for each in caught if "unclosed transport" not in str(each.message)] == []

    def test_a_loop_that_does_not_run_any_more_does_not_block_others(self) -> None:
        credential = AsyncCredential(USER, held=True)
        loop = asyncio.new_event_loop()
        task = loop.create_task(core.get_entra_token_async(credential))
        loop.run_until_complete(asyncio.sleep(0.01))
        credential.released.set()
        begun = time.monotonic()
        assert asyncio.run(core.get_entra_token_async(credential)) == USER
        assert time.monotonic() - begun < 10
        # What it fetched does no harm when it runs again.
        assert loop.run_until_complete(task) == USER
        loop.close()
        assert len(credential.calls) == 2

    def test_a_loop_that_stops_hands_the_fetch_to_one_that_waits_already(self) -> None:
        credential = AsyncCredential(USER, held=True)
        loop = asyncio.new_event_loop()
        found: list[str] = []
        other = threading.Thread(
            target=lambda: found.append(asyncio.run(core.get_entra_token_async(credential))), daemon=True
        )

        async def begin() -> None:
            while not credential.calls:
                await asyncio.sleep(0.01)
            other.start()
            await asyncio.sleep(0.2)

        task = loop.create_task(core.get_entra_token_async(credential))
        loop.run_until_complete(begin())
        credential.released.set()
        other.join(10)
        assert found == [USER]
        assert loop.run_until_complete(task) == USER
        loop.close()
        assert len(credential.calls) == 2

    def test_a_credential_that_cancels_itself_is_not_asked_for_ever(self) -> None:
        class Cancelling(AsyncCredential):
            async def get_token(self, *scopes: str, **_: Any) -> Token:  # type: ignore[override]
                self.calls.extend(scopes)
                raise asyncio.CancelledError

        credential = Cancelling(USER)
        with pytest.raises(errors.EntraConnectionValueError, match="was abandoned"):
            asyncio.run(core.get_entra_token_async(credential))
        assert len(credential.calls) < 10

    def test_without_file_descriptors(self, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
        from azure_postgresql_auth._engine import waiting

        def no_descriptor() -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(waiting, "WakeupFd", SimpleNamespace(for_loop=no_descriptor, for_thread=no_descriptor))
        assert core.get_entra_token(identity.ManagedIdentityCredential())
        assert asyncio.run(core.get_entra_token_async(identity.ManagedIdentityCredential()))
        assert len(emulator.token_requests) == 2

    def test_two_loops_tidy_up_after_a_third_at_once(self) -> None:
        credential = AsyncCredential(USER, held=True)
        loop = OvertakenLoop()
        loop.set_exception_handler(ignore_what_is_pending)
        task = loop.create_task(core.get_entra_token_async(credential))
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        loop.overtake = lambda: asyncio.run(core.get_entra_token_async(SyncCredential(USER)))
        assert asyncio.run(core.get_entra_token_async(SyncCredential(USER))) == USER
        assert loop.overtake is None, "no loop looked whether it is closed"
        assert not task.done()

    def test_a_cached_login_needs_no_loop(self) -> None:
        credential = SyncCredential(USER)
        core.get_entra_token(credential)
        with pytest.raises(StopIteration) as stopped:
            core.get_entra_token_async(credential).send(None)
        assert stopped.value.value == USER

    def test_loops_one_after_the_other(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, lifetime=1)
        for _ in range(3):
            assert asyncio.run(core.get_entra_token_async(credential)) == USER
        assert credential.calls

    def test_uvloop(self, credential_class: type[SyncCredential], emulator: Emulator) -> None:
        uvloop = pytest.importorskip("uvloop")
        credential = credential_class(USER)
        loop = uvloop.new_event_loop()
        try:
            assert loop.run_until_complete(core.get_entra_token_async(credential)) == USER
            native = identity.ManagedIdentityCredential()
            info = loop.run_until_complete(core.get_entra_conninfo_async(native))
            assert info["user"] == emulator.identity.role
        finally:
            loop.close()

    def test_nothing_stays_in_the_loop(self) -> None:
        loop = WatchingLoop()

        async def ask() -> None:
            await asyncio.gather(*(core.get_entra_token_async(SyncCredential(USER)) for _ in range(10)))
            assert loop.added
            assert not loop.watched

        try:
            loop.run_until_complete(ask())
        finally:
            loop.close()

    def test_a_timeout_leaves_the_fetch_running(self, credential_class: type[SyncCredential]) -> None:
        credential = credential_class(USER, held=True)

        async def ask() -> None:
            with pytest.raises(errors.EntraConnectionValueError, match=r"no token within 0\.05 s"):
                await core.login_async(credential, timeout=0.05)
            credential.released.set()
            assert (await core.login_async(credential)).password == USER

        asyncio.run(ask())
        if credential_class is SyncCredential:
            late = SyncCredential(USER, held=True)
            with pytest.raises(errors.EntraConnectionValueError, match=r"no token within 0\.05 s"):
                core.login(late, timeout=0.05)
            late.released.set()
            assert core.login(late).password == USER
            assert len(late.calls) == 1

    @needs_proc
    @pytest.mark.parametrize("timeout", [20.0, 0.2])
    def test_an_error_that_is_kept_keeps_no_descriptor(self, emulator: Emulator, timeout: float) -> None:
        emulator.fail(**({"status": 400} if timeout > 1 else {"hang": True}))
        credential = identity.ManagedIdentityCredential()

        def fail() -> errors.EntraConnectionValueError:
            with pytest.raises(errors.EntraConnectionValueError) as raised:
                core.login(credential, timeout=timeout)
            return raised.value

        async def fail_async() -> errors.EntraConnectionValueError:
            with pytest.raises(errors.EntraConnectionValueError) as raised:
                await core.login_async(credential, timeout=timeout)
            return raised.value

        def sockets() -> set[str]:
            links = (os.path.realpath(path) for path in Path("/proc/self/fd").iterdir())
            return {link for link in links if "socket:" in link}

        fail()  # tokio's runtime opens a pair of sockets for signals once in a process
        before = sockets()
        kept = [fail(), asyncio.run(fail_async())]
        emulator.heal()
        # The fetch itself may go on after its callers have given up.
        eventually(lambda: sockets() <= before)
        assert len(kept) == 2

    @pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf")])
    def test_odd_timeouts(self, timeout: float) -> None:
        with pytest.raises(ValueError, match="timeout="):
            core.login(SyncCredential(USER, held=True), timeout=timeout)

    @needs_signals
    def test_control_c_ends_the_wait(self) -> None:
        script = (
            "from azure_postgresql_auth import core, identity\n"
            "try: core.get_entra_token(identity.ManagedIdentityCredential())\n"
            "except KeyboardInterrupt: print('interrupted')\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as silent:
            environment = {
                "IDENTITY_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}/",
                "IDENTITY_HEADER": "secret",
            }
            process = subprocess.Popen(
                [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
            )
            with process, silent.accept()[0]:
                begun = time.monotonic()
                process.send_signal(signal.SIGINT)
                printed, _ = process.communicate(timeout=60)
                assert time.monotonic() - begun < 5
        assert (printed, process.returncode) == ("interrupted\n", 0)
