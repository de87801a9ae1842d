"""`exec`: runs a program on libpq with a login that stays valid while it runs."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from azure_postgresql_auth import core
from azure_postgresql_auth.cli import argv, child, logins, passfile
from azure_postgresql_auth.cli.arguments import SERVER
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    from typing import Final

_PASSWORD = "PGPASSWORD"  # noqa: S105 - a variable's name

DESCRIPTION: Final = f"""\
Runs a program on libpq with a login that stays valid while it runs: connections that it opens after the first token has
expired use a new token. Signals are passed to the program, and its exit code becomes that of `exec`.

  {PROGRAM} exec -- psql "host={SERVER} dbname=postgres"
  {PROGRAM} exec -- pg_dump -h {SERVER} -Fc -f orders.dump orders"""

EPILOG: Final = """\
The program gets PGUSER, PGPASSFILE, PGSSLMODE and PGSSLROOTCERT in its environment; its arguments are not changed.
PGPASSFILE is a password file that only its owner can read, that is kept fresh while the program runs, and that is
removed afterwards. PGPASSWORD is removed from the environment, because libpq would prefer it to the file. Settings of
host, user and TLS in the program's arguments and in the environment are respected.

Programs of the virtual environment from which `exec` is called are found first.

exit codes: the program's (if a signal ends it, the same signal ends `exec`); 126 if it cannot be run, 127 if it is not
found, as in a shell; 1 if no token could be obtained"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token; by default the server's")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="[--] PROGRAM ...", help="program to run")


def run(options: argparse.Namespace) -> int:
    """Run the program to its end."""
    command = options.command
    if not command:
        raise Failure("exec: name the program to run, for example: exec -- psql", USAGE)
    variables, login, scope = logins.access(argv.read(command), options.scope)
    environment = {**os.environ, **variables}
    if login is None:
        return child.end_like(child.run(command, environment, "exec"))
    # libpq prefers this variable to the file, and would keep using an expired token.
    environment.pop(_PASSWORD, None)
    with passfile.kept(login, lambda: core.login(None, scope, user_known=True)) as (path, descriptor):
        environment["PGPASSFILE"] = path
        inherited = () if descriptor is None else (descriptor,)
        code = child.run(command, environment, "exec", inherited)
    return child.end_like(code)
