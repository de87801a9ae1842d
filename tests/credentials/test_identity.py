"""Each credential against its protocol, as the emulator speaks it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.credentials import SupportsTokenInfo, TokenCredential
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest
from azure_postgresql_auth import core, errors, identity

from tests.support.credentials import make_certificate, make_token, object_id

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator, Identity

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
RESOURCE = SCOPE[: -len("/.default")]
GUID = "11111111-2222-3333-4444-555555555555"


def endpoints(emulator: Emulator) -> list[str]:
    return [request.endpoint for request in emulator.token_requests]


class TestManagedIdentity:
    def test_app_service(self, emulator: Emulator) -> None:
        assert object_id(identity.ManagedIdentityCredential()) == emulator.identity.object_id
        assert endpoints(emulator) == ["app-service"]
        assert emulator.token_requests[0].resource == RESOURCE

    def test_imds(self, imds: Emulator) -> None:
        assert object_id(identity.ManagedIdentityCredential()) == imds.identity.object_id
        assert endpoints(imds) == ["imds"]

    @pytest.mark.parametrize("kind", ["client_id", "object_id", "resource_id"])
    @pytest.mark.parametrize("config", [False, True])
    @pytest.mark.parametrize("host", ["imds", "emulator"])
    def test_user_assigned(self, request: pytest.FixtureRequest, host: str, kind: str, config: bool) -> None:  # noqa: FBT001
        second = request.getfixturevalue(host).add_identity("second")
        named = {kind: getattr(second, kind)}
        credential = (
            identity.ManagedIdentityCredential(identity_config=named)
            if config
            else identity.ManagedIdentityCredential(**named)
        )
        assert object_id(credential) == second.object_id

    def test_system_assigned(self, emulator: Emulator) -> None:
        emulator.add_identity("vm-1", "system-assigned", default=True)
        assert core.get_entra_conninfo(identity.ManagedIdentityCredential())["user"] == "vm-1"

    def test_not_assigned(self, imds: Emulator) -> None:
        with pytest.raises(errors.EntraConnectionValueError, match="has not been assigned.*answered 400"):
            identity.ManagedIdentityCredential(client_id=GUID).get_token(SCOPE)
        assert imds.token_requests[-1].status == 400

    def test_its_requests_go_to_no_proxy(self, imds: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as trap:
            trap.settimeout(0)
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{trap.getsockname()[1]}")
            assert object_id(identity.ManagedIdentityCredential()) == imds.identity.object_id
            with pytest.raises(BlockingIOError):
                trap.accept()

    def test_retries_until_the_service_is_back(self, imds: Emulator) -> None:
        imds.fail(429, times=1, headers={"Retry-After": "0"})
        assert object_id(identity.ManagedIdentityCredential()) == imds.identity.object_id
        assert [request.status for request in imds.token_requests] == [429, 200]

    def test_identity_is_named_once(self) -> None:
        with pytest.raises(ValueError, match="one of client_id, object_id and resource_id"):
            identity.ManagedIdentityCredential(client_id="a", object_id="b")
        with pytest.raises(ValueError, match="'name': one of client_id, object_id, resource_id"):
            identity.ManagedIdentityCredential(identity_config={"name": "x"})


class TestServicePrincipal:
    @pytest.fixture
    def principal(self, nowhere: Emulator) -> Identity:
        return nowhere.add_identity("app", "service-principal")

    def test_client_secret(self, emulator: Emulator, principal: Identity) -> None:
        credential = identity.ClientSecretCredential(
            emulator.tenant_id, principal.client_id, principal.client_secret or ""
        )
        assert object_id(credential) == principal.object_id
        assert endpoints(emulator) == ["token"]

    def test_authority(self, emulator: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
        authority = os.environ["AZURE_AUTHORITY_HOST"]
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
        credential = identity.ClientSecretCredential(
            emulator.tenant_id, principal.client_id, principal.client_secret or "", authority=authority
        )
        assert object_id(credential) == principal.object_id

    def test_wrong_secret(self, emulator: Emulator, principal: Identity) -> None:
        credential = identity.ClientSecretCredential(emulator.tenant_id, principal.client_id, "wrong-secret")
        with pytest.raises(errors.EntraConnectionValueError, match="AADSTS7000215.*answered 401") as raised:
            credential.get_token(SCOPE)
        assert "wrong-secret" not in str(raised.value)
        assert len(emulator.token_requests) == 1

    def test_unknown_application_and_tenant(self, emulator: Emulator, principal: Identity) -> None:
        for tenant, client, code in [
            (emulator.tenant_id, GUID, "AADSTS700016"),
            (GUID, principal.client_id, "AADSTS90002"),
        ]:
            with pytest.raises(errors.EntraConnectionValueError, match=code):
                identity.ClientSecretCredential(tenant, client, "secret").get_token(SCOPE)

    def test_untrusted_certificate(
        self, emulator: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        from azure_postgresql_auth.tls import AZURE_ROOTS

        monkeypatch.setenv("SSL_CERT_FILE", AZURE_ROOTS)
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        credential = identity.ClientSecretCredential(
            emulator.tenant_id, principal.client_id, principal.client_secret or ""
        )
        with pytest.raises(errors.EntraConnectionValueError, match="(?i)certificate"):
            credential.get_token(SCOPE)

    def test_no_certificates_at_all(
        self, emulator: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        empty = tmp_path / "empty.pem"
        empty.touch()
        monkeypatch.setenv("SSL_CERT_FILE", str(empty))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        credential = identity.ClientSecretCredential(
            emulator.tenant_id, principal.client_id, principal.client_secret or ""
        )
        with pytest.raises(errors.EntraConnectionValueError, match="could not set up HTTPS.*SSL_CERT_FILE"):
            credential.get_token(SCOPE)

    def test_proxy(self, emulator: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            proxy.settimeout(20)
            monkeypatch.delenv("NO_PROXY")
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
            credential = identity.ClientSecretCredential(emulator.tenant_id, principal.client_id, "secret")
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(core.login, credential, timeout=20)
                connection, _ = proxy.accept()
                with connection:
                    assert connection.recv(100).startswith(b"CONNECT 127.0.0.1:")
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                proxy.close()
                with pytest.raises(errors.EntraConnectionValueError):
                    asked.result()

    def test_environment(self, emulator: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
        credential = identity.EnvironmentCredential()
        with pytest.raises(
            errors.EntraConnectionValueError,
            match="EnvironmentCredential: not set: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET",
        ):
            credential.get_token(SCOPE)
        for name, value in emulator.client_secret_env(principal).items():
            monkeypatch.setenv(name, value)
        # Read when a token is needed, not when the object was made.
        assert object_id(credential) == principal.object_id

    def test_workload_identity_reads_its_file_every_time(
        self, emulator: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        credential = identity.WorkloadIdentityCredential()
        with pytest.raises(errors.EntraConnectionValueError, match="not set:.*AZURE_FEDERATED_TOKEN_FILE"):
            credential.get_token(SCOPE)
        for name, value in emulator.workload_identity_env(principal).items():
            monkeypatch.setenv(name, value)
        path = Path(os.environ["AZURE_FEDERATED_TOKEN_FILE"])
        good = path.read_text()
        path.write_text(make_token(sub="somebody else"))
        with pytest.raises(errors.EntraConnectionValueError, match="AADSTS"):
            credential.get_token(SCOPE)
        for kept in (good, f"{good}\n", f"\ufeff{good}\r\n"):
            path.write_bytes(kept.encode())
            assert object_id(type(credential)()) == principal.object_id
        explicit = identity.WorkloadIdentityCredential(
            tenant_id=emulator.tenant_id, client_id=principal.client_id, token_file_path=str(path)
        )
        monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE")
        assert object_id(explicit) == principal.object_id
        path.unlink()
        with pytest.raises(errors.EntraConnectionValueError, match="federated token from file"):
            identity.WorkloadIdentityCredential(tenant_id=GUID, client_id=GUID, token_file_path=str(path)).get_token(
                SCOPE
            )


CREDENTIALS: list[Any] = [
    identity.DefaultAzureCredential,
    identity.EnvironmentCredential,
    identity.ManagedIdentityCredential,
    identity.WorkloadIdentityCredential,
    lambda: identity.ClientSecretCredential(GUID, GUID, "a-secret"),
    lambda: identity.CertificateCredential(
        GUID, GUID, certificate_data=make_certificate(password="a-secret"), password="a-secret"
    ),
    lambda: identity.ClientAssertionCredential(GUID, GUID, lambda: "an-assertion"),
    lambda: identity.AzurePipelinesCredential(
        tenant_id=GUID, client_id=GUID, service_connection_id=GUID, system_access_token="a-secret"
    ),
    identity.AzureCliCredential,
    identity.AzurePowerShellCredential,
    identity.AzureDeveloperCliCredential,
    lambda: identity.ChainedTokenCredential(identity.EnvironmentCredential()),
]


class TestShape:
    @pytest.mark.parametrize("make", CREDENTIALS)
    def test_azure_core_knows_them(self, make: Any) -> None:
        credential = make()
        assert isinstance(credential, TokenCredential)
        assert isinstance(credential, SupportsTokenInfo)
        with credential as entered:
            assert entered is credential
        assert "a-secret" not in repr(vars(credential)) + repr(credential)
        for scopes in ((), ("a", "b")):
            with pytest.raises(ValueError, match="exactly one scope"):
                credential.get_token(*scopes)

    def test_azure_clients_take_them(self, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential()
        policy = BearerTokenCredentialPolicy(credential, "https://management.azure.com/.default")
        request = PipelineRequest(HttpRequest("GET", "https://management.azure.com/"), PipelineContext(None))
        policy.on_request(request)
        token = request.http_request.headers["Authorization"].split()[1]
        assert core.decode_jwt(token)["oid"] == emulator.identity.object_id

    def test_tokens(self, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential()
        token = credential.get_token(SCOPE, tenant_id=emulator.tenant_id, enable_cae=True)
        info = credential.get_token_info(SCOPE, options={"tenant_id": emulator.tenant_id})
        assert (token.token, token.expires_on) == tuple(token) == (info.token, info.expires_on)
        assert (info.token_type, info.refresh_on) == ("Bearer", None)
        assert abs(token.expires_on - time.time() - emulator.lifetime) < 60
        assert token.token not in f"{token!r} {info!r}"

    def test_one_object_serves_both_worlds(self, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential()
        assert asyncio.run(core.get_entra_token_async(credential)) == credential.get_token(SCOPE).token
        assert len(emulator.token_requests) == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: identity.ClientSecretCredential("", "c", "s"), "tenant_id is required and must not be empty"),
        (lambda: identity.ClientSecretCredential("a/b", "c", "s"), "tenant_id contains '/'"),
        (lambda: identity.ClientSecretCredential(GUID, "", "s"), "client_id is required"),
        (lambda: identity.ClientSecretCredential(GUID, "c", ""), "client_secret is required"),
        (lambda: identity.ClientSecretCredential(GUID, "c", "s", authority="http://x"), "authority='http://x'"),
        (lambda: identity.EnvironmentCredential(authority="/relative"), "authority='/relative'"),
        (lambda: identity.DefaultAzureCredential(process_timeout=-1), "process_timeout=-1"),
    ],
)
def test_invalid_values(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text.split("=", maxsplit=1)[0]) as raised:
        make()
    assert text in str(raised.value).replace('"', "'")


@pytest.mark.parametrize("host", ["relative", "ftp://x", "http://"])
def test_a_bad_imds_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", host)
    with pytest.raises(errors.EntraConnectionValueError, match="AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        identity.ManagedIdentityCredential().get_token(SCOPE)


@pytest.mark.parametrize("bad", ["http://127.0.0.1:9", "/relative", "https://"])
def test_a_bad_authority_of_the_environment(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", bad)
    with pytest.raises(errors.EntraConnectionValueError) as raised:
        identity.ClientSecretCredential(GUID, GUID, "secret").get_token(SCOPE)
    assert str(raised.value) == (
        f'Could not retrieve Entra credentials: ClientSecretCredential: AZURE_AUTHORITY_HOST="{bad}": expected the '
        f'host name of an Entra ID authority or its https URL, such as "login.microsoftonline.com"'
    )


def test_an_authority_without_its_scheme(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """As azure-identity takes it."""
    principal = emulator.add_identity("app", "service-principal")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", os.environ["AZURE_AUTHORITY_HOST"].partition("://")[2])
    credential = identity.ClientSecretCredential(emulator.tenant_id, principal.client_id, principal.client_secret or "")
    assert object_id(credential) == principal.object_id


def test_value_that_is_not_utf8_does_not_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for unset, an address of IMDS for one would lead to another machine."""
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "\udcff")
    credential = identity.WorkloadIdentityCredential(tenant_id=GUID, client_id=GUID)
    with pytest.raises(errors.EntraConnectionValueError, match="federated token from file"):
        credential.get_token(SCOPE)
