"""`pgbouncer`: keeps the tokens in PgBouncer's userlist fresh.

PgBouncer logs in to the server with the password that its `auth_file` has for a user. Each look asks for every
identity's token, which the library renews ahead of its expiry; one that is new is written, and PgBouncer is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.arguments import SERVER, add_scope
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Keeps the tokens in PgBouncer's auth_file fresh, and tells PgBouncer of new ones. Other users' lines stay.

  {PROGRAM} pgbouncer --auth-file /etc/pgbouncer/userlist.txt --pid-file /run/pgbouncer/pgbouncer.pid
  {PROGRAM} pgbouncer --auth-file userlist.txt --once --identity orders=CLIENT_ID --identity billing=CLIENT_ID
  {PROGRAM} pgbouncer --auth-file /etc/pgbouncer/userlist.txt --host {SERVER} --ini > pgbouncer.ini"""

EPILOG: Final = """\
Run it as PgBouncer's user, or as root where only root can write the folder. The file is replaced atomically and keeps
its owner, group and mode, without what is wider than 0640. --pid-file reaches only a process that is PgBouncer; use
--admin-dsn where PgBouncer runs in another container. A token that the installed PgBouncer would not take for its
length is not written. While the identity service is down, the tokens that there are serve on. The log is a JSON object
on each line of stderr; SIGTERM and SIGINT stop the command, SIGHUP makes it look at once.

exit codes: 0 told to stop, or with --once all tokens are written and PgBouncer told; 1 not so"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--auth-file", required=True, metavar="FILE", help="PgBouncer's auth_file")
    telling = parser.add_mutually_exclusive_group()
    telling.add_argument("--pid-file", metavar="FILE", help="PgBouncer's pidfile: SIGHUP is sent there")
    telling.add_argument("--admin-dsn", metavar="CONNINFO", help="its admin console: it is told by RELOAD")
    parser.add_argument(
        "--identity",
        action="append",
        default=[],
        metavar="ROLE[=CLIENT_ID]",
        help="a role, and the client id of the managed or workload identity that logs in as it; may be given again; "
        "by default whom the default credential names",
    )
    add_scope(parser)
    parser.add_argument("--once", action="store_true", help="one round, for cron and init containers")
    parser.add_argument(
        "--health-file",
        metavar="FILE",
        help="a file that is there while PgBouncer has valid tokens for all roles, and new at least every minute",
    )
    parser.add_argument("--ini", action="store_true", help="print a pgbouncer.ini to start from, and end")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Here, so that `help` and `completion` load no more than the arguments.
    from azure_postgresql_auth.cli.pgbouncer.refresher import run  # noqa: PLC0415

    return run(options)
