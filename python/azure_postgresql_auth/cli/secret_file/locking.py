"""What holds wherever secret files are: how long another process may keep one, and what is raised then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

TIMEOUT: Final = 5.0
"""Seconds, for the lock and, on Windows, for readers that have the file open."""
POLL_INTERVAL: Final = 0.05


class LockedError(OSError):
    """Another process holds the file's lock."""

    def __init__(self, code: int, path: str) -> None:
        super().__init__(code, "another process keeps this file up to date", path)
