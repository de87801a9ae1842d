"""Keep the tokens in a file fresh: obtain each token, write new ones, maintain the health file, and repeat."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import events, secret_file
from azure_postgresql_auth.cli.failure import Failure
from azure_postgresql_auth.cli.refresh import keep_fresh
from azure_postgresql_auth.cli.signals import Stopped, StopSignals
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Protocol

    from azure_postgresql_auth._core import Login
    from azure_postgresql_auth.cli.identities import Identity

    class File(Protocol):
        """A file of users and passwords."""

        path: str

        def update(self, passwords: Mapping[str, str]) -> bool:
            """Write these passwords; return whether the file changed.

            Raises:
                Failure: its readers cannot read the file, or another user can read it or redirect the write.
                OSError: the file cannot be read or written, or another process maintains it.
            """
            ...


class Refresher:
    """Keeps tokens in a file fresh for the programs that read it."""

    def __init__(self, keep: Sequence[Identity], scope: str, file: File, health_file: str | None) -> None:
        self._identities = keep
        self._scope = scope
        self._file = file
        self._health_file = health_file
        self._written: dict[Identity, Login] = {}
        self._logged: set[str] = set()
        self.interrupting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        """Context manager for a wait, for a token or a reload, during which nothing is written: a signal ends it."""

    def accepts(self, identity: Identity, login: Login) -> bool:  # noqa: ARG002 - used by subclasses
        """Return whether the file's readers can use this token."""
        return True

    def changed(self) -> None:
        """Note that the file has changed."""

    def announce(self) -> bool:
        """Make the file's readers reload it if it has changed; return whether they have."""
        return True

    def keep(self, wait: Callable[[float], bool]) -> None:
        """Renew the tokens until `wait` ends it, and maintain the health file; see `keep_fresh`."""

        def look() -> float:
            logins = self.round()
            self._write_health(logins)
            return float(min((login.expires_on for login in logins.values()), default=0))

        # A process that was killed may have left a stale health file.
        self._write_health({})
        try:
            keep_fresh(look, wait)
        finally:
            self._write_health({})

    def keep_until_stopped(self) -> None:
        """Run `keep` until SIGTERM or SIGINT; SIGHUP makes it check the tokens at once."""
        signals = StopSignals()
        self.interrupting = signals.interrupting
        events.log("info", "started", pid=os.getpid())
        with contextlib.suppress(Stopped):
            self.keep(signals.wait)
        events.log("info", "stopped")

    def round(self) -> dict[Identity, Login]:
        """Renew the tokens once; return the logins, or none if the readers may lack one of them."""
        logins = {}
        for identity in self._identities:
            login = self._ask(identity)
            if login is not None and self.accepts(identity, login):
                logins[identity] = login
        reached = self._write(logins) and self.announce()
        return logins if reached and len(logins) == len(self._identities) else {}

    def _ask(self, identity: Identity) -> Login | None:
        try:
            with self.interrupting():
                return identity.login(self._scope)
        except (AzurePgEntraError, ValueError) as error:
            events.log("error", "token_failed", user=identity.name, error=str(error))
            return None

    def _write(self, logins: dict[Identity, Login]) -> bool:
        if not logins:
            return False
        try:
            changed = self._file.update({_user(identity, login): login.password for identity, login in logins.items()})
        except (Failure, OSError) as error:
            events.log("error", "write_failed", path=self._file.path, error=str(error))
            return False
        if not changed:
            return True
        fresh = {
            identity: login
            for identity, login in logins.items()
            if identity not in self._written or self._written[identity].password != login.password
        }
        if not fresh:
            events.log(
                "warning",
                "restored",
                path=self._file.path,
                message="another program had changed the file; the tokens are in it again",
            )
        for identity, login in fresh.items():
            events.log(
                "info",
                "written",
                user=_user(identity, login),
                expires_on=events.date(login.expires_on),
                length=len(login.password),
            )
        self._written.update(logins)
        self.changed()
        return True

    def _log_once(self, level: str, event: str, message: str) -> None:
        if event not in self._logged:
            self._logged.add(event)
            events.log(level, event, message=message)

    def _write_health(self, logins: dict[Identity, Login]) -> None:
        """Write the health file if there are logins, else remove it. Liveness probes can check its age."""
        path = self._health_file
        if path is None:
            return
        try:
            if not logins:
                secret_file.remove_file(path)
                return
            users = {
                _user(identity, login): {"expires_on": events.date(login.expires_on)}
                for identity, login in logins.items()
            }
            text = json.dumps({"checked": events.date(time.time()), "users": users}) + "\n"
            secret_file.write_file(path, text.encode(), 0o644)
        except (Failure, OSError) as error:
            events.log("error", "health_failed", path=path, error=str(error))


def _user(identity: Identity, login: Login) -> str:
    return identity.user or login.user or ""
