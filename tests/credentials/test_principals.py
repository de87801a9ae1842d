"""Applications that sign in with a certificate or an assertion."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import core, errors, identity
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.credentials import make_certificate, make_token, object_id
from tests.support.platforms import NO_SUCH_FILE, needs_openssl

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator, Identity

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE
GUID = "11111111-2222-3333-4444-555555555555"
PASSWORD = "open sesame ä"


@pytest.fixture
def principal(nowhere: Emulator) -> Identity:
    return nowhere.add_identity("app", "service-principal")


class TestCertificate:
    @pytest.mark.parametrize("form", ["pem", "pkcs12"])
    @pytest.mark.parametrize("password", [None, PASSWORD])
    @pytest.mark.parametrize("chain", [False, True])
    def test_logs_in(
        self,
        emulator: Emulator,
        principal: Identity,
        form: str,
        password: str | None,
        chain: bool,  # noqa: FBT001
    ) -> None:
        environment = emulator.client_certificate_env(principal, form=form, password=password)
        path = environment["AZURE_CLIENT_CERTIFICATE_PATH"]
        application = emulator.tenant_id, principal.client_id
        as_bytes = None if password is None else password.encode()
        for credential in (
            identity.CertificateCredential(*application, path, password=password, send_certificate_chain=chain),
            identity.ClientCertificateCredential(
                *application,
                certificate_data=Path(path).read_bytes(),
                password=as_bytes,
                send_certificate_chain=chain,
            ),
        ):
            assert object_id(credential) == principal.object_id
        assert [request.status for request in emulator.token_requests] == [200, 200]

    @pytest.mark.parametrize("password", [None, PASSWORD])
    def test_environment(
        self, emulator: Emulator, principal: Identity, password: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in emulator.client_certificate_env(principal, password=password).items():
            monkeypatch.setenv(name, value)
        assert object_id(identity.EnvironmentCredential()) == principal.object_id
        # A secret comes first, as in azure-identity.
        monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
        with pytest.raises(errors.EntraConnectionValueError, match="EnvironmentCredential: AADSTS7000215"):
            identity.EnvironmentCredential().get_token(SCOPE)

    def test_a_renewed_file_is_read(self, emulator: Emulator, principal: Identity) -> None:
        path = emulator.client_certificate_env(principal)["AZURE_CLIENT_CERTIFICATE_PATH"]
        credential = identity.CertificateCredential(emulator.tenant_id, principal.client_id, path)
        good = Path(path).read_bytes()
        Path(path).write_bytes(make_certificate())
        with pytest.raises(errors.EntraConnectionValueError, match="AADSTS700027.*upload the certificate"):
            credential.get_token(SCOPE)
        Path(path).write_bytes(good)
        assert object_id(credential) == principal.object_id

    def test_an_old_key_format(self, emulator: Emulator, principal: Identity) -> None:
        """PKCS#1, as `openssl genrsa -traditional` writes it, after its certificate."""
        pem = Path(emulator.client_certificate_env(principal)["AZURE_CLIENT_CERTIFICATE_PATH"]).read_bytes()
        key, certificate = pem.split(b"-----BEGIN CERTIFICATE", 1)
        old = load_pem_private_key(key, None).private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        credential = identity.CertificateCredential(
            emulator.tenant_id,
            principal.client_id,
            certificate_data=b"Bag Attributes\n-----BEGIN CERTIFICATE" + certificate + b"key:\n" + old,
        )
        assert object_id(credential) == principal.object_id

    @needs_openssl
    @pytest.mark.parametrize("cipher", ["-aes128", "-des3", "-v2prf=hmacWithSHA1", "-v2prf=hmacWithSHA512", "-scrypt"])
    def test_ciphers_of_openssl(self, tmp_path: Path, cipher: str) -> None:
        (tmp_path / "plain.pem").write_bytes(make_certificate())
        out = subprocess.run(
            [
                *("openssl", "pkcs8", "-topk8", "-in", str(tmp_path / "plain.pem"), "-passout", f"pass:{PASSWORD}"),
                *(("-v2", "aes256") if "-v2prf" in cipher or "-scrypt" in cipher else ("-v2", cipher[1:])),
                *(("-v2prf", cipher.partition("=")[2]) if "-v2prf" in cipher else ()),
                *(("-scrypt",) if cipher == "-scrypt" else ()),
            ],
            check=True,
            capture_output=True,
        )
        certificate = b"-----BEGIN CERTIFICATE" + make_certificate_of(tmp_path / "plain.pem")
        identity.CertificateCredential(GUID, "c", certificate_data=out.stdout + certificate, password=PASSWORD)

    @needs_openssl
    def test_a_legacy_pkcs12(self, tmp_path: Path) -> None:
        """RC2 and 3DES, as Windows and old tools export it."""
        (tmp_path / "plain.pem").write_bytes(make_certificate())
        command = ["openssl", "pkcs12", "-export", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES"]
        command += ["-macalg", "sha1", "-in", str(tmp_path / "plain.pem"), "-passout", "pass:old", "-out"]
        subprocess.run([*command, str(tmp_path / "old.pfx")], check=True, capture_output=True)
        identity.CertificateCredential(GUID, "c", str(tmp_path / "old.pfx"), password="old")


def make_certificate_of(path: Path) -> bytes:
    return path.read_bytes().split(b"-----BEGIN CERTIFICATE", 1)[1]


def elliptic() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def traditional() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x"))


NOT_RSA = "its private key is not an RSA key of 2048 to 4096 bits, which Entra ID requires"
CERTIFICATE = make_certificate()
KEY, _, PUBLIC = CERTIFICATE.partition(b"-----BEGIN CERTIFICATE")
PUBLIC = b"-----BEGIN CERTIFICATE" + PUBLIC


@pytest.mark.parametrize(
    ("data", "password", "why"),
    [
        (b"", None, "it is neither PEM nor PKCS#12"),
        (b"garbage", None, "it is neither PEM nor PKCS#12"),
        (b"\x30\x82garbage", None, "it is neither PEM nor PKCS#12"),
        (PUBLIC, None, "it holds no private key, which has to be in the same file"),
        (KEY, None, "it holds a private key but no certificate"),
        (
            make_certificate().split(b"-----BEGIN CERT")[0] + PUBLIC,
            None,
            "its private key belongs to none of its certificates",
        ),
        (make_certificate("pem", PASSWORD), None, "its private key is encrypted: give its password"),
        (make_certificate("pem", PASSWORD), "wrong", "the password is wrong for its private key"),
        (make_certificate("pkcs12", PASSWORD), None, "it is encrypted: give its password"),
        (make_certificate("pkcs12", PASSWORD), "wrong", "the password is wrong"),
        (elliptic() + PUBLIC, None, NOT_RSA),
        (b"-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n" + PUBLIC, None, NOT_RSA),
        (
            b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n",
            None,
            "its PRIVATE KEY is damaged: it is not base64",
        ),
        (
            traditional() + PUBLIC,
            "x",
            "its private key is encrypted in OpenSSL's traditional format; convert it with `openssl pkcs8 -topk8`",
        ),
    ],
    # pytest-xdist needs the same names in every process, and each process makes certificates of its own.
    ids=lambda value: "bytes" if isinstance(value, bytes) else None,
)
def test_certificates_that_cannot_be_used(
    data: bytes, password: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        identity.CertificateCredential(GUID, "c", certificate_data=data, password=password)
    assert str(raised.value) == f"certificate_data: {why}"
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        identity.CertificateCredential(GUID, "c", str(path), password=password)
    assert str(raised.value) == f"certificate_path={path}: {why}"
    for name, value in {"TENANT_ID": GUID, "CLIENT_ID": "c", "CLIENT_CERTIFICATE_PATH": str(path)}.items():
        monkeypatch.setenv(f"AZURE_{name}", value)
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", password or "")
    with pytest.raises(errors.EntraConnectionValueError) as failed:
        identity.EnvironmentCredential().get_token(SCOPE)
    assert str(failed.value) == f"Could not retrieve Entra credentials: EnvironmentCredential: {path}: {why}"


def test_a_certificate_has_to_be_there(tmp_path: Path) -> None:
    for arguments in ({}, {"certificate_path": "x", "certificate_data": b"x"}):
        with pytest.raises(ValueError, match="^give either certificate_path or certificate_data$"):
            identity.CertificateCredential(GUID, "c", **arguments)  # type: ignore[arg-type]
    path = tmp_path / "absent.pem"
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
        identity.CertificateCredential(GUID, "c", str(path))
    assert str(raised.value) == f"certificate_path={path}: it could not be read: {NO_SUCH_FILE}"


class TestAssertion:
    @pytest.fixture
    def assertion(self, emulator: Emulator, principal: Identity) -> str:
        return Path(emulator.workload_identity_env(principal)["AZURE_FEDERATED_TOKEN_FILE"]).read_text()

    def test_is_asked_for_each_token(self, emulator: Emulator, principal: Identity, assertion: str) -> None:
        calls: list[str] = []

        def func() -> str:
            calls.append(threading.current_thread().name)
            return assertion

        credential = identity.ClientAssertionCredential(emulator.tenant_id, principal.client_id, func)
        assert object_id(credential) == principal.object_id
        assert object_id(credential) == principal.object_id
        credential.get_token(core.AZURE_MANAGEMENT_SCOPE)
        assert calls == ["azure-pg-auth-credential"] * 2

    def test_on_an_event_loop(self, emulator: Emulator, principal: Identity, assertion: str) -> None:
        credential = identity.ClientAssertionCredential(emulator.tenant_id, principal.client_id, lambda: assertion)

        async def main() -> list[str]:
            return await asyncio.gather(*(core.get_entra_token_async(credential) for _ in range(20)))

        assert len(set(asyncio.run(main()))) == 1
        assert len(emulator.token_requests) == 1

    def test_what_func_raises_is_raised(self, emulator: Emulator, principal: Identity) -> None:
        text = "no such pod"

        def func() -> str:
            raise LookupError(text)

        credential = identity.ClientAssertionCredential(emulator.tenant_id, principal.client_id, func)
        with pytest.raises(LookupError, match="^no such pod$"):
            credential.get_token(SCOPE)

    @pytest.mark.parametrize("value", [None, b"bytes", "", 7])
    def test_what_func_returns_is_text(self, principal: Identity, value: Any) -> None:
        credential = identity.ClientAssertionCredential(GUID, principal.client_id, lambda: value)
        with pytest.raises(TypeError) as raised:
            credential.get_token(SCOPE)
        kind = type(value).__name__
        assert str(raised.value) == f"func of ClientAssertionCredential returned {kind}, expected text"

    def test_refused(self, emulator: Emulator, principal: Identity) -> None:
        assertion = make_token(sub="somebody else")
        credential = identity.ClientAssertionCredential(emulator.tenant_id, principal.client_id, lambda: assertion)
        with pytest.raises(errors.EntraConnectionValueError, match="ClientAssertionCredential: AADSTS700027") as raised:
            credential.get_token(SCOPE)
        assert assertion not in str(raised.value)
        # It is a token of another issuer's, not one that a certificate of the application's signed.
        assert "issuer" in raised.value.report.remedy
        assert "certificate" not in str(raised.value)

    def test_is_no_link_of_a_native_chain(self) -> None:
        credential = identity.ClientAssertionCredential(GUID, "c", lambda: "x")
        with pytest.raises(ValueError, match=r"ClientAssertionCredential.*azure\.identity\.ChainedTokenCredential"):
            identity.ChainedTokenCredential(credential)

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("a/b", "c"), "tenant_id contains '/'; give a directory (tenant) id"),
            ((GUID, ""), "client_id is required and must not be empty"),
        ],
    )
    def test_values_are_checked(self, arguments: tuple[str, str], why: str) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - compared below
            identity.ClientAssertionCredential(*arguments, lambda: "x")
        assert str(raised.value).startswith(why)


