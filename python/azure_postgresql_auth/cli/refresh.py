"""Keeping something fresh: when to look again, and signals that end or shorten the wait."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.signals import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

_LONGEST_PAUSE: Final = 60.0
_SHORTEST_PAUSE: Final = 0.25
_FIRST_RETRY: Final = 1.0
_PARTS_OF_LIFE: Final = 20


def keep_fresh(look: Callable[[], float], wait: Callable[[float], bool]) -> None:
    """Look again and again, at a twentieth of what is left each time, and at least once a minute.

    Args:
        look: renews what needs it, and returns until when all is good, in seconds since the epoch; 0 if it is not,
            which is tried again soon, and later after each failure.
        wait: waits so many seconds, and returns whether to stop.
    """
    retry = _FIRST_RETRY
    while True:
        good_until = look()
        if good_until:
            retry = _FIRST_RETRY
            pause = max(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, (good_until - time.time()) / _PARTS_OF_LIFE))
        else:
            pause = retry
            retry = min(retry * 2, _LONGEST_PAUSE)
        if wait(pause):
            return


class Signals:
    """SIGTERM and SIGINT, which stop the process, and SIGHUP, which has it look at once."""

    def __init__(self) -> None:
        self.stopped = False
        self._number = 0
        self._interrupts = False
        # A handler may run at any place, also while a lock is held: a pipe needs none.
        self._reader, self._writer = os.pipe()
        for descriptor in (self._reader, self._writer):
            os.set_blocking(descriptor, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _: object) -> None:
        if number != signal.SIGHUP:
            self.stopped, self._number = True, number
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0")
        if self.stopped and self._interrupts:
            raise Stopped(self._number)

    def wait(self, seconds: float) -> bool:
        """Wait for a signal; whether it was, or has been, one to stop."""
        if not self.stopped:
            select.select([self._reader], [], [], seconds)
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return self.stopped

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `Stopped` in this block: for what may take long, and can be left at any place."""
        self._interrupts = True
        try:
            if self.stopped:
                raise Stopped(self._number)
            yield
        finally:
            self._interrupts = False
