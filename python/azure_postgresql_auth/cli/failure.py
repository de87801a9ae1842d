"""The exception that ends a command with an error message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

USAGE: Final = 2
"""argparse's exit code for invalid arguments."""


class Failure(Exception):  # noqa: N818 - shorter at the many places that raise it
    """Ends the command with a message on stderr and an exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
