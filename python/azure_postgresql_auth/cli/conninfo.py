"""Parse connection strings as libpq does, without libpq.

PostgreSQL's documentation, "Connection Strings": keywords and values, or a URI; anything else is a database's name.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from azure_postgresql_auth import _conninfo
from azure_postgresql_auth.cli.failure import Failure

_SCHEMES = ("postgresql://", "postgres://")
_USERINFO = re.compile(r"([^@/]*)@")
_ENDPOINT = re.compile(
    r"(?:\[(?P<address>[^\]]+)\](?=[:/?,]|$)|(?!\[)(?P<host>[^:/?,]*))(?::(?P<port>[^/?,]*))?(?P<separator>,)?"
)


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
    try:
        return dict(_conninfo.pairs(text))
    except ValueError as error:
        # The message does not quote the text, which may contain a password.
        raise Failure(
            f"the connection string cannot be read after its character {error}: expected name=value"
        ) from None


def _uri(text: str) -> dict[str, str]:
    """Parse a URI as `conninfo_uri_parse_options` in PostgreSQL's `fe-connect.c` does."""
    rest = text.partition("://")[2]
    found: list[tuple[str, str]] = []
    # What is before "@" may contain "?", as passwords do.
    if userinfo := _USERINFO.match(rest):
        user, _, password = userinfo[1].partition(":")
        found += ("user", _decoded(user)), ("password", _decoded(password))
        rest = rest[userinfo.end() :]
    hosts: list[str] = []
    ports: list[str] = []
    separator: str | None = ","
    while separator:
        endpoint = _ENDPOINT.match(rest)
        if endpoint is None:
            raise Failure("the connection string cannot be read: in a URI, [ADDRESS] is expected after '['")
        hosts.append(endpoint["address"] or endpoint["host"] or "")
        ports.append(endpoint["port"] or "")
        separator = endpoint["separator"]
        rest = rest[endpoint.end() :]
    path, _, query = rest.partition("?")
    found += ("host", _decoded(",".join(hosts))), ("port", _decoded(",".join(ports)) if any(ports) else "")
    found.append(("dbname", _decoded(path[1:])))
    parameters = {keyword: value for keyword, value in found if value}
    for pair in query.split("&") if query else ():
        keyword, equals, value = pair.partition("=")
        if not equals or "=" in value:
            raise Failure("the connection string cannot be read: in a URI's query, name=value is expected")
        keyword, value = _decoded(keyword), _decoded(value)
        if (keyword, value) == ("ssl", "true"):
            # As in URIs of JDBC, which libpq accepts, too.
            keyword, value = "sslmode", "require"
        # An empty value counts, unlike one before the query: it hides variables and services.
        parameters[keyword] = value
    return parameters


def _decoded(part: str) -> str:
    if part != part.strip(" "):
        # Some versions of libpq remove it, others do not.
        raise Failure("the connection string cannot be read: in a URI, a part begins or ends with a space; remove it")
    return unquote(part)
