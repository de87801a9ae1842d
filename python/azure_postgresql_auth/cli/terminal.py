"""Messages for people: on stderr, in colour only on a terminal, and separate from data on stdout."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, TextIO

PROGRAM: Final = "azure-postgresql-auth"
NOTICE_AFTER: Final = 1.0
"""Seconds after which a message says what the command is waiting for."""

_COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def is_rich(stream: TextIO) -> bool:
    """Return whether the stream supports colours and control sequences (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, stream: TextIO) -> str:
    """Return the text in a colour if the stream supports it."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if is_rich(stream) else text


def printable(text: str, keep: str = "\n") -> str:
    """Escape control and format characters, which a terminal would interpret, as `repr` does.

    Args:
        text: text from a token, a server or a driver.
        keep: characters that are not escaped.
    """
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def data(text: str) -> None:
    """Write the command's result to stdout.

    Raises:
        BrokenPipeError: its reader has closed it.
        Failure: it cannot be written for another reason, such as a full disk.
    """
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_data()
        message = f"stdout cannot be written: {error.strerror or error}"
        raise Failure(message) from error


def discard_data() -> None:
    """Lose what could not be written to stdout; Python would report the error again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str) -> None:
    """Write a note to stderr."""
    _tell(printable(text))


def complain(text: str) -> None:
    """Write an error to stderr."""
    _tell(painted(printable(text), "red", sys.stderr))


def _tell(text: str) -> None:
    # If a message cannot be written, the command still goes on, and its exit code stays the same.
    with suppress(OSError):
        _write(sys.stderr, f"{PROGRAM}: {text}")


def _write(stream: TextIO, text: str) -> None:
    # Some locales cannot encode every character.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


@contextmanager
def waiting(for_what: str) -> Iterator[None]:
    """Show what the command is waiting for, on a terminal and after a second."""
    if not sys.stderr.isatty():
        yield
        return
    shown = threading.Event()

    def show() -> None:
        shown.set()
        sys.stderr.write(painted(f"{for_what} ...", "dim", sys.stderr))
        sys.stderr.flush()

    timer = threading.Timer(NOTICE_AFTER, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if shown.is_set():
            sys.stderr.write("\r\033[K" if is_rich(sys.stderr) else "\n")
            sys.stderr.flush()
