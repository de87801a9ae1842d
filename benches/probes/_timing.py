"""Times of calls that are too short for a clock."""

from __future__ import annotations

import timeit
from typing import Callable

SERIES = 30
SECONDS = 0.01
"""Of one series: long enough for the clock, and short enough to fall between two disturbances now and then."""


def micros(call: Callable[[], object]) -> float:
    """Microseconds that a call takes at best, over several series."""
    calls, took = 1, timeit.timeit(call, number=1)
    while took < SECONDS / 4:
        calls *= 2
        took = timeit.timeit(call, number=calls)
    calls = max(1, int(calls * SECONDS / took))
    return min(timeit.repeat(call, number=calls, repeat=SERIES)) / calls * 1e6
