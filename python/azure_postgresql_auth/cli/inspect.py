"""`inspect`: a token's claims, for a person."""

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
Says what is in a token: who, for what, until when, and which user name it gives. A token that is given needs no
network.

  pbpaste | {PROGRAM} inspect -"""

EPILOG: Final = """\
exit codes: 0 good for a login now, as far as can be seen; 1 not (expired, another audience, no token at all)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "token",
        nargs="?",
        metavar="TOKEN|-",
        help="a token, or - to read it from stdin, where nobody sees it; by default the one that logins would use",
    )
    add_scope(parser)
    parser.add_argument("--json", action="store_true", help="the same for a program")


def run(options: argparse.Namespace) -> int:
    """Prints what is in it."""
    if options.token is None:
        plan = logins.PROGRAM.plan({"host": options.host or ""}, scope=options.scope, allow_insecure_transport=True)
        token = logins.login(plan, user_known=True).password
    elif options.token == "-":  # noqa: S105 - stdin
        token = sys.stdin.read()
    else:
        token = options.token
        terminal.note("a token on a command line is seen by others on this machine; `inspect -` reads it from stdin")
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
