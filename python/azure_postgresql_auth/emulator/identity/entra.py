"""Entra's token endpoint: client credentials with a secret, a certificate or a federated assertion."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Callable

import jwt

from azure_postgresql_auth.emulator.identity.answer import Answer, entra_error
from azure_postgresql_auth.emulator.identity.certificate_assertion import bad_certificate_assertion, is_of_certificate
from azure_postgresql_auth.emulator.identity.clouds import audience

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.identity.application_keys import ApplicationKeys
    from azure_postgresql_auth.emulator.identity.directory import Directory, Identity
    from azure_postgresql_auth.emulator.identity.http import Request
    from azure_postgresql_auth.emulator.identity.tokens import Issued, Issuer

FEDERATION_AUDIENCE = "api://AzureADTokenExchange"
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def subject_of(identity: Identity) -> str:
    """Return the Kubernetes service account that may act as this identity."""
    return f"system:serviceaccount:default:{identity.name}"


def federated_token(issuer: Issuer, identity: Identity, url: str, lifetime: float) -> str:
    """Issue the token that Kubernetes writes to a pod's AZURE_FEDERATED_TOKEN_FILE."""
    now = int(issuer.now())
    return issuer.sign(
        {
            "aud": [FEDERATION_AUDIENCE],
            "exp": now + int(lifetime),
            "iat": now,
            "nbf": now,
            "iss": f"{url}/federation",
            "sub": subject_of(identity),
            "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": identity.name}},
        }
    )


def openid_configuration(url: str, tenant_id: str) -> dict[str, Any]:
    """Return the tenant's metadata, which MSAL requests before it requests a token."""
    base = f"{url}/{tenant_id}"
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


class TokenEndpoint:
    """The endpoint POST /{tenant}/oauth2/v2.0/token."""

    def __init__(
        self, directory: Directory, issuer: Issuer, issue: Callable[[Identity, str], Issued], keys: ApplicationKeys
    ) -> None:
        """Serve this tenant."""
        self._keys = keys
        self._directory = directory
        self._issuer = issuer
        self._issue = issue

    def answer(self, request: Request, tenant: str) -> Answer:
        """Return a token, or an error with Entra's code."""
        client_id, scope = request.form.get("client_id", ""), request.form.get("scope", "")
        identity = self._directory.application(client_id)
        refusal = self._refusal(request, tenant, identity)
        if refusal is not None or identity is None:
            status, body = refusal or entra_error("invalid_client", 700016, "Application not found.")
            return Answer(status, body, scope, client_id)
        issued = self._issue(identity, audience(scope))
        body = {
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "ext_expires_in": issued.expires_in,
            "access_token": issued.token,
        }
        return Answer(200, body, scope, client_id)

    def _refusal(self, request: Request, tenant: str, identity: Identity | None) -> tuple[int, dict[str, Any]] | None:
        form = request.form
        if tenant.lower() != self._directory.tenant_id:
            return unknown_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            return entra_error(
                "unsupported_grant_type",
                70003,
                f"The app requested an unsupported grant type '{form.get('grant_type', '')}'.",
            )
        if identity is None:
            return entra_error(
                "unauthorized_client",
                700016,
                f"Application with identifier '{form.get('client_id', '')}' was not found in the directory "
                f"'{tenant}'. This can happen if the application has not been installed by the administrator of "
                "the tenant or consented to by any user in the tenant. You may have sent your authentication "
                "request to the wrong tenant.",
            )
        return self._bad_credential(request, identity) or _bad_scope(form.get("scope", ""))

    def _bad_credential(self, request: Request, identity: Identity) -> tuple[int, dict[str, Any]] | None:
        secret, assertion = request.form.get("client_secret"), request.form.get("client_assertion")
        if assertion is not None:
            if request.form.get("client_assertion_type") != _JWT_BEARER:
                return entra_error("invalid_request", 90014, f"client_assertion_type must be '{_JWT_BEARER}'.")
            if is_of_certificate(assertion):
                return bad_certificate_assertion(assertion, identity, self._keys, request, self._issuer.now())
            return self._bad_assertion(assertion, identity)
        if secret is None:
            return entra_error(
                "invalid_client",
                7000216,
                "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
                status=401,
            )
        if identity.client_secret is None or not secrets.compare_digest(
            secret.encode(), identity.client_secret.encode()
        ):
            return entra_error(
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{identity.client_id}'.",
                status=401,
            )
        return None

    def _bad_assertion(self, assertion: str, identity: Identity) -> tuple[int, dict[str, Any]] | None:
        try:
            claims = self._issuer.verify(assertion, (FEDERATION_AUDIENCE,))
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
            text = "Client assertion is not within its valid time range. Please review the documentation."
            return entra_error("invalid_client", 700024, text, status=401)
        except jwt.InvalidAudienceError:
            text = f"Client assertion audience claim does not match. Expected audience: '{FEDERATION_AUDIENCE}'."
            return entra_error("invalid_client", 700212, text, status=401)
        except jwt.InvalidTokenError:
            text = "Client assertion failed signature validation."
            return entra_error("invalid_client", 700027, text, status=401)
        if claims.get("sub") != subject_of(identity):
            text = f"No matching federated identity record found for presented assertion subject '{claims.get('sub')}'."
            return entra_error("invalid_client", 700213, text, status=401)
        return None


def _bad_scope(scope: str) -> tuple[int, dict[str, Any]] | None:
    if scope.endswith("/.default") and " " not in scope:
        return None
    return entra_error(
        "invalid_scope",
        1002012,
        f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    )


def unknown_tenant(tenant: str) -> tuple[int, dict[str, Any]]:
    """Reject a tenant that is not the emulator's."""
    return entra_error(
        "invalid_request",
        90002,
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    )
