"""Faults of the server, which can be set while it runs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from azure_postgresql_auth.emulator.server.certificates import Certificates

# The fatal alert protocol_version, as sent by a server that supports at most TLS 1.1 (RFC 5246, 7.2).
TOO_OLD = bytes.fromhex("15 0302 0002 02 46")
KINDS = ("no-tls", "old-tls", "other-name", "expired-certificate", "silence", "hang-up")


class ServerFaults:
    """The current faults."""

    def __init__(self, certificates: Certificates) -> None:
        """Start without faults."""
        self._certificates = certificates
        self._good = self._tls = certificates.server_context()
        self.kind: str | None = None
        self.refusal: tuple[str, str] | None = None
        """SQLSTATE and message with which every login is refused."""

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context; None if the server does not support TLS."""
        return None if self.kind == "no-tls" else self._tls

    def set(self, kind: str | None) -> None:
        """Set a fault; None to remove it.

        Raises:
            ValueError: the fault is unknown.
        """
        if kind is not None and kind not in KINDS:
            message = f"kind={kind!r}: one of {', '.join(KINDS)}"
            raise ValueError(message)
        self._tls = self._context(kind)
        self.kind = kind

    def _context(self, kind: str | None) -> ssl.SSLContext:
        if kind == "other-name":
            return self._certificates.server_context("replica.example.com")
        if kind == "expired-certificate":
            yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
            return self._certificates.server_context(not_after=yesterday)
        return self._good
