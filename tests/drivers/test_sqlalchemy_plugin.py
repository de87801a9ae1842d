"""SQLAlchemy's engine plugin: logins by URL alone, and URLs that try to get hold of a token."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import itertools
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import pg8000.dbapi  # type: ignore[import-untyped]
import psycopg
import pytest
import sqlalchemy.exc
from azure_postgresql_auth import _plugin_hosts, errors, identity, tls
from azure_postgresql_auth.sqlalchemy import EntraPlugin, _plugin, _url_rules, enable_entra_authentication
from sqlalchemy import NullPool, create_engine, engine_from_config, make_url, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.ext.asyncio import async_engine_from_config, create_async_engine

from tests.support.credentials import SyncCredential, make_token
from tests.support.drivers import AZURE, run_on_selector_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator

WHO = text("SELECT session_user")
SYNCHRONOUS = ["psycopg", "psycopg2", "pg8000"]
ASYNCHRONOUS = ["psycopg", "psycopg_async", "asyncpg"]
# Before Python 3.10, they were in a dictionary.
NO_ENTRY_POINTS = "import importlib.metadata as m; m.entry_points = lambda **_: getattr(m, 'EntryPoints', dict)()"
EVERY = ["psycopg", "psycopg2", "pg8000", "asyncpg"]


def url(emulator: Emulator, driver: str, query: str = "plugin=entra") -> str:
    return f"postgresql+{driver}://{emulator.host}:{emulator.port}/postgres?{query}"


def who(engine: Any) -> str:
    with engine.connect() as connection:
        found = str(connection.execute(WHO).scalar())
    engine.dispose()
    return found


def who_async(engine: Any) -> str:
    async def ask() -> str:
        async with engine.connect() as connection:
            found = str((await connection.execute(WHO)).scalar())
        await engine.dispose()
        return found

    return run_on_selector_loop(ask())


@pytest.fixture(autouse=True)
def _new_credentials() -> Iterator[None]:
    """Give each test credentials that have no tokens yet: the module keeps them for its process."""
    importlib.reload(_plugin)
    yield
    importlib.reload(_plugin)


class TestLogins:
    @pytest.mark.parametrize("driver", SYNCHRONOUS)
    def test_by_url_alone(self, emulator: Emulator, driver: str) -> None:
        assert who(create_engine(url(emulator, driver))) == emulator.identity.role
        configuration = {"sqlalchemy.url": url(emulator, driver), "sqlalchemy.pool_pre_ping": "true"}
        assert who(engine_from_config(configuration)) == emulator.identity.role

    @pytest.mark.parametrize("driver", ASYNCHRONOUS)
    def test_by_url_alone_on_an_event_loop(self, emulator: Emulator, driver: str) -> None:
        assert who_async(create_async_engine(url(emulator, driver))) == emulator.identity.role
        configuration = {"sqlalchemy.url": url(emulator, driver)}
        assert who_async(async_engine_from_config(configuration)) == emulator.identity.role

    def test_by_keyword(self, emulator: Emulator) -> None:
        assert who(create_engine(url(emulator, "psycopg", ""), plugins=["entra"])) == emulator.identity.role

    def test_connections_get_tokens_of_their_time(self, emulator: Emulator) -> None:
        emulator.lifetime = 3
        credential = "plugin=entra&entra_credential=ManagedIdentityCredential"
        engine = create_engine(url(emulator, "psycopg", credential), poolclass=NullPool)
        for _ in range(3):
            assert who(engine) == emulator.identity.role
            time.sleep(3.1)
        assert [login.accepted for login in emulator.logins] == [True] * 3
        assert len(emulator.token_requests) == 3

    def test_the_url_chooses_the_role_and_the_identity(self, emulator: Emulator) -> None:
        other = emulator.add_identity("other")
        named = f"plugin=entra&entra_credential=ManagedIdentityCredential&entra_client_id={other.client_id}"
        engines = [create_engine(url(emulator, driver, named), poolclass=NullPool) for driver in SYNCHRONOUS]
        assert [who(engine) for engine in engines] == ["other"] * 3
        # One token serves all three.
        assert len(emulator.token_requests) == 1
        by_default = create_engine(url(emulator, "psycopg", f"plugin=entra&entra_client_id={other.client_id}"))
        assert who(by_default) == "other"
        role = create_engine(make_url(url(emulator, "psycopg")).set(username=emulator.identity.role))
        assert who(role) == emulator.identity.role

    def test_an_engine_of_an_engines_url_logs_in_too(self, emulator: Emulator) -> None:
        query = "entra_credential=ManagedIdentityCredential&plugin=entra&application_name=first"
        first = create_engine(url(emulator, "psycopg", query))
        for again in (first.url, first.url.render_as_string(hide_password=False)):
            second = create_engine(again)
            assert second.url == first.url
            with second.connect() as connection:
                assert connection.execute(text("SHOW application_name")).scalar() == "first"
            assert who(second) == emulator.identity.role

    @pytest.mark.parametrize("comes_first", [True, False])
    def test_code_wins_over_the_plugin(self, emulator: Emulator, comes_first: object) -> None:
        own = SyncCredential(emulator.token(emulator.add_identity("own")))
        if comes_first:
            engine = create_engine(url(emulator, "psycopg"), connect_args={"credential": own})
        else:
            engine = create_engine(url(emulator, "psycopg"))
            enable_entra_authentication(engine, own)
        assert who(engine) == "own"

    def test_the_emulator_lists_itself(self, emulator: Emulator) -> None:
        assert emulator.env[_plugin_hosts.VARIABLE] == f"{emulator.host}:{emulator.port}"


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("mysql+pymysql://srv/db?plugin=entra", "plugin=entra is for PostgreSQL, not for mysql"),
            ("sqlite:///db?plugin=entra", "plugin=entra is for PostgreSQL, not for sqlite"),
            ("postgresql://srv/db?plugin=entra&plugin=entra", "the plugin entra is named more than once"),
            ("postgresql://me:secret@srv/db?plugin=entra", "the URL has plugin=entra and a password"),
            ("postgresql://srv/db?plugin=entra&entra_credential=Nobody", "expected one of DefaultAzureCredential, M"),
            ("postgresql://srv/db?plugin=entra&entra_credential=ClientSecretCredential", "expected one of Default"),
            ("postgresql://srv/db?plugin=entra&entra_scope=x", "entra_scope: .* expected one of entra_credential, "),
            ("postgresql://srv/db?plugin=entra&entra_client_id=a&entra_client_id=b", "entra_client_id .* than once"),
            (
                "postgresql://srv/db?plugin=entra&entra_credential=AzureCliCredential&entra_client_id=a",
                "AzureCliCredential takes no entra_client_id",
            ),
        ],
    )
    def test_an_engine_is_refused(self, given: str, message: str) -> None:
        with pytest.raises(sqlalchemy.exc.ArgumentError, match=message) as raised:
            create_engine(given)
        assert "secret" not in str(raised.value)

    def test_an_unsupported_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PGDialect_psycopg2, "driver", "psycopg2cffi")
        registry.register("postgresql.psycopg2cffi", PGDialect_psycopg2.__module__, "PGDialect_psycopg2")
        with pytest.raises(sqlalchemy.exc.ArgumentError, match=r"not supported for postgresql\+psycopg2cffi, only"):
            create_engine("postgresql+psycopg2cffi://srv/db?plugin=entra")

    def test_functions_that_connect(self) -> None:
        with pytest.raises(sqlalchemy.exc.ArgumentError, match="creator=.*does not open its connections itself"):
            create_engine("postgresql+psycopg://srv/db?plugin=entra", creator=lambda: None)
        with pytest.raises(sqlalchemy.exc.ArgumentError, match="async_creator.*does not open its connections itself"):
            create_async_engine("postgresql+asyncpg://srv/db?plugin=entra", async_creator=asyncpg.connect)
        pool = NullPool(lambda: pytest.fail("connected"))
        with pytest.raises(sqlalchemy.exc.ArgumentError, match="pool=.*does not open its connections itself"):
            create_engine("postgresql+psycopg://srv/db?plugin=entra", pool=pool)

    def test_a_url_that_lost_its_host(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        # The operator's variable is as good as a URL.
        assert who(create_engine("postgresql+psycopg:///postgres?plugin=entra")) == emulator.identity.role
        monkeypatch.delenv("PGHOST")
        for driver in SYNCHRONOUS:
            engine = create_engine(f"postgresql+{driver}:///postgres?plugin=entra")
            with pytest.raises(sqlalchemy.exc.OperationalError, match="requires the name of a server, .* no host"):
                engine.connect()

    def test_a_plugin_that_is_not_installed(self) -> None:
        # What Troubleshooting quotes.
        script = (
            f"{NO_ENTRY_POINTS}\n"
            "import sqlalchemy\n"
            "sqlalchemy.create_engine('postgresql+psycopg://srv/db?plugin=entra')"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "Can't load plugin: sqlalchemy.plugins:entra" in done.stderr

    def test_a_source_checkout_has_it_without_an_entry_point(self) -> None:
        script = (
            f"{NO_ENTRY_POINTS}\n"
            "import sqlalchemy, azure_postgresql_auth.sqlalchemy\n"
            "print(sqlalchemy.create_engine('postgresql+psycopg://srv/db?plugin=entra').url)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "postgresql+psycopg://srv/db?plugin=entra"


class Told(Exception):  # noqa: N818
    """The arguments of a driver, instead of a connection."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__()
        self.parameters = parameters


