"""The managed identity endpoints of further hosts: Azure Arc, Service Fabric, Azure ML and Cloud Shell."""

from __future__ import annotations

import os
import secrets
import sys
from typing import TYPE_CHECKING, Callable

from azure_postgresql_auth.emulator.identity.answer import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator.identity.directory import Directory, Identity
    from azure_postgresql_auth.emulator.identity.http import Request
    from azure_postgresql_auth.emulator.identity.tokens import Issued

ARC_PATH = "/metadata/identity/oauth2/token/arc"
SERVICE_FABRIC_PATH = "/service-fabric/token"
ML_PATH = "/ml/token"
CLOUD_SHELL_PATH = "/cloud-shell/token"

ARC_KEYS = "/var/opt/azcmagent/tokens"
"""The only directory in which clients read the agent's keys; on Windows it is this one below %ProgramData%."""
ARC_KEYS_ON_WINDOWS = "AzureConnectedMachineAgent/Tokens"


class Hosts:
    """The endpoints of all four hosts, which share a secret for the request's header."""

    def __init__(self, directory: Directory, issue: Callable[[Identity, str], Issued], folder: Path) -> None:
        """Serve this directory.

        Args:
            directory: the tenant.
            issue: issues a token.
            folder: where the agent's keys go; on Windows, it is the clients' %ProgramData%.
        """
        self.secret = secrets.token_hex(16).upper()
        self._directory = directory
        self._issue = issue
        self._program_data = {"ProgramData": str(folder)} if sys.platform == "win32" else {}
        self.keys = folder / (ARC_KEYS_ON_WINDOWS if self._program_data else "azure-arc-keys")
        """The directory that clients find at `ARC_KEYS`, for example by a mount."""
        self._challenges: set[str] = set()

    def variables(self, host: str, urls: tuple[str, str], thumbprint: str) -> dict[str, str]:
        """Return the environment variables that programs find on such a host.

        Args:
            host: name of the host.
            urls: URLs of the endpoints without and with TLS.
            thumbprint: thumbprint of the certificate of the endpoint with TLS.

        Raises:
            ValueError: the host is unknown.
        """
        http, https = urls
        variables = {
            "azure-arc": {"IDENTITY_ENDPOINT": http + ARC_PATH, "IMDS_ENDPOINT": http, **self._program_data},
            "service-fabric": {
                "IDENTITY_ENDPOINT": https + SERVICE_FABRIC_PATH,
                "IDENTITY_HEADER": self.secret,
                "IDENTITY_SERVER_THUMBPRINT": thumbprint,
            },
            "azure-ml": {"MSI_ENDPOINT": http + ML_PATH, "MSI_SECRET": self.secret},
            "cloud-shell": {"MSI_ENDPOINT": http + CLOUD_SHELL_PATH},
        }
        if host not in variables:
            message = f"host={host!r}: one of {', '.join(variables)}"
            raise ValueError(message)
        return variables[host]

    def azure_arc(self, request: Request) -> Answer:
        """Answer as Azure Arc's agent does: first with a challenge to read a file."""
        resource = request.query.get("resource", "")
        if request.headers.get("metadata", "").lower() != "true":
            return _error(400, "Required metadata header not specified", resource)
        shown = request.headers.get("authorization", "").partition("Basic ")[2]
        if shown not in self._challenges:
            return self._challenge(resource)
        self._challenges.discard(shown)
        if request.query.get("api-version") != "2020-06-01":
            return _error(400, "api-version: one of 2020-06-01", resource)
        identity = self._directory.managed(request.query)
        if identity is None:
            return _error(404, "Identity not found", resource)
        named = {"client_id": identity.client_id, "object_id": identity.object_id, "msi_res_id": identity.resource_id}
        return self._grant(identity, resource, {name: value or "" for name, value in named.items()})

    def _challenge(self, resource: str) -> Answer:
        name, key = f"{secrets.token_hex(8)}.key", secrets.token_hex(32)
        self.keys.mkdir(parents=True, exist_ok=True)
        (self.keys / name).touch(mode=0o600)
        (self.keys / name).write_text(key)
        self._challenges.add(key)
        headers = {"WWW-Authenticate": f"Basic realm={self.keys if self._program_data else ARC_KEYS}{os.sep}{name}"}
        return Answer(401, {"error": "unauthorized"}, resource, headers=headers)

    def service_fabric(self, request: Request) -> Answer:
        """Answer as Service Fabric's token service does: one identity per application, and errors inside `error`."""
        resource = request.query.get("resource", "")
        if not self._shows_secret(request):
            error = {"code": "SecretHeaderNotFound", "message": "Secret is not found in the request headers."}
            return Answer(401, {"error": error}, resource)
        if request.query.get("api-version") != "2019-07-01-preview":
            return Answer(400, {"error": {"code": "InvalidApiVersion", "message": "No such api-version."}}, resource)
        identity = self._directory.default
        if identity is None:
            return Answer(404, {"error": {"code": "ManagedIdentityNotFound", "message": "No identity."}}, resource)
        return self._grant(identity, resource)

    def azure_ml(self, request: Request) -> Answer:
        """Answer as a compute instance of Azure ML does, in App Service's protocol of 2017."""
        resource = request.query.get("resource", "")
        if not self._shows_secret(request):
            return _error(401, "The secret header is missing or wrong.", resource)
        if request.query.get("api-version") != "2017-09-01":
            return _error(400, "api-version: one of 2017-09-01", resource)
        query = {"client_id" if name == "clientid" else name: value for name, value in request.query.items()}
        identity = self._directory.managed(query)
        return _error(400, "No identity found", resource) if identity is None else self._grant(identity, resource)

    def cloud_shell(self, request: Request) -> Answer:
        """Answer as Cloud Shell does, for the user of the shell."""
        resource = request.form.get("resource", "")
        if request.headers.get("metadata", "").lower() != "true":
            return _error(400, "Required metadata header not specified", resource)
        identity = self._directory.default
        return _error(400, "No identity found", resource) if identity is None else self._grant(identity, resource)

    def _shows_secret(self, request: Request) -> bool:
        return secrets.compare_digest(request.headers.get("secret", "").encode(), self.secret.encode())

    def _grant(self, identity: Identity, resource: str, further: dict[str, str] | None = None) -> Answer:
        if not resource:
            return _error(400, "The resource parameter is missing.", resource, identity.client_id)
        issued = self._issue(identity, resource)
        body = {
            "access_token": issued.token,
            "expires_in": str(issued.expires_in),
            "expires_on": str(issued.expires_at),
            "resource": resource,
            "token_type": "Bearer",
            **(further or {}),
        }
        return Answer(200, body, resource, identity.client_id)


def _error(status: int, description: str, resource: str, client_id: str = "") -> Answer:
    return Answer(status, {"error": "invalid_request", "error_description": description}, resource, client_id)
