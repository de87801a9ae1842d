"""Entra ID as one reaches it from inside companies, by proxies and with their own authorities; and in every cloud."""

from __future__ import annotations

import json
import os
import shutil
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core, errors, identity
from azure_postgresql_auth._core import scope_for

from tests.support.credentials import make_token
from tests.support.platforms import LINKS, NO_SUCH_FILE, needs_system_trust
from tests.support.servers import Server, forward

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator, Identity

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
GUID = "11111111-2222-3333-4444-555555555555"


class Proxy(Server):
    """An HTTP proxy that only knows CONNECT, as companies have them; or one that refuses, or shows a page instead."""

    def __init__(self, refusal: bytes = b"") -> None:
        super().__init__(self._tunnel)
        self.asked: list[str] = []
        self._refusal = refusal

    def _tunnel(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096) or b"\r\n\r\n"
            target = head.split()[1].decode()
            self.asked.append(target)
            if self._refusal:
                client.sendall(self._refusal)
                return
            host, _, port = target.rpartition(":")
            forward(client, int(port), host=host, greeting=b"HTTP/1.1 200 Connection established\r\n\r\n")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy() as made:
        monkeypatch.setenv("HTTPS_PROXY", made.url)
        yield made


@pytest.fixture
def principal(nowhere: Emulator) -> Identity:
    return nowhere.add_identity("app", "service-principal")


@pytest.fixture
def credential(nowhere: Emulator, principal: Identity) -> identity.ClientSecretCredential:
    return identity.ClientSecretCredential(nowhere.tenant_id, principal.client_id, principal.client_secret or "")


def failure(credential: Any) -> str:
    with pytest.raises(errors.EntraConnectionValueError) as raised:
        credential.get_token(SCOPE)
    return str(raised.value).removeprefix("Could not retrieve Entra credentials: ")