class Attacker:
    """A user who controls the URL, and `connect_args` with values of JSON."""

    def __init__(self, listed: str, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        patch.setenv(_plugin_hosts.VARIABLE, listed)
        for name in ("PGHOST", "PGPORT", "PGSSLMODE", "PGSSLROOTCERT"):
            patch.delenv(name, raising=False)
        self.credential = SyncCredential(make_token(upn="ada@contoso.com"))

    def told(self, driver: str, given: str, **connect_args: Any) -> dict[str, Any]:
        """Return the driver's arguments."""

        def connect(*arguments: Any, **parameters: Any) -> Any:
            assert not any(arguments)
            raise Told(parameters)

        engine: Any
        connect_args = {"credential": self.credential, **connect_args}
        if driver == "asyncpg":
            engine = create_async_engine(f"postgresql+asyncpg://{given}", connect_args=connect_args)
            engine.dialect.connect = connect

            async def ask() -> None:
                async with engine.connect():
                    pass

            with pytest.raises(Told) as told:
                asyncio.run(ask())
        else:
            engine = create_engine(f"postgresql+{driver}://{given}", connect_args=connect_args)
            engine.dialect.connect = connect
            with pytest.raises(Told) as told:
                engine.connect()
        return told.value.parameters

    def is_refused(self, driver: str, given: str, match: str = ".", **connect_args: Any) -> None:
        """No connection is tried, and no token is requested."""
        with pytest.raises(errors.EntraConnectionValueError, match=match) as raised:
            self.told(driver, given, **connect_args)
        assert isinstance(raised.value, sqlalchemy.exc.OperationalError)
        assert not self.credential.calls


@pytest.fixture
def attacker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Attacker:
    monkeypatch.setenv("HOME", str(tmp_path))
    return Attacker(AZURE, monkeypatch)


def driver_parameters(driver: str) -> list[str]:
    """All parameters that a driver has."""
    if driver in {"psycopg", "psycopg2"}:
        options = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
        further = set(inspect.signature(psycopg.Connection.connect).parameters) - {"kwargs"}
        return sorted(options | further | {"dsn", "connection_factory", "async_", "database", "sslkeylogfile"})
    signature = inspect.signature(asyncpg.connect if driver == "asyncpg" else pg8000.dbapi.connect)
    return sorted({*signature.parameters, "async_creator_fn", "hostaddr", "service"})


def is_confined(driver: str, told: dict[str, Any]) -> bool:
    """Whether a token goes to Azure's server, verified with Azure's roots, and nowhere else."""
    if driver in {"psycopg", "psycopg2"}:
        expected = {"host": AZURE, "hostaddr": "", "sslmode": "verify-full", "sslrootcert": tls.AZURE_ROOTS}
        return {name: told.get(name) for name in expected} == expected
    context = told["ssl" if driver == "asyncpg" else "ssl_context"]
    hosts = [AZURE] if driver == "asyncpg" else AZURE
    return told["host"] == hosts and isinstance(context, ssl.SSLContext) and context.check_hostname


class TestNoUrlStealsAToken:
    @pytest.mark.parametrize("driver", EVERY)
    @pytest.mark.parametrize("place", ["query", "connect_args"])
    def test_no_parameter_redirects_a_token(self, attacker: Attacker, driver: str, place: str) -> None:
        accepted = set()
        for name, value in itertools.product(
            driver_parameters(driver), ["evil.example.com", "/evil", "5432", "true", "system", ""]
        ):
            query, connect_args = (f"&{name}={value}", {}) if place == "query" else ("", {name: value})
            try:
                told = attacker.told(driver, f"{AZURE}/db?plugin=entra{query}", **connect_args)
            except (errors.AzurePgEntraError, sqlalchemy.exc.ArgumentError, ValueError):
                assert not attacker.credential.calls
            else:
                assert is_confined(driver, told), (name, value)
                # SQLAlchemy replaces psycopg's context by its own.
                if value and told.get(name) == value:
                    accepted.add(name)
            attacker = Attacker(AZURE, attacker.patch)
        assert accepted <= _url_rules.HARMLESS | _url_rules.PLACE_AND_NAMES
        assert "user" in accepted

    @pytest.mark.parametrize("driver", EVERY)
    @pytest.mark.parametrize(
        "given",
        [
            "evil.example.com/db?plugin=entra",
            "evil.example.com:5432/db?plugin=entra",
            f"{AZURE}.example.com/db?plugin=entra",
            "attacker.postgres.database.azure.com/db?plugin=entra",
            f"x{AZURE}/db?plugin=entra",
            f"{AZURE}%00.example.com/db?plugin=entra",
            f"evil.example.com%00.{AZURE}/db?plugin=entra",
            f"{AZURE}@evil.example.com/db?plugin=entra",
            f"{AZURE}:1234/db?plugin=entra",
            f"/db?plugin=entra&host={AZURE}&host=evil.example.com",
            f"/db?plugin=entra&host={AZURE}:5432&host=evil.example.com:5432",
            f"{AZURE},evil.example.com/db?plugin=entra",
            f"{AZURE}/db?plugin=entra&host=evil.example.com",
            f"{AZURE}/db?plugin=entra&hostaddr=10.0.0.1",
            f"{AZURE}/db?plugin=entra&service=evil",
            f"{AZURE}/db?plugin=entra&sslrootcert=/tmp/evil.pem",
            f"{AZURE}/db?plugin=entra&sslrootcert=system",
            f"{AZURE}/db?plugin=entra&sslmode=disable",
            f"{AZURE}/db?plugin=entra&sslmode=require",
            f"{AZURE}/db?plugin=entra&sslmode=verify-ca",
            f"{AZURE}/db?plugin=entra&ssl=require",
            f"{AZURE}/db?plugin=entra&gssencmode=require",
            f"{AZURE}/db?plugin=entra&allow_insecure_transport=true",
            f"{AZURE}/db?plugin=entra&scope=https://management.azure.com/.default",
            f"{AZURE}/db?plugin=entra&credential=evil",
            f"{AZURE}/db?plugin=entra&dsn=postgresql://evil.example.com",
            f"{AZURE}/db?plugin=entra&conninfo=host=evil.example.com",
            f"{AZURE}/db?plugin=entra&passfile=/etc/passwd",
            "localhost/db?plugin=entra",
            "127.0.0.1/db?plugin=entra",
            "/db?plugin=entra&host=/var/run/postgresql",
            "10.0.0.1/db?plugin=entra",
        ],
    )
    def test_by_a_url(self, attacker: Attacker, driver: str, given: str) -> None:
        connect_args = {"credential": "evil"} if "credential=evil" in given else {}
        try:
            attacker.is_refused(driver, given, **connect_args)
        except sqlalchemy.exc.ArgumentError as error:
            # SQLAlchemy itself cannot read it.
            assert "ports are required" in str(error)  # noqa: PT017
        assert not attacker.credential.calls

    @pytest.mark.parametrize("driver", EVERY)
    @pytest.mark.parametrize(
        ("keywords", "message"),
        [
            ({"allow_insecure_transport": True}, "cannot be used with plugin=entra"),
            ({"scope": "https://vault.azure.net/.default"}, "is not a scope of Azure Database for PostgreSQL"),
            ({"sslmode": "prefer"}, "always verified; remove sslmode"),
            ({"password": "x"}, "and there is a password, too"),
            ({"host": ["evil.example.com"]}, "does not log in to"),
            ({"hostaddr": "10.0.0.1"}, "does not accept the connection parameter 'hostaddr'"),
        ],
    )
    def test_by_a_form(self, attacker: Attacker, driver: str, keywords: dict[str, Any], message: str) -> None:
        if driver == "pg8000" and "host" in keywords:
            message = "requires the name of a server"
        attacker.is_refused(driver, f"{AZURE}/db?plugin=entra", message, **keywords)

    def test_by_a_context_that_verifies_nothing(self, attacker: Attacker) -> None:
        lax = ssl.create_default_context()
        strict = ssl.create_default_context()
        lax.check_hostname = False
        assert attacker.told("asyncpg", f"{AZURE}/db?plugin=entra", ssl=strict)["ssl"] is strict
        attacker.credential.calls.clear()
        attacker.is_refused("asyncpg", f"{AZURE}/db?plugin=entra", "remove ssl", ssl=lax)

    @pytest.mark.parametrize("driver", EVERY)
    def test_without_the_operators_list(self, attacker: Attacker, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(_plugin_hosts.VARIABLE)
        message = rf"AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS is not set.*if you trust this one, add {AZURE}$"
        attacker.is_refused(driver, f"{AZURE}/db?plugin=entra", message)

    @pytest.mark.parametrize("driver", EVERY)
    def test_what_is_allowed(self, attacker: Attacker, driver: str) -> None:
        for given in (AZURE, f"{AZURE.upper()}:5432", f"{AZURE}.:6432", f"ada@{AZURE}"):
            told = attacker.told(driver, f"{given}/db?plugin=entra")
            assert told["password"] == attacker.credential.token
            assert told["user"] == ("ada" if "ada" in given else "ada@contoso.com")

    @pytest.mark.parametrize("driver", EVERY)
    def test_a_listed_server_that_is_not_azures_is_verified(
        self, attacker: Attacker, driver: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(_plugin_hosts.VARIABLE, "db.example.com")
        monkeypatch.setenv("PGSSLMODE", "require")
        told = attacker.told(driver, "db.example.com/db?plugin=entra")
        tls_setting = told.get("sslmode") or told.get("ssl") or told["ssl_context"]
        assert tls_setting == "verify-full" or tls_setting.check_hostname


class TestTheList:
    @pytest.mark.parametrize(
        ("listed", "host", "port", "is_allowed"),
        [
            ("a.example.com", "a.example.com", "5432", True),
            ("a.example.com", "a.example.com", "6432", True),
            ("a.example.com", "a.example.com", "5433", False),
            ("a.example.com:5433", "a.example.com", "5433", True),
            ("a.example.com:5433", "a.example.com", "5432", False),
            (" x , A.example.com. ,", "a.EXAMPLE.com", "5432", True),
            ("a.example.com", "b.a.example.com", "5432", False),
            ("*.postgres.database.azure.com", AZURE, "5432", True),
            ("*.postgres.database.azure.com:6432", AZURE, "5432", False),
            ("*.postgres.database.azure.com", "a.private.postgres.database.azure.com", "5432", True),
            ("*.postgres.database.azure.com", "postgres.database.azure.com", "5432", False),
            ("*.postgres.database.azure.com", "evil/.postgres.database.azure.com", "5432", False),
            ("*.postgres.database.azure.com", "evil\0.postgres.database.azure.com", "5432", False),
            ("*.postgres.database.azure.com", f"{AZURE}.example.com", "5432", False),
            ("/var/run/postgresql", "/var/run/postgresql", "5432", True),
            ("/var/run/postgresql", "/var/run", "5432", False),
            ("::1", "::1", "5432", True),
            ("[::1]:5433", "::1", "5433", True),
            ("[::1]:5433", "::1", "5432", False),
        ],
    )
    def test_entries(self, listed: str, host: str, port: str, is_allowed: object) -> None:
        entries = list(_plugin_hosts.entries_of(listed))
        assert any(entry.matches(host, port) for entry in entries) is is_allowed

    @pytest.mark.parametrize("listed", ["*", "*:5432", "*.com", "a.*.com", "a:b", "a.example.com:", "*example.com"])
    def test_invalid_entries(self, listed: str) -> None:
        with pytest.raises(errors.EntraConnectionValueError, match=f"{_plugin_hosts.VARIABLE} has the entry"):
            list(_plugin_hosts.entries_of(listed))


def test_engines_that_do_not_name_it_load_nothing() -> None:
    script = (
        "import sys, sqlalchemy; sqlalchemy.create_engine('postgresql+psycopg://srv/db')\n"
        "print([name for name in sys.modules if name.startswith('azure_postgresql_auth')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_credentials_that_a_url_can_name_exist() -> None:
    assert set(_plugin.CREDENTIALS) <= set(identity.__all__)
    assert all(name in (EntraPlugin.__doc__ or "") for name in _plugin.OPTIONS)
