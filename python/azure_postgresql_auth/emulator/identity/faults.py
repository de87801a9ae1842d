"""Faults and limits of the identity endpoints, which can be set while they run."""

from __future__ import annotations

import collections
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Fault:
    """A fault."""

    status: int
    times: int | None
    body: str | bytes | None
    headers: Mapping[str, str]
    hang: bool
    reset: bool
    truncate: bool
    over: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The current fault, if any."""

    def __init__(self) -> None:
        """Start without a fault."""
        self._lock = threading.Lock()
        self._fault: Fault | None = None

    def set(self, fault: Fault | None) -> None:
        """Replace the current fault, and release the requests that hang in it."""
        with self._lock:
            previous, self._fault = self._fault, fault
        if previous is not None:
            previous.over.set()

    def take(self, *, probe: bool) -> Fault | None:
        """Return the fault of the next request.

        A permanent fault applies to an SDK's probe, too, but a probe does not count: `times` counts token requests.
        """
        with self._lock:
            fault = self._fault
            if fault is None or fault.times is None:
                return fault
            if probe or fault.times <= 0:
                return None
            fault.times -= 1
            return fault


class Throttle:
    """The limits of IMDS: requests per second and concurrent requests."""

    def __init__(self) -> None:
        """Start without limits."""
        self._lock = threading.Lock()
        self._per_second: float | None = None
        self._concurrent: int | None = None
        self._recent: collections.deque[float] = collections.deque()
        self._running = 0

    def limit(self, per_second: float | None, concurrent: int | None) -> None:
        """Set the limits; None removes one."""
        with self._lock:
            self._per_second, self._concurrent = per_second, concurrent
            self._recent.clear()

    def enter(self) -> bool:
        """Return whether a request is admitted; for an admitted one, `leave` has to be called."""
        now = time.monotonic()
        with self._lock:
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if self._per_second is not None and len(self._recent) >= self._per_second:
                return False
            if self._concurrent is not None and self._running >= self._concurrent:
                return False
            if self._per_second is not None:
                self._recent.append(now)
            self._running += 1
            return True

    def leave(self) -> None:
        """End an admitted request."""
        with self._lock:
            self._running -= 1


@dataclass
class Settings:
    """All settings that can change while the emulator runs."""

    lifetime: float
    latency: float
    faults: Faults = field(default_factory=Faults)
    throttle: Throttle = field(default_factory=Throttle)
    clock_skew: float = 0.0

    def now(self) -> float:
        """Return the time of Azure's clock, which all of the emulator's services use, in seconds since 1970."""
        return time.time() + self.clock_skew
