"""Wait for another thread or process."""

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


def quickest(call: Callable[[], float | None], *, below: float, tries: int = 5) -> float:
    """Return how long a call takes, in seconds: the first time below the limit, or the last of several.

    Other programs make a call slower and never quicker, so what a busy machine delays is called again.

    Args:
        call: returns its seconds itself, or None for all that it took.
        below: what the caller demands.
        tries: how many calls there are at most.
    """
    took = below
    for _ in range(tries):
        begun = time.monotonic()
        measured = call()
        took = time.monotonic() - begun if measured is None else measured
        if took < below:
            break
    return took
