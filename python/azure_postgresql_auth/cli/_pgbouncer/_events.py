"""A log for machines: a JSON object on each line of stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any


def tell(level: str, event: str, **facts: Any) -> None:
    """Writes one line; facts that are None are left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    sys.stderr.write(json.dumps({"time": date(time.time()), "level": level, "event": event, **known}) + "\n")
    sys.stderr.flush()


def date(moment: float) -> str:
    """A moment as logs have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Handler(logging.Handler):
    """What the library tells, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes it."""
        tell(record.levelname.lower(), "library", message=record.getMessage())


def listen(*, debug: bool) -> None:
    """Has the library's log written from now on."""
    logger = logging.getLogger("azure_postgresql_auth")
    logger.addHandler(Handler())
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
