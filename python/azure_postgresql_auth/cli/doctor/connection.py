"""Check whether a server listens at the addresses."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from azure_postgresql_auth.cli.doctor.finding import FAILURE, OK, PASSED_OVER, WARNING, Context, Finding, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_postgresql_auth.cli.doctor.finding import Endpoint

_FIREWALL = (
    "allow this machine's address in the server's firewall rules (Networking), or connect from its virtual network; "
    "a firewall of your own may also block port {port}"
)


def check(context: Context) -> Iterator[Finding]:
    """Connect to one address after the other until one answers."""
    failed: list[Finding] = []
    for endpoint, addresses in context.resolved.items():
        if endpoint.is_socket:
            yield Finding(PASSED_OVER, "a Unix socket is left to the driver")
            return
        for address in addresses:
            finding = _connect(context, endpoint, address)
            if finding.status == OK:
                context.reached = (endpoint, address)
                for earlier in failed:
                    yield earlier._replace(status=WARNING)
                yield finding
                return
            failed.append(finding)
    yield from failed


def _connect(context: Context, endpoint: Endpoint, address: str) -> Finding:
    place = f"{address} port {endpoint.port}"
    clock = Stopwatch()
    try:
        socket.create_connection((address, endpoint.port), context.timeout).close()
    except socket.timeout:
        saw, cause = f"{place} did not answer", f"{endpoint} does not answer: something on the way drops the packets"
        remedy = _FIREWALL.format(port=endpoint.port)
    except ConnectionRefusedError:
        saw, cause = f"{place} refuses connections", f"nothing listens at {endpoint}"
        remedy = "check the port (5432; 6432 for PgBouncer), and that the server is running"
    except OSError as error:
        saw = f"{place}: {error.strerror or error}"
        cause, remedy = (
            f"{endpoint} cannot be reached ({error.strerror or error})",
            "check this machine's network and routes",
        )
    else:
        return Finding(OK, f"{place} answers", seconds=clock.seconds)
    return Finding(FAILURE, saw, cause, remedy, seconds=clock.seconds)
