"""Parse connection strings as libpq does, without libpq.

PostgreSQL's documentation, "Connection Strings": keywords and values, or a URI; anything else is a database's name.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from azure_postgresql_auth.cli.failure import Failure

_SCHEMES = ("postgresql://", "postgres://")
_PAIR = re.compile(
    r"\s*(?P<keyword>[^\s=]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'(?=\s|$)|(?P<plain>(?:[^\s'\\]|\\.)*)(?=\s|$))",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def is_conninfo(text: str) -> bool:
    """Return whether libpq reads the text as a connection string, not as the name of a database."""
    return "=" in text or text.startswith(_SCHEMES)


def parse(text: str) -> dict[str, str]:
    """Return the parameters of a connection string.

    Raises:
        Failure: the text is not a valid connection string.
    """
    if text.startswith(_SCHEMES):
        return _uri(text)
    return _keywords(text) if "=" in text else ({"dbname": text} if text else {})


def _keywords(text: str) -> dict[str, str]:
    found = {}
    position, end = 0, len(text.rstrip())
    while position < end:
        pair = _PAIR.match(text, position)
        if pair is None:
            # The message does not quote the text, which may contain a password.
            raise Failure(f"the connection string cannot be read after its character {position}: expected name=value")
        value = pair["plain"] if pair["quoted"] is None else pair["quoted"]
        found[pair["keyword"]] = _ESCAPED.sub(r"\1", value)
        position = pair.end()
    return found


def _uri(text: str) -> dict[str, str]:
    rest, _, query = text.partition("://")[2].partition("?")
    place, _, database = rest.partition("/")
    userinfo, _, hosts = place.rpartition("@")
    user, _, password = userinfo.partition(":")
    pairs = [_host_and_port(host) for host in hosts.split(",")]
    found = {
        "user": unquote(user),
        "password": unquote(password),
        "host": ",".join(host for host, _ in pairs),
        "port": ",".join(port for _, port in pairs) if any(port for _, port in pairs) else "",
        "dbname": unquote(database),
    }
    for pair in filter(None, query.split("&")):
        keyword, equals, value = pair.partition("=")
        if not equals:
            raise Failure("the connection string cannot be read: in a URI's query, name=value is expected")
        # As in URIs of JDBC, which libpq accepts, too.
        keyword, value = ("sslmode", "require") if pair == "ssl=true" else (keyword, value)
        found[unquote(keyword)] = unquote(value)
    return {keyword: value for keyword, value in found.items() if value}


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.lstrip(":")
    host, _, port = text.partition(":")
    return unquote(host), port
