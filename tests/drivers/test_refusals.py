"""Logins that the server refuses: once more with a new token where the old one may be to blame, and never in a loop."""

from __future__ import annotations

import gc
import socket
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable

import psycopg
import pytest
from azure_postgresql_auth import asyncpg, identity, psycopg2, psycopg3
from azure_postgresql_auth._engine.refusal import is_refusal
from azure_postgresql_auth.errors import EntraConnectionValueError
from psycopg2 import OperationalError
from psycopg2 import connect as driver_connect

from tests.support.credentials import Token
from tests.support.drivers import run_on_selector_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.drivers import Driver

ROLE = "emulator-identity"


@pytest.fixture
def credential(emulator: Emulator) -> identity.ManagedIdentityCredential:
    return identity.ManagedIdentityCredential()


def requests(emulator: Emulator) -> int:
    return len(emulator.token_requests)


def skip_if_the_driver_connects_later(driver: Driver) -> None:
    if driver.name == "psycopg2-async":
        pytest.skip("its connection is made by whoever polls it")


def test_a_revoked_token_is_replaced(driver: Driver, emulator: Emulator, credential: Any) -> None:
    skip_if_the_driver_connects_later(driver)
    url = driver.on(emulator)
    assert driver.who(url, credential) == ROLE
    for _ in range(2):
        asked, tried = requests(emulator), len(emulator.logins)
        emulator.revoke(ROLE)
        assert driver.who(url, credential) == ROLE
        assert [login.accepted for login in emulator.logins[tried:]] == [False, True]
        assert requests(emulator) == asked + 1


def hinted(error: BaseException) -> str:
    """Return the text of an error and of its causes, with their notes."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        texts += [str(link), *getattr(link, "__notes__", ())]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


def test_a_refusal_says_what_to_do(driver: Driver, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    skip_if_the_driver_connects_later(driver)
    for user, hint in (
        ("nobody", 'The token names "emulator-identity"; without a user, that is the role.'),
        ("Emulator-Identity", 'case-sensitive, and the token names "emulator-identity"'),
    ):
        with pytest.raises(Exception, match=f'"{user}"') as raised:
            driver.who(driver.on(emulator), identity.ManagedIdentityCredential(), user=user)
        # Before Python 3.11, the hint is in the driver's text, which SQLAlchemy repeats for all drivers but asyncpg.
        repeated = driver.name.startswith("sqlalchemy+") and "asyncpg" not in driver.name
        assert hinted(raised.value).count(hint) == (2 if repeated and sys.version_info < (3, 11) else 1)
        # A pool reports its own timeout.
        assert hint in caplog.text


def test_permanent_refusal_costs_one_more_attempt(driver: Driver, emulator: Emulator, credential: Any) -> None:
    skip_if_the_driver_connects_later(driver)
    assert driver.who(driver.on(emulator), credential) == ROLE
    asked, tried = requests(emulator), len(emulator.logins)
    for attempts in (2, 3, 4, 5):
        # The first refusal may be due to the token. Later ones are not, and no further token is requested.
        with pytest.raises(Exception, match='password authentication failed for user "nobody"'):
            driver.who(driver.on(emulator, user="nobody"), credential)
        assert len(emulator.logins) == tried + attempts
        assert requests(emulator) == asked + 1
    assert driver.who(driver.on(emulator), credential) == ROLE


def test_a_new_token_is_not_blamed(emulator: Emulator, credential: Any) -> None:
    with pytest.raises(psycopg.OperationalError, match="nobody"):
        psycopg3.EntraConnection.connect(emulator.dsn, user="nobody", credential=credential)
    assert (requests(emulator), len(emulator.logins)) == (1, 1)


def test_the_refused_token_serves_on_while_there_is_no_other(emulator: Emulator, credential: Any) -> None:
    connect = psycopg3.EntraConnection.connect
    connect(emulator.dsn, credential=credential).close()
    emulator.fail(status=400)
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "nobody"'):
        connect(emulator.dsn, user="nobody", credential=credential)
    connect(emulator.dsn, credential=credential).close()


def test_concurrent_refusals_make_one_request(emulator: Emulator, credential: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def connect(_: int) -> None:
        psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()

    connect(0)
    emulator.revoke(ROLE)
    asked = requests(emulator)
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(connect, range(10)))
    assert requests(emulator) == asked + 1


class TestOtherPeoplesCredentials:
    class Caching:
        """A credential that returns a fixed token until the test replaces it."""

        def __init__(self, token: str) -> None:
            self.token = token
            self.calls = 0

        def get_token(self, *_: str, **__: Any) -> Token:
            self.calls += 1
            return Token(self.token, time.time() + 3600)

    def test_the_same_token_is_not_sent_twice(self, emulator: Emulator) -> None:
        credential = self.Caching(emulator.token(emulator.identity))
        psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
        emulator.revoke(ROLE)
        tried = len(emulator.logins)
        with pytest.raises(psycopg.OperationalError, match="validating the access token"):
            psycopg3.EntraConnection.connect(emulator.dsn, credential=credential)
        assert len(emulator.logins) == tried + 1
        assert credential.calls == 2

    def test_another_token_is_sent(self, emulator: Emulator) -> None:
        credential = self.Caching(emulator.token(emulator.identity))
        psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()
        emulator.revoke(ROLE)
        credential.token = emulator.token(emulator.identity)
        psycopg3.EntraConnection.connect(emulator.dsn, credential=credential).close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('connection failed: FATAL:  password authentication failed for user "a"', True),
        ("FATAL:  The access token has expired. Acquire a new token and retry.", True),
        ("FATAL:  The access token does not have a valid audience claim.", True),
        ("FATAL:  An error occurred while validating the access token. Please acquire a new token.", True),
        ("FATAL:  Microsoft Entra token is not an AAD_AUTH_TOKENTYPE_APP_USER token.", True),
        ("connection to server failed: Connection refused", False),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  sorry, too many clients already", False),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "a", database "b", SSL encryption', False),
        ('FATAL:  database "access" does not exist', False),
        ("server closed the connection unexpectedly", False),
        ("", False),
    ],
)
def test_what_counts_as_a_refusal(text: str, expected: bool) -> None:  # noqa: FBT001
    assert is_refusal(Exception(text)) is expected
    assert is_refusal(Exception({"S": "FATAL", "C": "XX000", "M": text})) is expected


def test_a_failed_connection_keeps_no_token(emulator: Emulator, credential: Any, tmp_path: Path) -> None:
    """No reference cycles are created, which would live until a garbage collection. psycopg2 creates none itself."""
    gc.collect()
    gc.disable()
    try:
        try:
            psycopg2.EntraConnection(host=str(tmp_path), dbname="x", credential=credential)
        except OperationalError as error:
            failed = weakref.ref(error)
        assert failed() is None
    finally:
        gc.enable()
    assert requests(emulator) == 1


def test_a_login_without_a_token_creates_no_reference_cycle(emulator: Emulator) -> None:
    """Such a cycle would keep what the frames of the login refer to."""
    emulator.fail(400)
    url, credential = emulator.dsn, identity.ManagedIdentityCredential()

    def fail(connect: Callable[..., object]) -> None:
        failed = None
        try:
            connect(url, credential=credential)
        except EntraConnectionValueError as error:
            failed = weakref.ref(error)
        assert failed is not None
        assert failed() is None, connect

    async def fail_async(connect: Callable[..., Awaitable[object]]) -> None:
        failed = None
        try:
            await connect(url, credential=credential)
        except EntraConnectionValueError as error:
            failed = weakref.ref(error)
        assert failed is not None
        assert failed() is None, connect

    async def all_async() -> None:
        await fail_async(psycopg3.AsyncEntraConnection.connect)
        await fail_async(asyncpg.connect)

    gc.collect()
    gc.disable()
    try:
        fail(psycopg3.EntraConnection.connect)
        fail(psycopg2.EntraConnection.connect)
        run_on_selector_loop(all_async())
    finally:
        gc.enable()


class EverNew:
    """A credential whose tokens live for ten seconds and take a second to come, each another one."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._count = 0

    def get_token(self, *_: str, **__: Any) -> Token:
        time.sleep(1)
        self._count += 1
        return Token(self._emulator.token(ROLE, lifetime=10 + self._count), time.time() + 10)


