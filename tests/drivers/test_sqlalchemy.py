"""SQLAlchemy's own ways: pools, the ORM, events, URLs, what leaves an engine."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy.exc
from azure_postgresql_auth import errors, identity
from azure_postgresql_auth.psycopg3 import EntraConnection
from azure_postgresql_auth.sqlalchemy import (
    _engine_login,
    create_asyncpg_engine,
    enable_entra_authentication,
    enable_entra_authentication_async,
)
from sqlalchemy import Engine, NullPool, StaticPool, create_engine, event, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.support.credentials import SyncCredential, make_token
from tests.support.drivers import run_on_selector_loop

if TYPE_CHECKING:
    from azure_postgresql_auth.emulator import Emulator
    from sqlalchemy.ext.asyncio import AsyncEngine

WHO = text("SELECT session_user")
PID = text("SELECT pg_backend_pid()")


def url(emulator: Emulator, driver: str = "psycopg") -> Any:
    return make_url(emulator.dsn).set(drivername=f"postgresql+{driver}")


@pytest.fixture
def credential(emulator: Emulator) -> identity.ManagedIdentityCredential:
    return identity.ManagedIdentityCredential()


def who(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(WHO).scalar())


def test_a_pool_opens_connections_with_tokens_of_their_time(emulator: Emulator, credential: Any) -> None:
    emulator.lifetime = 3
    engine = create_engine(url(emulator), pool_size=5, pool_pre_ping=True, connect_args={"credential": credential})
    enable_entra_authentication(engine)
    tokens = set()
    for _ in range(3):
        assert who(engine) == emulator.identity.role
        engine.dispose()
        tokens.add(credential.get_token("https://ossrdbms-aad.database.windows.net/.default").token)
        threading.Event().wait(3.1)
    assert all(login.accepted for login in emulator.logins)
    assert len(emulator.logins) == 3
    assert len(tokens) > 1


def test_arguments_are_not_changed(emulator: Emulator, credential: Any) -> None:
    arguments = {"credential": credential, "application_name": "test"}
    engine = create_engine(url(emulator), poolclass=NullPool, connect_args=arguments)
    enable_entra_authentication(engine)
    for _ in range(3):
        assert who(engine) == emulator.identity.role
    assert arguments == {"credential": credential, "application_name": "test"}
    assert len(emulator.token_requests) == 1


def test_connect_args_win_and_all_keywords_are_ours(emulator: Emulator, credential: Any) -> None:
    engine = create_engine(
        url(emulator),
        poolclass=NullPool,
        connect_args={"credential": credential, "scope": "https://ossrdbms-aad.database.usgovcloudapi.net/.default"},
    )
    enable_entra_authentication(engine, SyncCredential(make_token(upn="never")), scope="never")
    assert who(engine) == emulator.identity.role
    assert emulator.token_requests[0].resource == "https://ossrdbms-aad.database.usgovcloudapi.net"


def test_pre_ping_replaces_a_connection_that_the_server_ended(emulator: Emulator, credential: Any) -> None:
    engine = create_engine(url(emulator), pool_pre_ping=True)
    enable_entra_authentication(engine, credential)
    with engine.connect() as connection:
        first = connection.execute(PID).scalar()
    emulator.sql(f"SELECT pg_terminate_backend({first}, 5000)")
    with engine.connect() as connection:
        assert connection.execute(PID).scalar() != first
    engine.dispose()


def test_an_engine_shared_by_threads(emulator: Emulator, credential: Any) -> None:
    engine = create_engine(url(emulator), pool_size=10, max_overflow=10)
    enable_entra_authentication(engine, credential)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(who(engine))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert found == [emulator.identity.role] * 20
    assert len(emulator.token_requests) == 1


def test_the_orm_and_alembics_static_pool(emulator: Emulator, credential: Any) -> None:
    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "notes_of_a_test"
        id: Mapped[int] = mapped_column(primary_key=True)
        words: Mapped[str]

    engine = create_engine(url(emulator), poolclass=StaticPool)
    enable_entra_authentication(engine, credential)
    Base.metadata.create_all(engine)
    try:
        with Session(engine) as session:
            session.add(Note(words="a"))
            session.commit()
            assert session.scalars(select(Note.words)).all() == ["a"]
    finally:
        Base.metadata.drop_all(engine)
        engine.dispose()


def test_a_creator_of_the_callers_own(emulator: Emulator, credential: Any) -> None:
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        creator=lambda: EntraConnection.connect(emulator.dsn, credential=credential),
    )
    assert who(engine) == emulator.identity.role


def test_what_leaves_an_engine(emulator: Emulator) -> None:
    bad = SyncCredential(make_token(upn="x"))
    bad.error = LookupError("not signed in")
    engine = create_engine(url(emulator))
    enable_entra_authentication(engine, bad)
    with pytest.raises(sqlalchemy.exc.OperationalError, match="not signed in") as raised:
        engine.connect()
    assert isinstance(raised.value, errors.EntraConnectionValueError)
    assert raised.value.__cause__ is bad.error
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - our own
    assert (type(again), str(again)) == (type(raised.value), str(raised.value))
    # The pool has lost nothing by it.
    bad.error, bad.token = None, emulator.token(emulator.identity)
    assert who(engine) == emulator.identity.role
    engine.dispose()


@pytest.mark.parametrize("sslmode", ["verify-full", "disable"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000", "psycopg_async", "asyncpg"])
def test_an_error_has_one_of_the_driver_as_orig(driver: str, sslmode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read the attributes that the driver's errors have, such as `error.orig.pgcode`."""
    monkeypatch.setenv("PGSSLMODE", sslmode)
    bad = SyncCredential(make_token(upn="x"))
    bad.error = LookupError("not signed in")
    is_async = driver in {"psycopg_async", "asyncpg"}
    engine: Any = (create_async_engine if is_async else create_engine)(f"postgresql+{driver}://db.example.com/x")
    enable_entra_authentication(engine, bad)
    with pytest.raises(sqlalchemy.exc.OperationalError) as raised:
        run_on_selector_loop(engine.connect().start()) if is_async else engine.connect()
    assert isinstance(raised.value.orig, engine.dialect.dbapi.OperationalError)
    assert str(raised.value.orig) == str(raised.value)
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - our own
    assert type(again.orig) is type(raised.value.orig)
    assert (str(again.orig), again.report) == (str(raised.value.orig), raised.value.report)  # type: ignore[attr-defined]


