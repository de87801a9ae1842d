"""The identities whose tokens a command keeps fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from azure_postgresql_auth import core
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.identity import (
    ChainedTokenCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure_postgresql_auth._core import Login


class Identity(NamedTuple):
    """A role, and the credential that logs in as it."""

    user: str | None
    """The role; None for the user that the token names."""
    credential: object

    @property
    def name(self) -> str:
        """The name for the log."""
        return self.user or "(whom the token names)"

    def login(self, scope: str) -> Login:
        """Return the identity's login, cached or new."""
        return core.login(self.credential, scope, user_known=self.user is not None)


def identities(given: Sequence[str]) -> list[Identity]:
    """Parse `ROLE` and `ROLE=CLIENT_ID`; without any, return the identity of the default credential.

    With a client id, only that workload or managed identity is tried, no other credential.

    Raises:
        Failure: a role is missing, given twice, or not a valid name.
    """
    default = DefaultAzureCredential()
    if not given:
        return [Identity(None, default)]
    found: list[Identity] = []
    for text in given:
        # Neither Azure's names nor client ids can contain an equals sign.
        user, equals, client_id = text.rpartition("=") if "=" in text else (text, "", "")
        if not user or not user.isprintable():
            raise Failure(f"--identity {text!r}: a role has a name of printable characters", USAGE)
        if any(identity.user == user for identity in found):
            raise Failure(f"--identity {user} is given twice", USAGE)
        if not equals:
            found.append(Identity(user, default))
            continue
        if not client_id:
            raise Failure(f"--identity {text}: the client id after the equals sign is missing", USAGE)
        chain = ChainedTokenCredential(
            WorkloadIdentityCredential(client_id=client_id), ManagedIdentityCredential(client_id=client_id)
        )
        found.append(Identity(user, chain))
    return found
