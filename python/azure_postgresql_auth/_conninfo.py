"""Parse connection strings of keywords and values as libpq does (`conninfo_parse` in PostgreSQL's `fe-connect.c`)."""

from __future__ import annotations

import re

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# White space is C's. No white space is needed after a quoted value, and an apostrophe inside of another is a letter. A
# backslash at the end of the text is dropped.
_PAIR: Final = re.compile(
    r"\s*(?P<keyword>[^\s=]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?!')(?P<plain>(?:[^\s\\]|\\.)*)\\?)",
    re.DOTALL | re.ASCII,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_SPACE: Final = " \t\n\v\f\r"


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield each keyword and its value.

    Raises:
        ValueError: the text cannot be read after the position that is the error's argument. It does not quote the text,
            which may contain a password.
    """
    position, end = 0, len(text.rstrip(_SPACE))
    while position < end:
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ValueError(position)
        value = pair["plain"] if pair["quoted"] is None else pair["quoted"]
        yield pair["keyword"], _ESCAPED.sub(r"\1", value)
        position = pair.end()
