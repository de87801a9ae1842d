"""An event loop in a background thread, which no signal interrupts: their handlers run in the main thread.

`anyio.from_thread.start_blocking_portal` is not used, because it is a generator that waits for its thread when it is
garbage collected. In a forked child of the user's program that thread does not exist, and the child would hang at exit.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import Future
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal

_OPTIONS: dict[str, Any] = {}
if sys.platform == "win32":
    # Not the kind of loop that a program chooses for psycopg: it watches no more than 512 sockets.
    _OPTIONS["loop_factory"] = asyncio.ProactorEventLoop


class EventLoop:
    """An anyio portal and its thread."""

    def __init__(self) -> None:
        """Prepare the thread."""
        self._started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(target=_run, args=(self._started,), name="emulator-postgresql", daemon=True)

    def start(self) -> None:
        """Start the thread; the portal is ready on return."""
        self._thread.start()
        self._started.result()

    @property
    def portal(self) -> BlockingPortal:
        """Calls functions in the thread, one after the other; a signal interrupts their caller, and not them."""
        return self._started.result()

    def stop(self) -> None:
        """Cancel all tasks and wait for the thread, if it was started."""
        if self._thread.ident is None:
            return
        self.portal.call(self.portal.stop, True)  # noqa: FBT003 - cancel_remaining
        self._thread.join()


def _run(started: Future[BlockingPortal]) -> None:
    async def main() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        anyio.run(main, backend="asyncio", backend_options=_OPTIONS)
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)
