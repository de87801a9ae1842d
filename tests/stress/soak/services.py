"""Starts the processes of a soak, and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from tests.stress.soak import events, samples
from tests.stress.soak.faults import CONNECT_TIMEOUT
from tests.support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure_postgresql_auth.emulator import Emulator

ROOT = Path(__file__).parents[3]
_WORKERS = 2
_TIMEOUT = 150.0
_COMMAND = [sys.executable, "-m"]


class Process(NamedTuple):
    """One of them."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    serves: bool = False
    """Whether it ends after its clients."""
    has_workers: bool = False

    def workers(self) -> list[int]:
        return samples.children(self.process.pid) if self.has_workers else [self.process.pid]


class Processes:
    """All that were started; they end with the block."""

    def __init__(self, folder: Path, emulator: Emulator, variables: dict[str, str]) -> None:
        self._folder = folder
        self._emulator = emulator
        self._environment = {**os.environ, **variables, events.PIPE: str(folder / "events"), "SOAK_FOLDER": str(folder)}
        self._stack = contextlib.ExitStack()
        self._writers: list[threading.Thread] = []
        self.started: list[Process] = []
        self.wrong: list[str] = []
        """What is wrong with how they ended."""

    def __enter__(self) -> Processes:  # noqa: PYI034 - Self is newer than Python 3.9
        return self

    def __exit__(self, *_: object) -> None:
        for started in self.started:
            if started.process.poll() is None:
                started.process.kill()
            started.process.wait()
        for writer in self._writers:
            writer.join(_TIMEOUT)
        self._stack.close()

    def start(
        self, name: str, *arguments: str, serves: bool = False, workers: bool = False, fds: Sequence[int] = ()
    ) -> Process:
        """Start `python -m`, with its output in a log."""
        log = self._folder / f"{name}.log"
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            cwd=ROOT,
            env={**self._environment, events.PROCESS: name},
            stdin=subprocess.DEVNULL,
            # A pipe, because the size of files that a process writes is one of the things that are limited.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=fds,
        )
        writer = threading.Thread(target=_write, args=(process.stdout, log), daemon=True)
        writer.start()
        self._writers.append(writer)
        self.started.append(started := Process(name, process, log, serves, workers))
        return started

    def start_servers(self) -> None:
        """Start gunicorn, Celery and the proxy; the environment has their addresses afterwards."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        self._environment["SOAK_GUNICORN_PORT"] = str(listener.getsockname()[1])
        bound = f"fd://{listener.fileno()}"
        options = [
            "--preload",
            "--workers",
            str(_WORKERS),
            "--threads",
            "2",
            "--bind",
            bound,
            "tests.stress.soak.web:wsgi",
        ]
        self.start("gunicorn", "gunicorn", *options, serves=True, workers=True, fds=[listener.fileno()])
        prepare = [*_COMMAND, "tests.stress.soak.tasks"]
        subprocess.run(prepare, cwd=ROOT, env=self._environment, check=True, timeout=_TIMEOUT)
        # Now and then a child makes room for another one.
        options = [f"--concurrency={_WORKERS}", "--max-tasks-per-child=500", "--loglevel=WARNING"]
        self.start("celery", "celery", "-A", "tests.stress.soak.tasks", "worker", *options, serves=True, workers=True)
        # A short path, because that of a socket has at most 107 characters.
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="px-")))
        server = [f"localhost:{self._emulator.port}", "--sslrootcert", self._emulator.ca_file]
        options = [
            "--socket",
            str(folder),
            "--http",
            "0",
            "--login-timeout",
            str(CONNECT_TIMEOUT),
            "--stop-timeout",
            "5",
        ]
        proxy = self.start("proxy", "azure_postgresql_auth", "proxy", *server, *options, serves=True)
        self._environment["SOAK_PROXY_SOCKET"] = str(folder)
        self._environment["SOAK_PROXY_HTTP"] = eventually(lambda: _http_address(proxy.log))

    def end(self) -> None:
        """End all, the clients first, and look how they have ended."""
        for started in sorted(self.started, key=lambda started: started.serves):
            if started.process.poll() is None:
                started.process.send_signal(signal.SIGTERM)
            try:
                code = started.process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.wrong.append(f"{started.name} does not end")
                continue
            if code:
                self.wrong.append(f"{started.name} ended with {code}")
            if started.serves:
                text = started.log.read_text("utf-8", "replace")
                self.wrong += [
                    f"{started.name}: {word} in its log" for word in ("Traceback", "panicked") if word in text
                ]


def _write(output: IO[bytes], log: Path) -> None:
    with output, log.open("wb", buffering=0) as file:
        while part := output.read1(1 << 16):  # type: ignore[attr-defined] # what Popen opens is buffered
            file.write(part)


def _http_address(log: Path) -> str | None:
    for line in log.read_text("utf-8").splitlines() if log.exists() else ():
        with contextlib.suppress(ValueError):
            if (event := json.loads(line))["event"] == "http":
                return str(event["on"])
    return None
