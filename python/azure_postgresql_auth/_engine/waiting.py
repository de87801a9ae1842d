"""Waiting for a login, on a thread and on an event loop.

The engine's threads never touch Python. They write to a socket (a `WakeupFd`) that the waiters watch: a thread with
a selector, an event loop among its other descriptors, one for each loop however many wait on it. Threads are woken a
few at a time, because they all need the GIL. Where there is no descriptor left for the socket or for a selector, the
wait looks again a hundred times a second.
"""

from __future__ import annotations

import os
import selectors
import sys
import time

from azure_postgresql_auth._core import LOGIN_TIMEOUT, WakeupFd
from azure_postgresql_auth._engine import log

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    import asyncio
    from typing import Callable, Final

    from azure_postgresql_auth._core import Login, PendingLogin
    from azure_postgresql_auth._engine.proactor import ProactorWatch
    from azure_postgresql_auth._engine.registry import CredentialEntry

DEFAULT_TIMEOUT: Final = LOGIN_TIMEOUT
"""How long a login waits for its token unless its caller says otherwise, in seconds."""

_POLL_INTERVAL: Final = 0.01
"""Seconds between two looks."""
_SELECT_AT_MOST: Final = 1.0 if sys.platform != "win32" else 0.1
"""Seconds; Ctrl-C does not end a system call that begins just after it, and on Windows it ends none. A thread that is
not woken because others before it hang looks by itself."""
_SWEEP_INTERVAL: Final = 1.0
"""Seconds between two looks at whether the loop that makes a fetch still runs: one that stops tells nobody."""


def _made(new: Callable[[], WakeupFd]) -> WakeupFd | None:
    try:
        return new()
    except OSError:
        return None


def _watch(wakeup: WakeupFd | None) -> selectors.BaseSelector | None:
    if wakeup is None:
        return None
    try:
        # Looked up at each call: gevent and eventlet put one there that lets other greenlets run, and take away `poll`
        # and `epoll`.
        selector = selectors.DefaultSelector()
    except OSError:
        return None
    selector.register(wakeup.fileno(), selectors.EVENT_READ)
    return selector


def wait(entry: CredentialEntry, pending: PendingLogin, timeout: float) -> Login:
    """Wait for a login in a thread, and return it.

    Raises:
        EntraConnectionValueError: it took more than `timeout` seconds.
        CredentialValueError: the login waits for a credential that waits for the login.
        Exception: the error that the login failed with.
    """
    pending.set_timeout(timeout)
    deadline = time.monotonic() + timeout
    wakeup = _made(WakeupFd.for_thread)
    selector = _watch(wakeup)
    try:
        while True:
            login = pending.poll(wakeup, 0)
            entry.make_fetches(blocking=True)
            if login is not None:
                return login
            entry.refuse_recursion(pending)
            left = deadline - time.monotonic()
            if left <= 0:
                raise pending.timed_out(timeout)
            if wakeup is None or selector is None:
                time.sleep(min(left, _POLL_INTERVAL))
            else:
                selector.select(min(left, _SELECT_AT_MOST))
                wakeup.drain()
    finally:
        if selector is not None:
            selector.close()
        if wakeup is not None:
            wakeup.close()
        log.emit()


class _LoopWaiter:
    """The descriptor of one event loop, and who waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.wakeup = _made(WakeupFd.for_loop)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._keys = 0
        self._watch: ProactorWatch | None = None
        if self.wakeup is None:
            return
        try:
            loop.add_reader(self.wakeup.fileno(), self._notify)
        except NotImplementedError:
            # Windows' usual loop.
            from azure_postgresql_auth._engine.proactor import ProactorWatch  # noqa: PLC0415

            self._watch = ProactorWatch(loop, self.wakeup.detach(), self._notify)

    def _notify(self) -> None:
        assert self.wakeup is not None, "it was written to"  # noqa: S101 - for the type checker
        for key in self.wakeup.drain():
            waiting = self._waiting.get(key)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def wait(self, entry: CredentialEntry, pending: PendingLogin, timeout: float) -> Login:
        self._keys = key = self._keys + 1
        # Not asyncio.timeout, which Python 3.9 and 3.10 lack, nor wait_for, which takes a task for each wait.
        pending.set_timeout(timeout)
        alarm = self.loop.call_later(timeout, self._expire, key, pending, timeout)
        every = _POLL_INTERVAL if self.wakeup is None else _SWEEP_INTERVAL if entry.asynchronous else None
        look: asyncio.TimerHandle | None = None
        try:
            while True:
                # In place before the look: it may be written to at once.
                self._waiting[key] = written = self.loop.create_future()
                if look is not None:
                    look.cancel()
                if every is not None:
                    look = self.loop.call_later(every, _look_again, written)
                login = pending.poll(self.wakeup, key)
                entry.make_fetches(blocking=False)
                if login is not None:
                    return login
                entry.refuse_recursion(pending)
                await written
        finally:
            alarm.cancel()
            if look is not None:
                look.cancel()
            del self._waiting[key], written

    def _expire(self, key: int, pending: PendingLogin, timeout: float) -> None:
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        if waiting.done():
            # It was written to in this very turn of the loop: look again when the wait has, too.
            self.loop.call_soon(self._expire, key, pending, timeout)
        else:
            waiting.set_exception(pending.timed_out(timeout))

    @property
    def idle(self) -> bool:
        return not self._waiting

    def close(self) -> None:
        if self.wakeup is None:
            return
        if self._watch is not None:
            self._watch.close()
        elif not self.loop.is_closed():
            self.loop.remove_reader(self.wakeup.fileno())
        self.wakeup.close()


def _look_again(written: asyncio.Future[None]) -> None:
    if not written.done():
        written.set_result(None)


# By id(loop), only while somebody waits on it.
_loop_waiters: dict[int, _LoopWaiter] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loop_waiters.clear)


async def wait_async(entry: CredentialEntry, pending: PendingLogin, timeout: float) -> Login:
    """Wait for a login on the running event loop, and return it."""
    # Loaded long since: an event loop runs.
    from asyncio import get_running_loop  # noqa: PLC0415

    loop = get_running_loop()
    waiter = _loop_waiters.get(id(loop))
    if waiter is None or waiter.loop is not loop:
        # Loops that were closed while somebody waited never come back to tidy up.
        for key, other in list(_loop_waiters.items()):
            # None: another thread's loop has tidied up meanwhile.
            if other.loop.is_closed() and (closed := _loop_waiters.pop(key, None)) is not None:
                closed.close()
        waiter = _loop_waiters[id(loop)] = _LoopWaiter(loop)
    try:
        return await waiter.wait(entry, pending, timeout)
    finally:
        if waiter.idle and _loop_waiters.get(id(loop)) is waiter:
            del _loop_waiters[id(loop)]
            waiter.close()
        log.emit()
