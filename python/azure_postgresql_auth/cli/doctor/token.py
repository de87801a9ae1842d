"""Check whether the server accepts the token, by its audience, tenant and lifetime."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import decode_jwt
from azure_postgresql_auth.cli import token_info
from azure_postgresql_auth.cli.doctor import clocks
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, PASSED_OVER, WARNING, Advice, Context, Finding
from azure_postgresql_auth.errors import TokenDecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_POOLER: Final = 6432
_POOLER_LIMIT: Final = 2047
"""Characters that PgBouncer 1.17 and 1.18 accept in a password; older versions accept fewer."""
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def check(context: Context) -> Iterator[Finding]:
    """Read the claims as the server does."""
    token = context.token or str(context.plan.password or "")
    try:
        context.info = info = token_info.read(token, decode_jwt(token))
    except TokenDecodeError as error:
        if context.token:
            yield Finding(
                FAILURE,
                str(error),
                "the credential's token is not a JWT",
                "check the credential: it does not return tokens of Entra ID",
            )
        else:
            yield Finding(PASSED_OVER, "the given password is not a token")
        return
    yield from _dates(context, info)
    if info.audience_problem:
        wanted = context.scope.removesuffix("/.default")
        yield Finding(
            FAILURE, info.audience_problem, info.audience_problem, f"request one with the scope {wanted}/.default"
        )
    elif info.audience.rstrip("/") != context.scope.removesuffix("/.default"):
        yield Finding(
            FAILURE,
            f"the token is for the {info.cloud} cloud",
            f"the token is for the {info.cloud} cloud ({info.audience}), and the server is of another",
            "check the server's name and AZURE_AUTHORITY_HOST",
        )
    yield from _tenant(info)
    yield from _length(context, info)


def _dates(context: Context, info: token_info.TokenInfo) -> Iterator[Finding]:
    """Compare the token's dates with this machine's clock. The clock may be wrong, so the login decides."""
    clock = None if context.plan.has_credentials else clocks.compared(context.link)
    if clock is not None:
        yield clock
    if info.life_problem:
        if clock is not None and clock.status == WARNING:
            context.expired = Advice(clock.cause, clock.remedy)
        elif context.plan.has_credentials:
            context.expired = Advice(info.life_problem, "omit the password, so that each login gets a new token")
        else:
            context.expired = Advice(info.life_problem, clocks.REMEDY)
        yield Finding(WARNING, f"{info.life_problem}, by this machine's clock", *context.expired)


def _tenant(info: token_info.TokenInfo) -> Iterator[Finding]:
    tenant, wanted = str(info.claims.get("tid") or ""), os.environ.get("AZURE_TENANT_ID", "")
    if _ID.fullmatch(wanted) and tenant and wanted.lower() != tenant.lower():
        yield Finding(
            WARNING,
            f"tenant {tenant}, but AZURE_TENANT_ID is {wanted}",
            f"the token is of the tenant {tenant}, not of the one in AZURE_TENANT_ID ({wanted})",
            "a server accepts tokens of its own tenant only: check which one that is, and sign in there",
        )


def _length(context: Context, info: token_info.TokenInfo) -> Iterator[Finding]:
    facts = info.as_dict()
    valid = info.expires is not None and not info.life_problem
    left = f", good for {token_info.span((info.expires or 0) - info.now)}" if valid else ""
    long = info.length > _POOLER_LIMIT
    hint = f" (PgBouncer 1.18 takes {_POOLER_LIMIT:,})" if long else ""
    saw = f"for {info.audience}, tenant {facts['tenant']}{left}, {info.length:,} characters{hint}"
    if long and context.reached and context.reached[0].port == _POOLER:
        yield Finding(
            WARNING,
            saw,
            f"the token has {info.length:,} characters, and PgBouncer 1.18 takes {_POOLER_LIMIT:,}",
            "if logins through port 6432 fail, connect to the server's own, 5432, or update PgBouncer",
        )
    else:
        yield Finding(OK, saw)
