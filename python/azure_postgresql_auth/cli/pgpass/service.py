"""`pgpass`: keeps a password file fresh, for programs that read it for every connection."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import argv, child, events, logins
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.cli.identities import Identity
from azure_postgresql_auth.cli.passfile import Passfile
from azure_postgresql_auth.cli.refresher import Refresher
from azure_postgresql_auth.identity import DefaultAzureCredential

if TYPE_CHECKING:
    import argparse
    from typing import Final

_STOP_SECONDS: Final = 2.0


def run(options: argparse.Namespace) -> int:
    """Keep the file fresh until a signal stops the command or the program ends; with `--once`, write it once."""
    if options.once and options.command:
        raise Failure("pgpass: --once and a command exclude each other", USAGE)
    hosts = options.host or list(filter(None, os.environ.get("PGHOST", "").split(",")))
    if not hosts:
        raise Failure("pgpass: the server is missing; give --host, or set PGHOST", USAGE)
    user = logins.user_of(options.user)
    variables, scope = logins.settings({"host": ",".join(hosts), "user": user or ""}, options.scope)
    if options.command:
        logins.check(argv.read(options.command), ",".join(hosts), scope)
    file = Passfile(options.file, hosts)
    # An unsafe file ends the command here. A temporary problem, such as a missing folder, is retried later.
    with contextlib.suppress(OSError):
        file.check()
    refresher = Refresher([Identity(user, DefaultAzureCredential())], scope, file, options.health_file)
    events.listen(debug=options.debug)
    _log_settings(variables)
    if options.once:
        return 0 if refresher.round() else 1
    if options.command:
        names = {"PGHOST": ",".join(hosts), "PGPASSFILE": os.path.abspath(file.path), **variables}  # noqa: PTH100
        return _run_inside(options.command, refresher, names)
    refresher.keep_until_stopped()
    return 0


def _log_settings(variables: dict[str, str]) -> None:
    """Check and log the TLS settings, which the programs that read the file have to use.

    Raises:
        Failure: the root certificates cannot be read.
    """
    sslmode = variables.get("PGSSLMODE") or os.environ.get("PGSSLMODE")
    roots = variables.get("PGSSLROOTCERT") or os.environ.get("PGSSLROOTCERT")
    if roots and roots != "system" and not os.access(roots, os.R_OK):
        raise Failure(
            f"pgpass: sslrootcert={roots} cannot be read, so no server could be verified; correct PGSSLROOTCERT"
        )
    events.log(
        "info",
        "settings",
        sslmode=sslmode,
        sslrootcert=roots,
        gssencmode=variables.get("PGGSSENCMODE"),
        message="programs that read the file have to connect with these settings: by default libpq and asyncpg do not "
        "verify the server, and would send it the token",
    )


def _run_inside(command: list[str], refresher: Refresher, variables: dict[str, str]) -> int:
    fresh = refresher.round()
    if not fresh:
        return 1
    ((identity, login),) = fresh.items()
    environment = {**os.environ, "PGUSER": identity.user or login.user or "", **variables}
    # libpq prefers this variable to the file, and would keep using an expired token.
    environment.pop("PGPASSWORD", None)
    stop = threading.Event()
    thread = threading.Thread(target=refresher.keep, args=(stop.wait,), daemon=True, name="password file")
    thread.start()
    try:
        code = child.run(command, environment, "pgpass")
    finally:
        stop.set()
        # The thread may be waiting for a token that is no longer needed.
        thread.join(_STOP_SECONDS)
    return child.end_like(code)
