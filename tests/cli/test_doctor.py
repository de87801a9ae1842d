"""`doctor`: each test breaks exactly one thing, and reads the last line."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import pytest
from azure_postgresql_auth.cli import drivers, main
from azure_postgresql_auth.cli.doctor import driver_errors, program_url
from azure_postgresql_auth.cli.doctor.credential import explained

from tests.support.cli import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.cli import Run

AZURE = "srv.postgres.database.azure.com"


SQL = "-- as an Entra administrator"


class Report(NamedTuple):
    """What doctor printed, and how it ended."""

    code: int
    text: str

    @property
    def verdict(self) -> str:
        """The last line before the SQL."""
        return self.text.partition(SQL)[0].splitlines()[-1]

    @property
    def sql(self) -> str:
        """What follows the verdict."""
        return "".join(self.text.partition(SQL)[1:])

    @property
    def cause(self) -> str:
        return self.verdict.partition(". Remedy: ")[0]

    @property
    def remedy(self) -> str:
        return self.verdict.partition(". Remedy: ")[2]


Doctor = Callable[..., Report]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs it here; its credential is a new one each time."""

    def run(*arguments: str) -> Report:
        code = main(["doctor", *arguments])
        printed = capsys.readouterr()
        assert printed.err == ""
        assert not re.search(r"eyJ[\w-]{20}", printed.out), "a token was printed"
        return Report(code, printed.out)

    return run


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that answers to anything with this."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_all_is_well(doctor: Doctor, emulator: Emulator) -> None:
    report = doctor()
    assert (report.code, report.verdict) == (0, "The login works.")
    steps = [line.split()[1] for line in report.text.splitlines()[:-1] if line.startswith("ok ")]
    assert list(dict.fromkeys(steps)) == [
        "installation",
        "settings",
        "name",
        "connection",
        "tls",
        "credential",
        "token",
        "user",
        "login",
    ]
    assert "psycopg: logged in as emulator-identity, PostgreSQL 1" in report.text
    assert re.search(
        r"TLSv1.3, verify-full passes; certificate of localhost.* root azure_postgresql_auth emulator", report.text
    )
    assert emulator.logins[-1].accepted


