"""An emulator of Azure on the local machine: Entra tokens, and a PostgreSQL that accepts only them.

    with Emulator() as emulator:
        os.environ.update(emulator.env)  # any Azure SDK and libpq now find it
        ...                              # emulator.dsn is the server

Three parts, all on loopback: the identity endpoints (App Service, IMDS and the Entra token endpoint), a
front end that speaks PostgreSQL over TLS and verifies tokens as Azure Database for PostgreSQL does, and
a real PostgreSQL behind it. Nothing of Azure is contacted.

Needs the extra `emulator`; runs on Linux and macOS.
"""

from __future__ import annotations

try:
    from azure_postgresql_auth.emulator.emulator import Emulator
    from azure_postgresql_auth.emulator.identity.directory import Group, Identity
    from azure_postgresql_auth.emulator.records import Login, TokenRequest
except ImportError as error:
    message = (
        f"the emulator needs the extra `emulator`; install it with: pip install 'azure-postgresql-auth-rs[emulator]' "
        f"({error})"
    )
    raise ImportError(message) from error

__all__ = ["Emulator", "Group", "Identity", "Login", "TokenRequest"]

# Where programs find them, for `help`, `repr` and pickles.
for _public in (Emulator, Group, Identity, Login, TokenRequest):
    _public.__module__ = __name__
