"""What Azure Service Connector sets, through the drivers and into the server."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth import identity, service_connector
from azure_postgresql_auth.psycopg3 import EntraConnection
from azure_postgresql_auth.sqlalchemy import (
    create_asyncpg_engine,
    enable_entra_authentication,
    enable_entra_authentication_async,
)
from psycopg import OperationalError
from psycopg_pool import ConnectionPool
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.drivers import AZURE, WHO, run_on_selector_loop
from tests.support.tools import install, saying

if TYPE_CHECKING:
    from pathlib import Path

    from azure_postgresql_auth.emulator import Emulator, Identity

    from tests.support.drivers import Driver

GUID = "11111111-2222-3333-4444-555555555555"
# As Microsoft documents them, but for the port, which is the emulator's, where a client type has one.
CLIENT_TYPES = {
    "python": {"CONNECTIONSTRING": "dbname=postgres host={host} port={port} sslmode=require user={user}"},
    "django": {"NAME": "postgres", "HOST": "{host}", "USER": "{user}"},
    "none": {"HOST": "{host}", "DATABASE": "postgres", "PORT": "{port}", "USERNAME": "{user}", "SSL": "true"},
}


class Connector:
    """Sets variables as Service Connector does."""

    def __init__(self, emulator: Emulator, patch: pytest.MonkeyPatch) -> None:
        self.emulator = emulator
        self.patch = patch

    def link(self, client_type: str, who: Identity, *, prefix: str = "AZURE_POSTGRESQL", **more: str | None) -> None:
        values = {"host": AZURE, "port": self.emulator.port, "user": who.role}
        for end, value in {**CLIENT_TYPES[client_type], **more}.items():
            self.patch.setenv(f"{prefix}_{end}", (value or "").format_map(values))


@pytest.fixture
def connector(emulator: Emulator, azure_is_here: None, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """Where the server has its name of Azure, wherever it is looked up."""
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.delenv("PGSSLMODE")
    # A process keeps its credentials, and tests their emulator's identities not.
    importlib.reload(service_connector)
    return Connector(emulator, monkeypatch)


def keywords(driver: Driver) -> tuple[str, dict[str, Any]]:
    """URL and keywords for one of the drivers."""
    if driver.name == "sqlalchemy+pg8000":
        found = service_connector.sqlalchemy("postgresql+pg8000")
        return found["url"], found["connect_args"]
    made = service_connector.psycopg() if driver.libpq else service_connector.asyncpg()
    return "postgresql://" if "sqlalchemy" in driver.name or "engine" in driver.name else "", made


@pytest.mark.parametrize("client_type", CLIENT_TYPES)
def test_every_driver(client_type: str, driver: Driver, connector: Connector) -> None:
    if driver.name == "sqlalchemy+pg8000" and client_type == "django":
        pytest.skip("this client type says no port, and pg8000 reads no PGPORT")
    emulator = connector.emulator
    second = emulator.add_identity("second")
    connector.link(client_type, second, CLIENTID=second.client_id)
    for _ in range(2):
        url, made = keywords(driver)
        assert driver.who(url, **made) == "second"
    assert all(login.accepted and login.tls_version for login in emulator.logins)
    # Asked for again, it is the same credential, with its token.
    assert [request.client_id for request in emulator.token_requests] == [second.client_id]


class TestCredentials:
    def connect(self) -> str:
        with EntraConnection.connect(**service_connector.psycopg()) as connection:
            return connection.info.user

    @pytest.mark.parametrize("client_type", CLIENT_TYPES)
    def test_system_assigned(self, client_type: str, connector: Connector) -> None:
        """Other variables than those of Service Connector have no effect."""
        emulator = connector.emulator
        connector.link(client_type, emulator.add_identity("web-app", "system-assigned", default=True))
        other = emulator.add_identity("other", "service-principal")
        for name, value in emulator.client_secret_env(other).items():
            connector.patch.setenv(name, value)
        assert self.connect() == "web-app"
        assert [request.endpoint for request in emulator.token_requests] == ["app-service"]

    @pytest.mark.parametrize("client_type", CLIENT_TYPES)
    def test_service_principal(self, client_type: str, connector: Connector) -> None:
        emulator = connector.emulator
        principal = emulator.add_identity("app", "service-principal")
        connector.link(
            client_type,
            principal,
            CLIENTID=principal.client_id,
            CLIENTSECRET=principal.client_secret,
            TENANTID=emulator.tenant_id,
        )
        assert self.connect() == "app"
        assert [request.endpoint for request in emulator.token_requests] == ["token"]
        assert str(principal.client_secret) not in repr(service_connector.psycopg())

    @pytest.mark.parametrize("tenant", [False, True])
    def test_kubernetes(self, connector: Connector, tenant: bool) -> None:  # noqa: FBT001
        emulator = connector.emulator
        principal = emulator.add_identity("pod")
        for name, value in {**emulator.workload_identity_env(principal), "AZURE_CLIENT_ID": GUID}.items():
            connector.patch.setenv(name, value)
        more = {"TENANTID": os.environ.pop("AZURE_TENANT_ID")} if tenant else {}
        connector.link("none", principal, CLIENTID=principal.client_id, **more)
        assert self.connect() == "pod"
        assert [(request.endpoint, request.client_id) for request in emulator.token_requests] == [
            ("token", principal.client_id)
        ]

    @pytest.mark.parametrize("client_type", CLIENT_TYPES)
    def test_password(self, client_type: str, connector: Connector) -> None:
        """A plain login; the emulator accepts tokens only, so that here is one."""
        emulator = connector.emulator
        token = emulator.token(emulator.identity)
        if client_type == "python":
            given = f"{CLIENT_TYPES['python']['CONNECTIONSTRING']} password={token}"
            connector.link(client_type, emulator.identity, CONNECTIONSTRING=given)
        else:
            connector.link(client_type, emulator.identity, PASSWORD=token)
        assert "credential" not in service_connector.psycopg()
        assert self.connect() == emulator.identity.role
        assert emulator.token_requests == []

    def test_developer_tools_on_a_developers_machine(self, connector: Connector, tmp_path: Path) -> None:
        emulator = connector.emulator
        developer = emulator.add_identity("dev@contoso.com", "user")
        connector.link("python", developer)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            connector.patch.delenv(name)
        connector.patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
        connector.patch.setenv("PATH", str(tmp_path))
        answer = {
            "accessToken": emulator.token(developer),
            "expires_on": int(time.time()) + 3600,
            "tokenType": "Bearer",
        }
        install(tmp_path, "az", saying(json.dumps(answer)))
        assert self.connect() == "dev@contoso.com"

    def test_another_secret_is_another_credential(self, connector: Connector) -> None:
        who = connector.emulator.identity
        made = []
        for secret in ("old", "new", "old"):
            connector.link("none", who, CLIENTID=GUID, TENANTID=GUID, CLIENTSECRET=secret)
            made.append(service_connector.psycopg()["credential"])
        assert made[0] is made[2] is not made[1]


class TestMoreWays:
    def test_the_server_is_verified_unless_one_says_otherwise(self, connector: Connector) -> None:
        """The emulator's certificate has Azure's name, but not Azure's root."""
        connector.link("python", connector.emulator.identity)
        connector.patch.delenv("PGSSLROOTCERT")
        with pytest.raises(OperationalError, match="certificate verify failed"):
            EntraConnection.connect(**service_connector.psycopg())
        assert connector.emulator.logins == []
        EntraConnection.connect("sslmode=require", **service_connector.psycopg()).close()

    def test_pools(self, connector: Connector) -> None:
        connector.link("python", connector.emulator.identity)
        made = service_connector.psycopg()
        pool = ConnectionPool(connection_class=EntraConnection, kwargs=made, min_size=1, open=False)
        with pool, pool.connection() as connection:
            assert connection.info.user == connector.emulator.identity.role

        async def main() -> Any:
            async with entra_asyncpg.create_pool(**service_connector.asyncpg(), min_size=1) as pool:
                return await pool.fetchval(WHO)

        assert asyncio.run(main()) == connector.emulator.identity.role

    @pytest.mark.parametrize("drivername", ["postgresql+psycopg", "postgresql+psycopg2", "postgresql+pg8000"])
    def test_create_engine(self, connector: Connector, drivername: str) -> None:
        connector.link("none", connector.emulator.identity)
        engine = create_engine(**service_connector.sqlalchemy(drivername))
        enable_entra_authentication(engine)
        with engine.connect() as connection:
            assert connection.scalar(text(WHO)) == connector.emulator.identity.role
        engine.dispose()
        assert (engine.url.host, engine.url.database) == (AZURE, "postgres")

    @pytest.mark.parametrize("drivername", ["postgresql+psycopg", "postgresql+asyncpg"])
    def test_create_async_engine(self, connector: Connector, drivername: str) -> None:
        connector.link("none", connector.emulator.identity)

        async def main() -> list[Any]:
            engines = [create_async_engine(**service_connector.sqlalchemy(drivername))]
            enable_entra_authentication_async(engines[0])
            if drivername == "postgresql+asyncpg":
                engines.append(create_asyncpg_engine(**service_connector.sqlalchemy(drivername)))
            found = []
            for engine in engines:
                async with engine.connect() as connection:
                    found.append(await connection.scalar(text(WHO)))
                await engine.dispose()
            return found

        # On Windows psycopg asks for another kind of event loop than asyncio's own.
        run = run_on_selector_loop if drivername == "postgresql+psycopg" else asyncio.run
        assert set(run(main())) == {connector.emulator.identity.role}

    @pytest.mark.parametrize("client_type", CLIENT_TYPES)
    def test_django(self, connector: Connector, client_type: str) -> None:
        connector.link(client_type, connector.emulator.identity, CLIENTID=GUID)
        database = service_connector.django()
        credential = database["OPTIONS"].pop("credential")
        assert isinstance(credential, identity.ManagedIdentityCredential)
        port = {} if client_type == "django" else {"PORT": str(connector.emulator.port)}
        expected: dict[str, Any] = {
            "NAME": "postgres",
            "HOST": AZURE,
            "USER": connector.emulator.identity.role,
            "OPTIONS": {},
            **port,
        }
        assert database == expected

    def test_a_second_connection(self, connector: Connector) -> None:
        emulator = connector.emulator
        second = emulator.add_identity("second")
        connector.link("python", emulator.identity)
        connector.link("django", second, prefix="AZURE_POSTGRESQL_REPORTS", CLIENTID=second.client_id)
        for prefix, who in (("AZURE_POSTGRESQL", emulator.identity), ("AZURE_POSTGRESQL_REPORTS", second)):
            with EntraConnection.connect(**service_connector.psycopg(prefix=prefix)) as connection:
                assert connection.info.user == who.role


