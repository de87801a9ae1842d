"""What happened, for assertions: token requests and logins in the order they were answered."""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

Record = TypeVar("Record")


class Records(Generic[Record]):
    """The latest of the records, safe to read while others write."""

    def __init__(self, most: int | None) -> None:
        """Keep `most` of them, or all."""
        self._lock = threading.Lock()
        self._records: collections.deque[Record] = collections.deque(maxlen=most)

    def add(self, record: Record) -> None:
        """Add one, and forget the oldest where there are too many."""
        with self._lock:
            self._records.append(record)

    def all(self) -> list[Record]:
        """Return them, the oldest first."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._records.clear()


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
