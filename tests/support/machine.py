"""Fixtures: what machine this seems to be, by the environment and by what is installed."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Shells let what they start in the background ignore Ctrl-C, and the programs that tests start inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


class Relay:
    """The emulator's endpoints at an address of their own, of which nothing is known yet; they may come up late."""

    def __init__(self, url: str) -> None:
        self._target = int(url.rpartition(":")[2])
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._listener.listen()
        self._run(self._serve)

    def start_after(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self.start)
        self._threads.append(timer)
        timer.start()

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in (self._listener, *self._sockets):
            each.close()

    def _run(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            self._run(self._pump, client, server)
            self._run(self._pump, server, client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay(nowhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """An address of IMDS that no test has used before; nobody listens there yet."""
    relay = Relay(nowhere.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"])
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", relay.url)
    yield relay
    relay.close()
