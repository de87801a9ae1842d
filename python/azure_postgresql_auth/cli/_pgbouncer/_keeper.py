"""One look: ask for every token, write what is new, tell PgBouncer; and the loop of looks."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import scope_for
from azure_postgresql_auth.cli import _terminal
from azure_postgresql_auth.cli._failure import Failure
from azure_postgresql_auth.cli._pgbouncer import _events, _reload
from azure_postgresql_auth.cli._pgbouncer._identities import Identity, identities
from azure_postgresql_auth.cli._pgbouncer._limit import Limit
from azure_postgresql_auth.cli._pgbouncer._template import template
from azure_postgresql_auth.cli._pgbouncer._userlist import Userlist
from azure_postgresql_auth.cli._refresh import HealthFile, Signals, Stopped, keep_fresh
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from azure_postgresql_auth._core import Login


def run(options: argparse.Namespace) -> int:
    """Keep on until it is told to stop; with `--once`, one round."""
    if options.ini:
        _terminal.data(template(options.host, options.auth_file, options.pid_file).rstrip("\n"))
        return 0
    scope = options.scope or scope_for((options.host,) if options.host else ())
    userlist = Userlist(options.auth_file)
    # What can be seen to be unsafe ends the command here; what may pass, as a folder that is not there yet, does not.
    with contextlib.suppress(OSError):
        userlist.check()
    keeper = Keeper(identities(options.identity), scope, userlist, _teller(options))
    _events.listen(debug=options.debug)
    if options.once:
        return 0 if keeper.round() else 1
    return _keep(keeper, HealthFile(options.health_file) if options.health_file else None)


def _teller(options: argparse.Namespace) -> Callable[[], None] | None:
    if options.pid_file:
        return _reload.by_signal(options.pid_file)
    return _reload.by_console(options.admin_dsn) if options.admin_dsn else None


class Keeper:
    """The tokens as PgBouncer has them."""

    def __init__(
        self,
        keep: list[Identity],
        scope: str,
        userlist: Userlist,
        tell_pgbouncer: Callable[[], None] | None,
    ) -> None:
        self._identities = keep
        self._scope = scope
        self._userlist = userlist
        self._tell_pgbouncer = tell_pgbouncer
        self._limit = Limit()
        self._written: dict[Identity, Login] = {}
        # What an earlier process wrote, it may not have lived to tell.
        self._to_be_told = True
        self._said: set[str] = set()
        self.interrupting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        """What surrounds the wait for a token, while nothing is written."""

    def round(self) -> dict[Identity, Login]:
        """Look once; return the logins, or none where PgBouncer may lack one of them."""
        logins = {}
        for identity in self._identities:
            login = self._ask(identity)
            if login is not None and self._fits(identity, login):
                logins[identity] = login
        reached = self._write(logins) and self._reload()
        return logins if reached and len(logins) == len(self._identities) else {}

    def _ask(self, identity: Identity) -> Login | None:
        try:
            with self.interrupting():
                return identity.login(self._scope)
        except (AzurePgEntraError, ValueError) as error:
            _events.tell("error", "token_failed", user=identity.name, error=str(error))
            return None

    def _fits(self, identity: Identity, login: Login) -> bool:
        length = len(login.password)
        takes = self._limit.takes(length)
        if takes is None:
            self._once(
                "warning",
                "limit_unknown",
                f"PgBouncer is not installed here or could not be run, so whether it takes {length} characters is not "
                "known; versions before 1.17 do not take 1,000, and 1.18 does not take 2,048",
            )
        elif not takes:
            _events.tell(
                "error",
                "too_long",
                user=login.user or identity.user,
                length=length,
                pgbouncer=self._limit.version(),
                error="this PgBouncer would leave the password out, so it was not written; install a version that "
                "takes longer ones, or use an identity with a shorter token (a managed identity's has about 2,000 "
                "characters, a user's grows with its groups)",
            )
            return False
        return True

    def _write(self, logins: dict[Identity, Login]) -> bool:
        if not logins:
            return False
        try:
            changed = self._userlist.update(
                {_user(identity, login): login.password for identity, login in logins.items()}
            )
        except (Failure, OSError) as error:
            _events.tell("error", "write_failed", path=self._userlist.path, error=str(error))
            return False
        if not changed:
            return True
        fresh = {
            identity: login
            for identity, login in logins.items()
            if identity not in self._written or self._written[identity].password != login.password
        }
        if not fresh:
            _events.tell(
                "warning",
                "restored",
                path=self._userlist.path,
                message="another program had changed the file; the tokens are in it again",
            )
        for identity, login in fresh.items():
            _events.tell(
                "info",
                "written",
                user=_user(identity, login),
                expires_on=_events.date(login.expires_on),
                length=len(login.password),
            )
        self._written.update(logins)
        self._to_be_told = True
        self._said.discard("not_running")
        return True

    def _reload(self) -> bool:
        if not self._to_be_told or self._tell_pgbouncer is None:
            return True
        try:
            self._tell_pgbouncer()
        except _reload.NotRunning as error:
            self._once("warning", "not_running", f"{error}: PgBouncer reads the file when it starts")
            return True
        except Exception as error:  # noqa: BLE001 - drivers have their own; the next round tries again
            _events.tell("error", "reload_failed", error=str(error))
            return False
        _events.tell("info", "reloaded")
        self._to_be_told = False
        return True

    def _once(self, level: str, event: str, message: str) -> None:
        if event not in self._said:
            self._said.add(event)
            _events.tell(level, event, message=message)


def _user(identity: Identity, login: Login) -> str:
    return identity.user or login.user or ""


def _keep(keeper: Keeper, health_file: HealthFile | None) -> int:
    signals = Signals()
    keeper.interrupting = signals.interrupting
    _events.tell("info", "started", pid=os.getpid())

    def look() -> float:
        logins = keeper.round()
        _tell_health(health_file, logins)
        return float(min((login.expires_on for login in logins.values()), default=0))

    # One that a killed process left behind says what was.
    _tell_health(health_file, {})
    try:
        with contextlib.suppress(Stopped):
            keep_fresh(look, signals.wait)
    finally:
        _tell_health(health_file, {})
    _events.tell("info", "stopped")
    return 0


def _tell_health(file: HealthFile | None, logins: dict[Identity, Login]) -> None:
    """Have the file there if there are logins."""
    if file is None:
        return
    try:
        if not logins:
            file.remove()
            return
        users = {
            _user(identity, login): {"expires_on": _events.date(login.expires_on)} for identity, login in logins.items()
        }
        file.write(json.dumps({"checked": _events.date(time.time()), "users": users}) + "\n")
    except (Failure, OSError) as error:
        _events.tell("error", "health_failed", path=file.path, error=str(error))
