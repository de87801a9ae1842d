"""Fixtures that simulate machines, by environment variables and installed programs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.servers import Server, forward
from tests.support.tools import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator


@pytest.fixture(scope="session", autouse=True)
def _typed_signals() -> None:
    """Restore what programs that a shell starts in the background ignore; the tests' programs inherit this."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32":
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _event_loop() -> None:
    """Let asyncio take the kind of loop that EVENT_LOOP names, of the two that Windows has."""
    if sys.platform == "win32" and os.environ.get("EVENT_LOOP") == "selector":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())


@pytest.fixture
def imds(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Simulate a virtual machine: IMDS without App Service."""
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.delenv("IDENTITY_HEADER")
    return emulator


@pytest.fixture
def nowhere(imds: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    """Simulate a machine without any credential, not even a developer tool."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("PATH", str(tmp_path))
    return imds


@pytest.fixture
def tool(nowhere: Emulator, tmp_path: Path) -> Any:
    """Installs a fake developer tool: see `tests.support.tools`."""
    return partial(install, tmp_path)


class Relay(Server):
    """The emulator's endpoints at an address of their own, of which nothing is known yet; they may come up late."""

    def __init__(self, url: str) -> None:
        port = int(url.rpartition(":")[2])
        super().__init__(lambda client: forward(client, port))
        self._timer: threading.Timer | None = None

    def start_after(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self.start)
        self._timer.start()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.join(10)
        super().close()


@pytest.fixture
def relay(nowhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """Yield an address for IMDS that has not been used before, on which nothing listens yet."""
    relay = Relay(nowhere.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"])
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", relay.url)
    yield relay
    relay.close()
