"""No token in the wrong hands: the rules, and servers that try to get one."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
import trustme
from azure_postgresql_auth import _core, errors, tls
from azure_postgresql_auth import asyncpg as entra_asyncpg
from azure_postgresql_auth.psycopg3 import EntraConnection

from tests.support.credentials import SyncCredential, make_token
from tests.support.drivers import AZURE
from tests.support.rogue import Rogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.emulator import Emulator

    from tests.support.drivers import Driver


FULL = {"sslmode": "verify-full", "sslrootcert": tls.AZURE_ROOTS}
TOKEN = make_token(upn="ada@contoso.com")


def test_the_roots_are_those_that_azure_documents() -> None:
    blocks = re.findall("-----BEGIN.*?END CERTIFICATE-----\n", Path(tls.AZURE_ROOTS).read_text("ascii"), re.DOTALL)
    prints = {hashlib.sha256(ssl.PEM_cert_to_DER_cert(block)).hexdigest().upper() for block in blocks}
    assert prints == {
        "CB3CCBB76031E5E0138F8DD39A23F9DE47FFC35E43C1144CEA27D46A5AB1CB5F",  # DigiCert Global Root G2
        "C741F70F4B2A8D88BF2E71C14122EF53EF10EBA0CFA5E64CFA20F418853073E0",  # Microsoft RSA Root CA 2017
        "4348A0E9444C78CB265E058D5E8944B4D84F9662BD26DB257F8934A443C70161",  # DigiCert Global Root CA
    }


def added(parameters: dict[str, str], *, allow_insecure_transport: bool = False) -> dict[str, str]:
    """Return the TLS parameters that are added to the caller's."""
    driver = _core.Driver("libpq", tls.AZURE_ROOTS, libpq_version=180000)
    settings = driver.plan(parameters, allow_insecure_transport=allow_insecure_transport).settings
    return {
        name: settings[name]
        for name in ("sslmode", "sslrootcert")
        if name in settings and settings[name] != parameters.get(name)
    }


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        # A host that is not named may be anywhere.
        ({}, FULL),
        # On this machine, the caller's settings apply.
        ({"host": "localhost", "sslmode": "disable"}, {}),
        ({"host": "127.0.0.1"}, {}),
        ({"host": "::1"}, {}),
        ({"host": "/var/run/postgresql"}, {}),
        ({"host": "db.example.com", "hostaddr": "127.0.0.1"}, {}),
        # An Azure host: verified, against Azure's roots.
        ({"host": AZURE}, FULL),
        ({"host": AZURE.upper()}, FULL),
        ({"host": "x.postgres.database.usgovcloudapi.net"}, FULL),
        ({"host": "x.postgres.database.chinacloudapi.cn"}, FULL),
        ({"host": AZURE, "hostaddr": "127.0.0.1"}, FULL),
        ({"host": f"{AZURE},{AZURE}"}, FULL),
        ({"host": AZURE, "sslrootcert": "mine.pem"}, {"sslmode": "verify-full"}),
        ({"host": AZURE, "sslmode": "require"}, {}),
        ({"host": AZURE, "sslmode": "verify-ca"}, {"sslrootcert": tls.AZURE_ROOTS}),
        ({"host": AZURE, "sslmode": "verify-full"}, {"sslrootcert": tls.AZURE_ROOTS}),
        # Any other host: encrypted at least.
        ({"host": "db.example.com"}, {"sslmode": "require"}),
        ({"host": "10.0.0.5"}, {"sslmode": "require"}),
        # libpq ignores it for an abstract socket; psycopg 3 looks the name up.
        ({"host": "@abstract"}, {"sslmode": "require"}),
        ({"hostaddr": "10.0.0.5"}, {"sslmode": "require"}),
        ({"host": "localhost", "hostaddr": "10.0.0.5"}, {"sslmode": "require"}),
        ({"host": "localhost,db.example.com"}, {"sslmode": "require"}),
        ({"host": "db.example.com", "sslmode": "verify-full"}, {}),
        ({"host": f"localhost,{AZURE}"}, {"sslmode": "verify-full"}),
    ],
)
def test_rules(parameters: dict[str, str], expected: dict[str, str]) -> None:
    assert added(parameters) == expected


@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer", "nonsense"])
@pytest.mark.parametrize("host", [AZURE, "db.example.com", "10.0.0.5", f"localhost,{AZURE}"])
def test_refusals(host: str, sslmode: str) -> None:
    said = {"host": host, "sslmode": sslmode}
    with pytest.raises(errors.InsecureTransportError, match=f"sslmode={sslmode}.*allow_insecure_transport=True"):
        added(said)
    assert added(said, allow_insecure_transport=True) == {}


def test_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", AZURE)
    assert added({}) == FULL
    monkeypatch.setenv("PGSSLROOTCERT", "mine.pem")
    assert added({}) == {"sslmode": "verify-full", "sslrootcert": "mine.pem"}
    monkeypatch.setenv("PGSSLMODE", "disable")
    with pytest.raises(errors.InsecureTransportError):
        added({})


@pytest.fixture(params=["refuses TLS", "self-signed", "another host's certificate"])
def rogue(request: pytest.FixtureRequest) -> Iterator[Rogue]:
    names = {"refuses TLS": None, "self-signed": AZURE, "another host's certificate": "evil.example.com"}
    with Rogue.under(names[request.param]) as server:
        yield server


