"""The longest password that the installed PgBouncer accepts.

The limit depends on the version (995 characters in 1.16, 2,047 in 1.17 and 1.18, less before). PgBouncer ignores longer
lines, and logins then fail without a hint at the reason. The limit is determined by running PgBouncer without an
address to listen on: it reads its configuration, logs an error if the password is too long, and exits.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import temporary

if TYPE_CHECKING:
    from typing import Final

_PROGRAM: Final = "pgbouncer"
# Debian installs PgBouncer in a directory that is not on every user's path.
_PATHS: Final = ("/usr/sbin", "/usr/local/sbin")
_TIMEOUT: Final = 10.0
_TOO_LONG: Final = re.compile(r"password too long|too long password", re.IGNORECASE)
# The messages with which PgBouncer exits after it has read its configuration.
_READ: Final = re.compile(r"nowhere to listen on|should not run as root", re.IGNORECASE)
_INI: Final = "[databases]\n[pgbouncer]\nauth_type = plain\nauth_file = {auth_file}\nunix_socket_dir =\n"


class Limit:
    """The limit, as far as it is known."""

    def __init__(self) -> None:
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PATHS))
        self.program = shutil.which(_PROGRAM, path=path)
        self._taken = 0
        self._refused: int | None = None

    def takes(self, length: int) -> bool | None:
        """Return whether PgBouncer accepts a password of this length; None if it cannot be run."""
        if length <= self._taken:
            return True
        if self._refused is not None and length >= self._refused:
            return False
        answer = None if self.program is None else _ask(self.program, length)
        if answer:
            self._taken = length
        elif answer is False:
            self._refused = length
        return answer

    def version(self) -> str | None:
        """Return the version line of PgBouncer; None if it cannot be run."""
        if self.program is None:
            return None
        output = _run(self.program, "--version")
        return output.splitlines()[0] if output else None


def _ask(program: str, length: int) -> bool | None:
    try:
        with temporary.folder() as folder:
            auth_file, ini = Path(folder, "users"), Path(folder, "ini")
            auth_file.write_text(f'"probe" "{"x" * length}"\n', "utf-8")
            ini.write_text(_INI.format(auth_file=auth_file), "utf-8")
            output = _run(program, str(ini))
    except OSError:
        # No folder for temporary files, for example because the root file system is read-only.
        return None
    if _TOO_LONG.search(output):
        return False
    return True if _READ.search(output) else None


def _run(program: str, *arguments: str) -> str:
    # Otherwise PgBouncer would listen on sockets that systemd passes on.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LISTEN_", "NOTIFY_"))}
    try:
        done = subprocess.run(  # noqa: S603 - the administrator's own program
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