class TestInstallation:
    def test_both_distributions(self, doctor: Doctor, emulator: Emulator, site: Path) -> None:
        install(site, "azure-postgresql-auth", "1.1.0")
        report = doctor()
        assert report.code == 10
        assert "azure-postgresql-auth and azure-postgresql-auth-rs are both installed" in report.cause
        assert report.remedy.startswith("pip uninstall azure-postgresql-auth azure-postgresql-auth-rs")

    def test_an_old_driver(self, doctor: Doctor, emulator: Emulator, site: Path) -> None:
        install(site, "asyncpg", "0.27.0")
        report = doctor()
        assert report.code == 0
        assert report.cause == "The login works, but: asyncpg 0.27.0 is older than 0.30, which this package is made for"

    def test_a_driver_that_cannot_be_loaded(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available')")
        done = cli("doctor", env={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 0
        assert "psycopg2: logged in as" in done.stdout
        assert "psycopg is installed but cannot be loaded (no pq wrapper available)" in done.stdout.splitlines()[-1]

    @pytest.mark.parametrize(("missing", "by"), [(("psycopg",), "psycopg2"), (("psycopg", "psycopg2"), "asyncpg")])
    def test_the_next_driver_logs_in(
        self, cli: Run, emulator: Emulator, tmp_path: Path, missing: tuple[str, ...], by: str
    ) -> None:
        for name in missing:
            (tmp_path / f"{name}.py").write_text("raise ImportError('gone')")
        assert f"{by}: logged in as emulator-identity" in cli("doctor", env={"PYTHONPATH": str(tmp_path)}).stdout
        failed = cli("doctor", "user=nobody", env={"PYTHONPATH": str(tmp_path)})
        assert failed.returncode == 18
        assert (
            'the server has no role "nobody" for emulator-identity, a user-assigned managed identity (obj'
            in Report(18, failed.stdout).verdict
        )

    def test_no_driver(self, cli: Run, emulator: Emulator, tmp_path: Path) -> None:
        for name in ("psycopg", "psycopg2", "asyncpg"):
            (tmp_path / f"{name}.py").write_text("raise ImportError('gone')")
        (tmp_path / "sitecustomize.py").write_text(
            "from importlib import metadata\n"
            "version = metadata.version\n"
            "def hide(name):\n"
            "    if name.startswith(('psycopg', 'asyncpg')): raise metadata.PackageNotFoundError(name)\n"
            "    return version(name)\n"
            "metadata.version = hide\n"
        )
        done = cli("doctor", env={"PYTHONPATH": str(tmp_path)})
        assert done.returncode == 3
        assert done.stdout.splitlines()[-1] == "Nothing wrong was found, but the login itself was not tried."
        assert "pip install 'azure-postgresql-auth-rs[psycopg3]'" in done.stdout
        assert emulator.logins == []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where packages seem to be installed, before all others."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(site: Path, name: str, version: str) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


class TestSettings:
    def test_the_clear(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor(f"host={AZURE} hostaddr=127.0.0.1 sslmode=disable")
        assert report.code == 11
        assert report.cause.startswith("sslmode=disable could send the token")
        assert report.remedy.startswith("remove sslmode and PGSSLMODE")
        # What has nothing to do with it is looked at all the same.
        assert "ManagedIdentityCredential gave a token" in report.text

    def test_no_host(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PGHOST")
        report = doctor("dbname=postgres")
        assert (report.code, report.cause) == (11, "no host is given, so a server on this machine is looked for")

    def test_another_service(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("host=srv.mysql.database.azure.com hostaddr=127.0.0.1 sslmode=require")
        assert "srv.mysql.database.azure.com is a server of another service" in report.cause

    def test_a_private_endpoints_name(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("host=srv.privatelink.postgres.database.azure.com hostaddr=127.0.0.1 sslmode=require")
        assert report.cause.endswith("is a private endpoint's name, which the certificate does not bear")
        assert report.remedy.startswith("connect to srv.postgres.database.azure.com;")

    @pytest.mark.parametrize(
        ("conninfo", "complaint"),
        [
            ("host", "no host"),
            ("host=a port", "cannot be read"),
            ("host=a,b port=1,2,3", "equally many"),
            ("host=a port=x", "expected a number"),
            ("host=a.postgres.database.azure.com,b.postgres.database.chinacloudapi.cn", "different Azure clouds"),
        ],
    )
    def test_what_cannot_be(
        self, emulator: Emulator, conninfo: str, complaint: str, monkeypatch: pytest.MonkeyPatch, cli: Run
    ) -> None:
        done = cli("doctor", conninfo, env={"PGHOST": None})
        assert complaint in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


class TestName:
    def test_it_does_not_exist(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", unresolved(socket.EAI_NONAME, "Name or service not known"))
        report = doctor(f"host={AZURE}")
        assert (report.code, report.cause) == (12, f"the name {AZURE} does not exist here")
        assert "private DNS zone" in report.remedy
        assert doctor("host=db.example.com").remedy == "check the spelling"

    def test_no_name_server(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", unresolved(socket.EAI_AGAIN, "Temporary failure"))
        report = doctor(f"host={AZURE}")
        assert (report.code, report.cause) == (12, f"no name server answered for {AZURE}")

    def test_one_of_two_is_enough(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve = socket.getaddrinfo

        def one(host: Any, *arguments: Any, **keywords: Any) -> Any:
            return (unresolved(socket.EAI_NONAME, "gone") if host == "gone.invalid" else resolve)(
                host, *arguments, **keywords
            )

        monkeypatch.setattr(socket, "getaddrinfo", one)
        report = doctor(f"host=gone.invalid,localhost port={emulator.port},{emulator.port}")
        assert report.code in {0, 18}  # libpq resolves by itself
        assert "the name gone.invalid does not exist here" in report.cause


def unresolved(number: int, text: str) -> Callable[..., Any]:
    def fail(host: Any, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, text)

    return fail


class TestConnection:
    def test_nothing_listens(self, doctor: Doctor, emulator: Emulator, port: int) -> None:
        report = doctor(f"port={port}")
        assert (report.code, report.cause) == (13, f"nothing listens at localhost port {port}")
        assert report.remedy.startswith("check the port (5432; 6432 for PgBouncer)")

    def test_a_firewall_drops_everything(self, doctor: Doctor, emulator: Emulator) -> None:
        with contextlib.ExitStack() as stack:
            # A server that never accepts: when its queue is full, the system drops what comes, as firewalls do.
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            place = server.getsockname()
            for _ in range(20):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(place)
            time.sleep(0.1)
            report = doctor(f"port={place[1]} connect_timeout=2")
        assert report.code == 13
        assert report.cause == f"localhost port {place[1]} does not answer: something on the way drops what is sent"
        assert "firewall rules (Networking)" in report.remedy


class TestTls:
    def test_there_is_none(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("no-tls")
        report = doctor()
        assert (report.code, report.cause) == (
            14,
            f"localhost port {emulator.port} has no TLS, so no token is sent to it",
        )
        assert emulator.logins == []

    def test_it_is_too_old(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("old-tls")
        report = doctor()
        assert (report.code, report.cause) == (14, f"localhost port {emulator.port} speaks no TLS 1.2 or later")

    def test_another_servers_certificate(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("other-name")
        report = doctor()
        assert (report.code, report.cause) == (
            14,
            "the server's certificate is for replica.example.com, not for localhost",
        )
        assert report.remedy.startswith("connect by the server's own name, with hostaddr")
        assert "would pass with sslmode=verify-ca or require" in report.text
        assert doctor("sslmode=verify-ca").code == 0

    def test_an_expired_certificate(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("expired-certificate")
        report = doctor()
        assert report.code == 14
        assert re.fullmatch(r"the server's certificate ended \w{3} [ \d]\d [\d:]{8} \d{4} GMT", report.cause)
        assert report.remedy.startswith("check this machine's clock")
        assert "would pass with sslmode=require" in report.text

    def test_roots_of_somebody_else(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        from azure_postgresql_auth.tls import AZURE_ROOTS

        report = doctor(f"sslrootcert={AZURE_ROOTS}")
        assert report.code == 14
        assert report.cause.startswith(
            "the server's certificate, issued by azure_postgresql_auth emulator, is from none"
        )
        assert report.remedy.startswith("name a file with the root of azure_postgresql_auth emulator by sslrootcert")

    def test_settings_keep_azures_roots_away(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        import trustme

        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        report = doctor(f"host={AZURE} hostaddr=127.0.0.1 sslrootcert={other}")
        assert report.remedy == f"remove sslrootcert and PGSSLROOTCERT, now {other}: Azure's own roots hold then"

    def test_something_takes_tls_apart(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("PGSSLMODE", "PGSSLROOTCERT"):
            monkeypatch.delenv(name)
        report = doctor(f"host={AZURE} hostaddr=127.0.0.1")
        assert report.code == 14
        assert report.remedy.startswith("something between here and Azure takes TLS apart")

    def test_a_file_of_roots_that_is_not_there(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        report = doctor(f"sslrootcert={tmp_path}/nothing.pem")
        assert report.cause == f"sslmode=verify-full needs root certificates, and {tmp_path}/nothing.pem does not exist"

    def test_it_closes_at_once(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("hang-up")
        report = doctor()
        assert report.cause == f"localhost port {emulator.port} takes connections and closes them at once"

    def test_it_says_nothing(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail_server("silence")
        report = doctor("connect_timeout=1")
        assert report.cause == f"localhost port {emulator.port} takes connections and then says nothing"

    def test_it_is_no_postgresql(self, doctor: Doctor, emulator: Emulator) -> None:
        with answering(b"HTTP/1.1 400 Bad Request\r\n") as port:
            assert doctor(f"port={port}").cause == f"what listens at localhost port {port} does not speak PostgreSQL"

    def test_it_breaks_off(self, doctor: Doctor, emulator: Emulator) -> None:
        with answering(b"S") as port:
            assert f"localhost port {port}" in doctor(f"port={port}").cause

    def test_no_tls_passes_where_it_may(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("PGSSLMODE", "PGSSLROOTCERT"):
            monkeypatch.delenv(name)
        emulator.fail_server("no-tls")
        report = doctor()
        assert "the server has no TLS, and sslmode lets that pass" in report.text
        assert (report.code, report.cause) == (18, "the server wants TLS and got none")


class TestCredential:
    def test_nothing_is_set_up(self, doctor: Doctor, nowhere: Emulator) -> None:
        report = doctor()
        assert (report.code, report.cause) == (15, "nothing is set up here to get a token with")
        assert report.remedy.startswith("on your own machine: az login; on Azure: give this machine or app a managed")
        for name in (
            "EnvironmentCredential",
            "WorkloadIdentityCredential",
            "ManagedIdentityCredential",
            "AzureCliCredential",
        ):
            assert re.search(rf"passed over credential +{name}: ", report.text)

    def test_az_is_not_signed_in(self, doctor: Doctor, tool: Any) -> None:
        tool("az", "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1")
        report = doctor()
        assert report.code == 15
        assert "az login" in report.cause
        assert report.remedy == "sign in: az login"

    def test_the_identity_is_not_assigned(
        self, doctor: Doctor, imds: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")
        report = doctor()
        assert report.code == 15
        assert report.remedy.startswith("assign the identity to this machine or app; AZURE_CLIENT_ID has to be")

    def test_it_is_throttled(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.fail(429, headers={"Retry-After": "60"})
        report = doctor()
        assert report.code == 15
        assert report.cause.startswith("ManagedIdentityCredential was refused: ")
        assert report.remedy.startswith("wait, and let fewer processes ask")

    @pytest.mark.parametrize(
        ("variable", "value", "remedy"),
        [
            ("AZURE_CLIENT_SECRET", "wrong-secret-value", "put a secret that is valid now into AZURE_CLIENT_SECRET"),
            ("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555", "check AZURE_CLIENT_ID and AZURE_TENANT_ID"),
            ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555", "check AZURE_TENANT_ID, and by"),
            ("SSL_CERT_FILE", "", "put the proxy's CA into the PEM file that SSL_CERT_FILE names"),
        ],
    )
    def test_a_service_principal_is_refused(
        self,
        doctor: Doctor,
        emulator: Emulator,
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
        value: str,
        remedy: str,
    ) -> None:
        app = emulator.add_identity("app", "service-principal")
        for name, setting in {**emulator.client_secret_env(app), variable: value}.items():
            monkeypatch.setenv(name, setting)
        if not value:
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
                monkeypatch.delenv(name)
        report = doctor()
        assert report.code == 15
        assert report.cause.startswith("EnvironmentCredential was refused: ")
        assert report.remedy.startswith(remedy)
        assert "wrong-secret-value" not in report.text
        assert "WorkloadIdentityCredential" not in report.text, "the chain stops there"

    def test_a_federated_token_has_expired(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pod = emulator.add_identity("pod")
        env = emulator.workload_identity_env(pod)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        claims = {"aud": ["api://AzureADTokenExchange"], "exp": 1, "nbf": 0, "sub": "system:serviceaccount:default:pod"}
        Path(env["AZURE_FEDERATED_TOKEN_FILE"]).write_text(emulator.sign(claims))
        report = doctor()
        assert report.cause.startswith("WorkloadIdentityCredential was refused: ")
        assert report.remedy.startswith("the federated token has expired")

    def test_a_setting_that_means_nothing(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "nonsense")
        report = doctor()
        assert report.code == 15
        assert 'AZURE_TOKEN_CREDENTIALS="nonsense"' in report.cause

    def test_the_identity_endpoint_hangs(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The limit is the engine's own; a connection that is refused is the same to who waits for an answer.
        monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/msi/token")
        report = doctor()
        assert report.code == 15
        assert report.cause.startswith("ManagedIdentityCredential got no answer: ")
        assert report.remedy.startswith("check that the identity endpoint (IDENTITY_ENDPOINT, else")
        assert explained("no token within 29 s", "ManagedIdentityCredential") == (
            "ManagedIdentityCredential got no answer: no token within 29 s",
            report.remedy,
        )

    def test_user_and_password_need_none(self, doctor: Doctor, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity)
        report = doctor(f"user=emulator-identity password={token}")
        assert (report.code, report.verdict) == (0, "The login works.")
        assert emulator.token_requests == []


class TestToken:
    def test_a_token_was_kept_too_long(self, doctor: Doctor, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity, lifetime=-100)
        report = doctor(f"user=emulator-identity password={token}")
        assert report.code == 16
        assert re.fullmatch(r"the token expired \d+ s ago", report.cause)
        assert report.remedy == "leave the password out, so that each login gets a new token"

    def test_it_is_for_something_else(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("lost", database_claims={"aud": "https://storage.azure.com"})
        report = doctor()
        assert report.code == 16
        assert report.cause.startswith(
            "the token is for https://storage.azure.com, not for Azure Database for PostgreSQL"
        )

    def test_it_is_for_another_cloud(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity(
            "far", database_claims={"aud": "https://ossrdbms-aad.database.chinacloudapi.cn"}
        )
        report = doctor()
        assert (report.code, "is for the China cloud" in report.cause) == (16, True)

    def test_it_is_not_good_yet(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("early", claims={"nbf": int(time.time()) + 1000})
        report = doctor()
        assert report.code == 16
        assert report.cause.startswith("the token is not valid for another 16 min")

    @pytest.mark.parametrize(
        ("skew", "off"),
        [(900, "15 min behind"), (-900, "15 min ahead of"), (5430, "90 min behind"), (-5430, "90 min ahead of")],
    )
    def test_this_machines_clock_is_off(self, doctor: Doctor, emulator: Emulator, skew: float, off: str) -> None:
        emulator.clock_skew = skew
        report = doctor()
        assert report.code == 0, report.text
        assert report.cause == f"The login works, but: this machine's clock is {off} the identity service's"
        assert report.remedy == "set this machine's clock, and keep it synchronized (NTP)"
        assert "logged in as emulator-identity" in report.text

    def test_the_server_judges_the_tokens_dates(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        emulator.clock_skew = -5430
        token = emulator.token(emulator.identity)
        report = doctor(f"user=emulator-identity password={token}")
        assert report.code == 0
        assert re.search(r"warning +token +the token expired 30 min ago, by this machine's clock", report.text)
        monkeypatch.setattr("azure_postgresql_auth.cli.drivers.first", lambda _: None)
        report = doctor(f"user=emulator-identity password={token}")
        assert report.code == 16, "no driver, so nobody knows better"

    def test_the_clock_dates_the_assertions_of_certificates(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        emulator.clock_skew = 5430
        app = emulator.add_identity("app", "service-principal")
        for name, value in emulator.client_certificate_env(app).items():
            monkeypatch.setenv(name, value)
        report = doctor("user=app")
        assert report.code == 15
        assert report.cause == (
            "EnvironmentCredential was refused: AADSTS700024: Client assertion is not within its valid time range"
        )
        assert report.remedy.startswith("set this machine's clock")

    def test_a_token_that_has_expired_when_it_comes(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = emulator.token(emulator.identity, lifetime=-60)
        body = {"access_token": token, "expires_on": str(int(time.time()) - 60), "resource": "x"}
        emulator.fail(200, body=json.dumps(body))
        report = doctor()
        assert report.code == 15
        assert "has already expired" in report.cause
        assert "names no user" not in report.text

    def test_what_the_credential_gave_is_no_token(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        body = {"access_token": "opaque", "expires_on": str(int(time.time()) + 3600), "resource": "x"}
        emulator.fail(200, body=json.dumps(body))
        report = doctor()
        assert (report.code, report.cause) == (16, "the credential's token is no JWT")
        assert "names no user" not in report.text

    def test_the_clock_is_compared_with_entra_where_it_gave_the_token(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in emulator.client_secret_env(emulator.add_identity("app", "service-principal")).items():
            monkeypatch.setenv(name, value)
        emulator.clock_skew = 900
        assert "15 min behind" in doctor("user=app").cause

    def test_another_tenant_than_wanted(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = "11111111-2222-3333-4444-555555555555"
        monkeypatch.setenv("AZURE_TENANT_ID", wanted)
        report = doctor()
        assert report.cause.endswith(f"tenant {emulator.tenant_id}, not of the one in AZURE_TENANT_ID ({wanted})")

    def test_it_is_too_long_for_a_pooler(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("big", claims={"groups": ["x" * 36] * 105})
        report = doctor()
        assert report.code == 0
        assert re.search(r"7,\d{3} characters \(PgBouncer 1.18 takes 2,047\)", report.text)

    def test_it_is_too_long_for_the_pooler_that_it_goes_through(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("big", claims={"groups": ["x" * 36] * 20})
        try:
            pooler = socket.create_server(("127.0.0.1", 6432))
        except OSError:
            pytest.skip("port 6432 is taken here")
        with pooler:
            threading.Thread(target=relay, args=(pooler, emulator.port), daemon=True).start()
            report = doctor("port=6432")
            pooler.shutdown(socket.SHUT_RDWR)
        assert report.code == 0
        assert re.search(r"the token has 2,\d{3} characters, and PgBouncer 1.18 takes 2,047", report.cause)
        assert "connect to the server's own, 5432" in report.remedy


def relay(server: socket.socket, port: int) -> None:
    """Passes each connection on to a port of this machine."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        while True:
            client = stack.enter_context(server.accept()[0])
            behind = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for pair in ((client, behind), (behind, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


class TestUser:
    def test_the_token_names_nobody(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("app", claims={"xms_mirid": None})
        report = doctor()
        assert report.code == 17
        assert report.cause == "the token names no user, as those of service principals and groups do not"
        assert report.remedy.startswith("say which role to log in as: user=")
        assert doctor("user=app").code == 0

    def test_a_guests_token_names_its_home_account(self, doctor: Doctor, emulator: Emulator) -> None:
        name = "pat_example.org#EXT#@contoso.onmicrosoft.com"
        emulator.identity = emulator.add_identity(name, "guest")
        report = doctor()
        assert report.code == 17
        assert "belongs to a guest and names only the home account, live.com#pat@example.org" in report.cause
        assert "user=, which has the form pat_example.org#EXT#@TENANT.onmicrosoft.com; `az ad" in report.remedy
        for wrong in ("live.com#pat@example.org", "Pat@example.org"):
            report = doctor(f"user={wrong}")
            assert (report.code, report.cause) == (18, f"\"{wrong}\" is a guest's home account, not the role's name")
            assert "form pat_example.org#EXT#@TENANT" in report.remedy
            assert "create_principal" not in report.text
        assert doctor(f"user={name}").code == 0

    def test_the_second_token_names_it(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("vm", database_claims={"xms_mirid": None})
        report = doctor()
        assert report.code == 0
        assert "vm, by a second token, for Azure Resource Manager" in report.text

    @pytest.mark.parametrize(
        ("name", "kind", "said", "cause", "remedy"),
        [
            (
                "Orders",
                "user-assigned",
                "orders",
                'differs from the token\'s "Orders" in upper and lower',
                "user=Orders",
            ),
            (
                "ann_gmail.com#EXT#@contoso.onmicrosoft.com",
                "user",
                "ann@gmail.com",
                '"ann@gmail.com" is a guest here, whose name is',
                "user='ann_gmail.com#EXT#@contoso.onmicrosoft.com'",
            ),
            ("vm", "system-assigned", "vm@localhost", "has the server's name in it, as Single Server", "user=vm"),
            ("app", "user-assigned", "'app '", "begins or ends with a blank", "user=app"),
            ("long", "user-assigned", "x" * 70, "has more than 63 bytes", "create the role with a shorter name"),
        ],
    )
    def test_a_name_that_is_nearly_right(
        self, doctor: Doctor, emulator: Emulator, name: str, kind: str, said: str, cause: str, remedy: str
    ) -> None:
        emulator.identity = emulator.add_identity(name, kind)
        report = doctor(f"user={said}")
        assert report.code == 18
        assert cause in report.cause
        assert report.remedy.startswith(remedy)


class TestLogin:
    def test_the_role_is_missing(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = identity = emulator.add_identity("it's new", role=None)
        report = doctor()
        assert report.code == 18
        oid = identity.object_id
        assert report.cause == f'the server has no role "it\'s new" for this identity (object id {oid})'
        assert report.remedy == "let the role be created or corrected by the SQL below"
        assert f"pgaadauth_create_principal_with_oid('it''s new', '{oid}', 'service', false, false);" in report.sql
        assert f"ON ROLE \"it's new\" IS 'aadauth,oid={oid},type=service';" in report.sql
        assert len(report.verdict) < 200

    def test_the_role_is_another_objects(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.add_identity("before", role="orders")
        emulator.identity = identity = emulator.add_identity("orders", role=None)
        report = doctor()
        assert report.code == 18
        assert "-- if it has another object id, such as that of an identity of the same name that was" in report.sql
        assert f'SECURITY LABEL FOR "pgaadauth" ON ROLE "orders" IS \'aadauth,oid={identity.object_id}' in report.sql

    def test_the_token_names_nobody(self, doctor: Doctor, emulator: Emulator) -> None:
        claims = {"xms_mirid": None}
        for kind, who, remedy in (
            (
                "user-assigned",
                "a managed identity",
                "leave out user= (and PGUSER) to log in as the identity itself; or if",
            ),
            (
                "service-principal",
                "an application",
                'if "team" is a group, make the identity a member of it; or let the',
            ),
        ):
            emulator.identity = someone = emulator.add_identity(kind, kind, database_claims=claims)
            report = doctor("user=team")
            assert report.cause == f'the server has no role "team" for {who} (object id {someone.object_id})'
            assert report.remedy.startswith(remedy)

    def test_not_a_member_of_the_group(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.add_group("team", [])
        emulator.identity = emulator.add_identity("ann@contoso.com", "user")
        report = doctor("user=team")
        assert report.code == 18
        oid = emulator.identity.object_id
        assert f"team, as given; the token is of ann@contoso.com, a user (object id {oid})" in report.text
        assert report.cause == f'the server has no role "team" for ann@contoso.com, a user (object id {oid})'
        assert report.remedy == (
            'leave out user= (and PGUSER) to log in as "ann@contoso.com"; or if "team" is a group, make the identity a '
            "member of it; or let the role be created or corrected by the SQL below"
        )
        assert ", 'user', false, false)" in report.sql

    @pytest.mark.parametrize(
        ("kind", "role_type", "cause", "type_"),
        [
            (
                "user-assigned",
                "user",
                "was created as a user's or a group's, and the token is an application's",
                "service",
            ),
            ("user", "service", "was created as a service's, and the token is a user's", "user"),
        ],
    )
    def test_the_roles_type_is_wrong(
        self, doctor: Doctor, emulator: Emulator, kind: str, role_type: str, cause: str, type_: str
    ) -> None:
        emulator.identity = emulator.add_identity("someone", kind, role_type=role_type)
        report = doctor()
        assert (report.code, cause in report.cause) == (18, True)
        assert f",type={type_}';" in report.sql

    def test_the_token_was_revoked(self, doctor: Doctor, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity)
        emulator.revoke("emulator-identity")
        report = doctor(f"user=emulator-identity password={token}")
        assert report.code == 18
        assert report.cause.startswith("the server does not accept the token: it was revoked, or its tenant")

    def test_the_tenant_is_another(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("foreign", claims={"tid": "another"})
        report = doctor()
        assert "its tenant another is not the server's" in report.cause

    def test_a_password_that_is_no_token(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("user=emulator-identity password=hunter2")
        assert report.code == 18
        assert report.cause == 'the server takes "emulator-identity" for an Entra role, and what it got is no token'
        assert "hunter2" not in report.text

    def test_the_token_has_no_object_id(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("odd", claims={"oid": None})
        assert doctor().cause == "the token has no object id (oid)"

    def test_the_database_is_missing(self, doctor: Doctor, emulator: Emulator) -> None:
        report = doctor("dbname=nothing")
        assert (report.code, report.cause) == (18, 'the identity is accepted, but there is no database "nothing"')

    def test_it_may_not_connect(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.sql("CREATE DATABASE closed")
        try:
            emulator.sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
            report = doctor("dbname=closed")
        finally:
            emulator.sql("DROP DATABASE closed")
        assert report.remedy == 'GRANT CONNECT ON DATABASE "closed" TO "emulator-identity";'

    def test_the_role_may_not_log_in(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("sleeper")
        emulator.sql("ALTER ROLE sleeper NOLOGIN")
        report = doctor()
        assert (report.cause, report.remedy) == ('the role "sleeper" may not log in', 'ALTER ROLE "sleeper" LOGIN;')

    @pytest.mark.usefixtures("emulator")
    def test_a_parameter_of_the_server_is_wrong(self, doctor: Doctor) -> None:
        report = doctor("options=-cno_such_parameter=1")
        assert 'unrecognized configuration parameter "no_such_parameter"' in report.cause
        assert report.remedy.startswith("correct or remove it: in options (PGOPTIONS)")

    @pytest.mark.parametrize(
        ("sqlstate", "message", "cause"),
        [
            ("53300", "sorry, too many clients already", "all of the server's connections are taken"),
            ("53300", "remaining connection slots are reserved for roles with", "connections are taken"),
            ("57P03", "the database system is starting up", "the server is starting, stopping or recovering"),
            ("28000", 'no pg_hba.conf entry for host "1.2.3.4", user "x", SSL encryption', "access rules do not let"),
            ("28000", "The access token has expired. Please acquire a new one", "has expired by the server's clock"),
            ("28000", "The access token does not have a valid audience claim.", "does not take tokens for https://oss"),
            ("XX000", "something that nobody has seen before", "refuses the login: something that nobody has seen"),
        ],
    )
    def test_the_servers_words_are_explained(
        self, doctor: Doctor, emulator: Emulator, sqlstate: str, message: str, cause: str
    ) -> None:
        emulator.refuse(message, sqlstate)
        report = doctor()
        assert (report.code, cause in report.cause) == (18, True), report.verdict
        assert report.remedy


@pytest.fixture(scope="module")
def client_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a client certificate and its key."""
    import trustme

    folder = tmp_path_factory.mktemp("client")
    leaf = trustme.CA().issue_cert("client.example.com")
    leaf.cert_chain_pems[0].write_to_path(str(folder / "client.crt"))
    leaf.private_key_pem.write_to_path(str(folder / "client.key"))
    (folder / "client.key").chmod(0o644)
    return folder


class TestDriver:
    @pytest.mark.parametrize("name", ["psycopg", "psycopg2"])
    @pytest.mark.parametrize(
        ("settings", "reason", "remedy"),
        [
            ("sslcert={0}/client.crt sslkey={0}/client.key", "has group or world access", "chmod 0600 the key file"),
            ("sslcert={0}/client.crt sslkey={0}/gone", "but not private key file", "leave out sslcert and sslkey"),
            ("channel_binding=require", "channel binding required", "leave out channel_binding"),
            ("require_auth=scram-sha-256", "server requested a cleartext password", "leave out require_auth"),
            ("target_session_attrs=standby", "not in hot standby mode", "the login works; leave out target_session"),
            ("target_session_attrs=read-only", "session is not read-only", "the login works; leave out target_session"),
            ("gssencmode=require", "GSSAPI encryption required", "leave out gssencmode"),
            ("connect_timeout=soon", "connect_timeout", "correct the setting that this"),
            ("ssl_max_protocol_version=TLSv1.1", "invalid SSL protocol version range", "correct the setting that this"),
        ],
    )
    def test_its_reason_is_told(
        self,
        doctor: Doctor,
        emulator: Emulator,
        client_certificate: Path,
        name: str,
        settings: str,
        reason: str,
        remedy: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        driver = next(driver for driver in drivers.ALL if driver.name == name)
        monkeypatch.setattr(drivers, "ALL", (driver,))
        report = doctor(settings.format(client_certificate))
        assert report.code == 18
        assert report.cause.startswith(f"{name} ended the login on this machine: ")
        assert reason in report.cause
        assert "connection to server" not in report.cause
        assert report.remedy.startswith(remedy)

    def test_asyncpgs_reason_is_told(self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drivers, "ALL", drivers.ALL[2:])
        monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
        report = doctor()
        assert report.cause.startswith("asyncpg ended the login on this machine: None of the hosts match")

    @pytest.mark.skipif(os.geteuid() != 0, reason="another user's home is made by root")
    def test_the_home_of_another_user(self, emulator: Emulator, tmp_path: Path) -> None:
        (tmp_path / ".postgresql").mkdir()
        tmp_path.chmod(0o700)
        script = (
            "import os, psycopg2\n"
            "os.setgid(65534)\n"
            "os.setuid(65534)\n"
            f"psycopg2.connect('{emulator.dsn}', user='x', password='x', sslrootcert='system')"
        )
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        text = driver_errors.read(Exception(done.stderr.partition("OperationalError: ")[2])).text
        assert text == f'could not open certificate file "{tmp_path}/.postgresql/postgresql.crt": Permission denied'
        assert driver_errors.explained("psycopg2", text).remedy.startswith("HOME, where libpq looks for a client")

    @pytest.mark.parametrize(
        ("text", "remedy"),
        [
            ('invalid URI query parameter: "plugin"', "give a URL with plugin=entra to SQLAlchemy's create_engine"),
            ('unrecognized configuration parameter "entra_client_id"', "give a URL with plugin=entra to SQLAlchemy's"),
            ("fe_sendauth: no password supplied", "connect by this package, which supplies the token; with SQLAlchemy"),
            ("server closed the connection unexpectedly", "try again; if it goes on"),
            ("timeout expired", "raise connect_timeout"),
        ],
    )
    def test_what_programs_report(self, text: str, remedy: str) -> None:
        error = Exception(f'connection to server at "localhost" (::1), port 5432 failed: {text}')
        assert driver_errors.explained("psycopg2", driver_errors.read(error).text).remedy.startswith(remedy)

    def test_every_address_has_a_reason(self) -> None:
        refused = 'connection to server at "h" (::1), port 1 failed: Connection refused'
        other = 'connection to server on socket "/tmp/x" failed: FATAL:  no pg_hba.conf entry'
        assert driver_errors.read(Exception(f"{refused}\n{refused}")) == ("Connection refused", False)
        assert driver_errors.read(Exception(f"{refused}\n{other}")) == ("no pg_hba.conf entry", True)
        assert driver_errors.read(TimeoutError()) == ("TimeoutError", False)


class TestProgramsUrl:
    @pytest.mark.parametrize(
        ("url", "driver"),
        [
            ("postgresql+psycopg://{place}", "psycopg"),
            ("postgresql+psycopg_async://{place}?plugin=entra&entra_credential=managed-identity", "psycopg"),
            ("postgresql+psycopg2://{place}?plugin=entra&application_name=me", "psycopg2"),
            ("postgresql+asyncpg://{place}?ssl=verify-full&prepared_statement_cache_size=0&jit=off", "asyncpg"),
            ("postgresql+asyncpg:///{database}?host={host}:{port}", "asyncpg"),
            ("postgresql+pg8000://{place}", "psycopg"),
            ("postgresql:///?host={host}&port={port}&database={database}&ssl=verify-full", "psycopg"),
            ("postgresql:///{database}?host={host}:1&host={host}:{port}", "psycopg"),
            ("postgis://{place}?conn_max_age=60", "psycopg"),
            ("postgres://{place}?sslmode=verify-full", "psycopg"),
        ],
    )
    def test_is_read_as_the_program_reads_it(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, url: str, driver: str
    ) -> None:
        for name in ("PGHOST", "PGPORT", "PGDATABASE"):
            monkeypatch.delenv(name)
        place = f"{emulator.host}:{emulator.port}/{emulator.database}"
        values = {"host": emulator.host, "port": emulator.port, "database": emulator.database, "place": place}
        report = doctor(url.format(**values))
        assert report.code == 0, report.text
        assert f"login         {driver}: logged in as emulator-identity" in report.text
        assert f"port {emulator.port}, database {emulator.database}, sslmode=verify-full" in report.text
        if "plugin" in url:
            assert "left out of the URL: plugin" in report.text
            assert "a plugin is for SQLAlchemy's create_engine, and psycopg, psycopg2 and asyncpg refuse" in report.text

    @pytest.mark.parametrize(
        ("url", "conninfo"),
        [
            ("postgresql:///d?host=h&application_name=a+b", "postgresql:///d?application_name=a%2Bb&host=h"),
            ("postgresql+psycopg:///d?host=h&application_name=a+b", "postgresql:///d?application_name=a%20b&host=h"),
            (
                "postgresql://u:p%40@[::1]:1/d?host=[::1]:2,h:3",
                "postgresql://u:p%40@[::1]:1/d?host=%3A%3A1%2Ch&port=2%2C3",
            ),
            ("postgresql://h/d?ssl=true&plugin=entra", "postgresql://h/d?ssl=true"),
            ("host=h options='-c a=b://c'", "host=h options='-c a=b://c'"),
            ("postgres", "postgres"),
        ],
    )
    def test_becomes_libpqs(self, url: str, conninfo: str) -> None:
        assert program_url.read(url).conninfo == conninfo

    @pytest.mark.parametrize("url", ["mysql+pymysql://root:secret@h/d", "jdbc:postgresql://h/d?password=secret"])
    def test_of_something_else(self, cli: Run, url: str) -> None:
        done = cli("doctor", url)
        assert done.returncode == 2
        assert done.stderr.endswith("is not a URL of PostgreSQL: expected postgresql://\n")
        assert "secret" not in done.stderr


class TestReport:
    def test_nothing_that_a_terminal_acts_on_is_printed(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.refuse("no\x1b]52;c;ZWNobw==\x07 \x9b31m\u202eway")
        report = doctor("application_name=\x1b[31m")
        assert report.cause == "the server refuses the login: no\\x1b]52;c;ZWNobw==\\x07 \\x9b31m\\u202eway"
        assert all(one.isprintable() or one == "\n" for one in report.text)

    def test_json_for_a_support_ticket(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPASSWORD", "very-secret")
        emulator.refuse(f"very-secret {emulator.token(emulator.identity)} {os.environ['IDENTITY_HEADER']}")
        report = doctor("--json")
        told = json.loads(report.text)
        assert told["exit_code"] == report.code == 18
        assert told["cause"] == "the server refuses the login: **** (a token) ****"
        assert told["verdict"] == f"{told['cause']}. Remedy: {told['remedy']}"
        assert {step["status"] for step in told["steps"]} == {"ok", "passed over", "failure"}
        keys = {"step", "status", "saw", "cause", "remedy", "sql", "seconds"}
        assert all(set(step) == keys for step in told["steps"])
        assert any(step["step"] == "login" and step["seconds"] > 0 for step in told["steps"])
        assert "very-secret" not in report.text

    def test_marks_only_on_a_terminal(self, emulator: Emulator) -> None:
        def printed(**env: str) -> str:
            master, terminal = pty.openpty()
            subprocess.run(
                [*COMMAND, "doctor"], stdout=terminal, env={**os.environ, "TERM": "xterm", **env}, check=True
            )
            os.close(terminal)
            text = b""
            with contextlib.suppress(OSError):
                while piece := os.read(master, 65536):
                    text += piece
            os.close(master)
            return text.decode()

        rich, plain = printed(), printed(NO_COLOR="1")
        assert "\033[32m✓\033[0m login" in rich
        assert rich.endswith("\033[32mThe login works.\033[0m\r\n")
        assert "\033" not in plain
        assert plain.endswith("The login works.\r\n")

    def test_a_unix_socket_is_left_to_the_driver(self, doctor: Doctor, emulator: Emulator, tmp_path: Path) -> None:
        report = doctor(f"host={tmp_path}")
        assert report.code == 18
        assert "a Unix socket is left to the driver" in report.text
