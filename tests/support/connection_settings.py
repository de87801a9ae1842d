"""Random connection settings, and how the drivers themselves read them."""

from __future__ import annotations

import ctypes
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import psycopg
import psycopg2
import pytest
from asyncpg import connect_utils
from psycopg.conninfo import make_conninfo
from psycopg2.extensions import make_dsn

from tests.support.platforms import WINDOWS

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

AZURE = "srv.postgres.database.azure.com"
COSMOS = "c-orders.abc123.postgres.cosmos.azure.com"
REMOTE = "db.example.com"
OTHER = "127.1"
"""A host name that does not look local, but that the C library resolves to this machine."""

SERVICES = ("mine", "other", "DEFAULT", "two words")


class Settings(NamedTuple):
    """The settings of a connection."""

    url: str
    keywords: dict[str, Any]
    environment: dict[str, str]
    """Environment variables, in which `{root}` is replaced by the folder of the files."""
    files: dict[str, bytes]
    """Contents of service files by their path in the folder; the home directory is `home`."""


class Pools(NamedTuple):
    """Values to draw from."""

    hosts: Sequence[str] = (
        *(AZURE, AZURE.upper(), f"{AZURE}.", COSMOS, REMOTE, OTHER, "10.0.0.5", "localhost", "LocalHost.", "127.0.0.1"),
        *("::1", "/tmp", "@abstract", "", f"{AZURE},localhost", "localhost,127.0.0.1", f"localhost,{REMOTE}", ","),  # noqa: S108
        *("127.0.0.1%lo", "localhost.example.com", f"{AZURE}:5432", f"{AZURE},{COSMOS}"),
    )
    addresses: Sequence[str] = ("", "127.0.0.1", "::1", "10.0.0.5", "127.0.0.1,10.0.0.5", ",127.0.0.1")
    ports: Sequence[str] = ("", "5432", "6000", "6000,6001", "abc")


POOLS = Pools()
_OTHERS = {
    "user": ("", "ada", "grace"),
    "dbname": ("db", ""),
    "sslmode": ("require", "verify-full", "verify-ca", "disable", "prefer", "", "nonsense"),
    "sslrootcert": ("system", "{root}/ca.pem", "", "{root}/missing.pem"),
    "gssencmode": ("disable", "prefer", "require", ""),
    "connect_timeout": ("3", "0"),
}
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "gssencmode": "PGGSSENCMODE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "service": "PGSERVICE",
}
_LIKELIHOOD = {"host": 0.5, "hostaddr": 0.2, "port": 0.3, "sslmode": 0.2, "service": 0.15}


def _params(draw: random.Random, pools: Pools, *, leave_out: Sequence[str] = ()) -> dict[str, str]:
    values = {
        "host": pools.hosts,
        "hostaddr": pools.addresses,
        "port": pools.ports,
        "service": SERVICES,
        **_OTHERS,
    }
    names = [name for name in values if name not in leave_out and draw.random() < _LIKELIHOOD.get(name, 0.1)]
    return {name: draw.choice(values[name]) for name in names}


def libpq(draw: random.Random, pools: Pools = POOLS) -> Settings:
    """Draw settings of a driver on libpq."""
    said = _params(draw, pools) if draw.random() < 0.6 else {}
    url = draw.choice((_keywords_and_values, _uri))(draw, said) if said else ""
    keywords: dict[str, Any] = _params(draw, pools) if draw.random() < 0.6 else {}
    for name in list(keywords):
        if draw.random() < 0.05:
            keywords[name] = None
    return Settings(url, keywords, *_surroundings(draw, pools))


