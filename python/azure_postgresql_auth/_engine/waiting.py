"""Waiting for a login, on a thread and on an event loop.

The engine's threads never touch Python. They write to a socket (a `WakeupFd`) that whoever waits watches: a thread with
a selector, an event loop among its other descriptors, one bell for each loop however many wait on it. Where there is no
descriptor left for a bell or a selector, the wait looks again a hundred times a second.
"""

from __future__ import annotations

import os
import selectors
import time

from azure_postgresql_auth._core import WakeupFd
from azure_postgresql_auth._engine import log

TYPE_CHECKING = False  # typing's own costs milliseconds of start-up
if TYPE_CHECKING:
    import asyncio
    from typing import Final

    from azure_postgresql_auth._core import Login, PendingLogin
    from azure_postgresql_auth._engine.registry import Adopted

DEFAULT_TIMEOUT: Final = 30.0
"""How long a login waits for its token unless its caller says otherwise, in seconds."""

_NO_BELL: Final = 0.01
"""Seconds between two looks."""
_SELECT_AT_MOST: Final = 3600.0
"""Seconds; a timeout of ours has no limit, that of a selector has one."""


def _new_bell() -> WakeupFd | None:
    try:
        return WakeupFd()
    except OSError:
        return None


def _watch(bell: WakeupFd | None) -> selectors.BaseSelector | None:
    if bell is None:
        return None
    try:
        # Looked up at each call: gevent and eventlet put one there that lets other greenlets run, and take away `poll`
        # and `epoll`.
        selector = selectors.DefaultSelector()
    except OSError:
        return None
    selector.register(bell.fileno(), selectors.EVENT_READ)
    return selector


def wait(adopted: Adopted, pending: PendingLogin, timeout: float) -> Login:
    """The login.

    Raises:
        EntraConnectionValueError: there was none within `timeout` seconds.
        Exception: what the login failed with.
    """
    pending.set_timeout(timeout)
    deadline = time.monotonic() + timeout
    bell = _new_bell()
    selector = _watch(bell)
    try:
        while True:
            login = pending.poll(bell, 0)
            adopted.make_fetches(blocking=True)
            if login is not None:
                return login
            left = deadline - time.monotonic()
            if left <= 0:
                raise pending.timed_out(timeout)
            if bell is None or selector is None:
                time.sleep(min(left, _NO_BELL))
            else:
                selector.select(min(left, _SELECT_AT_MOST))
                bell.drain()
    finally:
        if selector is not None:
            selector.close()
        if bell is not None:
            bell.close()
        log.tell()


class _Doorbell:
    """The bell of one event loop, and who listens for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.bell = _new_bell()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._keys = 0
        if self.bell is not None:
            loop.add_reader(self.bell.fileno(), self._answer)

    def _answer(self) -> None:
        assert self.bell is not None, "it has rung"  # noqa: S101 - for the type checker
        for key in self.bell.drain():
            waiting = self._waiting.get(key)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def wait(self, adopted: Adopted, pending: PendingLogin, timeout: float) -> Login:
        self._keys = key = self._keys + 1
        # Not asyncio.timeout, which Python 3.9 and 3.10 lack, nor wait_for, which takes a task for each wait.
        pending.set_timeout(timeout)
        alarm = self.loop.call_later(timeout, self._expire, key, pending, timeout)
        try:
            while True:
                # In place before the look: the bell may ring at once.
                self._waiting[key] = rung = self.loop.create_future()
                if self.bell is None:
                    self.loop.call_later(_NO_BELL, _look_again, rung)
                login = pending.poll(self.bell, key)
                adopted.make_fetches(blocking=False)
                if login is not None:
                    return login
                await rung
        finally:
            alarm.cancel()
            del self._waiting[key], rung

    def _expire(self, key: int, pending: PendingLogin, timeout: float) -> None:
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        if waiting.done():
            # The bell rang in this very turn of the loop: look again when the wait has, too.
            self.loop.call_soon(self._expire, key, pending, timeout)
        else:
            waiting.set_exception(pending.timed_out(timeout))

    @property
    def idle(self) -> bool:
        return not self._waiting

    def close(self) -> None:
        if self.bell is not None:
            if not self.loop.is_closed():
                self.loop.remove_reader(self.bell.fileno())
            self.bell.close()


def _look_again(rung: asyncio.Future[None]) -> None:
    if not rung.done():
        rung.set_result(None)


# By id(loop), only while somebody waits on it.
_doorbells: dict[int, _Doorbell] = {}
os.register_at_fork(after_in_child=_doorbells.clear)


async def wait_async(adopted: Adopted, pending: PendingLogin, timeout: float) -> Login:
    """`wait` on the running event loop."""
    # Loaded long since: an event loop runs.
    from asyncio import get_running_loop  # noqa: PLC0415

    loop = get_running_loop()
    doorbell = _doorbells.get(id(loop))
    if doorbell is None or doorbell.loop is not loop:
        # Loops that were closed while somebody waited never come back to tidy up.
        for key, other in list(_doorbells.items()):
            # None: another thread's loop has tidied up meanwhile.
            if other.loop.is_closed() and (closed := _doorbells.pop(key, None)) is not None:
                closed.close()
        doorbell = _doorbells[id(loop)] = _Doorbell(loop)
    try:
        return await doorbell.wait(adopted, pending, timeout)
    finally:
        if doorbell.idle and _doorbells.get(id(loop)) is doorbell:
            del _doorbells[id(loop)]
            doorbell.close()
        log.tell()
