"""Measure calls that are too short for the clock."""

from __future__ import annotations

import timeit
from typing import Callable

SERIES = 30
SECONDS = 0.01
"""Duration of a series: long enough for the clock, and short enough that some series are undisturbed."""


def micros(call: Callable[[], object]) -> float:
    """Return the time of a call in the best of several series, in microseconds."""
    calls, took = 1, timeit.timeit(call, number=1)
    while took < SECONDS / 4:
        calls *= 2
        took = timeit.timeit(call, number=calls)
    calls = max(1, int(calls * SECONDS / took))
    return min(timeit.repeat(call, number=calls, repeat=SERIES)) / calls * 1e6
