"""What is said to a person: on stderr, in colour only on a terminal, and never instead of data."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, TextIO

PROGRAM: Final = "azure-postgresql-auth"
PATIENCE: Final = 1.0
"""Seconds after which a person is told what is being waited for."""

_COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def is_rich(stream: TextIO) -> bool:
    """Whether colours and marks are welcome there (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour, where colours are welcome."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if is_rich(stream) else text


def data(text: str) -> None:
    """What was asked for, to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Something by the way."""
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    sys.stderr.flush()


def complain(text: str) -> None:
    """Why it did not work."""
    note(painted(text, "red", sys.stderr))


@contextmanager
def waiting(for_what: str) -> Iterator[None]:
    """Says on a terminal what is being waited for, should it take longer than a second."""
    if not sys.stderr.isatty():
        yield
        return
    told = threading.Event()

    def tell() -> None:
        told.set()
        sys.stderr.write(painted(f"{for_what} ...", "dim", sys.stderr))
        sys.stderr.flush()

    timer = threading.Timer(PATIENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if told.is_set():
            sys.stderr.write("\r\033[K" if is_rich(sys.stderr) else "\n")
            sys.stderr.flush()
