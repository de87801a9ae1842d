"""`pgpass`: keeps a password file fresh, for programs that read it anew for every connection."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import _child, _events, _login
from azure_postgresql_auth.cli._failure import Failure
from azure_postgresql_auth.cli._identities import Identity
from azure_postgresql_auth.cli._keeper import Keeper
from azure_postgresql_auth.cli._passfile import Passfile
from azure_postgresql_auth.cli._refresh import Signals
from azure_postgresql_auth.cli._signals import Stopped
from azure_postgresql_auth.identity import DefaultAzureCredential

if TYPE_CHECKING:
    import argparse
    from typing import Final

_STOP_SECONDS: Final = 2.0


def run(options: argparse.Namespace) -> int:
    """Keep on until it is told to stop or the command ends; with `--once`, one round."""
    if options.once and options.command:
        raise Failure("pgpass: --once and a command exclude each other", _login.USAGE)
    hosts = options.host or list(filter(None, os.environ.get("PGHOST", "").split(",")))
    if not hosts:
        raise Failure("pgpass: the server is missing; give --host, or set PGHOST", _login.USAGE)
    user = _login.said_user(options.user)
    variables, scope = _login.settings({"host": ",".join(hosts), "user": user or ""}, options.scope)
    file = Passfile(options.file, hosts)
    # What can be seen to be unsafe ends the command here; what may pass, as a folder that is not there yet, does not.
    with contextlib.suppress(OSError):
        file.check()
    keeper = Keeper([Identity(user, DefaultAzureCredential())], scope, file, options.health_file)
    _events.listen(debug=options.debug)
    _tell_settings(variables)
    if options.once:
        return 0 if keeper.round() else 1
    if options.command:
        names = {"PGHOST": ",".join(hosts), "PGPASSFILE": os.path.abspath(file.path), **variables}  # noqa: PTH100
        return _run_inside(options.command, keeper, names)
    signals = Signals()
    keeper.interrupting = signals.interrupting
    _events.tell("info", "started", pid=os.getpid())
    with contextlib.suppress(Stopped):
        keeper.keep(signals.wait)
    _events.tell("info", "stopped")
    return 0


def _tell_settings(variables: dict[str, str]) -> None:
    """Check and print what keeps the token safe, which is up to the programs that read the file.

    Raises:
        Failure: the roots cannot be read.
    """
    sslmode = variables.get("PGSSLMODE") or os.environ.get("PGSSLMODE")
    roots = variables.get("PGSSLROOTCERT") or os.environ.get("PGSSLROOTCERT")
    if roots and roots != "system" and not os.access(roots, os.R_OK):
        raise Failure(
            f"pgpass: sslrootcert={roots} cannot be read, so no server could be verified; correct PGSSLROOTCERT"
        )
    _events.tell(
        "info",
        "settings",
        sslmode=sslmode,
        sslrootcert=roots,
        gssencmode=variables.get("PGGSSENCMODE"),
        message="programs that read the file have to connect with these settings: by default libpq and asyncpg do not "
        "verify the server, and would send it the token",
    )


def _run_inside(command: list[str], keeper: Keeper, variables: dict[str, str]) -> int:
    logins = keeper.round()
    if not logins:
        return 1
    ((identity, login),) = logins.items()
    environment = {**os.environ, "PGUSER": identity.user or login.user or "", **variables}
    # libpq prefers this variable to the file, and would use the same token for ever.
    environment.pop("PGPASSWORD", None)
    stop = threading.Event()
    thread = threading.Thread(target=keeper.keep, args=(stop.wait,), daemon=True, name="password file")
    thread.start()
    try:
        code = _child.run(command, environment, "pgpass")
    finally:
        stop.set()
        # It may wait for a token, which nobody needs any more.
        thread.join(_STOP_SECONDS)
    return _child.end_like(code)