class TestProxy:
    def test_entra_is_reached_through_it(self, proxy: Proxy, credential: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_PROXY")
        credential.get_token(SCOPE)
        assert proxy.asked == [os.environ["AZURE_AUTHORITY_HOST"].partition("://")[2]]

    def test_not_where_no_proxy_says_so(self, proxy: Proxy, credential: Any) -> None:
        credential.get_token(SCOPE)
        assert proxy.asked == []

    def test_never_for_managed_identities(
        self, proxy: Proxy, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NO_PROXY")
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        identity.ManagedIdentityCredential().get_token(SCOPE)
        for host in ("service-fabric", "azure-ml", "cloud-shell"):
            with monkeypatch.context() as patch:
                patch.delenv("IDENTITY_ENDPOINT")
                patch.delenv("IDENTITY_HEADER")
                for name, value in emulator.host_env(host).items():
                    if name != "NO_PROXY":
                        patch.setenv(name, value)
                identity.ManagedIdentityCredential().get_token(SCOPE)
        assert proxy.asked == []

    @pytest.mark.parametrize("status", [b"403 Forbidden", b"407 Proxy Authentication Required"])
    def test_proxy_that_refuses(self, credential: Any, status: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_PROXY")
        with Proxy(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as refusing:
            monkeypatch.setenv("HTTPS_PROXY", refusing.url)
            text = failure(credential)
        assert text.startswith("ClientSecretCredential: ")
        assert "proxy" in text or "tunnel" in text


class TestVariablesOfProxies:
    """As curl reads them, except that what is set to nothing is not set, and what cannot be used is an error."""

    @pytest.fixture(autouse=True)
    def no_exemption(self, nowhere: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        assert nowhere
        monkeypatch.delenv("NO_PROXY")

    @pytest.mark.parametrize(
        "others",
        [{"HTTPS_PROXY": ""}, {"HTTP_PROXY": "http://127.0.0.1:9"}, {"REQUEST_METHOD": "GET"}, {"NO_PROXY": ""}],
        ids=str,
    )
    @pytest.mark.parametrize("name", ["https_proxy", "ALL_PROXY", "all_proxy"])
    def test_the_first_that_is_set_to_something(
        self, credential: Any, name: str, others: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Proxy() as proxy:
            for variable, value in {**others, name: proxy.url}.items():
                monkeypatch.setenv(variable, value)
            credential.get_token(SCOPE)
        assert len(proxy.asked) == 1

    def test_an_exemption_in_lower_case(self, proxy: Proxy, credential: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "other.example, 127.0.0.1")
        credential.get_token(SCOPE)
        assert proxy.asked == []

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ('"http://user:a-secret@127.0.0.1:9"', "HTTPS_PROXY is enclosed in quotation marks"),
            ("http://user:a-secret@127.0.0.1:9\n", "HTTPS_PROXY ends with a line break"),
            ("socks5://user:a-secret@127.0.0.1:9", "HTTPS_PROXY: expected the URL of an HTTP proxy"),
            ("a-secret : x", "HTTPS_PROXY: expected the URL of an HTTP proxy"),
        ],
    )
    def test_what_is_no_proxy(
        self, nowhere: Emulator, credential: Any, value: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", value)
        text = failure(credential)
        assert text.startswith(f"ClientSecretCredential: {why}")
        assert "a-secret" not in text
        assert nowhere.token_requests == []


@pytest.mark.parametrize("status", [200, 403, 502])
def test_a_page_instead_of_a_token(nowhere: Emulator, credential: Any, status: int) -> None:
    """From a proxy that looks into TLS, or the sign-in page of a hotel."""
    nowhere.fail(status, body="<html><title>Sign in to Hotel</title></html>")
    text = failure(credential)
    assert text.endswith(
        f"127.0.0.1 answered {status} with a page of HTML instead of a token; a proxy, a firewall or a sign-in page of "
        f"the network stands in between: see HTTPS_PROXY and NO_PROXY"
    )


class TestTrust:
    @pytest.fixture
    def only_requests(self, credential: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        """As on a machine where the company's authority is configured only for Python's requests."""
        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        return credential

    def test_a_bundle_for_requests(self, only_requests: Any) -> None:
        assert only_requests.get_token(SCOPE).token

    def test_a_directory_for_requests(
        self, emulator: Emulator, only_requests: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authorities = tmp_path / "authorities"
        authorities.mkdir()
        shutil.copy(emulator.ca_file, authorities / "company.pem")
        if LINKS:
            (authorities / "dangling.0").symlink_to("nowhere")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authorities))
        assert only_requests.get_token(SCOPE).token

    def test_curls_bundle(self, emulator: Emulator, only_requests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """What requests reads after its own variable."""
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.setenv("CURL_CA_BUNDLE", emulator.ca_file)
        assert only_requests.get_token(SCOPE).token

    def test_a_directory_for_everybody(
        self, emulator: Emulator, only_requests: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copy(emulator.ca_file, tmp_path / "company.pem")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        assert only_requests.get_token(SCOPE).token

    @needs_system_trust
    def test_no_trusted_certificate(self, only_requests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        text = failure(only_requests)
        assert text.endswith(
            "(127.0.0.1 failed: invalid peer certificate: UnknownIssuer); put the proxy's CA into the PEM file that "
            "SSL_CERT_FILE names"
        ), "asked once"

    @pytest.mark.parametrize(
        ("content", "why"),
        [(None, NO_SUCH_FILE), ("", "it contains no certificates in PEM format")],
    )
    def test_a_bundle_that_is_none(
        self, only_requests: Any, content: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "bundle.pem"
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
        assert failure(only_requests) == (
            f"ClientSecretCredential: could not set up HTTPS: REQUESTS_CA_BUNDLE={path}: {why}; install your system's "
            f"CA certificates, or point SSL_CERT_FILE at a PEM file with them"
        )


def test_internet_protocol_6(nowhere: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(os.environ["AZURE_AUTHORITY_HOST"].rpartition(":")[2])
    try:
        server = Server(lambda client: forward(client, port), host="::1")
    except OSError:
        pytest.skip("this system has no IPv6")
    monkeypatch.setenv("NO_PROXY", "*")
    with server:
        credential = identity.ClientSecretCredential(
            nowhere.tenant_id,
            principal.client_id,
            principal.client_secret or "",
            authority=f"https://[::1]:{server.port}",
        )
        assert core.decode_jwt(credential.get_token(SCOPE).token)["oid"] == principal.object_id


class TestRefusals:
    """The error has Entra ID's message, a remedy, and the ids that Microsoft's support needs."""

    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            (7000215, "The client secret is wrong: use the secret's value, which is shown once, not its id."),
            (7000222, "The client secret has expired: make a new one at the application's Certificates & secrets."),
            (700016, "The application is not known in this tenant: check the client id, then the tenant id."),
            (
                90002,
                (
                    "There is no such tenant in this cloud: check the tenant id, and the cloud that "
                    "AZURE_AUTHORITY_HOST names."
                ),
            ),
            (
                53003,
                "Conditional access forbids it: ask the tenant's administrator which policy does, with the ids above.",
            ),
            (99999999, None),
        ],
    )
    def test_remedy_for_each_code(self, nowhere: Emulator, credential: Any, code: int, advice: str | None) -> None:
        words = (
            f"AADSTS{code}: Entra's own words. Trace ID: {GUID} Correlation ID: {GUID} Timestamp: 2026-01-01 00:00:00Z"
        )
        body = f'{{"error": "invalid_client", "error_codes": [{code}], "error_description": "{words}"}}'
        nowhere.fail(401, body=body)
        expected = f"ClientSecretCredential: {words} (127.0.0.1 answered 401)"
        assert failure(credential) == (expected if advice is None else f"{expected}. {advice}")
        assert len(nowhere.token_requests) == 1

    @pytest.mark.parametrize("escaped", [r"\r\n", r"\"", r"\\", r"\u00e9", r"\/"])
    def test_its_words_are_read_with_all_their_escapes(self, nowhere: Emulator, credential: Any, escaped: str) -> None:
        words = f"AADSTS7000215: Invalid {escaped} secret."
        nowhere.fail(401, body=f'{{"error": "invalid_client", "error_description": "{words}"}}')
        text = failure(credential)
        assert text.startswith(
            f"ClientSecretCredential: {' '.join(json.loads(chr(34) + words + chr(34)).split())} (127"
        )
        assert text.endswith("The client secret is wrong: use the secret's value, which is shown once, not its id.")

    def test_a_byte_order_mark_before_a_token(self, nowhere: Emulator, credential: Any) -> None:
        body = {"token_type": "Bearer", "expires_in": 3600, "access_token": make_token(oid="x")}
        nowhere.fail(200, body=b"\xef\xbb\xbf" + json.dumps(body).encode())
        assert credential.get_token(SCOPE).token == body["access_token"]

    @pytest.mark.parametrize(
        ("seconds", "left"),
        [
            (3600, 3600),
            ("3600", 3600),
            (3600.4, 3600),
            (10**15, 366 * 86_400),
            (10**30, 3000),
            (None, 3000),
            (-5, 3000),
        ],
    )
    def test_the_life_of_a_token_in_each_form(
        self, nowhere: Emulator, credential: Any, seconds: object, left: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """As numbers and texts; what is no time is taken from the token."""
        token = make_token(oid="x", exp=int(time.time()) + 3000)
        nowhere.fail(200, body=json.dumps({"access_token": token, "expires_in": seconds}))
        assert credential.get_token(SCOPE).expires_on == pytest.approx(time.time() + left, abs=60)
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ("", "the answer is empty"),
            ("{]", 'the answer is not JSON: "{]"'),
            ("{}", "the answer holds no access_token"),
            ('{"error": "invalid_client"}', "the answer holds no access_token, only: error"),
            ('{"access_token": null, "expires_in": 3600}', "the answer's access_token is empty or no text"),
            ('{"access_token": "opaque"}', "the answer does not say when the token expires"),
        ],
    )
    def test_success_without_a_token(self, nowhere: Emulator, credential: Any, body: str, why: str) -> None:
        nowhere.fail(200, body=body)
        assert failure(credential) == f"ClientSecretCredential: {why} (127.0.0.1 answered 200)"
        assert len(nowhere.token_requests) == 1

    def test_a_refusal_that_is_declared_as_a_page(self, nowhere: Emulator, credential: Any) -> None:
        body = '{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret."}'
        nowhere.fail(401, body=body, headers={"Content-Type": "text/html"})
        assert failure(credential).startswith("ClientSecretCredential: AADSTS7000215: Invalid secret. (127")

    def test_a_redirect_is_not_followed(self, nowhere: Emulator, credential: Any) -> None:
        nowhere.fail(302, body="", headers={"Location": "http://127.0.0.1:9/"})
        assert failure(credential) == (
            "ClientSecretCredential: 127.0.0.1 answered 302 with a redirect instead of a token; a proxy, a firewall or "
            "a sign-in page of the network stands in between: see HTTPS_PROXY and NO_PROXY"
        )

    @pytest.mark.parametrize("ahead", [7200, -7200])
    def test_a_date_to_retry_after_is_read_by_the_services_clock(
        self, nowhere: Emulator, credential: Any, ahead: int
    ) -> None:
        nowhere.clock_skew = ahead
        in_a_second = formatdate(time.time() + ahead + 1, usegmt=True)
        nowhere.fail(429, times=1, headers={"Retry-After": in_a_second})
        begun = time.monotonic()
        credential.get_token(SCOPE)
        assert time.monotonic() - begun < 15, "not until the fetch gives up"

    def test_retries_where_that_helps(self, nowhere: Emulator, credential: Any) -> None:
        nowhere.fail(503, times=1, headers={"Retry-After": "0"})
        credential.get_token(SCOPE)
        assert [request.status for request in nowhere.token_requests] == [503, 200]


@pytest.mark.parametrize(
    ("authority", "server", "database", "management"),
    [
        ("login.microsoftonline.us", "usgovcloudapi.net", "usgovcloudapi.net", "management.usgovcloudapi.net"),
        ("login.chinacloudapi.cn", "chinacloudapi.cn", "chinacloudapi.cn", "management.chinacloudapi.cn"),
        ("login.partner.microsoftonline.cn", "chinacloudapi.cn", "chinacloudapi.cn", "management.chinacloudapi.cn"),
    ],
)
def test_national_clouds(
    nowhere: Emulator,
    authority: str,
    server: str,
    database: str,
    management: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The token's audience, where the user's name is, and the authority: a proxy is asked for its host."""
    principal = nowhere.add_identity("orders", "service-principal", claims={"app_displayname": "orders"})
    scope = scope_for((f"db.postgres.database.{server}",))
    assert scope == f"https://ossrdbms-aad.database.{database}/.default"
    credential = identity.ClientSecretCredential(nowhere.tenant_id, principal.client_id, principal.client_secret or "")
    assert core.decode_jwt(credential.get_token(scope).token)["aud"] == scope.removesuffix("/.default")
    assert core.get_entra_conninfo(credential, scope=scope)["user"] == "orders"
    # Without a name in the database token, the cloud's own resource manager is asked.
    nameless = nowhere.add_identity("nameless", "user-assigned", database_claims={"xms_mirid": None}, default=True)
    for name, value in nowhere.env.items():
        monkeypatch.setenv(name, value)
    nowhere.reset_counters()
    assert core.get_entra_conninfo(identity.ManagedIdentityCredential(), scope=scope)["user"] == nameless.role
    assert [request.resource for request in nowhere.token_requests] == [
        scope.removesuffix("/.default"),
        f"https://{management}",
    ]
    # And by the authority alone, asked through a proxy that leads nowhere else: https to that very host.
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", authority)
    assert scope_for(()) == scope
    with Proxy(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as refusing:
        monkeypatch.setenv("HTTPS_PROXY", refusing.url)
        with pytest.raises(errors.EntraConnectionValueError):
            identity.ClientSecretCredential(GUID, GUID, "x").get_token(scope)
    assert set(refusing.asked) == {f"{authority}:443"}