def asyncpg(draw: random.Random, pools: Pools = POOLS) -> Settings:
    """Draw settings of asyncpg."""
    url = ""
    if draw.random() < 0.8:
        said = _params(draw, pools, leave_out=("hostaddr", "gssencmode", "connect_timeout"))
        url = _uri(draw, said)
        if draw.random() < 0.1:
            url += ("&" if "?" in url else "?") + draw.choice(("ssl=true", "ssl=require", "ssl=false"))
    keywords: dict[str, Any] = {}
    if draw.random() < 0.3:
        hosts = draw.choice(pools.hosts)
        keywords["host"] = hosts.split(",") if draw.random() < 0.5 else hosts
    if draw.random() < 0.2:
        ports = draw.choice(pools.ports)
        number = next(int(port) for port in pools.ports if port.isdecimal())
        keywords["port"] = draw.choice((ports.split(","), number, None))
    if draw.random() < 0.2:
        keywords["ssl"] = draw.choice(("require", "verify-full", "prefer", True, False, None, "disable"))
    if draw.random() < 0.1:
        keywords["service"] = draw.choice(SERVICES)
    if draw.random() < 0.1:
        keywords["user"] = "ada"
    return Settings(url, keywords, *_surroundings(draw, pools))


def sqlalchemy(draw: random.Random, pools: Pools = POOLS) -> Settings:
    """Draw settings of SQLAlchemy: a URL without its scheme, and `connect_args`."""
    said = _params(draw, pools, leave_out=("gssencmode", "connect_timeout"))
    names = ("host", "port", "sslmode", "user")
    keywords = {name: value for name, value in _params(draw, pools).items() if name in names and draw.random() < 0.3}
    url = _uri(draw, said).partition("://")[2]
    return Settings(url, keywords, *_surroundings(draw, pools))


def _keywords_and_values(draw: random.Random, said: dict[str, str]) -> str:
    def quoted(value: str) -> str:
        if value and not set(value) & set(" '\\") and draw.random() < 0.7:
            return value
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    pairs = [f"{name}{draw.choice(('=', ' = '))}{quoted(value)}" for name, value in said.items()]
    draw.shuffle(pairs)
    return draw.choice((" ", "  ", "\n")).join(pairs)


def _uri(draw: random.Random, said: dict[str, str]) -> str:
    rest = dict(said)
    authority = ""
    if "host" in rest and draw.random() < 0.7:
        hosts = rest.pop("host").split(",")
        ports = rest.pop("port", "").split(",") if draw.random() < 0.7 else []
        ports = (ports * len(hosts) if len(ports) == 1 else ports)[: len(hosts)]
        ports += [""] * (len(hosts) - len(ports))
        named = [f"[{host}]" if "::" in host else quote(host, safe=draw.choice(("", ":"))) for host in hosts]
        authority = ",".join(host + (f":{port}" if port else "") for host, port in zip(named, ports))
    if "user" in rest and draw.random() < 0.7:
        authority = f"{rest.pop('user')}@{authority}"
    path = "/" + rest.pop("dbname") if "dbname" in rest and draw.random() < 0.7 else draw.choice(("", "/"))
    query = "&".join(f"{name}={quote(value, safe=draw.choice(('', '/,:')))}" for name, value in rest.items())
    if "host" in said and "host" not in rest and draw.random() < 0.1:
        query += ("&" if query else "") + "host=localhost"
    scheme = draw.choice(("postgresql", "postgresql", "postgres"))
    return f"{scheme}://{authority}{path}{'?' if query else ''}{query}"


def _surroundings(draw: random.Random, pools: Pools) -> tuple[dict[str, str], dict[str, bytes]]:
    environment: dict[str, str] = {}
    if draw.random() < 0.6:
        said = _params(draw, pools)
        environment = {_VARIABLES[name]: value for name, value in said.items()}
    files = {}
    if draw.random() < 0.5:
        files["home/.pg_service.conf"] = _service_file(draw, pools)
    if draw.random() < 0.4:
        files["system/pg_service.conf"] = _service_file(draw, pools)
    if draw.random() < 0.2:
        files["named.conf"] = _service_file(draw, pools)
    if "named.conf" in files or draw.random() < 0.1:
        environment["PGSERVICEFILE"] = draw.choice(("{root}/named.conf", "{root}/named.conf", "", "{root}"))
    if draw.random() < 0.8:
        environment["PGSYSCONFDIR"] = "{root}/system"
    return environment, files


_JUNK = (
    *(b"", b"# a comment", b"# caf\xe9", b"junk", b"host", b"=x", b"[broken", b"[]", b"ldap://127.0.0.1:9/x", b"port"),
    *(b" host = localhost", b"service=other", b"unknown=x", b"x" * 300, b"#" + b"x" * 1100, b"user=caf\xe9", b"\x0b"),
)


