"""The services of a running emulator, started in order and stopped in reverse order, even if a start fails."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator.identity.directory import Directory
from azure_postgresql_auth.emulator.identity.service import IdentityService
from azure_postgresql_auth.emulator.identity.tokens import Issuer
from azure_postgresql_auth.emulator.records import Records
from azure_postgresql_auth.emulator.server import authentication, binaries
from azure_postgresql_auth.emulator.server.backend import Backend, BackendError
from azure_postgresql_auth.emulator.server.certificates import Certificates
from azure_postgresql_auth.emulator.server.event_loop import EventLoop
from azure_postgresql_auth.emulator.server.faults import ServerFaults
from azure_postgresql_auth.emulator.server.frontend import Frontend
from azure_postgresql_auth.emulator.server.protocol import ProtocolError
from azure_postgresql_auth.emulator.server.roles import Roles
from azure_postgresql_auth.emulator.server.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator.identity.faults import Settings
    from azure_postgresql_auth.emulator.records import Login, TokenRequest
    from azure_postgresql_auth.emulator.server.authentication import AuthResult

_LONGEST_DIRECTORY = 80  # a socket's path has 107 bytes at most, on some systems 103


class Services:
    """All services of a running emulator.

    A signal's handler may raise anywhere in a start, for example KeyboardInterrupt. What undoes a step is registered
    before the step, and what this thread could lose sight of is done in the event loop's.
    """

    def __init__(self) -> None:
        """Prepare; nothing runs before `start`."""
        self._stack = contextlib.ExitStack()
        self._loop = EventLoop()

    def start(self, settings: Settings, dsn: str | None, postgres: Path | None, records: int | None) -> None:
        """Start all services. The caller has to call `stop`, even if this fails."""
        on_stop = self._stack.callback
        self.directory = Directory()
        self.issuer = Issuer(self.directory.tenant_id, settings.now)
        self.revoked: dict[str, int] = {}
        self.work = _unused_path()
        # Also where a signal ends the start of the process that otherwise removes it.
        on_stop(shutil.rmtree, self.work, ignore_errors=True)
        _make_directory(self.work)
        on_stop(self._loop.stop)
        self._loop.start()
        watchdog = Watchdog(self.work)
        on_stop(self._loop.portal.call, watchdog.stop)
        self._loop.portal.call(watchdog.start)
        on_stop(shutil.rmtree, self.work, ignore_errors=True)
        self.certificates = Certificates(self.work)
        self.backend = self._behind(dsn, postgres, watchdog)
        self.roles = Roles(self.sql, self.backend, ours=dsn is None)
        on_stop(self.roles.drop_all)
        self._loop.portal.call(self._start_identities, settings, Records(records))
        self.server_faults = ServerFaults(self.certificates)
        self.frontend, self.port = self._open_frontend(Records(records))

    def stop(self) -> None:
        """Stop all services that were started, and remove all files."""
        self._stack.close()

    def sql(self, statement: str, database: str | None = None) -> list[tuple[str | None, ...]]:
        """Run SQL as the server's administrator."""
        return self._loop.portal.call(self.backend.query, statement, database)

    def _behind(self, dsn: str | None, postgres: Path | None, watchdog: Watchdog) -> Backend:
        if dsn is not None:
            backend = Backend.from_dsn(dsn)
            try:
                self._loop.portal.call(backend.query, "SELECT 1")
            except (OSError, BackendError, ProtocolError) as error:
                message = f"the PostgreSQL of dsn= cannot be used: {error}"
                raise RuntimeError(message) from error
            return backend
        if sys.platform == "win32":
            message = "on Windows the emulator runs no PostgreSQL of its own; pass Emulator(dsn=URL) (--dsn)"
            raise RuntimeError(message)
        from azure_postgresql_auth.emulator.server.cluster import Cluster  # noqa: PLC0415 - not on Windows

        cluster = Cluster(binaries.find(postgres), self.work, watchdog, self._loop)
        self._stack.callback(cluster.stop)
        cluster.start()
        return cluster.backend

    def _start_identities(self, settings: Settings, requests: Records[TokenRequest]) -> None:
        context = self.certificates.server_context()
        self.identities = IdentityService(self.directory, self.issuer, settings, context, self.work, requests)
        self._stack.callback(self.identities.stop)
        self.identities.start()

    def _open_frontend(self, logins: Records[Login]) -> tuple[Frontend, int]:
        frontend = Frontend(self.server_faults, self.backend, self._authenticate, self.roles, logins)
        _, port = self._loop.portal.start_task(frontend.serve)
        return frontend, int(port)

    def _authenticate(self, password: str, role: str) -> AuthResult:
        return authentication.authenticate(password, role, self.directory, self.issuer, self.revoked)


def _unused_path() -> Path:
    """Return a path for the directory of one run, which nobody can guess."""
    name = f"pg-entra-{secrets.token_hex(8)}"
    if sys.platform == "win32":
        # Neither sockets nor another account are in it.
        return Path(tempfile.gettempdir(), name)
    for base in _bases():
        if len(os.fsencode(base)) <= _LONGEST_DIRECTORY and (os.geteuid() != 0 or _open_to_all(base)):
            return base / name
    message = f"no directory for temporary files is usable (short path, open to all): set TMPDIR, now {_bases()}"
    raise RuntimeError(message)


def _make_directory(work: Path) -> None:
    """Create the directory of one run.

    Not `tempfile.TemporaryDirectory`, whose finalizer would also run in a forked child of the user's program.
    """
    work.mkdir(mode=0o700)
    if sys.platform != "win32" and os.geteuid() == 0:
        # PostgreSQL's account can reach its own directory in here, but cannot list this one.
        work.chmod(0o711)


def _bases() -> list[Path]:
    return list(dict.fromkeys(Path(base).resolve() for base in (tempfile.gettempdir(), "/tmp")))  # noqa: S108


def _open_to_all(directory: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in _with_parents(directory))


def _with_parents(directory: Path) -> Iterator[Path]:
    yield directory
    yield from directory.parents
