"""`pgpass`: keeps a password file fresh, for programs that read it for every connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.arguments import SERVER
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Keeps a token in a password file fresh, for programs on libpq or asyncpg, which read the file for every connection.

The programs have to verify the server, or they may send the token to another one: use sslmode=verify-full, and
sslrootcert with Azure's root certificates. Settings in the environment are checked and logged.

  {PROGRAM} pgpass --file /run/app/pgpass --host {SERVER} --user orders
  {PROGRAM} pgpass --file /run/app/pgpass --host {SERVER} -- python -m synapse.app.homeserver"""

EPILOG: Final = """\
The file is replaced atomically and keeps its owner; its mode is 0600, because libpq ignores a file that others can
read. Other lines of the file are kept. A command gets PGPASSFILE, PGHOST, PGUSER, PGSSLMODE and PGSSLROOTCERT in its
environment, and the signals. While the identity service is unavailable, the existing token stays in the file. The log
on stderr has one JSON object per line. SIGTERM and SIGINT stop `pgpass`, SIGHUP makes it check the token at once.

exit codes: with a command, that of the command; otherwise 0 stopped by a signal or, with --once, the token is written;
1 otherwise"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--file", required=True, metavar="FILE", help="the password file, the programs' passfile")
    parser.add_argument(
        "--host",
        action="append",
        metavar="HOST",
        help="the server, as the programs name it; can be repeated; default: PGHOST",
    )
    parser.add_argument(
        "--user", metavar="ROLE", help="the role; by default PGUSER, else the user that the token names"
    )
    parser.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token; by default the server's")
    parser.add_argument(
        "--once", action="store_true", help="write the token once and exit, for cron and init containers"
    )
    parser.add_argument(
        "--health-file",
        metavar="FILE",
        help="a file that exists while the password file has a valid token; rewritten at least every minute",
    )
    parser.add_argument("command", nargs="*", metavar="-- COMMAND ...", help="command to run with the file")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Imported here, so that `help` and `completion` load only the arguments.
    from azure_postgresql_auth.cli.pgpass.service import run  # noqa: PLC0415

    return run(options)
