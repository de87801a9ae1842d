"""`inspect`: shows a token's claims."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import decode_jwt
from azure_postgresql_auth.cli import logins, terminal, token_info
from azure_postgresql_auth.cli.arguments import add_scope
from azure_postgresql_auth.cli.terminal import PROGRAM

if TYPE_CHECKING:
    import argparse
    from typing import Final

DESCRIPTION: Final = f"""\
Shows what is in a token: its principal, audience, lifetime and user name. For a token that is passed as the argument,
no network is needed.

  pbpaste | {PROGRAM} inspect -"""

EPILOG: Final = """\
exit codes: 0 the token looks valid for a login now; 1 it is not (expired, for another audience, not a token)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "token",
        nargs="?",
        metavar="TOKEN|-",
        help="a token, or - to read it from stdin, where other users cannot see it; by default the token of a login",
    )
    add_scope(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(options: argparse.Namespace) -> int:
    """Print what is in the token."""
    if options.token is None:
        plan = logins.PROGRAM.plan({"host": options.host or ""}, scope=options.scope, allow_insecure_transport=True)
        token = logins.login(plan, user_known=True).password
    elif options.token == "-":  # noqa: S105 - stdin
        token = sys.stdin.read()
    else:
        token = options.token
        terminal.note("other users of this machine can see a token on a command line; `inspect -` reads it from stdin")
    token = "".join(token.split()).removeprefix("Bearer")
    info = token_info.read(token, decode_jwt(token))
    problems = [problem for problem in (info.audience_problem, info.life_problem) if problem]
    if options.json:
        terminal.data(json.dumps({**info.as_dict(), "problems": problems, "claims": info.claims}, indent=2))
        return 1 if problems else 0
    for name, value in info.lines():
        label = f"{terminal.printable(name, keep=''):<12}"
        terminal.data(terminal.painted(label, "bold", sys.stdout) + terminal.printable(value, keep=""))
    for problem in problems:
        terminal.complain(terminal.printable(problem, keep=""))
    return 1 if problems else 0
