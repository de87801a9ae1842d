"""Log what happens to tokens, under the logger name `azure_postgresql_auth`.

The engine's threads cannot call Python, so they write to a log buffer. The next thread that obtains a login passes the
records on to `logging`, with the time at which they were written. `logging` is not imported here: a program that has
not imported it does not log.
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
    # Not imported, or another thread is importing it.
    if module is None or not hasattr(module, "getLogger"):
        return None
    logger: logging.Logger = module.getLogger(_NAME)
    if not logger.handlers:
        # As logging's documentation recommends for libraries: no output unless the program configures logging.
        logger.addHandler(module.NullHandler())
    return logger


def emit() -> None:
    """Pass the records in the log buffer on to `logging`."""
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
    """Log a warning about something that has just happened."""
    _log(_WARNING, text)


def inform(text: str) -> None:
    """Log information about something that has just happened."""
    _log(_INFO, text)


def _log(level: int, text: str) -> None:
    logger = _logger()
    if logger is not None:
        logger.log(level, text)
