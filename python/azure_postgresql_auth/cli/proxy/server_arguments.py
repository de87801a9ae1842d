"""The servers that the arguments name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from azure_postgresql_auth._core import is_azure_server, scope_for
from azure_postgresql_auth.cli.failure import USAGE, Failure
from azure_postgresql_auth.tls import AZURE_ROOTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_PORT: Final = 5432
HIGHEST_PORT: Final = 65535
_SERVER: Final = re.compile(
    r"(?:(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)=)?(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s\[\]:/@=]+))(?::(?P<port>[0-9]{1,5}))?"
)


class Server(NamedTuple):
    """A server and how to log in to it."""

    name: str
    """The name of its folder or descriptor, in metrics and in the log."""
    host: str
    port: int
    scope: str
    roots: str
    """The PEM file with the root certificates to verify it against."""


def parse(texts: Sequence[str], scope: str | None, roots: str | None) -> list[Server]:
    """Parse `[NAME=]HOST[:PORT]`.

    Args:
        texts: The servers.
        scope: The OAuth 2.0 scope of their tokens; by default the one of their cloud.
        roots: A PEM file with root certificates; by default Azure's, for Azure's host names.

    Raises:
        Failure: There is none, two have the same name, or it is unknown how to verify one.
    """
    servers = [_parse(text, scope, roots) for text in texts]
    if not servers:
        raise Failure(
            "proxy: name the server to connect to: HOST[:PORT], or NAME=HOST[:PORT] for each of several", USAGE
        )
    names = [server.name for server in servers]
    if len(set(names)) < len(names):
        raise Failure("proxy: two servers have the same name; give each one its own, as NAME=HOST[:PORT]", USAGE)
    if len(servers) > 1 and any("=" not in text for text in texts):
        raise Failure("proxy: several servers need names, as NAME=HOST[:PORT]", USAGE)
    return servers


def _parse(text: str, scope: str | None, roots: str | None) -> Server:
    found = _SERVER.fullmatch(text)
    port = int(found["port"] or _PORT) if found else 0
    if found is None or not 0 < port <= HIGHEST_PORT:
        raise Failure(f"proxy: {text!r} is not a server: expected HOST[:PORT] or NAME=HOST[:PORT]", USAGE)
    host = found["literal"] or found["host"]
    if roots is None and not is_azure_server(host):
        message = (
            f"proxy: {host} is not named like a server of Azure, so its certificate cannot be verified against Azure's "
            f"roots; give the name that it has there, or --sslrootcert FILE with the roots of its certificate"
        )
        raise Failure(message, USAGE)
    return Server(found["name"] or host, host, port, scope or scope_for((host,)), roots or AZURE_ROOTS)
