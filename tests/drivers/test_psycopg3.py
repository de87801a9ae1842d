"""psycopg 3 and its pools, to a real PostgreSQL behind the emulator's front door."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import azure.identity
import azure.identity.aio
import psycopg
import pytest
from azure_postgresql_auth import errors, identity
from azure_postgresql_auth.psycopg3 import AsyncEntraConnection, EntraConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from tests.support.credentials import AsyncCredential, SyncCredential, make_token
from tests.support.drivers import run_on_selector_loop

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator

WHO = "SELECT session_user"


def sync_user(conninfo: str = "", **keywords: Any) -> str:
    with EntraConnection.connect(conninfo, **keywords) as connection:
        return str(connection.execute(WHO).fetchone()[0])  # type: ignore[index]


def async_user(conninfo: str = "", **keywords: Any) -> str:
    async def ask() -> str:
        async with await AsyncEntraConnection.connect(conninfo, **keywords) as connection:
            cursor = await connection.execute(WHO)
            return str((await cursor.fetchone())[0])  # type: ignore[index]

    return run_on_selector_loop(ask())


@pytest.fixture(params=[sync_user, async_user], ids=["sync", "async"])
def user(request: pytest.FixtureRequest) -> Any:
    """Log in with `connect(conninfo, **keywords)`, and return the user."""
    return request.param


@pytest.fixture
def credential(emulator: Emulator) -> identity.ManagedIdentityCredential:
    return identity.ManagedIdentityCredential()


class TestConnect:
    def test_encrypted_and_as_the_identity(self, emulator: Emulator, credential: Any) -> None:
        with EntraConnection.connect(emulator.dsn, credential=credential) as connection:
            assert isinstance(connection, EntraConnection)
            assert connection.info.user == emulator.identity.role
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert [login.accepted for login in emulator.logins] == [True]

    def test_the_environment_alone(self, emulator: Emulator, user: Any, credential: Any) -> None:
        assert user(credential=credential) == emulator.identity.role

    def test_keywords_of_psycopg(self, emulator: Emulator, credential: Any) -> None:
        with EntraConnection.connect(
            host="localhost", dbname="postgres", autocommit=True, row_factory=dict_row, credential=credential
        ) as connection:
            assert connection.autocommit
            row: Any = connection.execute("SELECT 1 AS one").fetchone()
            assert row == {"one": 1}
        assert emulator.logins

    def test_no_credential_named(self, emulator: Emulator, user: Any) -> None:
        emulator.add_identity("implicit")
        assert user(emulator.dsn, user=emulator.identity.role) == emulator.identity.role

    def test_azure_identity(self, emulator: Emulator, user: Any) -> None:
        with azure.identity.ManagedIdentityCredential() as official:
            for _ in range(3):
                assert user(emulator.dsn, credential=official) == emulator.identity.role
        assert len(emulator.token_requests) == 1

    def test_azure_identity_aio(self, emulator: Emulator) -> None:
        async def ask() -> None:
            async with azure.identity.aio.ManagedIdentityCredential() as official:
                for _ in range(3):
                    async with await AsyncEntraConnection.connect(emulator.dsn, credential=official) as connection:
                        assert connection.info.user == emulator.identity.role

        run_on_selector_loop(ask())
        assert len(emulator.token_requests) == 1

    def test_one_object_serves_sync_and_async_and_several_loops(self, emulator: Emulator, credential: Any) -> None:
        for ask in (sync_user, async_user, async_user, sync_user):
            assert ask(emulator.dsn, credential=credential) == emulator.identity.role
        assert len(emulator.token_requests) == 1

    def test_a_connection_outlives_its_token(self, emulator: Emulator, credential: Any) -> None:
        emulator.lifetime = 1
        with EntraConnection.connect(emulator.dsn, credential=credential) as connection:
            time.sleep(1.2)
            assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_invalid_conninfo_is_psycopgs_business(self, user: Any) -> None:
        with pytest.raises(psycopg.ProgrammingError):
            user("nonsense")


class TestWho:
    def says(self, emulator: Emulator, ask: Any, *arguments: Any, **keywords: Any) -> None:
        """Check that the caller's user is sent unchanged, and that the token's claims are not read."""
        emulator.add_identity("unnamed", "service-principal", role="said", default=True)
        credential = identity.ManagedIdentityCredential()
        assert ask(*arguments, credential=credential, **keywords) == "said"
        assert len(emulator.token_requests) == 1

    def test_keyword(self, emulator: Emulator, user: Any) -> None:
        self.says(emulator, user, emulator.dsn, user="said")

    def test_conninfo(self, emulator: Emulator, user: Any) -> None:
        self.says(emulator, user, "user=said")

    def test_url(self, emulator: Emulator, user: Any) -> None:
        self.says(emulator, user, emulator.dsn.replace("//", "//said@"))

    def test_pguser(self, emulator: Emulator, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGUSER", "said")
        self.says(emulator, user, emulator.dsn)

    def test_keyword_over_conninfo_over_environment(
        self, emulator: Emulator, user: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGUSER", "environment")
        self.says(emulator, user, "user=conninfo", user="said")
        with pytest.raises(psycopg.OperationalError, match='"conninfo"'):
            user("user=conninfo", credential=identity.ManagedIdentityCredential())

    @pytest.mark.parametrize("how", ["keyword", "conninfo", "url"])
    def test_user_and_password_need_no_token(self, emulator: Emulator, user: Any, how: str) -> None:
        arguments: dict[str, Any] = {
            "keyword": {"conninfo": emulator.dsn, "user": "a", "password": "b"},
            "conninfo": {"conninfo": "user=a password=b"},
            "url": {"conninfo": emulator.dsn.replace("//", "//a:b@")},
        }[how]
        credential = SyncCredential(make_token(upn="x"))
        with pytest.raises(psycopg.OperationalError):
            user(**arguments, credential=credential)
        assert emulator.logins[-1].role == "a"
        assert credential.calls == []

    def test_empty_values_count_as_not_given(self, emulator: Emulator, user: Any, credential: Any) -> None:
        assert user(emulator.dsn, credential=credential, user="", password="") == emulator.identity.role
        assert user(emulator.dsn, credential=credential, user=None, password=None) == emulator.identity.role

    def test_a_password_alone_is_replaced_by_a_token(self, emulator: Emulator, user: Any, credential: Any) -> None:
        assert user(emulator.dsn, credential=credential, password="old") == emulator.identity.role

    def test_group(self, emulator: Emulator, user: Any, credential: Any) -> None:
        emulator.add_group("developers", members=[emulator.identity])
        assert user(emulator.dsn, user="developers", credential=credential) == "developers"

    def test_guest(self, emulator: Emulator, user: Any) -> None:
        name = "ada_gmail.com#EXT#@contoso.onmicrosoft.com"
        guest = emulator.add_identity(name, "user")
        assert user(emulator.dsn, credential=SyncCredential(emulator.token(guest))) == name

    def test_opaque_token_with_user(self, emulator: Emulator, user: Any) -> None:
        with pytest.raises(psycopg.OperationalError, match="invalid format"):
            user(emulator.dsn, user="x", credential=SyncCredential("opaque"))


class TestOneRequest:
    @pytest.mark.parametrize("kind", [identity.ManagedIdentityCredential, azure.identity.ManagedIdentityCredential])
    def test_a_hundred_threads(self, emulator: Emulator, kind: Any) -> None:
        credential = kind()
        barrier = threading.Barrier(100)

        def connect(_: int) -> str:
            barrier.wait()
            return sync_user(emulator.dsn, credential=credential)

        with ThreadPoolExecutor(100) as pool:
            assert set(pool.map(connect, range(100))) == {emulator.identity.role}
        assert len(emulator.token_requests) == 1
        assert len(emulator.logins) == 100

    @pytest.mark.parametrize(
        "kind",
        [
            identity.ManagedIdentityCredential,
            azure.identity.ManagedIdentityCredential,
            azure.identity.aio.ManagedIdentityCredential,
        ],
    )
    def test_a_hundred_tasks(self, emulator: Emulator, kind: Any) -> None:
        async def connect(credential: Any) -> None:
            async with await AsyncEntraConnection.connect(emulator.dsn, credential=credential) as connection:
                assert connection.info.user == emulator.identity.role

        async def ask() -> None:
            credential = kind()
            await asyncio.gather(*(connect(credential) for _ in range(100)))
            if closing := credential.close():
                await closing

        run_on_selector_loop(ask())
        assert len(emulator.token_requests) == 1
        assert len(emulator.logins) == 100


class TestPools:
    LIFETIME = 2
    SECONDS = 5

    def test_churn_while_tokens_expire(self, emulator: Emulator, credential: Any) -> None:
        emulator.lifetime = self.LIFETIME
        failures = []
        with ConnectionPool(
            emulator.dsn,
            connection_class=EntraConnection,
            kwargs={"credential": credential},
            min_size=1,
            max_size=5,
            # Every connection is used once: each use is a login.
            max_lifetime=0.001,
        ) as pool:
            end = time.monotonic() + self.SECONDS

            def work() -> None:
                while time.monotonic() < end:
                    try:
                        with pool.connection(timeout=10) as connection:
                            assert connection.execute(WHO).fetchone() == (emulator.identity.role,)
                    except Exception as error:  # noqa: BLE001 - told below
                        failures.append(error)

            threads = [threading.Thread(target=work) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.check(emulator, failures)

    def test_churn_async(self, emulator: Emulator, credential: Any) -> None:
        emulator.lifetime = self.LIFETIME
        failures: list[Exception] = []

        async def work(pool: AsyncConnectionPool[Any], end: float) -> None:
            while time.monotonic() < end:
                try:
                    async with pool.connection(timeout=10) as connection:
                        cursor = await connection.execute(WHO)
                        assert await cursor.fetchone() == (emulator.identity.role,)
                except Exception as error:  # noqa: BLE001 - told below
                    failures.append(error)

        async def ask() -> None:
            async with AsyncConnectionPool(
                emulator.dsn,
                connection_class=AsyncEntraConnection,
                kwargs={"credential": credential},
                min_size=1,
                max_size=5,
                max_lifetime=0.001,
            ) as pool:
                end = time.monotonic() + self.SECONDS
                await asyncio.gather(*(work(pool, end) for _ in range(5)))

        run_on_selector_loop(ask())
        self.check(emulator, failures)

    def check(self, emulator: Emulator, failures: list[Exception]) -> None:
        assert failures == []
        # On a busy machine a token may expire on its way to the server; the same call then tries again unnoticed.
        refused = [login.message for login in emulator.logins if not login.accepted]
        assert all("has expired" in message for message in refused), refused
        assert len(refused) <= len(emulator.logins) // 10
        assert len(emulator.logins) > 20, "no churn"
        # A token with a lifetime of 2 s is renewed about once a second, however many logins there are.
        assert 3 <= len(emulator.token_requests) <= 8

    def test_a_pool_treats_it_as_a_failed_connection(self, emulator: Emulator) -> None:
        credential = SyncCredential(make_token(oid="1"))
        with ConnectionPool(
            emulator.dsn, connection_class=EntraConnection, kwargs={"credential": credential}, min_size=1, open=False
        ) as pool:
            with pytest.raises(PoolTimeout):
                pool.wait(0.3)
            credential.token = emulator.token(emulator.identity)
            credential.lifetime = 100


class TestErrors:
    def test_wrong_credential(self, emulator: Emulator, user: Any) -> None:
        for bad in ("text", object()):
            with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
                user(emulator.dsn, credential=bad)
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
            sync_user(emulator.dsn, credential=AsyncCredential(make_token(upn="a")))
        assert emulator.logins == []

    @pytest.mark.parametrize("error", [LookupError("not signed in"), LookupError(), errors.TokenDecodeError("x")])
    def test_any_failure_of_a_credential(self, emulator: Emulator, user: Any, error: Exception) -> None:
        credential = SyncCredential(make_token(upn="a"))
        credential.error = error
        with pytest.raises(
            errors.EntraConnectionValueError, match=r"^Could not retrieve Entra credentials: "
        ) as raised:
            user(emulator.dsn, credential=credential)
        assert isinstance(raised.value, psycopg.OperationalError)
        assert raised.value.__cause__ is error
        assert (str(error) or type(error).__name__) in str(raised.value)

    @pytest.mark.parametrize(
        ("token", "cause", "text"),
        [
            ("opaque", errors.TokenDecodeError, "Invalid JWT token format"),
            (make_token(oid="1"), errors.UsernameExtractionError, "user="),
        ],
    )
    def test_tokens_without_a_name(
        self, emulator: Emulator, user: Any, token: str, cause: type[Exception], text: str
    ) -> None:
        with pytest.raises(
            errors.EntraConnectionValueError, match=r"^Could not retrieve Entra credentials: "
        ) as raised:
            user(emulator.dsn, credential=SyncCredential(token))
        assert isinstance(raised.value, psycopg.OperationalError)
        assert isinstance(raised.value.__cause__, cause)
        assert text in str(raised.value)

    def test_native(self, emulator: Emulator, user: Any) -> None:
        emulator.fail(400, body="{}")
        with pytest.raises(psycopg.OperationalError) as raised:
            user(emulator.dsn, credential=identity.ManagedIdentityCredential())
        assert isinstance(raised.value, errors.EntraConnectionValueError)
        assert str(raised.value).count("Could not retrieve Entra credentials") == 1

    def test_what_the_server_says_comes_through_untouched(self, emulator: Emulator, user: Any, credential: Any) -> None:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed for user") as raised:
            user(emulator.dsn, user="nobody", credential=credential)
        assert type(raised.value) is psycopg.OperationalError
        assert raised.value.__cause__ is None

    def test_the_wait_for_a_token_ends_with_connect_timeout(self, emulator: Emulator, user: Any) -> None:
        credential = SyncCredential(make_token(upn="a"), held=True)
        try:
            with pytest.raises(errors.EntraConnectionValueError, match="no token within 1 s"):
                user(emulator.dsn, credential=credential, connect_timeout=1)
        finally:
            credential.released.set()


@pytest.mark.skipif(sys.platform != "win32", reason="a rule of psycopg's for Windows' usual event loop")
def test_a_proactor_loop_is_refused_in_psycopgs_words(emulator: Emulator) -> None:
    loop = asyncio.ProactorEventLoop()  # type: ignore[attr-defined]
    try:
        with pytest.raises(psycopg.InterfaceError, match="ProactorEventLoop"):
            loop.run_until_complete(AsyncEntraConnection.connect(emulator.dsn))
    finally:
        loop.close()
