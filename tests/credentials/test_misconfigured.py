"""Invalid settings, and the error for each."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core, errors, identity

from tests.support import credentials
from tests.support.platforms import NO_SUCH_FILE

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
GUID = "11111111-2222-3333-4444-555555555555"
TENANT, CLIENT, SECRET = "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"
CERTIFICATE, PASSWORD = "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD"
FEDERATED = "AZURE_FEDERATED_TOKEN_FILE"
NO_SECRET = f"{SECRET} (or {CERTIFICATE})"


def failure(credential: Any) -> str:
    """Return the error message without the ids of the request."""
    text = credentials.failure(credential)
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
def test_incomplete_service_principal(given: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_incomplete_workload_identity(given: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in given:
        monkeypatch.setenv(name, "x")
    assert failure(identity.WorkloadIdentityCredential()) == (
        f"not set: {missing}; in Kubernetes the workload identity webhook sets them on labelled pods"
    )


@pytest.mark.parametrize("kind", [identity.EnvironmentCredential, identity.WorkloadIdentityCredential])
@pytest.mark.parametrize(("tenant", "letter"), [("a/b", "/"), ("../common", "/"), ("a?b=c", "?"), ("x~secret", "~")])
def test_a_tenant_of_the_environment_is_checked_as_the_keyword_is(
    kind: Any, tenant: str, letter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("x")
    for name, value in {TENANT: tenant, CLIENT: GUID, SECRET: "x", FEDERATED: str(tmp_path / "token")}.items():
        monkeypatch.setenv(name, value)
    remedy = "give a directory (tenant) id such as 11111111-2222-3333-4444-555555555555, or a domain"
    text = failure(kind())
    assert text == f"AZURE_TENANT_ID contains '{letter}'; {remedy}"
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        identity.WorkloadIdentityCredential(tenant_id=tenant)
    assert str(raised.value) == text.replace(TENANT, "tenant_id")


def test_files_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "absent"
    for name, value in {TENANT: GUID, CLIENT: GUID, CERTIFICATE: str(path), FEDERATED: str(path)}.items():
        monkeypatch.setenv(name, value)
    assert failure(identity.EnvironmentCredential()) == f"{path}: it could not be read: {NO_SUCH_FILE}"
    text = failure(identity.WorkloadIdentityCredential())
    assert text == f"failed to read federated token from file {path}: {NO_SUCH_FILE}"


def test_a_federated_token_that_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("\n")
    for name, value in {TENANT: GUID, CLIENT: GUID, FEDERATED: str(path)}.items():
        monkeypatch.setenv(name, value)
    assert failure(identity.WorkloadIdentityCredential()) == f"the file of the federated token, {path}, is empty"


BREAK = "ends with a line break, which files and secret stores often add; remove it"
QUOTES = (
    "is enclosed in quotation marks, which secret stores and `docker run --env-file` keep as part of the value; remove "
    "them"
)
REFERENCE = (
    "is an unresolved Key Vault reference: App Service could not read the secret; check that the app's identity may "
    "read secrets of the vault, and the reference's status in the portal"
)


class TestOddValues:
    """Values as secret stores and `docker run --env-file` leave them are named, never shown, and not sent."""

    @pytest.mark.parametrize("name", [TENANT, CLIENT, SECRET])
    @pytest.mark.parametrize(
        ("form", "why"),
        [
            ("{}\n", BREAK),
            ("{}\r\n", BREAK),
            (" {}", "begins with white space; remove it"),
            ("{}\t", "ends with white space; remove it"),
            ('"{}"', QUOTES),
            ("'{}'", QUOTES),
            ("@Microsoft.KeyVault(SecretUri=https://v/{})", REFERENCE),
        ],
    )
    def test_environment(
        self, emulator: Emulator, name: str, form: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = emulator.client_secret_env(emulator.add_identity("app", "service-principal", role=None))
        found[name] = form.format(found[name])
        for each, value in found.items():
            monkeypatch.setenv(each, value)
        assert failure(identity.EnvironmentCredential()) == f"{name} {why}"
        # It is configured, so a chain ends there: the next credential would log in as another identity.
        with pytest.raises(errors.EntraConnectionValueError, match=f"EnvironmentCredential: {name} ") as raised:
            identity.DefaultAzureCredential().get_token(SCOPE)
        assert "AzureCli" not in str(raised.value)
        assert emulator.token_requests == []

    @pytest.mark.parametrize("name", [TENANT, CLIENT, FEDERATED])
    def test_workload_identity(self, emulator: Emulator, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        found = emulator.workload_identity_env(emulator.add_identity("pod", role=None))
        for each, value in {**found, name: found[name] + "\n"}.items():
            monkeypatch.setenv(each, value)
        assert failure(identity.WorkloadIdentityCredential()) == f"{name} {BREAK}"

    @pytest.mark.parametrize("name", ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"])
    def test_identity_endpoint(self, emulator: Emulator, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, os.environ[name] + "\n")
        assert failure(identity.ManagedIdentityCredential()) == f"{name} {BREAK}"
        assert emulator.token_requests == []

    def test_managed_identity(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        second = emulator.add_identity("second")
        monkeypatch.setenv(CLIENT, f'"{second.client_id}"')
        with pytest.raises(errors.EntraConnectionValueError) as raised:
            identity.DefaultAzureCredential().get_token(SCOPE)
        assert str(raised.value).endswith(f"ManagedIdentityCredential: {CLIENT} {QUOTES}")
        assert emulator.token_requests == []

    def test_a_file_may_have_any_name(
        self, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = emulator.workload_identity_env(emulator.add_identity("pod", role=None))
        odd = tmp_path / "'a token' "
        odd.write_bytes(Path(found[FEDERATED]).read_bytes())
        for each, value in {**found, FEDERATED: str(odd)}.items():
            monkeypatch.setenv(each, value)
        assert identity.WorkloadIdentityCredential().get_token(SCOPE).token

    @pytest.mark.parametrize(
        ("make", "argument"),
        [
            (lambda odd: identity.ClientSecretCredential(odd(GUID), GUID, "a-secret"), "tenant_id"),
            (lambda odd: identity.ClientSecretCredential(GUID, odd(GUID), "a-secret"), "client_id"),
            (lambda odd: identity.ClientSecretCredential(GUID, GUID, odd("a-secret")), "client_secret"),
            (lambda odd: identity.ManagedIdentityCredential(client_id=odd(GUID)), "client_id"),
            (
                lambda odd: identity.ManagedIdentityCredential(identity_config={"resource_id": odd("/x")}),
                "resource_id",
            ),
            (lambda odd: identity.WorkloadIdentityCredential(client_id=odd(GUID)), "client_id"),
            (
                lambda odd: identity.DefaultAzureCredential(managed_identity_client_id=odd(GUID)),
                "managed_identity_client_id",
            ),
            (
                lambda odd: identity.DefaultAzureCredential(workload_identity_tenant_id=odd(GUID)),
                "workload_identity_tenant_id",
            ),
            (lambda odd: identity.AzureCliCredential(tenant_id=odd(GUID)), "tenant_id"),
        ],
    )
    def test_arguments(self, make: Any, argument: str) -> None:
        for form, why in (("{}\n", BREAK), ('"{}"', QUOTES)):
            with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
                make(form.format)
            assert str(raised.value) == f"{argument} {why}"


class TestEmptyTexts:
    """azure-identity takes them for nothing."""

    def test_identity_of_the_default_credential(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        second = emulator.add_identity("second")
        monkeypatch.setenv(CLIENT, second.client_id)
        for keywords, expected in (
            ({}, second),
            ({"managed_identity_client_id": ""}, emulator.identity),
            ({"managed_identity_client_id": None}, emulator.identity),
            ({"workload_identity_client_id": "", "workload_identity_tenant_id": "", "authority": ""}, second),
        ):
            token = identity.DefaultAzureCredential(**keywords).get_token(SCOPE).token
            assert core.decode_jwt(token)["oid"] == expected.object_id, keywords

    def test_managed_identity(self, emulator: Emulator) -> None:
        second = emulator.add_identity("second")
        for keywords, expected in (
            ({"client_id": "", "object_id": "", "resource_id": ""}, emulator.identity),
            ({"client_id": "", "object_id": second.object_id}, second),
            ({"identity_config": {"client_id": ""}}, emulator.identity),
            ({"client_id": "", "identity_config": {"client_id": second.client_id, "object_id": ""}}, second),
        ):
            token = identity.ManagedIdentityCredential(**keywords).get_token(SCOPE).token
            assert core.decode_jwt(token)["oid"] == expected.object_id, keywords

    def test_two_names_of_one_identity(self) -> None:
        with pytest.raises(ValueError, match="client_id= and identity_config name different identities"):
            identity.ManagedIdentityCredential(client_id="a", identity_config={"client_id": "b"})

    def test_workload_identity(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        pod = emulator.add_identity("pod", role=None)
        for name, value in emulator.workload_identity_env(pod).items():
            monkeypatch.setenv(name, value)
        made = identity.WorkloadIdentityCredential(tenant_id="", client_id="", token_file_path="", authority="")
        assert core.decode_jwt(made.get_token(SCOPE).token)["oid"] == pod.object_id

    def test_tools(self) -> None:
        """Made without an error."""
        identity.AzureCliCredential(tenant_id="", subscription="")
        identity.AzureDeveloperCliCredential(tenant_id="")
        identity.AzurePowerShellCredential(tenant_id="")


class TestClientIds:
    """They are not validated, as in azure-identity: the service that receives them knows whether they exist."""

    ASSIGN = (
        "assign the identity to this machine or app; AZURE_CLIENT_ID has to be its client id, or unset for the "
        "system-assigned one"
    )
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

    @pytest.mark.usefixtures("imds")
    def test_imds(self) -> None:
        assert failure(identity.ManagedIdentityCredential(client_id="no-guid")) == (
            f"the requested identity has not been assigned to this resource: Identity not found (127.0.0.1 answered "
            f"400); {self.ASSIGN}"
        )

    @pytest.mark.usefixtures("emulator")
    def test_app_service(self) -> None:
        assert failure(identity.ManagedIdentityCredential(client_id="no-guid")) == (
            f"the requested identity has not been assigned to this resource: No User Assigned or Delegated Managed "
            f"Identity found for specified ClientId/ResourceId/PrincipalId. (127.0.0.1 answered 400); {self.ASSIGN}"
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
