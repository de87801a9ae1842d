"""The proxy, as a shell runs it, in front of the emulator."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.support.cli import COMMAND
from tests.support.platforms import WINDOWS
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from azure_postgresql_auth.emulator import Emulator

ROLE = "emulator-identity"
PROTOCOL_3_0 = 3 << 16
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)


def who(connection: psycopg.Connection[Any]) -> str:
    """Return the role of a connection."""
    row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


def startup(version: int = PROTOCOL_3_0, **parameters: str) -> bytes:
    """Return a StartupMessage."""
    pairs = "".join(f"{name}\0{value}\0" for name, value in parameters.items()).encode()
    return struct.pack("!II", len(pairs) + 9, version) + pairs + b"\0"


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def query(sql: str) -> bytes:
    return message(b"Q", sql.encode() + b"\0")


def read_messages(stream: socket.socket) -> list[tuple[bytes, bytes]]:
    """Read all messages until the peer closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := stream.recv(65536):
            data += part
    found = []
    while data:
        kind, (length,) = data[:1], struct.unpack("!I", data[1:5])
        found.append((kind, data[5 : length + 1]))
        data = data[length + 1 :]
    return found


def error_of(messages: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the fields of the last message, an ErrorResponse."""
    kind, body = messages[-1]
    assert kind == b"E", messages
    return {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}


class Proxy:
    """A running proxy."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.log_path = log

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the events in the proxy's log."""
        # The last line may be incomplete.
        lines = self.log_path.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if name in {None, event["event"]}]

    def told(self, name: str, **facts: Any) -> dict[str, Any]:
        """Wait for an event with these facts."""

        def look() -> dict[str, Any] | None:
            for event in self.events(name):
                if facts.items() <= event.items():
                    return event
            return None

        found: dict[str, Any] = eventually(look)
        return found

    @property
    def port(self) -> int:
        """The first port that it listens on."""
        found = [event["on"] for event in self.events("listening") if not event["on"].startswith("/")]
        return int(found[0].rpartition(":")[2])

    @property
    def conninfo(self) -> str:
        host = f"host=127.0.0.1 port={self.port}" if WINDOWS else f"host={self.folder}"
        return f"{host} user={ROLE} dbname=postgres connect_timeout=20"

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/postgres"

    def connect(self) -> socket.socket:
        """Open a plain connection to the Unix socket, on Windows to the port."""
        if sys.platform == "win32":
            return socket.create_connection(("127.0.0.1", self.port), timeout=20)
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(20)
        stream.connect(str(self.folder / ".s.PGSQL.5432"))
        return stream

    def get(self, path: str) -> tuple[int, str]:
        address = self.told("http")["on"]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def figure(self, name: str, **labels: str) -> float:
        """One of its metrics, summed over the labels that are not given."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in self.get("/metrics")[1].splitlines() if not line.startswith("#")]
        prefix = f"azure_postgresql_auth_proxy_{name}"
        found = [line for line in lines if line.split(" ")[0].partition("{")[0] == prefix]
        assert found, name
        return sum(float(line.rpartition(" ")[2]) for line in found if all(label in line for label in wanted))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


RunProxy = Callable[..., Proxy]
"""Starts a proxy: what `run_proxy` is."""


@pytest.fixture
def run_proxy(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunProxy]:
    """Start proxies with these arguments; by default on a Unix socket (on Windows, a port), to the emulator."""
    for variable in emulator.env:
        if variable.startswith("PG"):
            # These variables would make clients connect to the emulator directly.
            monkeypatch.delenv(variable)
    running: list[Proxy] = []
    # A short path, because that of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="px-") as name, contextlib.ExitStack() as stack:

        def run(
            *arguments: str,
            server: str | None = None,
            socket_folder: bool = True,
            ready: bool = True,
            env: dict[str, str] | None = None,
            **options: Any,
        ) -> Proxy:
            number = len(running)
            folder, log = Path(name, f"s{number}"), tmp_path / f"proxy-{number}.log"
            servers = [server or f"localhost:{emulator.port}"] if server != "" else []
            command = [*COMMAND, "--debug", "proxy", *servers, "--sslrootcert", emulator.ca_file, *arguments]
            if socket_folder and not WINDOWS:
                command += ["--socket", str(folder)]
            elif socket_folder and "--listen" not in arguments:
                command += ["--listen", "0"]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stack.enter_context(log.open("wb")),
                env={**os.environ, **(env or {})},
                **options,
            )
            running.append(proxy := Proxy(process, log, folder))
            if ready:
                eventually(lambda: proxy.events("listening") or process.poll() is not None)
                assert process.poll() is None, log.read_text()
            return proxy

        yield run
        for proxy in running:
            if proxy.process.poll() is None:
                proxy.process.kill()
            proxy.process.wait()


@pytest.fixture
def proxy(run_proxy: RunProxy) -> Proxy:
    """One on a Unix socket and a port, with its figures."""
    return run_proxy("--listen", "0", "--http", "0", "--stop-timeout", "5")
