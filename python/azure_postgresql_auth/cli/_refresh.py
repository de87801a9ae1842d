"""Keeping something fresh: when to look again, signals that end or shorten the wait, and a health file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import _secret_file

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


class Stopped(BaseException):
    """The signal to stop came in a block that it interrupts."""


class Signals:
    """SIGTERM and SIGINT, which stop the process, and SIGHUP, which has it look at once."""

    def __init__(self) -> None:
        self.stopped = False
        self._interrupts = False
        # A handler may run at any place, also while a lock is held: a pipe needs none.
        self._reader, self._writer = os.pipe()
        for descriptor in (self._reader, self._writer):
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_NONBLOCK)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _: object) -> None:
        self.stopped |= number != signal.SIGHUP
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0")
        if self.stopped and self._interrupts:
            raise Stopped

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
                raise Stopped
            yield
        finally:
            self._interrupts = False


class HealthFile:
    """A file that is there while all is well, and new at each look: for liveness probes by its age."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, content: str) -> None:
        """Say that all is well.

        Raises:
            Failure: the path has a symbolic link that another user could have placed.
            OSError: the file cannot be written.
        """
        _secret_file.write_file(self.path, content.encode(), 0o644)

    def remove(self) -> None:
        """Say that it is not; raises what `write` does."""
        _secret_file.remove_file(self.path)