def test_rogue_servers_get_nothing(rogue: Rogue, driver: Driver, azure_is_here: None) -> None:
    credential = SyncCredential(TOKEN)
    url, keywords = driver.via(rogue.port)
    with pytest.raises(Exception, match=".") as raised:
        driver.who(url, credential, **keywords)
    assert not isinstance(raised.value, errors.AzurePgEntraError), "it never came so far as to connect"
    rogue.close()
    assert credential.calls, "no token was asked for, so none could be lost"
    assert TOKEN.encode() not in rogue.heard
    assert b"ada@contoso.com" not in rogue.heard


def test_a_rogue_server_would_get_it_otherwise(driver: Driver, azure_is_here: None) -> None:
    """What the test above rests on: the rogue does understand a password."""
    insecure = {"sslmode": "disable"} if driver.libpq else {}
    if not driver.libpq and "pg8000" not in driver.name:
        insecure = {"ssl": "disable"}
    elif not driver.libpq:
        insecure = {"ssl_context": False}  # type: ignore[dict-item]
    with Rogue(None) as server:
        url, _ = driver.via(server.port)
        plain = url.replace(AZURE, "localhost")
        with pytest.raises(Exception, match="."):
            driver.who(plain, SyncCredential(TOKEN), **insecure)
    assert TOKEN.encode() in server.heard


def test_only_what_sslrootcert_trusts_passes(tmp_path: Path) -> None:
    """And that does."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(AZURE).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Rogue(context) as server, pytest.raises(psycopg.OperationalError):
        EntraConnection.connect(
            host=AZURE,
            hostaddr="127.0.0.1",
            port=server.port,
            sslrootcert=str(tmp_path / "ca.pem"),
            credential=SyncCredential(TOKEN),
        )
    assert TOKEN.encode() in server.heard


@pytest.mark.parametrize("host", [AZURE, "db.example.com"])
def test_an_insecure_setting_is_refused_before_a_token_is_asked_for(driver: Driver, host: str) -> None:
    credential = SyncCredential(TOKEN)
    insecure: dict[str, Any] = {"sslmode": "prefer"}
    if "asyncpg" in driver.name:
        insecure = {"ssl": "prefer"}
    elif "pg8000" in driver.name:
        insecure = {"ssl_context": False}
    with pytest.raises(errors.InsecureTransportError, match=r"^Could not retrieve Entra credentials") as raised:
        driver.who(f"postgresql://{host}/x", credential, **insecure)
    assert isinstance(raised.value, driver.error)
    assert credential.calls == []


def test_an_invalid_keyword_has_the_report_of_one() -> None:
    with pytest.raises(errors.EntraConnectionValueError, match="use sslmode instead") as raised:
        EntraConnection.connect(host=AZURE, requiressl="1", credential=SyncCredential(TOKEN))
    assert raised.value.report.code == "invalid_argument"
    # A login without a token is libpq's alone.
    with pytest.raises(psycopg.OperationalError) as of_libpq:
        EntraConnection.connect(host="localhost", port=9, user="ada", password="x", requiressl="1")
    assert not isinstance(of_libpq.value, errors.EntraConnectionValueError)


@pytest.mark.parametrize("port", ["5432x", 99999, -1, [5432, "x"]])
def test_an_invalid_port_of_asyncpg_is_named(port: Any) -> None:
    hosts = [AZURE] * (len(port) if isinstance(port, list) else 1)
    credential = SyncCredential(TOKEN)
    with pytest.raises(asyncpg.ClientCannotConnectError, match=r'port=".+" is not a port number; pass') as raised:
        asyncio.run(entra_asyncpg.connect(host=hosts, port=port, credential=credential))
    assert raised.value.report.code == "invalid_argument"
    assert credential.calls == []


@pytest.mark.parametrize("dsn", [5, Path("x"), ["postgresql:///"]])
def test_a_url_that_is_no_text_is_asyncpgs_to_refuse(dsn: Any) -> None:
    for connect in (asyncpg.connect, entra_asyncpg.connect):
        with pytest.raises((AttributeError, TypeError)) as raised:
            asyncio.run(connect(dsn))
        assert not isinstance(raised.value, errors.AzurePgEntraError)


def test_the_right_server_passes(emulator: Emulator, driver: Driver, azure_is_here: None) -> None:
    """The emulator's certificate bears the name of an Azure host; its authority has to be named."""
    url, keywords = driver.via(emulator.port)
    if driver.libpq:
        keywords["sslrootcert"] = emulator.ca_file
    elif "pg8000" in driver.name:
        keywords["ssl_context"] = tls.verifying_context(roots=emulator.ca_file)
    else:
        keywords["ssl"] = tls.verifying_context(roots=emulator.ca_file)
    assert driver.who(url, SyncCredential(emulator.token(emulator.identity)), **keywords) == emulator.identity.role


def test_without_its_authority_the_connection_is_refused(
    emulator: Emulator, driver: Driver, azure_is_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default only Azure's roots are trusted."""
    for name in ("PGSSLROOTCERT", "PGSSLMODE"):
        monkeypatch.delenv(name)
    url, keywords = driver.via(emulator.port)
    with pytest.raises(Exception, match="(?i)certificate"):
        driver.who(url, SyncCredential(emulator.token(emulator.identity)), **keywords)
    assert emulator.logins == []
