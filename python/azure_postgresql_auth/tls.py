"""Whether a token may travel on a wire.

A token is a password that whoever reads it can use until it expires. So a connection to another machine has TLS, one
to an Azure host verifies the server too, and settings that say otherwise are refused before a token is asked for.

Azure documents the root certificates that clients must trust; they are shipped in `azure_roots.pem`, because the
drivers' binary wheels do not find the operating system's.
"""

from __future__ import annotations

import ipaddress
import os

from azure_postgresql_auth._core import is_azure_server
from azure_postgresql_auth.errors import InsecureTransportError

TYPE_CHECKING = False  # typing's own costs milliseconds of start-up
if TYPE_CHECKING:
    from typing import Final

    from azure_postgresql_auth._params import Said

AZURE_ROOTS: Final = os.path.join(os.path.dirname(__file__), "azure_roots.pem")  # noqa: PTH118, PTH120 - pathlib costs ms
"""PEM file with the root certificates of Azure Database for PostgreSQL."""

_ENCRYPTING: Final = ("require", "verify-ca", "verify-full")


def libpq_settings(said: Said, *, allow_insecure_transport: bool) -> dict[str, str]:
    """What to add to the parameters of a libpq connection, so that its token is safe.

    Raises:
        InsecureTransportError: the parameters forbid it.
    """
    exposed = [name for name, target in _targets(said) if not is_local(target) or is_azure_server(name)]
    if not exposed:
        return {}
    if said.sslmode is not None and said.sslmode not in _ENCRYPTING:
        if allow_insecure_transport:
            return {}
        setting = f"sslmode={said.sslmode}"
        raise insecure(setting, exposed[0])
    if said.sslmode is not None:
        return _roots(said.sslmode, said)
    if not any(is_azure_server(name) for name in exposed):
        return {"sslmode": "require"}
    return {"sslmode": "verify-full", **_roots("verify-full", said)}


def _roots(sslmode: str, said: Said) -> dict[str, str]:
    """Azure's roots where the certificate is verified and the caller named no others."""
    verifies = sslmode in ("verify-ca", "verify-full")
    if verifies and said.sslrootcert is None and all(is_azure_server(host) for host in said.hosts):
        return {"sslrootcert": AZURE_ROOTS}
    return {}


def _targets(said: Said) -> list[tuple[str, str]]:
    """Each host's name and what is connected to: its address if one is given."""
    names = said.hosts or said.addresses
    addresses = said.addresses if len(said.addresses) == len(names) else ("",) * len(names)
    return [(name, address or name) for name, address in zip(names, addresses)]


def is_local(host: str) -> bool:
    """Whether `host` is this machine: a Unix socket, `localhost` or a loopback address."""
    if not host or host.startswith(("/", "@")) or host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def insecure(setting: str, host: str) -> InsecureTransportError:
    """The refusal."""
    message = (
        f"Could not retrieve Entra credentials: none was asked for, because {setting} could send the token, which is "
        f"a password, unencrypted to {host}. Use sslmode=require or stronger (without sslmode, Azure hosts get "
        f"verify-full), or pass allow_insecure_transport=True if something else protects this connection"
    )
    return InsecureTransportError(message)
