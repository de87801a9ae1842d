"""The servers to which the SQLAlchemy plugin may log in, as the operator lists them in an environment variable."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from azure_postgresql_auth.errors import EntraConnectionValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

VARIABLE: Final = "AZURE_POSTGRESQL_AUTH_PLUGIN_HOSTS"
_PORTS: Final = ("5432", "6432")
"""The ports of an entry without a port: PostgreSQL's, and that of PgBouncer on Azure's servers."""


class Unlisted(NamedTuple):
    """A server to which the plugin does not log in; its text says so."""

    host: str
    port: str
    is_list_empty: bool

    @property
    def entry(self) -> str:
        """The entry that would allow it."""
        if self.port in _PORTS:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        state = "is not set" if self.is_list_empty else "does not list it"
        return f"plugin=entra does not log in to {self.host!r}, port {self.port}: {VARIABLE} {state}"


def first_unlisted(places: Iterable[tuple[str, str]]) -> Unlisted | None:
    """Return the first of these hosts and ports that is not listed; an empty port is 5432.

    Raises:
        EntraConnectionValueError: an entry of the list is not a server.
    """
    entries = list(entries_of(os.environ.get(VARIABLE, "")))
    for host, given in places:
        port = given or "5432"
        if not any(entry.matches(host, port) for entry in entries):
            return Unlisted(host, port, is_list_empty=not entries)
    return None


class _Entry(NamedTuple):
    """An entry of the list: one server, or all servers below a domain."""

    host: str
    ports: tuple[str, ...]

    def matches(self, host: str, port: str) -> bool:
        """Return whether the entry allows a connection."""
        host = _normal(host)
        if port not in self.ports:
            return False
        if self.host.startswith("*."):
            # Only characters that every resolver, driver and C string reads alike.
            return host.endswith(self.host[1:]) and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host) is not None
        return host == self.host


def _normal(host: str) -> str:
    return host if host.startswith("/") else host.lower().rstrip(".")


def entries_of(listed: str) -> Iterator[_Entry]:
    """Read a list of servers.

    Raises:
        EntraConnectionValueError: an entry is not a server.
    """
    for text in filter(None, map(str.strip, listed.split(","))):
        found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+|[^:]*:[^:]*:.*?))(?::(?P<port>\d+))?", text)
        is_domain = re.fullmatch(r"\*(\.[A-Za-z0-9-]+){2,}(:\d+)?", text) is not None
        if found is None or ("*" in text and not is_domain):
            message = (
                f"{VARIABLE} has the entry {text!r}; expected host, host:port, [address]:port, a socket's "
                f"directory, or *.domain for all below a domain"
            )
            raise EntraConnectionValueError(message)
        port = found["port"]
        yield _Entry(_normal(found["v6"] or found["host"]), (port,) if port else _PORTS)
