"""Keep secrets out of error trackers, debuggers and logs.

These tools print the `repr` of the local variables of every frame of a traceback. A token that leaves the engine is
therefore a string whose `repr` is redacted, and errors of drivers, whose frames hold whole connection strings, are
raised without these frames.
"""

from __future__ import annotations

import contextlib

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from typing import Any, SupportsIndex, TypeVar

    from typing_extensions import Self

    Error = TypeVar("Error", bound=BaseException)


class RedactedStr(str):
    """A string whose `repr` is redacted. It behaves like any other string otherwise."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'****'"

    def __getitem__(self, key: SupportsIndex | slice) -> RedactedStr:
        # rich shortens long strings before it prints them.
        return RedactedStr(super().__getitem__(key))


class Redacted:
    """An object whose `repr` is redacted, and that is kept, not copied, when settings are copied."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<{getattr(self.value, '__qualname__', type(self.value).__qualname__)}>"

    def __deepcopy__(self, _memo: object) -> Self:
        # Tokens are cached per credential object, and many credentials cannot be copied.
        return self


def unredacted(value: object) -> object:
    """Return the object in a `Redacted`; anything else unchanged."""
    return value.value if isinstance(value, Redacted) else value


def without_frames(error: Error, secret: object = None, handled: BaseException | None = None) -> Error:
    """Remove the traceback frames of an error, and of its causes and contexts; return the error.

    Args:
        error: the exception that was raised while a driver connected.
        secret: a string to remove from the errors' texts and attributes; ignored if it is not a string.
        handled: the exception that the caller was handling when it began to connect; it is left unchanged.
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


def removed(secret: str, value: Any) -> Any:
    """Return a text without the secret, also one in a dictionary, as pg8000's errors have; anything else unchanged."""
    if isinstance(value, str):
        return value.replace(secret, "****") if secret in value else value
    if isinstance(value, bytes):
        return value.replace(secret.encode(errors="surrogatepass"), b"****")
    if type(value) is dict:
        return {name: removed(secret, part) for name, part in value.items()}
    return value


def _remove(secret: str, error: BaseException) -> None:
    if isinstance(error, UnicodeEncodeError) and secret in error.object:
        # The error carries the whole text. Keep only the characters that could not be encoded.
        kept = range(error.start, error.end)
        error.object = "".join(char if index in kept else "*" for index, char in enumerate(error.object))
        error.args = (error.encoding, error.object, *error.args[2:])
    else:
        error.args = tuple(removed(secret, value) for value in error.args)
    # asyncpg's errors have the server's fields, all texts, which may repeat what it was sent.
    attributes = vars(error)
    attributes.update({name: removed(secret, value) for name, value in attributes.items() if isinstance(value, str)})
    notes = getattr(error, "__notes__", None)
    if notes:
        notes[:] = [removed(secret, note) for note in notes]
    # psycopg's errors carry the connection, which holds the password.
    connection = getattr(error, "pgconn", None)
    if connection is not None:
        connection.finish()
        with contextlib.suppress(AttributeError):  # a real connection has no attributes to set, and is closed now
            # Since psycopg 3.1.13 this is a copy of the connection's data, which closing does not clear.
            connection.password = b""
            connection.info = [option for option in connection.info if option.keyword != b"password"]
            connection.error_message = removed(secret, connection.error_message)
