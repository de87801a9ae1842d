"""The loop: look, write what is new, tell PgBouncer, wait."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth._core import scope_for
from azure_postgresql_auth.cli import _terminal
from azure_postgresql_auth.cli._pgbouncer import _events, _reload
from azure_postgresql_auth.cli._pgbouncer._identities import Identity, identities
from azure_postgresql_auth.cli._pgbouncer._limit import Limit
from azure_postgresql_auth.cli._pgbouncer._template import template
from azure_postgresql_auth.cli._pgbouncer._userlist import Userlist
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Final

    from azure_postgresql_auth._core import Login

_LONGEST_PAUSE: Final = 60.0
_SHORTEST_PAUSE: Final = 0.25
_FIRST_RETRY: Final = 1.0
_PART_OF_LIFE: Final = 20
"""A look after each of so many parts of a token's remaining life."""


def run(options: argparse.Namespace) -> int:
    """Keeps on until it is told to stop; with `--once`, one round."""
    if options.ini:
        _terminal.data(template(options.host, options.auth_file, options.pid_file).rstrip("\n"))
        return 0
    scope = options.scope or scope_for((options.host,) if options.host else ())
    keeper = Keeper(identities(options.identity), scope, Userlist(options.auth_file), _teller(options))
    _events.listen(debug=options.debug)
    if options.once:
        return 0 if keeper.round() else 1
    return _keep(keeper, options.health_file)


def _teller(options: argparse.Namespace) -> Callable[[], None] | None:
    if options.pid_file:
        return _reload.by_signal(options.pid_file)
    return _reload.by_console(options.admin_dsn) if options.admin_dsn else None


class _Stopped(BaseException):
    """The signal to stop came while a token was waited for."""


class Keeper:
    """The tokens as PgBouncer has them."""

    def __init__(
        self, keep: list[Identity], scope: str, userlist: Userlist, tell_pgbouncer: Callable[[], None] | None
    ) -> None:
        self._identities = keep
        self._scope = scope
        self._userlist = userlist
        self._tell_pgbouncer = tell_pgbouncer
        self._limit = Limit()
        self._written: dict[Identity, Login] = {}
        self._to_be_told = False
        self._said: set[str] = set()
        self.waiting = False
        """A token is waited for, and nothing is written."""

    def round(self) -> bool:
        """One look; whether every identity has a token that PgBouncer knows of."""
        fresh: dict[Identity, Login] = {}
        complete = True
        for identity in self._identities:
            login = self._ask(identity)
            if login is None or not self._fits(identity, login):
                complete = False
            elif identity not in self._written or self._written[identity].password != login.password:
                fresh[identity] = login
        return self._write(fresh) and self._reload() and complete

    def _ask(self, identity: Identity) -> Login | None:
        self.waiting = True
        try:
            return identity.login(self._scope)
        except (AzurePgEntraError, ValueError) as error:
            _events.tell("error", "token_failed", user=identity.name, error=str(error))
            return None
        finally:
            self.waiting = False

    def _fits(self, identity: Identity, login: Login) -> bool:
        length = len(login.password)
        takes = self._limit.takes(length)
        if takes is None:
            self._once(
                "warning",
                "limit_unknown",
                f"PgBouncer is not installed here, so whether it takes {length} characters is not known; versions "
                "before 1.17 do not take 1,000, and 1.18 does not take 2,048",
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

    def _write(self, fresh: dict[Identity, Login]) -> bool:
        if not fresh:
            return True
        passwords = {identity.user or login.user or "": login.password for identity, login in fresh.items()}
        try:
            if self._userlist.readable_by_root_alone:
                text = (
                    f"{self._userlist.path} is root's, and PgBouncer does not run as root: give it to PgBouncer's user"
                )
                self._once("warning", "owner", text)
            self._userlist.write(passwords)
        except OSError as error:
            _events.tell("error", "write_failed", path=self._userlist.path, error=str(error))
            return False
        self._written.update(fresh)
        self._to_be_told = True
        for identity, login in fresh.items():
            _events.tell(
                "info",
                "written",
                user=identity.user or login.user,
                expires_on=_events.date(login.expires_on),
                length=len(login.password),
            )
        return True

    def _reload(self) -> bool:
        if not self._to_be_told or self._tell_pgbouncer is None:
            return True
        try:
            self._tell_pgbouncer()
        except _reload.NotRunning as error:
            _events.tell("info", "not_running", message=f"PgBouncer reads the file when it starts ({error})")
        except Exception as error:  # noqa: BLE001 - drivers have their own; the next round tries again
            _events.tell("error", "reload_failed", error=str(error))
            return False
        else:
            _events.tell("info", "reloaded")
        self._to_be_told = False
        return True

    def _once(self, level: str, event: str, message: str) -> None:
        if event not in self._said:
            self._said.add(event)
            _events.tell(level, event, message=message)

    @property
    def good_until(self) -> float:
        """When the first of the tokens that PgBouncer has ends; 0 where one is missing."""
        if len(self._written) < len(self._identities):
            return 0.0
        return float(min(login.expires_on for login in self._written.values()))

    def pause(self, now: float) -> float:
        """Seconds until the next look."""
        left = self.good_until - now
        return max(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, left / _PART_OF_LIFE))

    def health(self, now: float) -> dict[str, Any] | None:
        """What to tell; None where PgBouncer's logins fail, or are about to."""
        if self.good_until <= now:
            return None
        users = {
            identity.user or login.user or "": {"expires_on": _events.date(login.expires_on)}
            for identity, login in self._written.items()
        }
        return {"checked": _events.date(now), "users": users}


def _keep(keeper: Keeper, health_file: str | None) -> int:
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        if keeper.waiting:
            raise _Stopped

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    _events.tell("info", "started", pid=os.getpid())
    retry = _FIRST_RETRY
    with _removed_in_the_end(health_file), contextlib.suppress(_Stopped):
        while not stop.is_set():
            complete = keeper.round()
            now = time.time()
            _tell_health(health_file, keeper.health(now))
            pause = keeper.pause(now)
            retry = _FIRST_RETRY if complete else min(retry * 2, _LONGEST_PAUSE)
            stop.wait(pause if complete else retry)
    _events.tell("info", "stopped")
    return 0


@contextlib.contextmanager
def _removed_in_the_end(path: str | None) -> Iterator[None]:
    try:
        yield
    finally:
        _tell_health(path, None)


def _tell_health(path: str | None, health: dict[str, Any] | None) -> None:
    """The file is there while all is well, and new at each look."""
    if path is None:
        return
    try:
        if health is None:
            Path(path).unlink(missing_ok=True)
            return
        fresh = Path(f"{path}.new")
        fresh.write_text(json.dumps(health) + "\n", "utf-8")
        fresh.replace(path)
    except OSError as error:
        _events.tell("error", "health_failed", path=path, error=str(error))
