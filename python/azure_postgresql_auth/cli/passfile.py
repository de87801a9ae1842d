"""Password files, which libpq and asyncpg read for every connection (PostgreSQL: "The Password File")."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import entry, signals, temporary
from azure_postgresql_auth.cli.refresh import keep_fresh
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Final

    from azure_postgresql_auth._core import Login

ANY: Final = "*"

# Its input ends when both this process and the program have ended, however they ended; then it removes the folder.
_WATCHDOG: Final = 'read -r line; rm -rf -- "$1"'


def line(password: str, *, host: str = ANY, port: str = ANY, database: str = ANY, user: str = ANY) -> str:
    """Return one entry, without its line end.

    Raises:
        Failure: a field has a line break.
    """
    entry.check(host=host, port=port, database=database, user=user, token=password)
    fields = (host, port, database, user, password)
    text = ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields)
    # libpq takes a line that begins with this for a comment.
    return f"\\{text}" if text.startswith("#") else text


def merged(content: bytes, entries: Sequence[str]) -> bytes:
    """Return the file's content with these entries first, because the first match is used; other lines are kept."""
    ours = [text.encode() for text in entries]
    keys = tuple(text.rpartition(b":")[0] + b":" for text in ours)  # a token has no colon
    kept = [line for line in content.splitlines(keepends=True) if not line.startswith(keys)]
    return b"".join([*(text + b"\n" for text in ours), *kept])


class Passfile:
    """A password file with entries for these hosts; other entries are left unchanged."""

    def __init__(self, path: str, hosts: Sequence[str]) -> None:
        from azure_postgresql_auth.cli.secret_file import SecretFile  # noqa: PLC0415 - `kept` does not need it

        self.path = path
        self._hosts = hosts
        # libpq and asyncpg ignore a file that others can read.
        self._file = SecretFile(path, widest_mode=0o600)

    def check(self) -> None:
        """Check that no other user can read the file or redirect the write.

        Raises:
            Failure: another user can.
            OSError: the folder cannot be opened.
        """
        self._file.status()

    def update(self, passwords: Mapping[str, str]) -> bool:
        """Write these passwords; return whether the file changed.

        Raises:
            Failure: another user could read the file or redirect the write.
            OSError: the file cannot be read or written, or another process maintains it.
        """
        entries = [line(password, host=host, user=user) for user, password in passwords.items() for host in self._hosts]
        return self._file.update(lambda content: merged(content, entries))


@contextlib.contextmanager
def kept(login: Login, renew: Callable[[], Login]) -> Iterator[tuple[str, int | None]]:
    """Maintain a password file for this process, with one entry for every host, database and user.

    Args:
        login: the login to begin with.
        renew: returns a valid login.

    Yields:
        The file's path, and a descriptor for the program to inherit. The file is removed when the block ends or, if
        this process is killed, when the program closes the descriptor.
    """
    with temporary.folder() as folder:
        path = os.path.join(folder, "pgpass")  # noqa: PTH118
        stop = threading.Event()
        changing = threading.Lock()
        watchdog: subprocess.Popen[bytes] | None = None

        written = ""

        def write(password: str) -> None:
            nonlocal written
            fresh = f"{path}.new"
            with changing:
                if stop.is_set() or password == written:
                    return
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(line(password) + "\n")
                os.replace(fresh, path)  # noqa: PTH105
                written = password

        def look() -> float:
            # The next look tries again. If the token expires meanwhile, the program reports the failed login.
            with contextlib.suppress(AzurePgEntraError, ValueError, OSError):
                renewed = renew()
                write(renewed.password)
                return float(renewed.expires_on)
            return 0.0

        try:
            write(login.password)
            watchdog = _watchdog(folder)
            threading.Thread(target=keep_fresh, args=(look, stop.wait), daemon=True, name="password file").start()
            yield path, None if watchdog is None or watchdog.stdin is None else watchdog.stdin.fileno()
        finally:
            stop.set()
            signals.disregard()
            with changing:
                shutil.rmtree(folder, ignore_errors=True)
            if watchdog is not None and watchdog.stdin is not None:
                # Processes that the program left running may hold the other end.
                watchdog.stdin.close()
                watchdog.kill()
                watchdog.wait()


def _watchdog(folder: str) -> subprocess.Popen[bytes] | None:
    if os.name != "posix":
        return None
    try:
        return subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _WATCHDOG, "sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # The terminal's signals are for the program.
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        # Some containers have no shell. The file is then removed unless this process is killed.
        return None
