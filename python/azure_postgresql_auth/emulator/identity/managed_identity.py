"""The managed identity endpoints of App Service and of virtual machines (IMDS)."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Callable

from azure_postgresql_auth.emulator.identity.answer import Answer

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.identity.directory import Directory, Identity
    from azure_postgresql_auth.emulator.identity.http import Request
    from azure_postgresql_auth.emulator.identity.tokens import Issued

APP_SERVICE_PATH = "/msi/token"
IMDS_PATH = "/metadata/identity/oauth2/token"

_APP_SERVICE_VERSIONS = ("2019-08-01",)


def is_probe(request: Request) -> bool:
    """Return whether a request only probes for IMDS: SDKs omit the header, and take any status 400 as a yes."""
    return request.path == IMDS_PATH and request.headers.get("metadata", "").lower() != "true"


def imds(request: Request, directory: Directory, issue: Callable[[Identity, str], Issued]) -> Answer:
    """Answer as http://169.254.169.254 does, where every value is a string."""
    resource = request.query.get("resource", "")
    if is_probe(request):
        return _imds_error("Required metadata header not specified", resource)
    if not request.query.get("api-version"):
        return _imds_error("Required query variable 'api-version' is missing", resource)
    if not resource:
        return _imds_error("Required audience parameter not specified", resource)
    identity = directory.managed(request.query)
    if identity is None:
        return _imds_error("Identity not found", resource)
    issued = issue(identity, resource)
    body = {
        "access_token": issued.token,
        "client_id": identity.client_id,
        "expires_in": str(issued.expires_in),
        "expires_on": str(issued.expires_at),
        "ext_expires_in": str(issued.expires_in),
        "not_before": str(issued.issued_at),
        "resource": resource,
        "token_type": "Bearer",
    }
    return Answer(200, body, resource, identity.client_id)


def app_service(
    request: Request, directory: Directory, issue: Callable[[Identity, str], Issued], header: str
) -> Answer:
    """Answer as the endpoint in IDENTITY_ENDPOINT does, to requests with the value of IDENTITY_HEADER."""
    resource = request.query.get("resource", "")
    shown = request.headers.get("x-identity-header")
    if shown is None:
        return _app_service_error(401, "The X-IDENTITY-HEADER header is missing.", resource)
    if not secrets.compare_digest(shown.encode(), header.encode()):
        return _app_service_error(403, "The X-IDENTITY-HEADER header is not that of this app.", resource)
    if request.query.get("api-version") not in _APP_SERVICE_VERSIONS:
        return _app_service_error(400, f"api-version: one of {', '.join(_APP_SERVICE_VERSIONS)}", resource)
    if not resource:
        return _app_service_error(400, "The resource parameter is missing.", resource)
    identity = directory.managed(request.query)
    if identity is None:
        message = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
        return _app_service_error(400, message, resource)
    issued = issue(identity, resource)
    body = {
        "access_token": issued.token,
        "expires_on": str(issued.expires_at),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": identity.client_id,
    }
    return Answer(200, body, resource, identity.client_id)


def _imds_error(description: str, resource: str) -> Answer:
    return Answer(400, {"error": "invalid_request", "error_description": description}, resource)


def _app_service_error(status: int, message: str, resource: str) -> Answer:
    body = {"statusCode": status, "message": message, "correlationId": str(uuid.uuid4())}
    return Answer(status, body, resource)
