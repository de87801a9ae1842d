"""However a caller says where to connect, a token reaches no server that should not have it.

`PLAN_ROGUE_DRAWS` sets how many settings are drawn for each driver, `PLAN_SEED` which.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import shutil
import socket
import subprocess
import warnings
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from azure_postgresql_auth import core, errors, service_connector
from azure_postgresql_auth.cli import argv, failure, logins
from sqlalchemy import make_url

from tests.support import connection_settings
from tests.support.connection_settings import (
    AZURE,
    COSMOS,
    OTHER,
    REMOTE,
    DriversOwnError,
    Pools,
    Resolved,
    Settings,
    by_asyncpg,
    by_psycopg2,
    by_psycopg3,
    in_force,
)
from tests.support.credentials import SyncCredential, make_token
from tests.support.drivers import drivers
from tests.support.platforms import LIMIT
from tests.support.rogue import Rogue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.drivers import Driver

DRAWS = int(os.environ.get("PLAN_ROGUE_DRAWS", "40"))
SEED = int(os.environ.get("PLAN_SEED", "13"))
USER = "ada@contoso.com"
TOKEN = make_token(upn=USER)
SUFFIXES = (".postgres.database.azure.com", ".postgres.cosmos.azure.com")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("services")
    trustme.CA().cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder


@pytest.fixture(scope="module", params=[None, AZURE], ids=["refuses TLS", "certificate of its own"])
def rogue(request: pytest.FixtureRequest) -> Iterator[Rogue]:
    with Rogue.under(request.param) as server:
        yield server


@pytest.fixture(autouse=True)
def _all_names_lead_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Resolve names for drivers that do so in Python; libpq gets `hostaddr`."""
    resolve = socket.getaddrinfo

    def here(host: Any, *arguments: Any, **keywords: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve(host if name in {None, "::1"} else "127.0.0.1", *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def heard(rogue: Rogue) -> bool:
    """Whether it got a token, or so much as a user's name."""
    return TOKEN.encode() in rogue.heard or b"user\0" in rogue.heard


def is_azure(host: str) -> bool:
    return host.lower().rstrip(".").endswith(SUFFIXES)


def may_hear(rogue: Rogue, resolved: Resolved) -> bool:
    """Whether the caller's own settings allow that; written a second time, from the documentation."""
    hosts = [host for host, _, _ in resolved.places]

    def is_here(host: str, address: str) -> bool:
        place = (address or host).lower()
        here = place in {"", "localhost", "localhost.", "127.0.0.1", "::1"} or place.startswith(("/", "@"))
        return here and not is_azure(host)

    if resolved.places and all(is_here(host, address) for host, address, _ in resolved.places):
        return True
    if not rogue.speaks_tls or resolved.gssencmode == "require":
        return False
    is_other = bool(resolved.places) and not any(map(is_azure, hosts)) and resolved.sslrootcert != "system"
    return resolved.sslmode == "require" or (resolved.sslmode in {"prefer", ""} and is_other)


def resolved_by(driver: Driver, url: str, keywords: dict[str, Any]) -> Resolved:
    """Return how the driver itself reads the settings."""
    name = driver.name.removeprefix("sqlalchemy+").removesuffix("-async")
    if driver.name.startswith("sqlalchemy+") or driver.name == "create_asyncpg_engine":
        name = {"create_asyncpg_engine": "asyncpg"}.get(name, name)
        dialect = make_url(url).set(drivername=f"postgresql+{name}")
        arguments, parameters = dialect.get_dialect()().create_connect_args(dialect)
        keywords, url = {**parameters, **keywords}, "".join(arguments)
    if name == "pg8000":
        place = (str(keywords.get("host", "")), "", str(keywords.get("port", 5432)))
        mode = os.environ.get("PGSSLMODE") or "prefer"
        return Resolved((place,) if place[0] else (), "", mode, os.environ.get("PGSSLROOTCERT", ""), "")
    if "asyncpg" in name:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
        libpqs = keywords.pop("sslmode", None)
        ssl: Any = libpqs or keywords.get("ssl") or query.get("sslmode") or query.get("ssl")
        root = keywords.pop("sslrootcert", None)
        if libpqs or root:
            # They reach asyncpg in a URL, beside which it reads a service.
            url = url or "postgresql://"
        ssl = {"true": None, "false": "disable"}.get(ssl, ssl)
        found, _ = by_asyncpg(url, {**keywords, "ssl": ssl})
        return found._replace(sslrootcert=root or query.get("sslrootcert") or os.environ.get("PGSSLROOTCERT", ""))
    ask = by_psycopg2 if "psycopg2" in name else by_psycopg3
    try:
        return ask(url, keywords)
    except DriversOwnError as error:
        if 'invalid sslmode value: ""' not in str(error):
            raise
        # Means nothing to us.
        return ask(url, {**keywords, "sslmode": "prefer"})


def attempt(driver: Driver, rogue: Rogue, url: str, keywords: dict[str, Any]) -> str:
    """Log in, which fails, and return the error."""
    rogue.heard = b""
    try:
        driver.who(url, SyncCredential(TOKEN), **keywords)
    except Exception as error:  # noqa: BLE001 - any
        return repr(error)
    pytest.fail("nobody can log in there")


def pools_for(driver: Driver, rogue: Rogue, draw: random.Random) -> tuple[Pools, dict[str, Any]]:
    """Values that all lead here, and keywords that see to it."""
    port = str(rogue.port)
    here = ("localhost", "127.0.0.1", "LocalHost.", OTHER, "0")
    names = (AZURE, AZURE.upper(), f"{AZURE}.", COSMOS, REMOTE, f"{AZURE},localhost", f"localhost,{AZURE}", "", "evil.")
    if "psycopg2" not in driver.name:
        return Pools((*here, *names, f"{AZURE}:{port}"), ("", "127.0.0.1", "127.0.0.1"), (port,)), {}
    if draw.random() < 0.5:
        return Pools(here, ("", "127.0.0.1"), (port,)), {}
    return Pools((*here, *names), ("127.0.0.1",), (port,)), {"hostaddr": "127.0.0.1"}


@pytest.mark.parametrize("driver", drivers(), ids=lambda driver: driver.name)
def test_drawn_settings(driver: Driver, rogue: Rogue, root: Path) -> None:
    source = random.Random(f"{SEED} {driver.name}")  # noqa: S311 - the same ones each time
    faults, allowed = [], 0
    for _ in range(DRAWS):
        pools, forced = pools_for(driver, rogue, source)
        is_sqlalchemy = "sqlalchemy" in driver.name or "engine" in driver.name
        kind = connection_settings.sqlalchemy if is_sqlalchemy else connection_settings.libpq
        if "asyncpg" in driver.name and not is_sqlalchemy:
            kind = connection_settings.asyncpg
        settings = kind(source, pools)
        if "pg8000" in driver.name:
            forced = {"port": rogue.port}
        keywords = {**settings.keywords, **forced}
        environment = {"PGPORT": str(rogue.port), **settings.environment}
        url = f"postgresql://{settings.url}" if is_sqlalchemy else settings.url
        with in_force(Settings(url, keywords, environment, settings.files), root) as there:
            why = attempt(driver, rogue, there.url, dict(there.keywords))
            if not heard(rogue):
                continue
            try:
                resolved: object = resolved_by(driver, there.url, dict(there.keywords))
                is_allowed = may_hear(rogue, resolved)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - any
                resolved, is_allowed = error, False
            allowed += is_allowed
            if not is_allowed:
                faults.append(f"{there}\n    {resolved}\n    {why}")
    assert not faults, f"seed {SEED}, {len(faults)} of {DRAWS} leaked:\n" + "\n".join(faults[:10])
    print(f"seed {SEED}: {allowed} of {DRAWS} rightly went through")  # noqa: T201 - to draw the same again


def spelt(remote: str, port: int) -> Iterator[tuple[str, str, dict[str, Any], dict[str, str], dict[str, bytes]]]:
    """Ways in which libpq's callers name a remote host, from the strongest source to the weakest."""
    section = f"[mine]\nhost={remote}\nport={port}\n".encode()
    yield "keyword", "", {"host": remote}, {}, {}
    yield "keyword over the string", "host=localhost", {"host": remote}, {}, {}
    yield "keywords and values", f"host={remote}", {}, {}, {}
    yield "quoted", f"host = '{remote}'", {}, {}, {}
    yield "the last of two", f"host=localhost host={remote}", {}, {}, {}
    yield "URL", f"postgresql://{remote}", {}, {}, {}
    yield "URL with all", f"postgres://grace@{remote}:{port}/db", {}, {}, {}
    yield "query", f"postgresql://?host={remote}", {}, {}, {}
    yield "query over the authority", f"postgresql://localhost/?host={remote}", {}, {}, {}
    yield "percent", f"postgresql://{remote.replace('.', '%2E')}", {}, {}, {}
    yield "upper case", f"host={remote.upper()}", {}, {}, {}
    yield "trailing dot", f"host={remote}." if remote != OTHER else f"host={remote}", {}, {}, {}
    yield "None", f"host={remote}", {"host": None, "sslmode": None}, {}, {}
    yield "service in the string", "service=mine", {}, {}, {"home/.pg_service.conf": section}
    yield "service by keyword", "", {"service": "mine"}, {}, {"system/pg_service.conf": section}
    yield "service, file", "service=mine", {}, {"PGSERVICEFILE": "{root}/named.conf"}, {"named.conf": section}
    yield "PGHOST", "", {}, {"PGHOST": remote}, {}
    yield "PGSERVICE", "", {}, {"PGSERVICE": "mine"}, {"home/.pg_service.conf": section}
    latin1 = b"# caf\xe9\n[mine]\n# caf\xe9\n" + section.partition(b"\n")[2]
    yield "Latin-1", "", {}, {"PGSERVICE": "mine"}, {"home/.pg_service.conf": latin1}
    twice = section + b"host=localhost\nsslmode=disable\n[mine]\nhost=localhost\nsslmode=disable\n"
    yield "twice", "service=mine", {}, {}, {"home/.pg_service.conf": twice}
    yield "junk", "service=mine", {}, {}, {"home/.pg_service.conf": b"junk\n[other]\njunk\n" + section}
    inherited = b"[DEFAULT]\nhost=localhost\nsslmode=disable\n" + section
    yield "DEFAULT", "service=mine", {}, {}, {"home/.pg_service.conf": inherited}
    ours = b"[DEFAULT]\nhost=localhost\n[mine]\nhost=localhost\n"
    files = {"home/.pg_service.conf": ours, "system/pg_service.conf": section.replace(b"mine", b"theirs")}
    yield "second file", "service=theirs", {}, {}, files


DECOYS: dict[str, tuple[dict[str, str], bytes]] = {
    "none": ({}, b""),
    "PGHOST": ({"PGHOST": "localhost"}, b""),
    "PGHOST, disable": ({"PGHOST": "localhost", "PGSSLMODE": ""}, b""),
    "PGSERVICE": ({"PGSERVICE": "decoy"}, b"\n[decoy]\nhost=localhost\n"),
    "PGSERVICE, disable": ({"PGSERVICE": "decoy"}, b"\n[decoy]\nhost=localhost\nsslmode=disable\n"),
    "PGSERVICE that is not there": ({"PGSERVICE": "absent"}, b""),
    "PGGSSENCMODE": ({"PGGSSENCMODE": "prefer"}, b""),
    "PGREQUIRESSL": ({"PGREQUIRESSL": "0"}, b""),
    "DEFAULT": ({"PGSERVICE": "DEFAULT"}, b"\n[DEFAULT]\nhost=localhost\nsslmode=disable\n"),
}


def test_hand_written_settings_of_libpq(rogue: Rogue, root: Path) -> None:
    """Some 800 ways, in none of which this machine is the one that counts."""
    faults, count = [], 0
    for remote, (decoy, (variables, section)) in itertools.product((AZURE, COSMOS, OTHER), DECOYS.items()):
        if rogue.speaks_tls and (remote == OTHER or "disable" in decoy):
            # Encrypted is enough there; what lets go of encryption shows without TLS.
            continue
        for way, url, own_keywords, own_variables, own_files in spelt(remote, rogue.port):
            if way == "PGHOST" and b"localhost" in section:
                # A service comes before it.
                continue
            keywords = {**({} if remote == OTHER else {"hostaddr": "127.0.0.1"}), **own_keywords}
            environment = {"PGPORT": str(rogue.port), "PGSYSCONFDIR": "{root}/system", **variables, **own_variables}
            files = {**own_files, "home/.pg_service.conf": own_files.get("home/.pg_service.conf", b"") + section}
            driver = drivers()[count % 6]
            count += 1
            with in_force(Settings(url, keywords, environment, files), root) as there:
                why = attempt(driver, rogue, there.url, there.keywords)
            if heard(rogue):
                faults.append(f"{driver.name}, {remote}, {way}, {decoy}: {why}")
    assert count >= 200
    assert not faults, f"{len(faults)} of {count} leaked:\n" + "\n".join(faults)


@pytest.mark.parametrize("name", ["asyncpg", "asyncpg-pool"])
def test_hand_written_settings_of_asyncpg(name: str, rogue: Rogue, root: Path) -> None:
    driver = next(driver for driver in drivers() if driver.name == name)
    port, faults = rogue.port, []
    disabled = b"[mine]\nhost=localhost\nsslmode=disable\n[other]\nsslmode=require\n"
    ways: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        (f"postgresql://{AZURE}:{port}/db", {}, {"PGSERVICE": "mine"}),
        (f"postgresql://{AZURE}:{port}/db", {}, {"PGSERVICE": "other"}),
        (f"postgresql://{AZURE}:{port}/db?host=localhost", {}, {}),
        (f"postgresql:///db?host={AZURE}:{port}", {}, {}),
        (f"postgresql:///db?host={AZURE}&port={port}", {}, {"PGHOST": "localhost"}),
        ("postgresql:///db", {}, {"PGHOST": f"{AZURE}:{port}"}),
        ("postgresql:///db", {}, {"PGHOST": AZURE, "PGPORT": str(port)}),
        ("", {}, {"PGHOST": f"{AZURE}:{port}", "PGHOSTADDR": "127.0.0.1"}),
        (f"postgresql://localhost:{port}/db", {"host": AZURE}, {}),
        (f"postgresql://localhost:{port}/db", {"host": [AZURE], "port": [port]}, {}),
        (f"postgresql://grace@{AZURE.upper()}:{port}/db", {}, {}),
        (f"postgresql://{AZURE}.:{port}/db?ssl=true", {}, {}),
        (f"postgresql://{AZURE.replace('.', '%2e')}:{port}/db", {}, {}),
        (f"postgresql://{AZURE}:{port},localhost:{port}/db", {}, {}),
        (f"postgresql://localhost:{port},{AZURE}:{port}/db", {}, {}),
        (f"postgresql://{COSMOS}:{port}/db", {}, {}),
        (f"postgresql://{AZURE}:{port}/db?sslrootcert=system", {}, {}),
        (f"postgresql://{AZURE}:{port}/db", {"ssl": True}, {}),
        (f"postgresql://{AZURE}:{port}/db?sslmode=disable", {}, {}),
        (f"postgresql://{AZURE}:{port}/db?ssl=false", {}, {}),
        (f"postgresql://{AZURE}:{port}/db", {"ssl": "prefer"}, {}),
        (f"postgresql://{AZURE}:{port}/db", {}, {"PGSSLMODE": "prefer"}),
        ("postgresql:///db?service=azure", {}, {}),
        ("postgresql:///db", {"service": "azure"}, {"PGHOST": "localhost"}),
    ]
    service = f"\n[azure]\nhost={AZURE}:{port}\n".encode()
    for url, keywords, variables in ways:
        files = {"home/.pg_service.conf": disabled + service}
        with in_force(Settings(url, keywords, {"PGPORT": str(port), **variables}, files), root) as there:
            why = attempt(driver, rogue, there.url, there.keywords)
        if heard(rogue):
            faults.append(f"{url} {keywords} {variables}: {why}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "keywords",
    [
        # libpq's old name for sslmode; the last one counts.
        {"sslmode": "verify-full", "requiressl": "0"},
        {"sslmode": "verify-full", "application_name=x sslmode": "disable"},
        # At a zero byte, libpq stops reading, before what protects the token.
        {"user": "ada", "password": "", "application_name": "x\0"},
        {"user": "ada", "password": "", "passfile": PurePosixPath("x\0")},
    ],
    ids=str,
)
@pytest.mark.parametrize("driver", [driver for driver in drivers() if driver.libpq], ids=lambda driver: driver.name)
def test_keywords_that_libpq_reads_as_others(driver: Driver, keywords: dict[str, Any], rogue: Rogue) -> None:
    url, place = driver.via(rogue.port)
    why = attempt(driver, rogue, url, {**place, **keywords})
    assert not heard(rogue), why


@pytest.mark.parametrize("name", ["psycopg3", "psycopg3-async", "sqlalchemy+psycopg", "sqlalchemy+psycopg-async"])
def test_an_abstract_socket_that_psycopg_looks_up_as_a_name(name: str) -> None:
    driver = next(driver for driver in drivers() if driver.name == name)
    with Rogue.under(None) as rogue:
        why = attempt(driver, rogue, f"postgresql:///db?host=%40abstract&port={rogue.port}", {})
        assert not heard(rogue), why


@pytest.mark.parametrize(
    "host",
    [f"{AZURE}\u200b", AZURE.replace("base", "\u00adbase"), AZURE.replace(".", "\u3002"), AZURE.replace("a", "\uff41")],
    ids=ascii,
)
@pytest.mark.parametrize(
    "name", ["psycopg3-async", "asyncpg", "sqlalchemy+pg8000", "sqlalchemy+psycopg-async", "sqlalchemy+asyncpg"]
)
def test_names_that_python_resolves_as_azures(name: str, host: str, rogue: Rogue) -> None:
    assert host.encode("idna") == AZURE.encode()
    driver = next(driver for driver in drivers() if driver.name == name)
    why = attempt(driver, rogue, f"postgresql://{host}:{rogue.port}/db", {})
    assert not heard(rogue), why


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a program as `exec` does, with the command line's decisions."""
    login = core.login(SyncCredential(TOKEN), "https://ossrdbms-aad.database.windows.net/.default")
    monkeypatch.setattr(logins, "login", lambda *_, **__: login)

    def run(*command: str, told: dict[str, str] | None = None) -> str:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        try:
            if told is None:
                told = logins.access(argv.read(command)).variables
        except (errors.InsecureTransportError, failure.Failure) as error:
            return str(error)
        environment = {**os.environ, **told, "PGPASSWORD": TOKEN, "PGCONNECT_TIMEOUT": "10"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode
        return done.stderr

    return run


UNPROTECTED = "host=localhost sslmode=disable"
COMMANDS: list[tuple[tuple[str, ...], dict[str, str]]] = [
    (("psql", "-h", AZURE), {}),
    (("psql", "-Xqh", AZURE), {"PGHOST": "localhost"}),
    (("psql", f"-h{AZURE}"), {"PGHOST": "localhost"}),
    (("psql", "--hos", AZURE), {"PGHOST": "localhost"}),
    (("psql", f"--host={AZURE}"), {"PGHOST": "localhost"}),
    (("psql", "-h", "localhost", f"host={AZURE}"), {}),
    (("psql", "-h", "localhost", "-d", f"postgresql://{AZURE}/db"), {}),
    (("psql", "db", "ada", "-h", AZURE), {"PGHOST": "localhost"}),
    (("psql", "-d", f"host={AZURE}", "ada"), {"PGHOST": "localhost"}),
    (("psql", "-h", ""), {"PGHOST": AZURE}),
    (("psql", "service=mine"), {"PGHOST": "localhost"}),
    (("psql",), {"PGSERVICE": "mine", "PGHOST": "localhost"}),
    (("psql",), {"PGHOST": AZURE}),
    (("psql",), {"PGHOST": f"localhost,{AZURE}", "PGHOSTADDR": "127.0.0.1,127.0.0.1"}),
    (("psql", f"host={AZURE} gssencmode=prefer"), {}),
    (("psql", "-h", AZURE), {"PGGSSENCMODE": "prefer"}),
    (("psql", f"host={AZURE} sslmode=disable"), {}),
    (("psql", f"postgresql://{AZURE}?sslmode=prefer"), {}),
    (("psql", f"host={AZURE} sslmode=''"), {}),
    (("psql", "-h", AZURE), {"PGSSLMODE": ""}),
    (("psql", f"host={AZURE} requiressl=0"), {}),
    (("psql", f"host={AZURE} sslmode=verify-full requiressl=0"), {}),
    (("psql", f"postgresql://{AZURE}?requiressl=0"), {}),
    (("psql", f"postgresql://{AZURE}?require%73sl=0"), {}),
    (("psql", "service=disabled", "-h", AZURE), {}),
    (("psql", "service=disabled", "-h", AZURE), {"PGSSLMODE": "verify-full"}),
    (("psql", "--no-such-option", "-h", AZURE), {"PGHOST": "localhost"}),
    (("pg_dump", "-h", AZURE, "db"), {"PGHOST": "localhost"}),
    (("pg_dump", "-h", "localhost", "-d", f"host={AZURE}"), {}),
    (("pg_dumpall", "-h", AZURE, "-d", "host=localhost"), {}),
    (("pg_dumpall", "-d", f"host={AZURE}"), {"PGHOST": "localhost"}),
    (("vacuumdb", "-h", "localhost"), {"PGDATABASE": f"host={AZURE}"}),
    (("vacuumdb", "-h", "localhost"), {"PGDATABASE": f"host={AZURE} sslmode=disable"}),
    (("vacuumdb", "-h", "localhost"), {"PGUSER": f"host={AZURE}"}),
    (("vacuumdb", "-a", "--maintenance-db", f"host={AZURE}"), {"PGHOST": "localhost"}),
    (("createdb", "--maintenance-db", f"host={AZURE}", "x"), {"PGHOST": "localhost"}),
    (("createdb", "--maintenance-db", f"host={AZURE} sslmode=disable", "x"), {"PGHOST": "localhost"}),
    (("createdb", f"--maintenance-db=postgresql://{AZURE}?sslmode=disable", "x"), {"PGHOST": "localhost"}),
    (("sh", "-c", f"psql -h {AZURE}"), {"PGHOST": "localhost"}),
    (("sh", "-c", f"psql 'host={AZURE} sslmode=disable'"), {"PGHOST": "localhost"}),
    (("sh", "-c", f"psql 'host={AZURE} requiressl=0'"), {"PGHOST": "localhost"}),
    (("sh", "-c", f"psql postgresql://{AZURE}?requiressl=0"), {"PGHOST": "localhost"}),
    (("sh", "-c", f"psql postgresql://{AZURE}?sslmode%3Ddisable"), {"PGHOST": "localhost"}),
    (("env", "psql", "-h", AZURE), {"PGHOST": "localhost"}),
    (("env", "psql", f"host={AZURE}"), {"PGSERVICE": "local"}),
    # An empty option takes the place of the one before it, and its value is then the environment's.
    (("psql", "-h", "localhost", "-h", ""), {"PGHOST": AZURE}),
    (("psql", "-d", "", "host=localhost"), {"PGHOST": AZURE}),
    # getopt_long looks whether there is such a variable, not whether it says something.
    (("psql", "postgres", "-h", "localhost"), {"PGHOST": AZURE, "POSIXLY_CORRECT": ""}),
    # Options that take precedence over a connection string.
    (("pg_dumpall", "-h", AZURE, "-d", UNPROTECTED), {}),
    (("pg_dumpall", f"-h{AZURE}", "-d", UNPROTECTED), {}),
    (("pg_dumpall", "-vh", AZURE, "-d", UNPROTECTED), {}),
    (("pg_dumpall", "-h", AZURE, "-d", "service=here"), {}),
    (("pg_dumpall", "-d", UNPROTECTED, "-l", f"host={AZURE}"), {}),
    (("pg_dumpall", "-d", UNPROTECTED, "--datab", f"host={AZURE}"), {}),
    (("pg_basebackup", "-vh", AZURE, "-D", "/nonexistent/backup", "-d", UNPROTECTED), {}),
    (("env", "pg_dumpall", f"--hos={AZURE}", f"--db={UNPROTECTED}"), {}),
    (("env", "pg_dumpall", f"-h{AZURE}", "-d", UNPROTECTED), {}),
    # Several servers.
    (("sh", "-c", 'psql "$1"; psql "$2"', "sh", f"host={AZURE} sslmode=disable", "host=localhost"), {}),
    (
        ("sh", "-c", 'psql "$1"; psql "$2"', "sh", f"postgresql://{AZURE}/?sslmode=disable", "postgresql://localhost"),
        {},
    ),
    (("env", "psql", "-h", "localhost", "-h", AZURE, "-h", "localhost", f"-d{UNPROTECTED} host={AZURE}"), {}),
    # Variables for another program, and what is in one word with its option.
    (("env", "PGSSLMODE=disable", "psql", "-h", AZURE), {}),
    (("sh", "-c", f"PGSSLMODE=disable psql -h {AZURE}"), {}),
    (("env", "psql", f"-dhost={AZURE} sslmode=\\disable"), {}),
    (("env", "psql", f"-dservice=here host={AZURE}"), {}),
    (("env", "psql", "-h", AZURE, "-dservice=disabled"), {}),
    (("sh", "-c", f"psql 'service=here host={AZURE}'"), {}),
    (("sh", "-c", f"PGSERVICE=disabled psql -h {AZURE}"), {}),
]


@pytest.mark.parametrize(("command", "variables"), COMMANDS, ids=" ".join)
def test_commands(
    command: tuple[str, ...], variables: dict[str, str], rogue: Rogue, root: Path, programs: Callable[..., str]
) -> None:
    here = "[local]\nhost=localhost\n[here]\nhost=localhost\nsslmode=disable\n"
    sections = f"[mine]\nhost={AZURE}\n[disabled]\nsslmode=disable\n{here}".encode()
    environment = {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(rogue.port), **variables}
    settings = Settings("", {}, environment, {"home/.pg_service.conf": sections})
    rogue.heard = b""
    with in_force(settings, root):
        why = programs(*command)
    assert not heard(rogue), why


@pytest.mark.parametrize(
    "uri", [f"postgresql://{OTHER}/db?hostaddr=", f"postgresql://{OTHER}/db?hostaddr=127.0.0.1&hostaddr="]
)
def test_an_empty_parameter_of_a_uri_hides_what_is_weaker(uri: str, root: Path, programs: Callable[..., str]) -> None:
    with Rogue.under(None) as rogue:
        environment = {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(rogue.port)}
        with in_force(Settings("", {}, environment, {}), root):
            why = programs("psql", uri)
        assert not heard(rogue), why


def test_a_command_to_this_machine_gets_through(rogue: Rogue, root: Path, programs: Callable[..., str]) -> None:
    """What the test above rests on."""
    rogue.heard = b""
    with in_force(Settings("", {}, {"PGPORT": str(rogue.port), "PGSSLMODE": "prefer"}, {}), root):
        programs("psql", "-h", "localhost")
    assert TOKEN.encode() in rogue.heard


def test_env_of_token_is_for_any_place(
    rogue: Rogue, root: Path, programs: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    from azure_postgresql_auth.cli import dispatch

    for arguments in ((), ("--host", AZURE)):
        rogue.heard = b""
        environment = {"PGHOST": "localhost", "PGHOSTADDR": "127.0.0.1", "PGPORT": str(rogue.port)}
        with in_force(Settings("", {}, environment, {}), root):
            assert dispatch.main(["token", "--format", "env", *arguments]) == 0
            lines = capsys.readouterr().out.splitlines()
            told = dict(line.removeprefix("export ").split("=", 1) for line in lines)
            assert told["PGPASSWORD"] == TOKEN
            why = programs("psql", "-h", AZURE, told=told)
        assert not heard(rogue), why


@pytest.mark.parametrize("parameters", [(), ("-d", f"host={AZURE}"), ("otherdb",), ("-h", AZURE), ("-f", "/dev/null")])
@pytest.mark.parametrize("host", [AZURE, "localhost"])
def test_dbshell(
    host: str, parameters: tuple[str, ...], rogue: Rogue, root: Path, programs: Callable[..., str]
) -> None:
    from django.db.utils import ConnectionHandler

    options = {"credential": SyncCredential(TOKEN), "hostaddr": "127.0.0.1"}
    entry = {"ENGINE": "azure_postgresql_auth.django", "NAME": "db", "HOST": host, "OPTIONS": options}
    environment = {"PGPORT": str(rogue.port), "PGHOSTADDR": "127.0.0.1", "PGHOST": AZURE, "PGSERVICE": "local"}
    rogue.heard = b""
    files = {"home/.pg_service.conf": b"[local]\nhost=localhost\n"}
    with in_force(Settings("", {}, environment, files), root):
        connection = ConnectionHandler({"default": {}, "x": entry})["x"]
        with contextlib.suppress(Exception):
            connection.connect()
        assert heard(rogue) == (host == "localhost")
        rogue.heard = b""
        why = ""

        def run(command: list[str], *, env: dict[str, str], **_: Any) -> None:
            nonlocal why
            why = programs(*command, told={name: value for name, value in env.items() if os.environ.get(name) != value})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("django.db.backends.base.client.subprocess", SimpleNamespace(run=run))
            connection.client.runshell(parameters)
    is_here = host == "localhost" and "-d" not in parameters
    assert heard(rogue) == is_here, why


@pytest.mark.parametrize("insecure", ["sslmode=disable", "gssencmode=prefer", "service=plain", "requiressl=0"])
@pytest.mark.parametrize("option", [("-d", ""), ("-d",), ("--dbname=",), ("",)], ids=" ".join)
def test_dbshell_refuses_connection_strings(
    insecure: str, option: tuple[str, ...], rogue: Rogue, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError
    from django.db.utils import ConnectionHandler

    *before, last = option
    parameters = [*before, f"{last}host={AZURE} {insecure}"]
    credential = SyncCredential(TOKEN)
    options = {"credential": credential, "hostaddr": "127.0.0.1"}
    entry = {"ENGINE": "azure_postgresql_auth.django", "NAME": "db", "HOST": AZURE, "OPTIONS": options}
    files = {"home/.pg_service.conf": b"[plain]\nsslmode=disable\n"}
    monkeypatch.setattr("django.db.backends.base.client.subprocess", SimpleNamespace(run=None))
    with in_force(Settings("", {}, {"PGPORT": str(rogue.port)}, files), root):
        client = ConnectionHandler({"default": {}, "x": entry})["x"].client
        with pytest.raises(OperationalError, match=r"sslmode|gssencmode|requiressl"):
            client.runshell(parameters)
    assert credential.calls == []


@pytest.mark.parametrize("way", ["psycopg", "asyncpg", "sqlalchemy", "django"])
def test_service_connector(way: str, rogue: Rogue, root: Path) -> None:
    from django.db.utils import ConnectionHandler

    environment = {
        "AZURE_POSTGRESQL_HOST": AZURE,
        "AZURE_POSTGRESQL_NAME": "db",
        "AZURE_POSTGRESQL_PORT": str(rogue.port),
        "AZURE_POSTGRESQL_SSL": "true",
        "PGHOST": "localhost",
        "PGSERVICE": "local",
        "PGSSLMODE": "",
    }
    by_name = {driver.name: driver for driver in drivers()}
    rogue.heard = b""
    files = {"home/.pg_service.conf": b"[local]\nhost=localhost\nsslmode=disable\n"}
    with in_force(Settings("", {}, environment, files), root):
        if way == "django":
            entry = {"ENGINE": "azure_postgresql_auth.django", **service_connector.django()}
            entry["OPTIONS"] = {**entry["OPTIONS"], "credential": SyncCredential(TOKEN)}
            with pytest.raises(Exception, match="."):
                ConnectionHandler({"default": {}, "x": entry})["x"].connect()
        elif way == "sqlalchemy":
            url = service_connector.sqlalchemy("postgresql+psycopg")["url"]
            for name in ("sqlalchemy+psycopg", "sqlalchemy+asyncpg", "sqlalchemy+pg8000"):
                attempt(by_name[name], rogue, url, {})
        else:
            said = {"psycopg": service_connector.psycopg, "asyncpg": service_connector.asyncpg}[way]()
            del said["credential"]
            attempt(by_name["psycopg3" if way == "psycopg" else way], rogue, "", said)
    assert not heard(rogue)
