"""Secret files by access control lists.

A file has the access of the folder that it is made in, so it is the folder that has to be closed to other users. Users
who cannot change anything there cannot redirect a write either.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import folder_defect
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.secret_file import locking

assert sys.platform == "win32"  # noqa: S101 - for type checkers
import msvcrt  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self


class SecretFile:
    """A file that holds secrets, for this process to update.

    The first update takes a lock, a file beside it, which is kept until `close`. The file is replaced atomically, so
    that a reader sees the old content or the new one.
    """

    def __init__(self, path: str, widest_mode: int = 0) -> None:  # noqa: ARG002 - for modes, which Windows has not
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            # Windows removes no file that another process has opened, which therefore keeps its lock.
            with contextlib.suppress(OSError):
                Path(f"{self.path}.lock").unlink()

    def status(self) -> os.stat_result | None:
        """Return what `lstat` says of the file; None where there is none.

        Raises:
            Failure: another user could read the file or redirect the write.
            OSError: there is no folder.
        """
        self._check_folder()
        with contextlib.suppress(FileNotFoundError):
            return os.lstat(self.path)
        return None

    def update(self, edit: Callable[[bytes], bytes]) -> bool:
        """Replace the content by what `edit` makes of it, which may be the same; an absent file is empty.

        Returns:
            Whether the content has changed.

        Raises:
            Failure: another user could read the file or redirect the write.
            LockedError: another process holds the lock for longer than five seconds.
            OSError: the file cannot be read or written; its content is what it was.
        """
        self._check_folder()
        if self._lock is None:
            self._lock = self._locked()
        before = b""
        with contextlib.suppress(FileNotFoundError):
            before = Path(self.path).read_bytes()
        after = edit(before)
        if after == before:
            return False
        write_file(self.path, after)
        return True

    def _check_folder(self) -> None:
        folder = Path(self.path).resolve().parent
        folder.stat()
        defect = folder_defect(folder)
        if defect is not None:
            raise Failure(f"{self.path}: its folder {defect}")

    def _locked(self) -> int:
        deadline = time.monotonic() + locking.TIMEOUT
        while True:
            is_late = time.monotonic() >= deadline
            try:
                descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOINHERIT)
            except PermissionError:
                # Another process may be removing it at this moment.
                if is_late:
                    raise
            else:
                try:
                    msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                except OSError:
                    os.close(descriptor)
                    if is_late:
                        raise locking.LockedError(errno.EACCES, self.path) from None
                else:
                    return descriptor
            time.sleep(locking.POLL_INTERVAL)


def write_file(path: str, content: bytes, mode: int = 0o600) -> None:  # noqa: ARG001 - Windows has no modes
    """Replace a file that nobody else writes, atomically, whatever was in its place.

    Raises:
        OSError: the file cannot be written.
    """
    fresh = Path(f"{path}.{secrets.token_hex(8)}.new")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _replace(fresh: Path, path: str) -> None:
    deadline = time.monotonic() + locking.TIMEOUT
    while True:
        try:
            fresh.replace(path)
        except PermissionError:  # noqa: PERF203 - it waits anyway
            # A reader has it open.
            if time.monotonic() >= deadline:
                raise
            time.sleep(locking.POLL_INTERVAL)
        else:
            return


def remove_file(path: str) -> None:
    """Remove a file.

    Raises:
        OSError: the file cannot be removed.
    """
    Path(path).unlink(missing_ok=True)
