"""`exec`: a program on libpq, logged in for as long as it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from azure_postgresql_auth import core
from azure_postgresql_auth.cli import argv, child, logins, passfile
from azure_postgresql_auth.cli.failure import Failure

if TYPE_CHECKING:
    import argparse

_PASSWORD = "PGPASSWORD"  # noqa: S105 - a variable's name


def run(options: argparse.Namespace) -> int:
    """Run the program to its end."""
    command = options.command
    if not command:
        raise Failure("exec: what to run is missing, for instance: exec -- psql", logins.USAGE)
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
