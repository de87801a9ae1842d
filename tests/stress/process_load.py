"""What a process does to itself under stress: forks and exits while tokens are being fetched.

    python process_load.py fork KIND CHILDREN     children forked in the middle of fetches
    python process_load.py first KIND CHILDREN    children forked while a thread is the first to ask for a token
    python process_load.py exits ENDING CHILDREN  children that end with work in flight, exit code 7 each
    python process_load.py end ENDING [CODE]      this process ends so itself, by sys.exit if there is a code

Runs on every CPython with nothing but the package itself, among the emulator's variables. `make stress` runs it at
length, tests/engine/test_processes.py shortened.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import socket
import sys
import threading
import time
import warnings
from typing import Any, Callable

from azure_postgresql_auth import core, errors, identity

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later on forks of threaded processes

EXIT_CODE = 7


def ask(credential: Any) -> str:
    return core.get_entra_conninfo(credential)["password"]


def ask_async(credential: Any) -> str:
    return asyncio.run(core.get_entra_conninfo_async(credential))["password"]


def take(credential: Any) -> str:
    return core.get_entra_token(credential)


def take_async(credential: Any) -> str:
    return asyncio.run(core.get_entra_token_async(credential))


def fork(child: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            child()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            print(repr(error), file=sys.stderr, flush=True)  # noqa: T201
            os._exit(1)
    return pid


HANGS_AFTER = 100
"""Seconds; on a machine that is busy with other things, children wait long for their turn."""


def reap(pids: list[int]) -> None:
    end = time.monotonic() + HANGS_AFTER
    for pid in pids:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, f"child ended with {status}"
                break
            if time.monotonic() > end:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                sys.exit("a child hangs")
            time.sleep(0.001)


class Token:
    def __init__(self, lifetime: float = 60) -> None:
        self.token = "a.e30.c"
        self.expires_on = time.time() + lifetime


class Sync:
    """A credential object of Python's that takes its time."""

    def __init__(self, seconds: float = 0.01, lifetime: float = 60) -> None:
        self.seconds = seconds
        self.lifetime = lifetime

    def get_token(self, *_: str, **__: Any) -> Token:
        time.sleep(self.seconds)
        return Token(self.lifetime)


class Async(Sync):
    async def get_token(self, *_: str, **__: Any) -> Token:  # type: ignore[override]
        await asyncio.sleep(self.seconds)
        return Token(self.lifetime)


def secret() -> identity.ClientSecretCredential:
    names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    return identity.ClientSecretCredential(*(os.environ[name] for name in names))


KINDS: dict[str, Callable[[], object]] = {
    "native": identity.ManagedIdentityCredential,
    "secret": secret,
    "python": Sync,
    "python-async": Async,
}