@pytest.mark.parametrize("way", ["class", "connect", "factory", "pool"])
def test_psycopg2_reports_the_second_refusal_in_its_own_terms(way: str, emulator: Emulator) -> None:
    """Even where yet another token has come by then."""
    from functools import partial

    from psycopg2.pool import ThreadedConnectionPool

    credential = EverNew(emulator)
    entra: Any = partial(psycopg2.EntraConnection, credential=credential)
    entra(emulator.dsn).close()
    dsn = f"{emulator.dsn}&user=nobody" if "?" in emulator.dsn else f"{emulator.dsn}?user=nobody"
    ways: dict[str, Any] = {
        "class": lambda: entra(dsn),
        "connect": lambda: psycopg2.EntraConnection.connect(dsn, credential=credential),
        "factory": lambda: driver_connect(dsn, connection_factory=entra),
        "pool": lambda: ThreadedConnectionPool(1, 1, dsn, connection_factory=entra),
    }
    # Half of its life is over: the token is in use, and the next one on its way.
    time.sleep(5)
    tried = len(emulator.logins)
    with pytest.raises(OperationalError, match='password authentication failed for user "nobody"') as raised:
        ways[way]()
    assert type(raised.value) is OperationalError
    assert not any(callable(argument) for argument in raised.value.args)
    assert len(emulator.logins) == tried + 2


@pytest.mark.parametrize("kind", ["LogicalReplicationConnection", "PhysicalReplicationConnection"])
def test_psycopg2s_replication_connections_log_in(kind: str, emulator: Emulator, credential: object) -> None:
    from psycopg2 import extras

    replication: Any = type("Replication", (psycopg2.EntraConnection, getattr(extras, kind)), {})
    tried = len(emulator.logins)
    try:
        connection = replication(emulator.dsn, credential=credential)
    except OperationalError as error:
        # The role may not replicate, which the server reports after it has accepted the token.
        assert "replication" in str(error) or "REPLICATION" in str(error)  # noqa: PT017
    else:
        cursor = connection.cursor()
        cursor.execute("IDENTIFY_SYSTEM")
        assert cursor.fetchone()
        connection.close()
    assert [login.accepted for login in emulator.logins[tried:]] == [True]


def test_an_unreachable_server_is_named(driver: Driver, emulator: Emulator) -> None:
    skip_if_the_driver_connects_later(driver)
    if sys.version_info < (3, 11) and "asyncpg" in driver.name:
        pytest.skip("Python has no notes, and asyncpg's error does not name it")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each driver has its own
        driver.who(driver.on(emulator).replace(f":{emulator.port}", f":{port}"))
    said = hinted(raised.value)
    assert "localhost" in said or "127.0.0.1" in said
    assert str(port) in said
