"""A PostgreSQL cluster that is created in a temporary directory and removed at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator.server.account import Account
from azure_postgresql_auth.emulator.server.backend import Backend

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator.server.event_loop import EventLoop
    from azure_postgresql_auth.emulator.server.watchdog import Watchdog

_START_SECONDS = 60
_STOP_SECONDS = 10
_SETTINGS = (
    "listen_addresses=",
    "max_connections=400",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
)


class Cluster:
    """A cluster and its postmaster."""

    def __init__(self, binaries: Path, work: Path, watchdog: Watchdog, loop: EventLoop) -> None:
        """Set the paths; `start` creates the cluster. Its processes are started in the loop's thread."""
        self._account = Account.choose()
        self._binaries = self._account.reachable(binaries, work)
        self._work = work
        self._home = work / "pg"
        self._log = work / "postgres.log"
        self._watchdog = watchdog
        self._loop = loop
        self._process: subprocess.Popen[bytes] | None = None
        self.backend = Backend(database="postgres", user="postgres", socket=str(self._home / ".s.PGSQL.5432"))

    def start(self) -> None:
        """Create the cluster and start it. The caller has to call `stop`, even if this fails.

        Raises:
            RuntimeError: it could not be started; with PostgreSQL's output.
        """
        self._home.mkdir(mode=0o700)
        self._account.give(self._home)
        data = str(self._home / "data")
        initdb = [str(self._binaries / "initdb"), "-D", data, "-U", "postgres", "-A", "trust"]
        initdb += ["-E", "UTF8", "--locale=C", "--no-sync"]
        if self._loop.portal.call(self._run, initdb).wait() != 0:
            raise self._failure("initdb failed")  # noqa: TRY003
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        postgres = [str(self._binaries / "postgres"), "-D", data, "-k", str(self._home), *settings]
        self._loop.portal.call(self._run, postgres)
        self._wait()

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            # In its own session, because Ctrl-C is for the program, which then stops the server cleanly.
            self._process = self._watchdog.run(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=str(self._home),  # the account may not have access to the current one
                env=_environment(),
                **self._account.options(),
            )
        return self._process

    def _wait(self) -> None:
        status = self._home / "data" / "postmaster.pid"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise self._failure("PostgreSQL ended while starting")  # noqa: TRY003
            # Since PostgreSQL 10 the last line has the state; pg_ctl -w reads it, too.
            if status.exists() and status.read_bytes().rstrip().endswith(b"ready"):
                return
            time.sleep(0.01)
        what = f"PostgreSQL did not start within {_START_SECONDS} s"
        raise self._failure(what)

    def _failure(self, what: str) -> RuntimeError:
        said = self._log.read_text(errors="replace")[-2000:]
        return RuntimeError(f"{what}:\n{said}")

    def stop(self) -> None:
        """Stop the server: fast, then immediately, then by SIGKILL. No process is left."""
        process = self._loop.portal.call(lambda: self._process)  # after a start that a signal made the caller leave
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if process is None or process.poll() is not None:
                break
            os.killpg(process.pid, how)  # initdb has children in its process group, the postmaster does not
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _environment() -> dict[str, str]:
    """Return the server's environment, without PGPORT and the like, which are for the program's connections."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment["LC_ALL"] = "C"
    return environment
