"""The emulator's token endpoints: what they answer, how they fail, and azure-identity's credentials on them."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import jwt
import psycopg
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.emulator_clients import DATABASE, DATABASE_SCOPE, MANAGEMENT_SCOPE, claims_of, get, imds, one
from tests.support.polling import eventually

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator, Identity


def test_app_service(emulator: Emulator) -> None:
    url = emulator.env["IDENTITY_ENDPOINT"] + f"?api-version=2019-08-01&resource={DATABASE}"
    secret = {"X-IDENTITY-HEADER": emulator.env["IDENTITY_HEADER"]}
    status, answer, _ = get(url, secret)
    assert status == 200
    assert set(answer) == {"access_token", "expires_on", "resource", "token_type", "client_id"}
    assert answer["client_id"] == emulator.identity.client_id
    assert answer["expires_on"] == str(claims_of(answer["access_token"])["exp"])
    assert get(url, {})[0] == 401
    assert get(url, {"X-IDENTITY-HEADER": "wrong"})[0] == 403
    assert get(url + "&client_id=unknown", secret)[0] == 400
    other = emulator.add_identity("other")
    for key, value in (
        ("client_id", other.client_id),
        ("object_id", other.object_id),
        ("principal_id", other.object_id),
        ("mi_res_id", str(other.resource_id)),
    ):
        assert get(f"{url}&{key}={urllib.parse.quote(value)}", secret)[1]["client_id"] == other.client_id
    records = [(r.endpoint, r.resource, r.status) for r in emulator.token_requests]
    statuses = [200, 401, 403, 400, 200, 200, 200, 200]
    assert records == [("app-service", DATABASE, status) for status in statuses]


def test_imds(emulator: Emulator) -> None:
    status, answer, _ = imds(emulator)
    assert status == 200
    assert set(answer) == {
        "access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "resource", "token_type"  # noqa: E501
    }  # fmt: skip
    assert all(isinstance(value, str) for value in answer.values())
    assert answer["expires_in"] == "3600"
    url = emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + "/metadata/identity/oauth2/token"
    assert get(url, {})[:2] == (
        400,
        {"error": "invalid_request", "error_description": "Required metadata header not specified"},
    )
    assert imds(emulator, client_id="unknown")[1]["error_description"] == "Identity not found"
    system = emulator.add_identity("vm-1", "system-assigned", default=True)
    assert imds(emulator)[1]["client_id"] == system.client_id
    principal = emulator.add_identity("app", "service-principal")
    assert imds(emulator, client_id=principal.client_id)[0] == 400


def test_claims(emulator: Emulator) -> None:
    def of(identity: Identity, scope: str = DATABASE_SCOPE) -> dict[str, Any]:
        return claims_of(emulator.token(identity, scope))

    managed = of(emulator.identity)
    assert managed["xms_mirid"].endswith("/Microsoft.ManagedIdentity/userAssignedIdentities/emulator-identity")
    assert (managed["aud"], managed["idtyp"], managed["ver"]) == (DATABASE, "app", "1.0")
    assert managed["oid"] == emulator.identity.object_id
    assert 1500 < len(emulator.token(emulator.identity)) < 2100
    system = of(emulator.add_identity("vm-1", "system-assigned"))
    assert system["xms_mirid"].endswith("/Microsoft.Compute/virtualMachines/vm-1")
    principal = of(emulator.add_identity("app", "service-principal"))
    assert not {"xms_mirid", "app_displayname", "upn", "unique_name", "name"} & set(principal)
    user = of(emulator.add_identity("ann@contoso.com", "user"))
    assert (user["upn"], user["unique_name"], user["scp"]) == (
        "ann@contoso.com",
        "ann@contoso.com",
        "user_impersonation",
    )
    assert "idtyp" not in user
    hidden = emulator.add_identity("hidden", claims={"extra": 1}, database_claims={"xms_mirid": None})
    assert "xms_mirid" not in of(hidden)
    assert "xms_mirid" in of(hidden, MANAGEMENT_SCOPE)
    assert of(hidden)["extra"] == of(hidden, MANAGEMENT_SCOPE)["extra"] == 1


class TestCertificateAssertions:
    """What an application signs with its certificate, sent as no client library would."""

    @pytest.fixture
    def sent(self, emulator: Emulator) -> Callable[..., int]:
        app, other = (emulator.add_identity(name, "service-principal") for name in ("app", "other"))
        files = {
            identity.name: Path(emulator.client_certificate_env(identity)["AZURE_CLIENT_CERTIFICATE_PATH"]).read_bytes()
            for identity in (app, other)
        }
        url = f"{emulator.env['AZURE_AUTHORITY_HOST']}/{emulator.tenant_id}/oauth2/v2.0/token"
        context = ssl.create_default_context(cafile=emulator.ca_file)

        def send(key_of: str = "app", thumbprint_of: str = "app", **changes: Any) -> int:
            """Give Entra's code for a refusal, 0 for a token."""
            now = int(time.time())
            claims = {"aud": url, "iss": app.client_id, "sub": app.client_id, "jti": "1", "nbf": now, "exp": now + 60}
            claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
            certificate = x509.load_pem_x509_certificate(files[thumbprint_of])
            digest = certificate.fingerprint(hashes.SHA1())  # noqa: S303 - what Entra calls certificates by
            headers = {"x5t": base64.urlsafe_b64encode(digest).decode().rstrip("=")}
            assertion = jwt.encode(claims, load_pem_private_key(files[key_of], None), "RS256", headers)  # type: ignore[arg-type]
            form = {
                "grant_type": "client_credentials",
                "client_id": app.client_id,
                "client_assertion": assertion,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "scope": DATABASE_SCOPE,
            }
            try:
                urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=context).close()  # noqa: S310
            except urllib.error.HTTPError as error:
                with error:
                    return int(json.load(error)["error_codes"][0])
            return 0

        return send

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({}, 0),
            ({"iss": "somebody"}, 700021),
            ({"sub": "somebody"}, 700021),
            ({"iss": "somebody", "sub": "somebody"}, 700021),
            ({"iss": None}, 700027),
            ({"sub": None}, 700027),
            ({"jti": None}, 700027),
            ({"exp": None}, 700027),
            ({"exp": 1}, 700024),
            ({"nbf": 1 << 40}, 700024),
            ({"aud": "https://login.microsoftonline.com/"}, 700023),
            ({"aud": None}, 700027),
            ({"key_of": "other"}, 700027),
            ({"thumbprint_of": "other"}, 700027),
            ({"key_of": "other", "thumbprint_of": "other"}, 700027),
        ],
    )
    def test_certificate_assertions_are_verified(
        self, changes: dict[str, Any], code: int, sent: Callable[..., int]
    ) -> None:
        assert sent(**changes) == code