def _service_file(draw: random.Random, pools: Pools) -> bytes:
    lines: list[bytes] = []
    for _ in range(draw.randint(1, 4)):
        name = draw.choice(SERVICES)
        lines.append(f"{draw.choice(('', '', '  '))}[{name}]{draw.choice(('', '', ' # x'))}".encode())
        said = _params(draw, pools, leave_out=("service",) if draw.random() < 0.95 else ())
        said.setdefault("host", draw.choice(pools.hosts))
        if draw.random() < 0.3:
            said["sslmode"] = draw.choice(("require", "disable", "prefer"))
        pairs = [f"{keyword}={value}" for keyword, value in said.items()]
        if draw.random() < 0.15:
            pairs.append(f"host={draw.choice(pools.hosts)}")
        draw.shuffle(pairs)
        lines += [pair.encode() for pair in pairs]
        if draw.random() < 0.2:
            lines.insert(draw.randint(0, len(lines)), draw.choice(_JUNK))
    ending = draw.choice((b"\n", b"\n", b"\r\n"))
    return ending.join(lines) + draw.choice((b"", ending))


@contextmanager
def in_force(settings: Settings, root: Path) -> Iterator[Settings]:
    """Set the environment and create the files; yield the settings with their paths filled in."""
    saved, home = dict(os.environ), root / "home"

    def here(value: Any) -> Any:
        # A backslash of Windows' would be an escape in a connection string.
        return value.replace("{root}", root.as_posix()) if isinstance(value, str) else value

    for folder in (home, root / "system"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (root / "named.conf").unlink(missing_ok=True)
    for name, content in settings.files.items():
        Path(root, name).write_bytes(content.replace(b"{root}", root.as_posix().encode()))
    own = {}
    if WINDOWS and (home / ".pg_service.conf").exists():
        # There the drivers ask the system for the folder of the user's own file, and not the environment.
        own["PGSERVICEFILE"] = (home / ".pg_service.conf").as_posix()
    try:
        for name in saved:
            if name.startswith("PG"):
                del os.environ[name]
        environment = {**own, **{name: here(value) for name, value in settings.environment.items()}}
        os.environ.update({"HOME": str(home), **environment})
        url = here(settings.url.replace(quote("{root}", safe=""), "{root}"))
        keywords = {name: here(value) for name, value in settings.keywords.items()}
        yield Settings(url, keywords, environment, settings.files)
    finally:
        for name in set(os.environ) - set(saved):
            del os.environ[name]
        os.environ.update(saved)


class Resolved(NamedTuple):
    """How a driver reads its settings."""

    places: tuple[tuple[str, str, str], ...]
    """Host, address and port of each attempt; empty if the driver's default applies."""
    user: str
    sslmode: str
    sslrootcert: str
    gssencmode: str


class DriversOwnError(Exception):
    """The driver itself rejects the settings."""


_REFUSED = {"target_session_attrs": "refused"}
"""A parameter that libpq rejects after it has read all others, and before it opens a socket."""


def by_psycopg3(url: str, keywords: dict[str, Any]) -> Resolved:
    """Return how psycopg 3's libpq reads the settings."""
    try:
        conninfo = make_conninfo(url, **keywords, **_REFUSED)
    except psycopg.Error as error:
        raise DriversOwnError(str(error)) from error
    asked = psycopg.pq.PGconn.connect_start(conninfo.encode())
    try:
        found = {option.keyword.decode(): (option.val or b"").decode("utf-8", "replace") for option in asked.info}
        message = asked.get_error_message()
    finally:
        asked.finish()
    return _resolved(found, message)


class _Option(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_int if name == "dispsize" else ctypes.c_char_p)
        for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar", "dispsize")
    )