class TestPipelines:
    @pytest.fixture
    def credential(self, emulator: Emulator, principal: Identity) -> identity.AzurePipelinesCredential:
        return identity.AzurePipelinesCredential(
            tenant_id=emulator.tenant_id,
            client_id=principal.client_id,
            service_connection_id=GUID,
            system_access_token="job-token",
        )

    def test_logs_in(
        self, emulator: Emulator, principal: Identity, credential: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", emulator.pipelines_url(principal, "job-token"))
        assert object_id(credential) == principal.object_id
        assert [request.endpoint for request in emulator.token_requests] == ["pipelines", "token"]

    def test_outside_of_a_pipeline(self, credential: Any) -> None:
        with pytest.raises(errors.EntraConnectionValueError) as raised:
            credential.get_token(SCOPE)
        assert str(raised.value) == (
            "Could not retrieve Entra credentials: AzurePipelinesCredential: SYSTEM_OIDCREQUESTURI is not set; use "
            "it in a step of a job, where Azure Pipelines sets it"
        )

    def test_refused(self, emulator: Emulator, principal: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", emulator.pipelines_url(principal, "job-token"))
        wrong = identity.AzurePipelinesCredential(
            tenant_id=emulator.tenant_id,
            client_id=principal.client_id,
            service_connection_id=GUID,
            system_access_token="stale-token",
        )
        with pytest.raises(errors.EntraConnectionValueError, match="AzurePipelinesCredential: .*401") as raised:
            wrong.get_token(SCOPE)
        assert "stale-token" not in str(raised.value)

    @pytest.mark.parametrize("missing", ["tenant_id", "client_id", "service_connection_id", "system_access_token"])
    def test_values_are_checked(self, missing: str) -> None:
        names = ("tenant_id", "client_id", "service_connection_id", "system_access_token")
        with pytest.raises(ValueError, match=missing):
            identity.AzurePipelinesCredential(**{name: "" if name == missing else "x" for name in names})


def test_secrets_stay_out_of_sight() -> None:
    credential = identity.CertificateCredential(
        GUID,
        GUID,
        certificate_data=make_certificate("pem", "a-secret"),
        password="a-secret",
    )
    shown = f"{credential!r} {vars(credential)!r} {json.dumps(dict(os.environ))}"
    assert "a-secret" not in shown
