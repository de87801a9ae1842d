"""Fixtures: what machine this seems to be, by the environment and by what is installed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.servers import Server, forward

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Shells let what they start in the background ignore Ctrl-C, and the programs that tests start inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _event_loop() -> None:
    """Let asyncio take the kind of loop that EVENT_LOOP names, of the two that Windows has."""
    if sys.platform == "win32" and os.environ.get("EVENT_LOOP") == "selector":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())


@pytest.fixture
def imds(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A virtual machine: IMDS and no App Service."""
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.delenv("IDENTITY_HEADER")
    return emulator


@pytest.fixture
def nowhere(imds: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    """A machine where nothing is set up, not even a command line."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("PATH", str(tmp_path))
    return imds


@pytest.fixture
def tool(nowhere: Emulator, tmp_path: Path) -> Any:
    """Installs a command line that does what the test says."""
    assert nowhere

    def install(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)

    return install


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
    """An address of IMDS that no test has used before; nobody listens there yet."""
    relay = Relay(nowhere.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"])
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", relay.url)
    yield relay
    relay.close()
