"""`exec`: a program on libpq, logged in for as long as it runs."""

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
Runs a program on libpq, logged in for as long as it runs: connections that it opens after the first token has expired
find a new one. It gets the signals, and its exit code is this command's.

  {PROGRAM} exec -- psql "host={SERVER} dbname=postgres"
  {PROGRAM} exec -- pg_dump -h {SERVER} -Fc -f orders.dump orders"""

EPILOG: Final = """\
It gets PGUSER, PGPASSFILE, PGSSLMODE and PGSSLROOTCERT in its environment, and nothing in its arguments. PGPASSFILE is
a password file that only its owner can read, is kept fresh while the program runs, and is removed afterwards.
PGPASSWORD is removed from the environment, because libpq would prefer it. What the program's arguments or the
environment say about host, user and TLS is honoured.

Programs of the virtual environment that this command is called from are found first.

exit codes: the program's (a signal that ends it ends this command in the same way); 126 and 127 where it cannot be run
or found, as in a shell; 1 if there is no token"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token; by default the server's")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="[--] PROGRAM ...", help="what to run")


def run(options: argparse.Namespace) -> int:
    """Run the program to its end."""
    command = options.command
    if not command:
        raise Failure("exec: what to run is missing, for instance: exec -- psql", USAGE)
    arguments = argv.read(command)
    variables, login, scope = logins.access(arguments.parameters, options.scope, is_certain=arguments.is_certain)
    environment = {**os.environ, **variables}
    if login is None:
        return child.end_like(child.run(command, environment, "exec"))
    # libpq prefers this variable to the file, and would use the first token for ever.
    environment.pop(_PASSWORD, None)
    with passfile.kept(login, lambda: core.login(None, scope, user_known=True)) as (path, descriptor):
        environment["PGPASSFILE"] = path
        inherited = () if descriptor is None else (descriptor,)
        code = child.run(command, environment, "exec", inherited)
    return child.end_like(code)
