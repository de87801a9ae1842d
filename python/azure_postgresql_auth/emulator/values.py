"""Validate the values that users set."""

from __future__ import annotations

import math
import re


def seconds(name: str, value: float, *, negative: bool = False) -> float:
    """Return a number of seconds.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not finite, or it is negative and must not be.
    """
    number = _number(name, value)
    if not math.isfinite(number) or (number < 0 and not negative):
        message = f"{name}={value!r}: expected seconds{'' if negative else ', 0 or more'}"
        raise ValueError(message)
    return number


def limit(name: str, value: float | None) -> float | None:
    """Return a limit above zero, or None for no limit.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not above zero.
    """
    if value is not None and not _number(name, value) > 0:
        message = f"{name}={value!r}: expected a number above 0, or None"
        raise ValueError(message)
    return value


def count(name: str, value: int | None, least: int = 0) -> int | None:
    """Return a whole number, or None.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is less than `least`.
    """
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        message = f"{name}={value!r}: expected a whole number or None"
        raise TypeError(message)
    if value is not None and value < least:
        message = f"{name}={value!r}: expected {least} or more, or None"
        raise ValueError(message)
    return value


def text(name: str, value: str) -> str:
    """Return a text.

    Raises:
        TypeError: it is not a text.
    """
    if not isinstance(value, str):
        message = f"{name}={value!r}: expected a text"
        raise TypeError(message)
    return value


def status(value: int) -> int:
    """Return the HTTP status of a final response.

    Raises:
        TypeError: it is not a whole number.
        ValueError: HTTP has no such status.
    """
    if not isinstance(value, int):
        message = f"status={value!r}: expected a whole number"
        raise TypeError(message)
    if not 200 <= value <= 599:  # noqa: PLR2004
        message = f"status={value!r}: expected 200 to 599"
        raise ValueError(message)
    return value


def refusal(message: str, sqlstate: str) -> tuple[str, str]:
    """Return the SQLSTATE and the message of a refused login.

    Raises:
        ValueError: PostgreSQL's protocol cannot transmit one of them.
    """
    if not re.fullmatch("[0-9A-Z]{5}", sqlstate):
        text = f"sqlstate={sqlstate!r}: expected five digits or capital letters"
        raise ValueError(text)
    if not message or "\0" in message:
        text = f"message={message!r}: expected a text without null characters"
        raise ValueError(text)
    return sqlstate, message


def _number(name: str, value: float) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        message = f"{name}={value!r}: expected a number"
        raise TypeError(message)
    return value
