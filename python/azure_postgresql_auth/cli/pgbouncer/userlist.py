"""PgBouncer's file of users and passwords: lines of `"user" "password"`, with quotes doubled (its documentation)."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import entry
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.secret_file import SecretFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_USER: Final = re.compile(rb'\s*"((?:[^"]|"")*)"')
_ROOT: Final = 0
_GROUP_READ: Final = 0o040


def merged(content: bytes, passwords: Mapping[str, str]) -> bytes:
    """Return the file's content with these passwords first; every other line is kept byte for byte.

    They come first because PgBouncer stops reading at a malformed line. Other lines of the same users are removed,
    because PgBouncer uses the last line of a user.

    Raises:
        Failure: a user or a password has a line break.
    """
    for user, password in passwords.items():
        entry.check(user=user, token=password)
    ours = {_bytes(user): _bytes(password) for user, password in passwords.items()}
    kept = [line for line in re.findall(rb"[^\n]*\n|[^\n]+", content) if _user_of(line) not in ours]
    return b"".join([*(b"%b %b\n" % (_quoted(user), _quoted(password)) for user, password in ours.items()), *kept])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _user_of(line: bytes) -> bytes | None:
    match = _USER.match(line)
    return match[1].replace(b'""', b'"') if match else None


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b'"', b'""') + b'"'


class Userlist:
    """A userlist file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = SecretFile(path)

    def check(self) -> None:
        """Check, as far as possible, that PgBouncer can read the file and no other user can.

        Raises:
            Failure: only root can read it, and PgBouncer does not run as root; or as for `update`.
            OSError: the folder cannot be opened.
        """
        status = self._file.status()
        if os.geteuid() != _ROOT:
            return
        if status is None:
            raise Failure(
                f"{self.path} does not exist, and would be readable by root alone, which PgBouncer does not run as; "
                f"create it for PgBouncer's user: install -m 600 -o USER /dev/null {self.path}"
            )
        by_group = status.st_gid != _ROOT and status.st_mode & _GROUP_READ
        if status.st_uid == _ROOT and not by_group and not _has_access_list(self.path):
            raise Failure(
                f"{self.path} would be readable by root alone, and PgBouncer does not run as root; give it to "
                f"PgBouncer's user (chown USER {self.path}) or group (chown root:GROUP, chmod 640)"
            )

    def update(self, passwords: Mapping[str, str]) -> bool:
        """Write these passwords; return whether the file changed.

        Raises:
            Failure: PgBouncer could not read the file, or another user could, or could redirect the write.
            OSError: the file cannot be read or written, or another process maintains it.
        """
        self.check()
        return self._file.update(lambda content: merged(content, passwords))


def _has_access_list(path: str) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except (AttributeError, OSError):
        return False
