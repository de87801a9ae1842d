"""Keep PgBouncer's userlist fresh: check the length of tokens, and make PgBouncer reload the file."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import scope_for
from azure_postgresql_auth.cli import events, terminal
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.cli.identities import Identity, identities
from azure_postgresql_auth.cli.pgbouncer import reload
from azure_postgresql_auth.cli.pgbouncer.limit import Limit
from azure_postgresql_auth.cli.pgbouncer.template import template
from azure_postgresql_auth.cli.pgbouncer.userlist import Userlist
from azure_postgresql_auth.cli.refresher import Refresher

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from azure_postgresql_auth._core import Login


def run(options: argparse.Namespace) -> int:
    """Keep the tokens fresh until a signal stops the command; with `--once`, write them once."""
    if options.ini:
        terminal.data(template(options.host, options.auth_file, options.pid_file).rstrip("\n"))
        return 0
    if sys.platform == "win32":
        raise Failure("pgbouncer: Windows has no signal that tells PgBouncer of a new token; run this on Linux", USAGE)
    scope = options.scope or scope_for((options.host,) if options.host else ())
    userlist = Userlist(options.auth_file)
    # An unsafe file ends the command here. A temporary problem, such as a missing folder, is retried later.
    with contextlib.suppress(OSError):
        userlist.check()
    refresher = _PgBouncer(identities(options.identity), scope, userlist, options.health_file, _reloader(options))
    events.listen(debug=options.debug)
    if options.once:
        return 0 if refresher.round() else 1
    refresher.keep_until_stopped()
    return 0


def _reloader(options: argparse.Namespace) -> Callable[[], None] | None:
    if options.pid_file:
        return reload.by_signal(options.pid_file)
    return reload.by_console(options.admin_dsn) if options.admin_dsn else None


class _PgBouncer(Refresher):
    def __init__(
        self,
        keep: list[Identity],
        scope: str,
        userlist: Userlist,
        health_file: str | None,
        reload_pgbouncer: Callable[[], None] | None,
    ) -> None:
        super().__init__(keep, scope, userlist, health_file)
        self._reload = reload_pgbouncer
        self._limit = Limit()
        # An earlier process may have ended after it wrote the file and before it reloaded PgBouncer.
        self._needs_reload = True

    def accepts(self, identity: Identity, login: Login) -> bool:
        """Return whether PgBouncer accepts a password of this length."""
        length = len(login.password)
        takes = self._limit.takes(length)
        if takes is None:
            self._log_once(
                "warning",
                "limit_unknown",
                f"PgBouncer is not installed here or could not be run, so it is not known whether it accepts {length} "
                "characters; versions before 1.17 do not accept 1,000, and 1.18 does not accept 2,048",
            )
        elif not takes:
            events.log(
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

    def changed(self) -> None:
        """Note that PgBouncer has to reload the file."""
        self._needs_reload = True
        self._logged.discard("not_running")

    def announce(self) -> bool:
        """Make PgBouncer reload the file; return whether it has, or will when it starts."""
        if not self._needs_reload or self._reload is None:
            return True
        try:
            with self.interrupting():
                self._reload()
        except reload.NotRunning as error:
            self._log_once("warning", "not_running", f"{error}: PgBouncer reads the file when it starts")
            return True
        except Exception as error:  # noqa: BLE001 - drivers raise their own errors; the next round tries again
            events.log("error", "reload_failed", error=str(error))
            return False
        events.log("info", "reloaded")
        self._needs_reload = False
        return True
