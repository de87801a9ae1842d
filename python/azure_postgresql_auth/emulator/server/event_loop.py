"""An event loop in a background thread.

Not `anyio.from_thread.start_blocking_portal`: it is a generator that waits for its thread when it is collected. In a
child that the user's program forked, that thread does not exist, and the child would hang at exit.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

import anyio
from anyio.from_thread import BlockingPortal


class EventLoop:
    """A portal and its thread."""

    def __init__(self) -> None:
        """Start; the portal is ready when this returns."""
        started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(target=_run, args=(started,), name="emulator-postgresql", daemon=True)
        self._thread.start()
        self.portal = started.result()

    def stop(self) -> None:
        """Cancel what runs and wait for the thread."""
        self.portal.call(self.portal.stop, True)  # noqa: FBT003 - cancel_remaining
        self._thread.join()


def _run(started: Future[BlockingPortal]) -> None:
    async def main() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        anyio.run(main, backend="asyncio")
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)
