"""The storm: identity service, server, clock, disk and processes fail, one after the other, and for a time each."""

from __future__ import annotations

import collections
import itertools
import json
import os
import random
import resource
import signal
import time
from typing import IO, TYPE_CHECKING, Callable

from tests.stress.soak.clients import IDLE
from tests.stress.soak.faults import CLOCK, IDENTITY, LIFETIME, ONE_FAILS_OF, SERVER, STALL, STOPPED, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.stress.soak.services import Process

_EVERY = 4
"""Every so many turns something else than the identity service fails."""
_NOBODY_ASKS = 100
_AFTERWARDS = 0.3
"""Seconds in which a connection that began while the server failed may still learn of it."""


class Storm:
    """Fails a third of the identity requests, by every fault in turn, kills backends, and more."""

    def __init__(self, emulator: Emulator, seconds: float, log: IO[str]) -> None:
        self._emulator = emulator
        self._seconds = seconds
        self._log = log
        self._others: list[Callable[[], None]] = [self._server_fault(*fault) for fault in SERVER.items()]
        self.faults: collections.Counter[str] = collections.Counter()
        """Failed identity requests, by fault."""
        self.windows: list[Window] = []
        """The times in which logins may fail."""
        self.statuses: collections.Counter[int] = collections.Counter()
        self.logins: collections.Counter[str] = collections.Counter()
        """The server's answers to logins: "accepted" or an error message."""
        self.killed = 0

    def add_processes(self, processes: list[Process]) -> None:
        """Stall, set the clock, fill disks and stop processes as well."""
        stalls = [self._server_fault(*fault) for fault in STALL.items()]
        clocks = [self._clock(ahead) for ahead in CLOCK]
        stops = [self._stop(process) for process in processes]
        disks = [self._disk(processes[0], full=full) for full in (True, False)]
        rows = itertools.zip_longest([*self._others, *stalls], clocks, stops, disks)
        self._others = [other for row in rows for other in row if other is not None]

    def rage(self) -> None:
        """Go on for these seconds, and on a busy machine until every fault of the identity service had its turn."""
        end = time.monotonic() + self._seconds
        others: Iterator[Callable[[], None]] = itertools.cycle(self._others)
        for turn, name in enumerate(itertools.cycle(IDENTITY)):
            # One request, which azure_core's next one makes good; later now and then as many as one fetch makes.
            times = 4 if turn >= len(IDENTITY) and turn % 3 == 0 else 1
            settings = dict(IDENTITY[name])
            if settings.get("body") == "":
                settings["body"] = self._expired()
            self._emulator.fail(times=times, **settings)
            self._let_pass(times)
            self.faults[name] += times
            if settings.get("hang"):
                time.sleep(0.5)
            self._emulator.heal()
            self._let_pass(times * (ONE_FAILS_OF - 1))
            self._kill()
            if turn % _EVERY == _EVERY - 1:
                next(others)()
            self._count()
            if time.monotonic() > end and turn >= len(IDENTITY):
                return

    def _let_pass(self, requests: int) -> None:
        requests += len(self._emulator.token_requests)
        limit = time.monotonic() + _NOBODY_ASKS
        while len(self._emulator.token_requests) < requests:
            if time.monotonic() > limit:
                message = f"nobody has asked for a token for {_NOBODY_ASKS} s"
                raise RuntimeError(message)
            time.sleep(0.005)

    def _count(self) -> None:
        self.statuses.update(request.status for request in self._emulator.token_requests)
        self.logins.update(login.message or "accepted" for login in self._emulator.logins)
        self._emulator.reset_counters()

    def _expired(self) -> str:
        token = self._emulator.token(self._emulator.identity, lifetime=-60)
        expires_on = int(time.time() + self._emulator.clock_skew) - 60
        return json.dumps(
            {"access_token": token, "expires_on": str(expires_on), "expires_in": 0, "token_type": "Bearer"}
        )

    def _kill(self) -> None:
        rows = self._emulator.sql(f"""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE state IN ('idle', 'active') AND backend_type = 'client backend' AND pid <> pg_backend_pid()
            AND application_name <> '{IDLE}' ORDER BY random() LIMIT 2
        """)  # noqa: S608 - a constant
        self.killed += len(rows)

    def busy(self, window: Window) -> None:
        """Keep a time in which the machine was too busy, unless the server failed then: its silence takes long, too."""
        if not any(other.overlaps(window) for other in self.windows if other.kind == "server"):
            self._keep(window)

    def _window(self, kind: str, name: str, begun: float, after: float = _AFTERWARDS) -> None:
        self._keep(Window(kind, name, begun, time.monotonic() + after))

    def _keep(self, window: Window) -> None:
        self.windows.append(window)
        self._log.write(json.dumps(window._asdict()) + "\n")
        self._log.flush()

    def _server_fault(self, name: str, seconds: float) -> Callable[[], None]:
        def fail() -> None:
            begun = time.monotonic()
            if name == "too many clients":
                self._emulator.refuse("sorry, too many clients already", "53300")
            else:
                self._emulator.fail_server(name)
            time.sleep(seconds)
            self._emulator.heal()
            self._window("server", name, begun)

        return fail

    def _clock(self, ahead: float) -> Callable[[], None]:
        def set_clock() -> None:
            begun = time.monotonic()
            self._emulator.clock_skew = ahead
            # Until then there are tokens whose dates are those of the other clock.
            self._window("clock", f"{ahead:+.0f} s", begun, LIFETIME + 1)

        return set_clock

    def _stop(self, process: Process) -> Callable[[], None]:
        def stop() -> None:
            if not (workers := process.workers()):
                return
            pid, begun = random.choice(workers), time.monotonic()  # noqa: S311
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(STOPPED)
            finally:
                os.kill(pid, signal.SIGCONT)
                self._window("stopped", process.name, begun)

        return stop

    def _disk(self, process: Process, *, full: bool) -> Callable[[], None]:
        def limit() -> None:
            # No window: a disk that is full is no reason for a login to fail.
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (16 if full else hard, hard))
            self.faults[f"disk {'full' if full else 'has room'}"] += 1

        return limit
