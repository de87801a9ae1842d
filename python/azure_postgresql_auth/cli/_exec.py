"""`exec`: a program on libpq, logged in."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli import _argv, _login
from azure_postgresql_auth.cli._failure import Failure

if TYPE_CHECKING:
    import argparse

_CANNOT_RUN, _NOT_FOUND = 126, 127
"""A shell's exit codes."""


def run(options: argparse.Namespace) -> int:
    """Becomes the program; returns only where that fails."""
    command = options.command
    if not command:
        raise Failure("exec: what to run is missing, for instance: exec -- psql", _login.USAGE)
    variables = _login.environment(_argv.parameters(command), options.scope)
    sys.stdout.flush()
    try:
        # In its place, so that nothing stands between it and its signals, its terminal and its exit code.
        os.execvpe(command[0], command, {**os.environ, **variables})  # noqa: S606 - the user's own command
    except FileNotFoundError as error:
        raise Failure(f"exec: {command[0]} is not installed or not on PATH", _NOT_FOUND) from error
    except OSError as error:
        raise Failure(f"exec: {command[0]} cannot be run: {error.strerror}", _CANNOT_RUN) from error