def test_lifetime_and_latency(emulator: Emulator) -> None:
    emulator.lifetime, emulator.latency = 7200, 0.3
    begin = time.monotonic()
    answer = imds(emulator)[1]
    assert 0.3 <= time.monotonic() - begin < 3
    # Whole seconds that are left, some of one of which is gone.
    assert answer["expires_in"] in {"7199", "7200"}


def test_faults(emulator: Emulator) -> None:
    emulator.fail(500, times=2, headers={"Retry-After": "7"})
    probe = emulator.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + "/metadata/identity/oauth2/token"
    assert get(probe, {})[0] == 400  # a probe does not use the failure up
    status, body, headers = imds(emulator)
    assert (status, headers["Retry-After"]) == (500, "7")
    assert "error" in body
    assert [imds(emulator)[0] for _ in range(2)] == [500, 200]
    emulator.fail(418, body='{"mine": true}')
    assert get(probe, {})[0] == 418
    assert imds(emulator)[:2] == (418, {"mine": True})
    emulator.fail(reset=True)
    with pytest.raises(ConnectionResetError):
        imds(emulator)
    emulator.fail(truncate=True)
    with pytest.raises(Exception, match="IncompleteRead"):
        imds(emulator)
    emulator.fail(hang=True)
    with futures.ThreadPoolExecutor() as pool:
        hanging = pool.submit(imds, emulator)
        with pytest.raises(futures.TimeoutError):
            hanging.result(0.3)
        eventually(lambda: len(emulator.token_requests) == 9)
        emulator.heal()
        with pytest.raises((ConnectionError, urllib.error.URLError)):
            hanging.result()
    assert imds(emulator)[0] == 200
    statuses = [request.status for request in emulator.token_requests]
    assert statuses == [400, 500, 500, 200, 418, 418, 0, 200, 0, 200]


