"""Root certificates, and the TLS contexts of drivers that do not read libpq's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import Any, Final

    from azure_postgresql_auth._core import ConnectionPlan

AZURE_ROOTS: Final = os.path.join(os.path.dirname(__file__), "azure_roots.pem")  # noqa: PTH118, PTH120 - pathlib costs ms
"""PEM file with the root certificates of Azure Database for PostgreSQL.

Azure documents the roots that clients must trust. They are shipped here because the drivers' binary wheels do not find
the operating system's.
"""

__all__ = ["AZURE_ROOTS"]


def sslmode_of(ssl: Any) -> str | None:
    """Return what the `ssl` argument of asyncpg, or `ssl_context` of pg8000, means in libpq's terms.

    Raises:
        ValueError: it means nothing.
    """
    if ssl is None or ssl == "":
        return None
    if isinstance(ssl, str):
        # As in a URL; libpq takes `ssl=true` there for sslmode=require. What that verifies is the plan's to say.
        flags = {"true": None, "false": "disable"}
        return flags.get(ssl.lower(), ssl)
    if isinstance(ssl, bool):
        return "verify-full" if ssl else "disable"
    if is_context(ssl):
        # Never lets a connection go unencrypted.
        return "require"
    # asyncpg's SSLMode.
    return str(getattr(ssl, "name", ssl)).replace("_", "-")


def is_context(ssl: Any) -> bool:
    """Whether it is a TLS context of the caller's own."""
    return hasattr(ssl, "wrap_bio")


def asyncpg_ssl(plan: ConnectionPlan, given: Any) -> Any:
    """Return what `asyncpg.connect` is to be given as `ssl`, None for nothing.

    Raises:
        ValueError: `sslrootcert=system` stands beside an `sslmode` that does not verify the host, or the file cannot be
            read.
    """
    if plan.tls is None or is_context(given):
        return None
    sslmode, roots = plan.tls
    if roots is None or sslmode == "require":
        # asyncpg reads libpq's other settings, such as the file in the home directory, by itself.
        return sslmode
    if roots not in {AZURE_ROOTS, "system"}:
        return sslmode
    return _context(sslmode, roots)


def pg8000_ssl(plan: ConnectionPlan, given: Any) -> Any:
    """Return what `pg8000.connect` is to be given as `ssl_context`, None for nothing; raises as `asyncpg_ssl`."""
    if plan.tls is None or is_context(given):
        return None
    sslmode, roots = plan.tls
    # pg8000's own default would go on without TLS where the server refuses it.
    return True if sslmode == "require" and roots != "system" else _context(sslmode, roots)


def _context(sslmode: str, roots: str | None) -> SSLContext:
    if roots == "system":
        if sslmode != "verify-full":
            message = f"sslrootcert=system requires sslmode=verify-full, not {sslmode}; remove one of the two"
            raise ValueError(message)
        roots = None
    try:
        return verifying_context(check_hostname=sslmode == "verify-full", roots=roots)
    except OSError as error:
        message = f"sslrootcert={roots} cannot be read: {error}"
        raise ValueError(message) from error


def verifying_context(*, check_hostname: bool = True, roots: str | None = AZURE_ROOTS) -> SSLContext:
    """Return a TLS context that trusts nothing but these roots; None for those of the operating system."""
    from ssl import TLSVersion, create_default_context  # noqa: PLC0415 - libpq's drivers need none of it

    context = create_default_context(cafile=roots)
    context.minimum_version = TLSVersion.TLSv1_2
    context.check_hostname = check_hostname
    return context
