"""Whether a server refused a login for its token.

libpq gives no SQLSTATE for a login that is refused, only the server's words; asyncpg and pg8000 give both. So it is
decided from words that no other failure has. Azure's are listed in the documentation and in public reports of "Azure
Database for PostgreSQL: Microsoft Entra authentication"; the first ones are PostgreSQL's own, for any wrong password.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs milliseconds of start-up
if TYPE_CHECKING:
    from typing import Final

_WORDS: Final = ("password authentication failed for user", "access token", "aad_auth_tokentype")
_INVALID_PASSWORD: Final = "28P01"  # noqa: S105 - SQLSTATE, no password


def is_refusal(error: BaseException) -> bool:
    """Whether it is a server's refusal of a user name and password."""
    told = error.args[0] if error.args else None
    # pg8000 has the fields of the server's message, by their one-letter names.
    fields = told if isinstance(told, dict) else {}
    if _INVALID_PASSWORD in (getattr(error, "sqlstate", None), fields.get("C")):
        return True
    text = str(fields.get("M") or error).lower()
    return any(words in text for words in _WORDS)
