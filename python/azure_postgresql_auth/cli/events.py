"""A log for machines: a JSON object on each line of stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Final

_STDERR: Final = 2


def log(level: str, event: str, **facts: Any) -> None:
    """Write one line, without facts that are None; a log that cannot be written stops nothing."""
    known = {name: value for name, value in facts.items() if value is not None}
    if sys.stderr is None:
        # It was closed, and its descriptor may be another file's by now.
        return
    line = json.dumps({"time": date(time.time()), "level": level, "event": event, **known}) + "\n"
    with contextlib.suppress(OSError):
        # Not by sys.stderr, whose buffer would keep what could not be written, and complain again at exit.
        os.write(_STDERR, line.encode())


def date(moment: float) -> str:
    """A moment as logs have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Handler(logging.Handler):
    """What the library tells, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes it."""
        log(record.levelname.lower(), "library", message=record.getMessage())


def listen(*, debug: bool) -> None:
    """Has the library's log written from now on."""
    logger = logging.getLogger("azure_postgresql_auth")
    logger.addHandler(Handler())
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
