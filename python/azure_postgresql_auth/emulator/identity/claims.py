"""The claims of Entra's access tokens, by kind of principal.

The claims follow published tokens (microsoft/aspire#8230) and Microsoft's claims reference. Opaque claims (`aio`, `rh`,
`xms_ftd`) have their real length, so that tokens have a realistic size.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from azure_postgresql_auth.emulator.identity.clouds import is_database
from azure_postgresql_auth.emulator.identity.directory import GUEST, USERS

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.identity.directory import Identity


def claims_of(identity: Identity, tenant_id: str, audience: str, times: tuple[int, int], uti: str) -> dict[str, Any]:
    """Return the claims of a token; `times` are those of its issue and its expiry, in seconds since 1970."""
    issuer = f"https://sts.windows.net/{tenant_id}/"
    issued, expires = times
    claims: dict[str, Any] = {
        "aud": audience,
        "iss": issuer,
        "iat": issued,
        "nbf": issued,
        "exp": expires,
        "aio": secrets.token_urlsafe(42),
        "appid": identity.client_id,
    }
    claims.update(_of_user(identity) if identity.kind in USERS else _of_application(identity, issuer))
    claims.update(
        oid=identity.object_id,
        rh=f"1.{secrets.token_urlsafe(60)}.",
        tid=tenant_id,
        uti=uti,
        ver="1.0",
        xms_ftd=secrets.token_urlsafe(66),
    )
    overrides = dict(identity.claims)
    if is_database(audience):
        overrides.update(identity.database_claims)
    for name, value in overrides.items():
        if value is None:
            claims.pop(name, None)
        else:
            claims[name] = value
    return claims


def _of_application(identity: Identity, issuer: str) -> dict[str, Any]:
    claims = {
        "appidacr": "1" if identity.kind == "service-principal" else "2",
        "idp": issuer,
        "idtyp": "app",
        "sub": identity.object_id,
        "xms_idrel": "7 24",
    }
    if identity.resource_id is not None:
        claims["xms_mirid"] = identity.resource_id
    return claims


def _of_user(identity: Identity) -> dict[str, Any]:
    given_name = identity.name.split("@")[0].split(".")[0].capitalize()
    names = {"unique_name": identity.name, "upn": identity.name}
    if identity.kind == "guest":
        # For a personal Microsoft account. An account of another tenant has that tenant as `idp`, and no "live.com#".
        names = {"idp": "live.com", "unique_name": f"live.com#{_home_account(identity.name)}"}
    return {
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "appidacr": "0",
        "given_name": given_name,
        "ipaddr": "203.0.113.7",
        "name": given_name,
        "puid": secrets.token_hex(8).upper(),
        "scp": "user_impersonation",
        "sub": secrets.token_urlsafe(32),
        "wids": ["b79fbf4d-3ef9-4689-8143-76b194e85509"],
        **names,
    }


def _home_account(guest: str) -> str:
    """Return a guest's mail address: pat@example.org for pat_example.org#EXT#@contoso.onmicrosoft.com."""
    name, _, domain = guest.partition(GUEST)[0].rpartition("_")
    return f"{name}@{domain}"
