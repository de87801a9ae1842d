"""Secret files by owner, group and mode.

A path is walked once, one directory descriptor after the other. Symbolic links are followed only where they stand in a
folder that no other user can write; everything after that happens relative to the descriptor of the last folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections import deque
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from typing_extensions import Self

ROOT: Final = 0
WIDEST_MODE: Final = 0o640
"""The owner may write, the group may read; nobody else may do anything."""

_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# Non-blocking, so that a FIFO in the file's place does not stop the process.
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_LINKS: Final = 40  # Linux's own limit, path_resolution(7)
_LOCK_TIMEOUT: Final = 5.0
_LOCK_POLL: Final = 0.05
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
# A folder that may not be written, a file that is a mount point of its own, an owner or group that cannot be given.
_NOT_REPLACEABLE: Final = {errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS}
# What access control besides owner, group and mode is kept in, on Linux.
_ACCESS_ATTRIBUTES: Final = ("system.posix_acl_access", "security.selinux")


class LockedError(OSError):
    """Another process holds the file's lock."""


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
        with _folder_of(self.path) as (folder, name):
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
        with _folder_of(self.path) as (folder, name):
            self._check_folder(folder)
            self._lock(folder, name)
            assert self._descriptor is not None  # noqa: S101 - for the type checker
            before = _content(self._descriptor)
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
        if os.geteuid() == ROOT and not _is_private(folder):
            status = os.fstat(folder)
            raise Failure(
                f"{self.path}: users other than root can write its folder (uid {status.st_uid}, mode "
                f"{stat.S_IMODE(status.st_mode):04o}), and could make root read or overwrite other files; run this as "
                "the user that the file is for, or move the file to a folder that only root can write"
            )

    def _check_file(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise Failure(f"{self.path} is not a regular file")
        if os.geteuid() not in {ROOT, status.st_uid}:
            raise Failure(
                f"{self.path} belongs to another user (uid {status.st_uid}); run this as that user or as root"
            )

    def _lock(self, folder: int, name: str) -> None:
        """Lock the file that the name stands for now: a file that was replaced has a lock of its own."""
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            opened = self._descriptor is None
            if self._descriptor is None:
                self._descriptor = self._open(folder, name)
            if not _flock(self._descriptor):
                if time.monotonic() >= deadline:
                    self.close()
                    raise LockedError(errno.EWOULDBLOCK, "another process keeps this file up to date", self.path)
                time.sleep(_LOCK_POLL)
            elif not self._is_current(folder, name):
                self.close()
            else:
                if opened:
                    _remove_leftovers(folder, name)
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
                    descriptor = os.open(name, os.O_RDWR | _FILE, dir_fd=folder)
                except FileNotFoundError:
                    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=folder)
                except PermissionError:
                    self._writable = False
                    descriptor = os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
                try:
                    self._check_file(os.fstat(descriptor))
                except BaseException:
                    os.close(descriptor)
                    raise
                return descriptor

    def _replace(self, folder: int, name: str, content: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - for the type checker
        with _new_file(folder, name) as fresh:
            _overwrite(fresh, content)
            _copy_access(self._descriptor, fresh, self._widest_mode)
            os.fsync(fresh)
            # The lock goes with the name.
            _flock(fresh)
        os.close(self._descriptor)
        self._descriptor, self._writable = fresh, True

    def _rewrite(self, before: bytes, after: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 - for the type checker
        mode = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        if mode & ~self._widest_mode:
            os.fchmod(self._descriptor, mode & self._widest_mode)
        try:
            _overwrite(self._descriptor, after)
        except OSError:
            # On a full disk, say; what was there has its place already.
            _overwrite(self._descriptor, before)
            raise
        os.fsync(self._descriptor)


def write_file(path: str, content: bytes, mode: int = 0o600) -> None:
    """Replace a file that nobody else writes, atomically, whatever was in its place.

    Raises:
        Failure: the path has a symbolic link that another user could have placed.
        OSError: the file cannot be written.
    """
    with _folder_of(path) as (folder, name):
        with _new_file(folder, name) as fresh:
            _overwrite(fresh, content)
            os.fchmod(fresh, mode)
        os.close(fresh)


def remove_file(path: str) -> None:
    """Remove a file, and what an interrupted `write_file` left of it.

    Raises:
        Failure: the path has a symbolic link that another user could have placed.
        OSError: the file cannot be removed.
    """
    with _folder_of(path) as (folder, name):
        _remove_leftovers(folder, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _folder_of(path: str) -> Iterator[tuple[int, str]]:
    """Open the folder that a path ends in; yield its descriptor, and the file's name there."""
    folder = os.open("/", _FOLDER)
    try:
        parts = deque(_parts(os.path.join(os.getcwd(), path)))  # noqa: PTH109, PTH118
        links = 0
        while True:
            if not parts:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            name = parts.popleft()
            target = _link(folder, name)
            if target is None and not parts:
                break
            if target is None:
                entered = os.open(name, _FOLDER, dir_fd=folder)
            else:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if not _is_private(folder):
                    raise Failure(
                        f"{path}: {name} is a symbolic link in a folder that another user can write; "
                        "use the path that it leads to"
                    )
                parts.extendleft(reversed(_parts(target)))
                if not target.startswith("/"):
                    continue
                entered = os.open("/", _FOLDER)
            os.close(folder)
            folder = entered
        yield folder, name
    finally:
        os.close(folder)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _link(folder: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        # Not a link, or not there.
        if error.errno not in {errno.EINVAL, errno.ENOENT}:
            raise
        return None


def _is_private(folder: int) -> bool:
    """Whether only this user and root can change what is in the folder."""
    status = os.fstat(folder)
    return status.st_uid in {ROOT, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextlib.contextmanager
def _new_file(folder: int, name: str) -> Iterator[int]:
    """Create a file that takes the name when the block ends without an exception; the caller closes it."""
    fresh_name = f".{name}.{secrets.token_hex(8)}.new"
    descriptor = os.open(fresh_name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=folder)
    try:
        yield descriptor
        os.rename(fresh_name, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(fresh_name, dir_fd=folder)
        raise


def _remove_leftovers(folder: int, name: str) -> None:
    """Remove what a killed process left of its new files."""
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.new")
    with contextlib.suppress(OSError):
        # The folder's own descriptor may be one that cannot be read.
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.scandir(listed) as entries:
                for entry in entries:
                    if pattern.fullmatch(entry.name):
                        os.unlink(entry.name, dir_fd=folder)
        finally:
            os.close(listed)


def _flock(descriptor: int) -> bool:
    """Lock without waiting; whether that is so, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _copy_access(source: int, target: int, widest_mode: int) -> None:
    """Give `target` the owner, group, mode and access control list of `source`, where mode is not too wide."""
    status, own = os.fstat(source), os.fstat(target)
    if (status.st_uid, status.st_gid) != (own.st_uid, own.st_gid):
        os.fchown(target, status.st_uid, status.st_gid)
    if hasattr(os, "getxattr"):
        for attribute in _ACCESS_ATTRIBUTES:
            # Without a list of its own the file would have the folder's default one.
            with contextlib.suppress(OSError):
                os.removexattr(target, attribute)
            with contextlib.suppress(OSError):
                os.setxattr(target, attribute, os.getxattr(source, attribute))
    os.fchmod(target, stat.S_IMODE(status.st_mode) & widest_mode)


def _content(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def _overwrite(descriptor: int, content: bytes) -> None:
    done = 0
    while done < len(content):
        done += os.pwrite(descriptor, content[done:], done)
    os.ftruncate(descriptor, len(content))
