"""What happened to tokens, told to `logging` under the name `azure_postgresql_auth`.

The engine writes it down, on threads that may not touch Python; who asks for a login next tells it, with the time at
which it happened. `logging` is not imported for it: a program that has not done so does not log.
"""

from __future__ import annotations

import sys

from azure_postgresql_auth._core import take_log_records

TYPE_CHECKING = False  # see "Start-up" in docs/architecture.md
if TYPE_CHECKING:
    import logging

_NAME = "azure_postgresql_auth"
_INFO, _WARNING = 20, 30


def _logger() -> logging.Logger | None:
    module = sys.modules.get("logging")
    # None, or still being imported by another thread.
    if module is None or not hasattr(module, "getLogger"):
        return None
    logger: logging.Logger = module.getLogger(_NAME)
    if not logger.handlers:
        # A library says nothing to a program that has not set logging up (logging's documentation).
        logger.addHandler(module.NullHandler())
    return logger


def emit() -> None:
    """Tells what has been written down since the last time."""
    entries = take_log_records()
    if not entries:
        return
    logger = _logger()
    if logger is None:
        return
    for created, level, text in entries:
        if logger.isEnabledFor(level):
            record = logger.makeRecord(_NAME, level, "", 0, text, (), None)
            record.relativeCreated += (created - record.created) * 1000
            record.created = created
            record.msecs = created % 1 * 1000
            logger.handle(record)


def warn(text: str) -> None:
    """Tells something that has just happened."""
    _log(_WARNING, text)


def inform(text: str) -> None:
    """Log something that has just happened and needs no attention."""
    _log(_INFO, text)


def _log(level: int, text: str) -> None:
    logger = _logger()
    if logger is not None:
        logger.log(level, text)
