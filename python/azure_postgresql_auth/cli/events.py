"""Machine-readable logging: one JSON object per line on stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Final

_STDERR: Final = 2


def log(level: str, event: str, **facts: Any) -> None:
    """Write one line, without facts that are None. Errors of writing are ignored, so that they stop nothing."""
    known = {name: value for name, value in facts.items() if value is not None}
    line = json.dumps({"time": date(time.time()), "level": level, "event": event, **known}) + "\n"
    with contextlib.suppress(OSError):
        # Not by sys.stderr, whose buffer keeps lines that could not be written and reports the error again at exit.
        os.write(_STDERR, line.encode())


def date(moment: float) -> str:
    """Return a time (seconds since 1970) in ISO 8601 format, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Handler(logging.Handler):
    """Writes the library's log records in the same format."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        log(record.levelname.lower(), "library", message=record.getMessage())


def listen(*, debug: bool) -> None:
    """Write the library's log from now on."""
    logger = logging.getLogger("azure_postgresql_auth")
    logger.addHandler(Handler())
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
