"""`token`: prints a token, or a user and a token."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import logins, passfile, terminal
from azure_postgresql_auth.cli.arguments import SERVER, add_scope
from azure_postgresql_auth.cli.argv import Arguments
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Prints a token, which is the password of a login.

  eval "$({PROGRAM} token --format env --host {SERVER})"
  psql "host={SERVER} dbname=postgres"

In pgAdmin, use `{PROGRAM} token` as a server's password exec command."""

EPILOG: Final = """\
formats:
  password  only the token
  json      user, password and expires_on (seconds since 1970)
  env       lines for a shell, which set the user, the password and the TLS settings for the host
  pgpass    a line of a password file; libpq before 13, 12.5, 11.10 and 10.15 (2020) truncates such long lines"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--user", metavar="ROLE", help="the role; by default PGUSER, else the user that the token names"
    )
    add_scope(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--format", choices=("password", "json", "env", "pgpass"), default="password", help="default: password"
    )
    form.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")


def run(options: argparse.Namespace) -> int:
    """Print the token."""
    user = logins.user_of(options.user)
    parameters = {"host": options.host or "", "user": user or ""}
    if options.format == "env":
        # Programs that are started later may connect to any server, unless an option names one.
        variables, login, _ = logins.access(Arguments([parameters], is_certain=bool(options.host)), options.scope)
        if login is not None:
            variables["PGPASSWORD"] = login.password
        terminal.data("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
        return 0
    only_password = options.format == "password"
    # The connection that will use the token is not known here; `--format env` has settings for it.
    plan = logins.PROGRAM.plan(parameters, scope=options.scope, allow_insecure_transport=True)
    found = logins.login(plan, user_known=only_password or user is not None)
    name = user or found.user or ""
    if options.format == "json":
        terminal.data(json.dumps({"user": name, "password": found.password, "expires_on": found.expires_on}))
    elif options.format == "pgpass":
        terminal.data(passfile.line(found.password, host=options.host or passfile.ANY, user=name))
    else:
        terminal.data(found.password)
    return 0
