"""`pgbouncer`: keeps the tokens in PgBouncer's userlist fresh.

PgBouncer logs in to the server with the password that its `auth_file` has for a user. The command regularly obtains
each identity's token, which the library renews before it expires, writes new ones to the file and makes PgBouncer
reload it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.arguments import SERVER, add_scope
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Keeps the tokens in PgBouncer's auth_file fresh, and makes PgBouncer reload it. Other users' lines are kept.

  {PROGRAM} pgbouncer --auth-file /etc/pgbouncer/userlist.txt --pid-file /run/pgbouncer/pgbouncer.pid
  {PROGRAM} pgbouncer --auth-file userlist.txt --once --identity orders=CLIENT_ID --identity billing=CLIENT_ID
  {PROGRAM} pgbouncer --auth-file /etc/pgbouncer/userlist.txt --host {SERVER} --ini > pgbouncer.ini"""

EPILOG: Final = """\
Run it as PgBouncer's user, or as root if only root can write to the folder. The file is replaced atomically and keeps
its owner, group and mode, except that the mode is restricted to 0640. --pid-file signals a process only if it is
PgBouncer; use --admin-dsn if PgBouncer runs in another container. A token that is too long for the installed PgBouncer
is not written. While the identity service is unavailable, the existing tokens stay in the file. The log on stderr has
one JSON object per line. SIGTERM and SIGINT stop the command, SIGHUP makes it check the tokens at once.

exit codes: 0 stopped by a signal or, with --once, all tokens are written and PgBouncer has reloaded them;
1 otherwise"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--auth-file", required=True, metavar="FILE", help="PgBouncer's auth_file")
    reload = parser.add_mutually_exclusive_group()
    reload.add_argument("--pid-file", metavar="FILE", help="PgBouncer's pidfile; SIGHUP is sent to that process")
    reload.add_argument("--admin-dsn", metavar="CONNINFO", help="PgBouncer's admin console; RELOAD is sent there")
    parser.add_argument(
        "--identity",
        action="append",
        default=[],
        metavar="ROLE[=CLIENT_ID]",
        help="a role, and the client id of the managed or workload identity that logs in as it; can be repeated; "
        "by default the role and identity of the default credential",
    )
    add_scope(parser)
    parser.add_argument(
        "--once", action="store_true", help="write the tokens once and exit, for cron and init containers"
    )
    parser.add_argument(
        "--health-file",
        metavar="FILE",
        help="a file that exists while PgBouncer has valid tokens for all roles; rewritten at least every minute",
    )
    parser.add_argument("--ini", action="store_true", help="print an example pgbouncer.ini and exit")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Imported here, so that `help` and `completion` load only the arguments.
    from azure_postgresql_auth.cli.pgbouncer.refresher import run  # noqa: PLC0415

    return run(options)
