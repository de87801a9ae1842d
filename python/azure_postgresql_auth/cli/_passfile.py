"""Password files, as libpq and asyncpg read them anew for every connection (PostgreSQL: "The Password File")."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import _signals
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from azure_postgresql_auth._core import Login

ANY: Final = "*"
_SHORTEST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 60.0
_PARTS_OF_LIFE: Final = 20

# Waits until nobody holds the other end of its input: neither this process nor the program, however they ended.
_WATCHDOG: Final = 'read -r line; rm -rf -- "$1"'


def line(password: str, *, host: str = ANY, port: str = ANY, database: str = ANY, user: str = ANY) -> str:
    """Return one entry, without its line end."""
    fields = (host, port, database, user, password)
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields)


@contextlib.contextmanager
def kept(login: Login, renew: Callable[[], Login]) -> Iterator[tuple[str, int | None]]:
    """Keep a password file of this process's own fresh, for every host, database and user.

    Args:
        login: the first.
        renew: returns the present one.

    Yields:
        The file's path, and a descriptor for the program to inherit: the file is removed when this block ends, and if
        this process is killed, when the program has closed that.
    """
    folder = tempfile.mkdtemp(prefix="azure-postgresql-auth-")  # 0700
    path = os.path.join(folder, "pgpass")  # noqa: PTH118
    stop = threading.Event()
    changing = threading.Lock()
    watchdog: subprocess.Popen[bytes] | None = None

    def write(password: str) -> None:
        fresh = f"{path}.new"
        with changing:
            if stop.is_set():
                return
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(line(password) + "\n")
            os.replace(fresh, path)  # noqa: PTH105

    def keep(login: Login) -> None:
        while not stop.wait(_pause(login)):
            # The next look tries again; the program's own errors tell of a token that could not be renewed.
            with contextlib.suppress(AzurePgEntraError, OSError):
                renewed = renew()
                if renewed.password != login.password:
                    write(renewed.password)
                    login = renewed

    try:
        write(login.password)
        watchdog = _watchdog(folder)
        threading.Thread(target=keep, args=(login,), daemon=True, name="password file").start()
        yield path, None if watchdog is None or watchdog.stdin is None else watchdog.stdin.fileno()
    finally:
        stop.set()
        with _signals.postponed():
            with changing:
                shutil.rmtree(folder, ignore_errors=True)
            if watchdog is not None and watchdog.stdin is not None:
                # What the program left running may hold the other end.
                watchdog.stdin.close()
                watchdog.kill()
                watchdog.wait()


def _pause(login: Login) -> float:
    return max(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, (login.expires_on - time.time()) / _PARTS_OF_LIFE))


def _watchdog(folder: str) -> subprocess.Popen[bytes] | None:
    if os.name != "posix":
        return None
    try:
        return subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _WATCHDOG, "sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Signals of the terminal are for the program.
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        # Some containers have no shell. The file is removed unless this process is killed.
        return None
