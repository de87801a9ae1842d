"""Open the folder of a path so that no other user can redirect what happens there.

A path is walked once, one directory descriptor after the other. Symbolic links are followed only in folders that no
other user can write to; everything after that happens relative to the descriptor of the last folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

ROOT: Final = 0
_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_MOST_LINKS: Final = 40  # Linux's own limit, path_resolution(7)


@contextlib.contextmanager
def folder_of(path: str) -> Iterator[tuple[int, str]]:
    """Open the folder that a path ends in; yield its descriptor, and the file's name there."""
    folder = os.open("/", _FOLDER)
    try:
        # The current folder may be gone, which is of no importance to an absolute path.
        parts = deque(_parts(path if path.startswith("/") else os.path.join(os.getcwd(), path)))  # noqa: PTH109, PTH118
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
                if not is_private(folder):
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


def is_private(folder: int) -> bool:
    """Whether only this user and root can change what is in the folder."""
    status = os.fstat(folder)
    return status.st_uid in {ROOT, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
