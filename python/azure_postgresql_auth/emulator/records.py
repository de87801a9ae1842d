"""Records of token requests and logins, for assertions."""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

Record = TypeVar("Record")


class Records(Generic[Record]):
    """The latest records; thread-safe."""

    def __init__(self, most: int | None) -> None:
        """Keep `most` records, or all for None."""
        self._lock = threading.Lock()
        self._records: collections.deque[Record] = collections.deque(maxlen=most)

    def add(self, record: Record) -> None:
        """Add a record, and drop the oldest if there are too many."""
        with self._lock:
            self._records.append(record)

    def all(self) -> list[Record]:
        """Return the records, the oldest first."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Remove all records."""
        with self._lock:
            self._records.clear()


@dataclass(frozen=True)
class TokenRequest:
    """One request to an identity endpoint.

    A request to IMDS that lacks the header `Metadata` is recorded too, with status 400: SDKs probe with such requests.
    """

    endpoint: str
    """"imds", "app-service", "azure-arc", "service-fabric", "azure-ml", "cloud-shell", "pipelines" or
    "token" (Entra's)."""
    resource: str
    """The requested resource, or the scope at the token endpoint."""
    client_id: str
    """Client id of the identity that the request named, or else of the default one; "" if unknown."""
    status: int
    """HTTP status; 0 if a fault closed the connection without a response."""


@dataclass(frozen=True)
class Login:
    """One attempt to log in to PostgreSQL in which the client sent a password."""

    role: str
    object_id: str
    """The token's `oid`; "" if the token could not be parsed."""
    accepted: bool
    message: str
    """The server's error message; "" if the login was accepted."""
    token_age: float
    """Seconds since the token was issued; 0 if the token could not be parsed."""
    tls_version: str
    """The negotiated TLS version, such as "TLSv1.3"."""