def fork_in_the_middle(kind: str, children: int) -> None:
    make = KINDS[kind]
    ways = [take_async] if kind == "python-async" else [take, take_async]
    stop = threading.Event()
    shared = [make()]

    def fetch(take: Callable[[object], str]) -> None:
        while not stop.is_set():
            shared[0] = make()
            take(shared[0])

    def child() -> None:
        # What the parent was fetching never arrives here; what it had is there.
        for way in ways:
            assert way(shared[0])
            assert way(make())

    def parent() -> None:
        child()
        reap([fork(child)])

    threads = [threading.Thread(target=fetch, args=(ways[number % len(ways)],), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    pids: list[int] = []
    for number in range(children):
        pids.append(fork(parent if number % 10 == 0 else child))
        if len(pids) >= 4:
            reap([pids.pop(0)])
    reap(pids)
    stop.set()
    for thread in threads:
        thread.join()


def fork_first(kind: str, children: int) -> None:
    credential = KINDS[kind]()
    way = take_async if kind == "python-async" else take
    thread = threading.Thread(target=way, args=(credential,))
    thread.start()
    reap([fork(lambda: way(credential)) for _ in range(children)])
    thread.join()


def in_thread(way: Callable[[object], object], make: Callable[[], object], count: int, pause: float) -> None:
    for _ in range(count):
        threading.Thread(target=way, args=(make(),), daemon=True).start()
    time.sleep(pause)


def leave_tasks() -> None:
    async def leave() -> None:
        credential = identity.ManagedIdentityCredential()
        kept.extend(asyncio.ensure_future(core.get_entra_token_async(credential)) for _ in range(5))
        await asyncio.sleep(0.02)

    kept: list[Any] = []
    asyncio.run(leave())


def take_on_and_on(_: object) -> None:
    while True:
        take(Sync(0))


def silence() -> socket.socket:
    """From now on the identity service takes requests and never answers."""
    silent = socket.create_server(("127.0.0.1", 0))
    os.environ["IDENTITY_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}/"
    return silent


def leave_refresh(make: Callable[[], object], way: Callable[[object], object]) -> None:
    while True:
        credential = make()
        take(credential)
        begun = time.time()
        (expires_on,) = core.token_stats(credential).expires_on.values()  # type: ignore[arg-type]
        # A credential object's is stated in whole seconds.
        life = credential.lifetime if isinstance(credential, Sync) else expires_on - begun
        time.sleep(life * 0.65)
        if time.time() < begun + life * 0.8:
            break
        # The machine was too busy: by now it has expired, or nearly so.
    requests = core.token_stats(credential).requests  # type: ignore[arg-type]
    leave_refresh.silent = silence()  # type: ignore[attr-defined] # kept open
    if isinstance(credential, Sync):
        credential.seconds = 60
    way(credential)
    assert core.token_stats(credential).requests == requests + 1, "no refresh is under way"  # type: ignore[arg-type]


# As a fetch goes on for 0.1 seconds (the emulator's latency), most of these leave it behind.
ENDINGS: dict[str, Callable[[], object]] = {
    "a native fetch that a daemon thread waits for": lambda: in_thread(take, KINDS["native"], 1, 0.02),
    "many of them, some of which come back just then": lambda: in_thread(take, KINDS["native"], 20, 0.1),
    "a fetch with TLS": lambda: in_thread(take, KINDS["secret"], 5, 0.05),
    "an await": lambda: asyncio.run(asyncio.wait_for(core.get_entra_token_async(KINDS["native"]()), 0.02)),  # type: ignore[arg-type]
    "awaits on loops of daemon threads": lambda: in_thread(take_async, KINDS["native"], 5, 0.02),
    "tasks that nobody awaits": leave_tasks,
    "given up, with the fetch still under way": lambda: core.login(KINDS["native"](), timeout=0.02),
    "a login from an atexit hook": lambda: atexit.register(take, KINDS["native"]()),
    "credential objects on threads": lambda: in_thread(take, lambda: Sync(30), 5, 0.02),
    "credential objects on loops of threads": lambda: in_thread(take_async, lambda: Sync(30), 5, 0.0),
    "asynchronous credential objects on loops of threads": lambda: in_thread(take_async, lambda: Async(30), 5, 0.02),
    # About one in 5,000 ends of CPython 3.10 crashes here, with threads of plain Python as well: one that starts while
    # the interpreter ends finds its state gone (_PyThreadState_Init).
    "logins that begin and end all the time": lambda: in_thread(take_on_and_on, object, 5, 0.1),
    "a native background refresh that hangs": lambda: leave_refresh(KINDS["native"], take),
    "the same on an event loop": lambda: leave_refresh(KINDS["native"], take_async),
    "a background refresh of a credential object that hangs": lambda: leave_refresh(lambda: Sync(0, 1.0), take),
}


def end(name: str) -> None:
    # Waits that were given up.
    with contextlib.suppress(errors.EntraConnectionValueError, asyncio.TimeoutError):
        ENDINGS[name]()


def exits(name: str, children: int) -> None:
    pids = []
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            end(name)
            sys.exit(EXIT_CODE)
        pids.append(pid)
        # Not all at once: their machine has other things to do.
        if len(pids) >= 4:
            reap_exit(pids.pop(0))
    for pid in pids:
        reap_exit(pid)


def reap_exit(pid: int) -> None:
    deadline = time.monotonic() + HANGS_AFTER
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == EXIT_CODE, status
            return
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            sys.exit("a child hangs")
        time.sleep(0.005)


if __name__ == "__main__":
    mode, what, *counts = sys.argv[1:]
    if mode == "end":
        end(what)
        if counts:
            sys.exit(int(counts[0]))
    else:
        {"fork": fork_in_the_middle, "first": fork_first, "exits": exits}[mode](what, int(counts[0]))
