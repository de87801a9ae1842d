"""Logins without the library: where these are slow, so is the machine."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Callable

import psycopg

from tests.stress.soak.background import Background
from tests.stress.soak.faults import SLOW, Window

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

_PAUSE = 1.0
_TIMEOUT = 120


class Control(Background):
    """Logs in with a token of its own and reports each login that took too long, for as long as the block."""

    def __init__(self, emulator: Emulator, report: Callable[[Window], None]) -> None:
        super().__init__()
        self._emulator = emulator
        self._report = report
        self.logins = 0
        """How many succeeded."""

    def run(self) -> None:
        """Log in once a second."""
        user = self._emulator.identity.name
        while not self._end.wait(_PAUSE):
            token = self._emulator.token(self._emulator.identity, lifetime=_TIMEOUT)
            begun = time.monotonic()
            # One that fails, as the storm makes some, says nothing unless it was slow.
            with contextlib.suppress(psycopg.Error):
                psycopg.connect(self._emulator.dsn, user=user, password=token, connect_timeout=_TIMEOUT).close()
                self.logins += 1
            if (ended := time.monotonic()) - begun > SLOW:
                self._report(Window("busy machine", "a login without the library was slow", begun, ended))
