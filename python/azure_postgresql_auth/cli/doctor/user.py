"""Check the user name: the rule that it follows, and frequent problems with such names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth import core
from azure_postgresql_auth.cli.doctor import credential
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, WARNING, Advice, Context, Finding
from azure_postgresql_auth.errors import AzurePgEntraError, ScopePermissionError, UsernameExtractionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from azure_postgresql_auth.cli.token_info import TokenInfo

_LONGEST: Final = 63
"""Maximum length of a name in PostgreSQL, in bytes."""
_GUEST: Final = "#EXT#"
_GIVE: Final = "give the guest's name in the server's tenant as user=, which has the form"
_PRINT_NAME: Final = "`az ad signed-in-user show --query userPrincipalName` prints it"


def check(context: Context) -> Iterator[Finding]:
    """Determine the user name that is sent, and report doubts about it."""
    if context.plan.user:
        context.user = context.plan.user
        whose = f"; the token is of {context.info.who}" if context.info else ""
        yield Finding(OK, f"{context.user}, as given{whose}")
    elif context.info is not None and context.info.user:
        context.user = context.info.user
        yield Finding(OK, f"{context.user}, by the token's {context.info.rule} ({context.info.kind})")
    elif context.info is not None and context.info.guest:
        yield _guest(*context.info.guest)
        return
    else:
        yield from _by_management(context)
        if not context.user:
            return
    doubt = _doubt(context.user, context.info, context.endpoints[0].host)
    if doubt is not None:
        context.suspicion = doubt
        yield Finding(WARNING, doubt.cause, *doubt)


def _guest(account: str, role: str) -> Finding:
    cause = f"the token belongs to a guest and names only the home account, {account}, which is not the role's name"
    return Finding(FAILURE, cause, cause, f"{_GIVE} {role}; {_PRINT_NAME}")


def _by_management(context: Context) -> Iterator[Finding]:
    try:
        context.user = core.login(context.credential, context.scope).user or ""
    except (ScopePermissionError, UsernameExtractionError) as error:
        yield Finding(
            FAILURE,
            error.report.cause,
            "the token names no user, as those of service principals and groups do not",
            "name the role to log in as: user=... in the connection string, or PGUSER",
        )
        return
    except AzurePgEntraError as error:
        yield credential.failure(error)
        return
    yield Finding(
        OK, f"{context.user}, by a second token, for Azure Resource Manager: the database's token names no user"
    )


def _doubt(user: str, info: TokenInfo | None, host: str) -> Advice | None:
    """Return why the name may be wrong, and the remedy."""
    server = host.partition(".")[0]
    named = info.user if info else None
    if user != user.strip():
        return Advice(f'the user name "{user}" begins or ends with a space', f"user={user.strip()}")
    if server and user.lower().endswith(f"@{server.lower()}"):
        short = user[: -len(server) - 1]
        return Advice(f'"{user}" contains the server\'s name, as Single Server required', f"user={short}")
    if len(user.encode()) > _LONGEST:
        return Advice(
            f'"{user}" has more than {_LONGEST} bytes, and PostgreSQL cuts names there',
            "create the role with a shorter name with pgaadauth_create_principal_with_oid, and pass that as user=",
        )
    if named and user != named and user.lower() == named.lower():
        return Advice(
            f'"{user}" differs from the token\'s "{named}" in case, and role names are case-sensitive', f"user={named}"
        )
    return _guest_doubt(user, info) if info else None


def _guest_doubt(user: str, info: TokenInfo) -> Advice | None:
    if info.guest:
        account, role = info.guest
        if user.lower().rpartition("#")[2] == account.lower().rpartition("#")[2]:
            return Advice(
                f"\"{user}\" is a guest's home account, not the role's name", f"{_GIVE} {role}; {_PRINT_NAME}"
            )
    elif info.user and _GUEST in info.user and user.lower() == _home_name(info.user).lower():
        return Advice(f'"{user}" is a guest here, whose name is "{info.user}"', f"user='{info.user}'")
    return None


def _home_name(guest: str) -> str:
    """Return the home account of a guest, such as `ann_gmail.com#EXT#@contoso.onmicrosoft.com`."""
    name, _, domain = guest.partition(_GUEST)[0].rpartition("_")
    return f"{name}@{domain}"
