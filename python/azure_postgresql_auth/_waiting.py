"""Waiting for a login on an event loop, without a thread and without blocking it.

The engine's threads never touch Python, so they cannot call `call_soon_threadsafe`. They write to a socket (a `Bell`)
that the loop watches while somebody waits, one for each loop however many wait.
"""

from __future__ import annotations

import asyncio
import functools
import os
from typing import TYPE_CHECKING

from azure_postgresql_auth import _core

if TYPE_CHECKING:
    from azure_postgresql_auth._core import Login, PendingLogin


class _Doorbell:
    """The bell of one event loop, and who listens for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.bell = _core.Bell()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._keys = 0
        loop.add_reader(self.bell.fileno(), self._answer)

    def _answer(self) -> None:
        for key in self.bell.drain():
            waiting = self._waiting.get(key)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def wait(self, pending: PendingLogin, timeout: float) -> Login:
        self._keys = key = self._keys + 1
        loop = asyncio.get_running_loop()
        # Not asyncio.timeout, which Python 3.9 and 3.10 lack, nor wait_for, which takes a task for each wait.
        alarm = loop.call_later(timeout, self._expire, key, pending.timed_out(timeout))
        try:
            while True:
                # In place before the poll: the bell may ring at once.
                self._waiting[key] = rung = loop.create_future()
                login = pending.poll(self.bell, key)
                if login is not None:
                    return login
                await rung
        finally:
            alarm.cancel()
            del self._waiting[key]

    def _expire(self, key: int, error: BaseException) -> None:
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        if waiting.done():
            # The bell rang in this very turn of the loop: look again when the wait has, too.
            asyncio.get_running_loop().call_soon(self._expire, key, error)
        else:
            waiting.set_exception(error)

    @property
    def idle(self) -> bool:
        return not self._waiting


# By id(loop), only while somebody waits: a loop that is waited on is alive.
_doorbells: dict[int, _Doorbell] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_doorbells.clear)


async def wait(pending: PendingLogin, timeout: float) -> Login:
    """The login.

    Raises:
        EntraConnectionValueError: there was none within `timeout` seconds.
        Exception: what the login failed with.
    """
    loop = asyncio.get_running_loop()
    try:
        doorbell = _doorbells.get(id(loop)) or _doorbells.setdefault(id(loop), _Doorbell(loop))
    except (AttributeError, NotImplementedError):
        # Windows' proactor loop watches no sockets for others: a thread waits instead.
        return await loop.run_in_executor(None, functools.partial(pending.wait, timeout))
    try:
        return await doorbell.wait(pending, timeout)
    finally:
        if doorbell.idle and _doorbells.get(id(loop)) is doorbell:
            del _doorbells[id(loop)]
            loop.remove_reader(doorbell.bell.fileno())