@pytest.mark.parametrize("enable", [enable_entra_authentication, enable_entra_authentication_async])
def test_either_function_takes_either_kind_of_engine(enable: Any, emulator: Emulator, credential: Any) -> None:
    async def ask(engine: AsyncEngine) -> str:
        async with engine.connect() as connection:
            found = str((await connection.execute(WHO)).scalar())
        await engine.dispose()
        return found

    synchronous, asynchronous = create_engine(url(emulator)), create_async_engine(url(emulator, "asyncpg"))
    for engine in (synchronous, asynchronous):
        enable(engine, credential)
    assert who(synchronous) == asyncio.run(ask(asynchronous)) == emulator.identity.role
    synchronous.dispose()


def test_what_is_no_engine_for_it() -> None:
    with pytest.raises(TypeError, match="engine is required to be an Engine, .* not str"):
        enable_entra_authentication("postgresql://")  # type: ignore[arg-type]
    with pytest.raises(sqlalchemy.exc.ArgumentError, match=r"not supported for sqlite\+pysqlite, only for postgresql"):
        enable_entra_authentication(create_engine("sqlite://"))


def test_every_engine_gets_its_listener(emulator: Emulator) -> None:
    """SQLAlchemy's registry of listeners goes by ids, which engines that are gone leave to others."""
    for _ in range(200):
        engine = create_engine(url(emulator))
        for _again in range(2):
            enable_entra_authentication(engine)
        assert list(engine.dialect.dispatch.do_connect) == [_engine_login.open_connection]


def test_a_second_call_replaces_the_first(emulator: Emulator, credential: Any) -> None:
    engine = create_engine(url(emulator), poolclass=NullPool)
    enable_entra_authentication(engine, "never")
    enable_entra_authentication(engine, credential)
    assert who(engine) == emulator.identity.role
    other = emulator.add_identity("another")
    enable_entra_authentication(engine, SyncCredential(emulator.token(other)))
    assert who(engine) == "another"
    # `execution_options` makes an engine on the same dialect.
    assert who(engine.execution_options(isolation_level="AUTOCOMMIT")) == "another"


@pytest.mark.parametrize("is_first", [True, False])
def test_other_listeners_run_before_ours(emulator: Emulator, credential: Any, is_first: object) -> None:
    engine = create_engine(url(emulator), poolclass=NullPool)
    told: list[dict[str, Any]] = []

    def name_it(_: object, __: object, ___: object, parameters: dict[str, Any]) -> None:
        told.append(dict(parameters))
        parameters["application_name"] = "listener"

    if is_first:
        event.listen(engine, "do_connect", name_it)
    enable_entra_authentication(engine, credential)
    if not is_first:
        event.listen(engine, "do_connect", name_it)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == "listener"
    assert len(told) == 1
    assert "password" not in told[0]


