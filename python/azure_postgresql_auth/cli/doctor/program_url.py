"""Convert the URL of a program (SQLAlchemy, Django or asyncpg) to a connection string of libpq."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from azure_postgresql_auth.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from typing import Final

_URL: Final = re.compile(r"(?P<scheme>[\w.:-]+)(?:\+(?P<driver>\w+))?://(?P<rest>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL)
_SCHEMES: Final = ("postgresql", "postgres", "postgis", "pgsql", "psql")
"""SQLAlchemy's and libpq's, and those of dj-database-url and django-environ."""
_PLUGIN: Final = ("plugin", "entra_credential", "entra_client_id")
"""Of SQLAlchemy's `create_engine`, for the plugin of this package."""
_OF_ENGINES: Final = (
    *_PLUGIN,
    "async_fallback",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "atomic_requests",
    "autocommit",
    "conn_health_checks",
    "conn_max_age",
    "disable_server_side_cursors",
    "engine",
)
"""Parameters that SQLAlchemy and Django take out of a URL before a driver sees it."""
_OF_ASYNCPG: Final = (
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "service",
    "servicefile",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "target_session_attrs",
    "krbsrvname",
    "gsslib",
)
"""Parameters that asyncpg reads in a URL; it sends every other to the server, as a setting of the session."""
_ASYNCPGS_NAMES: Final = {"database": "dbname", "ssl": "sslmode"}


class ProgramUrl(NamedTuple):
    """The contents of a program's URL."""

    conninfo: str
    """The connection string for libpq."""
    driver: str = ""
    """The driver in the URL's scheme; "" if it has none."""
    note: str = ""
    """The ignored parts; empty if nothing is ignored."""
    names_plugin: bool = False
    """Whether the program logs in by this package's plugin of SQLAlchemy, only to servers that are listed."""


def read(text: str) -> ProgramUrl:
    """Read a program's URL; every other connection string is returned unchanged.

    Raises:
        Failure: it is a URL, but not of PostgreSQL.
    """
    url = _URL.fullmatch(text)
    if url is None:
        return ProgramUrl(text)
    if url["scheme"].lower() not in _SCHEMES:
        raise Failure(f"{url['scheme']}:// is not a URL of PostgreSQL: expected postgresql://", USAGE)
    driver = (url["driver"] or "").removesuffix("_async")
    query = url["query"] or ""
    names = {pair.partition("=")[0] for pair in query.split("&")}
    if not driver and not names & {*_OF_ENGINES, *_ASYNCPGS_NAMES, "host"}:
        return ProgramUrl(f"postgresql://{text.partition('://')[2]}")
    kept: dict[str, str] = {}
    left: list[str] = []
    hosts: list[str] = []
    # Only libpq does not decode "+".
    pairs = parse_qsl(query if driver else query.replace("+", "%2B"), keep_blank_values=True)
    for name, value in pairs:
        keyword = name if (name, value) == ("ssl", "true") else _ASYNCPGS_NAMES.get(name, name)
        if name.lower() in _OF_ENGINES or (driver == "asyncpg" and keyword not in _OF_ASYNCPG):
            left.append(name)
        elif keyword == "host":
            hosts += value.split(",")
        else:
            kept[keyword] = value
    if hosts:
        kept.update(_places(hosts, kept.get("port", "")))
    conninfo = f"postgresql://{url['rest']}" + (f"?{urlencode(kept, quote_via=quote)}" if kept else "")
    return ProgramUrl(conninfo, driver, _note(left, driver), ("plugin", "entra") in pairs)


def _places(hosts: list[str], port: str) -> dict[str, str]:
    """Separate names and ports, which SQLAlchemy and asyncpg take as `name:port`."""
    pairs = [re.fullmatch(r"(?:\[(.*)\]|([^:/]*)):(\d+)", host) for host in hosts]
    if not any(pairs):
        return {"host": ",".join(hosts)}
    names = [(pair[1] or pair[2]) if pair else host for pair, host in zip(pairs, hosts)]
    return {"host": ",".join(names), "port": ",".join(pair[3] if pair else port for pair in pairs)}


def _note(left: list[str], driver: str) -> str:
    if not left:
        return ""
    note = f"left out of the URL: {', '.join(dict.fromkeys(left))}"
    # A URL that names a driver is SQLAlchemy's.
    if "plugin" in left and not driver:
        note += "; a plugin is for SQLAlchemy's create_engine, and psycopg, psycopg2 and asyncpg refuse it in a URL"
    return note
