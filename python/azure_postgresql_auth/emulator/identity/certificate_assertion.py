"""Verify the assertions that an application signs with its certificate, as Entra does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt

from azure_postgresql_auth.emulator.identity.answer import entra_error
from azure_postgresql_auth.emulator.identity.tokens import decode

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.identity.application_keys import ApplicationKeys
    from azure_postgresql_auth.emulator.identity.directory import Identity
    from azure_postgresql_auth.emulator.identity.http import Request


def is_of_certificate(assertion: str) -> bool:
    """Return whether it is an assertion, which names a certificate, not a federated token, which names a key id."""
    try:
        header = jwt.get_unverified_header(assertion)
    except jwt.InvalidTokenError:
        return False
    return "x5t" in header and "kid" not in header


def bad_certificate_assertion(
    assertion: str, identity: Identity, keys: ApplicationKeys, request: Request, now: float
) -> tuple[int, dict[str, Any]] | None:
    """Reject an assertion unless the identity's certificate signed it recently, for this endpoint."""
    thumbprint = jwt.get_unverified_header(assertion)["x5t"]
    certificate = keys.find(identity, thumbprint)
    if certificate is None:
        text = (
            "The certificate with identifier used to sign the client assertion is not registered on application. "
            f"[Reason - The key was not found., Thumbprint of key used by client: '{thumbprint}']"
        )
        return entra_error("invalid_client", 700027, text, status=401)
    audience = f"https://{request.headers.get('host', '')}{request.path}"
    key: Any = certificate.public_key()
    try:
        claims = decode(assertion, key, audience, ("exp", "jti", "iss", "sub"), now)
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        text = "Client assertion is not within its valid time range. Please review the documentation."
        return entra_error("invalid_client", 700024, text, status=401)
    except jwt.InvalidAudienceError:
        text = "Client assertion audience claim does not match Realm issuer."
        return entra_error("invalid_client", 700023, text, status=401)
    except jwt.InvalidTokenError:
        text = "Client assertion failed signature validation."
        return entra_error("invalid_client", 700027, text, status=401)
    if {claims["iss"], claims["sub"]} != {identity.client_id}:
        text = "Client assertion application identifier doesn't match 'client_id' parameter."
        return entra_error("invalid_client", 700021, text, status=401)
    return None
