"""The identity endpoints on their two ports: routing, latency, throttling, faults and records."""

from __future__ import annotations

import re
import secrets
import threading
from typing import TYPE_CHECKING, Callable

from azure_postgresql_auth.emulator.identity import entra, hosts, managed_identity, pipelines
from azure_postgresql_auth.emulator.identity.answer import Answer, entra_error
from azure_postgresql_auth.emulator.identity.application_keys import ApplicationKeys
from azure_postgresql_auth.emulator.identity.http import Response, Server
from azure_postgresql_auth.emulator.records import TokenRequest

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from azure_postgresql_auth.emulator.identity.directory import Directory, Identity
    from azure_postgresql_auth.emulator.identity.faults import Fault, Settings
    from azure_postgresql_auth.emulator.identity.http import Request
    from azure_postgresql_auth.emulator.identity.tokens import Issued, Issuer
    from azure_postgresql_auth.emulator.records import Records

_NOT_FOUND = Response(404, {"error": "not_found"})
_THROTTLED = {"error": "invalid_request", "error_description": "Temporarily throttled, too many requests"}


class IdentityService:
    """Managed identity over HTTP and Entra over HTTPS, both on loopback."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        directory: Directory,
        issuer: Issuer,
        settings: Settings,
        tls: ssl.SSLContext,
        folder: Path,
        requests: Records[TokenRequest],
    ) -> None:
        """Listen; requests are answered after `start`. Azure Arc's keys go below `folder`."""
        self.requests = requests
        self.header = secrets.token_hex(16).upper()
        self._directory = directory
        self._issuer = issuer
        self._settings = settings
        self._stopping = threading.Event()
        self.keys = ApplicationKeys()
        self.hosts = hosts.Hosts(directory, self._issue, folder)
        self._entra = entra.TokenEndpoint(directory, issuer, self._issue, self.keys)
        self._http = Server(self._answer_managed_identity, settings.now)
        try:
            self._https = Server(self._answer_entra, settings.now, tls)
        except BaseException:
            self._http.server_close()
            raise
        self.managed_identity_url = f"http://127.0.0.1:{self._http.port}"
        self.pipelines = pipelines.Pipelines(directory, issuer)
        self.authority_url = f"https://127.0.0.1:{self._https.port}"

    def start(self) -> None:
        """Start to answer."""
        self._http.start()
        self._https.start()

    def stop(self) -> None:
        """Release hanging requests, and stop."""
        self._stopping.set()
        self._settings.faults.set(None)
        self._http.stop()
        self._https.stop()

    def _issue(self, identity: Identity, audience: str) -> Issued:
        return self._issuer.issue(identity, audience, self._settings.lifetime)

    def _answer_managed_identity(self, request: Request) -> Response:
        if request.method == "GET" and request.path == managed_identity.IMDS_PATH:
            return self.token_request(
                "imds", request, lambda: managed_identity.imds(request, self._directory, self._issue)
            )
        if request.method == "GET" and request.path == managed_identity.APP_SERVICE_PATH:
            return self.token_request(
                "app-service",
                request,
                lambda: managed_identity.app_service(request, self._directory, self._issue, self.header),
            )
        further: dict[tuple[str, str], tuple[str, Callable[[Request], Answer]]] = {
            ("GET", hosts.ARC_PATH): ("azure-arc", self.hosts.azure_arc),
            ("GET", hosts.ML_PATH): ("azure-ml", self.hosts.azure_ml),
            ("POST", hosts.CLOUD_SHELL_PATH): ("cloud-shell", self.hosts.cloud_shell),
        }
        endpoint, answer = further.get((request.method, request.path), ("", None))
        return _NOT_FOUND if answer is None else self.token_request(endpoint, request, lambda: answer(request))

    def _answer_entra(self, request: Request) -> Response:
        if (request.method, request.path) == ("GET", hosts.SERVICE_FABRIC_PATH):
            return self.token_request("service-fabric", request, lambda: self.hosts.service_fabric(request))
        if request.method == "POST" and request.path.startswith(pipelines.PATH):
            return self.token_request("pipelines", request, lambda: self.pipelines.answer(request))
        return self._answer_tenant(request)

    def _answer_tenant(self, request: Request) -> Response:
        match = re.fullmatch(r"/([^/]+)/(.+)", request.path)
        if match is None:
            return _NOT_FOUND
        tenant, rest = match.groups()
        if (request.method, rest) == ("POST", "oauth2/v2.0/token"):
            return self.token_request("token", request, lambda: self._entra.answer(request, tenant))
        if tenant.lower() != self._directory.tenant_id:
            return Response(*entra.unknown_tenant(tenant))
        if rest == "v2.0/.well-known/openid-configuration":
            return Response(200, entra.openid_configuration(self.authority_url, self._directory.tenant_id))
        if rest == "discovery/v2.0/keys":
            return Response(200, self._issuer.key_set())
        return _NOT_FOUND

    def token_request(self, endpoint: str, request: Request, answer: Callable[[], Answer]) -> Response:
        """Answer a token request, and record it."""
        named = request.query.get("resource") or request.form.get("resource") or request.form.get("scope", "")
        client_id = request.query.get("client_id") or request.form.get("client_id", "")
        admitted = self._settings.throttle.enter()
        try:
            if not admitted:
                self._record(endpoint, Answer(429, {}, named, client_id))
                return Response(429, _THROTTLED, {"Retry-After": "1"})
            fault = self._settings.faults.take(probe=managed_identity.is_probe(request))
            if self._settings.latency > 0:
                self._stopping.wait(self._settings.latency)
            if fault is not None and not fault.truncate:
                response = _failure(endpoint, fault)
                status = 0 if fault.hang or fault.reset else response.status
                self._record(endpoint, Answer(status, {}, named, client_id))
                return response
            try:
                granted = answer()
            except Exception:
                self._record(endpoint, Answer(500, {}, named, client_id))
                raise
            self._record(endpoint, granted)
            return Response(granted.status, granted.body, granted.headers, fault)
        finally:
            if admitted:
                self._settings.throttle.leave()

    def _record(self, endpoint: str, answer: Answer) -> None:
        self.requests.add(TokenRequest(endpoint, answer.resource, answer.client_id, answer.status))


def _failure(endpoint: str, fault: Fault) -> Response:
    body = fault.body
    if body is None and endpoint == "token":
        text = "A transient error has occurred. Please try again."
        _, described = entra_error("temporarily_unavailable", 90033, text)
        return Response(fault.status, described, fault.headers, fault)
    if body is None:
        described = {"error": "unknown", "error_description": "Failed to retrieve token: a fault set on the emulator"}
        return Response(fault.status, described, fault.headers, fault)
    return Response(fault.status, body, fault.headers, fault)
