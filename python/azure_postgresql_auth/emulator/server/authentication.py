"""Decide whether a token may log in as a role, with Azure's checks and error messages.

The messages are those that users report: microsoft/azuredatastudio-postgresql#505 (audience),
cyrilgdn/terraform-provider-postgresql#60 (validating), MicrosoftDocs/azure-docs#120133 (token of the wrong type).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from azure_postgresql_auth.emulator.identity.clouds import DATABASE_RESOURCES
from azure_postgresql_auth.emulator.identity.tokens import serial_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_postgresql_auth.emulator.identity.directory import Directory, Role
    from azure_postgresql_auth.emulator.identity.tokens import Issuer

_INVALID_PASSWORD = "28P01"  # noqa: S105 - an SQLSTATE
_INVALID_AUTHORIZATION = "28000"

_AUDIENCES = DATABASE_RESOURCES + tuple(f"{resource}/" for resource in DATABASE_RESOURCES)


@dataclass(frozen=True)
class AuthResult:
    """The result of a check; accepted if there is no message."""

    object_id: str = ""
    token_age: float = 0.0
    sqlstate: str = ""
    message: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the login is accepted."""
        return not self.message


def authenticate(
    password: str, role: str, directory: Directory, issuer: Issuer, revoked: Mapping[str, int]
) -> AuthResult:
    """Check the token, then the role, in Azure's order."""
    claims = _unverified(password)
    if claims is None:
        return AuthResult(sqlstate=_INVALID_AUTHORIZATION, message="The access token has invalid format.")
    refusal = _bad_token(password, issuer)
    if refusal is None and not _is_text(claims.get("oid")):
        refusal = (_INVALID_AUTHORIZATION, "The access token does not have a valid oid claim.")
    if refusal is None and serial_of(claims) < revoked.get(role, 0):
        refusal = (_INVALID_AUTHORIZATION, _validating())
    if refusal is None:
        refusal = _bad_role(role, directory.roles.get(role), claims)
    issued = claims.get("iat")
    age = issuer.now() - issued if isinstance(issued, (int, float)) else 0.0
    sqlstate, message = refusal or ("", "")
    return AuthResult(str(claims.get("oid", "")), age, sqlstate, message)


def _unverified(token: str) -> dict[str, Any] | None:
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None


def _bad_token(token: str, issuer: Issuer) -> tuple[str, str] | None:
    try:
        claims = issuer.verify(token, _AUDIENCES)
    except jwt.ExpiredSignatureError:
        text = "The access token has expired. Please acquire a new token and retry."
    except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError) as error:
        if isinstance(error, jwt.MissingRequiredClaimError) and error.claim != "aud":
            text = _validating()
        else:
            text = (
                "The access token does not have a valid audience claim. Please acquire a new token for the resource "
                f'"{DATABASE_RESOURCES[0]}".'
            )
    except jwt.InvalidTokenError:
        text = _validating()
    else:
        if claims.get("tid") == issuer.tenant_id:
            return None
        text = _validating()
    return _INVALID_AUTHORIZATION, text


def _bad_role(name: str, role: Role | None, claims: Mapping[str, Any]) -> tuple[str, str] | None:
    is_application = claims.get("idtyp") == "app"
    if role is not None and role.type == "user" and is_application:
        text = (
            f'Microsoft Entra user token for role "{name}" is neither an AAD_AUTH_TOKENTYPE_APP_USER or an '
            "AAD_AUTH_TOKENTYPE_APP_OBO token."
        )
        return _INVALID_AUTHORIZATION, text
    if role is not None and role.type == "service" and not is_application:
        text = f'Service principals cannot generate AAD_AUTH_TOKENTYPE_APP_USER tokens for role "{name}".'
        return _INVALID_AUTHORIZATION, text
    if role is None or claims["oid"] not in role.object_ids:
        return _INVALID_PASSWORD, f'password authentication failed for user "{name}"'
    return None


def _validating() -> str:
    return "An error occurred while validating the access token. Please acquire a new token and retry."


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
