"""Whether a server refused a login for its token, and what its reader can do about it.

libpq gives no SQLSTATE for a login that is refused, only the server's words; asyncpg and pg8000 give both. So it is
decided from words that no other failure has. Azure's are listed in the documentation and in public reports of "Azure
Database for PostgreSQL: Microsoft Entra authentication"; the first ones are PostgreSQL's own, for any wrong password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_postgresql_auth._core import principal_of
from azure_postgresql_auth._engine import log
from azure_postgresql_auth.errors import AzurePgEntraError

if TYPE_CHECKING:
    from typing import Final

_WORDS: Final = ("password authentication failed for user", "access token", "aad_auth_tokentype")
_LIST: Final = "SELECT * FROM pgaadauth_list_principals(false)"
_DOCTOR: Final = "For a diagnosis, run: azure-postgresql-auth doctor"
_INVALID_PASSWORD: Final = "28P01"  # noqa: S105 - SQLSTATE, no password


def is_refusal(error: BaseException) -> bool:
    """Whether it is a server's refusal of a user name and password."""
    first = error.args[0] if error.args else None
    # pg8000 has the fields of the server's message, by their one-letter names.
    fields = first if isinstance(first, dict) else {}
    if _INVALID_PASSWORD in (getattr(error, "sqlstate", None), fields.get("C")):
        return True
    text = str(fields.get("M") or error).lower()
    return any(words in text for words in _WORDS)


def hint_for(text: str, *, user: str | None = None, named: str | None = None) -> str | None:
    """Return what to do about a refusal, None where there is nothing to add to the server's words.

    Args:
        text: the server's message.
        user: the role that was asked for.
        named: the role that the token names.
    """
    words = text.lower()
    if "aad_auth_tokentype" in words:
        return (
            "The role was created for another type of identity (user, group or service) than the token's. Compare both "
            f"with {_LIST}. {_DOCTOR}"
        )
    if "access token has expired" in words:
        return f"Check this machine's clock: a new token was expired by the server's. {_DOCTOR}"
    if "password authentication failed" not in words:
        return None
    if user and named and user != named and user.lower() == named.lower():
        return f'Role names are case-sensitive, and the token names "{named}": leave out the user, or write it so.'
    other = f' The token names "{named}"; without a user, that is the role.' if user and named and user != named else ""
    return (
        f"The server has no role of this name for this identity. Compare with {_LIST}; names are "
        f"case-sensitive.{other} {_DOCTOR}"
    )


def explain(error: BaseException, user: str | None, token: str) -> None:
    """Add to a refusal what its reader can do: as a note, or in its text where Python has no notes (before 3.11).

    Pools report a time-out of their own instead of the error that they met, so it is logged as well.
    """
    try:
        named = (principal_of(token) or (None, None))[1]
    except AzurePgEntraError:
        named = None
    text = str(error)
    hint = hint_for(text, user=user, named=named)
    if hint is None:
        return
    log.warn(f"{text.strip()}\n{hint}")
    if hasattr(error, "add_note"):
        error.add_note(hint)
    elif error.args and isinstance(error.args[0], str):
        error.args = (f"{error.args[0].rstrip()}\n{hint}", *error.args[1:])
