"""Standard streams that were closed before the process started."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

_CLOSED: Final = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))
"""Name, how the null device is opened in its place, and the mode of the stream."""


def occupy() -> None:
    """Open the null device in place of standard streams that are closed.

    Otherwise the next socket, file or pipe would get such a descriptor, and the log or a program's output would go into
    it. Reading from stdin then finds its end, writing to stdout still fails, and what is written to stderr is lost. A
    program that a command runs finds the streams closed, as this process did.
    """
    for name, flags, mode in _CLOSED:
        if getattr(sys, name) is None:
            # The system gives the lowest number that is free.
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))
