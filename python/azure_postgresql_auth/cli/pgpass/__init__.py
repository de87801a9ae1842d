"""`pgpass`: keeps a password file fresh, for programs that read it anew for every connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.arguments import SERVER
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Keeps a token in a password file fresh, for programs on libpq or asyncpg, which read it anew for every connection.

The programs have to verify the server themselves, or they send the token to whoever answers: sslmode=verify-full, and
sslrootcert with Azure's roots. The settings are checked as far as the environment has them, and printed.

  {PROGRAM} pgpass --file /run/app/pgpass --host {SERVER} --user orders
  {PROGRAM} pgpass --file /run/app/pgpass --host {SERVER} -- python -m synapse.app.homeserver"""

EPILOG: Final = """\
The file is replaced atomically, keeps its owner and has mode 0600, because libpq ignores one that others can read. Its
other lines stay. A command gets PGPASSFILE, PGHOST, PGUSER, PGSSLMODE and PGSSLROOTCERT, and the signals. While the
identity service is down, the token that there is serves on. The log is a JSON object on each line of stderr; SIGTERM
and SIGINT stop the command, SIGHUP makes it look at once.

exit codes: 0 told to stop, or with --once the token is written; 1 not so; the command's, if there is one"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--file", required=True, metavar="FILE", help="the password file: the programs' passfile")
    parser.add_argument(
        "--host",
        action="append",
        metavar="HOST",
        help="the server, as the programs name it; may be given again; by default PGHOST",
    )
    parser.add_argument("--user", metavar="ROLE", help="the role; by default PGUSER, else whom the token names")
    parser.add_argument("--scope", metavar="SCOPE", help="OAuth 2.0 scope of the token; by default the server's")
    parser.add_argument("--once", action="store_true", help="one round, for cron and init containers")
    parser.add_argument(
        "--health-file",
        metavar="FILE",
        help="a file that is there while the password file has a valid token, and new at least every minute",
    )
    parser.add_argument("command", nargs="*", metavar="-- COMMAND ...", help="what to run with the file")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Here, so that `help` and `completion` load no more than the arguments.
    from azure_postgresql_auth.cli.pgpass.service import run  # noqa: PLC0415

    return run(options)
