"""Signals that end a command, at every stage: what was begun is undone, and the exit code is 128 and the number.

Commands that keep something fresh end with 0 instead: see `StopSignals`.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any, Callable, Union

    Handler = Union[Callable[[int, Union[FrameType, None]], Any], int, None]

# Windows has fewer.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a program to end."""


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end.

    A KeyboardInterrupt, so that whatever cleans up after Ctrl-C does so after SIGTERM and SIGHUP, too.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = exit_code(number)


def exit_code(number: int) -> int:
    """Return what a shell makes of a process that this signal ended."""
    return 128 + number


@contextmanager
def raised() -> Iterator[None]:
    """Have the signals that ask to end raise `Stopped`; those that are ignored (nohup) stay so."""

    def end(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    with handled(dict.fromkeys(ENDING, end)):
        yield


@contextmanager
def postponed() -> Iterator[None]:
    """Let nothing interrupt the block, which cleans up: the command is ending anyway."""
    with handled(dict.fromkeys(ENDING, lambda *_: None)):
        yield


@contextmanager
def handled(handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any]]) -> Iterator[None]:
    """Have signals handled that are not ignored, and as before afterwards."""
    before: dict[signal.Signals, Handler] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if signal.getsignal(number) not in {signal.SIG_IGN, None}:
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


class StopSignals:
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
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")
        if self.stopped and self._interrupts:
            raise Stopped(self._number)

    def wait(self, seconds: float) -> bool:
        """Wait for a signal; whether it was, or has been, one to stop."""
        if not self.stopped:
            select.select([self._reader], [], [], seconds)
            with suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return self.stopped

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `Stopped` in this block: for what may take long, and can be left at any place."""
        self._interrupts = True
        try:
            if self.stopped:
                raise Stopped(self._number)
            yield
        finally:
            self._interrupts = False
