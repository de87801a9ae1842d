"""Options of azure-identity's constructors and of `get_token` that do not select the identity."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azure_postgresql_auth
import pytest
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth.emulator.identity.service import IdentityService
from azure_postgresql_auth.identity import aio

from tests.support.credentials import make_token
from tests.support.platforms import NO_SUCH_FILE, needs_system_trust
from tests.support.tools import install, saying

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure_postgresql_auth.emulator import Emulator, Identity
    from azure_postgresql_auth.emulator.identity.http import Request

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
GUID = "11111111-2222-3333-4444-555555555555"
CLAIMS = '{"access_token": {"nbf": {"essential": true, "value": "1"}}}'


def object_id(token: str) -> str:
    found: str = core.decode_jwt(token)["oid"]
    return found


@pytest.fixture
def app(nowhere: Emulator) -> Identity:
    return nowhere.add_identity("app", "service-principal")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Record every request for a token."""
    seen: list[Request] = []
    answer = IdentityService.token_request

    def record(self: Any, endpoint: str, request: Request, how: Any) -> Any:
        seen.append(request)
        return answer(self, endpoint, request, how)

    monkeypatch.setattr(IdentityService, "token_request", record)
    return seen


def assertion_of(emulator: Emulator, app: Identity) -> Callable[[], str]:
    path = emulator.workload_identity_env(app)["AZURE_FEDERATED_TOKEN_FILE"]
    return lambda: Path(path).read_text()


def make(
    kind: str, emulator: Emulator, app: Identity, patch: pytest.MonkeyPatch, tenant_id: str, **options: Any
) -> Any:
    """Make a credential of an application whose own tenant is this one."""
    if kind == "secret":
        return identity.ClientSecretCredential(tenant_id, app.client_id, app.client_secret or "", **options)
    if kind == "certificate":
        path = emulator.client_certificate_env(app)["AZURE_CLIENT_CERTIFICATE_PATH"]
        return identity.CertificateCredential(tenant_id, app.client_id, path, **options)
    if kind == "assertion":
        return identity.ClientAssertionCredential(tenant_id, app.client_id, assertion_of(emulator, app), **options)
    env = emulator.client_secret_env(app) if kind != "workload" else emulator.workload_identity_env(app)
    for name, value in {**env, "AZURE_TENANT_ID": tenant_id}.items():
        patch.setenv(name, value)
    classes = {
        "environment": identity.EnvironmentCredential,
        "workload": identity.WorkloadIdentityCredential,
        "default": identity.DefaultAzureCredential,
    }
    return classes[kind](**options)


APPLICATIONS = ["secret", "certificate", "assertion", "environment", "workload", "default"]