def variables(patch: pytest.MonkeyPatch, **values: str) -> None:
    for end, value in values.items():
        patch.setenv(f"AZURE_POSTGRESQL_{end}", value)


class TestValues:
    @pytest.mark.parametrize(
        ("host", "values", "sslmode"),
        [
            (AZURE, {"SSL": "true"}, None),
            (AZURE, {"SSL": "false"}, "disable"),
            (AZURE, {"CONNECTIONSTRING": "sslmode=require"}, None),
            (AZURE, {"CONNECTIONSTRING": "sslmode=verify-ca"}, "verify-ca"),
            (AZURE, {"CONNECTIONSTRING": "user=u password=p sslmode=require"}, "require"),
            ("10.0.0.4", {"SSL": "True"}, "require"),
            ("10.0.0.4", {}, None),
        ],
    )
    def test_sslmode(
        self, monkeypatch: pytest.MonkeyPatch, host: str, values: dict[str, str], sslmode: str | None
    ) -> None:
        """Service Connector always sets `require`, which is less than a token needs if more is available."""
        variables(monkeypatch, HOST=host, NAME="db", **values)
        assert service_connector.psycopg().get("sslmode") == sslmode
        assert service_connector.asyncpg().get("ssl") == sslmode
        assert service_connector.sqlalchemy("postgresql+psycopg")["url"].query.get("sslmode") == sslmode

    def test_what_a_connection_string_may_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All that libpq's parser takes; checked against it."""
        from psycopg.conninfo import conninfo_to_dict

        given = (
            r" host = h dbname='a b' user=it\'s password='x=\'\\ y' port='5433'"
            "\n\tconnect_timeout=7 options='' application_name='a\nb'  "
        )
        monkeypatch.setenv("AZURE_POSTGRESQL_CONNECTIONSTRING", given)
        expected = {name: value for name, value in conninfo_to_dict(given).items() if value}
        assert service_connector.psycopg() == {**expected, "port": 5433}

    def test_urls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The parts are passed as they are, whatever their characters; the password is not shown."""
        variables(monkeypatch, HOST="::1", NAME="a/b", USER="a@b", PASSWORD="p@ss/w:rd?#[] 100% ü", PORT="1")
        url = service_connector.sqlalchemy("postgresql+psycopg")["url"]
        found = (url.username, url.password, url.host, url.port, url.database)
        assert found == ("a@b", "p@ss/w:rd?#[] 100% ü", "::1", 1, "a/b")
        assert "p@ss" not in repr(url)

    def test_keywords_of_asyncpg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = "host=h dbname=d user=u password=p port=1 sslmode=verify-full connect_timeout=7"
        monkeypatch.setenv("AZURE_POSTGRESQL_CONNECTIONSTRING", given)
        found = service_connector.asyncpg()
        settled = {"host": "h", "port": 1, "database": "d", "user": "u", "password": "p"}
        assert found == {**settled, "ssl": "verify-full", "timeout": 7.0}
        monkeypatch.setenv("AZURE_POSTGRESQL_CONNECTIONSTRING", f"{given} options=-cgeqo=off gssencmode=disable")
        with pytest.raises(ValueError, match="CONNECTIONSTRING has gssencmode, options, which asyncpg does not"):
            service_connector.asyncpg()


NET = "Server=s.postgres.database.azure.com;Database=d;Port=5432;Ssl Mode=Require;User Id=u;Password=a-secret;"
JDBC = "jdbc:postgresql://s.postgres.database.azure.com:5432/d?sslmode=require&user=u&password=a-secret"
SERVER = {"HOST": "h", "NAME": "d"}
# With * for the beginning of the variables' names.
NONE_THERE = "Service Connector has set no connection: neither *CONNECTIONSTRING nor *HOST is set"
NOT_LIBPQS = (
    "*CONNECTIONSTRING is not in libpq's format, 'host=... dbname=... user=...': the "
    "connection was made for another client type. Make it for Python, Django or none"
)
QUOTED = (
    "is enclosed in quotation marks, which secret stores and `docker run --env-file` keep as part of the value; remove "
    "them"
)
VAULT = (
    "is an unresolved Key Vault reference: App Service could not read the secret; check that the app's identity may "
    "read secrets of the vault, and the reference's status in the portal"
)
WRONG: list[tuple[dict[str, str], str]] = [
    ({}, NONE_THERE),
    ({"CLIENTID": GUID}, NONE_THERE),
    (
        {"ORDERS_HOST": "h", "ORDERS_CONNECTIONSTRING": "x", "STOCK_CONNECTIONSTRING": "x"},
        f"{NONE_THERE}; there is one for prefix='*ORDERS' and '*STOCK'",
    ),
    ({"NAME": "d", "USER": "u"}, "*HOST is not set, only *NAME, *USER"),
    ({"HOST": "h", "USER": "u"}, "*NAME (or _DATABASE) is not set, only *HOST, *USER"),
    ({**SERVER, "PASSWORD": "a-secret"}, "*USER (or _USERNAME) is not set, only *HOST, *NAME, *PASSWORD"),
    ({"CONNECTIONSTRING": "host=h"}, "*NAME (or _DATABASE) is not set, only *CONNECTIONSTRING"),
    ({**SERVER, "PORT": "x"}, "*PORT has port 'x', which is not a number"),
    ({**SERVER, "SSL": "maybe"}, "*SSL='maybe': one of true, false"),
    ({**SERVER, "DATABASE": "e"}, "*DATABASE and *NAME contradict each other about dbname; remove one of them"),
    (
        {"CONNECTIONSTRING": "host=h dbname=d password=a-secret", "PASSWORD": "another-secret"},
        "*CONNECTIONSTRING and *PASSWORD contradict each other about password; remove one of them",
    ),
    (
        {**SERVER, "USER": "u", "PASSWORD": "a-secret", "CLIENTID": GUID},
        "*PASSWORD has a password, and *CLIENTID a credential; remove one or the other",
    ),
    (
        {**SERVER, "CLIENTID": GUID, "CLIENTSECRET": "a-secret"},
        "not set: *TENANTID, which a service principal needs besides *CLIENTID, *CLIENTSECRET",
    ),
    (
        {**SERVER, "CLIENTSECRET": "a-secret"},
        "not set: *TENANTID, *CLIENTID, which a service principal needs besides *CLIENTSECRET",
    ),
    (
        {**SERVER, "CLIENTID": GUID, "TENANTID": GUID},
        "not set: *CLIENTSECRET, which a service principal needs besides *TENANTID, *CLIENTID",
    ),
    ({"CONNECTIONSTRING": '"host=h dbname=d password=a-secret"'}, f"*CONNECTIONSTRING {QUOTED}"),
    ({**SERVER, "CLIENTID": f"'{GUID}'"}, f"*CLIENTID {QUOTED}"),
    ({"CONNECTIONSTRING": "@Microsoft.KeyVault(SecretUri=https://v/secrets/a-secret)"}, f"*CONNECTIONSTRING {VAULT}"),
    ({**SERVER, "USER": "u", "PASSWORD": "@Microsoft.KeyVault(VaultName=v;SecretName=a-secret)"}, f"*PASSWORD {VAULT}"),
    (
        {**SERVER, "CLIENTID": GUID, "TENANTID": GUID, "CLIENTSECRET": "a-secret\n"},
        "*CLIENTSECRET ends with a line break, which files and secret stores often add; remove it",
    ),
    ({"HOST": " h", "NAME": "d"}, "*HOST begins with white space; remove it"),
    ({"CONNECTIONSTRING": NET}, NOT_LIBPQS),
    ({"CONNECTIONSTRING": JDBC}, NOT_LIBPQS),
    ({"CONNECTIONSTRING": "host=h dbname='d"}, NOT_LIBPQS),
    ({"CONNECTIONSTRING": "host=h a-secret"}, NOT_LIBPQS),
    ({"CONNECTIONSTRING": "host=h dbname=d allow_insecure_transport=1"}, NOT_LIBPQS),
]


@pytest.mark.parametrize(("given", "expected"), WRONG)
def test_invalid_variables(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str) -> None:
    variables(monkeypatch, **given)
    for form in (service_connector.psycopg, service_connector.asyncpg, service_connector.django):
        with pytest.raises(ValueError, match="AZURE_POSTGRESQL") as raised:
            form()
        assert str(raised.value) == expected.replace("*", "AZURE_POSTGRESQL_")
        assert "a-secret" not in str(raised.value)


def test_connection_strings_of_app_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRESQLCONNSTR_AZURE_POSTGRESQL_CONNECTIONSTRING", "host=h dbname=d user=u")
    assert {**service_connector.psycopg(), "credential": None} == {
        "host": "h",
        "dbname": "d",
        "user": "u",
        "credential": None,
    }
    with pytest.raises(ValueError, match="there is one for prefix='AZURE_POSTGRESQL'$"):
        service_connector.psycopg(prefix="OTHER")
    monkeypatch.setenv("AZURE_POSTGRESQL_CONNECTIONSTRING", "host=other dbname=d")
    with pytest.raises(ValueError, match="CONNECTIONSTRING and POSTGRESQLCONNSTR_.* contradict each other about host"):
        service_connector.psycopg()


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes shows secrets that it hides as empty ones."""
    variables(monkeypatch, HOST="h", NAME="d", USER="u", PASSWORD="", CLIENTID="", CLIENTSECRET="", PORT="", SSL="")
    assert service_connector.psycopg().keys() == {"host", "dbname", "user", "credential"}


def test_other_modules_do_not_import_it() -> None:
    script = "import sys, azure_postgresql_auth.core, azure_postgresql_auth.identity; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "azure_postgresql_auth.service_connector" not in printed
