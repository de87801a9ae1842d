"""The endpoint of Azure Pipelines that issues assertions for running jobs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from azure_postgresql_auth.emulator.identity import entra
from azure_postgresql_auth.emulator.identity.answer import Answer

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator.identity.directory import Directory, Identity
    from azure_postgresql_auth.emulator.identity.http import Request
    from azure_postgresql_auth.emulator.identity.tokens import Issuer

PATH = "/pipelines/"
_LIFE_SECONDS = 600


class Pipelines:
    """The endpoint in SYSTEM_OIDCREQUESTURI."""

    def __init__(self, directory: Directory, issuer: Issuer) -> None:
        """Serve this tenant, without any jobs."""
        self._directory = directory
        self._issuer = issuer
        self._jobs: dict[str, str] = {}

    def open_job(self, identity: Identity, system_access_token: str) -> str:
        """Start a job whose service connection is this identity's, and return the path of its endpoint."""
        self._jobs[identity.client_id] = system_access_token
        return PATH + identity.client_id

    def answer(self, request: Request) -> Answer:
        """Return an assertion for the job that the request's token belongs to."""
        client_id = request.path[len(PATH) :]
        expected = self._jobs.get(client_id)
        identity = self._directory.application(client_id)
        shown = request.headers.get("authorization", "")
        if expected is None or identity is None:
            return Answer(404, {"message": "No such job."}, "", client_id)
        if not secrets.compare_digest(shown.encode(), f"Bearer {expected}".encode()):
            return Answer(401, {"message": "Access denied."}, "", client_id)
        if not request.query.get("serviceConnectionId") or request.query.get("api-version") != "7.1":
            return Answer(400, {"message": "serviceConnectionId and api-version=7.1 are required."}, "", client_id)
        token = entra.federated_token(self._issuer, identity, "https://vstoken.dev.azure.com", _LIFE_SECONDS)
        return Answer(200, {"oidcToken": token}, "", client_id)
