"""Whose tokens are kept: a role, and a credential for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from azure_postgresql_auth import core
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
    """One of them."""

    user: str | None
    """The role; None for whom the token names."""
    credential: object

    @property
    def name(self) -> str:
        """For the log."""
        return self.user or "(whom the token names)"

    def login(self, scope: str) -> Login:
        """Its token, cached or new."""
        return core.login(self.credential, scope, user_known=self.user is not None)


def identities(given: Sequence[str]) -> list[Identity]:
    """Reads `ROLE` and `ROLE=CLIENT_ID`; without any, the default credential's own.

    A client id means that identity and no other: what else could sign in here is not asked.
    """
    default = DefaultAzureCredential()
    if not given:
        return [Identity(None, default)]
    found = []
    for text in given:
        user, equals, client_id = text.rpartition("=")
        if not equals:
            found.append(Identity(text, default))
            continue
        # Azure's names cannot hold an equals sign, client ids neither.
        chain = ChainedTokenCredential(
            WorkloadIdentityCredential(client_id=client_id), ManagedIdentityCredential(client_id=client_id)
        )
        found.append(Identity(user, chain))
    return found
