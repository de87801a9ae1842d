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


def printable(text: str, keep: str = "\n") -> str:
    """Escape what a terminal would act on instead of showing it: control and format characters, as in repr.

    Args:
        text: from a token, a server or a driver.
        keep: characters that stay all the same.
    """
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def data(text: str) -> None:
    """What was asked for, to stdout."""
    _write(sys.stdout, text)


def note(text: str) -> None:
    """Something by the way."""
    _write(sys.stderr, f"{PROGRAM}: {printable(text)}")


def complain(text: str) -> None:
    """Why it did not work."""
    _write(sys.stderr, f"{PROGRAM}: {painted(printable(text), 'red', sys.stderr)}")


def _write(stream: TextIO, text: str) -> None:
    # Not every locale has a code for every character.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


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