def _bundled_libpq() -> ctypes.CDLL | None:
    """psycopg2's libpq; None if psycopg2 is not from its binary wheel."""
    folder = Path(psycopg2.__file__).parent.parent / "psycopg2_binary.libs"
    for path in folder.glob("libpq-*"):
        library = ctypes.CDLL(str(path))
        library.PQconnectStart.restype = library.PQerrorMessage.restype = ctypes.c_void_p
        library.PQconnectStart.argtypes = [ctypes.c_char_p]
        library.PQerrorMessage.restype = ctypes.c_char_p
        library.PQconninfo.restype = ctypes.POINTER(_Option)
        for function in (library.PQerrorMessage, library.PQconninfo, library.PQfinish, library.PQconninfoFree):
            function.argtypes = [ctypes.c_void_p]
        return library
    return None


_LIBPQ = _bundled_libpq()


def by_psycopg2(url: str, keywords: dict[str, Any]) -> Resolved:
    """Return how psycopg2's libpq reads the settings, or psycopg 3's if psycopg2's is not available."""
    if _LIBPQ is None:
        return by_psycopg3(url, keywords)
    try:
        conninfo = make_dsn(url or None, **keywords, **_REFUSED)
    except psycopg2.Error as error:
        raise DriversOwnError(str(error)) from error
    connection = _LIBPQ.PQconnectStart(conninfo.encode())
    options = _LIBPQ.PQconninfo(connection)
    try:
        found = {}
        for option in options:
            if option.keyword is None:
                break
            found[option.keyword.decode()] = (option.val or b"").decode("utf-8", "replace")
        message = _LIBPQ.PQerrorMessage(connection).decode("utf-8", "replace")
    finally:
        _LIBPQ.PQconninfoFree(ctypes.cast(options, ctypes.c_void_p))
        _LIBPQ.PQfinish(connection)
    return _resolved(found, message)


def _resolved(found: dict[str, str], message: str) -> Resolved:
    if "target_session_attrs" not in message:
        raise DriversOwnError(message)
    places = places_of(*(found[name].split(",") if found[name] else [] for name in ("host", "hostaddr", "port")))
    return Resolved(places, found["user"], found["sslmode"], found["sslrootcert"], found.get("gssencmode", ""))


def places_of(hosts: Sequence[str], addresses: Sequence[str], ports: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    """Return one entry for each attempt, paired as in libpq; none if no host is given."""
    count = max(len(hosts), len(addresses))
    if not any([*hosts, *addresses]):
        return ()
    ports = ports or [""]
    ports = list(ports) * count if len(ports) == 1 else list(ports)
    return tuple(
        (hosts[index] if hosts else "", addresses[index] if addresses else "", ports[index] or "5432")
        for index in range(count)
    )


def by_asyncpg(url: str | None, keywords: dict[str, Any]) -> tuple[Resolved, Any]:
    """Return how asyncpg reads the settings, and its TLS context."""
    places, params = _read_by_asyncpg(url, keywords)
    is_named = any(host for host, _, _ in places) and not _has_default_host(url, keywords)
    mode = params.sslmode.name.replace("_", "-")
    return Resolved(places if is_named else (), params.user, mode, "", ""), params.ssl


def _read_by_asyncpg(url: str | None, keywords: dict[str, Any]) -> tuple[tuple[tuple[str, str, str], ...], Any]:
    names = ["host", "port", "user", "password", "passfile", "database", "ssl", "service", "servicefile", "direct_tls"]
    names += ["server_settings", "target_session_attrs", "krbsrvname", "gsslib"]
    try:
        # asyncpg has no public function that reads settings without connecting.
        addresses, params = connect_utils._parse_connect_dsn_and_args(  # noqa: SLF001
            dsn=url or None, **{name: keywords.get(name) for name in names}
        )
    except Exception as error:
        raise DriversOwnError(repr(error)) from error
    return tuple(map(_place, addresses)), params


def _has_default_host(url: str | None, keywords: dict[str, Any]) -> bool:
    """Whether no source names a host: PGHOST, the weakest of them, would name one."""
    if os.environ.get("PGHOST"):
        return False
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGHOST", "named.only.here")
        places, _ = _read_by_asyncpg(url, keywords)
    return places[0][0] == "named.only.here"


def _place(address: Any) -> tuple[str, str, str]:
    if isinstance(address, str):
        # The path of a socket is replaced by its directory.
        return Path(address).parent.as_posix(), "", address.rpartition(".")[2]
    return address[0], "", str(address[1])
