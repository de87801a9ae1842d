"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from typing import Any, Callable


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the condition's value once it is true; the limit is for a test that fails."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
    return found
