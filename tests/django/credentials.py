"""What `OPTIONS["credential"]` may name by its path."""

from __future__ import annotations

from azure_postgresql_auth.identity import ManagedIdentityCredential

made: list[ManagedIdentityCredential] = []
credential = ManagedIdentityCredential()
nothing = object()


def make() -> ManagedIdentityCredential:
    """Make a credential, and remember that."""
    made.append(ManagedIdentityCredential())
    return made[-1]
