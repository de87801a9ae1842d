"""Settings that cannot be right, and what is said about each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core, errors, identity

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
GUID = "11111111-2222-3333-4444-555555555555"
TENANT, CLIENT, SECRET = "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"
CERTIFICATE, PASSWORD = "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD"
FEDERATED = "AZURE_FEDERATED_TOKEN_FILE"
NO_SECRET = f"{SECRET} (or {CERTIFICATE})"


def failure(credential: Any) -> str:
    """What is said, without the ids of the one request."""
    with pytest.raises(errors.EntraConnectionValueError) as raised:
        credential.get_token(SCOPE)
    prefix, kind, text = str(raised.value).split(": ", 2)
    assert (prefix, kind) == ("Could not retrieve Entra credentials", type(credential).__name__)
    return re.sub(r"(Trace ID: )\S+( Correlation ID: )\S+( Timestamp: )\S+ \S+", r"\1…\2…\3…", text)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((TENANT,), f"{CLIENT}, {NO_SECRET}"),
        ((CLIENT,), f"{TENANT}, {NO_SECRET}"),
        ((SECRET,), f"{TENANT}, {CLIENT}"),
        ((CERTIFICATE,), f"{TENANT}, {CLIENT}"),
        ((PASSWORD,), f"{TENANT}, {CLIENT}, {NO_SECRET}"),
        ((TENANT, CLIENT), NO_SECRET),
        ((TENANT, CLIENT, PASSWORD), NO_SECRET),
        ((TENANT, SECRET), CLIENT),
        ((CLIENT, CERTIFICATE), TENANT),
    ],
)
def test_half_of_a_service_principal(given: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in given:
        monkeypatch.setenv(name, "x")
    assert failure(identity.EnvironmentCredential()) == f"not set: {missing}"
    # What is set to nothing is not set.
    for name in {TENANT, CLIENT, SECRET, CERTIFICATE} - set(given):
        monkeypatch.setenv(name, "")
    assert failure(identity.EnvironmentCredential()) == f"not set: {missing}"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((TENANT,), f"{CLIENT}, {FEDERATED}"),
        ((TENANT, CLIENT), FEDERATED),
        ((TENANT, FEDERATED), CLIENT),
        ((CLIENT, FEDERATED), TENANT),
    ],
)
def test_half_of_a_workload_identity(given: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in given:
        monkeypatch.setenv(name, "x")
    assert failure(identity.WorkloadIdentityCredential()) == (
        f"not set: {missing}; in Kubernetes the workload identity webhook sets them on labelled pods"
    )


def test_files_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "absent"
    for name, value in {TENANT: GUID, CLIENT: GUID, CERTIFICATE: str(path), FEDERATED: str(path)}.items():
        monkeypatch.setenv(name, value)
    why = "No such file or directory (os error 2)"
    assert failure(identity.EnvironmentCredential()) == f"{path}: it could not be read: {why}"
    text = failure(identity.WorkloadIdentityCredential())
    assert text == f"failed to read federated token from file {path}: {why}"


class TestClientIds:
    """Which are not looked at here, as in azure-identity: whoever is asked knows what they are."""

    UNKNOWN = (
        "AADSTS700016: Application with identifier 'no-guid' was not found in the directory '{tenant}'. This can "
        "happen if the application has not been installed by the administrator of the tenant or consented to by any "
        "user in the tenant. You may have sent your authentication request to the wrong tenant. Trace ID: … "
        "Correlation ID: … Timestamp: … (127.0.0.1 answered 400). The application is not known in this tenant: check "
        "the client id, then the tenant id."
    )

    def test_entra(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        told = self.UNKNOWN.format(tenant=emulator.tenant_id)
        assert failure(identity.ClientSecretCredential(emulator.tenant_id, "no-guid", "a-secret")) == told
        for name, value in emulator.workload_identity_env(emulator.add_identity("pod", role=None)).items():
            monkeypatch.setenv(name, value)
        assert failure(identity.WorkloadIdentityCredential(client_id="no-guid")) == told

    def test_imds(self, imds: Emulator) -> None:
        assert imds
        assert failure(identity.ManagedIdentityCredential(client_id="no-guid")) == (
            "the requested identity has not been assigned to this resource: Identity not found (127.0.0.1 answered 400)"
        )

    def test_app_service(self, emulator: Emulator) -> None:
        assert emulator
        assert failure(identity.ManagedIdentityCredential(client_id="no-guid")) == (
            "the requested identity has not been assigned to this resource: No User Assigned or Delegated Managed "
            "Identity found for specified ClientId/ResourceId/PrincipalId. (127.0.0.1 answered 400)"
        )


@pytest.mark.parametrize("authority", ["http://login.microsoftonline.com", "/relative", "https://", "http://", "a b"])
@pytest.mark.parametrize(
    "make",
    [
        lambda authority: identity.ClientSecretCredential(GUID, GUID, "a-secret", authority=authority),
        lambda authority: identity.EnvironmentCredential(authority=authority),
        lambda authority: identity.DefaultAzureCredential(authority=authority),
    ],
    ids=["secret", "environment", "default"],
)
def test_authorities_are_https_urls(make: Any, authority: str) -> None:
    said = 'expected the host name of an Entra ID authority or its https URL, such as "login.microsoftonline.com"'
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        make(authority)
    assert str(raised.value) == f'authority="{authority}": {said}'
