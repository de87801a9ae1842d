"""The command `proxy`, which logs in for programs in any language.

Python parses the arguments, opens the listening sockets and waits. The Rust core does everything else, on threads of
its own.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.arguments import SERVER
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    from typing import Any, Final

_PREFIX: Final = "AZURE_POSTGRESQL_AUTH_PROXY_"
_ON: Final = ("1", "true", "yes", "on")
"""Values of a switch's variable that turn it on. With any other, the proxy stays as closed as it is by default."""
_MAX_CONNECTIONS: Final = 1000
_HIGHEST_COUNT: Final = 1_000_000
_LONGEST: Final = 31_536_000
"""Seconds; a year."""

DESCRIPTION: Final = f"""\
Logs in for programs in any language. They connect to this machine without a password; the proxy connects to the server
over verified TLS and logs in with a token. One client connection is one server connection.

  {PROGRAM} proxy {SERVER} --socket /run/orders
  {PROGRAM} proxy {SERVER} --listen 127.0.0.1:6543
  {PROGRAM} proxy orders=a.postgres.database.azure.com billing=b.postgres.database.azure.com --socket /run/databases
  {PROGRAM} proxy {SERVER} --user orders -- metabase.sh"""

EPILOG: Final = f"""\
Clients log in as the role that they name, by default as the role that the token names. With a command, the proxy
listens on a private socket unless --socket or --listen is given, sets PGHOST, PGPORT and, if they are pinned, PGUSER
and PGDATABASE, and ends with the command. Without a command it serves until SIGTERM or SIGINT, and on SIGHUP reads the
files of passwords and certificates again.

Every option has an environment variable: {_PREFIX}LISTEN for --listen and so on, and
{_PREFIX}SERVERS for the servers, separated by spaces. Socket activation by systemd is supported.

The log is a JSON object on each line of stderr.

exit codes: 0 after a signal; with a command its own code, or 128 plus the number of the signal that killed it, 126 if
it cannot be run and 127 if it is not found; 1 if the proxy cannot start; 2 if an argument is invalid"""


def _default(option: str, fallback: Any = None) -> Any:
    """Return the value of an option's variable, which argparse converts as it does arguments."""
    return os.environ.get(_PREFIX + option.lstrip("-").replace("-", "_").upper()) or fallback


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _HIGHEST_COUNT):
        message = f"{text!r}: expected a number from 1 to {_HIGHEST_COUNT}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    # Not a number is not within it, either.
    if not 0 <= seconds <= _LONGEST:
        message = f"{text!r}: expected a number of seconds from 0 to {_LONGEST}"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _given(text: str) -> str:
    if not text:
        message = "it is empty; give a value, or leave the option out"
        raise argparse.ArgumentTypeError(message)
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "servers",
        nargs="*",
        default=(_default("servers") or "").split(),
        metavar="[NAME=]HOST[:PORT]",
        help="the server; several servers need names, and get a folder or a port each",
    )
    for option, metavar, text in (
        ("--socket", "DIR", "listen on a Unix socket in this folder; only this user can connect"),
        (
            "--listen",
            "[HOST:]PORT",
            "listen on TCP, by default at 127.0.0.1; further servers get the ports that follow",
        ),
        ("--user", "ROLE", "the only role that clients may log in as, and the default"),
        ("--database", "NAME", "the only database that clients may use, and the default"),
        ("--password-file", "FILE", "the clients' passwords (SCRAM-SHA-256): lines of USER:PASSWORD, mode 0600"),
        ("--tls-cert", "FILE", "certificate for TLS with clients, PEM with its chain"),
        ("--tls-key", "FILE", "its private key, PEM, mode 0600"),
        ("--sslrootcert", "FILE", "root certificates of the servers; default: Azure's, for Azure's host names"),
        ("--scope", "SCOPE", "OAuth 2.0 scope of the tokens; default: by the servers' names"),
        ("--http", "[HOST:]PORT", "serve /livez, /readyz and /metrics (Prometheus)"),
        ("--health-file", "FILE", "a file that exists while the proxy is ready, rewritten at least every minute"),
    ):
        parser.add_argument(option, type=_given, metavar=metavar, default=_default(option), help=text)
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        default=str(_default("--allow-remote")).lower() in _ON,
        help="listen on addresses that other machines can reach; needs --password-file, --tls-cert and --tls-key",
    )
    parser.add_argument(
        "--max-connections",
        type=_count,
        default=_default("--max-connections", str(_MAX_CONNECTIONS)),
        metavar="COUNT",
        help=(
            f"the greatest number of sessions, and of clients that have not yet said who they are; default: "
            f"{_MAX_CONNECTIONS}"
        ),
    )
    for option, seconds, text in (
        ("--client-timeout", 10, "time for a client to say, and prove, who it is"),
        ("--login-timeout", 30, "time for the login to the server after that, including a token"),
        ("--stop-timeout", 30, "time for open connections to end when the proxy stops"),
    ):
        parser.add_argument(
            option,
            type=_seconds,
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
