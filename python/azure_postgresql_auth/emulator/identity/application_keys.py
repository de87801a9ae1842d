"""The certificates of applications."""

from __future__ import annotations

import base64
import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.identity.directory import Identity

FORMS = ("pem", "pkcs12")


class ApplicationKeys:
    """The certificates that are registered with identities."""

    def __init__(self) -> None:
        """Start without certificates."""
        self._registered: dict[tuple[str, str], x509.Certificate] = {}

    def make(self, identity: Identity, form: str, password: str | None) -> bytes:
        """Create a certificate with its key, register it, and return the contents of its file.

        Raises:
            ValueError: the form is unknown.
        """
        if form not in FORMS:
            message = f"form={form!r}: one of {', '.join(FORMS)}"
            raise ValueError(message)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = _self_signed(key, identity.name)
        self._registered[identity.client_id, _thumbprint(certificate)] = certificate
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        if form == "pkcs12":
            return pkcs12.serialize_key_and_certificates(None, key, certificate, None, encryption)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption) + certificate.public_bytes(Encoding.PEM)

    def find(self, identity: Identity, thumbprint: str) -> x509.Certificate | None:
        """Return an identity's certificate by the `x5t` header of a token that it signed."""
        return self._registered.get((identity.client_id, thumbprint.rstrip("=")))


def _thumbprint(certificate: x509.Certificate) -> str:
    digest = certificate.fingerprint(hashes.SHA1())  # noqa: S303 - Entra identifies certificates by their SHA-1 hash
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _self_signed(key: rsa.RSAPrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
