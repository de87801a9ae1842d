"""PgBouncer's file of users and passwords: lines of `"user" "password"`, with quotes doubled (its documentation)."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli._failure import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_USER: Final = re.compile(r'\s*"((?:[^"]|"")*)"')
_ROOT: Final = 0


def merged(text: str, passwords: Mapping[str, str]) -> str:
    """The file with these passwords; other users' lines and comments stay as they are."""
    kept = [line for line in text.splitlines() if _user_of(line) not in passwords]
    return "\n".join([*kept, *(f"{_quoted(user)} {_quoted(password)}" for user, password in passwords.items()), ""])


def _user_of(line: str) -> str | None:
    match = _USER.match(line)
    return match[1].replace('""', '"') if match else None


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


class Userlist:
    """The file, which is never seen half written.

    Raises:
        Failure: somebody else's, whom it could not be given back to.
    """

    def __init__(self, path: str) -> None:
        # What a symbolic link leads to is replaced, and not the link.
        self.path = os.path.realpath(path)
        owner = self._owner()
        if owner is not None and os.geteuid() not in {_ROOT, owner[0]}:
            raise Failure(f"{path} belongs to another user (uid {owner[0]}); run this as that user, or as root")

    @property
    def readable_by_root_alone(self) -> bool:
        """Whether PgBouncer, which does not run as root, will not be able to read it."""
        owner = self._owner()
        return os.geteuid() == _ROOT and (owner is None or owner[0] == _ROOT)

    def write(self, passwords: Mapping[str, str]) -> None:
        """Puts these in: atomically, for the owner alone, who stays the same."""
        folder, owner = os.path.dirname(self.path), self._owner()  # noqa: PTH120
        descriptor, fresh = tempfile.mkstemp(prefix=".userlist-", dir=folder)  # 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(merged(self._text(), passwords))
                if owner is not None and os.geteuid() == _ROOT:
                    os.fchown(descriptor, *owner)
                file.flush()
                os.fsync(descriptor)
            os.replace(fresh, self.path)  # noqa: PTH105
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(fresh)  # noqa: PTH108
            raise

    def _owner(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except FileNotFoundError:
            return None
        return found.st_uid, found.st_gid

    def _text(self) -> str:
        try:
            return Path(self.path).read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""
