"""How a server refuses a login: one table of the kinds, by what they are recognized, and what to do about them.

libpq gives no SQLSTATE for a login that is refused, only the server's words; asyncpg and pg8000 give both. So a kind is
recognized by words that no other failure has, and only where none of them fit, as in another language, by its SQLSTATE.
Azure's are listed in the documentation ("Manage Microsoft Entra users in Azure Database for PostgreSQL") and in public
reports; the others are PostgreSQL's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth._core import principal_of
from azure_postgresql_auth._engine import log
from azure_postgresql_auth._redacted import removed
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    from typing import Final

_LIST: Final = "SELECT * FROM pgaadauth_list_principals(false)"
DOCTOR: Final = "For a diagnosis, run: azure-postgresql-auth doctor"


class Refusal:
    """One kind of refusal.

    Attributes:
        kind: its name here.
        words: what the server says, in lower case, each a text in which "…" stands for any others.
        sqlstate: the code that the server sends with it, "" where that says nothing.
        meaning: what it means.
        is_of_login: whether the server has refused user and password, so that another token may be accepted.
        hint: what to do, where that does not depend on the login.
    """

    __slots__ = ("hint", "is_of_login", "kind", "meaning", "sqlstate", "words")

    def __init__(  # noqa: PLR0913 - a row of the table
        self,
        kind: str,
        words: tuple[str, ...],
        meaning: str,
        *,
        sqlstate: str = "",
        is_of_login: bool = False,
        hint: str = "",
    ) -> None:
        self.kind = kind
        self.words = words
        self.meaning = meaning
        self.sqlstate = sqlstate
        self.is_of_login = is_of_login
        self.hint = hint


REFUSALS: Final = (
    Refusal(
        "wrong_type",
        ("aad_auth_tokentype",),
        "The role was created for another type of identity than the token's.",
        is_of_login=True,
        hint=(
            "The role was created for another type of identity (user, group or service) than the token's. Compare both "
            f"with {_LIST}. {DOCTOR}"
        ),
    ),
    Refusal(
        "wrong_role",
        ("password authentication failed for user",),
        "The server has no role of this name for this identity, or does not accept the password.",
        sqlstate="28P01",
        is_of_login=True,
    ),
    Refusal(
        "expired_token",
        ("access token has expired",),
        "The token has expired by the server's clock.",
        is_of_login=True,
        hint=f"Check this machine's clock: a new token was expired by the server's. {DOCTOR}",
    ),
    Refusal(
        "wrong_audience",
        ("access token … valid audience claim",),
        "The token is for another resource than this server.",
        is_of_login=True,
    ),
    Refusal(
        "not_a_token",
        ("access token has invalid format",),
        "The password is not a token, and the role is one of Microsoft Entra ID.",
        is_of_login=True,
    ),
    Refusal("no_object_id", ("access token … valid oid claim",), "The token has no object id.", is_of_login=True),
    Refusal(
        "token_not_accepted",
        ("validating the access token", "access token"),
        "The token was revoked, or it is of another tenant than the server's.",
        is_of_login=True,
    ),
    Refusal(
        "no_encryption",
        ("no pg_hba.conf entry … no encryption", "no pg_hba.conf entry … ssl off"),
        "The server requires TLS.",
    ),
    Refusal("no_access_rule", ("no pg_hba.conf entry",), "The server's access rules do not admit this client."),
    Refusal("no_database", ('database "…" does not exist',), "There is no such database.", sqlstate="3D000"),
    Refusal(
        "no_connect_right",
        ("permission denied for database", "does not have connect privilege"),
        "The role may not connect to the database.",
    ),
    Refusal("no_login_right", ("is not permitted to log in",), "The role may not log in."),
    Refusal(
        "wrong_parameter",
        ("unrecognized configuration parameter", "invalid value for parameter"),
        "A setting of the connection is not one that the server accepts.",
    ),
    Refusal(
        "no_free_connection",
        ("too many clients", "too many connections", "remaining connection slots"),
        "All of the server's connections are in use.",
        sqlstate="53300",
    ),
    Refusal(
        "not_ready",
        ("is starting up", "is shutting down", "not yet accepting", "recovery mode"),
        "The server is starting, stopping or recovering.",
        sqlstate="57P03",
    ),
)


def find(text: str, sqlstate: str | None = None) -> Refusal | None:
    """Return the kind of a refusal, None where it is not one of those that are known.

    Args:
        text: the server's message.
        sqlstate: the code that came with it.
    """
    lowered = text.lower()
    for refusal in REFUSALS:
        if any(_has(lowered, words) for words in refusal.words):
            return refusal
    return next((refusal for refusal in REFUSALS if sqlstate and refusal.sqlstate == sqlstate), None)


def _has(text: str, words: str) -> bool:
    start = 0
    for part in words.split("…"):
        found = text.find(part, start)
        if found < 0:
            return False
        start = found + len(part)
    return True


def of_error(error: BaseException) -> Refusal | None:
    """Return the kind of refusal that a driver's exception tells of."""
    first = error.args[0] if error.args else None
    # pg8000 has the fields of the server's message, by their one-letter names.
    fields = first if isinstance(first, dict) else {}
    return find(str(fields.get("M") or error), getattr(error, "sqlstate", None) or fields.get("C"))


def is_refusal(error: BaseException) -> bool:
    """Whether it is a server's refusal of a user name and password."""
    refusal = of_error(error)
    return refusal is not None and refusal.is_of_login


def hint_for(refusal: Refusal | None, *, user: str | None = None, named: str | None = None) -> str | None:
    """Return what to do about a refusal, None where there is nothing to add to the server's words.

    Args:
        refusal: its kind.
        user: the role that was requested.
        named: the role that the token names.
    """
    if refusal is None or refusal.kind != "wrong_role":
        return refusal.hint or None if refusal is not None else None
    if user and named and user != named and user.lower() == named.lower():
        return f'Role names are case-sensitive, and the token names "{named}": omit the user, or write it like that.'
    other = f' The token names "{named}"; without a user, that is the role.' if user and named and user != named else ""
    return (
        f"The server has no role of this name for this identity. Compare with {_LIST}; names are "
        f"case-sensitive.{other} {DOCTOR}"
    )


def explain(error: BaseException, user: str | None, token: str) -> None:
    """Add to a refusal what its reader can do: as a note, or in its arguments where Python has no notes (before 3.11).

    Pools report a time-out of their own instead of the error that they met, so it is logged as well.
    """
    try:
        named = (principal_of(token) or (None, None))[1]
    except AzurePgEntraError:
        named = None
    hint = hint_for(of_error(error), user=user, named=named)
    if hint is None:
        return
    log.warn(removed(token, f"{str(error).strip()}\n{hint}"))
    if hasattr(error, "add_note"):
        error.add_note(hint)
    elif error.args and isinstance(error.args[0], str):
        error.args = (f"{error.args[0].rstrip()}\n{hint}", *error.args[1:])
    else:
        # pg8000's errors have the server's fields, and no text.
        error.args = (*error.args, hint)
