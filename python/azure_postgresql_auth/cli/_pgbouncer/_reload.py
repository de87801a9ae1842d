"""Telling PgBouncer to read its files again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import _conninfo, _drivers
from azure_postgresql_auth.cli._failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

NotRunning = ProcessLookupError, FileNotFoundError
"""Then it reads the files when it starts."""


def by_signal(pid_file: str) -> Callable[[], None]:
    """Sends SIGHUP to the process in this file."""

    def reload() -> None:
        text = Path(pid_file).read_text("ascii").strip()
        if not text.isdigit():
            message = f"{pid_file} holds no process id"
            raise OSError(message)
        os.kill(int(text), signal.SIGHUP)

    return reload


def by_console(dsn: str) -> Callable[[], None]:
    """Says RELOAD on the admin console.

    Raises:
        Failure: the connection string cannot be read, or there is no driver.
    """
    parameters = {"dbname": "pgbouncer", "connect_timeout": "10", **_conninfo.parse(dsn)}
    driver = _drivers.first()
    if driver is None:
        extra = _drivers.ALL[0].extra
        message = f"--admin-dsn needs a driver: pip install 'azure-postgresql-auth-rs[{extra}]', or use --pid-file"
        raise Failure(message)

    def reload() -> None:
        driver.ask(parameters, "RELOAD")

    return reload
