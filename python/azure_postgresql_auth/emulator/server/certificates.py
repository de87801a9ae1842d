"""The emulator's certification authority and the files with which clients trust it."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from azure_postgresql_auth.emulator.identity.clouds import SERVER_NAMES

if TYPE_CHECKING:
    import datetime as dt

# Addresses last: libpq on Windows compares one after the other, and refuses the certificate at an IPv6 address.
_NAMES = ("localhost", *SERVER_NAMES, "127.0.0.1", "::1")

# The systems' certificate files, for a Python that does not know their location.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class Certificates:
    """A CA for one run; its private key never leaves the process."""

    def __init__(self, directory: Path) -> None:
        """Create the CA and the server certificate, and write the two files that clients need."""
        self._authority = trustme.CA(organization_name="azure_postgresql_auth emulator")
        self._server = self._authority.issue_cert(*_NAMES)
        own = self._authority.cert_pem.bytes()
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(own)
        self.bundle_file = directory / "bundle.pem"
        system = _system_bundle()
        others = b"" if system is None else system.read_bytes().rstrip() + b"\n"
        # The variables that name a bundle replace the system's, so it has to contain the system's certificates, too.
        self.bundle_file.write_bytes(others + own)

    def thumbprint(self) -> str:
        """Return the server certificate's SHA-1 thumbprint, with which Service Fabric's clients verify it."""
        first = self._server.cert_chain_pems[0].bytes().decode()
        return hashlib.sha1(ssl.PEM_cert_to_DER_cert(first), usedforsecurity=False).hexdigest().upper()

    def server_context(self, *names: str, not_after: dt.datetime | None = None) -> ssl.SSLContext:
        """Create a TLS context for a server; each server has its own, because ALPN differs.

        Args:
            names: host names of another certificate.
            not_after: expiry of another certificate.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        other = names or not_after
        server = self._authority.issue_cert(*(names or _NAMES), not_after=not_after) if other else self._server
        server.configure_cert(context)
        return context


def _system_bundle() -> Path | None:
    known = ssl.get_default_verify_paths().cafile  # honours SSL_CERT_FILE
    for candidate in (known, *_SYSTEM_BUNDLES):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None