def test_throttle(emulator: Emulator) -> None:
    emulator.throttle(per_second=3)
    answers = [imds(emulator) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
    assert answers[-1][2]["Retry-After"] == "1"
    emulator.throttle(per_second=1000, concurrent=2)
    emulator.latency = 0.5
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(imds(emulator)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [200, 200, 429, 429]
    emulator.throttle(None)
    emulator.latency = 0
    assert {imds(emulator)[0] for _ in range(40)} == {200}


@pytest.mark.parametrize("protocol", ["app-service", "imds"])
def test_azure_identity_managed(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:

    if protocol == "imds":
        monkeypatch.delenv("IDENTITY_ENDPOINT")
        monkeypatch.delenv("IDENTITY_HEADER")
    other = emulator.add_identity("other")
    for identity, options in (
        (emulator.identity, {}),
        (other, {"client_id": other.client_id}),
        (other, {"identity_config": {"object_id": other.object_id}}),
        (other, {"identity_config": {"resource_id": other.resource_id}}),
    ):
        with ManagedIdentityCredential(**options) as credential:
            token = credential.get_token(DATABASE_SCOPE)
        assert abs(token.expires_on - claims_of(token.token)["exp"]) <= 1
        with psycopg.connect(user=identity.role, password=token.token) as connection:  # the rest is in PG*
            assert one(connection, "SELECT current_user") == identity.role
    assert {request.endpoint for request in emulator.token_requests} == {protocol}
    with ManagedIdentityCredential(client_id="unknown") as credential, pytest.raises(CredentialUnavailableError):
        credential.get_token(DATABASE_SCOPE)


def test_azure_identity_client_secret(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:

    principal = emulator.add_identity("app", "service-principal")
    env = emulator.client_secret_env(principal)
    assert not {"IDENTITY_ENDPOINT", "IDENTITY_HEADER"} & set(env)
    assert str(principal.client_secret) not in repr(principal)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def token(tenant: str = env["AZURE_TENANT_ID"], client: str = principal.client_id, secret: str = "") -> str:
        with ClientSecretCredential(
            tenant,
            client,
            secret or env["AZURE_CLIENT_SECRET"],
            authority=env["AZURE_AUTHORITY_HOST"],
            disable_instance_discovery=True,
        ) as credential:
            return str(credential.get_token(DATABASE_SCOPE).token)

    with psycopg.connect(emulator.dsn, user="app", password=token()) as connection:
        assert one(connection, "SELECT current_user") == "app"
    with pytest.raises(ClientAuthenticationError, match=r"(?s)AADSTS7000215: .*\r\nTrace ID: .*\r\nTimestamp: "):
        token(secret="wrong")
    with pytest.raises(ClientAuthenticationError, match="AADSTS700016"):
        token(client="11111111-1111-1111-1111-111111111111")
    with pytest.raises(ClientAuthenticationError, match="check your tenant name or GUID"):
        token(tenant="22222222-2222-2222-2222-222222222222")
    assert [request.status for request in emulator.token_requests] == [200, 401, 400]


@pytest.mark.parametrize(
    ("change", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": None}, 401, "invalid_client", 7000216),
        ({"client_id": "unknown"}, 400, "unauthorized_client", 700016),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"scope": DATABASE}, 400, "invalid_scope", 1002012),
        ({"tenant": "unknown"}, 400, "invalid_request", 90002),
        ({"client_assertion": "x"}, 400, "invalid_request", 90014),
    ],
)
def test_refusals_of_the_token_endpoint(
    emulator: Emulator, change: dict[str, str], status: int, error: str, code: int
) -> None:
    principal = emulator.add_identity("app", "service-principal")
    form = {"grant_type": "client_credentials", "scope": DATABASE_SCOPE, "tenant": emulator.tenant_id}
    form.update(client_id=principal.client_id, client_secret=str(principal.client_secret))
    form = {name: value for name, value in {**form, **change}.items() if value is not None}
    url = f"{emulator.env['AZURE_AUTHORITY_HOST']}/{form.pop('tenant')}/oauth2/v2.0/token"
    context = ssl.create_default_context(cafile=emulator.ca_file)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=context)  # noqa: S310
    with refused.value as response:
        body = json.load(response)
    assert (refused.value.code, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} < set(body)


def test_azure_identity_workload(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:

    identity = emulator.add_identity("pod")
    env = emulator.workload_identity_env(identity)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def token() -> str:
        with WorkloadIdentityCredential(disable_instance_discovery=True) as credential:
            return str(credential.get_token(DATABASE_SCOPE).token)

    with psycopg.connect(emulator.dsn, user="pod", password=token()) as connection:
        assert one(connection, "SELECT current_user") == "pod"
    other = emulator.workload_identity_env(emulator.identity)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", other["AZURE_FEDERATED_TOKEN_FILE"])
    with pytest.raises(ClientAuthenticationError, match="AADSTS700213"):
        token()
    Path(other["AZURE_FEDERATED_TOKEN_FILE"]).write_text(emulator.token(identity))
    with pytest.raises(ClientAuthenticationError, match="AADSTS700212"):
        token()
    Path(other["AZURE_FEDERATED_TOKEN_FILE"]).write_text("rubbish")
    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        token()


def test_an_error_in_an_answer_is_a_500(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    groups: list[Any] = ["a"]
    emulator.add_identity("app", claims={"groups": groups}, default=True)
    assert imds(emulator)[0] == 200
    groups.append(object())  # which JSON cannot carry
    status, body, _ = imds(emulator)
    assert (status, body["error"]) == (500, "server_error")
    assert "could not answer GET /metadata/identity/oauth2/token" in caplog.text
    assert "not JSON serializable" in caplog.text
    assert [request.status for request in emulator.token_requests] == [200, 500]
