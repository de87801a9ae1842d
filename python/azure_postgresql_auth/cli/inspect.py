"""`inspect`: a token's claims, for a person."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import decode_jwt
from azure_postgresql_auth.cli import logins, terminal, token_info

if TYPE_CHECKING:
    import argparse


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
    facts = token_info.read(token, decode_jwt(token))
    problems = [problem for problem in (facts.audience_problem, facts.life_problem) if problem]
    if options.json:
        terminal.data(json.dumps({**facts.told(), "problems": problems, "claims": facts.claims}, indent=2))
        return 1 if problems else 0
    for name, value in facts.lines():
        label = f"{terminal.printable(name, keep=''):<12}"
        terminal.data(terminal.painted(label, "bold", sys.stdout) + terminal.printable(value, keep=""))
    for problem in problems:
        terminal.complain(terminal.printable(problem, keep=""))
    return 1 if problems else 0
