"""Signals that end a command, at every stage: what was begun is undone, and the exit code is 128 and the number.

Commands that keep something fresh end with 0 instead: see `StopSignals`.
"""

from __future__ import annotations

import select
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any, Callable, NoReturn, Union

    Handler = Union[Callable[[int, Union[FrameType, None]], Any], int, None]

# Windows has no SIGHUP, and has SIGBREAK for Ctrl-Break and a closed console.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""Signals that ask a program to end."""
_LOOK = getattr(signal, "SIGHUP", None)


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
def raised(*, to_the_end: bool) -> Iterator[None]:
    """Have the first signal that asks to end raise `Stopped`; those that are ignored (nohup) stay so.

    Further ones do not interrupt what the first one made the command do.

    Args:
        to_the_end: whether the process ends after the block, so that a further signal must not change its exit code.
    """

    def end(number: int, _: FrameType | None) -> None:
        disregard()
        raise Stopped(number)

    # The interpreter restores the default action of signals that have a handler when it ends, but not of ignored ones.
    ours = handled(dict.fromkeys(ENDING, end), afterwards=signal.SIG_IGN if to_the_end else None)
    with ours, _instead_of_what_it_led_to():
        yield


@contextmanager
def _instead_of_what_it_led_to() -> Iterator[None]:
    """Raise `Stopped` in place of an error that it led to.

    Locks of `threading` are written in Python: a handler that raises within them may leave them neither held nor free,
    which is an error on the way out.
    """
    try:
        yield
    except Exception as error:
        stopped = _context(error)
        if stopped is None:
            raise
        raise stopped from error


def _context(error: BaseException) -> Stopped | None:
    context = error.__context__
    return context if context is None or isinstance(context, Stopped) else _context(context)


def until_stopped() -> NoReturn:
    """Do nothing until a handler raises."""
    while True:
        time.sleep(3600)


def disregard() -> None:
    """Let no signal interrupt what follows: the command cleans up and ends."""
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) not in {signal.SIG_IGN, None}:
                signal.signal(number, lambda *_: None)


@contextmanager
def handled(
    handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any]], afterwards: Handler = None
) -> Iterator[None]:
    """Have signals handled that are not ignored, and by `afterwards`, or as before, when the block ends."""
    before: dict[signal.Signals, Handler] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if signal.getsignal(number) not in {signal.SIG_IGN, None}:
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous if afterwards is None else afterwards)


class StopSignals:
    """Signals that stop the process, and SIGHUP, which has it look at once."""

    def __init__(self) -> None:
        self.stopped = False
        self._number = 0
        self._interrupts = False
        # Python itself writes to it, so that a signal at any place ends a wait. On Windows its handler runs after that.
        self._reader, self._writer = _socket_pair()
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in ENDING:
            signal.signal(number, self._receive)

    def _receive(self, number: int, _: object) -> None:
        if number != _LOOK:
            self.stopped, self._number = True, number
            if self._interrupts:
                raise Stopped(number)

    def wait(self, seconds: float) -> bool:
        """Wait for a signal; whether it was, or has been, one to stop."""
        if not self.stopped:
            select.select([self._reader], [], [], seconds)
            with suppress(BlockingIOError):
                self._reader.recv(4096)
        return self.stopped

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `Stopped` in this block: for what may take long, and can be left at any place."""
        self._interrupts = True
        try:
            if self.stopped:
                raise Stopped(self._number)
            with _instead_of_what_it_led_to():
                yield
        finally:
            self._interrupts = False


@contextmanager
def waking() -> Iterator[socket.socket]:
    """Open a socket that becomes readable when a signal arrives, even just before the wait for it."""
    reader, writer = _socket_pair()
    with reader, writer:
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.settimeout(0)
    return reader, writer
