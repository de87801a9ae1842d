"""Credentials that settings name by their paths."""

from __future__ import annotations

import os

from azure_postgresql_auth.identity import ManagedIdentityCredential


def reader() -> ManagedIdentityCredential:
    """Make the credential of the replica."""
    return ManagedIdentityCredential(client_id=os.environ["READER"])
