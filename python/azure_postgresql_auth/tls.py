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

Azure documents the roots that clients must trust. The package contains them because the drivers' binary wheels do not
find the operating system's.
"""

__all__ = ["AZURE_ROOTS"]


def sslmode_of(ssl: Any) -> str | None:
    """Return the `sslmode` of libpq that corresponds to asyncpg's `ssl` or pg8000's `ssl_context`; None if not given.

    An unknown value is returned as text, for the plan to reject it.
    """
    if ssl is None or ssl == "":
        return None
    if isinstance(ssl, str):
        # As in a URL, where libpq reads `ssl=true` as sslmode=require. The plan decides what that verifies.
        flags = {"true": None, "false": "disable"}
        return flags.get(ssl.lower(), ssl)
    if isinstance(ssl, bool):
        return "verify-full" if ssl else "disable"
    if is_context(ssl):
        # A context never leaves a connection unencrypted.
        return "require"
    # asyncpg's SSLMode.
    return str(getattr(ssl, "name", ssl)).replace("_", "-")


def is_context(ssl: Any) -> bool:
    """Return whether the argument is a TLS context."""
    return hasattr(ssl, "wrap_bio")


def asyncpg_ssl(plan: ConnectionPlan, given: Any) -> Any:
    """Return the `ssl` argument for `asyncpg.connect`; None to pass none.

    Raises:
        ValueError: `sslrootcert=system` is combined with an `sslmode` that does not verify the host, or the file cannot
            be read.
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
    """Return the `ssl_context` argument for `pg8000.connect`; None to pass none. Raises as `asyncpg_ssl` does."""
    if plan.tls is None or is_context(given):
        return None
    sslmode, roots = plan.tls
    # pg8000's own default continues without TLS if the server does not offer it.
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
    """Return a TLS context that trusts only the roots in this file; None for the operating system's roots."""
    from ssl import TLSVersion, create_default_context  # noqa: PLC0415 - drivers on libpq do not need it

    context = create_default_context(cafile=roots)
    context.minimum_version = TLSVersion.TLSv1_2
    context.check_hostname = check_hostname
    return context
