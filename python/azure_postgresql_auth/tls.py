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
    from ssl import SSLContext
    from typing import Any, Final

    from azure_postgresql_auth._params import Said

AZURE_ROOTS: Final = os.path.join(os.path.dirname(__file__), "azure_roots.pem")  # noqa: PTH118, PTH120 - pathlib costs ms
"""PEM file with the root certificates of Azure Database for PostgreSQL."""

__all__ = ["AZURE_ROOTS"]

_ENCRYPTING: Final = ("require", "verify-ca", "verify-full")


def libpq_settings(said: Said, allow_insecure_transport: bool) -> dict[str, str]:  # noqa: FBT001 - as it is called
    """What to add to the parameters of a libpq connection, so that its token is safe.

    Raises:
        InsecureTransportError: the parameters forbid it.
    """
    mode = _mode(said, allow_insecure_transport)
    if mode is None:
        return {}
    return {**({} if said.sslmode else {"sslmode": mode}), **_roots(mode, said)}


def _mode(said: Said, allow_insecure_transport: bool) -> str | None:  # noqa: FBT001 - as it is called
    """The `sslmode` that a connection must have; None where the caller's settings stay as they are."""
    exposed = [name for name, target in _targets(said) if not is_local(target) or is_azure_server(name)]
    if not exposed:
        return None
    if said.complete and (said.sslmode or not any(is_azure_server(name) for name in exposed)):
        # A password of the caller's own: theirs to decide about.
        return None
    if said.sslmode in _ENCRYPTING:
        return said.sslmode
    if said.sslmode is None:
        return "verify-full" if any(is_azure_server(name) for name in exposed) else "require"
    if allow_insecure_transport:
        return None
    raise _insecure(said.sslmode, exposed[0])


def _roots(sslmode: str, said: Said) -> dict[str, str]:
    """Azure's roots where the certificate is verified and the caller named no others."""
    verifies = sslmode in ("verify-ca", "verify-full")
    if verifies and said.sslrootcert is None and all(is_azure_server(host) for host in said.hosts):
        return {"sslrootcert": AZURE_ROOTS}
    return {}


def _targets(said: Said) -> list[tuple[str, str]]:
    """Each host's name and what is connected to: its address if one is given."""
    names = said.hosts or said.addresses
    if not said.addresses:
        return list(zip(names, names))
    addresses = said.addresses if len(said.addresses) == len(names) else ("",) * len(names)
    return [(name, address or name) for name, address in zip(names, addresses)]


def is_local(host: str) -> bool:
    """Whether `host` is this machine: a Unix socket, `localhost` or a loopback address."""
    if not host or host.startswith(("/", "@")) or host.lower() in ("localhost", "localhost."):
        return True
    if not (host[-1].isdigit() or ":" in host):
        # A name. Finding that out by ipaddress' error costs more than all else here.
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def asyncpg_mode(ssl: Any) -> str | None:
    """What asyncpg's `ssl` argument means in libpq's terms."""
    if ssl is None or isinstance(ssl, str):
        return ssl or None
    if isinstance(ssl, bool):
        return "verify-full" if ssl else "disable"
    # asyncpg's SSLMode, or a context that never lets a connection go unencrypted.
    return getattr(ssl, "name", "require").replace("_", "-")


def asyncpg_settings(
    said: Said,
    ssl: Any,
    allow_insecure_transport: bool,  # noqa: FBT001 - as it is called
) -> dict[str, Any]:
    """What to add to the arguments of `asyncpg.connect`, so that its token is safe.

    Raises:
        InsecureTransportError: the arguments forbid it.
    """
    mode = _mode(said, allow_insecure_transport)
    if mode is None or (ssl is not None and asyncpg_mode(ssl) != ssl):
        # Local, or a context of the caller's.
        return {}
    roots = _roots(mode, said)
    if roots:
        return {"ssl": verifying_context(check_hostname=mode == "verify-full")}
    return {} if said.sslmode else {"ssl": mode}


def pg8000_settings(
    said: Said,
    ssl_context: Any,
    allow_insecure_transport: bool,  # noqa: FBT001 - as it is called
) -> dict[str, Any]:
    """What to add to the arguments of `pg8000.connect`, so that its token is safe.

    Raises:
        InsecureTransportError: the arguments forbid it.
    """
    mode = _mode(said, allow_insecure_transport)
    if mode is None or ssl_context is not None:
        return {}
    if mode == "require":
        # pg8000's own default would go on without TLS where the server refuses it.
        return {"ssl_context": True}
    roots = said.sslrootcert or _roots(mode, said).get("sslrootcert")
    return {"ssl_context": verifying_context(check_hostname=mode == "verify-full", roots=roots)}


def verifying_context(*, check_hostname: bool = True, roots: str | None = AZURE_ROOTS) -> SSLContext:
    """A TLS context that trusts nothing but these roots, or what the operating system trusts if there are none."""
    from ssl import TLSVersion, create_default_context  # noqa: PLC0415 - libpq's drivers need none of it

    context = create_default_context(cafile=roots)
    context.minimum_version = TLSVersion.TLSv1_2
    context.check_hostname = check_hostname
    return context


def _insecure(sslmode: str, host: str) -> InsecureTransportError:
    """The refusal."""
    message = (
        f"Could not retrieve Entra credentials: none was asked for, because sslmode={sslmode} could send the token, "
        f"which is a password, unencrypted to {host}. Use sslmode=require or stronger (without sslmode, Azure hosts "
        f"get verify-full), or pass allow_insecure_transport=True if something else protects this connection"
    )
    return InsecureTransportError(message)
