"""The command line, `azure-postgresql-auth`: a token for any tool, and an answer to "why can't I log in?".

Data goes to stdout, everything else to stderr. No token is ever in the arguments of a program, nor in what `doctor`
prints. Each command is a module of its own that is loaded when it is called; none needs more than the base
installation, but for the server's own part of `doctor`, which needs one of the drivers, and for `emulator`.
"""

from __future__ import annotations

from azure_postgresql_auth.cli._main import main

__all__ = ["main"]
