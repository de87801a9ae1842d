"""`token`: a token, or a user and a token, for any tool."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import logins, passfile, terminal

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Prints it."""
    user = logins.said_user(options.user)
    parameters = {"host": options.host or "", "user": user or ""}
    if options.format == "env":
        # A program that is started later may connect to any place, unless the command names one.
        variables, login, _ = logins.access(parameters, options.scope, is_certain=bool(options.host))
        if login is not None:
            variables["PGPASSWORD"] = login.password
        terminal.data("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
        return 0
    only_password = options.format == "password"
    # Where it will be used is not known here; what a connection must be like, `--format env` says.
    plan = logins.PROGRAM.plan(parameters, scope=options.scope, allow_insecure_transport=True)
    had = logins.login(plan, user_known=only_password or user is not None)
    name = user or had.user or ""
    if options.format == "json":
        terminal.data(json.dumps({"user": name, "password": had.password, "expires_on": had.expires_on}))
    elif options.format == "pgpass":
        terminal.data(passfile.line(had.password, host=options.host or passfile.ANY, user=name))
    else:
        terminal.data(had.password)
    return 0
