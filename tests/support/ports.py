"""Ports for programs that have to be told which one to listen on."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def reserved_ports(count: int = 1) -> Iterator[list[int]]:
    """Reserve consecutive ports of 127.0.0.1 for this block; nothing listens there until a program does that wants to.

    A socket that is bound with SO_REUSEADDR and does not listen keeps the system from giving the port to others, as the
    port of a listener or of a connection, and lets a program listen there that sets the option as well, as servers do.
    Elsewhere than on Linux it would be in that program's way, and the ports are only known to have been free.
    """
    with contextlib.ExitStack() as stack:
        while (ports := _bind(count, stack)) is None:
            pass
        if sys.platform != "linux":
            stack.close()
        yield ports


def _bind(count: int, stack: contextlib.ExitStack) -> list[int] | None:
    with contextlib.ExitStack() as bound:
        port = 0
        ports: list[int] = []
        for _ in range(count):
            reservation = bound.enter_context(socket.socket())
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                reservation.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                return None
            ports.append(reservation.getsockname()[1])
            port = ports[-1] + 1
        stack.push(bound.pop_all())
        return ports
