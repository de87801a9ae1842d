"""A PostgreSQL of our own: a fresh cluster in a temporary directory, gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import weakref
from typing import TYPE_CHECKING, Any

from ._account import Account
from ._backend import Backend

if TYPE_CHECKING:
    from pathlib import Path

_START_SECONDS = 60
_STOP_SECONDS = 10
_SETTINGS = (
    "listen_addresses=",
    "max_connections=400",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
)

# Waits for the end of its input, which comes when the Python program is gone however it ended, and cleans up then.
_WATCHDOG = """
read -r line
kill -INT "$1"
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 1; done
kill -KILL "$1"
rm -rf -- "$2"
"""


class Cluster:
    """One cluster and its postmaster."""

    def __init__(self, binaries: Path, work: Path) -> None:
        """Remember where things go; `start` does the work."""
        self._account = Account.choose()
        self._binaries = self._account.reachable(binaries, work)
        self._work = work
        self._home = work / "pg"
        self._log = work / "postgres.log"
        self._postmaster: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self.backend = Backend(database="postgres", user="postgres", socket=str(self._home / ".s.PGSQL.5432"))

    def start(self) -> None:
        """Create the cluster and start it; the caller stops it, also when this fails.

        Raises:
            RuntimeError: with what PostgreSQL said.
        """
        self._home.mkdir(mode=0o700)
        self._account.give(self._home)
        options: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "cwd": str(self._home),  # the current one may be closed to the account
            "env": _environment(),
            # A session of its own: Ctrl-C is for the program, which then stops the server in order.
            "start_new_session": True,
            **self._account.options(),
        }
        data = str(self._home / "data")
        initdb = [str(self._binaries / "initdb"), "-D", data, "-U", "postgres", "-A", "trust"]
        initdb += ["-E", "UTF8", "--locale=C", "--no-sync"]
        with self._log.open("wb") as log:
            if subprocess.run(initdb, check=False, stdout=log, **options).returncode != 0:  # noqa: S603
                raise self._failure("initdb failed")  # noqa: TRY003
            settings = [word for setting in _SETTINGS for word in ("-c", setting)]
            postgres = [str(self._binaries / "postgres"), "-D", data, "-k", str(self._home), *settings]
            self._postmaster = subprocess.Popen(postgres, stdout=log, **options)  # noqa: S603
        self._watchdog = _watch(self._postmaster.pid, self._work)
        self._wait()

    def _wait(self) -> None:
        status = self._home / "data" / "postmaster.pid"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._postmaster is None or self._postmaster.poll() is not None:
                raise self._failure("PostgreSQL ended while starting")  # noqa: TRY003
            # Since PostgreSQL 10 the last line tells the state; pg_ctl -w reads it too.
            if status.exists() and status.read_bytes().rstrip().endswith(b"ready"):
                return
            time.sleep(0.01)
        what = f"PostgreSQL did not start within {_START_SECONDS} s"
        raise self._failure(what)

    def _failure(self, what: str) -> RuntimeError:
        said = self._log.read_text(errors="replace")[-2000:]
        return RuntimeError(f"{what}:\n{said}")

    def stop(self) -> None:
        """Stop fast, then immediately, then by force; leaves no process."""
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if self._postmaster is None or self._postmaster.poll() is not None:
                break
            self._postmaster.send_signal(how)
            try:
                self._postmaster.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.wait()
            if self._watchdog.stdin is not None:
                self._watchdog.stdin.close()


def _environment() -> dict[str, str]:
    """Build the server's environment: PGPORT and the like mean the program's server, not this one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment["LC_ALL"] = "C"
    return environment


_watchdogs: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def _watch(pid: int, work: Path) -> subprocess.Popen[bytes]:
    watchdog = subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _WATCHDOG, "sh", str(pid), str(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    _watchdogs.add(watchdog)
    return watchdog


def _let_go() -> None:
    """In a forked child: do not hold the pipe whose closing tells that the parent is gone."""
    for watchdog in list(_watchdogs):
        if watchdog.stdin is not None:
            watchdog.stdin.close()


os.register_at_fork(after_in_child=_let_go)
