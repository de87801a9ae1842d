"""What ends a command without being a mistake in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

USAGE: Final = 2
"""argparse's exit code for invalid arguments."""


class Failure(Exception):  # noqa: N818 - what it is called at every place that raises it
    """Ends the command; a person reads the text, a script the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
