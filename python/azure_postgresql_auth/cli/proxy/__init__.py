"""The command `proxy`, which logs in for programs in any language.

Python parses the arguments, opens the listening sockets and waits. The Rust core does everything else, on threads of its
own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.arguments import SERVER
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Any, Final

_PREFIX: Final = "AZURE_POSTGRESQL_AUTH_PROXY_"

DESCRIPTION: Final = f"""\
Logs in for programs in any language: they connect to this machine, without a password, and the proxy connects to the
server over verified TLS and logs in with a token. One client connection is one server connection.

  {PROGRAM} proxy {SERVER} --socket /run/orders
  {PROGRAM} proxy {SERVER} --listen 127.0.0.1:6543
  {PROGRAM} proxy orders=a.postgres.database.azure.com billing=b.postgres.database.azure.com --socket /run/databases
  {PROGRAM} proxy {SERVER} --user orders -- metabase.sh"""

EPILOG: Final = f"""\
Clients log in as the role that they name; one that names none gets the role that the token names. With a command, the
proxy listens on a socket of its own unless told otherwise, sets PGHOST, PGPORT and, where they are pinned, PGUSER and
PGDATABASE, and ends with the command. Without one it serves until SIGTERM or SIGINT.

Every option can be given by a variable as well: {_PREFIX}LISTEN for --listen and so on, and
{_PREFIX}SERVERS for the servers, separated by spaces. Sockets of systemd are served, too.

The log is a JSON object on each line of stderr.

exit codes: 0 told to stop; the command's (128 and the signal's number where one killed it); 126 and 127 where it cannot
be run or found; 1 where the proxy does not start"""


def _default(option: str, fallback: Any = None) -> Any:
    """Read an option's variable; argparse converts texts as it does arguments."""
    return os.environ.get(_PREFIX + option.lstrip("-").replace("-", "_").upper()) or fallback


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "servers",
        nargs="*",
        default=(_default("servers") or "").split(),
        metavar="[NAME=]HOST[:PORT]",
        help="the server; several have names, and a folder or a port each",
    )
    for option, metavar, text in (
        ("--socket", "DIR", "listen on a Unix socket in this folder, which only this user can connect to"),
        ("--listen", "[HOST:]PORT", "listen on TCP; further servers get the ports that follow"),
        ("--user", "ROLE", "the only role that clients may log in as; also for those that name none"),
        ("--database", "NAME", "the only database that clients may use; also for those that name none"),
        ("--password-file", "FILE", "lines of USER:PASSWORD that clients must know (SCRAM-SHA-256), mode 0600"),
        ("--tls-cert", "FILE", "certificate for TLS towards clients, PEM with its chain"),
        ("--tls-key", "FILE", "its private key, PEM, mode 0600"),
        ("--sslrootcert", "FILE", "root certificates of servers; by default Azure's, for hosts named like Azure's"),
        ("--scope", "SCOPE", "OAuth 2.0 scope of the tokens; by default the servers'"),
        ("--http", "[HOST:]PORT", "answer /livez, /readyz and /metrics (Prometheus) there"),
        ("--health-file", "FILE", "a file that is there while the proxy is ready, and new at least every minute"),
    ):
        parser.add_argument(option, metavar=metavar, default=_default(option), help=text)
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        default=_default("--allow-remote") is not None,
        help="listen on addresses that other machines reach; needs --password-file, --tls-cert and --tls-key",
    )
    parser.add_argument(
        "--max-connections",
        type=int,
        default=_default("--max-connections", "1000"),
        metavar="COUNT",
        help="connections at once; default: 1000",
    )
    for option, seconds, text in (
        ("--client-timeout", 10, "time until a client has said, and proved, who it is"),
        ("--login-timeout", 30, "time that a login may take after that"),
        ("--stop-timeout", 30, "time that open connections have to end when the proxy stops"),
    ):
        parser.add_argument(
            option,
            type=float,
            default=_default(option, str(seconds)),
            metavar="SECONDS",
            help=f"{text}; default: {seconds}",
        )
    parser.add_argument("command", nargs="*", metavar="-- COMMAND ...", help="what to run inside")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Here, so that `help` and `completion` load no more than the arguments.
    from azure_postgresql_auth.cli.proxy.service import run  # noqa: PLC0415

    return run(options)
