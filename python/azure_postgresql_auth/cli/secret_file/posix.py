"""Secret files by owner, group and mode."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.secret_file import files, locking, paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from typing_extensions import Self

WIDEST_MODE: Final = 0o640
"""The owner may write, the group may read; nobody else may do anything."""

# A folder that may not be written, a file that is a mount point of its own, an owner or group that cannot be given.
_NOT_REPLACEABLE: Final = {errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS}


class SecretFile:
    """A file that holds secrets, for this process to update.

    The first update takes a lock, which the file keeps until `close`. Owner, group, mode and access control list stay
    as they are, without what is wider than `widest_mode`; a new file has mode 0600.

    A file is replaced atomically, so that a reader sees the old content or the new one. Where it cannot be replaced
    (it is bind-mounted, or its folder is not writable), it is rewritten in place, which a reader may see half done.
    """

    def __init__(self, path: str, widest_mode: int = WIDEST_MODE) -> None:
        self.path = path
        self._widest_mode = widest_mode
        self._descriptor: int | None = None
        self._writable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def status(self) -> os.stat_result | None:
        """Return what `lstat` says of the file; None where there is none.

        Raises:
            Failure: another user could read the file or redirect the write.
            OSError: the folder cannot be opened.
        """
        with paths.folder_of(self.path) as (folder, name):
            self._check_folder(folder)
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return None
            self._check_file(status)
            return status

    def update(self, edit: Callable[[bytes], bytes]) -> bool:
        """Replace the content by what `edit` makes of it, which may be the same; an absent file is empty.

        Returns:
            Whether the content has changed, or was readable for others than may read it.

        Raises:
            Failure: another user could read the file or redirect the write.
            LockedError: another process holds the lock for longer than five seconds.
            OSError: the file cannot be read or written; its content is what it was.
        """
        with paths.folder_of(self.path) as (folder, name):
            self._check_folder(folder)
            self._lock(folder, name)
            assert self._descriptor is not None  # noqa: S101 - for the type checker
            before = files.content_of(self._descriptor)
            after = edit(before)
            too_wide = stat.S_IMODE(os.fstat(self._descriptor).st_mode) & ~self._widest_mode
            if after == before and not too_wide:
                return False
            try:
                self._replace(folder, name, after)
            except OSError as error:
                if error.errno not in _NOT_REPLACEABLE or not self._writable:
                    raise
                self._rewrite(before, after)
            return True

    def _check_folder(self, folder: int) -> None:
        if os.geteuid() == paths.ROOT and not paths.is_private(folder):
            status = os.fstat(folder)
            raise Failure(
                f"{self.path}: users other than root can write its folder (uid {status.st_uid}, mode "
                f"{stat.S_IMODE(status.st_mode):04o}), and could make root read or overwrite other files; run this as "
                "the user that the file is for, or move the file to a folder that only root can write"
            )

    def _check_file(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise Failure(f"{self.path} is not a regular file")
        if os.geteuid() not in {paths.ROOT, status.st_uid}:
            raise Failure(
                f"{self.path} belongs to another user (uid {status.st_uid}); run this as that user or as root"
            )

    def _lock(self, folder: int, name: str) -> None:
        """Lock the file that the name stands for now: a file that was replaced has a lock of its own."""
        deadline = time.monotonic() + locking.TIMEOUT
        while True:
            opened = self._descriptor is None
            if self._descriptor is None:
                self._descriptor = self._open(folder, name)
            if not files.flock(self._descriptor):
                if time.monotonic() >= deadline:
                    self.close()
                    raise locking.LockedError(errno.EWOULDBLOCK, self.path)
                time.sleep(locking.POLL_INTERVAL)
            elif not self._is_current(folder, name):
                self.close()
            else:
                if opened:
                    files.remove_leftovers(folder, name)
                return

    def _is_current(self, folder: int, name: str) -> bool:
        assert self._descriptor is not None  # noqa: S101 - for the type checker
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def _open(self, folder: int, name: str) -> int:
        self._writable = True
        while True:
            with contextlib.suppress(FileExistsError):
                try:
                    descriptor = os.open(name, os.O_RDWR | files.FILE, dir_fd=folder)
                except FileNotFoundError:
                    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | files.FILE, 0o600, dir_fd=folder)
                except PermissionError:
                    self._writable = False
                    descriptor = os.open(name, os.O_RDONLY | files.FILE, dir_fd=folder)
                try:
                    self._check_file(os.fstat(descriptor))
                except BaseException:
                    os.close(descriptor)
                    raise
                return descriptor

    def _replace(self, folder: int, name: str, content: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - for the type checker
        with files.new_file(folder, name) as fresh:
            files.overwrite(fresh, content)
            files.copy_access(self._descriptor, fresh, self._widest_mode)
            os.fsync(fresh)
            # The lock goes with the name.
            files.flock(fresh)
        os.close(self._descriptor)
        self._descriptor, self._writable = fresh, True

    def _rewrite(self, before: bytes, after: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - for the type checker
        mode = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        if mode & ~self._widest_mode:
            os.fchmod(self._descriptor, mode & self._widest_mode)
        try:
            files.overwrite(self._descriptor, after)
        except OSError:
            # On a full disk, say; what was there has its place already.
            files.overwrite(self._descriptor, before)
            raise
        os.fsync(self._descriptor)


def write_file(path: str, content: bytes, mode: int = 0o600) -> None:
    """Replace a file that nobody else writes, atomically, whatever was in its place.

    Raises:
        Failure: the path has a symbolic link that another user could have placed.
        OSError: the file cannot be written.
    """
    with paths.folder_of(path) as (folder, name):
        with files.new_file(folder, name) as fresh:
            files.overwrite(fresh, content)
            os.fchmod(fresh, mode)
        os.close(fresh)


def remove_file(path: str) -> None:
    """Remove a file, and what an interrupted `write_file` left of it.

    Raises:
        Failure: the path has a symbolic link that another user could have placed.
        OSError: the file cannot be removed.
    """
    with paths.folder_of(path) as (folder, name):
        files.remove_leftovers(folder, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
