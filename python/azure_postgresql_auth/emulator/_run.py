"""One run of the emulator: its parts, started in order and stopped in reverse, also when a start fails half-way."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from . import _binaries, _verdict
from ._backend import Backend, BackendError
from ._certificates import Certificates
from ._cluster import Cluster
from ._directory import Directory
from ._door import Door
from ._identity_service import IdentityService
from ._portal import Loop
from ._protocol import ProtocolError
from ._records import Records
from ._roles import Roles
from ._server_faults import ServerFaults
from ._tokens import Issuer
from ._watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._faults import Knobs
    from ._records import Login
    from ._verdict import Verdict

_LONGEST_DIRECTORY = 80  # a socket's path has 107 bytes at most, on some systems 103


class Run:
    """Everything that exists between start and stop."""

    def __init__(self, knobs: Knobs, dsn: str | None, postgres: Path | None, records: int | None) -> None:
        """Start every part."""
        self.directory = Directory()
        self.issuer = Issuer(self.directory.tenant_id, knobs.now)
        self.revoked: dict[str, int] = {}
        with contextlib.ExitStack() as stack:
            self.work = _work_directory()
            self._watchdog = Watchdog(self.work)
            stack.callback(self._watchdog.stop)
            stack.callback(shutil.rmtree, self.work, ignore_errors=True)
            self.certificates = Certificates(self.work)
            self._loop = Loop()
            stack.callback(self._loop.stop)
            self.backend = self._behind(dsn, postgres, stack.callback)
            self.roles = Roles(self.sql, self.backend.user, ours=dsn is None)
            stack.callback(self.roles.drop_all)
            self.arc_keys = self.work / "azure-arc-keys"
            context = self.certificates.server_context()
            self.identities = IdentityService(
                self.directory, self.issuer, knobs, context, self.arc_keys, Records(records)
            )
            stack.callback(self.identities.stop)
            self.identities.start()
            self.server_faults = ServerFaults(self.certificates)
            self.door, self.port = self._open_door(Records(records))
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop every part and remove every file."""
        self._stack.close()

    def sql(self, statement: str, database: str | None = None) -> list[tuple[str | None, ...]]:
        """Run SQL as the server's administrator."""
        return self._loop.portal.call(self.backend.query, statement, database)

    def _behind(self, dsn: str | None, postgres: Path | None, on_stop: Callable[..., Any]) -> Backend:
        if dsn is not None:
            backend = Backend.from_dsn(dsn)
            try:
                self._loop.portal.call(backend.query, "SELECT 1")
            except (OSError, BackendError, ProtocolError) as error:
                message = f"the PostgreSQL of dsn= cannot be used: {error}"
                raise RuntimeError(message) from error
            return backend
        cluster = Cluster(_binaries.find(postgres), self.work, self._watchdog)
        on_stop(cluster.stop)
        cluster.start()
        return cluster.backend

    def _open_door(self, logins: Records[Login]) -> tuple[Door, int]:
        door = Door(self.server_faults, self.backend, self._judge, self._password_of, logins)
        listeners, port = self._loop.portal.call(door.listen)
        self._loop.portal.start_task_soon(door.serve, listeners)
        return door, port

    def _judge(self, password: str, role: str) -> Verdict:
        return _verdict.judge(password, role, self.directory, self.issuer, self.revoked)

    def _password_of(self, role: str) -> str:
        return self.roles.passwords.get(role, "")


def _work_directory() -> Path:
    """Make the directory of one run.

    Not tempfile.TemporaryDirectory: its finalizer would also run in a child that the user's program forked.
    """
    for base in _bases():
        if len(os.fsencode(base)) <= _LONGEST_DIRECTORY and (os.geteuid() != 0 or _open_to_all(base)):
            work = Path(tempfile.mkdtemp(prefix="pg-entra-", dir=base))
            if os.geteuid() == 0:
                # PostgreSQL's account passes through to its own directory in here, but lists nothing.
                work.chmod(0o711)
            return work
    message = f"no directory for temporary files is usable (short path, open to all): set TMPDIR, now {_bases()}"
    raise RuntimeError(message)


def _bases() -> list[Path]:
    return list(dict.fromkeys(Path(base).resolve() for base in (tempfile.gettempdir(), "/tmp")))  # noqa: S108


def _open_to_all(directory: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in _with_parents(directory))


def _with_parents(directory: Path) -> Iterator[Path]:
    yield directory
    yield from directory.parents
