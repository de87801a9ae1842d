"""Issue and verify tokens with the tenant's signing key."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from azure_postgresql_auth.emulator.identity.claims import claims_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure_postgresql_auth.emulator.identity.directory import Identity

ALGORITHM = "RS256"


@dataclass(frozen=True)
class Issued:
    """A token, and the data that an endpoint returns with it."""

    token: str
    issued_at: int
    expires_at: int
    expires_in: int
    """The remaining lifetime at issue, in seconds, never negative."""


class Issuer:
    """An RSA key, and a counter that orders tokens by their issue."""

    def __init__(self, tenant_id: str, now: Callable[[], float]) -> None:
        """Generate the key; `now` returns the time with which tokens are issued and verified."""
        self.tenant_id = tenant_id
        self.now = now
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._public = self._key.public_key()
        der = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()[:20]).decode().rstrip("=")
        self._serials = itertools.count(1)

    def issue(self, identity: Identity, audience: str, lifetime: float) -> Issued:
        """Issue a token that is valid for at least `lifetime` seconds; claims have whole seconds only."""
        now = self.now()
        issued, expires = int(now), math.ceil(now + lifetime)
        serial = next(self._serials)
        # Entra's uti has 16 opaque bytes; here the first eight are a counter, for Emulator.revoke.
        uti = base64.urlsafe_b64encode(serial.to_bytes(8, "big") + secrets.token_bytes(8)).decode().rstrip("=")
        claims = claims_of(identity, self.tenant_id, audience, (issued, expires), uti)
        return Issued(self.sign(claims), issued, expires, max(0, int(expires - now)))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign any claims with the tenant's key, and return the JWT."""
        headers = {"x5t": self._key_id, "kid": self._key_id}
        return jwt.encode(dict(claims), self._key, algorithm=ALGORITHM, headers=headers)

    def verify(self, token: str, audiences: tuple[str, ...]) -> dict[str, Any]:
        """Check signature, audience and lifetime, without leeway, and return the claims.

        Raises:
            jwt.InvalidTokenError: the token is not valid; the subclass says why.
        """
        return decode(token, self._public, audiences, ("exp", "nbf", "aud"), self.now())

    def next_serial(self) -> int:
        """Return a serial number greater than that of every token issued so far."""
        return next(self._serials)

    def key_set(self) -> dict[str, Any]:
        """Return the public key in the format of the tenant's keys endpoint."""
        numbers = self._public.public_numbers()
        key = {"kty": "RSA", "use": "sig", "kid": self._key_id, "x5t": self._key_id}
        return {"keys": [{**key, "n": _number(numbers.n), "e": _number(numbers.e)}]}


def decode(token: str, key: Any, audience: str | Sequence[str], required: Sequence[str], now: float) -> dict[str, Any]:
    """Verify a JWT as `jwt.decode` does, but at the time `now`.

    Raises:
        jwt.InvalidTokenError: the token is not valid; the subclass says why.
    """
    dates = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    options: Any = {"require": list(required), **dates}
    claims = jwt.decode(token, key, algorithms=[ALGORITHM], audience=audience, options=options)
    moments = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if not all(isinstance(moment, (int, float)) for moment in moments.values()):
        message = "exp, nbf and iat are numbers"
        raise jwt.DecodeError(message)
    if moments.get("exp", math.inf) <= now:
        raise jwt.ExpiredSignatureError
    if max(moments.get("nbf", 0), moments.get("iat", 0)) > now:
        raise jwt.ImmatureSignatureError
    return claims


def serial_of(claims: Mapping[str, Any]) -> int:
    """Return a token's serial number; 0 if the emulator did not issue it."""
    uti = str(claims.get("uti", ""))
    try:
        return int.from_bytes(base64.urlsafe_b64decode(uti + "=" * (-len(uti) % 4))[:8], "big")
    except ValueError:
        return 0


def _number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
