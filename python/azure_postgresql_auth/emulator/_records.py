"""What happened, for assertions: token requests and logins in the order they were answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenRequest:
    """One request to an identity endpoint.

    A request to IMDS without the header `Metadata` is recorded too (status 400): SDKs probe with it.
    """

    endpoint: str
    """"imds", "app-service", "azure-arc", "service-fabric", "azure-ml", "cloud-shell", "pipelines" or
    "token" (Entra's)."""
    resource: str
    """The resource asked for, or the scope at the token endpoint."""
    client_id: str
    """Of the identity that the request named, or that was meant where it named none; "" if unknown."""
    status: int
    """HTTP status; 0 where a fault let the connection drop without an answer."""


@dataclass(frozen=True)
class Login:
    """One attempt to log in to PostgreSQL that got as far as showing a password."""

    role: str
    object_id: str
    """The token's `oid`, "" where the token could not be read."""
    accepted: bool
    message: str
    """What the server said, "" when accepted."""
    token_age: float
    """Seconds since the token was issued, 0 where the token could not be read."""
    tls_version: str
    """What the client and the server agreed on, such as "TLSv1.3"."""
