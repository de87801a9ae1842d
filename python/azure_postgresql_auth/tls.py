"""What each driver is told, so that a token may travel on its wire; the engine decides what that takes.

Azure documents the root certificates that clients must trust; they are shipped in `azure_roots.pem`, because the
drivers' binary wheels do not find the operating system's.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own costs milliseconds of start-up
if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import Any, Final

    from azure_postgresql_auth._core import Said

AZURE_ROOTS: Final = os.path.join(os.path.dirname(__file__), "azure_roots.pem")  # noqa: PTH118, PTH120 - pathlib costs ms
"""PEM file with the root certificates of Azure Database for PostgreSQL."""

__all__ = ["AZURE_ROOTS"]


def libpq_settings(said: Said, allow_insecure_transport: bool) -> dict[str, str]:  # noqa: FBT001 - as it is called
    """What to add to the parameters of a libpq connection, so that its token is safe.

    Raises:
        InsecureTransportError: the parameters forbid it.
    """
    protection = said.protection(allow_insecure_transport)
    if protection is None:
        return {}
    sslmode, azure_roots = protection
    return {**({} if said.sslmode else {"sslmode": sslmode}), **({"sslrootcert": AZURE_ROOTS} if azure_roots else {})}


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
    protection = said.protection(allow_insecure_transport)
    if protection is None or (ssl is not None and asyncpg_mode(ssl) != ssl):
        # Local, or a context of the caller's.
        return {}
    sslmode, azure_roots = protection
    if azure_roots:
        return {"ssl": verifying_context(check_hostname=sslmode == "verify-full")}
    return {} if said.sslmode else {"ssl": sslmode}


def pg8000_settings(
    said: Said,
    ssl_context: Any,
    allow_insecure_transport: bool,  # noqa: FBT001 - as it is called
) -> dict[str, Any]:
    """What to add to the arguments of `pg8000.connect`, so that its token is safe.

    Raises:
        InsecureTransportError: the arguments forbid it.
    """
    protection = said.protection(allow_insecure_transport)
    if protection is None or ssl_context is not None:
        return {}
    sslmode, azure_roots = protection
    if sslmode == "require":
        # pg8000's own default would go on without TLS where the server refuses it.
        return {"ssl_context": True}
    roots = said.sslrootcert or (AZURE_ROOTS if azure_roots else None)
    return {"ssl_context": verifying_context(check_hostname=sslmode == "verify-full", roots=roots)}


def verifying_context(*, check_hostname: bool = True, roots: str | None = AZURE_ROOTS) -> SSLContext:
    """A TLS context that trusts nothing but these roots, or what the operating system trusts if there are none."""
    from ssl import TLSVersion, create_default_context  # noqa: PLC0415 - libpq's drivers need none of it

    context = create_default_context(cafile=roots)
    context.minimum_version = TLSVersion.TLSv1_2
    context.check_hostname = check_hostname
    return context
