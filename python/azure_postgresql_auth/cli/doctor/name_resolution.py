"""Check whether the server's name can be resolved."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from azure_postgresql_auth._core import is_azure_server
from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, WARNING, Context, Finding, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.cli.doctor.finding import Endpoint


def check(context: Context) -> Iterator[Finding]:
    """Resolve each host; one that can be resolved is enough."""
    failed = []
    for endpoint in context.endpoints:
        finding = _resolve(context, endpoint)
        if finding.status == FAILURE:
            failed.append(finding)
        else:
            yield finding
    for finding in failed:
        yield finding._replace(status=WARNING) if context.resolved else finding


def _resolve(context: Context, endpoint: Endpoint) -> Finding:
    if endpoint.is_socket:
        context.resolved[endpoint] = []
        return Finding(OK, f"{endpoint.host or 'the default directory'} is a Unix socket's")
    if endpoint.address:
        context.resolved[endpoint] = [endpoint.address]
        return Finding(OK, f"{endpoint.address}, by hostaddr")
    clock = Stopwatch()
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return _unresolved(endpoint.host, error)._replace(seconds=clock.seconds)
    context.resolved[endpoint] = addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    private = is_azure_server(endpoint.host) and any(ipaddress.ip_address(one).is_private for one in addresses)
    hint = ", private: reachable from its virtual network only" if private else ""
    return Finding(OK, f"{endpoint.host} is {', '.join(addresses)}{hint}", seconds=clock.seconds)


def _unresolved(host: str, error: Exception) -> Finding:
    saw = f"{host}: {getattr(error, 'strerror', None) or error}"
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return Finding(
            FAILURE,
            saw,
            f"no name server answered for {host}",
            "check this machine's network and its name servers (/etc/resolv.conf)",
        )
    remedy = "check the spelling"
    if is_azure_server(host):
        remedy += (
            ", and that the server exists; one with private access is only found where its private DNS zone is linked"
        )
    return Finding(FAILURE, saw, f"the name {host} does not exist here", remedy)
