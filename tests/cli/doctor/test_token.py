"""`doctor` on the credential, its token and the user that it names; each test breaks one thing."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.servers import Server, forward
from tests.support.tools import saying

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

    from tests.support.doctor import Doctor


class TestCredential:
    def test_no_credential_is_configured(self, doctor: Doctor, nowhere: Emulator) -> None:
        report = doctor()
        assert (report.code, report.cause) == (15, "no credential is set up here")
        assert report.remedy.startswith("on your own machine: az login; on Azure: give this machine or app a managed")
        for name in (
            "EnvironmentCredential",
            "WorkloadIdentityCredential",
            "ManagedIdentityCredential",
            "AzureCliCredential",
        ):
            assert re.search(rf"passed over credential +{name}: ", report.text)

    def test_az_is_not_signed_in(self, doctor: Doctor, tool: Any) -> None:
        tool("az", saying(errors="ERROR: Please run 'az login' to setup account.\n", code=1))
        report = doctor()
        assert report.code == 15
        assert report.cause == "AzureCliCredential is not ready: not signed in"
        assert report.remedy == "run `az login`"

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
        assert report.remedy.startswith("wait, and send fewer requests")

    @pytest.mark.parametrize(
        ("variable", "value", "remedy"),
        [
            ("AZURE_CLIENT_SECRET", "wrong-secret-value", "put a secret that is valid now into AZURE_CLIENT_SECRET"),
            ("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555", "check AZURE_CLIENT_ID and AZURE_TENANT_ID"),
            ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555", "check AZURE_TENANT_ID, and the"),
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
        assert report.cause.startswith(f"EnvironmentCredential {'was refused' if value else 'got no usable answer'}: ")
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
        assert report.remedy == "see that the federated token's file, AZURE_FEDERATED_TOKEN_FILE, is renewed"

    def test_invalid_azure_token_credentials(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "nonsense")
        report = doctor()
        assert report.code == 15
        assert 'AZURE_TOKEN_CREDENTIALS="nonsense"' in report.cause

    def test_the_identity_endpoint_hangs(
        self, doctor: Doctor, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A connection that is refused is as good as a service that does not answer, and tests need not wait for it.
        monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/msi/token")
        report = doctor()
        assert report.code == 15
        assert report.cause.startswith("ManagedIdentityCredential got no usable answer: ")
        assert report.remedy.startswith("check that the identity endpoint (IDENTITY_ENDPOINT, else")

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
        assert report.remedy == "omit the password, so that each login gets a new token"

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

    def test_it_is_not_valid_yet(self, doctor: Doctor, emulator: Emulator) -> None:
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
        assert (report.code, report.cause) == (16, "the credential's token is not a JWT")
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
            pooler = Server(lambda client: forward(client, emulator.port), port=6432)
        except OSError:
            pytest.skip("port 6432 is taken here")
        with pooler:
            report = doctor("port=6432")
        assert report.code == 0
        assert re.search(r"the token has 2,\d{3} characters, and PgBouncer 1.18 takes 2,047", report.cause)
        assert "connect to the server's own, 5432" in report.remedy


class TestUser:
    def test_the_token_names_nobody(self, doctor: Doctor, emulator: Emulator) -> None:
        emulator.identity = emulator.add_identity("app", claims={"xms_mirid": None})
        report = doctor()
        assert report.code == 17
        assert report.cause == "the token names no user, as those of service principals and groups do not"
        assert report.remedy.startswith("name the role to log in as: user=")
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

    def test_management_token_names_the_user(self, doctor: Doctor, emulator: Emulator) -> None:
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
                'differs from the token\'s "Orders" in case',
                "user=Orders",
            ),
            (
                "ann_gmail.com#EXT#@contoso.onmicrosoft.com",
                "user",
                "ann@gmail.com",
                '"ann@gmail.com" is a guest here, whose name is',
                "user='ann_gmail.com#EXT#@contoso.onmicrosoft.com'",
            ),
            ("vm", "system-assigned", "vm@localhost", "contains the server's name, as Single Server", "user=vm"),
            ("app", "user-assigned", "'app '", "begins or ends with a space", "user=app"),
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
