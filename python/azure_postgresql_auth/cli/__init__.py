"""The command line `azure-postgresql-auth`: logins for any tool, and diagnostics for logins that fail.

Data goes to stdout, everything else to stderr. No token is ever in the arguments of a program, nor in what `doctor`
prints. Each command is a module of its own that is loaded when it is called; none needs more than the base
installation, but for the server's own part of `doctor`, which needs one of the drivers, and for `emulator`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DAMAGED = """\
azure-postgresql-auth: the installation of azure-postgresql-auth-rs is incomplete: {reason}
Another distribution has replaced or removed files of azure_postgresql_auth, as azure-postgresql-auth does, which has
the same import name. Uninstall both, then install azure-postgresql-auth-rs again:
  pip uninstall azure-postgresql-auth azure-postgresql-auth-rs
"""
_DOCTOR_FOUND_IT = 10
"""`doctor`'s exit code for its step "installation"."""
_INTERRUPTED = 130
"""A shell's exit code for a program that SIGINT ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; by default the process's own.

    Returns:
        The exit code.
    """
    # This module imports nothing of the package before: Microsoft's has files of the same names.
    try:
        from azure_postgresql_auth import _core  # noqa: F401, PLC0415 - finds out
        from azure_postgresql_auth.cli import dispatch  # noqa: PLC0415
    except ImportError as error:
        # The error of `_core` says all of this itself; its cause is what it has found.
        sys.stderr.write(_DAMAGED.format(reason=error.__cause__ or error))
        given = sys.argv[1:] if arguments is None else arguments
        return _DOCTOR_FOUND_IT if "doctor" in given else 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return dispatch.main(arguments)
