"""Whether the token is one that this server takes, now and from this tenant."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import decode_jwt
from azure_postgresql_auth.cli import token_info
from azure_postgresql_auth.cli.doctor import clocks
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, PASSED_OVER, WARNING, Advice, Case, Finding
from azure_postgresql_auth.errors import TokenDecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_POOLER: Final = 6432
_POOLER_LIMIT: Final = 2047
"""Characters that PgBouncer 1.17 and 1.18 take in a password; older ones take less."""
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def check(case: Case) -> Iterator[Finding]:
    """Reads the claims as the server will."""
    token = case.token or str(case.plan.password or "")
    try:
        case.facts = facts = token_info.read(token, decode_jwt(token))
    except TokenDecodeError as error:
        if case.token:
            yield Finding(
                FAILURE, str(error), "the credential's token is no JWT", "check the credential: it is not Entra ID's"
            )
        else:
            yield Finding(PASSED_OVER, "the password that was given is no token")
        return
    yield from _dates(case, facts)
    if facts.audience_problem:
        wanted = case.scope.removesuffix("/.default")
        yield Finding(
            FAILURE, facts.audience_problem, facts.audience_problem, f"ask for one with the scope {wanted}/.default"
        )
    elif facts.audience.rstrip("/") != case.scope.removesuffix("/.default"):
        yield Finding(
            FAILURE,
            f"the token is for the {facts.cloud} cloud",
            f"the token is for the {facts.cloud} cloud ({facts.audience}), and the server is of another",
            "check the server's name and AZURE_AUTHORITY_HOST",
        )
    yield from _tenant(facts)
    yield from _length(case, facts)


def _dates(case: Case, facts: token_info.Facts) -> Iterator[Finding]:
    """Compare the token's dates with this machine's clock, which may be the one that is wrong: the login decides."""
    clock = None if case.plan.has_credentials else clocks.compared(case.link)
    if clock is not None:
        yield clock
    if facts.life_problem:
        if clock is not None and clock.status == WARNING:
            case.expired = Advice(clock.cause, clock.remedy)
        elif case.plan.has_credentials:
            case.expired = Advice(facts.life_problem, "leave the password out, so that each login gets a new token")
        else:
            case.expired = Advice(facts.life_problem, clocks.REMEDY)
        yield Finding(WARNING, f"{facts.life_problem}, by this machine's clock", *case.expired)


def _tenant(facts: token_info.Facts) -> Iterator[Finding]:
    tenant, wanted = str(facts.claims.get("tid") or ""), os.environ.get("AZURE_TENANT_ID", "")
    if _ID.fullmatch(wanted) and tenant and wanted.lower() != tenant.lower():
        yield Finding(
            WARNING,
            f"tenant {tenant}, but AZURE_TENANT_ID is {wanted}",
            f"the token is of the tenant {tenant}, not of the one in AZURE_TENANT_ID ({wanted})",
            "a server takes tokens of its own tenant alone: check which one that is, and sign in there",
        )


def _length(case: Case, facts: token_info.Facts) -> Iterator[Finding]:
    told = facts.told()
    valid = facts.expires is not None and not facts.life_problem
    left = f", good for {token_info.span((facts.expires or 0) - facts.now)}" if valid else ""
    long = facts.length > _POOLER_LIMIT
    hint = f" (PgBouncer 1.18 takes {_POOLER_LIMIT:,})" if long else ""
    saw = f"for {facts.audience}, tenant {told['tenant']}{left}, {facts.length:,} characters{hint}"
    if long and case.reached and case.reached[0].port == _POOLER:
        yield Finding(
            WARNING,
            saw,
            f"the token has {facts.length:,} characters, and PgBouncer 1.18 takes {_POOLER_LIMIT:,}",
            "if logins through port 6432 fail, connect to the server's own, 5432, or update PgBouncer",
        )
    else:
        yield Finding(OK, saw)
