"""The account that runs PostgreSQL: the current one or, because PostgreSQL refuses root, an unprivileged one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_UNPRIVILEGED = ("postgres", "nobody")
_NOT_NEEDED = ("include", "pgxs", "pkgconfig", "doc", "man", "__pycache__")


@dataclass(frozen=True)
class Account:
    """The account of the server's processes; None for the current one."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def choose(cls) -> Account:
        """Use the current account, unless it is root."""
        if os.geteuid() != 0:
            return cls()
        for name in _UNPRIVILEGED:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        message = f"PostgreSQL does not run as root, and there is none of the users {', '.join(_UNPRIVILEGED)}"
        raise RuntimeError(message)

    def options(self) -> dict[str, Any]:
        """Return the arguments with which `subprocess` starts a process under this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Change the owner of a directory and its contents to this account."""
        if self.uid is None or self.gid is None:
            return
        os.chown(path, self.uid, self.gid)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), self.uid, self.gid, follow_symlinks=False)  # noqa: PTH118

    def reachable(self, binaries: Path, work: Path) -> Path:
        """Return the programs' directory, or a copy in `work` if this account cannot run the original.

        For example, other accounts cannot access a virtual environment below root's home.

        Raises:
            RuntimeError: the programs cannot be run.
        """
        if self._runs(binaries):
            return binaries
        package = binaries.parent.parent
        if self.uid is not None and binaries.parent.name == "pginstall":
            # The wheel's layout: the programs find their libraries beside the package.
            home = work / "server"
            shutil.copytree(package, home / package.name, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, home / libraries.name)
            self.give(home)
            copy = home / binaries.relative_to(package.parent)
            if self._runs(copy):
                return copy
        name = pwd.getpwuid(os.geteuid() if self.uid is None else self.uid).pw_name
        message = f"the server programs in {binaries} cannot be run by the user {name}"
        raise RuntimeError(message)

    def _runs(self, binaries: Path) -> bool:
        try:
            done = subprocess.run(  # noqa: S603
                [str(binaries / "initdb"), "--version"], capture_output=True, check=False, cwd="/", **self.options()
            )
        except OSError:
            return False
        return done.returncode == 0