@pytest.mark.parametrize("kind", APPLICATIONS)
class TestTenantsOfApplications:
    def test_allowed_tenant(
        self, kind: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch, sent: list[Request]
    ) -> None:
        for tenants in ["*"], [emulator.tenant_id.upper()], emulator.tenant_id:
            credential = make(kind, emulator, app, monkeypatch, GUID, additionally_allowed_tenants=tenants)
            for _ in range(2):
                token = credential.get_token(SCOPE, tenant_id=emulator.tenant_id).token
                assert object_id(token) == app.object_id
            assert credential.get_token_info(SCOPE, options={"tenant_id": emulator.tenant_id}).token == token
            assert [request.path.split("/")[1] for request in sent] == [emulator.tenant_id], "cached"
            # Its own tenant is asked for the others.
            with pytest.raises(errors.EntraConnectionValueError, match="AADSTS90002"):
                credential.get_token(SCOPE)
            sent.clear()

    def test_tenant_that_is_not_allowed(
        self, kind: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        credential = make(kind, emulator, app, monkeypatch, emulator.tenant_id)
        with pytest.raises(errors.EntraConnectionValueError) as raised:
            credential.get_token(SCOPE, tenant_id=GUID)
        assert f"tenant_id={GUID} was requested, but it gives tokens of tenant {emulator.tenant_id} only" in str(
            raised.value
        )
        assert "additionally_allowed_tenants" in str(raised.value)

    def test_own_tenant(self, kind: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
        """As Azure's storage and vault clients name it, which have it from the resource's challenge."""
        credential = make(kind, emulator, app, monkeypatch, emulator.tenant_id)
        assert object_id(credential.get_token(SCOPE, tenant_id=emulator.tenant_id).token) == app.object_id
        assert object_id(credential.get_token(SCOPE, tenant_id="").token) == app.object_id

    def test_claims(
        self, kind: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch, sent: list[Request]
    ) -> None:
        credential = make(kind, emulator, app, monkeypatch, emulator.tenant_id)
        cached = credential.get_token(SCOPE).token
        token = credential.get_token(SCOPE, claims=CLAIMS).token
        assert token != cached, "a token that was rejected is no answer to a challenge"
        assert object_id(token) == app.object_id
        assert [request.form.get("claims") for request in sent] == [None, CLAIMS]


class TestManagedIdentity:
    def test_its_own_tenant(self, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential()
        token = credential.get_token(SCOPE, tenant_id=emulator.tenant_id).token
        assert object_id(token) == emulator.identity.object_id
        assert asyncio.run(aio.ManagedIdentityCredential().get_token(SCOPE, tenant_id=emulator.tenant_id)).token

    def test_another_tenant(self, emulator: Emulator) -> None:
        with pytest.raises(
            errors.EntraConnectionValueError, match=f"tenant_id={GUID} .* of tenant {emulator.tenant_id}"
        ):
            identity.ManagedIdentityCredential().get_token(SCOPE, tenant_id=GUID)
        with pytest.raises(errors.EntraConnectionValueError, match=f"tenant_id={GUID} "):
            asyncio.run(aio.ManagedIdentityCredential().get_token_info(SCOPE, options={"tenant_id": GUID}))
        with pytest.raises(errors.EntraConnectionValueError, match=f"ManagedIdentityCredential: tenant_id={GUID} "):
            identity.DefaultAzureCredential().get_token(SCOPE, tenant_id=GUID)

    @pytest.mark.parametrize("bad", ["a/b", "a b", "x;y"])
    def test_no_tenant(self, bad: str) -> None:
        with pytest.raises(ValueError, match=f"tenant_id contains '{bad[1]}'; give a directory"):
            identity.ManagedIdentityCredential().get_token(SCOPE, tenant_id=bad)

    def test_claims(self, emulator: Emulator) -> None:
        """As in azure-identity, they are fetched again; the endpoint takes no claims."""
        credential = identity.ManagedIdentityCredential()
        credential.get_token(SCOPE)
        assert object_id(credential.get_token(SCOPE, claims=CLAIMS).token) == emulator.identity.object_id
        assert len(emulator.token_requests) == 2


class TestTools:
    @pytest.fixture
    def calls(self, nowhere: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Install all three, which write down how they are called."""
        calls, token, soon = tmp_path / "calls", make_token(tid=GUID, oid=GUID), int(time.time()) + 3600
        answers = {
            "az": json.dumps({"accessToken": token, "expires_on": soon}),
            "azd": json.dumps({"token": token, "expiresOn": "2099-01-01T00:00:00Z"}),
            "pwsh": f"entra-token:{soon}:{token}",
        }
        for name, answer in answers.items():
            record = f"record({str(calls)!r}, {name!r}, *sys.argv[1:])"
            install(tmp_path, name, f"{record}\n{saying(answer)}")
        monkeypatch.setenv("PATH", str(tmp_path))
        return calls

    def test_tenants(self, calls: Path) -> None:
        identity.AzureCliCredential().get_token(SCOPE, tenant_id=GUID)
        assert f"--tenant {GUID}" in calls.read_text()
        identity.AzureDeveloperCliCredential().get_token(SCOPE, tenant_id=GUID)
        assert f"--tenant-id {GUID}" in calls.read_text()
        identity.AzurePowerShellCredential().get_token(SCOPE, tenant_id=GUID)
        script = base64.b64decode(calls.read_text().split()[-1]).decode("utf-16-le")
        assert f"$arguments.TenantId = '{GUID}'" in script
        identity.DefaultAzureCredential().get_token(SCOPE, tenant_id="contoso.com")
        assert "az account get-access-token" in calls.read_text().splitlines()[-1]
        assert "--tenant contoso.com" in calls.read_text()

    def test_a_tenant_of_its_own(self, calls: Path) -> None:
        other = GUID.replace("1", "2")
        with pytest.raises(errors.EntraConnectionValueError, match=f"tenant_id={other} was requested"):
            identity.AzureCliCredential(tenant_id=GUID).get_token(SCOPE, tenant_id=other)
        assert other not in calls.read_text()
        identity.AzureCliCredential(tenant_id=GUID, additionally_allowed_tenants=["*"]).get_token(
            SCOPE, tenant_id=other
        )
        assert f"--tenant {other}" in calls.read_text()

    def test_claims(self, calls: Path) -> None:
        encoded = base64.b64encode(CLAIMS.encode()).decode()
        identity.AzureDeveloperCliCredential().get_token(SCOPE, claims=CLAIMS)
        assert f"--claims {encoded}" in calls.read_text()
        with pytest.raises(errors.EntraConnectionValueError) as raised:
            identity.AzureCliCredential().get_token(SCOPE, claims=CLAIMS, tenant_id=GUID)
        assert f"run `az login --tenant {GUID} --claims-challenge {encoded}`" in str(raised.value)
        with pytest.raises(errors.EntraConnectionValueError) as raised:
            identity.AzurePowerShellCredential().get_token(SCOPE, claims=CLAIMS)
        assert f"run `Connect-AzAccount -ClaimsChallenge {encoded}`" in str(raised.value)


def test_tenants_of_a_chain(emulator: Emulator, app: Identity, sent: list[Request]) -> None:
    """Each link has its own tenants."""
    secret = app.client_secret or ""
    chain = identity.ChainedTokenCredential(
        identity.EnvironmentCredential(),
        identity.ClientSecretCredential(GUID, app.client_id, secret, additionally_allowed_tenants=["*"]),
    )
    assert object_id(chain.get_token(SCOPE, tenant_id=emulator.tenant_id).token) == app.object_id
    assert object_id(chain.get_token(SCOPE, tenant_id=emulator.tenant_id, claims=CLAIMS).token) == app.object_id
    assert [request.form.get("claims") for request in sent] == [None, CLAIMS]


class TestNetwork:
    @pytest.mark.parametrize("kind", ["secret", "assertion", "default"])
    @pytest.mark.parametrize("key", ["https", "all"])
    def test_proxies(
        self, kind: str, key: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor(1) as pool:
            proxy.settimeout(20)
            proxies = {key: f"http://user:pass@127.0.0.1:{proxy.getsockname()[1]}", "http": "http://127.0.0.1:9"}
            # NO_PROXY, which the emulator sets, is for the environment's proxies.
            credential = make(kind, emulator, app, monkeypatch, emulator.tenant_id, proxies=proxies)
            asked = pool.submit(credential.get_token, SCOPE)
            connection, _ = proxy.accept()
            with connection:
                head = connection.recv(1000)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            proxy.close()
            with pytest.raises(errors.EntraConnectionValueError):
                asked.result()
        assert head.startswith(b"CONNECT 127.0.0.1:")
        assert b"\r\nproxy-authorization: basic " in head.lower()
        assert "pass" not in repr(credential)

    @pytest.mark.parametrize("proxies", [{"https": None}, {"all": ""}])
    def test_no_proxy(self, proxies: Any, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        credential = make("secret", emulator, app, monkeypatch, emulator.tenant_id, proxies=proxies)
        assert object_id(credential.get_token(SCOPE).token) == app.object_id

    @pytest.mark.parametrize("kind", ["secret", "assertion"])
    @needs_system_trust
    def test_connection_verify_by_the_systems_authorities(
        self, kind: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.delenv(name)
        with pytest.raises(errors.EntraConnectionValueError, match="UnknownIssuer"):
            make(kind, emulator, app, monkeypatch, emulator.tenant_id, connection_verify=True).get_token(SCOPE)

    @pytest.mark.parametrize("kind", ["secret", "assertion"])
    def test_connection_verify_by_a_file(
        self, kind: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.delenv(name)
        for path in emulator.ca_file, Path(emulator.ca_file):
            credential = make(kind, emulator, app, monkeypatch, emulator.tenant_id, connection_verify=path)
            assert object_id(credential.get_token(SCOPE).token) == app.object_id
        credential = make(kind, emulator, app, monkeypatch, emulator.tenant_id, connection_verify="/nowhere.pem")
        missing = re.escape(f"connection_verify=/nowhere.pem: {NO_SUCH_FILE}")
        with pytest.raises(errors.EntraConnectionValueError, match=missing):
            credential.get_token(SCOPE)

    @pytest.mark.parametrize("option", ["read_timeout", "connection_timeout"])
    def test_timeouts(self, option: str, emulator: Emulator, app: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that never responds."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://127.0.0.1:{silent.getsockname()[1]}")
            credential = make("secret", emulator, app, monkeypatch, emulator.tenant_id, **{option: 0.2})
            begun = time.monotonic()
            with pytest.raises(errors.EntraConnectionValueError, match="requests, the last: 127.0.0.1 failed"):
                core.login(credential, SCOPE, user_known=True, timeout=25)
            assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: identity.ClientSecretCredential(GUID, GUID, "a-secret", **options),
        lambda **options: identity.ClientAssertionCredential(GUID, GUID, lambda: "an-assertion", **options),
        identity.EnvironmentCredential,
        identity.ManagedIdentityCredential,
        identity.WorkloadIdentityCredential,
        identity.AzureCliCredential,
        identity.AzureDeveloperCliCredential,
        identity.AzurePowerShellCredential,
        identity.DefaultAzureCredential,
        aio.DefaultAzureCredential,
    ],
)
class TestKeywords:
    def test_keywords_without_effect(self, make: Any, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "azure_postgresql_auth"):
            make(
                logging_enable=True, retry_total=3, disable_instance_discovery=True, cache_persistence_options=object()
            )
        (record,) = [record for record in caplog.records if "ignores" in record.getMessage()]
        assert "Credential ignores logging_enable, retry_total, disable_instance_discovery, cache_pers" in (
            record.getMessage()
        )
        caplog.clear()
        make(logging_enable=None, transport=None, proxies=None, connection_verify=True, additionally_allowed_tenants=[])
        assert caplog.records == []

    @pytest.mark.parametrize("keyword", ["transport", "policies", "connection_cert", "regional_authority"])
    def test_those_that_would_change_requests(self, make: Any, keyword: str) -> None:
        with pytest.raises(TypeError, match=rf"Credential does not support {keyword}: .* azure\.identity"):
            make(**{keyword: object()})

    def test_unknown_ones(self, make: Any) -> None:
        with pytest.raises(
            TypeError, match="Credential has no keyword 'authorty': one of .*additionally_allowed_tenants"
        ):
            make(authorty="x")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (
                {"connection_verify": False},
                "connection_verify=False is not supported: secrets would be sent to any server",
            ),
            ({"connection_timeout": 0}, "connection_timeout=0: expected a number of seconds, more than 0"),
            ({"read_timeout": "x"}, "read_timeout='x': expected a number of seconds"),
            ({"proxies": {"ftp": "http://a-secret@x"}}, "proxies has the key 'ftp': one of http, https, all"),
            ({"proxies": {"https": "socks5://a-secret@x"}}, "proxies: expected the URL of an HTTP proxy"),
            ({"additionally_allowed_tenants": ["a/b"]}, "additionally_allowed_tenants contains '/'; give a directory"),
        ],
    )
    def test_invalid_values(self, make: Any, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
            make(**options)
        assert str(raised.value).startswith(words)
        assert "a-secret" not in str(raised.value)


def test_a_proxys_password_is_not_pickled() -> None:
    with_password = identity.AzureCliCredential(proxies={"https": "http://user:a-secret@proxy:3128"})
    with pytest.raises(TypeError, match="AzureCliCredential has proxies with a password"):
        pickle.dumps(with_password)
    plain = identity.EnvironmentCredential(proxies={"https": "http://proxy:3128"}, additionally_allowed_tenants=["*"])
    assert isinstance(pickle.loads(pickle.dumps(plain)), identity.EnvironmentCredential)  # noqa: S301 - ours


def test_repr() -> None:
    managed = identity.ManagedIdentityCredential(client_id="c")
    assert repr(managed) == "ManagedIdentityCredential(client_id='c')"
    assert repr(identity.ClientSecretCredential(GUID, "c", "a-secret")) == (
        f"ClientSecretCredential(tenant_id='{GUID}', client_id='c')"
    )
    assert repr(identity.ChainedTokenCredential(managed, aio.AzureCliCredential())) == (
        "ChainedTokenCredential(ManagedIdentityCredential(client_id='c'), AzureCliCredential())"
    )
    assert repr(identity.DefaultAzureCredential(managed_identity_client_id="c")) == (
        "DefaultAzureCredential(managed_identity_client_id='c')"
    )


def test_shapes() -> None:
    assert isinstance(identity.ManagedIdentityCredential(), identity.TokenCredential)
    assert not isinstance(object(), identity.TokenCredential)
    # Checked when this file is.
    synchronous: identity.TokenCredential = identity.ManagedIdentityCredential()
    asynchronous: identity.AsyncTokenCredential = aio.ManagedIdentityCredential()
    assert all((synchronous, asynchronous))


def test_type_checkers_without_azure_core(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from azure_postgresql_auth import identity\n"
        "from azure_postgresql_auth.identity import aio\n"
        "reveal_type(identity.ManagedIdentityCredential().get_token('x').token)\n"
        "reveal_type(identity.ManagedIdentityCredential().get_token_info('x').expires_on)\n"
        "async def main() -> None:\n"
        "    reveal_type((await aio.ManagedIdentityCredential().get_token('x')).token)\n"
        "synchronous: identity.TokenCredential = identity.ManagedIdentityCredential()\n"
        "asynchronous: identity.AsyncTokenCredential = aio.ManagedIdentityCredential()\n"
        "wrong: identity.TokenCredential = 'a-token'\n"
        "mixed: identity.TokenCredential = aio.ManagedIdentityCredential()\n"
    )
    # As installed: what is wrong inside is not shown.
    installed, package = tmp_path / "site", Path(azure_postgresql_auth.__file__).parent
    no_code = shutil.ignore_patterns("_core.*.so", "_core.pyd", "__pycache__")
    shutil.copytree(package, installed / package.name, ignore=no_code)
    options = ["--no-site-packages", "--no-incremental", "--follow-imports=silent", "--python-version=3.10"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "azure.core" not in done.stdout
    # mypy before 1.20 says where str and int are from.
    revealed = [
        line.split("note: ")[1].replace("builtins.", "") for line in done.stdout.splitlines() if "Revealed" in line
    ]
    assert revealed == [f'Revealed type is "{name}"' for name in ("str", "int", "str")], done.stdout
    assert [line.split(":")[1] for line in done.stdout.splitlines() if "error" in line and "program" in line] == [
        "9",
        "10",
    ], done.stdout
