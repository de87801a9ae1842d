"""A token, and what a program on libpq has to be told so that it logs in with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from azure_postgresql_auth import core, tls
from azure_postgresql_auth._params import said_in
from azure_postgresql_auth.cli import _terminal
from azure_postgresql_auth.cli._failure import Failure

if TYPE_CHECKING:
    from azure_postgresql_auth._core import Login, Said

USAGE = 2
"""argparse's exit code for arguments that cannot be."""


def login(said: Said, scope: str | None = None, *, user_known: bool | None = None) -> Login:
    """The login that what was said calls for.

    Args:
        said: what was said.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.
        user_known: the token's claims are not looked at; by default so where a user was said.
    """
    try:
        chosen = scope or said.scope
        with _terminal.waiting("waiting for a token"):
            return core.login(None, chosen, user_known=said.user is not None if user_known is None else user_known)
    except ValueError as error:
        # Hosts of two clouds, or a variable whose value means nothing.
        raise Failure(str(error).replace("scope=", "--scope"), USAGE) from error


class Access(NamedTuple):
    """What makes a program on libpq log in."""

    variables: dict[str, str]
    """All but the password."""
    login: Login | None
    """The password; None where the program has user and password of its own."""
    scope: str
    """OAuth 2.0 scope of the tokens that follow."""


def access(parameters: dict[str, str], scope: str | None = None) -> Access:
    """Return what makes a program on libpq log in.

    Args:
        parameters: what the program's arguments say, in libpq's terms.
        scope: OAuth 2.0 scope of the token; by default that of the host's Azure cloud.

    Raises:
        InsecureTransportError: what was said would send the token in the clear.
    """
    said = said_in(parameters)
    settings = tls.libpq_settings(said, False)  # noqa: FBT003 - as it is called
    if not said.hosts and not said.addresses and said.sslmode is None:
        # Where it will connect is not known. A Unix socket takes no notice of these.
        settings = {"sslmode": "verify-full", "sslrootcert": said.sslrootcert or tls.AZURE_ROOTS}
    found = {f"PG{keyword.upper()}": value for keyword, value in settings.items()}
    if said.complete:
        return Access(found, None, "")
    had = login(said, scope)
    return Access({"PGUSER": said.user or had.user or "", **found}, had, scope or said.scope)


def said_user(given: str | None) -> str | None:
    """The user by the command's own option, else by libpq's variable."""
    return given or os.environ.get("PGUSER") or None
