"""`doctor`: checks every step of a login, and reports for each what it found and what to do.

Each step is a module with a function `check`, which takes the context and returns findings. A step is skipped if it
depends on an earlier one that failed. The last line names the cause and its remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.arguments import SERVER
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Checks every step of a login, and reports what it found, how long it took and what to do; at the end it names the cause
and the remedy, with SQL where that is the remedy. It changes nothing, and prints no token and no secret.

  {PROGRAM} doctor "host={SERVER} dbname=postgres"

Takes libpq's connection strings and URIs, and the URLs of SQLAlchemy, Django and asyncpg. Without one, it reads PGHOST
and the other variables of libpq."""

EPILOG: Final = """\
exit codes: 0 the login works, perhaps with warnings; 3 nothing wrong was found, but there is no driver to log in with;
the first step that failed: 10 installation, 11 settings, 12 name, 13 connection, 14 tls, 15 credential, 16 token,
17 user, 18 login"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("conninfo", nargs="?", default="", metavar="CONNINFO", help="a connection string")
    parser.add_argument("--json", action="store_true", help="the same for a program or a support ticket")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Imported here, so that `help` and `completion` load only the arguments.
    from azure_postgresql_auth.cli.doctor.runner import run  # noqa: PLC0415

    return run(options)
