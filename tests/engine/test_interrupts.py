"""Waits that end before their time: Ctrl-C, cancelled tasks, time limits of any loop. The fetch goes on for others."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable

import anyio
import pytest
from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth import core, identity
from azure_postgresql_auth.psycopg3 import AsyncEntraConnection

from tests.support.credentials import AsyncCredential, SyncCredential
from tests.support.logins import USER
from tests.support.platforms import LIMIT
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from azure_postgresql_auth.emulator import Emulator

AT_ONCE = 0.2
TRIES = 5
"""A busy machine may take its time: the quickest counts."""


# `os.kill` would end the process on Windows, which has no signals but those of its own C library.
PRESS = """
import os, signal, sys
def press():
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)
"""


class TestControlC:
    SCRIPT = """
    import asyncio, contextlib, os, signal, sys, threading, time
    from azure_postgresql_auth import core, identity
    from azure_postgresql_auth.psycopg2 import EntraConnection as Psycopg2
    from azure_postgresql_auth.psycopg3 import AsyncEntraConnection, EntraConnection
    from azure_postgresql_auth import asyncpg

    class Hanging:
        def get_token(self, *scopes, **_):
            time.sleep(60)

    native, foreign = identity.ManagedIdentityCredential, Hanging
    waits = {
        "token": lambda credential: core.get_entra_token(credential),
        "token-async": lambda credential: asyncio.run(core.get_entra_token_async(credential)),
        "psycopg3": lambda credential: EntraConnection.connect(credential=credential),
        "psycopg3-async": lambda credential: asyncio.run(AsyncEntraConnection.connect(credential=credential)),
        "psycopg2": lambda credential: Psycopg2(credential=credential),
        "asyncpg": lambda credential: asyncio.run(asyncpg.connect(credential=credential)),
    }
    sent = []

    def interrupt(credential):
        while not core.token_stats(credential).requests:
            time.sleep(0.01)
        time.sleep(0.1)  # a wait that lasts
        sent.append(time.monotonic())
        press()

    for name, wait in waits.items():
        for make in (native, foreign):
            took = []
            for _ in range(int(sys.argv[2])):
                credential = make()
                threading.Thread(target=interrupt, args=(credential,)).start()
                try:
                    wait(credential)
                except KeyboardInterrupt:
                    took.append(time.monotonic() - sent[-1])
                else:
                    sys.exit(f"{name}: not interrupted")
                if took[-1] < float(sys.argv[1]):
                    break
            if min(took) > float(sys.argv[1]):
                sys.exit(f"{name}, {make.__name__}: {took}")
    print(len(waits))
    """

    def test_ends_a_wait_at_once(self, emulator: Emulator) -> None:
        emulator.fail(hang=True)
        done = subprocess.run(
            [sys.executable, "-c", PRESS + textwrap.dedent(self.SCRIPT), str(AT_ONCE), str(TRIES)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "6\n")

    def test_next_wait_joins_the_same_fetch(self, emulator: Emulator) -> None:
        emulator.fail(hang=True)
        script = """
        import os, signal, sys, threading, time
        from azure_postgresql_auth import core, identity
        credential = identity.ManagedIdentityCredential()
        threading.Thread(target=lambda: sys.stdin.readline() and press()).start()
        try:
            core.get_entra_token(credential)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        sys.stdin.readline()
        core.get_entra_token(credential)
        print(core.token_stats(credential).requests)
        """
        command = [sys.executable, "-c", PRESS + textwrap.dedent(script)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            eventually(lambda: emulator.token_requests)
            print("press", file=process.stdin, flush=True)
            assert process.stdout.readline() == "interrupted\n"
            emulator.heal()
            printed, _ = process.communicate("go on\n", timeout=LIMIT)
        assert (printed, process.returncode) == ("1\n", 0)


def test_what_a_signal_handler_raises_is_for_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as Celery's SoftTimeLimitExceeded, just when the thread was started that calls the credential."""

    class TimeLimitError(Exception):
        pass

    credential = SyncCredential(USER, held=True)
    start = threading.Thread.start
    others: list[Future[str]] = []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "azure-pg-auth-credential" and not others:
            others.append(pool.submit(core.get_entra_token, credential))
            time.sleep(0.2)  # it waits
            raise TimeLimitError

    with ThreadPoolExecutor() as pool:
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(TimeLimitError):
            core.get_entra_token(credential)
        credential.released.set()
        assert others[0].result(LIMIT) == USER


def by_wait_for(wait: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    return asyncio.wait_for(wait, 0.1)


async def by_timeout(wait: Coroutine[Any, Any, Any]) -> Any:
    if sys.version_info < (3, 11):  # for type checkers, which do not see the mark
        raise NotImplementedError
    async with asyncio.timeout(0.1):
        return await wait


async def by_anyio(wait: Coroutine[Any, Any, Any]) -> Any:
    with anyio.fail_after(0.1):
        return await wait


async def by_anyio_task_group(wait: Coroutine[Any, Any, Any]) -> Any:
    async def waits() -> None:
        await wait

    async with anyio.create_task_group() as group:
        group.start_soon(waits)
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()
    raise TimeoutError


async def by_cancelling(wait: Coroutine[Any, Any, Any]) -> Any:
    task = asyncio.ensure_future(wait)
    await asyncio.sleep(0.1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    raise TimeoutError


needs_timeout = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is newer")
WAYS = [by_wait_for, pytest.param(by_timeout, marks=needs_timeout), by_anyio, by_anyio_task_group, by_cancelling]
WAITS: dict[str, Callable[[Any], Coroutine[Any, Any, Any]]] = {
    "token": core.get_entra_token_async,
    "psycopg3": lambda credential: AsyncEntraConnection.connect(credential=credential),
    "asyncpg": lambda credential: entra_asyncpg.connect(credential=credential),
}


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "uvloop":
        loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
        return loop
    return asyncio.new_event_loop()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__[3:])
@pytest.mark.parametrize("name", WAITS)
def test_a_wait_ends_at_once_and_the_fetch_goes_on(
    name: str, way: Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]], kind: str, emulator: Emulator
) -> None:
    emulator.fail(hang=True)
    credential = identity.ManagedIdentityCredential()

    async def main() -> None:
        other = asyncio.ensure_future(core.get_entra_token_async(credential))
        for _ in range(TRIES):
            begun = time.monotonic()
            with pytest.raises((TimeoutError, asyncio.TimeoutError)):
                await way(WAITS[name](credential))
            took = time.monotonic() - begun
            assert not other.done()
            if took < 0.1 + AT_ONCE:
                break
        assert took < 0.1 + AT_ONCE
        emulator.heal()
        token = await other
        assert await core.get_entra_token_async(credential) == token
        assert core.token_stats(credential).requests == 1

    loop = new_loop(kind)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_wait_for_a_credential_object(kind: str, credential_class: type[SyncCredential], emulator: Emulator) -> None:
    """The same for those that Python calls, on a thread or in a task."""
    credential = credential_class(emulator.token(emulator.identity), held=True)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(core.get_entra_token_async(credential), 0.05)
        credential.released.set()
        assert await core.get_entra_token_async(credential) == credential.token
        assert len(credential.calls) == 1

    loop = new_loop(kind)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert isinstance(credential, (AsyncCredential, SyncCredential))