def test_a_listener_that_connects_prevents_the_login(emulator: Emulator, credential: Any) -> None:
    engine = create_engine(url(emulator), poolclass=NullPool)
    enable_entra_authentication(engine, SyncCredential(make_token(upn="never")))
    event.listen(engine, "do_connect", lambda *_: EntraConnection.connect(emulator.dsn, credential=credential))
    assert who(engine) == emulator.identity.role


ALL_ENGINES = """
import sys, time
from types import SimpleNamespace

from azure_postgresql_auth.sqlalchemy import enable_entra_authentication
from sqlalchemy import Engine, NullPool, create_engine, text

url, role, token = sys.argv[1:]

class Own:
    def get_token(self, *_):
        return SimpleNamespace(token=token, expires_on=time.time() + 60)

def who(engine):
    with engine.connect() as connection:
        return connection.execute(text("SELECT session_user")).scalar()

enable_entra_authentication(Engine)
engine = create_engine(url, poolclass=NullPool)
assert who(engine) == role
with create_engine("sqlite://").connect() as connection:
    assert connection.execute(text("SELECT 1")).scalar() == 1
# An engine's own settings take precedence, in either order.
enable_entra_authentication(engine, Own())
enable_entra_authentication(Engine, "never")
assert who(engine) == "own"
"""


def test_all_engines_of_a_process(emulator: Emulator) -> None:
    """Runs in its own process, because the call cannot be undone."""
    own = emulator.token(emulator.add_identity("own"))
    place = url(emulator).render_as_string(hide_password=False)
    command = [sys.executable, "-c", ALL_ENGINES, place, emulator.identity.role, own]
    done = subprocess.run(command, env={**os.environ, **emulator.env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"allow_insecure_transport": "true"}, "allow_insecure_transport cannot be set in a URL"),
        ({"scope": "https://management.azure.com/.default"}, "is not a scope of Azure Database for PostgreSQL"),
    ],
)
def test_a_url_sets_no_keyword_of_ours(
    emulator: Emulator, credential: Any, setting: dict[str, str], message: str
) -> None:
    engine = create_engine(url(emulator).update_query_dict(setting))
    enable_entra_authentication(engine, credential)
    with pytest.raises(sqlalchemy.exc.OperationalError, match=message):
        engine.connect()
    assert not emulator.token_requests


class TestAsyncpgEngine:
    def test_url_queries_are_understood(self, emulator: Emulator, credential: Any) -> None:
        async def ask() -> str:
            engine = create_asyncpg_engine(
                url(emulator, "asyncpg").update_query_dict({"prepared_statement_cache_size": "7"}), credential
            )
            try:
                async with engine.connect() as connection:
                    raw: Any = await connection.get_raw_connection()
                    # SQLAlchemy's own, which shows nowhere else: asyncpg has a cache as well.
                    assert raw.dbapi_connection._prepared_statement_cache.capacity == 7  # noqa: SLF001
                    assert emulator.logins[-1].tls_version.startswith("TLSv1.")
                    return str((await connection.execute(WHO)).scalar())
            finally:
                await engine.dispose()

        assert asyncio.run(ask()) == emulator.identity.role

    def test_other_urls(self, emulator: Emulator) -> None:
        assert create_asyncpg_engine(make_url(emulator.dsn)).dialect.driver == "asyncpg"
        with pytest.raises(ValueError, match=r"needs a postgresql\+asyncpg URL, not postgresql\+psycopg"):
            create_asyncpg_engine(url(emulator))

    def test_a_bad_credential_is_refused_at_once(self, emulator: Emulator) -> None:
        with pytest.raises(errors.CredentialValueError, match=r"^credential is required"):
            create_asyncpg_engine(url(emulator, "asyncpg"), "text")

    def test_a_token_is_awaited_while_the_loop_runs(self, emulator: Emulator) -> None:
        credential = SyncCredential(emulator.token(emulator.identity), held=True)

        async def ask() -> None:
            engine = create_asyncpg_engine(url(emulator, "asyncpg"), credential, poolclass=NullPool)

            async def connect() -> str:
                async with engine.connect() as connection:
                    return str((await connection.execute(WHO)).scalar())

            asked = [asyncio.ensure_future(connect()) for _ in range(5)]
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert not any(task.done() for task in asked)
            credential.released.set()
            assert set(await asyncio.gather(*asked)) == {emulator.identity.role}

        asyncio.run(ask())
        assert len(credential.calls) == 1
