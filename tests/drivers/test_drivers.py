"""What holds in every driver alike: who logs in, with which credential, and what a failure looks like."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import azure.identity
import azure.identity.aio
import pytest
from azure_postgresql_auth import core, errors, identity

from tests.support.credentials import AsyncCredential, SyncCredential, make_token

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator, Identity

    from tests.support.drivers import Driver

DATABASE = "https://ossrdbms-aad.database.windows.net"
MANAGEMENT = "https://management.azure.com"


def resources(emulator: Emulator) -> list[str]:
    return [request.resource for request in emulator.token_requests]


class TestWhoLogsIn:
    """One table, run through all drivers."""

    @pytest.fixture
    def unnamed(self, emulator: Emulator) -> Identity:
        """Return a principal whose tokens name no user, so that the caller has to give it."""
        return emulator.add_identity("unnamed", "service-principal", role="said", default=True)

    def test_neither_user_nor_password_given(self, driver: Driver, emulator: Emulator) -> None:
        credential = identity.ManagedIdentityCredential()
        for _ in range(2):
            assert driver.who(driver.on(emulator), credential) == emulator.identity.role
        assert resources(emulator) == [DATABASE]

    def test_user_given_by_keyword(self, driver: Driver, emulator: Emulator, unnamed: Identity) -> None:
        assert unnamed
        assert driver.who(driver.on(emulator), identity.ManagedIdentityCredential(), user="said") == "said"
        # Claims are not looked at, so the management scope is not asked.
        assert resources(emulator) == [DATABASE]

    def test_user_given_in_the_url(self, driver: Driver, emulator: Emulator, unnamed: Identity) -> None:
        assert unnamed
        assert driver.who(driver.on(emulator, user="said"), identity.ManagedIdentityCredential()) == "said"
        assert resources(emulator) == [DATABASE]

    def test_user_given_in_pguser(
        self, driver: Driver, emulator: Emulator, unnamed: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert unnamed
        monkeypatch.setenv("PGUSER", "said")
        assert driver.who(driver.on(emulator), identity.ManagedIdentityCredential()) == "said"
        assert resources(emulator) == [DATABASE]

    def test_keyword_over_url_over_environment(
        self, driver: Driver, emulator: Emulator, unnamed: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert unnamed
        monkeypatch.setenv("PGUSER", "environment")
        url = driver.on(emulator, user="url")
        assert driver.who(url, identity.ManagedIdentityCredential(), user="said") == "said"
        with pytest.raises(Exception, match="url"):
            driver.who(url, identity.ManagedIdentityCredential())

    def test_user_and_password_given(self, driver: Driver, emulator: Emulator) -> None:
        credential = SyncCredential(make_token(upn="x"))
        for url, keywords in [
            (driver.on(emulator, user="a", password="b"), {}),
            (driver.on(emulator), {"user": "a", "password": "b"}),
        ]:
            emulator.reset_counters()
            with pytest.raises(Exception, match="."):
                driver.who(url, credential, **keywords)
            assert emulator.logins[0].role == "a"
        assert credential.calls == []

    def test_only_a_password_given(self, driver: Driver, emulator: Emulator) -> None:
        """It goes with no user that the caller named: a token does."""
        credential = identity.ManagedIdentityCredential()
        assert driver.who(driver.on(emulator), credential, password="old") == emulator.identity.role

    def test_service_principal(self, driver: Driver, emulator: Emulator) -> None:
        principal = emulator.add_identity("app", "service-principal")
        credential = identity.ClientSecretCredential(
            emulator.tenant_id, principal.client_id, principal.client_secret or ""
        )
        assert driver.who(driver.on(emulator), credential, user="app") == "app"

    def test_group(self, driver: Driver, emulator: Emulator) -> None:
        emulator.add_group("developers", members=[emulator.identity])
        credential = identity.ManagedIdentityCredential()
        assert driver.who(driver.on(emulator), credential, user="developers") == "developers"

    def test_system_assigned(self, driver: Driver, emulator: Emulator) -> None:
        emulator.add_identity("vm-1", "system-assigned", default=True)
        assert driver.who(driver.on(emulator), identity.ManagedIdentityCredential()) == "vm-1"

    def test_user_assigned_without_xms_mirid(self, driver: Driver, emulator: Emulator) -> None:
        emulator.add_identity("quiet", database_claims={"xms_mirid": None}, default=True)
        credential = identity.ManagedIdentityCredential()
        for _ in range(3):
            assert driver.who(driver.on(emulator), credential) == "quiet"
        assert resources(emulator) == [DATABASE, MANAGEMENT]

    def test_guest(self, driver: Driver, emulator: Emulator) -> None:
        name = "ada_gmail.com#EXT#@contoso.onmicrosoft.com"
        token = emulator.token(emulator.add_identity(name, "user"))
        assert driver.who(driver.on(emulator), SyncCredential(token)) == name

    def test_opaque_token(self, driver: Driver, emulator: Emulator) -> None:
        """An opaque token names no user, but is sent if the caller gives one; the server decides about it."""
        with pytest.raises(Exception, match="invalid format"):
            driver.who(driver.on(emulator), SyncCredential("opaque"), user="x")
        with pytest.raises(errors.EntraConnectionValueError, match="Invalid JWT token format"):
            driver.who(driver.on(emulator), SyncCredential("opaque"))


class TestCredentials:
    def test_no_credential_given(self, driver: Driver, emulator: Emulator) -> None:
        assert driver.who(driver.on(emulator)) == emulator.identity.role

    def test_any_shape(self, driver: Driver, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity)
        kinds: list[Any] = [SyncCredential(token), azure.identity.ManagedIdentityCredential()]
        if driver.asynchronous:
            kinds.append(AsyncCredential(token))
        for credential in kinds:
            for _ in range(3):
                assert driver.who(driver.on(emulator), credential) == emulator.identity.role
            if isinstance(credential, SyncCredential):
                assert len(credential.calls) == 1
        assert len(emulator.token_requests) == 1

    def test_asynchronous_in_synchronous_code(self, driver: Driver, emulator: Emulator) -> None:
        if driver.asynchronous:
            pytest.skip("it can be awaited here")
        credential = AsyncCredential(emulator.token(emulator.identity))
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required to be synchronous here"):
            driver.who(driver.on(emulator), credential)
        assert credential.calls == []
        assert emulator.logins == []

    @pytest.mark.parametrize("bad", ["text", 7, object()])
    def test_object_that_is_not_a_credential_is_refused(self, driver: Driver, emulator: Emulator, bad: object) -> None:
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
            driver.who(driver.on(emulator), bad)
        assert emulator.logins == []

    def test_a_hundred_threads(self, driver: Driver, emulator: Emulator) -> None:
        emulator.latency = 0.1
        credential = identity.ManagedIdentityCredential()
        barrier = threading.Barrier(30)

        def connect(_: int) -> str:
            barrier.wait()
            return driver.who(driver.on(emulator), credential)

        with ThreadPoolExecutor(30) as pool:
            assert set(pool.map(connect, range(30))) == {emulator.identity.role}
        assert len(emulator.token_requests) == 1


class TestFailures:
    @pytest.mark.parametrize("error", [LookupError("not signed in"), LookupError(), errors.TokenDecodeError("x")])
    def test_ours_and_the_drivers_own(self, driver: Driver, emulator: Emulator, error: Exception) -> None:
        credential = SyncCredential(make_token(upn="a"))
        credential.error = error
        with pytest.raises(
            errors.EntraConnectionValueError, match=r"^Could not retrieve Entra credentials: "
        ) as raised:
            driver.who(driver.on(emulator), credential)
        assert isinstance(raised.value, driver.error)
        assert raised.value.__cause__ is error
        assert (str(error) or type(error).__name__) in str(raised.value)
        assert emulator.logins == []

    def test_an_exception_without_text(self, driver: Driver, emulator: Emulator) -> None:
        class WithoutTextError(Exception):
            def __str__(self) -> str:
                raise LookupError

        credential = SyncCredential(make_token(upn="a"))
        credential.error = WithoutTextError()
        with pytest.raises(errors.EntraConnectionValueError, match="__str__ raised LookupError") as raised:
            driver.who(driver.on(emulator), credential)
        assert isinstance(raised.value, driver.error)
        assert len(credential.calls) == 1

    def test_the_servers_own_words(self, driver: Driver, emulator: Emulator) -> None:
        with pytest.raises(Exception, match="password authentication failed for user") as raised:
            driver.who(driver.on(emulator), identity.ManagedIdentityCredential(), user="nobody")
        assert not isinstance(raised.value, errors.AzurePgEntraError)

    def test_no_token_in_any_text(self, driver: Driver, emulator: Emulator) -> None:
        token = emulator.token(emulator.identity)
        with pytest.raises(Exception, match=".") as raised:
            driver.who(driver.on(emulator), SyncCredential(token), user="nobody")
        assert token not in f"{raised.value!s} {raised.value!r} {raised.getrepr(style='long', showlocals=False)}"


def test_service_files(driver: Driver, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not driver.libpq:
        pytest.skip("a matter of libpq's drivers")
    emulator.add_identity("unnamed", "service-principal", role="said", default=True)
    file = tmp_path / "services"
    file.write_text(
        f"[mine]\nhost=localhost\nport={emulator.port}\ndbname=postgres\nuser=said\n"
        f"sslmode=verify-full\nsslrootcert={emulator.ca_file}\n"
        "[remote]\nhost=db.example.com\nsslmode=prefer\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name)
    credential = identity.ManagedIdentityCredential()
    assert driver.who("postgresql://", credential, service="mine") == "said"
    assert resources(emulator) == [DATABASE]
    with pytest.raises(errors.InsecureTransportError):
        driver.who("postgresql://", credential, service="remote")
    monkeypatch.setenv("PGSERVICE", "remote")
    with pytest.raises(errors.InsecureTransportError):
        driver.who("postgresql://", credential)


@pytest.mark.parametrize("kind", [identity.ManagedIdentityCredential, azure.identity.aio.ManagedIdentityCredential])
def test_a_hundred_tasks(emulator: Emulator, kind: Any) -> None:
    from tests.support import drivers as ways

    async def main(way: Any) -> None:
        credential = kind()
        url = emulator.dsn
        users = await asyncio.gather(*(way(url, credential) for _ in range(100)))
        assert set(users) == {emulator.identity.role}
        if closing := credential.close():
            await closing

    for run, way in (
        (ways.run_on_selector_loop, ways.psycopg3_async),
        (asyncio.run, ways.asyncpg),
        (asyncio.run, ways.asyncpg_engine),
    ):
        emulator.reset_counters()
        run(main(way))
        assert len(emulator.token_requests) == 1
        assert len(emulator.logins) == 100


def test_settings_of_the_outside_world_are_hidden() -> None:
    """What the table above rests on."""
    assert "PGUSER" not in os.environ
    assert core.AZURE_DB_FOR_POSTGRES_SCOPE.startswith(DATABASE)
