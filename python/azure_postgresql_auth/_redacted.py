"""Secrets that do not show where error trackers, debuggers and logs collect values.

Those print the local variables of every frame of a traceback by their `repr`. So a token is a string whose `repr` is
stars from the moment it leaves the engine, and errors of drivers, whose own frames hold whole connection strings, come
without these frames.
"""

from __future__ import annotations

import contextlib

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from typing import SupportsIndex, TypeVar

    Error = TypeVar("Error", bound=BaseException)


class RedactedStr(str):
    """A string whose `repr` is stars; its text and everything else is that of any string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'****'"

    def __getitem__(self, key: SupportsIndex | slice) -> RedactedStr:
        # rich shortens long strings before it prints them.
        return RedactedStr(super().__getitem__(key))


def without_frames(error: Error, secret: object = None, handled: BaseException | None = None) -> Error:
    """Return an error without the frames that it came through, and those of what it came from.

    Args:
        error: what was raised while a driver connected.
        secret: if it is a string, it is removed from what the errors carry, too.
        handled: what the caller was handling when it began to connect; it and what it came from stay as they are.
    """
    found: list[BaseException | None] = [error]
    # An error can be its own cause.
    seen = {id(handled)}
    while found:
        link = found.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = None
        if isinstance(secret, str) and secret:
            _remove(secret, link)
        # Both: `raise ... from` sets the cause and keeps the context, which error trackers collect as well.
        found += link.__cause__, link.__context__, *getattr(link, "exceptions", ())
    return error


def _remove(secret: str, error: BaseException) -> None:
    if isinstance(error, UnicodeEncodeError) and secret in error.object:
        # It carries the whole text that could not be encoded. Only the characters in question stay.
        kept = range(error.start, error.end)
        error.object = "".join(char if index in kept else "*" for index, char in enumerate(error.object))
        error.args = (error.encoding, error.object, *error.args[2:])
    elif any(isinstance(value, str) and secret in value for value in error.args):
        error.args = tuple(v.replace(secret, "****") if isinstance(v, str) else v for v in error.args)
    notes = getattr(error, "__notes__", None)
    if notes:
        notes[:] = [note.replace(secret, "****") if isinstance(note, str) else note for note in notes]
    # psycopg's errors carry the connection, and that its password.
    connection = getattr(error, "pgconn", None)
    if connection is not None:
        connection.finish()
        with contextlib.suppress(AttributeError):  # a real connection has no attributes to set, and is closed now
            # Since psycopg 3.1.13 it is a copy of what the connection knew, which closing does not change.
            connection.password = b""
            connection.info = [option for option in connection.info if option.keyword != b"password"]
