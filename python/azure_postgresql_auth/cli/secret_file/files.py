"""Create, lock and rewrite files by descriptors, without changing who has access."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# Non-blocking, so that a FIFO in the file's place does not stop the process.
FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
# What access control besides owner, group and mode is kept in, on Linux.
_ACCESS_ATTRIBUTES: Final = ("system.posix_acl_access", "security.selinux")


@contextlib.contextmanager
def new_file(folder: int, name: str) -> Iterator[int]:
    """Create a file that takes the name when the block ends without an exception; the caller closes it."""
    fresh_name = f".{name}.{secrets.token_hex(8)}.new"
    descriptor = os.open(fresh_name, os.O_RDWR | os.O_CREAT | os.O_EXCL | FILE, 0o600, dir_fd=folder)
    try:
        yield descriptor
        os.rename(fresh_name, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(fresh_name, dir_fd=folder)
        raise


def remove_leftovers(folder: int, name: str) -> None:
    """Remove what a killed process left of its new files."""
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.new")
    with contextlib.suppress(OSError):
        # `folder` may have been opened with O_PATH, and cannot be listed then.
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.scandir(listed) as entries:
                for entry in entries:
                    if pattern.fullmatch(entry.name):
                        os.unlink(entry.name, dir_fd=folder)
        finally:
            os.close(listed)


def flock(descriptor: int) -> bool:
    """Lock without waiting; return True if it is locked, or if the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def copy_access(source: int, target: int, widest_mode: int) -> None:
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


def content_of(descriptor: int) -> bytes:
    """Return the whole content."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def overwrite(descriptor: int, content: bytes) -> None:
    """Replace the content in place."""
    done = 0
    while done < len(content):
        done += os.pwrite(descriptor, content[done:], done)
    os.ftruncate(descriptor, len(content))
