"""Make PgBouncer reload its files."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import conninfo, drivers
from azure_postgresql_auth.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

_PROGRAM: Final = "pgbouncer"
_PROC: Final = Path("/proc")
_CLOCK_SLACK: Final = 5.0
"""Seconds: PgBouncer writes the file after its start, and clocks are read at different precisions."""
_CONSOLE_TIMEOUT: Final = 15.0
"""Seconds; PgBouncer reloads in much less."""


class NotRunning(Exception):  # noqa: N818 - not an error, because PgBouncer reads its files when it starts
    """There is no PID file."""


def by_signal(pid_file: str) -> Callable[[], None]:
    """Return a function that sends SIGHUP to the process in this file, if it is PgBouncer."""

    def reload() -> None:
        try:
            # Non-blocking, in case the path is a FIFO.
            descriptor = os.open(pid_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            message = f"the PID file {pid_file} does not exist"
            raise NotRunning(message) from error
        with os.fdopen(descriptor, "rb") as file:
            text, written = file.read(32).strip(), os.fstat(file.fileno())
        if not re.fullmatch(rb"[1-9][0-9]{0,9}", text):
            message = f"{pid_file} holds no process id"
            raise OSError(message)
        pid = int(text)
        reason = _why_not(pid, written)
        if reason:
            message = (
                f"SIGHUP was not sent to process {pid} of {pid_file}: {reason}. The file is stale, or PgBouncer runs "
                "in another container; there, use --admin-dsn"
            )
            raise OSError(message)
        os.kill(pid, signal.SIGHUP)

    return reload


def _why_not(pid: int, pid_file: os.stat_result) -> str | None:
    """Return why the process cannot be the PgBouncer that wrote the file; None if it can."""
    if pid == os.getpid():
        return "it is this process itself"
    if not (_PROC / "self").exists():
        return "its program cannot be determined without /proc"
    process = _PROC / str(pid)
    try:
        name = (process / "comm").read_text("utf-8", "replace").strip()
        # Not the folder's owner, which is root if the process has changed its user.
        users = re.search(r"^Uid:\s+\d+\s+(\d+)", (process / "status").read_text("utf-8", "replace"), re.MULTILINE)
        started = _started(process)
    except OSError:
        return "there is no such process, or it is hidden"
    checks = {
        f"its program is {name!r}": name.startswith(_PROGRAM),
        "it runs as another user than the file's owner": users is not None and int(users[1]) == pid_file.st_uid,
        "it was started after the file was written": started <= pid_file.st_mtime + _CLOCK_SLACK,
    }
    return next((reason for reason, good in checks.items() if not good), None)


def _started(process: Path) -> float:
    """Return when a process was started, in seconds since 1970 (proc_pid_stat(5))."""
    # The name, in parentheses, can contain any characters.
    after_boot = int((process / "stat").read_bytes().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot


def by_console(dsn: str) -> Callable[[], None]:
    """Return a function that sends RELOAD to the admin console.

    Raises:
        Failure: the connection string cannot be parsed, or no driver is installed.
    """
    parameters = {"dbname": "pgbouncer", "connect_timeout": "10", **conninfo.parse(dsn)}
    driver = drivers.first()
    if driver is None:
        extra = drivers.ALL[0].extra
        message = f"--admin-dsn needs a driver: pip install 'azure-postgresql-auth-rs[{extra}]', or use --pid-file"
        raise Failure(message)

    def reload() -> None:
        drivers.ask(driver, parameters, "RELOAD", _CONSOLE_TIMEOUT)

    return reload
