"""What a program can see of its tokens: logging, counters, and time limits that hold."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from azure_postgresql_auth import core, errors, identity, psycopg3

from tests.support.credentials import SyncCredential, make_token
from tests.support.polling import eventually, quickest
from tests.support.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.drivers import Driver

SCOPE = core.AZURE_DB_FOR_POSTGRES_SCOPE


class TestLogging:
    @pytest.fixture(autouse=True)
    def everything(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "azure_postgresql_auth")

    @staticmethod
    def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == level]

    @pytest.mark.usefixtures("emulator")
    def test_acquired_token_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        before = time.time()
        core.get_entra_token(identity.ManagedIdentityCredential())
        (text,) = self.told(caplog, logging.INFO)
        assert text.startswith(f"acquired a token for {SCOPE} from ManagedIdentityCredential in 0")
        assert ", good until 20" in text
        assert text.endswith("Z")
        assert before <= caplog.records[0].created <= time.time()
        assert caplog.records[0].name == "azure_postgresql_auth"

    @pytest.mark.usefixtures("emulator")
    def test_each_link_of_a_chain(self, caplog: pytest.LogCaptureFixture) -> None:
        core.get_entra_token(identity.DefaultAzureCredential())
        links = self.told(caplog, logging.DEBUG)
        assert "EnvironmentCredential: not set: AZURE_TENANT_ID" in links[0]
        assert "DefaultAzureCredential: ManagedIdentityCredential gave a token after 0" in links[-1]
        assert "from DefaultAzureCredential (ManagedIdentityCredential)" in self.told(caplog, logging.INFO)[0]

    def test_a_renewal_that_fails_and_one_that_succeeds(
        self, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.lifetime = 10
        credential = identity.ManagedIdentityCredential()
        core.get_entra_token(credential)
        emulator.fail(status=401, body='{"error": "not today"}')
        eventually(lambda: (core.get_entra_token(credential), credential.stats().failures)[1])
        core.get_entra_token(credential)
        (failed,) = self.told(caplog, logging.WARNING)
        assert "could not renew the token" in failed
        assert "not today" in failed
        assert ", next try in 0.5" in failed
        emulator.heal()
        eventually(lambda: (core.get_entra_token(credential), credential.stats().refreshes)[1])
        core.get_entra_token(credential)
        assert self.told(caplog, logging.INFO)[-1].startswith(f"renewed a token for {SCOPE}")

    def test_renewal_on_time_is_a_debug_record(self, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        emulator.lifetime = 2
        credential = identity.ManagedIdentityCredential()
        eventually(lambda: (core.get_entra_token(credential), credential.stats().refreshes > 1)[1])
        core.get_entra_token(credential)
        assert [text.partition(" ")[0] for text in self.told(caplog, logging.INFO)] == ["acquired"]
        assert any(text.startswith(f"renewed a token for {SCOPE}") for text in self.told(caplog, logging.DEBUG))

    def test_a_refusal(self, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        credential = identity.ManagedIdentityCredential()
        psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
        emulator.revoke("emulator-identity")
        psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
        (text,) = self.told(caplog, logging.WARNING)
        assert text.startswith("the server refused a cached token")
        assert self.told(caplog, logging.INFO)[-1].startswith(f"renewed a token for {SCOPE}")
        assert "validating the access token" in text

    def test_python_credentials_are_named_by_their_class(self, caplog: pytest.LogCaptureFixture) -> None:
        credential = SyncCredential(make_token(upn="a@b"))
        core.get_entra_token(credential)
        assert "from SyncCredential in" in self.told(caplog, logging.INFO)[0]
        other = SyncCredential(make_token(upn="a@b"))
        other.error = RuntimeError("broken")
        with pytest.raises(RuntimeError, match="broken"):
            core.get_entra_token(other)
        assert "from SyncCredential: RuntimeError: broken" in self.told(caplog, logging.WARNING)[0]

    def test_no_token_and_no_secret_is_told(self, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        service = emulator.add_identity("service", "service-principal")
        environment = emulator.client_secret_env(service)
        secret = environment["AZURE_CLIENT_SECRET"]
        good = identity.ClientSecretCredential(emulator.tenant_id, service.client_id, secret)
        token = core.get_entra_token(good)
        bad = identity.ClientSecretCredential(emulator.tenant_id, service.client_id, "not-the-secret")
        with pytest.raises(Exception, match="AADSTS"):
            core.get_entra_token(bad)
        emulator.fail(
            status=401, body=json.dumps({"error": "x", "error_description": f"you sent {secret} and {token}"})
        )
        with pytest.raises(Exception, match="you sent"):
            core.get_entra_token(identity.ClientSecretCredential(emulator.tenant_id, service.client_id, secret))
        for hidden in (secret, "not-the-secret", token):
            assert hidden not in caplog.text
        assert "****" in caplog.text

    @pytest.mark.usefixtures("emulator")
    def test_programs_that_do_not_log_do_not_import_logging(self) -> None:
        script = (
            "import sys\n"
            "from azure_postgresql_auth import core, identity\n"
            "credential = identity.ManagedIdentityCredential()\n"
            "first, second = core.get_entra_token(credential), core.get_entra_token(credential)\n"
            "assert first == second and credential.stats().hits == 1, credential.stats()\n"
            "assert 'logging' not in sys.modules\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def test_without_configuration_nothing_is_printed(self, emulator: Emulator) -> None:
        emulator.fail(status=400)
        script = (
            "import logging\n"
            "from azure_postgresql_auth import core, errors, identity\n"
            "try: core.get_entra_token(identity.ManagedIdentityCredential())\n"
            "except errors.EntraConnectionValueError: pass\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestStats:
    def test_counts(self, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential()
        before = int(time.time())
        for _ in range(5):
            core.get_entra_token(credential)
        stats = core.token_stats(credential)
        assert type(stats).__module__ == core.__name__
        assert (stats.requests, stats.hits, stats.refreshes, stats.failures, stats.refusals) == (1, 4, 0, 0, 0)
        assert list(stats.expires_on) == [SCOPE]
        assert before + 3590 <= stats.expires_on[SCOPE] <= time.time() + 3601
        assert repr(stats).startswith(
            "TokenStats(requests=1, hits=4, refreshes=0, failures=0, refusals=0, expires_on={"
        )
        emulator.fail(status=400)
        with pytest.raises(Exception, match="400"):
            core.get_entra_token(credential, core.AZURE_MANAGEMENT_SCOPE)
        assert (credential.stats().requests, credential.stats().failures) == (2, 1)

    def test_refusals(self, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential()
        for _ in range(2):
            psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
            emulator.revoke("emulator-identity")
        psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
        stats = credential.stats()
        assert (stats.refusals, stats.refreshes) == (2, 2)

    def test_of_any_credential(self) -> None:
        credential = SyncCredential(make_token(upn="a@b"))
        core.get_entra_token(credential)
        assert core.token_stats(credential).requests == 1
        with pytest.raises(errors.CredentialValueError):
            core.token_stats(object())  # type: ignore[arg-type]


class TestTimeLimit:
    """`connect_timeout` holds for token and connection together."""

    @pytest.fixture
    def black_hole(self) -> Iterator[int]:
        """Yield the port of a server that accepts connections and never responds."""
        with Server() as server:
            yield server.port

    def test_what_the_token_took_is_not_left_for_the_driver(
        self, driver: Driver, emulator: Emulator, black_hole: int
    ) -> None:
        if driver.name == "psycopg2-async":
            pytest.skip("its connection is made by whoever polls it")
        if driver.name in {"asyncpg-pool", "psycopg2.connect", "psycopg2-factory", "create_asyncpg_engine"}:
            pytest.skip("as another one")
        emulator.latency = 3.0
        keyword = "connect_timeout" if driver.libpq else "timeout"
        url = f"postgresql://127.0.0.1:{black_hole}/postgres"

        def fail() -> None:
            with pytest.raises(Exception):  # noqa: B017, PT011 - each driver's own, some without a text
                driver.who(url, identity.ManagedIdentityCredential(), **{keyword: 5})

        # 8 without sharing; libpq has whole seconds, 2 at least.
        assert 4.5 < quickest(fail, below=7.5) < 7.5
