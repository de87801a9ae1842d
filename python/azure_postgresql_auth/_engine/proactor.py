"""Watching a socket on Windows' usual event loop, which has no `add_reader`."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Callable


class ProactorWatch(asyncio.Protocol):
    """The reading end of a wakeup socket as a transport of the loop's.

    Args:
        loop: where it is watched.
        number: the socket's; it is closed with this.
        notify: called when something was written to it, even before this was made.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int, notify: Callable[[], None]) -> None:
        self._loop = loop
        self._notify = notify
        self._transport: asyncio.BaseTransport | None = None
        self._socket = socket.socket(fileno=number)
        self._socket.setblocking(False)  # noqa: FBT003 - takes no keywords
        # Not awaited: whoever makes this may be cancelled, while others wait, too.
        self._opening = loop.create_task(self._open())

    async def _open(self) -> None:
        await self._loop.create_connection(lambda: self, sock=self._socket)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - one byte for each time
        """Tell of it."""
        self._notify()

    def close(self) -> None:
        """Watch no more."""
        if self._loop.is_closed():
            # It ends neither tasks nor transports any more.
            self._socket.close()
        elif self._transport is None:
            self._opening.cancel()
            self._socket.close()
        else:
            self._transport.close()
